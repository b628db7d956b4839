//! `CustomResourceDefinition`: defaults and validation (`apiextensions-apiserver/pkg/apis/apiextensions`).

use serde_json::{Map, Value, json};

use super::access::{default, default_zero, entries, filled, items, items_mut, object, put, text};
use super::causes::{Go, duplicate, forbidden, invalid, not_supported, required};
use super::names;
use crate::failure::Cause;

/// `SetDefaults_CustomResourceDefinition`.
pub(super) fn defaults(value: &mut Value) {
    let Some(spec) = object(value, "spec") else { return };
    if let Some(names) = spec.get_mut("names").filter(|n| n.is_object()) {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            default_zero(names, "singular", kind.to_lowercase());
            default_zero(names, "listKind", format!("{kind}List"));
        }
    }
    default(spec, "conversion", json!({"strategy": "None"}));
    if let Some(conversion) = object(spec, "conversion") {
        default_zero(conversion, "strategy", "None");
        if let Some(service) = conversion.pointer_mut("/webhook/clientConfig/service") {
            default(service, "port", 443);
        }
    }
    for version in items_mut(spec, "versions") {
        default(version, "served", false);
        default(version, "storage", false);
    }
}

/// The status that a new definition has until its controller has looked at it.
pub(super) fn initial_status(value: &mut Value) {
    let stored: Vec<Value> = items(&value["spec"], "versions")
        .iter()
        .filter(|v| v.get("storage").and_then(Value::as_bool).unwrap_or_default())
        .map(|v| v["name"].clone())
        .collect();
    put(value, "status", json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": stored}));
}

fn label(field: &str, value: &str, causes: &mut Vec<Cause>) {
    causes.extend(names::dns_1035_label(value).iter().map(|m| invalid(field, value, m)));
}

/// `ValidateCustomResourceDefinition` as far as people meet it.
pub(super) fn validate(name: &str, old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    let (group, plural) = (text(spec, "group"), text(&spec["names"], "plural"));
    if name != format!("{plural}.{group}") {
        causes.push(invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
    if group.is_empty() {
        causes.push(required("spec.group", ""));
    } else if !group.contains('.') {
        causes.push(invalid("spec.group", group, "should be a domain with at least one dot"));
    } else {
        causes.extend(names::dns_subdomain(group).iter().map(|m| invalid("spec.group", group, m)));
    }
    match text(spec, "scope") {
        "Cluster" | "Namespaced" => {}
        "" => causes.push(required("spec.scope", "")),
        scope => causes.push(not_supported("spec.scope", scope, &["Cluster", "Namespaced"])),
    }
    versions(spec, causes);
    let singular = text(&spec["names"], "singular");
    for (field, value) in
        [("plural", plural), ("singular", singular), ("kind", text(&spec["names"], "kind")), ("listKind", text(&spec["names"], "listKind"))]
    {
        let path = format!("spec.names.{field}");
        if value.is_empty() {
            causes.push(required(path, ""));
        } else {
            label(&path, &value.to_lowercase(), causes);
        }
    }
    for (index, short) in items(&spec["names"], "shortNames").iter().enumerate() {
        label(&format!("spec.names.shortNames[{index}]"), short.as_str().unwrap_or_default(), causes);
    }
    if !plural.is_empty() && text(&spec["names"], "kind") == text(&spec["names"], "listKind") && !text(&spec["names"], "kind").is_empty() {
        causes.push(invalid("spec.names.listKind", text(&spec["names"], "listKind"), "kind and listKind may not be the same"));
    }
    if spec.get("preserveUnknownFields").and_then(Value::as_bool).unwrap_or_default() {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        causes.push(invalid("spec.preserveUnknownFields", Go("true".to_owned()), why));
    }
    if let Some(old) = old {
        update(&old["spec"], spec, causes);
    }
}

fn versions(spec: &Value, causes: &mut Vec<Cause>) {
    let versions = items(spec, "versions");
    if versions.is_empty() {
        causes.push(required("spec.versions", "must have at least one version"));
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut stored = 0;
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        let name = text(version, "name");
        label(&format!("{path}.name"), name, causes);
        if seen.contains(&name) {
            causes.push(invalid("spec.versions", Go(go_versions(versions)), "must contain unique version names"));
        }
        seen.push(name);
        stored += usize::from(version.get("storage").and_then(Value::as_bool).unwrap_or_default());
        match version.get("schema").and_then(|s| s.get("openAPIV3Schema")).filter(|s| s.is_object()) {
            None => causes.push(required(format!("{path}.schema.openAPIV3Schema"), "schemas are required")),
            Some(schema) => {
                let path = format!("{path}.schema.openAPIV3Schema");
                match text(schema, "type") {
                    "" => causes.push(required(format!("{path}.type"), "must not be empty at the root")),
                    "object" => {}
                    other => causes.push(invalid(format!("{path}.type"), other, "must be object at the root")),
                }
                structural(schema, &path, true, causes);
            }
        }
    }
    if stored != 1 {
        let list = Go(go_versions(versions));
        causes.push(invalid("spec.versions", list, "must have exactly one version marked as storage version"));
    }
}

/// Versions in Go's syntax, without their schemas.
fn go_versions(versions: &[Value]) -> String {
    let truth = |v: &Value, field: &str| v.get(field).and_then(Value::as_bool).unwrap_or_default();
    let each = |v: &Value| {
        format!(
            "apiextensions.CustomResourceDefinitionVersion{{Name:{:?}, Served:{}, Storage:{}}}",
            text(v, "name"),
            truth(v, "served"),
            truth(v, "storage")
        )
    };
    format!("[]{}{{{}}}", "apiextensions.CustomResourceDefinitionVersion", versions.iter().map(each).collect::<Vec<_>>().join(", "))
}

/// `ValidateStructural`: every part of a schema says its type.
fn structural(schema: &Value, path: &str, root: bool, causes: &mut Vec<Cause>) {
    let truth = |field: &str| schema.get(field).and_then(Value::as_bool).unwrap_or_default();
    let kind = text(schema, "type");
    let int_or_string = truth("x-kubernetes-int-or-string");
    if kind.is_empty() && !root && !int_or_string && !truth("x-kubernetes-preserve-unknown-fields") {
        causes.push(required(format!("{path}.type"), "must not be empty for specified object fields"));
    }
    if !kind.is_empty() && !["object", "array", "string", "integer", "number", "boolean"].contains(&kind) {
        causes.push(not_supported(format!("{path}.type"), kind, &["array", "boolean", "integer", "number", "object", "string"]));
    }
    if kind == "array" && !schema.get("items").is_some_and(Value::is_object) {
        causes.push(required(format!("{path}.items"), "must be specified"));
    }
    if truth("x-kubernetes-preserve-unknown-fields") && !matches!(kind, "object" | "") {
        causes.push(invalid(
            format!("{path}.x-kubernetes-preserve-unknown-fields"),
            Go("true".to_owned()),
            "must be object if x-kubernetes-preserve-unknown-fields is true",
        ));
    }
    if filled(schema, "properties") && schema.get("additionalProperties").is_some_and(|a| !a.is_null() && a != &json!(false)) {
        causes.push(forbidden(format!("{path}.additionalProperties"), "additionalProperties and properties are mutual exclusive"));
    }
    if truth("uniqueItems") {
        causes.push(forbidden(
            format!("{path}.uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    if kind == "array" && text(schema, "x-kubernetes-list-type") == "map" && items(schema, "x-kubernetes-list-map-keys").is_empty() {
        causes.push(required(format!("{path}.x-kubernetes-list-map-keys"), "must not be empty if x-kubernetes-list-type is map"));
    }
    for (name, inner) in entries(schema, "properties") {
        // The metadata at the root is the API server's.
        if !(root && matches!(name.as_str(), "metadata" | "apiVersion" | "kind")) {
            structural(inner, &format!("{path}.properties[{name}]"), false, causes);
        }
    }
    if let Some(inner) = schema.get("items").filter(|i| i.is_object()) {
        structural(inner, &format!("{path}.items"), false, causes);
    }
    if let Some(inner) = schema.get("additionalProperties").filter(|i| i.is_object()) {
        structural(inner, &format!("{path}.additionalProperties"), false, causes);
    }
    let required_twice: Vec<&Value> = items(schema, "required").iter().collect();
    for (index, name) in required_twice.iter().enumerate() {
        if required_twice[..index].contains(name) {
            causes.push(duplicate(format!("{path}.required[{index}]"), *name));
        }
    }
}

fn update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    for (path, pointer) in
        [("spec.group", "/group"), ("spec.names.plural", "/names/plural"), ("spec.names.kind", "/names/kind"), ("spec.scope", "/scope")]
    {
        let now = new.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if old.pointer(pointer).and_then(Value::as_str).unwrap_or_default() != now {
            causes.push(invalid(path, now, "field is immutable"));
        }
    }
}

/// What an update keeps: a status that is not said.
pub(super) fn keep(old: &Value, new: &mut Value) {
    if !new.get("status").is_some_and(Value::is_object) {
        let status = old.get("status").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        put(new, "status", status);
    }
}
