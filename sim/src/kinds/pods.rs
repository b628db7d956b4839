//! Defaults of pods and of the pod templates in workloads (`pkg/apis/core/v1/defaults.go`).

use serde_json::{Map, Value, json};

use super::access::{default, default_zero, entries, filled, items, items_mut, number, object, put, set, text};
use super::containers;
use super::quantity::quantity;
use super::volumes;

/// `SetDefaults_PodSpec`, with its containers and volumes: what pods and templates have in common.
pub(super) fn spec(spec: &mut Value) {
    default_zero(spec, "dnsPolicy", "ClusterFirst");
    default_zero(spec, "restartPolicy", "Always");
    default_zero(spec, "schedulerName", "default-scheduler");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "securityContext", Map::new());
    // The deprecated field mirrors the other one (`pkg/apis/core/v1/conversion.go`).
    mirror_service_account(spec);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        items_mut(spec, list).iter_mut().for_each(containers::defaults);
    }
    items_mut(spec, "volumes").iter_mut().for_each(volumes::defaults);
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        default(constraint, "nodeAffinityPolicy", "Honor");
        default(constraint, "nodeTaintsPolicy", "Ignore");
    }
}

/// Makes `serviceAccount` and `serviceAccountName` the same.
pub(super) fn mirror_service_account(spec: &mut Value) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        put(spec, "serviceAccount", name.as_str());
        put(spec, "serviceAccountName", name);
    }
}

/// A template's metadata and spec. An empty `creationTimestamp` is written out as null.
pub(super) fn template(holder: &mut Value, field: &str) {
    let Some(template) = object(holder, field) else { return };
    if let Some(meta) = object(template, "metadata") {
        default(meta, "creationTimestamp", Value::Null);
    }
    if let Some(inner) = object(template, "spec") {
        spec(inner);
    }
}

/// `SetDefaults_Pod`: what only pods themselves get.
pub(super) fn pod(pod: &mut Value) {
    let Some(inner) = object(pod, "spec") else { return };
    spec(inner);
    default(inner, "enableServiceLinks", true);
    let host_network = inner.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default();
    for list in ["initContainers", "containers"] {
        for container in items_mut(inner, list) {
            requests_from_limits(container);
            if host_network {
                for port in items_mut(container, "ports") {
                    let own = number(port, "containerPort");
                    default_zero(port, "hostPort", own);
                }
            }
        }
    }
}

/// The status that a new pod has (`podStrategy.PrepareForCreate`).
pub(super) fn initial_status(pod: &mut Value) {
    let class = qos_class(pod.get("spec").unwrap_or(&Value::Null));
    put(pod, "status", json!({"phase": "Pending", "qosClass": class}));
}

fn requests_from_limits(container: &mut Value) {
    if !container.get("resources").is_some_and(|r| filled(r, "limits")) {
        return;
    }
    let Some(resources) = container.get_mut("resources") else { return };
    let limits: Vec<(String, Value)> = entries(resources, "limits").map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Some(requests) = object(resources, "requests") {
        for (name, amount) in limits {
            default(requests, &name, amount);
        }
    }
}

/// `ComputePodQOS` (`pkg/apis/core/helper/qos`).
fn qos_class(spec: &Value) -> &'static str {
    let mut sums = [[0_i128; 2]; 2];
    let mut set_at_all = false;
    let mut guaranteed = true;
    for container in items(spec, "containers").iter().chain(items(spec, "initContainers")) {
        for (index, name) in ["cpu", "memory"].into_iter().enumerate() {
            let amount = |kind: &str| {
                let value = container.get("resources").and_then(|r| r.get(kind)).and_then(|l| l.get(name));
                value.and_then(Value::as_str).and_then(quantity).unwrap_or_default()
            };
            let (request, limit) = (amount("requests"), amount("limits"));
            sums[index][0] += request;
            sums[index][1] += limit;
            set_at_all |= request > 0 || limit > 0;
            guaranteed &= limit > 0;
        }
    }
    match (set_at_all, guaranteed && sums.iter().all(|[request, limit]| request == limit)) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Whether a pod is the mirror of a static one.
pub(super) fn is_mirror(pod: &Value) -> bool {
    pod.get("metadata").and_then(|m| m.get("annotations")).is_some_and(|a| set(a, "kubernetes.io/config.mirror"))
}
