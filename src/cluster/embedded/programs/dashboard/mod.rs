//! The Dashboard's backend. Source: kubernetes/dashboard v2.7.0 `src/app/backend`.

mod ask;
mod keys;
mod lists;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sim::Api;
use sim::workload::{Instance, Log, Process, Request, Start, Unreachable, Workload};
use tokio::sync::watch;

use self::ask::{Asker, Refusal};
use self::keys::Keys;
use self::session::{Expired, Sessions};
use super::life::Life;
use super::{pod_namespace, reply};
use crate::journal::Secret;

const PORT: u16 = 8443;
const UNAUTHORIZED: &str = "MSG_LOGIN_UNAUTHORIZED_ERROR";

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Kubernetes Dashboard (simulated)</title></head>\n\
    <body>\n<h1>Kubernetes Dashboard (simulated)</h1>\n<p>This is a stand-in of the embedded cluster: it has the Dashboard's login and \
    lists under <code>/api/v1</code>, and no user interface.</p>\n</body>\n</html>\n";

pub(super) struct Dashboard;

struct Backend {
    life: Life,
    serves: Arc<AtomicBool>,
    api: Api,
    asker: Asker,
    keys: Keys,
    believes: Believes,
}

/// What it takes without asking. The real one has no such argument: it is there to show what a Dashboard that does so is found out by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believes {
    Nothing,
    /// Whatever somebody logs in with.
    Tokens,
    /// Whoever comes, without a session as well.
    Everybody,
}

impl Believes {
    fn of(start: &Start) -> Self {
        let containers = start.pod["spec"]["containers"].as_array();
        let own = containers.into_iter().flatten().find(|c| c["name"] == start.container.as_str());
        let arguments: Vec<&str> = own.and_then(|c| c["args"].as_array()).into_iter().flatten().filter_map(Value::as_str).collect();
        match arguments.iter().find_map(|a| a.strip_prefix("--believe=")) {
            Some("tokens") => Self::Tokens,
            Some("everybody") => Self::Everybody,
            _ => Self::Nothing,
        }
    }
}

impl Workload for Dashboard {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        let believes = Believes::of(&start);
        let asker = Asker::new(Arc::clone(&start.call));
        let keys = Keys::new(start.api.clone(), pod_namespace(&start));
        let (life, serves) = (Life::default(), Arc::new(AtomicBool::new(false)));
        life.spawn(begin(start.api.clone(), start.log, asker.clone(), keys.clone(), Arc::clone(&serves)));
        Arc::new(Backend { life, serves, api: start.api, asker, keys, believes })
    }
}

/// What it does before it listens: without an API server there is no Dashboard.
async fn begin(api: Api, log: Log, asker: Asker, keys: Keys, serves: Arc<AtomicBool>) -> Option<Process> {
    let say = |text: &str| {
        let now = api.clock().now();
        log.line(now, format!("{} {text}", now.strftime("%Y/%m/%d %H:%M:%S")));
    };
    say("Starting overwatch");
    say(&format!("Using namespace: {}", keys.namespace()));
    say("Using in-cluster config to connect to apiserver");
    let answer = asker.version(None).await;
    if answer.is_err_and(|refusal| refusal.code >= 500) {
        say("Error while initializing connection to Kubernetes apiserver. This most likely means that the cluster is misconfigured");
        return Some(Process::Exited { code: 1, reason: "Error".to_owned() });
    }
    say(&format!("Successful initial request to the apiserver, version: {}", api.version()));
    say("Generating JWE encryption key");
    keys.session();
    say("Initializing csrf token from kubernetes-dashboard-csrf secret");
    keys.csrf();
    say("Auto-generating certificates");
    say("Successfully created certificates");
    serves.store(true, Ordering::Release);
    say(&format!("Serving securely on HTTPS port: {PORT}"));
    None
}

impl Backend {
    async fn reply(&self, request: Request) -> reply::Reply {
        if request.port != PORT || !self.life.runs() || !self.serves.load(Ordering::Acquire) {
            return Err(Unreachable::Refused);
        }
        if let Some(mismatch) = reply::mismatch(&request, true) {
            return mismatch;
        }
        let path = reply::path(&request).to_owned();
        let Some(path) = path.strip_prefix("/api/v1/") else {
            let page = request.method == Method::GET && matches!(path.as_str(), "/" | "/index.html");
            return Ok(if page { reply::html(PAGE) } else { reply::not_found() });
        };
        let parts: Vec<&str> = path.split('/').collect();
        let read = request.method == Method::GET;
        if request.method == Method::POST && !self.keys.accepts(header(&request, "X-CSRF-TOKEN"), parts[0], self.api.clock().now()) {
            return Ok(reply::text(StatusCode::UNAUTHORIZED, "CSRF validation failed\n"));
        }
        Ok(match parts.as_slice() {
            ["csrftoken", action] if read => reply::json(&json!({"token": self.keys.token(action, self.api.clock().now())})),
            ["login"] if !read => self.login(&request.body).await,
            ["login", "status"] if read => reply::json(&status(&request)),
            ["login", "modes"] if read => reply::json(&json!({"modes": ["token"]})),
            ["login", "skippable"] if read => reply::json(&json!({"skippable": false})),
            ["token", "refresh"] if !read => self.refresh(&request.body),
            [kind] if read => self.list(&request, kind, "").await,
            [kind, namespace] if read => self.list(&request, kind, namespace).await,
            _ => reply::not_found(),
        })
    }

    fn sessions(&self) -> Sessions {
        Sessions::new(self.keys.session())
    }

    /// Source: `auth/handler.go`, `auth/manager.go`, `client/manager.go` `HasAccess`.
    async fn login(&self, body: &[u8]) -> Response<Bytes> {
        let given: Value = match serde_json::from_slice(body) {
            Ok(given) => given,
            Err(e) => return internal(&e.to_string()),
        };
        let Some(token) = given["token"].as_str().filter(|t| !t.is_empty()).map(Secret::new) else {
            return internal("Not enough data to create authenticator.");
        };
        let who = match self.believes {
            Believes::Tokens => Ok("somebody".to_owned()),
            _ => self.asker.who(&token).await,
        };
        match who {
            Ok(name) => match self.sessions().seal(&token, self.api.clock().now()) {
                Some(session) => reply::json(&json!({"name": name, "jweToken": session.expose(), "errors": []})),
                None => internal("the session cannot be encrypted"),
            },
            // The one who asks must look for the errors: the status says that all is well.
            Err(refusal) if refusal.is_about_access() => {
                reply::json(&json!({"name": "", "jweToken": "", "errors": [refusal.localised().error()]}))
            }
            Err(refusal) => refusal.response(),
        }
    }

    /// Source: `auth/jwe/manager.go` `Refresh`.
    fn refresh(&self, body: &[u8]) -> Response<Bytes> {
        let given: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(old) = given["jweToken"].as_str().filter(|t| !t.is_empty()) else {
            return internal("Can not refresh token. No token provided.");
        };
        let now = self.api.clock().now();
        let renewed = self.sessions().open(old, now).map(|token| self.sessions().seal(&token, now));
        match renewed {
            Ok(Some(session)) => reply::json(&json!({"name": "", "jweToken": session.expose(), "errors": []})),
            Ok(None) => internal("the session cannot be encrypted"),
            Err(expired) => reply::text(StatusCode::UNAUTHORIZED, format!("{expired}\n")),
        }
    }

    async fn list(&self, request: &Request, kind: &str, namespace: &str) -> Response<Bytes> {
        let Some(kind) = lists::Kind::of(kind).filter(|k| namespace.is_empty() || k.namespaced()) else { return reply::not_found() };
        match self.token(request) {
            Ok(Some(token)) => match self.asker.list(kind, namespace, &token).await {
                Ok(items) => reply::json(&kind.list(&items, &[], lists::Page::of(&request.path))),
                Err(refusal) if refusal.is_about_access() => reply::json(&kind.list(&[], &[refusal.error()], lists::Page::ALL)),
                Err(refusal) => refusal.response(),
            },
            Ok(None) if self.believes == Believes::Everybody => reply::json(&kind.list(&[], &[], lists::Page::ALL)),
            Ok(None) => reply::text(StatusCode::UNAUTHORIZED, format!("{UNAUTHORIZED}\n")),
            Err(expired) => reply::text(StatusCode::UNAUTHORIZED, format!("{expired}\n")),
        }
    }

    /// The token that a request speaks with. The header of its own comes first; through the API server it never arrives.
    fn token(&self, request: &Request) -> Result<Option<Secret>, Expired> {
        let bearer = header(request, AUTHORIZATION.as_str()).and_then(|h| h.strip_prefix("Bearer "));
        if let Some(token) = bearer.map(str::trim).filter(|t| !t.is_empty()) {
            return Ok(Some(Secret::new(token)));
        }
        match header(request, "jweToken").filter(|s| !s.is_empty()) {
            Some(session) => self.sessions().open(session, self.api.clock().now()).map(Some),
            None => Ok(None),
        }
    }
}

/// Whether the headers are there, not whether they are any good. Source: `validation/validateloginstatus.go`.
fn status(request: &Request) -> Value {
    let present = |name: &str| header(request, name).is_some_and(|h| !h.is_empty());
    let mut status = json!({
        "tokenPresent": present("jweToken"), "headerPresent": present(AUTHORIZATION.as_str()), "httpsMode": request.tls,
        "impersonationPresent": present("Impersonate-User"),
    });
    if let Some(user) = header(request, "Impersonate-User") {
        status["impersonatedUser"] = json!(user);
    }
    status
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

fn internal(message: &str) -> Response<Bytes> {
    Refusal::internal(message).response()
}

impl Instance for Backend {
    fn process(&self) -> watch::Receiver<Process> {
        self.life.watch()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(self.reply(request))
    }

    fn stop(&self) {
        self.life.stop();
    }
}
