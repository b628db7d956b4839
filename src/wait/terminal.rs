//! Tells states that time heals from states that it does not.
//!
//! The reasons are those that the kubelet and the scheduler write; which registry answers are final follows what containerd does with
//! them: a missing or forbidden image stays so, while timeouts, 429 and 5xx are worth the kubelet's next attempt.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::Terminal;

/// A name that does not resolve may be a resolver that is starting; the kubelet tries at least twice within this time.
const UNRESOLVED_GRACE: Duration = Duration::from_secs(20);
/// A full node may become free while other pods end.
const UNSCHEDULABLE_GRACE: Duration = Duration::from_secs(30);
/// From this many restarts on a crash is a loop, not a race with something that is starting.
const CRASHES: i32 = 4;
/// Restarts are counted over a pod's whole life, reboots of its node among them, so a loop must also last.
const CRASH_GRACE: Duration = Duration::from_mins(1);

/// What the answer of a registry means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFailure {
    /// The image is not there or may not be had: the next attempt gives the same.
    Final,
    /// The registry's name does not resolve.
    Unresolved,
    /// Worth another attempt.
    Transient,
}

/// Judges the message of a failed image pull.
#[must_use]
pub fn pull_failure(message: &str) -> PullFailure {
    const TRANSIENT: &[&str] = &[
        "toomanyrequests",
        "too many requests",
        "timeout",
        "timed out",
        "deadline exceeded",
        "connection refused",
        "connection reset",
        "eof",
        "bad gateway",
        "service unavailable",
        "internal server error",
        "no route to host",
        "network is unreachable",
    ];
    const FINAL: &[&str] = &[
        "not found",
        "manifest unknown",
        "denied",
        "unauthorized",
        "authorization failed",
        "forbidden",
        "no match for platform",
        "invalid reference",
        "couldn't parse image",
    ];
    let message = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| message.contains(w));
    // "no such host" comes first: the resolver's text may also speak of a timeout.
    if message.contains("no such host") {
        PullFailure::Unresolved
    } else if has(TRANSIENT) || server_error(&message) {
        PullFailure::Transient
    } else if has(FINAL) {
        PullFailure::Final
    } else {
        PullFailure::Transient
    }
}

/// `unexpected status …: 503` or `429`, in containerd's words.
fn server_error(message: &str) -> bool {
    message.contains("unexpected status")
        && message.split(|c: char| !c.is_ascii_digit()).any(|n| n.len() == 3 && (n.starts_with('5') || n == "429"))
}

/// What keeps a pod from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One line: pod, node, container, reason, image, message.
    pub status: String,
    /// How long to bear it; `None` when time may heal it.
    pub terminal_after: Option<Duration>,
}

/// The first trouble among the pods, terminal ones first. Pods that are being deleted are left out.
#[must_use]
pub fn first_trouble(pods: &[Arc<Pod>]) -> Option<Trouble> {
    let mut troubles: Vec<Trouble> = pods.iter().filter_map(|p| pod_trouble(p)).collect();
    troubles.sort_by_key(|t| (t.terminal_after.is_none(), t.terminal_after));
    troubles.into_iter().next()
}

impl Trouble {
    /// The waiter's word for it.
    #[must_use]
    pub fn progress<T>(self) -> super::Progress<T> {
        match self.terminal_after {
            Some(grace) => super::Progress::Terminal(Terminal { status: self.status, grace }),
            None => super::Progress::NotYet(self.status),
        }
    }
}

/// What keeps this pod from running, if anything does.
#[must_use]
pub fn pod_trouble(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
    if let Some(message) = unscheduled(pod) {
        let full = message.contains("Insufficient");
        return Some(Trouble { status: format!("pod {name} is Pending: {message}"), terminal_after: full.then_some(UNSCHEDULABLE_GRACE) });
    }
    let place = format!("pod {name} on {}", node.unwrap_or("no node yet"));
    status
        .init_container_statuses
        .iter()
        .chain(status.container_statuses.iter())
        .flatten()
        .filter_map(|c| container_trouble(&place, c))
        .min_by_key(|t| t.terminal_after.is_none())
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    Some(format!("{}: {}", scheduled.reason.as_deref().unwrap_or("unscheduled"), scheduled.message.as_deref().unwrap_or("no message")))
}

fn container_trouble(place: &str, container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let head = format!("{place}: container {}: {reason}", container.name);
    let status = format!("{head}: image {}: {message}", container.image);
    match reason {
        "ErrImagePull" | "ImagePullBackOff" => {
            let terminal_after = match pull_failure(message) {
                PullFailure::Final => Some(Duration::ZERO),
                PullFailure::Unresolved => Some(UNRESOLVED_GRACE),
                PullFailure::Transient => None,
            };
            Some(Trouble { status, terminal_after })
        }
        "InvalidImageName" | "ErrImageNeverPull" => Some(Trouble { status, terminal_after: Some(Duration::ZERO) }),
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref().and_then(|s| s.terminated.as_ref());
            let ended = last.map_or_else(String::new, |t| {
                format!("; it ended with code {} ({})", t.exit_code, t.reason.as_deref().unwrap_or("no reason"))
            });
            let status = format!("{head}: {} restarts{ended}", container.restart_count);
            Some(Trouble { status, terminal_after: (container.restart_count >= CRASHES).then_some(CRASH_GRACE) })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some(Trouble { status, terminal_after: None }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: serde_json::Value) -> Arc<Pod> {
        let value = serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"containers": [], "nodeName": "n1"},
            "status": status,
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn waiting(reason: &str, message: &str, restarts: i32) -> Arc<Pod> {
        pod(serde_json::json!({"containerStatuses": [{
            "name": "c", "image": "docker.io/a/b:1", "imageID": "", "ready": false, "restartCount": restarts,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}},
        }]}))
    }

    #[test]
    fn registry_answers_are_final_or_worth_another_attempt() {
        use PullFailure::{Final, Transient, Unresolved};
        let resolve = |tail: &str| format!("failed to pull and unpack image \"x\": failed to resolve reference \"x\": {tail}");
        for (message, expected) in [
            (resolve("docker.io/library/nope:latest: not found"), Final),
            (resolve("pull access denied, repository does not exist or may require authorization"), Final),
            (
                resolve("unexpected status from HEAD request to http://m:5000/v2/a/manifests/1?ns=docker.io: 503 Service Unavailable"),
                Transient,
            ),
            (resolve("unexpected status from HEAD request to http://m:5000/v2/a/manifests/1: 429 Too Many Requests"), Transient),
            (resolve("unexpected status from HEAD request to http://m:5000/v2/a/manifests/1: 500"), Transient),
            (resolve("failed to do request: Head \"https://r/v2/\": dial tcp 1.2.3.4:443: i/o timeout"), Transient),
            (resolve("failed to do request: Head \"https://r/v2/\": dial tcp 1.2.3.4:443: connect: connection refused"), Transient),
            (resolve("failed to do request: Head \"https://r/v2/\": dial tcp: lookup r on 172.18.0.1:53: no such host"), Unresolved),
            ("something nobody has seen before".to_owned(), Transient),
        ] {
            assert_eq!(pull_failure(&message), expected, "{message}");
        }
    }

    #[test]
    fn a_missing_image_is_terminal_at_once_and_names_everything() {
        let trouble = pod_trouble(&waiting("ErrImagePull", "docker.io/a/b:1: not found", 0)).unwrap();
        assert_eq!(trouble.terminal_after, Some(Duration::ZERO));
        assert_eq!(trouble.status, "pod shop/web on n1: container c: ErrImagePull: image docker.io/a/b:1: docker.io/a/b:1: not found");
    }

    #[test]
    fn a_back_off_that_does_not_name_its_cause_is_not_terminal() {
        let trouble = pod_trouble(&waiting("ImagePullBackOff", "Back-off pulling image \"docker.io/a/b:1\"", 0)).unwrap();
        assert_eq!(trouble.terminal_after, None);
    }

    #[test]
    fn a_crash_becomes_terminal_when_it_is_a_loop() {
        assert_eq!(pod_trouble(&waiting("CrashLoopBackOff", "back-off", 3)).unwrap().terminal_after, None);
        let trouble = pod_trouble(&waiting("CrashLoopBackOff", "back-off", 4)).unwrap();
        assert_eq!(trouble.terminal_after, Some(CRASH_GRACE));
        assert!(trouble.status.ends_with("4 restarts; it ended with code 2 (Error)"), "{}", trouble.status);
    }

    #[test]
    fn pending_for_want_of_memory_is_terminal_after_a_grace_and_other_pending_is_not() {
        let pending = |message: &str| {
            pod(serde_json::json!({"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}))
        };
        let full = pending("0/2 nodes are available: 2 Insufficient memory.");
        let taint = pending("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.");
        assert_eq!(pod_trouble(&full).unwrap().terminal_after, Some(UNSCHEDULABLE_GRACE));
        assert_eq!(pod_trouble(&taint).unwrap().terminal_after, None);
        let first = first_trouble(&[taint, full]).unwrap();
        assert!(first.status.contains("Insufficient memory"), "the terminal one comes first: {}", first.status);
    }

    #[test]
    fn a_pod_that_is_starting_or_going_is_no_trouble() {
        assert_eq!(pod_trouble(&waiting("ContainerCreating", "", 0)), None);
        let mut going = (*waiting("ErrImagePull", "not found", 0)).clone();
        going.metadata.deletion_timestamp = Some(serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap());
        assert_eq!(pod_trouble(&going), None);
    }
}
