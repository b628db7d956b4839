//! The images that a node has, as the CRI shows them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reference::Reference;

/// An image on a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of the configuration.
    pub id: String,
    /// Complete names with tags.
    pub tags: Vec<String>,
    /// Complete names with digests.
    pub digests: Vec<String>,
    /// In bytes.
    pub size: u64,
    /// The image configuration.
    pub config: Value,
}

impl Image {
    /// An image that was there before any pull, like those baked into kind's node image.
    ///
    /// # Errors
    /// When the name is no image reference.
    pub fn preloaded(name: &str, config: &crate::oci::Config, size: u64) -> Result<Self, String> {
        let reference = Reference::parse(name)?;
        let tag = reference.tag.clone().unwrap_or_else(|| "latest".to_owned());
        let built = crate::oci::Images::default().add(&reference.repository, &tag, config, size);
        let config = serde_json::from_slice(&built.config).unwrap_or_default();
        Ok(Self {
            id: built.id,
            tags: vec![reference.to_string()],
            digests: vec![format!("{}@{}", reference.name(), built.digest)],
            size,
            config,
        })
    }

    /// The labels of its configuration.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.config["config"]["Labels"].as_object();
        labels.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }

    /// The first name that it has.
    #[must_use]
    pub fn name(&self) -> &str {
        self.tags.first().or(self.digests.first()).unwrap_or(&self.id)
    }

    /// `runtime.v1.Image` as JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id, "repoTags": self.tags, "repoDigests": self.digests, "size": self.size.to_string(),
            "uid": null, "username": self.config["config"]["User"].as_str().unwrap_or_default(), "spec": null, "pinned": false,
        })
    }
}

/// The images of one node.
#[derive(Debug, Clone, Default)]
pub struct Store {
    images: Vec<Image>,
}

impl Store {
    /// Adds an image. A tag belongs to one image only.
    pub fn add(&mut self, image: Image) {
        for present in &mut self.images {
            present.tags.retain(|t| !image.tags.contains(t));
        }
        match self.images.iter_mut().find(|i| i.id == image.id) {
            Some(present) => {
                let new: Vec<String> = image.tags.into_iter().filter(|t| !present.tags.contains(t)).collect();
                present.tags.extend(new);
                let new: Vec<String> = image.digests.into_iter().filter(|d| !present.digests.contains(d)).collect();
                present.digests.extend(new);
            }
            None => self.images.push(image),
        }
    }

    /// Finds by name, digest, id or the beginning of an id.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Image> {
        let full = Reference::parse(name).map(|r| r.to_string()).unwrap_or_default();
        let id = name.strip_prefix("sha256:").unwrap_or(name);
        let hex = id.len() >= 3 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let named = |i: &&Image| i.tags.contains(&full) || i.digests.contains(&full);
        self.images
            .iter()
            .find(named)
            .or_else(|| self.images.iter().find(|i| hex && i.id["sha256:".len().min(i.id.len())..].starts_with(id)))
    }

    /// Takes an image away by any of its names. Says which names are gone.
    pub fn remove(&mut self, name: &str) -> Option<Vec<String>> {
        let id = self.find(name)?.id.clone();
        let at = self.images.iter().position(|i| i.id == id)?;
        let image = self.images.remove(at);
        Some(if image.tags.is_empty() { image.digests } else { image.tags })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Image] {
        &self.images
    }
}
