//! Rolls a `Deployment` out. Source: `pkg/controller/deployment`.

mod progress;
mod rolling;
mod sets;

use serde_json::{Value, json};

use super::fields::{scaled, text};
use super::kernel::{Context, Outcome};
use super::recorder::About;
use crate::failure::Failure;
use crate::store::Object;
use sets::{Set, Sets};

const ID: &str = "deployments.apps";
const SETS: &str = "replicasets.apps";
const SOURCE: &str = "deployment-controller";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A deployment at work.
struct Rollout<'a> {
    context: &'a mut Context,
    object: &'a Object,
    value: Value,
}

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(object) = context.api.store().get(ID, namespace, name) else { return Ok(None) };
    let value = object.value();
    let mut rollout = Rollout { context, object: &object, value };
    let sets = rollout.sets()?;
    if object.deleting {
        return rollout.write_status(&sets);
    }
    rollout.note_pause()?;
    if rollout.paused() || rollout.scaled_meanwhile(&sets) {
        return rollout.only_scale(sets);
    }
    if rollout.value["spec"]["strategy"]["type"] == "Recreate" { rollout.recreate(sets) } else { rollout.roll(sets) }
}

impl Rollout<'_> {
    fn replicas(&self) -> i64 {
        self.value["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn paused(&self) -> bool {
        self.value["spec"]["paused"] == true
    }

    fn rolling(&self) -> bool {
        self.value["spec"]["strategy"]["type"] != "Recreate"
    }

    /// `maxSurge` and `maxUnavailable` in pods. Source: `ResolveFenceposts`.
    fn fenceposts(&self) -> (i64, i64) {
        if !self.rolling() {
            return (0, 0);
        }
        let quarter = json!("25%");
        let given = &self.value["spec"]["strategy"]["rollingUpdate"];
        let or = |v: &Value| if v.is_null() { quarter.clone() } else { v.clone() };
        let surge = scaled(&or(&given["maxSurge"]), self.replicas(), true);
        let unavailable = scaled(&or(&given["maxUnavailable"]), self.replicas(), false);
        // With neither, nothing could ever move.
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    fn max_unavailable(&self) -> i64 {
        let replicas = self.replicas();
        if !self.rolling() || replicas == 0 { 0 } else { self.fenceposts().1.min(replicas) }
    }

    fn event(&mut self, kind: &str, reason: &str, message: &str) {
        let about = About { api_version: "apps/v1", kind: "Deployment", object: self.object };
        self.context.recorder.event(&self.context.api, SOURCE, &about, kind, reason, message);
    }

    /// Changes the deployment itself, and remembers what it is then.
    fn modify(&mut self, change: impl Fn(&mut Value)) -> Result<(), Failure> {
        let uid = &*self.object.uid;
        let written = self.context.api.modify(ID, (&self.object.namespace, &self.object.name), |value| {
            let same = value["metadata"]["uid"] == *uid;
            if same {
                change(value);
            }
            same
        })?;
        let specification = self.value["spec"].clone();
        self.value = written.value();
        // What was decided in this round was for the specification that was read at its beginning.
        self.value["spec"] = specification;
        Ok(())
    }

    /// Whether somebody changed the number of replicas during a rollout. Source: `isScalingEvent`.
    fn scaled_meanwhile(&self, sets: &Sets) -> bool {
        let wanted = self.replicas().to_string();
        sets.all.iter().any(|s| s.replicas() > 0 && s.annotation(DESIRED).is_some_and(|d| d != wanted))
    }

    /// Source: `sync.go` `sync`.
    fn only_scale(&mut self, mut sets: Sets) -> Outcome {
        self.find_new(&mut sets, false)?;
        self.scale(&mut sets)?;
        if self.paused() && self.value["spec"]["rollbackTo"].is_null() {
            self.clean_up(&sets)?;
        }
        self.write_status(&sets)
    }

    /// Source: `rolling.go` `rolloutRolling`.
    fn roll(&mut self, mut sets: Sets) -> Outcome {
        self.find_new(&mut sets, true)?;
        if self.reconcile_new(&mut sets)? || self.reconcile_old(&mut sets)? {
            return self.write_rollout_status(&sets);
        }
        if self.complete() {
            self.clean_up(&sets)?;
        }
        self.write_rollout_status(&sets)
    }

    /// Source: `recreate.go` `rolloutRecreate`.
    fn recreate(&mut self, mut sets: Sets) -> Outcome {
        self.find_new(&mut sets, false)?;
        let mut scaled_down = false;
        for at in sets.old_indices() {
            if sets.all[at].replicas() > 0 {
                self.resize(&mut sets.all[at], 0)?;
                scaled_down = true;
            }
        }
        if scaled_down {
            return self.write_rollout_status(&sets);
        }
        let running = sets.old_indices().into_iter().any(|at| self.context.pods.owned(sets.all[at].uid()).any(|p| !p.ended()));
        if running {
            return self.write_rollout_status(&sets);
        }
        self.find_new(&mut sets, true)?;
        if let Some(at) = sets.new {
            let wanted = self.replicas();
            self.resize(&mut sets.all[at], wanted)?;
        }
        if self.complete() {
            self.clean_up(&sets)?;
        }
        self.write_rollout_status(&sets)
    }

    /// Source: `util.DeploymentComplete`, by the status that was written last.
    fn complete(&self) -> bool {
        let status = &self.value["status"];
        let count = |field: &str| status[field].as_i64().unwrap_or(0);
        let wanted = self.replicas();
        count("updatedReplicas") == wanted
            && count("replicas") == wanted
            && count("availableReplicas") == wanted
            && count("observedGeneration") >= self.value["metadata"]["generation"].as_i64().unwrap_or(0)
    }

    /// Deletes what is beyond the history that is to be kept. Source: `cleanupDeployment`.
    fn clean_up(&mut self, sets: &Sets) -> Result<(), Failure> {
        let keep = usize::try_from(self.value["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10)).unwrap_or(0);
        let mut old: Vec<&Set> = sets.old_indices().into_iter().map(|at| &sets.all[at]).filter(|s| !s.deleting()).collect();
        if old.len() <= keep {
            return Ok(());
        }
        old.sort_by_key(|s| s.revision());
        let surplus = old.len() - keep;
        let Some(resource) = self.context.api.resource(SETS) else { return Ok(()) };
        for set in old.into_iter().take(surplus) {
            let idle = set.actual() == 0 && set.replicas() == 0 && set.value["metadata"]["generation"].as_i64() <= set.observed();
            if !idle {
                continue;
            }
            let options = crate::api::Delete { uid: Some(set.uid().to_owned()), ..Default::default() };
            match self.context.api.delete(&resource, (&self.object.namespace, text(&set.value["metadata"]["name"])), &options) {
                Err(failure) if failure.reason != "NotFound" => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }
}
