//! Custom objects and their structural schemas (`apiextensions-apiserver/pkg/apiserver/schema`).
//!
//! CEL rules (`x-kubernetes-validations`) are NOT evaluated: an object that only they would refuse is taken.

mod validate;

use serde_json::Value;

pub use validate::validate;

use super::access::entries;

fn truth(schema: &Value, field: &str) -> bool {
    schema.get(field).and_then(Value::as_bool).unwrap_or_default()
}

/// The schema of a field, if the schema knows the field.
fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    if let Some(inner) = schema.get("properties").and_then(|p| p.get(name)) {
        return Some(inner);
    }
    match schema.get("additionalProperties") {
        Some(inner @ Value::Object(_)) => Some(inner),
        Some(any @ Value::Bool(true)) => Some(any),
        _ => None,
    }
}

/// Whether the API server has `name` at this level on its own.
fn of_the_server(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// Removes what the schema does not know, and returns the paths of it (`spec.foo`, `spec.list[0].bar`) for the warning `unknown field`.
pub fn prune(schema: &Value, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    if schema.is_object() {
        prune_at(schema, value, "", true, &mut unknown);
    }
    unknown
}

fn prune_at(schema: &Value, value: &mut Value, path: &str, resource: bool, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let preserve = truth(schema, "x-kubernetes-preserve-unknown-fields");
            let resource = resource || truth(schema, "x-kubernetes-embedded-resource");
            let mut gone = Vec::new();
            for (name, inner) in map.iter_mut() {
                if resource && of_the_server(name) {
                    continue;
                }
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match field_schema(schema, name) {
                    Some(inner_schema @ Value::Object(_)) => prune_at(inner_schema, inner, &path, false, unknown),
                    Some(_) => {}
                    None if preserve => {}
                    None => {
                        gone.push(name.clone());
                        unknown.push(path);
                    }
                }
            }
            for name in gone {
                map.remove(&name);
            }
        }
        Value::Array(list) => {
            if let Some(item) = schema.get("items").filter(|i| i.is_object()) {
                for (index, inner) in list.iter_mut().enumerate() {
                    prune_at(item, inner, &format!("{path}[{index}]"), false, unknown);
                }
            }
        }
        _ => {}
    }
}

/// Fills in defaults, and drops nulls from fields that are not nullable but have one (`schema/defaulting`).
pub fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, inner) in entries(schema, "properties") {
                let Some(fallback) = inner.get("default") else { continue };
                let absent = match map.get(name) {
                    None => true,
                    Some(present) => present.is_null() && !truth(inner, "nullable"),
                };
                if absent {
                    map.insert(name.clone(), fallback.clone());
                }
            }
            // `PruneNonNullableNullsWithoutDefaults`: other nulls are as good as absent.
            map.retain(|name, present| {
                let known = schema
                    .get("properties")
                    .and_then(|p| p.get(name))
                    .or_else(|| schema.get("additionalProperties").filter(|a| a.is_object()));
                !present.is_null() || known.is_none_or(|inner| truth(inner, "nullable") || inner.get("default").is_some())
            });
            for (name, inner) in map.iter_mut() {
                if let Some(inner_schema @ Value::Object(_)) = field_schema(schema, name) {
                    default(inner_schema, inner);
                }
            }
        }
        Value::Array(list) => {
            if let Some(item) = schema.get("items").filter(|i| i.is_object()) {
                for inner in list {
                    default(item, inner);
                }
            }
        }
        _ => {}
    }
}
