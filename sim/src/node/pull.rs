//! How containerd gets an image: resolve, manifest, configuration, layers (containerd `core/remotes/docker`).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::hosts::{Chosen, DIAL_TIMEOUT, Dialect, Host, choose};
use super::images::Image;
use super::reference::Reference;
use super::systemd::Environment;
use super::tree::Tree;
use crate::net::go_proxy::ProxyConfig;
use crate::net::{Client, Network, RequestError, Response, Tls, Url};
use crate::oci;

/// What containerd accepts for a manifest.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

/// How often an answer is asked for again (`retryRequest`).
const RETRIES: usize = 5;

/// A pull that failed: the gRPC status of the CRI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {code} desc = {message}")]
pub struct PullError {
    /// `NotFound`, `Unknown`, `FailedPrecondition`, ….
    pub code: &'static str,
    /// In words, without the gRPC frame.
    pub message: String,
}

impl PullError {
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self { code: "Unknown", message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { code: "NotFound", message: message.into() }
    }

    fn within(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the kubelet puts into an event and a container's waiting message.
    #[must_use]
    pub fn kubelet(&self, image: &str) -> String {
        format!("Failed to pull image \"{image}\": {self}")
    }
}

/// Everything a pull depends on, taken from the node at its start.
pub(super) struct Puller {
    pub(super) network: Network,
    pub(super) node: String,
    pub(super) roots: rustls::RootCertStore,
    pub(super) tree: Tree,
    pub(super) dialect: Dialect,
    /// Host directories, if they are used at all.
    pub(super) directories: Vec<String>,
    /// Endpoints of the legacy `registry.mirrors`.
    pub(super) mirrors: Vec<String>,
    /// Of the process that downloads.
    pub(super) environment: Environment,
    pub(super) architecture: String,
    pub(super) log: Vec<String>,
}

struct Place {
    host: Host,
    client: Client,
}

struct Descriptor {
    digest: String,
    /// The body, if it had to be fetched to learn the digest.
    places: Vec<Place>,
}

impl Puller {
    /// Pulls an image.
    pub(super) async fn pull(&mut self, reference: &Reference) -> Result<Image, PullError> {
        let context = format!("failed to pull and unpack image \"{reference}\"");
        self.steps(reference).await.map_err(|e| e.within(&context))
    }

    async fn steps(&mut self, reference: &Reference) -> Result<Image, PullError> {
        let resolving = format!("failed to resolve reference \"{reference}\"");
        let descriptor = self.resolve(reference).await.map_err(|e| e.within(&resolving))?;
        let root = self.manifest(reference, &descriptor.places, &descriptor.digest).await?;
        let mut manifest = root;
        if let Some(entries) = manifest["manifests"].as_array() {
            let digest = self
                .platform(entries)
                .ok_or_else(|| PullError::not_found(format!("no match for platform in manifest {}: not found", descriptor.digest)))?;
            manifest = self.manifest(reference, &descriptor.places, &digest).await?;
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let id = text(&manifest["config"]["digest"]);
        let body = self.blob(reference, &descriptor.places, &id).await?;
        let config: Value = serde_json::from_slice(&body).unwrap_or_default();
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            self.fetch(reference, &descriptor.places, Method::HEAD, "blobs", &text(&layer["digest"])).await?;
        }
        let sizes = manifest["layers"].as_array().into_iter().flatten().filter_map(|l| l["size"].as_u64()).sum::<u64>();
        let size = manifest["annotations"][oci::SIZE_ANNOTATION].as_str().and_then(|s| s.parse().ok());
        let tags = if reference.digest.is_none() { vec![reference.to_string()] } else { Vec::new() };
        let digests = vec![format!("{}@{}", reference.name(), descriptor.digest)];
        Ok(Image { id, tags, digests, size: size.unwrap_or(sizes + body.len() as u64), config })
    }

    fn platform(&self, entries: &[Value]) -> Option<String> {
        let fits = |e: &&Value| e["platform"]["os"] == "linux" && e["platform"]["architecture"] == self.architecture.as_str();
        entries.iter().find(fits)?["digest"].as_str().map(str::to_owned)
    }

    /// The places to try, in order.
    fn places(&mut self, reference: &Reference) -> Result<Vec<Place>, PullError> {
        let Chosen { mut hosts, log } =
            choose(self.dialect, &self.tree, &self.directories, &reference.registry).map_err(PullError::unknown)?;
        self.log.extend(log);
        for (at, endpoint) in self.mirrors.iter().enumerate() {
            let Some(url) = Url::parse(endpoint) else { continue };
            let path = format!("{}/v2", url.path.trim_end_matches('/').trim_end_matches("/v2"));
            hosts.insert(at, Host { scheme: url.scheme.clone(), host: url.authority(), path, ..Host::default() });
        }
        hosts.into_iter().map(|host| Ok(Place { client: self.client(&host).map_err(PullError::unknown)?, host })).collect()
    }

    fn client(&self, host: &Host) -> Result<Client, String> {
        let mut tls = Tls { roots: self.roots.clone(), skip_verify: host.skip_verify.unwrap_or(false), client: None };
        let missing = |what: &str, path: &str| format!("unable to read {what} {path:?}: open {path}: no such file or directory");
        for path in &host.ca {
            let content = self.tree.read(path).map_err(|_| missing("CA cert", path))?;
            let mut any = false;
            for certificate in CertificateDer::pem_slice_iter(&content).flatten() {
                any |= tls.roots.add(certificate).is_ok();
            }
            if !any {
                return Err(format!("unable to load CA cert {path:?}"));
            }
        }
        for (certificate, key) in &host.client {
            let chain = self.tree.read(certificate).map_err(|_| missing("CERT file", certificate))?;
            let key = self.tree.read(key).map_err(|_| missing("CERT file", key))?;
            let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).flatten().collect();
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("failed to load X509 key pair: {e}"))?;
            tls.client = Some((chain, key));
        }
        let proxy = ProxyConfig::from_environment(&self.environment);
        Ok(Client::new(self.network.clone(), &self.node, proxy, tls, host.dial_timeout.unwrap_or(DIAL_TIMEOUT)))
    }

    /// `dockerResolver.Resolve`: which error is told depends on how far an attempt got, not on which came last.
    async fn resolve(&mut self, reference: &Reference) -> Result<Descriptor, PullError> {
        let mut places = self.places(reference)?;
        places.retain(|p| p.host.pull && (reference.digest.is_some() || p.host.resolve));
        if places.is_empty() {
            return Err(PullError::not_found("no resolve hosts: not found"));
        }
        let paths: &[&str] = if reference.digest.is_some() { &["manifests", "blobs"] } else { &["manifests"] };
        let mut told: Option<(u8, PullError)> = None;
        // Up to 1.7 the first error stays, and a 404 is no error.
        let ranked = self.dialect.version.0 >= 2;
        let mut tell = |rank: u8, error: PullError| match &told {
            Some((present, _)) if !ranked || *present >= rank => {}
            None if !ranked && rank == 2 => {}
            _ => told = Some((rank, error)),
        };
        for part in paths {
            for (at, place) in places.iter().enumerate() {
                let last = at + 1 == places.len();
                let next = if last && ranked { "fetch failed" } else { "trying next host" };
                let host = &place.host.host;
                let asked = self.request(place, reference, Method::HEAD, part, reference.object(), last).await;
                let response = match asked {
                    Ok(response) => response,
                    Err(why) => {
                        self.log.push(format!("level=info msg=\"{next}\" error={why:?} host={host}"));
                        tell(1, PullError::unknown(why));
                        continue;
                    }
                };
                match response.status {
                    200..300 => {
                        let digest = response.header("docker-content-digest").map(str::to_owned).or_else(|| reference.digest.clone());
                        let digest = if let Some(digest) = digest {
                            digest
                        } else {
                            let whole = self.request(place, reference, Method::GET, part, reference.object(), true).await;
                            oci::digest(&whole.map_err(PullError::unknown)?.body)
                        };
                        let digest = reference.digest.clone().unwrap_or(digest);
                        // The fetcher may use hosts that only have the capability `pull`; its connections are its own.
                        let mut places = self.places(reference)?;
                        places.retain(|p| p.host.pull);
                        return Ok(Descriptor { digest, places });
                    }
                    404 => {
                        let after = if ranked { " after status: 404 Not Found" } else { " - response was http.StatusNotFound" };
                        self.log.push(format!("level=info msg=\"{next}{after}\" host={host}"));
                        tell(2, PullError::not_found(format!("{reference}: not found")));
                    }
                    _ => {
                        self.log.push(format!("level=info msg=\"{next} after status: {}\" host={host}", response.status_text()));
                        tell(3, PullError::unknown(unexpected(&Method::HEAD, &response)));
                    }
                }
            }
        }
        Err(told.map_or_else(|| PullError::not_found(format!("{reference}: not found")), |(_, error)| error))
    }

    async fn manifest(&mut self, reference: &Reference, places: &[Place], digest: &str) -> Result<Value, PullError> {
        let body = self.fetch(reference, places, Method::GET, "manifests", digest).await?;
        verified(&body, digest)?;
        serde_json::from_slice(&body).map_err(|e| PullError::unknown(format!("failed to unmarshal manifest {digest}: {e}")))
    }

    async fn blob(&mut self, reference: &Reference, places: &[Place], digest: &str) -> Result<Bytes, PullError> {
        let body = self.fetch(reference, places, Method::GET, "blobs", digest).await?;
        verified(&body, digest)?;
        Ok(body)
    }

    /// `dockerFetcher.Fetch`: the first host that has it, otherwise the first error.
    async fn fetch(
        &mut self,
        reference: &Reference,
        places: &[Place],
        method: Method,
        part: &str,
        digest: &str,
    ) -> Result<Bytes, PullError> {
        let mut first = None;
        for (at, place) in places.iter().enumerate() {
            let asked = self.request(place, reference, method.clone(), part, digest, at + 1 == places.len()).await;
            let error = match asked {
                Ok(response) if response.status < 300 => return Ok(response.body),
                Ok(response) if response.status == 404 => PullError::not_found(format!("content at {} not found: not found", response.url)),
                // Layers are only looked at here, where containerd would get them.
                Ok(response) => PullError::unknown(unexpected(&Method::GET, &response)),
                Err(why) => PullError::unknown(why.replacen("request: Head ", "request: Get ", 1)),
            };
            first.get_or_insert(error);
        }
        let error = first.unwrap_or_else(|| PullError::not_found("no pull hosts: not found"));
        Err(error.within("failed to copy: httpReadSeeker: failed open"))
    }

    /// One request with containerd's retries and its authorization.
    async fn request(
        &self,
        place: &Place,
        reference: &Reference,
        method: Method,
        part: &str,
        object: &str,
        last: bool,
    ) -> Result<Response, String> {
        let host = &place.host;
        let mut address = format!("{}://{}{}/{}/{part}/{object}", host.scheme, host.host, host.path, reference.repository);
        // A host that is not the registry itself is told which registry it stands for.
        if host.host != reference.registry && !(reference.registry == "docker.io" && host.host == "registry-1.docker.io") {
            address.push_str(&format!("?ns={}", reference.registry.replace(':', "%3A")));
        }
        let url = Url::parse(&address).ok_or_else(|| format!("invalid URL {address:?}"))?;
        let mut headers = host.headers.clone();
        headers.push(("Accept".to_owned(), ACCEPT.to_owned()));
        headers.push(("User-Agent".to_owned(), format!("containerd/{}", self.dialect.version)));
        let (mut method, mut seen) = (method, Vec::new());
        loop {
            let response = send(place, &method, &url, &headers).await.map_err(|e| format!("failed to do request: {e}"))?;
            seen.push(response.status);
            let again = match response.status {
                _ if seen.len() > RETRIES => false,
                401 => match challenge(&response) {
                    Some(_) if seen.iter().filter(|s| **s == 401).count() > 1 => {
                        let why = "pull access denied, repository does not exist or may require authorization";
                        return Err(format!("{why}: server message: insufficient_scope: authorization failed"));
                    }
                    Some(challenge) => {
                        let token = anonymous(place, &challenge, &reference.repository).await;
                        let token = token.map_err(|e| format!("failed to authorize: failed to fetch anonymous token: {e}"))?;
                        headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
                        true
                    }
                    None => false,
                },
                405 if method == Method::HEAD && part == "manifests" => {
                    method = Method::GET;
                    true
                }
                408 | 429 => true,
                // Newer versions ask the last host a second time.
                500 | 503 | 504 if self.dialect.version.at_least(2, 2) => last && seen.iter().rev().nth(1) != Some(&response.status),
                _ => false,
            };
            if !again {
                return Ok(response);
            }
        }
    }
}

async fn send(place: &Place, method: &Method, url: &Url, headers: &[(String, String)]) -> Result<Response, RequestError> {
    match place.client.send(method, url, headers).await {
        Err(e) if place.host.fallback && e.plain_http => {
            let plain = Url { scheme: "http".to_owned(), ..url.clone() };
            place.client.send(method, &plain, headers).await
        }
        other => other,
    }
}

/// Realm, service and scope of a `Bearer` challenge.
fn challenge(response: &Response) -> Option<(String, String, Option<String>)> {
    let text = response.header("www-authenticate")?.strip_prefix("Bearer ")?;
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    Some((field("realm")?, field("service").unwrap_or_default(), field("scope")))
}

/// A token for nobody in particular, as Docker Hub gives it to everyone.
async fn anonymous(place: &Place, challenge: &(String, String, Option<String>), repository: &str) -> Result<String, String> {
    let (realm, service, scope) = challenge;
    let scope = scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"));
    let encoded = |text: &str| text.replace(':', "%3A").replace('/', "%2F").replace(',', "%2C");
    let address = format!("{realm}?scope={}&service={}", encoded(&scope), encoded(service));
    let url = Url::parse(&address).ok_or_else(|| format!("invalid URL {address:?}"))?;
    let response = place.client.send(&Method::GET, &url, &[]).await.map_err(|e| e.to_string())?;
    if response.status > 299 {
        return Err(unexpected(&Method::GET, &response));
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let token = body["token"].as_str().or_else(|| body["access_token"].as_str());
    token.map(str::to_owned).ok_or_else(|| "authorization server did not include a token in the response".to_owned())
}

/// containerd's `ErrUnexpectedStatus`, with what an OCI error body says.
fn unexpected(method: &Method, response: &Response) -> String {
    let mut text = format!("unexpected status from {method} request to {}: {}", response.url, response.status_text());
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    for error in body["errors"].as_array().into_iter().flatten() {
        let (code, message) = (error["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default());
        text.push_str(&format!("\n{}: {message}", code.to_lowercase()));
    }
    text
}

fn verified(body: &[u8], digest: &str) -> Result<(), PullError> {
    let actual = oci::digest(body);
    if actual == digest {
        return Ok(());
    }
    let message = format!(
        "failed to copy: failed commit on ref \"{digest}\": unexpected commit digest {actual}, expected {digest}: failed precondition"
    );
    Err(PullError { code: "FailedPrecondition", message })
}

/// What a test makes of pulls of one image.
#[derive(Debug, Clone)]
pub enum PullFault {
    /// It fails with this.
    Fails(PullError),
    /// It takes this long first.
    Slow(Duration),
}
