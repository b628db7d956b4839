//! What runs in containers. The simulation knows no program; whoever makes a cluster plugs them in by image.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use crate::api::Api;

/// How a process is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    Running,
    /// It ended.
    Exited {
        /// Exit code.
        code: i32,
        /// For example `Error`, `Completed`, `OOMKilled`.
        reason: String,
    },
}

/// A container that is being started.
#[derive(Clone)]
pub struct Start {
    /// The cluster that it runs in.
    pub api: Api,
    /// Its pod, with addresses in its status.
    pub pod: Arc<Value>,
    /// Name of the container.
    pub container: String,
    /// The labels of its image.
    pub image_labels: Arc<Value>,
    /// Where its log lines go.
    pub log: Log,
    /// Asks the API server as the container would over the network: with whatever `Authorization` the request has, or none.
    pub call: Call,
}

/// A way to the API server.
pub type Call = Arc<dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("container", &self.container).finish_non_exhaustive()
    }
}

/// A container's log: a bounded number of lines, each with its time.
#[derive(Debug, Clone, Default)]
pub struct Log(
    Arc<std::sync::Mutex<std::collections::VecDeque<(jiff::Timestamp, String)>>>,
    Arc<watch::Sender<u64>>,
    Arc<std::sync::atomic::AtomicBool>,
);

impl Log {
    /// Lines that are kept.
    const LINES: usize = 2000;

    /// Adds a line.
    pub fn line(&self, at: jiff::Timestamp, text: impl Into<String>) {
        let mut lines = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lines.len() == Self::LINES {
            lines.pop_front();
        }
        lines.push_back((at, text.into()));
        drop(lines);
        self.1.send_modify(|n| *n += 1);
    }

    /// The lines that are kept, and how many there ever were.
    #[must_use]
    pub fn lines(&self) -> (u64, Vec<(jiff::Timestamp, String)>) {
        let lines = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (*self.1.borrow(), lines.iter().cloned().collect())
    }

    /// Nothing more will be said.
    pub fn end(&self) {
        self.2.store(true, std::sync::atomic::Ordering::Release);
        self.1.send_modify(|_| {});
    }

    /// Whether nothing more will be said.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.2.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Word of every new line.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }
}

/// An HTTP request that reaches a container, from a probe or through the API server's proxy.
#[derive(Debug, Clone)]
pub struct Request {
    /// The port that it came to.
    pub port: u16,
    /// Whether the client spoke TLS.
    pub tls: bool,
    /// Method.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Why a request found nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Nothing listens on the port.
    #[error("connect: connection refused")]
    Refused,
    /// The client spoke TLS to a port without it.
    #[error("http: server gave HTTP response to HTTPS client")]
    NotTls,
    /// No answer in time.
    #[error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Silent,
}

/// A running container.
pub trait Instance: Send + Sync {
    /// How its process is doing, now and from now on.
    fn process(&self) -> watch::Receiver<Process>;
    /// Answers a request. A client that speaks plain HTTP to a TLS port gets Go's answer: 400, `Client sent an HTTP request to an HTTPS server.`
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>>;
    /// Ends it: it was told to terminate.
    fn stop(&self) {}
}

/// A program.
pub trait Workload: Send + Sync {
    /// Starts it in a container. Runs inside the cluster's runtime, so it may spawn tasks; they must end with the instance.
    fn start(&self, start: Start) -> Arc<dyn Instance>;
}

/// Programs by the repository of their image as it is normalised, for example `docker.io/library/busybox`.
#[derive(Clone, Default)]
pub struct Workloads {
    programs: HashMap<String, Arc<dyn Workload>>,
    call: Option<Call>,
}

impl std::fmt::Debug for Workloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.programs.keys()).finish()
    }
}

impl Workloads {
    /// Adds a program.
    pub fn add(&mut self, repository: impl Into<String>, workload: impl Workload + 'static) {
        self.programs.insert(repository.into(), Arc::new(workload));
    }

    /// Gives the programs a way to their API server.
    #[must_use]
    pub fn reaching(mut self, call: Call) -> Self {
        self.call = Some(call);
        self
    }

    /// The way to the API server; one that leads nowhere where none was given.
    #[must_use]
    pub fn call(&self) -> Call {
        self.call.clone().unwrap_or_else(|| {
            Arc::new(|_| {
                let mut nobody = http::Response::new(Bytes::new());
                *nobody.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                Box::pin(std::future::ready(nobody))
            })
        })
    }

    /// The program of an image; one that runs, says nothing and listens nowhere where none was added.
    #[must_use]
    pub fn of(&self, repository: &str) -> Arc<dyn Workload> {
        self.programs.get(repository).cloned().unwrap_or_else(|| Arc::new(Idle))
    }
}

/// Runs until it is told to stop.
#[derive(Debug, Clone, Copy)]
pub struct Idle;

struct Idling(watch::Sender<Process>);

impl Workload for Idle {
    fn start(&self, _start: Start) -> Arc<dyn Instance> {
        Arc::new(Idling(watch::Sender::new(Process::Running)))
    }
}

impl Instance for Idling {
    fn process(&self) -> watch::Receiver<Process> {
        self.0.subscribe()
    }

    fn answer(&self, _request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>> {
        Box::pin(std::future::ready(Err(Unreachable::Refused)))
    }

    fn stop(&self) {
        self.0.send_replace(Process::Exited { code: 0, reason: "Completed".to_owned() });
    }
}
