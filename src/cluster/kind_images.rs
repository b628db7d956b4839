//! The images of kind nodes: the one that they are made of, and those that they come with.

use super::kind::Kind;
use super::kind_config::expected_nodes;
use super::kind_nodes::KindNodes;
use crate::bundle::node_image::{NodeImage, NodeImageError};
use crate::recording::baked_images;
use crate::stages::{Context, StageError};
use crate::wait::Limit;

impl Kind {
    /// Puts the node image of a bundle into the engine, which could not pull it.
    pub(super) async fn load_node_image(&self, context: &Context) -> Result<(), StageError> {
        let (engine, image) = (self.engine().await?, &context.spec.cluster.node_image);
        let Some(bundle) = context.spec.bundle.as_ref() else { return Ok(()) };
        if engine.has_image(image).await? {
            return Ok(());
        }
        self.baked(context).await?;
        let unusable = |e: &(dyn std::error::Error + 'static)| StageError::refused("bundle", [("why", crate::error::one_line(e))]);
        let node = NodeImage::find(image, bundle.as_ref()).map_err(|e| unusable(&e))?;
        node.load(engine).await.map_err(|e| match e {
            NodeImageError::Engine(e) => e.into(),
            other => unusable(&other),
        })
    }

    /// Refuses a node image that is to have everything of the bundle in it, and was not made yet.
    pub(super) async fn baked(&self, context: &Context) -> Result<(), StageError> {
        let (image, preloaded) = (&context.spec.cluster.node_image, context.spec.cluster.preloaded);
        match context.spec.bundle.as_ref().filter(|_| preloaded) {
            Some(bundle) if !self.engine().await?.has_image(image).await? => {
                Err(StageError::refused("not-baked", [("image", image.clone()), ("bundle", bundle.clone())]))
            }
            _ => Ok(()),
        }
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
