//! Everything that can be broken on purpose, and that it is whole again afterwards.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::{CONTROL_PLANE, WORKER, World, pod, pod_ready, ready_is, waiting, waits_for, web};

const FAULT: &str = "/sim/faults/broken";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn inject(world: &World, fault: Value) {
    world.done("PUT", FAULT, &fault).await;
    let listed = world.done("GET", "/sim/faults", &Value::Null).await;
    assert_eq!(listed["broken"]["layer"], fault["layer"]);
}

async fn revert(world: &World) {
    world.done("DELETE", FAULT, &Value::Null).await;
    assert_eq!(world.done("GET", "/sim/faults", &Value::Null).await, json!({}));
    assert_eq!(world.ask("DELETE", FAULT, &Value::Null).await.0, 404);
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test]
async fn the_api_server_refuses_and_dawdles() {
    let world = World::new().await;
    inject(&world, json!({"layer": "api", "method": "POST", "path": MAPS, "code": 500})).await;
    let (status, refused) = world.ask("POST", MAPS, &map("a")).await;
    assert_eq!((status, refused["message"].as_str().unwrap()), (500, "injected by the fault broken"));
    assert_eq!(world.ask("GET", MAPS, &Value::Null).await.0, 200);
    revert(&world).await;
    assert_eq!(world.ask("POST", MAPS, &map("a")).await.0, 201);

    inject(&world, json!({"layer": "api", "path": MAPS, "code": 503, "times": 2})).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(world.ask("GET", MAPS, &Value::Null).await.0);
    }
    assert_eq!(answers, [503, 503, 200]);
    revert(&world).await;

    inject(&world, json!({"layer": "api", "path": MAPS, "delayMilliseconds": 3_600_000})).await;
    let before = world.cluster.server().requests();
    let late = tokio::spawn({
        let client = world.client.clone();
        async move { crate::ask(&client, "GET", MAPS, "").await.0 }
    });
    crate::soon(async {
        while world.cluster.server().requests() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!late.is_finished());
    world.skip(Duration::from_hours(1)).await;
    assert_eq!(crate::soon(late).await.unwrap(), 200);
    revert(&world).await;
    let (status, refused) = world.ask("PUT", FAULT, &json!({"layer": "api", "colour": "red"})).await;
    assert_eq!((status, refused["reason"].as_str().unwrap()), (400, "BadRequest"));
}

#[tokio::test]
async fn a_controller_stands_still() {
    let world = World::new().await;
    inject(&world, json!({"layer": "controller", "name": "deployment"})).await;
    world.create::<Deployment>(web("web", 1)).await;
    // Another one, which is made later, is done meanwhile.
    let mut set = web("set", 1);
    set["kind"] = json!("ReplicaSet");
    set["apiVersion"] = json!("apps/v1");
    world.create::<ReplicaSet>(set).await;
    world.all("pods", |all| all.len() == 1 && all[0]["status"]["phase"] == "Running").await;
    assert_eq!(world.all("replicasets.apps", |_| true).await.len(), 1);
    revert(&world).await;
    world.deployment("web", 1).await;
}

#[tokio::test]
async fn a_kubelet_is_silent() {
    let world = World::new().await;
    inject(&world, json!({"layer": "kubelet", "node": WORKER})).await;
    let (status, refused) = world.ask("GET", &format!("/api/v1/nodes/{WORKER}/proxy/healthz"), &Value::Null).await;
    let message = "error trying to reach service: dial tcp 172.18.0.3:10250: i/o timeout";
    assert_eq!((status, refused["message"].as_str().unwrap()), (503, message));
    world.create::<Pod>(pod("a", "web:1")).await;
    let bound = |p: Option<&Pod>| p.is_some_and(|p| p.spec.as_ref().is_some_and(|s| s.node_name.is_some()));
    world.pod("a", bound).await;
    world.skip(Duration::from_secs(41)).await;
    world.node(WORKER, ready_is("Unknown")).await;
    let seen = world.pod("a", bound).await.unwrap();
    assert!(seen.status.unwrap().start_time.is_none());
    // The machine itself runs.
    let exec = world.done("POST", &format!("/sim/nodes/{WORKER}/exec"), &json!(["crictl", "version"])).await;
    assert_eq!(exec["code"], 0);
    revert(&world).await;
    world.node(WORKER, ready_is("True")).await;
    world.pod("a", pod_ready("True")).await;
    let (status, refused) = world.ask("PUT", FAULT, &json!({"layer": "kubelet", "node": "nobody"})).await;
    assert_eq!((status, refused["reason"].as_str().unwrap()), (404, "NotFound"));
}

#[tokio::test]
async fn a_container_ends_again_and_again() {
    let world = World::new().await;
    inject(&world, json!({"layer": "crash", "namespace": "default", "pod": "a*", "container": "main", "code": 7})).await;
    world.create::<Pod>(pod("a-1", "web:1")).await;
    world.create::<Pod>(pod("b", "web:1")).await;
    let held = world.pod("a-1", waits_for("CrashLoopBackOff")).await.unwrap();
    let status = &held.status.unwrap().container_statuses.unwrap()[0];
    assert_eq!(status.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 7);
    world.pod("b", pod_ready("True")).await;
    revert(&world).await;
    world.skip(Duration::from_mins(5)).await;
    world.pod("a-1", pod_ready("True")).await;
}

#[tokio::test]
async fn a_container_is_not_ready() {
    let world = World::new().await;
    world.create::<Pod>(pod("a", "web:1")).await;
    world.pod("a", pod_ready("True")).await;
    inject(&world, json!({"layer": "unready", "namespace": "default", "pod": "a", "container": "main"})).await;
    let seen = world.pod("a", pod_ready("False")).await.unwrap();
    assert_eq!(seen.status.unwrap().container_statuses.unwrap()[0].restart_count, 0);
    revert(&world).await;
    world.pod("a", pod_ready("True")).await;
}

#[tokio::test]
async fn the_runtime_is_down() {
    let world = World::new().await;
    inject(&world, json!({"layer": "runtime", "node": WORKER})).await;
    let exec = format!("/sim/nodes/{WORKER}/exec");
    let listed = world.done("POST", &exec, &json!(["crictl", "ps"])).await;
    assert_eq!(listed["code"], 1);
    assert!(listed["stderr"].as_str().unwrap().contains("connect: connection refused"), "{listed}");
    // Its node does not know yet, so the pod goes there; it is not started.
    world.create::<Pod>(pod("a", "web:1")).await;
    world.pod("a", |p: Option<&Pod>| p.is_some_and(|p| p.status.as_ref().is_some_and(|s| s.start_time.is_some()))).await;
    // The kubelet finds out at its next look, and says it.
    world.skip(Duration::from_secs(10)).await;
    let lost = world.node(WORKER, ready_is("False")).await;
    let ready = lost.status.unwrap().conditions.unwrap().into_iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!((ready.reason.as_deref(), ready.message.as_deref()), (Some("KubeletNotReady"), Some("container runtime is down")));
    let held = world.pod("a", waits_for("ContainerCreating")).await.unwrap();
    assert_eq!(held.status.unwrap().phase.as_deref(), Some("Pending"));
    revert(&world).await;
    world.skip(Duration::from_secs(10)).await;
    world.node(WORKER, ready_is("True")).await;
    world.pod("a", pod_ready("True")).await;
}

#[tokio::test]
async fn a_pull_fails() {
    let world = World::new().await;
    let limit = "failed to pull and unpack image \"docker.io/library/web:1\": toomanyrequests";
    let framed = format!("rpc error: code = Unknown desc = {limit}");
    for (node, message) in [(json!(WORKER), limit), (Value::Null, framed.as_str())] {
        inject(&world, json!({"layer": "pull", "node": node, "image": "web:1", "message": message})).await;
        let name = if node.is_null() { "everywhere" } else { "somewhere" };
        let mut wanted = pod(name, "web:1");
        wanted["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
        world.create::<Pod>(wanted).await;
        let failed = world.pod(name, waits_for("ErrImagePull")).await.unwrap();
        assert_eq!(waiting(&failed).unwrap().1, framed);
        revert(&world).await;
        world.skip(Duration::from_secs(11)).await;
        world.pod(name, pod_ready("True")).await;
    }
}

#[tokio::test]
async fn a_host_does_not_answer() {
    let world = World::new().await;
    inject(&world, json!({"layer": "network", "host": crate::HUB})).await;
    world.create::<Pod>(pod("a", "web:1")).await;
    let failed = world.pod("a", waits_for("ErrImagePull")).await.unwrap();
    let (_, message) = waiting(&failed).unwrap();
    assert!(message.contains("\"https://registry-1.docker.io/v2/library/web/manifests/1\": dial tcp "), "{message}");
    assert!(message.ends_with("i/o timeout"), "{message}");
    revert(&world).await;
    world.skip(Duration::from_secs(11)).await;
    world.pod("a", pod_ready("True")).await;
}

#[tokio::test]
async fn a_machine_is_off() {
    let world = World::new().await;
    inject(&world, json!({"layer": "machine", "node": WORKER})).await;
    let nodes = world.done("GET", "/sim/nodes", &Value::Null).await;
    assert_eq!(nodes[1]["state"], "exited");
    world.skip(Duration::from_secs(41)).await;
    world.node(WORKER, ready_is("Unknown")).await;
    revert(&world).await;
    world.node(WORKER, ready_is("True")).await;
    world.node(CONTROL_PLANE, ready_is("True")).await;
}

#[tokio::test]
async fn registries_refuse_and_recover() {
    let world = World::new().await;
    let path = "/v2/library/web/";
    inject(&world, json!({"layer": "registry", "path": path, "code": 429, "retryAfterSeconds": 1})).await;
    world.done("PUT", "/sim/faults/other", &json!({"layer": "registry", "path": "/v2/library/other/", "code": 500})).await;
    world.create::<Pod>(pod("a", "web:1")).await;
    let failed = world.pod("a", waits_for("ErrImagePull")).await.unwrap();
    let said = waiting(&failed).unwrap().1;
    assert!(said.contains("429 Too Many Requests"), "{said}");
    // Taking one back leaves the other in force.
    world.done("DELETE", "/sim/faults/other", &Value::Null).await;
    world.create::<Pod>(pod("b", "web:1")).await;
    world.pod("b", waits_for("ErrImagePull")).await.unwrap();
    revert(&world).await;
    world.skip(Duration::from_secs(30)).await;
    world.pod("a", pod_ready("True")).await.unwrap();
}
