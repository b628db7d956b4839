//! One step of a pod: its stages, its volumes and address, its containers in their order, its status. Source of the order: kubelet
//! `kuberuntime_manager.go`, `SyncPod` and `computePodActions`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::engine::{Done, Engine};
use super::instances::Guarded;
use super::pod::{Pod, Role, Run, State, Stopping, init_done};
use super::runtime::ContainerRecord;
use super::{config, probe, status};
use crate::workload::{Instance, Log, Process, Start};

/// How often a container whose configuration or image is wrong is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How often a runtime that is down is looked for. Source: kubelet `syncLoop`, the longest delay after `runtimeErrors`.
const RUNTIME_RETRY: Duration = Duration::from_secs(5);

/// 64 random hexadecimal digits, as containerd's ids have them.
pub(super) fn hex64() -> String {
    let mut bytes = [0; 32];
    // Without the system's source of randomness nothing else would work either.
    getrandom::fill(&mut bytes).expect("the system has randomness");
    hex::encode(bytes)
}

impl Engine {
    /// Brings a pod on as far as it goes now.
    pub(super) fn sync(&mut self, id: u64, pod: &mut Pod) {
        if pod.finished {
            return;
        }
        let now = self.api.clock().now();
        let mut next: Option<Timestamp> = None;
        if pod.object["metadata"]["deletionTimestamp"].is_string() && super::mirror::is_mirror(&pod.object) {
            // Whoever deletes a mirror does not delete what it mirrors.
            self.remove_object(pod);
            return;
        }
        self.deadline(pod, now, &mut next);
        for round in 0..=self.pod_stages {
            if pod.engaged() {
                self.advance(id, pod, now, &mut next);
                pod.stale = true;
            }
            if !self.play(pod, round == 0, now, &mut next) {
                break;
            }
        }
        self.refresh(pod);
        self.post(pod);
        self.finish(pod);
        if let Some(at) = next {
            self.wake(id, pod, at);
        }
    }

    /// Source: kubelet `active_deadline.go`.
    fn deadline(&mut self, pod: &mut Pod, now: Timestamp, next: &mut Option<Timestamp>) {
        let Some(seconds) = pod.object["spec"]["activeDeadlineSeconds"].as_u64() else { return };
        let Some(started) = pod.status["startTime"].as_str().and_then(|s| s.parse::<Timestamp>().ok()) else { return };
        let at = crate::clock::later(started, Duration::from_secs(seconds));
        if pod.failed.is_some() {
            return;
        }
        if at > now {
            sooner(next, at);
            return;
        }
        let message = "Pod was active on the node longer than the specified deadline";
        pod.failed = Some(("DeadlineExceeded", message.to_owned()));
        self.recorder.record(now, pod.about(None), false, "DeadlineExceeded", message.to_owned());
        Self::begin_stop(pod, now, false);
    }

    /// Brings the status up to what the containers do.
    pub(super) fn refresh(&self, pod: &mut Pod) {
        if std::mem::take(&mut pod.stale) {
            status::compute(pod, self.api.clock());
        }
    }

    /// The containers that are to run now: init containers one after the other, sidecars among them from their turn on, then the others.
    pub(super) fn wanted(pod: &Pod) -> Vec<usize> {
        let mut wanted = Vec::new();
        for (at, container) in pod.containers.iter().enumerate() {
            match container.role {
                Role::Init if init_done(container) => {}
                Role::Init => {
                    wanted.push(at);
                    return wanted;
                }
                Role::Sidecar => {
                    wanted.push(at);
                    if !init_done(container) {
                        return wanted;
                    }
                }
                Role::Main => wanted.push(at),
            }
        }
        wanted
    }

    fn advance(&mut self, id: u64, pod: &mut Pod, now: Timestamp, next: &mut Option<Timestamp>) {
        self.force(id, pod, now, next);
        if pod.stopping.is_some() {
            self.advance_stop(id, pod, now, next);
            return;
        }
        if self.nodes.get(&pod.node).is_some_and(|n| !n.runtime.ready()) {
            // Nothing is started while the runtime is down; what runs is still probed.
            sooner(next, now + RUNTIME_RETRY);
            self.advance_probes(id, pod, now, next);
            return;
        }
        if !self.mount(id, pod, now, next) {
            return;
        }
        for at in Self::wanted(pod) {
            self.advance_container(id, pod, at, now, next);
        }
        self.advance_probes(id, pod, now, next);
    }

    /// Volumes, then the sandbox with its address; says whether there are both.
    fn mount(&mut self, id: u64, pod: &mut Pod, now: Timestamp, next: &mut Option<Timestamp>) -> bool {
        if !pod.mounted {
            if let Some(at) = pod.mount_at.filter(|at| *at > now) {
                sooner(next, at);
                return false;
            }
            let problems = config::volumes(&self.api, &pod.namespace, &pod.object["spec"]);
            if !problems.is_empty() {
                for problem in problems {
                    self.recorder.record(now, pod.about(None), true, "FailedMount", problem);
                }
                // Source: `pkg/util/goroutinemap/exponentialbackoff`. What was missing also wakes the pod when it comes.
                let at = crate::clock::later(now, pod.mount_delay);
                pod.mount_delay = (pod.mount_delay * 2).min(Duration::from_secs(122));
                pod.mount_at = Some(at);
                self.wanting.insert(id);
                sooner(next, at);
                return false;
            }
            pod.mounted = true;
            pod.mount_at = None;
        }
        if pod.ip.is_none() {
            let host = pod.object["spec"]["hostNetwork"] == true;
            let node = self.nodes.get_mut(&pod.node);
            pod.ip = node.and_then(|n| if host { Some(n.ip().to_owned()) } else { n.take_ip() });
            if pod.ip.is_none() {
                sooner(next, now + Duration::from_secs(1));
                return false;
            }
        }
        true
    }

    fn advance_container(&mut self, id: u64, pod: &mut Pod, at: usize, now: Timestamp, next: &mut Option<Timestamp>) {
        let container = &mut pod.containers[at];
        if container.run.is_some() || container.pulling || container.done {
            return;
        }
        if let Some((when, message)) = container.then.take() {
            if when > now {
                container.then = Some((when, message));
                sooner(next, when);
            } else {
                self.image_back_off(pod, at, &message, now);
            }
        }
        let container = &mut pod.containers[at];
        if let Some(until) = container.hold.filter(|until| *until > now) {
            sooner(next, until);
            return;
        }
        container.hold = None;
        if let State::Ended(_, ended) = container.state {
            if !pod.runs_again(at) {
                return;
            }
            if let Some(until) = pod.containers[at].crash_back_off.until(ended).filter(|until| *until > now) {
                self.crash_loop(pod, at, until, now);
                sooner(next, until);
                return;
            }
        }
        if !pod.may_pull && pod.containers[at].image.is_none() {
            return;
        }
        if !self.image_ready(id, pod, at, now) {
            if let Some(until) = pod.containers[at].hold {
                sooner(next, until);
            }
            if let Some((when, _)) = pod.containers[at].then {
                sooner(next, when);
            }
            return;
        }
        if !pod.may_start {
            return;
        }
        let slow = self.shared.faults.slow(pod.target(at));
        // A fault that was healed holds nobody any more.
        let until =
            slow.map(|time| *pod.containers[at].slow_until.get_or_insert(crate::clock::later(now, time))).filter(|until| *until > now);
        if let Some(until) = until {
            sooner(next, until);
            return;
        }
        if let Some(problem) = config::environment(&self.api, &pod.namespace, pod.spec(at)) {
            self.recorder.record(now, pod.about(Some(at)), true, "Failed", format!("Error: {problem}"));
            pod.containers[at].wait("CreateContainerConfigError", Some(problem));
            pod.containers[at].hold = Some(now + RETRY);
            self.wanting.insert(id);
            sooner(next, now + RETRY);
            return;
        }
        self.start(id, pod, at, now);
    }

    /// Source: `doBackOff`.
    fn crash_loop(&mut self, pod: &mut Pod, at: usize, until: Timestamp, now: Timestamp) {
        let (name, delay) = (pod.containers[at].name.clone(), go_duration(pod.containers[at].crash_back_off.delay));
        let whose = format!("failed container={name} pod={}_{}({})", pod.name, pod.namespace, pod.uid);
        let told = format!("Back-off restarting failed container {name} in pod {}_{}({})", pod.name, pod.namespace, pod.uid);
        self.recorder.record(now, pod.about(Some(at)), true, "BackOff", told);
        let container = &mut pod.containers[at];
        if let State::Ended(ended, _) = &container.state {
            container.last = json!({"terminated": ended});
        }
        container.wait("CrashLoopBackOff", Some(format!("back-off {delay} restarting {whose}")));
        container.hold = Some(until);
    }

    fn start(&mut self, id: u64, pod: &mut Pod, at: usize, now: Timestamp) {
        let Some(image) = pod.containers[at].image.clone() else { return };
        let Some(node) = self.nodes.get(&pod.node) else { return };
        self.serial += 1;
        let serial = self.serial;
        let mut object = (*pod.object).clone();
        status::onto(&mut object["status"], &pod.status);
        let ip = pod.ip.clone().unwrap_or_default();
        object["status"]["podIP"] = json!(ip);
        object["status"]["podIPs"] = json!([{ "ip": ip }]);
        let log = Log::default();
        let start = Start {
            api: self.api.clone(),
            pod: Arc::new(object),
            container: pod.containers[at].name.clone(),
            image_labels: Arc::new(image.labels.clone()),
            log: log.clone(),
            call: self.workloads.call(),
        };
        let inner = self.workloads.of(&image.repository).start(start);
        let process = inner.process();
        let instance: Arc<dyn Instance> = Arc::new(Guarded { inner, up: node.running.clone() });
        self.shared.instances.started((&pod.namespace, &pod.name), &ip, &pod.containers[at].name, Arc::clone(&instance), log);
        self.effects.push(Box::pin(exit(process, id, at, serial)));
        let probes = if pod.containers[at].role == Role::Init { Vec::new() } else { probe::of(pod.spec(at), now) };
        let has = |kind| probes.iter().any(|p| p.kind == kind);
        let started = !has(probe::Kind::Startup);
        let ready = started && !has(probe::Kind::Readiness) && pod.may_be_ready;
        let container = &mut pod.containers[at];
        if let State::Ended(ended, _) = &container.state {
            container.last = json!({"terminated": ended});
        }
        if container.last.get("terminated").is_some() {
            container.restarts += 1;
            container.crash_back_off.next(now);
        } else {
            // The first end is followed by a restart at once; the delay counts from the second.
            container.crash_back_off = super::pod::BackOff::default();
        }
        let container_id = hex64();
        container.slow_until = None;
        container.fresh = false;
        container.last_id.clone_from(&container_id);
        container.state = State::Waiting("ContainerCreating".to_owned(), None);
        container.run = Some(Run { serial, id: container_id, since: now, instance, probes, started, ready, unready: false, kill_at: None });
        let name = container.name.clone();
        self.record_container(pod, at, true, now);
        self.recorder.record(now, pod.about(Some(at)), false, "Created", format!("Created container: {name}"));
        self.recorder.record(now, pod.about(Some(at)), false, "Started", format!("Started container {name}"));
        if let Some(code) = self.shared.faults.crashing(pod.target(at)) {
            let crash = Process::Exited { code, reason: reason_of(code).to_owned() };
            self.effects.push(Box::pin(std::future::ready(Done::Exited { pod: id, container: at, serial, process: crash })));
        }
    }

    pub(super) fn record_container(&self, pod: &Pod, at: usize, running: bool, created: Timestamp) {
        let (Some(node), container) = (self.nodes.get(&pod.node), &pod.containers[at]) else { return };
        node.runtime.container(ContainerRecord {
            id: container.last_id.clone(),
            sandbox: pod.sandbox.clone(),
            name: container.name.clone(),
            attempt: container.restarts,
            image: pod.spec(at)["image"].as_str().unwrap_or_default().to_owned(),
            image_id: container.image.as_ref().map(|i| i.id.clone()).unwrap_or_default(),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            created,
            running,
        });
    }

    pub(super) fn begin_stop(pod: &mut Pod, now: Timestamp, delete: bool) {
        let grace = pod.object["metadata"]["deletionGracePeriodSeconds"].as_u64();
        let grace = grace.or_else(|| pod.object["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
        let deadline = crate::clock::later(now, Duration::from_secs(grace));
        match &mut pod.stopping {
            Some(stopping) => {
                stopping.delete |= delete;
                stopping.deadline = stopping.deadline.min(deadline);
            }
            None => pod.stopping = Some(Stopping { deadline, delete }),
        }
    }
}

/// The earlier of two times.
pub(super) fn sooner(next: &mut Option<Timestamp>, at: Timestamp) {
    *next = Some(next.map_or(at, |n| n.min(at)));
}

/// `reason` of an end with a code. Source: containerd's CRI plugin.
pub(super) fn reason_of(code: i32) -> &'static str {
    match code {
        0 => "Completed",
        _ => "Error",
    }
}

/// A whole number of seconds as Go prints it: `40s`, `1m20s`, `5m0s`.
pub(super) fn go_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

async fn exit(mut process: watch::Receiver<Process>, pod: u64, container: usize, serial: u64) -> Done {
    let ended = process.wait_for(|p| *p != Process::Running).await.map(|p| p.clone());
    // Whoever drops the program's handle has ended it.
    let process = ended.unwrap_or(Process::Exited { code: 0, reason: "Completed".to_owned() });
    Done::Exited { pod, container, serial, process }
}
