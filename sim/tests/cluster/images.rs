//! Images: what is pulled, what is there, and what happens when it cannot be had.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sim::node::Image;
use sim::oci::Config;

use crate::{Hub, WORKER, World, pod, pod_ready, waiting, waits_for};

#[tokio::test]
async fn a_missing_image_is_said_in_containerds_words_and_backs_off() {
    let world = World::new().await;
    world.create::<Pod>(pod("a", "web:gone")).await;
    let failed = world.pod("a", waits_for("ErrImagePull")).await.unwrap();
    let said = "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/web:gone\": failed to resolve \
                reference \"docker.io/library/web:gone\": docker.io/library/web:gone: not found";
    assert_eq!(waiting(&failed).unwrap().1, said);
    world.event("Failed", &format!("Failed to pull image \"web:gone\": {said}")).await;
    world.skip(Duration::from_secs(1)).await;
    let held = world.pod("a", waits_for("ImagePullBackOff")).await.unwrap();
    assert_eq!(waiting(&held).unwrap().1, format!("Back-off pulling image \"web:gone\": ErrImagePull: {said}"));
    // It comes, and the next attempt finds it.
    world.hub.registry.images(|images| drop(images.add("library/web", "gone", &Config::default(), 1)));
    world.skip(Duration::from_secs(10)).await;
    let ready = world.pod("a", pod_ready("True")).await.unwrap();
    let status = &ready.status.unwrap().container_statuses.unwrap()[0];
    assert_eq!(status.image, "docker.io/library/web:gone");
    assert!(status.image_id.starts_with("docker.io/library/web@sha256:"), "{}", status.image_id);
}

#[tokio::test]
async fn the_pull_policy_says_who_is_asked() {
    let hub = Hub::new().await;
    let mut settings = hub.settings();
    settings.preloaded = vec![Image::preloaded("docker.io/library/web:1", &Config::default(), 1).unwrap()];
    let world = World::of(hub, settings).await;
    let with = |name: &str, image: &str, policy: &str| {
        let mut pod = pod(name, image);
        pod["spec"]["containers"][0]["imagePullPolicy"] = json!(policy);
        pod
    };
    world.create::<Pod>(with("there", "web:1", "IfNotPresent")).await;
    world.pod("there", pod_ready("True")).await;
    world.create::<Pod>(with("never-there", "web:1", "Never")).await;
    world.pod("never-there", pod_ready("True")).await;
    assert_eq!(world.hub.registry.records(), []);
    world.event("Pulled", "Container image \"web:1\" already present on machine").await;
    world.create::<Pod>(with("never", "web:2", "Never")).await;
    let held = world.pod("never", waits_for("ErrImageNeverPull")).await.unwrap();
    assert_eq!(waiting(&held).unwrap().1, "Container image \"web:2\" is not present with pull policy of Never");
    assert_eq!(world.hub.registry.records(), []);
    // Without a policy the tag decides, and `latest` is always asked for.
    world.create::<Pod>(pod("latest", "web")).await;
    let latest = world.pod("latest", pod_ready("True")).await.unwrap();
    assert_eq!(latest.spec.unwrap().containers[0].image_pull_policy.as_deref(), Some("Always"));
    assert!(world.hub.registry.records().iter().any(|r| r.path == "/v2/library/web/manifests/latest"));
    // D14: an image that is on the node is asked for all the same where the policy is Always, so loading it there does not help.
    world.create::<Pod>(with("always", "web:1", "Always")).await;
    world.pod("always", pod_ready("True")).await;
    assert!(world.hub.registry.records().iter().any(|r| r.path == "/v2/library/web/manifests/1"));
}

#[tokio::test]
async fn crictl_lists_what_was_pulled_and_what_runs() {
    let world = World::new().await;
    world.create::<Pod>(pod("a", "web:1")).await;
    world.pod("a", pod_ready("True")).await;
    let exec = format!("/sim/nodes/{WORKER}/exec");
    let images = world.done("POST", &exec, &json!(["crictl", "images"])).await;
    assert_eq!(images["code"], 0);
    let listed = images["stdout"].as_str().unwrap();
    let row = listed.lines().find(|l| l.starts_with("docker.io/library/web")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("1"), "{listed}");
    let running = world.done("POST", &exec, &json!(["crictl", "ps", "-o", "json"])).await;
    let running: Value = serde_json::from_str(running["stdout"].as_str().unwrap()).unwrap();
    let containers = running["containers"].as_array().unwrap();
    assert_eq!((containers.len(), &containers[0]["metadata"]["name"]), (1, &json!("main")));
    // What is pulled by hand is there for the kubelet.
    let pulled = world.done("POST", &exec, &json!(["crictl", "pull", "web:2"])).await;
    assert_eq!(pulled["code"], 0, "{pulled}");
    world.create::<Pod>(pod("b", "web:2")).await;
    world.pod("b", pod_ready("True")).await;
    world.event("Pulled", "Container image \"web:2\" already present on machine").await;
}
