//! What is refused before anything is made of it, whatever the kind.

use serde_json::Value;

use super::{Part, Write};
use crate::failure::{Cause, Failure};
use crate::kinds;

/// Kinds that are only replaced by whoever says which revision they replace, besides the custom ones. Source: `AllowUnconditionalUpdate` of
/// their strategies.
const GUARDED: [&str; 6] = [
    "apiservices.apiregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "leases.coordination.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "poddisruptionbudgets.policy",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
];

/// Refuses a body that is not for this resource or not for this path.
pub(super) fn check_body(write: &Write<'_>, value: &Value) -> Result<(), Failure> {
    if write.part == Part::Trusted {
        return Ok(());
    }
    if !value.is_object() {
        return Err(Failure::bad_request("the body of the request is not an object"));
    }
    let expected = write.resource.api_version(write.version);
    let (api_version, kind) = (value["apiVersion"].as_str().unwrap_or_default(), value["kind"].as_str().unwrap_or_default());
    if (!api_version.is_empty() && api_version != expected) || (!kind.is_empty() && kind != write.resource.kind) {
        let (has, wants) = if api_version == expected { (kind, write.resource.kind.as_str()) } else { (api_version, expected.as_str()) };
        let what = if api_version == expected { "kind" } else { "API version" };
        return Err(Failure::bad_request(format!("the {what} in the data ({has}) does not match the expected {what} ({wants})")));
    }
    let id = if write.resource.custom { String::new() } else { write.resource.id() };
    kinds::check_shape(&id, &write.resource.kind, write.version, value)?;
    let meta = &value["metadata"];
    let namespace = meta["namespace"].as_str().unwrap_or_default();
    if !namespace.is_empty() && namespace != write.namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(message));
    }
    let name = meta["name"].as_str().unwrap_or_default();
    if !write.name.is_empty() && !name.is_empty() && name != write.name {
        return Err(Failure::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", write.name)));
    }
    Ok(())
}

/// What is going away takes no new finalizers. Source: apimachinery `ValidateObjectMetaAccessorUpdate`.
pub(super) fn no_new_finalizers(write: &Write<'_>, old: &Value, new: &Value) -> Result<(), Failure> {
    let had = old["metadata"]["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let added: Vec<&str> =
        new["metadata"]["finalizers"].as_array().into_iter().flatten().filter(|f| !had.contains(f)).filter_map(Value::as_str).collect();
    if added.is_empty() {
        return Ok(());
    }
    let message =
        format!("Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{added:?}");
    let cause = Cause { reason: "FieldValueForbidden", message, field: "metadata.finalizers".into() };
    Err(Failure::invalid(&write.resource.group_kind(), write.name, vec![cause]))
}

/// Refuses an update without a revision where that is not allowed. Source: apiserver `pkg/registry/generic/registry/store.go`.
pub(super) fn check_revision(write: &Write<'_>, new: &Value) -> Result<(), Failure> {
    let guarded = write.resource.custom || GUARDED.contains(&write.resource.id().as_str());
    let named = new["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty());
    if write.part == Part::Trusted || !guarded || named {
        return Ok(());
    }
    let message = "Invalid value: 0x0: must be specified for an update".to_owned();
    let cause = Cause { reason: "FieldValueInvalid", message, field: "metadata.resourceVersion".into() };
    Err(Failure::invalid(&write.resource.group_kind(), write.name, vec![cause]))
}
