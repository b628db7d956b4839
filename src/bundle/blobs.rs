//! Blobs of a bundle that is being written: each under its digest, and never there in part.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest::{Context, SHA256};
use tempfile::{NamedTempFile, TempPath};

use super::manifest::{MAX_BYTES, Shelf};
use crate::mirror::name::Digest;

/// Where unfinished files lie while a bundle is made.
pub(super) const PARTIAL: &str = ".partial";
const CHUNK: usize = 256 * 1024;

/// Errors of keeping blobs.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is given as a blob cannot be read.
    #[error("the content of a blob cannot be read")]
    Input(#[source] io::Error),
    /// The content is not what its name says.
    #[error("{expected} is wanted and {found} was given")]
    Digest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// There is more or less of it than was said.
    #[error("{digest} should have {expected} bytes and has {found}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What was said.
        expected: u64,
        /// What there is. Reading stops soon after the size that was said.
        found: u64,
    },
}

/// A digest as it grows.
pub(super) struct Hasher(Context);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        let text = format!("sha256:{}", hex::encode(self.0.finish()));
        text.parse().expect("a SHA-256 in hexadecimal is a digest")
    }
}

/// Reads to the end, and tells the digest and the size. `sink` gets every piece.
pub(super) fn drain(mut from: impl Read, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<(Digest, u64)> {
    let (mut hasher, mut size, mut chunk) = (Hasher::new(), 0, vec![0; CHUNK]);
    loop {
        let n = match from.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hasher.update(&chunk[..n]);
        size += n as u64;
        sink(&chunk[..n])?;
    }
}

/// The blobs below a directory.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    /// Those whose digest was seen to be true.
    trusted: Mutex<BTreeSet<Digest>>,
}

impl Blobs {
    /// Opens the directory, which is made where it is missing, and throws unfinished files away.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(dir: &Path) -> Result<Self, BlobError> {
        let partial = dir.join(PARTIAL);
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source| BlobError::Write { path, source }
        };
        if let Err(e) = std::fs::remove_dir_all(&partial)
            && e.kind() != io::ErrorKind::NotFound
        {
            return Err(write(&partial)(e));
        }
        for made in [partial, dir.join("blobs/sha256")] {
            std::fs::create_dir_all(&made).map_err(write(&made))?;
        }
        for made in ["blobs", "blobs/sha256"] {
            let made = dir.join(made);
            std::fs::set_permissions(&made, Permissions::from_mode(0o755)).map_err(write(&made))?;
        }
        Ok(Self { dir: dir.to_owned(), trusted: Mutex::default() })
    }

    /// Removes what [`Blobs::open`] made for unfinished files.
    pub(super) fn close(&self) -> Result<(), BlobError> {
        let partial = self.dir.join(PARTIAL);
        std::fs::remove_dir_all(&partial).map_err(|source| BlobError::Write { path: partial, source })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a blob is, once it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// The size of a blob that is there and true to its digest, which is read through once. One that is not true is removed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        let path = self.path(digest);
        let read = |source| BlobError::Read { path: path.clone(), source };
        let meta = match std::fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(read(e)),
        };
        if self.trusted.lock().unwrap_or_else(PoisonError::into_inner).contains(digest) {
            return Ok(Some(meta.len()));
        }
        if meta.is_file() {
            let (found, size) = File::open(&path).and_then(|f| drain(f, |_| Ok(()))).map_err(read)?;
            if found == *digest {
                self.trust(digest);
                return Ok(Some(size));
            }
        }
        std::fs::remove_file(&path).map_err(|source| BlobError::Write { path, source })?;
        Ok(None)
    }

    /// The content of a small blob, if it is there.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than `limit`.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(size) = self.size(digest)? else { return Ok(None) };
        if size > limit {
            return Err(BlobError::Size { digest: digest.clone(), expected: limit, found: size });
        }
        let path = self.path(digest);
        std::fs::read(&path).map(Some).map_err(|source| BlobError::Read { path, source })
    }

    /// Keeps bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let mut incoming = self.begin()?;
        incoming.write(bytes)?;
        self.keep(incoming.finish())
    }

    /// Keeps what a reader holds, which must be this blob.
    ///
    /// # Errors
    /// When it cannot be read, is something else, or cannot be written.
    pub fn copy(&self, from: impl Read, digest: &Digest, size: u64) -> Result<(), BlobError> {
        let mut incoming = self.begin()?;
        incoming.fill(from.take(size.saturating_add(1)))?;
        self.keep(incoming.finish_as(digest, size)?).map(drop)
    }

    /// Begins a blob whose content comes in pieces.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self) -> Result<Incoming, BlobError> {
        let dir = self.dir.join(PARTIAL);
        let file = NamedTempFile::new_in(&dir).map_err(|source| BlobError::Write { path: dir, source })?;
        Ok(Incoming { file, hasher: Hasher::new(), size: 0 })
    }

    /// Gives a finished blob its name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, finished: Finished) -> Result<Digest, BlobError> {
        let path = self.path(&finished.digest);
        persist(finished.path, &path, 0o644)?;
        self.trust(&finished.digest);
        Ok(finished.digest)
    }

    fn trust(&self, digest: &Digest) {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone());
    }
}

impl Shelf for Blobs {
    fn size(&self, digest: &Digest) -> Option<u64> {
        Blobs::size(self, digest).ok().flatten()
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        Blobs::read(self, digest, MAX_BYTES).ok().flatten()
    }
}

/// Gives a temporary file its name, once it is on the disk.
pub(super) fn persist(file: TempPath, path: &Path, mode: u32) -> Result<(), BlobError> {
    let write = |source| BlobError::Write { path: path.to_owned(), source };
    std::fs::set_permissions(&file, Permissions::from_mode(mode)).map_err(write)?;
    // Otherwise a power cut could leave an empty file under the final name.
    File::open(&file).and_then(|f| f.sync_all()).map_err(write)?;
    file.persist(path).map_err(|e| write(e.error))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|d| d.sync_all()).map_err(write)
}

/// A blob whose content comes in pieces. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Incoming {
    /// How much has come.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|source| BlobError::Write { path: self.file.path().to_owned(), source })
    }

    /// All that a reader holds.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn fill(&mut self, mut from: impl Read) -> Result<(), BlobError> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => self.write(&chunk[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(BlobError::Input(e)),
            }
        }
    }

    /// The end of it.
    #[must_use]
    pub fn finish(self) -> Finished {
        Finished { digest: self.hasher.finish(), size: self.size, path: self.file.into_temp_path() }
    }

    /// The end of it, which must make it this blob.
    ///
    /// # Errors
    /// When it is another.
    pub fn finish_as(self, digest: &Digest, size: u64) -> Result<Finished, BlobError> {
        if self.size != size {
            return Err(BlobError::Size { digest: digest.clone(), expected: size, found: self.size });
        }
        let finished = self.finish();
        if finished.digest != *digest {
            return Err(BlobError::Digest { expected: digest.clone(), found: finished.digest });
        }
        Ok(finished)
    }
}

/// A blob that is complete and has no name yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Finished {
    digest: Digest,
    size: u64,
    path: TempPath,
}

impl Finished {
    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it a name that is no blob's.
    pub(super) fn place(self, path: &Path, mode: u32) -> Result<(), BlobError> {
        persist(self.path, path, mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let digest = blobs.put(b"content").unwrap();
        assert_eq!(digest, Digest::of(b"content"));
        assert_eq!(blobs.size(&digest).unwrap(), Some(7));
        drop(blobs.begin().unwrap());
        let other = Digest::of(b"other");
        assert!(matches!(blobs.copy(&b"otter"[..], &other, 5), Err(BlobError::Digest { .. })));
        assert!(matches!(blobs.copy(&b"others"[..], &other, 5), Err(BlobError::Size { found: 6, .. })));
        assert!(matches!(blobs.copy(&b"othe"[..], &other, 5), Err(BlobError::Size { found: 4, .. })));
        assert_eq!(blobs.size(&other).unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path().join(PARTIAL)).unwrap().count(), 0);
        blobs.copy(&b"other"[..], &other, 5).unwrap();
        assert_eq!(blobs.read(&other, 5).unwrap().unwrap(), b"other");
        assert!(matches!(blobs.read(&other, 4), Err(BlobError::Size { .. })));
    }

    #[test]
    fn what_an_earlier_process_left_is_read_before_it_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Blobs::open(dir.path()).unwrap().put(b"content").unwrap();
        std::fs::write(dir.path().join(PARTIAL).join("left"), b"half").unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        assert!(!dir.path().join(PARTIAL).join("left").exists());
        assert_eq!(blobs.size(&digest).unwrap(), Some(7));
        std::fs::write(blobs.path(&digest), b"con").unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        assert_eq!(blobs.size(&digest).unwrap(), None);
        assert!(!blobs.path(&digest).exists());
    }
}
