//! `pods/log`. Source: kubernetes `pkg/registry/core/pod/strategy.go` `LogLocation`, kubelet `pkg/kubelet/server`.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Body, Call, bytes};
use crate::failure::Failure;
use crate::workload::Log;

/// Answers with a container's log, and goes on with it when asked to follow.
pub(super) fn answer(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let (namespace, name) = (call.namespace(), call.info.name.as_str());
    let pod = call.api().read("pods", namespace, name).ok_or_else(|| Failure::not_found("pods", name))?;
    let container = container(call, &pod, name)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        // Not on a node yet: nothing was said.
        return Ok(bytes(StatusCode::OK, "text/plain", Bytes::new()));
    }
    if let Err(why) = call.server.0.nodes.healthz(node) {
        let object = call.api().read("nodes", "", node).unwrap_or_default();
        let address = super::proxy::address(&object);
        return Err(Failure::internal(format!("Get \"https://{address}:10250/containerLogs/{namespace}/{name}/{container}\": {why}")));
    }
    let previous = call.query.flag("previous").unwrap_or_default();
    let Some(log) = call.server.0.nodes.log(namespace, name, &container, previous) else {
        if previous {
            let message = format!("previous terminated container {container:?} in pod {name:?} not found");
            return Err(Failure::bad_request(message));
        }
        let statuses = pod["status"]["containerStatuses"].as_array();
        let reason = statuses.into_iter().flatten().find(|s| s["name"] == container.as_str());
        let reason = reason.and_then(|s| s["state"]["waiting"]["reason"].as_str()).unwrap_or("ContainerCreating");
        let why = match reason {
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
            other => other.to_owned(),
        };
        return Err(Failure::bad_request(format!("container {container:?} in pod {name:?} is waiting to start: {why}")));
    };
    let number = |key: &str| call.query.get(key).and_then(|v| v.parse::<i64>().ok());
    let now = call.api().clock().now();
    let since = number("sinceSeconds").map(|s| now.checked_sub(SignedDuration::from_secs(s.max(0))).unwrap_or(Timestamp::MIN));
    let since = since.or_else(|| call.query.get("sinceTime").and_then(|t| t.parse().ok()));
    let shape = Shape { timestamps: call.query.flag("timestamps").unwrap_or_default(), since };
    let (seen, lines) = log.lines();
    let tail = number("tailLines").map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
    let skip = lines.len().saturating_sub(tail);
    let mut first: Vec<u8> = lines[skip..].iter().filter_map(|line| shape.line(line)).flatten().collect();
    if let Some(limit) = number("limitBytes") {
        first.truncate(usize::try_from(limit).unwrap_or(0));
    }
    if !call.query.flag("follow").unwrap_or_default() {
        return Ok(bytes(StatusCode::OK, "text/plain", first));
    }
    let mut response = Response::new(Body::stream(follow(log, seen, first.into(), shape)));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn container(call: &Call<'_>, pod: &Value, name: &str) -> Result<String, Failure> {
    let names = |field: &str| -> Vec<String> {
        pod["spec"][field].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).map(str::to_owned).collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    if let Some(asked) = call.query.get("container").filter(|c| !c.is_empty()) {
        if containers.iter().chain(&init).any(|c| c == asked) {
            return Ok(asked.to_owned());
        }
        return Err(Failure::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    match containers.as_slice() {
        [only] if init.is_empty() => Ok(only.clone()),
        _ => {
            let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", containers.join(" "));
            if !init.is_empty() {
                message += &format!(" or one of the init containers: [{}]", init.join(" "));
            }
            Err(Failure::bad_request(message))
        }
    }
}

#[derive(Clone, Copy)]
struct Shape {
    timestamps: bool,
    since: Option<Timestamp>,
}

impl Shape {
    fn line(&self, (at, text): &(Timestamp, String)) -> Option<Vec<u8>> {
        if self.since.is_some_and(|since| *at < since) {
            return None;
        }
        let line = if self.timestamps { format!("{at:.9} {text}\n") } else { format!("{text}\n") };
        Some(line.into_bytes())
    }
}

fn follow(log: Log, seen: u64, first: Bytes, shape: Shape) -> impl futures::Stream<Item = Bytes> {
    let receiver = log.subscribe();
    futures::stream::unfold((log, seen, Some(first), receiver), move |(log, mut seen, first, mut receiver)| async move {
        if let Some(first) = first.filter(|f| !f.is_empty()) {
            return Some((first, (log, seen, None, receiver)));
        }
        loop {
            receiver.borrow_and_update();
            let (total, lines) = log.lines();
            let new = usize::try_from(total.saturating_sub(seen)).unwrap_or(usize::MAX).min(lines.len());
            if new > 0 {
                seen = total;
                let piece: Vec<u8> = lines[lines.len() - new..].iter().filter_map(|l| shape.line(l)).flatten().collect();
                return Some((Bytes::from(piece), (log, seen, None, receiver)));
            }
            if log.ended() || receiver.changed().await.is_err() {
                return None;
            }
        }
    })
}
