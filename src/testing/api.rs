//! A Kubernetes API in memory behind a real `kube::Client`. It serves the objects that it is given, to watchers too, and answers any request
//! as a test scripts it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::{Value, json};

use super::objects::{Selector, collection_of, is_collection, path_of};
use crate::wait::{Clock, ManualClock};

type Chunks = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;
type Handler = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// When, by the test's clock.
    pub(crate) at: Duration,
    /// Verb and path, for example `GET /api/v1/nodes`; a watch has the verb `WATCH`.
    pub(crate) line: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    /// `Null` where there is none.
    pub(crate) body: Value,
}

impl Asked {
    fn path(&self) -> &str {
        self.line.split_once(' ').expect("a verb and a path").1
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// As the stored objects say.
    Objects,
    /// A status and a JSON body.
    Json(u16, Value),
    /// A status and a body.
    Text(u16, String),
    /// The connection is refused.
    Refused,
    /// There is never an answer.
    Hang,
    /// The answer comes after this long.
    Late(Duration, Box<Reply>),
    /// A watch that sends these events and ends.
    Events(Vec<Value>),
    /// A watch that stays open and says nothing, whatever happens.
    Silent,
}

impl Reply {
    /// A `Status` object, as the API server refuses.
    pub(crate) fn status(code: u16, message: &str) -> Self {
        Self::Json(code, failure(code, message))
    }

    /// The one event of a watch whose version the API server has forgotten.
    pub(crate) fn gone() -> Self {
        Self::Events(vec![json!({"type": "ERROR", "object": failure(410, "too old resource version: 1 (2)")})])
    }
}

fn failure(code: u16, message: &str) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

/// One change, which a watch replays from the version that it asks for.
struct Change {
    version: u64,
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

struct Watcher {
    collection: String,
    selector: Selector,
    events: UnboundedSender<io::Result<Bytes>>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By path.
    objects: BTreeMap<String, Value>,
    history: Vec<Change>,
    watchers: Vec<Watcher>,
    /// Answers that are given once each, in order, before any handler is asked.
    queues: BTreeMap<String, VecDeque<Reply>>,
    handlers: BTreeMap<String, Handler>,
    log: Vec<Asked>,
}

/// The API; clones are the same one.
#[derive(Clone)]
pub(crate) struct ScriptedApi {
    state: Arc<Mutex<State>>,
    clock: ManualClock,
}

impl ScriptedApi {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        Self { state: Arc::default(), clock: clock.clone() }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { api.serve(request).await }
        });
        kube::Client::new(service, "default")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stores an object, new or changed, and tells the watchers.
    pub(crate) fn put(&self, object: Value) {
        self.lock().put(object);
    }

    pub(crate) fn put_all(&self, objects: impl IntoIterator<Item = Value>) {
        objects.into_iter().for_each(|o| self.put(o));
    }

    /// Changes the object at a path.
    #[track_caller]
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.lock();
        let mut object = state.objects.get(path).unwrap_or_else(|| panic!("there is no {path}")).clone();
        change(&mut object);
        state.put(object);
    }

    /// Deletes the object at a path.
    #[track_caller]
    pub(crate) fn remove(&self, path: &str) {
        let mut state = self.lock();
        assert!(state.remove(path), "there is no {path}");
    }

    /// The names in a collection, sorted.
    pub(crate) fn names(&self, collection: &str) -> Vec<String> {
        let state = self.lock();
        let objects = state.objects.iter().filter(|(path, _)| in_collection(path, collection));
        objects.filter_map(|(path, _)| Some(path.rsplit('/').next()?.to_owned())).collect()
    }

    /// Answers the next requests of a line so, each once.
    pub(crate) fn next(&self, line: &str, replies: impl IntoIterator<Item = Reply>) {
        self.lock().queues.entry(line.to_owned()).or_default().extend(replies);
    }

    /// Answers every request of a line so.
    pub(crate) fn always(&self, line: &str, reply: Reply) {
        self.handle(line, move |_| reply.clone());
    }

    /// Answers every request of a line as the function says.
    pub(crate) fn handle(&self, line: &str, handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        self.lock().handlers.insert(line.to_owned(), Arc::new(handler));
    }

    /// Ends the open watches of a collection, as a closing connection does.
    pub(crate) fn end_watches(&self, collection: &str) {
        self.lock().watchers.retain(|w| w.collection != collection);
    }

    /// Breaks the open watches of a collection in the middle of a chunk.
    pub(crate) fn break_watches(&self, collection: &str) {
        for watcher in self.lock().watchers.extract_if(.., |w| w.collection == collection) {
            let _ = watcher.events.unbounded_send(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        }
    }

    /// The requests of a line so far.
    pub(crate) fn asked(&self, line: &str) -> Vec<Asked> {
        self.lock().log.iter().filter(|a| a.line == line).cloned().collect()
    }

    /// How often a line was asked for.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked(line).len()
    }

    async fn serve(self, request: Request<Body>) -> io::Result<Response<Chunks>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let url = reqwest::Url::parse("http://api").expect("a URL").join(&head.uri.to_string()).map_err(io::Error::other)?;
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let watch = query.get("watch").is_some_and(|w| w == "true");
        let verb = if watch { "WATCH" } else { head.method.as_str() };
        let asked = Asked {
            at: self.clock.now(),
            line: format!("{verb} {}", url.path()),
            query,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let (queued, handler) = {
            let mut state = self.lock();
            state.log.push(asked.clone());
            (state.queues.get_mut(&asked.line).and_then(VecDeque::pop_front), state.handlers.get(&asked.line).cloned())
        };
        let reply = queued.or_else(|| handler.map(|h| h(&asked))).unwrap_or(Reply::Objects);
        self.reply(&asked, reply).await
    }

    fn reply<'a>(&'a self, asked: &'a Asked, reply: Reply) -> BoxFuture<'a, io::Result<Response<Chunks>>> {
        async move {
            match reply {
                Reply::Objects if asked.line.starts_with("WATCH ") => Ok(self.lock().watch(asked)),
                Reply::Objects => {
                    let (status, body) = self.lock().answer(asked);
                    Ok(whole(status, body.to_string()))
                }
                Reply::Json(status, body) => Ok(whole(status, body.to_string())),
                Reply::Text(status, body) => Ok(whole(status, body)),
                Reply::Refused => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                Reply::Hang => std::future::pending().await,
                Reply::Late(by, reply) => {
                    self.clock.sleep_until(self.clock.now() + by).await;
                    self.reply(asked, *reply).await
                }
                Reply::Events(events) => Ok(chunks(200, stream::iter(events).map(|e| Ok(line(&e))))),
                Reply::Silent => Ok(chunks(200, stream::pending())),
            }
        }
        .boxed()
    }
}

impl State {
    fn put(&mut self, mut object: Value) {
        self.version += 1;
        let path = path_of(&object);
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{}", self.version).into();
        }
        let before = self.objects.insert(path.clone(), object.clone());
        self.tell(Change { version: self.version, path, before, after: Some(object) });
    }

    fn remove(&mut self, path: &str) -> bool {
        let Some(object) = self.objects.remove(path) else { return false };
        self.version += 1;
        self.tell(Change { version: self.version, path: path.to_owned(), before: Some(object), after: None });
        true
    }

    fn tell(&mut self, change: Change) {
        // A watcher that is gone is forgotten.
        self.watchers.retain(|w| change.seen_by(w).is_none_or(|event| w.events.unbounded_send(Ok(line(&event))).is_ok()));
        self.history.push(change);
    }

    fn watch(&mut self, asked: &Asked) -> Response<Chunks> {
        let (events, received) = unbounded();
        let from: u64 = asked.query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        let watcher = Watcher { collection: asked.path().to_owned(), selector: Selector::of(&asked.query), events };
        for event in self.history.iter().filter(|c| c.version > from).filter_map(|c| c.seen_by(&watcher)) {
            let _ = watcher.events.unbounded_send(Ok(line(&event)));
        }
        self.watchers.push(watcher);
        chunks(200, received)
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let path = asked.path();
        let missing = || (404, failure(404, &format!("{path} not found")));
        match asked.line.split(' ').next().unwrap_or_default() {
            "GET" if is_collection(path) => {
                let selector = Selector::of(&asked.query);
                let all = self.objects.iter().filter(|(p, o)| in_collection(p, path) && selector.takes(o));
                let items: Vec<&Value> = all.map(|(_, o)| o).collect();
                (
                    200,
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": self.version.to_string()}, "items": items}),
                )
            }
            "GET" => self.objects.get(path).map_or_else(missing, |o| (200, o.clone())),
            "POST" if is_collection(path) && asked.body.is_object() => {
                self.put(asked.body.clone());
                (201, asked.body.clone())
            }
            "DELETE" if self.remove(path) => (200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})),
            "DELETE" => missing(),
            _ => (405, failure(405, "the test did not say how to answer this")),
        }
    }
}

impl Change {
    /// The event that a watcher gets of it: what leaves a selector is deleted for who watches by it.
    fn seen_by(&self, watcher: &Watcher) -> Option<Value> {
        if !in_collection(&self.path, &watcher.collection) {
            return None;
        }
        let chosen = |o: &&Value| watcher.selector.takes(o);
        let (kind, object) = match (self.before.as_ref().filter(chosen), self.after.as_ref().filter(chosen)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
        };
        Some(json!({"type": kind, "object": object}))
    }
}

/// Whether a collection, of one namespace or of all, has the object at a path.
fn in_collection(path: &str, collection: &str) -> bool {
    let (namespaced, all) = collection_of(path);
    namespaced == collection || all == collection
}

fn line(event: &Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}

fn whole(status: u16, body: String) -> Response<Chunks> {
    chunks(status, stream::iter([Ok(Bytes::from(body))]))
}

fn chunks(status: u16, bytes: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Chunks> {
    let body = StreamBody::new(bytes.map(|b| b.map(Frame::data)).boxed());
    Response::builder().status(status).header("content-type", "application/json").body(body).expect("a response")
}
