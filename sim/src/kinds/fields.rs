//! What field selectors can ask for besides name and namespace (the `ToSelectableFields` of `pkg/registry`).

use serde_json::Value;

const PODS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];
const EVENTS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// What the newer group calls the same, without what only the old one has.
const NEW_EVENTS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// The fields that selectors can ask for besides name and namespace; none for kinds without a list of their own.
#[must_use]
pub fn field_names(resource: &str) -> &'static [&'static str] {
    match resource {
        "pods" => PODS,
        "events" => EVENTS,
        "events.events.k8s.io" => NEW_EVENTS,
        "namespaces" => &["status.phase"],
        "nodes" => &["spec.unschedulable"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        "jobs.batch" => &["status.successful"],
        "replicasets.apps" | "replicationcontrollers" => &["status.replicas"],
        "certificatesigningrequests.certificates.k8s.io" => &["spec.signerName"],
        _ => &[],
    }
}

/// The selectable fields of an object; absent ones are empty.
#[must_use]
pub fn fields(resource: &str, value: &Value) -> Vec<(&'static str, String)> {
    field_names(resource).iter().map(|name| (*name, read(value, name))).collect()
}

fn read(value: &Value, name: &str) -> String {
    // The names are not all those of the JSON.
    let found = match name {
        "source" => match value.get("source").and_then(|s| s.get("component")) {
            Some(Value::String(text)) if !text.is_empty() => return text.clone(),
            _ => value.get("reportingComponent"),
        },
        "status.successful" => value.get("status").and_then(|s| s.get("succeeded")),
        _ => name.split('.').try_fold(value, |v, part| v.get(part)),
    };
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        // What Go prints for the zero of fields that are not texts.
        _ => match name {
            "spec.hostNetwork" | "spec.unschedulable" => "false".to_owned(),
            "status.successful" | "status.replicas" => "0".to_owned(),
            _ => String::new(),
        },
    }
}
