//! The hybrid waiter: watches for speed, regular re-lists for truth.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::{Clock, Limit, Log, Progress, WaitError, Waiting};

/// A watch that stays silent is not believed for longer than this.
const RELIST_EVERY: Duration = Duration::from_secs(15);
/// A request that hangs is given up after this long and made again.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MOST: Duration = Duration::from_secs(3);

struct Store<K> {
    items: BTreeMap<(String, String), Arc<K>>,
    listed: bool,
    /// The newest wish for a fresh list that was known when the last list was begun.
    generation: u64,
    error: Option<String>,
}

/// The objects of one kind, as last seen.
pub struct Watched<K>(Arc<RwLock<Store<K>>>);

impl<K> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Debug for Watched<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").finish()
    }
}

impl<K> Watched<K> {
    /// A snapshot in order of namespace and name.
    #[must_use]
    pub fn items(&self) -> Vec<Arc<K>> {
        self.read().items.values().cloned().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Store<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Store<K>)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Why the state of a source is not known, if it is not.
type Unknown = Box<dyn Fn() -> Option<String> + Send + Sync>;
/// The generation of a source's last list.
type Listed = Box<dyn Fn() -> u64 + Send + Sync>;

/// Waits for a condition over any number of watched kinds.
pub struct Waiter {
    pub(super) waiting: Waiting,
    pub(super) changed: Arc<Notify>,
    tasks: JoinSet<()>,
    unknown: Vec<Unknown>,
    listed: Vec<Listed>,
    refresh: watch::Sender<u64>,
}

impl Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("sources", &self.unknown.len()).finish_non_exhaustive()
    }
}

impl Waiter {
    pub(super) fn new(waiting: Waiting) -> Self {
        Self {
            waiting,
            changed: Arc::new(Notify::new()),
            tasks: JoinSet::new(),
            unknown: Vec::new(),
            listed: Vec::new(),
            refresh: watch::Sender::new(0),
        }
    }

    /// Adds a kind to what the condition can see. The watch ends with the waiter.
    pub fn watch<K>(&mut self, api: Api<K>, params: &ListParams) -> Watched<K>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let kind = api.resource_url().rsplit('/').next().unwrap_or_default().to_owned();
        let store = Watched(Arc::new(RwLock::new(Store { items: BTreeMap::new(), listed: false, generation: 0, error: None })));
        let seen = store.clone();
        self.unknown.push(Box::new(move || {
            let store = seen.read();
            match &store.error {
                Some(e) => Some(format!("cannot list {kind}: {e}")),
                None if !store.listed => Some(format!("listing {kind}")),
                None => None,
            }
        }));
        let seen = store.clone();
        self.listed.push(Box::new(move || seen.read().generation));
        let (changed, clock) = (Arc::clone(&self.changed), Arc::clone(&self.waiting.clock));
        self.tasks.spawn(follow(api, params.clone(), store.clone(), changed, clock, self.refresh.subscribe()));
        store
    }

    /// Why the state is not known, if it is not.
    pub(super) fn unknown(&self) -> Option<String> {
        self.unknown.iter().find_map(|u| u())
    }

    /// Asks for a fresh list of every kind; see [`Waiter::listed_since`].
    pub(super) fn refresh(&self) -> u64 {
        self.refresh.send_modify(|generation| *generation += 1);
        *self.refresh.borrow()
    }

    /// Whether every kind was listed after it was asked for.
    pub(super) fn listed_since(&self, generation: u64) -> bool {
        self.listed.iter().all(|l| l() >= generation)
    }

    /// Waits until the condition is ready. It is evaluated after every change and is never asked before every kind was listed.
    ///
    /// # Errors
    /// [`WaitError`] at the limit, or earlier when a terminal state outlasted its grace.
    pub async fn until<T>(self, what: &str, limit: Limit, mut condition: impl FnMut() -> Progress<T>) -> Result<T, WaitError> {
        let waiting = self.waiting.clone();
        let mut log = Log::new(&waiting, what, limit);
        loop {
            let progress = match self.unknown() {
                Some(status) => Progress::NotYet(status),
                None => condition(),
            };
            if let Some(end) = log.judge(progress) {
                return end;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = waiting.clock.sleep_until(log.wake_at()) => {}
            }
        }
    }
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Keeps a store true until it is dropped: list, watch from there, list again when the watch ends, errs or has run long enough.
async fn follow<K>(
    api: Api<K>,
    params: ListParams,
    store: Watched<K>,
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    mut refresh: watch::Receiver<u64>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut watch_params = WatchParams::default();
    watch_params.label_selector.clone_from(&params.label_selector);
    watch_params.field_selector.clone_from(&params.field_selector);
    let mut backoff = BACKOFF_FIRST;
    loop {
        let generation = *refresh.borrow_and_update();
        let list = tokio::select! {
            list = api.list(&params) => list.map_err(|e| crate::error::one_line(&e)),
            () = clock.sleep_until(clock.now() + REQUEST_LIMIT) => Err(format!("no answer within {} s", REQUEST_LIMIT.as_secs())),
        };
        match list {
            Ok(list) => {
                let version = list.metadata.resource_version.clone().unwrap_or_default();
                store.update(|s| {
                    s.items = list.items.into_iter().map(|o| (key(&o), Arc::new(o))).collect();
                    s.listed = true;
                    s.generation = generation;
                    s.error = None;
                });
                changed.notify_one();
                if stream(&api, &watch_params, &version, &store, &changed, clock.as_ref(), &mut refresh).await {
                    backoff = BACKOFF_FIRST;
                    continue;
                }
            }
            Err(error) => {
                store.update(|s| s.error = Some(error));
                changed.notify_one();
            }
        }
        clock.sleep_until(clock.now() + backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MOST);
    }
}

/// Applies watch events until it is time to list again. `false` when the watch failed, so that the caller backs off.
async fn stream<K>(
    api: &Api<K>,
    params: &WatchParams,
    version: &str,
    store: &Watched<K>,
    changed: &Notify,
    clock: &dyn Clock,
    refresh: &mut watch::Receiver<u64>,
) -> bool
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let relist = clock.sleep_until(clock.now() + RELIST_EVERY);
    let events = async {
        let Ok(events) = api.watch(params, version).await else { return false };
        let mut events = events.boxed();
        loop {
            match events.try_next().await {
                Ok(Some(WatchEvent::Added(o) | WatchEvent::Modified(o))) => store.update(|s| {
                    s.items.insert(key(&o), Arc::new(o));
                }),
                Ok(Some(WatchEvent::Deleted(o))) => store.update(|s| {
                    s.items.remove(&key(&o));
                }),
                Ok(Some(WatchEvent::Bookmark(_))) => continue,
                // Also 410 Gone: a fresh list heals it.
                Ok(Some(WatchEvent::Error(_)) | None) | Err(_) => return false,
            }
            changed.notify_one();
        }
    };
    tokio::select! {
        () = relist => true,
        // The sender lives as long as the waiter, whose end is ours.
        Ok(()) = refresh.changed() => true,
        more = events => more,
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
