//! Making the bundle of a spec, and opening one for a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{ArchiveError, Limits, unpack};
use super::create::{Bundle, CreateError, Progress, Sources, create};
use super::environment::{EnvironmentError, Manifests, bind, contents, spec_file};
use super::fetch::{Export, Images};
use super::pipe;
use crate::engine::Engine;
use crate::mirror::layout::{Layout, LayoutError};
use crate::mirror::name::ImageName;
use crate::recording::{self, RecordingError};
use crate::spec::{Request, Spec, SpecError, load};
use crate::tools::{DownloadError, MAX_TEXT_BYTES, ToolError, Tools, fetch_text};

/// Errors of making the bundle of a spec.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A manifest is not to be had.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A tool is not to be had.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The client for the registries.
    #[error(transparent)]
    Registry(#[from] RecordingError),
    /// An image layout cannot be read.
    #[error("cannot use the image layout {dir}")]
    Layout {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        source: LayoutError,
    },
    /// What the spec asks for cannot be told.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The bundle itself.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// Where the parts of a spec's bundle are taken from, beside the registries.
#[derive(Debug, Default)]
pub struct Supply {
    /// Image layouts, such as other bundles.
    pub layouts: Vec<PathBuf>,
    /// The container engine, for the node image.
    pub engine: Option<Engine>,
    /// Whether the engine is asked for every other image as well.
    pub engine_for_all: bool,
    /// Images besides those that the spec needs.
    pub more: Vec<String>,
}

/// Makes the bundle of a spec in a directory, or goes on making it.
///
/// # Errors
/// When something cannot be had or kept.
pub async fn gather(spec: &Spec, tools: &Tools, from: Supply, dir: &Path, progress: &dyn Progress) -> Result<Bundle, GatherError> {
    let (kind, kubectl, istioctl) = tokio::join!(tools.kind(), tools.kubectl(), tools.istioctl());
    let paths = [kind?.path.clone(), kubectl?.path.clone(), istioctl?.path.clone()];
    let manifests = Manifests {
        dashboard: fetch_text(&spec.dashboard.manifest, &spec.downloads, MAX_TEXT_BYTES).await?,
        gateway_api: fetch_text(&spec.gateway_api.manifest, &spec.downloads, MAX_TEXT_BYTES).await?,
    };
    let contents = contents(spec, &manifests, paths, &from.more)?;
    let open = |dir: PathBuf| Layout::open(&dir).map_err(|source| GatherError::Layout { dir, source });
    let layouts = from.layouts.into_iter().map(open).collect::<Result<_, _>>()?;
    let node: Option<ImageName> = spec.cluster.node_image.parse().ok();
    let engine = from.engine.map(|engine| export(engine, if from.engine_for_all { None } else { node }));
    let images = Images { layouts, engine, registry: Some(recording::client(spec, None)?) };
    Ok(create(&contents, &Sources { images, tools: None }, dir, progress).await?)
}

/// What the engine has of an image, or of this one only.
fn export(engine: Engine, only: Option<ImageName>) -> Export {
    Arc::new(move |name| {
        let (engine, name) = (engine.clone(), name.clone());
        let asked = only.as_ref().is_none_or(|only| *only == name);
        Box::pin(async move {
            let reference = name.to_string();
            if !asked || !engine.has_image(&reference).await.map_err(std::io::Error::other)? {
                return Ok(None);
            }
            Ok(Some(Box::new(pipe::reader(engine.save(&reference))) as Box<dyn std::io::Read + Send>))
        })
    })
}

/// Errors of using a bundle.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The spec that is laid over that of the bundle.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no such bundle.
    #[error("cannot use the bundle {path}")]
    Path {
        /// Its place.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be unpacked.
    #[error("cannot unpack the bundle {path}")]
    Unpack {
        /// Its place.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// It does not fit the spec.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

/// The spec that is asked for, on the ground of a bundle and bound to it, if one is given. A packed one is unpacked beside the other caches,
/// once: its name there is made of its place, size and time.
///
/// # Errors
/// When the spec is wrong, or the bundle cannot be used for it.
pub fn load_bundled(mut request: Request, bundle: Option<&Path>, cache: &Path) -> Result<Spec, OpenError> {
    let Some(bundle) = bundle else { return Ok(load(&request)?) };
    let dir = opened(bundle, cache)?;
    request.files.insert(0, spec_file(&dir));
    let mut spec = load(&request)?;
    bind(&mut spec, &dir, &cache.with_file_name("bundles").join("tools"))?;
    Ok(spec)
}

/// The directory of a bundle; a packed one is unpacked for it, as for [`load_bundled`].
///
/// # Errors
/// When there is no such bundle, or it cannot be unpacked.
pub fn opened(bundle: &Path, cache: &Path) -> Result<PathBuf, OpenError> {
    let unusable = |source| OpenError::Path { path: bundle.to_owned(), source };
    let bundle = std::path::absolute(bundle).map_err(unusable)?;
    if std::fs::metadata(&bundle).map_err(unusable)?.is_dir() { Ok(bundle) } else { unpacked(&bundle, cache) }
}

fn unpacked(archive: &Path, cache: &Path) -> Result<PathBuf, OpenError> {
    use sha2::{Digest, Sha256};
    let unusable = |source| OpenError::Path { path: archive.to_owned(), source };
    let meta = std::fs::metadata(archive).map_err(unusable)?;
    let modified = meta.modified().map_err(unusable)?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let key = Sha256::digest(format!("{}\0{}\0{}", archive.display(), meta.len(), modified.as_nanos()));
    let dir = cache.with_file_name("bundles").join(&hex::encode(key)[..16]);
    // It is there whole or not at all.
    if !dir.exists() {
        unpack(archive, &dir, &Limits::default(), None).map_err(|source| OpenError::Unpack { path: archive.to_owned(), source })?;
    }
    Ok(dir)
}
