//! Objects that faults change, by the names that everybody knows them by.

use serde_json::{Value, json};

use super::objects::{Changed, Target, no_replicas};
use crate::outcomes::ISTIO_NAMESPACE;

pub(super) const fn deployment(namespace: &'static str, name: &'static str) -> Target {
    Target { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", namespace, name }
}

pub(super) const fn daemon_set(namespace: &'static str, name: &'static str) -> Target {
    Target { group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets", namespace, name }
}

pub(super) const fn crd(name: &'static str) -> Target {
    Target {
        group: "apiextensions.k8s.io",
        version: "v1",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        namespace: "",
        name,
    }
}

pub(super) const fn role_binding(name: &'static str) -> Target {
    Target {
        group: "rbac.authorization.k8s.io",
        version: "v1",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        namespace: "",
        name,
    }
}

/// Nodes that nobody has.
pub(super) fn nowhere() -> Value {
    json!({"spec": {"template": {"spec": {"nodeSelector": {"meshproof.dev/nowhere": "yes"}}}}})
}

pub(super) fn no_istiod() -> Changed {
    Changed::new(deployment(ISTIO_NAMESPACE, "istiod"), no_replicas)
}
