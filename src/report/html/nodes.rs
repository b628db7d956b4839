//! Which pod ran on which node, as far as the evidence of the outcomes tells: several list pods as lines of
//! [`crate::wait::conditions::pod_line`], and those about a `DaemonSet` list the nodes that it belongs on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::report::fold::{OutcomeState, Summary};

/// The outcome that tells where ztunnel must run.
const ZTUNNEL: &str = "istio.ztunnel.every-node";

/// Nodes and their pods.
#[derive(Debug, Serialize)]
pub(super) struct NodeMap<'a> {
    /// Whether it is known where ztunnel must run, so that a node without one is to be marked.
    ztunnel: bool,
    nodes: Vec<Node<'a>>,
    pods: usize,
}

/// A node.
#[derive(Debug, Default, Serialize)]
struct Node<'a> {
    name: &'a str,
    /// ztunnel must run here.
    wants: bool,
    ztunnels: Vec<Pod<'a>>,
    pods: Vec<Pod<'a>>,
}

/// A pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Pod<'a> {
    name: &'a str,
    ready: bool,
    containers: &'a str,
    phase: &'a str,
    restarts: &'a str,
}

/// The nodes, or `None` where nothing names one.
pub(super) fn of(summary: &Summary) -> Option<NodeMap<'_>> {
    let mut nodes: BTreeMap<&str, Node<'_>> = BTreeMap::new();
    if let Some(names) = summary.facts.get("nodes") {
        // A lone number is how many there are.
        for name in names.split(',').map(str::trim).filter(|n| !n.is_empty() && n.parse::<u64>().is_err()) {
            nodes.entry(name).or_default();
        }
    }
    let (mut known, mut seen) = (false, BTreeSet::new());
    for outcome in &summary.outcomes {
        let OutcomeState::Judged { evidence, .. } = &outcome.state else { continue };
        let ztunnel = outcome.info.id == ZTUNNEL;
        for name in strings(evidence.get("nodes")) {
            let node = nodes.entry(name).or_default();
            node.wants |= ztunnel;
            known |= ztunnel;
        }
    }
    let named: BTreeSet<&str> = nodes.keys().copied().collect();
    for outcome in &summary.outcomes {
        let OutcomeState::Judged { evidence, .. } = &outcome.state else { continue };
        let ztunnel = outcome.info.id == ZTUNNEL;
        let lists = evidence.iter().flat_map(|(key, list)| strings(Some(list)).filter_map(pod).map(move |found| (key, found)));
        for (key, (pod, name)) in lists {
            // Under another name, such as that of a Deployment, only what ends with the name of a node is such a line. What several outcomes
            // looked at is one pod; the first look counts.
            if !(key == "pods" || named.contains(name)) || !seen.insert((name, pod.name)) {
                continue;
            }
            let node = nodes.entry(name).or_default();
            if ztunnel { &mut node.ztunnels } else { &mut node.pods }.push(pod);
        }
    }
    for (name, node) in &mut nodes {
        node.name = name;
        node.pods.sort_unstable();
    }
    (!nodes.is_empty()).then(|| NodeMap { ztunnel: known, nodes: nodes.into_values().collect(), pods: seen.len() })
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// `NAME READY/ALL PHASE RESTARTS NODE`; the phase may be several words. Without a node it is on no map.
fn pod(line: &str) -> Option<(Pod<'_>, &str)> {
    let (name, rest) = line.split_once(' ')?;
    let (containers, rest) = rest.split_once(' ')?;
    let (rest, node) = rest.rsplit_once(' ')?;
    let (phase, restarts) = rest.rsplit_once(' ')?;
    let (ready, all) = containers.split_once('/')?;
    let (ready, all) = (ready.parse::<u32>().ok()?, all.parse::<u32>().ok()?);
    restarts.parse::<u32>().ok()?;
    (node != "<none>").then_some((Pod { name, ready: ready == all && all > 0 && phase == "Running", containers, phase, restarts }, node))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::{Event, Fidelity, Verdict};
    use crate::report::testing::Pen;

    #[test]
    fn a_pod_is_read_from_its_line_and_nothing_else_is_one() {
        let (found, node) = pod("ztunnel-5rv4k 1/1 Running 0 istio-cluster-worker").unwrap();
        assert_eq!((found.name, found.ready, node), ("ztunnel-5rv4k", true, "istio-cluster-worker"));
        assert!(!pod("a 0/1 CrashLoopBackOff 7 n").unwrap().0.ready);
        assert!(!pod("a 1/1 Terminating 0 n").unwrap().0.ready);
        for line in ["", "a", "a 1/1 Pending 0 <none>", "a b c d e", "a 1/1 Running x n", "some pod is not there"] {
            assert_eq!(pod(line), None, "{line}");
        }
    }

    #[test]
    fn pods_are_found_in_the_evidence_of_every_outcome_and_lines_of_kubectl_are_none() {
        let mut pen = Pen::new(Fidelity::Real);
        pen.write(Event::Fact { name: "nodes".into(), value: "cp, worker".into() });
        let evidence = json!({"kubernetes-dashboard": ["a-1 1/1 Running 0 worker"], "printed": ["a-1 1/1 Running 0 20s"], "n": 1});
        pen.judge("dashboard.pods.running", 1, Verdict::Passed, evidence, Vec::new());
        pen.judge(
            "istio.istiod.ready",
            1,
            Verdict::Passed,
            json!({"pods": ["b-2 1/1 Running 0 third", "a-1 0/1 Pending 0 worker"]}),
            Vec::new(),
        );
        let summary = Summary::fold(&pen.records);
        let map = of(&summary).unwrap();
        let pods: Vec<(&str, Vec<&str>)> = map.nodes.iter().map(|n| (n.name, n.pods.iter().map(|p| p.name).collect())).collect();
        assert_eq!(pods, [("cp", vec![]), ("third", vec!["b-2"]), ("worker", vec!["a-1"])]);
        assert_eq!(map.pods, 2);
    }
}
