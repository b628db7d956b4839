//! Sets of fields, and `FieldsV1`, which they are written as (structured-merge-diff, `fieldpath`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Fields below an object or a list. The keys are the path elements as `FieldsV1` writes them: `f:name`, `k:{"name":"x"}`, `v:"x"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set(BTreeMap<String, Node>);

/// A field, and the fields below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Whether the field itself is in the set.
    pub(super) member: bool,
    pub(super) below: Set,
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// The path element of a field.
pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

/// The path element of an item of a set.
pub(super) fn value(value: &Value) -> String {
    format!("v:{value}")
}

/// The path element of an item with keys, which must be in alphabetical order.
pub(super) fn key<'a>(keys: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let parts: Vec<String> = keys.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("k:{{{}}}", parts.join(","))
}

/// A path element in words, as `PathElement.String` has it.
pub(super) fn show(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("v:", value)) => format!("[={value}]"),
        Some(("k:", keys)) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let parts: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", parts.join(","))
        }
        Some((_, rest)) => format!("[{rest}]"),
        None => element.to_owned(),
    }
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, element: &str) -> Option<&Node> {
        self.0.get(element)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(element, node)| (element.as_str(), node))
    }

    /// Adds a node to what is there; an empty one is not kept.
    pub(super) fn put(&mut self, element: String, node: Node) {
        if node.is_empty() {
            return;
        }
        let own = self.0.entry(element).or_default();
        own.member |= node.member;
        own.below.add(node.below);
    }

    /// Adds what is in the other set.
    pub(super) fn add(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        for (element, node) in other.0 {
            self.put(element, node);
        }
    }

    /// What is in both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (element, node) in &self.0 {
            if let Some(theirs) = other.0.get(element) {
                both.put(element.clone(), Node { member: node.member && theirs.member, below: node.below.and(&theirs.below) });
            }
        }
        both
    }

    /// Removes what is in the other set.
    pub(super) fn remove(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.0.retain(|element, node| {
            if let Some(theirs) = other.0.get(element) {
                node.member &= !theirs.member;
                node.below.remove(&theirs.below);
            }
            !node.is_empty()
        });
    }

    /// Whether all of it is in the other set.
    pub(super) fn within(&self, other: &Self) -> bool {
        self.0.iter().all(|(element, node)| {
            other.0.get(element).is_some_and(|theirs| (theirs.member || !node.member) && node.below.within(&theirs.below))
                || node.is_empty()
        })
    }

    /// All paths in words, in upstream's order: the fields of an object before those below them.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.0.iter().filter(|(_, node)| node.member).map(|(element, _)| show(element)).collect();
        for (element, node) in self.0.iter().filter(|(_, node)| !node.below.is_empty()) {
            let shown = show(element);
            paths.extend(node.below.paths().into_iter().map(|below| format!("{shown}{below}")));
        }
        paths
    }

    /// As `FieldsV1`.
    pub(super) fn encode(&self) -> Value {
        self.encode_with(false)
    }

    fn encode_with(&self, dot: bool) -> Value {
        let mut fields = Map::new();
        if dot {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, node) in &self.0 {
            fields.insert(element.clone(), node.below.encode_with(node.member && !node.below.is_empty()));
        }
        Value::Object(fields)
    }

    /// From `FieldsV1`; `None` if it is none.
    pub(super) fn decode(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (element, below) in fields.as_object()? {
            if element == "." {
                continue;
            }
            let member = below.as_object()?.is_empty() || below.get(".").is_some();
            set.put(canonical(element)?, Node { member, below: Self::decode(below)? });
        }
        Some(set)
    }
}

/// A path element as we write it; `None` if it is none.
fn canonical(element: &str) -> Option<String> {
    match element.split_at_checked(2)? {
        ("f:", _) => Some(element.to_owned()),
        ("i:", index) => index.parse::<i64>().is_ok().then(|| element.to_owned()),
        ("v:", text) => Some(value(&serde_json::from_str(text).ok()?)),
        ("k:", keys) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).ok()?;
            Some(key(keys.iter().map(|(name, value)| (name.as_str(), value))))
        }
        _ => None,
    }
}
