//! Whether a bundle is what it says: every file against `bundle.json`, and every image followed from its name to its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::archive::{ArchiveError, Limits, survey_archive};
use super::blobs::{PARTIAL, drain};
use super::manifest::{ManifestError, Shelf, walk};
use super::record::{BUNDLE_JSON, BUNDLE_SIG, Expected, MAX_RECORD_BYTES, Record, RecordError, blob_path};
use super::sign::{self, PublicKey, SignError};
use crate::mirror::name::{Digest, ImageName};

/// Why a bundle could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file or directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive was refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Something that is wrong with a bundle.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// `bundle.json` is missing: this is no bundle, or one that was not finished.
    #[error("there is no bundle.json")]
    NoRecord,
    /// `bundle.json` is refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nothing speaks of this file or directory.
    #[error("{path} does not belong to the bundle")]
    Unknown {
        /// From the bundle's directory.
        path: String,
    },
    /// It is a link, a device or a directory.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// From the bundle's directory.
        path: String,
    },
    /// A file is missing.
    #[error("{path} is missing")]
    Missing {
        /// From the bundle's directory.
        path: String,
    },
    /// A file has another size.
    #[error("{path} has {found} bytes instead of {expected}")]
    Size {
        /// From the bundle's directory.
        path: String,
        /// By `bundle.json`.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A file has another content.
    #[error("{path} has the digest {found} instead of {expected}")]
    Digest {
        /// From the bundle's directory.
        path: String,
        /// By `bundle.json`.
        expected: Digest,
        /// What there is.
        found: Digest,
    },
    /// A tool cannot be run.
    #[error("{path} is not executable")]
    NotExecutable {
        /// From the bundle's directory.
        path: String,
    },
    /// An image is not complete.
    #[error("the image {name} is not complete")]
    Image {
        /// Its name.
        name: ImageName,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// An image's size is not what `bundle.json` says.
    #[error("the image {name} has {found} bytes; bundle.json says {said}")]
    ImageSize {
        /// Its name.
        name: ImageName,
        /// What there is.
        found: u64,
        /// By `bundle.json`.
        said: u64,
    },
    /// `bundle.json` lists a blob for nothing, or in another kind than the images need it.
    #[error("no image needs {digest} as bundle.json lists it")]
    Unneeded {
        /// The blob.
        digest: Digest,
    },
    /// The signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] SignError),
}

/// What became of a verification.
#[derive(Debug)]
pub struct Report {
    /// What the bundle holds, if that can be read.
    pub record: Option<Record>,
    /// The key that it is signed with. Without a key to compare with, that says nothing of who signed it.
    pub signed: Option<PublicKey>,
    /// How many bytes were read.
    pub bytes: u64,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What is known of a file after it was read.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) executable: bool,
}

/// All files of a bundle, read once.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// What was read, by its path.
    pub(super) seen: BTreeMap<String, Seen>,
    /// The content of indexes, manifests and configurations, by what their digest really is.
    pub(super) documents: BTreeMap<Digest, Vec<u8>>,
    /// The content of `bundle.sig`.
    pub(super) signature: Option<Vec<u8>>,
    /// What was wrong so far.
    pub(super) problems: Vec<Problem>,
}

impl Survey {
    /// Reads a file of a bundle to its end, or until it is longer than it should be.
    pub(super) fn take(
        &mut self,
        path: &str,
        expected: Option<&Expected>,
        executable: bool,
        from: impl Read,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let limit = expected.map_or(MAX_RECORD_BYTES, |e| e.size);
        let keep = path == BUNDLE_SIG || expected.is_some_and(|e| e.document);
        let mut kept = Vec::new();
        let (digest, size) = drain(from.take(limit.saturating_add(1)), |chunk| {
            if keep {
                kept.extend_from_slice(chunk);
            }
            sink(chunk)
        })?;
        if path == BUNDLE_SIG {
            self.signature = Some(kept);
        } else if keep {
            self.documents.insert(digest.clone(), kept);
        }
        self.seen.insert(path.to_owned(), Seen { digest, size, executable });
        Ok(())
    }
}

impl Shelf for Survey {
    fn size(&self, digest: &Digest) -> Option<u64> {
        self.seen.get(&blob_path(digest)).map(|s| s.size)
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.documents.get(digest).cloned()
    }
}

/// Reads a bundle through, a directory or an archive, and finds all that is wrong with it. With a key, it must be signed with that key.
///
/// # Errors
/// When it cannot be read, or the archive is refused.
pub fn verify(path: &Path, key: Option<&PublicKey>) -> Result<Report, VerifyError> {
    let meta = std::fs::metadata(path).map_err(|source| VerifyError::Read { path: path.to_owned(), source })?;
    if meta.is_dir() {
        return verify_dir(path, key);
    }
    let (record, survey) = survey_archive(path, &Limits::default(), None, None)?;
    Ok(judge(record, survey, key))
}

fn verify_dir(dir: &Path, key: Option<&PublicKey>) -> Result<Report, VerifyError> {
    let failed = |problem| Report { record: None, signed: None, bytes: 0, problems: vec![problem] };
    let bytes = match read_bounded(&dir.join(BUNDLE_JSON)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(failed(Problem::NoRecord)),
        Err(source) => return Err(VerifyError::Read { path: dir.join(BUNDLE_JSON), source }),
    };
    let record = match Record::parse(&bytes) {
        Ok(record) => record,
        Err(e) => return Ok(failed(e.into())),
    };
    let files = record.files();
    let mut dirs: BTreeSet<&str> = files.keys().flat_map(|f| f.match_indices('/').map(|(i, _)| &f[..i])).collect();
    // A layout has them even where there are no images.
    dirs.extend(["blobs", "blobs/sha256"]);
    let mut survey = Survey::default();
    survey_dir(dir, "", &files, &dirs, &mut survey)?;
    Ok(judge(record, survey, key))
}

/// The content of a `bundle.json` or `index.json`, one byte over the limit at the most.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_RECORD_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn survey_dir(
    dir: &Path,
    below: &str,
    files: &BTreeMap<String, Expected>,
    dirs: &BTreeSet<&str>,
    survey: &mut Survey,
) -> Result<(), VerifyError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| VerifyError::Read { path, source }
    };
    let mut entries: Vec<_> = std::fs::read_dir(dir).and_then(Iterator::collect::<io::Result<_>>).map_err(read(dir))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        // A name that is not UTF-8 is nobody's in any case.
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        let meta = std::fs::symlink_metadata(entry.path()).map_err(read(&entry.path()))?;
        let known = files.contains_key(&path) || path == BUNDLE_SIG;
        if meta.is_dir() && dirs.contains(path.as_str()) {
            survey_dir(&entry.path(), &format!("{path}/"), files, dirs, survey)?;
        } else if !known {
            survey.problems.push(Problem::Unknown { path });
        } else if meta.is_file() {
            let executable = meta.permissions().mode() & 0o111 != 0;
            let file = File::open(entry.path()).map_err(read(&entry.path()))?;
            survey.take(&path, files.get(&path), executable, file, |_| Ok(())).map_err(read(&entry.path()))?;
        } else {
            survey.problems.push(Problem::NotAFile { path });
        }
    }
    Ok(())
}

/// What is wrong with a bundle of which all was read.
pub(super) fn judge(record: Record, mut survey: Survey, key: Option<&PublicKey>) -> Report {
    let mut problems = std::mem::take(&mut survey.problems);
    let odd: BTreeSet<String> =
        problems.iter().filter_map(|p| if let Problem::NotAFile { path } = p { Some(path.clone()) } else { None }).collect();
    for (path, expected) in record.files() {
        let Some(seen) = survey.seen.get(&path) else {
            if !odd.contains(&path) {
                problems.push(Problem::Missing { path });
            }
            continue;
        };
        if seen.size != expected.size {
            problems.push(Problem::Size { path, expected: expected.size, found: seen.size });
        } else if seen.digest != expected.digest {
            problems.push(Problem::Digest { path, expected: expected.digest, found: seen.digest.clone() });
        } else if expected.executable && !seen.executable {
            problems.push(Problem::NotExecutable { path });
        }
    }
    let mut needed = BTreeSet::new();
    for image in &record.images {
        match walk(&survey, &image.digest, &image.media_type, &image.platforms) {
            Ok(tree) => {
                let found = tree.blobs.values().map(|(size, _)| size).sum();
                if found != image.bytes {
                    problems.push(Problem::ImageSize { name: image.name.clone(), found, said: image.bytes });
                }
                needed.extend(tree.blobs.into_iter().map(|(digest, (_, kind))| (digest, kind)));
            }
            Err(source) => problems.push(Problem::Image { name: image.name.clone(), source }),
        }
    }
    // Where an image is broken, its blobs are needed by something that cannot be read.
    if !problems.iter().any(|p| matches!(p, Problem::Image { .. })) {
        let listed = record.blobs.iter().filter(|b| !needed.contains(&(b.digest.clone(), b.kind)));
        problems.extend(listed.map(|b| Problem::Unneeded { digest: b.digest.clone() }));
    }
    let signed = match (&survey.signature, key) {
        (None, None) => None,
        (None, Some(_)) => {
            problems.push(SignError::Unsigned.into());
            None
        }
        (Some(text), key) => match sign::check(text, &Digest::of(&record.render()), key) {
            Ok(key) => Some(key),
            Err(e) => {
                problems.push(e.into());
                None
            }
        },
    };
    let bytes = survey.seen.values().map(|s| s.size).sum();
    Report { record: Some(record), signed, bytes, problems }
}

/// Whether a directory holds a bundle or the beginning of one, and not something else.
pub(super) fn is_ours(dir: &Path) -> io::Result<bool> {
    let mut entries = std::fs::read_dir(dir)?;
    Ok(entries.next().is_none()
        || dir.join(PARTIAL).is_dir()
        || read_bounded(&dir.join(BUNDLE_JSON)).is_ok_and(|b| Record::parse(&b).is_ok()))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
