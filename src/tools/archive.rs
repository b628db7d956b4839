//! Taking one executable out of a `.tar.gz`.

use std::io::{self, Read, Write};
use std::path::Component;

use tar::{Archive, EntryType};

/// Errors of unpacking.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not a readable archive.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// An entry has a path that leads out of the archive. Honest archives have none, so nothing of it is used.
    #[error("the archive holds the path {0:?}, which leads out of it")]
    Traversal(String),
    /// The wanted entry is something other than a file.
    #[error("{0:?} in the archive is not a regular file")]
    NotAFile(String),
    /// The wanted file is there twice.
    #[error("the archive holds more than one file {0}")]
    Ambiguous(String),
    /// The wanted file is not there.
    #[error("the archive holds no file {0}")]
    Missing(String),
    /// It unpacks to more than the limit.
    #[error("the archive unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// The file cannot be written.
    #[error("the file cannot be written")]
    Write(#[source] io::Error),
}

/// Copies the one regular file named `name`, in whatever directory of the archive it lies, to `into`. Nothing else is unpacked.
pub(crate) fn extract_one(archive: impl Read, name: &str, into: &mut impl Write, limit: u64) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(Limited { inner: flate2::read::GzDecoder::new(archive), left: limit });
    let too_large =
        |e: io::Error| if e.kind() == io::ErrorKind::FileTooLarge { ArchiveError::TooLarge(limit) } else { ArchiveError::Read(e) };
    let mut found = false;
    for entry in archive.entries().map_err(too_large)? {
        let mut entry = entry.map_err(too_large)?;
        let path = entry.path().map_err(ArchiveError::Read)?.into_owned();
        if path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(ArchiveError::Traversal(path.display().to_string()));
        }
        if path.file_name().is_none_or(|n| n != name) || entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        if entry.header().entry_type() != EntryType::Regular {
            return Err(ArchiveError::NotAFile(path.display().to_string()));
        }
        if found {
            return Err(ArchiveError::Ambiguous(name.to_owned()));
        }
        found = true;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let n = entry.read(&mut chunk).map_err(too_large)?;
            if n == 0 {
                break;
            }
            into.write_all(&chunk[..n]).map_err(ArchiveError::Write)?;
        }
    }
    if found { Ok(()) } else { Err(ArchiveError::Missing(name.to_owned())) }
}

/// Fails once more than the limit was read: a small download can unpack to any size.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testing::{tar_gz, tar_gz_link};

    fn extract(archive: &[u8], limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut out = Vec::new();
        extract_one(archive, "istioctl", &mut out, limit).map(|()| out)
    }

    #[test]
    fn the_one_file_is_taken_from_any_directory() {
        assert_eq!(extract(&tar_gz(&[("istioctl", b"x")]), 10_000).unwrap(), b"x");
        let full = tar_gz(&[("istio-1/README", b"r"), ("istio-1/bin/istioctl", b"y"), ("istio-1/bin/istioctl.sh", b"z")]);
        assert_eq!(extract(&full, 100_000).unwrap(), b"y");
    }

    #[test]
    fn doubtful_archives_are_refused() {
        let traversal = tar_gz(&[("../../etc/evil", b"e"), ("istioctl", b"x")]);
        assert!(matches!(extract(&traversal, 10_000), Err(ArchiveError::Traversal(_))));
        assert!(matches!(extract(&tar_gz(&[("/istioctl", b"x")]), 10_000), Err(ArchiveError::Traversal(_))));
        assert!(matches!(extract(&tar_gz(&[("a/istioctl", b"x"), ("b/istioctl", b"y")]), 10_000), Err(ArchiveError::Ambiguous(_))));
        assert!(matches!(extract(&tar_gz(&[("kubectl", b"x")]), 10_000), Err(ArchiveError::Missing(_))));
        assert!(matches!(extract(&tar_gz(&[("istioctl", &[0; 20_000])]), 10_000), Err(ArchiveError::TooLarge(_))));
        assert!(matches!(extract(&tar_gz_link("istioctl", "/bin/sh"), 10_000), Err(ArchiveError::NotAFile(_))));
        assert!(matches!(extract(b"<html>", 10_000), Err(ArchiveError::Read(_))));
        let whole = tar_gz(&[("istioctl", &[7; 5_000])]);
        assert!(matches!(extract(&whole[..whole.len() / 2], 100_000), Err(ArchiveError::Read(_))));
    }
}
