//! A forward proxy that writes down what it is asked for. It reaches its targets through the same network as the nodes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::go_proxy::ProxyConfig;
use super::{Client, Network, Tls, Url};

/// The proxy's own name where the network asks who dials.
const NAME: &str = "proxy";

const DIAL: Duration = Duration::from_secs(30);

/// One request to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// `CONNECT`, `HEAD`, `GET`.
    pub method: String,
    /// `host:port` of a `CONNECT`, otherwise the absolute URL.
    pub target: String,
    /// The node that asked, if the network knows it.
    pub node: Option<String>,
    /// What `Proxy-Authorization` said.
    pub authorization: Option<String>,
    /// What was answered.
    pub status: u16,
}

/// What the proxy does instead of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyFault {
    /// Answer every request with this status.
    Status(u16),
    /// Answer 407 unless `Proxy-Authorization` has exactly this value.
    Authorization(String),
}

/// A running proxy; it stops when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    running: Arc<Running>,
}

#[derive(Debug)]
struct Shared {
    network: Network,
    records: Mutex<Vec<Proxied>>,
    fault: Mutex<Option<ProxyFault>>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answer = http::Response<Full<Bytes>>;

impl Proxy {
    /// Starts a proxy on a free loopback port. Map its address for the nodes with [`Network::map`].
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(network: &Network) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { network: network.clone(), records: Mutex::default(), fault: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, running: Arc::new(Running { address, task }) })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// What it was asked for so far.
    #[must_use]
    pub fn records(&self) -> Vec<Proxied> {
        self.shared.records().clone()
    }

    /// Forgets what it was asked for.
    pub fn forget(&self) {
        self.shared.records().clear();
    }

    /// Misbehaves from now on, or stops doing so.
    pub fn fault(&self, fault: Option<ProxyFault>) {
        *self.shared.faults() = fault;
    }

    /// Stops listening and ends all tunnels.
    pub fn stop(&self) {
        self.running.task.abort();
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Vec<Proxied>> {
        self.records.lock().expect("nothing panics with this lock held")
    }

    fn faults(&self) -> MutexGuard<'_, Option<ProxyFault>> {
        self.fault.lock().expect("nothing panics with this lock held")
    }

    fn refusal(&self, authorization: Option<&str>) -> Option<u16> {
        match &*self.faults() {
            Some(ProxyFault::Status(status)) => Some(*status),
            Some(ProxyFault::Authorization(wanted)) if authorization != Some(wanted) => Some(407),
            _ => None,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set with this task ends every connection and tunnel.
    let mut connections = JoinSet::new();
    let tunnels = Arc::new(Mutex::new(JoinSet::new()));
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else { continue };
        let (shared, tunnels) = (Arc::clone(&shared), Arc::clone(&tunnels));
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&shared), Arc::clone(&tunnels), peer, request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that goes away in the middle is nothing to report.
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn serve(
    shared: Arc<Shared>,
    tunnels: Arc<Mutex<JoinSet<()>>>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Answer, std::convert::Infallible> {
    let method = request.method().clone();
    let target = request.uri().to_string();
    let authorization = request.headers().get(header::PROXY_AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let refusal = shared.refusal(authorization.as_deref());
    let answer = match refusal {
        Some(status) => plain(status),
        None if method == Method::CONNECT => connect(&shared, &tunnels, request).await,
        None => forward(&shared, &request).await,
    };
    let record = Proxied {
        method: method.to_string(),
        target,
        node: shared.network.source_of(peer),
        authorization,
        status: answer.status().as_u16(),
    };
    shared.records().push(record);
    Ok(answer)
}

fn plain(status: u16) -> Answer {
    let mut answer = Answer::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}

async fn connect(shared: &Shared, tunnels: &Mutex<JoinSet<()>>, request: Request<Incoming>) -> Answer {
    let Some(authority) = request.uri().authority() else { return plain(400) };
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let Ok(mut target) = shared.network.dial(NAME, &host, authority.port_u16().unwrap_or(443), DIAL).await else {
        return plain(502);
    };
    let mut tunnels = tunnels.lock().expect("nothing panics with this lock held");
    tunnels.spawn(async move {
        if let Ok(client) = hyper::upgrade::on(request).await {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut target).await;
        }
    });
    plain(200)
}

async fn forward(shared: &Shared, request: &Request<Incoming>) -> Answer {
    let Some(url) = Url::parse(&request.uri().to_string()) else { return plain(400) };
    let client = Client::new(shared.network.clone(), NAME, ProxyConfig::default(), Tls::default(), DIAL);
    let passed = |name: &str| !matches!(name, "host" | "proxy-authorization" | "proxy-connection" | "connection");
    let headers: Vec<(String, String)> = (request.headers().iter())
        .filter(|(name, _)| passed(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let Ok(response) = client.send(request.method(), &url, &headers).await else { return plain(502) };
    let mut answer = plain(response.status);
    for (name, value) in &response.headers {
        // The length of a HEAD answer is that of the body it stands for; hyper keeps what is set.
        if name != header::TRANSFER_ENCODING && name != header::CONNECTION {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    *answer.body_mut() = Full::new(response.body);
    answer
}
