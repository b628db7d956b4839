//! What is to be reconciled: deduplicated keys in order, keys for later, and how long a key that failed waits.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

/// A controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Which {
    Crd,
    DaemonSet,
    Deployment,
    Endpoints,
    EndpointSlice,
    Eviction,
    Gc,
    Job,
    Namespace,
    Node,
    NodeMonitor,
    Pdb,
    PodGc,
    ReplicaSet,
    RootCa,
    Scheduler,
    ServiceAccount,
    StatefulSet,
}

impl Which {
    /// The name that it is paused by.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crd => "crd",
            Self::DaemonSet => "daemonset",
            Self::Deployment => "deployment",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Eviction => "taint-eviction",
            Self::Gc => "gc",
            Self::Job => "job",
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::NodeMonitor => "node-lifecycle",
            Self::Pdb => "disruption",
            Self::PodGc => "pod-gc",
            Self::ReplicaSet => "replicaset",
            Self::RootCa => "root-ca",
            Self::Scheduler => "scheduler",
            Self::ServiceAccount => "serviceaccount",
            Self::StatefulSet => "statefulset",
        }
    }
}

/// One object to one controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) which: Which,
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
}

impl Key {
    pub(super) fn new(which: Which, namespace: &str, name: &str) -> Self {
        Self { which, namespace: namespace.into(), name: name.into() }
    }
}

/// The first wait of a key that failed, doubled with every further failure. Source: client-go `DefaultTypedControllerRateLimiter`.
const FIRST_WAIT: Duration = Duration::from_millis(5);
/// After so many failures the wait grows no more. Upstream goes up to 1000 s, which no test should have to skip.
const DOUBLINGS: u32 = 13;

/// The keys of all controllers.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    timers: BTreeSet<(Timestamp, Key)>,
    due: HashMap<Key, Timestamp>,
    failures: HashMap<Key, u32>,
    held: BTreeSet<Key>,
}

impl Queue {
    /// Reconcile this as soon as possible.
    pub(super) fn add(&mut self, which: Which, namespace: &str, name: &str) {
        self.push(Key::new(which, namespace, name));
    }

    pub(super) fn push(&mut self, key: Key) {
        if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Reconcile this at a time; an earlier time that it already waits for stays.
    pub(super) fn push_at(&mut self, key: Key, at: Timestamp) {
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.timers.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.timers.insert((at, key));
    }

    /// Makes everything ready whose time has come.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.timers.pop_first() else { return };
            self.due.remove(&key);
            self.push(key);
        }
    }

    /// When the next key becomes ready by itself.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next key, keys of paused controllers left aside.
    pub(super) fn pop(&mut self, paused: &BTreeSet<String>) -> Option<Key> {
        while let Some(key) = self.ready.pop_front() {
            self.waiting.remove(&key);
            if paused.is_empty() || !paused.contains(key.which.name()) {
                return Some(key);
            }
            self.held.insert(key);
        }
        None
    }

    /// Brings back what was left aside; what is still paused goes aside again.
    pub(super) fn release(&mut self) {
        for key in std::mem::take(&mut self.held) {
            self.push(key);
        }
    }

    /// It went well.
    pub(super) fn forget(&mut self, key: &Key) {
        if !self.failures.is_empty() {
            self.failures.remove(key);
        }
    }

    /// It did not: try again, later with every time.
    pub(super) fn retry(&mut self, key: Key, now: Timestamp) {
        let failures = self.failures.entry(key.clone()).or_default();
        let wait = FIRST_WAIT * 2u32.pow(*failures);
        *failures = (*failures + 1).min(DOUBLINGS);
        self.push_at(key, now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_once_in_order_and_paused_ones_come_back() {
        let mut queue = Queue::default();
        queue.add(Which::Deployment, "a", "x");
        queue.add(Which::ReplicaSet, "a", "x");
        queue.add(Which::Deployment, "a", "x");
        let paused = BTreeSet::from(["deployment".to_owned()]);
        assert_eq!(queue.pop(&paused).unwrap().which, Which::ReplicaSet);
        assert_eq!(queue.pop(&paused), None);
        queue.release();
        assert_eq!(queue.pop(&BTreeSet::new()).unwrap().which, Which::Deployment);
    }

    #[test]
    fn the_earliest_time_counts_and_failures_wait_longer_each_time() {
        let mut queue = Queue::default();
        let now = Timestamp::UNIX_EPOCH;
        let key = Key::new(Which::Job, "a", "x");
        queue.push_at(key.clone(), now + Duration::from_secs(2));
        queue.push_at(key.clone(), now + Duration::from_secs(1));
        queue.push_at(key.clone(), now + Duration::from_secs(3));
        assert_eq!(queue.next_time(), Some(now + Duration::from_secs(1)));
        queue.advance(now + Duration::from_secs(1));
        assert_eq!((queue.pop(&BTreeSet::new()), queue.next_time()), (Some(key.clone()), None));
        for wait in [5, 10, 20] {
            queue.retry(key.clone(), now);
            assert_eq!(queue.next_time(), Some(now + Duration::from_millis(wait)));
            queue.advance(now + Duration::from_secs(1));
        }
    }
}
