//! A stored object: its canonical bytes, and the little that lists and watches ask of it without parsing them.

use bytes::Bytes;
use serde_json::Value;

/// The fields that selectors can ask for, sorted; absent ones are empty.
pub type Fields = Box<[(&'static str, Box<str>)]>;

/// A sorted list of names and values.
pub type Pairs = Box<[(Box<str>, Box<str>)]>;

/// One revision of an object.
#[derive(Debug)]
pub struct Object {
    /// The revision that wrote it; its `resourceVersion`.
    pub revision: u64,
    /// Canonical JSON in the storage version.
    pub bytes: Bytes,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.labels`, sorted.
    pub labels: Pairs,
    /// What field selectors can ask for besides name and namespace, sorted.
    pub fields: Fields,
    /// UIDs of `metadata.ownerReferences`.
    pub owners: Box<[Box<str>]>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl Object {
    pub(super) fn new(revision: u64, bytes: Bytes, namespace: &str, name: &str, value: &Value, fields: Fields) -> Self {
        let meta = &value["metadata"];
        let text = |v: &Value| -> Box<str> { v.as_str().unwrap_or_default().into() };
        // Sorted whatever order the JSON library keeps keys in.
        let mut labels: Vec<(Box<str>, Box<str>)> =
            meta["labels"].as_object().into_iter().flatten().map(|(k, v)| (k.as_str().into(), text(v))).collect();
        labels.sort();
        let owners = meta["ownerReferences"].as_array().into_iter().flatten().map(|o| text(&o["uid"])).collect();
        Self {
            revision,
            bytes,
            namespace: namespace.into(),
            name: name.into(),
            uid: text(&meta["uid"]),
            labels: labels.into(),
            fields,
            owners,
            deleting: meta["deletionTimestamp"].is_string(),
        }
    }

    /// The object as a value.
    #[must_use]
    pub fn value(&self) -> Value {
        // The store wrote these bytes itself.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// A label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        look_up(&self.labels, name)
    }

    /// A field that selectors can ask for.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.binary_search_by(|(k, _)| (*k).cmp(name)).ok().map(|at| &*self.fields[at].1),
        }
    }

    /// `namespace/name`, or the name of a cluster-scoped object.
    #[must_use]
    pub fn key(&self) -> String {
        if self.namespace.is_empty() { self.name.to_string() } else { format!("{}/{}", self.namespace, self.name) }
    }
}

fn look_up<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let at = pairs.binary_search_by(|(k, _)| (**k).cmp(name)).ok()?;
    Some(&pairs[at].1)
}
