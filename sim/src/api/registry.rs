//! What is served: found by path, by id, by kind.

use std::collections::HashMap;
use std::sync::Arc;

use crate::patch::Schema;
use crate::resource::ResourceRef;

/// The served resources at one moment.
#[derive(Clone, Default)]
pub struct Registry {
    all: Vec<ResourceRef>,
    by_id: HashMap<String, ResourceRef>,
    /// How lists of custom objects are merged, by id and version: reading it off their schema takes a while.
    schemas: HashMap<(String, String), Schema>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

impl Registry {
    /// The built-in resources.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        for resource in crate::builtin::resources() {
            registry.insert(Arc::new(resource));
        }
        registry
    }

    pub(super) fn insert(&mut self, resource: ResourceRef) {
        let id = resource.id();
        self.remove(&id);
        for version in resource.versions.iter().filter(|_| resource.custom) {
            self.schemas.insert((id.clone(), version.name.clone()), Schema::custom(&version.schema));
        }
        self.all.push(Arc::clone(&resource));
        self.by_id.insert(id, resource);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.all.retain(|r| r.id() != id);
        self.by_id.remove(id);
        self.schemas.retain(|(of, _), _| of != id);
    }

    /// How lists of a custom kind are merged; `None` for built-in ones.
    #[must_use]
    pub fn schema(&self, id: &str, version: &str) -> Option<Schema> {
        self.schemas.get(&(id.to_owned(), version.to_owned())).cloned()
    }

    /// All of them, built-in ones first.
    #[must_use]
    pub fn all(&self) -> &[ResourceRef] {
        &self.all
    }

    /// By id, for example `deployments.apps`.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<ResourceRef> {
        self.by_id.get(id).cloned()
    }

    /// By what a path names; the version must be served.
    #[must_use]
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<ResourceRef> {
        let found = if group.is_empty() { self.by_id.get(plural) } else { self.by_id.get(&format!("{plural}.{group}")) };
        found.filter(|r| r.version(version).is_some()).cloned()
    }

    /// By group and kind, in any version.
    #[must_use]
    pub fn by_kind(&self, group: &str, kind: &str) -> Option<ResourceRef> {
        self.all.iter().find(|r| r.group == group && r.kind == kind).cloned()
    }
}
