//! The one task behind all kubelets of a cluster: it waits for changes, for times, and for what its effects come to, and brings pods on.
//!
//! Pods have no tasks of their own. A pod that something happened to is dirty; bringing it on is one synchronous step that does everything
//! that can be done now, writes its status once, and says when it wants to be looked at again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::events::Recorder;
use super::node::Node;
use super::pod::Pod;
use super::runtime::{Image, PullError, Runtime};
use super::stages::{Stages, Subject};
use crate::api::Api;
use crate::store::{Change, Object};
use crate::workload::{Process, Workloads};

/// How many pods are brought on before others get their turn.
const BATCH: usize = 64;

/// What the engine is told.
pub(super) enum Command {
    Add(Arc<str>, Arc<dyn Runtime>),
    Remove(Arc<str>),
    Static(Arc<str>, Value),
    Stages(Stages),
}

/// What an effect came to.
pub(super) enum Done {
    Pulled { node: Arc<str>, image: String, result: Result<Image, PullError> },
    Exited { pod: u64, container: usize, serial: u64, process: Process },
    Probed { pod: u64, container: usize, serial: u64, probe: usize, outcome: Result<(), String> },
    PreStop { pod: u64, container: usize, serial: u64 },
    Machine { node: Arc<str>, up: bool, receiver: watch::Receiver<bool> },
    Nothing,
}

/// What the task knows.
pub(super) struct Engine {
    pub(super) api: Api,
    pub(super) shared: Arc<Shared>,
    pub(super) stages: Arc<Stages>,
    pub(super) pod_stages: usize,
    pub(super) workloads: Workloads,
    pub(super) nodes: HashMap<Arc<str>, Node>,
    pub(super) pods: HashMap<u64, Pod>,
    pub(super) by_uid: HashMap<String, u64>,
    pub(super) dirty: VecDeque<u64>,
    pub(super) wanting: HashSet<u64>,
    timers: BinaryHeap<Reverse<(Timestamp, u64)>>,
    pub(super) effects: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(super) recorder: Recorder,
    pub(super) serial: u64,
    pub(super) next_node: u16,
}

impl Engine {
    pub(super) fn new(api: Api, shared: Arc<Shared>, workloads: Workloads, stages: Stages) -> Self {
        let mut engine = Self {
            api,
            shared,
            stages: Arc::new(stages),
            pod_stages: 0,
            workloads,
            nodes: HashMap::new(),
            pods: HashMap::new(),
            by_uid: HashMap::new(),
            dirty: VecDeque::new(),
            wanting: HashSet::new(),
            timers: BinaryHeap::new(),
            effects: FuturesUnordered::new(),
            recorder: Recorder::default(),
            serial: 0,
            next_node: 0,
        };
        engine.pod_stages = engine.stages.all().iter().filter(|s| s.resource == Subject::Pod).count();
        engine
    }

    /// Runs until nobody can give commands any more.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let store = self.api.store().clone();
        let clock = self.api.clock().clone();
        let [mut pods, mut nodes, mut configmaps, mut secrets] = ["pods", "nodes", "configmaps", "secrets"].map(|r| store.subscribe(r));
        let mut faults = self.shared.faults.subscribe();
        let (mut pods_seen, mut nodes_seen) = (0, 0);
        loop {
            let mut more = false;
            loop {
                match commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            if faults.has_changed().unwrap_or(false) {
                faults.mark_unchanged();
                self.faults_changed();
            }
            if configmaps.has_changed().unwrap_or(false) || secrets.has_changed().unwrap_or(false) {
                configmaps.mark_unchanged();
                secrets.mark_unchanged();
                for pod in std::mem::take(&mut self.wanting) {
                    if let Some(found) = self.pods.get_mut(&pod) {
                        found.mount_at = None;
                        found.containers.iter_mut().filter(|c| !c.pulling && c.run.is_none()).for_each(|c| {
                            if matches!(&c.state, super::pod::State::Waiting(reason, _) if reason == "CreateContainerConfigError") {
                                c.hold = None;
                            }
                        });
                    }
                    self.touch(pod);
                }
            }
            nodes.mark_unchanged();
            more |= self.follow("nodes", &mut nodes_seen);
            pods.mark_unchanged();
            more |= self.follow("pods", &mut pods_seen);
            for _ in 0..256 {
                match futures::FutureExt::now_or_never(self.effects.next()) {
                    Some(Some(done)) => {
                        more = true;
                        self.take(done);
                    }
                    _ => break,
                }
            }
            let now = clock.now();
            while let Some(Reverse((at, pod))) = self.timers.peek().copied()
                && at <= now
            {
                self.timers.pop();
                if let Some(found) = self.pods.get_mut(&pod).filter(|p| p.wake == Some(at)) {
                    found.wake = None;
                    self.touch(pod);
                }
            }
            let node_due = self.tick_nodes(now);
            for _ in 0..BATCH {
                let Some(pod) = self.dirty.pop_front() else { break };
                self.bring_on(pod);
                more = true;
            }
            // Events are written when there is nothing more important.
            if more || !self.dirty.is_empty() || self.recorder.flush(&self.api, BATCH) {
                tokio::task::yield_now().await;
                continue;
            }
            let next = self.timers.peek().map(|Reverse((at, _))| *at).into_iter().chain(node_due).min();
            let at = next.unwrap_or_else(|| clock.now() + Duration::from_hours(1));
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some(done) = self.effects.next(), if !self.effects.is_empty() => self.take(done),
                _ = pods.changed() => {}
                _ = nodes.changed() => {}
                _ = configmaps.changed(), if !self.wanting.is_empty() => configmaps.mark_changed(),
                _ = secrets.changed(), if !self.wanting.is_empty() => secrets.mark_changed(),
                _ = faults.changed() => faults.mark_changed(),
                () = clock.sleep_until(at) => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add(name, runtime) => self.add_node(&name, runtime),
            Command::Remove(name) => self.remove_node(&name),
            Command::Static(node, pod) => self.add_static(&node, pod),
            Command::Stages(stages) => {
                self.stages = Arc::new(stages);
                self.pod_stages = self.stages.all().iter().filter(|s| s.resource == Subject::Pod).count();
                let (pods, nodes) = (self.pod_stages, self.stages.all().len() - self.pod_stages);
                self.nodes.values_mut().for_each(|n| n.due = vec![None; nodes]);
                self.pods.values_mut().for_each(|p| p.stages = vec![None; pods]);
                self.touch_all(|_| true);
            }
        }
    }

    /// Reads some of the newest events of a resource; says whether there were any.
    fn follow(&mut self, resource: &'static str, seen: &mut u64) -> bool {
        const SOME: usize = 512;
        if let Ok(events) = self.api.store().events(resource, *seen, SOME) {
            for event in &events {
                *seen = event.object.revision;
                self.observe(resource, event.change, &event.object);
            }
            return !events.is_empty();
        }
        // The log is shorter than what was missed: look at everything there is.
        let (revision, objects) = self.api.store().list(resource, "");
        *seen = revision;
        if resource == "pods" {
            let there: HashSet<&str> = objects.iter().map(|o| &*o.uid).collect();
            let gone: Vec<u64> = self.by_uid.iter().filter(|(uid, _)| !there.contains(uid.as_str())).map(|(_, p)| *p).collect();
            for pod in gone {
                self.forget(pod);
            }
        }
        for object in &objects {
            self.observe(resource, Change::Modified, object);
        }
        true
    }

    fn observe(&mut self, resource: &str, change: Change, object: &Arc<Object>) {
        if resource == "nodes" {
            return self.observe_node(change, object);
        }
        if change == Change::Deleted {
            if let Some(&pod) = self.by_uid.get(&*object.uid) {
                self.forget(pod);
            }
            return;
        }
        if let Some(&at) = self.by_uid.get(&*object.uid) {
            if self.pods.get(&at).is_some_and(|p| p.revision < object.revision)
                && let Some(mut pod) = self.take_pod(at)
            {
                pod.revision = object.revision;
                let old = std::mem::replace(&mut pod.object, Arc::new(object.value()));
                // Others may have written into the kubelet's part, as the node controller does when it hears nothing.
                pod.posted = Value::Null;
                self.pods.insert(at, pod);
                self.follow_spec(at, &old);
                self.touch(at);
            }
            return;
        }
        let Some(node) = object.field("spec.nodeName").filter(|n| !n.is_empty()) else { return };
        let Some((node, _)) = self.nodes.get_key_value(node) else { return };
        let node = Arc::clone(node);
        self.admit(&node, object);
    }

    /// A pod that is new to its kubelet.
    pub(super) fn admit(&mut self, node: &Arc<str>, object: &Object) {
        let pod = Pod::new(Arc::clone(node), object.value(), object.revision, self.pod_stages);
        self.serial += 1;
        let id = self.serial;
        self.by_uid.insert(pod.uid.clone(), id);
        if let Some(node) = self.nodes.get_mut(node) {
            node.pods.insert(id);
        }
        self.pods.insert(id, pod);
        self.touch(id);
    }

    /// Something happened to a pod.
    pub(super) fn touch(&mut self, id: u64) {
        if let Some(pod) = self.pods.get_mut(&id).filter(|p| !p.dirty) {
            pod.dirty = true;
            self.dirty.push_back(id);
        }
    }

    pub(super) fn touch_all(&mut self, which: impl Fn(&Pod) -> bool) {
        let ids: Vec<u64> = self.pods.iter().filter(|(_, p)| which(p)).map(|(id, _)| *id).collect();
        for id in ids {
            self.touch(id);
        }
    }

    /// A pod is to be looked at again at a time.
    pub(super) fn wake(&mut self, id: u64, pod: &mut Pod, at: Timestamp) {
        if pod.wake.is_none_or(|planned| at < planned) {
            pod.wake = Some(at);
            self.timers.push(Reverse((at, id)));
        }
    }

    fn bring_on(&mut self, id: u64) {
        let Some(mut pod) = self.take_pod(id) else { return };
        pod.dirty = false;
        if self.active(&pod.node) {
            self.sync(id, &mut pod);
        }
        if pod.settled()
            && let Some(object) = self.api.store().get("pods", &pod.namespace, &pod.name).filter(|o| o.revision == pod.revision)
        {
            pod.pack(object);
        }
        self.pods.insert(id, pod);
    }

    /// A pod to work on; it is put back afterwards.
    pub(super) fn take_pod(&mut self, id: u64) -> Option<Pod> {
        let mut pod = self.pods.remove(&id)?;
        pod.unpack();
        Some(pod)
    }

    /// Whether a node's kubelet does anything.
    pub(super) fn active(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|n| n.up && !n.silent)
    }

    fn faults_changed(&mut self) {
        let crashes = self.shared.faults.take_crashes();
        for (target, code) in crashes {
            let mut hits = Vec::new();
            for (id, pod) in &self.pods {
                hits.extend((0..pod.containers.len()).filter(|&at| super::faults::fits(&target, pod.target(at))).map(|at| (*id, at)));
            }
            for (id, at) in hits {
                self.end_now(id, at, code);
            }
        }
        let faults = self.shared.faults.clone();
        let mut spoke = HashSet::new();
        for node in self.nodes.values_mut() {
            let silent = faults.is_silent(&node.name);
            if std::mem::replace(&mut node.silent, silent) && !silent {
                spoke.insert(Arc::clone(&node.name));
            }
        }
        for name in &spoke {
            self.ensure_mirrors(name);
        }
        let touched = faults.take_touched();
        let hit = |pod: &Pod| touched.iter().any(|t| (0..pod.containers.len()).any(|at| super::faults::fits(t, pod.target(at))));
        self.touch_all(|pod| spoke.contains(&pod.node) || hit(pod));
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Machine { node, up, receiver } => self.machine(&node, up, receiver),
            Done::Pulled { node, image, result } => self.pulled(&node, &image, &result),
            Done::Exited { pod, container, serial, process } => {
                let Process::Exited { code, reason } = process else { return };
                self.exited(pod, container, serial, code, &reason);
            }
            Done::Probed { pod, container, serial, probe, outcome } => self.probed(pod, container, serial, probe, &outcome),
            Done::PreStop { pod, container, serial } => {
                let run = self.pods.get(&pod).and_then(|p| p.containers[container].run.as_ref());
                if let Some(run) = run.filter(|r| r.serial == serial) {
                    run.instance.stop();
                }
            }
        }
    }

    /// Removes what is left of a pod whose object is gone.
    pub(super) fn forget(&mut self, id: u64) {
        let Some(mut pod) = self.take_pod(id) else { return };
        if self.active(&pod.node) && self.revive_mirror(id, &mut pod) {
            self.pods.insert(id, pod);
            self.touch(id);
            return;
        }
        self.by_uid.remove(&pod.uid);
        self.wanting.remove(&id);
        self.shared.instances.gone(&pod.namespace, &pod.name);
        if let Some(node) = self.nodes.get_mut(&pod.node) {
            node.pods.remove(&id);
            // One that ended gave it back before, and another pod may have it now.
            if let Some(ip) = pod.ip.as_ref().filter(|_| !pod.released) {
                node.release(ip);
            }
            for container in &mut pod.containers {
                if let Some(run) = container.run.take() {
                    run.instance.stop();
                    node.runtime.container_gone(&run.id);
                } else if !container.last_id.is_empty() {
                    node.runtime.container_gone(&container.last_id);
                }
            }
        }
    }
}

impl Drop for Engine {
    /// Programs end with the cluster that they run in.
    fn drop(&mut self) {
        for run in self.pods.values().flat_map(|p| &p.containers).filter_map(|c| c.run.as_ref()) {
            run.instance.stop();
        }
    }
}
