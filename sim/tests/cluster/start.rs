//! What a cluster is started with, and starts that fail.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sim::Cluster;
use sim::cluster::StartError;

use crate::{CONTROL_PLANE, HUB, Hub, WORKER, World, pod, pod_ready, soon};

#[tokio::test]
async fn objects_patches_and_mounts_are_there_from_the_beginning() {
    let hub = Hub::new().await;
    let mut settings = hub.settings();
    let directory = std::env::temp_dir().join(format!("sim-cluster-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("mirror.example")).unwrap();
    std::fs::write(directory.join("mirror.example/hosts.toml"), format!("server = \"https://{HUB}\"\n")).unwrap();
    settings.machines[1].mounts.push((directory.clone(), "/etc/containerd/certs.d".to_owned()));
    let patch = "[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/etc/containerd/certs.d'\n";
    settings.machines[1].config_patches.push(patch.to_owned());
    settings.objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "labels": {"changed": "no"}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubeadm-config", "namespace": "kube-system"}, "data": {"a": "b"}}),
    ];
    let world = World::of(hub, settings).await;
    let map = world.done("GET", "/api/v1/namespaces/kube-system/configmaps/kubeadm-config", &Value::Null).await;
    assert_eq!(map["data"], json!({"a": "b"}));
    let namespace = world.done("GET", "/api/v1/namespaces/kube-system", &Value::Null).await;
    assert!(namespace["metadata"]["labels"].get("changed").is_none());
    // The image's registry exists only by the file that is mounted.
    world.create::<Pod>(pod("a", "mirror.example/library/web:1")).await;
    world.pod("a", pod_ready("True")).await;
    std::fs::remove_dir_all(directory).unwrap();
    assert!(world.cluster.kubeconfig().contains("current-context: kind-sim"));
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_behind() {
    let hub = Hub::new().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let mut settings = hub.settings();
    settings.objects = vec![json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not A Name", "namespace": "default"}})];
    let failed = Cluster::start(settings).await.unwrap_err();
    assert_eq!(failed.to_string(), "cannot create ConfigMap Not A Name");
    assert!(matches!(failed, StartError::Object { source, .. } if source.code == 422));

    let mut settings = hub.settings();
    settings.machines[1].config_patches.push("no = toml = at all".to_owned());
    let failed = Cluster::start(settings).await.unwrap_err();
    assert!(failed.to_string().starts_with(&format!("cannot configure containerd on {WORKER}: ")), "{failed}");

    let mut settings = hub.settings();
    settings.stages = Some("name: a\nresource: Pod\nwhat: 1\n".to_owned());
    assert!(matches!(Cluster::start(settings).await.unwrap_err(), StartError::Stages(_)));

    let mut settings = hub.settings();
    settings.port = hub.registry.address().port();
    assert!(matches!(Cluster::start(settings).await.unwrap_err(), StartError::Listen(_)));

    crate::lifetime::ended(&metrics, before).await;
    let dialled = hub.network.dial(WORKER, CONTROL_PLANE, 6443, Duration::from_secs(1)).await;
    assert!(dialled.unwrap_err().to_string().ends_with("no such host"));
}

#[tokio::test]
async fn the_port_and_the_network_lead_to_the_api_server_as_long_as_it_is_there() {
    let hub = Hub::new().await;
    let first = Cluster::start(hub.settings()).await.unwrap();
    let port = first.listening().address().port();
    let network = hub.network.clone();
    let dial = || network.dial(WORKER, CONTROL_PLANE, 6443, Duration::from_secs(1));
    assert!(dial().await.is_ok());
    drop(first);
    assert!(dial().await.is_err());
    // The port is free as soon as the listener's task has ended.
    let mut settings = hub.settings();
    settings.port = port;
    let second = soon(async {
        loop {
            match Cluster::start(settings.clone()).await {
                Err(StartError::Listen(_)) => tokio::task::yield_now().await,
                started => return started.unwrap(),
            }
        }
    })
    .await;
    assert_eq!(second.listening().address().port(), port);
    assert!(dial().await.is_ok());
}

#[tokio::test]
async fn only_administrators_reach_the_machines() {
    let world = World::new().await;
    let request = http::Request::get("/sim/nodes").header("impersonate-user", "somebody").body(Vec::new()).unwrap();
    let refused = soon(world.client.request_text(request)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}
