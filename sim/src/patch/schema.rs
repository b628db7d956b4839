//! What the structure of an object says about merging it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::builtin::TABLE;

/// Which lists of a kind are maps, sets or replaced as a whole, and which objects are replaced as a whole. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schema {
    types: Arc<Vec<Type>>,
    root: usize,
    custom: bool,
}

/// How a value is merged; as an item's or a field's type it may be used as a list and as an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    fields: HashMap<String, Field>,
    /// The type of list items and of object values that are not in `fields`.
    rest: usize,
    /// Whether other names than those in `fields` are the keys of a map; else they are fields that nothing need be said about.
    map: bool,
    pub(super) list: List,
    /// `mapType=atomic`.
    pub(super) atomic: bool,
    pub(super) strategy: Strategy,
}

/// `listType` and `listMapKey`.
#[derive(Debug, Clone, Default)]
pub(super) enum List {
    /// Replaced as a whole.
    #[default]
    Atomic,
    /// Of scalars.
    Set,
    /// Of objects; the keys in alphabetical order, with the default of those that have one.
    Map(Vec<(String, Option<Value>)>),
}

/// `patchStrategy` and `patchMergeKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Lists are replaced, objects merged.
    #[default]
    None,
    /// Replaced, be it list or object.
    Replace,
    /// A list of scalars that is added to.
    Scalars,
    /// A list of objects with this key.
    Key(String),
}

#[derive(Debug, Clone, Default)]
struct Field {
    of: usize,
    /// What Go's zero value of the object around it has here.
    zero: Option<Value>,
    skip: bool,
}

/// A type within its schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ty<'a> {
    types: &'a [Type],
    index: usize,
}

/// A field of an object.
pub(super) struct Member<'a> {
    pub(super) of: Ty<'a>,
    pub(super) zero: Option<&'a Value>,
    /// Whether it is a field and no key of a map.
    pub(super) named: bool,
    pub(super) skip: bool,
}

impl<'a> Ty<'a> {
    pub(super) fn own(self) -> &'a Type {
        &self.types[self.index]
    }

    fn at(self, index: usize) -> Self {
        Self { types: self.types, index }
    }

    pub(super) fn item(self) -> Self {
        self.at(self.own().rest)
    }

    pub(super) fn field(self, name: &str) -> Member<'a> {
        let own = self.own();
        match own.fields.get(name) {
            Some(field) => Member { of: self.at(field.of), zero: field.zero.as_ref(), named: true, skip: field.skip },
            None => Member { of: self.item(), zero: None, named: !own.map, skip: false },
        }
    }
}

/// Index of the type of which nothing is known, in built-in kinds.
const ANY: usize = 0;
/// The same in custom resources: what is not in the schema is a map (`__untyped_deduced_` in structured-merge-diff).
const UNTYPED: usize = 1;

#[derive(Debug, Clone)]
struct Builder {
    types: Vec<Type>,
    names: HashMap<String, usize>,
}

struct Builtin {
    types: Arc<Vec<Type>>,
    names: HashMap<String, usize>,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| {
    let builder = Builder::from_table();
    Builtin { types: Arc::new(builder.types), names: builder.names }
});

impl Builder {
    fn from_table() -> Self {
        let untyped = Type { rest: UNTYPED, map: true, ..Type::default() };
        let mut builder = Self { types: vec![Type::default(), untyped], names: HashMap::from([("Any".to_owned(), ANY)]) };
        for line in TABLE.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let index = builder.named(name);
            for word in words {
                let (field, shape) = word.split_once('=').unwrap_or((word, "Any"));
                let field_type = builder.field(shape);
                builder.types[index].fields.insert(field.to_owned(), field_type);
            }
        }
        builder
    }

    fn add(&mut self, one: Type) -> usize {
        self.types.push(one);
        self.types.len() - 1
    }

    fn named(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let index = self.add(Type::default());
        self.names.insert(name.to_owned(), index);
        index
    }

    /// Reads the notation of the table.
    fn field(&mut self, shape: &str) -> Field {
        if shape == "-" {
            return Field { skip: true, ..Field::default() };
        }
        let (inline, shape) = shape.strip_prefix('!').map_or((false, shape), |rest| (true, rest));
        if shape == "null" {
            return Field { zero: Some(Value::Null), ..Field::default() };
        }
        let of = self.shape(shape);
        let zero = inline.then(|| if shape.starts_with('[') { Value::Null } else { json!({}) });
        Field { of, zero, skip: false }
    }

    fn shape(&mut self, shape: &str) -> usize {
        let (shape, strategy) = match shape.split_once('~') {
            Some((shape, "")) => (shape, Some(Strategy::Replace)),
            Some((shape, key)) => (shape, Some(Strategy::Key(key.to_owned()))),
            None => (shape, None),
        };
        if shape == "@" {
            return self.add(Type { atomic: true, strategy: strategy.unwrap_or_default(), ..Type::default() });
        }
        if let Some(value) = shape.strip_prefix('%') {
            let rest = self.shape(value);
            return self.add(Type { rest, map: true, ..Type::default() });
        }
        if let Some(flags) = shape.strip_prefix("{}") {
            let strategy = if flags == "+" { Strategy::Scalars } else { Strategy::None };
            return self.add(Type { list: List::Set, strategy, ..Type::default() });
        }
        let Some((keys, item)) = shape.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
            return self.named(shape);
        };
        let rest = if item.is_empty() { ANY } else { self.shape(item) };
        let with_default = |key: &str| match key.split_once(':') {
            Some((key, default)) => (key.to_owned(), Some(json!(default))),
            None => (key.to_owned(), None),
        };
        let mut keys: Vec<_> = keys.split(',').filter(|key| !key.is_empty()).map(with_default).collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let strategy = strategy.unwrap_or_else(|| keys.first().map_or(Strategy::None, |key| Strategy::Key(key.0.clone())));
        let list = if keys.is_empty() { List::Atomic } else { List::Map(keys) };
        self.add(Type { rest, list, strategy, ..Type::default() })
    }

    /// `ToStructuralMergeDiff` in `kube-openapi/pkg/schemaconv`, for what `OpenAPIV3Schema` may contain.
    fn custom(&mut self, schema: &Value, is_root: bool) -> usize {
        let mut own = Type { rest: UNTYPED, map: true, ..Type::default() };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let of = self.custom(property, false);
            own.fields.insert(name.clone(), Field { of, ..Field::default() });
        }
        let metadata = if is_root { Some("RootMeta") } else { (schema["x-kubernetes-embedded-resource"] == true).then_some("Meta") };
        if let Some(metadata) = metadata {
            let of = self.named(metadata);
            own.fields.insert("metadata".to_owned(), Field { of, ..Field::default() });
            for name in ["apiVersion", "kind"] {
                own.fields.insert(name.to_owned(), Field { of: UNTYPED, ..Field::default() });
            }
        }
        if schema["additionalProperties"].is_object() {
            own.rest = self.custom(&schema["additionalProperties"], false);
        }
        own.atomic = schema["x-kubernetes-map-type"] == "atomic";
        if schema["items"].is_object() {
            own.rest = self.custom(&schema["items"], false);
            let default = |key: &str| schema.pointer(&format!("/items/properties/{key}/default")).cloned();
            own.list = match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => List::Set,
                Some("map") => {
                    let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    let mut keys: Vec<_> = keys.map(|key| (key.to_owned(), default(key))).collect();
                    keys.sort_by(|a, b| a.0.cmp(&b.0));
                    if keys.is_empty() { List::Atomic } else { List::Map(keys) }
                }
                _ => List::Atomic,
            };
        }
        self.add(own)
    }
}

impl Schema {
    /// Of a built-in kind of Kubernetes 1.33; of one that is not known, lists are replaced and objects merged.
    #[must_use]
    pub fn builtin(group: &str, version: &str, kind: &str) -> Self {
        let Builtin { types, names } = &*BUILTIN;
        // Only one kind differs between its versions; the others are found at once.
        let versioned = (group == "autoscaling").then(|| names.get(&format!("{kind}/{version}"))).flatten();
        let root = versioned.or_else(|| names.get(kind)).or_else(|| names.get("Object")).copied().unwrap_or(ANY);
        Self { types: Arc::clone(types), root, custom: false }
    }

    /// Of a custom resource, from its `openAPIV3Schema`; `Null` if it has none. Worth keeping: it is made anew each time.
    #[must_use]
    pub fn custom(openapi_v3_schema: &Value) -> Self {
        let Builtin { types, names } = &*BUILTIN;
        let mut builder = Builder { types: types.to_vec(), names: names.clone() };
        let root = builder.custom(openapi_v3_schema, true);
        Self { types: Arc::new(builder.types), root, custom: true }
    }

    pub(super) fn root(&self) -> Ty<'_> {
        Ty { types: &self.types, index: self.root }
    }

    /// Whether an explicit null is a value; Go's structures do not have it.
    pub(super) fn keeps_nulls(&self) -> bool {
        self.custom
    }
}
