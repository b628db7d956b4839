//! The loop: events in, keys out, one reconciliation after the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;

use super::pods::Pods;
use super::queue::{Key, Queue};
use super::recorder::Recorder;
use super::selector::Selector;
use super::{Settings, gc, nodes, routes, scheduler};
use crate::api::Api;
use crate::failure::Failure;
use crate::store::{Change, Object};

/// What became of a reconciliation: done, perhaps to be looked at again at a time.
pub(super) type Outcome = Result<Option<Timestamp>, Failure>;

/// How long other tasks of the runtime wait at most, give or take one reconciliation.
const SLICE: Duration = Duration::from_millis(2);
/// Events that are taken from the store at a time.
const BATCH: usize = 512;
/// When nothing else is to be waited for.
const LONG: Duration = Duration::from_hours(24);

/// What the controllers see and share.
pub(super) struct Context {
    pub(super) api: Api,
    pub(super) settings: Settings,
    pub(super) queue: Queue,
    pub(super) recorder: Recorder,
    pub(super) pods: Pods,
    pub(super) graph: gc::Graph,
    pub(super) scheduler: scheduler::State,
    pub(super) nodes: nodes::State,
    /// Selectors of Services by namespace and name, where they have one.
    pub(super) services: HashMap<Box<str>, BTreeMap<Box<str>, Selector>>,
    /// Namespaces that are going away.
    pub(super) terminating: HashSet<Box<str>>,
    /// The definitions that are going away, by the id of what they define.
    pub(super) dying: HashMap<String, Box<str>>,
}

impl Context {
    pub(super) fn now(&self) -> Timestamp {
        self.api.clock().now()
    }

    pub(super) fn stamp(&self) -> String {
        self.api.clock().stamp()
    }
}

/// One resource that is followed.
struct Feed {
    id: Arc<str>,
    /// Everything up to this revision was taken in.
    seen: u64,
    latest: watch::Receiver<u64>,
}

type Wait = BoxFuture<'static, watch::Receiver<u64>>;

fn wait(mut latest: watch::Receiver<u64>) -> Wait {
    Box::pin(async move {
        if latest.changed().await.is_err() {
            // The store is gone, and so is soon the kernel.
            std::future::pending::<()>().await;
        }
        latest
    })
}

pub(super) struct Kernel {
    context: Context,
    feeds: Vec<Feed>,
    waits: FuturesUnordered<Wait>,
    served: usize,
}

impl Kernel {
    pub(super) fn new(api: Api, settings: Settings) -> Self {
        let context = Context {
            api,
            settings,
            queue: Queue::default(),
            recorder: Recorder::default(),
            pods: Pods::default(),
            graph: gc::Graph::default(),
            scheduler: scheduler::State::default(),
            nodes: nodes::State::default(),
            services: HashMap::new(),
            terminating: HashSet::new(),
            dying: HashMap::new(),
        };
        Self { context, feeds: Vec::new(), waits: FuturesUnordered::new(), served: 0 }
    }

    pub(super) async fn run(mut self) {
        let mut paused = self.context.settings.pause.0.subscribe();
        let clock = self.context.api.clock().clone();
        self.follow();
        loop {
            let mut began = Instant::now();
            loop {
                self.pump();
                self.context.queue.advance(clock.now());
                let key = self.context.queue.pop(&paused.borrow());
                let Some(key) = key else { break };
                self.reconcile(key);
                if began.elapsed() > SLICE {
                    tokio::task::yield_now().await;
                    began = Instant::now();
                }
            }
            let next = self.context.queue.next_time().unwrap_or_else(|| clock.now() + LONG);
            tokio::select! {
                Some(latest) = self.waits.next() => self.waits.push(wait(latest)),
                () = clock.sleep_until(next) => {}
                changed = paused.changed() => {
                    debug_assert!(changed.is_ok(), "the settings hold the sender");
                    self.context.queue.release();
                }
            }
        }
    }

    /// Follows everything that is served and not followed yet.
    fn follow(&mut self) {
        let registry = self.context.api.registry();
        self.served = registry.all().len();
        for resource in registry.all() {
            let id = resource.id();
            // Nothing acts on events, and there are many.
            let followed = resource.verbs.contains(&"watch") && resource.kind != "Event" && !self.feeds.iter().any(|f| *f.id == *id);
            if followed {
                let mut latest = self.context.api.store().subscribe(&id);
                latest.mark_changed();
                self.waits.push(wait(latest.clone()));
                self.feeds.push(Feed { id: id.into(), seen: 0, latest });
            }
        }
    }

    /// Takes in all events there are.
    fn pump(&mut self) {
        let Self { context, feeds, .. } = self;
        let mut definitions_changed = false;
        for feed in feeds {
            if !feed.latest.has_changed().unwrap_or(false) {
                continue;
            }
            feed.latest.borrow_and_update();
            definitions_changed |= *feed.id == *"customresourcedefinitions.apiextensions.k8s.io";
            loop {
                let Ok(events) = context.api.store().events(&feed.id, feed.seen, BATCH) else {
                    Self::relist(context, feed);
                    continue;
                };
                let Some(last) = events.last() else { break };
                feed.seen = last.object.revision;
                for event in &events {
                    routes::observe(context, &feed.id, event.change, &event.object, event.before.as_ref());
                }
            }
        }
        if definitions_changed {
            self.follow();
        }
    }

    /// Starts over from the present state, as an informer does when its events are gone.
    fn relist(context: &mut Context, feed: &mut Feed) {
        let (revision, objects) = context.api.store().list(&feed.id, "");
        let present: HashSet<&str> = objects.iter().map(|o| &*o.uid).collect();
        for gone in context.graph.missing(&feed.id, &present) {
            routes::observe(context, &feed.id, Change::Deleted, &gone, Some(&gone));
        }
        for object in &objects {
            let known: Option<Arc<Object>> = context.graph.get(&object.uid).cloned();
            let change = if known.is_some() { Change::Modified } else { Change::Added };
            routes::observe(context, &feed.id, change, object, known.as_ref());
        }
        feed.seen = revision;
    }

    fn reconcile(&mut self, key: Key) {
        let context = &mut self.context;
        match routes::reconcile(context, &key) {
            Ok(again) => {
                context.queue.forget(&key);
                if let Some(at) = again {
                    context.queue.push_at(key, at);
                }
            }
            // Somebody was faster: what they wrote is taken in before the next call.
            Err(failure) if failure.reason == "Conflict" => context.queue.push(key),
            Err(_) => {
                let now = context.now();
                context.queue.retry(key, now);
            }
        }
    }
}
