//! Layers of a spec (profile, files, `--set`): each is checked against the schema, then merged over the ones before.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{Origin, SpecError};
use super::schema::{self, Shape, is_registry, nearest};
use super::tree::{Data, Fault, Key, Node, Position};

/// Keys and list indices from the top of a spec to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    pub(super) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    pub(super) fn child(&self, part: impl fmt::Display) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_string());
        Self(parts)
    }

    fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, rest)| Self(rest.to_vec()))
    }
}

impl fmt::Display for KeyPath {
    /// As `--set` reads it: parts with a dot are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if part.contains('.') { write!(f, "\"{part}\"")? } else { f.write_str(part)? }
        }
        Ok(())
    }
}

/// Where the nodes of a layer were written.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    File(&'a Path),
    Set(&'a str),
    Profile(&'a str),
}

impl Source<'_> {
    pub(super) fn at(&self, position: Position) -> Origin {
        match self {
            Self::File(path) => Origin::File { path: path.to_path_buf(), line: position.line, column: position.column },
            Self::Set(argument) => Origin::Set((*argument).to_owned()),
            Self::Profile(name) => Origin::Profile((*name).to_owned()),
        }
    }

    /// Turns what the parser found wrong into an error with its place.
    pub(super) fn fault(&self, fault: Fault) -> SpecError {
        match fault {
            Fault::Syntax { at, message } => SpecError::Syntax { at: self.at(at), message },
            Fault::SecondDocument { at } => SpecError::SecondDocument { at: self.at(at) },
            Fault::DuplicateKey { at, key, first } => {
                SpecError::DuplicateKey { at: self.at(at), key, first_line: first.line, first_column: first.column }
            }
        }
    }

    /// The directory that relative files refer to: that of the spec file, else the current one.
    fn directory(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            Self::Set(_) | Self::Profile(_) => Path::new(""),
        }
    }
}

/// A checked layer: only known keys with values of the right type. `null` removes what earlier layers set.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) value: Value,
    origins: BTreeMap<KeyPath, Origin>,
}

impl Layer {
    /// Checks a document.
    pub(super) fn check(document: &Node, source: &Source<'_>) -> Result<Self, SpecError> {
        let mut layer = Self { value: Value::Object(Map::new()), ..Self::default() };
        // An empty file sets nothing.
        if document.data != Data::Null {
            layer.value = layer.node(document, schema::SPEC, &KeyPath::default(), source)?;
        }
        Ok(layer)
    }

    /// Checks a value for one place in the spec, which `--set` names.
    pub(super) fn check_at(node: &Node, shape: Shape, optional: bool, path: &KeyPath, source: &Source<'_>) -> Result<Self, SpecError> {
        let mut layer = Self::default();
        if node.data == Data::Null {
            if !optional {
                return Err(not_optional(node, shape, path, source));
            }
            layer.origins.insert(path.clone(), source.at(node.at));
        } else {
            layer.value = layer.node(node, shape, path, source)?;
        }
        Ok(layer)
    }

    /// Where exactly this path was written in this layer.
    pub(super) fn origin(&self, path: &KeyPath) -> Option<&Origin> {
        self.origins.get(path)
    }

    fn node(&mut self, node: &Node, shape: Shape, path: &KeyPath, source: &Source<'_>) -> Result<Value, SpecError> {
        self.origins.insert(path.clone(), source.at(node.at));
        let wrong_type = || SpecError::WrongType {
            at: source.at(node.at),
            key: if path.0.is_empty() { "a spec".to_owned() } else { path.to_string() },
            expected: shape.expected(),
            found: found(&node.data),
        };
        match (shape, &node.data) {
            (Shape::Section(fields), Data::Map(entries)) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let Some(field) = fields.iter().find(|field| field.name == key.name) else {
                        return Err(unknown_key(&key.name, &schema::names(fields), path, source.at(key.at)));
                    };
                    let path = path.child(field.name);
                    match (&value.data, field.optional, field.shape) {
                        (Data::Null, true, _) => {
                            self.origins.insert(path, source.at(value.at));
                            map.insert(key.name.clone(), Value::Null);
                        }
                        // `cluster:` with every key under it commented out.
                        (Data::Null, false, Shape::Section(_)) => {}
                        (Data::Null, false, _) => return Err(not_optional(value, field.shape, &path, source)),
                        _ => {
                            map.insert(key.name.clone(), self.node(value, field.shape, &path, source)?);
                        }
                    }
                }
                Ok(Value::Object(map))
            }
            (Shape::Registries(shape), Data::Map(entries)) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    check_registry(key, path, source)?;
                    let value = match value.data {
                        Data::Null => Value::Null,
                        _ => self.node(value, *shape, &path.child(&key.name), source)?,
                    };
                    map.insert(key.name.clone(), value);
                }
                Ok(Value::Object(map))
            }
            (Shape::List(shape), Data::List(items)) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let mut value = self.node(item, *shape, &path.child(index), source)?;
                    // A list replaces the one before, so there is nothing that a null in it could remove.
                    if let Value::Object(map) = &mut value {
                        map.retain(|_, value| !value.is_null());
                    }
                    list.push(value);
                }
                Ok(Value::Array(list))
            }
            (Shape::Text, Data::Text(text) | Data::Integer(_, text) | Data::Float(text)) => Ok(Value::String(text.clone())),
            (Shape::UrlOrFile, Data::Text(text)) if text.contains("://") => Ok(Value::String(text.clone())),
            (Shape::UrlOrFile | Shape::File, Data::Text(text)) if !text.is_empty() => {
                let file = std::path::absolute(source.directory().join(text)).map_err(|source| SpecError::CurrentDirectory { source })?;
                Ok(Value::String(file.to_string_lossy().into_owned()))
            }
            (Shape::Integer { min, max }, Data::Integer(value, _)) if (min..=max).contains(value) => {
                Ok(i64::try_from(*value).map_or(Value::Null, Value::from))
            }
            (Shape::Bool, Data::Bool(value)) => Ok(Value::Bool(*value)),
            (Shape::Word(words), Data::Text(text)) => {
                if words.contains(&text.as_str()) {
                    return Ok(Value::String(text.clone()));
                }
                Err(SpecError::UnknownValue {
                    at: source.at(node.at),
                    key: path.to_string(),
                    value: text.clone(),
                    nearest: nearest(text, words).map(str::to_owned),
                    valid: words.iter().map(|word| (*word).to_owned()).collect(),
                })
            }
            _ => Err(wrong_type()),
        }
    }
}

/// The error for a key that a section does not have.
pub(super) fn unknown_key(key: &str, valid: &[&str], section: &KeyPath, at: Origin) -> SpecError {
    SpecError::UnknownKey {
        at,
        section: section.to_string(),
        key: key.to_owned(),
        nearest: nearest(key, valid).map(str::to_owned),
        valid: valid.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Refuses a key of `mirrors` for which containerd would never look.
pub(super) fn check_registry(key: &Key, path: &KeyPath, source: &Source<'_>) -> Result<(), SpecError> {
    if is_registry(&key.name) {
        return Ok(());
    }
    Err(SpecError::InvalidValue {
        at: source.at(key.at),
        key: path.to_string(),
        value: key.name.clone(),
        reason: "a key here is a registry host, with or without a port, or `_default`",
    })
}

fn not_optional(node: &Node, shape: Shape, path: &KeyPath, source: &Source<'_>) -> SpecError {
    SpecError::NotOptional { at: source.at(node.at), key: path.to_string(), expected: shape.expected() }
}

fn found(data: &Data) -> String {
    match data {
        Data::Null => "null".to_owned(),
        Data::Bool(value) => format!("`{value}`"),
        Data::Integer(_, text) | Data::Float(text) => format!("the number {text}"),
        Data::Text(text) if text.is_empty() => "an empty text".to_owned(),
        Data::Text(text) => format!("the text `{text}`"),
        Data::List(_) => "a list".to_owned(),
        Data::Map(_) => "a map".to_owned(),
    }
}

/// Layers merged so far, and where each value came from.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) value: Value,
    origins: BTreeMap<KeyPath, Origin>,
}

impl Merged {
    pub(super) fn new(first: Layer) -> Self {
        let mut merged = Self { value: Value::Object(Map::new()), origins: BTreeMap::new() };
        merged.add(first);
        merged
    }

    /// Puts a document over what is there: maps merge by key, everything else replaces.
    pub(super) fn add(&mut self, layer: Layer) {
        merge(&mut self.value, layer.value);
        self.origins.extend(layer.origins);
    }

    /// Puts a value to one place; list indices of the path are at most the length of their list.
    pub(super) fn add_at(&mut self, path: &KeyPath, layer: Layer) {
        // What the argument makes on its way is its doing, too.
        if let Some(origin) = layer.origins.get(path) {
            let mut above = path.parent();
            while let Some(container) = above {
                above = container.parent();
                self.origins.entry(container).or_insert_with(|| origin.clone());
            }
        }
        self.origins.extend(layer.origins);
        let Some((last, parents)) = path.0.split_last() else { return };
        let mut target = &mut self.value;
        for part in parents {
            target = enter(target, part);
        }
        match (target, layer.value) {
            (Value::Object(map), Value::Null) => {
                map.remove(last);
            }
            (target, value) => merge(enter(target, last), value),
        }
    }

    /// The value at a path.
    pub(super) fn get(&self, path: &KeyPath) -> Option<&Value> {
        path.0.iter().try_fold(&self.value, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        })
    }

    /// Where a value, or what contains it, was written.
    pub(super) fn origin(&self, path: &KeyPath) -> Origin {
        let mut path = Some(path.clone());
        while let Some(candidate) = path {
            if let Some(origin) = self.origins.get(&candidate) {
                return origin.clone();
            }
            path = candidate.parent();
        }
        Origin::Profile(self.value["profile"].as_str().unwrap_or_default().to_owned())
    }
}

/// The part of a container, made where it is absent.
fn enter<'a>(container: &'a mut Value, part: &str) -> &'a mut Value {
    if let (Value::Array(_) | Value::Null, Ok(index)) = (&*container, part.parse::<usize>()) {
        if container.is_null() {
            *container = Value::Array(Vec::new());
        }
        if let Value::Array(items) = container {
            if index >= items.len() {
                items.push(Value::Null);
            }
            let last = items.len() - 1;
            return &mut items[index.min(last)];
        }
    }
    if !container.is_object() {
        *container = Value::Object(Map::new());
    }
    &mut container[part]
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}
