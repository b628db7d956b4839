//! What can be made to go wrong on the nodes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Namespace, pod and container; a pod name that ends with `*` means all that begin so.
pub(super) type Target = (String, String, String);

#[derive(Default)]
struct State {
    silent: HashSet<String>,
    pulls: Vec<(String, Option<String>, String)>,
    crashing: HashMap<Target, i32>,
    crashes: Vec<(Target, i32)>,
    unready: HashSet<Target>,
    slow: HashMap<Target, Duration>,
    /// Whose faults changed since somebody looked.
    touched: Vec<Target>,
}

/// The faults of a cluster's nodes. Cheap to clone.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>, Arc<watch::Sender<u64>>);

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::default(), Arc::new(watch::Sender::new(0)))
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

fn target((namespace, pod, container): (&str, &str, &str)) -> Target {
    (namespace.to_owned(), pod.to_owned(), container.to_owned())
}

pub(super) fn fits(wanted: &Target, (namespace, pod, container): (&str, &str, &str)) -> bool {
    let named = wanted.1.strip_suffix('*').map_or(wanted.1 == pod, |prefix| pod.starts_with(prefix));
    wanted.0 == namespace && named && wanted.2 == container
}

impl Faults {
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.1.send_modify(|n| *n += 1);
    }

    /// A node's kubelet stops or resumes doing anything; its containers run on.
    pub fn silent(&self, node: &str, silent: bool) {
        self.change(|s| {
            if silent {
                s.silent.insert(node.to_owned())
            } else {
                s.silent.remove(node)
            };
        });
    }

    /// Pulls of an image (as pods name it) fail with a message, on one node or on all.
    pub fn pull_error(&self, image: &str, node: Option<&str>, message: &str) {
        self.change(|s| s.pulls.push((image.to_owned(), node.map(str::to_owned), message.to_owned())));
    }

    /// Pulls of an image work again.
    pub fn heal_pull(&self, image: &str) {
        self.change(|s| s.pulls.retain(|(i, _, _)| i != image));
    }

    /// A container (namespace, pod, name) ends with an exit code: once now, or now and after each start.
    pub fn crash(&self, container: (&str, &str, &str), code: i32, always: bool) {
        self.change(|s| {
            s.crashes.push((target(container), code));
            if always {
                s.crashing.insert(target(container), code);
            }
        });
    }

    /// A container does not end after its start any more.
    pub fn heal_crash(&self, container: (&str, &str, &str)) {
        self.change(|s| {
            s.crashing.remove(&target(container));
        });
    }

    /// A container is not ready whatever its probes say, or is what they say again.
    pub fn unready(&self, container: (&str, &str, &str), unready: bool) {
        self.change(|s| {
            s.touched.push(target(container));
            if unready {
                s.unready.insert(target(container))
            } else {
                s.unready.remove(&target(container))
            };
        });
    }

    /// A container takes a while to start. Zero heals it.
    pub fn slow_start(&self, container: (&str, &str, &str), time: Duration) {
        self.change(|s| {
            s.touched.push(target(container));
            if time.is_zero() {
                s.slow.remove(&target(container))
            } else {
                s.slow.insert(target(container), time)
            };
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }

    pub(super) fn is_silent(&self, node: &str) -> bool {
        self.read(|s| s.silent.contains(node))
    }

    pub(super) fn pull(&self, image: &str, node: &str) -> Option<String> {
        let on = |wanted: &Option<String>| wanted.as_deref().is_none_or(|n| n == node);
        self.read(|s| s.pulls.iter().rev().find(|(i, n, _)| i == image && on(n)).map(|(_, _, m)| m.clone()))
    }

    /// The containers whose faults changed.
    pub(super) fn take_touched(&self) -> Vec<Target> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).touched)
    }

    /// The containers that are to end now.
    pub(super) fn take_crashes(&self) -> Vec<(Target, i32)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).crashes)
    }

    pub(super) fn crashing(&self, container: (&str, &str, &str)) -> Option<i32> {
        self.read(|s| s.crashing.iter().find(|(t, _)| fits(t, container)).map(|(_, code)| *code))
    }

    pub(super) fn is_unready(&self, container: (&str, &str, &str)) -> bool {
        self.read(|s| s.unready.iter().any(|t| fits(t, container)))
    }

    pub(super) fn slow(&self, container: (&str, &str, &str)) -> Option<Duration> {
        self.read(|s| s.slow.iter().find(|(t, _)| fits(t, container)).map(|(_, time)| *time))
    }
}
