//! The status of disruption budgets. Source: `pkg/controller/disruption`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{controller_of, scaled, set_condition, text};
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::selector::Selector;

const ID: &str = "poddisruptionbudgets.policy";

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(budget) = context.api.read(ID, namespace, name) else { return Ok(None) };
    let given = &budget["spec"]["selector"];
    let selector = Selector::read(given);
    let pods: Vec<Arc<Pod>> =
        context.pods.within(namespace).filter(|p| !given.is_null() && !p.ended() && selector.matches(&p.object.labels)).cloned().collect();
    let (least, most) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
    let count = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let (expected, desired) = if !most.is_null() {
        let expected = expected(context, namespace, &pods);
        (expected, (expected - scaled(most, expected, true)).max(0))
    } else if least.is_string() {
        let expected = expected(context, namespace, &pods);
        (expected, scaled(least, expected, true))
    } else {
        (count, least.as_i64().unwrap_or(0))
    };
    let healthy = i64::try_from(pods.iter().filter(|p| p.ready && !p.object.deleting).count()).unwrap_or(0);
    let allowed = if expected == 0 { 0 } else { (healthy - desired).max(0) };
    let mut status = budget["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    for (field, value) in
        [("currentHealthy", healthy), ("desiredHealthy", desired), ("expectedPods", expected), ("disruptionsAllowed", allowed)]
    {
        status[field] = json!(value);
    }
    status["observedGeneration"] = budget["metadata"]["generation"].clone();
    let (holds, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let new = json!({
        "type": "DisruptionAllowed", "status": holds, "reason": reason, "message": "",
        "observedGeneration": budget["metadata"]["generation"],
    });
    set_condition(&mut status, new, &context.stamp());
    if status != budget["status"] {
        context.api.modify(ID, (namespace, name), |value| {
            value["status"] = status.clone();
            true
        })?;
    }
    Ok(None)
}

/// How many pods the controllers of these pods want.
fn expected(context: &Context, namespace: &str, pods: &[Arc<Pod>]) -> i64 {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut total = 0;
    for pod in pods {
        let Some(owner) = &pod.owner else { continue };
        let mut at = (owner.kind.to_string(), owner.name.to_string());
        if at.0 == "ReplicaSet"
            && let Some(set) = context.api.read("replicasets.apps", namespace, &at.1)
            && let Some(deployment) = controller_of(&set)
        {
            at = ("Deployment".to_owned(), text(&deployment["name"]).to_owned());
        }
        if !seen.insert(at.clone()) {
            continue;
        }
        let resource = match at.0.as_str() {
            "Deployment" => "deployments.apps",
            "StatefulSet" => "statefulsets.apps",
            "ReplicaSet" => "replicasets.apps",
            _ => continue,
        };
        let found: Value = context.api.read(resource, namespace, &at.1).unwrap_or_default();
        total += found["spec"]["replicas"].as_i64().unwrap_or(1);
    }
    total
}
