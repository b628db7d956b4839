//! What `docker save` writes, turned into an image of the Open Container Initiative.
//!
//! Engines before 25 write `manifest.json`, configurations, and layers as `<id>/layer.tar`, one being a symbolic link where it is the same as
//! another. Later ones write an OCI image layout with the same `manifest.json` beside it; from such a one images are taken as they are, and
//! keep their digests.

use std::fs::File;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use tar::EntryType;

use super::blobs::{BlobError, Blobs, drain};
use super::docker_saved::{MAX_ENTRIES, Saving};
use super::manifest::{
    Document, MAX_BLOB, MAX_LAYERS, MAX_MANIFESTS, ManifestError, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, descriptor, is_foreign, parse,
};
use super::record::blob_path;
use crate::mirror::layout::{Descriptor, IMAGE_NAME};
use crate::mirror::name::{Digest, ImageName};

/// Errors of importing.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive cannot be read.
    #[error("the archive of the engine cannot be read")]
    Read(#[source] io::Error),
    /// A blob cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The name of an entry is not UTF-8.
    #[error("the name of the entry {entry:?} is not UTF-8")]
    NotText {
        /// The name, as far as it can be shown.
        entry: String,
    },
    /// An entry or link leads out of the archive.
    #[error("the entry {entry:?} leads out of the archive")]
    Traversal {
        /// The entry.
        entry: String,
    },
    /// An entry is something that no engine writes.
    #[error("the entry {entry:?} is a {kind:?}, which no engine writes")]
    Kind {
        /// The entry.
        entry: String,
        /// The tar archive's word.
        kind: EntryType,
    },
    /// An entry is there twice, with different content.
    #[error("the entry {entry:?} is there twice")]
    Duplicate {
        /// The entry.
        entry: String,
    },
    /// There are too many entries, or too much in them.
    #[error("the archive is too large: it has more than {MAX_ENTRIES} entries or {MAX_BLOB} bytes")]
    TooLarge,
    /// The extended header of an entry is damaged or contradicts it.
    #[error("the extended header of the entry {entry:?} is damaged")]
    Extension {
        /// The entry.
        entry: String,
    },
    /// An entry is missing.
    #[error("the archive has no {entry:?}, which its {by} names")]
    Missing {
        /// The entry.
        entry: String,
        /// What names it.
        by: String,
    },
    /// It is no archive of an engine.
    #[error("the archive has no manifest.json and no index.json")]
    NoManifest,
    /// An entry is not the JSON that it should be.
    #[error("{entry} in the archive cannot be read")]
    Json {
        /// The entry.
        entry: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// An image is not in it.
    #[error("{name} is not in the archive, which has: {}", .has.join(", "))]
    NoImage {
        /// Its name.
        name: ImageName,
        /// The names that are in it.
        has: Vec<String>,
    },
    /// The layers are not those of the configuration.
    #[error("the layer {entry:?} is not the one that {config:?} describes")]
    Layer {
        /// The layer.
        entry: String,
        /// The configuration.
        config: String,
    },
    /// Their number is not that of the configuration.
    #[error("there are {found} layers for {config:?}, which describes {said}")]
    Layers {
        /// The configuration.
        config: String,
        /// How many there are.
        found: usize,
        /// How many it describes.
        said: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Configuration {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Takes these images, or all if none is named, out of what `docker save` wrote, and keeps what they consist of. Told is what each name now
/// stands for. It blocks.
///
/// # Errors
/// When the archive is doubtful or damaged, or an image is not in it.
pub fn import_docker_archive(archive: impl Read, names: &[ImageName], blobs: &Blobs) -> Result<Vec<(ImageName, Descriptor)>, ImportError> {
    let mut saved = Saving::read(archive, blobs)?;
    let mut found: Vec<(Option<ImageName>, Source)> = Vec::new();
    if saved.has("index.json") && saved.has("oci-layout") {
        let Document::Index(parts) = parse(&saved.document("index.json", "archive")?, None)?.1 else { return Err(ImportError::NoManifest) };
        found.extend(parts.into_iter().map(|p| (p.annotations.get(IMAGE_NAME).and_then(|n| n.parse().ok()), Source::Layout(Box::new(p)))));
    }
    if saved.has("manifest.json") {
        let text = saved.document("manifest.json", "archive")?;
        let images: Vec<Saved> =
            serde_json::from_slice(&text).map_err(|source| ImportError::Json { entry: "manifest.json".to_owned(), source })?;
        if images.len() > MAX_MANIFESTS {
            return Err(ImportError::TooLarge);
        }
        for (place, image) in images.iter().enumerate() {
            let tags = image.repo_tags.as_deref().unwrap_or_default();
            let named = tags.iter().filter_map(|t| t.parse().ok()).map(|n| (Some(n), Source::Saved(place)));
            let before = found.len();
            found.extend(named);
            if found.len() == before && !found.iter().any(|(_, s)| matches!(s, Source::Layout(_))) {
                found.push((None, Source::Saved(place)));
            }
        }
        return saved.take(names, &found, &images);
    }
    if found.is_empty() { Err(ImportError::NoManifest) } else { saved.take(names, &found, &[]) }
}

#[derive(Debug, Clone)]
enum Source {
    Layout(Box<Descriptor>),
    Saved(usize),
}

impl Saving<'_> {
    fn take(
        &mut self,
        names: &[ImageName],
        found: &[(Option<ImageName>, Source)],
        images: &[Saved],
    ) -> Result<Vec<(ImageName, Descriptor)>, ImportError> {
        let all: Vec<ImageName>;
        let names = if names.is_empty() {
            let mut distinct: Vec<ImageName> = found.iter().filter_map(|(name, _)| name.clone()).collect();
            distinct.sort();
            distinct.dedup();
            all = distinct;
            &all
        } else {
            names
        };
        let mut taken = Vec::new();
        for name in names {
            let fits = |other: &ImageName| {
                other.repository == name.repository
                    && (name.tag.is_none() || other.tag == name.tag)
                    && (name.tag.is_some() || name.digest.is_some())
            };
            let digest = |s: &Source| matches!((s, &name.digest), (Source::Layout(p), Some(d)) if p.digest == *d);
            let named = || found.iter().find(|(other, _)| other.as_ref().is_some_and(fits));
            // An engine that was asked for a digest names nothing.
            let only = || if let ([only @ (None, _)], [_]) = (found, names) { Some(only) } else { None };
            let Some((_, source)) = found.iter().find(|(_, s)| digest(s)).or_else(named).or_else(only) else {
                let has = found.iter().filter_map(|(name, _)| name.as_ref().map(ToString::to_string)).collect();
                return Err(ImportError::NoImage { name: name.clone(), has });
            };
            let part = match source {
                Source::Layout(part) => {
                    self.keep_part(part, 0)?;
                    descriptor(&part.media_type, part.digest.clone(), part.size)
                }
                Source::Saved(place) => self.convert(&images[*place])?,
            };
            taken.push((name.clone(), part));
        }
        Ok(taken)
    }

    /// Keeps what a manifest of an image layout leads to, as far as it is here: the engine leaves out what it has not.
    fn keep_part(&mut self, part: &Descriptor, depth: usize) -> Result<(), ImportError> {
        if depth > 3 {
            return Err(ManifestError::Depth { digest: part.digest.clone() }.into());
        }
        let path = blob_path(&part.digest);
        let document = self.document(&path, "index.json")?;
        self.keep_as(part)?;
        match parse(&document, Some(&part.media_type))?.1 {
            Document::Index(parts) => {
                for next in &parts {
                    if self.has(&blob_path(&next.digest)) {
                        self.keep_part(next, depth + 1)?;
                    }
                }
            }
            Document::Image(image) => {
                for blob in image.layers.iter().chain([&image.config]) {
                    if !is_foreign(blob) || self.has(&blob_path(&blob.digest)) {
                        self.keep_as(blob)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn keep_as(&mut self, part: &Descriptor) -> Result<(), ImportError> {
        let path = blob_path(&part.digest);
        let found = self.digest(&path, "manifest")?;
        if *found != part.digest {
            return Err(BlobError::Digest { expected: part.digest.clone(), found: found.clone() }.into());
        }
        let (digest, found) = self.keep(&path, "manifest")?;
        if found == part.size { Ok(()) } else { Err(BlobError::Size { digest, expected: part.size, found }.into()) }
    }

    /// Makes a manifest for an image of `manifest.json`.
    fn convert(&mut self, image: &Saved) -> Result<Descriptor, ImportError> {
        let text = self.document(&image.config, "manifest.json")?;
        let config: Configuration =
            serde_json::from_slice(&text).map_err(|source| ImportError::Json { entry: image.config.clone(), source })?;
        let (found, said) = (image.layers.len(), config.rootfs.diff_ids.len());
        if found != said || found > MAX_LAYERS {
            return Err(ImportError::Layers { config: image.config.clone(), found, said });
        }
        let mut layers = Vec::new();
        for (path, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            let (digest, size) = self.keep(path, "manifest.json")?;
            let (suffix, content) = unpacked(&self.blobs.path(&digest), &digest)?;
            if content != *diff_id {
                return Err(ImportError::Layer { entry: path.clone(), config: image.config.clone() });
            }
            layers.push(descriptor(&format!("{OCI_LAYER}{suffix}"), digest, size));
        }
        let (digest, size) = self.keep(&image.config, "manifest.json")?;
        let manifest = Manifest { schema_version: 2, media_type: OCI_MANIFEST, config: descriptor(OCI_CONFIG, digest, size), layers };
        let bytes = serde_json::to_vec(&manifest).expect("it has string keys only");
        let digest = self.blobs.put(&bytes)?;
        Ok(descriptor(OCI_MANIFEST, digest, bytes.len() as u64))
    }
}

/// How a layer is packed, by its first bytes, and the digest of what it unpacks to.
fn unpacked(path: &std::path::Path, digest: &Digest) -> Result<(&'static str, Digest), ImportError> {
    let read = |source| BlobError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let mut start = Vec::new();
    (&file).take(4).read_to_end(&mut start).map_err(read)?;
    let whole = || File::open(path).map(io::BufReader::new);
    let (suffix, content): (_, Box<dyn Read>) = match start[..] {
        [0x1f, 0x8b, ..] => ("+gzip", Box::new(flate2::bufread::MultiGzDecoder::new(whole().map_err(read)?))),
        [0x28, 0xb5, 0x2f, 0xfd] => ("+zstd", Box::new(zstd::Decoder::with_buffer(whole().map_err(read)?).map_err(read)?)),
        // Its digest is known already.
        _ => return Ok(("", digest.clone())),
    };
    let (content, size) = drain(content.take(MAX_BLOB), |_| Ok(())).map_err(read)?;
    if size == MAX_BLOB { Err(ImportError::TooLarge) } else { Ok((suffix, content)) }
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
