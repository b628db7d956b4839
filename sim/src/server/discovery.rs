//! Everything that is no resource: discovery, the version, health, keys.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::json;

use super::{Body, Server, json as answer_json, text};
use crate::discovery;
use crate::failure::Failure;
use crate::openapi;
use crate::path::Query;

/// Answers a path.
pub(super) fn answer(server: &Server, path: &str, query: &Query, request: &Request<Bytes>) -> Result<Response<Body>, Failure> {
    if !matches!(*request.method(), http::Method::GET | http::Method::HEAD) {
        return Err(Failure::method_not_allowed());
    }
    let api = server.api();
    let registry = api.registry();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ok = |value: &serde_json::Value| Ok(answer_json(StatusCode::OK, value));
    match parts[..] {
        ["version"] => ok(&discovery::version(api.version())),
        ["healthz" | "livez" | "readyz", ..] => {
            let verbose = query.get("verbose").is_some();
            let said = if verbose { format!("[+]ping ok\n[+]etcd ok\n{} check passed\n", parts[0]) } else { "ok".to_owned() };
            Ok(text(StatusCode::OK, said))
        }
        ["api" | "apis"] => {
            let core = parts[0] == "api";
            let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let Some(version) = aggregated_version(accept) else {
                return ok(&if core {
                    discovery::api_versions(registry.all(), &host(request))
                } else {
                    discovery::group_list(registry.all())
                });
            };
            let mut response = answer_json(StatusCode::OK, &discovery::aggregated(registry.all(), core, version));
            let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            if let Ok(value) = http::HeaderValue::from_str(&content_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, value);
            }
            Ok(response)
        }
        ["api", version] => discovery::resource_list(registry.all(), "", version).map_or_else(|| Err(Failure::no_such_path()), |v| ok(&v)),
        ["apis", group] => discovery::group(registry.all(), group).map_or_else(|| Err(Failure::no_such_path()), |v| ok(&v)),
        ["apis", group, version] => {
            discovery::resource_list(registry.all(), group, version).map_or_else(|| Err(Failure::no_such_path()), |v| ok(&v))
        }
        ["openapi", "v2"] => {
            let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            if accept.contains("com.github.proto-openapi.spec.v2") {
                return Ok(super::bytes(StatusCode::OK, openapi::V2_PROTOBUF, openapi::v2_protobuf(api.version())));
            }
            ok(&openapi::v2(api.version()))
        }
        ["openapi", "v3"] => ok(&openapi::v3_index(registry.all())),
        ["openapi", "v3", "api", version] => v3(server, "", version),
        ["openapi", "v3", "apis", group, version] => v3(server, group, version),
        [".well-known", "openid-configuration"] => ok(&api.signer().discovery(&host(request))),
        ["openid", "v1", "jwks"] => ok(&api.signer().jwks()),
        ["metrics"] => {
            let (requests, revision) = (server.requests(), api.store().revision());
            Ok(text(
                StatusCode::OK,
                format!(
                    "# TYPE apiserver_request_total counter\napiserver_request_total {requests}\n\
                     # TYPE sim_store_revision gauge\nsim_store_revision {revision}\n"
                ),
            ))
        }
        [""] => ok(&json!({"paths": paths(server)})),
        _ => Err(Failure::no_such_path()),
    }
}

/// The version of aggregated discovery that a client accepts before anything else that can be served.
fn aggregated_version(accept: &str) -> Option<&'static str> {
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        if parts.next() != Some("application/json") {
            continue;
        }
        let parameters: Vec<&str> = parts.filter(|p| !p.starts_with("q=")).collect();
        if parameters.is_empty() {
            return None;
        }
        if !parameters.contains(&"as=APIGroupDiscoveryList") || !parameters.contains(&"g=apidiscovery.k8s.io") {
            continue;
        }
        if let Some(version) = ["v2", "v2beta1"].into_iter().find(|v| parameters.contains(&format!("v={v}").as_str())) {
            return Some(version);
        }
    }
    None
}

/// Where the client found us, as it says itself.
fn host(request: &Request<Bytes>) -> String {
    let header = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    header.map(str::to_owned).or_else(|| Some(request.uri().authority()?.to_string())).unwrap_or_else(|| "localhost".to_owned())
}

fn v3(server: &Server, group: &str, version: &str) -> Result<Response<Body>, Failure> {
    let document = openapi::v3(server.api().registry().all(), group, version, server.api().version());
    document.map(|d| answer_json(StatusCode::OK, &d)).ok_or_else(Failure::no_such_path)
}

/// Every path that `/` lists.
fn paths(server: &Server) -> Vec<String> {
    let registry = server.api().registry();
    let fixed =
        ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3"];
    let mut paths: Vec<String> = fixed.into_iter().chain(["/openid/v1/jwks", "/readyz", "/version"]).map(str::to_owned).collect();
    for group in discovery::group_names(registry.all()).into_iter().filter(|g| !g.is_empty()) {
        paths.extend(discovery::group_versions(registry.all(), &group).into_iter().map(|v| format!("/apis/{group}/{v}")));
        paths.push(format!("/apis/{group}"));
    }
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_discovery_is_for_those_who_ask_first() {
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
            application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(aggregated_version(aggregated), Some("v2"));
        assert_eq!(aggregated_version("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"), Some("v2beta1"));
        assert_eq!(aggregated_version("application/json"), None);
        assert_eq!(aggregated_version("application/json, */*"), None);
    }
}
