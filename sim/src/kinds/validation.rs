//! What is refused, by kind; pods and workloads have files of their own.

use serde_json::Value;

use super::access::{entries, filled, items, number, set, text};
use super::causes::{Go, forbidden, go_strings, invalid, not_supported, required};
use super::quantity::quantity;
use super::{crd, meta, names, pod_validation, service_validation, workload_validation};
use crate::Failure;
use crate::failure::Cause;

/// `MaxSecretSize`, which is also that of a `ConfigMap`.
const DATA: usize = 1 << 20;

/// Refuses what the API server refuses. `kind` is the kind with its group; `old` is there for an update. Names are
/// [`super::validate_name`]'s; metadata is checked here.
///
/// # Errors
/// 422 with every cause.
pub fn validate(resource: &str, kind: &str, name: &str, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
    let mut causes = meta::validate_meta(new);
    let group = resource.split_once('.').map_or("", |(_, group)| group);
    if ["", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "storage.k8s.io"].contains(&group) {
        meta::kube_finalizers(new, &mut causes);
    }
    by_kind(resource, name, old, new, &mut causes);
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(kind, name, causes)) }
}

fn by_kind(resource: &str, name: &str, old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    match resource {
        "pods" => pod_validation::pod(old, new, causes),
        "podtemplates" => pod_validation::template(&new["template"], "template", causes),
        "deployments.apps" => workload_validation::deployment(old, new, causes),
        "replicasets.apps" => workload_validation::replica_set(old, new, causes),
        "daemonsets.apps" => workload_validation::daemon_set(old, new, causes),
        "statefulsets.apps" => workload_validation::stateful_set(old, new, causes),
        "replicationcontrollers" => workload_validation::replication_controller(new, causes),
        "jobs.batch" => workload_validation::job(old, new, causes),
        "cronjobs.batch" => workload_validation::cron_job(new, causes),
        "services" => service_validation::service(old, new, causes),
        "secrets" => secret(old, new, causes),
        "configmaps" => config_map(old, new, causes),
        "rolebindings.rbac.authorization.k8s.io" => binding(old, new, true, causes),
        "clusterrolebindings.rbac.authorization.k8s.io" => binding(old, new, false, causes),
        "roles.rbac.authorization.k8s.io" => rules(new, true, causes),
        "clusterroles.rbac.authorization.k8s.io" => rules(new, false, causes),
        "customresourcedefinitions.apiextensions.k8s.io" => crd::validate(name, old, new, causes),
        "ingresses.networking.k8s.io" => ingress(new, causes),
        "persistentvolumeclaims" => claim(old, new, causes),
        "storageclasses.storage.k8s.io" => storage_class(old, new, causes),
        "priorityclasses.scheduling.k8s.io" => priority_class(old, new, causes),
        "poddisruptionbudgets.policy" => budget(new, causes),
        "horizontalpodautoscalers.autoscaling" => autoscaler(new, causes),
        _ => {}
    }
}

fn data_size(value: &Value) -> usize {
    let texts: usize = entries(value, "data").map(|(_, v)| v.as_str().unwrap_or_default().len()).sum();
    texts + entries(value, "binaryData").map(|(_, v)| v.as_str().unwrap_or_default().len() / 4 * 3).sum::<usize>()
}

fn immutable_data(old: &Value, new: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if !old.get("immutable").and_then(Value::as_bool).unwrap_or_default() {
        return;
    }
    if !new.get("immutable").and_then(Value::as_bool).unwrap_or_default() {
        causes.push(forbidden("immutable", WHY));
    }
    for field in fields {
        // An absent map is an empty one.
        let same = old.get(field) == new.get(field) || !filled(old, field) && !filled(new, field);
        if !same {
            causes.push(forbidden(*field, WHY));
        }
    }
}

/// `ValidateSecret` and `ValidateSecretUpdate`.
fn secret(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    use base64::Engine;
    let mut size = 0;
    for (key, value) in entries(new, "data") {
        causes.extend(names::config_key(key).iter().map(|m| invalid(format!("data[{key}]"), key, m)));
        size += value.as_str().unwrap_or_default().len() / 4 * 3;
    }
    if size > DATA {
        causes.push(super::causes::too_long("data", DATA));
    }
    let key = |name: &str| new.get("data").and_then(|d| d.get(name)).and_then(Value::as_str);
    let must = |name: &str, causes: &mut Vec<Cause>| {
        if key(name).is_none() {
            causes.push(required(format!("data[{name}]"), ""));
        }
    };
    match text(new, "type") {
        "kubernetes.io/dockerconfigjson" => match key(".dockerconfigjson") {
            None => causes.push(required("data[.dockerconfigjson]", "")),
            Some(encoded) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
                if serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).is_err() {
                    causes.push(invalid("data[.dockerconfigjson]", "<secret contents redacted>", "invalid character in JSON"));
                }
            }
        },
        "kubernetes.io/dockercfg" => must(".dockercfg", causes),
        "kubernetes.io/basic-auth" if key("username").is_none() && key("password").is_none() => {
            causes.push(required("data[username]", ""));
            causes.push(required("data[password]", ""));
        }
        "kubernetes.io/ssh-auth" if key("ssh-privatekey").is_none_or(str::is_empty) => causes.push(required("data[ssh-privatekey]", "")),
        "kubernetes.io/tls" => {
            must("tls.crt", causes);
            must("tls.key", causes);
        }
        "kubernetes.io/service-account-token" => {
            let account = &new["metadata"]["annotations"]["kubernetes.io/service-account.name"];
            if account.as_str().unwrap_or_default().is_empty() {
                causes.push(required("metadata.annotations[kubernetes.io/service-account.name]", ""));
            }
        }
        _ => {}
    }
    if let Some(old) = old {
        if text(old, "type") != text(new, "type") {
            causes.push(invalid("type", text(new, "type"), "field is immutable"));
        }
        immutable_data(old, new, &["data"], causes);
    }
}

/// `ValidateConfigMap` and `ValidateConfigMapUpdate`.
fn config_map(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    for (key, _) in entries(new, "data") {
        causes.extend(names::config_key(key).iter().map(|m| invalid(format!("data[{key}]"), key, m)));
        if new.get("binaryData").is_some_and(|b| set(b, key)) {
            causes.push(invalid(format!("data[{key}]"), key, "duplicate of key present in binaryData"));
        }
    }
    for (key, _) in entries(new, "binaryData") {
        causes.extend(names::config_key(key).iter().map(|m| invalid(format!("binaryData[{key}]"), key, m)));
    }
    if data_size(new) > DATA {
        causes.push(super::causes::too_long("", DATA));
    }
    if let Some(old) = old {
        immutable_data(old, new, &["data", "binaryData"], causes);
    }
}

/// `ValidateRoleBinding` and `ValidateClusterRoleBinding` with their updates.
fn binding(old: Option<&Value>, new: &Value, namespaced: bool, causes: &mut Vec<Cause>) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let role = &new["roleRef"];
    if text(role, "apiGroup") != GROUP {
        causes.push(not_supported("roleRef.apiGroup", text(role, "apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(role, "kind")) {
        causes.push(not_supported("roleRef.kind", text(role, "kind"), kinds));
    }
    if text(role, "name").is_empty() {
        causes.push(required("roleRef.name", ""));
    } else {
        causes.extend(names::path_segment(text(role, "name")).iter().map(|m| invalid("roleRef.name", text(role, "name"), m)));
    }
    for (index, subject) in items(new, "subjects").iter().enumerate() {
        let path = format!("subjects[{index}]");
        let (kind, name, group) = (text(subject, "kind"), text(subject, "name"), text(subject, "apiGroup"));
        if name.is_empty() {
            causes.push(required(format!("{path}.name"), ""));
        }
        match kind {
            "ServiceAccount" => {
                if !name.is_empty() {
                    causes.extend(names::dns_subdomain(name).iter().map(|m| invalid(format!("{path}.name"), name, m)));
                }
                if !group.is_empty() {
                    causes.push(not_supported(format!("{path}.apiGroup"), group, &[""]));
                }
                if !namespaced && text(subject, "namespace").is_empty() {
                    causes.push(required(format!("{path}.namespace"), ""));
                }
            }
            "User" | "Group" => {
                if group != GROUP {
                    causes.push(not_supported(format!("{path}.apiGroup"), group, &[GROUP]));
                }
            }
            other => causes.push(not_supported(format!("{path}.kind"), other, &["ServiceAccount", "User", "Group"])),
        }
    }
    if let Some(old) = old
        && old["roleRef"] != new["roleRef"]
    {
        let shown =
            format!("rbac.RoleRef{{APIGroup:{:?}, Kind:{:?}, Name:{:?}}}", text(role, "apiGroup"), text(role, "kind"), text(role, "name"));
        causes.push(invalid("roleRef", Go(shown), "cannot change roleRef"));
    }
}

/// `ValidatePolicyRule`.
fn rules(new: &Value, namespaced: bool, causes: &mut Vec<Cause>) {
    for (index, rule) in items(new, "rules").iter().enumerate() {
        let path = format!("rules[{index}]");
        if items(rule, "verbs").is_empty() {
            causes.push(required(format!("{path}.verbs"), "verbs must contain at least one value"));
        }
        if filled(rule, "nonResourceURLs") {
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                causes.push(invalid(format!("{path}.nonResourceURLs"), go_strings(rule.get("nonResourceURLs")), why));
            }
            if filled(rule, "apiGroups") || filled(rule, "resources") || filled(rule, "resourceNames") {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                causes.push(invalid(format!("{path}.nonResourceURLs"), go_strings(rule.get("nonResourceURLs")), why));
            }
            continue;
        }
        if items(rule, "apiGroups").is_empty() {
            causes.push(required(format!("{path}.apiGroups"), "resource rules must supply at least one api group"));
        }
        if items(rule, "resources").is_empty() {
            causes.push(required(format!("{path}.resources"), "resource rules must supply at least one resource"));
        }
    }
}

/// `ValidateIngress`.
fn ingress(new: &Value, causes: &mut Vec<Cause>) {
    const TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
    let spec = &new["spec"];
    if !filled(spec, "rules") && !set(spec, "defaultBackend") {
        causes.push(invalid("spec", super::causes::go_strings(None), "either `defaultBackend` or `rules` must be specified"));
    }
    for (index, rule) in items(spec, "rules").iter().enumerate() {
        let Some(http) = rule.get("http") else { continue };
        let holder = format!("spec.rules[{index}].http.paths");
        if items(http, "paths").is_empty() {
            causes.push(required(holder.as_str(), ""));
        }
        for (index, entry) in items(http, "paths").iter().enumerate() {
            let place = format!("{holder}[{index}]");
            let path = text(entry, "path");
            match text(entry, "pathType") {
                "" => causes.push(required(format!("{place}.pathType"), "pathType must be specified")),
                "Exact" | "Prefix" if !path.starts_with('/') => {
                    causes.push(invalid(format!("{place}.path"), path, "must be an absolute path"));
                }
                kind if !TYPES.contains(&kind) => causes.push(not_supported(format!("{place}.pathType"), kind, &TYPES)),
                _ => {}
            }
            let service = &entry["backend"]["service"];
            if service.is_object() {
                if text(service, "name").is_empty() {
                    causes.push(required(format!("{place}.backend.service.name"), ""));
                }
                if text(&service["port"], "name").is_empty() && number(&service["port"], "number") == 0 {
                    causes.push(required(format!("{place}.backend"), "port name or number is required"));
                }
            }
        }
    }
}

/// `ValidatePersistentVolumeClaim`.
fn claim(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let spec = &new["spec"];
    if items(spec, "accessModes").is_empty() {
        causes.push(required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in items(spec, "accessModes").iter().filter_map(Value::as_str).filter(|m| !MODES.contains(m)) {
        causes.push(not_supported("spec.accessModes", mode, &MODES));
    }
    match spec.pointer("/resources/requests/storage").and_then(Value::as_str) {
        None => causes.push(required("spec.resources[storage]", "")),
        Some(size) if quantity(size).is_none_or(|q| q <= 0) => {
            causes.push(invalid("spec.resources[storage]", size, "must be greater than zero"));
        }
        Some(_) => {}
    }
    if let Some(old) = old {
        let size = |v: &Value| v.pointer("/spec/resources/requests/storage").and_then(Value::as_str).and_then(quantity);
        let rest = |v: &Value| {
            let mut spec = v["spec"].clone();
            for field in ["resources", "volumeName", "volumeAttributesClassName"] {
                super::access::remove(&mut spec, field);
            }
            spec
        };
        let bound_before = text(&old["spec"], "volumeName");
        let rebound = !bound_before.is_empty() && bound_before != text(spec, "volumeName");
        if rebound || rest(old) != rest(new) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            causes.push(forbidden("spec", why));
        }
        if size(new) < size(old) {
            causes.push(forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
        }
    }
}

fn storage_class(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    if text(new, "provisioner").is_empty() {
        causes.push(required("provisioner", ""));
    }
    for (field, known) in [("reclaimPolicy", ["Delete", "Retain"]), ("volumeBindingMode", ["Immediate", "WaitForFirstConsumer"])] {
        if !known.contains(&text(new, field)) {
            causes.push(not_supported(field, text(new, field), &known));
        }
    }
    let Some(old) = old else { return };
    if old.get("parameters") != new.get("parameters") {
        causes.push(forbidden("parameters", "updates to parameters are forbidden."));
    }
    for field in ["provisioner", "reclaimPolicy"] {
        if old.get(field) != new.get(field) {
            causes.push(forbidden(field, &format!("updates to {field} are forbidden.")));
        }
    }
    if old.get("volumeBindingMode") != new.get("volumeBindingMode") {
        causes.push(invalid("volumeBindingMode", text(new, "volumeBindingMode"), "field is immutable"));
    }
}

fn priority_class(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let (name, value) = (text(&new["metadata"], "name"), number(new, "value"));
    if name.starts_with("system-") && !matches!(name, "system-node-critical" | "system-cluster-critical") {
        causes.push(forbidden("metadata.name", "priority class names with 'system-' prefix are reserved for system use only"));
    }
    if !name.starts_with("system-") && value > 1_000_000_000 {
        causes.push(forbidden("value", "maximum allowed value of a user defined priority is 1000000000"));
    }
    let policy = text(new, "preemptionPolicy");
    if !matches!(policy, "" | "Never" | "PreemptLowerPriority") {
        causes.push(not_supported("preemptionPolicy", policy, &["PreemptLowerPriority", "Never"]));
    }
    if old.is_some_and(|old| number(old, "value") != value) {
        causes.push(invalid("value", value, "field is immutable"));
    }
    if old.is_some_and(|old| text(old, "preemptionPolicy") != policy) {
        causes.push(invalid("preemptionPolicy", policy, "field is immutable"));
    }
}

fn budget(new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    if set(spec, "minAvailable") && set(spec, "maxUnavailable") {
        causes.push(invalid(
            "spec",
            Go("policy.PodDisruptionBudgetSpec{}".to_owned()),
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        workload_validation::int_or_percent(spec, field, "spec", causes);
    }
}

fn autoscaler(new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    let (least, most) = (number(spec, "minReplicas"), number(spec, "maxReplicas"));
    if set(spec, "minReplicas") && least < 1 {
        causes.push(invalid("spec.minReplicas", least, "must be greater than or equal to 1"));
    }
    if most < 1 {
        causes.push(invalid("spec.maxReplicas", most, "must be greater than 0"));
    }
    if set(spec, "minReplicas") && most < least {
        causes.push(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"));
    }
    for field in ["kind", "name"] {
        if text(&spec["scaleTargetRef"], field).is_empty() {
            causes.push(required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
}
