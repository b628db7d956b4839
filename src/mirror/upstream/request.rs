//! One request to one endpoint: login, one retry, and what the status means.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::Response;

use super::endpoint::Base;
use super::{Client, UpstreamError};

/// What is asked of an endpoint.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below `/v2/`.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// The path of the repository, for the login.
    pub(super) repository: &'a str,
    pub(super) headers: HeaderMap,
}

/// A good answer, and the URL without its query that it was asked with.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) url: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("url", &self.url).field("status", &self.response.status()).finish_non_exhaustive()
    }
}

impl Client {
    /// Asks one endpoint. Anything but success is an error.
    pub(super) async fn ask(&self, base: &Base, ask: &Ask<'_>) -> Result<Answer, UpstreamError> {
        let scope = format!("repository:{}:pull", ask.repository);
        let url = base.url(ask.path, ask.query);
        let shown = base.url(ask.path, &[]).to_string();
        let client = self.http(base);
        let send = async |authorization: Option<HeaderValue>| {
            let mut headers = ask.headers.clone();
            headers.extend(authorization.map(|a| (header::AUTHORIZATION, a)));
            let request = || client.request(ask.method.clone(), url.clone()).headers(headers.clone()).send();
            let first = request().await;
            // A kept connection may be closed by the other side at the very moment it is used again.
            let again = first.as_ref().is_err_and(|e| !e.is_timeout() && !e.is_redirect() && !e.is_builder() && !e.is_connect());
            let last = if again { request().await } else { first };
            last.map_err(|e| UpstreamError::Unreachable { url: shown.clone(), source: e.without_url() })
        };
        let kept = self.logins().get(base, &scope);
        let mut response = send(kept.clone()).await?;
        let mut anonymous = kept.is_none();
        if response.status() == StatusCode::UNAUTHORIZED {
            self.logins().forget(base, &scope);
            let login = self.logins().answer(client, self.credentials(), base, &scope, &response, &shown).await?;
            if let Some(login) = login {
                response = send(Some(login)).await?;
                anonymous = self.credentials().get(&base.host).is_none();
            }
        }
        if response.status().is_success() {
            return Ok(Answer { response, url: shown });
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            self.logins().forget(base, &scope);
        }
        Err(status_error(&response, &shown, anonymous))
    }
}

/// What a status that is no success means.
pub(super) fn status_error(response: &Response, url: &str, anonymous: bool) -> UpstreamError {
    let url = url.to_owned();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
    match response.status() {
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => UpstreamError::Denied { url, status, anonymous },
        StatusCode::NOT_FOUND => UpstreamError::NotFound { url },
        StatusCode::TOO_MANY_REQUESTS => UpstreamError::TooManyRequests { url, retry_after },
        status if status.is_server_error() => UpstreamError::Server { url, status, retry_after },
        status => UpstreamError::Unexpected { url, status },
    }
}

/// A whole body that must be small.
pub(super) async fn limited(mut response: Response, url: &str, limit: u64) -> Result<Bytes, UpstreamError> {
    let expected = content_length(response.headers());
    let too_large = || UpstreamError::TooLarge { url: url.to_owned(), limit };
    if expected.is_some_and(|e| e > limit) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > limit => return Err(too_large()),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Err(e) => {
                let (url, found) = (url.to_owned(), bytes.len() as u64);
                return Err(UpstreamError::Truncated { url, expected, found, source: Some(e.without_url()) });
            }
        }
    }
}

/// The header itself: reqwest's own idea is none for answers to `HEAD`.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
