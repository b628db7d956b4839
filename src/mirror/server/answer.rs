//! Answers and their bodies.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use serde_json::json;

use crate::mirror::name::Digest;
use crate::mirror::record::From;
use crate::mirror::upstream::UpstreamError;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) String);

/// The body of an answer.
pub(super) enum Body {
    Empty,
    Full(Option<Bytes>),
    Stream(BoxStream<'static, Result<Bytes, Broken>>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(stream) => stream.as_mut().poll_next(cx).map(|next| next.map(|r| r.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty | Self::Full(None))
    }
}

/// An answer, and what the record says of it.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) digest: Option<Digest>,
    pub(super) from: Option<From>,
    pub(super) error: Option<String>,
    /// Where the body says what it met with on its way, though it goes on.
    pub(super) note: Note,
}

/// What is known only later.
pub(super) type Note = Arc<OnceLock<String>>;

impl Answer {
    pub(super) fn new(status: StatusCode, body: Body) -> Self {
        Self { status, headers: HeaderMap::new(), body, digest: None, from: None, error: None, note: Note::default() }
    }

    /// A text that is known in full.
    pub(super) fn full(status: StatusCode, media_type: &str, bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::new(status, Body::Full(Some(bytes))).with(header::CONTENT_TYPE, media_type).with(header::CONTENT_LENGTH, &length.to_string())
    }

    /// Sets a header. A value that is none is left out: such come only from registries.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Names what is answered, and where it came from.
    pub(super) fn content(mut self, digest: &Digest, from: From) -> Self {
        self.digest = Some(digest.clone());
        self.from = Some(from);
        self.with(HeaderName::from_static("docker-content-digest"), digest.as_str()).with(header::ETAG, &format!("\"{digest}\""))
    }

    pub(super) fn failing(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }
}

/// The codes of the distribution specification, and of the one implementation that has some more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    Denied,
    DigestInvalid,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// An answer that says no.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
    headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: Code, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// What upstream's failure means to a client that asked for something of which `unknown` is the code when it is missing.
    pub(super) fn upstream(error: &UpstreamError, unknown: Code) -> Self {
        let (status, code) = match error {
            UpstreamError::NotFound { .. } => (StatusCode::NOT_FOUND, unknown),
            UpstreamError::NoEndpoint { .. } => (StatusCode::NOT_FOUND, Code::NameUnknown),
            UpstreamError::Denied { status, .. } if *status == StatusCode::UNAUTHORIZED => (*status, Code::Unauthorized),
            UpstreamError::Denied { status, .. } => (*status, Code::Denied),
            UpstreamError::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests),
            UpstreamError::Server { status, .. } => (*status, Code::Unavailable),
            UpstreamError::Unreachable { .. } | UpstreamError::Truncated { .. } => (StatusCode::BAD_GATEWAY, Code::Unavailable),
            UpstreamError::Digest { .. } => (StatusCode::BAD_GATEWAY, Code::DigestInvalid),
            UpstreamError::Manifest { .. } | UpstreamError::TooLarge { .. } => (StatusCode::BAD_GATEWAY, Code::ManifestInvalid),
            _ => (StatusCode::BAD_GATEWAY, Code::Unknown),
        };
        let refusal = Self::new(status, code, &chain(error));
        match error.retry_after() {
            Some(after) => refusal.with(header::RETRY_AFTER, after),
            None => refusal,
        }
    }

    /// Something on this side does not work.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, &chain(error))
    }

    pub(super) fn answer(self) -> Answer {
        let body = json!({"errors": [{"code": self.code.text(), "message": self.message, "detail": null}]}).to_string();
        let answer = Answer::full(self.status, "application/json", body.into()).failing(Some(self.message));
        self.headers.into_iter().fold(answer, |answer, (name, value)| answer.with(name, &value))
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
