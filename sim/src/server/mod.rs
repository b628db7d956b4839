//! The HTTP side: TLS, who is asking, whether they may, and what they get.

mod body;
mod discovery;
mod faults;
mod listen;
mod logs;
mod negotiate;
mod proxy;
mod read;
mod reviews;
mod scale;
mod watch;
mod write;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};

pub use body::Body;
pub use faults::{Fault, Faults};
pub use listen::Listening;

use crate::api::Api;
use crate::auth::identity::User;
use crate::auth::rbac::Attributes;
use crate::failure::Failure;
use crate::path::{Query, RequestInfo, Target};
use crate::resource::ResourceRef;
use crate::workload::{self, Log, Unreachable};

/// What is served below `/sim/`, to superusers alone: the way to what a cluster has besides its API, for example its nodes.
pub trait Control: Send + Sync {
    /// Answers a request; `path` is what follows `/sim`.
    fn handle<'a>(&'a self, path: &'a str, request: &'a Request<Bytes>) -> BoxFuture<'a, Response<Body>>;
}

/// What the API server reaches through kubelets and the cluster's network.
pub trait Nodes: Send + Sync {
    /// Whether a node's kubelet answers, or why it does not, in Go's words: `dial tcp 172.18.0.3:10250: connect: connection refused`.
    ///
    /// # Errors
    /// When it does not.
    fn healthz(&self, node: &str) -> Result<(), String>;
    /// The log of a container that runs or ran, or of the one before it.
    fn log(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<Log>;
    /// Passes a request on to whoever listens on its port behind an address.
    fn answer<'a>(&'a self, address: &'a str, request: workload::Request) -> BoxFuture<'a, Result<Response<Bytes>, Unreachable>>;
}

/// The API server of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    api: Api,
    nodes: Arc<dyn Nodes>,
    faults: Faults,
    control: std::sync::OnceLock<Arc<dyn Control>>,
    requests: std::sync::atomic::AtomicU64,
    connections: std::sync::atomic::AtomicUsize,
}

/// A handle that does not keep the server alive.
#[derive(Clone)]
pub struct WeakServer(std::sync::Weak<Inner>);

impl WeakServer {
    /// The server, if it is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<Server> {
        self.0.upgrade().map(Server)
    }
}

impl std::fmt::Debug for WeakServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WeakServer")
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("api", &self.0.api).finish_non_exhaustive()
    }
}

/// What a client's certificate says.
#[derive(Debug, Clone)]
pub enum Certificate {
    /// It has none.
    Absent,
    /// Nobody here signed it, or its time is over.
    Unknown,
    /// It speaks for this user.
    Of(Box<User>),
}

/// A request on a resource, as the handlers see it.
struct Call<'a> {
    server: &'a Server,
    user: &'a User,
    info: &'a RequestInfo,
    resource: ResourceRef,
    query: &'a Query,
    request: &'a Request<Bytes>,
}

impl Server {
    /// A server that nobody reaches yet.
    #[must_use]
    pub fn new(api: Api, nodes: Arc<dyn Nodes>) -> Self {
        Self(Arc::new(Inner {
            api,
            nodes,
            faults: Faults::default(),
            control: std::sync::OnceLock::new(),
            requests: std::sync::atomic::AtomicU64::new(0),
            connections: std::sync::atomic::AtomicUsize::new(0),
        }))
    }

    /// A way to the server for the cluster's own containers. It does not keep the server alive.
    #[must_use]
    pub fn call(slot: &Arc<std::sync::OnceLock<WeakServer>>) -> workload::Call {
        let slot = Arc::clone(slot);
        Arc::new(move |request| {
            let server = slot.get().and_then(WeakServer::upgrade);
            Box::pin(async move {
                let Some(server) = server else {
                    let mut nobody = Response::new(Bytes::new());
                    *nobody.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    return nobody;
                };
                let (parts, body) = server.answer(request, &Certificate::Absent).await.into_parts();
                Response::from_parts(parts, body.collect().await)
            })
        })
    }

    /// A handle that does not keep the server alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakServer {
        WeakServer(Arc::downgrade(&self.0))
    }

    /// What makes it misbehave.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Puts something below `/sim/`. Only the first one counts.
    pub fn set_control(&self, control: Arc<dyn Control>) {
        let _ = self.0.control.set(control);
    }

    /// How many requests it has had.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn api(&self) -> &Api {
        &self.0.api
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Bytes>, certificate: &Certificate) -> Response<Body> {
        self.0.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // A mistake of ours concerns the one who met it and nobody else. Source: apiserver `pkg/server/filters/wrap.go`.
        let handled = AssertUnwindSafe(self.handle(&request, certificate)).catch_unwind().await;
        let response = match handled {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => refuse(&failure),
            Err(_) => {
                let why = "This request caused apiserver to panic. Look in the logs for details.";
                refuse(&Failure::new(500, "InternalError", why))
            }
        };
        if request.method() == http::Method::HEAD { response.map(|_| Body::from(Bytes::new())) } else { response }
    }

    async fn handle(&self, request: &Request<Bytes>, certificate: &Certificate) -> Result<Response<Body>, Failure> {
        let uri = request.uri();
        // Faults do not reach what takes them back.
        if !uri.path().starts_with("/sim/")
            && let Some(response) = self.0.faults.hit(request.method(), uri.path(), self.api().clock()).await
        {
            return response;
        }
        let query = Query::parse(uri.query().unwrap_or_default());
        let user = self.authenticate(request, certificate)?;
        let target = Target::of(request.method().as_str(), uri.path(), &query)?;
        match &target {
            Target::Path { verb, path } => {
                self.authorize(&user, &Attributes { verb: verb.clone(), path: path.clone(), ..Attributes::default() })?;
                if let Some(rest) = path.strip_prefix("/sim/") {
                    return self.control(&user, rest, request).await;
                }
                discovery::answer(self, path, &query, request)
            }
            Target::Resource(info) => {
                self.authorize(&user, &attributes(info))?;
                let found = self.api().registry().by_path(&info.group, &info.version, &info.resource);
                let resource = found.ok_or_else(Failure::no_such_path)?;
                let call = Call { server: self, user: &user, info, resource, query: &query, request };
                call.dispatch().await
            }
        }
    }

    async fn control(&self, user: &User, path: &str, request: &Request<Bytes>) -> Result<Response<Body>, Failure> {
        let may = user.is_superuser() || self.api().policy().allows(user, &everything()).allowed;
        if !may {
            return Err(Failure::forbidden("", "", format!("User {:?} is no superuser", user.name)));
        }
        match self.0.control.get() {
            Some(control) => Ok(control.handle(&format!("/{path}"), request).await),
            None => Err(Failure::no_such_path()),
        }
    }

    fn authenticate(&self, request: &Request<Bytes>, certificate: &Certificate) -> Result<User, Failure> {
        let user = match (certificate, bearer(request)) {
            (Certificate::Of(user), _) => (**user).clone(),
            (_, Some(token)) => self.api().authenticate(token, &[]).map_err(|_| Failure::unauthorized())?.0,
            (Certificate::Absent, None) => User::anonymous(),
            (Certificate::Unknown, None) => return Err(Failure::unauthorized()),
        };
        self.impersonate(request, user)
    }

    /// `Impersonate-User` and `Impersonate-Group`. Source: apiserver `pkg/endpoints/filters/impersonation.go`.
    fn impersonate(&self, request: &Request<Bytes>, user: User) -> Result<User, Failure> {
        let text = |v: &http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
        let groups: Vec<String> = request.headers().get_all("impersonate-group").iter().map(text).collect();
        let Some(name) = request.headers().get("impersonate-user").map(text).filter(|name| !name.is_empty()) else {
            // Whoever wants to be less than they are must not be taken for all that they are.
            let more = request.headers().keys().any(|k| k == "impersonate-uid" || k.as_str().starts_with("impersonate-extra-"));
            if groups.is_empty() && !more {
                return Ok(user);
            }
            return Err(Failure::internal(format!("requested {groups:?} without impersonating a user")));
        };
        let mut wanted = vec![("users", name.clone())];
        wanted.extend(groups.iter().map(|g| ("groups", g.clone())));
        let mut account = None;
        if let Some((namespace, account_name)) = name.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':')) {
            wanted[0] = ("serviceaccounts", account_name.to_owned());
            account = Some((namespace.to_owned(), account_name.to_owned()));
        }
        for (resource, name) in wanted {
            let namespace = account.as_ref().filter(|_| resource == "serviceaccounts").map(|(ns, _)| ns.clone()).unwrap_or_default();
            let attributes = Attributes {
                verb: "impersonate".into(),
                resource: resource.into(),
                name,
                namespace,
                version: "v1".into(),
                ..Attributes::default()
            };
            self.authorize(&user, &attributes)?;
        }
        Ok(match account {
            Some((namespace, name)) if groups.is_empty() => User::service_account(&namespace, &name, ""),
            _ => {
                let mut groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                if name != "system:anonymous" && !groups.contains(&"system:authenticated") {
                    groups.push("system:authenticated");
                }
                User::new(&name, &groups)
            }
        })
    }

    fn authorize(&self, user: &User, attributes: &Attributes) -> Result<(), Failure> {
        if user.is_superuser() {
            return Ok(());
        }
        self.api().policy().authorize(user, attributes)
    }
}

/// What only an administrator may.
fn everything() -> Attributes {
    let any = || "*".to_owned();
    Attributes { verb: any(), group: any(), version: any(), resource: any(), ..Attributes::default() }
}

fn attributes(info: &RequestInfo) -> Attributes {
    Attributes {
        verb: info.verb.clone(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        name: info.name.clone(),
        namespace: info.namespace.clone(),
        path: String::new(),
    }
}

fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl Call<'_> {
    fn api(&self) -> &Api {
        self.server.api()
    }

    fn id(&self) -> String {
        self.resource.id()
    }

    fn namespace(&self) -> &str {
        // For `namespaces` itself the path's namespace is the object's own name.
        if self.resource.namespaced { &self.info.namespace } else { "" }
    }

    /// Whether the path is one that the resource has. A cluster-scoped resource has none below a namespace, where access rules of that
    /// namespace would count for it; and only proxies have anything behind a subresource.
    fn exists(&self) -> bool {
        let info = self.info;
        let own = info.group.is_empty() && info.resource == "namespaces" && info.named && info.namespace == info.name;
        let scoped = self.resource.namespaced || info.namespace.is_empty() || own;
        scoped && (info.subresource == "proxy" || info.subpath.trim_matches('/').is_empty())
    }

    async fn dispatch(&self) -> Result<Response<Body>, Failure> {
        let info = self.info;
        if !self.exists() {
            return Err(Failure::no_such_path());
        }
        let misplaced = match info.verb.as_str() {
            "create" => info.subresource.is_empty() && info.named,
            "update" | "patch" => !info.named,
            "watch" => self.request.method() != http::Method::GET,
            _ => self.request.method() == http::Method::HEAD && info.subresource != "proxy",
        };
        if misplaced {
            return Err(Failure::method_not_allowed());
        }
        if info.subresource.is_empty() && !self.resource.verbs.iter().any(|v| *v == info.verb) {
            return Err(Failure::method_not_allowed());
        }
        if self.resource.namespaced && self.namespace().is_empty() && !matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") {
            return match info.verb.as_str() {
                "create" if info.subresource.is_empty() => Err(Failure::bad_request("an empty namespace may not be set during creation")),
                _ => Err(Failure::no_such_path()),
            };
        }
        match (info.verb.as_str(), info.subresource.as_str()) {
            ("create", "") if reviews::is_review(&self.resource) => reviews::answer(self),
            ("get", "") => read::get(self),
            ("list", "") => read::list(self),
            ("watch", "") => watch::watch(self),
            ("create", "") => write::create(self),
            ("update", "") => write::update(self),
            ("patch", "") => write::patch(self),
            ("delete", "") => write::delete(self),
            ("deletecollection", "") => write::delete_collection(self),
            (_, "proxy") => proxy::answer(self).await,
            (_, "scale") => scale::answer(self),
            ("get", "log") if self.id() == "pods" => logs::answer(self),
            ("create", "token") if self.id() == "serviceaccounts" => reviews::token(self),
            ("create", "binding") if self.id() == "pods" => write::bind(self),
            ("create", "eviction") if self.id() == "pods" => write::evict(self),
            ("update", "finalize") if self.id() == "namespaces" => write::finalize(self),
            (_, "exec" | "attach" | "portforward") if self.id() == "pods" => {
                let message = format!("the simulated cluster does not serve pods/{}", info.subresource);
                Err(Failure::new(501, "NotImplemented", message))
            }
            ("get", "status") if self.has_status() => read::get(self),
            ("update", "status") if self.has_status() => write::update(self),
            ("patch", "status") if self.has_status() => write::patch(self),
            _ => Err(Failure::no_such_path()),
        }
    }

    fn has_status(&self) -> bool {
        self.resource.version(&self.info.version).is_some_and(|v| v.status)
    }
}

/// A `Status` answer.
fn refuse(failure: &Failure) -> Response<Body> {
    let mut response = json(StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &failure.status());
    if failure.retry_after_seconds > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, failure.retry_after_seconds.into());
    }
    if failure.code == 401 {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer realm=\"kubernetes\""));
    }
    response
}

/// A JSON answer.
fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    bytes(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

fn bytes(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    // Clients show it in logs and support cases; everything that the real server sends has it.
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    bytes(status, "text/plain; charset=utf-8", text.into())
}
