//! The files that make a kind cluster use mirrors and a proxy: pure functions of the spec, so that `plan` prints what `up` writes.

use std::fmt::Write as _;
use std::path::Path;

use crate::spec::catalog::DocumentedRole;
use crate::spec::{HostCapability, MirrorHost, MirrorSpec, Spec};

/// A registry name that can exist nowhere (RFC 6761); its `hosts.toml` points at an address of the node itself where nothing listens. A pull
/// of it fails, and the error tells whether containerd read the file.
pub const CANARY_REGISTRY: &str = "meshproof.invalid";
/// Where the canary's `hosts.toml` points.
pub const CANARY_SERVER: &str = "http://127.0.0.1:9";

/// The path of the drop-in on a node (guide 2.1.2).
pub const DROP_IN_PATH: &str = "/etc/systemd/system/containerd.service.d/http-proxy.conf";

/// The kind configuration of guide 2.1.1, with the session's own `certs.d` as an absolute path: kind resolves relative ones against its
/// working directory.
#[must_use]
pub fn kind_config(spec: &Spec, certs_dir: &Path) -> String {
    let cluster = &spec.cluster;
    let mut out = format!("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: {}\nnodes:\n", cluster.name);
    for (_, role) in expected_nodes(spec) {
        // JSON strings are YAML strings, whatever characters a path holds.
        let image = serde_json::Value::from(cluster.node_image.as_str());
        let host = serde_json::Value::from(certs_dir.to_string_lossy());
        let inside = serde_json::Value::from(cluster.config_path.as_str());
        let _ = write!(
            out,
            "  - role: {role}\n    image: {image}\n    extraMounts:\n      - hostPath: {host}\n        containerPath: {inside}\n"
        );
    }
    out.push_str("containerdConfigPatches:\n  - |-\n");
    for line in containerd_patch(spec).lines() {
        let _ = writeln!(out, "    {line}");
    }
    out
}

/// What is merged into containerd's configuration on every node, so that it reads `certs.d` (guide 2.1.1).
#[must_use]
pub fn containerd_patch(spec: &Spec) -> String {
    format!("[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = {}\n", toml_string(&spec.cluster.config_path))
}

/// The context that kind writes into a kubeconfig for a cluster.
#[must_use]
pub fn kube_context(cluster_name: &str) -> String {
    format!("kind-{cluster_name}")
}

/// The names that kind gives to the nodes of the spec, with their roles.
#[must_use]
pub fn expected_nodes(spec: &Spec) -> Vec<(String, &'static str)> {
    let of = |role: DocumentedRole, count: u32| (1..=count).map(move |i| (role.container_name(&spec.cluster.name, i), role.as_str()));
    of(DocumentedRole::ControlPlane, spec.cluster.control_planes).chain(of(DocumentedRole::Worker, spec.cluster.workers)).collect()
}

/// The directory of a registry below `certs.d`. A port is written the way that containerd looks for first on every system.
#[must_use]
pub fn registry_dir(registry: &str) -> String {
    match registry.rsplit_once(':') {
        Some((host, port)) => format!("{host}_{port}_"),
        None => registry.to_owned(),
    }
}

/// One `hosts.toml`: containerd tries the hosts in file order, then the server. Source: containerd `docs/hosts.md`.
///
/// The guide's own file has a `proxy` table below the host, which no containerd knows; it is left out, and the proxy goes into the
/// systemd drop-in alone (defect D1).
#[must_use]
pub fn hosts_toml(mirror: &MirrorSpec) -> String {
    let mut out = String::new();
    if let Some(server) = &mirror.server {
        let _ = writeln!(out, "server = {}", toml_string(server));
    }
    // containerd 1.x takes a file without any host table for damaged, so a server alone is also named as a host.
    let only_server = mirror.server.iter().filter(|_| mirror.hosts.is_empty()).map(|url| MirrorHost {
        url: url.clone(),
        capabilities: vec![HostCapability::Pull, HostCapability::Resolve],
        skip_verify: false,
        override_path: false,
    });
    for host in mirror.hosts.iter().cloned().chain(only_server) {
        let capabilities: Vec<&str> = host
            .capabilities
            .iter()
            .map(|c| match c {
                HostCapability::Pull => "\"pull\"",
                HostCapability::Resolve => "\"resolve\"",
                HostCapability::Push => "\"push\"",
            })
            .collect();
        let _ = write!(out, "\n[host.{}]\n  capabilities = [{}]\n", toml_string(&host.url), capabilities.join(", "));
        if host.skip_verify {
            out.push_str("  skip_verify = true\n");
        }
        if host.override_path {
            out.push_str("  override_path = true\n");
        }
    }
    out
}

/// Every `hosts.toml` of the spec and the canary's, by its path below `certs.d`.
#[must_use]
pub fn certs_files(spec: &Spec) -> Vec<(String, String)> {
    let canary = MirrorSpec { server: Some(CANARY_SERVER.to_owned()), hosts: Vec::new() };
    let canary = (format!("{CANARY_REGISTRY}/hosts.toml"), hosts_toml(&canary));
    spec.mirrors.iter().map(|(name, mirror)| (format!("{}/hosts.toml", registry_dir(name)), hosts_toml(mirror))).chain([canary]).collect()
}

/// `NO_PROXY` as the drop-in gets it: the spec's entries, then what pulls on kind need besides: the hosts of the mirrors, since a plain-HTTP
/// mirror would itself be asked for through the proxy; the node names; and the suffixes that `*.svc` does not cover.
#[must_use]
pub fn no_proxy(spec: &Spec) -> Vec<String> {
    let mut entries = spec.proxy.no_proxy.clone();
    let mirrors = spec.mirrors.values().flat_map(|m| m.hosts.iter().map(|h| h.url.as_str()).chain(m.server.as_deref())).filter_map(|url| {
        let host = url.parse::<http::Uri>().ok()?.host()?.to_owned();
        // The guide's own entry is the registry itself, which is exactly what the proxy is for.
        (!is_public_registry(&host)).then_some(host)
    });
    let nodes = expected_nodes(spec).into_iter().map(|(name, _)| name);
    for entry in mirrors.chain(nodes).chain([".svc".to_owned(), ".svc.cluster.local".to_owned()]) {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries
}

fn is_public_registry(host: &str) -> bool {
    ["registry-1.docker.io", "docker.io", "registry.k8s.io", "quay.io", "gcr.io", "ghcr.io", "registry.istio.io"].contains(&host)
}

/// The systemd drop-in of guide 2.1.2. systemd expands `%`, so it is doubled.
#[must_use]
pub fn drop_in(spec: &Spec) -> String {
    let mut out = "[Service]\n".to_owned();
    for (name, value) in proxy_environment(spec) {
        let _ = writeln!(out, "Environment=\"{name}={}\"", value.replace('%', "%%"));
    }
    out
}

/// What containerd's environment must hold with the drop-in in force.
#[must_use]
pub fn proxy_environment(spec: &Spec) -> Vec<(&'static str, String)> {
    vec![("HTTP_PROXY", spec.proxy.http.clone()), ("HTTPS_PROXY", spec.proxy.https.clone()), ("NO_PROXY", no_proxy(spec).join(","))]
}

/// A TOML basic string. TOML's escapes are those of JSON.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
