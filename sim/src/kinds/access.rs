//! Reading and filling in fields of JSON objects the way a typed decoder sees them: absent, null and (for plain fields) zero are the same.

use serde_json::{Map, Value};

/// The empty list, for fields that are not lists.
const NONE: &[Value] = &[];

/// The text of a field; empty if it is absent or something else.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list; none if it is absent or something else.
pub(super) fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(NONE, Vec::as_slice)
}

/// The items of a list to change them.
pub(super) fn items_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut [Value] {
    value.get_mut(field).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// The entries of a map; none if it is absent or something else.
pub(super) fn entries<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(field).and_then(Value::as_object).into_iter().flatten()
}

/// Whether a map or list has anything in it.
pub(super) fn filled(value: &Value, field: &str) -> bool {
    match value.get(field) {
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    }
}

/// Whether a pointer field is set.
pub(super) fn set(value: &Value, field: &str) -> bool {
    value.get(field).is_some_and(|v| !v.is_null())
}

/// A number; 0 if it is absent.
pub(super) fn number(value: &Value, field: &str) -> i64 {
    value.get(field).and_then(Value::as_i64).unwrap_or_default()
}

/// Defaults a pointer field: only if it is not there.
pub(super) fn default(value: &mut Value, field: &str, fallback: impl Into<Value>) {
    if let Some(map) = value.as_object_mut() {
        match map.get_mut(field) {
            Some(present) if !present.is_null() => {}
            Some(null) => *null = fallback.into(),
            None => {
                map.insert(field.to_owned(), fallback.into());
            }
        }
    }
}

/// Defaults a plain field: also if it is empty or zero.
pub(super) fn default_zero(value: &mut Value, field: &str, fallback: impl Into<Value>) {
    if let Some(map) = value.as_object_mut() {
        let zero = |v: &Value| v.is_null() || v.as_str() == Some("") || v.as_i64() == Some(0);
        match map.get_mut(field) {
            Some(present) if !zero(present) => {}
            Some(empty) => *empty = fallback.into(),
            None => {
                map.insert(field.to_owned(), fallback.into());
            }
        }
    }
}

/// A field that is an object, made if it is not there; `None` if the parent or the field is something else.
pub(super) fn object<'a>(value: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    default(value, field, Map::new());
    value.get_mut(field).filter(|v| v.is_object())
}

/// Adds to a list, which is made if it is not there.
pub(super) fn push(value: &mut Value, field: &str, item: Value) {
    default(value, field, Vec::<Value>::new());
    if let Some(list) = value.get_mut(field).and_then(Value::as_array_mut) {
        list.push(item);
    }
}

/// Removes a field.
pub(super) fn remove(value: &mut Value, field: &str) -> Option<Value> {
    value.as_object_mut().and_then(|map| map.remove(field))
}

/// Puts a field.
pub(super) fn put(value: &mut Value, field: &str, new: impl Into<Value>) {
    if let Some(map) = value.as_object_mut() {
        map.insert(field.to_owned(), new.into());
    }
}
