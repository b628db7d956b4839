//! core/v1 Events, as client-go's recorder makes them: repeated ones are counted, similar ones combined, floods cut off.
//! Source: client-go `tools/record/events_cache.go`; for the scheduler `tools/events`.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::Api;
use crate::store::Object;

/// Everything is forgotten when so much is remembered (upstream: an LRU of this size).
const REMEMBERED: usize = 4096;
/// So many events per source and object at once, then one in five minutes.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;
/// So many different messages of one reason, then they are combined.
const SIMILAR: usize = 10;
const SIMILAR_SECONDS: i64 = 600;

/// What an event is about.
#[derive(Debug, Clone)]
pub(super) struct About<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) object: &'a Object,
}

#[derive(Debug)]
struct Similar {
    messages: HashSet<u64>,
    last: Timestamp,
}

/// Makes events.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    tokens: HashMap<(&'static str, Box<str>), (f64, Timestamp)>,
    similar: HashMap<(Box<str>, Box<str>), Similar>,
    names: HashMap<(Box<str>, Box<str>, u64), Box<str>>,
}

fn digest(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a test are few")]
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs().max(0) as f64
}

impl Recorder {
    /// Records an event of a component.
    pub(super) fn event(&mut self, api: &Api, source: &'static str, about: &About<'_>, kind: &str, reason: &str, message: &str) {
        let now = api.clock().now();
        let uid = &about.object.uid;
        if self.tokens.len() > REMEMBERED {
            self.tokens.clear();
        }
        let (tokens, at) = self.tokens.entry((source, uid.clone())).or_insert((BURST, now));
        *tokens = (*tokens + seconds(*at, now) / REFILL_SECONDS).min(BURST);
        *at = now;
        if *tokens < 1.0 {
            return;
        }
        *tokens -= 1.0;
        if self.similar.len() > REMEMBERED {
            self.similar.clear();
        }
        let key = (uid.clone(), Box::from(reason));
        let similar = self.similar.entry(key).or_insert_with(|| Similar { messages: HashSet::new(), last: now });
        if now.duration_since(similar.last).as_secs() > SIMILAR_SECONDS {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(digest(message));
        let combined = similar.messages.len() >= SIMILAR;
        let (message, identity) =
            if combined { (format!("(combined from similar events): {message}"), 0) } else { (message.to_owned(), digest(message)) };
        let namespace = if about.object.namespace.is_empty() { "default" } else { &about.object.namespace };
        let stamp = api.clock().stamp();
        if self.names.len() > REMEMBERED {
            self.names.clear();
        }
        let key = (uid.clone(), Box::from(reason), identity);
        if let Some(name) = self.names.get(&key) {
            let counted = api.modify("events", (namespace, name), |event| {
                event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
                event["lastTimestamp"] = json!(stamp);
                event["message"] = json!(message);
                true
            });
            if counted.is_ok() {
                return;
            }
        }
        let name = name(about.object, now);
        let mut event = about.event(&name, namespace, kind, reason, &message);
        event["source"] = json!({"component": source});
        event["firstTimestamp"] = json!(stamp);
        event["lastTimestamp"] = json!(stamp);
        event["count"] = json!(1);
        event["eventTime"] = Value::Null;
        event["reportingComponent"] = json!(source);
        event["reportingInstance"] = json!("");
        // A namespace that is gone takes no events, and nobody misses them.
        if api.make("events", namespace, event).is_ok() {
            self.names.insert(key, name.into());
        }
    }

    /// Records an event in the newer form, as the scheduler does.
    pub(super) fn action(&mut self, api: &Api, about: &About<'_>, kind: &str, reason: &str, action: &str, message: &str) {
        let now = api.clock().now();
        let namespace = &*about.object.namespace;
        let key = (about.object.uid.clone(), Box::from(reason), digest(action));
        if reason != "Scheduled" {
            if let Some(name) = self.names.get(&key) {
                let counted = api.modify("events", (namespace, name), |event| {
                    let count = event["series"]["count"].as_i64().unwrap_or(1) + 1;
                    event["series"] = json!({"count": count, "lastObservedTime": api.clock().micro_stamp()});
                    true
                });
                if counted.is_ok() {
                    return;
                }
            }
            if self.names.len() > REMEMBERED {
                self.names.clear();
            }
        }
        let name = name(about.object, now);
        let mut event = about.event(&name, namespace, kind, reason, message);
        event["source"] = json!({});
        event["firstTimestamp"] = Value::Null;
        event["lastTimestamp"] = Value::Null;
        event["eventTime"] = json!(api.clock().micro_stamp());
        event["action"] = json!(action);
        event["reportingComponent"] = json!("default-scheduler");
        event["reportingInstance"] = json!("default-scheduler-control-plane");
        if api.make("events", namespace, event).is_ok() && reason != "Scheduled" {
            self.names.insert(key, name.into());
        }
    }
}

fn name(object: &Object, now: Timestamp) -> String {
    format!("{}.{:x}", object.name, now.as_nanosecond())
}

impl About<'_> {
    fn event(&self, name: &str, namespace: &str, kind: &str, reason: &str, message: &str) -> Value {
        let mut involved = json!({
            "apiVersion": self.api_version, "kind": self.kind, "name": &*self.object.name,
            "uid": &*self.object.uid, "resourceVersion": self.object.revision.to_string(),
        });
        if !self.object.namespace.is_empty() {
            involved["namespace"] = json!(&*self.object.namespace);
        }
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved, "type": kind, "reason": reason, "message": message,
        })
    }
}
