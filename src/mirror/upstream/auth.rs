//! Logging in: a challenge is answered once, and what came of it is used until it expires.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::UpstreamError;
use super::challenge::{self, Challenge};
use super::credentials::{Credentials, Login, Secret};
use super::endpoint::Base;
use super::request::{limited, status_error};

/// How long a token is good that does not say so itself.
const DEFAULT_LIFE: u64 = 60;
/// Tokens are given up this early, so that none expires on its way.
const MARGIN: Duration = Duration::from_secs(5);
const MAX_TOKEN: u64 = 1024 * 1024;
/// How often a login is thrown away to make room; clients have a handful.
const MAX_KEPT: usize = 1024;
const CLIENT_ID: &str = "meshproof";

/// What was answered to challenges, by endpoint and scope.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<HashMap<(String, String), Kept>>);

#[derive(Debug)]
struct Kept {
    /// Marked as sensitive, so that it is not shown.
    header: HeaderValue,
    until: Option<Instant>,
}

#[derive(Deserialize)]
struct Granted {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl Logins {
    /// The header that is still good.
    pub(super) fn get(&self, base: &Base, scope: &str) -> Option<HeaderValue> {
        let kept = self.lock();
        let kept = kept.get(&(base.key().to_owned(), scope.to_owned()))?;
        kept.until.is_none_or(|until| Instant::now() < until).then(|| kept.header.clone())
    }

    pub(super) fn forget(&self, base: &Base, scope: &str) {
        self.lock().remove(&(base.key().to_owned(), scope.to_owned()));
    }

    fn keep(&self, base: &Base, scope: &str, header: &HeaderValue, until: Option<Instant>) {
        let mut all = self.lock();
        if all.len() >= MAX_KEPT {
            all.clear();
        }
        all.insert((base.key().to_owned(), scope.to_owned()), Kept { header: header.clone(), until });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what an answer with 401 asks for. None when it cannot be done without credentials.
    pub(super) async fn answer(
        &self,
        client: &reqwest::Client,
        credentials: &Credentials,
        base: &Base,
        scope: &str,
        refused: &Response,
        url: &str,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        let headers = refused.headers().get_all(header::WWW_AUTHENTICATE);
        let wrong = |why: &str| UpstreamError::Challenge { url: url.to_owned(), why: why.to_owned() };
        let login = credentials.get(&base.host);
        let (header, until) = match challenge::parse(headers.iter().filter_map(|h| h.to_str().ok())) {
            None => return Err(wrong("it answers 401 without a challenge that is known")),
            Some(Challenge::Basic) => match login {
                Some(Login::Password { username, password }) => (basic(username, password), None),
                _ => return Ok(None),
            },
            Some(Challenge::Bearer { realm, service, scope: asked }) => {
                let realm: Url = realm.parse().map_err(|_| wrong("the realm of its challenge is no URL"))?;
                match realm.scheme() {
                    "https" => {}
                    "http" if !base.is_secure() => {}
                    _ => return Err(wrong("the realm of its challenge is not https")),
                }
                let scope = asked.as_deref().unwrap_or(scope);
                let token = fetch(client, realm, service.as_deref(), scope, login).await?;
                let life = Duration::from_secs(token.expires_in.filter(|e| *e > 0).unwrap_or(DEFAULT_LIFE));
                let Some(value) = token.token.or(token.access_token).filter(|t| !t.reveal().is_empty()) else {
                    return Err(wrong("no token came from the realm of its challenge"));
                };
                let header = sensitive(&format!("Bearer {}", value.reveal()));
                (header, Instant::now().checked_add(life.saturating_sub(MARGIN)))
            }
        };
        let header = header.ok_or_else(|| wrong("what is to be presented does not fit in a header"))?;
        self.keep(base, scope, &header, until);
        Ok(Some(header))
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal()))))
}

async fn fetch(
    client: &reqwest::Client,
    mut realm: Url,
    service: Option<&str>,
    scope: &str,
    login: Option<&Login>,
) -> Result<Granted, UpstreamError> {
    let shown = {
        let mut shown = realm.clone();
        shown.set_query(None);
        shown.to_string()
    };
    let wanted = service.map(|s| ("service", s)).into_iter().chain([("scope", scope)]);
    let request = match login {
        Some(Login::IdentityToken(token)) => {
            // Only to encode the form.
            let mut form = Url::parse("http://form").expect("a constant URL");
            form.query_pairs_mut()
                .extend_pairs([("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token.reveal())])
                .extend_pairs(wanted);
            let body = form.query().unwrap_or_default().to_owned();
            client.post(realm).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
        }
        Some(Login::Password { username, password }) => {
            realm.query_pairs_mut().extend_pairs(wanted).append_pair("account", username).append_pair("client_id", CLIENT_ID);
            let request = client.get(realm);
            match basic(username, password) {
                Some(header) => request.header(header::AUTHORIZATION, header),
                None => request,
            }
        }
        None => {
            realm.query_pairs_mut().extend_pairs(wanted);
            client.get(realm)
        }
    };
    let response = request.send().await.map_err(|e| UpstreamError::Unreachable { url: shown.clone(), source: e.without_url() })?;
    if response.status() != StatusCode::OK {
        return Err(status_error(&response, &shown, login.is_none()));
    }
    let body = limited(response, &shown, MAX_TOKEN).await?;
    // The error of the parser could show a piece of the token.
    serde_json::from_slice(&body)
        .map_err(|_| UpstreamError::Challenge { url: shown, why: "what came instead of a token cannot be understood".to_owned() })
}
