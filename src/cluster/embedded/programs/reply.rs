//! Answers as Go's `net/http` writes them.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;
use sim::workload::{Request, Unreachable};

/// An answer, or why there is none.
pub(super) type Reply = Result<Response<Bytes>, Unreachable>;

fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    with(status, "text/plain; charset=utf-8", body)
}

/// 200 with plain text.
pub(super) fn ok(body: impl Into<Bytes>) -> Response<Bytes> {
    text(StatusCode::OK, body)
}

/// A page.
pub(super) fn html(body: impl Into<Bytes>) -> Response<Bytes> {
    with(StatusCode::OK, "text/html; charset=utf-8", body)
}

/// 200 with JSON.
pub(super) fn json(value: &Value) -> Response<Bytes> {
    with(StatusCode::OK, "application/json", value.to_string())
}

/// What Go's router answers where nothing is.
pub(super) fn not_found() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The path of a request without its query.
pub(super) fn path(request: &Request) -> &str {
    request.path.split('?').next().unwrap_or_default()
}

/// What a client gets that speaks other than the port: nothing if they agree.
pub(super) fn mismatch(request: &Request, tls: bool) -> Option<Reply> {
    match (request.tls, tls) {
        (true, false) => Some(Err(Unreachable::NotTls)),
        // Source: Go `net/http` `conn.serve`.
        (false, true) => Some(Ok(text(StatusCode::BAD_REQUEST, "Client sent an HTTP request to an HTTPS server.\n"))),
        _ => None,
    }
}
