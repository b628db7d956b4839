//! What `state.json` says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::Transcript;

/// Version of the file's shape. Fields are added with a default, and never renamed or removed within a version.
pub const STATE_VERSION: u32 = 1;

/// How far the cluster of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterPhase {
    /// `kind create cluster` was started and has not reported success.
    Creating,
    /// It was made whole once.
    Made,
}

/// The cluster that a session has made or is making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// Name in kind.
    pub name: String,
    /// How far it is.
    pub phase: ClusterPhase,
    /// The kind configuration that it was made from.
    pub config: String,
}

/// Whether someone works on the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It was never brought to an end. If its owner is dead it is orphaned, and nobody can miss it.
    Provisioning,
    /// Somebody has been told that it is there. It ends by `down` or its time to live, whatever happens to a later run.
    Kept,
}

/// What is on the disk about a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of this file's shape.
    pub version: u32,
    /// Session id.
    pub id: String,
    /// When the session began.
    pub created: Timestamp,
    /// Backend of the environment.
    pub backend: String,
    /// Whether someone works on it.
    pub phase: Phase,
    /// The process that is at work, or was when it died; absent once it has ended properly.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// How many seconds the environment lives without being used; absent for ever.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// The resolved spec of the last `up`.
    pub spec: serde_json::Value,
    /// The cluster.
    #[serde(default)]
    pub cluster: Option<ClusterState>,
    /// Volumes of the cluster's nodes: a node that somebody else removed leaves its volume behind.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Whether this session made the network of kind.
    #[serde(default)]
    pub network: bool,
    /// Where the nodes find the recorders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorders: Option<crate::recording::Recorders>,
    /// The images that the nodes came with, by node: digests of their configurations, as the runtime names images.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baked_images: BTreeMap<String, Vec<String>>,
    /// The last run.
    #[serde(default)]
    pub last_run: Option<String>,
    /// Where the kept manifests came from, by name.
    #[serde(default)]
    pub manifests: BTreeMap<String, String>,
    /// The CRDs of the Gateway API manifest that was read last.
    #[serde(default)]
    pub crds: Option<KeptCrds>,
    /// What the stages that are done were made from, by stage.
    #[serde(default)]
    pub stages: BTreeMap<String, serde_json::Value>,
    /// What stages recorded while they provisioned, by name.
    #[serde(default)]
    pub transcripts: BTreeMap<String, Transcript>,
}

/// The CRDs that a manifest has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCrds {
    /// What tells the manifest from another.
    pub of: String,
    /// Their names.
    pub names: Vec<String>,
}

impl State {
    /// The cluster is gone, and with it everything that is known about it.
    pub fn forget_cluster(&mut self) {
        (self.cluster, self.network) = (None, false);
        self.volumes.clear();
        self.stages.clear();
        self.transcripts.clear();
        self.baked_images.clear();
    }
}

/// A process, told apart from a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Its start time in clock ticks since boot, where the system has it.
    pub start_ticks: Option<u64>,
    /// The boot that these ticks count from, where the system has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// The namespace that its id is of: a container has its own. The inode of `/proc/self/ns/pid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<u64>,
}

impl Owner {
    /// This process.
    #[must_use]
    pub fn me() -> Self {
        let pid = std::process::id();
        Self { pid, start_ticks: crate::tools::start_ticks(pid), boot: boot(), namespace: namespace() }
    }

    /// Whether it was of this boot of the machine, as far as that is known.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        self.boot.is_none() || self.boot == boot()
    }

    /// Whether this very process still runs. One of an earlier boot does not; one of which the system tells nothing, and one in another
    /// container, may.
    #[must_use]
    pub fn alive(&self) -> bool {
        let elsewhere = self.namespace.is_some() && self.namespace != namespace();
        self.is_of_this_boot() && (elsewhere || self.start_ticks.is_none_or(|ticks| crate::tools::is_alive(self.pid, ticks)))
    }
}

fn namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// What tells this boot of the machine from every other; `None` where there is no `/proc`.
pub(super) fn boot() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}
