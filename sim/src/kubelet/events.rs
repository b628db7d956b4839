//! Events of kubelets. Source: client-go `tools/record` and its correlator: an event that repeats counts up instead of being new.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::api::Api;

/// How many events are remembered for counting; client-go keeps as many.
const REMEMBERED: usize = 4096;

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct About {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// `spec.containers{name}`, or empty.
    pub(super) field: String,
    /// The node whose kubelet says it.
    pub(super) host: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Record {
    about: About,
    warning: bool,
    reason: String,
    message: String,
}

/// Collects events and writes them when there is time, as client-go's broadcaster does: what pods become goes first.
#[derive(Default)]
pub(super) struct Recorder {
    queue: VecDeque<(Record, jiff::Timestamp)>,
    seen: HashMap<Record, (String, u64)>,
    serial: i128,
}

impl Recorder {
    pub(super) fn record(&mut self, at: jiff::Timestamp, about: About, warning: bool, reason: &str, message: String) {
        self.queue.push_back((Record { about, warning, reason: reason.to_owned(), message }, at));
    }

    /// Writes some of what is waiting; says whether there was any.
    pub(super) fn flush(&mut self, api: &Api, most: usize) -> bool {
        let count = most.min(self.queue.len());
        for (record, at) in self.queue.drain(..count).collect::<Vec<_>>() {
            self.write(api, record, at);
        }
        count > 0
    }

    fn write(&mut self, api: &Api, record: Record, at: jiff::Timestamp) {
        let now = crate::clock::stamp(at);
        let namespace = if record.about.namespace.is_empty() { "default" } else { &record.about.namespace };
        if let Some((name, count)) = self.seen.get_mut(&record) {
            *count += 1;
            let counted = api.modify("events", (namespace, name), |event| {
                event["count"] = json!(count);
                event["lastTimestamp"] = json!(now);
                true
            });
            if counted.is_ok() {
                return;
            }
        }
        // The name is the time in nanoseconds; two of the same time must differ all the same.
        self.serial = at.as_nanosecond().max(self.serial + 1);
        let name = format!("{}.{:x}", record.about.name, self.serial);
        let about = &record.about;
        let mut involved = json!({"kind": about.kind, "name": about.name, "uid": about.uid});
        if !about.namespace.is_empty() {
            involved["namespace"] = json!(about.namespace);
            involved["apiVersion"] = json!("v1");
        }
        if !about.field.is_empty() {
            involved["fieldPath"] = json!(about.field);
        }
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": record.reason, "message": record.message, "type": if record.warning { "Warning" } else { "Normal" },
            "source": {"component": "kubelet", "host": about.host},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1, "eventTime": Value::Null,
            "reportingComponent": "kubelet", "reportingInstance": about.host,
        });
        // An event that cannot be written, as when its namespace is gone, is lost; that is upstream's rule too.
        if api.make("events", namespace, event).is_ok() {
            if self.seen.len() >= REMEMBERED {
                self.seen.clear();
            }
            self.seen.insert(record, (name, 1));
        }
    }
}
