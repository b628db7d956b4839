//! One pod on every node that a `DaemonSet` is for. Source: `pkg/controller/daemon`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::demand::Demand;
use super::fields::{controller_ref, items, scaled, text};
use super::history::{self, Revision};
use super::kernel::{Context, Outcome};
use super::pods::{Phase, Pod};
use super::recorder::About;
use super::replicaset::{adopt, delete_pod, make_pod, release};
use super::selector::{NodeTerms, Selector};
use super::template;
use crate::failure::Failure;
use crate::store::Object;

const ID: &str = "daemonsets.apps";
const SOURCE: &str = "daemonset-controller";
/// A daemon that failed is left alone so long (upstream: from one second on, doubling).
const FAILED_FOR: SignedDuration = SignedDuration::from_secs(1);

/// What the controller adds to every daemon. Source: `util.AddOrUpdateDaemonPodTolerations`.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

fn tolerate(spec: &mut Value) {
    let mut all: Vec<Value> = items(&spec["tolerations"]).to_vec();
    let network = ("node.kubernetes.io/network-unavailable", "NoSchedule");
    for (key, effect) in TOLERATED.into_iter().chain((spec["hostNetwork"] == true).then_some(network)) {
        let new = json!({"key": key, "operator": "Exists", "effect": effect});
        all.retain(|t| !(t["key"] == key && t["effect"] == effect && t["operator"] == "Exists"));
        all.push(new);
    }
    spec["tolerations"] = json!(all);
}

/// Ties a pod to a node. Source: `util.ReplaceDaemonSetPodNodeNameNodeAffinity`.
fn tie(spec: &mut Value, node: &str) {
    let fields = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
    let required = &mut spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let mut terms: Vec<Value> = items(&required["nodeSelectorTerms"]).to_vec();
    if terms.is_empty() {
        terms.push(json!({}));
    }
    for term in &mut terms {
        term["matchFields"] = fields.clone();
    }
    *required = json!({"nodeSelectorTerms": terms});
}

/// The node that a pod is on or is to come to.
fn node_of(pod: &Pod) -> Box<str> {
    if !pod.node.is_empty() {
        return pod.node.clone();
    }
    pod.demand.required.as_ref().and_then(NodeTerms::names).and_then(|n| n.first().map(|n| Box::from(*n))).unwrap_or_default()
}

struct Work<'a> {
    object: &'a Object,
    set: &'a Value,
    revision: Revision,
    /// What is on each node, the oldest first.
    by_node: BTreeMap<Box<str>, Vec<Arc<Pod>>>,
    /// Nodes: whether a daemon shall run there, and may stay there.
    nodes: Vec<(Box<str>, bool, bool)>,
    again: Option<Timestamp>,
    now: Timestamp,
}

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(object) = context.api.store().get(ID, namespace, name) else { return Ok(None) };
    if object.deleting {
        return Ok(None);
    }
    let set = object.value();
    let selector = Selector::read(&set["spec"]["selector"]);
    adopt(context, &object, &selector, "apps/v1", "DaemonSet")?;
    release(context, &object, &selector)?;
    let revision = history::current(context, "DaemonSet", &object, &set)?;
    let mut spec = set["spec"]["template"]["spec"].clone();
    tolerate(&mut spec);
    let demand = Demand::read(&spec, context.settings.quantity);
    let nodes = context.scheduler.nodes().map(|(name, node)| {
        let (run, stay) = node.wants_daemon(&demand);
        (Box::from(name), run, stay)
    });
    let nodes = nodes.collect();
    let mut by_node: BTreeMap<Box<str>, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in context.pods.owned(&object.uid) {
        by_node.entry(node_of(pod)).or_default().push(Arc::clone(pod));
    }
    for pods in by_node.values_mut() {
        pods.sort_by_key(|p| (p.node.is_empty(), p.created, p.object.uid.clone()));
    }
    let now = context.now();
    let mut work = Work { object: &object, set: &set, revision, by_node, nodes, again: None, now };
    let changed = work.manage(context)? || (set["spec"]["updateStrategy"]["type"] != "OnDelete" && work.update(context)?);
    if changed {
        // With what became of it.
        context.queue.add(super::queue::Which::DaemonSet, namespace, name);
    }
    work.status(context)?;
    let hashes: Vec<&Arc<Pod>> = work.by_node.values().flatten().collect();
    history::clean_up(context, &object, &set, |r| r.hash == work.revision.hash || hashes.iter().any(|p| history::of(&p.object) == r.hash))?;
    Ok(work.again)
}

impl Work<'_> {
    fn about(&self) -> About<'_> {
        About { api_version: "apps/v1", kind: "DaemonSet", object: self.object }
    }

    fn updated(&self, pod: &Pod) -> bool {
        history::of(&pod.object) == self.revision.hash
    }

    fn available(&mut self, pod: &Pod) -> bool {
        let seconds = self.set["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        pod.available(seconds, self.now).unwrap_or_else(|at| {
            self.again = Some(self.again.map_or(at, |a| a.min(at)));
            false
        })
    }

    /// `maxSurge` and `maxUnavailable` in pods.
    fn limits(&self, wanted: i64) -> (i64, i64) {
        let given = &self.set["spec"]["updateStrategy"]["rollingUpdate"];
        let surge = scaled(&given["maxSurge"], wanted, true);
        let unavailable = if given["maxUnavailable"].is_null() { 1 } else { scaled(&given["maxUnavailable"], wanted, true) };
        // With neither, nothing could ever move.
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    fn create(&self, context: &mut Context, node: &str) -> Result<(), Failure> {
        let mut pod = template::pod(&self.set["spec"]["template"], &controller_ref("apps/v1", "DaemonSet", self.object));
        pod["metadata"]["generateName"] = json!(template::prefix(&self.object.name));
        template::label(&mut pod, history::HASH, &self.revision.hash);
        if let Some(generation) = history::template_generation(self.set) {
            template::label(&mut pod, "pod-template-generation", generation);
        }
        tolerate(&mut pod["spec"]);
        tie(&mut pod["spec"], node);
        make_pod(context, SOURCE, &self.about(), pod).map(drop)
    }

    fn delete(&self, context: &mut Context, pod: &Pod) -> Result<(), Failure> {
        delete_pod(context, SOURCE, &self.about(), &pod.object)
    }

    /// The right number of pods on each node. Source: `podsShouldBeOnNode`.
    fn manage(&mut self, context: &mut Context) -> Result<bool, Failure> {
        let wanted = i64::try_from(self.nodes.iter().filter(|n| n.1).count()).unwrap_or(0);
        let (surge, _) = self.limits(wanted);
        let mut changed = false;
        for (node, run, stay) in self.nodes.clone() {
            let pods = self.by_node.get(&node).cloned().unwrap_or_default();
            if pods.is_empty() && run {
                self.create(context, &node)?;
                changed = true;
                continue;
            }
            if !stay {
                for pod in pods.iter().filter(|p| !p.object.deleting) {
                    self.delete(context, pod)?;
                    changed = true;
                }
                continue;
            }
            let mut running: Vec<Arc<Pod>> = Vec::new();
            for pod in pods.iter().filter(|p| !p.object.deleting) {
                match pod.phase {
                    Phase::Failed if pod.created + FAILED_FOR > self.now => {
                        let at = pod.created + FAILED_FOR;
                        self.again = Some(self.again.map_or(at, |a| a.min(at)));
                    }
                    Phase::Failed | Phase::Succeeded => {
                        let word = if pod.phase == Phase::Failed { "Failed" } else { "Succeeded" };
                        let (kind, word) =
                            if word == "Failed" { ("Warning", ("failed", "Failed")) } else { ("Normal", ("succeeded", "Succeeded")) };
                        let message = format!(
                            "Found {} daemon pod {}/{} on node {node}, will try to {} it",
                            word.0,
                            pod.object.namespace,
                            pod.object.name,
                            if word.0 == "failed" { "kill" } else { "delete" }
                        );
                        context.recorder.event(&context.api, SOURCE, &self.about(), kind, &format!("{}DaemonPod", word.1), &message);
                        self.delete(context, pod)?;
                        changed = true;
                    }
                    _ => running.push(Arc::clone(pod)),
                }
            }
            // With surge an old and a new one may be there together, until the new one is available.
            let old_goes = surge > 0 && {
                let newest = running.iter().find(|p| self.updated(p)).cloned();
                newest.is_some_and(|p| self.available(&p))
            };
            let mut kept: Vec<bool> = Vec::new();
            for pod in &running {
                let updated = self.updated(pod);
                let surplus = kept.contains(&updated) || (surge == 0 && !kept.is_empty()) || (old_goes && !updated);
                if surplus {
                    self.delete(context, pod)?;
                    changed = true;
                } else {
                    kept.push(updated);
                }
            }
        }
        Ok(changed)
    }

    /// Source: `update.go` `rollingUpdate`.
    fn update(&mut self, context: &mut Context) -> Result<bool, Failure> {
        let nodes: Vec<Box<str>> = self.nodes.iter().filter(|n| n.1).map(|n| n.0.clone()).collect();
        let (surge, unavailable) = self.limits(i64::try_from(nodes.len()).unwrap_or(0));
        let (mut out, mut surging) = (0, 0);
        let mut broken: Vec<Arc<Pod>> = Vec::new();
        let mut candidates: Vec<(Box<str>, Arc<Pod>)> = Vec::new();
        for node in nodes {
            let pods: Vec<Arc<Pod>> = self.by_node.get(&node).into_iter().flatten().filter(|p| p.active()).cloned().collect();
            let new = pods.iter().find(|p| self.updated(p)).cloned();
            let old = pods.iter().find(|p| !self.updated(p)).cloned();
            match (old, new) {
                (None, None) => out += 1,
                (None, Some(new)) => out += i64::from(!self.available(&new)),
                (Some(_), Some(_)) => surging += 1,
                (Some(old), None) if self.available(&old) => candidates.push((node, old)),
                (Some(old), None) => {
                    out += 1;
                    if surge > 0 { candidates.insert(0, (node, old)) } else { broken.push(old) }
                }
            }
        }
        let mut changed = false;
        if surge > 0 {
            let room = usize::try_from(surge - surging).unwrap_or(0);
            for (node, _) in candidates.into_iter().take(room) {
                self.create(context, &node)?;
                changed = true;
            }
            return Ok(changed);
        }
        let room = usize::try_from(unavailable - out).unwrap_or(0);
        // Those that do not work anyway may go at once.
        for pod in broken.into_iter().chain(candidates.into_iter().take(room).map(|(_, p)| p)) {
            self.delete(context, &pod)?;
            changed = true;
        }
        Ok(changed)
    }

    fn status(&mut self, context: &Context) -> Result<(), Failure> {
        let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) = (0i64, 0i64, 0i64, 0i64, 0i64, 0i64);
        for (node, run, _) in self.nodes.clone() {
            // The oldest one counts that does not end.
            let pods: Vec<Arc<Pod>> = self.by_node.get(&node).cloned().unwrap_or_default();
            desired += i64::from(run);
            if pods.is_empty() {
                continue;
            }
            if !run {
                misplaced += 1;
                continue;
            }
            current += 1;
            // Whichever of them is the best shows what the node has.
            ready += i64::from(pods.iter().any(|p| p.ready));
            let mut any = false;
            for pod in &pods {
                any |= self.available(pod);
            }
            available += i64::from(any);
            updated += i64::from(pods.iter().any(|p| self.updated(p)));
        }
        let had = &self.set["status"];
        let mut status = if had.is_object() { had.clone() } else { json!({}) };
        for (field, count) in [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misplaced),
            ("numberReady", ready),
        ] {
            status[field] = json!(count);
        }
        for (field, count) in
            [("updatedNumberScheduled", updated), ("numberAvailable", available), ("numberUnavailable", desired - available)]
        {
            if count > 0 {
                status[field] = json!(count);
            } else {
                status.as_object_mut().map(|s| s.remove(field));
            }
        }
        status["observedGeneration"] = self.set["metadata"]["generation"].clone();
        if status != *had {
            let uid = text(&self.set["metadata"]["uid"]);
            context.api.modify(ID, (&self.object.namespace, &self.object.name), |value| {
                let same = value["metadata"]["uid"] == uid;
                if same {
                    value["status"] = status.clone();
                }
                same
            })?;
        }
        Ok(())
    }
}
