//! `OpenAPI` documents: which operations take which query parameters, and no schemas yet.
//!
//! That is what kubectl needs to leave validation to the server (`QueryParamVerifierV3`). `kubectl explain`, which reads schemas, finds none.

use serde_json::{Map, Value, json};

use crate::discovery;
use crate::resource::ResourceRef;

/// Media type of [`v2_protobuf`], which is all that client-go asks for under `/openapi/v2`.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

fn info(git_version: &str) -> Value {
    json!({"title": "Kubernetes", "version": git_version})
}

/// `/openapi/v2` in JSON, without paths or definitions.
#[must_use]
pub fn v2(git_version: &str) -> Value {
    json!({"swagger": "2.0", "info": info(git_version), "paths": {}, "definitions": {}})
}

/// The same as a protobuf message `openapi.v2.Document`.
#[must_use]
pub fn v2_protobuf(git_version: &str) -> Vec<u8> {
    // The fields are `swagger` (1) and `info` (2) with `title` (1) and `version` (2); none is longer than a one-byte length can say.
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap_or(0) & 0x7f;
        let mut bytes = vec![number << 3 | 2, length];
        bytes.extend_from_slice(&content[..usize::from(length)]);
        bytes
    };
    let info = [field(1, b"Kubernetes"), field(2, git_version.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info)].concat()
}

/// `/openapi/v3`: where the documents of the group versions are.
#[must_use]
pub fn v3_index(resources: &[ResourceRef]) -> Value {
    let mut paths = Map::new();
    let mut add = |path: String| {
        let address = format!("/openapi/v3/{path}");
        paths.insert(path, json!({"serverRelativeURL": address}));
    };
    for version in discovery::group_versions(resources, "") {
        add(format!("api/{version}"));
    }
    for group in discovery::group_names(resources) {
        for version in discovery::group_versions(resources, &group) {
            add(format!("apis/{group}/{version}"));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/api/v1` and `/openapi/v3/apis/{group}/{version}`.
#[must_use]
pub fn v3(resources: &[ResourceRef], group: &str, version: &str, git_version: &str) -> Option<Value> {
    let mut paths = Map::new();
    for resource in resources.iter().filter(|r| r.group == group && r.version(version).is_some()) {
        if !resource.verbs.contains(&"patch") {
            continue;
        }
        let prefix = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let within = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let parameters: Vec<Value> =
            [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")]
                .map(|(name, kind)| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}}))
                .to_vec();
        let kind = json!({"group": group, "version": version, "kind": resource.kind});
        let patch = json!({
            "parameters": parameters, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind,
        });
        paths.insert(format!("{prefix}{within}/{}/{{name}}", resource.plural), json!({"patch": patch}));
    }
    let served = discovery::group_versions(resources, group).iter().any(|v| v == version);
    served.then(|| json!({"openapi": "3.0.0", "info": info(git_version), "paths": paths, "components": {"schemas": {}}}))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::builtin;

    #[test]
    fn documents() {
        let all: Vec<ResourceRef> = builtin::resources().into_iter().map(Arc::new).collect();
        assert_eq!(v3_index(&all)["paths"]["apis/apps/v1"]["serverRelativeURL"], "/openapi/v3/apis/apps/v1");
        let document = v3(&all, "", "v1", "v1.33.4").unwrap();
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "", "version": "v1", "kind": "Pod"}));
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
        assert_eq!(v3(&all, "apps", "v9", "v1.33.4"), None);
        assert_eq!(v2_protobuf("v1"), b"\x0a\x032.0\x12\x10\x0a\x0aKubernetes\x12\x02v1");
    }
}
