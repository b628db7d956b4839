//! What every namespace gets: the account `default` and the cluster's CA certificate.
//! Source: `pkg/controller/serviceaccount/serviceaccounts_controller.go`, `pkg/controller/certificates/rootcacertpublisher`.

use serde_json::json;

use super::kernel::{Context, Outcome};
use crate::failure::Failure;
use crate::store::Object;

/// The `ConfigMap` with the cluster's CA certificate.
pub(super) const ROOT_CA: &str = "kube-root-ca.crt";

const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
                           internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

fn alive(context: &Context, namespace: &str) -> bool {
    context.api.store().get("namespaces", "", namespace).is_some_and(|n| !n.deleting)
}

fn made(result: Result<std::sync::Arc<Object>, Failure>) -> Outcome {
    match result {
        Err(failure) if failure.reason != "AlreadyExists" => Err(failure),
        _ => Ok(None),
    }
}

pub(super) fn account(context: &mut Context, namespace: &str) -> Outcome {
    if !alive(context, namespace) || context.api.store().get("serviceaccounts", namespace, "default").is_some() {
        return Ok(None);
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}});
    made(context.api.make("serviceaccounts", namespace, account))
}

pub(super) fn root_ca(context: &mut Context, namespace: &str) -> Outcome {
    if !alive(context, namespace) {
        return Ok(None);
    }
    let data = json!({"ca.crt": context.settings.ca_pem});
    let Some(found) = context.api.read("configmaps", namespace, ROOT_CA) else {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": ROOT_CA, "namespace": namespace, "annotations": {"kubernetes.io/description": DESCRIPTION}},
            "data": data,
        });
        return made(context.api.make("configmaps", namespace, map));
    };
    // Nobody else's certificate stays there.
    if found["data"] != data {
        context.api.modify("configmaps", (namespace, ROOT_CA), |map| {
            map["data"] = data.clone();
            map["metadata"]["annotations"]["kubernetes.io/description"] = json!(DESCRIPTION);
            true
        })?;
    }
    Ok(None)
}
