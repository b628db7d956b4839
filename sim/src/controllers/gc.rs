//! Collects what is owned by nothing any more. Source: `pkg/controller/garbagecollector`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{drop_finalizer, has_finalizer, items, text};
use super::kernel::{Context, Outcome};
use super::queue::Which;
use super::recorder::About;
use crate::api::{Api, Delete, Propagation};
use crate::failure::Failure;
use crate::store::{Change, Object};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

struct Live {
    resource: Arc<str>,
    object: Arc<Object>,
}

/// Who owns whom.
#[derive(Default)]
pub(super) struct Graph {
    live: HashMap<Box<str>, Live>,
    /// Dependants by the UID of their owner, present or not.
    dependants: HashMap<Box<str>, HashSet<Box<str>>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Arc<Object>> {
        self.live.get(uid).map(|l| &l.object)
    }

    /// What is known of a resource but not present any more.
    pub(super) fn missing(&self, resource: &str, present: &HashSet<&str>) -> Vec<Arc<Object>> {
        let of = self.live.iter().filter(|(uid, live)| *live.resource == *resource && !present.contains(&***uid));
        of.map(|(_, live)| Arc::clone(&live.object)).collect()
    }

    fn of(&self, owner: &str) -> Vec<Box<str>> {
        self.dependants.get(owner).into_iter().flatten().cloned().collect()
    }
}

pub(super) fn observe(context: &mut Context, resource: &Arc<str>, change: Change, object: &Arc<Object>) {
    let Context { graph, queue, .. } = context;
    let uid = &object.uid;
    if change == Change::Deleted {
        let last = graph.live.remove(uid);
        for owner in last.iter().flat_map(|l| &*l.object.owners).chain(&*object.owners) {
            if let Some(of) = graph.dependants.get_mut(owner) {
                of.remove(uid);
                if of.is_empty() {
                    graph.dependants.remove(owner);
                }
            }
            // It may have waited for this one.
            if graph.live.get(owner).is_some_and(|l| l.object.deleting) {
                queue.add(Which::Gc, "", owner);
            }
        }
        for dependant in graph.of(uid) {
            queue.add(Which::Gc, "", &dependant);
        }
        return;
    }
    let before = graph.live.insert(uid.clone(), Live { resource: Arc::clone(resource), object: Arc::clone(object) });
    let changed = before.as_ref().is_none_or(|b| b.object.owners != object.owners);
    if changed {
        for owner in before.iter().flat_map(|b| &*b.object.owners).filter(|o| !object.owners.contains(o)) {
            if let Some(of) = graph.dependants.get_mut(owner) {
                of.remove(uid);
            }
            if graph.live.get(owner).is_some_and(|l| l.object.deleting) {
                queue.add(Which::Gc, "", owner);
            }
        }
        for owner in &object.owners {
            graph.dependants.entry(owner.clone()).or_default().insert(uid.clone());
            let sound = graph
                .live
                .get(owner)
                .is_some_and(|l| !l.object.deleting && (l.object.namespace.is_empty() || l.object.namespace == object.namespace));
            if !sound {
                queue.add(Which::Gc, "", uid);
            }
        }
    }
    if object.deleting && before.is_none_or(|b| !b.object.deleting) {
        queue.add(Which::Gc, "", uid);
        for dependant in graph.of(uid) {
            queue.add(Which::Gc, "", &dependant);
        }
    }
}

/// What an owner of an object is to it.
enum Standing {
    /// It is there, or nobody can say that it is not.
    Solid,
    /// It is gone.
    Dangling,
    /// It waits for its dependants to go first.
    Waiting,
}

pub(super) fn reconcile(context: &mut Context, uid: &str) -> Outcome {
    let Some(live) = context.graph.live.get(uid) else { return Ok(None) };
    let (resource, object) = (Arc::clone(&live.resource), Arc::clone(&live.object));
    let value = object.value();
    if object.deleting {
        return deleting(context, &resource, &object, &value).map(|()| None);
    }
    let owners = items(&value["metadata"]["ownerReferences"]);
    let mut solid = false;
    let mut waiting = false;
    let mut lost: Vec<&Value> = Vec::new();
    for owner in owners {
        match standing(context, &object, owner) {
            Standing::Solid => solid = true,
            Standing::Dangling => lost.push(owner),
            Standing::Waiting => {
                waiting = true;
                lost.push(owner);
            }
        }
    }
    if lost.is_empty() {
        return Ok(None);
    }
    if solid {
        let lost: Vec<Value> = lost.into_iter().cloned().collect();
        context.api.modify(&resource, (&object.namespace, &object.name), |value| {
            drop_owners(value, |owner| lost.iter().any(|l| l["uid"] == owner["uid"]))
        })?;
        return Ok(None);
    }
    let propagation = if waiting && !context.graph.of(uid).is_empty() {
        Propagation::Foreground
    } else if has_finalizer(&value, ORPHAN) {
        Propagation::Orphan
    } else if has_finalizer(&value, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    remove(&context.api, &resource, &object, propagation)?;
    Ok(None)
}

fn standing(context: &mut Context, object: &Arc<Object>, owner: &Value) -> Standing {
    let uid = text(&owner["uid"]);
    if let Some(live) = context.graph.live.get(uid) {
        if live.object.namespace.is_empty() || live.object.namespace == object.namespace {
            let foreground = live.object.deleting && has_finalizer(&live.object.value(), FOREGROUND);
            return if foreground { Standing::Waiting } else { Standing::Solid };
        }
        let message = format!(
            "ownerRef [{}/{}, namespace: {}, name: {}, uid: {uid}] does not exist in namespace {:?}",
            text(&owner["apiVersion"]),
            text(&owner["kind"]),
            object.namespace,
            text(&owner["name"]),
            object.namespace
        );
        let value = object.value();
        let about = About { api_version: text(&value["apiVersion"]), kind: text(&value["kind"]), object };
        let api = &context.api;
        context.recorder.event(api, "garbage-collector-controller", &about, "Warning", "OwnerRefInvalidNamespace", &message);
        return Standing::Dangling;
    }
    let group = text(&owner["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    // Nobody knows whether an object of an unknown kind exists.
    match context.api.registry().by_kind(group, text(&owner["kind"])) {
        Some(kind) if kind.verbs.contains(&"watch") && kind.kind != "Event" => Standing::Dangling,
        _ => Standing::Solid,
    }
}

/// An object that is going away, and what is to become of what it owns.
fn deleting(context: &mut Context, resource: &str, object: &Arc<Object>, value: &Value) -> Result<(), Failure> {
    let dependants = context.graph.of(&object.uid);
    if has_finalizer(value, ORPHAN) {
        for uid in &dependants {
            if let Some(live) = context.graph.live.get(uid) {
                let left = context.api.modify(&live.resource, (&live.object.namespace, &live.object.name), |value| {
                    drop_owners(value, |owner| owner["uid"] == *object.uid)
                });
                missing_is_fine(left)?;
            }
        }
        finish(&context.api, resource, object, ORPHAN)?;
    }
    if has_finalizer(value, FOREGROUND) {
        let blocks = |uid: &str| {
            context.graph.live.get(uid).is_some_and(|live| {
                let value = live.object.value();
                let owners = items(&value["metadata"]["ownerReferences"]);
                owners.iter().any(|o| o["uid"] == *object.uid && o["blockOwnerDeletion"] == true)
            })
        };
        if !dependants.iter().any(|uid| blocks(uid)) {
            return finish(&context.api, resource, object, FOREGROUND);
        }
        for uid in dependants {
            if context.graph.live.get(&uid).is_some_and(|l| !l.object.deleting) {
                context.queue.add(Which::Gc, "", &uid);
            }
        }
    }
    Ok(())
}

fn drop_owners(value: &mut Value, gone: impl Fn(&Value) -> bool) -> bool {
    let owners = items(&value["metadata"]["ownerReferences"]);
    let kept: Vec<Value> = owners.iter().filter(|o| !gone(o)).cloned().collect();
    let fewer = kept.len() < owners.len();
    if kept.is_empty() {
        value["metadata"].as_object_mut().map(|m| m.remove("ownerReferences"));
    } else {
        value["metadata"]["ownerReferences"] = json!(kept);
    }
    fewer
}

fn finish(api: &Api, resource: &str, object: &Object, finalizer: &str) -> Result<(), Failure> {
    let uid = &*object.uid;
    missing_is_fine(
        api.modify(resource, (&object.namespace, &object.name), |value| {
            value["metadata"]["uid"] == *uid && drop_finalizer(value, finalizer)
        }),
    )
}

fn missing_is_fine<T>(done: Result<T, Failure>) -> Result<(), Failure> {
    match done {
        Err(failure) if failure.reason != "NotFound" => Err(failure),
        _ => Ok(()),
    }
}

/// Deletes exactly this object.
pub(super) fn remove(api: &Api, resource: &str, object: &Object, propagation: Propagation) -> Result<(), Failure> {
    let Some(resource) = api.resource(resource) else { return Ok(()) };
    let options = Delete { uid: Some(object.uid.to_string()), propagation: Some(propagation), ..Delete::default() };
    match api.delete(&resource, (&object.namespace, &object.name), &options) {
        // Another object has the name by now.
        Err(failure) if failure.reason == "Conflict" => Ok(()),
        done => missing_is_fine(done),
    }
}
