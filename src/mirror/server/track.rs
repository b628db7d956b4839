//! Follows an answer until its last byte was sent or it broke off, and then writes the record.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http_body::{Frame, SizeHint};
use jiff::Timestamp;

use super::answer::{Answer, Body, Broken, Note};
use super::route::Route;
use crate::mirror::name::Digest;
use crate::mirror::record::{Access, Asked, From, Recorder, What};

/// Which node a peer is: asked once for a connection, and not waited for by its requests.
pub(super) type Node = Shared<BoxFuture<'static, Option<String>>>;

/// A request until its end. Dropped, it is recorded.
pub(super) struct Track {
    recorder: Recorder,
    peer: SocketAddr,
    node: Node,
    at: Timestamp,
    since: Instant,
    method: String,
    what: What,
    namespace: String,
    repository: String,
    reference: String,
    digest: Option<Digest>,
    /// 0 until it was answered.
    status: u16,
    bytes: u64,
    from: Option<From>,
    error: Option<String>,
    note: Note,
    /// There is more to be sent.
    unfinished: bool,
}

impl Track {
    pub(super) fn new(recorder: Recorder, peer: SocketAddr, node: Node, method: &str) -> Self {
        Self {
            recorder,
            peer,
            node,
            at: Timestamp::now(),
            since: Instant::now(),
            method: method.to_owned(),
            what: What::Ping,
            namespace: String::new(),
            repository: String::new(),
            reference: String::new(),
            digest: None,
            status: 0,
            bytes: 0,
            from: None,
            error: None,
            note: Note::default(),
            unfinished: true,
        }
    }

    pub(super) fn asked(&mut self, route: &Route) {
        let (what, repository, reference) = route.described();
        (self.what, self.reference) = (what, reference);
        if let Some(repository) = repository {
            (self.namespace, self.repository) = (repository.namespace.clone(), repository.path.clone());
        }
    }

    pub(super) fn answered(&mut self, answer: &Answer) {
        self.status = answer.status.as_u16();
        self.digest.clone_from(&answer.digest);
        self.from = answer.from;
        self.error.clone_from(&answer.error);
        self.note = Arc::clone(&answer.note);
        self.unfinished = !matches!(answer.body, Body::Empty);
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        if self.unfinished {
            self.error.get_or_insert_with(|| "the client went away".to_owned());
        }
        let asked = Asked::Mirror {
            method: std::mem::take(&mut self.method),
            namespace: std::mem::take(&mut self.namespace),
            repository: std::mem::take(&mut self.repository),
            what: self.what,
            reference: std::mem::take(&mut self.reference),
            digest: self.digest.take(),
            status: self.status,
            bytes: self.bytes,
            from: self.from,
            millis: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: self.error.take().or_else(|| self.note.get().cloned()),
        };
        let access = Access { at: self.at, peer: self.peer, node: None, asked };
        let recorder = self.recorder.clone();
        let node = self.node.clone();
        let write = async move { recorder.write(Access { node: node.await, ..access }) };
        // As a rule the name is known by now, and the record is there before the client's next request.
        let mut write = Box::pin(write);
        if (&mut write).now_or_never().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(write);
        }
    }
}

/// A body whose end is recorded.
pub(super) struct Tracked {
    body: Body,
    track: Track,
    left: Option<u64>,
}

impl Tracked {
    /// `length` is what the header says.
    pub(super) fn new(body: Body, track: Track, length: Option<u64>) -> Self {
        Self { body, track, left: length }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let next = Pin::new(&mut this.body).poll_frame(cx);
        match &next {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |d| d.len() as u64);
                this.track.bytes += length;
                this.left = this.left.map(|l| l.saturating_sub(length));
                if this.left == Some(0) {
                    this.track.unfinished = false;
                }
            }
            Poll::Ready(Some(Err(e))) => {
                this.track.error = Some(e.to_string());
                this.track.unfinished = false;
            }
            Poll::Ready(None) => this.track.unfinished = false,
            Poll::Pending => {}
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Body::Empty => SizeHint::with_exact(0),
            // The header says it, and a body that breaks off must not be taken for one that was announced shorter.
            _ => SizeHint::default(),
        }
    }
}
