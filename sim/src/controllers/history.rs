//! The `ControllerRevisions` of daemon sets and stateful sets. Source: `pkg/controller/history`, `daemon/update.go`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{controller_ref, text};
use super::kernel::Context;
use super::template;
use crate::api::Propagation;
use crate::failure::Failure;
use crate::store::Object;

const ID: &str = "controllerrevisions.apps";
/// The label of pods and revisions.
pub(super) const HASH: &str = "controller-revision-hash";

/// A revision of a template.
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) hash: String,
    number: i64,
    value: Value,
    object: Arc<Object>,
}

impl Revision {
    /// The template that it keeps.
    pub(super) fn template(&self) -> Value {
        let mut template = self.value["data"]["spec"]["template"].clone();
        template.as_object_mut().map(|t| t.remove("$patch"));
        template
    }
}

/// All revisions of an owner, oldest first.
pub(super) fn all(context: &Context, owner: &Object) -> Vec<Revision> {
    let found = context.api.store().list(ID, &owner.namespace).1;
    let mut revisions: Vec<Revision> = found
        .into_iter()
        .filter(|o| o.owners.contains(&owner.uid))
        .map(|object| {
            let value = object.value();
            let hash = object.label(HASH).unwrap_or_default().to_owned();
            Revision { name: object.name.to_string(), hash, number: value["revision"].as_i64().unwrap_or(0), value, object }
        })
        .collect();
    revisions.sort_by_key(|r| r.number);
    revisions
}

/// The revision of the present template, made or made the newest where it is not.
pub(super) fn current(context: &Context, kind: &str, owner: &Object, value: &Value) -> Result<Revision, Failure> {
    let mut kept = value["spec"]["template"].clone();
    kept["$patch"] = json!("replace");
    let data = json!({"spec": {"template": kept}});
    let mut revisions = all(context, owner);
    let newest = revisions.last().map_or(0, |r| r.number);
    if let Some(at) = revisions.iter().rposition(|r| r.value["data"] == data) {
        let mut found = revisions.swap_remove(at);
        if found.number < newest {
            // Its template is back.
            found.number = newest + 1;
            context.api.modify(ID, (&owner.namespace, &found.name), |value| {
                value["revision"] = json!(newest + 1);
                true
            })?;
        }
        return Ok(found);
    }
    let hash = template::hash(&value["spec"]["template"], value["status"]["collisionCount"].as_i64());
    let name = format!("{}-{hash}", owner.name);
    let mut labels = value["spec"]["template"]["metadata"]["labels"].clone();
    labels[HASH] = json!(hash);
    let mut revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {
            "name": name, "namespace": &*owner.namespace, "labels": labels,
            "ownerReferences": [controller_ref("apps/v1", kind, owner)],
        },
        "data": data, "revision": newest + 1,
    });
    if value["metadata"]["annotations"].is_object() {
        revision["metadata"]["annotations"] = value["metadata"]["annotations"].clone();
    }
    let object = context.api.make(ID, &owner.namespace, revision)?;
    Ok(Revision { name, hash, number: newest + 1, value: object.value(), object })
}

/// Deletes the oldest revisions that nothing uses, beyond those that are to be kept.
pub(super) fn clean_up(context: &Context, owner: &Object, value: &Value, used: impl Fn(&Revision) -> bool) -> Result<(), Failure> {
    let keep = usize::try_from(value["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10)).unwrap_or(0);
    let unused: Vec<Revision> = all(context, owner).into_iter().filter(|r| !used(r)).collect();
    for revision in unused.iter().take(unused.len().saturating_sub(keep)) {
        super::gc::remove(&context.api, ID, &revision.object, Propagation::Background)?;
    }
    Ok(())
}

/// The label of a pod that says which revision it is of.
pub(super) fn of(object: &Object) -> &str {
    object.label(HASH).unwrap_or_default()
}

/// The number that old clients look for. Source: `util.GetTemplateGeneration`.
pub(super) fn template_generation(value: &Value) -> Option<&str> {
    Some(text(&value["metadata"]["annotations"]["deprecated.daemonset.template.generation"])).filter(|t| !t.is_empty())
}
