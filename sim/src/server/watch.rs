//! `watch`: the events of a resource from a revision on, as they happen. Source: apiserver `pkg/endpoints/handlers/watch.go`,
//! `pkg/storage/cacher`, KEP-3157 for initial events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;

use super::negotiate::{Form, wanted};
use super::read::{include, metadata_only, options, revision, selected};
use super::{Body, Call};
use crate::api::Api;
use crate::failure::Failure;
use crate::options::ListOptions;
use crate::resource::ResourceRef;
use crate::store::{Change, Event, Object};
use crate::table;

/// How many events go out in one piece at most.
const BATCH: usize = 128;
/// How often a client that likes bookmarks gets one.
const BOOKMARK: Duration = Duration::from_mins(1);
/// How long a watch lasts at most, which is longer than anybody waits and short enough to be told.
const LONGEST: Duration = Duration::from_hours(24 * 365);
/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(45);

/// Opens a watch.
pub(super) fn watch(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let options = options(call)?;
    let api = call.api().clone();
    let id = call.id();
    let asked = revision(&options.resource_version)?;
    let receiver = api.store().subscribe(&id);
    let timeout =
        options.timeout_seconds.filter(|t| *t > 0).map_or(DEFAULT_TIMEOUT, |t| Duration::from_secs(t.unsigned_abs()).min(LONGEST));
    let plain = wanted.form == Form::Plain && call.info.version == call.resource.storage;
    let mut watcher = Watcher {
        cursor: asked,
        namespace: call.namespace().to_owned(),
        resource: call.resource.clone(),
        version: call.info.version.clone(),
        include: include(call)?,
        form: wanted.form,
        plain,
        ready: VecDeque::new(),
        deadline: tokio::time::Instant::now() + timeout,
        next_bookmark: tokio::time::Instant::now() + BOOKMARK,
        headed: false,
        over: false,
        id,
        options,
        receiver,
        api,
    };
    // A watch from no revision begins with what is there; one from a revision begins right after it.
    let initial = watcher.options.send_initial_events.unwrap_or(asked == 0);
    if initial {
        watcher.begin();
    } else if asked == 0 {
        // From now on, and not from the beginning of time.
        watcher.cursor = watcher.api.store().revision();
    }
    let stream = futures::stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((bytes, watcher))
    });
    let mut response = Response::new(Body::stream(stream));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

struct Watcher {
    api: Api,
    id: String,
    resource: ResourceRef,
    version: String,
    namespace: String,
    options: ListOptions,
    form: Form,
    include: table::Include,
    /// Stored bytes can go out as they are.
    plain: bool,
    cursor: u64,
    receiver: Receiver<u64>,
    ready: VecDeque<Bytes>,
    deadline: tokio::time::Instant,
    next_bookmark: tokio::time::Instant,
    /// A table has its columns in the first event only.
    headed: bool,
    over: bool,
}

impl Watcher {
    /// Sends what is there, and with initial events the bookmark that ends them.
    fn begin(&mut self) {
        let (at, objects) = self.api.store().list(&self.id, &self.namespace);
        self.cursor = at;
        let mut piece = Vec::new();
        for object in &objects {
            if !selected(&self.options, object) {
                continue;
            }
            let line = self.line(Change::Added, object, None);
            piece.extend_from_slice(&line);
            if piece.len() > 1 << 20 {
                self.ready.push_back(std::mem::take(&mut piece).into());
            }
        }
        if !piece.is_empty() {
            self.ready.push_back(piece.into());
        }
        if self.options.send_initial_events == Some(true) && self.options.allow_watch_bookmarks {
            let line = self.bookmark(true);
            self.ready.push_back(line);
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            // What is written after this is told by the receiver again.
            self.receiver.borrow_and_update();
            if !self.still_served() {
                return None;
            }
            if let Some(bytes) = self.drain() {
                return Some(bytes);
            }
            tokio::select! {
                changed = self.receiver.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = until(self.next_bookmark), if self.options.allow_watch_bookmarks => {
                    self.next_bookmark += BOOKMARK;
                    return Some(self.bookmark(false));
                }
                () = until(self.deadline) => {
                    self.over = true;
                    if self.options.allow_watch_bookmarks {
                        return Some(self.bookmark(false));
                    }
                }
            }
        }
    }

    /// Whether the resource is what it was when the watch began. The real server closes the watches of custom resources whose definition
    /// changes or goes: their clients look again, and find out.
    fn still_served(&self) -> bool {
        !self.resource.custom || self.api.resource(&self.id).is_some_and(|now| Arc::ptr_eq(&now, &self.resource))
    }

    /// The lines of the next events, if there are any that the client wants.
    fn drain(&mut self) -> Option<Bytes> {
        loop {
            // Read before the events: everything up to here is among them or concerns other resources.
            let current = self.api.store().revision();
            let events = match self.api.store().events(&self.id, self.cursor, BATCH) {
                Ok(events) => events,
                Err(too_old) => {
                    self.over = true;
                    let status = Failure::expired(too_old.to_string()).status();
                    return Some(line_of("ERROR", &status));
                }
            };
            let Some(last) = events.last() else {
                self.cursor = self.cursor.max(current);
                return None;
            };
            self.cursor = last.object.revision;
            let lines: Vec<Bytes> = events.iter().filter_map(|e| self.event(e)).collect();
            match lines.len() {
                0 => {}
                1 => return lines.into_iter().next(),
                _ => return Some(lines.concat().into()),
            }
        }
    }

    /// An event as this client sees it: what leaves its selection is deleted for it, what comes into it is added.
    fn event(&mut self, event: &Arc<Event>) -> Option<Bytes> {
        if !self.namespace.is_empty() && *event.object.namespace != *self.namespace {
            return None;
        }
        let is = event.change != Change::Deleted && selected(&self.options, &event.object);
        let was = event.before.as_ref().is_some_and(|b| selected(&self.options, b));
        let change = match (was, is) {
            (false, false) => return None,
            (false, true) => Change::Added,
            (true, true) => Change::Modified,
            (true, false) => Change::Deleted,
        };
        match &event.before {
            // What leaves a selection goes as it was while it was in it, under the revision that took it out.
            Some(before) if change == Change::Deleted && event.change != Change::Deleted => {
                let mut value = before.value();
                value["metadata"]["resourceVersion"] = json!(event.object.revision.to_string());
                Some(line_of(change.as_str(), &self.shown(value)))
            }
            _ => Some(self.line(change, &event.object, Some(event))),
        }
    }

    fn line(&mut self, change: Change, object: &Object, event: Option<&Event>) -> Bytes {
        if self.plain {
            return match event {
                Some(event) if event.change == change => event.line(),
                _ => Event::line_as(change, object),
            };
        }
        line_of(change.as_str(), &self.shown(object.value()))
    }

    /// An object in the form that was asked for.
    fn shown(&mut self, value: Value) -> Value {
        let value = self.api.served(&self.resource, &self.version, value);
        match self.form {
            Form::Plain => value,
            Form::Metadata => metadata_only(&value, "PartialObjectMetadata"),
            Form::Table => {
                let columns = !std::mem::replace(&mut self.headed, true);
                table::row_table(&self.resource, &self.version, &value, self.include, self.api.clock().now(), columns)
            }
        }
    }

    fn bookmark(&self, initial: bool) -> Bytes {
        let mut meta = json!({"resourceVersion": self.cursor.to_string(), "creationTimestamp": null});
        if initial {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form {
            Form::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}),
            Form::Table => json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": null, "rows": [{
                "cells": null,
                "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta},
            }]}),
            Form::Plain => json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(&self.version), "metadata": meta}),
        };
        line_of("BOOKMARK", &object)
    }
}

fn line_of(kind: &str, object: &Value) -> Bytes {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into()
}

async fn until(at: tokio::time::Instant) {
    crate::clock::real(at.saturating_duration_since(tokio::time::Instant::now())).await;
}
