//! What is valid and still probably not what somebody wants, and the fingerprint of a spec.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalog;
use super::load::profile_layer;
use super::profiles::profile;
use super::version::Version;
use super::{ProxyRecording, Spec};

/// Something about a spec that a person should know before anything is provisioned. The texts are with the other texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "advisory", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Advisory {
    /// This Istio is not documented to support this Kubernetes.
    KubernetesOutsideIstioRange {
        /// Istio version.
        istio: String,
        /// Kubernetes version.
        kubernetes: String,
        /// Oldest supported minor, for example `1.29`.
        oldest: String,
        /// Newest supported minor.
        newest: String,
    },
    /// A proxy on the loopback address of the host, which from a node is the node itself (P1).
    LoopbackProxy {
        /// Dotted key, `proxy.http` or `proxy.https`.
        key: String,
        /// Its value.
        url: String,
    },
    /// There are mirrors, but none for the registry that the images of Istio come from (D11, P35).
    IstioRegistryNotMirrored {
        /// Istio version.
        istio: String,
        /// The registry without a mirror.
        registry: String,
    },
}

/// Everything that is worth saying about a spec.
#[must_use]
pub fn advisories(spec: &Spec) -> Vec<Advisory> {
    let mut found = Vec::new();
    let versions = (spec.istio.version.parse::<Version>(), spec.cluster.kubernetes.parse::<Version>());
    if let (Ok(istio), Ok(kubernetes)) = versions
        && let Some((oldest, newest)) = catalog::istio_kubernetes_minors(&istio)
        && (kubernetes.major != 1 || !(oldest..=newest).contains(&kubernetes.minor))
    {
        found.push(Advisory::KubernetesOutsideIstioRange {
            istio: spec.istio.version.clone(),
            kubernetes: spec.cluster.kubernetes.clone(),
            oldest: format!("1.{oldest}"),
            newest: format!("1.{newest}"),
        });
    }
    // With a recording proxy the nodes get that one's address.
    if spec.proxy.enabled && spec.recording.proxy == ProxyRecording::None {
        for (key, url) in [("proxy.http", &spec.proxy.http), ("proxy.https", &spec.proxy.https)] {
            if is_loopback(url) {
                found.push(Advisory::LoopbackProxy { key: key.to_owned(), url: url.clone() });
            }
        }
    }
    let registry = spec.istio.hub.split('/').next().unwrap_or_default();
    // The recording mirror stands before every registry.
    if !spec.recording.mirror && !spec.mirrors.is_empty() && !spec.mirrors.contains_key(registry) && !spec.mirrors.contains_key("_default")
    {
        found.push(Advisory::IstioRegistryNotMirrored { istio: spec.istio.version.clone(), registry: registry.to_owned() });
    }
    found
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    // Connecting to the unspecified address is connecting to oneself, too.
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Sixteen hex digits that name what is described: a spec, or what the stages were made from. Equal ones have equal fingerprints on every
/// machine.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "specs and their parts always serialise")]
pub fn fingerprint(described: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(described).expect("it has text keys only");
    let digest = Sha256::digest(canonical(value).to_string());
    hex::encode(&digest[..8])
}

/// Sorts keys, which `serde_json` does not do when another crate turns on its `preserve_order`.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, canonical(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

/// The spec as a document that loads to the very same spec: what its profile has and the spec removed is there as `null`.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a spec always serialises")]
pub fn to_document(spec: &Spec) -> Value {
    let mut document = serde_json::to_value(spec).expect("a spec has text keys only");
    if let Some(layer) = profile(&spec.profile).and_then(|profile| profile_layer(profile).ok()) {
        null_what_is_gone(&mut document, &layer.value);
    }
    document
}

/// The spec of a document that [`to_document`] made.
///
/// # Errors
/// When it is of another version, or damaged.
pub fn from_document(document: &Value) -> Result<Spec, serde_json::Error> {
    let mut document = document.clone();
    if let Some(mirrors) = document.get_mut("mirrors").and_then(Value::as_object_mut) {
        mirrors.retain(|_, mirror| !mirror.is_null());
    }
    serde_json::from_value(document)
}

fn null_what_is_gone(document: &mut Value, profile: &Value) {
    if let (Value::Object(document), Value::Object(profile)) = (document, profile) {
        for (key, value) in profile {
            match document.get_mut(key) {
                Some(inner) => null_what_is_gone(inner, value),
                None => {
                    document.insert(key.clone(), Value::Null);
                }
            }
        }
    }
}
