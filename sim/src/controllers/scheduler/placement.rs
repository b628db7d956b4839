//! Where a pod fits, and where best. Source: `pkg/scheduler/framework/plugins`; the message: `framework/types.go` `FitError`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use super::super::demand::{Amounts, Demand, HostPort, Quantity};
use super::super::selector::{NodeTerms, Taint, untolerated};
use crate::store::{Object, Pairs};

/// A node as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Node {
    name: Box<str>,
    labels: Pairs,
    unschedulable: bool,
    taints: Vec<Taint>,
    allocatable: Amounts,
    used: Amounts,
    assumed: Amounts,
    pods: i64,
    ports: Vec<HostPort>,
}

/// The taint that stands for `spec.unschedulable`.
fn unschedulable() -> Taint {
    Taint { key: "node.kubernetes.io/unschedulable".into(), value: "".into(), effect: "NoSchedule".into() }
}

/// Why a pod does not fit on a node.
#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    reasons: Vec<String>,
    /// Whether the node would do if other pods went.
    preemption: bool,
}

impl Node {
    pub(in super::super) fn read(object: &Object, value: &Value, quantity: Quantity) -> Self {
        let status = &value["status"];
        let allocatable = if status["allocatable"].is_object() { &status["allocatable"] } else { &status["capacity"] };
        Self {
            name: object.name.clone(),
            labels: object.labels.clone(),
            unschedulable: value["spec"]["unschedulable"] == true,
            taints: Taint::all(value),
            allocatable: Amounts::read(allocatable, quantity),
            used: Amounts::default(),
            assumed: Amounts::default(),
            pods: 0,
            ports: Vec::new(),
        }
    }

    /// Takes over what runs there.
    pub(super) fn keep_count(&mut self, old: &Self) {
        self.used = old.used.clone();
        self.assumed = old.assumed.clone();
        self.pods = old.pods;
        self.ports.clone_from(&old.ports);
    }

    /// Counts a pod in, or out.
    pub(super) fn count(&mut self, demand: &Demand, sign: i64) {
        self.used.add(&demand.requests, sign);
        self.assumed.add(&demand.assumed, sign);
        self.pods += sign;
        for port in &demand.ports {
            if sign > 0 {
                self.ports.push(port.clone());
            } else if let Some(at) = self.ports.iter().position(|p| p == port) {
                self.ports.swap_remove(at);
            }
        }
    }

    /// The filters in the order of the default profile; the first that refuses decides.
    fn misfit(&self, demand: &Demand, only: Option<&[&str]>) -> Option<Misfit> {
        let never = |reason: String| Some(Misfit { reasons: vec![reason], preemption: false });
        if only.is_some_and(|names| !names.contains(&&*self.name)) {
            return never("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned());
        }
        if self.unschedulable && !demand.tolerations.iter().any(|t| t.tolerates(&unschedulable())) {
            return never("node(s) were unschedulable".to_owned());
        }
        if let Some(taint) = untolerated(&self.taints, &demand.tolerations) {
            return never(format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value));
        }
        let affinity = demand.required.as_ref().is_none_or(|terms| terms.matches(&self.name, &self.labels));
        if !demand.selector.matches(&self.labels) || !affinity {
            return never("node(s) didn't match Pod's node affinity/selector".to_owned());
        }
        if demand.ports.iter().any(|port| self.ports.iter().any(|taken| taken.clashes(port))) {
            let reason = "node(s) didn't have free ports for the requested pod ports".to_owned();
            return Some(Misfit { reasons: vec![reason], preemption: true });
        }
        let mut reasons = Vec::new();
        if (self.pods + 1) * 1000 > self.allocatable.get("pods") {
            reasons.push("Too many pods".to_owned());
        }
        let mut short = |name: &str, asked: i64| {
            if asked > 0 && asked > self.allocatable.get(name) - self.used.get(name) {
                reasons.push(format!("Insufficient {name}"));
            }
        };
        short("cpu", demand.requests.cpu);
        short("memory", demand.requests.memory);
        for (name, asked) in &demand.requests.other {
            short(name, *asked);
        }
        (!reasons.is_empty()).then_some(Misfit { reasons, preemption: true })
    }

    /// Whether a daemon shall run here, and whether one that does may stay. Source: `daemon_controller.go` `NodeShouldRunDaemonPod`.
    pub(in super::super) fn wants_daemon(&self, demand: &Demand) -> (bool, bool) {
        let affinity = demand.required.as_ref().is_none_or(|terms| terms.matches(&self.name, &self.labels));
        if !demand.selector.matches(&self.labels) || !affinity {
            return (false, false);
        }
        if untolerated(&self.taints, &demand.tolerations).is_none() {
            return (true, true);
        }
        let executed = self.taints.iter().filter(|t| *t.effect == *"NoExecute");
        let driven_out = executed.into_iter().any(|taint| !demand.tolerations.iter().any(|t| t.tolerates(taint)));
        (false, !driven_out)
    }

    pub(in super::super) fn taints(&self) -> &[Taint] {
        &self.taints
    }

    /// How good a node is: least allocated (weight 1), preferred affinity (2), no taint of preference (3).
    fn score(&self, demand: &Demand) -> i64 {
        let free = |allocatable: i64, used: i64| {
            if allocatable <= 0 || used > allocatable { 0 } else { (allocatable - used) * 100 / allocatable }
        };
        let cpu = free(self.allocatable.cpu, self.assumed.cpu + demand.assumed.cpu);
        let memory = free(self.allocatable.memory, self.assumed.memory + demand.assumed.memory);
        let mut score = i64::midpoint(cpu, memory);
        if !demand.preferred.is_empty() {
            let all: i64 = demand.preferred.iter().map(|(w, _)| w).sum();
            let met: i64 = demand.preferred.iter().filter(|(_, t)| t.matches(&self.name, &self.labels)).map(|(w, _)| w).sum();
            score += 2 * 100 * met / all.max(1);
        }
        let avoided = |t: &&Taint| *t.effect == *"PreferNoSchedule" && !demand.tolerations.iter().any(|x| x.tolerates(t));
        let total = i64::try_from(self.taints.iter().filter(avoided).count()).unwrap_or(0);
        score - 3 * 100 * total.min(1)
    }
}

/// The best node for a pod, or why there is none.
pub(super) fn place(nodes: &BTreeMap<Box<str>, Node>, demand: &Demand) -> Result<Box<str>, String> {
    if nodes.is_empty() {
        return Err("no nodes available to schedule pods".to_owned());
    }
    let only = demand.required.as_ref().and_then(NodeTerms::names);
    let mut misfits = Vec::new();
    let mut best: Option<((i64, Reverse<i64>), &Node)> = None;
    for node in nodes.values() {
        if let Some(misfit) = node.misfit(demand, only.as_deref()) {
            misfits.push(misfit);
            continue;
        }
        // Among equals the one with the fewest pods; upstream leaves it to its spreading and to chance.
        let rank = (node.score(demand), Reverse(node.pods));
        if best.as_ref().is_none_or(|(had, _)| rank > *had) {
            best = Some((rank, node));
        }
    }
    best.map(|(_, node)| node.name.clone()).ok_or_else(|| message(&misfits))
}

fn histogram(total: usize, reasons: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    format!("0/{total} nodes are available: {}.", parts.join(", "))
}

fn message(misfits: &[Misfit]) -> String {
    let total = misfits.len();
    let filtered = histogram(total, misfits.iter().flat_map(|m| m.reasons.iter().cloned()));
    let outlook = |m: &Misfit| {
        if m.preemption { "No preemption victims found for incoming pod" } else { "Preemption is not helpful for scheduling" }.to_owned()
    };
    format!("{filtered} preemption: {}", histogram(total, misfits.iter().map(outlook)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Store;

    #[expect(clippy::unnecessary_wraps, reason = "it has the type of the real one")]
    fn units(text: &str) -> Option<i128> {
        Some(text.parse::<i128>().map_or(0, |n| n * 1000))
    }

    fn nodes(values: Vec<Value>) -> BTreeMap<Box<str>, Node> {
        values
            .into_iter()
            .map(|v| {
                let name = v["metadata"]["name"].as_str().unwrap();
                (name.into(), Node::read(&Store::preview(("", name), &v), &v, units))
            })
            .collect()
    }

    fn node(name: &str, extra: Value) -> Value {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "1000", "pods": "110"}},
        });
        node["spec"] = extra;
        node
    }

    #[test]
    fn the_message_counts_reasons_and_says_what_preemption_could_do() {
        let taint = json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]});
        let nodes = nodes(vec![node("control-plane", taint), node("worker", json!({}))]);
        let spec = json!({"containers": [{"resources": {"requests": {"memory": "2000"}}}]});
        assert_eq!(
            place(&nodes, &Demand::read(&spec, units)).unwrap_err(),
            "0/2 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }. \
             preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
        );
    }

    #[test]
    fn pods_go_where_most_is_free_and_host_ports_are_taken_once() {
        let mut nodes = nodes(vec![node("a", json!({})), node("b", json!({}))]);
        let demand = Demand::read(&json!({"containers": [{"ports": [{"containerPort": 80, "hostPort": 80}]}]}), units);
        let first = place(&nodes, &demand).unwrap();
        nodes.get_mut(&first).unwrap().count(&demand, 1);
        let second = place(&nodes, &demand).unwrap();
        assert_ne!(first, second);
        nodes.get_mut(&second).unwrap().count(&demand, 1);
        let why = place(&nodes, &demand).unwrap_err();
        assert!(why.starts_with("0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."), "{why}");
    }

    #[test]
    fn affinity_to_a_name_leaves_the_other_nodes_out_and_cordoned_ones_are_unschedulable() {
        let nodes = nodes(vec![node("a", json!({})), node("b", json!({"unschedulable": true}))]);
        let spec = |name: &str| {
            let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
        };
        assert_eq!(&*place(&nodes, &Demand::read(&spec("a"), units)).unwrap(), "a");
        let why = place(&nodes, &Demand::read(&spec("b"), units)).unwrap_err();
        assert!(
            why.starts_with("0/2 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) were unschedulable.")
        );
        let why = place(&nodes, &Demand::read(&json!({"nodeSelector": {"disk": "ssd"}}), units)).unwrap_err();
        assert!(why.contains("1 node(s) didn't match Pod's node affinity/selector"), "{why}");
        assert_eq!(place(&BTreeMap::new(), &Demand::default()).unwrap_err(), "no nodes available to schedule pods");
    }
}
