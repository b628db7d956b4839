//! What can go wrong with a registry.

use reqwest::StatusCode;

use super::manifest::ManifestProblem;
use crate::mirror::name::{Digest, NameError};

/// Errors of asking registries. URLs are those that were asked first, never those of a redirect, which may hold a signature.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The client could not be set up.
    #[error("cannot set up the registry client")]
    Client(#[source] reqwest::Error),
    /// An endpoint's URL cannot be used.
    #[error("`{url}` is no URL of a registry: {why}")]
    Endpoint {
        /// The URL, without user and password.
        url: String,
        /// Why.
        why: String,
    },
    /// Nobody is asked for this registry.
    #[error("no endpoint is known that {what} of {namespace}")]
    NoEndpoint {
        /// The registry.
        namespace: String,
        /// What the endpoint would have to do.
        what: &'static str,
    },
    /// No connection, no answer, or it broke off before there was one.
    #[error("cannot reach {url}")]
    Unreachable {
        /// The URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The registry wants other credentials.
    #[error("{url} answers {status}: {}", if *anonymous { "it wants credentials and there are none" } else { "the credentials do not suffice" })]
    Denied {
        /// The URL.
        url: String,
        /// 401 or 403.
        status: StatusCode,
        /// Nothing was presented, for nothing is known for this registry.
        anonymous: bool,
    },
    /// The registry does not have it.
    #[error("{url} answers 404: it is not there")]
    NotFound {
        /// The URL.
        url: String,
    },
    /// The registry was asked too often.
    #[error("{url} answers 429: it was asked too often")]
    TooManyRequests {
        /// The URL.
        url: String,
        /// When to come again, as the registry said it.
        retry_after: Option<String>,
    },
    /// The registry is broken.
    #[error("{url} answers {status}")]
    Server {
        /// The URL.
        url: String,
        /// The status, 500 or more.
        status: StatusCode,
        /// When to come again, as the registry said it.
        retry_after: Option<String>,
    },
    /// An answer that no registry should give.
    #[error("{url} answers {status}, which is no answer to this question")]
    Unexpected {
        /// The URL.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// What came is not what was asked for.
    #[error("{url} sent {found} instead of {expected}")]
    Digest {
        /// The URL.
        url: String,
        /// What was asked for or announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The answer ended too early.
    #[error("{url} broke off after {found} of {} bytes", expected.map_or_else(|| "an unknown number of".to_owned(), |e| e.to_string()))]
    Truncated {
        /// The URL.
        url: String,
        /// How many bytes there are, if that is known.
        expected: Option<u64>,
        /// How many came.
        found: u64,
        /// What broke, if something was seen to.
        source: Option<reqwest::Error>,
    },
    /// The answer is larger than was announced or is allowed.
    #[error("{url} sent more than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The registry says how to log in, and it cannot be understood or must not be done.
    #[error("{url} wants a login that cannot be done: {why}")]
    Challenge {
        /// The URL.
        url: String,
        /// Why.
        why: String,
    },
    /// What came as a manifest is none.
    #[error("{url} sent no usable manifest")]
    Manifest {
        /// The URL.
        url: String,
        /// Why.
        source: ManifestProblem,
    },
    /// What came as a list of tags or referrers is none.
    #[error("{url} sent something that cannot be understood")]
    Json {
        /// The URL.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The registry names something in a way that is no name.
    #[error("{url} names something that has no name")]
    Name {
        /// The URL.
        url: String,
        /// Why.
        source: NameError,
    },
}

impl UpstreamError {
    /// How far an endpoint got: the error of the one that got furthest tells most.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::NoEndpoint { .. } => 0,
            Self::Unreachable { .. } => 1,
            Self::NotFound { .. } => 2,
            _ => 3,
        }
    }

    /// Whether it is about the registry's health and not about what was asked for.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TooManyRequests { .. } | Self::Server { .. } | Self::Truncated { .. })
    }

    /// When to come again, as the registry said it.
    #[must_use]
    pub fn retry_after(&self) -> Option<&str> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Server { retry_after, .. } => retry_after.as_deref(),
            _ => None,
        }
    }
}
