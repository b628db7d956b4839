//! What runs pods, and what scales and protects them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::duration::{human, since, time};
use super::values::{age, at, condition, containers, count, int, items, labels, name, or, selector, text};
use crate::selector::LabelSelector;

// Defaulted to one where it is missing.
fn desired(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = replicas(object, now);
    cells.push(labels(&object["spec"]["selector"]));
    cells
}

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = replicas(object, now);
    cells.push(selector(&object["spec"]["selector"]));
    cells
}

fn replicas(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(at(object, "spec.template.spec"));
    let (current, ready) = (int(object, "status.replicas"), int(object, "status.readyReplicas"));
    vec![name(object), json!(desired(object)), json!(current), json!(ready), age(object, now), names, images]
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(at(object, "spec.template.spec"));
    let selector = LabelSelector::from_object(&object["spec"]["selector"]).map_or_else(|_| "<invalid>".to_owned(), |s| s.to_string());
    vec![
        name(object),
        json!(format!("{}/{}", int(object, "status.readyReplicas"), desired(object))),
        json!(int(object, "status.updatedReplicas")),
        json!(int(object, "status.availableReplicas")),
        age(object, now),
        names,
        images,
        json!(selector),
    ]
}

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(at(object, "spec.template.spec"));
    vec![name(object), json!(format!("{}/{}", int(object, "status.readyReplicas"), desired(object))), age(object, now), names, images]
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(at(object, "spec.template.spec"));
    let mut cells = vec![name(object)];
    let counts = ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"];
    cells.extend(counts.iter().map(|field| json!(int(&object["status"], field))));
    cells.extend([labels(at(object, "spec.template.spec.nodeSelector")), age(object, now), names, images]);
    cells.push(selector(&object["spec"]["selector"]));
    cells
}

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let succeeded = int(status, "succeeded");
    let completions = match (spec["completions"].as_i64(), int(spec, "parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    };
    let duration = match (time(&status["startTime"]), time(&status["completionTime"])) {
        (None, _) => String::new(),
        (Some(start), end) => human(end.unwrap_or(now).duration_since(start)),
    };
    let has = |kind: &str| condition(status, kind) == Some("True");
    let state = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !object["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else {
        "Running"
    };
    let [names, images] = containers(at(spec, "template.spec"));
    let cells = [name(object), json!(state), json!(completions), json!(duration), age(object, now)];
    cells.into_iter().chain([names, images, selector(&spec["selector"])]).collect()
}

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let suspend = match spec["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = &status["lastScheduleTime"];
    let last = if last.is_null() { "<none>".to_owned() } else { since(last, now) };
    let [names, images] = containers(at(spec, "jobTemplate.spec.template.spec"));
    vec![
        name(object),
        json!(text(spec, "schedule")),
        json!(or(text(spec, "timeZone"), "<none>")),
        json!(suspend),
        json!(count(&status["active"])),
        json!(last),
        age(object, now),
        names,
        images,
        selector(at(spec, "jobTemplate.spec.selector")),
    ]
}

pub(super) fn pod_template(object: &Value) -> Vec<Value> {
    let [names, images] = containers(at(object, "template.spec"));
    vec![name(object), names, images, labels(at(object, "template.metadata.labels"))]
}

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owner = items(&object["metadata"]["ownerReferences"]).find(|o| o["controller"] == true);
    let controller = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let kind = text(owner, "kind").to_lowercase();
            let api_version = text(owner, "apiVersion");
            let kind = api_version.split_once('/').map_or(kind.clone(), |(group, _)| format!("{kind}.{group}"));
            format!("{kind}/{}", text(owner, "name"))
        },
    );
    vec![name(object), json!(controller), json!(int(object, "revision")), age(object, now)]
}

pub(super) fn disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let (min, max) = (or(text(spec, "minAvailable"), "N/A"), or(text(spec, "maxUnavailable"), "N/A"));
    vec![name(object), json!(min), json!(max), json!(int(object, "status.disruptionsAllowed")), age(object, now)]
}

pub(super) fn scale(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(int(object, "spec.replicas")), json!(int(object, "status.replicas")), age(object, now)]
}

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    vec![
        name(object),
        json!(format!("{}/{}", text(target, "kind"), text(target, "name"))),
        json!(metrics(spec, status)),
        json!(or(text(spec, "minReplicas"), "<unset>")),
        json!(int(spec, "maxReplicas")),
        json!(int(status, "currentReplicas")),
        age(object, now),
    ]
}

// `formatHPAMetrics`, with what `autoscaling/v1` has in place of metrics.
fn metrics(spec: &Value, status: &Value) -> String {
    let percent = |value: &Value, none: &str| value.as_i64().map_or(none.to_owned(), |p| format!("{p}%"));
    if let Some(target) = spec["targetCPUUtilizationPercentage"].as_i64() {
        return format!("cpu: {}/{target}%", percent(&status["currentCPUUtilizationPercentage"], "<unknown>"));
    }
    let currents: Vec<&Value> = items(&status["currentMetrics"]).collect();
    let list: Vec<String> = items(&spec["metrics"])
        .enumerate()
        .map(|(i, metric)| {
            let kind = text(metric, "type");
            let field = kind.chars().take(1).flat_map(char::to_lowercase).chain(kind.chars().skip(1)).collect::<String>();
            let target = &metric[field.as_str()]["target"];
            let current = currents.get(i).map_or(&Value::Null, |c| &c[field.as_str()]["current"]);
            let value = |field: &str| or(text(current, field), "<unknown>");
            let average = text(target, "averageValue");
            match kind.as_str() {
                "External" | "Object" if !average.is_empty() => format!("{}/{average} (avg)", value("averageValue")),
                "External" | "Object" => format!("{}/{}", value("value"), text(target, "value")),
                "Pods" => format!("{}/{average}", value("averageValue")),
                "Resource" | "ContainerResource" => {
                    let resource = text(&metric[field.as_str()], "name");
                    if average.is_empty() {
                        let current = percent(&current["averageUtilization"], "<unknown>");
                        format!("{resource}: {current}/{}", percent(&target["averageUtilization"], "<auto>"))
                    } else {
                        format!("{resource}: {}/{average}", value("averageValue"))
                    }
                }
                _ => "<unknown type>".to_owned(),
            }
        })
        .collect();
    match list.len() {
        0 => "<none>".to_owned(),
        1 | 2 => list.join(", "),
        more => format!("{} + {} more...", list[..2].join(", "), more - 2),
    }
}
