//! What a container needs before it can be created: the `ConfigMap`s and `Secret`s that its environment and volumes name.

use serde_json::Value;

use crate::api::Api;

fn missing(api: &Api, resource: &str, kind: &str, namespace: &str, name: &Value, key: Option<&str>) -> Option<String> {
    let name = name.as_str().unwrap_or_default();
    let Some(object) = api.store().get(resource, namespace, name) else { return Some(format!("{kind} {name:?} not found")) };
    let key = key?;
    let value = object.value();
    let has = value["data"].get(key).or_else(|| value["binaryData"].get(key)).is_some();
    // Source: kubelet `kubelet_pods.go`, `makeEnvironmentVariables`.
    let what = if kind == "secret" { "Secret" } else { "ConfigMap" };
    (!has).then(|| format!("couldn't find key {key} in {what} {namespace}/{name}"))
}

/// Why a container cannot be created (`CreateContainerConfigError`).
pub(super) fn environment(api: &Api, namespace: &str, container: &Value) -> Option<String> {
    for from in container["envFrom"].as_array().into_iter().flatten() {
        for (field, resource, kind) in [("configMapRef", "configmaps", "configmap"), ("secretRef", "secrets", "secret")] {
            let reference = &from[field];
            if reference.is_object() && reference["optional"] != true {
                let problem = missing(api, resource, kind, namespace, &reference["name"], None);
                if problem.is_some() {
                    return problem;
                }
            }
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        for (field, resource, kind) in [("configMapKeyRef", "configmaps", "configmap"), ("secretKeyRef", "secrets", "secret")] {
            let reference = &variable["valueFrom"][field];
            if reference.is_object() && reference["optional"] != true {
                let problem = missing(api, resource, kind, namespace, &reference["name"], reference["key"].as_str());
                if problem.is_some() {
                    return problem;
                }
            }
        }
    }
    None
}

/// Why a pod's volumes cannot be set up, one message for each (`FailedMount`).
pub(super) fn volumes(api: &Api, namespace: &str, spec: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let mut check = |source: &Value, resource: &str, kind: &str, field: &str| {
            if source.is_object()
                && source["optional"] != true
                && let Some(problem) = missing(api, resource, kind, namespace, &source[field], None)
            {
                let name = volume["name"].as_str().unwrap_or_default();
                problems.push(format!("MountVolume.SetUp failed for volume {name:?} : {problem}"));
            }
        };
        check(&volume["configMap"], "configmaps", "configmap", "name");
        check(&volume["secret"], "secrets", "secret", "secretName");
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            check(&source["configMap"], "configmaps", "configmap", "name");
            check(&source["secret"], "secrets", "secret", "name");
        }
    }
    problems
}
