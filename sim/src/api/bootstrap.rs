//! What a cluster has before anybody asks for anything: namespaces, access rules, priority classes, the API server's own service.

use serde_json::{Value, json};

use super::Api;
use crate::auth::roles;
use crate::failure::Failure;

/// The namespaces that the API server itself keeps.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl Api {
    /// Makes what every cluster has.
    ///
    /// # Errors
    /// When some of it is there already.
    pub fn bootstrap(&self) -> Result<(), Failure> {
        for name in NAMESPACES {
            self.make("namespaces", "", json!({"metadata": {"name": name}}))?;
        }
        let objects = [
            ("clusterroles", roles::cluster_roles()),
            ("clusterrolebindings", roles::cluster_role_bindings()),
            ("roles", roles::roles()),
            ("rolebindings", roles::role_bindings()),
        ];
        for (plural, objects) in objects {
            for object in objects {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
                self.make(&format!("{plural}.rbac.authorization.k8s.io"), &namespace, object)?;
            }
        }
        for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
            let class = json!({"metadata": {"name": name}, "value": value, "description": "Used for system critical pods."});
            self.make("priorityclasses.scheduling.k8s.io", "", class)?;
        }
        self.make("services", "default", service())?;
        Ok(())
    }
}

/// The first address of the service subnet is the API server's. Source: kubernetes `pkg/controlplane/controller/kubernetesservice`.
fn service() -> Value {
    json!({
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    })
}
