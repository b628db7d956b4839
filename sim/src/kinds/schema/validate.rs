//! Validation against a structural schema, worded as `kube-openapi/pkg/validation` and `apiextensions-apiserver/pkg/apiserver/validation`.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::super::access::{items, text};
use super::super::causes::{Go, Shown, duplicate, invalid, not_supported, required, too_long, too_many, type_invalid};
use super::{field_schema, of_the_server, truth};
use crate::failure::Cause;

thread_local! {
    /// Patterns are few and asked for often; `None` is one that Rust's engine does not read, and which nothing is held against.
    static PATTERNS: RefCell<HashMap<String, Option<Regex>>> = RefCell::new(HashMap::new());
}

/// What is wrong with a custom object. Patterns in a syntax that the `regex` crate does not have are taken as matched.
#[must_use]
pub fn validate(schema: &Value, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if schema.is_object() {
        check(schema, value, "", true, &mut causes);
    }
    causes
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What `OpenAPI` calls the type of a value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|f| f.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The start of most messages: the path `in body`.
fn body(path: &str) -> String {
    if path.is_empty() { "in body".to_owned() } else { format!("{path} in body") }
}

/// Fields of the root are reported under `<nil>` where they are the whole object.
fn place(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

fn right_type(schema: &Value, value: &Value) -> bool {
    let actual = type_of(value);
    if truth(schema, "x-kubernetes-int-or-string") {
        return matches!(actual, "integer" | "string");
    }
    match text(schema, "type") {
        "" => true,
        "number" => matches!(actual, "number" | "integer"),
        expected => expected == actual,
    }
}

fn check(schema: &Value, value: &Value, path: &str, resource: bool, causes: &mut Vec<Cause>) {
    if value.is_null() && truth(schema, "nullable") {
        return;
    }
    if !right_type(schema, value) {
        let expected = if truth(schema, "x-kubernetes-int-or-string") { "integer,string" } else { text(schema, "type") };
        let actual = type_of(value);
        // The value that is shown is the type for whole objects, lists and texts (`convertTypeError`).
        let why = format!("{} must be of type {expected}: {}", body(path), Go(format!("{actual:?}")).shown());
        causes.push(type_invalid(place(path), actual, &why));
        return;
    }
    enumeration(schema, value, path, causes);
    match value {
        Value::Object(_) => object(schema, value, path, resource, causes),
        Value::Array(list) => array(schema, list, path, causes),
        Value::String(text) => string(schema, text, path, causes),
        Value::Number(_) => number(schema, value, path, causes),
        _ => {}
    }
    combined(schema, value, path, causes);
}

fn enumeration(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let known = items(schema, "enum");
    if !known.is_empty() && !known.contains(value) {
        let texts: Vec<String> = known.iter().map(|k| k.as_str().map_or_else(|| k.to_string(), str::to_owned)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        causes.push(not_supported(place(path), value, &texts));
    }
}

fn size(schema: &Value, field: &str) -> Option<u64> {
    schema.get(field).and_then(Value::as_u64)
}

fn object(schema: &Value, value: &Value, path: &str, resource: bool, causes: &mut Vec<Cause>) {
    let Some(map) = value.as_object() else { return };
    if let Some(limit) = size(schema, "maxProperties").filter(|limit| map.len() as u64 > *limit) {
        causes.push(too_many(place(path), map.len(), limit));
    }
    if let Some(limit) = size(schema, "minProperties").filter(|limit| (map.len() as u64) < *limit) {
        causes.push(invalid(
            place(path),
            map.len().try_into().unwrap_or(i64::MAX),
            &format!("{} should have at least {limit} properties", body(path)),
        ));
    }
    for name in items(schema, "required").iter().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            causes.push(required(child(path, name), ""));
        }
    }
    let resource = resource || truth(schema, "x-kubernetes-embedded-resource");
    for (name, inner) in map {
        if resource && of_the_server(name) {
            if name == "metadata" && path.is_empty() {
                restricted_metadata(schema, inner, causes);
            }
            continue;
        }
        if let Some(inner_schema @ Value::Object(_)) = field_schema(schema, name) {
            check(inner_schema, inner, &child(path, name), false, causes);
        }
    }
}

/// A schema may say something about `metadata.name` and `metadata.generateName`.
fn restricted_metadata(schema: &Value, meta: &Value, causes: &mut Vec<Cause>) {
    let said = schema.get("properties").and_then(|p| p.get("metadata")).and_then(|m| m.get("properties"));
    for name in ["name", "generateName"] {
        if let (Some(inner), Some(value)) = (said.and_then(|s| s.get(name)), meta.get(name)) {
            check(inner, value, &format!("metadata.{name}"), false, causes);
        }
    }
}

fn array(schema: &Value, list: &[Value], path: &str, causes: &mut Vec<Cause>) {
    if let Some(limit) = size(schema, "maxItems").filter(|limit| list.len() as u64 > *limit) {
        causes.push(too_many(place(path), list.len(), limit));
    }
    if let Some(limit) = size(schema, "minItems").filter(|limit| (list.len() as u64) < *limit) {
        let why = format!("{} should have at least {limit} items", body(path));
        causes.push(invalid(place(path), list.len().try_into().unwrap_or(i64::MAX), &why));
    }
    if let Some(item) = schema.get("items").filter(|i| i.is_object()) {
        for (index, inner) in list.iter().enumerate() {
            check(item, inner, &format!("{path}[{index}]"), false, causes);
        }
    }
    match text(schema, "x-kubernetes-list-type") {
        "map" => {
            let keys: Vec<&str> = items(schema, "x-kubernetes-list-map-keys").iter().filter_map(Value::as_str).collect();
            let of = |item: &Value| -> Vec<Value> { keys.iter().map(|k| item.get(*k).cloned().unwrap_or_default()).collect() };
            let mut seen: Vec<Vec<Value>> = Vec::new();
            for (index, item) in list.iter().enumerate() {
                let own = of(item);
                if seen.contains(&own) {
                    let pairs = keys.iter().zip(&own).filter(|(_, v)| !v.is_null());
                    let shown: Vec<String> = pairs.map(|(k, v)| format!("{k:?}:{}", v.shown())).collect();
                    causes.push(duplicate(format!("{path}[{index}]"), Go(format!("map[string]interface {{}}{{{}}}", shown.join(", ")))));
                } else {
                    seen.push(own);
                }
            }
        }
        "set" => {
            for (index, item) in list.iter().enumerate() {
                if list[..index].contains(item) {
                    causes.push(duplicate(format!("{path}[{index}]"), item));
                }
            }
        }
        _ => {}
    }
}

fn string(schema: &Value, value: &str, path: &str, causes: &mut Vec<Cause>) {
    let length = value.chars().count() as u64;
    if let Some(limit) = size(schema, "maxLength").filter(|limit| length > *limit) {
        causes.push(too_long(place(path), limit.try_into().unwrap_or(usize::MAX)));
    }
    if let Some(limit) = size(schema, "minLength").filter(|limit| length < *limit) {
        causes.push(invalid(place(path), value, &format!("{} should be at least {limit} chars long", body(path))));
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty() && !matches(pattern, value) {
        causes.push(invalid(place(path), value, &format!("{} should match '{pattern}'", body(path))));
    }
    let format = text(schema, "format");
    if !well_formed(format, value) {
        causes.push(invalid(place(path), value, &format!("{} must be of type {format}: {value:?}", body(path))));
    }
}

fn matches(pattern: &str, value: &str) -> bool {
    PATTERNS.with_borrow_mut(|patterns| {
        if !patterns.contains_key(pattern) {
            patterns.insert(pattern.to_owned(), Regex::new(pattern).ok());
        }
        patterns.get(pattern).and_then(Option::as_ref).is_none_or(|regex| regex.is_match(value))
    })
}

/// The formats that are looked at; the rest of upstream's list is taken as it comes.
fn well_formed(format: &str, value: &str) -> bool {
    match format {
        "date-time" => value.parse::<jiff::Timestamp>().is_ok(),
        "date" => value.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => value.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => value.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => value.replace('-', "").len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(value).is_ok()
        }
        _ => true,
    }
}

fn number(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(actual) = value.as_f64() else { return };
    let limit = |field: &str| schema.get(field).filter(|l| l.is_number());
    if let Some(bound) = limit("maximum") {
        let (most, exclusive) = (bound.as_f64().unwrap_or(f64::INFINITY), truth(schema, "exclusiveMaximum"));
        if actual > most || exclusive && actual >= most {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            causes.push(invalid(place(path), value, &format!("{} should be {words} {bound}", body(path))));
        }
    }
    if let Some(bound) = limit("minimum") {
        let (least, exclusive) = (bound.as_f64().unwrap_or(f64::NEG_INFINITY), truth(schema, "exclusiveMinimum"));
        if actual < least || exclusive && actual <= least {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            causes.push(invalid(place(path), value, &format!("{} should be {words} {bound}", body(path))));
        }
    }
    if let Some(bound) = limit("multipleOf") {
        let quotient = actual / bound.as_f64().unwrap_or(1.0);
        if (quotient - quotient.round()).abs() > 1e-9 {
            causes.push(invalid(place(path), value, &format!("{} should be a multiple of {bound}", body(path))));
        }
    }
}

/// Whether a value fits a schema within `allOf` and its like, which have no type of their own.
fn fits(schema: &Value, value: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(schema, value, path, path.is_empty(), &mut causes);
    causes
}

fn combined(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    // Upstream reports these without a field and a value, and names the path in the sentence.
    let whole = |why: String| invalid("<nil>", "", &format!("{path:?} {why}"));
    for part in items(schema, "allOf") {
        causes.extend(fits(part, value, path));
    }
    let any = items(schema, "anyOf");
    // An int-or-string says so with `anyOf`, which the type check did already.
    if !any.is_empty() && !truth(schema, "x-kubernetes-int-or-string") {
        let failures: Vec<Vec<Cause>> = any.iter().map(|part| fits(part, value, path)).collect();
        if failures.iter().all(|f| !f.is_empty()) {
            causes.push(whole("must validate at least one schema (anyOf)".to_owned()));
            causes.extend(best(failures));
        }
    }
    let one = items(schema, "oneOf");
    if !one.is_empty() {
        let failures: Vec<Vec<Cause>> = one.iter().map(|part| fits(part, value, path)).collect();
        let matched = failures.iter().filter(|f| f.is_empty()).count();
        if matched != 1 {
            let found = if matched == 0 { "Found none valid".to_owned() } else { format!("Found {matched} valid alternatives") };
            causes.push(whole(format!("must validate one and only one schema (oneOf). {found}")));
            if matched == 0 {
                causes.extend(best(failures));
            }
        }
    }
    if let Some(not) = schema.get("not").filter(|n| n.is_object())
        && fits(not, value, path).is_empty()
    {
        causes.push(whole("must not validate the schema (not)".to_owned()));
    }
}

/// Of several alternatives that all failed, the causes of the one that failed least.
fn best(failures: Vec<Vec<Cause>>) -> Vec<Cause> {
    failures.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::{default, prune};
    use super::validate;

    fn schema() -> Value {
        json!({"type": "object", "properties": {"spec": {
            "type": "object", "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 5},
                "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "list": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "default": "x"}}}},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "none": {"type": "string", "nullable": true},
                "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
            },
        }}})
    }

    #[rstest]
    #[case(json!({"size": 3}), &[])]
    #[case(json!({}), &["spec.size: Required value"])]
    #[case(json!({"size": "3"}), &["spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\""])]
    #[case(json!({"size": 0}), &["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"])]
    #[case(json!({"size": 6}), &["spec.size: Invalid value: 6: spec.size in body should be less than or equal to 5"])]
    #[case(json!({"size": 1, "color": "green"}), &["spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\""])]
    #[case(json!({"size": 1, "name": "AB"}), &["spec.name: Invalid value: \"AB\": spec.name in body should match '^[a-z]+$'"])]
    #[case(json!({"size": 1, "name": "abcde"}), &["spec.name: Too long: may not be more than 4 bytes"])]
    #[case(json!({"size": 1, "name": "a"}), &["spec.name: Invalid value: \"a\": spec.name in body should be at least 2 chars long"])]
    #[case(json!({"size": 1, "port": 1}), &[])]
    #[case(json!({"size": 1, "port": "http"}), &[])]
    #[case(json!({"size": 1, "port": true}), &["spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\""])]
    #[case(json!({"size": 1, "list": [{"k": "a"}, {"k": "a"}]}), &["spec.list[1]: Duplicate value: map[string]interface {}{\"k\":\"a\"}"])]
    #[case(json!({"size": 1, "list": [{"k": "a"}, {"k": "b"}, {"k": "c"}]}), &["spec.list: Too many: 3: must have at most 2 items"])]
    #[case(json!({"size": 1, "set": ["a", "a"]}), &["spec.set[1]: Duplicate value: \"a\""])]
    #[case(json!({"size": 1, "none": null}), &[])]
    #[case(json!({"size": 1, "name": null}), &["spec.name: Invalid value: \"null\": spec.name in body must be of type string: \"null\""])]
    #[case(json!({"size": 1, "one": {"a": "x"}}), &[])]
    #[case(json!({"size": 1, "map": {"a": 1}}), &["spec.map.a: Invalid value: \"integer\": spec.map.a in body must be of type string: \"integer\""])]
    fn says_what_the_server_says(#[case] spec: Value, #[case] expected: &[&str]) {
        let causes = validate(&schema(), &json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x"}, "spec": spec}));
        let lines: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn exactly_one_alternative_must_fit() {
        let both = validate(&schema(), &json!({"spec": {"size": 1, "one": {"a": "x", "b": "y"}}}));
        assert_eq!(both.len(), 1);
        assert!(both[0].message.ends_with("\"spec.one\" must validate one and only one schema (oneOf). Found 2 valid alternatives"));
        let neither = validate(&schema(), &json!({"spec": {"size": 1, "one": {}}}));
        assert!(neither[0].message.ends_with("Found none valid"));
        assert_eq!(neither[1].field, "spec.one.a");
    }

    #[test]
    fn unknown_fields_go_and_are_named() {
        let mut value = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x", "labels": {"a": "b"}}, "extra": 1, "spec": {
            "foo": 1, "free": {"any": {"thing": 1}}, "map": {"key": "v"}, "list": [{"k": "a", "z": 1}],
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "other": 1, "spec": {}},
        }});
        let unknown = prune(&schema(), &mut value);
        assert_eq!(unknown, ["extra", "spec.foo", "spec.list[0].z", "spec.pod.other"]);
        let expected = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {
            "free": {"any": {"thing": 1}}, "map": {"key": "v"}, "list": [{"k": "a"}],
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}},
        }});
        assert_eq!(value, expected);
    }

    #[test]
    fn defaults_reach_into_lists_and_replace_nulls() {
        let mut value = json!({"spec": {"size": 1, "color": null, "none": null, "name": null, "list": [{"k": "a"}]}});
        default(&schema(), &mut value);
        assert_eq!(value, json!({"spec": {"size": 1, "color": "red", "none": null, "list": [{"k": "a", "v": "x"}]}}));
    }
}
