//! Reading an OCI image layout: a directory with `oci-layout`, `index.json` and `blobs/sha256/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::hashing::Trusted;
use super::name::{Digest, ImageName, Reference, Repository};

/// The annotation with an image's full name.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation with an image's name or only its tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The only version of the layout that there is.
pub const VERSION: &str = "1.0.0";
/// The largest manifest or index.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;
const MAX_MARKER: u64 = 4096;
/// An index that holds an index that holds an index is as deep as anybody goes.
const MAX_DEPTH: usize = 3;

/// Why a layout cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else has the name of a file or directory of the layout.
    #[error("{path} is no {wanted}; a layout holds no links or special files")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A file is larger than any that belongs there.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A file does not hold what it should.
    #[error("cannot understand {path}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The layout is of a version that is not known.
    #[error("{path} says version {found}; only {VERSION} is known")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Two images have the same name and are not the same.
    #[error("{path} holds two images called {name}")]
    Twice {
        /// The file.
        path: PathBuf,
        /// The name.
        name: ImageName,
    },
}

/// What a manifest or index says of something that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// What its author adds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What it is when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// As Go calls it: `amd64`.
    pub architecture: String,
    /// As Go calls it: `linux`.
    pub os: String,
    /// The version of the operating system, which only Windows has.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must have.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Which kind of the architecture: `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// An index: an image for several platforms, and the table of contents of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u8,
    /// What it is itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it lists.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// What its author adds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// Go writes an empty list or map as null where it feels like it.
fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// A layout that was opened. Clones are the same.
#[derive(Debug, Clone)]
pub struct Layout(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    images: BTreeMap<ImageName, Descriptor>,
    /// Everything that `index.json` leads to through indexes.
    manifests: BTreeMap<Digest, Descriptor>,
    trusted: Trusted,
}

impl Layout {
    /// Reads the table of contents.
    ///
    /// # Errors
    /// When it is no layout, or one with something in it that does not belong there.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LayoutError> {
        let dir = dir.as_ref();
        let marker = dir.join("oci-layout");
        let found = parse::<Marker>(&marker, MAX_MARKER)?.image_layout_version;
        if found != VERSION {
            return Err(LayoutError::Version { path: marker, found });
        }
        for sub in ["blobs", "blobs/sha256"] {
            let path = dir.join(sub);
            match std::fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Err(LayoutError::Kind { path, wanted: "directory" }),
                Err(source) => return Err(LayoutError::Read { path, source }),
            }
        }
        let path = dir.join("index.json");
        let index: Index = parse(&path, MAX_MANIFEST)?;
        let mut inner = Inner { dir: dir.to_owned(), images: BTreeMap::new(), manifests: BTreeMap::new(), trusted: Trusted::default() };
        for descriptor in index.manifests {
            if let Some(name) = full_name(&descriptor.annotations)
                && let Some(other) = inner.images.insert(name.clone(), descriptor.clone())
                && other.digest != descriptor.digest
            {
                return Err(LayoutError::Twice { path, name });
            }
            inner.reach(descriptor, 0)?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The images that have a name.
    #[must_use]
    pub fn images(&self) -> &BTreeMap<ImageName, Descriptor> {
        &self.0.images
    }

    /// The manifest or index that this is. One by digest is found in every repository, and inside of indexes too.
    #[must_use]
    pub fn resolve(&self, repository: &Repository, reference: &Reference) -> Option<Descriptor> {
        match reference {
            Reference::Digest(digest) => self.0.manifests.get(digest).cloned(),
            Reference::Tag(tag) => {
                let named = |n: &ImageName| n.repository == *repository && n.tag.as_ref() == Some(tag);
                self.0.images.iter().find_map(|(name, descriptor)| named(name).then(|| descriptor.clone()))
            }
        }
    }

    /// Where a blob is, if it is there.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.0.blob(digest)
    }

    /// Opens a blob whose content is true to its digest, and tells its size. It is read through the first time.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn open_blob(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let file = match open(&self.blob(digest)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match self.0.trusted.size(digest, &file)? {
            Some(size) => Ok(Some((file, size))),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} holds something else", self.blob(digest).display()))),
        }
    }
}

impl Inner {
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Notes a manifest that is there, and what it lists when it is an index.
    fn reach(&mut self, descriptor: Descriptor, depth: usize) -> Result<(), LayoutError> {
        let path = self.blob(&descriptor.digest);
        // A bundle for one platform keeps the whole index and leaves the other platforms out.
        if depth > MAX_DEPTH || self.manifests.contains_key(&descriptor.digest) || std::fs::symlink_metadata(&path).is_err() {
            return Ok(());
        }
        let nested = is_index(&descriptor.media_type).then(|| parse::<Index>(&path, MAX_MANIFEST)).transpose()?;
        self.manifests.insert(descriptor.digest.clone(), descriptor);
        nested.into_iter().flat_map(|i| i.manifests).try_for_each(|d| self.reach(d, depth + 1))
    }
}

/// Whether a media type is that of a list of manifests.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, "application/vnd.oci.image.index.v1+json" | "application/vnd.docker.distribution.manifest.list.v2+json")
}

/// A bare tag is no full name: it would become a name at docker.io that nobody gave it.
fn full_name(annotations: &BTreeMap<String, String>) -> Option<ImageName> {
    let containerd = annotations.get(IMAGE_NAME).and_then(|n| n.parse().ok());
    containerd.or_else(|| annotations.get(REF_NAME).filter(|n| n.contains('/')).and_then(|n| n.parse().ok()))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file")) }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, limit: u64) -> Result<T, LayoutError> {
    let read = |source| LayoutError::Read { path: path.to_owned(), source };
    if !std::fs::symlink_metadata(path).map_err(read)?.is_file() {
        return Err(LayoutError::Kind { path: path.to_owned(), wanted: "file" });
    }
    let mut bytes = Vec::new();
    open(path).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes)).map_err(read)?;
    if bytes.len() as u64 > limit {
        return Err(LayoutError::TooLarge { path: path.to_owned(), limit });
    }
    serde_json::from_slice(&bytes).map_err(|source| LayoutError::Json { path: path.to_owned(), source })
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
