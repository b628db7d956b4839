//! `get` and `list`. Source: apiserver `pkg/endpoints/handlers/get.go`, `pkg/storage/etcd3/store.go` for continuation.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::negotiate::{Form, Wanted, wanted};
use super::{Body, Call, bytes};
use crate::failure::Failure;
use crate::options::ListOptions;
use crate::resource::Resource;
use crate::store::Object;
use crate::table;

/// Answers with one object.
pub(super) fn get(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let id = call.id();
    let object = call.api().store().get(&id, call.namespace(), &call.info.name).ok_or_else(|| Failure::not_found(&id, &call.info.name))?;
    one(call, StatusCode::OK, &object, wanted)
}

/// One object in the form that was asked for.
pub(super) fn one(call: &Call<'_>, status: StatusCode, object: &Object, wanted: Wanted) -> Result<Response<Body>, Failure> {
    let version = &call.info.version;
    if wanted == (Wanted { form: Form::Plain, yaml: false }) && *version == call.resource.storage {
        return Ok(bytes(status, "application/json", object.bytes.clone()));
    }
    let value = call.api().served(&call.resource, version, object.value());
    let shown = match wanted.form {
        Form::Plain => value,
        Form::Metadata => metadata_only(&value, "PartialObjectMetadata"),
        Form::Table => {
            let meta = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            table::table(&call.resource, version, &[&value], include(call)?, call.api().clock().now(), meta)
        }
    };
    Ok(write(status, &shown, wanted.yaml))
}

pub(super) fn write(status: StatusCode, value: &Value, yaml: bool) -> Response<Body> {
    if yaml {
        return bytes(status, "application/yaml", serde_saphyr::to_string(value).unwrap_or_default());
    }
    super::json(status, value)
}

/// What of an object goes into the rows of a table.
pub(super) fn include(call: &Call<'_>) -> Result<table::Include, Failure> {
    table::Include::parse(call.query.get("includeObject").unwrap_or_default())
}

pub(super) fn metadata_only(value: &Value, kind: &str) -> Value {
    json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

/// What a selector lets through.
pub(super) fn selected(options: &ListOptions, object: &Object) -> bool {
    (options.label_selector.is_everything() || options.label_selector.matches_with(|key| object.label(key)))
        && (options.field_selector.is_everything() || options.field_selector.matches_with(|field| object.field(field)))
}

/// The options of a list or watch, checked.
pub(super) fn options(call: &Call<'_>) -> Result<ListOptions, Failure> {
    let mut options = ListOptions::parse(call.query)?;
    options.watch |= call.info.verb == "watch";
    // Clients of every version may ask for initial events; whoever does not know them does not ask.
    options.validate(true)?;
    options.field_selector = std::mem::take(&mut options.field_selector).check(&call.resource)?;
    if call.info.named && call.info.verb == "watch" {
        // The deprecated `/watch/` prefix names its object in the path.
        options.field_selector = crate::selector::FieldSelector::equals("metadata.name", &call.info.name);
    }
    Ok(options)
}

/// Reads a `resourceVersion`.
pub(super) fn revision(text: &str) -> Result<u64, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| Failure::bad_request(format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")))
}

/// A page of a list.
struct Page {
    revision: u64,
    objects: Vec<Arc<Object>>,
    next: Option<String>,
    remaining: Option<usize>,
}

/// Answers with a list.
pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let options = options(call)?;
    let page = page(call, &options)?;
    let mut meta = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        meta["continue"] = json!(next);
    }
    if let Some(remaining) = page.remaining {
        meta["remainingItemCount"] = json!(remaining);
    }
    let (resource, version) = (&call.resource, &call.info.version);
    if wanted == (Wanted { form: Form::Plain, yaml: false }) && *version == resource.storage {
        return Ok(bytes(StatusCode::OK, "application/json", joined(resource, version, &meta, &page.objects)));
    }
    let values: Vec<Value> = page.objects.iter().map(|o| call.api().served(resource, version, o.value())).collect();
    let shown = match wanted.form {
        Form::Plain => json!({"kind": resource.list_kind, "apiVersion": resource.api_version(version), "metadata": meta, "items": values}),
        Form::Metadata => {
            let items: Vec<Value> = values.iter().map(|v| metadata_only(v, "PartialObjectMetadata")).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items})
        }
        Form::Table => {
            let refs: Vec<&Value> = values.iter().collect();
            table::table(resource, version, &refs, include(call)?, call.api().clock().now(), meta)
        }
    };
    Ok(write(StatusCode::OK, &shown, wanted.yaml))
}

/// A list out of the stored bytes: ten thousand objects are copied once and never parsed.
fn joined(resource: &Resource, version: &str, meta: &Value, objects: &[Arc<Object>]) -> Bytes {
    let size: usize = objects.iter().map(|o| o.bytes.len() + 1).sum();
    let mut out = Vec::with_capacity(size + 256);
    let head = format!(
        r#"{{"kind":{},"apiVersion":{},"metadata":{meta},"items":["#,
        Value::from(resource.list_kind.as_str()),
        Value::from(resource.api_version(version))
    );
    out.extend_from_slice(head.as_bytes());
    for (i, object) in objects.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&object.bytes);
    }
    out.extend_from_slice(b"]}");
    out.into()
}

fn page(call: &Call<'_>, options: &ListOptions) -> Result<Page, Failure> {
    let store = call.api().store();
    let id = call.id();
    let namespace = call.namespace();
    let current = store.revision();
    let asked = revision(&options.resource_version)?;
    let from = if options.continue_token.is_empty() { None } else { Some(read_token(&options.continue_token)?) };
    if from.is_some() && asked > 0 {
        return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
    }
    let exact = options.resource_version_match == "Exact" || (asked > 0 && options.limit > 0 && options.resource_version_match.is_empty());
    let (at, all) = match &from {
        // Without a revision of its own a token goes on in the present state.
        Some((0, _)) => store.list(&id, namespace),
        Some((at, start)) => match store.list_at(&id, namespace, *at) {
            Ok(objects) => (*at, objects),
            Err(_) => return Err(too_old_token(start)),
        },
        None if asked > current => {
            let mut failure = Failure::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}"));
            failure.retry_after_seconds = 1;
            return Err(failure);
        }
        None if exact && asked > 0 => {
            let objects = store.list_at(&id, namespace, asked);
            (asked, objects.map_err(|_| Failure::expired("The resourceVersion for the provided list is too old."))?)
        }
        None => store.list(&id, namespace),
    };
    let after = |o: &Object| from.as_ref().is_none_or(|(_, start)| (&*o.namespace, &*o.name) > (start.0.as_str(), start.1.as_str()));
    let mut objects: Vec<Arc<Object>> = all.into_iter().filter(|o| after(o) && selected(options, o)).collect();
    let limit = usize::try_from(options.limit).unwrap_or(0);
    let (mut next, mut remaining) = (None, None);
    if limit > 0 && objects.len() > limit {
        let rest = objects.len() - limit;
        objects.truncate(limit);
        next = objects.last().map(|last| token(at, last));
        let unselective = options.label_selector.is_everything() && options.field_selector.is_everything();
        remaining = unselective.then_some(rest);
    }
    Ok(Page { revision: at, objects, next, remaining })
}

fn token(revision: u64, last: &Object) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{}/{}", last.namespace, last.name)}).to_string())
}

fn read_token(text: &str) -> Result<(u64, (String, String)), Failure> {
    let bad = |why: &str| Failure::bad_request(format!("continue key is not valid: {why}"));
    let decoded = URL_SAFE_NO_PAD.decode(text).map_err(|e| bad(&e.to_string()))?;
    let value: Value = serde_json::from_slice(&decoded).map_err(|e| bad(&e.to_string()))?;
    if value["v"] != "meta.k8s.io/v1" {
        return Err(bad(&format!("server does not recognize this encoded version {}", value["v"])));
    }
    let start = value["start"].as_str().unwrap_or_default();
    let (namespace, name) = start.split_once('/').ok_or_else(|| bad(&format!("it holds no key: {start}")))?;
    Ok((value["rv"].as_u64().unwrap_or(0), (namespace.to_owned(), name.to_owned())))
}

/// What a client needs to go on without a consistent view, if it likes.
fn too_old_token((namespace, name): &(String, String)) -> Failure {
    let go_on = URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": 0, "start": format!("{namespace}/{name}")}).to_string());
    let mut failure = Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue \
         parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and \
         now may show up in the list.",
    );
    failure.continue_token = go_on;
    failure
}
