//! A client for registries, which asks several endpoints in order, logs in, and never takes one thing for another.

mod auth;
mod blob;
mod challenge;
mod credentials;
mod endpoint;
mod error;
mod list;
mod manifest;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, header};
use reqwest::{Proxy, redirect};

use self::auth::Logins;
use self::blob::further;
use self::endpoint::Base;
use self::request::{Answer, Ask, content_length, limited};
use super::name::{Digest, Reference, Repository};

pub use self::blob::BlobStream;
pub use self::credentials::{Credentials, CredentialsError, CredentialsWarning, Login, Secret};
pub use self::endpoint::{Endpoint, Upstreams};
pub use self::error::UpstreamError;
pub use self::list::Tags;
pub use self::manifest::{MAX_MANIFEST, MEDIA_TYPES, ManifestProblem, OCI_INDEX, media_type};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may stand still.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;

/// A manifest or index that is true to its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its content.
    pub bytes: Bytes,
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
}

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

/// The client. Clones are the same client.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registries: BTreeMap<String, Vec<Base>>,
    others: bool,
    credentials: Credentials,
    http: reqwest::Client,
    /// For endpoints whose certificate is not to be checked.
    unchecked: reqwest::Client,
    logins: Logins,
}

impl Client {
    /// A client that uses no proxy, or this one, whatever the environment says.
    ///
    /// # Errors
    /// When an endpoint or the proxy is no URL, or TLS cannot be set up.
    pub fn new(upstreams: Upstreams, credentials: Credentials, proxy: Option<&str>) -> Result<Self, UpstreamError> {
        Self::with_timeouts(upstreams, credentials, proxy, CONNECT_TIMEOUT, STALL_TIMEOUT)
    }

    fn with_timeouts(
        upstreams: Upstreams,
        credentials: Credentials,
        proxy: Option<&str>,
        connect: Duration,
        stall: Duration,
    ) -> Result<Self, UpstreamError> {
        let mut registries = BTreeMap::new();
        for (namespace, endpoints) in upstreams.registries {
            let bases: Result<Vec<_>, _> = endpoints.iter().map(|e| Base::new(&namespace, e)).collect();
            registries.insert(namespace, bases?);
        }
        let http = |unchecked| http_client(proxy, connect, stall, unchecked).map_err(|e| UpstreamError::Client(e.without_url()));
        let (http, unchecked) = (http(false)?, http(true)?);
        let others = upstreams.others;
        Ok(Self(Arc::new(Inner { registries, others, credentials, http, unchecked, logins: Logins::default() })))
    }

    /// Fetches a manifest or index.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, UpstreamError> {
        let what = "has the manifests";
        let by_tag = matches!(reference, Reference::Tag(_));
        let bases = match self.bases(&repository.namespace, what, |b| b.pull && (b.resolve || !by_tag)) {
            // Those that resolve are not those that are pulled from.
            Err(_) if by_tag => {
                let digest = self.head(repository, reference).await?.digest;
                return Box::pin(self.manifest(repository, &Reference::Digest(digest))).await;
            }
            bases => bases?,
        };
        self.first(&bases, |base| Box::pin(self.manifest_at(base, repository, reference))).await
    }

    /// Asks what a manifest or index is.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn head(&self, repository: &Repository, reference: &Reference) -> Result<Head, UpstreamError> {
        let bases = match reference {
            Reference::Digest(_) => self.bases(&repository.namespace, "has the manifests", |b| b.pull)?,
            Reference::Tag(_) => self.bases(&repository.namespace, "resolves the tags", |b| b.resolve)?,
        };
        self.first(&bases, |base| Box::pin(self.head_at(base, repository, reference))).await
    }

    async fn head_at(&self, base: &Base, repository: &Repository, reference: &Reference) -> Result<Head, UpstreamError> {
        let asked = self.ask_manifest(Method::HEAD, base, repository, reference).await;
        let answer = match asked {
            // Some know only GET.
            Err(UpstreamError::Unexpected { .. }) => None,
            answer => Some(answer?),
        };
        if let Some(head) = answer.and_then(|a| told(a.response.headers())) {
            return match reference {
                Reference::Digest(expected) if *expected != head.digest => Err(UpstreamError::Digest {
                    url: base.url(&manifest_path(repository, reference), &[]).to_string(),
                    expected: expected.clone(),
                    found: head.digest,
                }),
                _ => Ok(head),
            };
        }
        let Manifest { bytes, media_type, digest } = self.manifest_at(base, repository, reference).await?;
        Ok(Head { media_type, digest, size: bytes.len() as u64 })
    }

    async fn manifest_at(&self, base: &Base, repository: &Repository, reference: &Reference) -> Result<Manifest, UpstreamError> {
        let Answer { response, url } = self.ask_manifest(Method::GET, base, repository, reference).await?;
        let announced = text(response.headers(), header::CONTENT_TYPE.as_str());
        // Of another algorithm, it says nothing here.
        let told = text(response.headers(), DIGEST).and_then(|d| d.parse::<Digest>().ok());
        let bytes = limited(response, &url, MAX_MANIFEST).await?;
        let digest = Digest::of(&bytes);
        let expected = match reference {
            Reference::Digest(expected) => Some(expected.clone()),
            Reference::Tag(_) => told,
        };
        if let Some(expected) = expected.filter(|e| *e != digest) {
            return Err(UpstreamError::Digest { url, expected, found: digest });
        }
        match media_type(&bytes, announced.as_deref()) {
            Ok(media_type) => Ok(Manifest { bytes, media_type, digest }),
            Err(source) => Err(UpstreamError::Manifest { url, source }),
        }
    }

    async fn ask_manifest(
        &self,
        method: Method,
        base: &Base,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answer, UpstreamError> {
        let headers = MEDIA_TYPES.iter().map(|m| (header::ACCEPT, HeaderValue::from_static(m))).collect::<Vec<_>>();
        let mut accept = HeaderMap::new();
        for (name, value) in headers {
            accept.append(name, value);
        }
        let path = manifest_path(repository, reference);
        self.ask(base, &Ask { method, path: &path, query: &[], repository: &repository.path, headers: accept }).await
    }

    /// The endpoints of a registry that can do something.
    fn bases(&self, namespace: &str, what: &'static str, can: impl Fn(&Base) -> bool) -> Result<Vec<Base>, UpstreamError> {
        let listed = self.0.registries.get(namespace).or_else(|| self.0.registries.get("_default"));
        let bases = match listed {
            Some(bases) => bases.iter().filter(|b| can(b)).cloned().collect(),
            None if self.0.others => vec![Base::itself(namespace)?],
            None => Vec::new(),
        };
        if bases.is_empty() { Err(UpstreamError::NoEndpoint { namespace: namespace.to_owned(), what }) } else { Ok(bases) }
    }

    /// The first good answer, or the error of the endpoint that got furthest.
    async fn first<'a, T>(
        &self,
        bases: &'a [Base],
        ask: impl Fn(&'a Base) -> BoxFuture<'a, Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let mut worst = None;
        for base in bases {
            match ask(base).await {
                Ok(answer) => return Ok(answer),
                Err(e) => worst = Some(further(worst, e)),
            }
        }
        Err(worst.expect("there is at least one endpoint"))
    }

    fn http(&self, base: &Base) -> &reqwest::Client {
        if base.skip_verify { &self.0.unchecked } else { &self.0.http }
    }

    fn logins(&self) -> &Logins {
        &self.0.logins
    }

    fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }
}

const DIGEST: &str = "docker-content-digest";

fn manifest_path(repository: &Repository, reference: &Reference) -> String {
    format!("{}/manifests/{reference}", repository.path)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned)
}

/// What the headers say, if they say everything.
fn told(headers: &HeaderMap) -> Option<Head> {
    let media_type = text(headers, header::CONTENT_TYPE.as_str())?;
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let digest = text(headers, DIGEST)?.parse().ok()?;
    let size = content_length(headers).filter(|s| *s <= MAX_MANIFEST)?;
    MEDIA_TYPES.contains(&media_type).then(|| Head { media_type: media_type.to_owned(), digest, size })
}

fn http_client(proxy: Option<&str>, connect: Duration, stall: Duration, unchecked: bool) -> reqwest::Result<reqwest::Client> {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Blobs are redirected to other hosts as a rule. The client takes `Authorization` away when the host or port changes.
    let policy = redirect::Policy::custom(|attempt| {
        let was_secure = attempt.previous().last().is_some_and(|u| u.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if was_secure && attempt.url().scheme() != "https" {
            attempt.error("a redirect from https to http")
        } else {
            attempt.follow()
        }
    });
    // The caller's environment is not looked at, so that a run does not depend on it.
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(policy)
        .referer(false)
        .connect_timeout(connect)
        .read_timeout(stall)
        .tls_danger_accept_invalid_certs(unchecked)
        .user_agent(concat!("meshproof/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = proxy {
        builder = builder.proxy(Proxy::all(proxy)?);
    }
    builder.build()
}

#[cfg(test)]
#[path = "upstream/tests.rs"]
mod tests;
