//! Creation and update: metadata, defaults, validation, ownership of fields, and the one guarded write at the end.
//! Source of the order: apiserver `pkg/registry/rest/{create,update}.go` and `pkg/registry/generic/registry/store.go`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::addresses::Attempt;
use super::checks::{check_body, check_revision, no_new_finalizers};
use super::{Api, suffix, uuid};
use crate::failure::{Cause, Failure};
use crate::kinds;
use crate::patch::{Apply, Schema};
use crate::resource::{Resource, ResourceRef};
use crate::store::{Expect, Fields, Object, Rejected, Store};

/// How often a write that lost a race is tried again before the caller is told.
const ATTEMPTS: usize = 64;

/// The part of an object that a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status, where the status is a subresource.
    Main,
    /// The status alone.
    Status,
    /// Everything, without validation: for the cluster's own components.
    Trusted,
}

/// What is written where, and by whom.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// The resource.
    pub resource: &'a ResourceRef,
    /// The version that the caller speaks.
    pub version: &'a str,
    /// Namespace of the path; empty for cluster-scoped resources.
    pub namespace: &'a str,
    /// Name of the path; empty for a creation.
    pub name: &'a str,
    /// Which part.
    pub part: Part,
    /// Field manager; empty where nobody keeps track, as for the cluster's own components.
    pub manager: &'a str,
    /// Go through everything but do not store.
    pub dry_run: bool,
}

impl<'a> Write<'a> {
    /// A write of the cluster's own components in the storage version.
    #[must_use]
    pub fn own(resource: &'a ResourceRef, namespace: &'a str, name: &'a str, part: Part) -> Self {
        Self { resource, version: &resource.storage, namespace, name, part, manager: "", dry_run: false }
    }
}

impl Api {
    /// Creates an object.
    ///
    /// # Errors
    /// As the API server refuses it.
    pub fn create(&self, write: &Write<'_>, mut value: Value) -> Result<Arc<Object>, Failure> {
        let resource = write.resource;
        let id = resource.id();
        check_body(write, &value)?;
        let meta = object_mut(&mut value, "metadata");
        if meta.get("resourceVersion").and_then(Value::as_str).is_some_and(|v| !v.is_empty()) {
            return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
        }
        for server_side in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            meta.remove(server_side);
        }
        let prefix = meta.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
        let given = meta.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let generated = given.is_empty() && !prefix.is_empty();
        let name = if generated { generate(&prefix) } else { given };
        meta.insert("name".into(), json!(name));
        meta.insert("uid".into(), json!(uuid()));
        meta.insert("creationTimestamp".into(), json!(self.clock().stamp()));
        if resource.generation {
            meta.insert("generation".into(), json!(1));
        } else {
            meta.remove("generation");
        }
        if resource.namespaced {
            meta.insert("namespace".into(), json!(write.namespace));
            self.check_namespace(&id, &name, write.namespace)?;
        } else {
            meta.remove("namespace");
        }
        // A status belongs to whoever runs the thing, and comes through its own path.
        if write.part != Part::Trusted && resource.version(write.version).is_some_and(|v| v.status) {
            value.as_object_mut().map(|o| o.remove("status"));
        }
        to_storage(write, &mut value);
        if name.is_empty() {
            let message = "name or generateName is required".to_owned();
            let cause =
                Cause { reason: "FieldValueRequired", message: format!("Required value: {message}"), field: "metadata.name".into() };
            return Err(Failure::invalid(&resource.group_kind(), "", vec![cause]));
        }
        let attempt = Attempt::new(self);
        if resource.custom {
            admit_custom(resource, write.version, &mut value)?;
        } else {
            kinds::admit_create(&id, &mut value, &attempt)?;
        }
        if write.part != Part::Trusted {
            let mut causes = kinds::validate_name(&id, &name);
            if resource.custom {
                causes.extend(kinds::validate_meta(&value));
            }
            if !causes.is_empty() {
                return Err(Failure::invalid(&resource.group_kind(), &name, causes));
            }
            if !resource.custom {
                kinds::validate(&id, &resource.group_kind(), &name, None, &value)?;
            }
        }
        self.track(write, None, &mut value);
        if write.dry_run {
            if self.store().get(&id, write.namespace, &name).is_some() {
                return Err(Failure::already_exists(&id, &name));
            }
            return Ok(Store::preview((write.namespace, &name), &value));
        }
        let fields = fields(&id, &value);
        match self.store().put(&id, (write.namespace, &name), Expect::Absent, &mut value, fields) {
            Ok(object) => {
                attempt.keep();
                self.after_write(&id, &object);
                if id == "events" {
                    self.expire_events(&object);
                }
                Ok(object)
            }
            Err(_) if generated => {
                let mut failure = Failure::already_exists(&id, &name);
                failure.retry_after_seconds = 1;
                failure.message = format!("{}, the server was not able to generate a unique name for the object", failure.message);
                Err(failure)
            }
            Err(_) => Err(Failure::already_exists(&id, &name)),
        }
    }

    /// Changes an object: `change` gets it as it is, in the caller's version, and says what it shall be. A race that is lost is run again,
    /// unless what `change` gave names the revision that it wants to replace.
    ///
    /// # Errors
    /// As the API server refuses it, or what `change` itself says.
    pub fn update(&self, write: &Write<'_>, mut change: impl FnMut(Value) -> Result<Value, Failure>) -> Result<Arc<Object>, Failure> {
        let id = write.resource.id();
        for _ in 0..ATTEMPTS {
            let Some(current) = self.store().get(&id, write.namespace, write.name) else {
                return Err(Failure::not_found(&id, write.name));
            };
            let old = current.value();
            let mut new = change(self.served(write.resource, write.version, old.clone()))?;
            match new["metadata"]["resourceVersion"].as_str() {
                Some(wanted) if !wanted.is_empty() && wanted != current.revision.to_string() => {
                    return Err(Failure::modified(&id, write.name));
                }
                _ => {}
            }
            if let Some(uid) = new["metadata"]["uid"].as_str()
                && !uid.is_empty()
                && *uid != *current.uid
            {
                let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", current.uid);
                return Err(Failure::conflict(&id, write.name, &why));
            }
            check_body(write, &new)?;
            check_revision(write, &new)?;
            to_storage(write, &mut new);
            let attempt = Attempt::new(self);
            self.prepare(write, &attempt, &old, &mut new)?;
            if same(&old, &new) {
                return Ok(current);
            }
            if write.dry_run {
                return Ok(Store::preview((write.namespace, write.name), &new));
            }
            let key = (write.namespace, write.name);
            let written = if finished(&id, &new) {
                self.store().remove(&id, key, Some(current.revision), Some(new)).inspect(|gone| self.after_removal(&id, gone))
            } else {
                let fields = fields(&id, &new);
                self.store().put(&id, key, Expect::Revision(current.revision), &mut new, fields).inspect(|object| {
                    attempt.keep();
                    if id == "services" {
                        self.0.addresses.follow(Some(&old), Some(&new));
                    }
                    self.after_write(&id, object);
                })
            };
            match written {
                Ok(object) => return Ok(object),
                Err(Rejected::Missing) => return Err(Failure::not_found(&id, write.name)),
                Err(Rejected::Changed(_) | Rejected::Exists) => {}
            }
        }
        Err(Failure::modified(&id, write.name))
    }

    /// Changes an object on behalf of the cluster's own components; `change` says whether there is anything to write.
    ///
    /// # Errors
    /// When the object does not exist.
    pub fn modify(
        &self,
        resource: &str,
        (namespace, name): (&str, &str),
        mut change: impl FnMut(&mut Value) -> bool,
    ) -> Result<Arc<Object>, Failure> {
        let resource = self.resource(resource).ok_or_else(|| super::unknown(resource))?;
        self.update(&Write::own(&resource, namespace, name, Part::Trusted), |mut value| {
            change(&mut value);
            Ok(value)
        })
    }

    /// Creates an object on behalf of the cluster's own components, with all defaults.
    ///
    /// # Errors
    /// As the API server refuses it.
    pub fn make(&self, resource: &str, namespace: &str, value: Value) -> Result<Arc<Object>, Failure> {
        let resource = self.resource(resource).ok_or_else(|| super::unknown(resource))?;
        self.create(&Write::own(&resource, namespace, "", Part::Trusted), value)
    }

    /// Nothing new comes into a namespace that does not exist or is going away.
    fn check_namespace(&self, id: &str, name: &str, namespace: &str) -> Result<(), Failure> {
        let Some(found) = self.store().get("namespaces", "", namespace) else {
            return Err(Failure::not_found("namespaces", namespace));
        };
        if !found.deleting || id == "events" {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut failure = Failure::forbidden(id, name, format!("{id} \"{name}\" is forbidden: {why}"));
        let message = format!("namespace {namespace} is being terminated");
        failure.causes = vec![Cause { reason: "NamespaceTerminating", message, field: "metadata.namespace".into() }];
        Err(failure)
    }

    /// An object in a served version. The versions of a resource differ in nothing but their name here: CRDs convert by the strategy `None`.
    #[must_use]
    pub fn served(&self, resource: &Resource, version: &str, mut value: Value) -> Value {
        if version != resource.storage {
            value["apiVersion"] = json!(resource.api_version(version));
        }
        value
    }

    /// Makes what the caller sent an update: keeps what is not theirs to change, then defaults, validation and ownership.
    fn prepare(&self, write: &Write<'_>, attempt: &Attempt<'_>, old: &Value, new: &mut Value) -> Result<(), Failure> {
        let resource = write.resource;
        let id = &resource.id();
        let managed = new["metadata"]["managedFields"].clone();
        if write.part == Part::Status {
            let status = new["status"].take();
            *new = old.clone();
            if status.is_null() {
                new.as_object_mut().map(|o| o.remove("status"));
            } else {
                new["status"] = status;
            }
            new["metadata"]["managedFields"] = managed.clone();
        }
        keep(old, new, &["uid", "name", "namespace", "creationTimestamp", "generation", "selfLink", "generateName"]);
        if write.part != Part::Trusted {
            keep(old, new, &["deletionTimestamp", "deletionGracePeriodSeconds"]);
        }
        let own_status = resource.version(write.version).is_some_and(|v| v.status);
        if write.part == Part::Main && own_status {
            match old.get("status") {
                Some(status) => new["status"] = status.clone(),
                None => {
                    new.as_object_mut().map(|o| o.remove("status"));
                }
            }
        }
        if write.part == Part::Trusted {
            bump(resource, old, new);
            return Ok(());
        }
        if resource.custom {
            admit_custom(resource, write.version, new)?;
        } else {
            kinds::admit_update(id, old, new, attempt)?;
        }
        let causes = if resource.custom { kinds::validate_meta(new) } else { Vec::new() };
        if !causes.is_empty() {
            return Err(Failure::invalid(&resource.group_kind(), write.name, causes));
        }
        if old["metadata"]["deletionTimestamp"].is_string() {
            no_new_finalizers(write, old, new)?;
        }
        if !resource.custom {
            kinds::validate(id, &resource.group_kind(), write.name, Some(old), new)?;
        }
        bump(resource, old, new);
        self.track(write, Some(old), new);
        Ok(())
    }

    /// Who owns which field from now on. Server-side apply has its own bookkeeping and comes here with it done.
    fn track(&self, write: &Write<'_>, old: Option<&Value>, new: &mut Value) {
        if write.manager.is_empty() {
            return;
        }
        let now = self.clock().stamp();
        let request = Apply {
            manager: write.manager,
            force: false,
            api_version: &write.resource.api_version(write.version),
            subresource: if write.part == Part::Status { "status" } else { "" },
            now: &now,
        };
        crate::patch::track_update(old, new, &request, &self.schema(write.resource, write.version));
    }

    /// How lists of a kind are merged.
    #[must_use]
    pub fn schema(&self, resource: &Resource, version: &str) -> Schema {
        let custom = self.registry().schema(&resource.id(), version);
        custom.unwrap_or_else(|| Schema::builtin(&resource.group, version, &resource.kind))
    }
}

fn to_storage(write: &Write<'_>, value: &mut Value) {
    value["apiVersion"] = json!(write.resource.api_version(&write.resource.storage));
    value["kind"] = json!(write.resource.kind);
}

/// A generated name: at most 63 characters with its suffix. Source: apiserver `pkg/storage/names`.
fn generate(prefix: &str) -> String {
    let kept: String = prefix.chars().take(58).collect();
    format!("{kept}{}", suffix())
}

fn object_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !value[field].is_object() {
        value[field] = json!({});
    }
    value[field].as_object_mut().expect("it was just made one")
}

/// Keeps metadata of the old object whatever the new one says.
fn keep(old: &Value, new: &mut Value, fields: &[&str]) {
    let meta = object_mut(new, "metadata");
    for field in fields {
        match old["metadata"].get(*field) {
            Some(value) => {
                meta.insert((*field).to_owned(), value.clone());
            }
            None => {
                meta.remove(*field);
            }
        }
    }
}

/// A new generation where anything but metadata and status changed.
fn bump(resource: &Resource, old: &Value, new: &mut Value) {
    let deleted = !old["metadata"]["deletionTimestamp"].is_string() && new["metadata"]["deletionTimestamp"].is_string();
    if resource.generation && (deleted || differs(old, new) || differs(new, old)) {
        new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
}

/// Whether something that counts in the one is not the same in the other.
fn differs(one: &Value, other: &Value) -> bool {
    let counts = |k: &str| !matches!(k, "metadata" | "status" | "apiVersion" | "kind");
    one.as_object().into_iter().flatten().any(|(k, v)| counts(k) && other.get(k) != Some(v))
}

/// Whether a write would change nothing; who wrote it last is nothing.
fn same(old: &Value, new: &Value) -> bool {
    let (Some(a), Some(b)) = (old.as_object(), new.as_object()) else { return old == new };
    if a.len() != b.len() || !a.iter().all(|(k, v)| k == "metadata" || b.get(k) == Some(v)) {
        return false;
    }
    let skip = |k: &str| matches!(k, "managedFields" | "resourceVersion");
    let (Some(a), Some(b)) = (a.get("metadata").and_then(Value::as_object), b.get("metadata").and_then(Value::as_object)) else {
        return false;
    };
    // A change of ownership alone is a change, but a new time alone is not.
    let owners = |m: &Map<String, Value>| -> Vec<(Value, Value, Value)> {
        let entries = m.get("managedFields").and_then(Value::as_array);
        entries.into_iter().flatten().map(|e| (e["manager"].clone(), e["operation"].clone(), e["fieldsV1"].clone())).collect()
    };
    let rest = |m: &Map<String, Value>, o: &Map<String, Value>| m.iter().all(|(k, v)| skip(k) || o.get(k) == Some(v));
    rest(a, b) && rest(b, a) && (a.get("managedFields") == b.get("managedFields") || owners(a) == owners(b))
}

/// Whether nothing keeps an object that is being deleted any more.
fn finished(id: &str, value: &Value) -> bool {
    let empty = |v: &Value| v.as_array().is_none_or(Vec::is_empty);
    let held = id == "namespaces" && !empty(&value["spec"]["finalizers"]);
    // A pod is removed by its kubelet's last word, a deletion without grace.
    let grace = value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    value["metadata"]["deletionTimestamp"].is_string() && empty(&value["metadata"]["finalizers"]) && !held && !grace
}

/// Pruning, defaults and validation by a CRD's schema for the version that the caller speaks.
fn admit_custom(resource: &Resource, version: &str, value: &mut Value) -> Result<(), Failure> {
    let Some(schema) = resource.version(version).map(|v| &v.schema).filter(|s| s.is_object()) else { return Ok(()) };
    kinds::schema::prune(schema, value);
    kinds::schema::default(schema, value);
    let causes = kinds::schema::validate(schema, value);
    if causes.is_empty() {
        return Ok(());
    }
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    Err(Failure::invalid(&resource.group_kind(), name, causes))
}

/// What field selectors can ask for. An absent field is as good as an empty one, and most are empty.
fn fields(id: &str, value: &Value) -> Fields {
    let mut fields: Vec<(&'static str, Box<str>)> =
        kinds::fields(id, value).into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k, v.into())).collect();
    fields.sort_unstable();
    fields.into()
}
