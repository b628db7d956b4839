//! The syntax of metadata, which is the same for every kind (`apimachinery/pkg/api/validation/objectmeta.go`).

use serde_json::Value;

use super::access::{entries, filled, items, text};
use super::causes::{Go, invalid, too_long};
use super::names;
use crate::failure::Cause;

/// `TotalAnnotationSizeLimitB`.
const ANNOTATIONS: usize = 256 << 10;

/// What is wrong with labels, annotations, finalizers and owners of an object.
#[must_use]
pub fn validate_meta(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Some(meta) = value.get("metadata") else { return causes };
    labels(meta, "metadata.labels", &mut causes);
    annotations(meta, "metadata.annotations", &mut causes);
    owners(meta, &mut causes);
    let finalizers = items(meta, "finalizers");
    for finalizer in finalizers {
        let name = finalizer.as_str().unwrap_or_default();
        causes.extend(names::qualified_name(name).iter().map(|m| invalid("metadata.finalizers", name, m)));
    }
    let has = |name: &str| finalizers.iter().any(|f| f.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        let both = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(invalid("metadata.finalizers", super::causes::go_strings(meta.get("finalizers")), both));
    }
    causes
}

/// Finalizers of built-in kinds must be the standard ones or qualified (`validateKubeFinalizerName`).
pub(super) fn kube_finalizers(value: &Value, causes: &mut Vec<Cause>) {
    let Some(meta) = value.get("metadata").filter(|m| filled(m, "finalizers")) else { return };
    for (index, finalizer) in items(meta, "finalizers").iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
            let path = format!("metadata.finalizers[{index}]");
            causes.push(invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified"));
        }
    }
}

/// `ValidateLabels`.
pub(super) fn labels(meta: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (key, value) in entries(meta, "labels") {
        causes.extend(names::qualified_name(key).iter().map(|m| invalid(path, key, m)));
        let value = value.as_str().unwrap_or_default();
        causes.extend(names::label_value(value).iter().map(|m| invalid(path, value, m)));
    }
}

/// `ValidateAnnotations`.
pub(super) fn annotations(meta: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut size = 0;
    for (key, value) in entries(meta, "annotations") {
        causes.extend(names::qualified_name(&key.to_lowercase()).iter().map(|m| invalid(path, key, m)));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS {
        causes.push(too_long(path, ANNOTATIONS));
    }
}

fn owners(meta: &Value, causes: &mut Vec<Cause>) {
    const PATH: &str = "metadata.ownerReferences";
    let mut controller: Option<&str> = None;
    for owner in items(meta, "ownerReferences") {
        let api_version = text(owner, "apiVersion");
        if api_version.rsplit('/').next().unwrap_or_default().is_empty() {
            causes.push(invalid(format!("{PATH}.apiVersion"), api_version, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                causes.push(invalid(format!("{PATH}.{field}"), "", "must not be empty"));
            }
        }
        if api_version == "v1" && text(owner, "kind") == "Event" {
            causes.push(invalid(PATH, Go(owner.to_string()), "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.get("controller").and_then(Value::as_bool).unwrap_or_default() {
            let name = text(owner, "name");
            if let Some(first) = controller {
                let why =
                    format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}");
                causes.push(invalid(PATH, Go(Value::from(items(meta, "ownerReferences")).to_string()), &why));
            }
            controller = Some(name);
        }
    }
}
