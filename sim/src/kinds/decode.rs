//! What decoding into typed objects does to JSON: nulls go, and quantities are written canonically.

use serde_json::Value;

use super::access::{items_mut, text};
use super::quantity::canonical;
use crate::Failure;

/// Maps of strings, in which a null is the empty string.
const STRING_MAPS: [&str; 6] = ["labels", "annotations", "data", "stringData", "matchLabels", "nodeSelector"];

/// Drops nulls as a decoder does for every optional field.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// [`drop_nulls`] with the maps of strings in mind.
fn clean(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for name in STRING_MAPS {
                if let Some(Value::Object(strings)) = map.get_mut(name) {
                    strings.values_mut().filter(|v| v.is_null()).for_each(|v| *v = Value::String(String::new()));
                }
            }
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(clean);
        }
        Value::Array(list) => list.iter_mut().for_each(clean),
        _ => {}
    }
}

/// A map of quantities at a JSON pointer: texts and numbers become canonical texts.
fn quantities(value: &mut Value, path: &str) -> Result<(), &'static str> {
    let Some(Value::Object(map)) = value.pointer_mut(path) else { return Ok(()) };
    map.values_mut().try_for_each(one)
}

fn one(value: &mut Value) -> Result<(), &'static str> {
    let written = match &*value {
        Value::String(text) => {
            let written = canonical(text.trim())?;
            if written == *text {
                return Ok(());
            }
            written
        }
        Value::Number(number) => canonical(&number.to_string())?,
        _ => return Ok(()),
    };
    *value = Value::String(written);
    Ok(())
}

fn resources(value: Option<&mut Value>) -> Result<(), &'static str> {
    let Some(value) = value else { return Ok(()) };
    quantities(value, "/limits")?;
    quantities(value, "/requests")
}

fn pod_spec(spec: &mut Value) -> Result<(), &'static str> {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items_mut(spec, list) {
            resources(container.get_mut("resources"))?;
        }
    }
    resources(spec.get_mut("resources"))?;
    quantities(spec, "/overhead")?;
    for volume in items_mut(spec, "volumes") {
        if let Some(limit) = volume.pointer_mut("/emptyDir/sizeLimit") {
            one(limit)?;
        }
        resources(volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec/resources"))?;
    }
    Ok(())
}

fn all_quantities(resource: &str, value: &mut Value) -> Result<(), &'static str> {
    if let Some(path) = pod_spec_path(resource)
        && let Some(spec) = value.pointer_mut(path)
    {
        pod_spec(spec)?;
    }
    match resource {
        "statefulsets.apps" => {
            if let Some(spec) = value.get_mut("spec") {
                for claim in items_mut(spec, "volumeClaimTemplates") {
                    resources(claim.pointer_mut("/spec/resources"))?;
                }
            }
        }
        "persistentvolumeclaims" => {
            resources(value.pointer_mut("/spec/resources"))?;
            quantities(value, "/status/capacity")?;
        }
        "persistentvolumes" => quantities(value, "/spec/capacity")?,
        "resourcequotas" => {
            quantities(value, "/spec/hard")?;
            quantities(value, "/status/hard")?;
            quantities(value, "/status/used")?;
        }
        "limitranges" => {
            if let Some(spec) = value.get_mut("spec") {
                for limit in items_mut(spec, "limits") {
                    for field in ["/max", "/min", "/default", "/defaultRequest", "/maxLimitRequestRatio"] {
                        quantities(limit, field)?;
                    }
                }
            }
        }
        "nodes" => {
            quantities(value, "/status/capacity")?;
            quantities(value, "/status/allocatable")?;
        }
        _ => {}
    }
    Ok(())
}

/// The groups of built-in kinds. Objects of others have no types to decode into, and their nulls are up to their schema.
const GROUPS: [&str; 20] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Where a kind has a pod's spec.
pub(super) fn pod_spec_path(resource: &str) -> Option<&'static str> {
    match resource {
        "pods" => Some("/spec"),
        "podtemplates" => Some("/template/spec"),
        "cronjobs.batch" => Some("/spec/jobTemplate/spec/template/spec"),
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" | "statefulsets.apps" | "jobs.batch" | "replicationcontrollers" => {
            Some("/spec/template/spec")
        }
        _ => None,
    }
}

/// Does to a built-in object what decoding and encoding it would.
pub(super) fn normalize(resource: &str, value: &mut Value) -> Result<(), Failure> {
    if !GROUPS.contains(&resource.split_once('.').map_or("", |(_, group)| group)) {
        return Ok(());
    }
    match resource {
        // Free-form JSON, in which a null can mean something.
        "controllerrevisions.apps" => return Ok(()),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            if let Some(Value::Object(map)) = value.get_mut("spec") {
                map.retain(|_, v| !v.is_null());
            }
        }
        _ => {
            // A status has no maps of strings that people write.
            if let Some(status) = value.get_mut("status") {
                drop_nulls(status);
            }
            clean(value);
        }
    }
    all_quantities(resource, value).map_err(|why| {
        let api_version = text(value, "apiVersion");
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let kind = text(value, "kind");
        Failure::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
    })
}
