//! The life of nodes: addresses for their pods, whether they still answer, the taints that say so, and what became of their pods.
//! Source: `pkg/controller/nodelifecycle`, `pkg/controller/nodeipam`, `pkg/controller/podgc`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{condition, items, set_condition, text};
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::queue::{Key, Which};
use super::recorder::About;
use crate::api::Delete;
use crate::failure::Failure;
use crate::store::{Change, Object};

/// A node that seems silent is looked at once more after this: its kubelet may only not have had its turn when time was skipped.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// How long pods of a node that is gone wait for it (`--quarantine` of the pod collector).
const QUARANTINE: Duration = Duration::from_secs(40);

/// Taints by condition: type, status, key. Source: `nodeConditionToTaintKeyStatusMap`.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", "node.kubernetes.io/not-ready"),
    ("Ready", "Unknown", "node.kubernetes.io/unreachable"),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

#[derive(Debug)]
struct Sign {
    /// What was last heard: the lease's time, the heartbeat of the condition.
    heard: (String, String),
    at: Timestamp,
    suspected: bool,
}

/// What is remembered of nodes.
#[derive(Debug, Default)]
pub(super) struct State {
    subnets: HashMap<Box<str>, u32>,
    signs: HashMap<Box<str>, Sign>,
    ready: HashMap<Box<str>, bool>,
    gone: HashMap<Box<str>, Timestamp>,
    /// Since when pods wait out the time that they tolerate a taint.
    pub(super) evictions: HashMap<Box<str>, Timestamp>,
}

pub(super) fn observe_node(context: &mut Context, change: Change, object: &Arc<Object>, value: &Value) {
    let name = &object.name;
    if change == Change::Deleted {
        context.nodes.subnets.remove(name);
        context.nodes.signs.remove(name);
        context.nodes.ready.remove(name);
        note_missing(context, name);
        return;
    }
    context.nodes.gone.remove(name);
    if let Some(third) = text(&value["spec"]["podCIDR"]).split('.').nth(2).and_then(|n| n.parse().ok()) {
        context.nodes.subnets.insert(name.clone(), third);
    }
    context.queue.add(Which::Node, "", name);
    context.queue.add(Which::NodeMonitor, "", name);
    context.queue.add(Which::Eviction, "", name);
}

fn note_missing(context: &mut Context, name: &str) {
    let now = context.now();
    if context.nodes.gone.contains_key(name) {
        return;
    }
    context.nodes.gone.insert(name.into(), now);
    context.queue.push_at(Key::new(Which::PodGc, "", name), now + QUARANTINE);
}

pub(super) fn observe_pod(context: &mut Context, before: Option<&Pod>, after: Option<&Pod>) {
    let Some(pod) = after else {
        if let Some(gone) = before {
            context.nodes.evictions.remove(&gone.object.uid);
        }
        return;
    };
    if pod.node.is_empty() || before.is_some_and(|b| b.node == pod.node) {
        return;
    }
    match context.scheduler.node(&pod.node) {
        None => note_missing(context, &pod.node),
        Some(node) if node.taints().iter().any(|t| *t.effect == *"NoExecute") => context.queue.add(Which::Eviction, "", &pod.node),
        Some(_) => {}
    }
}

/// Addresses and taints.
pub(super) fn reconcile(context: &mut Context, name: &str) -> Outcome {
    let Some(object) = context.api.store().get("nodes", "", name) else { return Ok(None) };
    let node = object.value();
    if text(&node["spec"]["podCIDR"]).is_empty() && !object.deleting {
        let taken = &context.nodes.subnets;
        if let Some(free) = (0..256u32).find(|n| !taken.values().any(|t| t == n)) {
            context.nodes.subnets.insert(name.into(), free);
            let subnet = format!("10.244.{free}.0/24");
            context.api.modify("nodes", ("", name), |value| {
                value["spec"]["podCIDR"] = json!(subnet);
                value["spec"]["podCIDRs"] = json!([subnet]);
                true
            })?;
        }
    }
    let now = context.stamp();
    let wanted = taints(&node, &now);
    if wanted != *items(&node["spec"]["taints"]) {
        context.api.modify("nodes", ("", name), |value| {
            let wanted = taints(value, &now);
            if wanted.is_empty() {
                value["spec"].as_object_mut().map(|s| s.remove("taints"));
            } else {
                value["spec"]["taints"] = json!(wanted);
            }
            true
        })?;
    }
    let ready = condition(&node["status"], "Ready").map(|c| c["status"] == "True");
    let was = ready.and_then(|r| context.nodes.ready.insert(name.into(), r));
    if was == Some(true) && ready == Some(false) {
        let about = About { api_version: "v1", kind: "Node", object: &object };
        let message = format!("Node {name} status is now: NodeNotReady");
        context.recorder.event(&context.api, "node-controller", &about, "Normal", "NodeNotReady", &message);
        mark_pods(context, name)?;
    }
    Ok(None)
}

/// The taints of a node: those that its conditions call for, and those that are somebody else's.
fn taints(node: &Value, now: &str) -> Vec<Value> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    let mut executed: Option<&str> = None;
    for (kind, status, key) in BY_CONDITION {
        if condition(&node["status"], kind).is_some_and(|c| c["status"] == status) {
            wanted.push((key, "NoSchedule"));
            if kind == "Ready" {
                executed = Some(key);
            }
        }
    }
    if node["spec"]["unschedulable"] == true {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted.extend(executed.map(|key| (key, "NoExecute")));
    let ready_known = condition(&node["status"], "Ready").is_some();
    let had = items(&node["spec"]["taints"]);
    let managed = |t: &Value| {
        let (key, effect) = (text(&t["key"]), text(&t["effect"]));
        let by_ready = matches!(key, "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable");
        match effect {
            // Before a node has said anything, what it was created with stays.
            "NoSchedule" if by_ready => ready_known,
            "NoSchedule" => key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, k)| *k == key),
            "NoExecute" => by_ready && ready_known,
            _ => false,
        }
    };
    let is = |t: &Value, (key, effect): &(&str, &str)| t["key"] == *key && t["effect"] == *effect;
    let mut all: Vec<Value> = had.iter().filter(|t| !managed(t) || wanted.iter().any(|w| is(t, w))).cloned().collect();
    for new in wanted {
        if !all.iter().any(|t| is(t, &new)) {
            all.push(json!({"key": new.0, "effect": new.1, "timeAdded": now}));
        }
    }
    all
}

/// Pods of a node that does not answer are not ready. Source: `nodeutil.MarkPodsNotReady`.
fn mark_pods(context: &mut Context, node: &str) -> Result<(), Failure> {
    let now = context.stamp();
    let pods: Vec<Arc<Object>> = context.pods.on_node(node).filter(|p| p.ready).map(|p| Arc::clone(&p.object)).collect();
    for pod in pods {
        let marked = context.api.modify("pods", (&pod.namespace, &pod.name), |value| {
            let Some(mut ready) = condition(&value["status"], "Ready").cloned() else { return false };
            ready["status"] = json!("False");
            set_condition(&mut value["status"], ready, &now);
            true
        });
        match marked {
            Err(failure) if failure.reason != "NotFound" => return Err(failure),
            _ => {}
        }
        let about = About { api_version: "v1", kind: "Pod", object: &pod };
        context.recorder.event(&context.api, "node-controller", &about, "Warning", "NodeNotReady", "Node is not ready");
    }
    Ok(())
}

/// Whether a node still answers. Source: `tryUpdateNodeHealth`.
pub(super) fn monitor(context: &mut Context, name: &str) -> Outcome {
    let Some(node) = context.api.read("nodes", "", name) else { return Ok(None) };
    let lease = context.api.read("leases.coordination.k8s.io", "kube-node-lease", name).unwrap_or_default();
    let ready = condition(&node["status"], "Ready");
    if ready.is_some_and(|c| c["status"] == "Unknown" && c["reason"] == "NodeStatusUnknown") {
        context.nodes.signs.remove(name);
        return Ok(None);
    }
    let heartbeat = ready.map(|c| text(&c["lastHeartbeatTime"]).to_owned()).unwrap_or_default();
    let heard = (text(&lease["spec"]["renewTime"]).to_owned(), heartbeat);
    let now = context.now();
    let grace = context.settings.node_monitor_grace;
    let sign = context.nodes.signs.entry(name.into()).or_insert_with(|| Sign { heard: heard.clone(), at: now, suspected: false });
    if sign.heard != heard {
        *sign = Sign { heard, at: now, suspected: false };
    }
    if now < sign.at + grace {
        return Ok(Some(sign.at + grace));
    }
    if !sign.suspected {
        sign.suspected = true;
        return Ok(Some(now + SECOND_LOOK));
    }
    let stamp = context.stamp();
    context.api.modify("nodes", ("", name), |value| {
        for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            let new = match condition(&value["status"], kind) {
                Some(had) => {
                    let mut new = had.clone();
                    new["status"] = json!("Unknown");
                    new["reason"] = json!("NodeStatusUnknown");
                    new["message"] = json!("Kubelet stopped posting node status.");
                    new
                }
                None => json!({
                    "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.", "lastHeartbeatTime": value["metadata"]["creationTimestamp"],
                }),
            };
            set_condition(&mut value["status"], new, &stamp);
        }
        true
    })?;
    Ok(None)
}

/// Removes the pods of a node that is gone. Source: `gc_controller.go` `gcOrphaned`.
pub(super) fn collect(context: &mut Context, name: &str) -> Outcome {
    if context.api.store().get("nodes", "", name).is_some() {
        context.nodes.gone.remove(name);
        return Ok(None);
    }
    let Some(since) = context.nodes.gone.get(name).copied() else { return Ok(None) };
    let now = context.now();
    if now < since + QUARANTINE {
        return Ok(Some(since + QUARANTINE));
    }
    context.nodes.gone.remove(name);
    let Some(resource) = context.api.resource("pods") else { return Ok(None) };
    let pods: Vec<Arc<Pod>> = context.pods.on_node(name).cloned().collect();
    let stamp = context.stamp();
    for pod in pods {
        let key = (&*pod.object.namespace, &*pod.object.name);
        if !pod.ended() {
            let message = "PodGC: node no longer exists";
            let new = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": message});
            let marked = context.api.modify("pods", key, |value| {
                value["status"]["phase"] = json!("Failed");
                set_condition(&mut value["status"], new.clone(), &stamp);
                true
            });
            // It can only be gone.
            drop(marked);
        }
        let options = Delete { grace_seconds: Some(0), uid: Some(pod.object.uid.to_string()), ..Delete::default() };
        match context.api.delete(&resource, key, &options) {
            Err(failure) if failure.reason != "NotFound" => return Err(failure),
            _ => {}
        }
    }
    Ok(None)
}
