//! Deletion: preconditions, grace, finalizers, propagation. Source: apiserver `pkg/registry/rest/delete.go` and `generic/registry/store.go`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Api, Part, Write};
use crate::failure::Failure;
use crate::resource::ResourceRef;
use crate::store::{Object, Rejected};

/// What becomes of what the object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// It is collected after the object is gone.
    #[default]
    Background,
    /// The object goes last.
    Foreground,
    /// It stays, without its owner.
    Orphan,
}

/// `DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub struct Delete {
    /// Seconds; `None` leaves it to the object.
    pub grace_seconds: Option<i64>,
    /// What becomes of what it owns.
    pub propagation: Option<Propagation>,
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only this revision of it.
    pub resource_version: Option<String>,
    /// Do not store.
    pub dry_run: bool,
}

impl Delete {
    /// From a `DeleteOptions` object.
    ///
    /// # Errors
    /// For values that are none.
    pub fn read(value: &Value) -> Result<Self, Failure> {
        let propagation = match value["propagationPolicy"].as_str() {
            None | Some("") => value["orphanDependents"].as_bool().map(|o| if o { Propagation::Orphan } else { Propagation::Background }),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let message = format!("Invalid value: {other:?}: must be one of \"Foreground\", \"Background\", \"Orphan\" or nil");
                let cause = crate::failure::Cause { reason: "FieldValueInvalid", message, field: "propagationPolicy".into() };
                return Err(Failure::invalid("DeleteOptions.meta.k8s.io", "", vec![cause]));
            }
        };
        let text = |v: &Value| v.as_str().map(str::to_owned);
        Ok(Self {
            grace_seconds: value["gracePeriodSeconds"].as_i64(),
            propagation,
            uid: text(&value["preconditions"]["uid"]),
            resource_version: text(&value["preconditions"]["resourceVersion"]),
            dry_run: value["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
        })
    }
}

/// How a deletion ended.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// It is gone; its last state.
    Gone(Arc<Object>),
    /// It is marked and waits for its grace or its finalizers.
    Marked(Arc<Object>),
}

impl Api {
    /// Deletes an object, or marks it for deletion.
    ///
    /// # Errors
    /// When it does not exist or a precondition does not hold.
    pub fn delete(&self, resource: &ResourceRef, (namespace, name): (&str, &str), options: &Delete) -> Result<Deleted, Failure> {
        let id = resource.id();
        loop {
            let Some(current) = self.store().get(&id, namespace, name) else { return Err(Failure::not_found(&id, name)) };
            let conflict = |what: &str, wanted: &str, is: &str| {
                let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
                Failure::conflict(&id, name, &why)
            };
            if let Some(uid) = options.uid.as_deref().filter(|u| **u != *current.uid) {
                return Err(conflict("UID", uid, &current.uid));
            }
            let revision = current.revision.to_string();
            if let Some(wanted) = options.resource_version.as_deref().filter(|v| *v != revision) {
                return Err(conflict("ResourceVersion", wanted, &revision));
            }
            let old = current.value();
            let mut new = old.clone();
            let stays = self.mark(&id, options, &mut new);
            if options.dry_run {
                return Ok(Deleted::Marked(current));
            }
            let ended = if stays {
                // The update itself sees whether anything changed, and removes what nothing holds any more.
                self.update(&Write::own(resource, namespace, name, Part::Trusted), |_| Ok(new.clone())).map(Deleted::Marked)
            } else {
                match self.store().remove(&id, (namespace, name), Some(current.revision), Some(new)) {
                    Ok(gone) => {
                        self.after_removal(&id, &gone);
                        Ok(Deleted::Gone(gone))
                    }
                    Err(Rejected::Missing) => Err(Failure::not_found(&id, name)),
                    Err(Rejected::Changed(_) | Rejected::Exists) => continue,
                }
            };
            match ended {
                // Somebody wrote it meanwhile: look again.
                Err(failure) if failure.reason == "Conflict" => {}
                ended => return ended,
            }
        }
    }

    /// Marks an object for deletion; says whether it stays for now.
    fn mark(&self, id: &str, options: &Delete, value: &mut Value) -> bool {
        let grace = grace(id, options, value);
        let meta = &mut value["metadata"];
        let mut finalizers: Vec<Value> = meta["finalizers"].as_array().cloned().unwrap_or_default();
        if let Some(propagation) = options.propagation {
            finalizers.retain(|f| f != "orphan" && f != "foregroundDeletion");
            match propagation {
                Propagation::Background => {}
                Propagation::Foreground => finalizers.push(json!("foregroundDeletion")),
                Propagation::Orphan => finalizers.push(json!("orphan")),
            }
        }
        if id == super::crds::ID && !finalizers.iter().any(|f| f == super::crds::FINALIZER) {
            // Its objects go first.
            finalizers.push(json!(super::crds::FINALIZER));
        }
        if finalizers.is_empty() {
            meta.as_object_mut().map(|m| m.remove("finalizers"));
        } else {
            meta["finalizers"] = json!(finalizers);
        }
        let marked_before = meta["deletionTimestamp"].is_string();
        let shorter = meta["deletionGracePeriodSeconds"].as_i64().is_none_or(|had| grace < had);
        if !marked_before || shorter {
            let at = crate::clock::seconds_later(self.clock().now(), grace);
            meta["deletionTimestamp"] = json!(crate::clock::stamp(at));
            meta["deletionGracePeriodSeconds"] = json!(grace);
        }
        if id == "namespaces" {
            value["status"]["phase"] = json!("Terminating");
        }
        let held = id == "namespaces" && value["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        grace > 0 || held || !finalizers.is_empty()
    }
}

/// Only pods have grace: what the caller says, or else the pod; none for one that runs nowhere yet. Source: `pkg/registry/core/pod/strategy.go`.
fn grace(id: &str, options: &Delete, value: &Value) -> i64 {
    if id != "pods" {
        return 0;
    }
    let ended = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if ended || value["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return 0;
    }
    options.grace_seconds.or_else(|| value["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0)
}
