//! Causes of an invalid object, worded as upstream's `field.Error` (`apimachinery/pkg/util/validation/field/errors.go`).

use serde_json::Value;

use crate::failure::Cause;

fn cause(reason: &'static str, field: impl Into<String>, what: String, detail: &str) -> Cause {
    let message = if detail.is_empty() { what } else { format!("{what}: {detail}") };
    Cause { reason, message, field: field.into() }
}

/// A field that must be there; the detail may be empty.
pub(super) fn required(field: impl Into<String>, detail: &str) -> Cause {
    cause("FieldValueRequired", field, "Required value".to_owned(), detail)
}

/// A value that is wrong.
pub(super) fn invalid(field: impl Into<String>, value: impl Shown, detail: &str) -> Cause {
    cause("FieldValueInvalid", field, format!("Invalid value: {}", value.shown()), detail)
}

/// A value of the wrong type.
pub(super) fn type_invalid(field: impl Into<String>, value: impl Shown, detail: &str) -> Cause {
    cause("FieldValueTypeInvalid", field, format!("Invalid value: {}", value.shown()), detail)
}

/// A value that is not one of those that are known.
pub(super) fn not_supported(field: impl Into<String>, value: impl Shown, supported: &[&str]) -> Cause {
    let known: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    let detail = if known.is_empty() { String::new() } else { format!("supported values: {}", known.join(", ")) };
    cause("FieldValueNotSupported", field, format!("Unsupported value: {}", value.shown()), &detail)
}

/// A value that is there twice.
pub(super) fn duplicate(field: impl Into<String>, value: impl Shown) -> Cause {
    cause("FieldValueDuplicate", field, format!("Duplicate value: {}", value.shown()), "")
}

/// A reference to nothing.
pub(super) fn not_found(field: impl Into<String>, value: impl Shown) -> Cause {
    cause("FieldValueNotFound", field, format!("Not found: {}", value.shown()), "")
}

/// A field that must not be there, or not be changed.
pub(super) fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
    cause("FieldValueForbidden", field, "Forbidden".to_owned(), detail)
}

/// Too many bytes.
pub(super) fn too_long(field: impl Into<String>, limit: usize) -> Cause {
    cause("FieldValueTooLong", field, "Too long".to_owned(), &format!("may not be more than {limit} bytes"))
}

/// Too many items.
pub(super) fn too_many(field: impl Into<String>, actual: usize, limit: u64) -> Cause {
    let items = if limit == 1 { "item" } else { "items" };
    cause("FieldValueTooMany", field, format!("Too many: {actual}"), &format!("must have at most {limit} {items}"))
}

/// What a message can print: as Go's `%q` for texts and `%#v` for the rest.
pub(super) trait Shown {
    /// The printed form.
    fn shown(self) -> String;
}

impl Shown for &str {
    fn shown(self) -> String {
        format!("{self:?}")
    }
}

impl Shown for &String {
    fn shown(self) -> String {
        format!("{self:?}")
    }
}

impl Shown for i64 {
    fn shown(self) -> String {
        self.to_string()
    }
}

/// JSON, as custom resources have it.
impl Shown for &Value {
    fn shown(self) -> String {
        match self {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        }
    }
}

/// Something printed already.
pub(super) struct Go(pub(super) String);

impl Shown for Go {
    fn shown(self) -> String {
        self.0
    }
}

/// `map[string]string` in Go's syntax.
pub(super) fn go_map(map: Option<&Value>) -> Go {
    let Some(map) = map.and_then(Value::as_object) else { return Go("map[string]string(nil)".to_owned()) };
    let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k:?}:{:?}", v.as_str().unwrap_or_default())).collect();
    Go(format!("map[string]string{{{}}}", pairs.join(", ")))
}

/// `[]string` in Go's syntax.
pub(super) fn go_strings(list: Option<&Value>) -> Go {
    let Some(list) = list.and_then(Value::as_array) else { return Go("[]string(nil)".to_owned()) };
    let texts: Vec<String> = list.iter().map(|v| format!("{:?}", v.as_str().unwrap_or_default())).collect();
    Go(format!("[]string{{{}}}", texts.join(", ")))
}

/// `metav1.LabelSelector` in Go's syntax, as the messages about immutable selectors have it.
pub(super) fn go_selector(selector: Option<&Value>) -> Go {
    let Some(selector) = selector.filter(|s| s.is_object()) else { return Go("null".to_owned()) };
    let requirement = |r: &Value| {
        let text = |field: &str| r.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!(
            "v1.LabelSelectorRequirement{{Key:{:?}, Operator:{:?}, Values:{}}}",
            text("key"),
            text("operator"),
            go_strings(r.get("values")).0
        )
    };
    let expressions = match selector.get("matchExpressions").and_then(Value::as_array) {
        Some(list) => format!("[]v1.LabelSelectorRequirement{{{}}}", list.iter().map(requirement).collect::<Vec<_>>().join(", ")),
        None => "[]v1.LabelSelectorRequirement(nil)".to_owned(),
    };
    Go(format!("v1.LabelSelector{{MatchLabels:{}, MatchExpressions:{expressions}}}", go_map(selector.get("matchLabels")).0))
}
