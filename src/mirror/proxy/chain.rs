//! Getting to a target: by itself, or through another proxy.

use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a dial may take, and the other proxy's answer.
const DIAL: Duration = Duration::from_secs(10);
/// The longest head of an answer of the other proxy.
const MAX_HEAD: usize = 16 * 1024;

/// The proxy that is asked.
#[derive(Clone)]
pub(super) struct Chain {
    pub(super) host: String,
    pub(super) port: u16,
    /// `Basic …`, which is a secret.
    pub(super) authorization: Option<String>,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Chain {
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
        let credentials = authority.as_str().rsplit_once('@').map(|(credentials, _)| unescaped(credentials));
        Some(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authorization: credentials.map(|c| format!("Basic {}", STANDARD.encode(c))),
        })
    }
}

/// `%40` and the like in a user or a password.
fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex =
            bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        out.push(hex.unwrap_or(*byte));
        at += if hex.is_some() { 3 } else { 1 };
    }
    out
}

/// Why there is no way to a target.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// No connection.
    #[error("dial {address}: {source}")]
    Dial { address: String, source: io::Error },
    /// Nothing answered.
    #[error("dial {address}: i/o timeout")]
    Timeout { address: String },
    /// The other proxy refuses.
    #[error("the proxy {proxy} answers {status} to CONNECT {target}")]
    Refused { proxy: String, target: String, status: String },
    /// The target's answer is no HTTP.
    #[error("{target} does not answer as HTTP: {source}")]
    Answer { target: String, source: hyper::Error },
}

impl DialError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial { source, .. } if source.kind() == io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let address = format!("{host}:{port}");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = match timeout(DIAL, TcpStream::connect((bare, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(DialError::Dial { address, source }),
        Err(_) => return Err(DialError::Timeout { address }),
    };
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Refuses names that can exist nowhere (RFC 6761, 6.4) without asking anybody, who might take long to say so.
fn exists(host: &str, port: u16) -> Result<(), DialError> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "invalid" || name.ends_with(".invalid") {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such host");
        return Err(DialError::Dial { address: format!("{host}:{port}"), source });
    }
    Ok(())
}

/// A connection on which the target's own bytes flow.
pub(super) async fn tunnel(chain: Option<&Chain>, host: &str, port: u16) -> Result<TcpStream, DialError> {
    exists(host, port)?;
    let Some(chain) = chain else { return dial(host, port).await };
    let mut stream = dial(&chain.host, chain.port).await?;
    let target = format!("{host}:{port}");
    let proxy = format!("{}:{}", chain.host, chain.port);
    let authorization = chain.authorization.as_ref().map(|a| format!("Proxy-Authorization: {a}\r\n")).unwrap_or_default();
    let ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    let failed = |source| DialError::Dial { address: proxy.clone(), source };
    let answered = timeout(DIAL, async {
        stream.write_all(ask.as_bytes()).await?;
        head(&mut stream).await
    })
    .await;
    let head = answered.map_err(|_| DialError::Timeout { address: proxy.clone() })?.map_err(failed)?;
    let status = head.lines().next().and_then(|line| line.split_once(' ')).map_or("", |(_, status)| status).to_owned();
    if status.starts_with('2') { Ok(stream) } else { Err(DialError::Refused { proxy, target, status }) }
}

/// The head of an answer, byte by byte: what comes after it is the target's.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
