//! The images that nodes came with: nobody pulled them, so no recorder can have seen them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::{NodeAccess, NodeError};

/// An image as a node's runtime has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// Digest of its configuration, which is the runtime's name for it.
    pub id: String,
    /// Names with a tag.
    pub tags: Vec<String>,
    /// Names with the digest of the manifest or index that the name stood for.
    pub digests: Vec<String>,
}

impl NodeImage {
    /// The name for people: with a tag if it has one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.tags.first().or(self.digests.first()).unwrap_or(&self.id)
    }
}

/// The images of a node.
///
/// # Errors
/// When the node cannot be asked.
pub async fn node_images(nodes: &dyn NodeAccess, node: &str) -> Result<Vec<NodeImage>, NodeError> {
    let listed: Value = serde_json::from_str(&nodes.run(node, &["crictl", "images", "-o", "json"]).await?).unwrap_or_default();
    let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect();
    let images = listed["images"].as_array().into_iter().flatten();
    Ok(images
        .map(|image| NodeImage {
            id: image["id"].as_str().unwrap_or_default().to_owned(),
            tags: texts(&image["repoTags"]),
            digests: texts(&image["repoDigests"]),
        })
        .collect())
}

/// What the nodes have now, by node: asked when they are new.
///
/// # Errors
/// When a node cannot be asked.
pub async fn baked_images(nodes: &dyn NodeAccess, names: &[String]) -> Result<BTreeMap<String, Vec<String>>, NodeError> {
    let asked = names.iter().map(|name| async move { Ok((name.clone(), node_images(nodes, name).await?)) });
    let images: Vec<(String, Vec<NodeImage>)> = futures::future::try_join_all(asked).await?;
    Ok(images.into_iter().map(|(node, images)| (node, images.into_iter().map(|i| i.id).collect())).collect())
}
