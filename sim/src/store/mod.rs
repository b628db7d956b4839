//! Objects under one global revision, as etcd keeps them behind the real API server, with the events that led to them.
//!
//! Every write takes the next revision. A watch reads the log of its resource from a revision on; lists of an older revision are the present
//! one with the newer events undone. The log is bounded by bytes, and whoever asks for more than it has is told so (410 in HTTP).

mod object;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

pub use object::{Fields, Object, Pairs};

/// How many bytes of past events a resource keeps.
const LOG_BYTES: usize = 8 << 20;
/// How many events it keeps at least, however large they are.
const LOG_EVENTS: usize = 256;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It was written again.
    Modified,
    /// It is gone; the event holds its last state under the revision of its removal.
    Deleted,
}

impl Change {
    /// `type` of a watch event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Added => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

/// The end of an encoded watch event.
const SUFFIX: &[u8] = b"}\n";

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The object after it; for a removal its last state.
    pub object: Arc<Object>,
    /// The object before it.
    pub before: Option<Arc<Object>>,
    encoded: Bytes,
}

impl Event {
    /// How much memory it holds: the state before it is kept by nothing else.
    fn weight(&self) -> usize {
        self.encoded.len() + self.before.as_ref().map_or(0, |b| b.bytes.len())
    }

    /// The line that a watch sends for this event; encoded once, shared by all watchers. The object's own bytes are a part of it.
    #[must_use]
    pub fn line(&self) -> Bytes {
        self.encoded.clone()
    }

    /// The line for a watcher to whom the event is another change than it was: an object that came into or left its selection.
    #[must_use]
    pub fn line_as(change: Change, object: &Object) -> Bytes {
        [change.prefix(), &object.bytes, SUFFIX].concat().into()
    }
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing under that name.
    Absent,
    /// The object as this revision wrote it.
    Revision(u64),
}

/// Why a write was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The name is taken.
    #[error("it exists already")]
    Exists,
    /// There is no such object.
    #[error("it does not exist")]
    Missing,
    /// Somebody else wrote it meanwhile.
    #[error("it was written at revision {0} meanwhile")]
    Changed(u64),
}

/// The events that were asked for are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({floor})")]
pub struct TooOld {
    /// The revision that was asked for.
    pub asked: u64,
    /// The oldest that can be.
    pub floor: u64,
}

type Key = (Box<str>, Box<str>);

struct Table {
    objects: BTreeMap<Key, Arc<Object>>,
    log: VecDeque<Arc<Event>>,
    log_bytes: usize,
    /// Events up to this revision are dropped.
    floor: u64,
    latest: watch::Sender<u64>,
}

impl Table {
    fn new(floor: u64) -> Self {
        Self { objects: BTreeMap::new(), log: VecDeque::new(), log_bytes: 0, floor, latest: watch::Sender::new(floor) }
    }

    fn record(&mut self, event: Event) {
        let revision = event.object.revision;
        self.log_bytes += event.weight();
        self.log.push_back(Arc::new(event));
        while self.log_bytes > LOG_BYTES && self.log.len() > LOG_EVENTS {
            if let Some(old) = self.log.pop_front() {
                self.log_bytes -= old.weight();
                self.floor = old.object.revision;
            }
        }
        self.latest.send_replace(revision);
    }

    fn after(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        let start = self.log.partition_point(|e| e.object.revision <= revision);
        self.log.range(start..)
    }
}

struct Inner {
    revision: u64,
    tables: HashMap<Box<str>, Table>,
}

impl Inner {
    fn table(&mut self, resource: &str) -> &mut Table {
        // Looked up twice, because an entry would need an owned key for every write.
        if !self.tables.contains_key(resource) {
            self.tables.insert(resource.into(), Table::new(0));
        }
        self.tables.get_mut(resource).expect("it was just put there")
    }
}

/// The objects of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<RwLock<Inner>>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Default for Store {
    fn default() -> Self {
        // etcd's first revision is 1, and 0 means "any" in the API.
        Self(Arc::new(RwLock::new(Inner { revision: 1, tables: HashMap::new() })))
    }
}

impl Store {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the last write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.read().revision
    }

    /// An object.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let inner = self.read();
        inner.tables.get(resource)?.objects.get(&(namespace.into(), name.into())).cloned()
    }

    /// The objects of a resource in order of namespace and name, and the revision of that state. `namespace` empty means all of them.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: &str) -> (u64, Vec<Arc<Object>>) {
        let inner = self.read();
        let objects = inner.tables.get(resource).map(|t| Self::range(t, namespace).cloned().collect()).unwrap_or_default();
        (inner.revision, objects)
    }

    fn range<'a>(table: &'a Table, namespace: &str) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
        if namespace.is_empty() {
            return Box::new(table.objects.values());
        }
        let from: Key = (namespace.into(), "".into());
        let within: Box<str> = namespace.into();
        Box::new(
            table.objects.range((Bound::Included(from), Bound::Unbounded)).take_while(move |((ns, _), _)| *ns == within).map(|(_, o)| o),
        )
    }

    /// How many objects a resource has.
    #[must_use]
    pub fn count(&self, resource: &str) -> usize {
        self.read().tables.get(resource).map_or(0, |t| t.objects.len())
    }

    /// The objects as they were at an older revision.
    ///
    /// # Errors
    /// When the log does not reach back that far.
    pub fn list_at(&self, resource: &str, namespace: &str, revision: u64) -> Result<Vec<Arc<Object>>, TooOld> {
        let inner = self.read();
        let Some(table) = inner.tables.get(resource) else { return Ok(Vec::new()) };
        if revision < table.floor {
            return Err(TooOld { asked: revision, floor: table.floor });
        }
        let mut objects: BTreeMap<(&str, &str), &Arc<Object>> =
            Self::range(table, namespace).map(|o| ((&*o.namespace, &*o.name), o)).collect();
        for event in table.after(revision).rev().filter(|e| namespace.is_empty() || *e.object.namespace == *namespace) {
            let key = (&*event.object.namespace, &*event.object.name);
            match &event.before {
                Some(before) => objects.insert(key, before),
                None => objects.remove(&key),
            };
        }
        Ok(objects.into_values().cloned().collect())
    }

    /// The events of a resource after a revision, at most `limit`, oldest first.
    ///
    /// # Errors
    /// When some of them are not kept any more.
    pub fn events(&self, resource: &str, after: u64, limit: usize) -> Result<Vec<Arc<Event>>, TooOld> {
        let inner = self.read();
        let Some(table) = inner.tables.get(resource) else { return Ok(Vec::new()) };
        if after < table.floor {
            return Err(TooOld { asked: after, floor: table.floor });
        }
        Ok(table.after(after).take(limit).cloned().collect())
    }

    /// The revision of a resource's last event, and word of every newer one.
    #[must_use]
    pub fn subscribe(&self, resource: &str) -> watch::Receiver<u64> {
        self.write().table(resource).latest.subscribe()
    }

    /// Writes an object. Its `resourceVersion` becomes the new revision.
    ///
    /// # Errors
    /// When what is there is not what was expected; then nothing is changed.
    pub fn put(
        &self,
        resource: &str,
        (namespace, name): (&str, &str),
        expect: Expect,
        value: &mut Value,
        fields: Fields,
    ) -> Result<Arc<Object>, Rejected> {
        let mut inner = self.write();
        let revision = inner.revision + 1;
        let table = inner.table(resource);
        let key: Key = (namespace.into(), name.into());
        let before = table.objects.get(&key).cloned();
        match (expect, &before) {
            (Expect::Absent, Some(_)) => return Err(Rejected::Exists),
            (Expect::Revision(_), None) => return Err(Rejected::Missing),
            (Expect::Revision(wanted), Some(found)) if found.revision != wanted => return Err(Rejected::Changed(found.revision)),
            _ => {}
        }
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        let (encoded, object) = encode(change, revision, (namespace, name), value, fields);
        table.objects.insert(key, Arc::clone(&object));
        table.record(Event { change, object: Arc::clone(&object), before, encoded });
        inner.revision = revision;
        Ok(object)
    }

    /// Removes an object. The event has its last state, `last` where the caller changes it with the removal.
    ///
    /// # Errors
    /// When it is not there or not of the expected revision; then nothing is changed.
    pub fn remove(
        &self,
        resource: &str,
        (namespace, name): (&str, &str),
        expect: Option<u64>,
        last: Option<Value>,
    ) -> Result<Arc<Object>, Rejected> {
        let mut inner = self.write();
        let revision = inner.revision + 1;
        let table = inner.table(resource);
        let key: Key = (namespace.into(), name.into());
        let before = table.objects.get(&key).cloned().ok_or(Rejected::Missing)?;
        if expect.is_some_and(|wanted| wanted != before.revision) {
            return Err(Rejected::Changed(before.revision));
        }
        let mut value = last.unwrap_or_else(|| before.value());
        let (encoded, object) = encode(Change::Deleted, revision, (namespace, name), &mut value, before.fields.clone());
        table.objects.remove(&key);
        table.record(Event { change: Change::Deleted, object: Arc::clone(&object), before: Some(before), encoded });
        inner.revision = revision;
        Ok(object)
    }

    /// An object as it would be, for writes that are only tried.
    #[must_use]
    pub fn preview((namespace, name): (&str, &str), value: &Value) -> Arc<Object> {
        let bytes = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
        Arc::new(Object::new(0, bytes, namespace, name, value, Fields::default()))
    }

    /// Forgets everything of a resource, as when its definition is removed after its objects.
    pub fn forget(&self, resource: &str) {
        let mut inner = self.write();
        let revision = inner.revision;
        // Whoever still watches it sees that its log has a new beginning.
        let table = inner.table(resource);
        (table.objects, table.log, table.log_bytes, table.floor) = (BTreeMap::new(), VecDeque::new(), 0, revision);
        table.latest.send_replace(revision);
    }

    /// Makes whoever follows a resource look again although it has no new events, as when its definition changed.
    pub fn wake(&self, resource: &str) {
        self.write().table(resource).latest.send_modify(|_| {});
    }
}

fn encode(change: Change, revision: u64, (namespace, name): (&str, &str), value: &mut Value, fields: Fields) -> (Bytes, Arc<Object>) {
    value["metadata"]["resourceVersion"] = Value::from(revision.to_string());
    let mut line = Vec::with_capacity(1024);
    line.extend_from_slice(change.prefix());
    // Writing to memory cannot fail, and a value has only keys that are strings.
    let _ = serde_json::to_writer(&mut line, value);
    line.extend_from_slice(SUFFIX);
    line.shrink_to_fit();
    let line = Bytes::from(line);
    let bytes = line.slice(change.prefix().len()..line.len() - SUFFIX.len());
    let object = Arc::new(Object::new(revision, bytes, namespace, name, value, fields));
    (line, object)
}
