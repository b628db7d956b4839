//! How containers and pods end. Source: kubelet `kuberuntime_container.go` (`killContainer`) and `pod_workers.go` (termination).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::advance::{reason_of, sooner};
use super::engine::{Done, Engine};
use super::pod::{Pod, Role, State};
use super::status;
use crate::api::Delete;
use crate::clock::stamp;

impl Engine {
    /// A container's process ended by itself or because it was told to.
    pub(super) fn exited(&mut self, id: u64, at: usize, serial: u64, code: i32, reason: &str) {
        let Some(mut pod) = self.take_pod(id) else { return };
        if pod.containers[at].run.as_ref().is_some_and(|r| r.serial == serial) {
            self.end(&mut pod, at, code, reason, true);
        }
        self.pods.insert(id, pod);
        self.touch(id);
    }

    /// Ends a container from outside.
    pub(super) fn end_now(&mut self, id: u64, at: usize, code: i32) {
        let Some(mut pod) = self.take_pod(id) else { return };
        if pod.containers[at].run.is_some() {
            self.end(&mut pod, at, code, reason_of(code), true);
        }
        self.pods.insert(id, pod);
        self.touch(id);
    }

    /// Keeps how a container ended. `tell` writes that at once, so that whoever watches sees it before the container runs again.
    pub(super) fn end(&mut self, pod: &mut Pod, at: usize, code: i32, reason: &str, tell: bool) {
        let now = self.api.clock().now();
        let Some(run) = pod.containers[at].run.take() else { return };
        run.instance.stop();
        self.shared.instances.ended(&pod.namespace, &pod.name, &pod.containers[at].name);
        let ended = json!({
            "exitCode": code, "reason": reason, "startedAt": stamp(run.since), "finishedAt": stamp(now),
            "containerID": format!("containerd://{}", run.id),
        });
        pod.containers[at].state = State::Ended(ended, now);
        self.record_container(pod, at, false, run.since);
        if tell && self.active(&pod.node) && pod.stopping.is_none() {
            status::compute(pod, self.api.clock());
            self.post(pod);
        }
    }

    /// Ends by force what did not end in its time.
    pub(super) fn force(&mut self, _id: u64, pod: &mut Pod, now: Timestamp, next: &mut Option<Timestamp>) {
        for at in 0..pod.containers.len() {
            match pod.containers[at].run.as_ref().and_then(|r| r.kill_at) {
                Some(kill_at) if kill_at <= now => self.end(pod, at, 137, "Error", true),
                Some(kill_at) => sooner(next, kill_at),
                None => {}
            }
        }
    }

    /// The image of a container is the one thing of a pod's programs that can be changed. Source: `computePodActions`, `containerChanged`.
    pub(super) fn follow_spec(&mut self, id: u64, old: &Value) {
        let now = self.api.clock().now();
        let Some(mut pod) = self.take_pod(id) else { return };
        let init = pod.containers.iter().filter(|c| c.role != Role::Main).count();
        for at in 0..pod.containers.len() {
            let before = if at < init { &old["spec"]["initContainers"][at] } else { &old["spec"]["containers"][at - init] };
            if before["image"] == pod.spec(at)["image"] {
                continue;
            }
            let grace = pod.object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
            let container = &mut pod.containers[at];
            container.fresh = false;
            container.hold = None;
            if let Some(run) = container.run.as_mut().filter(|r| r.kill_at.is_none()) {
                run.kill_at = Some(crate::clock::later(now, Duration::from_secs(grace)));
                run.instance.stop();
                let text = format!("Container {} definition changed, will be restarted", container.name);
                self.recorder.record(now, pod.about(Some(at)), false, "Killing", text);
            } else if container.run.is_none() {
                container.image = None;
            }
        }
        self.pods.insert(id, pod);
    }

    /// Tells containers to end: the main ones first, then sidecars, the last one first.
    pub(super) fn advance_stop(&mut self, id: u64, pod: &mut Pod, now: Timestamp, next: &mut Option<Timestamp>) {
        let Some(stopping) = pod.stopping else { return };
        let runs = |pod: &Pod, role: Role| {
            (0..pod.containers.len()).filter(|&at| pod.containers[at].role == role && pod.containers[at].run.is_some()).collect::<Vec<_>>()
        };
        let mut turn = runs(pod, Role::Main);
        turn.extend(runs(pod, Role::Init));
        if turn.is_empty() {
            turn.extend(runs(pod, Role::Sidecar).pop());
        }
        for at in turn {
            let hook = pod.spec(at)["lifecycle"]["preStop"].clone();
            let Some(run) = pod.containers[at].run.as_mut() else { continue };
            if run.kill_at.is_some() {
                run.kill_at = run.kill_at.min(Some(stopping.deadline));
                sooner(next, stopping.deadline);
                continue;
            }
            run.kill_at = Some(stopping.deadline);
            sooner(next, stopping.deadline);
            let (instance, serial, name) = (std::sync::Arc::clone(&run.instance), run.serial, pod.containers[at].name.clone());
            self.recorder.record(now, pod.about(Some(at)), false, "Killing", format!("Stopping container {name}"));
            match hook["sleep"]["seconds"].as_u64() {
                Some(seconds) if stopping.deadline > now => {
                    let clock = self.api.clock().clone();
                    self.effects.push(Box::pin(async move {
                        clock.sleep(Duration::from_secs(seconds)).await;
                        Done::PreStop { pod: id, container: at, serial }
                    }));
                }
                _ => instance.stop(),
            }
            // Most programs end at once; what they say about it comes as an effect, unless it is there already.
            let ended = instance.process().borrow().clone();
            if let crate::workload::Process::Exited { code, reason } = ended {
                self.end(pod, at, code, &reason, false);
            }
        }
        let left = |pod: &Pod| pod.containers.iter().any(|c| c.run.is_some());
        if left(pod) && pod.containers.iter().all(|c| c.run.as_ref().is_none_or(|r| r.kill_at.is_none())) {
            // Only sidecars are left, and it is their turn now.
            self.advance_stop(id, pod, now, next);
        }
    }

    /// Writes what changed in the status.
    pub(super) fn post(&mut self, pod: &mut Pod) {
        if pod.status == pod.posted {
            return;
        }
        let (mut mine, mut before) = (false, 0);
        let written = self.api.modify("pods", (&pod.namespace, &pod.name), |value| {
            mine = value["metadata"]["uid"] == pod.uid.as_str();
            if mine {
                before = value["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0);
                status::onto(&mut value["status"], &pod.status);
            }
            mine
        });
        let Ok(object) = written else { return };
        if mine {
            pod.posted = pod.status.clone();
            // The store's object is what the kubelet knew plus its own status only if nobody wrote in between; `observe` reads it otherwise.
            if before == pod.revision {
                pod.revision = object.revision;
            }
        }
    }

    /// What follows the last status: the object is removed, or the pod just stays as it ended.
    pub(super) fn finish(&mut self, pod: &mut Pod) {
        if pod.containers.iter().any(|c| c.run.is_some()) || !pod.engaged() {
            // A pod that templates alone made has nothing that must end first.
            return;
        }
        if pod.stopping.is_some_and(|s| s.delete) {
            pod.finished = true;
            self.remove_object(pod);
        } else if matches!(pod.status["phase"].as_str(), Some("Succeeded" | "Failed"))
            && !pod.object["metadata"]["deletionTimestamp"].is_string()
        {
            self.release(pod);
        }
    }

    /// A pod that ended gives its address back.
    fn release(&mut self, pod: &mut Pod) {
        if pod.released {
            return;
        }
        pod.released = true;
        if let (Some(ip), Some(node)) = (&pod.ip, self.nodes.get_mut(&pod.node)) {
            node.release(ip);
        }
    }

    /// The kubelet's last word. It may be gone already, or others may hold it with finalizers.
    pub(super) fn remove_object(&mut self, pod: &Pod) {
        if let Some(resource) = self.api.resource("pods") {
            let options = Delete { grace_seconds: Some(0), uid: Some(pod.uid.clone()), ..Delete::default() };
            drop(self.api.delete(&resource, (&pod.namespace, &pod.name), &options));
        }
    }
}
