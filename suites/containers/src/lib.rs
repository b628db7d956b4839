//! Registries and proxies that run as containers, and a mirror and a proxy of ours before them. The containers go when they are dropped;
//! those of tests that are killed stay, under names and with labels of testcontainers.

#![expect(clippy::missing_panics_doc, reason = "a test that does not get what it needs ends with the reason")]

use std::net::SocketAddr;
use std::sync::Arc;

use meshproof::mirror::cache::Cache;
use meshproof::mirror::name::Digest;
use meshproof::mirror::proxy::{self, Proxy};
use meshproof::mirror::record::{Naming, Recorder};
use meshproof::mirror::server::{Mirror, Settings};
use meshproof::mirror::upstream::{Client, Credentials, Endpoint, Upstreams};
use serde_json::{Value, json};
use tempfile::TempDir;
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::net::TcpListener;

/// The registry that most people run: distribution.
const REGISTRY: (&str, &str) = ("registry", "3");
/// TCP port of the registry in its container.
pub const REGISTRY_PORT: u16 = 5000;
/// TCP port of Envoy in its container.
const ENVOY_PORT: u16 = 3128;
/// The image with Envoy in it, unless `ENVOY_IMAGE` names another: Istio's own.
const ENVOY: &str = "docker.io/istio/proxyv2:1.27.1";
/// What manifests are here.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A container with a server in it.
pub struct Served {
    /// It is removed with this.
    pub container: ContainerAsync<GenericImage>,
    /// The server's address as this machine has it.
    pub address: String,
}

/// What a registry is like.
#[derive(Debug, Default)]
pub struct RegistryKind<'a> {
    /// A line of a htpasswd file: the only one who may pull and push.
    pub login: Option<&'a str>,
    /// A network and the name by which others find it there; it speaks TLS then, with a certificate that nobody knows.
    pub behind: Option<(&'a str, &'a str)>,
}

/// Starts a registry.
pub async fn registry(kind: RegistryKind<'_>) -> Served {
    let (name, tag) = REGISTRY;
    let image =
        GenericImage::new(name, tag).with_exposed_port(REGISTRY_PORT.tcp()).with_wait_for(WaitFor::message_on_stderr("listening on"));
    let mut request: ContainerRequest<GenericImage> = image.with_env_var("OTEL_TRACES_EXPORTER", "none");
    if let Some(line) = kind.login {
        let auth = [("REGISTRY_AUTH", "htpasswd"), ("REGISTRY_AUTH_HTPASSWD_REALM", "test"), ("REGISTRY_AUTH_HTPASSWD_PATH", "/htpasswd")];
        request = auth.into_iter().fold(request, |request, (name, value)| request.with_env_var(name, value));
        request = request.with_copy_to("/htpasswd", line.as_bytes().to_vec());
    }
    if let Some((network, name)) = kind.behind {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        request = request
            .with_network(network)
            .with_container_name(name)
            .with_env_var("REGISTRY_HTTP_TLS_CERTIFICATE", "/tls.crt")
            .with_env_var("REGISTRY_HTTP_TLS_KEY", "/tls.key")
            .with_copy_to("/tls.crt", made.cert.pem().into_bytes())
            .with_copy_to("/tls.key", made.signing_key.serialize_pem().into_bytes());
    }
    serve(request, REGISTRY_PORT).await
}

/// Starts Envoy as a forward proxy that lets one host through, by `CONNECT` and no other way.
pub async fn envoy(network: &str, host: &str) -> Served {
    let image = std::env::var("ENVOY_IMAGE").unwrap_or_else(|_| ENVOY.to_owned());
    let (name, tag) = image.rsplit_once(':').expect("an image has a tag here");
    let image = GenericImage::new(name, tag)
        .with_entrypoint("envoy")
        .with_exposed_port(ENVOY_PORT.tcp())
        .with_wait_for(WaitFor::message_on_stderr("starting main dispatch loop"));
    let config = envoy_config(host).to_string();
    serve(image.with_network(network).with_cmd(["--config-yaml".to_owned(), config]), ENVOY_PORT).await
}

/// Envoy's bootstrap configuration: `CONNECT` to this host and the registry's port is a tunnel, and everything else is refused.
fn envoy_config(host: &str) -> Value {
    let authority = format!("{host}:{REGISTRY_PORT}");
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let connection = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "proxy",
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "route_config": {"virtual_hosts": [{"name": "registry", "domains": [authority], "routes": [{
            "match": {"connect_matcher": {}},
            "route": {"cluster": "registry", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]},
        }]}]},
    });
    let address = |host: &str, port: u16| json!({"socket_address": {"address": host, "port_value": port}});
    json!({"static_resources": {
        "listeners": [{
            "address": address("0.0.0.0", ENVOY_PORT),
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connection}]}],
        }],
        "clusters": [{
            "name": "registry",
            "type": "STRICT_DNS",
            "load_assignment": {"cluster_name": "registry", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, REGISTRY_PORT)}}]}]},
        }],
    }})
}

async fn serve(request: ContainerRequest<GenericImage>, port: u16) -> Served {
    let container = request.start().await.expect("the engine starts the container");
    let host = container.get_host().await.expect("the engine's host");
    let mapped = container.get_host_port_ipv4(port.tcp()).await.expect("the port is mapped");
    Served { container, address: format!("{host}:{mapped}") }
}

/// A name for a network or container that nobody else has.
#[must_use]
pub fn own_name(what: &str) -> String {
    // Names of hosts are compared in small letters.
    format!("meshproof-{what}-{}", meshproof::session::run_id()).to_lowercase()
}

/// A client that believes every certificate and knows no proxy.
#[must_use]
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().expect("a client")
}

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    /// The bytes of its manifest.
    pub manifest: Vec<u8>,
    /// Its configuration and its layer.
    pub blobs: Vec<Vec<u8>>,
}

impl Image {
    /// One with a layer of this content.
    #[must_use]
    pub fn of(layer: &[u8]) -> Self {
        let ids = [Digest::of(layer)];
        let config =
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ids}}).to_string().into_bytes();
        let part = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part("application/vnd.oci.image.config.v1+json", &config),
            "layers": [part("application/vnd.oci.image.layer.v1.tar", layer)],
        });
        Self { manifest: manifest.to_string().into_bytes(), blobs: vec![config, layer.to_vec()] }
    }

    /// Pushes it: the push workflow of the distribution specification, with each blob in one piece.
    pub async fn push(&self, registry: &str, repository: &str, tag: &str, login: Option<(&str, &str)>) {
        let client = http();
        let send = async |request: reqwest::RequestBuilder| {
            let request = match login {
                Some((name, password)) => request.basic_auth(name, Some(password)),
                None => request,
            };
            request.send().await.and_then(reqwest::Response::error_for_status).expect("the registry takes it")
        };
        for blob in &self.blobs {
            let begun = send(client.post(format!("{registry}/v2/{repository}/blobs/uploads/"))).await;
            let place = begun.headers()["location"].to_str().expect("a place").to_owned();
            let place = if place.starts_with('/') { format!("{registry}{place}") } else { place };
            let joint = if place.contains('?') { '&' } else { '?' };
            send(client.put(format!("{place}{joint}digest={}", Digest::of(blob))).body(blob.clone())).await;
        }
        let manifest = client.put(format!("{registry}/v2/{repository}/manifests/{tag}")).header("Content-Type", MANIFEST);
        send(manifest.body(self.manifest.clone())).await;
    }
}

/// A mirror of ours that runs in this process.
pub struct OwnMirror {
    /// Where it is.
    pub address: SocketAddr,
    /// What it was asked for.
    pub recorder: Recorder,
    /// Its cache.
    pub dir: TempDir,
}

fn naming() -> Naming {
    Arc::new(|_| Box::pin(std::future::ready(Some("node".to_owned()))))
}

/// Starts a mirror that asks this endpoint for `docker.io`.
pub async fn mirror(endpoint: Endpoint, credentials: Credentials, proxy: Option<&str>) -> OwnMirror {
    let registries = [("docker.io".to_owned(), vec![endpoint])].into();
    let upstream = Client::new(Upstreams { registries, others: false }, credentials, proxy).expect("a client");
    let (dir, recorder) = (tempfile::tempdir().expect("a directory"), Recorder::memory());
    let cache = Cache::open(dir.path(), None).expect("a cache");
    let settings = Settings { cache, upstream: Some(upstream), layouts: Vec::new(), recorder: recorder.clone(), naming: naming() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(Mirror::new(settings).serve(listener, std::future::pending()));
    OwnMirror { address, recorder, dir }
}

impl OwnMirror {
    /// What it answers, with its body.
    pub async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let response = http().get(format!("http://{}/v2/{path}?ns=docker.io", self.address)).send().await.expect("it answers");
        (response.status().as_u16(), response.bytes().await.expect("the whole body").to_vec())
    }

    /// Pulls an image by tag as a node does, and compares it with what it must be.
    pub async fn pulls(&self, repository: &str, tag: &str, image: &Image) {
        let (status, manifest) = self.get(&format!("{repository}/manifests/{tag}")).await;
        assert_eq!((status, String::from_utf8_lossy(&manifest)), (200, String::from_utf8_lossy(&image.manifest)));
        for blob in &image.blobs {
            let (status, bytes) = self.get(&format!("{repository}/blobs/{}", Digest::of(blob))).await;
            assert_eq!((status, &bytes == blob), (200, true), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// Starts a recording proxy of ours that asks another one.
pub async fn chained_proxy(upstream: &str) -> (SocketAddr, Recorder) {
    let recorder = Recorder::memory();
    let settings =
        proxy::Settings { name: "chained".to_owned(), upstream: Some(upstream.to_owned()), recorder: recorder.clone(), naming: naming() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(Proxy::new(settings).expect("a proxy").serve(listener, std::future::pending()));
    (address, recorder)
}
