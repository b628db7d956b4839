//! The status of a deployment. Source: `pkg/controller/deployment/{progress,sync}.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fields::{condition, drop_condition, set_condition, time};
use super::super::kernel::Outcome;
use super::Rollout;
use super::sets::Sets;
use crate::failure::Failure;

/// Sets a condition where status or reason change. Source: `SetDeploymentCondition`.
pub(super) fn set(status: &mut Value, new: Value, now: &str) {
    let same = condition(status, super::text(&new["type"])).is_some_and(|c| c["status"] == new["status"] && c["reason"] == new["reason"]);
    if !same {
        set_condition(status, new, now);
    }
}

impl Rollout<'_> {
    /// Whether it has a deadline; the largest number means none.
    pub(super) fn has_deadline(&self) -> bool {
        self.deadline() != i64::from(i32::MAX)
    }

    fn deadline(&self) -> i64 {
        self.value["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(600)
    }

    /// Time does not count while a deployment is paused. Source: `checkPausedConditions`.
    pub(super) fn note_pause(&mut self) -> Result<(), Failure> {
        if !self.has_deadline() {
            return Ok(());
        }
        let current = condition(&self.value["status"], "Progressing");
        if current.is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded") {
            return Ok(());
        }
        let noted = current.is_some_and(|c| c["reason"] == "DeploymentPaused");
        let (reason, message) = match (self.paused(), noted) {
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(()),
        };
        let now = self.context.stamp();
        let new = json!({"type": "Progressing", "status": "Unknown", "reason": reason, "message": message, "lastUpdateTime": now});
        self.modify(|value| set(&mut value["status"], new.clone(), &now))
    }

    /// Source: `calculateStatus`.
    fn status(&self, sets: &Sets) -> Value {
        let available = sets.sum("availableReplicas");
        let unavailable = (sets.total() - available).max(0);
        let mut status = json!({"observedGeneration": self.value["metadata"]["generation"]});
        let updated = sets.new.map_or(0, |at| sets.all[at].actual());
        for (field, count) in [
            ("replicas", sets.sum("replicas")),
            ("updatedReplicas", updated),
            ("readyReplicas", sets.sum("readyReplicas")),
            ("availableReplicas", available),
            ("unavailableReplicas", unavailable),
        ] {
            if count > 0 {
                status[field] = json!(count);
            }
        }
        for field in ["collisionCount", "conditions"] {
            let had = &self.value["status"][field];
            if !had.is_null() {
                status[field] = had.clone();
            }
        }
        let now = self.context.stamp();
        let (holds, reason, message) = if available >= self.replicas() - self.max_unavailable() {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        let new = json!({"type": "Available", "status": holds, "reason": reason, "message": message, "lastUpdateTime": now});
        set(&mut status, new, &now);
        status
    }

    /// Source: `syncDeploymentStatus`.
    pub(super) fn write_status(&mut self, sets: &Sets) -> Outcome {
        let status = self.status(sets);
        self.put(&status)?;
        Ok(None)
    }

    fn put(&mut self, status: &Value) -> Result<(), Failure> {
        if *status == self.value["status"] {
            return Ok(());
        }
        self.modify(|value| value["status"] = status.clone())
    }

    /// Source: `syncRolloutStatus`.
    pub(super) fn write_rollout_status(&mut self, sets: &Sets) -> Outcome {
        let mut status = self.status(sets);
        let count = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
        if !self.has_deadline() {
            drop_condition(&mut status, "Progressing");
        }
        let current = condition(&self.value["status"], "Progressing").cloned();
        let done_before = count(&status, "replicas") == count(&status, "updatedReplicas")
            && current.as_ref().is_some_and(|c| c["reason"] == "NewReplicaSetAvailable");
        let what =
            sets.new.map_or_else(|| format!("Deployment {:?}", self.object.name), |at| format!("ReplicaSet {:?}", sets.all[at].name()));
        let mut overdue = None;
        if self.has_deadline() && !done_before {
            let wanted = self.replicas();
            let complete = ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|f| count(&status, f) == wanted);
            let now = self.context.stamp();
            let make = |holds: &str, reason: &str, message: String| json!({"type": "Progressing", "status": holds, "reason": reason, "message": message, "lastUpdateTime": now});
            if complete {
                set(&mut status, make("True", "NewReplicaSetAvailable", format!("{what} has successfully progressed.")), &now);
            } else if self.progressed(&status) {
                // The time of its last progress is what the deadline counts from, so it is written each time.
                set_condition(&mut status, make("True", "ReplicaSetUpdated", format!("{what} is progressing.")), &now);
            } else if self.timed_out(current.as_ref()) {
                set(&mut status, make("False", "ProgressDeadlineExceeded", format!("{what} has timed out progressing.")), &now);
            } else {
                overdue = self.due(current.as_ref());
            }
        }
        let failing = sets.all.iter().rev().find_map(|s| condition(&s.value["status"], "ReplicaFailure")).cloned();
        match failing {
            Some(mut failing) => {
                let now = self.context.stamp();
                failing["lastUpdateTime"] = json!(now);
                set(&mut status, failing, &now);
            }
            None => drop_condition(&mut status, "ReplicaFailure"),
        }
        self.put(&status)?;
        Ok(overdue)
    }

    /// Source: `DeploymentProgressing`.
    fn progressed(&self, status: &Value) -> bool {
        let count = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
        let had = &self.value["status"];
        let old = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
        count(status, "updatedReplicas") > count(had, "updatedReplicas")
            || old(status) < old(had)
            || count(status, "readyReplicas") > count(had, "readyReplicas")
            || count(status, "availableReplicas") > count(had, "availableReplicas")
    }

    fn due(&self, current: Option<&Value>) -> Option<Timestamp> {
        let current = current.filter(|c| c["reason"] != "NewReplicaSetAvailable" && c["reason"] != "ProgressDeadlineExceeded")?;
        // Times in objects are whole seconds: one more, to be past it.
        Some(crate::clock::seconds_later(time(&current["lastUpdateTime"])?, self.deadline().saturating_add(1)))
    }

    /// Source: `DeploymentTimedOut`.
    fn timed_out(&self, current: Option<&Value>) -> bool {
        current.is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded") || self.due(current).is_some_and(|at| at <= self.context.now())
    }
}
