//! Plain HTTP requests, passed on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::Body;
use super::chain::{Chain, DialError, dial};
use crate::mirror::record::{Access, Asked, Recorder};

/// Headers that are about one connection and not about the message (RFC 9110, 7.6.1), and those for a proxy itself.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("proxy-connection"),
];

/// An answer, and how many bytes of the request's body went out.
pub(super) struct Sent {
    response: Response<Incoming>,
    sent: Arc<AtomicU64>,
}

pub(super) async fn send(chain: Option<&Chain>, request: Request<Incoming>, host: &str, port: u16) -> Result<Sent, DialError> {
    let target = format!("{host}:{port}");
    let stream = match chain {
        Some(chain) => dial(&chain.host, chain.port).await?,
        None => dial(host, port).await?,
    };
    let answer = |source| DialError::Answer { target: target.clone(), source };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(answer)?;
    // It ends with the answer's body, or when that is dropped.
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    if let Ok(value) = HeaderValue::from_str(parts.uri.authority().map_or(host, |a| a.as_str().rsplit('@').next().unwrap_or(host))) {
        parts.headers.insert(header::HOST, value);
    }
    if let Some(authorization) = chain.and_then(|c| c.authorization.as_deref()).and_then(|a| HeaderValue::from_str(a).ok()) {
        parts.headers.insert(header::PROXY_AUTHORIZATION, authorization);
    }
    if chain.is_none() {
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        parts.uri = path.parse().unwrap_or(Uri::from_static("/"));
    }
    let sent = Arc::new(AtomicU64::new(0));
    let body = Counted { body, count: Arc::clone(&sent), end: None };
    let response = sender.send_request(Request::from_parts(parts, body)).await.map_err(answer)?;
    Ok(Sent { response, sent })
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// The answer for the client; when its body has ended or broken off, the request is written down.
pub(super) fn counted(sent: Sent, recorder: Recorder, access: impl FnOnce(StatusCode, u64, u64) -> Access) -> Response<Body> {
    let Sent { response, sent } = sent;
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    let received = Arc::new(AtomicU64::new(0));
    let record =
        End { recorder, access: Some(access(parts.status, 0, 0)), since: std::time::Instant::now(), sent, received: Arc::clone(&received) };
    let body = Counted { body, count: received, end: Some(record) };
    Response::from_parts(parts, body.boxed_unsync())
}

/// Writes a request down when it is over.
struct End {
    recorder: Recorder,
    access: Option<Access>,
    since: std::time::Instant,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(mut access) = self.access.take() else { return };
        if let Asked::Proxy { sent, received, millis, .. } = &mut access.asked {
            *sent = self.sent.load(Ordering::Relaxed);
            *received = self.received.load(Ordering::Relaxed);
            *millis += u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
        self.recorder.write(access);
    }
}

/// A body whose bytes are counted as they pass.
struct Counted {
    body: Incoming,
    count: Arc<AtomicU64>,
    end: Option<End>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.count.fetch_add(data.len() as u64, Ordering::Relaxed);
                }
            }
            Poll::Ready(None | Some(Err(_))) => self.end = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
