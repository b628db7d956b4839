//! The one timeout table.

use std::time::Duration;

/// What is waited for; each has one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The container engine answers a request.
    EngineAnswer,
    /// A short external command, for example `kubectl create token`.
    ShortCommand,
    /// `kind create cluster`: pulls the node image when it is not there and retries four times.
    ClusterCreate,
    /// A node image is put into the engine, changed there and kept.
    NodeImage,
    /// `kind delete cluster`.
    ClusterDelete,
    /// The API server answers.
    ApiServer,
    /// Every node Ready.
    NodesReady,
    /// Every `kube-system` pod Ready.
    SystemReady,
    /// containerd is active again after a restart.
    RuntimeRestart,
    /// Both Dashboard Deployments available, image pulls included.
    Dashboard,
    /// Objects that a controller fills in, for example a namespace's default `ServiceAccount`.
    Controller,
    /// CRDs Established.
    CrdsEstablished,
    /// `istioctl install`: its own limit is 300 s for each of four components.
    IstioInstall,
    /// The control plane and the node agents Ready.
    IstioReady,
    /// A service answers through the API server once its pods run.
    ServiceAnswer,
    /// `GatewayClasses` Accepted once the CRDs exist.
    GatewayClasses,
    /// `crictl pull` of the probe image on one node.
    ImagePull,
    /// A command inside a node.
    NodeCommand,
    /// `kubectl proxy` prints its address.
    KubectlProxy,
    /// A kubelet answers through the API server.
    KubeletAnswer,
    /// One outcome is judged, its own waits included.
    Outcome,
    /// A bundle of everything that may tell what went wrong is collected.
    Collect,
    /// Another process gives up the session's lock.
    SessionLock,
    /// Another process has provisioned the environment that is shared with it: what its stages may take together.
    SharedEnvironment,
}

impl Limit {
    /// The limit before scaling.
    #[must_use]
    pub fn base(self) -> Duration {
        Duration::from_secs(match self {
            Self::EngineAnswer | Self::KubectlProxy | Self::KubeletAnswer => 10,
            Self::ApiServer | Self::RuntimeRestart | Self::Controller | Self::Collect => 60,
            Self::ShortCommand | Self::NodeCommand | Self::ServiceAnswer | Self::GatewayClasses => 30,
            Self::ClusterCreate => 900,
            Self::ClusterDelete | Self::CrdsEstablished | Self::SessionLock | Self::Outcome => 120,
            Self::NodesReady | Self::SystemReady => 180,
            Self::ImagePull => 90,
            Self::Dashboard | Self::IstioReady => 300,
            Self::IstioInstall => 1260,
            Self::NodeImage => 1800,
            Self::SharedEnvironment => 3600,
        })
    }
}

/// The table with its scale (`--timeout-scale`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    scale: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

impl Limits {
    /// A table whose every limit is multiplied by `scale`, which is kept between 0.01 and 100.
    #[must_use]
    pub fn scaled(scale: f64) -> Self {
        Self { scale: if scale.is_finite() { scale.clamp(0.01, 100.0) } else { 1.0 } }
    }

    /// The limit that is in force.
    #[must_use]
    pub fn of(&self, limit: Limit) -> Duration {
        limit.base().mul_f64(self.scale)
    }
}
