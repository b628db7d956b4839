//! Gives pods their nodes. Source: `pkg/scheduler`, with the plugins that are on by default as far as pods of tests ask for them.

mod placement;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::set_condition;
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::queue::Which;
use super::recorder::About;
use crate::store::{Change, Object};
pub(super) use placement::Node;

/// So many pods in one go, so that the other controllers have their turn.
const BATCH: usize = 64;

type Rank = (Reverse<i64>, u64, Box<str>);

/// What the scheduler remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    nodes: BTreeMap<Box<str>, Node>,
    /// Pods to be scheduled, the most important first, then the longest waiting.
    active: BTreeSet<Rank>,
    /// Places of pods in `active`.
    ranks: HashMap<Box<str>, Rank>,
    /// Pods that fit nowhere, until something changes.
    unschedulable: HashSet<Box<str>>,
    /// Which pod is counted on which node.
    counted: HashMap<Box<str>, (Box<str>, Arc<Pod>)>,
    sequence: u64,
}

impl State {
    fn activate(&mut self, uid: &str, priority: i64) {
        if self.ranks.contains_key(uid) {
            return;
        }
        self.sequence += 1;
        let rank = (Reverse(priority), self.sequence, Box::from(uid));
        self.ranks.insert(uid.into(), rank.clone());
        self.active.insert(rank);
    }

    fn forget(&mut self, uid: &str) {
        if let Some(rank) = self.ranks.remove(uid) {
            self.active.remove(&rank);
        }
        self.unschedulable.remove(uid);
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(name, node)| (&**name, node))
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Counts a pod on a node, or nowhere. Says whether that made room.
    fn count(&mut self, uid: &str, pod: Option<(&str, &Arc<Pod>)>) -> bool {
        let had = self.counted.get(uid).map(|(n, _)| &**n);
        if had == pod.map(|(n, _)| n) {
            return false;
        }
        let mut room = false;
        if let Some((node, pod)) = self.counted.remove(uid) {
            if let Some(node) = self.nodes.get_mut(&node) {
                node.count(&pod.demand, -1);
            }
            room = true;
        }
        if let Some((name, pod)) = pod {
            if let Some(node) = self.nodes.get_mut(name) {
                node.count(&pod.demand, 1);
            }
            self.counted.insert(uid.into(), (name.into(), Arc::clone(pod)));
        }
        room
    }
}

/// Something changed that may let pods fit: they are tried again.
fn retry(context: &mut Context) {
    let waiting: Vec<Box<str>> = context.scheduler.unschedulable.drain().collect();
    for uid in waiting {
        if let Some(pod) = context.pods.get(&uid) {
            context.scheduler.activate(&uid, pod.priority);
        }
    }
    if !context.scheduler.active.is_empty() {
        context.queue.add(Which::Scheduler, "", "");
    }
}

pub(super) fn observe_pod(context: &mut Context, before: Option<&Pod>, after: Option<&Arc<Pod>>) {
    let Some(uid) = before.map(|p| &p.object.uid).or(after.map(|p| &p.object.uid)) else { return };
    let place = after.filter(|p| !p.node.is_empty() && !p.ended()).map(|p| (&*p.node, p));
    let assumed = after.is_some_and(|p| p.unscheduled) && context.scheduler.counted.contains_key(uid);
    // An assumed pod stays where it was put until the event of its binding comes.
    let room = !assumed && context.scheduler.count(uid, place);
    match after {
        Some(pod) if pod.unscheduled && !assumed => {
            // Whoever waits for its place may come to tolerate more.
            let asks = |p: &Pod| (p.demand.tolerations.clone(), p.demand.selector.clone());
            if before.is_some_and(|old| asks(old) != asks(pod)) {
                context.scheduler.unschedulable.remove(uid);
            }
            if !context.scheduler.unschedulable.contains(uid) {
                context.scheduler.activate(uid, pod.priority);
                context.queue.add(Which::Scheduler, "", "");
            }
        }
        _ => context.scheduler.forget(uid),
    }
    if room {
        retry(context);
    }
}

/// Takes in a node; says whether anything changed about it but its heartbeat.
pub(super) fn observe_node(context: &mut Context, change: Change, object: &Arc<Object>, value: &Value) -> bool {
    if change == Change::Deleted {
        context.scheduler.nodes.remove(&object.name);
        return true;
    }
    let mut node = Node::read(object, value, context.settings.quantity);
    if let Some(old) = context.scheduler.nodes.get(&object.name) {
        node.keep_count(old);
        if node == *old {
            return false;
        }
    } else {
        for (name, pod) in context.scheduler.counted.values() {
            if *name == object.name {
                node.count(&pod.demand, 1);
            }
        }
    }
    context.scheduler.nodes.insert(object.name.clone(), node);
    retry(context);
    true
}

#[expect(clippy::unnecessary_wraps, reason = "it is called like the others")]
pub(super) fn reconcile(context: &mut Context) -> Outcome {
    for _ in 0..BATCH {
        let Some((_, _, uid)) = context.scheduler.active.pop_first() else { return Ok(None) };
        context.scheduler.ranks.remove(&uid);
        let Some(pod) = context.pods.get(&uid).cloned() else { continue };
        if !pod.unscheduled {
            continue;
        }
        match placement::place(&context.scheduler.nodes, &pod.demand) {
            Ok(node) => bind(context, &pod, &node),
            Err(why) => refuse(context, &pod, &why),
        }
    }
    context.queue.add(Which::Scheduler, "", "");
    Ok(None)
}

fn bind(context: &mut Context, pod: &Arc<Pod>, node: &str) {
    let object = &pod.object;
    let now = context.stamp();
    let mut fits = false;
    let bound = context.api.modify("pods", (&object.namespace, &object.name), |value| {
        let free = value["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
        fits = value["metadata"]["uid"] == *object.uid && free && !value["metadata"]["deletionTimestamp"].is_string();
        if fits {
            value["spec"]["nodeName"] = json!(node);
            set_condition(&mut value["status"], json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null}), &now);
        }
        fits
    });
    // Otherwise it went or was bound by somebody else, and its event says so.
    if bound.is_ok() && fits {
        context.scheduler.count(&object.uid, Some((node, pod)));
        let about = About { api_version: "v1", kind: "Pod", object };
        let message = format!("Successfully assigned {}/{} to {node}", object.namespace, object.name);
        context.recorder.action(&context.api, &about, "Normal", "Scheduled", "Binding", &message);
    }
}

fn refuse(context: &mut Context, pod: &Arc<Pod>, why: &str) {
    let object = &pod.object;
    context.scheduler.unschedulable.insert(object.uid.clone());
    let about = About { api_version: "v1", kind: "Pod", object };
    context.recorder.action(&context.api, &about, "Warning", "FailedScheduling", "Scheduling", why);
    let now = context.stamp();
    let said = context.api.modify("pods", (&object.namespace, &object.name), |value| {
        if value["metadata"]["uid"] != *object.uid || !value["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
            return false;
        }
        let new = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why, "lastProbeTime": null});
        set_condition(&mut value["status"], new, &now);
        true
    });
    // It can only be gone.
    drop(said);
}
