use serde_json::{Value, json};

use super::super::fields::{condition, holds};
use super::cluster::{Cluster, alive, template, workload};

const DAEMONS: &str = "daemonsets.apps";

fn count(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or(0)
}

#[tokio::test]
async fn daemons_run_on_every_node_they_are_for_and_roll_one_by_one() {
    let cluster = Cluster::new();
    for name in ["a", "b"] {
        cluster.node(name, json!({}));
    }
    cluster.node("c", json!({"taints": [{"key": "k", "effect": "NoSchedule"}]}));
    cluster.api.make(DAEMONS, "default", workload("DaemonSet", "agent", "one", json!({}))).unwrap();
    cluster.settle().await;
    let set = &cluster.all(DAEMONS)[0];
    for field in ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled"] {
        assert_eq!(count(&set["status"], field), 2, "{field}");
    }
    let pods = cluster.all("pods");
    let mut nodes: Vec<&str> = pods.iter().map(|p| p["spec"]["nodeName"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["a", "b"]);
    assert_eq!(pods[0]["spec"]["tolerations"].as_array().unwrap().len(), 6);
    // A failed one is replaced after a moment; a node that joins gets one.
    cluster.end(&pods[0], "Failed");
    cluster.api.clock().skip(std::time::Duration::from_secs(2));
    cluster.node("d", json!({}));
    cluster.settle().await;
    assert_eq!(count(&cluster.all(DAEMONS)[0]["status"], "numberReady"), 3);
    cluster
        .api
        .modify(DAEMONS, ("default", "agent"), |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
            true
        })
        .unwrap();
    cluster.rest().await;
    // One at a time is not there.
    assert_eq!(cluster.all("pods").iter().filter(|p| alive(p)).count(), 2);
    cluster.settle().await;
    let pods = cluster.all("pods");
    assert!(pods.len() == 3 && pods.iter().all(|p| p["spec"]["containers"][0]["image"] == "two"));
    let status = &cluster.all(DAEMONS)[0]["status"];
    assert_eq!((count(status, "updatedNumberScheduled"), count(status, "numberUnavailable")), (3, 0));
    assert_eq!(cluster.all("controllerrevisions.apps").len(), 2);
}

#[tokio::test]
async fn daemons_with_surge_are_replaced_once_the_new_one_is_there() {
    let cluster = Cluster::new();
    cluster.node("a", json!({}));
    let spec = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    cluster.api.make(DAEMONS, "default", workload("DaemonSet", "agent", "one", spec)).unwrap();
    cluster.settle().await;
    cluster
        .api
        .modify(DAEMONS, ("default", "agent"), |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
            true
        })
        .unwrap();
    cluster.rest().await;
    assert_eq!(cluster.all("pods").iter().filter(|p| alive(p)).count(), 2);
    cluster.settle().await;
    let pods = cluster.all("pods");
    assert!(pods.len() == 1 && pods[0]["spec"]["containers"][0]["image"] == "two");
}

#[tokio::test]
async fn stateful_pods_come_in_order_and_are_updated_from_the_last() {
    let cluster = Cluster::new();
    cluster.node("a", json!({}));
    let spec = json!({"replicas": 2, "serviceName": "db"});
    cluster.api.make("statefulsets.apps", "default", workload("StatefulSet", "db", "one", spec)).unwrap();
    cluster.rest().await;
    assert_eq!(cluster.all("pods").len(), 1);
    cluster.settle().await;
    let names = |pods: &[Value]| pods.iter().map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&cluster.all("pods")), ["db-0", "db-1"]);
    let change = |change: fn(&mut Value)| {
        cluster
            .api
            .modify("statefulsets.apps", ("default", "db"), |set| {
                change(set);
                true
            })
            .unwrap();
    };
    change(|set| set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two"));
    cluster.rest().await;
    let going = |p: &Value| p["metadata"]["deletionTimestamp"].is_string();
    assert_eq!(cluster.all("pods").iter().map(going).collect::<Vec<_>>(), [false, true]);
    cluster.settle().await;
    assert!(cluster.all("pods").iter().all(|p| p["spec"]["containers"][0]["image"] == "two"));
    let status = cluster.all("statefulsets.apps")[0]["status"].clone();
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    assert_eq!((count(&status, "readyReplicas"), count(&status, "currentReplicas")), (2, 2));
    change(|set| set["spec"]["replicas"] = json!(1));
    cluster.settle().await;
    assert_eq!(names(&cluster.all("pods")), ["db-0"]);
}

fn job(spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": template("work", "one")},
    });
    for (field, given) in spec.as_object().unwrap() {
        job["spec"][field] = given.clone();
    }
    job
}

#[tokio::test]
async fn jobs_complete_or_fail_at_their_limit() {
    let cluster = Cluster::new();
    cluster.node("a", json!({}));
    cluster.api.make("jobs.batch", "default", job(json!({"completions": 3, "parallelism": 2}))).unwrap();
    let mut most = 0;
    for _ in 0..3 {
        cluster.settle().await;
        let running: Vec<Value> = cluster.all("pods").into_iter().filter(alive).collect();
        most = most.max(running.len());
        cluster.end(&running[0], "Succeeded");
    }
    cluster.settle().await;
    let status = &cluster.all("jobs.batch")[0]["status"];
    assert!(holds(status, "Complete") && most == 2, "{status:#}");
    assert_eq!((count(status, "succeeded"), count(status, "active")), (3, 0));

    let cluster = Cluster::new();
    cluster.node("a", json!({}));
    cluster.api.make("jobs.batch", "default", job(json!({"backoffLimit": 1}))).unwrap();
    for _ in 0..2 {
        cluster.settle().await;
        let pod = cluster.all("pods").into_iter().find(alive).unwrap();
        cluster.end(&pod, "Failed");
        cluster.rest().await;
        cluster.api.clock().skip(std::time::Duration::from_secs(30));
    }
    cluster.settle().await;
    let status = &cluster.all("jobs.batch")[0]["status"];
    assert_eq!(condition(status, "Failed").unwrap()["reason"], "BackoffLimitExceeded");
    assert_eq!(count(status, "failed"), 2);
}
