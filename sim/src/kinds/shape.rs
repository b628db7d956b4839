//! What of an object must be a map, a list or a text for it to be decoded at all. The real API server decodes into Go types and refuses what
//! does not fit; here only those fields are looked at that others write into or that everything hangs on.

use serde_json::Value;

use super::decode::pod_spec_path;
use crate::Failure;

/// What a field must be, if it is there.
#[derive(Clone, Copy)]
enum Must {
    Object,
    Objects,
    Text,
    Texts,
    TextMap,
    Int32,
    Int64,
}
use Must::{Int32, Int64, Object, Objects, Text, TextMap, Texts};

impl Must {
    /// The Go type, as far as it has one name for all fields.
    fn go(self) -> &'static str {
        match self {
            Object => "struct",
            Objects => "[]struct",
            Text => "string",
            Texts => "[]string",
            TextMap => "map[string]string",
            Int32 => "int32",
            Int64 => "int64",
        }
    }

    /// The value that does not fit, if there is one: the field itself or something in it.
    fn misfit(self, value: &Value) -> Option<&Value> {
        let text = |v: &&Value| !(v.is_string() || v.is_null());
        let object = |v: &&Value| !(v.is_object() || v.is_null());
        match self {
            Object => Some(value).filter(object),
            Text => Some(value).filter(text),
            Objects => value.as_array().map_or(Some(value), |list| list.iter().find(object)),
            Texts => value.as_array().map_or(Some(value), |list| list.iter().find(text)),
            TextMap => value.as_object().map_or(Some(value), |map| map.values().find(text)),
            Int32 => Some(value).filter(|v| v.as_i64().is_none_or(|n| i32::try_from(n).is_err())),
            Int64 => Some(value).filter(|v| v.as_i64().is_none()),
        }
    }
}

type Fields = &'static [(&'static str, Must)];

/// Metadata, also of custom objects and of templates.
const META: Fields = &[
    ("name", Text),
    ("namespace", Text),
    ("generateName", Text),
    ("uid", Text),
    ("resourceVersion", Text),
    ("creationTimestamp", Text),
    ("deletionTimestamp", Text),
    ("labels", TextMap),
    ("annotations", TextMap),
    ("finalizers", Texts),
    ("ownerReferences", Objects),
    ("managedFields", Objects),
];

/// Fields that are of one type in every built-in kind that has them.
const BUILTIN: Fields = &[
    ("spec", Object),
    ("status", Object),
    ("roleRef", Object),
    ("aggregationRule", Object),
    ("rules", Objects),
    ("subjects", Objects),
    ("spec.replicas", Int32),
    ("spec.minReadySeconds", Int32),
    ("spec.progressDeadlineSeconds", Int32),
    ("spec.parallelism", Int32),
    ("spec.completions", Int32),
    ("spec.backoffLimit", Int32),
    ("spec.ttlSecondsAfterFinished", Int32),
    ("spec.activeDeadlineSeconds", Int64),
    ("spec.selector", Object),
    ("spec.selector.matchLabels", TextMap),
    ("spec.selector.matchExpressions", Objects),
    ("spec.strategy", Object),
    ("spec.updateStrategy", Object),
    ("spec.template", Object),
    ("spec.template.metadata", Object),
    ("spec.template.spec", Object),
    ("spec.volumeClaimTemplates", Objects),
    ("spec.ports", Objects),
    ("spec.taints", Objects),
    ("spec.finalizers", Texts),
    ("spec.names", Object),
    ("spec.versions", Objects),
    ("status.conditions", Objects),
    ("status.addresses", Objects),
    ("status.images", Objects),
    ("status.capacity", Object),
    ("status.allocatable", Object),
    ("status.nodeInfo", Object),
    ("status.phase", Text),
    ("status.containerStatuses", Objects),
    ("status.initContainerStatuses", Objects),
    ("status.acceptedNames", Object),
    ("status.storedVersions", Texts),
];

const POD: Fields = &[
    ("containers", Objects),
    ("initContainers", Objects),
    ("ephemeralContainers", Objects),
    ("volumes", Objects),
    ("tolerations", Objects),
    ("imagePullSecrets", Objects),
    ("nodeSelector", TextMap),
    ("securityContext", Object),
    ("affinity", Object),
    ("nodeName", Text),
    ("serviceAccountName", Text),
    ("schedulerName", Text),
    ("priorityClassName", Text),
    ("restartPolicy", Text),
    ("hostname", Text),
    ("terminationGracePeriodSeconds", Int64),
    ("activeDeadlineSeconds", Int64),
];

const CONTAINER: Fields = &[
    ("name", Text),
    ("image", Text),
    ("command", Texts),
    ("args", Texts),
    ("env", Objects),
    ("envFrom", Objects),
    ("ports", Objects),
    ("volumeMounts", Objects),
    ("resources", Object),
    ("resources.limits", Object),
    ("resources.requests", Object),
    ("startupProbe", Object),
    ("readinessProbe", Object),
    ("livenessProbe", Object),
    ("lifecycle", Object),
    ("securityContext", Object),
];

/// Refuses an object that is not shaped like one of its kind; `resource` is empty for custom ones, whose schema says the rest.
///
/// # Errors
/// 400, in the words of Go's decoder as far as they can be known.
pub fn check_shape(resource: &str, kind: &str, version: &str, value: &Value) -> Result<(), Failure> {
    wrong(resource, value).map_or(Ok(()), |(path, must, found)| {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let why = format!("json: cannot unmarshal {found} into Go struct field {kind}.{path} of type {}", must.go());
        Err(Failure::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}")))
    })
}

fn wrong<'a>(resource: &str, value: &'a Value) -> Option<(String, Must, &'a Value)> {
    if let Some(found) = first(value, "", &[("metadata", Object)]).or_else(|| first(&value["metadata"], "metadata.", META)) {
        return Some(found);
    }
    if resource.is_empty() {
        return None;
    }
    if matches!(resource, "secrets" | "configmaps") {
        let found = first(value, "", &[("data", TextMap), ("stringData", TextMap), ("binaryData", TextMap)]);
        return found.filter(|(path, ..)| path != "stringData" || resource == "secrets");
    }
    if let Some(found) =
        first(value, "", BUILTIN).or_else(|| first(&value["spec"]["template"]["metadata"], "spec.template.metadata.", META))
    {
        return Some(found);
    }
    let path = pod_spec_path(resource)?;
    let spec = value.pointer(path)?;
    let dotted = format!("{}.", path.trim_start_matches('/').replace('/', "."));
    let object = Some(spec).filter(|s| !(s.is_object() || s.is_null())).map(|s| (dotted.trim_end_matches('.').to_owned(), Object, s));
    object.or_else(|| first(spec, &dotted, POD)).or_else(|| {
        ["containers", "initContainers", "ephemeralContainers"].into_iter().find_map(|list| {
            spec[list].as_array().into_iter().flatten().find_map(|container| first(container, &format!("{dotted}{list}."), CONTAINER))
        })
    })
}

/// The first field that is not what it must be. Shorter paths come before longer ones, so what is looked into is an object.
fn first<'a>(value: &'a Value, before: &str, fields: Fields) -> Option<(String, Must, &'a Value)> {
    fields.iter().find_map(|(path, must)| {
        let found = path.split('.').try_fold(value, |at, part| at.get(part)).filter(|v| !v.is_null())?;
        Some((format!("{before}{path}"), *must, must.misfit(found)?))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("pods", json!({"metadata": []}), "metadata")]
    #[case("", json!({"metadata": {"labels": {"a": 1}}, "spec": "free"}), "metadata.labels")]
    #[case("pods", json!({"metadata": {"ownerReferences": ["x"]}}), "metadata.ownerReferences")]
    #[case("deployments.apps", json!({"spec": "x"}), "spec")]
    #[case("deployments.apps", json!({"spec": {"replicas": "3"}}), "spec.replicas")]
    #[case("deployments.apps", json!({"spec": {"replicas": 3_000_000_000_i64}}), "spec.replicas")]
    #[case("deployments.apps", json!({"spec": {"template": {"metadata": {"annotations": []}}}}), "spec.template.metadata.annotations")]
    #[case("cronjobs.batch", json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": 1}}}}}), "spec.jobTemplate.spec.template.spec")]
    #[case("pods", json!({"spec": {"containers": [{"name": "c", "env": {}}]}}), "spec.containers.env")]
    #[case("pods", json!({"status": []}), "status")]
    #[case("configmaps", json!({"data": {"a": 1}}), "data")]
    fn what_does_not_fit_is_named(#[case] resource: &str, #[case] value: Value, #[case] path: &str) {
        let failure = check_shape(resource, "K", "v1", &value).unwrap_err();
        assert_eq!(failure.code, 400);
        assert!(failure.message.contains(&format!("Go struct field K.{path} of type")), "{}", failure.message);
    }

    #[rstest]
    #[case("", json!({"metadata": {"labels": null}, "spec": "free", "status": 1}))]
    #[case("controllerrevisions.apps", json!({"data": "anything"}))]
    #[case("pods", json!({"metadata": {"labels": {"a": null}}, "spec": {"containers": [{"name": "c", "resources": null}], "volumes": null}}))]
    #[case("services", json!({"spec": {"selector": {"a": "b"}, "ports": []}}))]
    fn what_fits_and_what_is_absent_passes(#[case] resource: &str, #[case] value: Value) {
        assert_eq!(check_shape(resource, "K", "v1", &value), Ok(()));
    }
}
