//! A bundle in one file: a tar archive in zstd, the same for the same bundle on every machine.
//!
//! `bundle.json` is its first entry, then comes `bundle.sig` if there is one, and all others follow in the order of their names. So whoever
//! reads it knows beforehand who vouches for it, what may come and how large it is, and everything else is refused before it is written.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::blobs::{BlobError, drain, persist};
use super::entries::Reader;
use super::record::{BUNDLE_JSON, BUNDLE_SIG, Expected, MAX_RECORD_BYTES, Record, RecordError};
use super::sign::{self, PublicKey, SignError};
use super::verify::{Problem, Report, Survey, judge, read_bounded};
use crate::mirror::name::Digest;

/// Most of a bundle is compressed already; more would take long for little.
const LEVEL: i32 = 3;
pub(super) const BLOCK: usize = 512;
const MAX_SIGNATURE_BYTES: u64 = 4096;

/// Errors of archives.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive or a file cannot be read.
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
    /// What was written cannot be put in its place.
    #[error(transparent)]
    Place(#[from] BlobError),
    /// Its `bundle.json` is refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A key was given, and the bundle is not signed with it. Nothing was unpacked.
    #[error(transparent)]
    Signature(#[from] SignError),
    /// What is to be packed is not as its `bundle.json` says.
    #[error("{entry} is not as bundle.json says; nothing was packed")]
    Differs {
        /// From the bundle's directory.
        entry: String,
    },
    /// The first entry is something else.
    #[error("the archive begins with {entry:?} and not with bundle.json")]
    First {
        /// The entry.
        entry: String,
    },
    /// An entry is no regular file.
    #[error("the entry {entry:?} is a {kind}, and only regular files may be in a bundle")]
    Kind {
        /// The entry.
        entry: String,
        /// What it is.
        kind: &'static str,
    },
    /// An entry's name is not UTF-8.
    #[error("the name of the entry {entry:?} is not UTF-8")]
    NotText {
        /// The name, as far as it can be shown.
        entry: String,
    },
    /// An entry's name leads out of the directory.
    #[error("the entry {entry:?} leads out of the bundle")]
    Traversal {
        /// The entry.
        entry: String,
    },
    /// An entry is there twice.
    #[error("the entry {entry:?} is there twice")]
    Duplicate {
        /// The entry.
        entry: String,
    },
    /// `bundle.json` does not speak of an entry.
    #[error("the entry {entry:?} does not belong to the bundle")]
    Unknown {
        /// The entry.
        entry: String,
    },
    /// An entry comes after one that it should come before.
    #[error("the entry {entry:?} is not in its place")]
    Order {
        /// The entry.
        entry: String,
    },
    /// An entry has another size than `bundle.json` says, or is larger than allowed.
    #[error("the entry {entry:?} has {found} bytes instead of {expected}")]
    Size {
        /// The entry.
        entry: String,
        /// What it should have, or have at the most.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// An entry's owner, mode, time or other field is not as meshproof writes it.
    #[error("the header of the entry {entry:?} is not as meshproof writes it")]
    Header {
        /// The entry.
        entry: String,
    },
    /// There are more entries than allowed.
    #[error("the archive has more than {limit} entries")]
    TooMany {
        /// How many may be there.
        limit: usize,
    },
    /// It would unpack to more than allowed.
    #[error("the bundle has {size} bytes; at most {limit} are allowed")]
    TooLarge {
        /// What it says.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// It unpacks to suspiciously much.
    #[error("the entry {entry:?} unpacks to more than {ratio} times what was read; this looks like an archive made to fill the disk")]
    Bomb {
        /// Where it was noticed.
        entry: String,
        /// The limit.
        ratio: u64,
    },
    /// It ends in the middle.
    #[error("the archive ends before its end")]
    Truncated,
    /// There is more behind its end.
    #[error("there is something behind the end of the archive")]
    Trailing,
    /// There is something where the bundle is to go.
    #[error("{path} is there already and not empty")]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// It was unpacked, and is not what it says. Nothing of it is left.
    #[error("the bundle is damaged: {}", list(.0))]
    Damaged(Vec<Problem>),
}

/// What entries are sorted by.
fn place(path: &str) -> (u8, &str) {
    let first = match path {
        BUNDLE_JSON => 0,
        BUNDLE_SIG => 1,
        _ => 2,
    };
    (first, path)
}

fn list(problems: &[Problem]) -> String {
    let shown: Vec<String> = problems.iter().take(5).map(|p| crate::error::one_line(p)).collect();
    let more = problems.len().saturating_sub(shown.len());
    shown.join("; ") + &if more == 0 { String::new() } else { format!("; and {more} more") }
}

/// How much an archive may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of all files together.
    pub total: u64,
    /// How many times as much may come out as goes in,
    pub ratio: u64,
    /// after this much came out.
    pub slack: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 64 * 1024 * 1024 * 1024, ratio: 200, slack: 64 * 1024 * 1024 }
    }
}

/// The header of an entry: what pack writes, and the only one that unpack takes.
pub(super) fn header(path: &str, size: u64, executable: bool) -> Result<Header, io::Error> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("it is less than a block");
    (BLOCK - over) % BLOCK
}

/// Writes the bundle of a directory into one file, which is there whole or not at all.
///
/// # Errors
/// When it is not as its `bundle.json` says, or cannot be read or written.
pub fn pack(dir: &Path, archive: &Path) -> Result<(), ArchiveError> {
    let read = |path: PathBuf| move |source| ArchiveError::Read { path, source };
    let write = |source| ArchiveError::Write { path: archive.to_owned(), source };
    let record = Record::parse(&read_bounded(&dir.join(BUNDLE_JSON)).map_err(read(dir.join(BUNDLE_JSON)))?)?;
    let mut files: Vec<(String, Expected)> = record.files().into_iter().collect();
    match read_bounded(&dir.join(BUNDLE_SIG)) {
        Ok(text) => files.push((BUNDLE_SIG.to_owned(), Expected::of(&text))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(read(dir.join(BUNDLE_SIG))(e)),
    }
    files.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)));

    let parent = archive.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temp = tempfile::Builder::new().prefix(".pack-").tempfile_in(parent).map_err(write)?;
    let mut out = zstd::Encoder::new(BufWriter::new(temp), LEVEL).map_err(write)?;
    // Otherwise a damaged archive would be noticed late, by the digests.
    out.include_checksum(true).map_err(write)?;
    for (path, expected) in files {
        let source = dir.join(&path);
        let meta = std::fs::symlink_metadata(&source).map_err(read(source.clone()))?;
        if !meta.is_file() || meta.len() != expected.size {
            return Err(ArchiveError::Differs { entry: path });
        }
        out.write_all(header(&path, expected.size, expected.executable).map_err(write)?.as_bytes()).map_err(write)?;
        let file = File::open(&source).map_err(read(source.clone()))?.take(expected.size);
        let mut failed = None;
        let copied = drain(file, |chunk| {
            out.write_all(chunk).map_err(|e| {
                failed = Some(e);
                io::Error::other("the archive cannot be written")
            })
        });
        if let Some(e) = failed {
            return Err(write(e));
        }
        if copied.map_err(read(source))? != (expected.digest, expected.size) {
            return Err(ArchiveError::Differs { entry: path });
        }
        out.write_all(&[0; BLOCK][..padding(expected.size)]).map_err(write)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(write)?;
    let temp = out.finish().and_then(|w| w.into_inner().map_err(io::IntoInnerError::into_error)).map_err(write)?;
    Ok(persist(temp.into_temp_path(), archive, 0o644)?)
}

/// Unpacks a bundle and verifies it. The directory is there, whole and true, or not at all; it must not have been there before.
///
/// # Errors
/// When anything about the archive is doubtful, the bundle is not what it says, or with a key when it is not signed with that key.
pub fn unpack(archive: &Path, dir: &Path, limits: &Limits, key: Option<&PublicKey>) -> Result<Report, ArchiveError> {
    if std::fs::read_dir(dir).is_ok_and(|mut d| d.next().is_some()) || std::fs::symlink_metadata(dir).is_ok_and(|m| !m.is_dir()) {
        return Err(ArchiveError::Exists { path: dir.to_owned() });
    }
    let write = |source| ArchiveError::Write { path: dir.to_owned(), source };
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(write)?;
    let temp = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent).map_err(write)?;
    // A layout has them even where there are no images.
    std::fs::create_dir_all(temp.path().join("blobs/sha256")).map_err(write)?;
    let (record, survey) = survey_archive(archive, limits, Some(temp.path()), key)?;
    let report = judge(record, survey, key);
    if !report.is_good() {
        return Err(ArchiveError::Damaged(report.problems));
    }
    settle_dirs(temp.path()).map_err(write)?;
    std::fs::rename(temp.path(), dir).map_err(write)?;
    // It has another name now.
    let _ = temp.keep();
    File::open(parent).and_then(|d| d.sync_all()).map_err(write)?;
    Ok(report)
}

fn settle_dirs(dir: &Path) -> io::Result<()> {
    // Whatever the umask says.
    std::fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            settle_dirs(&entry.path())?;
        }
    }
    File::open(dir)?.sync_all()
}

/// Reads an archive through, and writes its files where they are wanted. With a key, the signature is looked at before anything else.
pub(super) fn survey_archive(
    archive: &Path,
    limits: &Limits,
    into: Option<&Path>,
    key: Option<&PublicKey>,
) -> Result<(Record, Survey), ArchiveError> {
    let mut reader = Reader::open(archive, limits)?;
    let mut survey = Survey::default();

    let Some(first) = reader.next()? else { return Err(ArchiveError::Truncated) };
    if first.path != BUNDLE_JSON {
        return Err(ArchiveError::First { entry: first.path });
    }
    if first.size > MAX_RECORD_BYTES {
        return Err(ArchiveError::Size { entry: first.path, expected: MAX_RECORD_BYTES, found: first.size });
    }
    first.is_plain(false)?;
    let mut bytes = Vec::new();
    reader.content(&first, |content| content.read_to_end(&mut bytes).map(drop))?;
    let record = Record::parse(&bytes)?;
    let files = record.files();
    let total = files.values().fold(0_u64, |sum, f| sum.saturating_add(f.size));
    if total > limits.total {
        return Err(ArchiveError::TooLarge { size: total, limit: limits.total });
    }
    survey.take(BUNDLE_JSON, files.get(BUNDLE_JSON), false, &bytes[..], |_| Ok(())).expect("it is in memory");
    if let Some(dir) = into {
        let mut file = create(dir, BUNDLE_JSON, false)?;
        finish(&mut file, dir, BUNDLE_JSON, |f| f.write_all(&bytes))?;
    }

    let mut unsigned = key;
    let mut last = BUNDLE_JSON.to_owned();
    while let Some(entry) = reader.next()? {
        if survey.seen.contains_key(&entry.path) {
            return Err(ArchiveError::Duplicate { entry: entry.path });
        }
        if survey.seen.len() > files.len() {
            return Err(ArchiveError::TooMany { limit: files.len() + 1 });
        }
        let expected = files.get(&entry.path);
        match expected {
            Some(e) if e.size != entry.size => return Err(ArchiveError::Size { entry: entry.path, expected: e.size, found: entry.size }),
            None if entry.path != BUNDLE_SIG => return Err(ArchiveError::Unknown { entry: entry.path }),
            None if entry.size > MAX_SIGNATURE_BYTES => {
                return Err(ArchiveError::Size { entry: entry.path, expected: MAX_SIGNATURE_BYTES, found: entry.size });
            }
            Some(_) | None => {}
        }
        if place(&entry.path) < place(&last) {
            return Err(ArchiveError::Order { entry: entry.path });
        }
        if unsigned.is_some() && entry.path != BUNDLE_SIG {
            return Err(SignError::Unsigned.into());
        }
        let executable = expected.is_some_and(|e| e.executable);
        entry.is_plain(executable)?;
        let mut file = into.map(|dir| create(dir, &entry.path, executable)).transpose()?;
        let mut failed = None;
        let read = reader.content(&entry, |content| {
            survey.take(&entry.path, expected, executable, content, |chunk| match &mut file {
                Some(file) => file.write_all(chunk).map_err(|e| {
                    failed = Some(e);
                    io::Error::other("the file cannot be written")
                }),
                None => Ok(()),
            })
        });
        if let (Some(source), Some(dir)) = (failed, into) {
            return Err(ArchiveError::Write { path: dir.join(&entry.path), source });
        }
        read?;
        if let (Some(file), Some(dir)) = (&mut file, into) {
            finish(file, dir, &entry.path, |_| Ok(()))?;
        }
        if let Some(key) = unsigned.take() {
            sign::check(survey.signature.as_deref().unwrap_or_default(), &Digest::of(&bytes), Some(key))?;
        }
        last = entry.path;
    }
    reader.end()?;
    Ok((record, survey))
}

fn create(dir: &Path, path: &str, executable: bool) -> Result<File, ArchiveError> {
    let path = dir.join(path);
    let write = |source| ArchiveError::Write { path: path.clone(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(write)?;
    }
    let mode = if executable { 0o755 } else { 0o644 };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(write)?;
    // Whatever the umask says.
    file.set_permissions(Permissions::from_mode(mode)).map_err(write)?;
    Ok(file)
}

fn finish(file: &mut File, dir: &Path, path: &str, last: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), ArchiveError> {
    last(file).and_then(|()| file.sync_all()).map_err(|source| ArchiveError::Write { path: dir.join(path), source })
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
