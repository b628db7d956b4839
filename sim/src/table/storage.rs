//! Volumes, their claims and classes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::values::{age, count, flag, items, name, or, plain, text};

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

// `ReadWriteOnce` and so on in the order of `GetAccessModesAsString`, whatever order they are in.
fn access_modes(modes: &Value) -> String {
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| items(modes).any(|m| m == mode);
    short.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn class(object: &Value) -> String {
    or(plain(&object["metadata"]["annotations"][CLASS]), &text(object, "spec.storageClassName"))
}

fn phase(object: &Value) -> Value {
    if object["metadata"]["deletionTimestamp"].is_null() { json!(text(object, "status.phase")) } else { json!("Terminating") }
}

fn attributes_class(object: &Value) -> Value {
    json!(or(text(object, "spec.volumeAttributesClassName"), "<unset>"))
}

fn mode(object: &Value) -> Value {
    json!(or(text(object, "spec.volumeMode"), "<unset>"))
}

pub(super) fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let claim = &spec["claimRef"];
    let claim = if claim.is_null() { String::new() } else { format!("{}/{}", text(claim, "namespace"), text(claim, "name")) };
    vec![
        name(object),
        json!(or(text(spec, "capacity.storage"), "0")),
        json!(access_modes(&spec["accessModes"])),
        json!(text(spec, "persistentVolumeReclaimPolicy")),
        phase(object),
        json!(claim),
        json!(class(object)),
        attributes_class(object),
        json!(text(object, "status.reason")),
        age(object, now),
        mode(object),
    ]
}

pub(super) fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let volume = text(object, "spec.volumeName");
    let (capacity, modes) = if volume.is_empty() {
        (String::new(), String::new())
    } else {
        (or(text(status, "capacity.storage"), "0"), access_modes(&status["accessModes"]))
    };
    vec![
        name(object),
        phase(object),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class(object)),
        attributes_class(object),
        age(object, now),
        mode(object),
    ]
}

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = &object["metadata"]["annotations"];
    let default = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let default = if default.iter().any(|key| annotations[*key] == "true") { " (default)" } else { "" };
    vec![
        json!(format!("{}{default}", text(object, "metadata.name"))),
        json!(text(object, "provisioner")),
        json!(or(text(object, "reclaimPolicy"), "Delete")),
        json!(or(text(object, "volumeBindingMode"), "Immediate")),
        json!(flag(object, "allowVolumeExpansion")),
        age(object, now),
    ]
}

pub(super) fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(text(spec, "attacher")),
        json!(text(spec, "source.persistentVolumeName")),
        json!(text(spec, "nodeName")),
        json!(flag(object, "status.attached")),
        age(object, now),
    ]
}

pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(count(&object["spec"]["drivers"])), age(object, now)]
}

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let modes: Vec<String> = items(&spec["volumeLifecycleModes"]).map(plain).collect();
    let audiences: Vec<String> = items(&spec["tokenRequests"]).map(|t| text(t, "audience")).collect();
    let audiences = if spec["tokenRequests"].is_null() { "<unset>".to_owned() } else { audiences.join(",") };
    vec![
        name(object),
        json!(spec["attachRequired"].as_bool().unwrap_or(true)),
        json!(flag(spec, "podInfoOnMount")),
        json!(flag(spec, "storageCapacity")),
        json!(audiences),
        json!(flag(spec, "requiresRepublish")),
        json!(or(modes.join(","), "<none>")),
        age(object, now),
    ]
}

pub(super) fn csi_capacity(object: &Value) -> Vec<Value> {
    vec![name(object), json!(text(object, "storageClassName")), json!(or(text(object, "capacity"), "<unset>"))]
}
