//! Conditions: pure functions from objects to [`Progress`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use super::Progress;
use super::terminal::first_trouble;

/// Every one of the named nodes is registered and Ready.
pub fn nodes_ready(expected: &[String], nodes: &[Arc<Node>]) -> Progress {
    let present: BTreeSet<String> = nodes.iter().map(|n| n.name_any()).collect();
    let missing: Vec<&str> = expected.iter().filter(|n| !present.contains(*n)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Progress::NotYet(format!("node {} has not joined", missing.join(", ")));
    }
    let unready: Vec<String> = nodes.iter().filter_map(|n| node_unready(n)).collect();
    if unready.is_empty() { Progress::Ready(()) } else { Progress::NotYet(unready.join("; ")) }
}

/// Why a node is not Ready, or `None` when it is.
#[must_use]
pub fn node_unready(node: &Node) -> Option<String> {
    let name = node.name_any();
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    match conditions.iter().find(|c| c.type_ == "Ready") {
        Some(c) if c.status == "True" => None,
        Some(c) => Some(format!("node {name} is not Ready: {}", c.message.as_deref().or(c.reason.as_deref()).unwrap_or("no reason given"))),
        None => Some(format!("node {name} has not reported yet")),
    }
}

/// Whether a pod's Ready condition is True and it is not being deleted.
#[must_use]
pub fn pod_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .status
            .as_ref()
            .and_then(|s| s.conditions.as_deref())
            .unwrap_or_default()
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether a pod has run to its end and its controller, if it has one, has replaced it: a completed job, an evicted pod.
#[must_use]
pub fn pod_ended(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).is_some_and(|phase| phase == "Succeeded" || phase == "Failed")
}

/// Why a pod's status is from before its node's machine was last started, or `None`: no container outlives its machine, so one that is said
/// to run since an earlier time is a memory. `started` has the start of every machine by node.
#[must_use]
pub fn stale(pod: &Pod, started: &BTreeMap<String, Timestamp>) -> Option<String> {
    // Kubernetes cuts times to whole seconds.
    let machine = started.get(pod.spec.as_ref()?.node_name.as_deref()?)?.as_second();
    let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
    let running = containers.iter().filter_map(|c| c.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    let since = running.map(|t| t.0.as_second()).find(|t| *t < machine)?;
    let before = machine - since;
    Some(format!("the status of pod {} is from {before} s before its node was started", pod.name_any()))
}

/// `READY STATUS RESTARTS` of a pod as `kubectl get pod` shows them, for evidence and status lines.
#[must_use]
pub fn pod_line(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let containers = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let wanted = pod.spec.as_ref().map_or(0, |s| s.containers.len());
    let ready = containers.iter().filter(|c| c.ready).count();
    let restarts: i32 = containers.iter().map(|c| c.restart_count).sum();
    let waiting = containers.iter().find_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let phase = if pod.metadata.deletion_timestamp.is_some() {
        "Terminating".to_owned()
    } else {
        waiting.or_else(|| status.and_then(|s| s.phase.clone())).unwrap_or_else(|| "Unknown".to_owned())
    };
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("<none>");
    format!("{} {ready}/{wanted} {phase} {restarts} {node}", pod.name_any())
}

/// Every named Deployment has its newest `ReplicaSet` fully available.
///
/// `pods` are those of the same namespace; trouble among them ends the wait early.
pub fn deployments_available(names: &[&str], deployments: &[Arc<Deployment>], pods: &[Arc<Pod>]) -> Progress {
    let lacking: Vec<String> = names
        .iter()
        .filter_map(|name| match deployments.iter().find(|d| d.name_any() == *name) {
            None => Some(format!("Deployment {name} does not exist")),
            Some(d) => deployment_lacks(d),
        })
        .collect();
    if lacking.is_empty() {
        return Progress::Ready(());
    }
    first_trouble(pods).map_or_else(|| Progress::NotYet(lacking.join("; ")), super::terminal::Trouble::progress)
}

/// No pod is there any more, ended ones included.
#[must_use]
pub fn no_pods(pods: &[Arc<Pod>]) -> Progress {
    let left: Vec<String> = pods.iter().map(|p| pod_line(p)).collect();
    if left.is_empty() { Progress::Ready(()) } else { Progress::NotYet(left.join("; ")) }
}

/// What a Deployment lacks to be available, or `None`.
#[must_use]
pub fn deployment_lacks(deployment: &Deployment) -> Option<String> {
    let name = deployment.name_any();
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some(format!("Deployment {name}: the controller has not seen its newest version"));
    }
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    let all = status.replicas.unwrap_or(0);
    (wanted < 1 || updated < wanted || available < wanted || all > updated)
        .then(|| format!("Deployment {name}: {available} of {wanted} available, {updated} updated, {all} in all"))
}

/// What a `DaemonSet` lacks to be ready on every node that it wants, or `None`.
#[must_use]
pub fn daemon_set_lacks(set: &DaemonSet) -> Option<String> {
    let name = set.name_any();
    let Some(status) = &set.status else { return Some(format!("DaemonSet {name} has no status yet")) };
    if status.observed_generation < set.metadata.generation {
        return Some(format!("DaemonSet {name}: the controller has not seen its newest version"));
    }
    let (wanted, ready, updated) = (status.desired_number_scheduled, status.number_ready, status.updated_number_scheduled.unwrap_or(0));
    (wanted < 1 || ready < wanted || updated < wanted).then(|| format!("DaemonSet {name}: {ready} of {wanted} ready, {updated} updated"))
}

/// Every named CRD exists with `NamesAccepted` and Established True.
#[must_use]
pub fn crds_established(names: &[String], crds: &[Arc<CustomResourceDefinition>]) -> Progress {
    let lacking: Vec<String> = names
        .iter()
        .filter_map(|name| match crds.iter().find(|c| c.name_any() == *name) {
            None => Some(format!("CRD {name} does not exist")),
            Some(crd) => crd_lacks(crd),
        })
        .collect();
    if lacking.is_empty() { Progress::Ready(()) } else { Progress::NotYet(lacking.join("; ")) }
}

/// What a CRD lacks to be served, or `None`.
#[must_use]
pub fn crd_lacks(crd: &CustomResourceDefinition) -> Option<String> {
    let conditions = crd.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    ["NamesAccepted", "Established"].into_iter().find_map(|wanted| match conditions.iter().find(|c| c.type_ == wanted) {
        Some(c) if c.status == "True" => None,
        Some(c) => Some(format!("CRD {} is not {wanted}: {}", crd.name_any(), c.message.as_deref().unwrap_or("no message"))),
        None => Some(format!("CRD {} is not {wanted} yet", crd.name_any())),
    })
}

/// The nodes that a `DaemonSet` must have a pod on: its node selector matches and its pods tolerate the node's taints.
///
/// The taints that the `DaemonSet` controller tolerates by itself are taken into account, so a cordoned or unready node still counts.
#[must_use]
pub fn nodes_of_daemon_set(set: &DaemonSet, nodes: &[Node]) -> BTreeSet<String> {
    let spec = set.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    let selector = spec.and_then(|s| s.node_selector.clone()).unwrap_or_default();
    let tolerations = spec.and_then(|s| s.tolerations.clone()).unwrap_or_default();
    nodes
        .iter()
        .filter(|n| selector.iter().all(|(k, v)| n.labels().get(k) == Some(v)))
        .filter(|n| {
            let taints = n.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
            taints
                .iter()
                .filter(|t| t.effect != "PreferNoSchedule" && !t.key.starts_with("node.kubernetes.io/"))
                .all(|t| tolerations.iter().any(|tol| tolerates(tol, t)))
        })
        .map(kube::ResourceExt::name_any)
        .collect()
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().is_none_or(|e| e.is_empty() || e == taint.effect);
    let exists = toleration.operator.as_deref() == Some("Exists");
    let key = match toleration.key.as_deref() {
        None | Some("") => exists,
        Some(k) => k == taint.key,
    };
    effect && key && (exists || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn node(name: &str, ready: &str, taints: serde_json::Value) -> Node {
        from(serde_json::json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
            "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready, "message": "cni plugin not initialized"}]},
        }))
    }

    #[test]
    fn nodes_must_have_joined_and_be_ready() {
        let names = ["a".to_owned(), "b".to_owned()];
        let a = Arc::new(node("a", "True", serde_json::json!([])));
        let b = |ready| Arc::new(node("b", ready, serde_json::json!([])));
        assert_eq!(nodes_ready(&names, std::slice::from_ref(&a)), Progress::NotYet("node b has not joined".into()));
        assert_eq!(
            nodes_ready(&names, &[a.clone(), b("Unknown")]),
            Progress::NotYet("node b is not Ready: cni plugin not initialized".into())
        );
        assert_eq!(nodes_ready(&names, &[a, b("True")]), Progress::Ready(()));
    }

    #[test]
    fn a_deployment_is_available_only_with_its_newest_version() {
        let deployment = |generation: i64, observed: i64, all: i32, updated: i32, available: i32| -> Deployment {
            from(serde_json::json!({
                "metadata": {"name": "d", "generation": generation},
                "spec": {"replicas": 1, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "replicas": all, "updatedReplicas": updated, "availableReplicas": available},
            }))
        };
        assert_eq!(deployment_lacks(&deployment(2, 2, 1, 1, 1)), None);
        assert!(deployment_lacks(&deployment(2, 1, 1, 1, 1)).unwrap().contains("has not seen"));
        assert!(deployment_lacks(&deployment(2, 2, 2, 1, 1)).is_some(), "an old replica is still there");
        assert!(deployment_lacks(&deployment(2, 2, 1, 1, 0)).is_some());
        let missing = deployments_available(&["d", "e"], &[Arc::new(deployment(1, 1, 1, 1, 1))], &[]);
        assert_eq!(missing, Progress::NotYet("Deployment e does not exist".into()));
    }

    #[test]
    fn a_daemon_set_with_no_node_is_not_ready() {
        let set = |wanted: i32, ready: i32| -> DaemonSet {
            from(serde_json::json!({
                "metadata": {"name": "z", "generation": 1}, "spec": {"selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "desiredNumberScheduled": wanted, "currentNumberScheduled": wanted,
                           "numberReady": ready, "updatedNumberScheduled": wanted, "numberMisscheduled": 0},
            }))
        };
        assert!(daemon_set_lacks(&set(0, 0)).is_some());
        assert!(daemon_set_lacks(&set(2, 1)).is_some());
        assert_eq!(daemon_set_lacks(&set(2, 2)), None);
    }

    #[test]
    fn the_nodes_of_a_daemon_set_follow_selector_and_taints() {
        let set = |tolerations: serde_json::Value| -> DaemonSet {
            from(serde_json::json!({"metadata": {"name": "z"}, "spec": {"selector": {}, "template": {"spec": {
                "containers": [], "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": tolerations}}}}))
        };
        let control = serde_json::json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
        let cordoned = serde_json::json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
        let mut windows = node("w", "True", serde_json::json!([]));
        windows.labels_mut().insert("kubernetes.io/os".into(), "windows".into());
        let nodes = [node("cp", "True", control), node("worker", "True", cordoned), windows];
        let everywhere = set(serde_json::json!([{"effect": "NoSchedule", "operator": "Exists"}]));
        assert_eq!(nodes_of_daemon_set(&everywhere, &nodes), BTreeSet::from(["cp".into(), "worker".into()]));
        assert_eq!(nodes_of_daemon_set(&set(serde_json::json!([])), &nodes), BTreeSet::from(["worker".into()]));
        let wrong = set(serde_json::json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoExecute", "operator": "Exists"}]));
        assert_eq!(nodes_of_daemon_set(&wrong, &nodes), BTreeSet::from(["worker".into()]), "the effect counts");
    }

    #[test]
    fn crds_must_be_established() {
        let crd = |established: &str| -> Arc<CustomResourceDefinition> {
            Arc::new(from(serde_json::json!({
                "metadata": {"name": "gateways.example"},
                "spec": {"group": "example", "names": {"kind": "Gateway", "plural": "gateways"}, "scope": "Namespaced", "versions": []},
                "status": {"conditions": [{"type": "NamesAccepted", "status": "True"},
                                          {"type": "Established", "status": established, "message": "installing"}]},
            })))
        };
        let names = ["gateways.example".to_owned()];
        assert_eq!(crds_established(&names, &[]), Progress::NotYet("CRD gateways.example does not exist".into()));
        assert!(matches!(crds_established(&names, &[crd("False")]), Progress::NotYet(m) if m.contains("installing")));
        assert_eq!(crds_established(&names, &[crd("True")]), Progress::Ready(()));
    }

    #[test]
    fn a_status_from_before_the_machine_was_started_is_stale() {
        let pod = |state: serde_json::Value| -> Pod {
            from(serde_json::json!({
                "metadata": {"name": "web"}, "spec": {"containers": [], "nodeName": "n1"},
                "status": {"containerStatuses": [
                    {"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state}]},
            }))
        };
        let running = |at: &str| pod(serde_json::json!({"running": {"startedAt": at}}));
        let started = BTreeMap::from([("n1".to_owned(), "2026-01-01T00:00:10.7Z".parse().unwrap())]);
        assert!(stale(&running("2026-01-01T00:00:09Z"), &started).unwrap().contains("1 s before"));
        assert_eq!(stale(&running("2026-01-01T00:00:10Z"), &started), None, "the same second may be after");
        assert_eq!(stale(&pod(serde_json::json!({"terminated": {"exitCode": 0, "startedAt": "2025-01-01T00:00:00Z"}})), &started), None);
        assert_eq!(stale(&running("2026-01-01T00:00:09Z"), &BTreeMap::new()), None, "nothing is known of the machine");
    }

    #[test]
    fn a_pod_line_reads_like_kubectl() {
        let pod: Pod = from(serde_json::json!({
            "metadata": {"name": "web"}, "spec": {"containers": [{"name": "c"}], "nodeName": "n1"},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]},
        }));
        assert_eq!(pod_line(&pod), "web 1/1 Running 0 n1");
    }
}
