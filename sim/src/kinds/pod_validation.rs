//! What is refused about pods and the templates of pods (`pkg/apis/core/validation/validation.go`).

use serde_json::Value;

use super::access::{entries, items, number, set, text};
use super::causes::{Go, duplicate, forbidden, invalid, not_supported, required};
use super::{container_validation, meta, names};
use crate::failure::Cause;

/// `ValidatePodCreate` and `ValidatePodUpdate`.
pub(super) fn pod(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    spec(&new["spec"], "spec", &[], causes);
    if let Some(old) = old {
        update(&old["spec"], &new["spec"], causes);
    }
}

/// `ValidatePodTemplateSpec`.
pub(super) fn template(template: &Value, path: &str, causes: &mut Vec<Cause>) {
    template_with_claims(template, path, &[], causes);
}

/// [`template`] of a workload that brings volumes by its claims.
pub(super) fn template_with_claims(template: &Value, path: &str, claims: &[&str], causes: &mut Vec<Cause>) {
    if let Some(own) = template.get("metadata") {
        meta::labels(own, &format!("{path}.labels"), causes);
        meta::annotations(own, &format!("{path}.annotations"), causes);
    }
    spec(&template["spec"], &format!("{path}.spec"), claims, causes);
}

/// `ValidatePodSpec`.
fn spec(spec: &Value, path: &str, claims: &[&str], causes: &mut Vec<Cause>) {
    const RESTART: [&str; 3] = ["Always", "OnFailure", "Never"];
    let mut known: Vec<&str> = volumes(spec, path, causes);
    known.extend_from_slice(claims);
    let mut seen = Vec::new();
    let containers = items(spec, "containers");
    if containers.is_empty() {
        causes.push(required(format!("{path}.containers"), ""));
    }
    container_validation::list(containers, &format!("{path}.containers"), &mut seen, &known, causes);
    container_validation::list(items(spec, "initContainers"), &format!("{path}.initContainers"), &mut seen, &known, causes);
    host_network(spec, path, causes);
    let policy = text(spec, "restartPolicy");
    if policy.is_empty() {
        causes.push(required(format!("{path}.restartPolicy"), ""));
    } else if !RESTART.contains(&policy) {
        causes.push(not_supported(format!("{path}.restartPolicy"), policy, &RESTART));
    }
    dns(spec, path, causes);
    for (key, value) in entries(spec, "nodeSelector") {
        let path = format!("{path}.nodeSelector");
        causes.extend(names::qualified_name(key).iter().map(|m| invalid(path.as_str(), key, m)));
        let value = value.as_str().unwrap_or_default();
        causes.extend(names::label_value(value).iter().map(|m| invalid(path.as_str(), value, m)));
    }
    let account = text(spec, "serviceAccountName");
    if !account.is_empty() {
        causes.extend(names::dns_subdomain(account).iter().map(|m| invalid(format!("{path}.serviceAccountName"), account, m)));
    }
    let node = text(spec, "nodeName");
    if !node.is_empty() {
        causes.extend(names::dns_subdomain(node).iter().map(|m| invalid(format!("{path}.nodeName"), node, m)));
    }
    if set(spec, "activeDeadlineSeconds") && !(1..=i64::from(i32::MAX)).contains(&number(spec, "activeDeadlineSeconds")) {
        let value = number(spec, "activeDeadlineSeconds");
        causes.push(invalid(format!("{path}.activeDeadlineSeconds"), value, "must be between 1 and 2147483647, inclusive"));
    }
    for field in ["hostname", "subdomain"] {
        let name = text(spec, field);
        if !name.is_empty() {
            causes.extend(names::dns_label(name).iter().map(|m| invalid(format!("{path}.{field}"), name, m)));
        }
    }
    tolerations(spec, &format!("{path}.tolerations"), causes);
}

/// `ValidateVolumes`; the names of the volumes.
fn volumes<'a>(spec: &'a Value, path: &str, causes: &mut Vec<Cause>) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{index}]");
        let name = text(volume, "name");
        if name.is_empty() {
            causes.push(required(format!("{path}.name"), ""));
        } else {
            causes.extend(names::dns_label(name).iter().map(|m| invalid(format!("{path}.name"), name, m)));
            if seen.contains(&name) {
                causes.push(duplicate(format!("{path}.name"), name));
            }
        }
        seen.push(name);
        let sources = volume.as_object().into_iter().flatten().filter(|(field, value)| *field != "name" && !value.is_null());
        let mut count = 0;
        for (source, inner) in sources {
            count += 1;
            if count > 1 {
                causes.push(forbidden(format!("{path}.{source}"), "may not specify more than 1 volume type"));
                continue;
            }
            let must = match source.as_str() {
                "secret" => "secretName",
                "configMap" => "name",
                "hostPath" => "path",
                "persistentVolumeClaim" => "claimName",
                "csi" => "driver",
                _ => continue,
            };
            if text(inner, must).is_empty() {
                causes.push(required(format!("{path}.{source}.{must}"), ""));
            }
        }
        if count == 0 {
            causes.push(required(path, "must specify a volume type"));
        }
    }
    seen
}

fn host_network(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if !spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default() {
        return;
    }
    for (outer, container) in items(spec, "containers").iter().enumerate() {
        for (inner, port) in items(container, "ports").iter().enumerate() {
            // A template has no host ports filled in, and Upstream does not ask for them there.
            let (own, host) = (number(port, "containerPort"), number(port, "hostPort"));
            if host != own && host != 0 {
                let path = format!("{path}.containers[{outer}].ports[{inner}].containerPort");
                causes.push(invalid(path, own, "must match `hostPort` when `hostNetwork` is true"));
            }
        }
    }
}

fn dns(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    const POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    let policy = text(spec, "dnsPolicy");
    if policy.is_empty() {
        causes.push(required(format!("{path}.dnsPolicy"), ""));
    } else if !POLICIES.contains(&policy) {
        causes.push(not_supported(format!("{path}.dnsPolicy"), policy, &POLICIES));
    }
    if policy == "None" {
        match spec.get("dnsConfig").filter(|c| c.is_object()) {
            None => causes.push(required(format!("{path}.dnsConfig"), "must provide `dnsConfig` when `dnsPolicy` is None")),
            Some(config) if items(config, "nameservers").is_empty() => {
                let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
                causes.push(required(format!("{path}.dnsConfig.nameservers"), why));
            }
            Some(_) => {}
        }
    }
}

/// `ValidateTolerations`.
fn tolerations(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    for (index, toleration) in items(spec, "tolerations").iter().enumerate() {
        let path = format!("{path}[{index}]");
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
        if !key.is_empty() {
            causes.extend(names::qualified_name(key).iter().map(|m| invalid(format!("{path}.key"), key, m)));
        }
        if key.is_empty() && operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            causes.push(invalid(format!("{path}.operator"), operator, why));
        }
        if set(toleration, "tolerationSeconds") && effect != "NoExecute" {
            causes.push(invalid(format!("{path}.effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
        }
        match operator {
            "" | "Equal" => causes.extend(names::label_value(value).iter().map(|m| invalid(format!("{path}.operator"), value, m))),
            "Exists" => {
                if !value.is_empty() {
                    let shown = format!(
                        "core.Toleration{{Key:{key:?}, Operator:\"Exists\", Value:{value:?}, Effect:{effect:?}, TolerationSeconds:(*int64)(nil)}}"
                    );
                    causes.push(invalid(format!("{path}.operator"), Go(shown), "value must be empty when `operator` is 'Exists'"));
                }
            }
            other => causes.push(not_supported(format!("{path}.operator"), other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            causes.push(not_supported(format!("{path}.effect"), effect, &EFFECTS));
        }
    }
}

/// What may change about a pod: everything else is compared without cloning either side.
fn update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    // The real message goes on with a diff of the Go structs; here the fields that differ are listed.
    const WHY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";
    for list in ["containers", "initContainers"] {
        if items(old, list).len() != items(new, list).len() {
            causes.push(forbidden("spec", "pod updates may not add or remove containers"));
            return;
        }
    }
    deadline(old, new, causes);
    let (before, after) = (items(old, "tolerations"), items(new, "tolerations"));
    if before.iter().any(|t| !after.iter().any(|a| same_toleration(t, a))) {
        causes.push(forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"));
    }
    let mut changed: Vec<&str> = Vec::new();
    let names = old.as_object().into_iter().flatten().chain(new.as_object().into_iter().flatten()).map(|(name, _)| name.as_str());
    for name in names {
        let same = match name {
            "activeDeadlineSeconds" | "tolerations" => true,
            "terminationGracePeriodSeconds" => old[name] == new[name] || number(old, name) < 0 && number(new, name) == 1,
            "containers" | "initContainers" => items(old, name).iter().zip(items(new, name)).all(|(a, b)| same_but(a, b, &["image"])),
            // Through their own subresource.
            "ephemeralContainers" => items(old, name) == items(new, name),
            // A gated pod may be narrowed down further, and its gates may go.
            "nodeSelector" | "affinity" if !items(old, "schedulingGates").is_empty() => true,
            "schedulingGates" => items(new, name).iter().all(|gate| items(old, name).contains(gate)),
            _ => old.get(name) == new.get(name) || empty(old.get(name)) && empty(new.get(name)),
        };
        if !same && !changed.contains(&name) {
            changed.push(name);
        }
    }
    if !changed.is_empty() {
        let diff: String = changed.iter().map(|name| format!("  spec.{name}\n")).collect();
        causes.push(forbidden("spec", &format!("{WHY}{diff}")));
    }
}

fn deadline(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "activeDeadlineSeconds";
    let path = format!("spec.{FIELD}");
    match (old.get(FIELD).and_then(Value::as_i64), new.get(FIELD).and_then(Value::as_i64)) {
        (Some(_), None) => causes.push(invalid(path, Go("null".to_owned()), "must not update from a positive integer to nil value")),
        (Some(before), Some(after)) if after > before => {
            causes.push(invalid(path, after, &format!("must be less than or equal to previous value {before}")));
        }
        _ => {}
    }
}

fn empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Bool(truth)) => !truth,
        _ => false,
    }
}

/// Whether two objects differ in nothing but some fields.
fn same_but(one: &Value, other: &Value, fields: &[&str]) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let covers = |a: &serde_json::Map<String, Value>, b: &serde_json::Map<String, Value>| {
        a.iter().all(|(k, v)| fields.contains(&k.as_str()) || b.get(k).map_or_else(|| empty(Some(v)), |w| v == w))
    };
    covers(one, other) && covers(other, one)
}

fn same_toleration(one: &Value, other: &Value) -> bool {
    let operator = |t: &Value| matches!(text(t, "operator"), "" | "Equal");
    let same = ["key", "value", "effect"].iter().all(|f| text(one, f) == text(other, f));
    same && (text(one, "operator") == text(other, "operator") || operator(one) && operator(other))
}
