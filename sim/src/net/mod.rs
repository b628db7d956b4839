//! The network as nodes see it: which names and addresses exist, what listens there, and Go's words for what goes wrong.

pub mod authority;
mod client;
pub mod go_proxy;
mod proxy;
#[cfg(test)]
mod tests;
mod url;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

pub use client::{Client, RequestError, Response, Tls};
pub use proxy::{Proxied, Proxy, ProxyFault};
pub use url::Url;

/// Docker's embedded DNS as kind's entrypoint leaves it in a node's `/etc/resolv.conf`.
pub const RESOLVER: &str = "172.18.0.1:53";

/// How many dials are remembered for [`Network::source_of`].
const REMEMBERED_DIALS: usize = 4096;

/// A network. Clones are the same network.
#[derive(Debug, Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: bool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// `host:port` in lower case to what really listens.
    listeners: BTreeMap<String, SocketAddr>,
    /// What listens on a node's own loopback: node and port.
    own: BTreeMap<(String, u16), SocketAddr>,
    blackholes: BTreeSet<String>,
    unreachable: BTreeSet<String>,
    /// The longest that any dial waits, whatever its caller asks for.
    patience: Option<Duration>,
    dials: VecDeque<(SocketAddr, String)>,
}

/// Why there is no connection, in the words of Go's `net` package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DialError(pub String);

impl Network {
    /// A network in which nothing exists but what is mapped.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(false)
    }

    /// A network in which what is not mapped is the real internet.
    #[must_use]
    pub fn open() -> Self {
        Self::new(true)
    }

    fn new(open: bool) -> Self {
        Self { shared: Arc::new(Shared { open, table: Mutex::default() }) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().expect("nothing panics with this lock held")
    }

    /// Lets `host:port`, as a node would write it, be answered by what listens at a real address.
    pub fn map(&self, address: &str, real: SocketAddr) {
        self.table().listeners.insert(address.to_ascii_lowercase(), real);
    }

    /// Takes back [`Self::map`].
    pub fn unmap(&self, address: &str) {
        self.table().listeners.remove(&address.to_ascii_lowercase());
    }

    /// Takes back all that leads to a real address, where nothing listens any more.
    pub fn unmap_all(&self, real: SocketAddr) {
        self.table().listeners.retain(|_, listener| *listener != real);
    }

    /// Lets a port on the loopback of one node be answered.
    pub fn map_own(&self, node: &str, port: u16, real: SocketAddr) {
        self.table().own.insert((node.to_owned(), port), real);
    }

    /// Lets packets to a host (a name or an address) vanish: dials time out.
    pub fn blackhole(&self, host: &str) {
        self.table().blackholes.insert(host.to_ascii_lowercase());
    }

    /// Lets a host (a name or an address) have no route.
    pub fn unroute(&self, host: &str) {
        self.table().unreachable.insert(host.to_ascii_lowercase());
    }

    /// Ends [`Self::blackhole`] and [`Self::unroute`].
    pub fn heal(&self, host: &str) {
        let host = host.to_ascii_lowercase();
        let mut table = self.table();
        table.blackholes.remove(&host);
        table.unreachable.remove(&host);
    }

    /// No dial or TLS handshake waits longer than this, so that a blackhole need not cost a test containerd's thirty seconds.
    pub fn patience(&self, limit: Duration) {
        self.table().patience = Some(limit);
    }

    pub(crate) fn limited(&self, asked: Duration) -> Duration {
        self.table().patience.map_or(asked, |limit| limit.min(asked))
    }

    /// Which node a connection comes from, by the address it was dialled from.
    #[must_use]
    pub fn source_of(&self, peer: SocketAddr) -> Option<String> {
        self.table().dials.iter().rev().find(|(local, _)| *local == peer).map(|(_, node)| node.clone())
    }

    /// Connects a node to `host:port`.
    ///
    /// # Errors
    /// What Go's dialer says.
    pub async fn dial(&self, node: &str, host: &str, port: u16, limit: Duration) -> Result<TcpStream, DialError> {
        let limit = self.limited(limit);
        let host = host.to_ascii_lowercase();
        let real = match self.find(node, &host, port)? {
            Found::Listener(shown, real) => vec![(shown, real)],
            Found::Silence(shown) => {
                // Nothing ever answers; only the caller's patience ends it.
                let _ = timeout(limit, std::future::pending::<()>()).await;
                return Err(DialError(format!("dial tcp {shown}: i/o timeout")));
            }
            Found::Internet => {
                let found = timeout(limit, tokio::net::lookup_host((host.as_str(), port))).await;
                let found = found.map_err(|_| DialError(format!("dial tcp: lookup {host} on {RESOLVER}: i/o timeout")))?;
                found.map_err(|e| lookup_failed(&host, &e))?.map(|a| (a.to_string(), a)).collect()
            }
        };
        // Go reports the first address that failed.
        let mut first = None;
        for (shown, address) in real {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    self.remember(&stream, node);
                    return Ok(stream);
                }
                Ok(Err(e)) => first.get_or_insert(DialError(format!("dial tcp {shown}: {}", connect_failed(&e)))),
                Err(_) => first.get_or_insert(DialError(format!("dial tcp {shown}: i/o timeout"))),
            };
        }
        Err(first.unwrap_or_else(|| no_such_host(&host)))
    }

    fn remember(&self, stream: &TcpStream, node: &str) {
        let Ok(local) = stream.local_addr() else { return };
        let mut table = self.table();
        if table.dials.len() == REMEMBERED_DIALS {
            table.dials.pop_front();
        }
        table.dials.push_back((local, node.to_owned()));
    }

    fn find(&self, node: &str, host: &str, port: u16) -> Result<Found, DialError> {
        let table = self.table();
        let literal = host.parse::<IpAddr>().ok();
        let shown = || {
            let ip = literal.unwrap_or_else(|| if host == "localhost" { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) } else { invented(host) });
            SocketAddr::new(ip, port).to_string()
        };
        let refused = || DialError(format!("dial tcp {}: connect: connection refused", shown()));
        if host == "localhost" || literal.is_some_and(|ip| ip.is_loopback()) {
            // A node's loopback is the node's: what listens on the machine's own is not there.
            return table.own.get(&(node.to_owned(), port)).map(|real| Found::Listener(shown(), *real)).ok_or_else(refused);
        }
        if table.blackholes.contains(host) {
            return Ok(Found::Silence(shown()));
        }
        if table.unreachable.contains(host) {
            return Err(DialError(format!("dial tcp {}: connect: no route to host", shown())));
        }
        let key = if literal.is_some_and(|ip| ip.is_ipv6()) { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        if let Some(real) = table.listeners.get(&key) {
            return Ok(Found::Listener(shown(), *real));
        }
        let (prefix, bracketed) = (format!("{host}:"), format!("[{host}]:"));
        if table.listeners.keys().any(|k| k.starts_with(&prefix) || k.starts_with(&bracketed)) {
            // The host is there; on this port nothing listens.
            return Err(refused());
        }
        match literal {
            _ if self.shared.open => Ok(Found::Internet),
            None => Err(no_such_host(host)),
            // The host's own ends of docker's bridges exist always.
            Some(_) if matches!(host, "172.17.0.1" | "172.18.0.1") => Err(refused()),
            Some(_) => Err(DialError(format!("dial tcp {}: connect: no route to host", shown()))),
        }
    }
}

enum Found {
    /// The address to show in messages, and the real one.
    Listener(String, SocketAddr),
    Silence(String),
    Internet,
}

/// The address that a mapped name has in messages: stable, and of a block that nobody uses (RFC 5737).
fn invented(name: &str) -> IpAddr {
    let sum = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    IpAddr::from([203, 0, 113, sum.clamp(1, 254)])
}

fn no_such_host(host: &str) -> DialError {
    DialError(format!("dial tcp: lookup {host} on {RESOLVER}: no such host"))
}

fn lookup_failed(host: &str, error: &std::io::Error) -> DialError {
    // A resolver that is there but does not answer is not the same as a name that does not exist.
    if error.to_string().contains("Temporary failure") {
        return DialError(format!("dial tcp: lookup {host} on {RESOLVER}: server misbehaving"));
    }
    no_such_host(host)
}

fn connect_failed(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => format!("connect: {error}"),
    }
}
