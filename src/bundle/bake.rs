//! A node image that has every image of a bundle in it, so that nodes pull nothing.
//!
//! It is made as kind makes its own: containerd runs in a container of the node image, imports the images into the namespace of Kubernetes
//! without unpacking them, and the container becomes an image. Source: kind `pkg/build/nodeimage/imageimporter.go`.

use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jiff::{SignedDuration, Timestamp};

use super::contents::Role;
use super::docker_export::{ExportError, into_engine};
use super::environment::{EnvironmentError, node_platform};
use super::node_image::{NodeImage, NodeImageError, others};
use super::oci_export::export_oci_archive;
use super::pipe::PipeWriter;
use super::record::{BUNDLE_JSON, Record, RecordError};
use super::verify::read_bounded;
use crate::engine::{Engine, EngineError, Workshop};
use crate::mirror::layout::{Layout, LayoutError};
use crate::mirror::name::ImageName;
use crate::session::Owner;
use crate::wait::{Limit, Progress, WaitError, Waiting};

/// Where the images are in the container while they are imported.
const PLACE: &str = "meshproof-images";
/// The program that keeps the images of a node.
const CONTAINERD: &str = "containerd";
/// How often containerd is asked whether it is there.
const ASK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);
/// Lines of its log that may tell why it is not.
const LOG_LINES: usize = 5;

/// Errors of baking.
#[derive(Debug, thiserror::Error)]
pub enum BakeError {
    /// `bundle.json` cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `bundle.json` is refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The images of the bundle cannot be read.
    #[error("the images of the bundle {dir} cannot be read")]
    Layout {
        /// The bundle.
        dir: PathBuf,
        /// Why.
        source: LayoutError,
    },
    /// The bundle has no node image, or several.
    #[error("the bundle has {count} node images, and exactly one can be baked")]
    NodeImages {
        /// How many.
        count: usize,
    },
    /// The node image cannot be found in the bundle.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The node image cannot be put into the engine.
    #[error(transparent)]
    NodeImage(#[from] NodeImageError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The images cannot be taken out of the bundle.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// What containerd writes would not become part of the image.
    #[error("the node image {image} keeps {volume} in a volume, so nothing can be added to it")]
    Volume {
        /// The image.
        image: String,
        /// The volume.
        volume: String,
    },
    /// Something took too long, or containerd did not come up.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// containerd refused the images.
    #[error("containerd of the node image cannot import the images: {said}")]
    Import {
        /// What `ctr` said last.
        said: String,
    },
    /// containerd took the archive and does not have all of it.
    #[error("containerd of the node image lacks {images} after it imported them")]
    Lacks {
        /// Their names.
        images: String,
    },
    /// Somebody does not want it any more.
    #[error("interrupted; no container is left")]
    Interrupted,
}

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The node image goes into the engine.
    NodeImage(String),
    /// So many images go into a container of it.
    Images(usize),
    /// The container becomes an image.
    Commit,
}

/// A baked node image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baked {
    /// Its name in the engine.
    pub image: String,
    /// What it has beside the node image's own.
    pub images: Vec<ImageName>,
    /// Whether it was made now; otherwise it was there.
    pub made: bool,
}

/// Makes the node image of a bundle that has all its other images in it, unless the engine has it. `stop` breaks it off.
///
/// # Errors
/// When the bundle is not whole, the engine or containerd refuses something, or it takes too long. No container is left then; the node image
/// may be in the engine.
pub async fn bake(
    engine: &Engine,
    dir: &Path,
    waiting: &Waiting,
    progress: &(dyn Fn(Step) + Sync),
    stop: impl Future<Output = ()> + Send,
) -> Result<Baked, BakeError> {
    let path = dir.join(BUNDLE_JSON);
    let record = Record::parse(&read_bounded(&path).map_err(|source| BakeError::Read { path, source })?)?;
    let layout = Layout::open(dir).map_err(|source| BakeError::Layout { dir: dir.to_owned(), source })?;
    let mut nodes = record.images.iter().filter(|image| image.role == Role::Node);
    let (Some(node), None) = (nodes.next(), nodes.next()) else {
        return Err(BakeError::NodeImages { count: record.images.iter().filter(|image| image.role == Role::Node).count() });
    };
    let node = NodeImage::find(&node.name.to_string(), dir)?;
    let images: Vec<ImageName> = others(&record).map(|image| image.name.clone()).collect();
    let baked = Baked { image: node.preloaded_name(&record), images, made: true };
    remove_left_over(engine, waiting).await?;
    if engine.has_image(&baked.image).await? {
        return Ok(Baked { made: false, ..baked });
    }

    let container = format!("meshproof-workshop-{}", crate::session::run_id());
    let bench = Bench { engine, waiting, container: &container, layout, stop: stop.boxed().shared() };
    let worked = async {
        progress(Step::NodeImage(node.name.clone()));
        bench.until_stopped("the node image is in the engine", node.load(engine)).await?;
        bench.make(&node.name, &baked, progress).await
    };
    let worked = worked.await;
    let removed = engine.remove_workshop(&container).await;
    let made = worked?;
    removed?;
    Ok(Baked { made, ..baked })
}

/// Containers of processes that were killed at this. The engine may be another machine's too, of whose processes nothing is known here; what
/// is theirs is left over when it is older than baking can take.
async fn remove_left_over(engine: &Engine, waiting: &Waiting) -> Result<(), EngineError> {
    let long_ago = Timestamp::now() - SignedDuration::try_from(2 * waiting.limit(Limit::NodeImage)).unwrap_or(SignedDuration::MAX);
    for Workshop { name, owner, created } in engine.workshops().await? {
        let owner = serde_json::from_str::<Owner>(&owner).ok();
        let dead = owner.is_some_and(|owner| owner.boot.is_some() && owner.is_of_this_boot() && !owner.alive());
        if dead || created.is_some_and(|created| created < long_ago) {
            engine.remove_workshop(&name).await?;
        }
    }
    Ok(())
}

/// A container in which a node image is changed.
///
/// It can be interrupted only where the engine does nothing that would outlast it.
struct Bench<'a> {
    engine: &'a Engine,
    waiting: &'a Waiting,
    container: &'a str,
    layout: Layout,
    stop: Shared<BoxFuture<'a, ()>>,
}

impl Bench<'_> {
    async fn until_stopped<T, E: Into<BakeError>>(&self, what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, BakeError> {
        tokio::select! {
            worked = self.waiting.within(what, Limit::NodeImage, work) => worked?.map_err(Into::into),
            () = self.stop.clone() => Err(BakeError::Interrupted),
        }
    }

    /// Says whether it made the image: somebody else may have, meanwhile.
    async fn make(&self, node: &str, baked: &Baked, progress: &(dyn Fn(Step) + Sync)) -> Result<bool, BakeError> {
        let Self { engine, container, .. } = self;
        let command = engine.image_command(node).await?;
        if let Some(volume) = command.volumes.iter().find(|v| Path::new("/var/lib/containerd").starts_with(v)) {
            return Err(BakeError::Volume { image: node.to_owned(), volume: volume.clone() });
        }
        let me = serde_json::to_string(&Owner::me()).expect("it has string keys only");
        engine.open_workshop(container, node, CONTAINERD, &me).await?;
        self.until_stopped("containerd of the node image answers", self.containerd_answers()).await?;
        progress(Step::Images(baked.images.len()));
        self.until_stopped("the images are in the container", self.send(&baked.images)).await?;
        self.until_stopped("containerd of the node image has the images", self.import()).await?;
        self.has_all(&baked.images).await?;
        engine.terminate(container).await?;
        if engine.has_image(&baked.image).await? {
            return Ok(false);
        }
        progress(Step::Commit);
        engine.commit(container, &baked.image, command).await?;
        Ok(true)
    }

    async fn containerd_answers(&self) -> Result<(), BakeError> {
        let attempt = async || match self.engine.exec(self.container, &["ctr", "version"]).await {
            Ok(output) if output.code == 0 => Progress::Ready(()),
            Ok(output) => Progress::NotYet(last_line(&output.stderr)),
            // The container has ended, as a rule; its log may say why.
            Err(e) => {
                let log = self.engine.log_tail(self.container, LOG_LINES).await.unwrap_or_default();
                let status = format!("{}: {}", crate::error::one_line(&e), log.join(" | "));
                Progress::Terminal(crate::wait::Terminal { status, grace: std::time::Duration::ZERO })
            }
        };
        Ok(self.waiting.poll("containerd of the node image answers", Limit::RuntimeRestart, ASK_EVERY, attempt).await?)
    }

    async fn send(&self, images: &[ImageName]) -> Result<(), BakeError> {
        let (layout, images) = (self.layout.clone(), images.to_vec());
        let write = move |writer: &mut PipeWriter| export_oci_archive(&layout, &images, &node_platform(), PLACE, writer);
        into_engine(write, |archive| self.engine.unpack(self.container, archive)).await
    }

    async fn import(&self) -> Result<(), BakeError> {
        // Unpacked is only what a node runs, and on that node: layers and their files together would be twice the size of the image.
        let script = format!(
            "cd /{PLACE}; tar -cf - . | ctr --namespace=k8s.io images import --platform={} --no-unpack -; rm -rf /{PLACE}",
            node_platform()
        );
        let output = self.engine.exec(self.container, &["bash", "-e", "-o", "pipefail", "-c", &script]).await?;
        if output.code == 0 { Ok(()) } else { Err(BakeError::Import { said: last_line(&output.stderr) }) }
    }

    /// Whether everything is there, to the last layer, under the name that pods use.
    async fn has_all(&self, images: &[ImageName]) -> Result<(), BakeError> {
        let output = self.engine.exec(self.container, &["ctr", "--namespace=k8s.io", "images", "check"]).await?;
        // REF TYPE DIGEST STATUS SIZE UNPACKED
        let whole = output.stdout.lines().filter(|line| line.contains(" complete "));
        let there: Vec<&str> = whole.filter_map(|line| line.split_whitespace().next()).collect();
        let name = |image: &ImageName| match (&image.tag, &image.digest) {
            (Some(tag), _) => format!("{}:{tag}", image.repository),
            (None, digest) => format!("{}@{}", image.repository, digest.as_ref().map(ToString::to_string).unwrap_or_default()),
        };
        let lacking: Vec<String> = images.iter().map(name).filter(|name| !there.contains(&name.as_str())).collect();
        if lacking.is_empty() { Ok(()) } else { Err(BakeError::Lacks { images: lacking.join(", ") }) }
    }
}

fn last_line(text: &str) -> String {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().chars().take(400).collect()
}
