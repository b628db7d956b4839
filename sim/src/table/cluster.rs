//! Nodes, namespaces, events, and what else a cluster consists of.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::duration::{human, since};
use super::values::{age, at, condition, count, flag, int, items, name, or, text};

pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let (status, info) = (&object["status"], at(object, "status.nodeInfo"));
    let ready = match condition(status, "Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = if flag(object, "spec.unschedulable") { ",SchedulingDisabled" } else { "" };
    let mut roles = BTreeSet::new();
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        let role = match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => role,
            None if key == "kubernetes.io/role" => value.as_str().unwrap_or_default(),
            None => "",
        };
        if !role.is_empty() {
            roles.insert(role);
        }
    }
    let address = |kind: &str| {
        let found = items(&status["addresses"]).find(|a| a["type"] == kind).map(|a| text(a, "address"));
        json!(found.unwrap_or_else(|| "<none>".to_owned()))
    };
    let known = |field: &str| json!(or(text(info, field), "<unknown>"));
    vec![
        name(object),
        json!(format!("{ready}{cordoned}")),
        json!(or(roles.into_iter().collect::<Vec<_>>().join(","), "<none>")),
        age(object, now),
        json!(text(info, "kubeletVersion")),
        address("InternalIP"),
        address("ExternalIP"),
        known("osImage"),
        known("kernelVersion"),
        known("containerRuntimeVersion"),
    ]
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(object, "status.phase")), age(object, now)]
}

/// Both forms of events: in `events.k8s.io` the object is `regarding`, the message `note`, and what is old is `deprecated…`.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let either = |a: &str, b: &str| if object[a].is_null() { &object[b] } else { &object[a] };
    let first = either("firstTimestamp", "deprecatedFirstTimestamp");
    let first = since(if first.is_null() { &object["eventTime"] } else { first }, now);
    let last = either("lastTimestamp", "deprecatedLastTimestamp");
    let mut last = if last.is_null() { first.clone() } else { since(last, now) };
    let mut times = either("count", "deprecatedCount").as_i64().unwrap_or_default().max(1);
    let series = &object["series"];
    if !series.is_null() {
        last = since(&series["lastObservedTime"], now);
        times = int(series, "count");
    }
    let about = either("involvedObject", "regarding");
    let kind = text(about, "kind").to_lowercase();
    let about_name = text(about, "name");
    let target = if about_name.is_empty() { kind } else { format!("{kind}/{about_name}") };
    let source = either("source", "deprecatedSource");
    let controller = or(text(object, "reportingComponent"), &text(object, "reportingController"));
    let component = or(text(source, "component"), &controller);
    let instance = or(text(source, "host"), &text(object, "reportingInstance"));
    let source = if instance.is_empty() { component } else { format!("{component}, {instance}") };
    let message = either("message", "note").as_str().unwrap_or_default().trim();
    vec![
        json!(last),
        json!(text(object, "type")),
        json!(text(object, "reason")),
        json!(target),
        json!(text(about, "fieldPath")),
        json!(source),
        json!(message),
        json!(first),
        json!(times),
        name(object),
    ]
}

/// Kinds whose second column is a count of something: secrets have a type before it.
pub(super) fn counted(object: &Value, number: usize, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(number), age(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(object, "type")), json!(count(&object["data"])), age(object, now)]
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(object, "spec.holderIdentity")), age(object, now)]
}

pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let mut hard: Vec<(&String, &Value)> = status["hard"].as_object().into_iter().flatten().collect();
    hard.sort_by_key(|(resource, _)| *resource);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, limit) in hard {
        let used = status["used"][resource.as_str()].as_str().unwrap_or("0");
        let cell = format!("{resource}: {used}/{}", super::values::plain(limit));
        if resource.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
    }
    vec![name(object), json!(requests.join(", ")), json!(limits.join(", ")), age(object, now)]
}

pub(super) fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = &object["roleRef"];
    let subjects = |kind: &str| {
        let named = items(&object["subjects"]).filter(|s| s["kind"] == kind);
        let names: Vec<String> = named
            .map(|s| if kind == "ServiceAccount" { format!("{}/{}", text(s, "namespace"), text(s, "name")) } else { text(s, "name") })
            .collect();
        json!(names.join(", "))
    };
    vec![
        name(object),
        json!(format!("{}/{}", text(role, "kind"), text(role, "name"))),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) fn signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let has = |kind: &str| items(&status["conditions"]).any(|c| c["type"] == kind);
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(status, "certificate").is_empty() {
        state.push_str(",Issued");
    }
    let wanted = spec["expirationSeconds"].as_i64().map_or_else(|| "<none>".to_owned(), |s| human(SignedDuration::from_secs(s)));
    vec![
        name(object),
        age(object, now),
        json!(or(text(spec, "signerName"), "<none>")),
        json!(text(spec, "username")),
        json!(wanted),
        json!(state),
    ]
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let value = json!(int(object, "value"));
    vec![name(object), value, json!(flag(object, "globalDefault")), age(object, now), json!(text(object, "preemptionPolicy"))]
}

pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(object, "handler")), age(object, now)]
}

pub(super) fn admission_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    let kind = &object["spec"]["paramKind"];
    let cell = if kind.is_null() { "<unset>".to_owned() } else { format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")) };
    vec![name(object), json!(count(at(object, "spec.validations"))), json!(cell), age(object, now)]
}

pub(super) fn admission_policy_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let (parameter, namespace) = (text(&spec["paramRef"], "name"), text(&spec["paramRef"], "namespace"));
    // A name without a namespace may be that of a cluster-wide object, or one in the namespace of the request.
    let cell = if parameter.is_empty() { "<unset>".to_owned() } else { format!("{}/{parameter}", or(namespace, "*")) };
    vec![name(object), json!(text(spec, "policyName")), json!(cell), age(object, now)]
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let served_by =
        if service.is_null() { "Local".to_owned() } else { format!("{}/{}", text(service, "namespace"), text(service, "name")) };
    let available = items(at(object, "status.conditions")).find(|c| c["type"] == "Available");
    let available = match available {
        None => "Unknown".to_owned(),
        Some(c) if c["status"] == "True" || text(c, "reason").is_empty() => text(c, "status"),
        Some(c) => format!("{} ({})", text(c, "status"), text(c, "reason")),
    };
    vec![name(object), json!(served_by), json!(available), age(object, now)]
}

pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(text(spec, "priorityLevelConfiguration.name")),
        json!(int(spec, "matchingPrecedence")),
        json!(or(text(spec, "distinguisherMethod.type"), "<none>")),
        age(object, now),
        json!(condition(&object["status"], "Dangling").unwrap_or("?")),
    ]
}

pub(super) fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let number = |path: &str| at(&spec["limited"], path).as_i64().map_or_else(|| json!("<none>"), |n| json!(n));
    vec![
        name(object),
        json!(text(spec, "type")),
        number("nominalConcurrencyShares"),
        number("limitResponse.queuing.queues"),
        number("limitResponse.queuing.handSize"),
        number("limitResponse.queuing.queueLengthLimit"),
        age(object, now),
    ]
}
