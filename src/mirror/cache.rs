//! A content-addressed cache on disk.
//!
//! `blobs/sha256/<hex>` are complete and true to their name, `fill/<hex>.<random>` are on their way, `tags/<hash>` say what a tag pointed at.
//! Everything is written under another name, synced, and renamed. Blobs are evicted by last use, which is their time of access.

mod fill;
mod state;
mod tags;

use std::fs::{DirBuilder, File, FileTimes};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use self::state::State;
use super::hashing::Trusted;
use super::name::Digest;

pub use self::fill::Fill;
pub use self::tags::Tag;

/// Errors of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What came is not what was asked for.
    #[error("{expected} is wanted and {found} came")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// It would not fit if it were alone.
    #[error("{size} bytes do not fit in a cache of {limit} bytes")]
    TooLarge {
        /// Its size, so far as it is known.
        size: u64,
        /// The limit of the cache.
        limit: u64,
    },
}

fn read(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Read { path: path.to_owned(), source }
}

fn write(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Write { path: path.to_owned(), source }
}

/// What [`Cache::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// How many blobs are true to their name.
    pub good: usize,
    /// Those that were not, and are removed.
    pub removed: Vec<Digest>,
}

/// The cache. Clones are the same cache; several processes may use one directory, but each counts only what it knows of.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limit: Option<u64>,
    state: Mutex<State>,
    trusted: Trusted,
    #[cfg(test)]
    disk: std::sync::atomic::AtomicU64,
}

impl Cache {
    /// Opens a cache, which is made where it is missing. What dead processes left unfinished is removed. With a limit, the blobs used
    /// least recently make room.
    ///
    /// # Errors
    /// When the directory cannot be read and written.
    pub fn open(dir: &Path, limit: Option<u64>) -> Result<Self, CacheError> {
        for sub in ["", "blobs", "blobs/sha256", "fill", "tags"] {
            let path = dir.join(sub);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(write(&path))?;
        }
        for sub in ["fill", "tags"] {
            fill::remove_dead(&dir.join(sub))?;
        }
        let cache = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            limit,
            state: Mutex::new(State::scan(&dir.join("blobs/sha256"))?),
            trusted: Trusted::default(),
            #[cfg(test)]
            disk: std::sync::atomic::AtomicU64::new(u64::MAX),
        }));
        cache.make_room(0);
        Ok(cache)
    }

    /// How many bytes the blobs have.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.state().total()
    }

    /// Opens a blob that is there, and tells its size. It is read through when it is not known to be true to its name; one that is not
    /// is removed and is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn blob(&self, digest: &Digest) -> Result<Option<(File, u64)>, CacheError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.state().remove(digest);
                return Ok(None);
            }
            Err(e) => return Err(read(&path)(e)),
        };
        let Some(size) = self.0.trusted.size(digest, &file).map_err(read(&path))? else {
            self.remove(digest);
            return Ok(None);
        };
        self.state().used(digest, size);
        // Only for the order after the next start, and another's file may be read but not touched.
        let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
        Ok(Some((file, size)))
    }

    /// The content of a small blob that is there.
    ///
    /// # Errors
    /// When it cannot be read, or is larger.
    pub fn bytes(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, CacheError> {
        let Some((file, size)) = self.blob(digest)? else { return Ok(None) };
        if size > limit {
            return Err(CacheError::TooLarge { size, limit });
        }
        let bytes = super::hashing::read_at(&file, 0, usize::try_from(size).unwrap_or(usize::MAX)).map_err(read(&self.path(digest)))?;
        Ok((Digest::of(&bytes) == *digest).then_some(bytes))
    }

    /// Keeps bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, CacheError> {
        let digest = Digest::of(bytes);
        if self.blob(&digest)?.is_none() {
            let mut fill = self.begin(&digest, Some(bytes.len() as u64))?;
            fill.write(bytes)?;
            fill.commit()?;
        }
        Ok(digest)
    }

    /// Hashes everything, and removes what is not true to its name.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn verify(&self) -> Result<Verified, CacheError> {
        let known: Vec<Digest> = State::scan(&self.0.dir.join("blobs/sha256"))?.digests().cloned().collect();
        let mut verified = Verified::default();
        for digest in known {
            self.0.trusted.forget(&digest);
            let path = self.path(&digest);
            let file = match File::open(&path) {
                Ok(file) => file,
                // Evicted meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(read(&path)(e)),
            };
            if self.0.trusted.size(&digest, &file).map_err(read(&path))?.is_some() {
                verified.good += 1;
            } else {
                self.remove(&digest);
                verified.removed.push(digest);
            }
        }
        Ok(verified)
    }

    /// Behaves as if the disk were full when a blob gets larger than this.
    #[cfg(test)]
    pub(in crate::mirror) fn fill_disk(&self, size: u64) {
        self.0.disk.store(size, std::sync::atomic::Ordering::Relaxed);
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.dir.join("blobs/sha256").join(digest.hex())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever reads it goes on reading: the file is gone only when the last handle is.
    fn remove(&self, digest: &Digest) {
        let _ = std::fs::remove_file(self.path(digest));
        self.0.trusted.forget(digest);
        self.state().remove(digest);
    }

    /// Evicts until there is room for `more` bytes.
    fn make_room(&self, more: u64) {
        let Some(limit) = self.0.limit else { return };
        loop {
            // The lock is given up between two, so that readers get in.
            let oldest = {
                let state = self.state();
                if state.total().saturating_add(more) <= limit { None } else { state.oldest().cloned() }
            };
            match oldest {
                Some(digest) => self.remove(&digest),
                None => return,
            }
        }
    }
}

fn sync_dir(dir: &Path) -> Result<(), CacheError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(write(dir))
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
