//! Defaults of workloads (`pkg/apis/{apps,batch,autoscaling,policy}/v1/defaults.go`).

use serde_json::{Map, Value, json};

use super::access::{default, default_zero, entries, filled, items_mut, object, put, set, text};
use super::{pods, volumes};

pub(super) fn deployment(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = object(spec, "strategy") {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = object(strategy, "rollingUpdate")
        {
            default(rolling, "maxUnavailable", "25%");
            default(rolling, "maxSurge", "25%");
        }
    }
    pods::template(spec, "template");
}

pub(super) fn replica_set(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "replicas", 1);
    pods::template(spec, "template");
}

pub(super) fn daemon_set(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "revisionHistoryLimit", 10);
    if let Some(strategy) = object(spec, "updateStrategy") {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = object(strategy, "rollingUpdate")
        {
            default(rolling, "maxUnavailable", 1);
            default(rolling, "maxSurge", 0);
        }
    }
    pods::template(spec, "template");
}

pub(super) fn stateful_set(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default_zero(spec, "podManagementPolicy", "OrderedReady");
    default(spec, "serviceName", "");
    if let Some(strategy) = object(spec, "updateStrategy") {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = object(strategy, "rollingUpdate")
        {
            default(rolling, "partition", 0);
        }
    }
    if let Some(retention) = object(spec, "persistentVolumeClaimRetentionPolicy") {
        default_zero(retention, "whenDeleted", "Retain");
        default_zero(retention, "whenScaled", "Retain");
    }
    for claim in items_mut(spec, "volumeClaimTemplates") {
        default_zero(claim, "apiVersion", "v1");
        default_zero(claim, "kind", "PersistentVolumeClaim");
        if let Some(meta) = object(claim, "metadata") {
            default(meta, "creationTimestamp", Value::Null);
        }
        volumes::claim(claim);
    }
    pods::template(spec, "template");
}

pub(super) fn replication_controller(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "replicas", 1);
    pods::template(spec, "template");
    let labels = spec.pointer("/template/metadata/labels").filter(|l| l.as_object().is_some_and(|m| !m.is_empty())).cloned();
    if let Some(labels) = labels {
        if !filled(spec, "selector") {
            put(spec, "selector", labels.clone());
        }
        if let Some(meta) = object(value, "metadata")
            && !filled(meta, "labels")
        {
            put(meta, "labels", labels);
        }
    }
}

pub(super) fn job(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    if !set(spec, "completions") && !set(spec, "parallelism") {
        put(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    let backoff = if set(spec, "backoffLimitPerIndex") { i32::MAX } else { 6 };
    default(spec, "backoffLimit", backoff);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    let replacement = if set(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default(spec, "podReplacementPolicy", replacement);
    pods::template(spec, "template");
    if let Some(rules) = spec.get_mut("podFailurePolicy") {
        for rule in items_mut(rules, "rules") {
            for condition in items_mut(rule, "onPodConditions") {
                default_zero(condition, "status", "True");
            }
        }
    }
    let labels = spec.pointer("/template/metadata/labels").filter(|l| l.as_object().is_some_and(|m| !m.is_empty())).cloned();
    if let Some(labels) = labels
        && let Some(meta) = object(value, "metadata")
        && !filled(meta, "labels")
    {
        put(meta, "labels", labels);
    }
}

/// `generateSelector` (`pkg/registry/batch/job`): the pods of a Job are told apart by the Job's uid.
pub(super) fn job_selector(value: &mut Value) {
    if value["spec"].get("manualSelector").and_then(Value::as_bool).unwrap_or_default() {
        return;
    }
    let uid = text(&value["metadata"], "uid").to_owned();
    let name = text(&value["metadata"], "name").to_owned();
    let Some(spec) = object(value, "spec") else { return };
    // A selector without `manualSelector` is left for validation to refuse, unless it is the one that would be made.
    let own = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    if let Some(template) = object(spec, "template")
        && let Some(meta) = object(template, "metadata")
        && let Some(labels) = object(meta, "labels")
    {
        for prefix in ["batch.kubernetes.io/", ""] {
            default(labels, &format!("{prefix}controller-uid"), uid.as_str());
            default(labels, &format!("{prefix}job-name"), name.as_str());
        }
    }
    if !set(spec, "selector") {
        put(spec, "selector", own);
    }
}

pub(super) fn cron_job(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default_zero(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    if let Some(job) = object(spec, "jobTemplate") {
        if let Some(meta) = object(job, "metadata") {
            default(meta, "creationTimestamp", Value::Null);
        }
        if let Some(inner) = object(job, "spec") {
            pods::template(inner, "template");
        }
    }
}

/// `autoscaling/v2`.
pub(super) fn autoscaler(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    default(spec, "minReplicas", 1);
    if !filled(spec, "metrics") && !set(spec, "targetCPUUtilizationPercentage") {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        put(spec, "metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|b| b.is_object()) else { return };
    let up = json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]);
    let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
    for (name, window, policies) in [("scaleUp", Some(0), up), ("scaleDown", None, down)] {
        if let Some(rules) = object(behavior, name) {
            default(rules, "selectPolicy", "Max");
            default(rules, "policies", policies);
            if let Some(window) = window {
                default(rules, "stabilizationWindowSeconds", window);
            }
        }
    }
}

/// The status that a new workload has: fields that are always written are there with zero.
pub(super) fn initial_status(resource: &str, value: &mut Value) {
    let zero: &[&str] = match resource {
        "replicasets.apps" | "replicationcontrollers" => &["replicas"],
        "statefulsets.apps" => &["availableReplicas", "replicas"],
        "daemonsets.apps" => &["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"],
        "poddisruptionbudgets.policy" => &["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"],
        "horizontalpodautoscalers.autoscaling" => &["desiredReplicas"],
        "deployments.apps" | "jobs.batch" | "cronjobs.batch" => &[],
        _ => return,
    };
    let status: Map<String, Value> = zero.iter().map(|f| ((*f).to_owned(), json!(0))).collect();
    put(value, "status", status);
}

/// A template's labels as pairs, for selectors.
pub(super) fn template_labels(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    entries(value.pointer("/spec/template/metadata").unwrap_or(&Value::Null), "labels")
}
