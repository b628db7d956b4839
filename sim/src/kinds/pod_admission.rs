//! The admission plugins that change new pods: `ServiceAccount`, `DefaultTolerationSeconds` and `Priority` (`plugin/pkg/admission`).

use serde_json::{Value, json};

use super::World;
use super::access::{default, items, items_mut, object, push, put, set, text};
use super::pods::{is_mirror, mirror_service_account};
use crate::Failure;

/// Where the token is mounted.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How names of token volumes begin.
const VOLUME: &str = "kube-api-access-";

fn refuse(pod: &Value, why: &str) -> Failure {
    let name = text(&pod["metadata"], "name");
    Failure::forbidden("pods", name, format!("pods \"{name}\" is forbidden: {why}"))
}

/// `ServiceAccount`: the account must exist, and its token is mounted into every container.
pub(super) fn service_account(pod: &mut Value, world: &dyn World) -> Result<(), Failure> {
    if is_mirror(pod) {
        if !text(&pod["spec"], "serviceAccountName").is_empty() {
            return Err(refuse(pod, "a mirror pod may not reference service accounts"));
        }
        return Ok(());
    }
    let Some(spec) = object(pod, "spec") else { return Ok(()) };
    if text(spec, "serviceAccountName").is_empty() {
        put(spec, "serviceAccountName", "default");
    }
    mirror_service_account(spec);
    let namespace = text(&pod["metadata"], "namespace");
    let name = text(&pod["spec"], "serviceAccountName");
    let Some(account) = world.object("serviceaccounts", namespace, name) else {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        return Err(refuse(pod, &why));
    };
    let Some(spec) = object(pod, "spec") else { return Ok(()) };
    let automount = |v: &Value| v.get("automountServiceAccountToken").and_then(Value::as_bool);
    if automount(spec).or_else(|| automount(&account)).unwrap_or(true) {
        mount_token(spec, world);
    }
    if items(spec, "imagePullSecrets").is_empty() && !items(&account, "imagePullSecrets").is_empty() {
        let secrets: Vec<Value> = items(&account, "imagePullSecrets").iter().map(|s| json!({"name": text(s, "name")})).collect();
        put(spec, "imagePullSecrets", secrets);
    }
    Ok(())
}

fn mount_token(spec: &mut Value, world: &dyn World) {
    let existing = items(spec, "volumes").iter().map(|v| text(v, "name")).find(|n| n.starts_with(VOLUME)).map(str::to_owned);
    let present = existing.is_some();
    let name = existing.unwrap_or_else(|| format!("{VOLUME}{}", world.suffix()));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        for container in items_mut(spec, list) {
            if !items(container, "volumeMounts").iter().any(|m| text(m, "mountPath") == MOUNT) {
                push(container, "volumeMounts", json!({"name": name, "readOnly": true, "mountPath": MOUNT}));
                needed = true;
            }
        }
    }
    if needed && !present {
        let source = json!({
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ],
        });
        push(spec, "volumes", json!({"name": name, "projected": source}));
    }
}

/// `DefaultTolerationSeconds`: pods stay for five minutes on nodes that are not ready or not reachable.
pub(super) fn tolerations(pod: &mut Value) {
    let Some(spec) = object(pod, "spec") else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = items(spec, "tolerations").iter().any(|t| {
            let (own, effect) = (text(t, "key"), text(t, "effect"));
            (own.is_empty() || own == key) && (effect.is_empty() || effect == "NoExecute")
        });
        if !tolerated {
            push(spec, "tolerations", json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// `Priority`: the number and the preemption policy of the pod's class.
pub(super) fn priority(pod: &mut Value, world: &dyn World) -> Result<(), Failure> {
    let class = text(&pod["spec"], "priorityClassName").to_owned();
    let (name, value, policy) = if class.is_empty() {
        match world.default_priority_class() {
            Some(class) => (text(&class["metadata"], "name").to_owned(), class["value"].as_i64().unwrap_or_default(), policy_of(&class)),
            None => (String::new(), 0, "PreemptLowerPriority".to_owned()),
        }
    } else {
        match world.object("priorityclasses.scheduling.k8s.io", "", &class) {
            Some(found) => (class, found["value"].as_i64().unwrap_or_default(), policy_of(&found)),
            None => match builtin(&class) {
                Some(value) => (class, value, "PreemptLowerPriority".to_owned()),
                None => return Err(refuse(pod, &format!("no PriorityClass with name {class} was found"))),
            },
        }
    };
    let given = pod["spec"].get("priority").and_then(Value::as_i64);
    if let Some(given) = given.filter(|g| *g != value) {
        return Err(refuse(
            pod,
            &format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
            ),
        ));
    }
    let given = text(&pod["spec"], "preemptionPolicy");
    if !given.is_empty() && given != policy {
        return Err(refuse(
            pod,
            &format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            ),
        ));
    }
    let Some(spec) = object(pod, "spec") else { return Ok(()) };
    if !name.is_empty() {
        put(spec, "priorityClassName", name);
    }
    put(spec, "priority", value);
    put(spec, "preemptionPolicy", policy);
    Ok(())
}

fn policy_of(class: &Value) -> String {
    match text(class, "preemptionPolicy") {
        "" => "PreemptLowerPriority".to_owned(),
        policy => policy.to_owned(),
    }
}

/// The classes that every cluster has.
fn builtin(class: &str) -> Option<i64> {
    match class {
        "system-node-critical" => Some(2_000_001_000),
        "system-cluster-critical" => Some(2_000_000_000),
        _ => None,
    }
}

/// What an update of a pod gets: tolerations, and the priority that it has.
pub(super) fn update(old: &Value, new: &mut Value) {
    tolerations(new);
    let Some(spec) = object(new, "spec") else { return };
    for field in ["priority", "preemptionPolicy"] {
        if let Some(kept) = old["spec"].get(field).filter(|v| !v.is_null())
            && !set(spec, field)
        {
            put(spec, field, kept.clone());
        }
    }
    default(spec, "enableServiceLinks", true);
}
