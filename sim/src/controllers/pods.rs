//! What the controllers know of every pod, kept up with its events, so that ten thousand of them need not be read for each reconciliation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::demand::{Demand, Quantity};
use super::fields::{condition, controller_of, items, text, time};
use crate::store::{Change, Object};
use jiff::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// The controller of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) name: Box<str>,
}

/// A pod in short.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) object: Arc<Object>,
    pub(super) owner: Option<Owner>,
    pub(super) node: Box<str>,
    pub(super) phase: Phase,
    pub(super) ready: bool,
    pub(super) ready_since: Option<Timestamp>,
    pub(super) created: Timestamp,
    pub(super) restarts: i64,
    pub(super) deletion_cost: i64,
    pub(super) ips: Vec<Box<str>>,
    /// Waits for the default scheduler, and nothing gates it.
    pub(super) unscheduled: bool,
    pub(super) priority: i64,
    pub(super) demand: Arc<Demand>,
}

impl Pod {
    pub(super) fn read(object: Arc<Object>, before: Option<&Self>, quantity: Quantity) -> Self {
        let value = object.value();
        let (meta, spec, status) = (&value["metadata"], &value["spec"], &value["status"]);
        let owner = controller_of(&value).map(|o| Owner {
            uid: text(&o["uid"]).into(),
            kind: text(&o["kind"]).into(),
            name: text(&o["name"]).into(),
        });
        let phase = match text(&status["phase"]) {
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            "Unknown" => Phase::Unknown,
            _ => Phase::Pending,
        };
        let ready = condition(status, "Ready").filter(|c| c["status"] == "True");
        let ended = matches!(phase, Phase::Succeeded | Phase::Failed);
        let scheduler = text(&spec["schedulerName"]);
        let mut ips: Vec<Box<str>> = items(&status["podIPs"]).iter().map(|i| text(&i["ip"]).into()).collect();
        if let (true, Some(ip)) = (ips.is_empty(), status["podIP"].as_str()) {
            ips.push(ip.into());
        }
        Self {
            owner,
            node: text(&spec["nodeName"]).into(),
            phase,
            ready: ready.is_some(),
            ready_since: ready.and_then(|c| time(&c["lastTransitionTime"])),
            created: time(&meta["creationTimestamp"]).unwrap_or_default(),
            restarts: items(&status["containerStatuses"]).iter().filter_map(|c| c["restartCount"].as_i64()).max().unwrap_or(0),
            deletion_cost: text(&meta["annotations"]["controller.kubernetes.io/pod-deletion-cost"]).parse().unwrap_or(0),
            ips,
            unscheduled: spec["nodeName"].as_str().is_none_or(str::is_empty)
                && !object.deleting
                && !ended
                && items(&spec["schedulingGates"]).is_empty()
                && matches!(scheduler, "" | "default-scheduler"),
            priority: spec["priority"].as_i64().unwrap_or(0),
            // What a pod asks for does not change once it has a node.
            demand: match before {
                Some(before) if !before.node.is_empty() => Arc::clone(&before.demand),
                _ => Arc::new(Demand::read(spec, quantity)),
            },
            object,
        }
    }

    pub(super) fn ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Neither ended nor going.
    pub(super) fn active(&self) -> bool {
        !self.ended() && !self.object.deleting
    }

    /// Whether it has been ready for some seconds, and if it is ready but not yet for that long, when it will have been.
    pub(super) fn available(&self, seconds: i64, now: Timestamp) -> Result<bool, Timestamp> {
        if !self.ready {
            return Ok(false);
        }
        match self.ready_since {
            Some(since) if seconds > 0 => {
                let at = crate::clock::seconds_later(since, seconds);
                if at <= now { Ok(true) } else { Err(at) }
            }
            _ => Ok(true),
        }
    }

    /// Whether anything differs that its controller looks at.
    pub(super) fn differs_for_owner(&self, other: &Self) -> bool {
        self.phase != other.phase
            || self.ready != other.ready
            || self.ready_since != other.ready_since
            || self.object.deleting != other.object.deleting
            || self.owner != other.owner
            || self.object.labels != other.object.labels
    }

    /// Whether anything differs that Services look at.
    pub(super) fn differs_for_service(&self, other: &Self) -> bool {
        self.phase != other.phase
            || self.ready != other.ready
            || self.object.deleting != other.object.deleting
            || self.ips != other.ips
            || self.object.labels != other.object.labels
            // Without an address it is in no endpoints, on whichever node.
            || (self.node != other.node && !self.ips.is_empty())
    }
}

type Index = HashMap<Box<str>, BTreeMap<Box<str>, Arc<Pod>>>;

/// All pods: by UID, and by what they are looked for.
#[derive(Debug, Default)]
pub(super) struct Pods {
    all: HashMap<Box<str>, Arc<Pod>>,
    by_owner: Index,
    by_node: Index,
    by_namespace: Index,
    /// Without a controller, by namespace: what can be adopted.
    orphans: Index,
}

fn put(index: &mut Index, key: &str, pod: &Arc<Pod>) {
    let within = match index.get_mut(key) {
        Some(within) => within,
        None => index.entry(key.into()).or_default(),
    };
    within.insert(pod.object.uid.clone(), Arc::clone(pod));
}

fn take(index: &mut Index, key: &str, uid: &str) {
    if let Some(within) = index.get_mut(key) {
        within.remove(uid);
        if within.is_empty() {
            index.remove(key);
        }
    }
}

impl Pods {
    /// Takes in an event; the pod before and after it.
    pub(super) fn apply(&mut self, change: Change, object: &Arc<Object>, quantity: Quantity) -> (Option<Arc<Pod>>, Option<Arc<Pod>>) {
        let before = self.all.remove(&object.uid);
        let after = (change != Change::Deleted).then(|| Arc::new(Pod::read(Arc::clone(object), before.as_deref(), quantity)));
        if let Some(old) = &before {
            let uid = &*old.object.uid;
            let moved = |same: bool| after.is_none() || !same;
            if moved(after.as_ref().is_some_and(|n| n.owner == old.owner)) {
                match &old.owner {
                    Some(owner) => take(&mut self.by_owner, &owner.uid, uid),
                    None => take(&mut self.orphans, &old.object.namespace, uid),
                }
            }
            if moved(after.as_ref().is_some_and(|n| n.node == old.node)) {
                take(&mut self.by_node, &old.node, uid);
            }
            if after.is_none() {
                take(&mut self.by_namespace, &old.object.namespace, uid);
            }
        }
        if let Some(new) = &after {
            match &new.owner {
                Some(owner) => put(&mut self.by_owner, &owner.uid, new),
                None => put(&mut self.orphans, &new.object.namespace, new),
            }
            if !new.node.is_empty() {
                put(&mut self.by_node, &new.node, new);
            }
            put(&mut self.by_namespace, &new.object.namespace, new);
            self.all.insert(new.object.uid.clone(), Arc::clone(new));
        }
        (before, after)
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.all.get(uid)
    }

    pub(super) fn owned(&self, uid: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_owner.get(uid).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn count_owned(&self, uid: &str) -> usize {
        self.by_owner.get(uid).map_or(0, BTreeMap::len)
    }

    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_node.get(node).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn orphans(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.orphans.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn count_within(&self, namespace: &str) -> usize {
        self.by_namespace.get(namespace).map_or(0, BTreeMap::len)
    }
}
