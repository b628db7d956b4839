//! Custom resources (`tableconvertor` in Kubernetes `apiextensions-apiserver`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::columns::{CREATED, NAME, column};
use super::duration::since;
use super::values::{count, items, name, plain, text};
use crate::columns_jsonpath::JsonPath;
use crate::resource::Version;

// Where a CRD names no columns, there is one for the age.
fn defined(version: &Version) -> Vec<Value> {
    if count(&version.columns) > 0 {
        return items(&version.columns).cloned().collect();
    }
    vec![json!({"name": "Age", "type": "date", "description": CREATED, "jsonPath": ".metadata.creationTimestamp"})]
}

fn json_path(column: &Value) -> Option<JsonPath> {
    // `JSONPath` in `apiextensions.k8s.io/v1beta1`.
    column["jsonPath"].as_str().or_else(|| column["JSONPath"].as_str()).and_then(JsonPath::parse)
}

pub(super) fn columns(version: &Version) -> Vec<Value> {
    let mut columns = vec![column("Name", "string", "name", NAME, 0)];
    columns.extend(defined(version).iter().map(|c| {
        let mut description = text(c, "description");
        if description.is_empty() {
            description = format!("Custom resource definition column (in JSONPath format): {}", text(c, "jsonPath"));
        }
        column(&text(c, "name"), &text(c, "type"), &text(c, "format"), &description, c["priority"].as_i64().unwrap_or_default())
    }));
    columns
}

pub(super) fn cells(version: &Version, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![name(object)];
    for column in defined(version) {
        let path = json_path(&column);
        let value = path.as_ref().and_then(|path| path.get(object)).unwrap_or(&Value::Null);
        cells.push(cell(&text(&column, "type"), value, now));
    }
    cells
}

// `cellForJSONValue`: a value of another type than the column's is left out.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", value) => json!(plain(value)),
        ("boolean", Value::Bool(_)) => value.clone(),
        ("number", Value::Number(number)) => json!(number.as_f64()),
        ("integer", Value::Number(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "as upstream turns a float into an integer")]
            let whole = number.as_i64().or_else(|| number.as_f64().map(|f| f as i64));
            json!(whole)
        }
        ("date", Value::String(text)) if text.parse::<Timestamp>().is_err() => json!("<invalid>"),
        ("date", Value::String(_)) => json!(since(value, now)),
        _ => Value::Null,
    }
}
