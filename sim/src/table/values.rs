//! Reading objects for cells.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::duration::since;
use crate::selector::LabelSelector;

pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |v, key| &v[key])
}

/// Text at a path, empty where there is none; numbers as their digits, for quantities and `IntOrString`.
pub(super) fn text(value: &Value, path: &str) -> String {
    plain(at(value, path))
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(super) fn int(value: &Value, path: &str) -> i64 {
    at(value, path).as_i64().unwrap_or_default()
}

pub(super) fn flag(value: &Value, path: &str) -> bool {
    at(value, path).as_bool().unwrap_or_default()
}

pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn count(value: &Value) -> usize {
    value.as_array().map_or_else(|| value.as_object().map_or(0, serde_json::Map::len), Vec::len)
}

/// The text, or something else where it is empty.
pub(super) fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text }
}

pub(super) fn name(object: &Value) -> Value {
    json!(text(object, "metadata.name"))
}

pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(&object["metadata"]["creationTimestamp"], now))
}

/// The status of the first condition of a type.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    items(&status["conditions"]).find(|c| c["type"] == kind).and_then(|c| c["status"].as_str())
}

/// Names and images of the containers of a pod spec (`layoutContainerCells`).
pub(super) fn containers(pod_spec: &Value) -> [Value; 2] {
    ["name", "image"].map(|field| json!(items(&pod_spec["containers"]).map(|c| text(c, field)).collect::<Vec<_>>().join(",")))
}

/// `metav1.FormatLabelSelector`.
pub(super) fn selector(selector: &Value) -> Value {
    json!(LabelSelector::from_object(selector).map_or_else(|_| "<error>".to_owned(), |s| or(s.to_string(), "<none>")))
}

/// `labels.FormatLabels`.
pub(super) fn labels(map: &Value) -> Value {
    let mut pairs: Vec<String> = map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", plain(v))).collect();
    pairs.sort();
    json!(or(pairs.join(","), "<none>"))
}

/// A list of which three entries are shown (`listWithMoreString`, without its word for an empty list).
pub(super) fn three(list: &[String]) -> String {
    let shown = list[..list.len().min(3)].join(",");
    if list.len() > 3 { format!("{shown} + {} more...", list.len() - 3) } else { shown }
}
