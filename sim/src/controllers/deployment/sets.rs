//! The replica sets of a deployment: found, adopted, made, resized. Source: `pkg/controller/deployment/sync.go`.

use serde_json::{Value, json};

use super::super::fields::{controller_of, controller_ref, items, text};
use super::super::selector::Selector;
use super::super::template;
use super::{DESIRED, HASH, HISTORY, MAX, REVISION, Rollout, SETS};
use crate::failure::Failure;

/// A replica set of the deployment.
pub(super) struct Set {
    pub(super) value: Value,
}

impl Set {
    pub(super) fn name(&self) -> &str {
        text(&self.value["metadata"]["name"])
    }

    pub(super) fn uid(&self) -> &str {
        text(&self.value["metadata"]["uid"])
    }

    pub(super) fn deleting(&self) -> bool {
        self.value["metadata"]["deletionTimestamp"].is_string()
    }

    /// What it shall have.
    pub(super) fn replicas(&self) -> i64 {
        self.value["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    /// What it has.
    pub(super) fn actual(&self) -> i64 {
        self.count("replicas")
    }

    pub(super) fn count(&self, field: &str) -> i64 {
        self.value["status"][field].as_i64().unwrap_or(0)
    }

    pub(super) fn observed(&self) -> Option<i64> {
        self.value["status"]["observedGeneration"].as_i64()
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["annotations"][name].as_str()
    }

    pub(super) fn revision(&self) -> i64 {
        self.annotation(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
    }

    pub(super) fn created(&self) -> (&str, &str) {
        (text(&self.value["metadata"]["creationTimestamp"]), self.name())
    }
}

/// All of them, oldest first.
pub(super) struct Sets {
    pub(super) all: Vec<Set>,
    /// The one of the present template.
    pub(super) new: Option<usize>,
}

impl Sets {
    pub(super) fn old_indices(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|at| Some(*at) != self.new).collect()
    }

    pub(super) fn total(&self) -> i64 {
        self.all.iter().map(Set::replicas).sum()
    }

    pub(super) fn sum(&self, field: &str) -> i64 {
        self.all.iter().map(|s| s.count(field)).sum()
    }
}

/// Annotations that are the controller's or the client's own and do not go from one to the other.
fn stays(annotation: &str) -> bool {
    matches!(annotation, "kubectl.kubernetes.io/last-applied-configuration" | "deprecated.deployment.rollback.to")
        || [REVISION, HISTORY, DESIRED, MAX].contains(&annotation)
}

impl Rollout<'_> {
    /// The replica sets that are this deployment's, those that match and had no controller included.
    pub(super) fn sets(&self) -> Result<Sets, Failure> {
        let object = self.object;
        let api = &self.context.api;
        let selector = Selector::read(&self.value["spec"]["selector"]);
        let mut all = Vec::new();
        for found in api.store().list(SETS, &object.namespace).1 {
            let owned = found.owners.contains(&object.uid);
            let matches = !selector.is_empty() && selector.matches(&found.labels);
            if !owned && !matches {
                continue;
            }
            let mut value = found.value();
            match controller_of(&value) {
                Some(owner) if owner["uid"] != *object.uid => continue,
                Some(_) if matches => {}
                Some(_) => {
                    api.modify(SETS, (&found.namespace, &found.name), |value| {
                        let kept: Vec<Value> =
                            items(&value["metadata"]["ownerReferences"]).iter().filter(|o| o["uid"] != *object.uid).cloned().collect();
                        value["metadata"]["ownerReferences"] = json!(kept);
                        true
                    })?;
                    continue;
                }
                None if object.deleting || found.deleting || !matches => continue,
                None => {
                    let adopted = api.modify(SETS, (&found.namespace, &found.name), |value| {
                        let mut owners = items(&value["metadata"]["ownerReferences"]).to_vec();
                        owners.push(controller_ref("apps/v1", "Deployment", object));
                        value["metadata"]["ownerReferences"] = json!(owners);
                        true
                    })?;
                    value = adopted.value();
                }
            }
            all.push(Set { value });
        }
        all.sort_by(|a, b| a.created().cmp(&b.created()));
        let template = template::without_label(&self.value["spec"]["template"], HASH);
        let new = all.iter().position(|s| template::without_label(&s.value["spec"]["template"], HASH) == template);
        Ok(Sets { all, new })
    }

    /// Finds the replica set of the present template and brings its annotations up to date, or makes it. Source: `getNewReplicaSet`.
    pub(super) fn find_new(&mut self, sets: &mut Sets, make: bool) -> Result<(), Failure> {
        let highest = sets.old_indices().into_iter().map(|at| sets.all[at].revision()).max().unwrap_or(0);
        let revision = highest + 1;
        let Some(at) = sets.new else {
            return if make { self.make_new(sets, revision) } else { Ok(()) };
        };
        let set = &mut sets.all[at];
        let mut wanted = set.value.clone();
        let annotations = self.annotations(Some(set), revision.max(set.revision()).max(1), self.replicas());
        // The number of replicas that it is to have is written with its size.
        wanted["metadata"]["annotations"] = annotations;
        for field in [DESIRED, MAX] {
            match set.annotation(field) {
                Some(had) => wanted["metadata"]["annotations"][field] = json!(had),
                None => {
                    wanted["metadata"]["annotations"].as_object_mut().map(|a| a.remove(field));
                }
            }
        }
        let seconds = self.value["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        if wanted["spec"]["minReadySeconds"].as_i64().unwrap_or(0) != seconds {
            wanted["spec"]["minReadySeconds"] = json!(seconds);
        }
        if wanted != set.value {
            let written = self.context.api.modify(SETS, (&self.object.namespace, set.name()), |value| {
                value["metadata"]["annotations"] = wanted["metadata"]["annotations"].clone();
                value["spec"]["minReadySeconds"] = wanted["spec"]["minReadySeconds"].clone();
                true
            })?;
            set.value = written.value();
        }
        let (revision, name) = (set.annotation(REVISION).unwrap_or("1").to_owned(), set.name().to_owned());
        self.adopt_revision(&revision)?;
        if super::super::fields::condition(&self.value["status"], "Progressing").is_none() && self.has_deadline() {
            self.progressing("True", "FoundNewReplicaSet", &format!("Found new replica set {name:?}"))?;
        }
        Ok(())
    }

    fn make_new(&mut self, sets: &mut Sets, revision: i64) -> Result<(), Failure> {
        let collisions = self.value["status"]["collisionCount"].as_i64();
        let hash = template::hash(&self.value["spec"]["template"], collisions);
        let name = format!("{}-{hash}", self.object.name);
        let mut template = self.value["spec"]["template"].clone();
        template::label(&mut template, HASH, &hash);
        let mut selector = self.value["spec"]["selector"].clone();
        selector["matchLabels"][HASH] = json!(hash);
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": name, "namespace": &*self.object.namespace, "labels": template["metadata"]["labels"],
                "annotations": self.annotations(None, revision, self.replicas()),
                "ownerReferences": [controller_ref("apps/v1", "Deployment", self.object)],
            },
            "spec": {"selector": selector, "template": template},
        });
        if let Some(seconds) = self.value["spec"]["minReadySeconds"].as_i64().filter(|s| *s > 0) {
            set["spec"]["minReadySeconds"] = json!(seconds);
        }
        let replicas = self.size_of_new(sets);
        set["spec"]["replicas"] = json!(replicas);
        match self.context.api.make(SETS, &self.object.namespace, set) {
            Ok(made) => {
                sets.new = Some(sets.all.len());
                sets.all.push(Set { value: made.value() });
            }
            Err(failure) if failure.reason == "AlreadyExists" => {
                // Another template has this hash: count the collision, and have another hash next time.
                self.modify(|value| {
                    value["status"]["collisionCount"] = json!(collisions.unwrap_or(0) + 1);
                })?;
                return Err(Failure::conflict(SETS, &name, "its hash collides"));
            }
            Err(failure) if failure.causes.iter().any(|c| c.reason == "NamespaceTerminating") => return Err(failure),
            Err(failure) => {
                let message = format!("Failed to create new replica set {name:?}: {failure}");
                self.progressing("False", "ReplicaSetCreateError", &message)?;
                self.event("Warning", "ReplicaSetCreateError", &message);
                return Err(failure);
            }
        }
        if replicas > 0 {
            self.event("Normal", "ScalingReplicaSet", &format!("Scaled up replica set {name} from 0 to {replicas}"));
        }
        self.adopt_revision(&revision.to_string())?;
        if self.has_deadline() {
            self.progressing("True", "NewReplicaSetCreated", &format!("Created new replica set {name:?}"))?;
        }
        Ok(())
    }

    /// The annotations of the present replica set. Source: `SetNewReplicaSetAnnotations`.
    fn annotations(&self, set: Option<&Set>, revision: i64, desired: i64) -> Value {
        let mut annotations = set.map(|s| s.value["metadata"]["annotations"].clone()).filter(Value::is_object).unwrap_or_else(|| json!({}));
        for (name, value) in self.value["metadata"]["annotations"].as_object().into_iter().flatten() {
            if !stays(name) {
                annotations[name] = value.clone();
            }
        }
        let had = set.map_or(0, Set::revision);
        if set.is_some() && had != 0 && had < revision {
            // It was current before: the history says under which numbers.
            let history = set.and_then(|s| s.annotation(HISTORY)).map_or_else(|| had.to_string(), |h| format!("{h},{had}"));
            annotations[HISTORY] = json!(history);
        }
        annotations[REVISION] = json!(revision.to_string());
        annotations[DESIRED] = json!(desired.to_string());
        annotations[MAX] = json!((desired + self.fenceposts().0).to_string());
        annotations
    }

    fn adopt_revision(&mut self, revision: &str) -> Result<(), Failure> {
        if self.value["metadata"]["annotations"][REVISION] == *revision {
            return Ok(());
        }
        self.modify(|value| value["metadata"]["annotations"][REVISION] = json!(revision))
    }

    fn progressing(&mut self, status: &str, reason: &str, message: &str) -> Result<(), Failure> {
        let now = self.context.stamp();
        let new = json!({"type": "Progressing", "status": status, "reason": reason, "message": message, "lastUpdateTime": now});
        self.modify(|value| super::progress::set(&mut value["status"], new.clone(), &now))
    }

    /// Gives a replica set its size, with an event. Source: `scaleReplicaSet`.
    pub(super) fn resize(&mut self, set: &mut Set, size: i64) -> Result<bool, Failure> {
        let (desired, max) = (self.replicas().to_string(), (self.replicas() + self.fenceposts().0).to_string());
        let had = set.replicas();
        let annotated = set.annotation(DESIRED) == Some(&desired) && set.annotation(MAX) == Some(&max);
        if had == size && annotated {
            return Ok(false);
        }
        let written = self.context.api.modify(SETS, (&self.object.namespace, set.name()), |value| {
            value["spec"]["replicas"] = json!(size);
            value["metadata"]["annotations"][DESIRED] = json!(desired);
            value["metadata"]["annotations"][MAX] = json!(max);
            true
        })?;
        set.value = written.value();
        if had != size {
            let direction = if had < size { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {had} to {size}", set.name());
            self.event("Normal", "ScalingReplicaSet", &message);
        }
        Ok(had != size)
    }
}
