//! `create`, `update`, `patch`, `delete`, `deletecollection` over HTTP. Source: apiserver `pkg/endpoints/handlers/{create,update,patch,delete}.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::negotiate::{body, json as json_body, object, wanted, yaml};
use super::read::{one, options, selected};
use super::{Body, Call, json};
use crate::api::{Delete, Deleted, Part, Write};
use crate::auth::rbac::rules_of;
use crate::failure::Failure;
use crate::options::WriteOptions;
use crate::patch::{self, Apply};
use crate::store::Object;

/// The group of roles and bindings, whose writers may not give more than they have.
const RBAC: &str = "rbac.authorization.k8s.io";

impl Call<'_> {
    fn part(&self) -> Part {
        if self.info.subresource == "status" { Part::Status } else { Part::Main }
    }

    /// The field manager: what the client says, or else the first word of its `User-Agent`. Source: apiserver `managerOrUserAgent`.
    fn manager(&self, options: &WriteOptions) -> String {
        if !options.field_manager.is_empty() {
            return options.field_manager.clone();
        }
        let agent = self.request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let word: String = agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(128).collect();
        if word.is_empty() { "unknown".to_owned() } else { word }
    }

    fn write<'b>(&'b self, name: &'b str, manager: &'b str, dry_run: bool) -> Write<'b> {
        Write {
            resource: &self.resource,
            version: &self.info.version,
            namespace: self.namespace(),
            name,
            part: self.part(),
            manager,
            dry_run,
        }
    }

    /// Nobody grants what they do not have. Source: `pkg/registry/rbac/*/policybased/storage.go`.
    fn check_escalation(&self, value: &Value) -> Result<(), Failure> {
        // What is no object is refused as such later.
        if self.resource.group != RBAC || self.user.is_superuser() || !value.is_object() || !is_map(&value["metadata"]) {
            return Ok(());
        }
        let policy = self.api().policy();
        if self.resource.plural.ends_with("roles") {
            return policy.may_write_role(self.user, self.resource.plural == "clusterroles", value);
        }
        let mut named = value.clone();
        if self.resource.namespaced {
            named["metadata"]["namespace"] = json!(self.namespace());
        }
        let reference = &named["roleRef"];
        let role_name = reference["name"].as_str().unwrap_or_default();
        let rules = if reference["kind"] == "ClusterRole" {
            let all: Vec<Value> =
                self.api().store().list("clusterroles.rbac.authorization.k8s.io", "").1.iter().map(|o| o.value()).collect();
            let by_name: BTreeMap<&str, &Value> = all.iter().filter_map(|r| Some((r["metadata"]["name"].as_str()?, r))).collect();
            by_name.get(role_name).map(|role| rules_of(role, &by_name)).unwrap_or_default()
        } else {
            let role = self.api().read("roles.rbac.authorization.k8s.io", self.namespace(), role_name);
            role.map(|role| rules_of(&role, &BTreeMap::new())).unwrap_or_default()
        };
        policy.may_write_binding(self.user, &named, &rules)
    }
}

fn is_map(value: &Value) -> bool {
    value.is_object() || value.is_null()
}

/// Creates from a body.
pub(super) fn create(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let options = WriteOptions::parse(call.query)?;
    options.validate(crate::options::Write::Create)?;
    let value = body(call.request.headers(), call.request.body())?;
    call.check_escalation(&value)?;
    let manager = call.manager(&options);
    let object = call.api().create(&call.write("", &manager, options.is_dry_run()), value)?;
    one(call, StatusCode::CREATED, &object, wanted)
}

/// Replaces with a body.
pub(super) fn update(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let options = WriteOptions::parse(call.query)?;
    options.validate(crate::options::Write::Update)?;
    let value = body(call.request.headers(), call.request.body())?;
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err(Failure::bad_request("name must be provided"));
    }
    call.check_escalation(&value)?;
    let manager = call.manager(&options);
    let object = call.api().update(&call.write(&call.info.name, &manager, options.is_dry_run()), |_| Ok(value.clone()))?;
    one(call, StatusCode::OK, &object, wanted)
}

/// Patches in one of the four ways.
pub(super) fn patch(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let options = WriteOptions::parse(call.query)?;
    let content_type = call.request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind == "application/apply-patch+yaml" {
        options.validate(crate::options::Write::Apply)?;
        let (status, object) = apply(call, &options)?;
        return one(call, status, &object, wanted);
    }
    options.validate(crate::options::Write::Patch)?;
    let change: Value = json_body(call.request.body())?;
    let manager = call.manager(&options);
    let schema = call.api().schema(&call.resource, &call.info.version);
    let object = call.api().update(&call.write(&call.info.name, &manager, options.is_dry_run()), |mut value| {
        match kind {
            "application/merge-patch+json" => patch::merge(&mut value, &change),
            "application/json-patch+json" => patch::json(&mut value, &change)?,
            "application/strategic-merge-patch+json" if call.resource.custom => return Err(unsupported(kind, true)),
            "application/strategic-merge-patch+json" => patch::strategic(&mut value, &change, &schema)?,
            _ => return Err(unsupported(kind, call.resource.custom)),
        }
        call.check_escalation(&value)?;
        Ok(value)
    })?;
    one(call, StatusCode::OK, &object, wanted)
}

fn unsupported(kind: &str, custom: bool) -> Failure {
    let strategic = if custom { "" } else { "application/strategic-merge-patch+json, " };
    Failure::unsupported_media_type(format!(
        "the body of the request was in an unknown format ({kind}) - accepted media types include: application/json-patch+json, \
         application/merge-patch+json, {strategic}application/apply-patch+yaml"
    ))
}

/// Server-side apply; it creates what is not there.
fn apply(call: &Call<'_>, options: &WriteOptions) -> Result<(StatusCode, Arc<Object>), Failure> {
    let applied = object(yaml(call.request.body())?)?;
    if !is_map(&applied["metadata"]) {
        return Err(Failure::bad_request("metadata is not an object"));
    }
    call.check_escalation(&applied)?;
    let (id, name) = (call.id(), call.info.name.as_str());
    let schema = call.api().schema(&call.resource, &call.info.version);
    let now = call.api().clock().stamp();
    let request = Apply {
        manager: &options.field_manager,
        force: options.force.unwrap_or_default(),
        api_version: &call.resource.api_version(&call.info.version),
        subresource: &call.info.subresource,
        now: &now,
    };
    let has = &applied["metadata"]["name"];
    if has.as_str().is_some_and(|n| n != name) {
        let message = format!("the name of the object ({}) does not match the name on the URL ({name})", has.as_str().unwrap_or_default());
        return Err(Failure::bad_request(message));
    }
    // Whoever applies is already in the bookkeeping when the write comes to it.
    let write = call.write(name, "", options.is_dry_run());
    loop {
        if call.api().store().get(&id, call.namespace(), name).is_some() {
            let updated = call.api().update(&write, |live| patch::apply(Some(&live), &applied, &request, &schema));
            match updated {
                Err(failure) if failure.reason == "NotFound" => {}
                updated => return Ok((StatusCode::OK, updated?)),
            }
        }
        if call.info.subresource == "status" {
            return Err(Failure::not_found(&id, name));
        }
        let mut value = patch::apply(None, &applied, &request, &schema)?;
        value["metadata"]["name"] = json!(name);
        match call.api().create(&Write { name: "", ..write.clone() }, value) {
            // Somebody else was faster: apply to theirs.
            Err(failure) if failure.reason == "AlreadyExists" => {}
            created => return Ok((StatusCode::CREATED, created?)),
        }
    }
}

/// The options of a deletion: the body's, or without one those of the query.
fn delete_options(call: &Call<'_>) -> Result<Delete, Failure> {
    let given = if call.request.body().is_empty() {
        let query = WriteOptions::parse(call.query)?;
        let mut given = json!({"dryRun": query.dry_run});
        if let Some(policy) = query.propagation_policy {
            given["propagationPolicy"] = json!(policy);
        }
        if let Some(seconds) = query.grace_period_seconds {
            given["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(orphan) = query.orphan_dependents {
            given["orphanDependents"] = json!(orphan);
        }
        given
    } else {
        object(body(call.request.headers(), call.request.body())?)?
    };
    let dry_run: Vec<String> = given["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let options = WriteOptions {
        dry_run,
        propagation_policy: given["propagationPolicy"].as_str().filter(|p| !p.is_empty()).map(str::to_owned),
        orphan_dependents: given["orphanDependents"].as_bool(),
        ..WriteOptions::default()
    };
    options.validate(crate::options::Write::Delete)?;
    Delete::read(&given)
}

/// Deletes one object.
pub(super) fn delete(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let deletion = delete_options(call)?;
    match call.api().delete(&call.resource, (call.namespace(), &call.info.name), &deletion)? {
        Deleted::Marked(object) => one(call, StatusCode::OK, &object, wanted),
        Deleted::Gone(object) => {
            let mut details = json!({"name": *object.name, "kind": call.resource.plural, "uid": *object.uid});
            if !call.resource.group.is_empty() {
                details["group"] = json!(call.resource.group);
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            Ok(json(StatusCode::OK, &status))
        }
    }
}

/// Deletes everything that a selector lets through.
pub(super) fn delete_collection(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let options = options(call)?;
    let deletion = delete_options(call)?;
    let (at, objects) = call.api().store().list(&call.id(), call.namespace());
    let mut items = Vec::new();
    for object in objects.iter().filter(|o| selected(&options, o)) {
        match call.api().delete(&call.resource, (&object.namespace, &object.name), &deletion) {
            Err(failure) if failure.reason == "NotFound" => {}
            deleted => {
                deleted?;
                items.push(call.api().served(&call.resource, &call.info.version, object.value()));
            }
        }
    }
    let list = json!({
        "kind": call.resource.list_kind,
        "apiVersion": call.resource.api_version(&call.info.version),
        "metadata": {"resourceVersion": at.to_string()},
        "items": items,
    });
    Ok(json(StatusCode::OK, &list))
}

/// A pod's binding to a node, as schedulers write it.
pub(super) fn bind(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let value = body(call.request.headers(), call.request.body())?;
    let node = value["target"]["name"].as_str().unwrap_or_default().to_owned();
    if node.is_empty() {
        return Err(Failure::bad_request("target.name: Required value"));
    }
    let now = call.api().clock().stamp();
    let name = call.info.name.as_str();
    let write = Write::own(&call.resource, call.namespace(), name, Part::Trusted);
    call.api().update(&write, |mut pod| {
        if let Some(has) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
            return Err(Failure::conflict("pods/binding", name, &format!("pod {name} is already assigned to node {has:?}")));
        }
        pod["spec"]["nodeName"] = json!(node);
        let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        match pod["status"]["conditions"].as_array_mut() {
            Some(conditions) => {
                conditions.retain(|c| c["type"] != "PodScheduled");
                conditions.push(condition);
            }
            None => pod["status"]["conditions"] = json!([condition]),
        }
        Ok(pod)
    })?;
    Ok(success())
}

/// Eviction: a deletion that budgets may forbid. Source: `pkg/registry/core/pod/storage/eviction.go`.
pub(super) fn evict(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let value = body(call.request.headers(), call.request.body())?;
    let name = call.info.name.as_str();
    let pod = call.api().store().get("pods", call.namespace(), name).ok_or_else(|| Failure::not_found("pods", name))?;
    let (_, budgets) = call.api().store().list("poddisruptionbudgets.policy", call.namespace());
    for budget in budgets {
        let budget = budget.value();
        let selector = crate::selector::LabelSelector::from_object(&budget["spec"]["selector"]).unwrap_or_default();
        if selector.matches_with(|k| pod.label(k)) && budget["status"]["disruptionsAllowed"].as_i64() == Some(0) {
            let why = "Cannot evict pod as it would violate the pod's disruption budget.";
            let mut failure = Failure::new(429, "TooManyRequests", why);
            failure.retry_after_seconds = 10;
            return Err(failure);
        }
    }
    let deletion = Delete::read(&value["deleteOptions"])?;
    call.api().delete(&call.resource, (call.namespace(), name), &deletion)?;
    Ok(success())
}

/// The finalizers of a namespace.
pub(super) fn finalize(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let wanted = wanted(call.request.headers())?;
    let value = body(call.request.headers(), call.request.body())?;
    let write = Write::own(&call.resource, "", &call.info.name, Part::Trusted);
    let object = call.api().update(&write, |mut namespace| {
        namespace["spec"]["finalizers"] = value["spec"]["finalizers"].clone();
        Ok(namespace)
    })?;
    one(call, StatusCode::OK, &object, wanted)
}

fn success() -> Response<Body> {
    json(StatusCode::CREATED, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}
