//! Walks over objects by their schema: which fields they have, what differs, how they are merged (structured-merge-diff, `typed`).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::fields::{self, Node, Set};
use super::schema::{List, Ty};

static EMPTY: Value = Value::Null;

/// The path element of a list item, or what is wrong with it (`listItemToPathElement`).
pub(super) fn element(list: &List, item: &Value) -> Result<String, String> {
    match list {
        List::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        List::Set if item.is_null() => Err("associative list without keys has an element that's an explicit null".to_owned()),
        List::Set => Ok(fields::value(item)),
        List::Map(keys) => {
            let Value::Object(item) = item else {
                return Err("associative list with keys may not have non-map elements".to_owned());
            };
            let mut found = Vec::with_capacity(keys.len());
            for (name, default) in keys {
                let value = item.get(name).or(default.as_ref()).ok_or_else(|| {
                    format!("associative list with keys has an element that omits key field {name:?} (and doesn't have default value)")
                })?;
                found.push((name.as_str(), value));
            }
            Ok(fields::key(found.into_iter()))
        }
    }
}

/// The fields of a configuration; in words what is wrong with its lists (`ToFieldSet`, and of `Validate` what concerns keys).
pub(super) fn field_set(value: &Value, of: Ty<'_>) -> Result<Set, String> {
    Ok(fields_of(value, of, true)?.below)
}

/// The same of an object that is stored, whose lists may be wrong.
pub(super) fn stored_field_set(value: &Value, of: Ty<'_>) -> Set {
    fields_of(value, of, false).unwrap_or_default().below
}

fn fields_of(value: &Value, of: Ty<'_>, strict: bool) -> Result<Node, String> {
    let leaf = Node { member: true, below: Set::default() };
    let mut node = Node::default();
    match value {
        Value::Object(_) if of.own().atomic => return Ok(leaf),
        Value::Array(_) if matches!(of.own().list, List::Atomic) => return Ok(leaf),
        Value::Object(map) => {
            for (name, value) in map {
                let member = of.field(name);
                let mut below = fields_of(value, member.of, strict).map_err(|why| format!(".{name}{why}"))?;
                below.member |= !member.named || value.is_null() || value.as_object().is_some_and(Map::is_empty);
                node.below.put(fields::field(name), below);
            }
        }
        Value::Array(items) => {
            let list = &of.own().list;
            let mut seen: HashMap<String, usize> = HashMap::new();
            for (index, item) in items.iter().enumerate() {
                match element(list, item) {
                    Ok(element) => *seen.entry(element).or_default() += 1,
                    Err(why) if strict => return Err(format!(": element {index}: {why}")),
                    Err(_) => {}
                }
            }
            for item in items {
                let Ok(element) = element(list, item) else { continue };
                if seen.get(&element).is_some_and(|times| *times > 1) {
                    if strict {
                        return Err(format!(": duplicate entries for key {}", fields::show(&element)));
                    }
                    node.below.put(element, leaf.clone());
                    continue;
                }
                let mut below = fields_of(item, of.item(), strict).map_err(|why| format!("{}{why}", fields::show(&element)))?;
                below.member = true;
                node.below.put(element, below);
            }
        }
        _ => return Ok(leaf),
    }
    Ok(node)
}

/// What a write did (`Comparison`); what was modified and what was added always come together.
#[derive(Debug, Default)]
pub(super) struct Difference<T> {
    pub(super) changed: T,
    pub(super) removed: T,
}

impl Difference<Node> {
    fn put(&mut self, element: String, below: Self) {
        if below.changed.is_empty() && below.removed.is_empty() {
            return;
        }
        self.changed.below.put(element.clone(), below.changed);
        self.removed.below.put(element, below.removed);
    }

    fn mark(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (Some(_), None) => self.removed.member = true,
            (Some(old), Some(new)) if old == new => {}
            _ => self.changed.member = true,
        }
    }
}

/// What differs between two objects (`Compare`). Without an old one it is as Go's zero value of the kind.
pub(super) fn compare(old: Option<&Value>, new: &Value, of: Ty<'_>) -> Difference<Set> {
    let node = difference(Some(old.unwrap_or(&EMPTY)), Some(new), of);
    Difference { changed: node.changed.below, removed: node.removed.below }
}

fn difference(old: Option<&Value>, new: Option<&Value>, of: Ty<'_>) -> Difference<Node> {
    let mut found = Difference::default();
    if old == new {
        return found;
    }
    let some = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    // Null is as good as an empty object or list, and is one where the other side is.
    let maps = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    let lists = (old.and_then(Value::as_array), new.and_then(Value::as_array));
    match (maps, lists) {
        ((None, None), (None, None)) => found.mark(old, new),
        ((a, b), (None, None)) if (a.is_some() || !some(old)) && (b.is_some() || !some(new)) => {
            if of.own().atomic || a.is_none_or(Map::is_empty) && b.is_none_or(Map::is_empty) {
                found.mark(old, new);
                return found;
            }
            map_difference(&mut found, (old.is_some(), a), (new.is_some(), b), of);
            found.changed.member |= old.is_none();
            found.removed.member |= new.is_none();
        }
        ((None, None), (a, b)) if (a.is_some() || !some(old)) && (b.is_some() || !some(new)) => {
            if matches!(of.own().list, List::Atomic) || a.is_none_or(Vec::is_empty) && b.is_none_or(Vec::is_empty) {
                found.mark(old, new);
                return found;
            }
            list_difference(&mut found, a.map_or(&[], Vec::as_slice), b.map_or(&[], Vec::as_slice), of);
            found.changed.member |= old.is_none();
            found.removed.member |= new.is_none();
        }
        // Another sort of value: all that was below is gone, and all that is below is new.
        _ => {
            let (before, after) = (difference(old, None, of), difference(None, new, of));
            found.removed.below = before.removed.below;
            found.changed.below = after.changed.below;
            found.mark(old, new);
        }
    }
    found
}

type Side<'a> = (bool, Option<&'a Map<String, Value>>);

fn map_difference(found: &mut Difference<Node>, old: Side<'_>, new: Side<'_>, of: Ty<'_>) {
    let names = old.1.into_iter().flatten().map(|(name, _)| name);
    let added = new.1.into_iter().flatten().map(|(name, _)| name).filter(|name| old.1.is_none_or(|map| !map.contains_key(*name)));
    for name in names.chain(added) {
        let (a, b) = (old.1.and_then(|map| map.get(name)), new.1.and_then(|map| map.get(name)));
        if a == b {
            continue;
        }
        let member = of.field(name);
        if member.skip {
            continue;
        }
        // What Go has even in an empty object is there on both sides if the object around it is.
        let a = a.or(if old.0 { member.zero } else { None });
        let b = b.or(if new.0 { member.zero } else { None });
        found.put(fields::field(name), difference(a, b, member.of));
    }
}

fn list_difference(found: &mut Difference<Node>, old: &[Value], new: &[Value], of: Ty<'_>) {
    let list = &of.own().list;
    // In the order in which they come, and with what has the same key together.
    let mut order: Vec<String> = Vec::new();
    let mut by_element: HashMap<String, (Vec<&Value>, Vec<&Value>)> = HashMap::new();
    for (is_new, item) in old.iter().map(|item| (false, item)).chain(new.iter().map(|item| (true, item))) {
        let Ok(element) = element(list, item) else { continue };
        let sides = by_element.entry(element.clone()).or_insert_with(|| {
            order.push(element);
            Default::default()
        });
        if is_new { sides.1.push(item) } else { sides.0.push(item) }
    }
    for element in order {
        let Some((old, new)) = by_element.remove(&element) else { continue };
        let mut below = match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => difference(old.first().copied(), new.first().copied(), of.item()),
            (0 | 1, _) => difference(old.first().copied(), None, of.item()),
            (_, 0 | 1) => difference(None, new.first().copied(), of.item()),
            _ => Difference::default(),
        };
        // What is there more than once is owned as a whole.
        match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => {}
            (0 | 1, _) => below.changed.member = true,
            (_, 0 | 1) => below.removed.member = true,
            _ => below.changed.member = old != new,
        }
        found.put(element, below);
    }
}

/// The live object with the configuration put into it (`Merge`); nothing is removed.
pub(super) fn merge(live: Option<&Value>, applied: Option<&Value>, of: Ty<'_>, nulls: bool) -> Option<Value> {
    match (live, applied) {
        (live, None) => live.cloned(),
        (live, Some(Value::Null)) if live.is_some_and(|v| holds_something(v, of)) => live.cloned(),
        (_, Some(Value::Null)) => nulls.then_some(Value::Null),
        // Go's structures leave out an empty list, too.
        (None | Some(Value::Null), Some(Value::Array(applied))) if applied.is_empty() && !nulls => None,
        (live, Some(Value::Object(applied))) if !of.own().atomic => {
            let live = live.and_then(Value::as_object);
            let mut merged = Map::new();
            for (name, value) in live.into_iter().flatten() {
                if let Some(value) = merge(Some(value), applied.get(name), of.field(name).of, nulls) {
                    merged.insert(name.clone(), value);
                }
            }
            for (name, value) in applied.iter().filter(|(name, _)| live.is_none_or(|live| !live.contains_key(*name))) {
                if let Some(value) = merge(None, Some(value), of.field(name).of, nulls) {
                    merged.insert(name.clone(), value);
                }
            }
            Some(Value::Object(merged))
        }
        (live, Some(Value::Array(applied))) if !matches!(of.own().list, List::Atomic) => {
            Some(Value::Array(merge_lists(live.and_then(Value::as_array).map_or(&[], Vec::as_slice), applied, of, nulls)))
        }
        (_, Some(applied)) => Some(applied.clone()),
    }
}

/// Whether a null in the configuration leaves it alone.
fn holds_something(live: &Value, of: Ty<'_>) -> bool {
    match live {
        Value::Object(map) => !of.own().atomic && !map.is_empty(),
        Value::Array(list) => !matches!(of.own().list, List::Atomic) && !list.is_empty(),
        _ => false,
    }
}

/// Items are in the order of the configuration; those that it has not stay where they are between the others.
fn merge_lists(live: &[Value], applied: &[Value], of: Ty<'_>, nulls: bool) -> Vec<Value> {
    let list = &of.own().list;
    let keyed = |items: &[Value]| -> Vec<String> { items.iter().map(|item| element(list, item).unwrap_or_default()).collect() };
    let (live_keys, applied_keys) = (keyed(live), keyed(applied));
    let in_applied: HashSet<&str> = applied_keys.iter().map(String::as_str).collect();
    let mut in_live: HashMap<&str, (usize, &Value)> = HashMap::new();
    for (key, item) in live_keys.iter().zip(live) {
        in_live.entry(key).and_modify(|known| known.0 += 1).or_insert((1, item));
    }
    // What is there more than once is not merged but replaced.
    let counterpart = |key: &str| in_live.get(key).filter(|known| known.0 == 1).map(|known| known.1);
    let mut shared = applied_keys.iter().filter(|key| in_live.contains_key(key.as_str())).peekable();
    let mut done: HashSet<&str> = HashSet::new();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let (mut l, mut a) = (0, 0);
    while l < live.len() || a < applied.len() {
        if let Some(key) = live_keys.get(l) {
            if !in_applied.contains(key.as_str()) {
                merged.push(live[l].clone());
                l += 1;
                continue;
            }
            let elsewhere = shared.peek().is_some_and(|next| *next != key);
            if done.contains(key.as_str()) || elsewhere && a < applied.len() {
                l += 1;
                continue;
            }
        }
        let Some(key) = applied_keys.get(a) else { break };
        merged.extend(merge(counterpart(key), Some(&applied[a]), of.item(), nulls));
        done.insert(key);
        if shared.peek() == Some(&key) {
            shared.next();
        }
        a += 1;
    }
    merged
}

/// The value without the fields of the set; `None` if nothing is left of it (`RemoveItems`). What becomes empty below is null, which
/// still counts as a field, or removed.
pub(super) fn remove(value: Value, gone: &Set, of: Ty<'_>, nulls: bool) -> Option<Value> {
    if gone.is_empty() {
        return Some(value);
    }
    let below = |value, gone: &Set, of| remove(value, gone, of, nulls).or(nulls.then_some(Value::Null));
    match value {
        Value::Object(_) if of.own().atomic => None,
        Value::Array(_) if matches!(of.own().list, List::Atomic) => None,
        Value::Object(map) => {
            let mut left = Map::new();
            for (name, value) in map {
                let kept = match gone.get(&fields::field(&name)) {
                    None => Some(value),
                    Some(node) if node.member => None,
                    Some(node) => below(value, &node.below, of.field(&name).of),
                };
                if let Some(value) = kept {
                    left.insert(name, value);
                }
            }
            (!left.is_empty()).then_some(Value::Object(left))
        }
        Value::Array(items) => {
            let mut left = Vec::new();
            for item in items {
                let node = element(&of.own().list, &item).ok().and_then(|element| gone.get(&element));
                match node {
                    None => left.push(item),
                    Some(node) if node.member => {}
                    Some(node) => left.extend(remove(item, &node.below, of.item(), nulls)),
                }
            }
            (!left.is_empty()).then_some(Value::Array(left))
        }
        scalar => Some(scalar),
    }
}

/// With the named fields above each field (`EnsureNamedFieldsAreMembers`).
pub(super) fn with_parents(set: &Set, of: Ty<'_>) -> Set {
    let mut all = Set::default();
    for (element, node) in set.iter() {
        let (named, of) = match element.strip_prefix("f:") {
            Some(name) => {
                let member = of.field(name);
                (member.named, member.of)
            }
            None => (false, of.item()),
        };
        let below = with_parents(&node.below, of);
        all.put(element.to_owned(), Node { member: node.member || named && !below.is_empty(), below });
    }
    all
}

/// An empty object, where there is none yet.
pub(super) fn empty() -> Value {
    json!({})
}
