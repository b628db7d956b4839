//! The resolved shape of a spec: every value present, nothing left to default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The only `apiVersion` that this version reads.
pub const API_VERSION: &str = "meshproof.dev/v1alpha1";
/// The `kind` of a spec document.
pub const KIND: &str = "Environment";

/// A complete, validated description of the environment that a user wants.
///
/// Made by [`crate::spec::load`]; serialises in the same shape that a spec file has, so that a resolved spec can be fed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always [`KIND`].
    pub kind: String,
    /// Name of the profile that the spec started from.
    pub profile: String,
    /// The Kind cluster (guide 2.1.1).
    pub cluster: ClusterSpec,
    /// Image sources per registry namespace (`docker.io`, `registry.k8s.io`, …, `_default`), one `certs.d` directory each.
    pub mirrors: BTreeMap<String, MirrorSpec>,
    /// The proxy of containerd on every node (guide 2.1.2, the systemd drop-in).
    pub proxy: ProxySpec,
    /// What stands between the nodes and their mirrors and proxy, and writes down what they ask for.
    #[serde(default)]
    pub recording: RecordingSpec,
    /// What `crictl pull` is tried with.
    pub probe: ProbeSpec,
    /// Kubernetes Dashboard (guide 2.1.2).
    pub dashboard: DashboardSpec,
    /// `kubectl proxy` (guide 2.1.2).
    pub kubectl_proxy: KubectlProxySpec,
    /// Istio (guide 2.2 and 2.3).
    pub istio: IstioSpec,
    /// Gateway API CRDs (guide 2.4).
    pub gateway_api: GatewayApiSpec,
    /// The command line tools and where they come from.
    pub tools: ToolsSpec,
    /// How this machine reaches documented URLs.
    pub downloads: DownloadsSpec,
    /// A bundle: everything is taken from it, and nothing from anywhere else. A directory or a packed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

/// The Kind cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Cluster name; node containers are `<name>-control-plane`, `<name>-worker`, ….
    pub name: String,
    /// Kubernetes version of the nodes without the leading `v`, for example `1.33.4`.
    pub kubernetes: String,
    /// Node image reference, with digest where the version catalog knows one.
    pub node_image: String,
    /// Whether the node image holds every image that the environment needs, as `meshproof bundle bake` makes them: then nothing is pulled,
    /// also not where a manifest says `imagePullPolicy: Always` (defect D14).
    #[serde(default)]
    pub preloaded: bool,
    /// Number of control-plane nodes, 1 or more.
    pub control_planes: u32,
    /// Number of worker nodes.
    pub workers: u32,
    /// containerd's CRI registry `config_path`; the certs.d directory is mounted there. The guide uses `/etc/containerd/certs.d`.
    pub config_path: String,
}

impl ClusterSpec {
    /// What a cluster is made from, to be compared with what one was made from. What an earlier version did not know and nobody asks for is
    /// left out: a new version must not want the clusters of the old one made anew.
    #[must_use]
    pub fn heeded(&self) -> serde_json::Value {
        let mut heeded = serde_json::to_value(self).unwrap_or_default();
        if let Some(keys) = heeded.as_object_mut().filter(|_| !self.preloaded) {
            keys.remove("preloaded");
        }
        heeded
    }
}

/// Where images of one registry namespace are pulled from: one `hosts.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorSpec {
    /// The fallback when every host failed, an URL. Without it containerd falls back to the registry itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Hosts tried in this order.
    #[serde(default)]
    pub hosts: Vec<MirrorHost>,
}

/// One `[host."URL"]` table of a `hosts.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorHost {
    /// Base URL, for example `http://mirror:5000`.
    pub url: String,
    /// What the host may be asked for.
    #[serde(default = "default_capabilities")]
    pub capabilities: Vec<HostCapability>,
    /// Skip TLS verification.
    #[serde(default)]
    pub skip_verify: bool,
    /// Do not append `/v2` to the URL's path.
    #[serde(default)]
    pub override_path: bool,
}

fn default_capabilities() -> Vec<HostCapability> {
    vec![HostCapability::Pull, HostCapability::Resolve]
}

/// A capability of a registry host, as `hosts.toml` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostCapability {
    /// Fetch blobs and manifests by digest.
    Pull,
    /// Resolve a tag to a digest.
    Resolve,
    /// Push.
    Push,
}

/// The proxy of containerd on every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxySpec {
    /// Whether the drop-in is written. The guide offers it as the remedy for failing pulls, so it is off by default.
    pub enabled: bool,
    /// `HTTP_PROXY`, an URL.
    pub http: String,
    /// `HTTPS_PROXY`, an URL.
    pub https: String,
    /// `NO_PROXY` entries. The hosts of mirrors are added when the drop-in is made.
    pub no_proxy: Vec<String>,
}

/// The recorders: a mirror and a proxy of meshproof's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordingSpec {
    /// Whether every image comes through a mirror of ours, which fetches it from where `mirrors` says and writes down who asked.
    pub mirror: bool,
    /// Whether a proxy of ours is there, which writes down who asked. With `proxy.enabled` the drop-in names it.
    pub proxy: ProxyRecording,
    /// Where they run.
    pub host: RecorderHost,
    /// The most that the mirror keeps on this machine, in GiB (2^30 bytes); what was not asked for longest goes first. 0: no limit.
    pub cache_gib: u32,
}

impl Default for RecordingSpec {
    /// Nothing is recorded: what a spec asked for that knows nothing of it.
    fn default() -> Self {
        Self { mirror: false, proxy: ProxyRecording::None, host: RecorderHost::Auto, cache_gib: 20 }
    }
}

impl RecordingSpec {
    /// Whether there is any recorder.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mirror || self.proxy != ProxyRecording::None
    }
}

/// What the recording proxy does with what it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyRecording {
    /// There is none.
    None,
    /// It connects by itself, or through `downloads.proxy`.
    Direct,
    /// It asks the proxy of `proxy.http` and `proxy.https`.
    Chained,
}

/// Where the recorders run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecorderHost {
    /// In the session's agent where this machine has the address of the nodes' bridge, else in a container.
    Auto,
    /// In the session's agent.
    Agent,
    /// In a container on the nodes' network.
    Container,
}

/// What image pulls are probed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeSpec {
    /// The image that `crictl pull` fetches on every node; the guide's is `docker.io/library/busybox:latest`.
    pub image: String,
}

/// Kubernetes Dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DashboardSpec {
    /// Version tag, for example `v2.7.0`.
    pub version: String,
    /// `recommended.yaml`: an URL or a file.
    pub manifest: String,
    /// Name of the `ServiceAccount` and `ClusterRoleBinding` with cluster-admin.
    pub admin_user: String,
}

/// `kubectl proxy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubectlProxySpec {
    /// TCP port on 127.0.0.1; 0 lets kubectl take a free one.
    pub port: u16,
}

/// Istio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IstioSpec {
    /// Version without a leading `v`, for example `1.27.1`.
    pub version: String,
    /// Installation profile, `ambient` in the guide.
    pub profile: String,
    /// Image hub that the images are expected to come from, for example `docker.io/istio`.
    pub hub: String,
}

/// Gateway API CRDs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayApiSpec {
    /// Bundle version, for example `v1.3.0`.
    pub version: String,
    /// Release channel.
    pub channel: Channel,
    /// The install manifest: an URL or a file.
    pub manifest: String,
}

/// Gateway API release channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Stable resources and fields only.
    Standard,
    /// With experimental resources and fields.
    Experimental,
}

impl Channel {
    /// The word that upstream uses in file names and in the `channel` annotation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Experimental => "experimental",
        }
    }
}

/// The command line tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolsSpec {
    /// `kind`.
    pub kind: ToolSpec,
    /// `kubectl`.
    pub kubectl: ToolSpec,
    /// `istioctl`.
    pub istioctl: ToolSpec,
}

/// One command line tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolSpec {
    /// Version without a leading `v`.
    pub version: String,
    /// Use this binary and no other; its version is still checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where the pinned version is downloaded from; the checksum file is found beside it.
    pub url: String,
}

/// How this machine reaches documented URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DownloadsSpec {
    /// Proxy URL for downloads of tools and manifests. The caller's environment is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}
