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
        for (pod, name) in strings(evidence.get("pods")).filter_map(pod) {
            // What several outcomes looked at is one pod; the first look counts.
            if !seen.insert((name, pod.name)) {
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
    use super::*;

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
}
