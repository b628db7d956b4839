//! A simulated machine as its kubelet sees it.

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kubelet::{ContainerRecord, Image, NodeFacts, PullError, Runtime};
use crate::node::{self, Node, RunState, reference::Reference};

/// A machine with its power switch. Cheap to clone.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    node: Node,
    power: watch::Sender<bool>,
    kubelet_version: String,
    address: String,
    /// The only machine of its cluster: kind then takes the control plane's taint away.
    only: bool,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Machine").field(&self.node().name()).finish()
    }
}

impl Machine {
    pub(super) fn new(node: Node, version: &str, address: &str, only: bool) -> Self {
        let (power, kubelet_version, address) = (watch::Sender::new(true), version.to_owned(), address.to_owned());
        Self(Arc::new(Inner { node, power, kubelet_version, address, only }))
    }

    /// The node inside.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// Stops it, as `docker stop` does.
    pub fn stop(&self) {
        self.0.node.stop();
        self.0.power.send_replace(false);
    }

    /// Starts it again.
    pub fn start(&self) {
        self.0.node.start();
        self.0.power.send_replace(true);
    }

    /// Freezes it.
    pub fn pause(&self) {
        self.0.node.pause();
        self.0.power.send_replace(false);
    }

    /// Thaws it.
    pub fn unpause(&self) {
        self.0.node.unpause();
        self.0.power.send_replace(self.0.node.run_state() == RunState::Running);
    }

    /// `running`, `exited` or `paused`, as a container engine says it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.0.node.run_state() {
            RunState::Running => "running",
            RunState::Exited => "exited",
            RunState::Paused => "paused",
        }
    }

    /// `control-plane` or `worker`.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.0.node.settings().role
    }
}

fn image(found: &node::Image, named: &str) -> Image {
    let repository = Reference::parse(named).map(|r| r.name()).unwrap_or_default();
    let digest = found.digests.iter().find(|d| d.starts_with(&format!("{repository}@"))).or_else(|| found.digests.first());
    Image {
        id: found.id.clone(),
        repo_digest: digest.cloned().unwrap_or_default(),
        repository,
        size: found.size,
        labels: json!(found.labels()),
    }
}

impl Runtime for Machine {
    fn present(&self, named: &str) -> Option<Image> {
        self.0.node.image(named).map(|found| image(&found, named))
    }

    fn pull(&self, named: &str) -> BoxFuture<'_, Result<Image, PullError>> {
        let named = named.to_owned();
        Box::pin(async move {
            match self.0.node.pull(&named).await {
                Ok(found) => Ok(image(&found, &named)),
                Err(e) => Err(PullError { message: e.to_string() }),
            }
        })
    }

    fn container(&self, record: ContainerRecord) {
        let state = if record.running { "CONTAINER_RUNNING" } else { "CONTAINER_EXITED" };
        self.0.node.containers().put(node::ContainerRecord {
            id: record.id,
            pod_uid: record.pod_uid,
            pod_name: record.pod,
            namespace: record.namespace,
            name: record.name,
            image: record.image,
            image_id: record.image_id,
            state: state.to_owned(),
            created: record.created,
            attempt: u32::try_from(record.attempt).unwrap_or(u32::MAX),
            log: Vec::new(),
        });
    }

    fn container_gone(&self, id: &str) {
        self.0.node.containers().remove(id);
    }

    fn running(&self) -> watch::Receiver<bool> {
        self.0.power.subscribe()
    }

    fn started(&self) -> Timestamp {
        self.0.node.started()
    }

    fn facts(&self) -> NodeFacts {
        let settings = self.0.node.settings();
        let control_plane = settings.role == "control-plane";
        let mut labels = vec![];
        let mut taints: Vec<Value> = vec![];
        if control_plane {
            labels.push(("node-role.kubernetes.io/control-plane".to_owned(), String::new()));
            if !self.0.only {
                labels.push(("node.kubernetes.io/exclude-from-external-load-balancers".to_owned(), String::new()));
                taints.push(json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}));
            }
        }
        NodeFacts {
            cpu_millis: settings.cpu_millis,
            memory_bytes: settings.memory,
            pods: 110,
            kernel: settings.kernel.clone(),
            os_image: settings.os_image.clone(),
            container_runtime: self.0.node.runtime_version(),
            kubelet_version: self.0.kubelet_version.clone(),
            architecture: settings.architecture.clone(),
            addresses: vec![self.0.address.clone()],
            role: if control_plane { "control-plane".to_owned() } else { String::new() },
            labels,
            taints,
        }
    }

    fn ready(&self) -> bool {
        self.0.node.runtime_ready("RuntimeService").is_ok()
    }
}
