//! A cluster as everything above the backends sees it: a client, a private kubeconfig, capabilities and access to its nodes.

pub mod choose;
pub mod embedded;
pub mod existing;
pub mod kind;
mod kind_again;
pub mod kind_config;
mod kind_host;
mod kind_images;
mod kind_nodes;
pub(crate) mod kind_recorders;
mod kind_teardown;
mod patience;
mod provider;
pub mod user_config;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;

use patience::Patience;
pub use provider::{Installs, Made, Part, Provider, Teardown};

use crate::engine::{EngineError, ExecOutput};
use crate::journal::Fidelity;

/// Requests that a client takes before any of them has been handed to the connection, as kube's own client does.
const IN_FLIGHT: usize = 1024;

/// Something that an outcome needs and that not every environment has. Other crates may name their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(pub std::borrow::Cow<'static, str>);

impl Capability {
    /// Commands can be run and files read inside a node.
    pub const NODE_EXEC: Self = Self(std::borrow::Cow::Borrowed("node-exec"));
    /// The cluster is made of the spec's own nodes by kind, or as kind would make it: its names, versions and parts are known beforehand.
    pub const KIND: Self = Self(std::borrow::Cow::Borrowed("kind-cluster"));
    /// Nodes pull images from registries.
    pub const IMAGE_PULL: Self = Self(std::borrow::Cow::Borrowed("image-pull"));
    /// The machines behind the nodes can be listed.
    pub const NODE_INVENTORY: Self = Self(std::borrow::Cow::Borrowed("node-inventory"));
    /// A real `kubectl` is there.
    pub const KUBECTL: Self = Self(std::borrow::Cow::Borrowed("kubectl"));
    /// A real `istioctl` is there.
    pub const ISTIOCTL: Self = Self(std::borrow::Cow::Borrowed("istioctl"));
    /// The API server reads the protobuf bodies that kubectl's typed commands send, for example `kubectl create token`.
    pub const TYPED_REQUESTS: Self = Self(std::borrow::Cow::Borrowed("typed-requests"));
    /// Ports of pods can be forwarded, as `istioctl version` does to ask istiod.
    pub const PORT_FORWARD: Self = Self(std::borrow::Cow::Borrowed("port-forward"));
    /// The cluster is this session's own, so that something in it may be broken.
    pub const OWN_CLUSTER: Self = Self(std::borrow::Cow::Borrowed("own-cluster"));
    /// The stages recorded how they installed things.
    pub const TRANSCRIPT: Self = Self(std::borrow::Cow::Borrowed("transcript"));
    /// A mirror of ours stands between the nodes and every registry, and writes down what they ask for.
    pub const RECORDING_MIRROR: Self = Self(std::borrow::Cow::Borrowed("recording-mirror"));
    /// A proxy of ours is there for the nodes, and writes down what they ask for.
    pub const RECORDING_PROXY: Self = Self(std::borrow::Cow::Borrowed("recording-proxy"));
    /// Nodes reach this machine over a network, as other machines would.
    pub const HOST_NETWORK: Self = Self(std::borrow::Cow::Borrowed("host-network"));
    /// The Dashboard serves its own page, with its scripts.
    pub const DASHBOARD_PAGE: Self = Self(std::borrow::Cow::Borrowed("dashboard-page"));
    /// The Dashboard can be told to believe whatever it is given, so that it is seen what happens when it does.
    pub const CREDULOUS_DASHBOARD: Self = Self(std::borrow::Cow::Borrowed("credulous-dashboard"));
    /// The spec asks for a proxy on the nodes.
    pub const NODE_PROXY: Self = Self(std::borrow::Cow::Borrowed("node-proxy"));
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Capabilities by name; an absent one carries the reason why.
#[derive(Debug, Clone, Default)]
pub struct Capabilities(BTreeMap<Capability, Result<(), String>>);

impl Capabilities {
    /// Adds one that is there.
    pub fn give(&mut self, capability: Capability) {
        self.0.insert(capability, Ok(()));
    }

    /// Records why one is absent.
    pub fn lack(&mut self, capability: Capability, reason: impl Into<String>) {
        self.0.insert(capability, Err(reason.into()));
    }

    /// Why a capability is absent, or `None` when it is there.
    #[must_use]
    pub fn missing(&self, capability: &Capability) -> Option<String> {
        match self.0.get(capability) {
            Some(Ok(())) => None,
            Some(Err(reason)) => Some(reason.clone()),
            None => Some("this backend does not have it".to_owned()),
        }
    }
}

/// The machine behind a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMachine {
    /// Name of the node and of its machine.
    pub name: String,
    /// `control-plane` or `worker`.
    pub role: String,
    /// `running`, or what else the backend calls it.
    pub state: String,
    /// When it was last started, where the backend knows.
    pub started: Option<Timestamp>,
}

/// Errors of reaching into a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The engine failed.
    #[error("cannot reach node {node}")]
    Engine {
        /// The node.
        node: String,
        /// Why.
        source: EngineError,
    },
    /// The simulated cluster that hosts the node did not answer as it should.
    #[error("cannot reach node {node}")]
    Remote {
        /// The node.
        node: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Nobody has given us access to the machines of this cluster.
    #[error("node {node} is out of reach: {reason}")]
    OutOfReach {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// The command ended with another code than 0.
    #[error("`{command}` on node {node} ended with code {code}: {output}")]
    Command {
        /// The node.
        node: String,
        /// The command line.
        command: String,
        /// Its exit code.
        code: i64,
        /// The end of what it said.
        output: String,
    },
}

/// Access to the nodes of a cluster.
pub trait NodeAccess: Send + Sync {
    /// The machines that stand behind the nodes, also stopped ones.
    fn machines(&self) -> BoxFuture<'_, Result<Vec<NodeMachine>, NodeError>>;
    /// Runs a command on a node; its exit code is part of the output.
    fn exec<'a>(&'a self, node: &'a str, argv: &'a [&'a str]) -> BoxFuture<'a, Result<ExecOutput, NodeError>>;
    /// Writes a file on a node.
    fn write_file<'a>(&'a self, node: &'a str, path: &'a str, content: &'a str) -> BoxFuture<'a, Result<(), NodeError>>;
    /// What the machine itself has written since it was made, the end of it: on kind, what systemd said while the node booted. `None` where the
    /// backend keeps none. Also of a machine that is stopped.
    fn boot_log<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<String>, NodeError>> {
        let _ = node;
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Everything that the backend knows about the machine, in its own words. `None` where it has none. Also of a machine that is stopped.
    fn describe<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<serde_json::Value>, NodeError>> {
        let _ = node;
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl dyn NodeAccess + '_ {
    /// Runs a command that must succeed; its standard output.
    ///
    /// # Errors
    /// When the node cannot be reached or the command fails.
    pub async fn run(&self, node: &str, argv: &[&str]) -> Result<String, NodeError> {
        let output = self.exec(node, argv).await?;
        if output.code == 0 {
            return Ok(output.stdout);
        }
        let said = format!("{}{}", output.stdout, output.stderr);
        let tail: Vec<&str> = said.trim().lines().rev().take(6).collect();
        Err(NodeError::Command {
            node: node.to_owned(),
            command: argv.join(" "),
            code: output.code,
            output: tail.into_iter().rev().collect::<Vec<_>>().join(" | "),
        })
    }

    /// A file of a node.
    ///
    /// # Errors
    /// When the node cannot be reached or the file cannot be read.
    pub async fn read_file(&self, node: &str, path: &str) -> Result<String, NodeError> {
        self.run(node, &["cat", path]).await
    }
}

/// A cluster that can be asked and looked into.
#[derive(Clone)]
pub struct Cluster {
    /// Name, for example `istio-cluster`.
    pub name: String,
    /// Client with the rights of a cluster administrator.
    pub client: kube::Client,
    /// The private kubeconfig with the same rights.
    pub kubeconfig: PathBuf,
    /// Context inside the kubeconfig, for example `kind-istio-cluster`.
    pub context: String,
    /// What this cluster can be asked for.
    pub capabilities: Capabilities,
    /// Real or simulated.
    pub fidelity: Fidelity,
    /// Access to its nodes.
    pub nodes: Arc<dyn NodeAccess>,
    /// How its time passes, where it does not do so by itself.
    pub passage: Option<Arc<dyn crate::wait::Passage>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).field("context", &self.context).finish_non_exhaustive()
    }
}

/// Errors of making a client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read or does not name the context.
    #[error("cannot use the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// The client cannot be made from it.
    #[error("cannot make a client from the kubeconfig {path}")]
    Client {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// A client from a private kubeconfig, by its current context: it has no other.
///
/// # Errors
/// When the file cannot be used.
pub async fn own_client(path: &std::path::Path) -> Result<kube::Client, ClientError> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|source| ClientError::Kubeconfig { path: path.to_owned(), source })?;
    client(path, &kubeconfig.current_context.unwrap_or_default()).await
}

/// A client from a kubeconfig that takes no proxy from the environment.
///
/// # Errors
/// When the file cannot be used.
pub async fn client(path: &std::path::Path, context: &str) -> Result<kube::Client, ClientError> {
    let bad = |source| ClientError::Kubeconfig { path: path.to_owned(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(bad)?;
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(bad)?;
    // kube would take HTTP(S)_PROXY from the environment and know nothing of NO_PROXY.
    config.proxy_url = None;
    // It would ask again for minutes where 503 is the answer that a check is looking for; what may take its time is waited for in wait/.
    config.default_retry = false;
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    // No answer and no byte of one for this long: an API server that hangs must not hang us. Watches are made anew more often than this.
    config.read_timeout = Some(std::time::Duration::from_secs(30));
    config.write_timeout = Some(std::time::Duration::from_secs(30));
    let builder = ClientBuilder::try_from(config).map_err(|e| ClientError::Client { path: path.to_owned(), source: Box::new(e) })?;
    Ok(builder.with_layer(&BufferLayer::new(IN_FLIGHT)).with_layer(&RetryLayer::new(Patience::new())).build())
}
