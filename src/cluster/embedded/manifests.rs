//! Our own minimal manifests of what the guide installs: the objects that upstream's have, by name and kind.

use std::collections::BTreeMap;

use crate::cluster::Part;
use crate::outcomes::{BUNDLE_VERSION, CHANNEL};
use crate::spec::{Spec, Version, VersionError, catalog};

use super::crds;

const DASHBOARD: &str = include_str!("manifests/dashboard.yaml");
const ISTIO: &str = include_str!("manifests/istio.yaml");
const ISTIO_VALUES: &str = include_str!("manifests/istio-values.yaml");

/// The metrics scraper that the Dashboard's manifest names since v2.6.
pub(super) const SCRAPER_VERSION: &str = "v1.0.8";

/// Why there is no manifest for a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A version of the spec is none.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The catalog does not know what the bundle holds.
    #[error("the embedded cluster does not know the Gateway API bundle {version} of the channel {channel}")]
    UnknownBundle {
        /// Bundle version of the spec.
        version: String,
        /// Channel of the spec.
        channel: &'static str,
    },
    /// The catalog does not know what this Istio installs.
    #[error("the embedded cluster does not know Istio {version}")]
    UnknownIstio {
        /// Version of the spec.
        version: String,
    },
    /// Only the ambient profile has a manifest here.
    #[error("the embedded cluster has Istio's profile ambient only, not {profile}")]
    UnknownProfile {
        /// Profile of the spec.
        profile: String,
    },
}

/// The manifest of a part in the versions of a spec: YAML with several documents.
///
/// # Errors
/// When the catalog does not know the versions.
pub fn manifest(part: Part, spec: &Spec) -> Result<String, ManifestError> {
    match part {
        Part::Dashboard => Ok(fill(DASHBOARD, &[("dashboard", &spec.dashboard.version), ("scraper", SCRAPER_VERSION)])),
        Part::Istio => istio(spec),
        Part::GatewayApi => gateway_api(spec),
    }
}

/// Puts values into a template: `{{name}}` becomes the value.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

fn istio(spec: &Spec) -> Result<String, ManifestError> {
    let wanted = &spec.istio;
    if wanted.profile != "ambient" {
        return Err(ManifestError::UnknownProfile { profile: wanted.profile.clone() });
    }
    let version: Version = wanted.version.parse()?;
    let definitions =
        catalog::istio_definitions(&version).ok_or_else(|| ManifestError::UnknownIstio { version: wanted.version.clone() })?;
    let ambient = catalog::ambient_defaults(&version);
    let [base, pilot, cni, ztunnel] = ["Base", "Pilot", "Cni", "Ztunnel"].map(|component| {
        let pairs: Vec<String> = labels(component, &wanted.version).into_iter().map(|(k, v)| format!("{k}: \"{v}\"")).collect();
        pairs.join(", ")
    });
    let values = [
        ("hub", wanted.hub.as_str()),
        ("version", &wanted.version),
        ("dns_capture", if ambient.dns_capture { "true" } else { "false" }),
        ("reconcile", if ambient.reconcile_on_startup { "true" } else { "false" }),
        ("base", &base),
        ("pilot", &pilot),
        ("cni", &cni),
        ("ztunnel", &ztunnel),
    ];
    let crds = definitions.iter().map(|crd| crds::render(crd, &crd_labels(&wanted.version), &BTreeMap::new()));
    let mut text: String = crds.map(|crd| document(&crd)).collect();
    text.push_str(&fill(ISTIO, &values));
    if catalog::istio_values_map(&version) {
        text.push_str("---\n");
        text.push_str(&fill(ISTIO_VALUES, &values));
    }
    Ok(text)
}

/// What istioctl marks its objects with. Source: Istio `operator/pkg/helmreconciler/labels.go`.
fn labels(component: &str, version: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("operator.istio.io/managed", "Reconcile".to_owned()),
        ("operator.istio.io/component", component.to_owned()),
        ("operator.istio.io/version", version.to_owned()),
        ("install.operator.istio.io/owning-resource", "unknown".to_owned()),
        ("install.operator.istio.io/owning-resource-namespace", "istio-system".to_owned()),
    ])
}

fn crd_labels(version: &str) -> BTreeMap<&'static str, String> {
    let mut labels = labels("Base", version);
    labels.extend([("app", "istio-pilot".to_owned()), ("chart", "istio".to_owned()), ("release", "istio".to_owned())]);
    labels
}

fn gateway_api(spec: &Spec) -> Result<String, ManifestError> {
    let wanted = &spec.gateway_api;
    let channel = wanted.channel;
    let bundle: Version = wanted.version.parse()?;
    let unknown = || ManifestError::UnknownBundle { version: wanted.version.clone(), channel: channel.as_str() };
    let definitions = catalog::gateway_api_definitions(&bundle, channel).ok_or_else(unknown)?;
    let annotations = BTreeMap::from([
        ("api-approved.kubernetes.io", catalog::api_approved(&bundle).to_owned()),
        (BUNDLE_VERSION, wanted.version.clone()),
        (CHANNEL, channel.as_str().to_owned()),
    ]);
    Ok(definitions.iter().map(|crd| document(&crds::render(crd, &BTreeMap::new(), &annotations))).collect())
}

/// A YAML document; JSON is YAML.
fn document(value: &serde_json::Value) -> String {
    // A value with string keys always has a text.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("{text}\n---\n")
}
