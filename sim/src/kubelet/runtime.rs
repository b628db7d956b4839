//! What a kubelet needs of the machine that it runs on.

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

/// An image in the machine's image store.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of its configuration, `sha256:…`.
    pub id: String,
    /// Repository and manifest digest, `docker.io/library/busybox@sha256:…`.
    pub repo_digest: String,
    /// Normalised repository without a tag, `docker.io/library/busybox`.
    pub repository: String,
    /// Size in bytes.
    pub size: u64,
    /// The labels of its configuration.
    pub labels: Value,
}

/// Why an image could not be pulled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PullError {
    /// In containerd's words, beginning with `rpc error: code = …`.
    pub message: String,
}

/// A container as the container runtime lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its sandbox, also 64 digits.
    pub sandbox: String,
    /// Name of the container.
    pub name: String,
    /// How often it was restarted.
    pub attempt: u64,
    /// The image as the pod names it.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it runs; one that ended is listed until it is gone.
    pub running: bool,
}

/// What a machine says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// Processors in thousandths.
    pub cpu_millis: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// How many pods it takes; 110 unless configured.
    pub pods: u32,
    /// For example `6.8.0-45-generic`.
    pub kernel: String,
    /// For example `Debian GNU/Linux 12 (bookworm)`.
    pub os_image: String,
    /// For example `containerd://2.1.3`.
    pub container_runtime: String,
    /// For example `v1.33.4`.
    pub kubelet_version: String,
    /// For example `amd64`.
    pub architecture: String,
    /// Its addresses, the internal one first.
    pub addresses: Vec<String>,
    /// For example `control-plane`; empty for a worker.
    pub role: String,
    /// Labels beyond those that every node has.
    pub labels: Vec<(String, String)>,
    /// Taints as they are in `spec.taints`.
    pub taints: Vec<Value>,
}

/// The machine under a kubelet: its container runtime and its power switch.
pub trait Runtime: Send + Sync {
    /// An image that is already there, named as a pod names it.
    fn present(&self, image: &str) -> Option<Image>;
    /// Pulls an image.
    fn pull(&self, image: &str) -> BoxFuture<'_, Result<Image, PullError>>;
    /// A container was started or ended.
    fn container(&self, record: ContainerRecord);
    /// A container was removed.
    fn container_gone(&self, id: &str);
    /// Whether the machine is up; false while it is stopped or paused.
    fn running(&self) -> watch::Receiver<bool>;
    /// When the machine came up last.
    fn started(&self) -> Timestamp;
    /// What it says about itself.
    fn facts(&self) -> NodeFacts;
    /// Whether its container runtime works.
    fn ready(&self) -> bool;
}
