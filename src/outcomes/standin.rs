//! Images that only stand in for the real component say so in a label; a report names every one of them.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::{DASHBOARD_NAMESPACE, Environment, ISTIO_NAMESPACE};
use crate::cluster::Capability;

/// The label of a stand-in, with the value `true`.
pub(super) const LABEL: &str = "org.meshproof.standin";

/// Component and image of every stand-in among the images that run, as the nodes' container runtimes know them; and the images whose labels
/// could not be read.
pub async fn stand_ins(env: &Environment) -> (BTreeMap<String, String>, Vec<String>) {
    if env.missing(&Capability::NODE_EXEC).await.is_some() {
        return (BTreeMap::new(), Vec::new());
    }
    // One node that has an image is enough to read its labels.
    let mut images: BTreeMap<String, String> = BTreeMap::new();
    let mut unknown = Vec::new();
    for namespace in [DASHBOARD_NAMESPACE, ISTIO_NAMESPACE] {
        let api: Api<Pod> = Api::namespaced(env.cluster.client.clone(), namespace);
        let Ok(pods) = api.list(&ListParams::default()).await else {
            unknown.push(format!("{namespace}/*"));
            continue;
        };
        for spec in pods.items.into_iter().filter_map(|p| p.spec) {
            let Some(node) = spec.node_name else { continue };
            images.extend(spec.containers.into_iter().filter_map(|c| Some((c.image?, node.clone()))));
        }
    }
    let ask = |(image, node): (String, String)| async move {
        let output = env.cluster.nodes.run(&node, &["crictl", "inspecti", "-o", "json", &image]).await;
        (image, output.ok().map(|o| is_stand_in(&o)))
    };
    let mut found = BTreeMap::new();
    for (image, stand_in) in join_all(images.into_iter().map(ask)).await {
        match stand_in {
            Some(true) => {
                found.insert(component(&image), image);
            }
            Some(false) => {}
            None => unknown.push(image),
        }
    }
    (found, unknown)
}

/// Whether `crictl inspecti` shows the label. Its `info` is the image's configuration as the runtime has it.
fn is_stand_in(inspected: &str) -> bool {
    let value: Value = serde_json::from_str(inspected).unwrap_or_default();
    value["info"]["imageSpec"]["config"]["Labels"][LABEL] == "true"
}

/// The last part of an image's repository, for example `ztunnel`.
#[must_use]
pub(crate) fn component(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
    name.split(':').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_label_makes_a_stand_in() {
        let with = |labels: Value| serde_json::json!({"info": {"imageSpec": {"config": {"Labels": labels}}}}).to_string();
        assert!(is_stand_in(&with(serde_json::json!({"org.meshproof.standin": "true"}))));
        assert!(!is_stand_in(&with(serde_json::json!({"org.meshproof.standin": "false"}))));
        assert!(!is_stand_in(&with(Value::Null)));
        assert!(!is_stand_in("no json"));
        assert_eq!(component("docker.io/istio/ztunnel:1.27.1-distroless"), "ztunnel");
        assert_eq!(component("r:5000/a/dashboard@sha256:abc"), "dashboard");
    }
}
