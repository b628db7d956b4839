//! Empties namespaces that are going away. Source: `pkg/controller/namespace/deletion`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::{items, set_condition, text};
use super::gc;
use super::kernel::{Context, Outcome};
use crate::api::Propagation;

pub(super) fn reconcile(context: &mut Context, name: &str) -> Outcome {
    let Some(object) = context.api.store().get("namespaces", "", name).filter(|o| o.deleting) else { return Ok(None) };
    let registry = context.api.registry();
    let mut remaining: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    let mut failure = None;
    for resource in registry.all().iter().filter(|r| r.namespaced && r.verbs.contains(&"list")) {
        let id = resource.id();
        let store = context.api.store();
        for found in store.list(&id, name).1 {
            // What is marked already waits for its kubelet or its finalizers.
            if !found.deleting
                && let Err(refused) = gc::remove(&context.api, &id, &found, Propagation::Background)
            {
                failure = Some(refused);
            }
        }
        let left = store.list(&id, name).1;
        if !left.is_empty() {
            let kind = if resource.group.is_empty() { format!("{}.", resource.plural) } else { id.clone() };
            remaining.insert(kind, left.len());
        }
        for object in left {
            for finalizer in items(&object.value()["metadata"]["finalizers"]) {
                *finalizers.entry(text(finalizer).to_owned()).or_default() += 1;
            }
        }
    }
    let empty = remaining.is_empty();
    let now = context.stamp();
    context.api.modify("namespaces", ("", name), |value| {
        if value["metadata"]["uid"] != *object.uid {
            return false;
        }
        for condition in conditions(&remaining, &finalizers) {
            set_condition(&mut value["status"], condition, &now);
        }
        if empty && let Some(all) = value["spec"]["finalizers"].as_array_mut() {
            all.retain(|f| f != "kubernetes");
        }
        true
    })?;
    failure.map_or(Ok(None), Err)
}

fn conditions(remaining: &BTreeMap<String, usize>, finalizers: &BTreeMap<String, usize>) -> Vec<Value> {
    let condition = |kind: &str, holds: bool, reason: &str, message: String| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": reason, "message": message})
    };
    let list = |all: &BTreeMap<String, usize>, what: &str| {
        all.iter().map(|(k, n)| format!("{k} {what} {n} resource instances")).collect::<Vec<_>>().join(", ")
    };
    let content = if remaining.is_empty() {
        condition("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        let message = format!("Some resources are remaining: {}", list(remaining, "has"));
        condition("NamespaceContentRemaining", true, "SomeResourcesRemain", message)
    };
    let held = if finalizers.is_empty() {
        let message = "All content-preserving finalizers finished".to_owned();
        condition("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message)
    } else {
        let message = format!("Some content in the namespace has finalizers remaining: {}", list(finalizers, "in"));
        condition("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
    };
    let fine = |kind: &str, reason: &str, message: &str| condition(kind, false, reason, message.to_owned());
    vec![
        fine("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        fine("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        fine("NamespaceDeletionContentFailure", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        content,
        held,
    ]
}
