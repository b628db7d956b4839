//! A pull-through mirror for any registry, which records what it is asked for.
//!
//! It answers the reading half of the OCI distribution specification. Bundles come first, then the cache, then upstream; what comes from
//! upstream is checked on its way, and never ends well unless it is what was asked for.

mod answer;
mod blob;
mod buffers;
mod conditions;
mod fills;
mod list;
mod manifest;
mod reader;
mod route;
mod track;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::answer::{Answer, Body, Code, Refusal};
use self::fills::Fills;
use self::route::{Query, Route};
use self::track::{Node, Track, Tracked};
use super::cache::Cache;
use super::layout::Layout;
use super::record::{Naming, Recorder};
use super::upstream;

/// How long a client may take to say what it wants.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers may take that are on their way when the mirror stops.
const GRACE: Duration = Duration::from_secs(2);
/// How long nothing is accepted after the process ran out of something.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What a mirror is made of.
pub struct Settings {
    /// Where it keeps what it fetched.
    pub cache: Cache,
    /// Where it fetches from. Without one it is air-gapped.
    pub upstream: Option<upstream::Client>,
    /// Bundles, which are looked at first.
    pub layouts: Vec<Layout>,
    /// Where it writes down what it was asked for.
    pub recorder: Recorder,
    /// Tells which node asks.
    pub naming: Naming,
}

/// The mirror.
pub struct Mirror {
    cache: Cache,
    upstream: Option<upstream::Client>,
    layouts: Vec<Layout>,
    recorder: Recorder,
    naming: Naming,
    fills: Fills,
}

impl Mirror {
    /// Makes a mirror. Downloads that are under way end with its last clone.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let Settings { cache, upstream, layouts, recorder, naming } = settings;
        Arc::new(Self { cache, upstream, layouts, recorder, naming, fills: Fills::default() })
    }

    /// Serves until `stop` is ready. Then idle connections end at once, and answers that are on their way after a short time.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let (ending, ended) = tokio::sync::watch::channel(());
        let mut stop = std::pin::pin!(stop);
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let mut ended = ended.clone();
                    let gone = async move {
                        let _ = ended.changed().await;
                    };
                    connections.spawn(Arc::clone(&self).connection(stream, peer, gone));
                }
                // Out of file handles, as a rule: trying again at once would burn a whole core.
                Err(_) => {
                    let _ = tokio::time::timeout(EXHAUSTED, &mut stop).await;
                }
            }
        }
        drop(ending);
        let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, gone: impl Future<Output = ()>) {
        // Small answers should not wait for company.
        let _ = stream.set_nodelay(true);
        let asked: OnceLock<Node> = OnceLock::new();
        let service = service_fn(move |request| {
            // Asked with the first request, so that the name is known when its answer is written down. Not before: whoever knows the peer may
            // learn of the connection a moment later than it is accepted here.
            let node = asked.get_or_init(|| {
                let node: Node = (self.naming)(peer).shared();
                drop(tokio::spawn(node.clone()));
                node
            });
            let (mirror, node) = (Arc::clone(&self), node.clone());
            async move { Ok::<_, Infallible>(mirror.handle(peer, node, request).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
        // How a connection ends is in the record of its last request.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = gone => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    async fn handle(&self, peer: SocketAddr, node: Node, request: Request<Incoming>) -> Response<Tracked> {
        let mut track = Track::new(self.recorder.clone(), peer, node, request.method().as_str());
        let answer = match self.answer(&mut track, &request).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(),
        };
        let mut answer = answer.with(HeaderName::from_static("docker-distribution-api-version"), "registry/2.0");
        answer.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if request.method() == Method::HEAD {
            answer.body = Body::Empty;
        }
        track.answered(&answer);
        let length = answer.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let mut response = Response::new(Tracked::new(answer.body, track, length));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    async fn answer(&self, track: &mut Track, request: &Request<Incoming>) -> Result<Answer, Refusal> {
        let (path, query) = (request.uri().path(), Query::parse(request.uri().query()));
        let route = Route::parse(path, query.namespace.as_deref());
        if let Ok(route) = &route {
            track.asked(route);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let refusal =
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, "this is a mirror: it can be read and not written");
            // Whatever else was sent is not read.
            return Err(refusal.with(header::ALLOW, "GET, HEAD").with(header::CONNECTION, "close"));
        }
        let only_head = request.method() == Method::HEAD;
        match route? {
            Route::Ping => Ok(Answer::full(StatusCode::OK, "application/json", "{}".into())),
            Route::Manifest(repository, reference) => self.manifest(&repository, &reference, request.headers(), only_head).await,
            Route::Blob(repository, digest) => self.blob(&repository, &digest, request.headers(), only_head).await,
            Route::Tags(repository) => self.tags(&repository, path, &query).await,
            Route::Referrers(repository, digest) => self.referrers(&repository, &digest, &query).await,
        }
    }

    /// What is not there, and cannot be fetched.
    fn missing(&self, code: Code, what: &str, trouble: Option<String>) -> Refusal {
        let bundles: Vec<_> = self.layouts.iter().map(|l| l.dir().display().to_string()).collect();
        let bundles = match bundles.as_slice() {
            [] => "no bundle is loaded".to_owned(),
            [one] => format!("it is not in the bundle {one}"),
            more => format!("it is in none of the bundles {}", more.join(", ")),
        };
        let trouble = trouble.map_or_else(String::new, |t| format!("; {t}"));
        let message = format!("{what} is not here: this mirror has no upstream (it is air-gapped), and {bundles}{trouble}");
        Refusal::new(StatusCode::NOT_FOUND, code, &message)
    }
}

#[cfg(test)]
#[path = "server/tests/mod.rs"]
mod tests;
