//! The `scale` subresource: one small object for every kind that has replicas. Source: apiserver `pkg/registry/*/storage` `ScaleREST`.

use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::negotiate::body;
use super::{Body, Call, json};
use crate::api::{Part, Write};
use crate::failure::Failure;
use crate::options::WriteOptions;
use crate::patch;

/// Where a kind keeps what its scale shows, as JSON pointers.
struct Paths {
    replicas: String,
    status: String,
    selector: String,
}

/// Reads, replaces or patches a scale.
pub(super) fn answer(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let paths = paths(call).ok_or_else(Failure::no_such_path)?;
    let (id, name) = (call.id(), call.info.name.as_str());
    let live = || call.api().read(&id, call.namespace(), name).ok_or_else(|| Failure::not_found(&id, name));
    let change = match call.info.verb.as_str() {
        "get" => return Ok(json(StatusCode::OK, &scale(&live()?, &paths))),
        "update" | "patch" if call.info.verb == "update" => Some(body(call.request.headers(), call.request.body())?),
        "patch" => None,
        _ => return Err(Failure::method_not_allowed()),
    };
    let options = WriteOptions::parse(call.query)?;
    let write = Write {
        resource: &call.resource,
        version: &call.info.version,
        namespace: call.namespace(),
        name,
        part: Part::Main,
        manager: "",
        dry_run: options.is_dry_run(),
    };
    let kind = call.request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let object = call.api().update(&write, |mut value| {
        let mut wanted = scale(&value, &paths);
        if let Some(replacement) = &change {
            let revision = &replacement["metadata"]["resourceVersion"];
            if revision.as_str().is_some_and(|r| !r.is_empty()) && *revision != value["metadata"]["resourceVersion"] {
                return Err(Failure::modified(&id, name));
            }
            wanted = replacement.clone();
        } else {
            let change = super::negotiate::json(call.request.body())?;
            match kind.split(';').next().unwrap_or_default() {
                "application/json-patch+json" => patch::json(&mut wanted, &change)?,
                // A scale has no lists, so there is nothing to be strategic about.
                _ => patch::merge(&mut wanted, &change),
            }
        }
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
        if replicas < 0 {
            let message = format!("Invalid value: {replicas}: must be greater than or equal to 0");
            let cause = crate::failure::Cause { reason: "FieldValueInvalid", message, field: "spec.replicas".into() };
            return Err(Failure::invalid("Scale.autoscaling", name, vec![cause]));
        }
        set(&mut value, &paths.replicas, json!(replicas))?;
        Ok(value)
    })?;
    Ok(json(StatusCode::OK, &scale(&object.value(), &paths)))
}

fn paths(call: &Call<'_>) -> Option<Paths> {
    let scale = &call.resource.version(&call.info.version)?.scale;
    let pointer = |field: &str| Some(format!("/{}", scale[field].as_str()?.trim_start_matches('.').replace('.', "/")));
    if !scale.is_null() {
        return Some(Paths {
            replicas: pointer("specReplicasPath")?,
            status: pointer("statusReplicasPath")?,
            selector: pointer("labelSelectorPath").unwrap_or_default(),
        });
    }
    call.resource.subresources.iter().any(|s| s.name == "scale").then(|| Paths {
        replicas: "/spec/replicas".to_owned(),
        status: "/status/replicas".to_owned(),
        selector: "/spec/selector".to_owned(),
    })
}

fn scale(value: &Value, paths: &Paths) -> Value {
    let meta = &value["metadata"];
    let mut kept = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(found) = meta.get(field) {
            kept[field] = found.clone();
        }
    }
    let selector = match value.pointer(&paths.selector) {
        Some(Value::String(text)) => text.clone(),
        Some(object) if object.get("matchLabels").is_some() || object.get("matchExpressions").is_some() => {
            crate::selector::LabelSelector::from_object(object).map(|s| s.to_string()).unwrap_or_default()
        }
        Some(map) => crate::selector::LabelSelector::from_map(map).map(|s| s.to_string()).unwrap_or_default(),
        None => String::new(),
    };
    let count = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept,
        "spec": {"replicas": count(&paths.replicas)},
        "status": {"replicas": count(&paths.status), "selector": selector},
    })
}

/// Objects of a CRD can have anything on the way to their replicas.
fn set(value: &mut Value, pointer: &str, new: Value) -> Result<(), Failure> {
    let mut at = value;
    for part in pointer.split('/').skip(1) {
        if !(at.is_object() || at.is_null()) {
            return Err(Failure::internal(format!("{pointer} cannot be set: what {part:?} would be in is no object")));
        }
        at = &mut at[part];
    }
    *at = new;
    Ok(())
}
