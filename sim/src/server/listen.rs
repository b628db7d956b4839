//! The loopback port: TLS, then HTTP/1.1 or HTTP/2 as the client likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Certificate, Server, refuse};
use crate::failure::Failure;

/// The largest body. Source: apiserver `MaxRequestBodyBytes`.
const LARGEST: usize = 3 << 20;

/// A server that can be reached. Its port closes when this is dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listening {
    /// Where.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For a kubeconfig.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Opens a port on loopback; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn listen(&self, port: u16) -> std::io::Result<Listening> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(self.api().pki().server_config());
        let server = self.clone();
        let accepting = tokio::spawn(async move {
            // Connections end with the port.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(connection(server.clone(), acceptor.clone(), stream));
                        }
                        // Out of file descriptors, mostly: the next one may do better, but not at once.
                        Err(_) => crate::clock::real(Duration::from_millis(50)).await,
                    },
                    Some(_) = connections.join_next(), if !connections.is_empty() => {}
                }
            }
        });
        Ok(Listening { address, accepting })
    }
}

/// Counts a connection for as long as it is open.
struct Open(Server);

impl Open {
    fn new(server: &Server) -> Self {
        server.0.connections.fetch_add(1, Ordering::Relaxed);
        Self(server.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(server: Server, acceptor: TlsAcceptor, stream: TcpStream) {
    let _open = Open::new(&server);
    // A client that goes away in the middle is nobody's business.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let certificate = {
        let (_, session) = stream.get_ref();
        match session.peer_certificates().and_then(|c| c.first()) {
            None => Certificate::Absent,
            Some(der) => server.api().pki().user_of(der).map_or(Certificate::Unknown, |user| Certificate::Of(Box::new(user))),
        }
    };
    let certificate = Arc::new(certificate);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (server, certificate) = (server.clone(), Arc::clone(&certificate));
        async move {
            let (parts, body) = request.into_parts();
            let response = match collect(body).await {
                Ok(body) => server.answer(Request::from_parts(parts, body), &certificate).await,
                Err(failure) => refuse(&failure),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(250);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn collect(body: Incoming) -> Result<Bytes, Failure> {
    match Limited::new(body, LARGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => {
            Err(Failure::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {LARGEST}")))
        }
        Err(e) => Err(Failure::bad_request(e.to_string())),
    }
}
