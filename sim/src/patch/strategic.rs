//! Strategic merge patch (`apimachinery/pkg/util/strategicpatch`).

use serde_json::{Map, Value};

use super::schema::{Schema, Strategy, Ty};
use crate::Failure;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Strategic merge patch. The target is changed only if all of the patch fits.
///
/// # Errors
///
/// 400 for a patch whose directives are malformed, 422 for lists of lists, 500 (as upstream has it) for one that does not fit the object.
pub fn strategic(target: &mut Value, patch: &Value, schema: &Schema) -> Result<(), Failure> {
    let Value::Object(patch) = patch else {
        return Err(Failure::bad_request("json: cannot unmarshal into Go value of type map[string]interface {}"));
    };
    let original = target.as_object().cloned().unwrap_or_default();
    *target = Value::Object(merge_objects(original, patch.clone(), schema.root())?);
    Ok(())
}

/// An error that upstream has no status for.
fn plain(message: impl Into<String>) -> Failure {
    Failure::new(500, "", message)
}

fn bad_order() -> Failure {
    Failure::bad_request("invalid patch format of setElementOrder list")
}

fn merge_objects(mut original: Object, mut patch: Object, of: Ty<'_>) -> Result<Object, Failure> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(clean_object(patch)),
            Some("delete") => Ok(Object::new()),
            _ => Err(plain(format!("unknown patch type: {} in map: {}", shown(&directive), Value::Object(patch)))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    order_lists(&mut original, &mut patch, of)?;
    for (name, change) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            let list = list.strip_prefix('/').ok_or_else(|| Failure::bad_request("invalid patch format of primitive list"))?;
            if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(list), &change) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if change.is_null() {
            original.remove(&name);
            continue;
        }
        let of = of.field(&name).of;
        let merged = match (original.remove(&name), change) {
            (Some(Value::Object(was)), Value::Object(change)) => {
                // A field with the strategy `replace` is taken as it is.
                let object = if of.own().strategy == Strategy::Replace { change } else { merge_objects(was, change, of)? };
                Some(Value::Object(object))
            }
            (Some(Value::Array(was)), Value::Array(change)) => Some(Value::Array(merge_lists(was, change, of)?)),
            (_, change) => clean(change),
        };
        if let Some(merged) = merged {
            original.insert(name, merged);
        }
    }
    Ok(original)
}

/// `applyRetainKeysDirective`.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Failure> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || Failure::bad_request("invalid patch format of retainKeys");
    let retained = retained.as_array().ok_or_else(bad)?;
    let is_retained = |name: &str| retained.iter().any(|key| key == name);
    let is_directive = |name: &str| name.starts_with(DELETE_FROM) || name.starts_with(ELEMENT_ORDER);
    if patch.iter().any(|(name, value)| !value.is_null() && !is_directive(name) && !is_retained(name)) {
        return Err(bad());
    }
    original.retain(|name, _| is_retained(name));
    Ok(())
}

/// `mergePatchIntoOriginal`: lists whose order the patch gives.
fn order_lists(original: &mut Object, patch: &mut Object, of: Ty<'_>) -> Result<(), Failure> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(plain(format!("expected a list in {directive}")));
        };
        let name = directive.strip_prefix(ELEMENT_ORDER).and_then(|name| name.strip_prefix('/')).ok_or_else(bad_order)?;
        let of = of.field(name).of;
        let key = merge_key(of);
        let list = |value: Option<Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(plain(format!("expected a []interface {{}}, but received a {}", shown(&other)))),
        };
        let explicit_null = patch.get(name).is_some_and(Value::is_null);
        if explicit_null {
            continue;
        }
        let change = list(patch.remove(name))?;
        let was = list(original.remove(name))?;
        if let Some(change) = &change {
            check_order(change, &order, key)?;
        }
        let before = was.clone().unwrap_or_default();
        let merged = match (was, change) {
            (None, None) => continue,
            (Some(was), None) => was,
            (None, Some(change)) => clean_list(change),
            (Some(was), Some(change)) => merge_lists(was, change, of)?,
        };
        original.insert(name.to_owned(), Value::Array(sorted(merged, &order, &before, key)?));
    }
    Ok(())
}

/// What the patch has must be in its order, too, and in the same sequence.
fn check_order(change: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Failure> {
    let kept = change.iter().filter(|item| item.get(DIRECTIVE).is_none());
    if order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in kept {
        let wanted = identity(item, key)?;
        let mut found = false;
        for candidate in rest.by_ref() {
            if identity(candidate, key)? == wanted {
                found = true;
                break;
            }
        }
        if !found {
            let (change, order) = (Value::from(change), Value::from(order));
            return Err(plain(format!("The order in patch list:\n{change}\n doesn't match {ELEMENT_ORDER} list:\n{order}\n")));
        }
    }
    Ok(())
}

fn merge_key(of: Ty<'_>) -> Option<&str> {
    match &of.own().strategy {
        Strategy::Key(key) => Some(key),
        _ => None,
    }
}

/// What an item is found by: the value of its key, or itself if it is a scalar.
fn identity<'a>(item: &'a Value, key: Option<&str>) -> Result<&'a Value, Failure> {
    match key {
        None => Ok(item),
        Some(key) => item.get(key).ok_or_else(|| plain(format!("map: {item} does not contain declared merge key: {key}"))),
    }
}

/// `mergeSliceHandler`.
fn merge_lists(was: Vec<Value>, change: Vec<Value>, of: Ty<'_>) -> Result<Vec<Value>, Failure> {
    let strategy = &of.own().strategy;
    if !matches!(strategy, Strategy::Key(_) | Strategy::Scalars) {
        return Ok(change);
    }
    if was.iter().chain(&change).any(Value::is_array) {
        return Err(Failure::new(422, "Invalid", "the server rejected our request due to an error in our request"));
    }
    let before = was.clone();
    let Strategy::Key(key) = strategy else {
        let order = change.clone();
        let mut all: Vec<Value> = Vec::with_capacity(was.len() + change.len());
        for item in was.into_iter().chain(change) {
            if !all.contains(&item) {
                all.push(item);
            }
        }
        return sorted(all, &order, &before, None);
    };
    let mut merged = was;
    let mut items = Vec::with_capacity(change.len());
    let mut replace = false;
    for item in change {
        match item.get(DIRECTIVE).map(|directive| (directive, directive.as_str())) {
            None => items.push(item),
            Some((_, Some("delete"))) => {
                let gone = identity(&item, Some(key))?;
                merged.retain(|known| known.get(key) != Some(gone));
            }
            Some((_, Some("replace"))) => replace = true,
            Some((_, Some("merge"))) => return Err(plain("merging lists cannot yet be specified in the patch")),
            Some((directive, _)) => return Err(plain(format!("unknown patch type: {} in map: {item}", shown(directive)))),
        }
    }
    if replace {
        return Ok(clean_list(items));
    }
    let order = items.clone();
    for item in items {
        let wanted = identity(&item, Some(key))?;
        let known = merged.iter().position(|known| known.get(key) == Some(wanted));
        match (known, item) {
            (Some(index), Value::Object(item)) => {
                let known = merged[index].take().as_object_mut().map(std::mem::take).unwrap_or_default();
                merged[index] = Value::Object(merge_objects(known, item, of.item())?);
            }
            (_, item) => merged.extend(clean(item)),
        }
    }
    sorted(merged, &order, &before, Some(key))
}

/// Those that the patch has are in its order, and the others keep theirs, as near to where they were as can be
/// (`normalizeElementOrder`).
fn sorted(items: Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) -> Result<Vec<Value>, Failure> {
    let rank = |list: &[Value], item: &Value| -> Result<Option<usize>, Failure> {
        let wanted = identity(item, key)?;
        Ok(list.iter().position(|other| identity(other, key).is_ok_and(|other| other == wanted)))
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for item in items {
        let was = rank(before, &item)?;
        match rank(order, &item)? {
            Some(place) => ours.push((place, was, item)),
            None => theirs.push((was, item)),
        }
    }
    ours.sort_by_key(|(place, _, _)| *place);
    theirs.sort_by_key(|(was, _)| *was);
    let mut all = Vec::with_capacity(ours.len() + theirs.len());
    let mut theirs = theirs.into_iter().peekable();
    for (_, was, item) in ours {
        while let Some((Some(their), _)) = theirs.peek()
            && was.is_some_and(|was| *their < was)
        {
            all.extend(theirs.next().map(|(_, item)| item));
        }
        all.push(item);
    }
    all.extend(theirs.map(|(_, item)| item));
    Ok(all)
}

/// A value that is added, without the directives in it and without nulls; `None` if it is a directive (`removeDirectives`).
fn clean(value: Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key(DIRECTIVE) => None,
        Value::Object(object) => Some(Value::Object(clean_object(object))),
        Value::Array(items) => Some(Value::Array(clean_list(items))),
        other => Some(other),
    }
}

fn clean_list(items: Vec<Value>) -> Vec<Value> {
    items.into_iter().filter_map(clean).collect()
}

fn clean_object(object: Object) -> Object {
    let is_directive = |name: &str| name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(ELEMENT_ORDER);
    let kept = object.into_iter().filter(|(name, value)| !value.is_null() && !is_directive(name));
    kept.filter_map(|(name, value)| clean(value).map(|value| (name, value))).collect()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
