//! Simulated kubelets: what becomes of a pod once it is bound to a node.
//!
//! As in kwok, what happens is data ([`Stages`]); unlike there, it has effects: images are pulled by the node's [`Runtime`], programs run
//! ([`crate::workload`]), probes ask them. One task serves all nodes of a cluster.

mod advance;
mod config;
mod engine;
mod events;
mod faults;
mod image;
mod instances;
mod mirror;
mod node;
mod play;
mod pod;
mod probe;
mod probes;
mod runtime;
mod stages;
mod status;
mod stop;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::Api;
use crate::workload::Workloads;
use engine::{Command, Engine};

pub use faults::Faults;
pub use instances::Instances;
pub use runtime::{ContainerRecord, Image, NodeFacts, PullError, Runtime};
pub use stages::{Delay, Effect, Expression, Finalizers, Next, Operator, Selector, Stage, StageError, StageEvent, Stages, Subject};

/// What the handles and the task share.
#[derive(Default)]
struct Shared {
    nodes: RwLock<HashMap<String, Arc<dyn Runtime>>>,
    instances: Instances,
    faults: Faults,
}

/// The kubelets of a cluster. Cheap to clone; they end with the last handle.
#[derive(Clone)]
pub struct Kubelets {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

impl std::fmt::Debug for Kubelets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelets").finish_non_exhaustive()
    }
}

impl Kubelets {
    /// Starts to serve a cluster's nodes; call it inside a tokio runtime.
    #[must_use]
    pub fn new(api: Api, workloads: Workloads, stages: Stages) -> Self {
        let shared = Arc::<Shared>::default();
        let (commands, received) = mpsc::unbounded_channel();
        tokio::spawn(Engine::new(api, Arc::clone(&shared), workloads, stages).run(received));
        Self { shared, commands }
    }

    /// Starts the kubelet of a machine: it registers its node and runs the pods that are bound to it.
    pub fn add(&self, name: &str, runtime: Arc<dyn Runtime>) -> Kubelet {
        self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&runtime));
        self.send(Command::Add(name.into(), runtime));
        Kubelet { kubelets: self.clone(), name: name.into() }
    }

    /// Ends the kubelet of a machine that is taken away; its objects stay.
    pub fn remove(&self, name: &str) {
        self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.send(Command::Remove(name.into()));
    }

    /// The kubelet of a node.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Kubelet> {
        let known = self.shared.nodes.read().unwrap_or_else(PoisonError::into_inner).contains_key(name);
        known.then(|| Kubelet { kubelets: self.clone(), name: name.into() })
    }

    /// Replaces what the kubelets do.
    pub fn set_stages(&self, stages: Stages) {
        self.send(Command::Stages(stages));
    }

    /// The containers that run.
    #[must_use]
    pub fn instances(&self) -> Instances {
        self.shared.instances.clone()
    }

    /// What can be made to go wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// What a kubelet says to `/healthz`.
    ///
    /// # Errors
    /// When it is not reached: what Go's dialer says then.
    pub fn healthz(&self, node: &str) -> Result<(), String> {
        let nodes = self.shared.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(runtime) = nodes.get(node) else { return Err(format!("nodes {node:?} not found")) };
        let address = runtime.facts().addresses.first().cloned().unwrap_or_default();
        if !*runtime.running().borrow() {
            return Err(format!("dial tcp {address}:10250: connect: no route to host"));
        }
        if self.shared.faults.is_silent(node) {
            return Err(format!("dial tcp {address}:10250: i/o timeout"));
        }
        // Its runtime may be down: `syncloop` notices only after minutes (kubelet `syncLoopHealthCheck`), and nothing else here asks for it.
        Ok(())
    }

    fn send(&self, command: Command) {
        // Only a runtime that is being shut down has no task to receive it.
        drop(self.commands.send(command));
    }
}

/// One node's kubelet.
#[derive(Debug, Clone)]
pub struct Kubelet {
    kubelets: Kubelets,
    name: Arc<str>,
}

impl Kubelet {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a pod that the machine itself wants, as from a file in `/etc/kubernetes/manifests`; the API shows its mirror.
    pub fn static_pod(&self, pod: Value) {
        self.kubelets.send(Command::Static(Arc::clone(&self.name), pod));
    }

    /// What it says to `/healthz`.
    ///
    /// # Errors
    /// See [`Kubelets::healthz`].
    pub fn healthz(&self) -> Result<(), String> {
        self.kubelets.healthz(&self.name)
    }
}
