//! Static pods, which a machine runs by itself, and their mirrors in the API. Source: kubelet `pkg/kubelet/config/common.go` and
//! `pod/mirror_client.go`.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::engine::Engine;
use super::pod::Pod;

/// Says that a pod is a mirror.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether a pod only mirrors what runs anyway.
pub(super) fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"][MIRROR].is_string()
}

impl Engine {
    pub(super) fn add_static(&mut self, node: &str, mut pod: Value) {
        let text = pod.to_string();
        let hash = hex::encode(&Sha256::digest(text.as_bytes())[..16]);
        let name = format!("{}-{node}", pod["metadata"]["name"].as_str().unwrap_or_default());
        let now = self.api.clock().now();
        let meta = &mut pod["metadata"];
        meta["name"] = json!(name);
        if !meta["namespace"].is_string() {
            meta["namespace"] = json!("default");
        }
        let annotations = &mut meta["annotations"];
        annotations["kubernetes.io/config.hash"] = json!(hash);
        annotations[MIRROR] = json!(hash);
        annotations["kubernetes.io/config.seen"] = json!(now.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string());
        annotations["kubernetes.io/config.source"] = json!("file");
        pod["spec"]["nodeName"] = json!(node);
        if !pod["spec"]["tolerations"].is_array() {
            pod["spec"]["tolerations"] = json!([{"effect": "NoExecute", "operator": "Exists"}]);
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.statics.retain(|p| p["metadata"]["name"] != name.as_str() || p["metadata"]["namespace"] != pod["metadata"]["namespace"]);
            node.statics.push(pod.clone());
        }
        self.make_mirror(node, &pod);
    }

    /// Creates the mirrors that were deleted while the kubelet did not look.
    pub(super) fn ensure_mirrors(&mut self, node: &str) {
        let statics = self.nodes.get(node).map(|n| n.statics.clone()).unwrap_or_default();
        for pod in statics {
            let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
            if self.api.store().get("pods", text("namespace"), text("name")).is_none() {
                self.make_mirror(node, &pod);
            }
        }
    }

    /// Creates the mirror of a static pod.
    pub(super) fn make_mirror(&mut self, node: &str, pod: &Value) -> Option<std::sync::Arc<crate::store::Object>> {
        let uid = self.api.store().get("nodes", "", node)?.uid.to_string();
        let mut mirror = pod.clone();
        mirror["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "controller": true, "kind": "Node", "name": node, "uid": uid}]);
        let namespace = mirror["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        self.api.make("pods", &namespace, mirror).ok()
    }

    /// A mirror whose object is gone gets a new one, and what it mirrors runs on; says whether it was one.
    pub(super) fn revive_mirror(&mut self, id: u64, pod: &mut Pod) -> bool {
        if !is_mirror(&pod.object) {
            return false;
        }
        let Some(node) = self.nodes.get(&pod.node) else { return false };
        let same = |p: &&Value| p["metadata"]["name"] == pod.name.as_str() && p["metadata"]["namespace"] == pod.namespace.as_str();
        let Some(wanted) = node.statics.iter().find(same).cloned() else { return false };
        let node = std::sync::Arc::clone(&pod.node);
        let Some(object) = self.make_mirror(&node, &wanted) else { return false };
        self.by_uid.remove(&pod.uid);
        pod.uid = object.uid.to_string();
        self.by_uid.insert(pod.uid.clone(), id);
        pod.object = std::sync::Arc::new(object.value());
        pod.revision = object.revision;
        pod.posted = Value::Null;
        true
    }
}
