//! An HTTP client that behaves, and complains, like Go's `net/http` with its default transport.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::go_proxy::ProxyConfig;
use super::{Network, Url};

/// Go's `http.Transport.TLSHandshakeTimeout` in containerd's transport.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Go follows at most this many redirects.
const REDIRECTS: usize = 10;

/// What TLS connections trust and present.
#[derive(Debug)]
pub struct Tls {
    /// Trusted authorities.
    pub roots: RootCertStore,
    /// Whether any certificate will do.
    pub skip_verify: bool,
    /// Certificate chain and key to present.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Default for Tls {
    /// Trusts nobody.
    fn default() -> Self {
        Self { roots: RootCertStore::empty(), skip_verify: false, client: None }
    }
}

/// A client of one node with one proxy configuration.
#[derive(Debug)]
pub struct Client {
    /// Where it dials.
    pub network: Network,
    /// The node that it dials from.
    pub node: String,
    /// Its process's proxies.
    pub proxy: ProxyConfig,
    /// Its trust.
    pub tls: Tls,
    /// How long a dial may take.
    pub dial_timeout: Duration,
    /// Connections that can be used again, as Go's transport keeps them.
    idle: Mutex<Vec<(String, Sender)>>,
}

type Sender = hyper::client::conn::http1::SendRequest<Empty<Bytes>>;

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; empty for `HEAD`.
    pub body: Bytes,
    /// What was asked last, after redirects.
    pub url: Url,
}

impl Response {
    /// `502 Bad Gateway`, as Go's `Response.Status` has it.
    #[must_use]
    pub fn status_text(&self) -> String {
        format!("{} {}", self.status, reason(self.status))
    }

    /// A header, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// The standard phrase of a status code (Go's `http.StatusText`).
#[must_use]
pub(super) fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default()
}

/// Go's `url.Error`: `Head "https://…": dial tcp …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} \"{url}\": {why}")]
pub struct RequestError {
    /// `Get` or `Head`.
    pub method: String,
    /// What was asked for.
    pub url: String,
    /// What went wrong.
    pub why: String,
    /// Whether the other side spoke plain HTTP where TLS was expected.
    pub plain_http: bool,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Boxed = Box<dyn Stream>;

impl Client {
    /// A client without connections.
    #[must_use]
    pub fn new(network: Network, node: &str, proxy: ProxyConfig, tls: Tls, dial_timeout: Duration) -> Self {
        Self { network, node: node.to_owned(), proxy, tls, dial_timeout, idle: Mutex::default() }
    }

    /// Go's `CloseIdleConnections`.
    pub fn close_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(String, Sender)>> {
        self.idle.lock().expect("nothing panics with this lock held")
    }

    /// Sends a request without a body and follows redirects.
    ///
    /// # Errors
    /// What Go's client says.
    pub async fn send(&self, method: &Method, url: &Url, headers: &[(String, String)]) -> Result<Response, RequestError> {
        let mut url = url.clone();
        let mut headers = headers.to_vec();
        for _ in 0..=REDIRECTS {
            let fail = |why: String| self.failure(method, &url, why);
            let response = self.once(method, &url, &headers).await.map_err(fail)?;
            let location = response.header("location").filter(|_| matches!(response.status, 301 | 302 | 303 | 307 | 308));
            let Some(location) = location else { return Ok(response) };
            let next = url.join(location).ok_or_else(|| fail(format!("failed to parse Location header \"{location}\": invalid URL")))?;
            if next.host != url.host {
                // Go does not carry credentials to another host.
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
            }
            url = next;
        }
        Err(self.failure(method, &url, "stopped after 10 redirects".to_owned()))
    }

    #[expect(clippy::unused_self, reason = "it is a method because every caller is one")]
    fn failure(&self, method: &Method, url: &Url, why: String) -> RequestError {
        let name = if *method == Method::HEAD { "Head" } else { "Get" };
        // Go hides a password in the URL of an error; registry URLs have none.
        let plain_http = why.ends_with("server gave HTTP response to HTTPS client");
        RequestError { method: name.to_owned(), url: url.to_string(), why, plain_http }
    }

    async fn once(&self, method: &Method, url: &Url, headers: &[(String, String)]) -> Result<Response, String> {
        let proxy = self.proxy.proxy_for(url)?;
        // Go's `connectMethodKey`: through a proxy, plain requests to all hosts share connections.
        let end = proxy.as_ref().filter(|_| url.scheme == "http").unwrap_or(url);
        let key = format!("{} {}://{}", proxy.as_ref().map(ToString::to_string).unwrap_or_default(), url.scheme, end.host_port());
        if let Some(sender) = self.kept(&key).await
            && let Ok(response) = self.exchange(sender, &key, method, url, headers, proxy.as_ref()).await
        {
            return Ok(response);
        }
        // What fails on a kept connection is tried again on a new one, as these requests can be repeated.
        let stream = self.connect(url, proxy.as_ref()).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        // It ends by itself when the sender is dropped.
        tokio::spawn(connection);
        self.exchange(sender, &key, method, url, headers, proxy.as_ref()).await
    }

    async fn kept(&self, key: &str) -> Option<Sender> {
        let mut sender = {
            let mut idle = self.idle();
            let at = idle.iter().position(|(kept, _)| kept == key)?;
            idle.swap_remove(at).1
        };
        sender.ready().await.ok().map(|()| sender)
    }

    async fn exchange(
        &self,
        mut sender: Sender,
        key: &str,
        method: &Method,
        url: &Url,
        headers: &[(String, String)],
        proxy: Option<&Url>,
    ) -> Result<Response, String> {
        let absolute = proxy.filter(|_| url.scheme == "http");
        let target = if absolute.is_some() { url.to_string() } else { url.request_target() };
        let mut request = Request::builder().method(method.clone()).uri(target).header(header::HOST, url.authority());
        if let Some(credentials) = absolute.and_then(proxy_authorization) {
            request = request.header(header::PROXY_AUTHORIZATION, credentials);
        }
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| "unexpected EOF".to_owned())?.to_bytes();
        if !sender.is_closed() {
            self.idle().push((key.to_owned(), sender));
        }
        Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body, url: url.clone() })
    }

    async fn connect(&self, url: &Url, proxy: Option<&Url>) -> Result<Boxed, String> {
        let Some(proxy) = proxy else {
            let stream = self.dial(&url.host, url.port_or_default()).await?;
            return if url.scheme == "https" { self.handshake(stream, &url.host).await } else { Ok(stream) };
        };
        if !matches!(proxy.scheme.as_str(), "http" | "https") {
            return Err(format!("unsupported proxy scheme {}", proxy.scheme));
        }
        let dialled = self.dial(&proxy.host, proxy.port_or_default()).await;
        let mut stream = dialled.map_err(|e| format!("proxyconnect tcp: {e}"))?;
        if proxy.scheme == "https" {
            stream = self.handshake(stream, &proxy.host).await.map_err(|e| format!("proxyconnect tcp: {e}"))?;
        }
        if url.scheme == "http" {
            return Ok(stream);
        }
        self.tunnel(&mut stream, url, proxy).await?;
        self.handshake(stream, &url.host).await
    }

    async fn dial(&self, host: &str, port: u16) -> Result<Boxed, String> {
        let stream = self.network.dial(&self.node, host, port, self.dial_timeout).await;
        stream.map(|s| Box::new(s) as Boxed).map_err(|e| e.to_string())
    }

    /// `CONNECT` as Go's `dialConn` does it: an answer other than 200 is an error that consists of the status text.
    async fn tunnel(&self, stream: &mut Boxed, url: &Url, proxy: &Url) -> Result<(), String> {
        let target = url.host_port();
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: Go-http-client/1.1\r\n");
        if let Some(credentials) = proxy_authorization(proxy) {
            request.push_str(&format!("Proxy-Authorization: {credentials}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte: what follows the head belongs to the tunnel.
            match stream.read_u8().await {
                Ok(byte) if head.len() < 64 * 1024 => head.push(byte),
                Ok(_) => return Err("net/http: server response headers exceeded 65536 bytes; aborted".to_owned()),
                Err(_) if head.is_empty() => return Err("EOF".to_owned()),
                Err(_) => return Err("unexpected EOF".to_owned()),
            }
        }
        let head = String::from_utf8_lossy(&head);
        let status = head.lines().next().and_then(|line| line.split_once(' ')).map_or("", |(_, status)| status).trim_end();
        match status.split_once(' ') {
            _ if status == "200" || status.starts_with("200 ") => Ok(()),
            Some((_, text)) => Err(text.to_owned()),
            None => Err("unknown status code".to_owned()),
        }
    }

    async fn handshake(&self, stream: Boxed, host: &str) -> Result<Boxed, String> {
        let config = self.tls.config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("tls: invalid server name {host:?}"))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match timeout(self.network.limited(HANDSHAKE), connecting).await {
            Err(_) => Err("net/http: TLS handshake timeout".to_owned()),
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(e)) => Err(handshake_failed(&e, host)),
        }
    }
}

impl Tls {
    fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions");
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(self.roots.clone())
        };
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|e| format!("tls: {e}")),
        }
    }
}

/// `InsecureSkipVerify`: signatures are still checked, names and issuers are not.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `crypto/tls` and `crypto/x509` have these words for what rustls found.
fn handshake_failed(error: &std::io::Error, host: &str) -> String {
    let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
        return if error.kind() == std::io::ErrorKind::UnexpectedEof { "EOF".to_owned() } else { error.to_string() };
    };
    let x509 = match inner {
        rustls::Error::InvalidMessage(_) => return "http: server gave HTTP response to HTTPS client".to_owned(),
        rustls::Error::AlertReceived(alert) => return format!("remote error: tls: {alert:?}"),
        rustls::Error::InvalidCertificate(e) => match e {
            CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
            CertificateError::NotValidForName => format!("certificate is not valid for any names, but wanted to match {host}"),
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<&str> = presented.iter().map(|n| n.split('"').nth(1).unwrap_or(n)).collect();
                format!("certificate is valid for {}, not {host}", names.join(", "))
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_owned(),
            other => other.to_string(),
        },
        other => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: x509: {x509}")
}

fn broken(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return format!("net/http: HTTP/1.x transport connection broken: malformed HTTP response ({error})");
    }
    error.to_string()
}

/// `Basic …` from a proxy URL's user information, whose percent-encoding is undone first.
fn proxy_authorization(proxy: &Url) -> Option<String> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(proxy.userinfo.as_deref()?).collect();
    let mut decoded = String::from_utf8_lossy(&decoded).into_owned();
    if !decoded.contains(':') {
        decoded.push(':');
    }
    Some(format!("Basic {}", STANDARD.encode(decoded)))
}
