//! The files in what `docker save` writes, put aside until it is known which of them matter.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{Archive, EntryType, PaxExtensions};

use super::blobs::{BlobError, Blobs, Finished};
use super::docker_import::ImportError;
use super::manifest::{MAX_BLOB, MAX_BYTES, ManifestError};
use crate::mirror::name::Digest;

pub(super) const MAX_ENTRIES: usize = 20_000;
const MAX_EXTENSION: u64 = 64 * 1024;
const MAX_LINKS: usize = 8;

enum Spooled {
    /// Not known yet whether it is needed.
    Waiting(Finished),
    Kept(Digest, u64),
}

impl Spooled {
    fn digest(&self) -> &Digest {
        match self {
            Self::Waiting(finished) => finished.digest(),
            Self::Kept(digest, _) => digest,
        }
    }
}

/// An archive that was read, its files aside.
pub(super) struct Saving<'a> {
    pub(super) blobs: &'a Blobs,
    files: BTreeMap<String, Spooled>,
    links: BTreeMap<String, String>,
}

impl<'a> Saving<'a> {
    /// Puts all files aside: what they are is told by one that comes last as a rule.
    pub(super) fn read(archive: impl Read, blobs: &'a Blobs) -> Result<Self, ImportError> {
        let mut saved = Self { blobs, files: BTreeMap::new(), links: BTreeMap::new() };
        let mut archive = Archive::new(archive);
        let (mut long_name, mut extension) = (None, BTreeMap::new());
        let mut total = 0_u64;
        // Raw, because the reader would take headers of any length into memory.
        for (count, entry) in archive.entries().map_err(ImportError::Read)?.raw(true).enumerate() {
            let mut entry = entry.map_err(ImportError::Read)?;
            let (kind, size) = (entry.header().entry_type(), entry.size());
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            total = total.saturating_add(size);
            if count >= MAX_ENTRIES || total > MAX_BLOB {
                return Err(ImportError::TooLarge);
            }
            if matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::XGlobalHeader) {
                let bad = || ImportError::Extension { entry: shown.clone() };
                if size > MAX_EXTENSION {
                    return Err(bad());
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(ImportError::Read)?;
                match kind {
                    EntryType::XHeader => extension = pax(&bytes).ok_or_else(bad)?,
                    EntryType::GNULongName => {
                        let text = String::from_utf8(bytes).map_err(|_| ImportError::NotText { entry: shown.clone() })?;
                        long_name = Some(text.trim_end_matches('\0').to_owned());
                    }
                    // A comment of the tool that wrote it.
                    _ => {}
                }
                continue;
            }
            let mut extension = std::mem::take(&mut extension);
            if extension.remove("size").is_some_and(|s| s != size.to_string()) {
                return Err(ImportError::Extension { entry: shown });
            }
            let name = match long_name.take().or_else(|| extension.remove("path")) {
                Some(name) => name,
                None => String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| ImportError::NotText { entry: shown.clone() })?,
            };
            let path = normal("", &name).ok_or_else(|| ImportError::Traversal { entry: name.clone() })?;
            match kind {
                EntryType::Directory => {}
                EntryType::Symlink => {
                    let target = match extension.remove("linkpath") {
                        Some(target) => target,
                        None => String::from_utf8(entry.link_name_bytes().unwrap_or_default().into_owned())
                            .map_err(|_| ImportError::NotText { entry: shown.clone() })?,
                    };
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    let target = normal(parent, &target).ok_or_else(|| ImportError::Traversal { entry: path.clone() })?;
                    saved.links.insert(path, target);
                }
                EntryType::Regular | EntryType::Continuous => {
                    // Each layer has these, and nobody needs them.
                    if path.ends_with("/VERSION") || path.ends_with("/json") {
                        continue;
                    }
                    let mut incoming = saved.blobs.begin()?;
                    incoming.fill(&mut entry)?;
                    if incoming.size() != size {
                        return Err(ImportError::Read(io::ErrorKind::UnexpectedEof.into()));
                    }
                    let finished = incoming.finish();
                    match saved.files.get(&path) {
                        Some(earlier) if earlier.digest() != finished.digest() => return Err(ImportError::Duplicate { entry: path }),
                        Some(_) => {}
                        None => drop(saved.files.insert(path, Spooled::Waiting(finished))),
                    }
                }
                kind => return Err(ImportError::Kind { entry: path, kind }),
            }
        }
        Ok(saved)
    }

    /// Where the content of a path is, behind the links.
    fn resolve(&self, path: &str, by: &str) -> Result<String, ImportError> {
        let missing = || ImportError::Missing { entry: path.to_owned(), by: by.to_owned() };
        let mut at = normal("", path).ok_or_else(|| ImportError::Traversal { entry: path.to_owned() })?;
        for _ in 0..MAX_LINKS {
            if self.files.contains_key(&at) {
                return Ok(at);
            }
            at.clone_from(self.links.get(&at).ok_or_else(missing)?);
        }
        Err(missing())
    }

    /// Whether a file is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The digest of a file.
    pub(super) fn digest(&self, path: &str, by: &str) -> Result<&Digest, ImportError> {
        Ok(self.files[&self.resolve(path, by)?].digest())
    }

    /// The content of a small file.
    pub(super) fn document(&self, path: &str, by: &str) -> Result<Vec<u8>, ImportError> {
        let (from, size) = match &self.files[&self.resolve(path, by)?] {
            Spooled::Waiting(finished) => (finished.path().to_owned(), finished.size()),
            Spooled::Kept(digest, size) => (self.blobs.path(digest), *size),
        };
        if size > MAX_BYTES {
            let digest = self.digest(path, by)?.clone();
            return Err(ManifestError::TooLarge { digest, size }.into());
        }
        std::fs::read(&from).map_err(|source| BlobError::Read { path: from, source }.into())
    }

    /// Keeps a file as a blob.
    pub(super) fn keep(&mut self, path: &str, by: &str) -> Result<(Digest, u64), ImportError> {
        let at = self.resolve(path, by)?;
        match self.files.remove(&at).expect("it was just found") {
            Spooled::Waiting(finished) => {
                let size = finished.size();
                let digest = self.blobs.keep(finished)?;
                self.files.insert(at, Spooled::Kept(digest.clone(), size));
                Ok((digest, size))
            }
            Spooled::Kept(digest, size) => {
                self.files.insert(at, Spooled::Kept(digest.clone(), size));
                Ok((digest, size))
            }
        }
    }
}

fn pax(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    PaxExtensions::new(bytes)
        .filter(|e| !e.as_ref().is_ok_and(|e| !matches!(e.key_bytes(), b"path" | b"linkpath" | b"size")))
        .map(|e| e.ok().and_then(|e| Some((e.key().ok()?.to_owned(), e.value().ok()?.to_owned()))))
        .collect()
}

/// A path from the root of the archive, without `.` and `..`; none if it leads out.
fn normal(parent: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = parent.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
