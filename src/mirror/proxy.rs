//! A recording forward proxy: tunnels by `CONNECT`, and plain HTTP by requests with an absolute URL (RFC 9110, 9.3.6; RFC 9112, 3.2.2).

mod chain;
mod forward;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::chain::Chain;
use super::record::{Access, Asked, Naming, Recorder};

/// Errors of setting up a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The proxy to chain to is no HTTP URL with a host.
    #[error("the proxy to ask is no http:// URL with a host")]
    Upstream,
}

/// What a proxy is like.
pub struct Settings {
    /// What it is called in records.
    pub name: String,
    /// URL of another HTTP proxy that it asks, with user and password if that one wants them.
    pub upstream: Option<String>,
    /// Where requests are written down.
    pub recorder: Recorder,
    /// Which node a peer is.
    pub naming: Naming,
}

/// A proxy.
pub struct Proxy(Arc<Shared>);

struct Shared {
    name: String,
    chain: Option<Chain>,
    recorder: Recorder,
    naming: Naming,
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// A request while it is being answered.
struct Asking {
    at: Timestamp,
    since: Instant,
    peer: SocketAddr,
    node: Option<String>,
    method: String,
    target: String,
}

impl Proxy {
    /// A proxy of these settings.
    ///
    /// # Errors
    /// [`ProxyError::Upstream`].
    pub fn new(settings: Settings) -> Result<Self, ProxyError> {
        let Settings { name, upstream, recorder, naming } = settings;
        let chain = upstream.map(|url| Chain::parse(&url).ok_or(ProxyError::Upstream)).transpose()?;
        Ok(Self(Arc::new(Shared { name, chain, recorder, naming })))
    }

    /// Serves until it is told to stop; tunnels end with it.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let own = listener.local_addr().ok();
        // Dropping the set ends every connection and tunnel.
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = &mut stop => return,
                accepted = listener.accept() => accepted,
            };
            // A peer that went away again, or no free file descriptor: others must not pay for it.
            let Ok((stream, peer)) = accepted else {
                tokio::task::yield_now().await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            connections.spawn(connection(Arc::clone(&self.0), stream, peer, own));
        }
    }
}

/// One connection; a tunnel in it is part of it, so that it ends with it.
async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, own: Option<SocketAddr>) {
    let (tunnels, mut opened) = tokio::sync::mpsc::unbounded_channel::<BoxFuture<'static, ()>>();
    let service = service_fn(move |request| {
        let (shared, tunnels) = (Arc::clone(&shared), tunnels.clone());
        async move { Ok::<_, Infallible>(shared.answer(request, peer, own, &tunnels).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // Names of headers as they were sent: some registries are particular.
    let served = server.preserve_header_case(true).serve_connection(TokioIo::new(stream), service).with_upgrades();
    // A client that goes away in the middle is nothing to report.
    let _ = served.await;
    while let Ok(tunnel) = opened.try_recv() {
        tunnel.await;
    }
}

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        own: Option<SocketAddr>,
        tunnels: &tokio::sync::mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    ) -> Response<Body> {
        let asked = Asking {
            at: Timestamp::now(),
            since: Instant::now(),
            peer,
            node: (self.naming)(peer).await,
            method: request.method().to_string(),
            target: target(&request),
        };
        if request.method() == Method::CONNECT {
            return self.connect(request, asked, own, tunnels).await;
        }
        let Some((host, port)) = absolute(&request) else {
            return self.refuse(
                &asked,
                StatusCode::BAD_REQUEST,
                "this is a proxy: it answers CONNECT and requests with an absolute http:// URL",
            );
        };
        if let Some(refusal) = looped(&host, port, own) {
            return self.refuse(&asked, StatusCode::LOOP_DETECTED, refusal);
        }
        match forward::send(self.chain.as_ref(), request, &host, port).await {
            Ok(response) => forward::counted(response, self.recorder.clone(), |status, received, sent| {
                self.access(&asked, status, sent, received, None)
            }),
            Err(e) => self.refuse(&asked, e.status(), &e.to_string()),
        }
    }

    async fn connect(
        &self,
        request: Request<Incoming>,
        asked: Asking,
        own: Option<SocketAddr>,
        tunnels: &tokio::sync::mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    ) -> Response<Body> {
        let Some((host, port)) = request.uri().authority().and_then(|a| Some((a.host().to_owned(), a.port_u16()?))) else {
            return self.refuse(&asked, StatusCode::BAD_REQUEST, "CONNECT wants a host and a port");
        };
        if let Some(refusal) = looped(&host, port, own) {
            return self.refuse(&asked, StatusCode::LOOP_DETECTED, refusal);
        }
        let mut target = match chain::tunnel(self.chain.as_ref(), &host, port).await {
            Ok(target) => target,
            Err(e) => return self.refuse(&asked, e.status(), &e.to_string()),
        };
        // A tunnel may live for long, and who judges wants to know at once that it was asked for. Its bytes are nobody's business.
        self.recorder.write(self.access(&asked, StatusCode::OK, 0, 0, None));
        let upgraded = hyper::upgrade::on(request);
        let tunnel = Box::pin(async move {
            if let Ok(client) = upgraded.await {
                // Either side may close its half first; the end of both is the end.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut target).await;
            }
        });
        // The receiver lives as long as the connection that this answers on.
        let _ = tunnels.send(tunnel);
        Response::new(empty())
    }

    fn refuse(&self, asked: &Asking, status: StatusCode, why: &str) -> Response<Body> {
        self.recorder.write(self.access(asked, status, 0, 0, Some(why.to_owned())));
        let mut response = Response::new(Full::new(Bytes::from(format!("{why}\n"))).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }

    fn access(&self, asked: &Asking, status: StatusCode, sent: u64, received: u64, error: Option<String>) -> Access {
        Access {
            at: asked.at,
            peer: asked.peer,
            node: asked.node.clone(),
            asked: Asked::Proxy {
                listener: self.name.clone(),
                method: asked.method.clone(),
                target: asked.target.clone(),
                status: status.as_u16(),
                sent,
                received,
                millis: u64::try_from(asked.since.elapsed().as_millis()).unwrap_or(u64::MAX),
                error,
            },
        }
    }
}

fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What is written down of where a request goes: users, passwords and queries are not.
fn target(request: &Request<Incoming>) -> String {
    let uri = request.uri();
    let host = |a: &http::uri::Authority| match a.port() {
        Some(port) => format!("{}:{port}", a.host()),
        None => a.host().to_owned(),
    };
    match (uri.scheme_str(), uri.authority()) {
        (None, Some(authority)) => host(authority),
        (Some(scheme), Some(authority)) => format!("{scheme}://{}{}", host(authority), uri.path()),
        _ => uri.path().to_owned(),
    }
}

/// Host and port of a request with an absolute URL of plain HTTP.
fn absolute(request: &Request<Incoming>) -> Option<(String, u16)> {
    let uri = request.uri();
    (uri.scheme_str() == Some("http")).then_some(())?;
    Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(80)))
}

/// Why a request that leads back here is refused.
fn looped(host: &str, port: u16, own: Option<SocketAddr>) -> Option<&'static str> {
    let own = own.filter(|own| own.port() == port)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host.parse() == Ok(own.ip())).then_some("this proxy was asked for itself")
}
