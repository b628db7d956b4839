//! The images of kind nodes: the one that they are made of, and those that they come with.

use std::path::PathBuf;

use super::kind::Kind;
use super::kind_config::expected_nodes;
use super::kind_nodes::KindNodes;
use crate::bundle::docker_export::{ExportError, export_docker_archive};
use crate::bundle::environment::{node_image, node_platform};
use crate::bundle::pipe;
use crate::mirror::layout::Layout;
use crate::mirror::name::ImageName;
use crate::recording::baked_images;
use crate::stages::{Context, StageError};
use crate::wait::Limit;

impl Kind {
    /// Puts the node image of a bundle into the engine, which could not pull it.
    pub(super) async fn load_node_image(&self, context: &Context) -> Result<(), StageError> {
        let (engine, image) = (self.engine().await?, &context.spec.cluster.node_image);
        let Some(bundle) = context.spec.bundle.as_ref().map(PathBuf::from) else { return Ok(()) };
        if engine.has_image(image).await? {
            return Ok(());
        }
        let unusable = |e: &(dyn std::error::Error + 'static)| StageError::refused("bundle", [("why", crate::error::one_line(e))]);
        let (name, loaded) = node_image(image, &bundle).map_err(|e| unusable(&e))?;
        let (repository, tag) = loaded.rsplit_once(':').unwrap_or((&loaded, "latest"));
        let layout = Layout::open(&bundle).map_err(|e| unusable(&e))?;
        let (mut writer, archive) = pipe::writer();
        // By its digest alone: without a tag it gets no name from the archive, which might be that of an image of the user's.
        let digest = layout.resolve(&name.repository, &name.reference()).map(|found| found.digest);
        let unnamed = ImageName { repository: name.repository, tag: None, digest };
        let written = tokio::task::spawn_blocking(move || {
            export_docker_archive(&layout, &unnamed, &node_platform(), &mut writer)?;
            writer.finish().map_err(ExportError::Write)
        });
        let loaded = engine.load(archive, repository, tag).await;
        match written.await {
            // The engine broke off, and says why.
            Ok(Err(ExportError::Write(_))) if loaded.is_err() => {}
            Ok(Err(e)) => return Err(unusable(&e)),
            Err(e) => return Err(unusable(&e)),
            Ok(Ok(())) => {}
        }
        loaded?;
        Ok(())
    }

    /// Writes down what the new nodes came with, if it is to be told later from what they pulled.
    pub(super) async fn note_baked_images(&self, context: &Context) -> Result<(), StageError> {
        if context.spec.recording.mirror {
            let nodes = KindNodes { engine: self.engine().await?.clone(), cluster: context.spec.cluster.name.clone() };
            let names: Vec<String> = expected_nodes(&context.spec).into_iter().map(|(name, _)| name).collect();
            let baked = context.waiting.within("the nodes list their images", Limit::NodeCommand, baked_images(&nodes, &names)).await??;
            context.record(|state| state.baked_images = baked)?;
        }
        Ok(())
    }
}
