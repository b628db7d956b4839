//! Where registries are asked.

use std::collections::BTreeMap;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::UpstreamError;
use crate::mirror::name::DOCKER_IO;

/// The host behind `docker.io`.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// One place that a registry can be asked at, with the words of containerd's `hosts.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other, and called so in hosts.toml")]
pub struct Endpoint {
    /// Its URL. `/v2` is added unless it is there.
    pub url: String,
    /// It is asked for what has a digest.
    pub pull: bool,
    /// It is asked what a tag points at.
    pub resolve: bool,
    /// Its certificate is not checked.
    pub skip_verify: bool,
    /// `/v2` is not added to the URL.
    pub override_path: bool,
}

impl Endpoint {
    /// An endpoint for everything.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), pull: true, resolve: true, skip_verify: false, override_path: false }
    }
}

/// Where all registries are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstreams {
    /// The endpoints of registries by their name, in the order in which they are tried.
    pub registries: BTreeMap<String, Vec<Endpoint>>,
    /// Registries that are not listed are asked themselves, by https.
    pub others: bool,
}

/// An endpoint that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// Ends with the `/v2` or what stands for it, without a slash.
    url: Url,
    /// Host and port, the port only where it is not that of the scheme.
    pub(super) host: String,
    pub(super) pull: bool,
    pub(super) resolve: bool,
    pub(super) skip_verify: bool,
    /// The registry, where the endpoint could not know it otherwise.
    namespace: Option<String>,
}

impl Base {
    pub(super) fn new(namespace: &str, endpoint: &Endpoint) -> Result<Self, UpstreamError> {
        let wrong = |url: &str, why: &str| UpstreamError::Endpoint { url: url.to_owned(), why: why.to_owned() };
        let mut url = Url::parse(&endpoint.url).map_err(|e| wrong("…", &e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            let _ = (url.set_username(""), url.set_password(None));
            return Err(wrong(url.as_str(), "it holds a user or password, which belong into the credentials"));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(url.as_str(), "it is neither http nor https"));
        }
        let Some(name) = url.host_str() else { return Err(wrong(url.as_str(), "it names no host")) };
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        url.set_query(None);
        url.set_fragment(None);
        let mut path = url.path().trim_end_matches('/').to_owned();
        if !endpoint.override_path && !path.ends_with("/v2") {
            path.push_str("/v2");
        }
        url.set_path(&path);
        let itself = host == namespace || (namespace == DOCKER_IO && host == DOCKER_HOST);
        Ok(Self {
            url,
            host,
            pull: endpoint.pull,
            resolve: endpoint.resolve,
            skip_verify: endpoint.skip_verify,
            namespace: (!itself).then(|| namespace.to_owned()),
        })
    }

    /// The endpoint of a registry that is asked itself.
    pub(super) fn itself(namespace: &str) -> Result<Self, UpstreamError> {
        let host = if namespace == DOCKER_IO { DOCKER_HOST } else { namespace };
        Self::new(namespace, &Endpoint::new(format!("https://{host}")))
    }

    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) fn key(&self) -> &str {
        self.url.as_str()
    }

    /// The URL of something below `/v2/`.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        let namespace = self.namespace.as_deref().map(|n| ("ns", n));
        if namespace.is_some() || !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().copied().chain(namespace));
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(namespace: &str, endpoint: &Endpoint) -> String {
        Base::new(namespace, endpoint).map_or_else(|e| e.to_string(), |b| b.url("a/manifests/1", &[]).to_string())
    }

    #[test]
    fn urls_are_made_as_containerd_makes_them() {
        let mirror = |url: &str, override_path| Endpoint { override_path, ..Endpoint::new(url) };
        for (namespace, endpoint, expected) in [
            ("docker.io", mirror("https://registry-1.docker.io", false), "https://registry-1.docker.io/v2/a/manifests/1"),
            ("quay.io", mirror("https://quay.io/", false), "https://quay.io/v2/a/manifests/1"),
            ("quay.io", mirror("http://m:5000", false), "http://m:5000/v2/a/manifests/1?ns=quay.io"),
            ("quay.io", mirror("http://m:80/v2/", false), "http://m/v2/a/manifests/1?ns=quay.io"),
            ("quay.io", mirror("http://m/x/v2", false), "http://m/x/v2/a/manifests/1?ns=quay.io"),
            ("quay.io", mirror("http://m/x", true), "http://m/x/a/manifests/1?ns=quay.io"),
            ("localhost:5000", mirror("http://localhost:5000", false), "http://localhost:5000/v2/a/manifests/1"),
        ] {
            assert_eq!(url(namespace, &endpoint), expected);
        }
        assert_eq!(Base::itself("docker.io").unwrap().url("", &[]).as_str(), "https://registry-1.docker.io/v2/");
        for bad in ["", "m:5000", "ftp://m", "/v2"] {
            assert!(url("quay.io", &mirror(bad, false)).contains("is no URL of a registry"), "{bad}");
        }
        let secret = url("quay.io", &mirror("https://me:secret@m", false));
        assert!(secret.contains("belong into the credentials") && !secret.contains("secret"), "{secret}");
    }
}
