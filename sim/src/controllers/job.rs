//! Runs pods to completion. Source: `pkg/controller/job`.
//!
//! Pods are counted as they are there: the finalizer that upstream tracks them with is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{condition, controller_ref, holds, set_condition, time};
use super::kernel::{Context, Outcome};
use super::pods::{Phase, Pod};
use super::recorder::About;
use super::replicaset::{delete_pod, make_pod};
use super::template;
use crate::api::Propagation;
use crate::clock::seconds_later;
use crate::failure::Failure;
use crate::store::Object;

const ID: &str = "jobs.batch";
const SOURCE: &str = "job-controller";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The first wait after a failure, doubled with each further one, up to ten minutes.
const FIRST_WAIT: i64 = 10;
const LONGEST_WAIT: i64 = 600;

fn index(pod: &Pod) -> Option<i64> {
    pod.object.label(INDEX)?.parse().ok()
}

/// `1,3-5`.
fn intervals(indexes: &BTreeSet<i64>) -> String {
    let mut parts: Vec<(i64, i64)> = Vec::new();
    for at in indexes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *at => *last = *at,
            _ => parts.push((*at, *at)),
        }
    }
    let text = |(a, b): (i64, i64)| match b - a {
        0 => a.to_string(),
        1 => format!("{a},{b}"),
        _ => format!("{a}-{b}"),
    };
    parts.into_iter().map(text).collect::<Vec<_>>().join(",")
}

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(object) = context.api.store().get(ID, namespace, name) else { return Ok(None) };
    let job = object.value();
    if object.deleting {
        return Ok(None);
    }
    if let Some(ended) = ["Complete", "Failed"].into_iter().find(|kind| holds(&job["status"], kind)) {
        return expire(context, &object, &job, ended);
    }
    let pods: Vec<Arc<Pod>> = context.pods.owned(&object.uid).cloned().collect();
    let work = Work::new(&object, &job, &pods, context.now());
    work.run(context)
}

/// Deletes what ended some time ago, where the job says so. Source: `pkg/controller/ttlafterfinished`.
fn expire(context: &Context, object: &Object, job: &Value, ended: &str) -> Outcome {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return Ok(None) };
    let since = condition(&job["status"], ended).and_then(|c| time(&c["lastTransitionTime"])).unwrap_or_default();
    let at = seconds_later(since, seconds);
    if at > context.now() {
        return Ok(Some(at));
    }
    super::gc::remove(&context.api, ID, object, Propagation::Foreground)?;
    Ok(None)
}

struct Work<'a> {
    object: &'a Object,
    job: &'a Value,
    active: Vec<&'a Arc<Pod>>,
    succeeded: i64,
    failed: i64,
    done: BTreeSet<i64>,
    last_failure: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> Work<'a> {
    fn new(object: &'a Object, job: &'a Value, pods: &'a [Arc<Pod>], now: Timestamp) -> Self {
        let count = |phase: Phase| i64::try_from(pods.iter().filter(|p| p.phase == phase).count()).unwrap_or(0);
        // What is gone by now was counted before.
        let known = |field: &str| job["status"][field].as_i64().unwrap_or(0);
        let done: BTreeSet<i64> = pods.iter().filter(|p| p.phase == Phase::Succeeded).filter_map(|p| index(p)).collect();
        let indexed = job["spec"]["completionMode"] == "Indexed";
        let succeeded = if indexed { i64::try_from(done.len()).unwrap_or(0) } else { count(Phase::Succeeded) };
        Self {
            object,
            job,
            active: pods.iter().filter(|p| p.active()).collect(),
            succeeded: succeeded.max(known("succeeded")),
            failed: count(Phase::Failed).max(known("failed")),
            done,
            last_failure: pods.iter().filter(|p| p.phase == Phase::Failed).map(|p| p.created).max(),
            now,
        }
    }

    fn about(&self) -> About<'_> {
        About { api_version: "batch/v1", kind: "Job", object: self.object }
    }

    fn run(&self, context: &mut Context) -> Outcome {
        let spec = &self.job["spec"];
        let parallelism = spec["parallelism"].as_i64().unwrap_or(1);
        let completions = spec["completions"].as_i64();
        let limit = spec["backoffLimit"].as_i64().unwrap_or(6);
        let deadline = spec["activeDeadlineSeconds"].as_i64();
        let started = time(&self.job["status"]["startTime"]);
        let due = deadline.zip(started).map(|(seconds, at)| seconds_later(at, seconds));
        let suspended = spec["suspend"] == true;
        let active = i64::try_from(self.active.len()).unwrap_or(0);
        let complete = match completions {
            Some(all) => self.succeeded >= all,
            // Without a number, one success ends it when all others have ended.
            None => self.succeeded > 0 && active == 0,
        };
        let failure = if self.failed > limit {
            Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit"))
        } else if due.is_some_and(|at| at <= self.now) && !suspended {
            Some(("DeadlineExceeded", "Job was active longer than specified deadline"))
        } else {
            None
        };
        if complete || failure.is_some() || suspended {
            for pod in &self.active {
                delete_pod(context, SOURCE, &self.about(), &pod.object)?;
            }
            self.finish(context, complete, failure, suspended)?;
            return Ok(None);
        }
        let mut again = due;
        let wanted =
            completions.map_or(if self.succeeded > 0 { active } else { parallelism }, |all| (all - self.succeeded).min(parallelism));
        let wait = self.wait();
        if active > wanted {
            let surplus = usize::try_from(active - wanted).unwrap_or(0);
            for pod in self.active.iter().rev().take(surplus) {
                delete_pod(context, SOURCE, &self.about(), &pod.object)?;
            }
        } else if active < wanted && wait.is_some() {
            again = [again, wait].into_iter().flatten().min();
        } else {
            self.create(context, wanted - active, completions)?;
        }
        let active =
            i64::try_from(context.pods.owned(&self.object.uid).filter(|p| p.active()).count()).unwrap_or(0).max(wanted.min(active));
        self.status(context, active, &[])?;
        Ok(again)
    }

    /// Until when nothing new is started after failures.
    fn wait(&self) -> Option<Timestamp> {
        let doublings = u32::try_from((self.failed - 1).clamp(0, 10)).unwrap_or(0);
        let seconds = (FIRST_WAIT << doublings).min(LONGEST_WAIT);
        self.last_failure.map(|at| seconds_later(at, seconds)).filter(|at| *at > self.now)
    }

    fn create(&self, context: &mut Context, count: i64, completions: Option<i64>) -> Result<(), Failure> {
        let indexed = self.job["spec"]["completionMode"] == "Indexed";
        let taken: BTreeSet<i64> = self.active.iter().filter_map(|p| index(p)).collect();
        let mut free = (0..completions.unwrap_or(0)).filter(|at| !taken.contains(at) && !self.done.contains(at));
        for _ in 0..count {
            let mut pod = template::pod(&self.job["spec"]["template"], &controller_ref("batch/v1", "Job", self.object));
            pod["metadata"]["generateName"] = json!(template::prefix(&self.object.name));
            if indexed {
                let Some(at) = free.next() else { break };
                pod["metadata"]["generateName"] = json!(format!("{}-{at}-", self.object.name));
                template::label(&mut pod, INDEX, &at.to_string());
                pod["metadata"]["annotations"][INDEX] = json!(at.to_string());
                pod["spec"]["hostname"] = json!(format!("{}-{at}", self.object.name));
                let field = json!({"fieldRef": {"fieldPath": format!("metadata.labels['{INDEX}']")}});
                for kind in ["initContainers", "containers"] {
                    for container in pod["spec"][kind].as_array_mut().into_iter().flatten() {
                        let mut all = container["env"].as_array().cloned().unwrap_or_default();
                        all.push(json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": field}));
                        container["env"] = json!(all);
                    }
                }
            }
            make_pod(context, SOURCE, &self.about(), pod)?;
        }
        Ok(())
    }

    fn finish(&self, context: &mut Context, complete: bool, failure: Option<(&str, &str)>, suspended: bool) -> Result<(), Failure> {
        let condition =
            |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message});
        if complete {
            let (reason, message) = ("CompletionsReached", "Reached expected number of succeeded pods");
            context.recorder.event(&context.api, SOURCE, &self.about(), "Normal", "Completed", "Job completed");
            return self.status(context, 0, &[condition("SuccessCriteriaMet", reason, message), condition("Complete", reason, message)]);
        }
        if let Some((reason, message)) = failure {
            context.recorder.event(&context.api, SOURCE, &self.about(), "Warning", reason, message);
            return self.status(context, 0, &[condition("FailureTarget", reason, message), condition("Failed", reason, message)]);
        }
        debug_assert!(suspended);
        if !holds(&self.job["status"], "Suspended") {
            context.recorder.event(&context.api, SOURCE, &self.about(), "Normal", "Suspended", "Job suspended");
        }
        self.status(context, 0, &[condition("Suspended", "JobSuspended", "Job suspended")])
    }

    fn status(&self, context: &Context, active: i64, conditions: &[Value]) -> Result<(), Failure> {
        let had = &self.job["status"];
        let mut status = if had.is_object() { had.clone() } else { json!({}) };
        let now = context.stamp();
        let suspended = conditions.iter().any(|c| c["type"] == "Suspended");
        if suspended {
            status.as_object_mut().map(|s| s.remove("startTime"));
        } else if status["startTime"].is_null() {
            status["startTime"] = json!(now);
        }
        if !suspended && holds(&status, "Suspended") {
            let resumed = json!({"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"});
            set_condition(&mut status, resumed, &now);
        }
        let ready = i64::try_from(self.active.iter().filter(|p| p.ready).count()).unwrap_or(0);
        for (field, count) in [("active", active), ("succeeded", self.succeeded), ("failed", self.failed)] {
            if count > 0 {
                status[field] = json!(count);
            } else {
                status.as_object_mut().map(|s| s.remove(field));
            }
        }
        status["ready"] = json!(if active == 0 { 0 } else { ready });
        status["terminating"] = json!(0);
        status["uncountedTerminatedPods"] = json!({});
        if self.job["spec"]["completionMode"] == "Indexed" && !self.done.is_empty() {
            status["completedIndexes"] = json!(intervals(&self.done));
        }
        for condition in conditions {
            let mut condition = condition.clone();
            condition["lastProbeTime"] = json!(now);
            if super::fields::condition(&status, super::fields::text(&condition["type"])).is_none_or(|c| c["status"] != condition["status"])
            {
                set_condition(&mut status, condition.clone(), &now);
            }
            if condition["type"] == "Complete" {
                status["completionTime"] = json!(now);
            }
        }
        if status != *had {
            context.api.modify(ID, (&self.object.namespace, &self.object.name), |value| {
                let same = value["metadata"]["uid"] == *self.object.uid;
                if same {
                    value["status"] = status.clone();
                }
                same
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_indexes_are_written_as_intervals() {
        assert_eq!(intervals(&BTreeSet::from([0, 2, 3, 5, 6, 7])), "0,2,3,5-7");
    }
}
