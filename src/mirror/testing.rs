//! A registry for tests, which can do everything wrong.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::name::{Digest, Repository};
use super::upstream::{Client, Credentials, Endpoint, Upstreams};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What the registry does instead of its work.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Status(u16),
    /// 429 or 503 with this `Retry-After`.
    Later(u16, &'static str),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// The body is another one of the same length.
    Corrupt,
    /// Half of the body, and then nothing.
    Stall,
    Redirect(String),
    IgnoreRange,
    /// No `Content-Length`.
    Chunked,
    /// A header is another one.
    Header(&'static str, &'static str),
}

/// One request that came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

#[derive(Default)]
struct State {
    /// By path.
    content: HashMap<String, (String, Bytes)>,
    /// By a piece of the path; used so often.
    faults: Vec<(String, usize, Fault)>,
    seen: Vec<Seen>,
    token: Option<String>,
    login: Option<String>,
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Bodies end only when this is true.
    gate: watch::Sender<bool>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), state: Arc::default(), gate: watch::Sender::new(true) };
        let serving = fake.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let fake = serving.clone();
                let service = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(fake.answer(&request))));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        fake
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.url())
    }

    /// A client that asks this registry for everything of `docker.io`.
    pub(super) fn client(&self) -> Client {
        client(vec![self.endpoint()])
    }

    pub(super) fn blob(&self, content: impl Into<Bytes>) -> Digest {
        let content = content.into();
        let digest = Digest::of(&content);
        self.put(&format!("/v2/library/busybox/blobs/{digest}"), "application/octet-stream", content);
        digest
    }

    pub(super) fn manifest(&self, tag: &str, content: &str) -> Digest {
        let digest = Digest::of(content.as_bytes());
        for reference in [tag, digest.as_str()] {
            self.put(&format!("/v2/library/busybox/manifests/{reference}"), MANIFEST, content.to_owned());
        }
        digest
    }

    pub(super) fn put(&self, path: &str, media_type: &str, content: impl Into<Bytes>) {
        self.state.lock().unwrap().content.insert(path.to_owned(), (media_type.to_owned(), content.into()));
    }

    /// Does this to the next requests whose method and path hold this text.
    pub(super) fn fault(&self, what: &str, times: usize, fault: Fault) {
        self.state.lock().unwrap().faults.push((what.to_owned(), times, fault));
    }

    /// Works again.
    pub(super) fn forgive(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// Wants a token, and a login for the token if one is given.
    pub(super) fn protect(&self, token: &str, login: Option<&str>) {
        let mut state = self.state.lock().unwrap();
        (state.token, state.login) = (Some(token.to_owned()), login.map(ToOwned::to_owned));
    }

    /// Holds bodies back before their last byte, or lets them go.
    pub(super) fn hold(&self, hold: bool) {
        self.gate.send_replace(!hold);
    }

    pub(super) fn seen(&self, what: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|s| format!("{} {}", s.method, s.path).contains(what)).cloned().collect()
    }

    fn answer(&self, request: &Request<hyper::body::Incoming>) -> Response<Slow> {
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut state = self.state.lock().unwrap();
        state.seen.push(Seen { method: request.method().clone(), path: path.clone(), query, headers: headers.clone() });
        let plain = |status: u16| Response::builder().status(status);
        let empty = Slow::new(Bytes::new(), self.gate.subscribe());
        let authorization = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if path == "/token" {
            if state.login.as_deref().is_some_and(|l| authorization != Some(l)) && request.method() == Method::GET {
                return plain(401).body(empty).unwrap();
            }
            let body = format!(r#"{{"token":"{}","expires_in":300}}"#, state.token.clone().unwrap_or_default());
            return plain(200).body(Slow::new(body.into(), self.gate.subscribe())).unwrap();
        }
        if let Some(token) = &state.token
            && authorization != Some(&format!("Bearer {token}"))
        {
            let challenge = format!("Bearer realm=\"{}/token\",service=\"fake\",scope=\"repository:x:pull\"", self.url());
            return plain(401).header(header::WWW_AUTHENTICATE, challenge).body(empty).unwrap();
        }
        let asked = format!("{} {path}", request.method());
        let fault =
            state.faults.iter_mut().find(|(what, times, _)| *times > 0 && asked.contains(what.as_str())).map(|(_, times, fault)| {
                *times -= 1;
                fault.clone()
            });
        match &fault {
            Some(Fault::Status(status)) => return plain(*status).body(empty).unwrap(),
            Some(Fault::Later(status, after)) => return plain(*status).header(header::RETRY_AFTER, *after).body(empty).unwrap(),
            Some(Fault::Redirect(to)) => return plain(307).header(header::LOCATION, format!("{to}{path}")).body(empty).unwrap(),
            _ => {}
        }
        let Some((media_type, whole)) = state.content.get(&path).cloned() else { return plain(404).body(empty).unwrap() };
        drop(state);
        let range =
            headers.get(header::RANGE).and_then(|r| r.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let start = range.filter(|_| !matches!(fault, Some(Fault::IgnoreRange))).unwrap_or(0);
        let mut content = whole.slice(start..);
        if matches!(fault, Some(Fault::Corrupt)) {
            content = content.iter().map(|b| b ^ 1).collect::<Vec<_>>().into();
        }
        let mut response = plain(if start > 0 { 206 } else { 200 }).header(header::CONTENT_TYPE, media_type);
        if path.contains("/manifests/") {
            response = response.header("docker-content-digest", Digest::of(&whole).as_str());
        }
        if start > 0 {
            response = response.header(header::CONTENT_RANGE, format!("bytes {start}-{}/{}", whole.len() - 1, whole.len()));
        }
        if !matches!(fault, Some(Fault::Chunked)) {
            response = response.header(header::CONTENT_LENGTH, content.len());
        }
        let mut body = Slow::new(content, self.gate.subscribe());
        match fault {
            Some(Fault::Cut(at)) => body.cut = Some(at),
            Some(Fault::Stall) => body.stall = true,
            Some(Fault::Header(name, value)) => {
                let mut response = response.body(body).unwrap();
                response.headers_mut().insert(name, value.parse().unwrap());
                return response;
            }
            _ => {}
        }
        if request.method() == Method::HEAD {
            body.left = Bytes::new();
            body.cut = None;
        }
        response.body(body).unwrap()
    }
}

pub(super) fn client(endpoints: Vec<Endpoint>) -> Client {
    let registries = [("docker.io".to_owned(), endpoints)].into();
    Client::new(Upstreams { registries, others: false }, Credentials::default(), None).unwrap()
}

pub(super) fn busybox() -> Repository {
    "busybox".parse().unwrap()
}

/// Bytes that no two offsets have in common.
pub(super) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect::<Vec<_>>().into()
}

pub(super) struct Slow {
    left: Bytes,
    cut: Option<usize>,
    stall: bool,
    gate: watch::Receiver<bool>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    half: usize,
    flushed: bool,
}

impl Slow {
    fn new(left: Bytes, gate: watch::Receiver<bool>) -> Self {
        let half = left.len() / 2;
        Self { left, cut: None, stall: false, gate, wait: None, half, flushed: false }
    }
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        if this.cut == Some(0) && !this.flushed {
            // Otherwise what was given before would never be sent.
            this.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.cut == Some(0) {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())));
        }
        if this.stall && this.left.len() <= this.half {
            return Poll::Pending;
        }
        if this.left.len() == 1 && !*this.gate.borrow() {
            let mut gate = this.gate.clone();
            let wait = this.wait.get_or_insert_with(|| {
                Box::pin(async move {
                    let _ = gate.wait_for(|open| *open).await;
                })
            });
            if wait.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let most = (this.left.len() - 1).clamp(1, 16 * 1024).min(this.cut.unwrap_or(usize::MAX));
        this.cut = this.cut.map(|c| c - most);
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(most)))))
    }
}

/// Whether an answer is this error of a registry.
pub(super) fn is_error(body: &[u8], status: StatusCode, code: &str) -> bool {
    let parsed: serde_json::Value = serde_json::from_slice(body).unwrap();
    status.as_u16() >= 400 && parsed["errors"][0]["code"] == code && parsed["errors"][0]["message"].is_string()
}
