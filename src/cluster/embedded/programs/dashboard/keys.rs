//! The Dashboard's keys. They live in Secrets of its namespace, so that replicas share them, and who deletes a Secret takes the key away.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use sim::Api;

const SESSIONS: (&str, &str) = ("kubernetes-dashboard-key-holder", "key");
const CSRF: (&str, &str) = ("kubernetes-dashboard-csrf", "csrf");
/// How long a CSRF token is good. Source: `golang.org/x/net/xsrftoken`.
const CSRF_HOURS: i64 = 24;

/// A key; it has no text.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) [u8; 32]);

/// The keys of one Dashboard.
#[derive(Clone)]
pub(super) struct Keys {
    api: Api,
    namespace: String,
}

impl Keys {
    pub(super) fn new(api: Api, namespace: String) -> Self {
        Self { api, namespace }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The key of the sessions.
    pub(super) fn session(&self) -> Key {
        self.key(SESSIONS)
    }

    /// The key of the CSRF tokens.
    pub(super) fn csrf(&self) -> Key {
        self.key(CSRF)
    }

    /// A key as its Secret has it; a new one, put there, where it has none.
    fn key(&self, (secret, field): (&str, &str)) -> Key {
        let read = |value: &Value| -> Option<Key> {
            let bytes = STANDARD.decode(value["data"][field].as_str()?).ok()?;
            Some(Key(bytes.try_into().ok()?))
        };
        if let Some(key) = self.api.read("secrets", &self.namespace, secret).as_ref().and_then(read) {
            return key;
        }
        let mut fresh = [0; 32];
        // Without the system's source of randomness nothing else here would work either.
        SystemRandom::new().fill(&mut fresh).expect("the system has randomness");
        let encoded = STANDARD.encode(fresh);
        let written = self.api.modify("secrets", (&self.namespace, secret), |value| {
            // Another replica may have been first.
            if read(value).is_none() {
                if !value["data"].is_object() {
                    value["data"] = json!({});
                }
                value["data"][field] = json!(encoded);
                return true;
            }
            false
        });
        let written = written.or_else(|_| {
            let value = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {field: encoded},
                "metadata": {"name": secret, "namespace": self.namespace, "labels": {"k8s-app": "kubernetes-dashboard"}},
            });
            self.api.make("secrets", &self.namespace, value)
        });
        written.ok().and_then(|object| read(&object.value())).unwrap_or(Key(fresh))
    }

    /// A CSRF token: good for one action, for a while. Source: `golang.org/x/net/xsrftoken`.
    pub(super) fn token(&self, action: &str, now: Timestamp) -> String {
        let millis = now.as_millisecond();
        let mac = hmac::sign(&self.mac_key(), said(action, millis).as_bytes());
        format!("{}:{millis}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Whether a CSRF token is good for an action.
    pub(super) fn accepts(&self, token: Option<&str>, action: &str, now: Timestamp) -> bool {
        let check = || {
            let (mac, millis) = token?.split_once(':')?;
            let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
            let millis: i64 = millis.parse().ok()?;
            hmac::verify(&self.mac_key(), said(action, millis).as_bytes(), &mac).ok()?;
            let age = now.duration_since(Timestamp::from_millisecond(millis).ok()?);
            // One minute for clocks that differ.
            (age < SignedDuration::from_hours(CSRF_HOURS) && age > SignedDuration::from_mins(-1)).then_some(())
        };
        check().is_some()
    }

    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.csrf().0)
    }
}

fn said(action: &str, millis: i64) -> String {
    format!("none:{action}:{millis}")
}
