//! What kinds of objects there are: the built-in ones, and those that `CustomResourceDefinitions` add.

use std::sync::Arc;

use serde_json::Value;

/// How lists of a structured schema are merged: the path of field names (list items count as nothing) and the keys of its items.
/// A list that is not named is atomic. An empty key list means a set of scalars.
pub type ListKeys = Vec<(Vec<String>, Vec<String>)>;

/// One version of a resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Version {
    /// For example `v1`.
    pub name: String,
    /// Extra columns of `kubectl get` as a CRD's `additionalPrinterColumns` has them; `Null` for built-in kinds.
    pub columns: Value,
    /// The CRD's `openAPIV3Schema`, if it has one; `Null` for built-in kinds.
    pub schema: Value,
    /// Whether `/status` is served.
    pub status: bool,
    /// The CRD's `subresources.scale` (`specReplicasPath`, `statusReplicasPath`, `labelSelectorPath`), or the same for built-in kinds; `Null` without.
    pub scale: Value,
}

/// A resource that the API server serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// For example `Deployment`.
    pub kind: String,
    /// For example `DeploymentList`.
    pub list_kind: String,
    /// For example `deployments`.
    pub plural: String,
    /// For example `deployment`.
    pub singular: String,
    /// For example `deploy`.
    pub short_names: Vec<String>,
    /// For example `all`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Served versions, preferred first.
    pub versions: Vec<Version>,
    /// The version that objects are stored in.
    pub storage: String,
    /// Further subresources for discovery: name, kind, group/version of the kind where it differs, verbs. `pods/log`, `serviceaccounts/token`, ….
    pub subresources: Vec<Subresource>,
    /// Verbs; for most resources all eight.
    pub verbs: Vec<&'static str>,
    /// Whether a CRD added it.
    pub custom: bool,
    /// Whether `metadata.generation` counts changes of everything but metadata and status.
    pub generation: bool,
}

/// A subresource in discovery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subresource {
    /// For example `log`.
    pub name: &'static str,
    /// Kind of its body.
    pub kind: &'static str,
    /// `group/version` of that kind where it is not the resource's own, for example `autoscaling/v1`.
    pub api_version: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// A shared resource.
pub type ResourceRef = Arc<Resource>;

impl Resource {
    /// The plural with its group: `pods`, `deployments.apps`. The key of the store, and what messages say.
    #[must_use]
    pub fn id(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The kind with its group: `Pod`, `Deployment.apps`.
    #[must_use]
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `apiVersion` of a version: `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// A served version.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == name)
    }
}
