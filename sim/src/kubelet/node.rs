//! A node: its registration, its status, its lease, and its machine going down and coming back. Source: kubelet `kubelet_node_status.go` and
//! `nodestatus/setters.go`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::engine::{Done, Engine};
use super::events::About;
use super::image::Waiting;
use super::pod::Role;
use super::runtime::{NodeFacts, Runtime};
use super::stages::{Effect, Stage, Subject, fill, merge};
use crate::api::uuid;
use crate::clock::stamp;
use crate::store::{Change, Object};

/// One node.
#[expect(clippy::struct_excessive_bools, reason = "they say different things")]
pub(super) struct Node {
    pub(super) name: Arc<str>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) running: watch::Receiver<bool>,
    pub(super) up: bool,
    pub(super) silent: bool,
    pub(super) facts: NodeFacts,
    pub(super) pods: HashSet<u64>,
    pub(super) pulls: HashMap<String, Waiting>,
    /// Pods that the machine itself says run on it, as their mirrors are.
    pub(super) statics: Vec<Value>,
    /// When each of the node's stages is due.
    pub(super) due: Vec<Option<Timestamp>>,
    object: Value,
    revision: u64,
    /// It changed since its stages were looked at.
    stale: bool,
    cidr: [u8; 3],
    taken: HashSet<u8>,
    last: u8,
    machine_id: String,
    boot_id: String,
    leased: bool,
}

impl Node {
    /// The node's own address.
    pub(super) fn ip(&self) -> &str {
        self.facts.addresses.first().map_or("", String::as_str)
    }

    /// An address for a pod.
    pub(super) fn take_ip(&mut self) -> Option<String> {
        for _ in 0..=u8::MAX {
            // The first is the bridge's, and the last is for broadcasts.
            self.last = if self.last >= 254 { 2 } else { self.last.max(1) + 1 };
            if self.taken.insert(self.last) {
                return Some(self.address(self.last));
            }
        }
        None
    }

    fn address(&self, last: u8) -> String {
        let [a, b, c] = self.cidr;
        format!("{a}.{b}.{c}.{last}")
    }

    /// The address that a pod would get.
    pub(super) fn peek(&self) -> String {
        self.address(if self.last >= 254 { 2 } else { self.last.max(1) + 1 })
    }

    pub(super) fn release(&mut self, ip: &str) {
        let prefix = self.address(0);
        if let Some(last) = ip.strip_prefix(prefix.trim_end_matches('0')).and_then(|l| l.parse().ok()) {
            self.taken.remove(&last);
        }
    }

    fn answer(&self, name: &str, now: &str) -> Value {
        let ready = self.runtime.ready();
        let facts = &self.facts;
        match name {
            "now" => json!(now),
            "nodeName" => json!(&*self.name),
            "hostIP" => json!(self.ip()),
            "ready" => json!(if ready { "True" } else { "False" }),
            "readyReason" => json!(if ready { "KubeletReady" } else { "KubeletNotReady" }),
            "readyEvent" => json!(if ready { "NodeReady" } else { "NodeNotReady" }),
            "readyMessage" => json!(if ready { "kubelet is posting ready status" } else { "container runtime is down" }),
            "addresses" => {
                let mut all: Vec<Value> = facts.addresses.iter().map(|a| json!({"type": "InternalIP", "address": a})).collect();
                all.push(json!({"type": "Hostname", "address": &*self.name}));
                json!(all)
            }
            "capacity" | "allocatable" => json!({
                "cpu": if facts.cpu_millis.is_multiple_of(1000) { (facts.cpu_millis / 1000).to_string() } else { format!("{}m", facts.cpu_millis) },
                "memory": format!("{}Ki", facts.memory_bytes / 1024), "pods": facts.pods.to_string(),
                "ephemeral-storage": "263174212Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
            }),
            "nodeInfo" => json!({
                "machineID": self.machine_id, "systemUUID": self.boot_id, "bootID": self.boot_id, "kernelVersion": facts.kernel,
                "osImage": facts.os_image, "containerRuntimeVersion": facts.container_runtime, "kubeletVersion": facts.kubelet_version,
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": facts.architecture,
            }),
            _ => Value::Null,
        }
    }

    fn new_object(&self) -> Value {
        let arch = &self.facts.architecture;
        let mut labels = json!({
            "beta.kubernetes.io/arch": arch, "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": arch, "kubernetes.io/os": "linux",
            "kubernetes.io/hostname": &*self.name,
        });
        if !self.facts.role.is_empty() {
            labels[format!("node-role.kubernetes.io/{}", self.facts.role)] = json!("");
        }
        for (name, value) in &self.facts.labels {
            labels[name] = json!(value);
        }
        let cidr = format!("{}/24", self.address(0));
        let mut spec = json!({"podCIDR": cidr, "podCIDRs": [cidr]});
        if !self.facts.taints.is_empty() {
            spec["taints"] = json!(self.facts.taints);
        }
        let annotations = json!({"volumes.kubernetes.io/controller-managed-attach-detach": "true"});
        let metadata = json!({"name": &*self.name, "labels": labels, "annotations": annotations});
        json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
    }

    fn about(&self) -> About {
        // A node's events name it instead of its UID. Source: kubelet `nodeRef`.
        let name = self.name.to_string();
        About { kind: "Node", namespace: String::new(), name: name.clone(), uid: name.clone(), field: String::new(), host: name }
    }
}

impl Engine {
    pub(super) fn add_node(&mut self, name: &Arc<str>, runtime: Arc<dyn Runtime>) {
        let running = runtime.running();
        let up = *running.borrow();
        let facts = runtime.facts();
        let [high, low] = self.next_node.to_be_bytes();
        self.next_node = self.next_node.wrapping_add(1);
        let stages = self.stages.all().len() - self.pod_stages;
        let node = Node {
            name: Arc::clone(name),
            runtime,
            running: running.clone(),
            up,
            silent: self.shared.faults.is_silent(name),
            facts,
            pods: HashSet::new(),
            pulls: HashMap::new(),
            statics: Vec::new(),
            due: vec![None; stages],
            object: Value::Null,
            revision: 0,
            stale: true,
            cidr: [10, 244 + (high & 0x07), low],
            taken: HashSet::new(),
            last: 1,
            machine_id: uuid().replace('-', ""),
            boot_id: uuid(),
            leased: false,
        };
        self.effects.push(Box::pin(machine_change(Arc::clone(name), up, running)));
        self.nodes.insert(Arc::clone(name), node);
        self.register(name);
        // Pods may have been bound to it before it was there.
        for object in self.api.store().list("pods", "").1 {
            if object.field("spec.nodeName") == Some(name) && !self.by_uid.contains_key(&*object.uid) {
                self.admit(name, &object);
            }
        }
    }

    pub(super) fn remove_node(&mut self, name: &str) {
        let Some(mut node) = self.nodes.remove(name) else { return };
        for id in node.pods.drain() {
            self.forget(id);
        }
    }

    /// Puts the node's object there, or takes the one that is.
    fn register(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(name).filter(|n| n.up && !n.silent) else { return };
        if !node.object.is_null() && self.api.store().get("nodes", "", name).is_some() {
            return;
        }
        let now = self.api.clock().now();
        let made = self.api.make("nodes", "", node.new_object());
        let Some(object) = made.ok().or_else(|| self.api.store().get("nodes", "", name)) else { return };
        node.object = object.value();
        node.revision = object.revision;
        node.stale = true;
        let about = node.about();
        let known = node.object["spec"]["podCIDR"].as_str().and_then(Prefix::parse_prefix);
        if let Some(cidr) = known {
            node.cidr = cidr;
        }
        self.recorder.record(now, about.clone(), false, "Starting", "Starting kubelet.".to_owned());
        for reason in ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"] {
            self.recorder.record(now, about.clone(), false, reason, format!("Node {name} status is now: {reason}"));
        }
    }

    pub(super) fn observe_node(&mut self, change: Change, object: &Arc<Object>) {
        let Some(node) = self.nodes.get_mut(&*object.name).filter(|n| n.revision < object.revision) else { return };
        node.revision = object.revision;
        // A kubelet does not register again before it is started again.
        node.object = if change == Change::Deleted { Value::Null } else { object.value() };
        node.stale = true;
    }

    /// Plays the stages of nodes that are due; says when the next one is.
    pub(super) fn tick_nodes(&mut self, now: Timestamp) -> Option<Timestamp> {
        let stages = Arc::clone(&self.stages);
        let mut next: Option<Timestamp> = None;
        for node in self.nodes.values_mut().filter(|n| n.up && !n.silent) {
            if node.object.is_null() {
                continue;
            }
            let earliest = node.due.iter().flatten().min().copied();
            if !node.stale && earliest.is_none_or(|at| at > now) {
                next = next.into_iter().chain(earliest).min();
                continue;
            }
            node.stale = false;
            let text = stamp(now);
            for (at, stage) in stages.all().iter().filter(|s| s.resource == Subject::Node).enumerate() {
                let matches = stage.matches(&node.object, &node.object["status"], &|name| node.answer(name, &text));
                if !matches {
                    node.due[at] = None;
                    continue;
                }
                let first = stage.effect == Effect::Renew && !node.leased;
                let due =
                    *node.due[at].get_or_insert_with(|| if first { now } else { crate::clock::later(now, stage.delay_for(&node.object)) });
                if due > now {
                    continue;
                }
                play(&self.api, &mut self.recorder, node, stage, now);
                let again = crate::clock::later(now, stage.delay_for(&node.object));
                // One without a delay that still matches would be played for ever.
                node.due[at] = (again > now).then_some(again);
            }
            next = next.into_iter().chain(node.due.iter().flatten().min().copied()).min();
        }
        next
    }

    /// A machine came up or went down.
    pub(super) fn machine(&mut self, name: &Arc<str>, up: bool, receiver: watch::Receiver<bool>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        self.effects.push(Box::pin(machine_change(Arc::clone(name), up, receiver)));
        if node.up == up {
            return;
        }
        node.up = up;
        let pods: Vec<u64> = node.pods.iter().copied().collect();
        if up {
            node.facts = node.runtime.facts();
            node.boot_id = uuid();
            node.due.iter_mut().for_each(|d| *d = None);
            (node.stale, node.leased) = (true, false);
            self.register(name);
            self.ensure_mirrors(name);
        } else {
            node.pulls.clear();
        }
        for id in pods {
            if up { self.revive(id) } else { self.freeze(id) }
        }
    }

    /// The programs of a machine that is down do nothing, but their pod's status does not know that yet.
    fn freeze(&mut self, id: u64) {
        if let Some(pod) = self.pods.get_mut(&id) {
            for container in &mut pod.containers {
                container.pulling = false;
                if let Some(run) = &mut container.run {
                    // What it says from now on is not heard.
                    run.serial = 0;
                    run.instance.stop();
                }
            }
        }
    }

    /// After the machine came up the sandbox is a new one, and every container that ran is started again.
    fn revive(&mut self, id: u64) {
        let Some(mut pod) = self.take_pod(id) else { return };
        let now = self.api.clock().now();
        let gone = self.api.store().get("pods", &pod.namespace, &pod.name).is_none_or(|o| *o.uid != *pod.uid);
        let ran = pod.containers.iter().any(|c| c.run.is_some());
        let host = pod.object["spec"]["hostNetwork"] == true;
        for at in 0..pod.containers.len() {
            if pod.containers[at].run.is_some() {
                // Source: containerd's CRI plugin, recovery of a container whose task is gone.
                self.end(&mut pod, at, 255, "Unknown", false);
            }
            let container = &mut pod.containers[at];
            if ran && container.role == Role::Init && container.code().is_some() {
                if let super::pod::State::Ended(ended, _) = &container.state {
                    container.last = json!({"terminated": ended});
                }
                container.wait("PodInitializing", None);
            }
            // A machine that was off is no crash loop.
            container.crash_back_off = super::pod::BackOff::default();
            container.hold = None;
        }
        if ran && !pod.finished {
            if let (Some(ip), Some(node), false) = (pod.ip.take(), self.nodes.get_mut(&pod.node), host) {
                node.release(&ip);
            }
            pod.mounted = false;
            pod.sandbox = super::advance::hex64();
            let text = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            self.recorder.record(now, pod.about(None), false, "SandboxChanged", text);
        }
        self.pods.insert(id, pod);
        if gone { self.forget(id) } else { self.touch(id) }
    }
}

trait Prefix {
    fn parse_prefix(&self) -> Option<[u8; 3]>;
}

impl Prefix for str {
    /// The first three numbers of a `/24`.
    fn parse_prefix(&self) -> Option<[u8; 3]> {
        let mut parts = self.split('.').map(str::parse);
        Some([parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?])
    }
}

fn play(api: &crate::api::Api, recorder: &mut super::events::Recorder, node: &mut Node, stage: &Stage, now: Timestamp) {
    let text = stamp(now);
    if stage.effect == Effect::Renew {
        node.leased = true;
        renew(api, node);
    }
    if stage.next.status.is_object() {
        let part = fill(&stage.next.status, &|name| node.answer(name, &text));
        let written = api.modify("nodes", ("", &node.name), |value| {
            merge(&mut value["status"], &part, &text);
            true
        });
        if let Ok(object) = written {
            // What was written may make other stages match.
            node.stale = object.revision != node.revision;
            node.object = object.value();
            node.revision = object.revision;
        }
    }
    if let Some(event) = &stage.next.event {
        let ask = |name: &str| node.answer(name, &text);
        let [reason, message] = [&event.reason, &event.message].map(|t| fill(&json!(t), &ask).as_str().unwrap_or_default().to_owned());
        recorder.record(now, node.about(), event.r#type == "Warning", &reason, message);
    }
}

/// Source: component-helpers `apimachinery/lease`.
fn renew(api: &crate::api::Api, node: &Node) {
    const NAMESPACE: &str = "kube-node-lease";
    let time = api.clock().micro_stamp();
    let renewed = api.modify("leases.coordination.k8s.io", (NAMESPACE, &node.name), |lease| {
        lease["spec"]["renewTime"] = json!(time);
        true
    });
    if renewed.is_err() {
        let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": &*node.name, "uid": node.object["metadata"]["uid"]}]);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": &*node.name, "ownerReferences": owner},
            "spec": {"holderIdentity": &*node.name, "leaseDurationSeconds": 40, "renewTime": time},
        });
        // Without its namespace there is no lease yet; the next renewal makes it.
        drop(api.make("leases.coordination.k8s.io", NAMESPACE, lease));
    }
}

/// Resolves with the machine's state when it is another one than was known.
async fn machine_change(node: Arc<str>, known: bool, mut receiver: watch::Receiver<bool>) -> Done {
    let Ok(up) = receiver.wait_for(|up| *up != known).await.map(|up| *up) else { return Done::Nothing };
    Done::Machine { node, up, receiver }
}
