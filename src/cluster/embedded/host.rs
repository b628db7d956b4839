//! From a spec to a running simulated cluster: its machines, the registry and the proxy that they reach, and what runs on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use sim::cluster::MachineSettings;
use sim::net::authority::Authority;
use sim::net::{Network, Proxy};
use sim::node::ContainerdVersion;
use sim::oci::{Config, Images, Registry};

use super::images::{Image, preloaded, registry_images};
use super::programs::workloads;
use super::system::{ApiServer, kube_system, static_pods};
use crate::cluster::kind_config::{containerd_patch, expected_nodes};
use crate::mirror::upstream::{Endpoint, Upstreams};
use crate::recording::{self, Hosting, Recorders, RecordingError, Running};
use crate::session::Session;
use crate::spec::{ProxyRecording, Spec, Version, catalog};
use crate::stages::StageError;

/// Where Docker Hub really answers.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Errors of starting the simulation.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A port on loopback cannot be had.
    #[error("cannot listen on loopback")]
    Listen(#[from] std::io::Error),
    /// The recorders.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The cluster itself.
    #[error("cannot start the simulated cluster")]
    Start(#[from] sim::cluster::StartError),
    /// Our own manifests cannot be read.
    #[error(transparent)]
    Manifest(Box<StageError>),
    /// An image of ours has no usable name.
    #[error("the image {image} has no usable name: {why}")]
    Image {
        /// Its name.
        image: String,
        /// What is wrong.
        why: String,
    },
}

/// A simulated cluster and what it pulls from. It ends when this is dropped.
#[derive(Debug)]
pub struct Hosted {
    /// The cluster.
    pub cluster: sim::Cluster,
    /// Plays every registry that the spec's mirrors and images name, over TLS and in plain HTTP.
    pub registries: [Registry; 2],
    /// Plays the spec's proxy, where it is enabled or a recording one asks it.
    pub proxy: Option<Proxy>,
    /// The recorders between the nodes and these.
    pub recorders: Option<Running>,
}

/// Where simulated nodes find the recorders: the host's end of the bridge, and ports that nobody else has in this network.
pub(super) fn recorders() -> Recorders {
    Recorders { host: "172.18.0.1".to_owned(), mirror: 5100, drop_in: 3128, hosts_toml: 3129, container: None }
}

/// Starts the cluster of a session's spec on the current tokio runtime.
///
/// # Errors
/// When a port on loopback cannot be had, or the spec names what the simulation does not know.
pub async fn host(spec: &Spec, session: &Session) -> Result<Hosted, HostError> {
    let certs = session.certs_dir();
    let network = Network::closed();
    let held = registry_images(spec);
    let mut images = Images::default();
    for image in &held {
        let repository = image.repository.split_once('/').map_or(image.repository.as_str(), |(_, rest)| rest);
        images.add(repository, &image.tag, &config(image), image.size);
    }
    let plain = Registry::start(images.clone()).await?;
    let names = registry_names(spec, &held);
    let authority = Authority::new("simulated registries");
    let secure = Registry::start_tls(images, authority.server(&names.secure.iter().map(String::as_str).collect::<Vec<_>>())).await?;
    for (address, tls) in &names.addresses {
        network.map(address, if *tls { secure.address() } else { plain.address() });
    }
    let mut proxy = None;
    if spec.proxy.enabled || spec.recording.proxy != ProxyRecording::None {
        let playing = Proxy::start(&network).await?;
        for url in [&spec.proxy.http, &spec.proxy.https] {
            if let Some((address, _)) = address(url) {
                network.map(&address, playing.address());
            }
        }
        proxy = Some(playing);
    }
    let recorders = if spec.recording.is_on() { Some(record(spec, session, &network, &plain, proxy.as_ref()).await?) } else { None };
    // As a baked node image has what the registries have.
    let on_nodes = if spec.cluster.preloaded { registry_images(spec) } else { preloaded(spec) };
    let settings = sim::Settings {
        name: spec.cluster.name.clone(),
        version: format!("v{}", spec.cluster.kubernetes),
        containerd: containerd(spec),
        machines: machines(spec, &certs),
        objects: Vec::new(),
        preloaded: on_nodes.iter().map(baked).collect::<Result<_, _>>()?,
        workloads: workloads(spec),
        network,
        registries: vec![plain.clone(), secure.clone()],
        roots: authority.roots(),
        clock: sim::Clock::default(),
        stages: None,
        port: 0,
    };
    let cluster = sim::Cluster::start(settings).await?;
    let control_plane = expected_nodes(spec).into_iter().find(|(_, role)| *role == "control-plane").map(|(name, _)| name);
    let url = format!("https://{}:6443", control_plane.unwrap_or_default());
    let system = kube_system(spec, &ApiServer { url: &url, ca_pem: &cluster.api().pki().ca_pem() });
    let objects: Vec<Value> = crate::stages::objects("kube-system", &system).map_err(|e| HostError::Manifest(Box::new(e)))?;
    cluster.create(&objects)?;
    Ok(Hosted { cluster, registries: [plain, secure], proxy, recorders })
}

/// The recorders of a simulated cluster are the real ones. What they ask in turn is the registry that plays all others.
async fn record(
    spec: &Spec,
    session: &Session,
    network: &Network,
    registry: &Registry,
    proxy: Option<&Proxy>,
) -> Result<Running, HostError> {
    let endpoint =
        Endpoint { url: format!("http://{}", registry.address()), pull: true, resolve: true, skip_verify: false, override_path: false };
    // The registry holds the images of all registries by their path alone.
    let upstreams = Upstreams { registries: BTreeMap::from([("_default".to_owned(), vec![endpoint])]), others: false };
    let dials = network.clone();
    let mut asked = spec.clone();
    // Nothing of the real network is dialled: a chained proxy asks the one that is played.
    asked.proxy.https = proxy.map_or_else(|| "http://127.0.0.1:9".to_owned(), |proxy| format!("http://{}", proxy.address()));
    asked.recording.proxy = match spec.recording.proxy {
        ProxyRecording::None => ProxyRecording::None,
        ProxyRecording::Direct | ProxyRecording::Chained => ProxyRecording::Chained,
    };
    let running = recording::start(
        &asked,
        Hosting {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            ports: [0; 3],
            file: recording::file(session),
            cache: session.dir().join("recording").join("cache"),
            bundle: None,
            upstreams: Some(upstreams),
            naming: std::sync::Arc::new(move |peer| {
                let node = dials.source_of(peer);
                Box::pin(std::future::ready(node))
            }),
        },
    )
    .await?;
    let at = recorders();
    for (nominal, real) in [at.mirror, at.drop_in, at.hosts_toml].into_iter().zip(running.ports).filter(|(_, real)| *real != 0) {
        network.map(&format!("{}:{nominal}", at.host), std::net::SocketAddr::from(([127, 0, 0, 1], real)));
    }
    Ok(running)
}

/// containerd of the spec's kind release; that of the guide's where the catalog does not know the release.
pub(super) fn containerd(spec: &Spec) -> ContainerdVersion {
    let version: Option<Version> = spec.tools.kind.version.parse().ok();
    let release = version.and_then(|v| catalog::kind_release(&v)).map_or("2.1.4", |r| r.containerd);
    let mut parts = release.split('.').map(|p| p.parse().unwrap_or(0));
    ContainerdVersion(parts.next().unwrap_or(2), parts.next().unwrap_or(1), parts.next().unwrap_or(0))
}

fn machines(spec: &Spec, certs: &Path) -> Vec<MachineSettings> {
    let patch = containerd_patch(spec);
    // The first address is the bridge's.
    let machine = |(i, (name, role)): (usize, (String, &'static str))| {
        let address = format!("172.18.0.{}", i + 2);
        let static_pods = if role == "control-plane" { static_pods(spec, &address) } else { Vec::new() };
        MachineSettings {
            name,
            role: role.to_owned(),
            address,
            config_patches: vec![patch.clone()],
            mounts: vec![(certs.to_owned(), spec.cluster.config_path.clone())],
            static_pods,
        }
    };
    expected_nodes(spec).into_iter().enumerate().map(machine).collect()
}

fn config(image: &Image) -> Config {
    let labels: BTreeMap<String, String> = image.labels.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    Config { labels, ..Config::default() }
}

fn baked(image: &Image) -> Result<sim::node::Image, HostError> {
    let name = image.reference();
    sim::node::Image::preloaded(&name, &config(image), image.size).map_err(|why| HostError::Image { image: name, why })
}

/// Under which names the registry is to be found, as nodes write them.
struct Names {
    /// Hosts that it needs a certificate for.
    secure: BTreeSet<String>,
    /// `host:port`, and whether TLS is spoken there.
    addresses: Vec<(String, bool)>,
}

/// Every registry that holds one of the images, and every mirror of the spec but those on a node's own loopback, where nothing listens.
fn registry_names(spec: &Spec, images: &[Image]) -> Names {
    let mut names = Names { secure: BTreeSet::new(), addresses: Vec::new() };
    let registries = images.iter().filter_map(|i| i.repository.split_once('/')).map(|(host, _)| host);
    let urls = registries.map(|host| format!("https://{}", if host == "docker.io" { DOCKER_HUB } else { host }));
    let mirrors = spec.mirrors.values().flat_map(|m| m.hosts.iter().map(|h| h.url.clone()).chain(m.server.clone()));
    for url in urls.chain(mirrors) {
        let Some((address, host)) = address(&url) else { continue };
        let own = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if own {
            continue;
        }
        let tls = url.starts_with("https:");
        if tls {
            names.secure.insert(host);
        }
        names.addresses.push((address, tls));
    }
    names
}

/// `host:port` of a URL, and the host.
fn address(url: &str) -> Option<(String, String)> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some((format!("{host}:{port}"), host))
}
