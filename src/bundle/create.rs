//! Making a bundle. What an earlier attempt left in the directory is used, as far as it is whole and true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::blobs::{BlobError, Blobs, drain};
use super::contents::{Contents, Role, ToolSource, WantedTool};
use super::fetch::{FetchError, Fetching, Images, Origin};
use super::manifest::{BlobKind, ManifestError, walk};
use super::record::{
    BUNDLE_JSON, BUNDLE_SIG, BlobRecord, FORMAT, INDEX_JSON, ImageRecord, ManifestRecord, OCI_LAYOUT, OCI_LAYOUT_TEXT, Record, RecordError,
    ToolRecord,
};
use super::verify::is_ours;
use crate::mirror::name::{Digest, ImageName};
use crate::mirror::upstream::UpstreamError;

/// An error of the caller's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Fetches a tool, and tells where the executable is. It is copied from there.
pub type FetchTool = Arc<dyn Fn(&WantedTool) -> BoxFuture<'static, Result<PathBuf, BoxError>> + Send + Sync>;

/// Errors of making a bundle.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The directory cannot be used.
    #[error("cannot use {path}")]
    Dir {
        /// The directory or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else in the directory.
    #[error("{path} holds something that is no bundle, and nothing of it was touched")]
    NotABundle {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody else makes a bundle there.
    #[error("another process makes a bundle in {path}")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// There are images, and no platform is named.
    #[error("no platform is named, so that it is not known which images are wanted")]
    NoPlatform,
    /// The contents cannot be a bundle's.
    #[error("this cannot be the contents of a bundle")]
    Contents(#[source] RecordError),
    /// A file cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// An image cannot be had.
    #[error("the image {name} cannot be had{}", list(.failures))]
    Image {
        /// Its name.
        name: ImageName,
        /// What went wrong at each place.
        failures: Vec<(Origin, FetchError)>,
    },
    /// An image was whole when it came, and is not any more.
    #[error("the image {name} is not complete")]
    Damaged {
        /// Its name.
        name: ImageName,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A tool cannot be had.
    #[error("{name} {version} cannot be had")]
    Tool {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Why.
        source: BoxError,
    },
    /// A tool is not the one that was wanted.
    #[error("{name} {version} should have the digest {expected} and has {found}")]
    ToolDigest {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The digest that was wanted.
        expected: Digest,
        /// What came.
        found: Digest,
    },
}

fn list(failures: &[(Origin, FetchError)]) -> String {
    if failures.is_empty() {
        return ": there is no place to take it from".to_owned();
    }
    failures.iter().map(|(origin, e)| format!("; {origin}: {}", crate::error::one_line(e))).collect()
}

/// What is being done.
#[derive(Debug)]
pub enum Event<'a> {
    /// An image is looked for.
    Image {
        /// Its name.
        name: &'a ImageName,
        /// Where.
        origin: &'a Origin,
    },
    /// It could not be had there.
    Failed {
        /// Its name.
        name: &'a ImageName,
        /// Where.
        origin: &'a Origin,
        /// Why.
        why: &'a FetchError,
    },
    /// A layer comes.
    Blob {
        /// Its digest.
        digest: &'a Digest,
        /// Its size.
        size: u64,
        /// Whether it was there already.
        kept: bool,
    },
    /// A download broke off, and goes on.
    Broken {
        /// The blob.
        digest: &'a Digest,
        /// How much of it is here.
        at: u64,
        /// Why.
        why: &'a UpstreamError,
    },
    /// A file is written.
    File {
        /// From the bundle's directory.
        path: &'a str,
    },
}

/// Whoever wants to know how far it is.
pub trait Progress: Send + Sync {
    /// Something begins or happened.
    fn event(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Send + Sync> Progress for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

/// Where a bundle's contents come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The images.
    pub images: Images,
    /// The tools that are not here yet.
    pub tools: Option<FetchTool>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("images", &self.images).field("tools", &self.tools.is_some()).finish()
    }
}

/// A bundle that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its directory.
    pub dir: PathBuf,
    /// What it holds.
    pub record: Record,
}

/// Makes the bundle in a directory, which is new, empty, or holds a bundle or the beginning of one. A signature stays where the bundle turns out
/// to be the same.
///
/// # Errors
/// When something cannot be had or kept. What was kept until then helps the next attempt.
pub async fn create(contents: &Contents, sources: &Sources, dir: &Path, progress: &dyn Progress) -> Result<Bundle, CreateError> {
    let unusable = |source| CreateError::Dir { path: dir.to_owned(), source };
    if contents.platforms.is_empty() && !contents.images.is_empty() {
        return Err(CreateError::NoPlatform);
    }
    let mut record = outline(contents);
    record.check().map_err(CreateError::Contents)?;
    std::fs::create_dir_all(dir).map_err(unusable)?;
    if !is_ours(dir).map_err(unusable)? {
        return Err(CreateError::NotABundle { path: dir.to_owned() });
    }
    // Held until the end.
    let lock = File::open(dir).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(CreateError::Busy { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let blobs = Arc::new(Blobs::open(dir)?);
    std::fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(unusable)?;

    let targets = record.platforms.clone();
    let fetching = Fetching { images: &sources.images, blobs: &blobs, targets: &targets, progress };
    let mut all: BTreeMap<Digest, (u64, BlobKind)> = BTreeMap::new();
    let names: BTreeMap<&ImageName, Role> = contents.images.iter().rev().map(|i| (&i.name, i.role)).collect();
    for (name, role) in names {
        let top = fetching.image(name).await.map_err(|mut failures| match failures.pop() {
            Some((_, FetchError::Blob(e) | FetchError::Import(super::docker_import::ImportError::Blob(e)))) if is_write(&e) => {
                CreateError::Blob(e)
            }
            last => {
                failures.extend(last);
                CreateError::Image { name: name.clone(), failures }
            }
        })?;
        let tree =
            walk(&*blobs, &top.digest, &top.media_type, &targets).map_err(|source| CreateError::Damaged { name: name.clone(), source })?;
        record.images.push(ImageRecord {
            name: name.clone(),
            digest: top.digest,
            media_type: top.media_type,
            platforms: targets.clone(),
            bytes: tree.blobs.values().map(|(size, _)| size).sum(),
            role,
        });
        for (digest, (size, kind)) in tree.blobs {
            let known = all.entry(digest).or_insert((size, kind));
            known.1 = known.1.min(kind);
        }
    }
    record.blobs = all.into_iter().map(|(digest, (size, kind))| BlobRecord { digest, size, kind }).collect();

    let tools: BTreeMap<String, &WantedTool> = contents.tools.iter().map(|t| (outline_tool(t).path(), t)).collect();
    for tool in &mut record.tools {
        let path = tool.path();
        progress.event(Event::File { path: &path });
        (tool.sha256, tool.size) = put_tool(&blobs, dir.join(&path), tools[&path], sources.tools.as_ref()).await?;
    }
    let texts: BTreeMap<&str, &str> = contents.manifests.iter().map(|m| (m.name.as_str(), m.text.as_str())).collect();
    for manifest in &mut record.manifests {
        let path = manifest.path();
        progress.event(Event::File { path: &path });
        let text = texts[manifest.name.as_str()].as_bytes();
        (manifest.sha256, manifest.size) = (Digest::of(text), text.len() as u64);
        put(&blobs, dir, &path, text)?;
    }

    record.sort();
    record.check().map_err(CreateError::Contents)?;
    let text = record.render();
    if std::fs::read(dir.join(BUNDLE_JSON)).ok().as_deref() != Some(&text) {
        // It would belong to something else.
        remove(&dir.join(BUNDLE_SIG))?;
    }
    put(&blobs, dir, OCI_LAYOUT, OCI_LAYOUT_TEXT.as_bytes())?;
    put(&blobs, dir, INDEX_JSON, &record.index())?;
    put(&blobs, dir, BUNDLE_JSON, &text)?;
    prune(dir, &record)?;
    blobs.close()?;
    Ok(Bundle { dir: dir.to_owned(), record })
}

fn is_write(e: &BlobError) -> bool {
    matches!(e, BlobError::Write { .. })
}

/// The record without the images, whose names alone are known, and without digests.
fn outline(contents: &Contents) -> Record {
    let manifest = |m: &super::contents::WantedManifest| ManifestRecord {
        name: m.name.clone(),
        source: m.source.clone(),
        sha256: Digest::of(m.text.as_bytes()),
        size: m.text.len() as u64,
    };
    let mut record = Record {
        format: FORMAT,
        meshproof: env!("CARGO_PKG_VERSION").to_owned(),
        profile: contents.profile.clone(),
        platforms: contents.platforms.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        images: Vec::new(),
        tools: contents.tools.iter().map(outline_tool).collect(),
        manifests: contents.manifests.iter().map(manifest).collect(),
        blobs: Vec::new(),
    };
    record.sort();
    record
}

fn outline_tool(tool: &WantedTool) -> ToolRecord {
    let WantedTool { name, version, os, arch, .. } = tool.clone();
    ToolRecord { name, version, os, arch, sha256: Digest::of(b""), size: 0 }
}

async fn put_tool(blobs: &Arc<Blobs>, path: PathBuf, tool: &WantedTool, fetch: Option<&FetchTool>) -> Result<(Digest, u64), CreateError> {
    let failed = |source: BoxError| CreateError::Tool { name: tool.name.clone(), version: tool.version.clone(), source };
    let (source, wanted) = match &tool.source {
        ToolSource::File(path) => (path.clone(), None),
        ToolSource::Fetch { sha256, .. } => {
            if let Some(wanted) = sha256
                && let Ok((found, size)) = File::open(&path).and_then(|f| drain(f, |_| Ok(())))
                && found == *wanted
            {
                return Ok((found, size));
            }
            let fetch = fetch.ok_or_else(|| failed("it is not here, and nothing may be fetched".into()))?;
            (fetch(tool).await.map_err(failed)?, sha256.clone())
        }
    };
    let blobs = Arc::clone(blobs);
    let copied = super::fetch::blocking(move || {
        let regular = |meta: std::fs::Metadata| if meta.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) };
        let file = std::fs::metadata(&source).and_then(regular).and_then(|()| File::open(&source));
        let file = file.map_err(|e| BlobError::Read { path: source, source: e })?;
        let mut incoming = blobs.begin()?;
        incoming.fill(file)?;
        Ok(incoming.finish())
    });
    let copied = copied.await.map_err(|e| failed(Box::new(e)))?;
    let (digest, size) = (copied.digest().clone(), copied.size());
    if let Some(expected) = wanted.filter(|w| *w != digest) {
        return Err(CreateError::ToolDigest { name: tool.name.clone(), version: tool.version.clone(), expected, found: digest });
    }
    make_parent(&path)?;
    copied.place(&path, 0o755)?;
    Ok((digest, size))
}

fn put(blobs: &Blobs, dir: &Path, path: &str, bytes: &[u8]) -> Result<(), CreateError> {
    let path = dir.join(path);
    make_parent(&path)?;
    let mut incoming = blobs.begin()?;
    incoming.write(bytes)?;
    Ok(incoming.finish().place(&path, 0o644)?)
}

fn make_parent(path: &Path) -> Result<(), CreateError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let made = std::fs::create_dir_all(parent).and_then(|()| std::fs::set_permissions(parent, Permissions::from_mode(0o755)));
    made.map_err(|source| CreateError::Dir { path: parent.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), CreateError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(CreateError::Dir { path: path.to_owned(), source: e }),
        _ => Ok(()),
    }
}

/// Removes what an earlier bundle had and this one has not. Only what a bundle names itself is looked at.
fn prune(dir: &Path, record: &Record) -> Result<(), CreateError> {
    let files = record.files();
    for sub in ["blobs/sha256", "tools", "manifests"] {
        let path = dir.join(sub);
        let failed = |source| CreateError::Dir { path: path.clone(), source };
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(e)),
        };
        let mut left = 0;
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            if files.contains_key(&format!("{sub}/{}", name.to_string_lossy())) {
                left += 1;
            } else {
                remove(&path.join(name))?;
            }
        }
        if left == 0 && sub != "blobs/sha256" {
            std::fs::remove_dir(&path).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
