use std::time::Duration;

use serde_json::{Value, json};

use super::super::fields::{condition, holds};
use super::cluster::{Cluster, template};
use crate::api::Delete;

fn pod(name: &str, tolerations: Value) -> Value {
    let mut pod = template(name, "one");
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["tolerations"] = tolerations;
    pod
}

fn control_plane() -> Value {
    json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]})
}

/// D3: the key `node-role.kubernetes.io/master` is gone, and tolerating it opens no control plane.
#[tokio::test]
async fn tolerating_the_removed_key_leads_to_the_worker_and_nowhere_without_one() {
    let tolerations = || json!([{"key": "node-role.kubernetes.io/master", "operator": "Exists", "effect": "NoSchedule"}]);
    let cluster = Cluster::new();
    cluster.node("control-plane", control_plane());
    cluster.node("worker", json!({}));
    cluster.api.make("pods", "default", pod("a", tolerations())).unwrap();
    cluster.until("pods", "on the worker", |all| all[0]["spec"]["nodeName"] == "worker").await;
    assert_eq!(cluster.events("Scheduled"), ["Successfully assigned default/a to worker"]);

    let alone = Cluster::new();
    alone.node("control-plane", control_plane());
    alone.api.make("pods", "default", pod("a", tolerations())).unwrap();
    let refused = |all: &[Value]| condition(&all[0]["status"], "PodScheduled").is_some();
    let pods = alone.until("pods", "refused", refused).await;
    let scheduled = condition(&pods[0]["status"], "PodScheduled").unwrap();
    assert_eq!((&scheduled["status"], &scheduled["reason"]), (&json!("False"), &json!("Unschedulable")));
    assert_eq!(
        scheduled["message"],
        "0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }. \
         preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
    assert_eq!(pods[0]["status"]["phase"], "Pending");
    assert_eq!(alone.events("FailedScheduling").len(), 1);
    // A worker comes, and the pod goes there.
    alone.node("worker", json!({}));
    alone.until("pods", "on the worker", |all| all[0]["spec"]["nodeName"] == "worker").await;
}

#[tokio::test]
async fn pods_wait_for_room_and_take_it() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    for name in ["a", "b"] {
        let mut pod = pod(name, json!([]));
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "3"}});
        cluster.api.make("pods", "default", pod).unwrap();
    }
    let pods = cluster
        .until("pods", "decided", |all| all.len() == 2 && all.iter().all(|p| condition(&p["status"], "PodScheduled").is_some()))
        .await;
    let waiting = pods.iter().find(|p| !holds(&p["status"], "PodScheduled")).unwrap();
    let message = condition(&waiting["status"], "PodScheduled").unwrap()["message"].as_str().unwrap();
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
    let running = pods.iter().find(|p| holds(&p["status"], "PodScheduled")).unwrap();
    cluster.finish(running);
    cluster.until("pods", "bound", |all| all.len() == 1 && holds(&all[0]["status"], "PodScheduled")).await;
}

#[tokio::test]
async fn gated_pods_and_those_of_other_schedulers_are_left_alone() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    let mut gated = pod("gated", json!([]));
    gated["spec"]["schedulingGates"] = json!([{"name": "x"}]);
    let mut other = pod("other", json!([]));
    other["spec"]["schedulerName"] = json!("mine");
    for pod in [gated, other] {
        cluster.api.make("pods", "default", pod).unwrap();
    }
    cluster.rest().await;
    assert!(cluster.all("pods").iter().all(|p| !p["spec"]["nodeName"].is_string()));
    cluster.api.modify("pods", ("default", "gated"), |p| p["spec"].as_object_mut().unwrap().remove("schedulingGates").is_some()).unwrap();
    cluster.until("pods", "bound", |all| all.iter().any(|p| p["spec"]["nodeName"] == "worker")).await;
}

#[tokio::test]
async fn a_silent_node_is_tainted_its_pods_are_evicted_and_it_recovers() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    // Admission gives every pod five minutes (DefaultTolerationSeconds) unless it says itself how long it stays.
    let stays = |seconds: u32| json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    cluster.api.make("pods", "default", pod("patient", stays(300))).unwrap();
    cluster.api.make("pods", "default", pod("daemon", json!([{"operator": "Exists"}]))).unwrap();
    cluster.api.make("pods", "default", pod("hasty", stays(0))).unwrap();
    cluster.settle().await;
    assert_eq!(cluster.all("nodes")[0]["spec"]["podCIDR"], "10.244.0.0/24");
    let lease =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "worker"}, "spec": {"renewTime": "1"}});
    cluster.api.make("leases.coordination.k8s.io", "kube-node-lease", lease).unwrap();
    cluster.rest().await;
    cluster.api.clock().skip(Duration::from_secs(41));
    let silent = |all: &[Value]| condition(&all[0]["status"], "Ready").is_some_and(|c| c["status"] == "Unknown");
    let node = &cluster.until("nodes", "silent", silent).await[0];
    assert_eq!(condition(&node["status"], "Ready").unwrap()["message"], "Kubelet stopped posting node status.");
    cluster.rest().await;
    let effects = |node: &Value| {
        let all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        all.iter().map(|t| (t["key"].as_str().unwrap().to_owned(), t["effect"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let unreachable = |effect: &str| ("node.kubernetes.io/unreachable".to_owned(), effect.to_owned());
    assert_eq!(effects(&cluster.all("nodes")[0]), [unreachable("NoSchedule"), unreachable("NoExecute")]);
    let going = |all: &[Value]| {
        let marked = all.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_string());
        marked.map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(going(&cluster.all("pods")), ["hasty"]);
    assert!(cluster.all("pods").iter().all(|p| !holds(&p["status"], "Ready")));
    cluster.api.clock().skip(Duration::from_secs(301));
    cluster.until("pods", "evicted", |all| going(all) == ["hasty", "patient"]).await;
    cluster
        .api
        .modify("nodes", ("", "worker"), |node| {
            node["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": "2"}]);
            true
        })
        .unwrap();
    cluster.until("nodes", "recovered", |all| all[0]["spec"].get("taints").is_none()).await;
}

#[tokio::test]
async fn cordoning_taints_and_pods_of_lost_nodes_are_collected() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make("pods", "default", pod("a", json!([]))).unwrap();
    cluster.settle().await;
    let cordon = |on: bool| {
        cluster
            .api
            .modify("nodes", ("", "worker"), |node| {
                node["spec"]["unschedulable"] = json!(on);
                true
            })
            .unwrap();
    };
    cordon(true);
    cluster.until("nodes", "tainted", |all| all[0]["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable").await;
    cordon(false);
    cluster.until("nodes", "open", |all| all[0]["spec"].get("taints").is_none()).await;
    cluster.delete("nodes", &cluster.all("nodes")[0], &Delete::default());
    cluster.rest().await;
    assert_eq!(cluster.all("pods").len(), 1);
    cluster.api.clock().skip(Duration::from_secs(41));
    cluster.until("pods", "collected", <[Value]>::is_empty).await;
}

#[tokio::test]
async fn namespaces_get_their_account_and_certificate_and_go_with_all_they_have() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make("namespaces", "", json!({"metadata": {"name": "team"}})).unwrap();
    cluster.rest().await;
    assert!(cluster.api.read("serviceaccounts", "team", "default").is_some());
    assert_eq!(cluster.api.read("configmaps", "team", "kube-root-ca.crt").unwrap()["data"]["ca.crt"], "the certificate");
    cluster.delete("serviceaccounts", &cluster.api.read("serviceaccounts", "team", "default").unwrap(), &Delete::default());
    cluster.rest().await;
    assert!(cluster.api.read("serviceaccounts", "team", "default").is_some());
    cluster.api.make("pods", "team", pod("a", json!([]))).unwrap();
    cluster.settle().await;
    cluster.delete("namespaces", &cluster.api.read("namespaces", "", "team").unwrap(), &Delete::default());
    cluster.rest().await;
    let status = cluster.api.read("namespaces", "", "team").unwrap()["status"].clone();
    assert_eq!(
        condition(&status, "NamespaceContentRemaining").unwrap()["message"],
        "Some resources are remaining: pods. has 1 resource instances"
    );
    cluster.settle().await;
    assert!(cluster.api.read("namespaces", "", "team").is_none());
    assert!(cluster.api.read("configmaps", "team", "kube-root-ca.crt").is_none());
}

#[tokio::test]
async fn a_definition_goes_after_its_objects() {
    let cluster = Cluster::new();
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true}],
        },
    });
    let id = "customresourcedefinitions.apiextensions.k8s.io";
    cluster.api.make(id, "", crd).unwrap();
    cluster.rest().await;
    let thing = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    cluster.api.make("things.example.com", "default", thing).unwrap();
    cluster.rest().await;
    cluster.delete(id, &cluster.all(id)[0], &Delete::default());
    cluster.rest().await;
    assert!(holds(&cluster.all(id)[0]["status"], "Terminating"));
    cluster
        .api
        .modify("things.example.com", ("default", "held"), |thing| {
            thing["metadata"].as_object_mut().unwrap().remove("finalizers");
            true
        })
        .unwrap();
    cluster.until(id, "gone", <[Value]>::is_empty).await;
    assert!(cluster.api.resource("things.example.com").is_none());
}
