//! Reading and writing the parts of objects that many controllers share.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::store::Object;

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A condition in `status.conditions`.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&status["conditions"]).iter().find(|c| c["type"] == kind)
}

/// Whether a condition is `True`.
pub(super) fn holds(status: &Value, kind: &str) -> bool {
    condition(status, kind).is_some_and(|c| c["status"] == "True")
}

/// Sets a condition in a status; the transition time stays where the status does.
pub(super) fn set_condition(status: &mut Value, mut new: Value, now: &str) {
    let had = condition(status, text(&new["type"]));
    let since = had.filter(|c| c["status"] == new["status"]).and_then(|c| c["lastTransitionTime"].as_str());
    new["lastTransitionTime"] = json!(since.unwrap_or(now));
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    if let Some(all) = status["conditions"].as_array_mut() {
        match all.iter_mut().find(|c| c["type"] == new["type"]) {
            Some(old) => *old = new,
            None => all.push(new),
        }
    }
}

/// Takes a condition out of a status.
pub(super) fn drop_condition(status: &mut Value, kind: &str) {
    if let Some(all) = status["conditions"].as_array_mut() {
        all.retain(|c| c["type"] != kind);
        if all.is_empty() {
            status.as_object_mut().map(|s| s.remove("conditions"));
        }
    }
}

/// The reference that marks an object as controlled by another.
pub(super) fn controller_ref(api_version: &str, kind: &str, owner: &Object) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": &*owner.name, "uid": &*owner.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// UID of the controller of an object.
pub(super) fn controller_of(value: &Value) -> Option<&Value> {
    items(&value["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true)
}

/// What `intstr.GetScaledValueFromIntOrPercent` makes of a number or a percentage of a total.
pub(super) fn scaled(value: &Value, total: i64, up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let percent: i64 = text(value).trim_end_matches('%').parse().unwrap_or(0);
    if up { (percent * total + 99).div_euclid(100) } else { (percent * total).div_euclid(100) }
}

/// Takes a finalizer out of an object.
pub(super) fn drop_finalizer(value: &mut Value, name: &str) -> bool {
    let Some(all) = value["metadata"]["finalizers"].as_array_mut() else { return false };
    let had = all.len();
    all.retain(|f| f != name);
    let dropped = all.len() < had;
    if all.is_empty() {
        value["metadata"].as_object_mut().map(|m| m.remove("finalizers"));
    }
    dropped
}

pub(super) fn has_finalizer(value: &Value, name: &str) -> bool {
    items(&value["metadata"]["finalizers"]).iter().any(|f| f == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_up_for_surge_and_down_for_unavailability() {
        assert_eq!(scaled(&json!("25%"), 10, true), 3);
        assert_eq!(scaled(&json!("25%"), 10, false), 2);
        assert_eq!(scaled(&json!(4), 10, false), 4);
        assert_eq!(scaled(&json!("25%"), 1, false), 0);
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut status = json!({});
        set_condition(&mut status, json!({"type": "A", "status": "True", "reason": "X"}), "t1");
        set_condition(&mut status, json!({"type": "A", "status": "True", "reason": "Y"}), "t2");
        assert_eq!(status["conditions"], json!([{"type": "A", "status": "True", "reason": "Y", "lastTransitionTime": "t1"}]));
        set_condition(&mut status, json!({"type": "A", "status": "False"}), "t3");
        assert_eq!(status["conditions"][0]["lastTransitionTime"], "t3");
    }
}
