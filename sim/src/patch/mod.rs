//! How a write changes an object: the three kinds of patches, server-side apply, and who owns which field. Pure functions on JSON.

mod apply;
mod builtin;
mod fields;
mod managed;
mod schema;
mod strategic;
mod walk;

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use json_patch::PatchOperation;
use serde::Deserialize;
use serde_json::Value;

pub use apply::{Apply, apply, track_update};
pub use schema::Schema;
pub use strategic::strategic;

use crate::Failure;

/// `maxJSONPatchOperations` in `apiserver/pkg/endpoints/handlers/patch.go`.
const MAX_OPERATIONS: usize = 10_000;

/// JSON merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), change);
        }
    }
}

/// JSON patch (RFC 6902). The target is changed only if all operations succeed.
///
/// # Errors
///
/// 400 for a body that is no list of operations, 413 for too many of them, 422 for one that cannot be done (`applyJSPatch` in
/// `apiserver/pkg/endpoints/handlers/patch.go`).
pub fn json(target: &mut Value, patch: &Value) -> Result<(), Failure> {
    let Value::Array(operations) = patch else {
        let found = match patch {
            Value::Object(_) => "object",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) | Value::Null => "null",
        };
        return Err(Failure::bad_request(format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")));
    };
    if operations.iter().any(|operation| !operation.is_object()) {
        return Err(Failure::bad_request("json: cannot unmarshal array element into Go value of type jsonpatch.Operation"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(Failure::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity is too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            ),
        ));
    }
    let mut changed = target.clone();
    for operation in operations {
        let operation = PatchOperation::deserialize(operation).map_err(|_| rejected())?;
        if let PatchOperation::Test(test) = &operation
            && test.value.is_null()
            && test.path.resolve(&changed).is_err()
        {
            // The library of kube-apiserver takes what is missing for null.
            continue;
        }
        json_patch::patch_unsafe(&mut changed, &[operation]).map_err(|_| rejected())?;
    }
    *target = changed;
    Ok(())
}

/// What `NewGenericServerResponse` says for 422, whatever was wrong.
fn rejected() -> Failure {
    Failure::new(422, "Invalid", "the server rejected our request due to an error in our request")
}
