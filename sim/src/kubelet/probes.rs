//! What probes do to a pod.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::advance::sooner;
use super::engine::{Done, Engine};
use super::pod::Pod;
use super::probe::{Kind, Verdict, ask};
use crate::clock::later;

impl Engine {
    /// Asks the probes that are due.
    pub(super) fn advance_probes(&mut self, id: u64, pod: &mut Pod, now: Timestamp, next: &mut Option<Timestamp>) {
        for at in 0..pod.containers.len() {
            let unready = self.shared.faults.is_unready(pod.target(at));
            let container_spec = pod.spec(at).clone();
            let ip = pod.ip.clone().unwrap_or_default();
            let may_be_ready = pod.may_be_ready;
            let Some(run) = pod.containers[at].run.as_mut() else { continue };
            run.unready = unready;
            let has = |kind| run.probes.iter().any(|p| p.kind == kind);
            if may_be_ready && run.started && !has(Kind::Readiness) {
                run.ready = true;
            }
            if run.kill_at.is_some() || !may_be_ready && !has(Kind::Startup) {
                continue;
            }
            for (n, probe) in run.probes.iter_mut().enumerate() {
                let waits = if probe.kind == Kind::Startup { run.started } else { !run.started };
                if waits || probe.asking {
                    continue;
                }
                if probe.next > now {
                    sooner(next, probe.next);
                    continue;
                }
                probe.asking = true;
                let question =
                    ask(self.api.clock().clone(), Arc::clone(&run.instance), probe.spec.clone(), container_spec.clone(), ip.clone());
                let serial = run.serial;
                self.effects
                    .push(Box::pin(async move { Done::Probed { pod: id, container: at, serial, probe: n, outcome: question.await } }));
            }
        }
    }

    /// Takes the answer of a probe in.
    pub(super) fn probed(&mut self, id: u64, at: usize, serial: u64, number: usize, outcome: &Result<(), String>) {
        let Some(mut pod) = self.take_pod(id) else { return };
        self.take_answer(&mut pod, at, serial, number, outcome);
        self.pods.insert(id, pod);
        self.touch(id);
    }

    fn take_answer(&mut self, pod: &mut Pod, at: usize, serial: u64, number: usize, outcome: &Result<(), String>) {
        let now = self.api.clock().now();
        let (about, name) = (pod.about(Some(at)), pod.containers[at].name.clone());
        let pod_grace = pod.object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        let Some(run) = pod.containers[at].run.as_mut().filter(|r| r.serial == serial) else { return };
        let probe = &mut run.probes[number];
        let kind = probe.kind;
        let (verdict, tell) = probe.take(outcome.is_ok(), now);
        let grace = probe.spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(pod_grace);
        if let (true, Err(message)) = (tell, outcome) {
            self.recorder.record(now, about.clone(), true, "Unhealthy", format!("{} probe failed: {message}", kind.word()));
        }
        match (kind, verdict) {
            (Kind::Startup, Verdict::Passed) => {
                run.started = true;
                let delayed = |spec: &serde_json::Value| spec["initialDelaySeconds"].as_u64().unwrap_or(0);
                // The others begin now, but not before their own time.
                for other in run.probes.iter_mut().filter(|p| p.kind != Kind::Startup) {
                    other.next = now.max(later(run.since, Duration::from_secs(delayed(&other.spec))));
                }
            }
            (Kind::Readiness, Verdict::Passed) => run.ready = true,
            (Kind::Readiness, Verdict::Failed) => run.ready = false,
            (Kind::Startup | Kind::Liveness, Verdict::Failed) if run.kill_at.is_none() => {
                let which = kind.word().to_lowercase();
                run.ready = false;
                run.kill_at = Some(later(now, Duration::from_secs(grace)));
                run.instance.stop();
                self.recorder.record(now, about, false, "Killing", format!("Container {name} failed {which} probe, will be restarted"));
            }
            _ => {}
        }
    }
}
