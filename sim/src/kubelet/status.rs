//! What a pod's status is, by what its containers do. Source: kubelet `kubelet_pods.go` (`getPhase`, `convertToAPIContainerStatuses`) and
//! `status/generate.go`.

use serde_json::{Value, json};

use super::pod::{Container, Pod, Role, State, init_done};
use super::stages::{merge, set_condition};
use crate::clock::{Clock, stamp};

/// Conditions that are the kubelet's; the others in a status are not touched.
const OWN: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// An image as a container status names it, with registry, path and tag. Source: distribution's `reference.ParseDockerRef`.
pub(super) fn normalised(image: &str) -> String {
    let (first, rest) = image.split_once('/').unwrap_or(("", image));
    let full = if !first.is_empty() && (first.contains(['.', ':']) || first == "localhost") {
        image.to_owned()
    } else if first.is_empty() {
        format!("docker.io/library/{rest}")
    } else {
        format!("docker.io/{image}")
    };
    let tagged = full.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    if tagged { full } else { format!("{full}:latest") }
}

fn container_status(pod: &Pod, at: usize) -> Value {
    let c = &pod.containers[at];
    let wanted = pod.spec(at)["image"].as_str().unwrap_or_default();
    let (image, image_id) = match &c.image {
        // One that is named by digest alone goes by its id.
        Some(image) if wanted.contains('@') => (image.id.clone(), image.repo_digest.clone()),
        Some(image) => (normalised(wanted), image.repo_digest.clone()),
        None => (wanted.to_owned(), String::new()),
    };
    let state = match (&c.run, &c.state) {
        (Some(run), _) => json!({"running": {"startedAt": stamp(run.since)}}),
        (None, State::Waiting(reason, message)) => {
            let mut waiting = json!({"reason": reason});
            if let Some(message) = message {
                waiting["message"] = json!(message);
            }
            json!({ "waiting": waiting })
        }
        (None, State::Ended(ended, _)) => json!({"terminated": ended}),
    };
    let id = c.run.as_ref().map_or(&c.last_id, |r| &r.id);
    let mut status = json!({
        "name": c.name, "state": state, "lastState": c.last, "ready": ready(c), "restartCount": c.restarts,
        "image": image, "imageID": image_id, "started": c.run.as_ref().is_some_and(|r| r.started),
    });
    if !id.is_empty() {
        status["containerID"] = json!(format!("containerd://{id}"));
    }
    status
}

fn ready(c: &Container) -> bool {
    match c.role {
        Role::Init => init_done(c),
        _ => c.run.as_ref().is_some_and(|r| r.ready && r.started && !r.unready),
    }
}

/// The statuses of the main containers or of the others; nothing where there are none.
pub(super) fn container_statuses(pod: &Pod, main: bool) -> Value {
    let all: Vec<Value> = (0..pod.containers.len())
        .filter(|&at| (pod.containers[at].role == Role::Main) == main)
        .map(|at| container_status(pod, at))
        .collect();
    if all.is_empty() { Value::Null } else { Value::Array(all) }
}

/// The phase. Source: `getPhase`.
fn phase(pod: &Pod) -> &'static str {
    let again = |at: usize| pod.stopping.is_none() && pod.runs_again(at);
    if pod.failed.is_some() {
        return "Failed";
    }
    let (mut waiting, mut running, mut succeeded, mut failed) = (0, 0, 0, 0);
    for (at, c) in pod.containers.iter().enumerate() {
        if c.role == Role::Init && c.run.is_none() && c.code().is_some_and(|code| code != 0) && !again(at) {
            return "Failed";
        }
        if c.role != Role::Main {
            continue;
        }
        match (c.run.is_some(), c.code()) {
            (true, _) => running += 1,
            (false, None) => waiting += 1,
            (false, Some(0)) => succeeded += 1,
            (false, Some(_)) => failed += 1,
        }
    }
    let side = pod.containers.iter().any(|c| c.role == Role::Sidecar && c.run.is_some());
    let ended = succeeded + failed;
    if waiting > 0 || !(pod.initialised() || ended > 0) {
        // Whoever is deleted before it ran ends all the same.
        return if pod.stopping.is_some() && pod.containers.iter().all(|c| c.run.is_none()) { "Failed" } else { "Pending" };
    }
    if running > 0 || side {
        return "Running";
    }
    let restarts = match pod.policy() {
        "Always" => true,
        "OnFailure" => failed > 0,
        _ => false,
    };
    if restarts && pod.stopping.is_none() {
        "Running"
    } else if failed > 0 {
        "Failed"
    } else {
        "Succeeded"
    }
}

fn condition(status: &mut Value, kind: &str, holds: bool, why: Option<(&str, String)>, now: &str) {
    let mut condition = json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastProbeTime": Value::Null});
    if let Some((reason, message)) = why {
        condition["reason"] = json!(reason);
        if !message.is_empty() {
            condition["message"] = json!(message);
        }
    }
    set_condition(status, condition, now);
}

fn names(pod: &Pod, pick: impl Fn(&Container) -> bool) -> Vec<&str> {
    pod.containers.iter().filter(|c| pick(c)).map(|c| c.name.as_str()).collect()
}

/// Which containers are not ready; init containers that ran to their end do not count.
pub(super) fn unready(pod: &Pod) -> Vec<&str> {
    names(pod, |c| c.role != Role::Init && !ready(c))
}

/// Why a pod is not `Initialized`.
pub(super) fn uninitialised(pod: &Pod) -> Option<(&'static str, String)> {
    let incomplete = names(pod, |c| !init_done(c));
    (!incomplete.is_empty()).then(|| ("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" "))))
}

/// Makes the status follow from the containers.
pub(super) fn compute(pod: &mut Pod, clock: &Clock) {
    let now = clock.stamp();
    let phase = phase(pod);
    let mut status = std::mem::take(&mut pod.status);
    status["phase"] = json!(phase);
    for (field, main) in [("containerStatuses", true), ("initContainerStatuses", false)] {
        let statuses = container_statuses(pod, main);
        if !statuses.is_null() {
            status[field] = statuses;
        }
    }
    if let Some(ip) = &pod.ip {
        status["podIP"] = json!(ip);
        status["podIPs"] = json!([{ "ip": ip }]);
    }
    if let Some((reason, message)) = &pod.failed {
        status["reason"] = json!(reason);
        status["message"] = json!(message);
    }
    let over = matches!(phase, "Succeeded" | "Failed");
    condition(&mut status, "PodReadyToStartContainers", pod.ip.is_some() && !over, None, &now);
    let ended = match phase {
        "Succeeded" => Some(("PodCompleted", String::new())),
        "Failed" => Some(("PodFailed", String::new())),
        _ => None,
    };
    let initialised = if phase == "Succeeded" { None } else { uninitialised(pod) };
    let is_initialised = initialised.is_none();
    let completed = if phase == "Succeeded" { ended.clone() } else { initialised };
    condition(&mut status, "Initialized", is_initialised, completed, &now);
    let not_ready = unready(pod);
    let why = ended.or_else(|| {
        (!not_ready.is_empty()).then(|| ("ContainersNotReady", format!("containers with unready status: [{}]", not_ready.join(" "))))
    });
    let gates = if why.is_some() { None } else { closed_gates(pod) };
    let (containers_ready, is_ready) = (why.is_none(), why.is_none() && gates.is_none());
    condition(&mut status, "Ready", is_ready, why.clone().or(gates), &now);
    condition(&mut status, "ContainersReady", containers_ready, why, &now);
    for overlay in &pod.overlay {
        merge(&mut status, overlay, &now);
    }
    pod.status = status;
}

/// Readiness gates whose condition is missing or does not hold. Source: `GeneratePodReadyCondition`.
fn closed_gates(pod: &Pod) -> Option<(&'static str, String)> {
    let mut messages = Vec::new();
    for gate in pod.object["spec"]["readinessGates"].as_array().into_iter().flatten().filter_map(|g| g["conditionType"].as_str()) {
        let found = pod.object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == gate);
        match found.map(|c| c["status"] == "True") {
            None => messages.push(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
            Some(false) => {
                messages.push(format!("the status of pod readiness gate {gate:?} is not \"True\", but False"));
            }
            Some(true) => {}
        }
    }
    (!messages.is_empty()).then(|| ("ReadinessGatesNotReady", messages.join(", ")))
}

/// A stored status with the kubelet's part of it renewed.
pub(super) fn onto(stored: &mut Value, own: &Value) {
    if !stored.is_object() {
        *stored = json!({});
    }
    let others: Vec<Value> = stored["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| c["type"].as_str().is_some_and(|kind| !OWN.contains(&kind)))
        .cloned()
        .collect();
    for (field, value) in own.as_object().into_iter().flatten() {
        stored[field] = value.clone();
    }
    if let Some(conditions) = stored["conditions"].as_array_mut() {
        for other in others {
            match conditions.iter_mut().find(|c| c["type"] == other["type"]) {
                Some(mine) => *mine = other,
                None => conditions.push(other),
            }
        }
    }
}

/// The quality of service. Source: `pkg/apis/core/v1/helper/qos`.
pub(super) fn qos(spec: &Value) -> &'static str {
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten());
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        let of = |kind: &str, name: &str| resources[kind].get(name).filter(|v| !v.is_null());
        for name in ["cpu", "memory"] {
            any |= of("requests", name).or(of("limits", name)).is_some();
            guaranteed &= of("limits", name).is_some_and(|limit| of("requests", name).is_none_or(|r| r == limit));
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
