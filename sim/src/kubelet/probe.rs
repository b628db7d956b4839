//! Probes. Source: kubelet `pkg/kubelet/prober` and `pkg/probe`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::pod::since;
use crate::clock::{Clock, later};
use crate::workload::{Instance, Request, Unreachable};

/// How soon a container that was not ready yet is asked again for the first time. A real kubelet waits for a whole period, which is what makes
/// environments slow to come up; here the gap doubles up to the period, so that what starts in milliseconds is ready in milliseconds.
/// Failures still count (and are told) only once in a period, so thresholds mean the time that they mean upstream.
const FIRST_GAP: Duration = Duration::from_millis(20);

/// Which probe it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    Passed,
    Failed,
}

/// A probe of a running container.
pub(super) struct Probe {
    pub(super) kind: Kind,
    pub(super) spec: Value,
    pub(super) next: Timestamp,
    pub(super) asking: bool,
    gap: Duration,
    successes: u64,
    failures: u64,
    counted: Option<Timestamp>,
    passed: bool,
}

fn number(spec: &Value, field: &str, default: u64) -> u64 {
    spec[field].as_u64().filter(|n| *n > 0).unwrap_or(default)
}

/// The probes of a container that starts now.
pub(super) fn of(container: &Value, now: Timestamp) -> Vec<Probe> {
    let kinds = [(Kind::Startup, "startupProbe"), (Kind::Readiness, "readinessProbe"), (Kind::Liveness, "livenessProbe")];
    let made = kinds.into_iter().filter(|(_, field)| container[field].is_object()).map(|(kind, field)| {
        let spec = container[field].clone();
        Probe {
            kind,
            next: later(now, Duration::from_secs(spec["initialDelaySeconds"].as_u64().unwrap_or(0))),
            spec,
            asking: false,
            gap: FIRST_GAP,
            successes: 0,
            failures: 0,
            counted: None,
            passed: false,
        }
    });
    made.collect()
}

impl Probe {
    /// Takes an answer in. The second value says whether a failure is told as an event.
    pub(super) fn take(&mut self, good: bool, now: Timestamp) -> (Verdict, bool) {
        let period = Duration::from_secs(number(&self.spec, "periodSeconds", 10));
        self.asking = false;
        self.next = later(now, period);
        if good {
            (self.failures, self.counted) = (0, None);
            self.successes += 1;
            let verdict = if self.successes >= number(&self.spec, "successThreshold", 1) { Verdict::Passed } else { Verdict::Nothing };
            self.passed |= verdict == Verdict::Passed;
            return (verdict, false);
        }
        self.successes = 0;
        if self.kind != Kind::Liveness && !self.passed {
            self.next = later(now, self.gap.min(period));
            self.gap = self.gap.saturating_mul(2).min(period);
        }
        // Clocks of sleepers are not exact; a hair less than a period is one.
        let counts = self.counted.is_none_or(|at| since(at, now) + Duration::from_millis(1) >= period);
        if counts {
            self.counted = Some(now);
            self.failures += 1;
        }
        let failed = counts && self.failures >= number(&self.spec, "failureThreshold", 3);
        (if failed { Verdict::Failed } else { Verdict::Nothing }, counts)
    }
}

/// A port by number, or by the name that the container gives it.
fn port(wanted: &Value, container: &Value) -> Option<u16> {
    if let Some(number) = wanted.as_u64() {
        return u16::try_from(number).ok();
    }
    let name = wanted.as_str()?;
    let named = container["ports"].as_array().into_iter().flatten().find(|p| p["name"] == name);
    named.and_then(|p| p["containerPort"].as_u64()).and_then(|n| u16::try_from(n).ok()).or_else(|| name.parse().ok())
}

fn request(port: u16, tls: bool, method: http::Method, path: &str) -> Request {
    let mut headers = http::HeaderMap::new();
    headers.insert("user-agent", http::HeaderValue::from_static("kube-probe/1.33"));
    headers.insert("accept", http::HeaderValue::from_static("*/*"));
    Request { port, tls, method, path: path.to_owned(), headers, body: Bytes::new() }
}

/// Asks once; an error says what the event says after `probe failed: `.
pub(super) async fn ask(clock: Clock, instance: Arc<dyn Instance>, spec: Value, container: Value, ip: String) -> Result<(), String> {
    let timeout = Duration::from_secs(number(&spec, "timeoutSeconds", 1));
    tokio::select! {
        biased;
        answer = once(&*instance, &spec, &container, &ip) => answer,
        () = clock.sleep(timeout) => Err(match target(&spec, &container, &ip) {
            Some(url) => format!("Get {url:?}: {}", Unreachable::Silent),
            None => format!("command timed out after {}s", timeout.as_secs()),
        }),
    }
}

fn target(spec: &Value, container: &Value, ip: &str) -> Option<String> {
    let get = spec.get("httpGet")?;
    let host = get["host"].as_str().filter(|h| !h.is_empty()).unwrap_or(ip);
    let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
    let path = get["path"].as_str().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("{scheme}://{host}:{}{slash}{path}", port(&get["port"], container)?))
}

async fn once(instance: &dyn Instance, spec: &Value, container: &Value, ip: &str) -> Result<(), String> {
    if let Some(get) = spec.get("httpGet") {
        let (Some(number), Some(url)) = (port(&get["port"], container), target(spec, container, ip)) else {
            return Err(format!("couldn't find port: {}", get["port"]));
        };
        let path = get["path"].as_str().unwrap_or("/");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let mut request = request(number, get["scheme"] == "HTTPS", http::Method::GET, &path);
        for header in get["httpHeaders"].as_array().into_iter().flatten() {
            let name = header["name"].as_str().and_then(|n| n.parse::<http::HeaderName>().ok());
            let value = header["value"].as_str().and_then(|v| v.parse::<http::HeaderValue>().ok());
            if let (Some(name), Some(value)) = (name, value) {
                request.headers.insert(name, value);
            }
        }
        return match instance.answer(request).await {
            Ok(answer) if (200..400).contains(&answer.status().as_u16()) => Ok(()),
            Ok(answer) => Err(format!("HTTP probe failed with statuscode: {}", answer.status().as_u16())),
            Err(Unreachable::Refused) => Err(format!("Get {url:?}: dial tcp {ip}:{number}: {}", Unreachable::Refused)),
            Err(other) => Err(format!("Get {url:?}: {other}")),
        };
    }
    if let Some(tcp) = spec.get("tcpSocket") {
        let Some(number) = port(&tcp["port"], container) else { return Err(format!("couldn't find port: {}", tcp["port"])) };
        return match instance.answer(request(number, false, http::Method::GET, "/")).await {
            Err(Unreachable::Refused) => Err(format!("dial tcp {ip}:{number}: {}", Unreachable::Refused)),
            Err(Unreachable::Silent) => Err(format!("dial tcp {ip}:{number}: i/o timeout")),
            // Whatever it speaks, it listens.
            Ok(_) | Err(Unreachable::NotTls) => Ok(()),
        };
    }
    if let Some(grpc) = spec.get("grpc") {
        let number = port(&grpc["port"], container).unwrap_or_default();
        let mut request = request(number, false, http::Method::POST, "/grpc.health.v1.Health/Check");
        request.headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
        return match instance.answer(request).await {
            Ok(answer) if answer.status().is_success() && answer.headers().get("grpc-status").is_none_or(|s| s == "0") => Ok(()),
            Ok(_) => Err("service unhealthy (responded with \"NOT_SERVING\")".to_owned()),
            Err(_) => Err(format!("timeout: failed to connect service \"{ip}:{number}\" within 1s: context deadline exceeded")),
        };
    }
    // No program here runs commands. One that wants to say how it is answers the method `EXEC` at port 0 with the command as the path.
    let command: Vec<&str> = spec["exec"]["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let method = http::Method::from_bytes(b"EXEC").unwrap_or(http::Method::POST);
    match instance.answer(request(0, false, method, &command.join(" "))).await {
        Ok(answer) if !answer.status().is_success() => Err(String::from_utf8_lossy(answer.body()).into_owned()),
        Ok(_) | Err(Unreachable::Refused | Unreachable::NotTls) => Ok(()),
        Err(Unreachable::Silent) => Err("command timed out".to_owned()),
    }
}
