//! Where the images of a bundle come from.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::blobs::{BlobError, Blobs};
use super::contents::Target;
use super::create::{Event, Progress};
use super::docker_import::{ImportError, import_docker_archive};
use super::manifest::{Document, MAX_BYTES, ManifestError, candidates, descriptor, is_foreign, parse, platform, walk};
use crate::mirror::layout::{Descriptor, Layout};
use crate::mirror::name::{Digest, ImageName, Reference};
use crate::mirror::upstream::{Client, UpstreamError};

/// How many layers are fetched at once.
const AT_ONCE: usize = 3;
/// The most indexes, manifests and configurations that are fetched for one image.
const MAX_DOCUMENTS: usize = 64;

/// What `docker save` would write of an image, or nothing where the engine has no such image. It is read on a thread of its own; see
/// [`super::pipe::reader`].
pub type Export = Arc<dyn Fn(&ImageName) -> BoxFuture<'static, io::Result<Option<Box<dyn Read + Send>>>> + Send + Sync>;

/// Where an image may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was there from an earlier time.
    Here,
    /// An image layout.
    Layout(PathBuf),
    /// The container engine.
    Engine,
    /// Its registry.
    Registry,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("the bundle"),
            Self::Layout(path) => write!(f, "the image layout {}", path.display()),
            Self::Engine => f.write_str("the container engine"),
            Self::Registry => f.write_str("the registry"),
        }
    }
}

/// Why an image cannot be had from one place.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not there.
    #[error("it is not there")]
    Absent,
    /// A file of an image layout cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine does not give it.
    #[error("the engine does not give it")]
    Engine(#[source] io::Error),
    /// What the engine gives is refused.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The registry does not give it.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A blob is not what it should be, or cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The name has a digest, and it is another image here.
    #[error("it has the digest {found} there")]
    OtherDigest {
        /// What is there.
        found: Digest,
    },
    /// There is more of it than of any image.
    #[error("it has more than {MAX_DOCUMENTS} manifests")]
    TooMany,
    /// A thread ended early.
    #[error("the thread that read it ended early")]
    Thread(#[source] tokio::task::JoinError),
}

impl FetchError {
    /// Whether no other place can help.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Blob(BlobError::Write { .. }) | Self::Import(ImportError::Blob(BlobError::Write { .. })))
    }
}

/// Where images are taken from, in this order.
#[derive(Clone, Default)]
pub struct Images {
    /// Image layouts, such as other bundles.
    pub layouts: Vec<Layout>,
    /// The container engine.
    pub engine: Option<Export>,
    /// The registries.
    pub registry: Option<Client>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layouts, engine, registry } = self;
        f.debug_struct("Images")
            .field("layouts", layouts)
            .field("engine", &engine.is_some())
            .field("registry", &registry.is_some())
            .finish()
    }
}

/// Fetches images into a bundle.
pub(super) struct Fetching<'a> {
    pub(super) images: &'a Images,
    pub(super) blobs: &'a Arc<Blobs>,
    pub(super) targets: &'a [Target],
    pub(super) progress: &'a dyn Progress,
}

enum Place<'a> {
    Layout(&'a Layout),
    Registry(&'a Client),
}

impl Fetching<'_> {
    /// Gets an image from the first place that has all of it, and tells what its name stands for; or else what went wrong at each place.
    pub(super) async fn image(&self, name: &ImageName) -> Result<Descriptor, Vec<(Origin, FetchError)>> {
        let mut failures = Vec::new();
        if let Some(digest) = &name.digest
            && let Ok(Some(top)) = self.here(digest)
        {
            self.progress.event(Event::Image { name, origin: &Origin::Here });
            return Ok(top);
        }
        let Images { layouts, engine, registry } = self.images;
        let layouts = layouts.iter().map(|l| Origin::Layout(l.dir().to_owned())).zip(layouts.iter().map(Some));
        let others = [engine.as_ref().map(|_| Origin::Engine), registry.as_ref().map(|_| Origin::Registry)];
        for (origin, layout) in layouts.chain(others.into_iter().flatten().map(|o| (o, None))) {
            self.progress.event(Event::Image { name, origin: &origin });
            let fetched = match (&origin, layout, engine, registry) {
                (Origin::Layout(_), Some(layout), ..) => self.by_layout(name, layout).await,
                (Origin::Engine, _, Some(engine), _) => self.by_engine(name, engine).await,
                (Origin::Registry, _, _, Some(client)) => self.by_registry(name, client).await,
                _ => continue,
            };
            let fetched = fetched.and_then(|top| match &name.digest {
                Some(wanted) if *wanted != top.digest => Err(FetchError::OtherDigest { found: top.digest }),
                _ => walk(&**self.blobs, &top.digest, &top.media_type, self.targets).map(|_| top).map_err(Into::into),
            });
            match fetched {
                Ok(top) => return Ok(top),
                Err(e) => {
                    self.progress.event(Event::Failed { name, origin: &origin, why: &e });
                    let fatal = e.is_fatal();
                    failures.push((origin, e));
                    if fatal {
                        break;
                    }
                }
            }
        }
        Err(failures)
    }

    /// An image of which all is there already.
    fn here(&self, digest: &Digest) -> Result<Option<Descriptor>, FetchError> {
        let Some(bytes) = self.blobs.read(digest, MAX_BYTES)? else { return Ok(None) };
        let (media_type, _) = parse(&bytes, None)?;
        walk(&**self.blobs, digest, &media_type, self.targets)?;
        Ok(Some(descriptor(&media_type, digest.clone(), bytes.len() as u64)))
    }

    async fn by_layout(&self, name: &ImageName, layout: &Layout) -> Result<Descriptor, FetchError> {
        let top = layout.images().get(name).cloned().or_else(|| layout.resolve(&name.repository, &name.reference()));
        let top = top.ok_or(FetchError::Absent)?;
        self.tree(name, &Place::Layout(layout), &top).await?;
        Ok(descriptor(&top.media_type, top.digest, top.size))
    }

    async fn by_registry(&self, name: &ImageName, client: &Client) -> Result<Descriptor, FetchError> {
        let manifest = client.manifest(&name.repository, &name.reference()).await?;
        let media_type = manifest.media_type;
        let digest = self.blobs.put(&manifest.bytes)?;
        let top = descriptor(&media_type, digest, manifest.bytes.len() as u64);
        self.tree(name, &Place::Registry(client), &top).await?;
        Ok(top)
    }

    async fn by_engine(&self, name: &ImageName, engine: &Export) -> Result<Descriptor, FetchError> {
        let archive = engine(name).await.map_err(FetchError::Engine)?.ok_or(FetchError::Absent)?;
        let (blobs, wanted) = (Arc::clone(self.blobs), [name.clone()]);
        let imported = blocking(move || Ok(import_docker_archive(archive, &wanted, &blobs)?)).await?;
        imported.into_iter().next().map(|(_, top)| top).ok_or(FetchError::Absent)
    }

    /// Fetches what leads to the platforms' images, and these.
    async fn tree(&self, name: &ImageName, place: &Place<'_>, top: &Descriptor) -> Result<(), FetchError> {
        let (mut queue, mut seen, mut layers) = (vec![top.clone()], BTreeSet::new(), Vec::new());
        while let Some(part) = queue.pop() {
            if !seen.insert(part.digest.clone()) {
                continue;
            }
            if seen.len() > MAX_DOCUMENTS {
                return Err(FetchError::TooMany);
            }
            let bytes = self.document(name, place, &part, true).await?;
            match parse(&bytes, Some(&part.media_type))?.1 {
                Document::Index(parts) => {
                    for target in self.targets {
                        let candidates = candidates(&parts, target);
                        if candidates.is_empty() {
                            return Err(ManifestError::NoPlatform { digest: part.digest, target: target.clone() }.into());
                        }
                        queue.extend(candidates.into_iter().cloned());
                    }
                }
                Document::Image(image) => {
                    let found = platform(&self.document(name, place, &image.config, false).await?)?;
                    if self.targets.iter().any(|t| t.matches(&found)) {
                        layers.extend(image.layers);
                    }
                }
            }
        }
        layers.retain(|l| seen.insert(l.digest.clone()));
        let fetches = layers.into_iter().map(|layer| async move { self.layer(name, place, layer).await });
        stream::iter(fetches).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    async fn document(&self, name: &ImageName, place: &Place<'_>, part: &Descriptor, manifest: bool) -> Result<Vec<u8>, FetchError> {
        if part.size > MAX_BYTES {
            return Err(ManifestError::TooLarge { digest: part.digest.clone(), size: part.size }.into());
        }
        if self.blobs.size(&part.digest)?.is_none() {
            match place {
                Place::Registry(client) if manifest => {
                    let manifest = client.manifest(&name.repository, &Reference::Digest(part.digest.clone())).await?;
                    self.blobs.copy(&manifest.bytes[..], &part.digest, part.size)?;
                }
                Place::Registry(client) => self.download(name, client, part).await?,
                Place::Layout(layout) => {
                    copy(self.blobs, layout, part)?;
                }
            }
        }
        self.blobs.read(&part.digest, MAX_BYTES)?.ok_or(FetchError::Absent)
    }

    async fn layer(&self, name: &ImageName, place: &Place<'_>, layer: Descriptor) -> Result<(), FetchError> {
        let (blobs, digest) = (Arc::clone(self.blobs), layer.digest.clone());
        let kept = blocking(move || Ok(blobs.size(&digest)?)).await?.is_some();
        self.progress.event(Event::Blob { digest: &layer.digest, size: layer.size, kept });
        if kept {
            return Ok(());
        }
        match place {
            Place::Layout(layout) => {
                let (blobs, layout) = (Arc::clone(self.blobs), (*layout).clone());
                blocking(move || copy(&blobs, &layout, &layer)).await
            }
            // A mirror of one's own may have it in spite of its vendor.
            Place::Registry(client) => match self.download(name, client, &layer).await {
                Err(FetchError::Upstream(_)) if is_foreign(&layer) => {
                    Err(ManifestError::Foreign { digest: layer.digest, urls: layer.urls }.into())
                }
                done => done,
            },
        }
    }

    /// Downloads a blob, and goes on where a connection broke as long as something comes.
    async fn download(&self, name: &ImageName, client: &Client, part: &Descriptor) -> Result<(), FetchError> {
        let mut incoming = self.blobs.begin()?;
        loop {
            let before = incoming.size();
            match self.piece(name, client, part, &mut incoming).await {
                Ok(()) => break,
                // The client has tried all endpoints again; that something came is a reason to go on all the same.
                Err(FetchError::Upstream(e)) if incoming.size() > before && incoming.size() < part.size => {
                    self.progress.event(Event::Broken { digest: &part.digest, at: incoming.size(), why: &e });
                }
                Err(e) => return Err(e),
            }
        }
        self.blobs.keep(incoming.finish_as(&part.digest, part.size)?)?;
        Ok(())
    }

    async fn piece(
        &self,
        name: &ImageName,
        client: &Client,
        part: &Descriptor,
        incoming: &mut super::blobs::Incoming,
    ) -> Result<(), FetchError> {
        let mut stream = client.blob(&name.repository, &part.digest, incoming.size()).await?;
        while let Some(chunk) = stream.chunk().await? {
            incoming.write(&chunk)?;
            if incoming.size() > part.size {
                let (digest, expected) = (part.digest.clone(), part.size);
                return Err(BlobError::Size { digest, expected, found: incoming.size() }.into());
            }
        }
        Ok(())
    }
}

fn copy(blobs: &Blobs, layout: &Layout, part: &Descriptor) -> Result<(), FetchError> {
    let path = layout.blob(&part.digest);
    let meta = match std::fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound && is_foreign(part) => {
            return Err(ManifestError::Foreign { digest: part.digest.clone(), urls: part.urls.clone() }.into());
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ManifestError::Missing { digest: part.digest.clone() }.into()),
        Err(source) => return Err(FetchError::Read { path, source }),
    };
    if !meta.is_file() {
        return Err(FetchError::Read { path, source: io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file") });
    }
    let file = File::open(&path).map_err(|source| FetchError::Read { path, source })?;
    Ok(blobs.copy(file, &part.digest, part.size)?)
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, FetchError> + Send + 'static) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(FetchError::Thread)?
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
