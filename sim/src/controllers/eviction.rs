//! Deletes pods from nodes with a `NoExecute` taint that they do not tolerate, or not for so long. Source: `pkg/controller/tainteviction`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::fields::set_condition;
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::recorder::About;
use super::selector::{Taint, Toleration};
use crate::api::Delete;

enum Verdict {
    Stays,
    Goes,
    GoesAfter(i64),
}

fn verdict(taints: &[&Taint], tolerations: &[Toleration]) -> Verdict {
    let mut least: Option<i64> = None;
    for taint in taints {
        let mut tolerated = false;
        for toleration in tolerations.iter().filter(|t| t.tolerates(taint)) {
            tolerated = true;
            if let Some(seconds) = toleration.seconds {
                least = Some(least.map_or(seconds, |l| l.min(seconds)));
            }
        }
        if !tolerated {
            return Verdict::Goes;
        }
    }
    match least {
        None => Verdict::Stays,
        Some(seconds) if seconds <= 0 => Verdict::Goes,
        Some(seconds) => Verdict::GoesAfter(seconds),
    }
}

pub(super) fn reconcile(context: &mut Context, node: &str) -> Outcome {
    let Some(found) = context.scheduler.node(node) else { return Ok(None) };
    let taints: Vec<Taint> = found.taints().iter().filter(|t| *t.effect == *"NoExecute").cloned().collect();
    if taints.is_empty() {
        if !context.nodes.evictions.is_empty() {
            let back: Vec<Box<str>> = context.pods.on_node(node).map(|p| p.object.uid.clone()).collect();
            context.nodes.evictions.retain(|uid, _| !back.contains(uid));
        }
        return Ok(None);
    }
    let taints: Vec<&Taint> = taints.iter().collect();
    let now = context.now();
    let mut next: Option<Timestamp> = None;
    let pods: Vec<Arc<Pod>> = context.pods.on_node(node).filter(|p| !p.object.deleting && !p.ended()).cloned().collect();
    for pod in pods {
        let at = match verdict(&taints, &pod.demand.tolerations) {
            Verdict::Stays => {
                context.nodes.evictions.remove(&pod.object.uid);
                continue;
            }
            Verdict::Goes => now,
            Verdict::GoesAfter(seconds) => {
                crate::clock::seconds_later(*context.nodes.evictions.entry(pod.object.uid.clone()).or_insert(now), seconds)
            }
        };
        if at > now {
            next = Some(next.map_or(at, |n| n.min(at)));
            continue;
        }
        evict(context, &pod)?;
    }
    Ok(next)
}

fn evict(context: &mut Context, pod: &Pod) -> Outcome {
    let object = &pod.object;
    let about = About { api_version: "v1", kind: "Pod", object };
    let message = format!("Marking for deletion Pod {}/{}", object.namespace, object.name);
    context.recorder.event(&context.api, "taint-eviction-controller", &about, "Normal", "TaintManagerEviction", &message);
    let now = context.stamp();
    let marked = context.api.modify("pods", (&object.namespace, &object.name), |value| {
        let message = "Taint manager: deleting due to NoExecute taint";
        let new = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": message});
        set_condition(&mut value["status"], new, &now);
        true
    });
    // It can only be gone.
    drop(marked);
    let Some(resource) = context.api.resource("pods") else { return Ok(None) };
    let options = Delete { uid: Some(object.uid.to_string()), ..Delete::default() };
    match context.api.delete(&resource, (&object.namespace, &object.name), &options) {
        Err(failure) if failure.reason != "NotFound" => Err(failure),
        _ => Ok(None),
    }
}
