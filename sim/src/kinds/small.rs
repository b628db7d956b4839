//! Defaults of the kinds that have few of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::access::{default, default_zero, entries, items_mut, object, put, remove, set, text};

const RBAC: &str = "rbac.authorization.k8s.io";

/// `SetDefaults_Namespace`, and the finalizer of `namespaceStrategy.PrepareForCreate`.
pub(super) fn namespace(value: &mut Value) {
    namespace_label(value);
    put(value, "spec", json!({"finalizers": ["kubernetes"]}));
    put(value, "status", json!({"phase": "Active"}));
}

/// The label that every namespace has.
pub(super) fn namespace_label(value: &mut Value) {
    let name = text(&value["metadata"], "name").to_owned();
    if let Some(meta) = object(value, "metadata")
        && let Some(labels) = object(meta, "labels")
        && !name.is_empty()
    {
        put(labels, "kubernetes.io/metadata.name", name);
    }
}

/// `SetDefaults_Secret`, and `stringData`, which is never read back (`pkg/apis/core/v1/conversion.go`).
pub(super) fn secret(value: &mut Value) {
    default_zero(value, "type", "Opaque");
    let Some(Value::Object(texts)) = remove(value, "stringData") else { return };
    if texts.is_empty() {
        return;
    }
    if let Some(data) = object(value, "data") {
        for (key, text) in texts {
            put(data, &key, STANDARD.encode(text.as_str().unwrap_or_default()));
        }
    }
}

/// `SetDefaults_{Cluster,}RoleBinding` and `SetDefaults_Subject`.
pub(super) fn binding(value: &mut Value) {
    if let Some(reference) = value.get_mut("roleRef") {
        default_zero(reference, "apiGroup", RBAC);
    }
    for subject in items_mut(value, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default_zero(subject, "apiGroup", RBAC);
        }
    }
}

/// `admissionregistration/v1` webhooks.
pub(super) fn webhooks(value: &mut Value, mutating: bool) {
    for hook in items_mut(value, "webhooks") {
        default(hook, "failurePolicy", "Fail");
        default(hook, "matchPolicy", "Equivalent");
        default(hook, "namespaceSelector", Map::new());
        default(hook, "objectSelector", Map::new());
        default(hook, "timeoutSeconds", 10);
        if mutating {
            default(hook, "reinvocationPolicy", "Never");
        }
        if let Some(service) = hook.pointer_mut("/clientConfig/service") {
            default(service, "port", 443);
        }
        for rule in items_mut(hook, "rules") {
            default(rule, "scope", "*");
        }
    }
}

/// `ValidatingAdmissionPolicy` and its bindings.
pub(super) fn admission_policy(value: &mut Value) {
    if let Some(spec) = object(value, "spec") {
        default(spec, "failurePolicy", "Fail");
    }
    match_resources(value, "matchConstraints");
}

pub(super) fn admission_binding(value: &mut Value) {
    match_resources(value, "matchResources");
}

fn match_resources(value: &mut Value, field: &str) {
    if let Some(resources) = value.get_mut("spec").and_then(|s| s.get_mut(field)).filter(|r| r.is_object()) {
        default(resources, "matchPolicy", "Equivalent");
        default(resources, "namespaceSelector", Map::new());
        default(resources, "objectSelector", Map::new());
        for rule in items_mut(resources, "resourceRules") {
            default(rule, "scope", "*");
        }
    }
}

/// `SetDefaults_NetworkPolicy`.
pub(super) fn network_policy(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "podSelector", Map::new());
    for list in ["ingress", "egress"] {
        for rule in items_mut(spec, list) {
            for port in items_mut(rule, "ports") {
                default(port, "protocol", "TCP");
            }
        }
    }
    if super::access::items(spec, "policyTypes").is_empty() {
        let egress = super::access::filled(spec, "egress");
        put(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    }
}

/// `SetDefaults_EndpointPort` of `discovery/v1`.
pub(super) fn endpoint_slice(value: &mut Value) {
    for port in items_mut(value, "ports") {
        default(port, "name", "");
        default(port, "protocol", "TCP");
    }
}

/// `SetDefaults_Endpoints`.
pub(super) fn endpoints(value: &mut Value) {
    for subset in items_mut(value, "subsets") {
        for port in items_mut(subset, "ports") {
            default_zero(port, "protocol", "TCP");
        }
    }
}

/// `SetDefaults_PriorityClass`.
pub(super) fn priority_class(value: &mut Value) {
    default(value, "preemptionPolicy", "PreemptLowerPriority");
    default(value, "value", 0);
}

/// `SetDefaults_ServiceReference` of `apiregistration/v1`.
pub(super) fn api_service(value: &mut Value) {
    if let Some(service) = value.pointer_mut("/spec/service") {
        default(service, "port", 443);
    }
    default(value, "status", Map::new());
}

/// `pkg/apis/core/v1` and `events/v1`: texts that are always written.
pub(super) fn event(value: &mut Value) {
    for field in ["reportingComponent", "reportingInstance"] {
        default(value, field, "");
    }
    default(value, "source", Map::new());
    for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        default(value, field, Value::Null);
    }
    default(value, "involvedObject", Map::new());
}

/// `SetDefaults_LimitRangeItem`.
pub(super) fn limit_range(value: &mut Value) {
    let Some(spec) = value.get_mut("spec") else { return };
    for item in items_mut(spec, "limits").iter_mut().filter(|i| text(i, "type") == "Container") {
        for (field, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
            let amounts: Vec<(String, Value)> = entries(item, from).map(|(k, v)| (k.clone(), v.clone())).collect();
            if amounts.is_empty() {
                continue;
            }
            if let Some(map) = object(item, field) {
                for (name, amount) in amounts {
                    default(map, &name, amount);
                }
            }
        }
    }
}

/// What a new node has: its pods' addresses in both fields (`pkg/apis/core/v1/conversion.go`).
pub(super) fn node(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    if set(spec, "podCIDR") && !set(spec, "podCIDRs") {
        let range = spec["podCIDR"].clone();
        put(spec, "podCIDRs", json!([range]));
    }
    default(value, "status", Map::new());
}
