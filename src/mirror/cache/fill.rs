//! A blob on its way into the cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use tempfile::{Builder, TempPath};

use super::{Cache, CacheError, read, sync_dir, write};
use crate::mirror::name::Digest;

/// A blob on its way. Dropped, it leaves nothing, but whoever holds [`Fill::file`] can read on.
pub struct Fill {
    cache: Cache,
    digest: Digest,
    file: Arc<File>,
    path: TempPath,
    hash: Context,
    written: u64,
}

impl std::fmt::Debug for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill").field("path", &self.path).field("written", &self.written).finish_non_exhaustive()
    }
}

impl Cache {
    /// Begins a blob. Room is made for its size, if that is known.
    ///
    /// # Errors
    /// When nothing can be written, or it is larger than the whole cache may be.
    pub fn begin(&self, digest: &Digest, size: Option<u64>) -> Result<Fill, CacheError> {
        self.check_limit(size.unwrap_or(0))?;
        self.make_room(size.unwrap_or(0));
        let dir = self.0.dir.join("fill");
        let temp = Builder::new().prefix(&format!("{}.", digest.hex())).tempfile_in(&dir).map_err(write(&dir))?;
        let (file, path) = temp.into_parts();
        // Tells other processes that its owner lives.
        file.lock().map_err(write(&path))?;
        Ok(Fill { cache: self.clone(), digest: digest.clone(), file: Arc::new(file), path, hash: Context::new(&SHA256), written: 0 })
    }

    fn check_limit(&self, size: u64) -> Result<(), CacheError> {
        match self.0.limit {
            Some(limit) if size > limit => Err(CacheError::TooLarge { size, limit }),
            _ => Ok(()),
        }
    }
}

impl Fill {
    /// What is there so far can be read through this while more is written, and also when it was committed, evicted or given up.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// How much is there. All of it was written and hashed, also after a write that failed.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The hash of what is there, to go on with elsewhere.
    #[must_use]
    pub(in crate::mirror) fn hash(&self) -> Context {
        self.hash.clone()
    }

    /// Adds to it.
    ///
    /// # Errors
    /// When it cannot be written, or has become larger than the whole cache may be.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CacheError> {
        let after = self.written + bytes.len() as u64;
        self.cache.check_limit(after)?;
        self.disk(after).and_then(|()| self.file.write_all_at(bytes, self.written)).map_err(write(&self.path))?;
        self.hash.update(bytes);
        self.written = after;
        Ok(())
    }

    /// Whether what is there is what was asked for.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self) -> Result<(), CacheError> {
        let found = Digest::hashed(&self.hash.clone().finish());
        if found == self.digest { Ok(()) } else { Err(CacheError::Digest { expected: self.digest.clone(), found }) }
    }

    /// Gives it its name, if it is what was asked for.
    ///
    /// # Errors
    /// When it is not, or cannot be written.
    pub fn commit(self) -> Result<(), CacheError> {
        self.check()?;
        let path = self.cache.path(&self.digest);
        let cache = self.cache;
        self.file.sync_all().map_err(write(&path))?;
        cache.make_room(self.written);
        // Before others can find it, so that whoever changes it then is noticed.
        cache.0.trusted.insert(&self.digest, &self.file).map_err(read(&path))?;
        self.path.persist(&path).map_err(|e| write(&path)(e.error))?;
        cache.state().used(&self.digest, self.written);
        // It is there for this process already; only a power cut could still lose it.
        let _ = self.file.unlock();
        sync_dir(&cache.0.dir.join("blobs/sha256"))
    }

    #[cfg(test)]
    fn disk(&self, size: u64) -> io::Result<()> {
        let full = size > self.cache.0.disk.load(std::sync::atomic::Ordering::Relaxed);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests put a full disk here")]
    fn disk(&self, _size: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Removes the temporary files of processes that are dead.
pub(super) fn remove_dead(dir: &Path) -> Result<(), CacheError> {
    for entry in std::fs::read_dir(dir).map_err(read(dir))? {
        let path = entry.map_err(read(dir))?.path();
        if path.extension().is_none_or(std::ffi::OsStr::is_empty) {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            std::fs::remove_file(&path)
                .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
                .map_err(write(&path))?;
        }
    }
    Ok(())
}
