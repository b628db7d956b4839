//! Serves images over HTTP or TLS, writes down who asked for what, and misbehaves on request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::images::{Images, Repository};

/// One request to the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// The `ns` of the query: for which registry a mirror was asked.
    pub ns: Option<String>,
    /// All request headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// What was answered; 0 for a connection that was cut.
    pub status: u16,
}

/// What a registry does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Answers with a status, and a `Retry-After` in seconds if there is one.
    Status(u16, Option<u32>),
    /// Asks for a token, as Docker Hub does: the realm is where nodes get one, for example `https://auth.docker.io/token`. Every registry here gives
    /// tokens to everyone at `/token`, and takes any.
    Challenge(String),
    /// Answers late.
    Delay(Duration),
    /// Closes the connection instead of answering.
    Cut,
    /// Serves other content than the digest says.
    Corrupt,
}

/// A misbehaviour for some requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What the path begins with.
    pub prefix: String,
    /// What goes wrong.
    pub what: Misbehaviour,
    /// For how many requests; `None` for all.
    pub times: Option<u32>,
}

/// A running registry; it stops when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Shared {
    images: Mutex<Images>,
    asked: Mutex<Vec<Asked>>,
    faults: Mutex<Vec<Fault>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics with this lock held")
}

type Answer = Response<Full<Bytes>>;

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl Registry {
    /// Serves plain HTTP on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(images: Images) -> std::io::Result<Self> {
        Self::run(images, None).await
    }

    /// Serves TLS on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_tls(images: Images, config: Arc<ServerConfig>) -> std::io::Result<Self> {
        Self::run(images, Some(TlsAcceptor::from(config))).await
    }

    async fn run(images: Images, tls: Option<TlsAcceptor>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { images: Mutex::new(images), asked: Mutex::default(), faults: Mutex::default() });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { shared, running: Arc::new(Running { address, task }) })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// What it was asked so far.
    #[must_use]
    pub fn records(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Forgets what it was asked.
    pub fn forget(&self) {
        lock(&self.shared.asked).clear();
    }

    /// Misbehaves for some requests. The first fault that fits counts.
    pub fn fault(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Changes what it has.
    pub fn images(&self, change: impl FnOnce(&mut Images)) {
        change(&mut lock(&self.shared.images));
    }

    /// Stops listening and closes all connections.
    pub fn stop(&self) {
        self.running.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropping the set with this task ends every connection.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(converse(stream, tls.clone(), Arc::clone(&shared)));
    }
}

async fn converse(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let service = service_fn(move |request| serve(Arc::clone(&shared), request));
    let builder = hyper::server::conn::http1::Builder::new();
    // A client that goes away, or that does not trust us, is nothing to report.
    match tls {
        None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Cut> {
    let path = request.uri().path().to_owned();
    let ns = request.uri().query().and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("ns="))).map(str::to_owned);
    let headers = request.headers().iter().map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
    let record = |status: u16| {
        let asked = Asked { method: request.method().to_string(), path: path.clone(), ns: ns.clone(), headers, status };
        lock(&shared.asked).push(asked);
    };
    let fault = shared.fault(&path);
    let mut answer = match fault {
        Some(Misbehaviour::Cut) => {
            record(0);
            return Err(Cut);
        }
        Some(Misbehaviour::Status(status, retry)) => refusal(status, retry),
        Some(Misbehaviour::Challenge(realm)) if !request.headers().contains_key(header::AUTHORIZATION) => challenge(&realm, &path),
        Some(Misbehaviour::Delay(delay)) => {
            // The delay is a wait for nothing, so that paused time can skip it.
            let _ = tokio::time::timeout(delay, std::future::pending::<()>()).await;
            shared.answer(request.method(), &path, false)
        }
        Some(Misbehaviour::Corrupt) => shared.answer(request.method(), &path, true),
        Some(Misbehaviour::Challenge(_)) | None => shared.answer(request.method(), &path, false),
    };
    answer.headers_mut().insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    record(answer.status().as_u16());
    Ok(answer)
}

impl Shared {
    fn fault(&self, path: &str) -> Option<Misbehaviour> {
        let mut faults = lock(&self.faults);
        let at = faults.iter().position(|f| path.starts_with(&f.prefix) && f.times != Some(0))?;
        if let Some(left) = &mut faults[at].times {
            *left -= 1;
        }
        Some(faults[at].what.clone())
    }

    fn answer(&self, method: &Method, path: &str, corrupt: bool) -> Answer {
        let head = *method == Method::HEAD;
        if !head && *method != Method::GET {
            return error(405, "UNSUPPORTED", "The operation is unsupported.");
        }
        if path == "/token" {
            return content(br#"{"token": "anonymous"}"#, "application/json", None, head, false);
        }
        let Some(rest) = path.strip_prefix("/v2") else { return error(404, "NOT_FOUND", "404 page not found") };
        if rest.trim_matches('/').is_empty() {
            return content(b"{}", "application/json", None, head, false);
        }
        let images = lock(&self.images);
        for part in ["/manifests/", "/blobs/", "/tags/"] {
            let Some((name, last)) = rest.rsplit_once(part) else { continue };
            let name = name.trim_start_matches('/');
            let Some(repository) = images.repositories.get(name) else {
                return error(404, "NAME_UNKNOWN", "repository name not known to registry");
            };
            return match part {
                "/manifests/" => manifest(repository, last, head, corrupt),
                "/blobs/" => match repository.blobs.get(last) {
                    Some(blob) => content(blob, "application/octet-stream", Some(last), head, corrupt),
                    None => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
                },
                _ => {
                    let tags: Vec<&String> = repository.tags.keys().collect();
                    content(json!({"name": name, "tags": tags}).to_string().as_bytes(), "application/json", None, head, false)
                }
            };
        }
        error(404, "NOT_FOUND", "404 page not found")
    }
}

fn manifest(repository: &Repository, reference: &str, head: bool, corrupt: bool) -> Answer {
    let digest = repository.tags.get(reference).map_or(reference, String::as_str);
    match repository.manifests.get(digest) {
        Some((media_type, manifest)) => content(manifest, media_type, Some(digest), head, corrupt),
        None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn content(body: &[u8], media_type: &'static str, digest: Option<&str>, head: bool, corrupt: bool) -> Answer {
    let mut body = body.to_vec();
    if corrupt && let Some(last) = body.last_mut() {
        // The length stays, so that only the digest can tell.
        *last ^= 1;
    }
    let mut answer = Response::new(Full::default());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Some(digest) = digest.and_then(|d| HeaderValue::from_str(d).ok()) {
        headers.insert("docker-content-digest", digest);
    }
    if !head {
        *answer.body_mut() = Full::from(body);
    }
    answer
}

/// An error body of the distribution specification.
fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    let mut answer = content(body.as_bytes(), "application/json", None, false, false);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

/// 401 with the scope that is needed.
fn challenge(realm: &str, path: &str) -> Answer {
    let mut answer = refusal(401, None);
    let repository = path.trim_start_matches("/v2/").split("/manifests/").next().unwrap_or_default();
    let repository = repository.split("/blobs/").next().unwrap_or_default();
    let text = format!("Bearer realm=\"{realm}\",service=\"registry.docker.io\",scope=\"repository:{repository}:pull\"");
    if let Ok(text) = HeaderValue::from_str(&text) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, text);
    }
    answer
}

fn refusal(status: u16, retry_after: Option<u32>) -> Answer {
    let mut answer = match status {
        401 => error(401, "UNAUTHORIZED", "authentication required"),
        403 => error(403, "DENIED", "requested access to the resource is denied"),
        // Docker Hub's own words.
        429 => error(
            429,
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit",
        ),
        other => error(other, "UNKNOWN", "unknown error"),
    };
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
