//! A fake container engine on a unix socket. It knows containers that a test puts there and the network that it is told to make, and it
//! remembers every request.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// What the engine has and what it was asked.
#[derive(Default)]
struct Holdings {
    containers: Vec<Value>,
    network: Option<Value>,
    requests: Vec<String>,
}

/// The engine; it answers until it is dropped.
pub(crate) struct Engine {
    holdings: Arc<Mutex<Holdings>>,
    /// For `DOCKER_HOST`.
    pub(crate) url: String,
    _runtime: Runtime,
}

impl Engine {
    /// An engine with these containers, in the form of `GET /containers/json`.
    pub(crate) fn start(socket: &Path, containers: Vec<Value>) -> Self {
        let holdings = Arc::new(Mutex::new(Holdings { containers, ..Holdings::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let listener = runtime.block_on(async { UnixListener::bind(socket) }).expect("a socket can be bound");
        let shared = Arc::clone(&holdings);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let holdings = Arc::clone(&shared);
                let answer = service_fn(move |request| answer(Arc::clone(&holdings), request));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { holdings, url: format!("unix://{}", socket.display()), _runtime: runtime }
    }

    /// Every request so far, as `METHOD /path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// Whether the network `kind` exists.
    pub(crate) fn has_network(&self) -> bool {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner).network.is_some()
    }
}

async fn answer(holdings: Arc<Mutex<Holdings>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (status, value) = holdings.lock().unwrap_or_else(PoisonError::into_inner).answer(&head.method, head.uri.path(), &body);
    let text = if value.is_null() { String::new() } else { value.to_string() };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Holdings {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        self.requests.push(format!("{method} {path}"));
        // `/v1.47/info` and `/info` are the same.
        let path = path.trim_start_matches('/');
        let path = path.split_once('/').filter(|(version, _)| version.starts_with("v1.")).map_or(path, |(_, rest)| rest);
        let found = |value: Option<Value>| {
            value.map_or((StatusCode::NOT_FOUND, json!({"message": format!("no such {path}")})), |v| (StatusCode::OK, v))
        };
        match (method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["_ping"]) => (StatusCode::OK, Value::Null),
            ("GET", ["version"]) => found(Some(json!({"Version": "27.5.1", "ApiVersion": "1.47", "MinAPIVersion": "1.24"}))),
            ("GET", ["info"]) => found(Some(json!({
                "ServerVersion": "27.5.1", "MemTotal": 16_u64 << 30, "NCPU": 4, "CgroupVersion": "2",
                "KernelVersion": "6.1.0", "OperatingSystem": "fake", "Architecture": "x86_64",
            }))),
            // Only node containers are ever listed, by kind's label.
            ("GET", ["containers", "json"]) => {
                let nodes = self.containers.iter().filter(|c| !c["Labels"].as_object().is_none_or(serde_json::Map::is_empty));
                found(Some(nodes.cloned().collect()))
            }
            ("GET", ["containers", name, "json"]) => {
                let named = |c: &&Value| c["Names"][0] == format!("/{name}");
                found(self.containers.iter().find(named).map(|_| json!({"Name": format!("/{name}")})))
            }
            ("GET", ["networks", "kind"]) => found(self.network.clone()),
            ("POST", ["networks", "create"]) => {
                self.network = serde_json::from_slice(body).ok();
                (StatusCode::CREATED, json!({"Id": "fake", "Warning": ""}))
            }
            ("DELETE", ["networks", "kind"]) => {
                self.network = None;
                (StatusCode::NO_CONTENT, Value::Null)
            }
            _ => found(None),
        }
    }
}
