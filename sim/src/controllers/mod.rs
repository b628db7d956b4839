//! The controllers of the control plane and the scheduler: what kube-controller-manager and kube-scheduler do, as far as tests can see it.
//!
//! One task serves all of them. It follows the store's events of every resource, keeps short summaries of what is looked at often, and calls
//! the controllers with keys of a queue. Before each call it has taken in every event, its own writes included, so that no controller ever
//! acts on old news and none needs upstream's expectations.

mod crd;
mod daemonset;
mod demand;
mod deployment;
mod disruption;
mod endpoints;
mod eviction;
mod fields;
mod gc;
mod history;
mod job;
mod kernel;
mod namespace;
mod nodes;
mod pods;
mod queue;
mod recorder;
mod replicaset;
mod routes;
mod scheduler;
mod selector;
mod serviceaccount;
mod slices;
mod statefulset;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;
use kernel::Kernel;

/// Which controllers stand still, by name. Cheap to clone; clones share it.
///
/// The names: `crd`, `daemonset`, `deployment`, `disruption`, `endpoints`, `endpointslice`, `gc`, `job`, `namespace`, `node`,
/// `node-lifecycle`, `pod-gc`, `replicaset`, `root-ca`, `scheduler`, `serviceaccount`, `statefulset`, `taint-eviction`.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<watch::Sender<BTreeSet<String>>>);

impl Pause {
    /// Lets a controller do nothing until it is resumed. What happens meanwhile is not lost to it.
    pub fn pause(&self, name: &str) {
        self.0.send_modify(|paused| {
            paused.insert(name.to_owned());
        });
    }

    /// Lets it go on.
    pub fn resume(&self, name: &str) {
        self.0.send_modify(|paused| {
            paused.remove(name);
        });
    }
}

/// How the controllers of a cluster are set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster's CA certificate in PEM, for the `ConfigMap` `kube-root-ca.crt`.
    pub ca_pem: String,
    /// Which controllers stand still.
    pub pause: Pause,
    /// How long a node may be silent (`--node-monitor-grace-period`).
    pub node_monitor_grace: Duration,
    /// How a quantity is read, in thousandths.
    pub quantity: fn(&str) -> Option<i128>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ca_pem: String::new(),
            pause: Pause::default(),
            node_monitor_grace: Duration::from_secs(40),
            quantity: crate::kinds::quantity,
        }
    }
}

/// The running controllers of a cluster; they end when this is dropped.
#[derive(Debug)]
pub struct Controllers {
    pause: Pause,
    _tasks: JoinSet<()>,
}

impl Controllers {
    /// Lets a controller do nothing until it is resumed, by the names of [`Pause`].
    pub fn pause(&self, name: &str) {
        self.pause.pause(name);
    }

    /// Lets a controller go on.
    pub fn resume(&self, name: &str) {
        self.pause.resume(name);
    }
}

/// Starts the controllers of a cluster on the current runtime.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn start(api: &Api, settings: Settings) -> Controllers {
    let pause = settings.pause.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(Kernel::new(api.clone(), settings).run());
    Controllers { pause, _tasks: tasks }
}
