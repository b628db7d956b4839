//! Hashing files, and remembering which were found true so that they are hashed once and not at every read.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use ring::digest::{Context, SHA256};
use rustix::buffer::spare_capacity;

use super::name::Digest;

/// How much is read at once.
const CHUNK: usize = 512 * 1024;

/// Up to `limit` bytes from an offset on; fewer only at the end of the file.
pub(super) fn read_at(file: &File, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(limit);
    while bytes.len() < limit {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    // An allocator may give more room than was asked for.
    bytes.truncate(limit);
    Ok(bytes)
}

/// The digest and size of a whole file.
pub(super) fn digest(file: &File) -> io::Result<(Digest, u64)> {
    let (mut hash, mut size) = (Context::new(&SHA256), 0);
    loop {
        let bytes = read_at(file, size, CHUNK)?;
        if bytes.is_empty() {
            return Ok((Digest::hashed(&hash.finish()), size));
        }
        hash.update(&bytes);
        size += bytes.len() as u64;
    }
}

/// What a file looked like when it was hashed. Whoever writes into it changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), size: meta.size(), modified: (meta.mtime(), meta.mtime_nsec()) }
    }
}

/// The files whose content is known to be true to their digest.
#[derive(Debug, Default)]
pub(super) struct Trusted(Mutex<HashMap<Digest, Stamp>>);

impl Trusted {
    /// The size of a file if its content has this digest. It is read through unless it is as it was when that was last seen.
    pub(super) fn size(&self, digest: &Digest, file: &File) -> io::Result<Option<u64>> {
        let stamp = Stamp::of(&file.metadata()?);
        if self.lock().get(digest) == Some(&stamp) {
            return Ok(Some(stamp.size));
        }
        let (found, size) = self::digest(file)?;
        if found != *digest {
            self.forget(digest);
            return Ok(None);
        }
        self.lock().insert(digest.clone(), stamp);
        Ok(Some(size))
    }

    /// Notes that the content was hashed while it was written.
    pub(super) fn insert(&self, digest: &Digest, file: &File) -> io::Result<()> {
        let stamp = Stamp::of(&file.metadata()?);
        self.lock().insert(digest.clone(), stamp);
        Ok(())
    }

    pub(super) fn forget(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
