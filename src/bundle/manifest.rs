//! Image manifests and indexes, which come from anywhere: read within bounds, and refused where they are doubtful.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::contents::Target;
use crate::mirror::layout::{Descriptor, Platform};
use crate::mirror::name::Digest;

/// The largest manifest, index or configuration.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The most layers that an overlay filesystem can have.
pub const MAX_LAYERS: usize = 127;
/// The most manifests in an index.
pub const MAX_MANIFESTS: usize = 1000;
/// The largest blob: far beyond every image, and far from an overflow of sums.
pub const MAX_BLOB: u64 = 64 * 1024 * 1024 * 1024;
/// How many indexes may lie within each other.
const MAX_DEPTH: usize = 3;

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Layers that their vendors do not let registries keep.
const FOREIGN: [&str; 2] =
    ["application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar"];

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is too much of it.
    #[error("{digest} has {size} bytes; a manifest may have {MAX_BYTES}")]
    TooLarge {
        /// The manifest.
        digest: Digest,
        /// Its size.
        size: u64,
    },
    /// It is not the JSON of a manifest.
    #[error("{digest} is not a manifest")]
    Json {
        /// The manifest.
        digest: Digest,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It is of another kind than those that images have.
    #[error("{digest} has the media type {media_type:?}, which is no image's")]
    MediaType {
        /// The manifest, configuration or layer.
        digest: Digest,
        /// What it says that it is.
        media_type: String,
    },
    /// It says of itself something else than what leads to it.
    #[error("{digest} says that it is {inner:?}; what leads to it says {outer:?}")]
    Contradiction {
        /// The manifest.
        digest: Digest,
        /// Its own word.
        inner: String,
        /// The word of the descriptor or the registry.
        outer: String,
    },
    /// It could be read as an index and as an image.
    #[error("{digest} has the fields of an index and of an image")]
    Ambiguous {
        /// The manifest.
        digest: Digest,
    },
    /// It lacks what it must have.
    #[error("{digest} has no {field}")]
    Lacks {
        /// The manifest.
        digest: Digest,
        /// The field.
        field: &'static str,
    },
    /// There are too many layers or manifests in it.
    #[error("{digest} names {found} {what}; at most {limit} are allowed")]
    TooMany {
        /// The manifest.
        digest: Digest,
        /// Layers or manifests.
        what: &'static str,
        /// How many it names.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A size that nothing has.
    #[error("{digest} is said to have {size} bytes; a blob may have {MAX_BLOB}")]
    Size {
        /// The blob.
        digest: Digest,
        /// The size.
        size: u64,
    },
    /// Indexes lie within indexes.
    #[error("{digest} lies within more than {MAX_DEPTH} indexes")]
    Depth {
        /// The index that is one too many.
        digest: Digest,
    },
    /// There is nothing for the platform.
    #[error("{digest} has no image for {target}")]
    NoPlatform {
        /// The index or configuration.
        digest: Digest,
        /// The platform.
        target: Target,
    },
    /// A layer that is to be fetched from elsewhere, and is not here.
    #[error("the layer {digest} is kept elsewhere only: {urls:?}")]
    Foreign {
        /// The layer.
        digest: Digest,
        /// Where its vendor keeps it.
        urls: Vec<String>,
    },
    /// What a manifest names is not there.
    #[error("{digest} is missing")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// A document is not what its name says.
    #[error("{digest} was changed: its content has the digest {found}")]
    Changed {
        /// The document.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
    /// What is there has another size than what leads to it says.
    #[error("{digest} has {found} bytes, and what leads to it says {said}")]
    Lie {
        /// The blob.
        digest: Digest,
        /// Its size.
        found: u64,
        /// The size in the descriptor.
        said: u64,
    },
}

/// A descriptor that says no more than it must.
pub(super) fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        urls: Vec::new(),
        annotations: BTreeMap::new(),
        platform: None,
        artifact_type: None,
    }
}

/// Whether a layer is fetched from a place of its vendor's.
#[must_use]
pub fn is_foreign(layer: &Descriptor) -> bool {
    !layer.urls.is_empty() || FOREIGN.iter().any(|f| layer.media_type.starts_with(f))
}

fn is_layer(media_type: &str) -> bool {
    let tar = [OCI_LAYER, DOCKER_LAYER, FOREIGN[0], FOREIGN[1]].iter().find_map(|t| media_type.strip_prefix(t));
    matches!(tar, Some("" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a manifest turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Images for several platforms.
    Index(Vec<Descriptor>),
    /// One image.
    Image(Box<Image>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// Reads a manifest or index. `media_type` is what leads to it says of it, where it says anything; returned is what it is.
///
/// # Errors
/// When it is neither, or doubtful.
pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<(String, Document), ManifestError> {
    let digest = Digest::of(bytes);
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ManifestError::TooLarge { digest, size: bytes.len() as u64 });
    }
    // Depth is no danger: serde_json steps over what is not asked for without recursion.
    let raw: Raw = match serde_json::from_slice(bytes) {
        Ok(raw) => raw,
        Err(source) => return Err(ManifestError::Json { digest, source }),
    };
    let media_type = match (raw.media_type, media_type) {
        (Some(inner), Some(outer)) if inner != outer => {
            return Err(ManifestError::Contradiction { digest, inner, outer: outer.to_owned() });
        }
        (Some(said), _) => said,
        (None, Some(said)) => said.to_owned(),
        // OCI manifests need not say it.
        (None, None) => if raw.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST }.to_owned(),
    };
    if raw.schema_version != 2 {
        return Err(ManifestError::MediaType { digest, media_type: format!("{media_type}, schema {}", raw.schema_version) });
    }
    if raw.manifests.is_some() && (raw.config.is_some() || raw.layers.is_some()) {
        return Err(ManifestError::Ambiguous { digest });
    }
    let document = match media_type.as_str() {
        OCI_INDEX | DOCKER_LIST => {
            let Some(parts) = raw.manifests else { return Err(ManifestError::Lacks { digest, field: "manifests" }) };
            bounded(&digest, "manifests", &parts, MAX_MANIFESTS)?;
            Document::Index(parts)
        }
        OCI_MANIFEST | DOCKER_MANIFEST => {
            let Some(config) = raw.config else { return Err(ManifestError::Lacks { digest, field: "config" }) };
            let Some(layers) = raw.layers else { return Err(ManifestError::Lacks { digest, field: "layers" }) };
            bounded(&digest, "layers", &layers, MAX_LAYERS)?;
            if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
                return Err(ManifestError::MediaType { digest: config.digest, media_type: config.media_type });
            }
            if config.size > MAX_BYTES {
                return Err(ManifestError::TooLarge { digest: config.digest, size: config.size });
            }
            if let Some(odd) = layers.iter().find(|l| !is_layer(&l.media_type)) {
                return Err(ManifestError::MediaType { digest: odd.digest.clone(), media_type: odd.media_type.clone() });
            }
            Document::Image(Box::new(Image { config, layers }))
        }
        _ => return Err(ManifestError::MediaType { digest, media_type }),
    };
    Ok((media_type, document))
}

fn bounded(digest: &Digest, what: &'static str, parts: &[Descriptor], limit: usize) -> Result<(), ManifestError> {
    if parts.len() > limit {
        return Err(ManifestError::TooMany { digest: digest.clone(), what, found: parts.len(), limit });
    }
    match parts.iter().find(|p| p.size > MAX_BLOB) {
        Some(p) => Err(ManifestError::Size { digest: p.digest.clone(), size: p.size }),
        None => Ok(()),
    }
}

/// The entries of an index that may lead to an image for the platform: the first that says so, or else the indexes that say nothing.
#[must_use]
pub fn candidates<'a>(parts: &'a [Descriptor], target: &Target) -> Vec<&'a Descriptor> {
    let fits = |p: &&Descriptor| p.platform.as_ref().is_some_and(|p| target.matches(p));
    match parts.iter().find(fits) {
        Some(part) => vec![part],
        None => parts.iter().filter(|p| p.platform.is_none()).collect(),
    }
}

/// The platform of an image, by its configuration.
///
/// # Errors
/// When it is no configuration.
pub fn platform(config: &[u8]) -> Result<Platform, ManifestError> {
    serde_json::from_slice(config).map_err(|source| ManifestError::Json { digest: Digest::of(config), source })
}

/// What a blob is to those who read a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlobKind {
    /// An index, manifest or configuration: small, and read to find the others.
    Document,
    /// A layer.
    Layer,
}

/// What an image consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// All its blobs with their sizes.
    pub blobs: BTreeMap<Digest, (u64, BlobKind)>,
    /// Its images for the platforms, with what each consists of.
    pub images: BTreeMap<Target, (Digest, Image)>,
}

/// Where the walk reads from.
pub trait Shelf {
    /// The size of a blob, if it is there.
    fn size(&self, digest: &Digest) -> Option<u64>;
    /// The content of a small blob, if it is there.
    fn read(&self, digest: &Digest) -> Option<Vec<u8>>;
}

/// Follows an image from its top down, for these platforms; everything on the way must be there in the size that is said.
///
/// # Errors
/// When something is missing, doubtful, or not for a platform.
pub fn walk(shelf: &dyn Shelf, top: &Digest, media_type: &str, targets: &[Target]) -> Result<Tree, ManifestError> {
    let Some(size) = shelf.size(top) else { return Err(ManifestError::Missing { digest: top.clone() }) };
    let mut tree = Tree::default();
    for target in targets {
        let part = descriptor(media_type, top.clone(), size);
        let mut way = Way { shelf, target, within: Vec::new(), seen: BTreeSet::new() };
        if !way.descend(&part, &mut tree)? {
            return Err(ManifestError::NoPlatform { digest: top.clone(), target: target.clone() });
        }
    }
    Ok(tree)
}

struct Way<'a> {
    shelf: &'a dyn Shelf,
    target: &'a Target,
    within: Vec<Descriptor>,
    /// No digest is followed twice, or a few small indexes could keep the walk busy for years.
    seen: BTreeSet<Digest>,
}

impl Way<'_> {
    fn descend(&mut self, part: &Descriptor, tree: &mut Tree) -> Result<bool, ManifestError> {
        // Digests cannot lead in a circle, but a chain can be long.
        if self.within.len() > MAX_DEPTH {
            return Err(ManifestError::Depth { digest: part.digest.clone() });
        }
        if !self.seen.insert(part.digest.clone()) {
            return Ok(false);
        }
        self.there(part)?;
        match parse(&self.read(part)?, Some(&part.media_type))?.1 {
            Document::Index(parts) => {
                self.within.push(part.clone());
                for next in candidates(&parts, self.target) {
                    // Of several that say nothing, those that are not here are for others.
                    if next.platform.is_none() && self.shelf.size(&next.digest).is_none() {
                        continue;
                    }
                    if self.descend(next, tree)? {
                        return Ok(true);
                    }
                }
                self.within.pop();
                Ok(false)
            }
            Document::Image(image) => {
                self.there(&image.config)?;
                if !self.target.matches(&platform(&self.read(&image.config)?)?) {
                    return Ok(false);
                }
                for layer in &image.layers {
                    if is_foreign(layer) && self.shelf.size(&layer.digest).is_none() {
                        return Err(ManifestError::Foreign { digest: layer.digest.clone(), urls: layer.urls.clone() });
                    }
                    self.there(layer)?;
                }
                for layer in &image.layers {
                    tree.blobs.entry(layer.digest.clone()).or_insert((layer.size, BlobKind::Layer));
                }
                let documents = [&image.config, part].into_iter().chain(&self.within);
                tree.blobs.extend(documents.map(|p| (p.digest.clone(), (p.size, BlobKind::Document))));
                tree.images.insert(self.target.clone(), (part.digest.clone(), *image));
                Ok(true)
            }
        }
    }

    fn read(&self, part: &Descriptor) -> Result<Vec<u8>, ManifestError> {
        if part.size > MAX_BYTES {
            return Err(ManifestError::TooLarge { digest: part.digest.clone(), size: part.size });
        }
        let Some(bytes) = self.shelf.read(&part.digest) else { return Err(ManifestError::Missing { digest: part.digest.clone() }) };
        match Digest::of(&bytes) {
            found if found != part.digest => Err(ManifestError::Changed { digest: part.digest.clone(), found }),
            _ => Ok(bytes),
        }
    }

    fn there(&self, part: &Descriptor) -> Result<(), ManifestError> {
        match self.shelf.size(&part.digest) {
            None => Err(ManifestError::Missing { digest: part.digest.clone() }),
            Some(found) if found != part.size => Err(ManifestError::Lie { digest: part.digest.clone(), found, said: part.size }),
            Some(_) => Ok(()),
        }
    }
}

/// The images that the containers of a manifest of Kubernetes name, each once, in order.
///
/// # Errors
/// When it is not YAML.
pub fn images_of_manifest(text: &str) -> Result<Vec<String>, serde_saphyr::Error> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(text)?;
    let mut found = BTreeSet::new();
    for document in &documents {
        containers(document, &mut found);
    }
    Ok(found.into_iter().collect())
}

fn containers(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if let (true, Value::Array(list)) = (matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers"), inner)
                {
                    found.extend(list.iter().filter_map(|c| c["image"].as_str()).filter(|i| !i.is_empty()).map(str::to_owned));
                }
                containers(inner, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|v| containers(v, found)),
        _ => {}
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
