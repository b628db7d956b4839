//! Pods (`printPod`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::duration::{since, time};
use super::values::{age, condition, int, items, name, or, text};

/// What is known about the restarts of a set of containers.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += int(status, "restartCount");
        self.last = self.last.max(time(&status["lastState"]["terminated"]["finishedAt"]));
    }
}

// `ExitCode:1`, `Signal:9` or the reason that the container runtime gave.
fn terminated(state: &Value) -> String {
    match (text(state, "reason"), int(state, "signal")) {
        (reason, _) if !reason.is_empty() => reason,
        (_, 0) => format!("ExitCode:{}", int(state, "exitCode")),
        (_, signal) => format!("Signal:{signal}"),
    }
}

struct Summary {
    reason: String,
    restarts: Restarts,
    ready: usize,
    total: usize,
}

fn summary(pod: &Value) -> Summary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let phase = text(status, "phase");
    let mut reason = or(text(status, "reason"), &phase);
    if items(&status["conditions"]).any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut reason);
    }
    let init_total = items(&spec["initContainers"]).count();
    // Sidecars: init containers that go on running.
    let sidecars: Vec<&Value> = items(&spec["initContainers"]).filter(|c| c["restartPolicy"] == "Always").map(|c| &c["name"]).collect();
    let total = items(&spec["containers"]).count() + sidecars.len();

    let (mut restarts, mut sidecar_restarts) = (Restarts::default(), Restarts::default());
    let mut ready = 0;
    let mut initializing = false;
    for (i, container) in items(&status["initContainerStatuses"]).enumerate() {
        restarts.add(container);
        let sidecar = sidecars.contains(&&container["name"]);
        if sidecar {
            sidecar_restarts.add(container);
        }
        let state = &container["state"];
        if !state["terminated"].is_null() && int(state, "terminated.exitCode") == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            ready += usize::from(container["ready"] == true);
            continue;
        }
        let waiting = text(state, "waiting.reason");
        reason = if !state["terminated"].is_null() {
            format!("Init:{}", terminated(&state["terminated"]))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{init_total}")
        };
        initializing = true;
        break;
    }

    if !initializing || condition(status, "Initialized") == Some("True") {
        restarts = sidecar_restarts;
        let mut running = false;
        // Backwards, so that the first container's reason stays.
        for container in items(&status["containerStatuses"]).collect::<Vec<_>>().into_iter().rev() {
            restarts.add(container);
            let state = &container["state"];
            let waiting = text(state, "waiting.reason");
            if !waiting.is_empty() {
                reason = waiting;
            } else if !state["terminated"].is_null() {
                reason = terminated(&state["terminated"]);
            } else if container["ready"] == true && !state["running"].is_null() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            let pod_ready = items(&status["conditions"]).any(|c| c["type"] == "Ready" && c["status"] == "True");
            if pod_ready { "Running" } else { "NotReady" }.clone_into(&mut reason);
        }
    }

    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if status["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if phase != "Succeeded" && phase != "Failed" {
            "Terminating".clone_into(&mut reason);
        }
    }
    Summary { reason, restarts, ready, total }
}

pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let Summary { reason, restarts, ready, total } = summary(pod);
    let restarts = match restarts.last {
        Some(last) if restarts.count != 0 => format!("{} ({} ago)", restarts.count, since(&json!(last.to_string()), now)),
        _ => restarts.count.to_string(),
    };
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let ip = or(text(&status["podIPs"][0], "ip"), &text(status, "podIP"));
    let gates: Vec<&Value> = items(&spec["readinessGates"]).collect();
    let gates_cell = if gates.is_empty() {
        "<none>".to_owned()
    } else {
        let passed = gates.iter().filter(|g| condition(status, g["conditionType"].as_str().unwrap_or_default()) == Some("True"));
        format!("{}/{}", passed.count(), gates.len())
    };
    vec![
        name(pod),
        json!(format!("{ready}/{total}")),
        json!(reason),
        json!(restarts),
        age(pod, now),
        json!(or(ip, "<none>")),
        json!(or(text(spec, "nodeName"), "<none>")),
        json!(or(text(status, "nominatedNodeName"), "<none>")),
        json!(gates_cell),
    ]
}

/// The condition of a row whose pod has ended; kubectl leaves such rows out where it was asked to.
pub(super) fn completed(pod: &Value) -> Option<Value> {
    let (reason, message) = match pod["status"]["phase"].as_str()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}
