//! The node image of a bundle: its names in the engine, and how it gets there.

use std::path::Path;

use super::contents::Role;
use super::docker_export::{ExportError, export_docker_archive, into_engine};
use super::environment::{EnvironmentError, node_platform};
use super::pipe::PipeWriter;
use super::record::{ImageRecord, Record};
use crate::engine::{Engine, EngineError};
use crate::mirror::layout::Layout;
use crate::mirror::name::{Digest, ImageName};

/// Errors of putting a node image into the engine.
#[derive(Debug, thiserror::Error)]
pub enum NodeImageError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The bundle.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The image cannot be taken out of the bundle.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// The node image of a bundle.
#[derive(Debug, Clone)]
pub struct NodeImage {
    layout: Layout,
    /// As the bundle calls it.
    image: ImageName,
    digest: Digest,
    /// As the engine will call it. A name of its own, so that no image of the user's loses its name to it; it has the digest in it, so that
    /// two bundles do not get in each other's way.
    pub name: String,
}

impl NodeImage {
    /// Finds the image that a spec wants, by the name that it has upstream or by the one that it gets in the engine.
    ///
    /// # Errors
    /// When the bundle has none.
    pub fn find(wanted: &str, dir: &Path) -> Result<Self, EnvironmentError> {
        let layout = Layout::open(dir).map_err(|source| EnvironmentError::Layout { dir: dir.to_owned(), source })?;
        let of = |image: &ImageName| {
            let digest = layout.resolve(&image.repository, &image.reference())?.digest;
            let tag = image.tag.clone().unwrap_or_else(|| "bundled".to_owned());
            let name = format!("{}:{tag}-{}", familiar(image), &digest.hex()[..12]);
            Some(Self { layout: layout.clone(), image: image.clone(), digest, name })
        };
        let name: ImageName = wanted.parse().map_err(|source| EnvironmentError::Name { image: wanted.to_owned(), source })?;
        let bound =
            layout.images().keys().filter_map(of).find(|found| wanted == found.name || wanted.starts_with(&found.preloaded_prefix()));
        let found = bound.or_else(|| of(&name));
        found.ok_or_else(|| EnvironmentError::Lacks { dir: dir.to_owned(), what: format!("node image {wanted}") })
    }

    /// The name of the image that has every other one of the bundle in it. It says which they are, so that another bundle gets another one.
    #[must_use]
    pub fn preloaded_name(&self, record: &Record) -> String {
        let lines: String = others(record).map(|image| format!("{} {}\n", image.name, image.digest)).collect();
        format!("{}{}", self.preloaded_prefix(), &Digest::of(lines.as_bytes()).hex()[..12])
    }

    fn preloaded_prefix(&self) -> String {
        format!("{}-with-", self.name)
    }

    /// Puts it into the engine under its name there, unless that has it.
    ///
    /// # Errors
    /// When the bundle is not whole, or the engine refuses it.
    pub async fn load(&self, engine: &Engine) -> Result<(), NodeImageError> {
        if engine.has_image(&self.name).await? {
            return Ok(());
        }
        let (repository, tag) = self.name.rsplit_once(':').unwrap_or((&self.name, "latest"));
        // By its digest alone: without a tag it gets no name from the archive, which might be that of an image of the user's.
        let unnamed = ImageName { repository: self.image.repository.clone(), tag: None, digest: Some(self.digest.clone()) };
        let layout = self.layout.clone();
        let write = move |writer: &mut PipeWriter| export_docker_archive(&layout, &unnamed, &node_platform(), writer).map(drop);
        into_engine::<String, NodeImageError, _>(write, |archive| engine.load(archive, repository, tag)).await.map(drop)
    }
}

/// The images of a bundle that nodes run.
pub(super) fn others(record: &Record) -> impl Iterator<Item = &ImageRecord> {
    record.images.iter().filter(|image| image.role != Role::Node)
}

/// As `docker` shows a name: without the host and the `library` that it takes for granted.
fn familiar(name: &ImageName) -> String {
    let full = name.repository.to_string();
    full.strip_prefix("docker.io/library/").or(full.strip_prefix("docker.io/")).unwrap_or(&full).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::contents::WantedImage;
    use crate::bundle::testing::{PILOT, Shop, create_now, from, wanted};

    const NODE: &str = "docker.io/kindest/node:v1.33.4";

    /// A bundle of a node image and another one with this layer.
    fn bundle(layer: &[u8]) -> (tempfile::TempDir, Record) {
        let shop = Shop::new();
        let (node, pilot) = (shop.image("amd64", &[b"node"]), shop.image("amd64", &[layer]));
        let layout = shop.layout(&[(NODE, &node), (PILOT, &pilot)]);
        let mut contents = wanted(&[PILOT]);
        contents.images.push(WantedImage { name: NODE.parse().unwrap(), role: Role::Node });
        let dir = tempfile::tempdir().unwrap();
        create_now(&contents, &from(&[&layout]), dir.path()).unwrap();
        let record = Record::parse(&std::fs::read(dir.path().join("bundle.json")).unwrap()).unwrap();
        (dir, record)
    }

    #[test]
    fn it_is_found_by_each_of_its_names() {
        let (dir, record) = bundle(b"pilot");
        let node = NodeImage::find("kindest/node:v1.33.4", dir.path()).unwrap();
        let (name, preloaded) = (node.name.clone(), node.preloaded_name(&record));
        assert!(name.starts_with("kindest/node:v1.33.4-") && preloaded.starts_with(&format!("{name}-with-")), "{name} {preloaded}");
        for wanted in [NODE, &name, &preloaded] {
            assert_eq!(NodeImage::find(wanted, dir.path()).unwrap().name, name, "{wanted}");
        }
        assert!(matches!(NodeImage::find("kindest/node:v1.34.0", dir.path()).unwrap_err(), EnvironmentError::Lacks { .. }));
    }

    #[test]
    fn another_content_is_another_image() {
        let name = |layer: &[u8]| {
            let (dir, record) = bundle(layer);
            NodeImage::find(NODE, dir.path()).unwrap().preloaded_name(&record)
        };
        assert_eq!(name(b"pilot"), name(b"pilot"));
        assert_ne!(name(b"pilot"), name(b"another pilot"));
    }
}
