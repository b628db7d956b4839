//! Keeps as many pods as a `ReplicaSet` wants. Source: `pkg/controller/replicaset`, `pkg/controller/controller_utils.go`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{condition, controller_ref, drop_condition, items, set_condition};
use super::kernel::{Context, Outcome};
use super::pods::{Phase, Pod};
use super::recorder::About;
use super::selector::Selector;
use super::template;
use crate::api::Delete;
use crate::failure::Failure;
use crate::store::Object;

const ID: &str = "replicasets.apps";
const SOURCE: &str = "replicaset-controller";
/// So many pods are made or deleted in one go (upstream: 500), so that the other controllers have their turn.
const BURST: usize = 100;

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(object) = context.api.store().get(ID, namespace, name) else { return Ok(None) };
    let set = object.value();
    let selector = Selector::read(&set["spec"]["selector"]);
    if !object.deleting {
        adopt(context, &object, &selector, "apps/v1", "ReplicaSet")?;
    }
    release(context, &object, &selector)?;
    let pods: Vec<Arc<Pod>> = context.pods.owned(&object.uid).filter(|p| p.active()).cloned().collect();
    let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    let mut failed = None;
    let mut more = false;
    if !object.deleting {
        if pods.len() < wanted {
            let missing = wanted - pods.len();
            more = missing > BURST;
            failed = create(context, &object, &set, missing.min(BURST)).err();
        } else if pods.len() > wanted {
            let surplus = pods.len() - wanted;
            more = surplus > BURST;
            remove(context, &object, &pods, surplus.min(BURST))?;
        }
    }
    if more && failed.is_none() {
        // The status is written once, after the last of them.
        context.queue.add(super::queue::Which::ReplicaSet, namespace, name);
        return Ok(None);
    }
    let again = status(context, &object, &set, failed.as_ref().map(|f| (f, wanted > pods.len())))?;
    match failed {
        Some(failure) => Err(failure),
        None => Ok(again),
    }
}

/// Takes pods that match and have no controller. Source: `pkg/controller/controller_ref_manager.go`.
pub(super) fn adopt(context: &Context, owner: &Object, selector: &Selector, api_version: &str, kind: &str) -> Result<(), Failure> {
    if selector.is_empty() {
        return Ok(());
    }
    let matching = |p: &&Arc<Pod>| p.active() && selector.matches(&p.object.labels);
    for pod in context.pods.orphans(&owner.namespace).filter(matching) {
        let reference = controller_ref(api_version, kind, owner);
        context.api.modify("pods", (&pod.object.namespace, &pod.object.name), |value| {
            let mut owners: Vec<Value> = items(&value["metadata"]["ownerReferences"]).to_vec();
            if owners.iter().any(|o| o["controller"] == true) {
                return false;
            }
            owners.push(reference.clone());
            value["metadata"]["ownerReferences"] = json!(owners);
            true
        })?;
    }
    Ok(())
}

/// Lets go of pods that do not match any more.
pub(super) fn release(context: &Context, owner: &Object, selector: &Selector) -> Result<(), Failure> {
    for pod in context.pods.owned(&owner.uid).filter(|p| !p.object.deleting && !selector.matches(&p.object.labels)) {
        context.api.modify("pods", (&pod.object.namespace, &pod.object.name), |value| {
            let owners: Vec<Value> =
                items(&value["metadata"]["ownerReferences"]).iter().filter(|o| o["uid"] != *owner.uid).cloned().collect();
            value["metadata"]["ownerReferences"] = json!(owners);
            true
        })?;
    }
    Ok(())
}

fn create(context: &mut Context, object: &Object, set: &Value, count: usize) -> Result<(), Failure> {
    let mut pod = template::pod(&set["spec"]["template"], &controller_ref("apps/v1", "ReplicaSet", object));
    pod["metadata"]["generateName"] = json!(template::prefix(&object.name));
    for _ in 0..count {
        make_pod(context, SOURCE, &About { api_version: "apps/v1", kind: "ReplicaSet", object }, pod.clone())?;
    }
    Ok(())
}

/// Makes a pod and says so in an event, or that it could not. Source: `RealPodControl.createPods`.
pub(super) fn make_pod(context: &mut Context, source: &'static str, about: &About<'_>, pod: Value) -> Result<Arc<Object>, Failure> {
    let made = context.api.make("pods", &about.object.namespace, pod);
    match &made {
        Ok(pod) => {
            let message = format!("Created pod: {}", pod.name);
            context.recorder.event(&context.api, source, about, "Normal", "SuccessfulCreate", &message);
        }
        Err(failure) if failure.causes.iter().any(|c| c.reason == "NamespaceTerminating") => {}
        Err(failure) => {
            let message = format!("Error creating: {failure}");
            context.recorder.event(&context.api, source, about, "Warning", "FailedCreate", &message);
        }
    }
    made
}

/// Deletes a pod and says so in an event; one that is gone is no failure.
pub(super) fn delete_pod(context: &mut Context, source: &'static str, about: &About<'_>, pod: &Object) -> Result<(), Failure> {
    let Some(resource) = context.api.resource("pods") else { return Ok(()) };
    let options = Delete { uid: Some(pod.uid.to_string()), ..Delete::default() };
    match context.api.delete(&resource, (&pod.namespace, &pod.name), &options) {
        Ok(_) => {
            let message = format!("Deleted pod: {}", pod.name);
            context.recorder.event(&context.api, source, about, "Normal", "SuccessfulDelete", &message);
            Ok(())
        }
        Err(failure) if failure.reason == "NotFound" => Ok(()),
        Err(failure) => {
            let message = format!("Error deleting: {failure}");
            context.recorder.event(&context.api, source, about, "Warning", "FailedDelete", &message);
            Err(failure)
        }
    }
}

fn remove(context: &mut Context, object: &Object, pods: &[Arc<Pod>], count: usize) -> Result<(), Failure> {
    let now = context.now();
    for pod in victims(pods, count, now) {
        delete_pod(context, SOURCE, &About { api_version: "apps/v1", kind: "ReplicaSet", object }, &pod.object)?;
    }
    Ok(())
}

/// Which pods go first. Source: `ActivePodsWithRanks`.
fn victims(pods: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut together: HashMap<&str, usize> = HashMap::new();
    for pod in pods {
        *together.entry(&pod.node).or_default() += 1;
    }
    // Times count in powers of two of their age, so that among pods of about one age chance decides: here the UID does.
    let age = |at: Timestamp| now.duration_since(at).as_secs().max(0).checked_ilog2().map_or(0, |l| l + 1);
    let rank = |pod: &Arc<Pod>| {
        let phase = match pod.phase {
            Phase::Pending => 0,
            Phase::Unknown => 1,
            _ => 2,
        };
        (
            !pod.node.is_empty(),
            phase,
            pod.ready,
            pod.deletion_cost,
            Reverse(if pod.node.is_empty() { 0 } else { together[&*pod.node] }),
            pod.ready_since.map_or(0, age),
            Reverse(pod.restarts),
            age(pod.created),
            pod.object.uid.clone(),
        )
    };
    let mut sorted: Vec<Arc<Pod>> = pods.to_vec();
    sorted.sort_by_cached_key(rank);
    sorted.truncate(count);
    sorted
}

/// Source: `replica_set_utils.go` `calculateStatus`.
fn status(context: &Context, object: &Object, set: &Value, failure: Option<(&Failure, bool)>) -> Outcome {
    let now = context.now();
    let seconds = set["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let labels = Selector::map(&set["spec"]["template"]["metadata"]["labels"]);
    let (mut replicas, mut labelled, mut ready, mut available) = (0, 0, 0, 0);
    let mut again: Option<Timestamp> = None;
    for pod in context.pods.owned(&object.uid).filter(|p| p.active()) {
        replicas += 1;
        labelled += i64::from(labels.matches(&pod.object.labels));
        ready += i64::from(pod.ready);
        match pod.available(seconds, now) {
            Ok(yes) => available += i64::from(yes),
            Err(at) => again = Some(again.map_or(at, |a| a.min(at))),
        }
    }
    let mut status = set["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["replicas"] = json!(replicas);
    for (field, count) in [("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)] {
        if count > 0 {
            status[field] = json!(count);
        } else {
            status.as_object_mut().map(|s| s.remove(field));
        }
    }
    status["observedGeneration"] = set["metadata"]["generation"].clone();
    match failure {
        Some((failure, creating)) if condition(&status, "ReplicaFailure").is_none() => {
            let reason = if creating { "FailedCreate" } else { "FailedDelete" };
            let new = json!({"type": "ReplicaFailure", "status": "True", "reason": reason, "message": failure.to_string()});
            set_condition(&mut status, new, &context.stamp());
        }
        None => drop_condition(&mut status, "ReplicaFailure"),
        Some(_) => {}
    }
    if status != set["status"] {
        context.api.modify(ID, (&object.namespace, &object.name), |value| {
            // Counted for this one; another of the name gets its own count.
            let same = value["metadata"]["uid"] == *object.uid;
            if same {
                value["status"] = status.clone();
            }
            same
        })?;
    }
    Ok(again)
}
