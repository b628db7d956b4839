//! Objects that are questions: who is this token, may they do that; and tokens themselves. Source: kubernetes
//! `pkg/registry/{authentication,authorization}` and `pkg/registry/core/serviceaccount/storage/token.go`.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::negotiate::{body, object};
use super::{Body, Call, json};
use crate::auth::identity::User;
use crate::auth::rbac::Attributes;
use crate::auth::token::{Grant, ISSUER, ObjectRef, check_lifetime, lifetime};
use crate::failure::Failure;
use crate::resource::Resource;

/// Whether creating such an object only asks something.
pub(super) fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a question.
pub(super) fn answer(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let mut review = object(body(call.request.headers(), call.request.body())?)?;
    review["apiVersion"] = json!(call.resource.api_version(&call.info.version));
    review["kind"] = json!(call.resource.kind);
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    let spec = review["spec"].clone();
    review["status"] = match call.resource.plural.as_str() {
        "tokenreviews" => token_review(call, &spec)?,
        "selfsubjectreviews" => json!({"userInfo": call.user.info()}),
        "selfsubjectaccessreviews" => access(call, call.user, &spec)?,
        "subjectaccessreviews" => access(call, &subject(&spec)?, &spec)?,
        "localsubjectaccessreviews" => {
            let asked = spec["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
            if asked != call.namespace() {
                return Err(Failure::bad_request("spec.resourceAttributes.namespace must match metadata.namespace"));
            }
            access(call, &subject(&spec)?, &spec)?
        }
        "selfsubjectrulesreviews" => call.api().policy().rules_for(call.user, spec["namespace"].as_str().unwrap_or_default()),
        _ => return Err(Failure::no_such_path()),
    };
    Ok(json(StatusCode::CREATED, &review))
}

fn token_review(call: &Call<'_>, spec: &Value) -> Result<Value, Failure> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Failure::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> = spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(match call.api().authenticate(token, &audiences) {
        Ok((user, verified)) => json!({"authenticated": true, "user": user.info(), "audiences": verified.audiences}),
        Err(rejection) => json!({"user": {}, "error": rejection.to_string()}),
    })
}

fn subject(spec: &Value) -> Result<User, Failure> {
    let name = spec["user"].as_str().unwrap_or_default();
    let groups: Vec<&str> = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if name.is_empty() && groups.is_empty() {
        let message = "Invalid value: \"\": at least one of user or group must be specified".to_owned();
        let cause = crate::failure::Cause { reason: "FieldValueInvalid", message, field: "spec.user".into() };
        return Err(Failure::invalid("SubjectAccessReview.authorization.k8s.io", "", vec![cause]));
    }
    let mut user = User::new(name, &groups);
    for (key, values) in spec["extra"].as_object().into_iter().flatten() {
        let values = values.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        user.extra.insert(key.clone(), values);
    }
    Ok(user)
}

fn access(call: &Call<'_>, user: &User, spec: &Value) -> Result<Value, Failure> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let attributes = match (resource.is_object(), path.is_object()) {
        (true, false) => Attributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            version: text(&resource["version"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            name: text(&resource["name"]),
            namespace: text(&resource["namespace"]),
            path: String::new(),
        },
        (false, true) => Attributes::path(&text(&path["verb"]), &text(&path["path"])),
        _ => {
            let message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified".to_owned();
            let cause = crate::failure::Cause { reason: "FieldValueInvalid", message, field: "spec.resourceAttributes".into() };
            return Err(Failure::invalid(&call.resource.group_kind(), "", vec![cause]));
        }
    };
    let decision = call.api().policy().allows(user, &attributes);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    Ok(status)
}

/// `TokenRequest`: a token for a `ServiceAccount`.
pub(super) fn token(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let mut request = object(body(call.request.headers(), call.request.body())?)?;
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    let (namespace, name) = (call.namespace(), call.info.name.as_str());
    let account = call.api().store().get("serviceaccounts", namespace, name).ok_or_else(|| Failure::not_found("serviceaccounts", name))?;
    let spec = request["spec"].clone();
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(crate::auth::token::DEFAULT_LIFETIME);
    check_lifetime(seconds).map_err(|cause| Failure::invalid("TokenRequest.authentication.k8s.io", "", vec![cause]))?;
    let mut audiences: Vec<String> =
        spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let mut bound = bound(call, &spec["boundObjectRef"])?;
    let (seconds, warn_after) = lifetime(seconds, &audiences, bound.contains_key("Pod"));
    let now = call.api().clock().now();
    let grant = Grant {
        namespace: namespace.to_owned(),
        account: ObjectRef::new(name, &account.uid),
        pod: bound.remove("Pod"),
        secret: bound.remove("Secret"),
        node: bound.remove("Node"),
        audiences: audiences.clone(),
        issued_at: now.as_second(),
        lifetime: seconds,
        warn_after,
    };
    let token = call.api().signer().issue(&grant);
    let expires = now + std::time::Duration::from_secs(seconds.unsigned_abs());
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    request["kind"] = json!("TokenRequest");
    request["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": crate::clock::stamp(now)});
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": token, "expirationTimestamp": crate::clock::stamp(expires)});
    Ok(json(StatusCode::CREATED, &request))
}

/// What a token shall live no longer than; a pod's node comes along.
fn bound(call: &Call<'_>, reference: &Value) -> Result<BTreeMap<&'static str, ObjectRef>, Failure> {
    let mut bound = BTreeMap::new();
    if reference.is_null() {
        return Ok(bound);
    }
    let name = reference["name"].as_str().unwrap_or_default();
    let (kind, resource, namespace) = match reference["kind"].as_str() {
        Some("Pod") => ("Pod", "pods", call.namespace()),
        Some("Secret") => ("Secret", "secrets", call.namespace()),
        Some("Node") => ("Node", "nodes", ""),
        other => {
            let message = format!("cannot bind token for serviceaccount {:?} to kind {:?}", call.info.name, other.unwrap_or_default());
            return Err(Failure::bad_request(message));
        }
    };
    let found = call.api().store().get(resource, namespace, name).ok_or_else(|| Failure::not_found(resource, name))?;
    if let Some(uid) = reference["uid"].as_str().filter(|u| !u.is_empty() && **u != *found.uid) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Failure::conflict(resource, name, &why));
    }
    if kind == "Pod" {
        let pod = found.value();
        if let Some(node) = pod["spec"]["nodeName"].as_str()
            && let Some(node) = call.api().store().get("nodes", "", node)
        {
            bound.insert("Node", ObjectRef::new(&node.name, &node.uid));
        }
    }
    bound.insert(kind, ObjectRef::new(name, &found.uid));
    Ok(bound)
}
