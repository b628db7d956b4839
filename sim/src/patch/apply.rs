//! Server-side apply, and the ownership of fields after other writes (structured-merge-diff, `merge/update.go`, and
//! `apimachinery/pkg/util/managedfields/internal`).

use serde_json::{Map, Value};

use super::fields::Set;
use super::managed::{Managed, Manager, Owned, is_reset, strip};
use super::schema::{Schema, Ty};
use super::walk;
use crate::Failure;
use crate::failure::Cause;

/// Annotation of client-side apply.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Who writes, and when.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'a> {
    /// `fieldManager`, or what the user agent says.
    pub manager: &'a str,
    /// Whether fields are taken from other managers.
    pub force: bool,
    /// `apiVersion` of the object in the request.
    pub api_version: &'a str,
    /// For example `status`; empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, to the second.
    pub now: &'a str,
}

enum Refusal {
    /// Fields that others own.
    Conflicts(Vec<(Manager, String)>),
    Other(Failure),
}

/// The live object with a configuration applied to it; equal to the live one if nothing changes.
///
/// # Errors
///
/// 409 if other managers own fields that would change, 400 for a configuration that brings its own `managedFields` or is of another
/// version, 500 (as upstream has it) for lists whose keys are missing or not unique.
pub fn apply(live: Option<&Value>, applied: &Value, request: &Apply<'_>, schema: &Schema) -> Result<Value, Failure> {
    if applied["apiVersion"].as_str().is_some_and(|version| version != request.api_version) {
        return Err(Failure::bad_request(format!("invalid object type: {}", type_of(applied))));
    }
    if applied.pointer("/metadata/managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let mut result = merged(live, applied, request, request.force, schema);
    if request.manager == "kubectl"
        && let Err(Refusal::Conflicts(conflicts)) = &mut result
        && let Some(allowed) = live.and_then(|live| last_applied_fields(live, request, schema.root()))
    {
        // Whoever moves from client-side to server-side apply takes its own fields with it.
        let allowed = allowed.paths();
        conflicts.retain(|(_, path)| !allowed.contains(path));
        if conflicts.is_empty() {
            result = merged(live, applied, request, true, schema);
        }
    }
    let mut object = result.map_err(|refusal| match refusal {
        Refusal::Conflicts(conflicts) => conflict(&conflicts),
        Refusal::Other(failure) => failure,
    })?;
    if request.manager == "kubectl" {
        update_last_applied(&mut object, applied);
    }
    Ok(object)
}

fn merged(live: Option<&Value>, applied: &Value, request: &Apply<'_>, force: bool, schema: &Schema) -> Result<Value, Refusal> {
    let of = schema.root();
    let own = Manager::new(request.manager, true, request.api_version, request.subresource);
    let plain = |message: String| Refusal::Other(Failure::new(500, "", message));

    let mut bare = live.cloned().unwrap_or_else(walk::empty);
    let entries = take_entries(&mut bare);
    let before = Managed::decode(entries.as_ref()).map_err(|why| plain(format!("failed to decode managed fields: {why}")))?;
    let mut managed = before.clone();
    if managed.0.is_empty() && live.is_some() {
        // Nobody has been tracked yet: what is there belongs to nobody in particular (`skipNonAppliedManager`).
        let mut set = walk::compare(None, &bare, of).changed;
        strip(&mut set);
        if !set.is_empty() {
            let first = Manager::new("before-first-apply", false, request.api_version, request.subresource);
            managed.0.insert(first, Owned { set, version: request.api_version.to_owned(), time: Some(request.now.into()) });
        }
    }

    let set = walk::field_set(applied, of).map_err(|why| plain(typed_error(applied, &why)))?;
    let last = managed.0.remove(&own);
    let time = last.as_ref().and_then(|owned| owned.time.clone());
    let mut new = walk::merge(Some(&bare), Some(applied), of, schema.keeps_nulls()).unwrap_or_else(walk::empty);
    let difference = if let Some(last) = last.filter(|last| !last.set.within(&set)) {
        let gone = dropped(&new, &last.set, &set, &managed, of);
        // Whoever owns what is now empty keeps it: for upstream it is null until the object gets its Go structure.
        let bare_of_it = walk::remove(new.clone(), &gone, of, true).unwrap_or_else(walk::empty);
        new = walk::remove(new, &gone, of, false).unwrap_or_else(walk::empty);
        walk::compare(Some(&bare), &bare_of_it, of)
    } else {
        walk::compare(Some(&bare), &new, of)
    };
    if !force {
        let conflicts: Vec<(Manager, String)> = managed
            .0
            .iter()
            .flat_map(|(manager, owned)| {
                owned.set.and(&difference.changed).paths().into_iter().map(|path| (manager.clone(), path)).collect::<Vec<_>>()
            })
            .collect();
        if !conflicts.is_empty() {
            return Err(Refusal::Conflicts(conflicts));
        }
    }
    managed.take([&difference.changed, &difference.removed], None);
    let mut set = set;
    strip(&mut set);
    // The time is that of the last change of the object, not of the ownership.
    let changed = live.is_none() || new != bare;
    let time = if changed { Some(request.now.into()) } else { time };
    if !set.is_empty() {
        managed.0.insert(own, Owned { set, version: request.api_version.to_owned(), time });
    }
    if let Some(live) = live.filter(|_| !changed && managed == before) {
        return Ok(live.clone());
    }
    put_entries(&mut new, managed.encode());
    Ok(new)
}

/// What the manager applied before and does not any more, unless somebody else owns it (`prune` in `merge/update.go`).
fn dropped(merged: &Value, last: &Set, now: &Set, others: &Managed, of: Ty<'_>) -> Set {
    let last = walk::with_parents(last, of);
    let mut owned = now.clone();
    for other in others.0.values() {
        owned.add(other.set.clone());
    }
    let owned = walk::with_parents(&owned, of);
    let all = walk::with_parents(&walk::stored_field_set(merged, of), of);
    let without = |gone: &Set| {
        let left = walk::remove(merged.clone(), gone, of, true);
        walk::with_parents(&left.map(|left| walk::stored_field_set(&left, of)).unwrap_or_default(), of)
    };

    // Without all that was applied before …
    let mut kept = without(&last);
    // … but with what somebody owns …
    kept.add(owned);
    let mut gone = all.clone();
    gone.remove(&kept);
    let kept = without(&gone);
    // … and with what nobody owns but was not applied either.
    let mut gone = all;
    gone.remove(&kept);
    gone.and(&last)
}

/// `NewConflictError`.
fn conflict(conflicts: &[(Manager, String)]) -> Failure {
    let message = if let [(manager, path)] = conflicts {
        format!("Apply failed with 1 conflict: conflict with {}: {path}", manager.shown())
    } else {
        let mut lines = Vec::new();
        let mut last = None;
        for (manager, path) in conflicts {
            if last != Some(manager) {
                lines.push(format!("conflicts with {}:", manager.shown()));
                last = Some(manager);
            }
            lines.push(format!("- {path}"));
        }
        format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
    };
    let mut failure = Failure::new(409, "Conflict", message);
    let cause = |(manager, path): &(Manager, String)| Cause {
        reason: "FieldManagerConflict",
        message: format!("conflict with {}", manager.shown()),
        field: path.clone(),
    };
    failure.causes = conflicts.iter().map(cause).collect();
    failure
}

/// `GroupVersionKind.String`.
fn type_of(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let version = text("apiVersion");
    format!("{}{version}, Kind={}", if version.contains('/') { "" } else { "/" }, text("kind"))
}

fn typed_error(applied: &Value, why: &str) -> String {
    let text = |pointer: &str| applied.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    format!("failed to create typed patch object ({namespace}/{name}; {}): {why}", type_of(applied))
}

/// The fields of the client-side configuration that still have their values (`allowedConflictsFromLastApplied`).
fn last_applied_fields(live: &Value, request: &Apply<'_>, of: Ty<'_>) -> Option<Set> {
    let text = live.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last["apiVersion"] != request.api_version {
        return None;
    }
    let mut set = walk::field_set(&last, of).ok()?;
    let difference = walk::compare(Some(&last), live, of);
    set.remove(&difference.changed);
    set.remove(&difference.removed);
    Some(set)
}

/// Keeps the annotation of client-side apply up to date, so that one may go back to it (`lastAppliedUpdater`).
fn update_last_applied(object: &mut Value, applied: &Value) {
    let Some(annotation) = object.pointer_mut("/metadata/annotations").and_then(|annotations| annotations.get_mut(LAST_APPLIED)) else {
        return;
    };
    if annotation.as_str().is_none_or(str::is_empty) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(annotations) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    *annotation = format!("{applied}\n").into();
}

fn take_entries(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

fn put_entries(object: &mut Value, entries: Option<Value>) {
    let Value::Object(object) = object else { return };
    match entries {
        Some(entries) => {
            let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(metadata) = metadata {
                metadata.insert("managedFields".to_owned(), entries);
            }
        }
        None => {
            if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
                metadata.remove("managedFields");
            }
        }
    }
}

/// Maintains `metadata.managedFields` of an object that is created, replaced or patched: what changes belongs to the manager.
pub fn track_update(old: Option<&Value>, new: &mut Value, request: &Apply<'_>, schema: &Schema) {
    let of = schema.root();
    let stored = old.and_then(|old| old.get("metadata")).and_then(|metadata| metadata.get("managedFields"));
    let sent = take_entries(new).filter(|entries| !entries.is_null());
    let reset = request.subresource.is_empty() && sent.as_ref().is_some_and(is_reset);
    let sent = sent.filter(|sent| request.subresource.is_empty() && !reset && Some(sent) != stored);
    // Whoever does not know about managed fields must not lose them (`decodeLiveOrNew`).
    let sent = sent.and_then(|sent| Managed::decode(Some(&sent)).ok()).filter(|managed| !managed.0.is_empty());
    if old.is_some() && (reset || sent.is_none() && stored.is_none()) {
        // Only a creation or an apply begins to track (`skipNonAppliedManager`).
        return;
    }

    let difference = walk::compare(old, new, of);
    let mut set = difference.changed.clone();
    strip(&mut set);
    if set.is_empty() && difference.changed.is_empty() && difference.removed.is_empty() && sent.is_none() {
        put_entries(new, stored.cloned());
        return;
    }
    let mut managed = sent.unwrap_or_else(|| if reset { Managed::default() } else { Managed::decode(stored).unwrap_or_default() });
    if old.is_some() && managed.0.is_empty() {
        return;
    }
    managed.take([&difference.changed, &difference.removed], None);
    if !set.is_empty() {
        let own = Manager::new(request.manager, false, request.api_version, request.subresource);
        let previous = managed.0.remove(&own).map(|owned| owned.set).unwrap_or_default();
        set.add(previous);
        managed.0.insert(own, Owned { set, version: request.api_version.to_owned(), time: Some(request.now.into()) });
    }
    managed.cap();
    put_entries(new, managed.encode());
}
