//! The machines behind the nodes.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, LogParams};
use serde_json::{Value, json};

use crate::{CONTROL_PLANE, Hub, WORKER, World, machine, pod, pod_ready, ready_is, soon};

#[tokio::test]
async fn nodes_say_what_kind_says() {
    let world = World::new().await;
    let nodes: Api<Node> = Api::all(world.client.clone());
    let control_plane = soon(nodes.get(CONTROL_PLANE)).await.unwrap();
    let labels = control_plane.metadata.labels.unwrap();
    assert_eq!(labels["node-role.kubernetes.io/control-plane"], "");
    assert_eq!(labels["node.kubernetes.io/exclude-from-external-load-balancers"], "");
    let taints = control_plane.spec.unwrap().taints.unwrap();
    assert_eq!((taints.len(), taints[0].key.as_str()), (1, "node-role.kubernetes.io/control-plane"));
    let worker = soon(nodes.get(WORKER)).await.unwrap();
    assert!(worker.spec.as_ref().unwrap().taints.is_none());
    let status = worker.status.unwrap();
    let addresses: Vec<_> = status.addresses.unwrap().into_iter().map(|a| (a.type_, a.address)).collect();
    assert_eq!(addresses, [("InternalIP".to_owned(), "172.18.0.3".to_owned()), ("Hostname".to_owned(), WORKER.to_owned())]);
    let info = status.node_info.unwrap();
    assert_eq!((info.kubelet_version.as_str(), info.container_runtime_version.as_str()), ("v1.33.4", "containerd://2.1.4"));
    let health = format!("/api/v1/nodes/{WORKER}/proxy/healthz");
    assert_eq!(world.done("GET", &health, &Value::Null).await, "ok");
    world.done("POST", &format!("/sim/nodes/{WORKER}/pause"), &Value::Null).await;
    let (status, refused) = world.ask("GET", &health, &Value::Null).await;
    let message = "error trying to reach service: dial tcp 172.18.0.3:10250: connect: no route to host";
    assert_eq!((status, refused["message"].as_str().unwrap()), (503, message));
    world.done("POST", &format!("/sim/nodes/{WORKER}/unpause"), &Value::Null).await;
    assert_eq!(world.done("GET", &health, &Value::Null).await, "ok");
    // A kubelet that systemd does not run says nothing, though its machine does.
    for (verb, says) in [("stop", 503), ("start", 200)] {
        world.done("POST", &format!("/sim/nodes/{WORKER}/exec"), &json!(["systemctl", verb, "kubelet"])).await;
        assert_eq!(world.ask("GET", &health, &Value::Null).await.0, says, "{verb}");
    }
}

#[tokio::test]
async fn a_single_machine_takes_pods() {
    let hub = Hub::new().await;
    let mut settings = hub.settings();
    settings.machines = vec![machine(CONTROL_PLANE, "control-plane", "172.18.0.2")];
    let world = World::of(hub, settings).await;
    world.create::<Pod>(pod("a", "web:1")).await;
    world.pod("a", pod_ready("True")).await;
}

#[tokio::test]
async fn static_pods_have_mirrors() {
    let hub = Hub::new().await;
    let mut settings = hub.settings();
    let mut etcd = pod("etcd", "web:1");
    etcd["metadata"]["namespace"] = json!("kube-system");
    etcd["spec"]["hostNetwork"] = json!(true);
    etcd["spec"]["priorityClassName"] = json!("system-node-critical");
    settings.machines[0].static_pods.push(etcd);
    let world = World::of(hub, settings).await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "kube-system");
    let name = format!("etcd-{CONTROL_PLANE}");
    let mirror = world.until(pods.clone(), &name, pod_ready("True")).await.unwrap();
    assert_eq!(mirror.metadata.owner_references.unwrap()[0].name, CONTROL_PLANE);
    assert_eq!(mirror.status.unwrap().pod_ip.as_deref(), Some("172.18.0.2"));
    // Whoever deletes the mirror does not end what it mirrors.
    soon(pods.delete(&name, &DeleteParams::default())).await.unwrap();
    let uid = mirror.metadata.uid;
    let again = |p: Option<&Pod>| p.is_some_and(|p| p.metadata.uid != uid && p.metadata.deletion_timestamp.is_none());
    world.until(pods.clone(), &name, again).await;
    let again = world.until(pods, &name, pod_ready("True")).await.unwrap();
    assert_eq!(again.status.unwrap().container_statuses.unwrap()[0].restart_count, 0);
}

#[tokio::test]
async fn files_and_commands() {
    let world = World::new().await;
    let nodes = world.done("GET", "/sim/nodes", &Value::Null).await;
    let said: Vec<[&str; 3]> =
        nodes.as_array().unwrap().iter().map(|n| ["name", "role", "state"].map(|f| n[f].as_str().unwrap())).collect();
    assert_eq!(said, [[CONTROL_PLANE, "control-plane", "running"], [WORKER, "worker", "running"]]);
    let exec = |node: &str| format!("/sim/nodes/{node}/exec");
    let name = world.done("POST", &exec(WORKER), &json!(["cat", "/etc/hostname"])).await;
    assert_eq!(name, json!({"code": 0, "stdout": format!("{WORKER}\n"), "stderr": ""}));
    let ca = world.done("POST", &exec(CONTROL_PLANE), &json!(["cat", "/etc/kubernetes/pki/ca.crt"])).await;
    assert_eq!(ca["stdout"], world.cluster.api().pki().ca_pem());
    let missing = world.done("POST", &exec(WORKER), &json!(["cat", "/no/such"])).await;
    assert_eq!(missing, json!({"code": 1, "stdout": "", "stderr": "cat: /no/such: No such file or directory\n"}));
    let path = format!("/sim/nodes/{WORKER}/file?path=/etc/containerd/certs.d/docker.io/hosts.toml");
    let (status, _) = crate::ask(&world.client, "PUT", &path, "server = \"https://example.org\"\n").await;
    assert_eq!(status, 200);
    let read = world.done("POST", &exec(WORKER), &json!(["cat", "/etc/containerd/certs.d/docker.io/hosts.toml"])).await;
    assert_eq!(read["stdout"], "server = \"https://example.org\"\n");
    let (status, refused) = world.ask("POST", &exec("nobody"), &json!(["true"])).await;
    assert_eq!((status, refused["reason"].as_str().unwrap()), (404, "NotFound"));
    let (status, _) = world.ask("GET", "/sim/nothing", &Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_stopped_machine_is_missed_after_the_grace_and_comes_back() {
    let world = World::new().await;
    world.create::<Pod>(pod("a", "web:1")).await;
    let before = world.pod("a", pod_ready("True")).await.unwrap();
    let stopped = world.done("POST", &format!("/sim/nodes/{WORKER}/stop"), &Value::Null).await;
    assert_eq!(stopped["state"], "exited");
    let exec = world.done("POST", &format!("/sim/nodes/{WORKER}/exec"), &json!(["true"])).await;
    assert_eq!(exec["stderr"], format!("Error response from daemon: container {WORKER} is not running\n"));
    world.skip(Duration::from_secs(41)).await;
    let lost = world.node(WORKER, ready_is("Unknown")).await;
    let message = lost.status.unwrap().conditions.unwrap().into_iter().find(|c| c.type_ == "Ready").unwrap().message;
    assert_eq!(message.as_deref(), Some("Kubelet stopped posting node status."));
    world.pod("a", pod_ready("False")).await;
    let refused = soon(world.api::<Pod>().logs("a", &LogParams::default())).await.unwrap_err().to_string();
    let said = "Get \"https://172.18.0.3:10250/containerLogs/default/a/main\": dial tcp 172.18.0.3:10250: connect: no route to host";
    assert!(refused.contains(said), "{refused}");
    let tainted = |n: Option<&Node>| {
        let taints = n.and_then(|n| n.spec.as_ref()?.taints.as_ref());
        taints.is_some_and(|t| t.iter().any(|t| t.key == "node.kubernetes.io/unreachable" && t.effect == "NoExecute"))
    };
    world.node(WORKER, tainted).await;
    // The other machine is heard all the time.
    assert_eq!(soon(Api::<Node>::all(world.client.clone()).list(&ListParams::default())).await.unwrap().items.len(), 2);
    world.node(CONTROL_PLANE, ready_is("True")).await;

    let started = world.done("POST", &format!("/sim/nodes/{WORKER}/start"), &Value::Null).await;
    assert_eq!(started["state"], "running");
    world.node(WORKER, ready_is("True")).await;
    world.node(WORKER, |n: Option<&Node>| n.is_some_and(|n| n.spec.as_ref().is_some_and(|s| s.taints.is_none()))).await;
    let back = world.pod("a", pod_ready("True")).await.unwrap();
    assert_eq!(back.metadata.uid, before.metadata.uid);
    assert_eq!(back.status.unwrap().container_statuses.unwrap()[0].restart_count, 1);
}
