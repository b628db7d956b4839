//! Resources that come and go with their `CustomResourceDefinition`. The real server's controllers need some moments for this; here the
//! definition is Established and in discovery when its creation returns. Source: apiextensions-apiserver `pkg/controller/{status,establish}`.

use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::Api;
use crate::resource::{Resource, Version};
use crate::store::Object;

/// Resource id of CRDs.
pub(super) const ID: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// Holds a CRD until its objects are gone.
pub(super) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

impl Api {
    pub(super) fn follow_crd(&self, object: &Object) {
        let crd = object.value();
        let resource = resource(&crd);
        let taken = self.name_taken(&resource);
        if taken.is_none() {
            let id = resource.id();
            let mut registry = self.0.registry.write().unwrap_or_else(PoisonError::into_inner);
            // Watches end when the resource is another one, and a definition's status is no part of it.
            if registry.by_id(&id).is_none_or(|known| *known != resource) {
                let mut next = (**registry).clone();
                next.insert(Arc::new(resource.clone()));
                *registry = Arc::new(next);
                drop(registry);
                self.store().wake(&id);
            }
        }
        let accepted = crd["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Established"));
        if accepted && !stored_versions_grow(&crd) && crd["status"]["acceptedNames"]["plural"] == crd["spec"]["names"]["plural"] {
            return;
        }
        let now = self.clock().stamp();
        let written = self.modify(ID, ("", &object.name), |value| {
            status(value, taken.as_deref(), &now);
            true
        });
        // It can only have been deleted meanwhile, and then nothing is left to say.
        drop(written);
    }

    pub(super) fn drop_crd(&self, object: &Object) {
        let resource = resource(&object.value());
        let id = resource.id();
        let mut registry = self.0.registry.write().unwrap_or_else(PoisonError::into_inner);
        if registry.by_id(&id).is_some_and(|r| r.custom) {
            let mut next = (**registry).clone();
            next.remove(&id);
            *registry = Arc::new(next);
            drop(registry);
            self.store().forget(&id);
        }
    }

    /// Why the names of a definition cannot be had.
    fn name_taken(&self, wanted: &Resource) -> Option<String> {
        let registry = self.registry();
        let others = registry.all().iter().filter(|r| r.group == wanted.group && (!r.custom || r.plural != wanted.plural));
        for other in others {
            for (what, name) in [("plural", &wanted.plural), ("singular", &wanted.singular)] {
                if *name == other.plural || *name == other.singular {
                    return Some(format!("{name:?} is already in use as {what}"));
                }
            }
            if wanted.kind == other.kind {
                return Some(format!("{:?} is already in use", wanted.kind));
            }
        }
        None
    }
}

fn stored_versions_grow(crd: &Value) -> bool {
    let stored = crd["status"]["storedVersions"].as_array().map(Vec::as_slice).unwrap_or_default();
    storage(crd).is_some_and(|version| !stored.iter().any(|s| s == version))
}

fn storage(crd: &Value) -> Option<&str> {
    crd["spec"]["versions"].as_array()?.iter().find(|v| v["storage"] == true)?["name"].as_str()
}

fn status(crd: &mut Value, taken: Option<&str>, now: &str) {
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now})
    };
    let conditions = match taken {
        None => vec![
            condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
            condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        Some(why) => vec![
            condition("NamesAccepted", false, "MultipleNamesNotAllowed", why),
            condition("Established", false, "NotAccepted", "not all names are accepted"),
        ],
    };
    let kept: Vec<Value> = crd["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| c["type"] != "NamesAccepted" && c["type"] != "Established")
        .cloned()
        .collect();
    let mut stored: Vec<Value> = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    if let Some(version) = storage(crd)
        && !stored.iter().any(|s| s == version)
    {
        stored.push(json!(version));
    }
    let names = if taken.is_none() { crd["spec"]["names"].clone() } else { json!({"kind": "", "plural": ""}) };
    crd["status"]["acceptedNames"] = names;
    crd["status"]["storedVersions"] = json!(stored);
    crd["status"]["conditions"] = kept.into_iter().chain(conditions).collect();
}

/// The resource that a definition defines.
fn resource(crd: &Value) -> Resource {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let texts = |v: &Value| v.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let kind = text(&names["kind"]);
    let or = |given: String, other: String| if given.is_empty() { other } else { given };
    let mut versions: Vec<Version> = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| v["served"] == true)
        .map(|v| Version {
            name: text(&v["name"]),
            columns: v["additionalPrinterColumns"].clone(),
            schema: v["schema"]["openAPIV3Schema"].clone(),
            status: v["subresources"].get("status").is_some(),
            scale: v["subresources"]["scale"].clone(),
        })
        .collect();
    versions.sort_by(|a, b| crate::discovery::compare_versions(&a.name, &b.name));
    Resource {
        group: text(&spec["group"]),
        list_kind: or(text(&names["listKind"]), format!("{kind}List")),
        singular: or(text(&names["singular"]), kind.to_lowercase()),
        kind,
        plural: text(&names["plural"]),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        versions,
        storage: storage(crd).unwrap_or_default().to_owned(),
        subresources: Vec::new(),
        verbs: VERBS.to_vec(),
        custom: true,
        generation: true,
    }
}
