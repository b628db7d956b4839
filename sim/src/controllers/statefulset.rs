//! Numbered pods, one after the other. Source: `pkg/controller/statefulset`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{controller_ref, items, scaled, text};
use super::history;
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::recorder::About;
use super::replicaset::{adopt, release};
use super::selector::Selector;
use super::template;
use crate::api::Delete;
use crate::failure::Failure;
use crate::store::Object;

const ID: &str = "statefulsets.apps";
const SOURCE: &str = "statefulset-controller";

/// The number at the end of a pod's name.
fn ordinal(set: &str, pod: &str) -> Option<i64> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(object) = context.api.store().get(ID, namespace, name) else { return Ok(None) };
    if object.deleting {
        return Ok(None);
    }
    let set = object.value();
    let selector = Selector::read(&set["spec"]["selector"]);
    adopt(context, &object, &selector, "apps/v1", "StatefulSet")?;
    release(context, &object, &selector)?;
    let update = history::current(context, "StatefulSet", &object, &set)?;
    let revisions = history::all(context, &object);
    let current_name = set["status"]["currentRevision"].as_str().unwrap_or(&update.name).to_owned();
    let current_template =
        revisions.iter().find(|r| r.name == current_name).map_or_else(|| set["spec"]["template"].clone(), history::Revision::template);
    let found = context.pods.owned(&object.uid).filter_map(|p| Some((ordinal(name, &p.object.name)?, Arc::clone(p))));
    let work = Work {
        object: &object,
        replicas: set["spec"]["replicas"].as_i64().unwrap_or(1),
        start: set["spec"]["ordinals"]["start"].as_i64().unwrap_or(0),
        parallel: set["spec"]["podManagementPolicy"] == "Parallel",
        partition: set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0),
        pods: found.collect(),
        update: update.name,
        current: current_name,
        current_template,
        set,
    };
    let again = work.act(context)?;
    work.status(context)?;
    let used: Vec<&str> = work.pods.values().map(|p| history::of(&p.object)).chain([&*work.update, &*work.current]).collect();
    history::clean_up(context, &object, &work.set, |r| used.contains(&&*r.name))?;
    Ok(again)
}

struct Work<'a> {
    object: &'a Object,
    set: Value,
    replicas: i64,
    start: i64,
    parallel: bool,
    partition: i64,
    pods: BTreeMap<i64, Arc<Pod>>,
    update: String,
    current: String,
    current_template: Value,
}

impl Work<'_> {
    fn about(&self) -> About<'_> {
        About { api_version: "apps/v1", kind: "StatefulSet", object: self.object }
    }

    fn available(&self, pod: &Pod, now: Timestamp) -> Result<bool, Timestamp> {
        if pod.object.deleting {
            return Ok(false);
        }
        pod.available(self.set["spec"]["minReadySeconds"].as_i64().unwrap_or(0), now)
    }

    /// One step, or with parallel management all of them. Source: `stateful_set_control.go` `updateStatefulSet`.
    fn act(&self, context: &mut Context) -> Outcome {
        let now = context.now();
        for at in self.start..self.start + self.replicas {
            match self.pods.get(&at) {
                Some(pod) if pod.ended() && !pod.object.deleting => {
                    let (reason, how) =
                        ("RecreatingFailedPod", if pod.phase == super::pods::Phase::Failed { "failed" } else { "terminated" });
                    let message =
                        format!("StatefulSet {}/{} is recreating {how} Pod {}", self.object.namespace, self.object.name, pod.object.name);
                    context.recorder.event(&context.api, SOURCE, &self.about(), "Warning", reason, &message);
                    self.delete(context, pod)?;
                    if !self.parallel {
                        return Ok(None);
                    }
                }
                None => {
                    self.create(context, at)?;
                    if !self.parallel {
                        return Ok(None);
                    }
                }
                Some(pod) if !self.parallel => match self.available(pod, now) {
                    Ok(true) => {}
                    Ok(false) => return Ok(None),
                    Err(later) => return Ok(Some(later)),
                },
                Some(_) => {}
            }
        }
        for (_, pod) in self.pods.iter().rev().filter(|(at, _)| **at < self.start || **at >= self.start + self.replicas) {
            if !pod.object.deleting {
                self.delete(context, pod)?;
            }
            if !self.parallel {
                return Ok(None);
            }
        }
        if self.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
            return Ok(None);
        }
        let most = &self.set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
        let most = if most.is_null() { 1 } else { scaled(most, self.replicas, true).max(1) };
        let mut out = 0;
        let mut again = None;
        for at in (self.start + self.partition..self.start + self.replicas).rev() {
            let Some(pod) = self.pods.get(&at) else { return Ok(again) };
            if history::of(&pod.object) != self.update && !pod.object.deleting {
                self.delete(context, pod)?;
                out += 1;
            } else {
                match self.available(pod, now) {
                    Ok(true) => {}
                    Ok(false) => out += 1,
                    Err(later) => (out, again) = (out + 1, Some(later)),
                }
            }
            if out >= most {
                break;
            }
        }
        Ok(again)
    }

    fn create(&self, context: &mut Context, at: i64) -> Result<(), Failure> {
        let old = at < self.start + self.partition && self.current != self.update;
        let (template, revision) =
            if old { (&self.current_template, &self.current) } else { (&self.set["spec"]["template"], &self.update) };
        let mut pod = template::pod(template, &controller_ref("apps/v1", "StatefulSet", self.object));
        let name = format!("{}-{at}", self.object.name);
        pod["metadata"]["name"] = json!(name);
        template::label(&mut pod, history::HASH, revision);
        template::label(&mut pod, "statefulset.kubernetes.io/pod-name", &name);
        template::label(&mut pod, "apps.kubernetes.io/pod-index", &at.to_string());
        pod["spec"]["hostname"] = json!(name);
        pod["spec"]["subdomain"] = self.set["spec"]["serviceName"].clone();
        self.claim(context, &mut pod, &name)?;
        match context.api.make("pods", &self.object.namespace, pod) {
            Ok(_) => {
                let message = format!("create Pod {name} in StatefulSet {} successful", self.object.name);
                context.recorder.event(&context.api, SOURCE, &self.about(), "Normal", "SuccessfulCreate", &message);
                Ok(())
            }
            Err(failure) => {
                let message = format!("create Pod {name} in StatefulSet {} failed error: {failure}", self.object.name);
                context.recorder.event(&context.api, SOURCE, &self.about(), "Warning", "FailedCreate", &message);
                Err(failure)
            }
        }
    }

    /// The volume claims of a pod, which stay when it goes.
    fn claim(&self, context: &Context, pod: &mut Value, name: &str) -> Result<(), Failure> {
        let templates = items(&self.set["spec"]["volumeClaimTemplates"]);
        if templates.is_empty() {
            return Ok(());
        }
        let mut volumes: Vec<Value> = items(&pod["spec"]["volumes"]).to_vec();
        for template in templates {
            let volume = text(&template["metadata"]["name"]);
            let claim = format!("{volume}-{name}");
            volumes.retain(|v| v["name"] != volume);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
            if context.api.store().get("persistentvolumeclaims", &self.object.namespace, &claim).is_none() {
                let mut value = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": template["metadata"]});
                value["metadata"]["name"] = json!(claim);
                value["metadata"]["labels"] = self.set["spec"]["selector"]["matchLabels"].clone();
                value["spec"] = template["spec"].clone();
                context.api.make("persistentvolumeclaims", &self.object.namespace, value)?;
            }
        }
        pod["spec"]["volumes"] = json!(volumes);
        Ok(())
    }

    fn delete(&self, context: &mut Context, pod: &Pod) -> Result<(), Failure> {
        let Some(resource) = context.api.resource("pods") else { return Ok(()) };
        let options = Delete { uid: Some(pod.object.uid.to_string()), ..Delete::default() };
        match context.api.delete(&resource, (&pod.object.namespace, &pod.object.name), &options) {
            Err(failure) if failure.reason != "NotFound" => return Err(failure),
            _ => {}
        }
        let message = format!("delete Pod {} in StatefulSet {} successful", pod.object.name, self.object.name);
        context.recorder.event(&context.api, SOURCE, &self.about(), "Normal", "SuccessfulDelete", &message);
        Ok(())
    }

    fn status(&self, context: &Context) -> Result<(), Failure> {
        let now = context.now();
        let pods = || context.pods.owned(&self.object.uid).filter(|p| !p.ended());
        let count = |holds: &dyn Fn(&Pod) -> bool| i64::try_from(pods().filter(|p| holds(p)).count()).unwrap_or(0);
        let updated = count(&|p| history::of(&p.object) == self.update && !p.object.deleting);
        let ready = count(&|p| p.ready);
        let had = &self.set["status"];
        let mut status = if had.is_object() { had.clone() } else { json!({}) };
        // When all are of the new revision, it is the current one.
        let done = updated == self.replicas && count(&|_| true) == self.replicas && ready == self.replicas;
        let current_name = if done { &self.update } else { &self.current };
        let current = count(&|p| history::of(&p.object) == *current_name && !p.object.deleting);
        status["replicas"] = json!(count(&|_| true));
        status["availableReplicas"] = json!(count(&|p| self.available(p, now) == Ok(true)));
        for (field, count) in [("readyReplicas", ready), ("currentReplicas", current), ("updatedReplicas", updated)] {
            if count > 0 {
                status[field] = json!(count);
            } else {
                status.as_object_mut().map(|s| s.remove(field));
            }
        }
        status["currentRevision"] = json!(current_name);
        status["updateRevision"] = json!(self.update);
        status["collisionCount"] = json!(had["collisionCount"].as_i64().unwrap_or(0));
        status["observedGeneration"] = self.set["metadata"]["generation"].clone();
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
