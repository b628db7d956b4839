//! The containers that run, for whoever wants to reach them: the API server's logs and proxy, and services.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::workload::{Instance, Log, Process, Request, Unreachable};

/// A pod's containers by name, and its address.
#[derive(Default)]
struct Pod {
    ip: String,
    containers: BTreeMap<String, Entry>,
}

struct Entry {
    instance: Option<Arc<dyn Instance>>,
    log: Log,
    previous: Option<Log>,
}

#[derive(Default)]
struct Inner {
    pods: HashMap<(String, String), Pod>,
    by_ip: HashMap<String, Vec<(String, String)>>,
}

/// The registry of a cluster's containers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Instances(Arc<RwLock<Inner>>);

impl std::fmt::Debug for Instances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instances").field("pods", &self.read().pods.len()).finish_non_exhaustive()
    }
}

fn key(namespace: &str, pod: &str) -> (String, String) {
    (namespace.to_owned(), pod.to_owned())
}

impl Instances {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container that runs.
    #[must_use]
    pub fn get(&self, namespace: &str, pod: &str, container: &str) -> Option<Arc<dyn Instance>> {
        self.read().pods.get(&key(namespace, pod))?.containers.get(container)?.instance.clone()
    }

    /// The containers that run behind an address; those of several pods where it is a node's.
    #[must_use]
    pub fn by_ip(&self, ip: &str) -> Vec<Arc<dyn Instance>> {
        let inner = self.read();
        let pods = inner.by_ip.get(ip).into_iter().flatten().filter_map(|k| inner.pods.get(k));
        pods.flat_map(|p| p.containers.values().filter_map(|c| c.instance.clone())).collect()
    }

    /// Asks whoever listens behind an address: the containers of a pod share one network.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn answer(&self, ip: &str, request: Request) -> Result<http::Response<Bytes>, Unreachable> {
        let listeners = self.by_ip(ip);
        // An address without a machine behind it does not refuse; it says nothing.
        let mut last = if listeners.is_empty() { Unreachable::Silent } else { Unreachable::Refused };
        for instance in listeners {
            match instance.answer(request.clone()).await {
                Err(Unreachable::Refused) => {}
                Err(other) => last = other,
                answer => return answer,
            }
        }
        Err(last)
    }

    /// A container's log, or that of the one before its last restart.
    #[must_use]
    pub fn log(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<Log> {
        let inner = self.read();
        let entry = inner.pods.get(&key(namespace, pod))?.containers.get(container)?;
        if previous { entry.previous.clone() } else { Some(entry.log.clone()) }
    }

    /// The names of a pod's containers that were started at least once.
    #[must_use]
    pub fn containers(&self, namespace: &str, pod: &str) -> Vec<String> {
        self.read().pods.get(&key(namespace, pod)).map(|p| p.containers.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn started(&self, (namespace, pod): (&str, &str), ip: &str, container: &str, instance: Arc<dyn Instance>, log: Log) {
        let mut inner = self.write();
        let key = key(namespace, pod);
        let entry = inner.pods.entry(key.clone()).or_default();
        let old = std::mem::replace(&mut entry.ip, ip.to_owned());
        let previous = entry.containers.remove(container).map(|e| e.log);
        entry.containers.insert(container.to_owned(), Entry { instance: Some(instance), log, previous });
        if old != ip {
            inner.unlist(&old, &key);
            inner.by_ip.entry(ip.to_owned()).or_default().push(key);
        }
    }

    pub(super) fn ended(&self, namespace: &str, pod: &str, container: &str) {
        if let Some(entry) = self.write().pods.get_mut(&key(namespace, pod)).and_then(|p| p.containers.get_mut(container)) {
            entry.instance = None;
            // Whoever follows it is told that nothing more comes.
            entry.log.end();
        }
    }

    pub(super) fn gone(&self, namespace: &str, pod: &str) {
        let mut inner = self.write();
        let key = key(namespace, pod);
        if let Some(pod) = inner.pods.remove(&key) {
            pod.containers.values().for_each(|c| c.log.end());
            inner.unlist(&pod.ip, &key);
        }
    }
}

impl Inner {
    fn unlist(&mut self, ip: &str, key: &(String, String)) {
        if let Some(pods) = self.by_ip.get_mut(ip) {
            pods.retain(|k| k != key);
            if pods.is_empty() {
                self.by_ip.remove(ip);
            }
        }
    }
}

/// A container that does not answer while its machine is down.
pub(super) struct Guarded {
    pub(super) inner: Arc<dyn Instance>,
    pub(super) up: watch::Receiver<bool>,
}

impl Instance for Guarded {
    fn process(&self) -> watch::Receiver<Process> {
        self.inner.process()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>> {
        if *self.up.borrow() { self.inner.answer(request) } else { Box::pin(std::future::ready(Err(Unreachable::Silent))) }
    }

    fn stop(&self) {
        self.inner.stop();
    }
}
