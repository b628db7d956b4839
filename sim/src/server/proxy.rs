//! The proxy subresource of services, pods and nodes. Source: apiserver `pkg/registry/core/{service,pod,node}/rest`, apimachinery `pkg/util/proxy`.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::Value;

use super::{Body, Call, text};
use crate::failure::Failure;
use crate::workload::{Request, Unreachable};

/// Headers that concern one hop, or were for the API server itself: after authentication it takes its own credential off.
const NOT_PASSED_ON: [&str; 10] = [
    "authorization",
    "connection",
    "host",
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// `[scheme:]name[:port]`.
struct Reference<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Reference<'a> {
    /// Source: apimachinery `SplitSchemeNamePort`.
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme @ ("http" | "https" | ""), name, port] => (scheme, name, port),
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { scheme, name, port })
    }
}

/// Where a request goes in the end.
struct Destination {
    address: String,
    port: u16,
}

/// Passes a request on.
pub(super) async fn answer(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let id = call.id();
    let asked = call.info.name.as_str();
    let what = id.trim_end_matches('s');
    let reference = Reference::parse(asked).ok_or_else(|| Failure::bad_request(format!("invalid {what} request {asked:?}")))?;
    match id.as_str() {
        "nodes" => node(call, &reference),
        "services" => {
            let to = service(call, &reference)?;
            pass_on(call, &to, reference.scheme == "https").await
        }
        "pods" => {
            let to = pod(call, &reference)?;
            pass_on(call, &to, reference.scheme == "https").await
        }
        _ => Err(Failure::no_such_path()),
    }
}

fn node(call: &Call<'_>, reference: &Reference<'_>) -> Result<Response<Body>, Failure> {
    let name = reference.name;
    let node = call.api().read("nodes", "", name).ok_or_else(|| Failure::not_found("nodes", name))?;
    let address = address(&node);
    let port = if reference.port.is_empty() { "10250" } else { reference.port };
    if let Err(why) = call.server.0.nodes.healthz(name) {
        return Err(unreachable(&why));
    }
    if port != "10250" {
        return Err(unreachable(&format!("dial tcp {address}:{port}: connect: connection refused")));
    }
    match call.info.subpath.trim_end_matches('/') {
        "/healthz" | "/healthz/ping" | "/healthz/syncloop" => Ok(text(StatusCode::OK, "ok")),
        "/pods" => {
            let (_, pods) = call.api().store().list("pods", "");
            let items: Vec<Value> = pods.iter().filter(|p| p.field("spec.nodeName") == Some(name)).map(|p| p.value()).collect();
            Ok(super::json(StatusCode::OK, &serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})))
        }
        _ => Ok(text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

/// Where a node's kubelet is reached, which in kind is its internal address.
pub(super) fn address(node: &Value) -> &str {
    let addresses = node["status"]["addresses"].as_array();
    let internal = addresses.into_iter().flatten().find(|a| a["type"] == "InternalIP").and_then(|a| a["address"].as_str());
    internal.or_else(|| node["metadata"]["name"].as_str()).unwrap_or_default()
}

fn pod(call: &Call<'_>, reference: &Reference<'_>) -> Result<Destination, Failure> {
    let (namespace, name) = (call.namespace(), reference.name);
    let pod = call.api().read("pods", namespace, name).ok_or_else(|| Failure::not_found("pods", name))?;
    let containers = pod["spec"]["containers"].as_array();
    let mut ports = containers.into_iter().flatten().flat_map(|c| c["ports"].as_array().into_iter().flatten());
    let port = if reference.port.is_empty() {
        ports.next().and_then(|p| p["containerPort"].as_u64()).unwrap_or(80).to_string()
    } else {
        let named = ports.find(|p| p["name"] == reference.port).and_then(|p| p["containerPort"].as_u64());
        named.map_or_else(|| reference.port.to_owned(), |n| n.to_string())
    };
    let port = port.parse().map_err(|_| Failure::bad_request(format!("invalid pod request {:?}", call.info.name)))?;
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    if address.is_empty() {
        return Err(Failure::bad_request("address not allowed"));
    }
    Ok(Destination { address: address.to_owned(), port })
}

/// One ready endpoint of a service. Source: `pkg/registry/core/service/storage/storage.go` `ResourceLocation`.
fn service(call: &Call<'_>, reference: &Reference<'_>) -> Result<Destination, Failure> {
    let namespace = call.namespace();
    let service = call.api().read("services", namespace, reference.name).ok_or_else(|| Failure::not_found("services", reference.name))?;
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let none = || Failure::unavailable(format!("no endpoints available for service {:?}", call.info.name));
    let port = match reference.port {
        "" => ports.first(),
        asked => ports.iter().find(|p| p["name"] == asked || p["port"].as_u64().is_some_and(|n| n.to_string() == asked)),
    };
    let port =
        port.ok_or_else(|| Failure::unavailable(format!("no service port {:?} found for service {:?}", reference.port, reference.name)))?;
    let wanted = port["name"].as_str().unwrap_or_default();
    let (_, slices) = call.api().store().list("endpointslices.discovery.k8s.io", namespace);
    for slice in slices.iter().filter(|s| s.label("kubernetes.io/service-name") == Some(reference.name)).map(|s| s.value()) {
        let ports = slice["ports"].as_array();
        let Some(number) = ports
            .into_iter()
            .flatten()
            .find(|p| p["name"].as_str().unwrap_or_default() == wanted)
            .and_then(|p| u16::try_from(p["port"].as_u64()?).ok())
        else {
            continue;
        };
        let ready = slice["endpoints"].as_array().into_iter().flatten().find(|e| e["conditions"]["ready"] == true);
        if let Some(endpoint) = ready {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            return Ok(Destination { address: text(&endpoint["addresses"][0]), port: number });
        }
    }
    Err(none())
}

async fn pass_on(call: &Call<'_>, to: &Destination, tls: bool) -> Result<Response<Body>, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in call.request.headers() {
        if !NOT_PASSED_ON.contains(&name.as_str()) && !name.as_str().starts_with("impersonate-extra-") {
            headers.append(name.clone(), value.clone());
        }
    }
    let path = if call.info.subpath.is_empty() { "/" } else { &call.info.subpath };
    let path = if call.query.raw().is_empty() { path.to_owned() } else { format!("{path}?{}", call.query.raw()) };
    let request = Request { port: to.port, tls, method: call.request.method().clone(), path, headers, body: call.request.body().clone() };
    let target = format!("dial tcp {}:{}", to.address, to.port);
    match call.server.0.nodes.answer(&to.address, request).await {
        Ok(response) => Ok(answered(response)),
        Err(Unreachable::Refused) => Err(unreachable(&format!("{target}: {}", Unreachable::Refused))),
        Err(Unreachable::Silent) => Err(unreachable(&format!("{target}: i/o timeout"))),
        Err(other) => Err(unreachable(&other.to_string())),
    }
}

fn answered(response: Response<Bytes>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    for one_hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        parts.headers.remove(one_hop);
    }
    Response::from_parts(parts, Body::from(body))
}

fn unreachable(why: &str) -> Failure {
    Failure::unavailable(format!("error trying to reach service: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_as_the_api_server_splits_them() {
        let split = |text: &'static str| Reference::parse(text).map(|r| (r.scheme, r.name, r.port));
        assert_eq!(split("https:kubernetes-dashboard:"), Some(("https", "kubernetes-dashboard", "")));
        assert_eq!(split("web"), Some(("", "web", "")));
        assert_eq!(split("web:8080"), Some(("", "web", "8080")));
        assert_eq!(split("https:web:web"), Some(("https", "web", "web")));
        assert_eq!(split("ftp:web:1"), None);
        assert_eq!(split("a:b:c:d"), None);
        assert_eq!(split(""), None);
    }
}
