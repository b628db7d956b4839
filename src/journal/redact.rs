//! Keeps secrets out of everything that is written down.

use std::sync::{LazyLock, RwLock};

use regex::Regex;

use super::event::{Event, Record};

const PLACEHOLDER: &str = "<redacted>";

/// Shapes of secrets that this project meets: JSON Web Tokens (also inside a JWE), PEM private keys, key data in a kubeconfig,
/// passwords in URLs, and the Dashboard's JSON-serialised JWE.
static SHAPES: LazyLock<[(Regex, &str); 5]> = LazyLock::new(|| {
    let re = |s: &str| Regex::new(s).expect("a valid pattern");
    [
        (re(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){0,3}"), PLACEHOLDER),
        (re(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)"), PLACEHOLDER),
        (re(r"(?P<k>(client-key-data|client-certificate-data|token|password)\s*[:=]\s*)[A-Za-z0-9+/=_.-]{24,}"), "${k}<redacted>"),
        (re(r"(?P<s>[a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@"), "${s}<redacted>@"),
        (re(r#"\{\\*"protected\\*":.*?\\*"tag\\*":\\*"[A-Za-z0-9_-]*\\*"\}"#), PLACEHOLDER),
    ]
});

/// Replaces known secrets and everything that has the shape of one.
#[derive(Debug, Default)]
pub struct Redactor {
    known: RwLock<Vec<String>>,
}

impl Redactor {
    /// Makes a value known; from then on it is replaced wherever it appears. Values under 8 bytes would damage ordinary text and are ignored.
    pub fn learn(&self, secret: &str) {
        let secret = secret.trim();
        if secret.len() >= 8 {
            let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !known.iter().any(|k| k == secret) {
                known.push(secret.to_owned());
            }
        }
    }

    /// The text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), PLACEHOLDER);
            }
        }
        for (shape, with) in SHAPES.iter() {
            if shape.is_match(&out) {
                out = shape.replace_all(&out, *with).into_owned();
            }
        }
        out
    }

    /// A record without secrets. What cannot be redacted is a warning that says so.
    #[must_use]
    pub fn record(&self, record: &Record) -> Record {
        let (seq, at) = (record.seq, record.at);
        let redacted = || {
            let mut value = serde_json::to_value(record)?;
            self.json(&mut value);
            serde_json::from_value(value)
        };
        redacted().unwrap_or_else(|e: serde_json::Error| Record {
            seq,
            at,
            event: Event::Warning { message: format!("a record was left out because it could not be redacted: {e}") },
        })
    }

    /// Redacts every string inside a JSON value, keys excepted.
    pub fn json(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(s) => *s = self.text(s),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|v| self.json(v)),
            serde_json::Value::Object(map) => map.values_mut().for_each(|v| self.json(v)),
            _ => {}
        }
    }
}

/// A value that never shows itself: `Debug` prints a placeholder and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_replaced_and_the_rest_stays() {
        let r = Redactor::default();
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        assert_eq!(r.text(&format!("token is {jwt}, done")), "token is <redacted>, done");
        assert_eq!(r.text("http://user:p4ss@proxy:3128/x"), "http://<redacted>@proxy:3128/x");
        assert_eq!(r.text("http://172.17.0.1:7890 a@b"), "http://172.17.0.1:7890 a@b");
        assert_eq!(r.text("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest"), "<redacted>\nrest");
        assert_eq!(r.text("    client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURQ=="), "    client-key-data: <redacted>");
        // A cut-off key is still a key.
        assert_eq!(r.text("x -----BEGIN PRIVATE KEY-----\nabc"), "x <redacted>");
    }

    #[test]
    fn a_json_serialised_jwe_is_replaced_however_often_it_is_escaped() {
        let r = Redactor::default();
        let jwe = r#"{"protected":"eyJhbGciOiJSU0EifQ","aad":"e30","encrypted_key":"abc","iv":"x","ciphertext":"secret-data","tag":"t"}"#;
        assert_eq!(r.text(jwe), "<redacted>");
        assert!(!r.text(&serde_json::to_string(jwe).unwrap()).contains("secret-data"));
    }

    #[test]
    fn learned_secrets_are_replaced_inside_json() {
        let r = Redactor::default();
        r.learn("hunter2-hunter2\n");
        r.learn("short");
        let mut v = serde_json::json!({"a": ["x hunter2-hunter2 y", 1], "b": {"c": "short"}});
        r.json(&mut v);
        assert_eq!(v, serde_json::json!({"a": ["x <redacted> y", 1], "b": {"c": "short"}}));
        assert_eq!(format!("{:?}", Secret::new("abc")), "<redacted>");
    }
}
