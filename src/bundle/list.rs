//! What a bundle holds, and what each image costs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::contents::Role;
use super::manifest::{ManifestError, Shelf, walk};
use super::record::{BUNDLE_JSON, Record, RecordError, blob_path};
use super::verify::read_bounded;
use crate::mirror::name::{Digest, ImageName};

/// Errors of listing.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// `bundle.json` cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `bundle.json` is refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An image is not complete.
    #[error("the image {name} is not complete")]
    Image {
        /// Its name.
        name: ImageName,
        /// What is wrong with it.
        source: ManifestError,
    },
}

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ImageName,
    /// Its digest.
    pub digest: Digest,
    /// What it is there for.
    pub role: Role,
    /// The size of all its blobs.
    pub bytes: u64,
    /// The size of those blobs that the bundle would not hold without it.
    pub unique: u64,
}

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// What `bundle.json` says.
    pub record: Record,
    /// The images.
    pub images: Vec<Listed>,
    /// The size of all blobs.
    pub blobs: u64,
    /// The size of all tools.
    pub tools: u64,
    /// The size of all manifests.
    pub manifests: u64,
}

/// The files of a bundle as they lie there; nothing is hashed.
struct Files<'a>(&'a Path);

impl Shelf for Files<'_> {
    fn size(&self, digest: &Digest) -> Option<u64> {
        std::fs::metadata(self.0.join(blob_path(digest))).ok().map(|m| m.len())
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        read_bounded(&self.0.join(blob_path(digest))).ok()
    }
}

/// Lists the bundle in a directory. It is not verified by this.
///
/// # Errors
/// When it cannot be read or is not complete.
pub fn list(dir: &Path) -> Result<List, ListError> {
    let path = dir.join(BUNDLE_JSON);
    let record = Record::parse(&read_bounded(&path).map_err(|source| ListError::Read { path, source })?)?;
    let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut trees = Vec::new();
    for image in &record.images {
        let tree = walk(&Files(dir), &image.digest, &image.media_type, &image.platforms)
            .map_err(|source| ListError::Image { name: image.name.clone(), source })?;
        for digest in tree.blobs.keys() {
            *users.entry(digest.clone()).or_default() += 1;
        }
        trees.push(tree);
    }
    let images = record.images.iter().zip(&trees).map(|(image, tree)| Listed {
        name: image.name.clone(),
        digest: image.digest.clone(),
        role: image.role,
        bytes: tree.blobs.values().map(|(size, _)| size).sum(),
        unique: tree.blobs.iter().filter(|(digest, _)| users[*digest] == 1).map(|(_, (size, _))| size).sum(),
    });
    Ok(List {
        images: images.collect(),
        blobs: record.blobs.iter().map(|b| b.size).sum(),
        tools: record.tools.iter().map(|t| t.size).sum(),
        manifests: record.manifests.iter().map(|m| m.size).sum(),
        record,
    })
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
