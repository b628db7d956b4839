//! What a path asks for.

use http::StatusCode;

use super::answer::{Code, Refusal};
use crate::mirror::name::{DOCKER_IO, Digest, NameError, Reference, Repository};
use crate::mirror::record::What;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Ping,
    Manifest(Repository, Reference),
    Blob(Repository, Digest),
    Tags(Repository),
    Referrers(Repository, Digest),
}

/// The parts of a request's query that mean something here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) namespace: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) last: Option<String>,
    pub(super) artifact_type: Option<String>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        let Some(query) = query else { return parsed };
        let mut url = reqwest::Url::parse("http://query").expect("a constant URL");
        url.set_query(Some(query));
        for (key, value) in url.query_pairs() {
            let field = match &*key {
                "ns" => &mut parsed.namespace,
                "n" => &mut parsed.limit,
                "last" => &mut parsed.last,
                "artifactType" => &mut parsed.artifact_type,
                _ => continue,
            };
            field.get_or_insert_with(|| value.into_owned());
        }
        parsed
    }
}

impl Route {
    pub(super) fn parse(path: &str, namespace: Option<&str>) -> Result<Self, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, Code::Unsupported, "there is nothing here but /v2/");
        let rest = path.strip_prefix("/v2").ok_or_else(unknown)?;
        if matches!(rest, "" | "/") {
            return Ok(Self::Ping);
        }
        // The one character of a reference that some clients encode.
        let rest = rest.strip_prefix('/').ok_or_else(unknown)?.replace("%3A", ":").replace("%3a", ":");
        let mut parts = rest.rsplitn(3, '/');
        let (Some(reference), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else { return Err(unknown()) };
        let repository = || repository(name, namespace);
        match (kind, reference) {
            ("manifests", _) => {
                let repository = repository()?;
                let wrong = |e: NameError| {
                    let code = if reference.contains(':') { Code::DigestInvalid } else { Code::TagInvalid };
                    Refusal::new(StatusCode::BAD_REQUEST, code, &e.to_string())
                };
                Ok(Self::Manifest(repository, reference.parse().map_err(wrong)?))
            }
            ("blobs", _) => Ok(Self::Blob(repository()?, digest(reference)?)),
            ("referrers", _) => Ok(Self::Referrers(repository()?, digest(reference)?)),
            ("tags", "list") => Ok(Self::Tags(repository()?)),
            _ => Err(unknown()),
        }
    }

    /// What kind of thing this is, and its names, for the record.
    pub(super) fn described(&self) -> (What, Option<&Repository>, String) {
        match self {
            Self::Ping => (What::Ping, None, String::new()),
            Self::Manifest(repository, reference) => (What::Manifest, Some(repository), reference.to_string()),
            Self::Blob(repository, digest) => (What::Blob, Some(repository), digest.to_string()),
            Self::Tags(repository) => (What::Tags, Some(repository), String::new()),
            Self::Referrers(repository, digest) => (What::Referrers, Some(repository), digest.to_string()),
        }
    }
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|e: NameError| Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, &e.to_string()))
}

/// The registry is in `ns`, or in front of the name, or `docker.io`, whose names of one part are those of `library`.
fn repository(name: &str, namespace: Option<&str>) -> Result<Repository, Refusal> {
    let (namespace, path) = match (namespace.filter(|n| !n.is_empty()), name.split_once('/')) {
        (Some(namespace), _) => (namespace, name),
        (None, Some((first, path))) if first == "localhost" || first.contains(['.', ':']) => (first, path),
        _ => (DOCKER_IO, name),
    };
    let namespace = if matches!(namespace, "index.docker.io" | "registry-1.docker.io") { DOCKER_IO } else { namespace };
    let short = namespace == DOCKER_IO && !path.contains('/') && !path.is_empty();
    let path = if short { &format!("library/{path}") } else { path };
    Repository::new(namespace, path).map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, Code::NameInvalid, &e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, namespace: Option<&str>) -> String {
        match Route::parse(path, namespace) {
            Ok(route) => {
                let (what, repository, reference) = route.described();
                format!("{what:?} {} {reference}", repository.map_or_else(String::new, ToString::to_string))
            }
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn the_registry_is_in_the_query_or_in_the_name() {
        for (path, namespace, expected) in [
            ("/v2/", None, "Ping  "),
            ("/v2", None, "Ping  "),
            ("/v2/library/busybox/manifests/latest", None, "Manifest docker.io/library/busybox latest"),
            ("/v2/busybox/manifests/latest", None, "Manifest docker.io/library/busybox latest"),
            ("/v2/busybox/manifests/latest", Some("docker.io"), "Manifest docker.io/library/busybox latest"),
            ("/v2/pause/manifests/3.10", Some("registry.k8s.io"), "Manifest registry.k8s.io/pause 3.10"),
            ("/v2/registry.k8s.io/pause/manifests/3.10", None, "Manifest registry.k8s.io/pause 3.10"),
            ("/v2/localhost:5000/a/tags/list", None, "Tags localhost:5000/a "),
            ("/v2/manifests/tags/manifests/list", None, "Manifest docker.io/manifests/tags list"),
            ("/v2/a/b/manifests/x", Some("index.docker.io"), "Manifest docker.io/a/b x"),
        ] {
            assert_eq!(parse(path, namespace), expected, "{path}");
        }
        let hex = "a".repeat(64);
        assert_eq!(parse(&format!("/v2/a/b/blobs/sha256%3A{hex}"), None), format!("Blob docker.io/a/b sha256:{hex}"));
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_code() {
        for (path, code) in [
            ("/v2/A/b/manifests/x", "NameInvalid"),
            ("/v2/../b/manifests/x", "NameInvalid"),
            ("/v2/a/%2e%2e/manifests/x", "NameInvalid"),
            ("/v2//manifests/x", "NameInvalid"),
            ("/v2/a/b/manifests/.x", "TagInvalid"),
            ("/v2/a/b/manifests/sha256:x", "DigestInvalid"),
            ("/v2/a/b/blobs/x", "DigestInvalid"),
            ("/v2/a/b/blobs/..", "DigestInvalid"),
            ("/v2/a", "Unsupported"),
            ("/v3/a/b/c/d", "Unsupported"),
            ("/v2x/a/manifests/x", "Unsupported"),
        ] {
            assert!(parse(path, None).contains(code), "{path}: {}", parse(path, None));
        }
        assert!(parse("/v2/a/b/manifests/x", Some("a/b")).contains("NameInvalid"));
    }

    #[test]
    fn the_first_of_two_counts_in_a_query() {
        let query = Query::parse(Some("ns=docker.io&n=5&last=a%2Fb&ns=quay.io&x=y"));
        assert_eq!(query.namespace.as_deref(), Some("docker.io"));
        assert_eq!((query.limit.as_deref(), query.last.as_deref()), (Some("5"), Some("a/b")));
    }
}
