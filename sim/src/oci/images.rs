//! Images made of nothing but their configuration: every digest follows from what the caller says.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{INDEX, MANIFEST, digest, host_architecture};

/// The manifest annotation that says how large the image pretends to be: its layer is tiny.
pub const SIZE_ANNOTATION: &str = "sim.size";

/// What runs in a container of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, each `NAME=value`.
    pub env: Vec<String>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// `ExposedPorts`, each like `8443/tcp`.
    pub ports: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub working_dir: String,
    /// For example `amd64`.
    pub architecture: String,
    /// For example `linux`.
    pub os: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            labels: BTreeMap::new(),
            ports: Vec::new(),
            user: String::new(),
            working_dir: String::new(),
            architecture: host_architecture().to_owned(),
            os: "linux".to_owned(),
        }
    }
}

/// The digests of an image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Of the manifest or index: what `name@sha256:…` means.
    pub digest: String,
    /// Of the configuration: the image's id. Empty for an index.
    pub id: String,
    /// The manifest or index itself.
    pub manifest: Bytes,
    /// The configuration itself. Empty for an index.
    pub config: Bytes,
}

/// What a registry has.
#[derive(Debug, Clone, Default)]
pub struct Images {
    pub(super) repositories: BTreeMap<String, Repository>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Repository {
    /// Tag to digest.
    pub(super) tags: BTreeMap<String, String>,
    /// Digest to media type and content.
    pub(super) manifests: BTreeMap<String, (&'static str, Bytes)>,
    pub(super) blobs: BTreeMap<String, Bytes>,
}

impl Images {
    /// Adds an image under a tag; `size` is what the image pretends to weigh.
    pub fn add(&mut self, repository: &str, tag: &str, config: &Config, size: u64) -> Built {
        let built = self.manifest(repository, config, size);
        self.tag(repository, tag, &built.digest);
        built
    }

    /// Adds a multi-platform image: an index over one image for each configuration.
    pub fn add_index(&mut self, repository: &str, tag: &str, configs: &[Config], size: u64) -> Built {
        let entries: Vec<Value> = configs
            .iter()
            .map(|config| {
                let built = self.manifest(repository, config, size);
                json!({"mediaType": MANIFEST, "digest": built.digest, "size": built.manifest.len(),
                    "platform": {"architecture": config.architecture, "os": config.os}})
            })
            .collect();
        let index = bytes(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}));
        let name = digest(&index);
        self.repository(repository).manifests.insert(name.clone(), (INDEX, index.clone()));
        self.tag(repository, tag, &name);
        Built { digest: name, id: String::new(), manifest: index, config: Bytes::new() }
    }

    /// Lets a tag mean a digest that is there already.
    pub fn tag(&mut self, repository: &str, tag: &str, digest: &str) {
        self.repository(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// Takes a tag away, as a registry does that lost an image.
    pub fn untag(&mut self, repository: &str, tag: &str) {
        self.repository(repository).tags.remove(tag);
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    fn manifest(&mut self, repository: &str, config: &Config, size: u64) -> Built {
        let layer = layer(&format!("{repository}\n{}\n", config.architecture));
        let layer_digest = digest(&layer);
        // An uncompressed layer's diff id is its digest.
        let config = bytes(&config.json(&layer_digest));
        let id = digest(&config);
        let manifest = bytes(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": id, "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len()}],
            "annotations": {SIZE_ANNOTATION: size.to_string()},
        }));
        let name = digest(&manifest);
        let repository = self.repository(repository);
        repository.blobs.insert(layer_digest, layer);
        repository.blobs.insert(id.clone(), config.clone());
        repository.manifests.insert(name.clone(), (MANIFEST, manifest.clone()));
        Built { digest: name, id, manifest, config }
    }
}

impl Config {
    /// The image configuration of the OCI image specification, with the fields that are not empty.
    fn json(&self, diff_id: &str) -> Value {
        let mut config = json!({});
        for (field, list) in [("Env", &self.env), ("Entrypoint", &self.entrypoint), ("Cmd", &self.cmd)] {
            if !list.is_empty() {
                config[field] = json!(list);
            }
        }
        for (field, text) in [("User", &self.user), ("WorkingDir", &self.working_dir)] {
            if !text.is_empty() {
                config[field] = json!(text);
            }
        }
        if !self.labels.is_empty() {
            config["Labels"] = json!(self.labels);
        }
        if !self.ports.is_empty() {
            config["ExposedPorts"] = self.ports.iter().map(|p| (p.clone(), json!({}))).collect();
        }
        json!({
            "architecture": self.architecture, "os": self.os, "config": config,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "sim"}],
        })
    }
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// A tar archive with the file `sim`.
fn layer(content: &str) -> Bytes {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "sim");
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    // The checksum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content.as_bytes());
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    Bytes::from(archive)
}
