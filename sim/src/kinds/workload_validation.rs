//! What is refused about workloads (`pkg/apis/{apps,batch}/validation`).

use serde_json::Value;

use super::access::{filled, items, number, remove, set, text};
use super::causes::{Go, forbidden, go_map, go_selector, invalid, not_supported, required};
use super::pod_validation;
use super::{names, workloads};
use crate::failure::Cause;

/// Numbers that must not be negative (`ValidateNonnegativeField`).
fn not_negative(spec: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    for field in fields {
        if number(spec, field) < 0 {
            causes.push(invalid(format!("spec.{field}"), number(spec, field), "must be greater than or equal to 0"));
        }
    }
}

/// A number or a percentage that is not negative.
pub(super) fn int_or_percent(holder: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    let path = format!("{path}.{field}");
    match holder.get(field) {
        Some(Value::Number(n)) if n.as_i64().is_some_and(|n| n < 0) => {
            causes.push(invalid(path, n.as_i64().unwrap_or_default(), "must be greater than or equal to 0"));
        }
        Some(Value::String(text)) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                causes.push(invalid(path, text, why));
            }
        }
        _ => {}
    }
}

/// Whether a selector matches labels; one that is not there matches nothing, an empty one everything.
fn selects(selector: &Value, labels: &Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten().all(|(k, v)| label(k) == v.as_str());
    let fits = |requirement: &Value| {
        let own = label(text(requirement, "key"));
        let listed = || items(requirement, "values").iter().any(|v| v.as_str() == own);
        match text(requirement, "operator") {
            "In" => own.is_some() && listed(),
            "NotIn" => own.is_none() || !listed(),
            "Exists" => own.is_some(),
            "DoesNotExist" => own.is_none(),
            _ => false,
        }
    };
    equal && items(selector, "matchExpressions").iter().all(fits)
}

/// `ValidateLabelSelector`.
fn selector_syntax(selector: &Value, causes: &mut Vec<Cause>) {
    for (key, value) in super::access::entries(selector, "matchLabels") {
        causes.extend(names::qualified_name(key).iter().map(|m| invalid("spec.selector.matchLabels", key, m)));
        let value = value.as_str().unwrap_or_default();
        causes.extend(names::label_value(value).iter().map(|m| invalid("spec.selector.matchLabels", value, m)));
    }
    for (index, requirement) in items(selector, "matchExpressions").iter().enumerate() {
        let path = format!("spec.selector.matchExpressions[{index}]");
        let values = items(requirement, "values").len();
        match text(requirement, "operator") {
            "In" | "NotIn" if values == 0 => {
                causes.push(required(format!("{path}.values"), "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if values > 0 => {
                causes.push(forbidden(format!("{path}.values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => causes.push(invalid(format!("{path}.operator"), other, "not a valid selector operator")),
        }
    }
}

/// The selector, and that it selects the template. `kind` is the word in the message about an empty one.
fn selector(spec: &Value, kind: &str, must: bool, causes: &mut Vec<Cause>) {
    let own = &spec["selector"];
    if own.is_object() {
        selector_syntax(own, causes);
        if !filled(own, "matchLabels") && !filled(own, "matchExpressions") {
            causes.push(invalid("spec.selector", go_selector(Some(own)), &format!("empty selector is invalid for {kind}")));
        }
    } else if must {
        causes.push(required("spec.selector", ""));
    }
    selects_template(spec, causes);
}

fn selects_template(spec: &Value, causes: &mut Vec<Cause>) {
    let labels = spec.pointer("/template/metadata/labels");
    if !selects(&spec["selector"], labels.unwrap_or(&Value::Null)) {
        causes.push(invalid("spec.template.metadata.labels", go_map(labels), "`selector` does not match template `labels`"));
    }
}

fn always_restarts(spec: &Value, kind: &str, causes: &mut Vec<Cause>) {
    let inner = &spec["template"]["spec"];
    let policy = text(inner, "restartPolicy");
    if policy != "Always" && !policy.is_empty() {
        causes.push(not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if set(inner, "activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        causes.push(forbidden("spec.template.spec.activeDeadlineSeconds", &why));
    }
}

fn same_selector(old: Option<&Value>, spec: &Value, causes: &mut Vec<Cause>) {
    if old.is_some_and(|old| old["spec"]["selector"] != spec["selector"]) {
        causes.push(invalid("spec.selector", go_selector(spec.get("selector")), "field is immutable"));
    }
}

pub(super) fn deployment(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    not_negative(spec, &["replicas"], causes);
    selector(spec, "deployment", true, causes);
    always_restarts(spec, "ReplicaSet", causes);
    pod_validation::template(&spec["template"], "spec.template", causes);
    deployment_strategy(&spec["strategy"], causes);
    not_negative(spec, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], causes);
    if set(spec, "progressDeadlineSeconds") && number(spec, "progressDeadlineSeconds") <= number(spec, "minReadySeconds") {
        let value = number(spec, "progressDeadlineSeconds");
        causes.push(invalid("spec.progressDeadlineSeconds", value, "must be greater than minReadySeconds"));
    }
    same_selector(old, spec, causes);
}

fn deployment_strategy(strategy: &Value, causes: &mut Vec<Cause>) {
    const PATH: &str = "spec.strategy.rollingUpdate";
    match text(strategy, "type") {
        "Recreate" => {
            if set(strategy, "rollingUpdate") {
                causes.push(forbidden(PATH, "may not be specified when strategy `type` is 'Recreate'"));
            }
        }
        "RollingUpdate" => {
            let rolling = &strategy["rollingUpdate"];
            if !rolling.is_object() {
                causes.push(required(PATH, "this should be defaulted and never be nil"));
                return;
            }
            int_or_percent(rolling, "maxUnavailable", PATH, causes);
            int_or_percent(rolling, "maxSurge", PATH, causes);
            rolling_progress(rolling, PATH, causes);
        }
        other => causes.push(not_supported("spec.strategy.type", other, &["Recreate", "RollingUpdate"])),
    }
}

/// Something must be allowed to move, and no more than everything to be away.
fn rolling_progress(rolling: &Value, path: &str, causes: &mut Vec<Cause>) {
    let zero = |field: &str| match rolling.get(field) {
        Some(Value::String(text)) => text == "0%",
        other => other.and_then(Value::as_i64).unwrap_or_default() == 0,
    };
    if zero("maxUnavailable") && zero("maxSurge") {
        let shown = match rolling.get("maxUnavailable") {
            Some(Value::String(text)) => text.clone(),
            other => other.and_then(Value::as_i64).unwrap_or_default().to_string(),
        };
        causes.push(invalid(format!("{path}.maxUnavailable"), Go(shown), "may not be 0 when `maxSurge` is 0"));
    }
    let percent = |t: &str| t.strip_suffix('%').and_then(|d| d.parse::<u64>().ok());
    if let Some(too_much) = rolling.get("maxUnavailable").and_then(Value::as_str).filter(|t| percent(t).is_some_and(|p| p > 100)) {
        causes.push(invalid(format!("{path}.maxUnavailable"), Go(too_much.to_owned()), "must not be greater than 100%"));
    }
}

pub(super) fn replica_set(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    not_negative(spec, &["replicas", "minReadySeconds"], causes);
    selector(spec, "deployment", true, causes);
    always_restarts(spec, "ReplicaSet", causes);
    pod_validation::template(&spec["template"], "spec.template", causes);
    same_selector(old, spec, causes);
}

pub(super) fn daemon_set(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    selector(spec, "daemonset", false, causes);
    always_restarts(spec, "DaemonSet", causes);
    pod_validation::template(&spec["template"], "spec.template", causes);
    not_negative(spec, &["minReadySeconds", "revisionHistoryLimit"], causes);
    let strategy = &spec["updateStrategy"];
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" if strategy["rollingUpdate"].is_object() => {
            let rolling = &strategy["rollingUpdate"];
            for field in ["maxUnavailable", "maxSurge"] {
                int_or_percent(rolling, field, "spec.updateStrategy.rollingUpdate", causes);
            }
        }
        "RollingUpdate" => causes.push(required("spec.updateStrategy.rollingUpdate", "")),
        other => causes.push(not_supported("spec.updateStrategy", other, &["RollingUpdate", "OnDelete"])),
    }
    same_selector(old, spec, causes);
}

pub(super) fn stateful_set(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    const OTHERS: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let spec = &new["spec"];
    match text(spec, "podManagementPolicy") {
        "" => causes.push(required("spec.podManagementPolicy", "")),
        "OrderedReady" | "Parallel" => {}
        other => causes.push(invalid("spec.podManagementPolicy", other, "must be 'OrderedReady' or 'Parallel'")),
    }
    match text(&spec["updateStrategy"], "type") {
        "" => causes.push(required("spec.updateStrategy", "")),
        "OnDelete" => {
            if set(&spec["updateStrategy"], "rollingUpdate") {
                let shown = Go("apps.RollingUpdateStatefulSetStrategy{}".to_owned());
                causes.push(invalid("spec.updateStrategy.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'"));
            }
        }
        "RollingUpdate" => {}
        other => causes.push(invalid("spec.updateStrategy", Go(format!("{other:?}")), "must be 'RollingUpdate' or 'OnDelete'")),
    }
    not_negative(spec, &["replicas", "minReadySeconds"], causes);
    selector(spec, "statefulset", true, causes);
    let claims: Vec<&str> = items(spec, "volumeClaimTemplates").iter().map(|c| text(&c["metadata"], "name")).collect();
    always_restarts(spec, "StatefulSet", causes);
    pod_validation::template_with_claims(&spec["template"], "spec.template", &claims, causes);
    if let Some(old) = old {
        let differs = |a: &Value, b: &Value| {
            let fields = a["spec"].as_object().into_iter().flatten();
            fields.filter(|(k, _)| !FREE.contains(&k.as_str()) && *k != "volumeClaimTemplates").any(|(k, v)| b["spec"].get(k) != Some(v))
        };
        if differs(old, new) || differs(new, old) || claim_specs(old) != claim_specs(new) {
            causes.push(forbidden("spec", OTHERS));
        }
    }
}

/// Claims of a `StatefulSet` without the status that nobody writes.
fn claim_specs(value: &Value) -> Vec<Value> {
    let each = |claim: &Value| {
        let mut claim = claim.clone();
        remove(&mut claim, "status");
        claim
    };
    items(&value["spec"], "volumeClaimTemplates").iter().map(each).collect()
}

pub(super) fn replication_controller(new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    not_negative(spec, &["replicas", "minReadySeconds"], causes);
    if !filled(spec, "selector") {
        causes.push(required("spec.selector", ""));
    }
    let labels: Vec<(&String, &Value)> = workloads::template_labels(new).collect();
    let matched = super::access::entries(spec, "selector").all(|pair| labels.contains(&pair));
    if !matched {
        let labels = go_map(spec.pointer("/template/metadata/labels"));
        causes.push(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
    }
    always_restarts(spec, "ReplicationController", causes);
    pod_validation::template(&spec["template"], "spec.template", causes);
}

pub(super) fn job(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    job_spec(spec, "spec", causes);
    let own = &spec["selector"];
    if own.is_object() {
        selector_syntax(own, causes);
    } else {
        causes.push(required("spec.selector", ""));
    }
    selects_template(spec, causes);
    // A selector that is not made from the Job's uid needs the word of whoever wrote it (`ValidateGeneratedSelector`).
    let manual = spec.get("manualSelector").and_then(Value::as_bool).unwrap_or_default();
    let uid = text(&new["metadata"], "uid");
    let expected = own.pointer("/matchLabels").map(|l| text(l, "batch.kubernetes.io/controller-uid")).unwrap_or_default();
    let legacy = own.pointer("/matchLabels").map(|l| text(l, "controller-uid")).unwrap_or_default();
    if old.is_none() && !manual && own.is_object() && expected != uid && legacy != uid {
        causes.push(invalid("spec.selector", go_selector(Some(own)), "`selector` not auto-generated"));
    }
    let Some(old) = old else { return };
    let before = &old["spec"];
    if before["completions"] != spec["completions"] && text(spec, "completionMode") != "Indexed" {
        causes.push(invalid("spec.completions", number(spec, "completions"), "field is immutable"));
    }
    same_selector(Some(old), spec, causes);
    // A suspended Job that has not started may be placed anew; only the nodes it may run on are free.
    let suspended = before.get("suspend").and_then(Value::as_bool).unwrap_or_default() && !set(&old["status"], "startTime");
    if !suspended && before["template"] != spec["template"] {
        causes.push(invalid("spec.template", Go("core.PodTemplateSpec{...}".to_owned()), "field is immutable"));
    }
    if before["completionMode"] != spec["completionMode"] {
        causes.push(invalid("spec.completionMode", text(spec, "completionMode"), "field is immutable"));
    }
}

fn job_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        if number(spec, field) < 0 {
            causes.push(invalid(format!("{path}.{field}"), number(spec, field), "must be greater than or equal to 0"));
        }
    }
    let mode = text(spec, "completionMode");
    if !matches!(mode, "" | "Indexed" | "NonIndexed") {
        causes.push(not_supported(format!("{path}.completionMode"), mode, &["NonIndexed", "Indexed"]));
    }
    if mode == "Indexed" && !set(spec, "completions") {
        causes.push(required(format!("{path}.completions"), "when completion mode is Indexed"));
    }
    pod_validation::template(&spec["template"], &format!("{path}.template"), causes);
    if !matches!(text(&spec["template"]["spec"], "restartPolicy"), "OnFailure" | "Never") {
        causes.push(required(format!("{path}.template.spec.restartPolicy"), "valid values: \"OnFailure\", \"Never\""));
    }
}

pub(super) fn cron_job(new: &Value, causes: &mut Vec<Cause>) {
    const POLICIES: [&str; 3] = ["Allow", "Forbid", "Replace"];
    let spec = &new["spec"];
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        causes.push(required("spec.schedule", ""));
    } else if !schedule.starts_with('@') && schedule.split_whitespace().count() != 5 {
        let found = schedule.split_whitespace().count();
        let shown: Vec<&str> = schedule.split_whitespace().collect();
        causes.push(invalid("spec.schedule", schedule, &format!("expected exactly 5 fields, found {found}: [{}]", shown.join(" "))));
    }
    let policy = text(spec, "concurrencyPolicy");
    if !POLICIES.contains(&policy) {
        causes.push(not_supported("spec.concurrencyPolicy", policy, &POLICIES));
    }
    not_negative(spec, &["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"], causes);
    job_spec(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", causes);
}
