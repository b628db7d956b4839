//! The stages of a pod: which are due, and what playing one does. Source: kwok `pkg/utils/lifecycle` and `pod_controller.go`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::advance::sooner;
use super::engine::Engine;
use super::pod::{Played, Pod, Role, init_done};
use super::stages::{Effect, Stage, Subject, fill, merge};
use super::status;
use crate::clock::stamp;

impl Engine {
    /// Plays the first stage that is due; says whether there was one. Those that were played are looked at once in a step, in its first round.
    pub(super) fn play(&mut self, pod: &mut Pod, first: bool, now: Timestamp, next: &mut Option<Timestamp>) -> bool {
        let stages = Arc::clone(&self.stages);
        for (at, stage) in stages.all().iter().filter(|s| s.resource == Subject::Pod).enumerate() {
            if !first && pod.stages[at] == Some(Played::Done) {
                continue;
            }
            if stage.selector.asks_status() {
                self.refresh(pod);
            }
            if !stage.matches(&pod.object, &pod.status, &|name| self.answer(pod, name)) {
                pod.stages[at] = None;
                continue;
            }
            let due = match pod.stages[at] {
                Some(Played::Done) => continue,
                Some(Played::Due(due)) => due,
                None => {
                    let due = crate::clock::later(now, stage.delay_for(&pod.object));
                    pod.stages[at] = Some(Played::Due(due));
                    due
                }
            };
            if due > now {
                sooner(next, due);
                continue;
            }
            pod.stages[at] = Some(Played::Done);
            if stage.next.status.is_object() {
                self.refresh(pod);
            }
            self.perform(pod, stage, now);
            return true;
        }
        false
    }

    fn perform(&mut self, pod: &mut Pod, stage: &Stage, now: Timestamp) {
        let engaged = pod.engaged();
        match stage.effect {
            Effect::None | Effect::Renew => {}
            Effect::Pull => pod.may_pull = true,
            Effect::Start => pod.may_start = true,
            Effect::Probe => pod.may_be_ready = true,
            Effect::Stop => Self::begin_stop(pod, now, stage.next.delete),
        }
        if stage.next.delete && stage.effect != Effect::Stop {
            Self::begin_stop(pod, now, true);
        }
        if let Some(event) = &stage.next.event {
            let message = fill(&json!(event.message), &|name| self.answer(pod, name));
            let text = message.as_str().unwrap_or_default().to_owned();
            self.recorder.record(now, pod.about(None), event.r#type == "Warning", &event.reason, text);
        }
        let finalizers = &stage.next.finalizers;
        if finalizers.empty || !finalizers.add.is_empty() || !finalizers.remove.is_empty() {
            // A pod that is gone meanwhile has no finalizers to change.
            let _ = self.api.modify("pods", (&pod.namespace, &pod.name), |value| {
                let mut list: Vec<Value> = value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                list.retain(|f| !finalizers.empty && f.as_str().is_none_or(|f| !finalizers.remove.iter().any(|r| r == f)));
                list.extend(finalizers.add.iter().map(|f| json!(f)));
                value["metadata"]["finalizers"] = json!(list);
                true
            });
        }
        if stage.next.status.is_object() {
            let part = fill(&stage.next.status, &|name| self.answer(pod, name));
            merge(&mut pod.status, &part, &stamp(now));
            if engaged && stage.effect == Effect::None {
                pod.overlay.push(part);
            }
            // A template without an effect is a state of its own that whoever watches gets to see.
            if stage.effect == Effect::None {
                self.post(pod);
            }
        }
    }

    /// What selectors and templates can ask for.
    fn answer(&self, pod: &Pod, name: &str) -> Value {
        let node = self.nodes.get(&pod.node);
        let text = |why: Option<(&str, String)>, first: bool| why.map_or(Value::Null, |(r, m)| json!(if first { r } else { &m }));
        match name {
            "now" => json!(self.api.clock().stamp()),
            "podIP" => pod.ip.as_ref().map_or_else(|| node.map_or(Value::Null, |n| json!(n.peek())), |ip| json!(ip)),
            "hostIP" => node.map_or(Value::Null, |n| json!(n.ip())),
            "nodeName" => json!(&*pod.node),
            "qosClass" => json!(status::qos(&pod.object["spec"])),
            "startTime" => pod.status["startTime"].clone(),
            "containers" if pod.engaged() => json!(Self::containers_are(pod)),
            // In a template it is the names of those that are not ready.
            "containers" => json!(status::unready(pod).join(" ")),
            "images" => {
                let waits = |at: usize| pod.containers[at].image.is_none() && pod.containers[at].run.is_none();
                json!(if pod.mounted && Self::wanted(pod).into_iter().any(|at| !waits(at)) { "Present" } else { "Pending" })
            }
            "initialized" => json!(if status::uninitialised(pod).is_some() { "False" } else { "True" }),
            "initializedReason" => text(status::uninitialised(pod), true),
            "initializedMessage" => text(status::uninitialised(pod), false),
            "containerStatuses" => status::container_statuses(pod, true),
            "initContainerStatuses" => status::container_statuses(pod, false),
            _ => Value::Null,
        }
    }

    fn containers_are(pod: &Pod) -> &'static str {
        let mains = || pod.containers.iter().enumerate().filter(|(_, c)| c.role == Role::Main);
        let ended = |at: usize| pod.containers[at].run.is_none() && pod.containers[at].code().is_some() && !pod.runs_again(at);
        let init_failed = pod.containers.iter().enumerate().any(|(at, c)| c.role == Role::Init && ended(at) && !init_done(c));
        if init_failed || mains().all(|(at, _)| ended(at)) {
            "Ended"
        } else if mains().any(|(_, c)| c.run.is_some()) {
            "Running"
        } else {
            "Waiting"
        }
    }
}
