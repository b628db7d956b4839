//! Removes the objects of custom resources whose definition is going away. Source: apiextensions-apiserver `pkg/controller/finalizer`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{drop_finalizer, has_finalizer, set_condition, text};
use super::gc;
use super::kernel::{Context, Outcome};
use super::queue::Which;
use crate::api::Propagation;
use crate::store::{Change, Object};

const ID: &str = "customresourcedefinitions.apiextensions.k8s.io";
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

fn defined(crd: &Value) -> String {
    format!("{}.{}", text(&crd["spec"]["names"]["plural"]), text(&crd["spec"]["group"]))
}

pub(super) fn observe(context: &mut Context, change: Change, object: &Arc<Object>) {
    if !object.deleting && change != Change::Deleted {
        return;
    }
    let id = defined(&object.value());
    if change == Change::Deleted {
        context.dying.remove(&id);
    } else {
        context.dying.insert(id, object.name.clone());
        context.queue.add(Which::Crd, "", &object.name);
    }
}

pub(super) fn reconcile(context: &mut Context, name: &str) -> Outcome {
    let Some(crd) = context.api.read(ID, "", name) else { return Ok(None) };
    if !crd["metadata"]["deletionTimestamp"].is_string() || !has_finalizer(&crd, FINALIZER) {
        return Ok(None);
    }
    let id = defined(&crd);
    let ours = context.api.resource(&id).is_some_and(|r| r.custom);
    let present = || if ours { context.api.store().list(&id, "").1 } else { Vec::new() };
    for object in present().into_iter().filter(|o| !o.deleting) {
        gc::remove(&context.api, &id, &object, Propagation::Background)?;
    }
    let left = !present().is_empty();
    let now = context.stamp();
    context.api.modify(ID, ("", name), |value| {
        let condition = if left {
            let message = "CustomResource deletion is in progress";
            json!({"type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress", "message": message})
        } else {
            let message = "removed all instances";
            json!({"type": "Terminating", "status": "False", "reason": "InstanceDeletionCompleted", "message": message})
        };
        set_condition(&mut value["status"], condition, &now);
        if !left {
            drop_finalizer(value, FINALIZER);
        }
        true
    })?;
    Ok(None)
}
