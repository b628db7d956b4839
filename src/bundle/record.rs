//! `bundle.json`, which says what a bundle holds, and the files that follow from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::contents::{Role, Target};
use super::manifest::{BlobKind, MAX_BLOB, MAX_BYTES, OCI_INDEX, descriptor};
use crate::mirror::layout::IMAGE_NAME;
use crate::mirror::name::{Digest, ImageName};

/// The format that this version writes, and the only one that it reads.
pub const FORMAT: u32 = 1;
/// The largest `bundle.json`, `index.json` or `bundle.sig`.
pub const MAX_RECORD_BYTES: u64 = 16 * 1024 * 1024;
/// The most files in a bundle.
pub const MAX_FILES: usize = 100_000;
/// How much memory the documents of a bundle may need.
const MAX_DOCUMENTS: u64 = 256 * 1024 * 1024;
/// What the digest of `bundle.json` is under in `index.json`.
const RECORD: &str = "meshproof.bundle.record";

pub(super) const BUNDLE_JSON: &str = "bundle.json";
pub(super) const BUNDLE_SIG: &str = "bundle.sig";
pub(super) const INDEX_JSON: &str = "index.json";
pub(super) const OCI_LAYOUT: &str = "oci-layout";
pub(super) const OCI_LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Why a `bundle.json` is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is too much of it.
    #[error("bundle.json is larger than {MAX_RECORD_BYTES} bytes")]
    TooLarge,
    /// It is not what a bundle has.
    #[error("bundle.json cannot be read")]
    Json(#[source] serde_json::Error),
    /// Another version of meshproof wrote it.
    #[error("bundle.json has the format {found}; this version reads {FORMAT}")]
    Format {
        /// The format that it says.
        found: u64,
    },
    /// A name that cannot be a file's.
    #[error("bundle.json names {name:?}, which is no name for a file")]
    Name {
        /// The name.
        name: String,
    },
    /// Something is said twice, or not in order.
    #[error("bundle.json is not in its own order: {what}")]
    Order {
        /// Which list.
        what: &'static str,
    },
    /// A size that nothing has, or more files than a bundle may have.
    #[error("bundle.json says that {what} has a size of {size}, which is too much")]
    Size {
        /// What.
        what: String,
        /// How much.
        size: u64,
    },
    /// It is not written as meshproof writes it.
    #[error("bundle.json was changed after it was written: line {line} is not as meshproof writes it")]
    Form {
        /// The first line that differs.
        line: usize,
    },
}

/// An image in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageRecord {
    /// Its name.
    pub name: ImageName,
    /// The digest that the name stands for: of the index where upstream has one.
    pub digest: Digest,
    /// What that digest is of.
    pub media_type: String,
    /// The platforms that it is here for.
    pub platforms: Vec<Target>,
    /// The size of all its blobs.
    pub bytes: u64,
    /// What it is there for.
    pub role: Role,
}

/// A tool in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The machine that it runs on.
    pub os: String,
    /// The machine's processor.
    pub arch: String,
    /// The digest of its file.
    pub sha256: Digest,
    /// The size of its file.
    pub size: u64,
}

impl ToolRecord {
    /// Its file, from the bundle's directory.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tools/{}-{}-{}-{}", self.name, self.version, self.os, self.arch)
    }
}

/// A manifest in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestRecord {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// The digest of its file.
    pub sha256: Digest,
    /// The size of its file.
    pub size: u64,
}

impl ManifestRecord {
    /// Its file, from the bundle's directory.
    #[must_use]
    pub fn path(&self) -> String {
        format!("manifests/{}.yaml", self.name)
    }
}

/// A blob in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobRecord {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// What it is.
    pub kind: BlobKind,
}

/// What a bundle holds: `bundle.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The format, [`FORMAT`].
    pub format: u32,
    /// The version of meshproof that wrote it.
    pub meshproof: String,
    /// The profile that it is for.
    pub profile: String,
    /// The platforms that it is for.
    pub platforms: Vec<Target>,
    /// The images, by name.
    pub images: Vec<ImageRecord>,
    /// The tools, by path.
    pub tools: Vec<ToolRecord>,
    /// The manifests, by path.
    pub manifests: Vec<ManifestRecord>,
    /// The blobs, by digest.
    pub blobs: Vec<BlobRecord>,
}

/// What is known of a file before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// Whether it is run.
    pub executable: bool,
    /// Whether its content is needed to find others.
    pub document: bool,
}

impl Expected {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), size: bytes.len() as u64, executable: false, document: false }
    }
}

impl Record {
    /// Reads `bundle.json`. It must be written exactly as [`Record::render`] writes it.
    ///
    /// # Errors
    /// When it is not.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        if bytes.len() as u64 > MAX_RECORD_BYTES {
            return Err(RecordError::TooLarge);
        }
        let version: Version = serde_json::from_slice(bytes).map_err(RecordError::Json)?;
        if version.format != u64::from(FORMAT) {
            return Err(RecordError::Format { found: version.format });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(RecordError::Json)?;
        record.check()?;
        let own = record.render();
        if own != bytes {
            let same = own.split(|b| *b == b'\n').zip(bytes.split(|b| *b == b'\n')).take_while(|(a, b)| a == b).count();
            return Err(RecordError::Form { line: same + 1 });
        }
        Ok(record)
    }

    /// Sorts the lists.
    pub(super) fn sort(&mut self) {
        self.platforms.sort();
        self.images.sort_by(|a, b| a.name.cmp(&b.name));
        self.tools.sort_by_key(ToolRecord::path);
        self.manifests.sort_by_key(ManifestRecord::path);
        self.blobs.sort();
    }

    /// Whether a bundle could be written by it.
    ///
    /// # Errors
    /// When not.
    pub fn check(&self) -> Result<(), RecordError> {
        fn ascending<T: Ord>(what: &'static str, mut keys: impl Iterator<Item = T>) -> Result<(), RecordError> {
            if keys.by_ref().is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(RecordError::Order { what }) }
        }
        let names = self.tools.iter().flat_map(|t| [&t.name, &t.version, &t.os, &t.arch]).chain(self.manifests.iter().map(|m| &m.name));
        for name in names {
            if !is_file_name(name) {
                return Err(RecordError::Name { name: name.clone() });
            }
        }
        if let Some(long) = self.paths().find(|p| p.len() > 99) {
            return Err(RecordError::Name { name: long });
        }
        ascending("platforms", self.platforms.iter())?;
        ascending("images", self.images.iter().map(|i| &i.name))?;
        for image in &self.images {
            ascending("the platforms of an image", image.platforms.iter())?;
        }
        ascending("tools", self.tools.iter().map(ToolRecord::path))?;
        ascending("manifests", self.manifests.iter().map(ManifestRecord::path))?;
        ascending("blobs", self.blobs.iter().map(|b| &b.digest))?;
        let files = self.tools.len() + self.manifests.len() + self.blobs.len();
        if files > MAX_FILES || self.images.len() > MAX_FILES {
            return Err(RecordError::Size { what: "its list".to_owned(), size: files as u64 });
        }
        let documents = || self.blobs.iter().filter(|b| b.kind == BlobKind::Document);
        if let Some(large) = documents().find(|b| b.size > MAX_BYTES) {
            return Err(RecordError::Size { what: large.digest.to_string(), size: large.size });
        }
        let all = documents().map(|b| b.size).sum();
        if all > MAX_DOCUMENTS {
            return Err(RecordError::Size { what: "the documents together".to_owned(), size: all });
        }
        let blobs = self.blobs.iter().map(|b| (b.digest.to_string(), b.size));
        let others = self.tools.iter().map(|t| (t.path(), t.size)).chain(self.manifests.iter().map(|m| (m.path(), m.size)));
        match blobs.chain(others).find(|(_, size)| *size > MAX_BLOB) {
            Some((what, size)) => Err(RecordError::Size { what, size }),
            None => Ok(()),
        }
    }

    fn paths(&self) -> impl Iterator<Item = String> {
        self.tools.iter().map(ToolRecord::path).chain(self.manifests.iter().map(ManifestRecord::path))
    }

    /// The bytes of `bundle.json`.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        pretty(self)
    }

    /// The bytes of `index.json`. They follow from the record, so that nothing can be changed in one and not in the other.
    #[must_use]
    pub fn index(&self) -> Vec<u8> {
        let sizes: BTreeMap<&Digest, u64> = self.blobs.iter().map(|b| (&b.digest, b.size)).collect();
        // containerd goes by the same annotation when it imports a layout.
        let entry = |image: &ImageRecord| {
            let size = sizes.get(&image.digest).copied().unwrap_or_default();
            let mut part = descriptor(&image.media_type, image.digest.clone(), size);
            part.annotations.insert(IMAGE_NAME.to_owned(), image.name.to_string());
            part
        };
        let index = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": self.images.iter().map(entry).collect::<Vec<_>>(),
            "annotations": { RECORD: Digest::of(&self.render()).to_string() },
        });
        pretty(&index)
    }

    /// All files of the bundle, from its directory, apart from the signature.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Expected> {
        let file = |digest: &Digest, size, executable, document| Expected { digest: digest.clone(), size, executable, document };
        let tool = |t: &ToolRecord| (t.path(), file(&t.sha256, t.size, true, false));
        let manifest = |m: &ManifestRecord| (m.path(), file(&m.sha256, m.size, false, false));
        let blob = |b: &BlobRecord| (blob_path(&b.digest), file(&b.digest, b.size, false, b.kind == BlobKind::Document));
        let mut files: BTreeMap<_, _> = self.tools.iter().map(tool).collect();
        files.extend(self.manifests.iter().map(manifest));
        files.extend(self.blobs.iter().map(blob));
        files.insert(BUNDLE_JSON.to_owned(), Expected::of(&self.render()));
        files.insert(INDEX_JSON.to_owned(), Expected::of(&self.index()));
        files.insert(OCI_LAYOUT.to_owned(), Expected::of(OCI_LAYOUT_TEXT.as_bytes()));
        files
    }
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("it has string keys only");
    bytes.push(b'\n');
    bytes
}

pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Whether a word may be a part of a file's name.
pub(super) fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-');
    name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && name.bytes().all(plain)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
