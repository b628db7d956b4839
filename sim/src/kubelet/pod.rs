//! A pod as its kubelet knows it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::events::About;
use super::probe::Probe;
use super::runtime::Image;
use crate::store::Object;
use crate::workload::Instance;

/// The first delay of image pulls and restarts, doubled each time. Source: kubelet `pkg/kubelet/kubelet.go`, `backOffPeriod`, `MaxCrashLoopBackOff`.
const BACK_OFF: Duration = Duration::from_secs(10);
/// The longest delay.
const BACK_OFF_MAX: Duration = Duration::from_mins(5);

/// When the next attempt is due. Source: client-go `util/flowcontrol/backoff.go`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BackOff {
    pub(super) delay: Duration,
    updated: Option<Timestamp>,
}

impl BackOff {
    /// Lengthens the delay; it begins anew after twice the longest without a call.
    pub(super) fn next(&mut self, now: Timestamp) {
        let fresh = self.updated.is_none_or(|at| since(at, now) > BACK_OFF_MAX * 2);
        self.delay = if fresh { BACK_OFF } else { (self.delay * 2).min(BACK_OFF_MAX) };
        self.updated = Some(now);
    }

    /// Until when something that failed at `at` waits.
    pub(super) fn until(&self, at: Timestamp) -> Option<Timestamp> {
        self.updated?;
        // One that ran longer than it takes to forget starts at once.
        if self.updated.is_some_and(|updated| since(updated, at) > BACK_OFF_MAX * 2) {
            return None;
        }
        Some(at + self.delay)
    }
}

/// How long ago something was.
pub(super) fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// Which of a pod's containers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs to its end before the next one.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// One of `spec.containers`.
    Main,
}

/// A running container.
pub(super) struct Run {
    pub(super) serial: u64,
    pub(super) id: String,
    pub(super) since: Timestamp,
    pub(super) instance: Arc<dyn Instance>,
    pub(super) probes: Vec<Probe>,
    /// Past its startup probe.
    pub(super) started: bool,
    pub(super) ready: bool,
    /// A fault says that it is not, whatever its probe says.
    pub(super) unready: bool,
    /// It was told to end, and is ended by force then.
    pub(super) kill_at: Option<Timestamp>,
}

/// What a container's status says when it does not run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Waiting(String, Option<String>),
    /// `state.terminated`, and when that was.
    Ended(Value, Timestamp),
}

/// One container of a pod.
pub(super) struct Container {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) image: Option<Image>,
    pub(super) pulling: bool,
    /// The image was asked for since the last start.
    pub(super) fresh: bool,
    pub(super) state: State,
    pub(super) run: Option<Run>,
    pub(super) last: Value,
    pub(super) last_id: String,
    pub(super) restarts: u64,
    pub(super) pull_back_off: BackOff,
    pub(super) crash_back_off: BackOff,
    /// What is said once the message of a failed pull was seen, and until when nothing more is tried.
    pub(super) hold: Option<Timestamp>,
    pub(super) then: Option<(Timestamp, String)>,
    /// How long it still waits by a fault.
    pub(super) slow_until: Option<Timestamp>,
    /// It ended and shall not run again.
    pub(super) done: bool,
}

impl Container {
    fn new(spec: &Value, role: Role) -> Self {
        Self {
            name: spec["name"].as_str().unwrap_or_default().to_owned(),
            role,
            image: None,
            pulling: false,
            fresh: false,
            state: State::Waiting(String::new(), None),
            run: None,
            last: json!({}),
            last_id: String::new(),
            restarts: 0,
            pull_back_off: BackOff::default(),
            crash_back_off: BackOff::default(),
            hold: None,
            then: None,
            slow_until: None,
            done: false,
        }
    }

    /// `exitCode` of its last end, if it does not run.
    pub(super) fn code(&self) -> Option<i64> {
        match (&self.run, &self.state) {
            (None, State::Ended(ended, _)) => ended["exitCode"].as_i64(),
            (None, State::Waiting(..)) => self.last["terminated"]["exitCode"].as_i64(),
            _ => None,
        }
    }

    pub(super) fn wait(&mut self, reason: &str, message: Option<String>) {
        self.state = State::Waiting(reason.to_owned(), message);
    }
}

/// How a pod is being ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopping {
    pub(super) deadline: Timestamp,
    /// The object is removed afterwards.
    pub(super) delete: bool,
}

/// What a stage is to a pod now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Played {
    Due(Timestamp),
    Done,
}

/// One pod.
#[expect(clippy::struct_excessive_bools, reason = "they say different things")]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) node: Arc<str>,
    pub(super) object: Arc<Value>,
    pub(super) revision: u64,
    /// What the kubelet says of it, and what it last said to the API server.
    pub(super) status: Value,
    pub(super) posted: Value,
    pub(super) containers: Vec<Container>,
    pub(super) stages: Vec<Option<Played>>,
    /// Templates that came after the first effect; they prevail over what follows from the containers.
    pub(super) overlay: Vec<Value>,
    pub(super) may_pull: bool,
    pub(super) may_start: bool,
    pub(super) may_be_ready: bool,
    pub(super) ip: Option<String>,
    pub(super) sandbox: String,
    pub(super) mounted: bool,
    pub(super) mount_delay: Duration,
    pub(super) mount_at: Option<Timestamp>,
    pub(super) stopping: Option<Stopping>,
    /// `status.reason` and `status.message` of a pod that the kubelet itself ended.
    pub(super) failed: Option<(&'static str, String)>,
    pub(super) finished: bool,
    /// Its address is free again.
    pub(super) released: bool,
    pub(super) dirty: bool,
    /// Its containers did something that its status does not say yet.
    pub(super) stale: bool,
    pub(super) wake: Option<Timestamp>,
    /// Of a pod that just runs, the object as the store has it and its status in bytes, instead of both as values: ten thousand of them
    /// would otherwise take half a gigabyte.
    packed: Option<(Arc<Object>, Box<[u8]>)>,
}

impl Pod {
    pub(super) fn new(node: Arc<str>, object: Value, revision: u64, stages: usize) -> Self {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let list = |field: &str| object["spec"][field].as_array().cloned().unwrap_or_default();
        let init = list("initContainers");
        let mut containers: Vec<Container> =
            init.iter().map(|c| Container::new(c, if c["restartPolicy"] == "Always" { Role::Sidecar } else { Role::Init })).collect();
        containers.extend(list("containers").iter().map(|c| Container::new(c, Role::Main)));
        // A vector that grows begins with room for four, and they are large.
        containers.shrink_to_fit();
        let mut pod = Self {
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
            uid: text(&object["metadata"]["uid"]),
            node,
            revision,
            status: own_part(&object["status"]),
            posted: Value::Null,
            containers,
            stages: vec![None; stages],
            overlay: Vec::new(),
            may_pull: false,
            may_start: false,
            may_be_ready: false,
            ip: None,
            sandbox: super::advance::hex64(),
            mounted: false,
            mount_delay: Duration::from_millis(500),
            mount_at: None,
            stopping: None,
            failed: None,
            finished: matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
            released: false,
            dirty: false,
            stale: false,
            wake: None,
            packed: None,
            object: Arc::new(object),
        };
        pod.reset_waiting();
        pod
    }

    /// Whether there is nothing to do for it before something happens to it.
    pub(super) fn settled(&self) -> bool {
        let runs = |c: &Container| c.run.as_ref().is_some_and(|r| r.ready && r.kill_at.is_none()) || (c.role == Role::Init && c.done);
        !self.dirty && !self.stale && self.stopping.is_none() && self.status == self.posted && self.containers.iter().all(runs)
    }

    /// Lets go of what can be read again; `object` is its own, as last seen.
    pub(super) fn pack(&mut self, object: Arc<Object>) {
        static NOTHING: std::sync::LazyLock<Arc<Value>> = std::sync::LazyLock::new(Arc::default);
        let status = serde_json::to_vec(&self.status).unwrap_or_default();
        self.packed = Some((object, status.into()));
        (self.object, self.status, self.posted) = (Arc::clone(&NOTHING), Value::Null, Value::Null);
    }

    /// Undoes [`Pod::pack`].
    pub(super) fn unpack(&mut self) {
        if let Some((object, status)) = self.packed.take() {
            self.object = Arc::new(object.value());
            // It was written by `pack`.
            self.status = serde_json::from_slice(&status).unwrap_or_default();
            self.posted = self.status.clone();
        }
    }

    /// Every container waits as in a new sandbox. Source: kubelet `convertToAPIContainerStatuses`: with init containers the others wait for them.
    pub(super) fn reset_waiting(&mut self) {
        let has_init = self.containers.iter().any(|c| c.role != Role::Main);
        for container in &mut self.containers {
            container.wait(if has_init { "PodInitializing" } else { "ContainerCreating" }, None);
            container.done = false;
        }
    }

    /// The container's part of the specification.
    pub(super) fn spec(&self, at: usize) -> &Value {
        let init = self.containers.iter().filter(|c| c.role != Role::Main).count();
        if at < init { &self.object["spec"]["initContainers"][at] } else { &self.object["spec"]["containers"][at - init] }
    }

    pub(super) fn policy(&self) -> &str {
        self.object["spec"]["restartPolicy"].as_str().unwrap_or("Always")
    }

    pub(super) fn engaged(&self) -> bool {
        self.may_pull || self.may_start || self.may_be_ready || self.stopping.is_some()
    }

    pub(super) fn target(&self, at: usize) -> (&str, &str, &str) {
        (&self.namespace, &self.name, &self.containers[at].name)
    }

    pub(super) fn about(&self, container: Option<usize>) -> About {
        let field = container.map(|at| {
            let list = if self.containers[at].role == Role::Main { "containers" } else { "initContainers" };
            format!("spec.{list}{{{}}}", self.containers[at].name)
        });
        About {
            kind: "Pod",
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            field: field.unwrap_or_default(),
            host: self.node.to_string(),
        }
    }

    /// Whether everything that comes before the main containers is done: init containers ended well, sidecars started.
    pub(super) fn initialised(&self) -> bool {
        self.containers.iter().all(init_done)
    }

    /// Whether a container that ended is to run again.
    pub(super) fn runs_again(&self, at: usize) -> bool {
        let container = &self.containers[at];
        let failed = container.code().is_some_and(|code| code != 0);
        match (container.role, self.policy()) {
            (Role::Sidecar, _) | (Role::Main, "Always") => true,
            (Role::Init | Role::Main, "Never") => false,
            (Role::Init | Role::Main, _) => failed,
        }
    }
}

/// Whether a container does not keep the next ones from starting.
pub(super) fn init_done(container: &Container) -> bool {
    match container.role {
        Role::Main => true,
        Role::Init => container.run.is_none() && matches!(&container.state, State::Ended(e, _) if e["exitCode"] == 0),
        Role::Sidecar => container.done || container.run.as_ref().is_some_and(|r| r.started),
    }
}

/// What of a stored status a kubelet starts from.
fn own_part(status: &Value) -> Value {
    let mut own = json!({});
    for field in ["phase", "startTime", "qosClass", "conditions", "hostIP", "hostIPs"] {
        if !status[field].is_null() {
            own[field] = status[field].clone();
        }
    }
    own
}
