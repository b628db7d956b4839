//! Starting the recorders of a session, in whatever process hosts them.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{DROP_IN, HOSTS_TOML};
use crate::mirror::cache::{Cache, CacheError};
use crate::mirror::layout::{Layout, LayoutError};
use crate::mirror::proxy::{self, Proxy, ProxyError};
use crate::mirror::record::{Naming, Recorder};
use crate::mirror::server::{self, Mirror};
use crate::mirror::upstream::{self, Client, Credentials, Endpoint, UpstreamError, Upstreams};
use crate::spec::{HostCapability, MirrorSpec, ProxyRecording, Spec};

/// Errors of starting the recorders.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A port cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Address and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The file of what was asked for cannot be written.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mirror's cache.
    #[error("cannot use the mirror's cache {dir}")]
    Cache {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        source: CacheError,
    },
    /// The bundle.
    #[error("cannot use the bundle {dir}")]
    Bundle {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        source: LayoutError,
    },
    /// The client for the registries behind the mirror.
    #[error("cannot set up the client for the registries")]
    Upstream(#[source] UpstreamError),
    /// The proxy to ask.
    #[error("cannot set up the recording proxy")]
    Proxy(#[source] ProxyError),
}

/// Where and how the recorders of a session are hosted.
pub struct Hosting {
    /// The address to listen on.
    pub address: IpAddr,
    /// Ports that they had before, and that nodes may know them by: mirror, drop-in, `hosts.toml`. 0, or a port that is in use, takes a free one.
    pub ports: [u16; 3],
    /// The file of what was asked for.
    pub file: PathBuf,
    /// The mirror's cache.
    pub cache: PathBuf,
    /// A bundle: nothing is fetched from anywhere else.
    pub bundle: Option<PathBuf>,
    /// Where the mirror fetches from, where that is not what the spec says.
    pub upstreams: Option<Upstreams>,
    /// Which node a peer is.
    pub naming: Naming,
}

/// Recorders at work; they end when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// The ports that they listen on: mirror, drop-in, `hosts.toml`.
    pub ports: [u16; 3],
    stop: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Starts what the spec wants recorded, on the current runtime.
///
/// # Errors
/// When a port, the cache or the file cannot be had, or the bundle cannot be read.
pub async fn start(spec: &Spec, hosting: Hosting) -> Result<Running, RecordingError> {
    let Hosting { address, ports, file, cache, bundle, upstreams, naming } = hosting;
    let failed = |source| RecordingError::File { path: file.clone(), source };
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let recorder = Recorder::file(&file).map_err(failed)?;
    let (stop, stopped) = watch::channel(());
    let ended = move || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.changed().await;
        }
    };
    let mut running = Running { ports: [0; 3], stop, tasks: Vec::new() };
    let [mirror_port, drop_in_port, hosts_toml_port] = ports;
    if spec.recording.mirror {
        let (listener, port) = listen(address, mirror_port).await?;
        let opened = Cache::open(&cache, cache_limit(spec)).map_err(|source| RecordingError::Cache { dir: cache.clone(), source })?;
        let client = match &bundle {
            Some(_) => None,
            None => Some(client(spec, upstreams)?),
        };
        let layouts = bundle.iter().map(|dir| open_layout(dir)).collect::<Result<_, _>>()?;
        let settings = server::Settings { cache: opened, upstream: client, layouts, recorder: recorder.clone(), naming: naming.clone() };
        running.ports[0] = port;
        running.tasks.push(tokio::spawn(Mirror::new(settings).serve(listener, ended())));
    }
    if spec.recording.proxy != ProxyRecording::None {
        let upstream = match spec.recording.proxy {
            ProxyRecording::Chained => Some(spec.proxy.https.clone()),
            _ => spec.downloads.proxy.clone(),
        };
        for (place, name, port) in [(1, DROP_IN, drop_in_port), (2, HOSTS_TOML, hosts_toml_port)] {
            let (listener, port) = listen(address, port).await?;
            let settings =
                proxy::Settings { name: name.to_owned(), upstream: upstream.clone(), recorder: recorder.clone(), naming: naming.clone() };
            let proxy = Proxy::new(settings).map_err(RecordingError::Proxy)?;
            running.ports[place] = port;
            running.tasks.push(tokio::spawn(proxy.serve(listener, ended())));
        }
    }
    Ok(running)
}

fn open_layout(dir: &Path) -> Result<Layout, RecordingError> {
    Layout::open(dir).map_err(|source| RecordingError::Bundle { dir: dir.to_owned(), source })
}

/// The port that is asked for, or a free one where another process has it.
async fn listen(address: IpAddr, port: u16) -> Result<(TcpListener, u16), RecordingError> {
    let bind = async |port: u16| TcpListener::bind((address, port)).await;
    let bound = match bind(port).await {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse && port != 0 => bind(0).await,
        bound => bound,
    };
    let named = || format!("{address}:{port}");
    let listener = bound.map_err(|source| RecordingError::Listen { address: named(), source })?;
    let port = listener.local_addr().map_err(|source| RecordingError::Listen { address: named(), source })?.port();
    Ok((listener, port))
}

fn cache_limit(spec: &Spec) -> Option<u64> {
    match spec.recording.cache_gib {
        0 => None,
        gib => Some(u64::from(gib) << 30),
    }
}

/// The client for the registries that a spec names, with the logins of the docker client; or for others than the spec's.
///
/// # Errors
/// When an address is no URL, or TLS cannot be set up.
pub fn client(spec: &Spec, upstreams: Option<Upstreams>) -> Result<Client, RecordingError> {
    let upstreams = upstreams.unwrap_or_else(|| self::upstreams(spec));
    // Of a configuration that cannot be read, or logins that only a helper knows, nothing is used; the registry then says that it wants one.
    let config = crate::tools::docker_config_dir().and_then(|dir| std::fs::read_to_string(dir.join("config.json")).ok());
    let credentials = config.and_then(|text| Credentials::from_docker_config(&text).ok()).map(|(found, _)| found).unwrap_or_default();
    Client::new(upstreams, credentials, spec.downloads.proxy.as_deref()).map_err(RecordingError::Upstream)
}

/// Where the mirror fetches from: what `mirrors` says, in that order, and registries that it does not name from themselves.
#[must_use]
fn upstreams(spec: &Spec) -> Upstreams {
    let endpoint = |url: &str, capabilities: &[HostCapability], skip_verify, override_path| Endpoint {
        url: url.to_owned(),
        pull: capabilities.contains(&HostCapability::Pull),
        resolve: capabilities.contains(&HostCapability::Resolve),
        skip_verify,
        override_path,
    };
    let endpoints = |mirror: &MirrorSpec| -> Vec<Endpoint> {
        let hosts = mirror.hosts.iter().map(|h| endpoint(&h.url, &h.capabilities, h.skip_verify, h.override_path));
        let named = |url: &String| !mirror.hosts.iter().any(|h| h.url == *url);
        let server = mirror.server.iter().filter(|url| named(url));
        hosts.chain(server.map(|url| endpoint(url, &[HostCapability::Pull, HostCapability::Resolve], false, false))).collect()
    };
    let registries = spec.mirrors.iter().map(|(registry, mirror)| (registry.clone(), endpoints(mirror))).collect();
    upstream::Upstreams { registries, others: true }
}
