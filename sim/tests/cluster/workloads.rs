//! What people run: deployments behind services, daemons, logs.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::Api;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sim::workload::{Call, Instance, Process, Request, Start, Unreachable, Workload};

use crate::{CONTROL_PLANE, Hub, WORKER, World, pod, pod_ready, service, soon, web};

const PROXY: &str = "/api/v1/namespaces/default/services/web:http/proxy";

fn merge(value: &Value) -> Patch<&Value> {
    Patch::Merge(value)
}

#[tokio::test]
async fn a_deployment_answers_scales_rolls_and_goes() {
    let world = World::new().await;
    world.create::<Service>(service("web")).await;
    let (status, refused) = world.ask("GET", PROXY, &Value::Null).await;
    assert_eq!((status, refused["message"].as_str().unwrap()), (503, "no endpoints available for service \"web:http\""));

    world.create::<Deployment>(web("web", 2)).await;
    world.deployment("web", 2).await;
    let served = |all: &[Value], n: usize| {
        let slice = all.iter().find(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
        let ready = slice.and_then(|s| s["endpoints"].as_array()).into_iter().flatten().filter(|e| e["conditions"]["ready"] == true);
        ready.count() == n
    };
    world.all("endpointslices.discovery.k8s.io", |all| served(all, 2)).await;
    assert_eq!(world.done("GET", &format!("{PROXY}/some/path?a=b"), &Value::Null).await, "web:1 /some/path?a=b");
    let pods = soon(world.api::<Pod>().list(&ListParams::default())).await.unwrap();
    // The control plane is tainted.
    assert!(pods.items.iter().all(|p| p.spec.as_ref().unwrap().node_name.as_deref() == Some(WORKER)));

    let deployments: Api<Deployment> = world.api();
    let scale = json!({"spec": {"replicas": 4}});
    soon(deployments.patch_scale("web", &PatchParams::default(), &merge(&scale))).await.unwrap();
    world.deployment("web", 4).await;
    soon(deployments.patch_scale("web", &PatchParams::default(), &merge(&json!({"spec": {"replicas": 1}})))).await.unwrap();
    world.deployment("web", 1).await;
    world.all("pods", |all| all.len() == 1).await;

    let container = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "web:2"}]}}}});
    soon(deployments.patch("web", &PatchParams::default(), &Patch::Strategic(&container))).await.unwrap();
    let rolled = world.deployment("web", 1).await;
    assert_eq!(rolled.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "2");
    world.all("pods", |all| all.len() == 1 && all[0]["spec"]["containers"][0]["image"] == "web:2").await;
    world.all("endpointslices.discovery.k8s.io", |all| served(all, 1)).await;
    assert_eq!(world.done("GET", PROXY, &Value::Null).await, "web:2 /");
    assert_eq!(world.all("replicasets.apps", |_| true).await.len(), 2);

    soon(deployments.delete("web", &DeleteParams::default())).await.unwrap();
    world.all("replicasets.apps", <[Value]>::is_empty).await;
    world.all("pods", <[Value]>::is_empty).await;
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let world = World::new().await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "team"}})).unwrap();
    soon(namespaces.create(&PostParams::default(), &namespace)).await.unwrap();
    // A pod is refused until its account is there, as in a real cluster; a Deployment tries again.
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "team");
    soon(deployments.create(&PostParams::default(), &serde_json::from_value(web("web", 2)).unwrap())).await.unwrap();
    let services: Api<Service> = Api::namespaced(world.client.clone(), "team");
    soon(services.create(&PostParams::default(), &serde_json::from_value(service("web")).unwrap())).await.unwrap();
    world.until(deployments, "web", crate::rolled_out(2)).await;
    soon(namespaces.delete("team", &DeleteParams::default())).await.unwrap();
    world.until(namespaces, "team", |n: Option<&Namespace>| n.is_none()).await;
    let registry = world.cluster.api().registry();
    for resource in registry.all().iter().filter(|r| r.namespaced) {
        assert_eq!(world.cluster.api().store().list(&resource.id(), "team").1.len(), 0, "{}", resource.id());
    }
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    use futures::{AsyncBufReadExt, TryStreamExt};
    let world = World::new().await;
    let pods: Api<Pod> = world.api();
    world.create::<Pod>(pod("a", "web:1")).await;
    world.pod("a", pod_ready("True")).await;
    assert_eq!(soon(pods.logs("a", &LogParams::default())).await.unwrap(), "serving web:1\nready\n");
    let tail = LogParams { tail_lines: Some(1), timestamps: true, ..LogParams::default() };
    let line = soon(pods.logs("a", &tail)).await.unwrap();
    assert!(line.ends_with("Z ready\n") && line.lines().count() == 1, "{line}");

    let mut lines = soon(pods.log_stream("a", &LogParams { follow: true, ..LogParams::default() })).await.unwrap().lines();
    assert_eq!(soon(lines.try_next()).await.unwrap().as_deref(), Some("serving web:1"));
    assert_eq!(soon(lines.try_next()).await.unwrap().as_deref(), Some("ready"));
    let log = world.cluster.kubelets().instances().log("default", "a", "main", false).unwrap();
    log.line(world.cluster.api().clock().now(), "more");
    assert_eq!(soon(lines.try_next()).await.unwrap().as_deref(), Some("more"));
    // It ends with the container.
    soon(pods.delete("a", &DeleteParams::default())).await.unwrap();
    assert_eq!(soon(lines.try_next()).await.unwrap(), None);
    world.pod("a", |p: Option<&Pod>| p.is_none()).await;
    let gone = soon(pods.logs("a", &LogParams::default())).await.unwrap_err();
    assert!(gone.to_string().contains("pods \"a\" not found"), "{gone}");
}

#[tokio::test]
async fn a_daemon_runs_on_every_machine_that_it_tolerates() {
    let world = World::new().await;
    let daemon = |name: &str, tolerations: Value| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"tolerations": tolerations, "containers": [{"name": "main", "image": "web:1"}]},
                },
            },
        })
    };
    world.create::<DaemonSet>(daemon("everywhere", json!([{"operator": "Exists"}]))).await;
    world.create::<DaemonSet>(daemon("somewhere", json!([]))).await;
    let ready = |wanted: i32| {
        move |d: Option<&DaemonSet>| {
            let status = d.and_then(|d| d.status.as_ref());
            status.is_some_and(|s| s.number_ready == wanted && s.desired_number_scheduled == wanted && s.number_available == Some(wanted))
        }
    };
    world.until(world.api::<DaemonSet>(), "everywhere", ready(2)).await;
    world.until(world.api::<DaemonSet>(), "somewhere", ready(1)).await;
    let pods = world.all("pods", |_| true).await;
    let on = |app: &str| {
        let mut nodes: Vec<&str> =
            pods.iter().filter(|p| p["metadata"]["labels"]["app"] == app).map(|p| p["spec"]["nodeName"].as_str().unwrap()).collect();
        nodes.sort_unstable();
        nodes
    };
    assert_eq!(on("everywhere"), [CONTROL_PLANE, WORKER]);
    assert_eq!(on("somewhere"), [WORKER]);
}

/// Asks the API server on behalf of whoever asks it.
struct Gateway;

struct Passing(tokio::sync::watch::Sender<Process>, Call);

impl Workload for Gateway {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        Arc::new(Passing(tokio::sync::watch::Sender::new(Process::Running), start.call))
    }
}

impl Instance for Passing {
    fn process(&self) -> tokio::sync::watch::Receiver<Process> {
        self.0.subscribe()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>> {
        let passed = http::Request::get(request.path).body(Bytes::new()).unwrap();
        Box::pin(async move { Ok((self.1)(passed).await) })
    }
}

#[tokio::test]
async fn a_program_reaches_the_api_server_of_its_cluster() {
    let hub = Hub::new().await;
    let mut settings = hub.settings();
    settings.workloads.add("docker.io/library/web", Gateway);
    let world = World::of(hub, settings).await;
    world.create::<Pod>(pod("a", "web:1")).await;
    world.pod("a", pod_ready("True")).await;
    let through = "/api/v1/namespaces/default/pods/a:8080/proxy";
    let version = world.done("GET", &format!("{through}/version"), &Value::Null).await;
    assert_eq!(version["gitVersion"], "v1.33.4");
    // It is nobody there without a token of its own: the administrator's certificate was for the API server alone.
    let (status, refused) = world.ask("GET", &format!("{through}/api/v1/nodes"), &Value::Null).await;
    assert_eq!(status, 403);
    let message = "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    assert_eq!(refused["message"].as_str().unwrap(), message);
}
