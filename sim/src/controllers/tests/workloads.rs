use serde_json::{Value, json};

use super::super::fields::{condition, holds};
use super::cluster::{Cluster, alive, workload};

const DEPLOYMENTS: &str = "deployments.apps";
const SETS: &str = "replicasets.apps";

fn rolled_out(d: &Value, replicas: i64) -> bool {
    let status = &d["status"];
    status["observedGeneration"] == d["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|f| status[*f].as_i64().unwrap_or(0) == replicas)
}

#[tokio::test]
async fn a_deployment_rolls_out_rolls_back_and_says_so() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 3}))).unwrap();
    cluster.settle().await;
    let d = &cluster.until(DEPLOYMENTS, "rolled out", |all| rolled_out(&all[0], 3)).await[0];
    assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let progressing = condition(&d["status"], "Progressing").unwrap();
    let set = &cluster.all(SETS)[0];
    let name = set["metadata"]["name"].as_str().unwrap();
    assert_eq!(progressing["reason"], "NewReplicaSetAvailable");
    assert_eq!(progressing["message"], format!("ReplicaSet {name:?} has successfully progressed."));
    assert_eq!(condition(&d["status"], "Available").unwrap()["reason"], "MinimumReplicasAvailable");
    assert_eq!(cluster.events("ScalingReplicaSet"), [format!("Scaled up replica set {name} from 0 to 3")]);
    assert_eq!(cluster.events("SuccessfulCreate").len(), 3);
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"], "4");

    let image = |image: &'static str| {
        cluster
            .api
            .modify(DEPLOYMENTS, ("default", "web"), |d| {
                d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
                true
            })
            .unwrap();
    };
    image("two");
    cluster.settle().await;
    let d = &cluster.until(DEPLOYMENTS, "rolled out again", |all| rolled_out(&all[0], 3)).await[0];
    assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert!(cluster.all("pods").iter().all(|p| p["spec"]["containers"][0]["image"] == "two"));
    image("one");
    cluster.settle().await;
    let d = &cluster.until(DEPLOYMENTS, "rolled back", |all| rolled_out(&all[0], 3)).await[0];
    assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    let sets = cluster.all(SETS);
    assert_eq!(sets.len(), 2);
    let back = sets.iter().find(|s| s["metadata"]["name"] == name).unwrap();
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
}

#[tokio::test]
async fn a_deployment_without_progress_says_so_when_its_deadline_has_passed() {
    let cluster = Cluster::new();
    let spec = json!({"replicas": 1, "progressDeadlineSeconds": 60});
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", spec)).unwrap();
    cluster.rest().await;
    cluster.api.clock().skip(std::time::Duration::from_secs(62));
    let late = |all: &[Value]| condition(&all[0]["status"], "Progressing").is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded");
    let d = &cluster.until(DEPLOYMENTS, "late", late).await[0];
    assert_eq!(condition(&d["status"], "Progressing").unwrap()["status"], "False");
    assert_eq!(condition(&d["status"], "Available").unwrap()["reason"], "MinimumReplicasUnavailable");
}

#[tokio::test]
async fn recreate_starts_nothing_new_before_the_old_is_gone() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    let spec = json!({"replicas": 2, "strategy": {"type": "Recreate"}});
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", spec)).unwrap();
    cluster.settle().await;
    cluster
        .api
        .modify(DEPLOYMENTS, ("default", "web"), |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
            true
        })
        .unwrap();
    cluster.rest().await;
    assert!(cluster.all("pods").iter().all(|p| p["spec"]["containers"][0]["image"] == "one" && !alive(p)));
    cluster.settle().await;
    assert!(cluster.all("pods").iter().all(|p| p["spec"]["containers"][0]["image"] == "two"));
    cluster.until(DEPLOYMENTS, "rolled out", |all| rolled_out(&all[0], 2)).await;
}

#[tokio::test]
async fn pods_are_adopted_replaced_when_they_end_and_collected_with_their_owner() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    let mut pod = super::cluster::template("web", "one");
    pod["metadata"]["name"] = json!("stray");
    cluster.api.make("pods", "default", pod).unwrap();
    let set = workload("ReplicaSet", "web", "one", json!({"replicas": 2}));
    cluster.api.make(SETS, "default", set).unwrap();
    cluster.settle().await;
    let pods = cluster.all("pods");
    assert_eq!(pods.len(), 2);
    let stray = pods.iter().find(|p| p["metadata"]["name"] == "stray").unwrap();
    assert_eq!(stray["metadata"]["ownerReferences"][0]["controller"], true);
    cluster.end(stray, "Failed");
    cluster.until("pods", "replaced", |all| all.iter().filter(|p| alive(p)).count() == 2 && all.len() == 3).await;
    cluster.delete(SETS, &cluster.all(SETS)[0], &crate::api::Delete::default());
    cluster.settle().await;
    assert_eq!(cluster.all("pods"), Vec::<Value>::new());
}

#[tokio::test]
async fn foreground_deletion_takes_the_owner_last_and_orphaning_leaves_the_rest() {
    use crate::api::{Delete, Propagation};
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 1}))).unwrap();
    cluster.settle().await;
    let options = |p| Delete { propagation: Some(p), ..Delete::default() };
    cluster.delete(DEPLOYMENTS, &cluster.all(DEPLOYMENTS)[0], &options(Propagation::Foreground));
    cluster.rest().await;
    // The pod waits for its kubelet, the replica set for the pod, the deployment for the replica set.
    assert_eq!((cluster.all("pods").len(), cluster.all(SETS).len(), cluster.all(DEPLOYMENTS).len()), (1, 1, 1));
    cluster.settle().await;
    assert_eq!((cluster.all("pods").len(), cluster.all(SETS).len(), cluster.all(DEPLOYMENTS).len()), (0, 0, 0));

    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 1}))).unwrap();
    cluster.settle().await;
    cluster.delete(DEPLOYMENTS, &cluster.all(DEPLOYMENTS)[0], &options(Propagation::Orphan));
    cluster.settle().await;
    assert_eq!((cluster.all("pods").len(), cluster.all(DEPLOYMENTS).len()), (1, 0));
    assert!(cluster.all(SETS)[0]["metadata"].get("ownerReferences").is_none());
}

#[tokio::test]
async fn services_have_endpoints_of_their_pods() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 2}))).unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}]},
    });
    cluster.api.make("services", "default", service).unwrap();
    cluster.settle().await;
    let full = |all: &[Value]| all.len() == 1 && all[0]["endpoints"].as_array().is_some_and(|e| e.len() == 2);
    let slice = &cluster.until("endpointslices.discovery.k8s.io", "full", full).await[0];
    assert_eq!(slice["ports"], json!([{"name": "web", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "web");
    assert_eq!(slice["endpoints"][0]["conditions"], json!({"ready": true, "serving": true, "terminating": false}));
    let endpoints = &cluster.all("endpoints")[0];
    assert_eq!(endpoints["subsets"][0]["addresses"].as_array().unwrap().len(), 2);
    assert_eq!(endpoints["subsets"][0]["ports"], json!([{"name": "web", "port": 8080, "protocol": "TCP"}]));
    // One goes: it serves, but takes nobody new.
    let victim = &cluster.all("pods")[0];
    cluster.delete("pods", victim, &crate::api::Delete::default());
    cluster
        .until("endpointslices.discovery.k8s.io", "terminating", |all| {
            let mut conditions = all[0]["endpoints"].as_array().into_iter().flatten().map(|e| &e["conditions"]);
            conditions.any(|c| *c == json!({"ready": false, "serving": true, "terminating": true}))
        })
        .await;
    let service = &cluster.all("services")[0];
    cluster.delete("services", service, &crate::api::Delete::default());
    cluster.settle().await;
    assert_eq!(cluster.all("endpointslices.discovery.k8s.io").len() + cluster.all("endpoints").len(), 0);
}

#[tokio::test]
async fn budgets_count_what_may_go() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 3}))).unwrap();
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1},
    });
    cluster.api.make("poddisruptionbudgets.policy", "default", budget).unwrap();
    cluster.settle().await;
    let status = &cluster.all("poddisruptionbudgets.policy")[0]["status"];
    assert_eq!([&status["currentHealthy"], &status["desiredHealthy"], &status["disruptionsAllowed"]], [3, 2, 1]);
    assert!(holds(status, "DisruptionAllowed"));
}

#[tokio::test]
async fn a_paused_controller_stands_still_and_catches_up() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.controllers.pause("scheduler");
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 2}))).unwrap();
    cluster.rest().await;
    let bound = |all: &[Value]| all.iter().filter(|p| p["spec"]["nodeName"].is_string()).count();
    assert_eq!((cluster.all("pods").len(), bound(&cluster.all("pods"))), (2, 0));
    cluster.controllers.resume("scheduler");
    cluster.until("pods", "bound", |all| bound(all) == 2).await;
}

#[tokio::test]
async fn a_replica_set_whose_pods_are_refused_says_so_until_they_are_not() {
    let cluster = Cluster::new();
    cluster.controllers.pause("replicaset");
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 1}))).unwrap();
    cluster.rest().await;
    cluster.api.store().remove("namespaces", ("", "default"), None, None).unwrap();
    cluster.controllers.resume("replicaset");
    let failing = |all: &[Value]| condition(&all[0]["status"], "ReplicaFailure").is_some();
    let sets = cluster.until(SETS, "failing", failing).await;
    let failure = condition(&sets[0]["status"], "ReplicaFailure").unwrap();
    assert_eq!((&failure["reason"], &failure["message"]), (&json!("FailedCreate"), &json!("namespaces \"default\" not found")));
    cluster.until(DEPLOYMENTS, "failing", failing).await;
    cluster.api.make("namespaces", "", json!({"metadata": {"name": "default"}})).unwrap();
    cluster.until("pods", "made", |all| all.len() == 1).await;
    cluster.until(DEPLOYMENTS, "well", |all| !failing(all)).await;
}

#[tokio::test]
async fn scaling_during_a_rollout_is_shared_and_a_paused_deployment_starts_none() {
    let cluster = Cluster::new();
    cluster.node("worker", json!({}));
    cluster.api.make(DEPLOYMENTS, "default", workload("Deployment", "web", "one", json!({"replicas": 10}))).unwrap();
    cluster.settle().await;
    let change = |change: fn(&mut Value)| {
        cluster
            .api
            .modify(DEPLOYMENTS, ("default", "web"), |d| {
                change(d);
                true
            })
            .unwrap();
    };
    change(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two"));
    cluster.rest().await;
    let sizes = || {
        let mut sizes: Vec<i64> = cluster.all(SETS).iter().map(|s| s["spec"]["replicas"].as_i64().unwrap()).collect();
        sizes.sort_unstable();
        sizes
    };
    // Two may be missing, three too many: eight old ones stay, five new ones come.
    assert_eq!(sizes(), [5, 8]);
    change(|d| d["spec"]["replicas"] = json!(20));
    cluster.rest().await;
    assert_eq!(sizes().iter().sum::<i64>(), 25);
    cluster.settle().await;
    cluster.until(DEPLOYMENTS, "rolled out", |all| rolled_out(&all[0], 20)).await;

    change(|d| d["spec"]["paused"] = json!(true));
    change(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("three"));
    cluster.rest().await;
    assert_eq!(cluster.all(SETS).len(), 2);
    assert_eq!(condition(&cluster.all(DEPLOYMENTS)[0]["status"], "Progressing").unwrap()["reason"], "DeploymentPaused");
    change(|d| d["spec"]["paused"] = json!(false));
    change(|d| d["spec"]["revisionHistoryLimit"] = json!(0));
    cluster.settle().await;
    cluster.until(DEPLOYMENTS, "rolled out", |all| rolled_out(&all[0], 20)).await;
    cluster.until(SETS, "cleaned up", |all| all.len() == 1).await;
}

mod rollouts {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Scale(i64),
        Image(u8),
        Kubelets,
        Rest,
        Kill,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6i64).prop_map(Step::Scale),
            (0..3u8).prop_map(Step::Image),
            Just(Step::Kubelets),
            Just(Step::Rest),
            Just(Step::Kill),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn end_with_what_was_wanted_and_never_have_too_many(steps in proptest::collection::vec(step(), 1..10)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let cluster = Cluster::new();
                cluster.node("worker", json!({}));
                let (mut wanted, mut most, mut image) = (2i64, 2i64, 0u8);
                let d = workload("Deployment", "web", "image-0", json!({"replicas": wanted}));
                cluster.api.make(DEPLOYMENTS, "default", d).unwrap();
                for step in steps {
                    match step {
                        Step::Scale(replicas) => {
                            wanted = replicas;
                            most = most.max(replicas);
                            change(&cluster, |d| d["spec"]["replicas"] = json!(replicas));
                        }
                        Step::Image(n) => {
                            image = n;
                            change(&cluster, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("image-{n}")));
                        }
                        Step::Kubelets => {
                            cluster.kubelets();
                        }
                        Step::Rest => tokio::task::yield_now().await,
                        Step::Kill => {
                            if let Some(pod) = cluster.all("pods").first() {
                                cluster.finish(pod);
                            }
                        }
                    }
                    tokio::task::yield_now().await;
                    let pods = cluster.all("pods").iter().filter(|p| alive(p)).count();
                    // A quarter more, rounded up, of the most there were to be.
                    assert!(i64::try_from(pods).unwrap() <= most + (most + 3) / 4, "{pods} pods");
                }
                cluster.settle().await;
                let d = &cluster.until(DEPLOYMENTS, "rolled out", |all| rolled_out(&all[0], wanted)).await[0];
                assert_eq!(d["status"].get("unavailableReplicas"), None);
                let pods = cluster.all("pods");
                assert_eq!(i64::try_from(pods.len()).unwrap(), wanted);
                for pod in pods {
                    assert!(holds(&pod["status"], "Ready"));
                    assert_eq!(pod["spec"]["containers"][0]["image"], format!("image-{image}"));
                }
            });
        }
    }

    fn change(cluster: &Cluster, change: impl Fn(&mut Value)) {
        cluster
            .api
            .modify(DEPLOYMENTS, ("default", "web"), |d| {
                change(d);
                true
            })
            .unwrap();
    }
}
