//! `kubectl proxy`: a program that prints what a test wants, and a server that answers where it says that it serves.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cluster::Capability;
use crate::journal::{Event, Verdict};
use crate::outcomes::{Environment, Judged, Outcome, builtin, judge, judge_all, login};
use crate::testing::environment::World;
use crate::testing::guide::CONTROL_PLANE;
use crate::testing::promptly;
use crate::tools::turn::forget;

/// What came in: method, path without its query, and the host by its name alone.
type Asked<'a> = (&'a Method, &'a str, &'a str);
type Answer = (u16, String);

const FOREIGN: &str = "dashboard.example.com";
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// What both forms of the proxy answer: the server cannot tell which of them runs.
fn healthy((method, path, host): Asked<'_>) -> Answer {
    let words = |status: u16, text: &str| (status, text.to_owned());
    match path {
        WHO_AM_I if method == Method::POST => {
            let user = json!({"username": "kubernetes-admin", "groups": ["system:masters"]});
            (201, json!({"status": {"userInfo": user}}).to_string())
        }
        _ if host == FOREIGN => words(403, "Forbidden"),
        "/version" => words(200, r#"{"gitVersion": "v1.33.4"}"#),
        path if path.ends_with("/exec") || path.ends_with("/attach") => words(403, "Forbidden"),
        path if path == format!("{}/", login::base()) => words(200, "<!DOCTYPE html><HTML lang=\"en\">"),
        path if method == Method::GET && path.starts_with("/api/v1/namespaces/kube-system/pods/") => words(200, "{}"),
        path => words(404, &format!("nobody asks for {path}")),
    }
}

/// A world with a `kubectl proxy`.
struct Proxied {
    world: World,
    address: SocketAddr,
}

impl Drop for Proxied {
    fn drop(&mut self) {
        let port = self.address.port();
        [port, port.wrapping_add(1)].into_iter().for_each(forget);
    }
}

impl Proxied {
    async fn new(answer: impl Fn(Asked<'_>) -> Answer + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", answer).await
    }

    async fn at(ip: &str, answer: impl Fn(Asked<'_>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request: Request<Incoming>| {
                    let host = request.headers()[http::header::HOST].to_str().unwrap().split(':').next().unwrap_or_default().to_owned();
                    let (status, body) = answer((request.method(), request.uri().path(), &host));
                    let response = Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap();
                    async { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let mut proxied = Self { world: World::healthy(), address };
        proxied.world.spec.kubectl_proxy.port = address.port();
        proxied.prints(&format!("Starting to serve on 127.0.0.1:{}", address.port()));
        proxied
    }

    /// What the default form prints.
    fn prints(&mut self, line: &str) {
        let port = self.address.port();
        self.runs(&format!("echo '{line}'; exec sleep 600"), &format!("echo 'Starting to serve on [::]:{port}'; exec sleep 600"));
    }

    /// What the default form and the wildcard form do.
    fn runs(&mut self, default: &str, wildcard: &str) {
        let version = self.world.spec.tools.kubectl.version.clone();
        let started = self.started();
        let body = format!(
            "case \"$*\" in\n  'version --client'*) echo '{{\"clientVersion\":{{\"gitVersion\":\"v{version}\"}}}}'; exit 0 ;;\n  *proxy*) ;;\n  *) exit 1 ;;\nesac\n\
             echo \"$*\" >> '{}'\ncase \"$*\" in\n  *--address=0.0.0.0*) {wildcard} ;;\n  *) {default} ;;\nesac",
            started.display()
        );
        let path = crate::tools::testing::script(&self.world.dir.path().join("home"), "kubectl", &body);
        self.world.spec.tools.kubectl.path = Some(path.display().to_string());
    }

    fn started(&self) -> PathBuf {
        self.world.dir.path().join("home/started")
    }

    /// The command lines that it was started with.
    fn starts(&self) -> Vec<String> {
        std::fs::read_to_string(self.started())
            .unwrap_or_default()
            .lines()
            .filter_map(|line| Some(line[line.find("proxy --")?..].to_owned()))
            .collect()
    }

    /// Nodes reach this machine at these ports; to anything else a connection fails.
    fn nodes_reach(&mut self, reaches: impl Fn(u16) -> bool + Send + Sync + 'static) {
        self.world.capabilities.give(Capability::HOST_NETWORK);
        self.world.nodes.answer(CONTROL_PLANE, "ip -4 route show default", 0, "default via 127.0.0.1 dev eth0\n", "");
        self.world
            .nodes
            .runs(CONTROL_PLANE, "timeout 3 bash -c exec 3<>/dev/tcp/127.0.0.1/", move |port| i64::from(!port.parse().is_ok_and(&reaches)));
    }

    async fn judged(&self, id: &str) -> Judged {
        live(&self.world, judge(&outcome(id), &self.world.open().await)).await
    }

    /// Why an outcome fails; nothing if it passes.
    async fn reason(&self, id: &str) -> Option<String> {
        match self.judged(id).await.verdict {
            Verdict::Passed => None,
            Verdict::Failed { reason } => Some(reason),
            other => panic!("{id}: {other:?}"),
        }
    }
}

/// Lets the world's clock go with the real one, by which its programs live.
async fn live<F: Future>(world: &World, future: F) -> F::Output {
    const TICK: Duration = Duration::from_millis(10);
    let clock = async {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            world.clock.advance(TICK);
        }
    };
    tokio::select! {
        output = promptly(future) => output,
        never = clock => never,
    }
}

fn outcome(id: &str) -> Outcome {
    super::cases::outcome(&format!("dashboard.proxy.{id}"))
}

/// Those that look at a running proxy, in their order.
fn group() -> Vec<Outcome> {
    builtin().into_iter().filter(|o| o.group == Some("kubectl-proxy")).collect()
}

#[tokio::test]
async fn outcomes_share_one_proxy_until_the_last_of_them_is_judged() {
    let mut proxied = Proxied::new(healthy).await;
    proxied.nodes_reach(|_| true);
    let env = proxied.world.open().await;
    let port = proxied.address.port();
    let own = format!("proxy --port={port}");
    let wild = format!("{own} --address=0.0.0.0 --accept-hosts=.* --accept-paths=^/apis/authentication\\.k8s\\.io/v1/selfsubjectreviews$");
    let (mut alone, wildcard): (Vec<_>, Vec<_>) = group().into_iter().partition(|o| o.id != "dashboard.proxy.wildcard-open");
    // The nodes of this test are on this machine, so they reach it all.
    alone.retain(|o| o.id != "dashboard.proxy.loopback-only");
    let all = [alone.clone(), wildcard].concat();
    let none = BTreeMap::new();
    let judged = live(&proxied.world, judge_all(&all, &env, &none, &env.context.journal)).await;
    for (outcome, judged) in all.iter().zip(&judged) {
        assert_eq!(judged.verdict, Verdict::Passed, "{}", outcome.id);
    }
    assert_eq!(proxied.starts(), [own.clone(), wild.clone()]);
    assert!(ended(&env).await, "nothing is left running");
    // The last of them ends it, whatever it looks at; and each alone.
    live(&proxied.world, judge_all(&alone, &env, &none, &env.context.journal)).await;
    assert!(ended(&env).await);
    live(&proxied.world, judge(&outcome("serves"), &env)).await;
    assert!(ended(&env).await);
    assert_eq!(proxied.starts(), [own.clone(), wild, own.clone(), own]);
    let finished = env.context.journal.records().into_iter().filter_map(|r| match r.event {
        Event::CommandFinished(command) if command.argv.iter().any(|a| a == "proxy") => Some(command.stderr),
        _ => None,
    });
    let finished: Vec<String> = finished.collect();
    assert!(finished.len() == 4 && finished.iter().all(|said| !said.contains("nobody waits")), "every end was awaited: {finished:?}");
}

async fn ended(env: &Environment) -> bool {
    env.kubectl_proxy.lock().await.is_none()
}

#[tokio::test]
async fn the_first_line_says_where_it_serves() {
    let mut proxied = Proxied::new(healthy).await;
    let port = proxied.address.port();
    let judged = proxied.judged("serves").await;
    assert_eq!(judged.verdict, Verdict::Passed);
    assert_eq!(judged.evidence["version"], "v1.33.4");
    let asked_for = format!("not on 127.0.0.1:{}", port + 1);
    for (line, wanted_port, part) in [
        (format!("Starting to serve on 127.0.0.1:{port}"), port + 1, asked_for.as_str()),
        (format!("Starting to serve on 127.0.0.2:{port}"), port, "`kubectl proxy` serves on 127.0.0.2:"),
        (format!("Starting to serve on [::1]:{port}"), port, "`kubectl proxy` serves on [::1]:"),
        ("Starting to serve on somewhere".to_owned(), port, "`kubectl proxy` serves on somewhere, which has no port"),
        ("error: no".to_owned(), port, "`kubectl proxy` printed `error: no`"),
    ] {
        proxied.prints(&line);
        proxied.world.spec.kubectl_proxy.port = wanted_port;
        let reason = proxied.reason("serves").await;
        assert!(reason.as_ref().is_some_and(|r| r.contains(part)), "{line}: {reason:?}");
    }
    // Any port will do where none is asked for.
    proxied.prints(&format!("Starting to serve on 127.0.0.1:{port}"));
    proxied.world.spec.kubectl_proxy.port = 0;
    assert_eq!(proxied.reason("serves").await, None);
    proxied.runs("echo 'error: address in use' >&2; exit 1", "exit 1");
    assert_eq!(proxied.reason("serves").await.as_deref(), Some("`kubectl proxy` ended: error: address in use"));
}

#[tokio::test]
async fn what_the_proxy_answers_is_judged() {
    type Change = fn(Asked<'_>) -> Option<Answer>;
    let cases: [(&str, Change, &str); 14] = [
        ("serves", |a| (a.1 == "/version").then(|| (500, "no".into())), "/version through the proxy gives HTTP 500"),
        (
            "serves",
            |a| a.1.ends_with(":/proxy/").then(|| (503, "<html>no endpoints".into())),
            "the Dashboard through the proxy gives HTTP 503",
        ),
        ("serves", |a| a.1.ends_with(":/proxy/").then(|| (200, "hello".into())), "the Dashboard through the proxy gives HTTP 200"),
        ("foreign-host-refused", |a| (a.2 == "localhost").then(|| (403, "Forbidden".into())), "the host localhost is refused"),
        ("foreign-host-refused", |a| (a.2 == FOREIGN).then(|| (200, "{}".into())), "a foreign host gets HTTP 200"),
        ("foreign-host-refused", |a| (a.2 == FOREIGN).then(|| (401, "no".into())), "a foreign host gets HTTP 401"),
        ("exec-refused", |a| (*a.0 == Method::GET).then(|| (404, "no".into())), "the pod itself is refused: HTTP 404"),
        ("exec-refused", |a| a.1.ends_with("/exec").then(|| (200, String::new())), "exec gets HTTP 200"),
        ("exec-refused", |a| a.1.ends_with("/attach").then(|| (403, r#"{"kind":"Status"}"#.into())), "attach gets HTTP 403"),
        ("loopback-only", |a| (a.1 == "/version").then(|| (403, "no".into())), "this machine itself gets HTTP 403"),
        ("wildcard-open", |a| (a.1 == WHO_AM_I).then(|| (403, "no".into())), "a foreign host without a credential gets HTTP 403"),
        ("wildcard-open", |a| who(a, "system:anonymous"), "a foreign host without a credential gets HTTP 201"),
        ("wildcard-open", |a| who(a, ""), "a foreign host without a credential gets HTTP 201"),
        ("wildcard-open", |a| (a.1 == "/version").then(|| (200, "{}".into())), "more is open than is shown: /version gives HTTP 200"),
    ];
    for (id, change, part) in cases {
        let proxied = Proxied::new(move |asked| change(asked).unwrap_or_else(|| healthy(asked))).await;
        let reason = proxied.reason(id).await;
        assert!(reason.as_ref().is_some_and(|r| r.contains(part) && !r.contains("; ")), "{id}: {part}: {reason:?}");
    }
}

/// A review that names this user.
fn who((_, path, _): Asked<'_>, name: &str) -> Option<Answer> {
    (path == WHO_AM_I).then(|| (201, json!({"status": {"userInfo": {"username": name}}}).to_string()))
}

#[tokio::test]
async fn the_wildcard_form_listens_on_every_address_and_says_so() {
    let mut proxied = Proxied::new(healthy).await;
    let port = proxied.address.port();
    let judged = proxied.judged("wildcard-open").await;
    assert_eq!(judged.verdict, Verdict::Passed);
    let seen = &judged.evidence["asForeignHostWithoutAnyCredential"];
    assert_eq!(*seen, json!({"status": 201, "user": "kubernetes-admin", "groups": ["system:masters"]}));
    let default = format!("Starting to serve on 127.0.0.1:{port}");
    proxied.runs("exit 1", &format!("echo '{default}'; exec sleep 600"));
    let wanted = format!(
        "the wildcard form prints the line of the default form, as the guide has it; the wildcard form listens on 127.0.0.1:{port}"
    );
    assert_eq!(proxied.reason("wildcard-open").await, Some(wanted));
}

#[tokio::test]
async fn a_node_tells_whether_the_proxy_is_reached_if_it_reaches_this_machine_at_all() {
    let mut proxied = Proxied::new(healthy).await;
    let port = proxied.address.port();
    let from_node = async |proxied: &Proxied, id: &str| {
        let judged = proxied.judged(id).await;
        (judged.verdict == Verdict::Passed, judged.evidence["fromNode"].clone())
    };
    let told = |reached: bool| json!({"node": CONTROL_PLANE, "reached": reached});
    // Without a way that would prove something nothing is said of it.
    assert_eq!(from_node(&proxied, "loopback-only").await, (true, Value::Null));
    assert_eq!(from_node(&proxied, "wildcard-open").await, (true, Value::Null));
    proxied.nodes_reach(|_| false);
    assert_eq!(from_node(&proxied, "loopback-only").await, (true, Value::Null));
    proxied.nodes_reach(move |to| to != port);
    assert_eq!(from_node(&proxied, "loopback-only").await, (true, told(false)));
    assert_eq!(from_node(&proxied, "wildcard-open").await, (false, told(false)));
    assert_eq!(proxied.reason("wildcard-open").await, Some(format!("{CONTROL_PLANE} does not reach the wildcard form")));
    proxied.nodes_reach(|_| true);
    assert_eq!(from_node(&proxied, "wildcard-open").await, (true, told(true)));
    assert_eq!(from_node(&proxied, "loopback-only").await, (false, told(true)));
    assert_eq!(proxied.reason("loopback-only").await, Some(format!("`kubectl proxy` is reached from node {CONTROL_PLANE}")));
    for route in ["", "default dev eth0\n"] {
        proxied.world.nodes.answer(CONTROL_PLANE, "ip -4 route show default", 0, route, "");
        assert_eq!(from_node(&proxied, "loopback-only").await, (true, Value::Null), "{route}");
    }
}

#[tokio::test]
async fn what_listens_counts_whatever_is_printed() {
    let proxied = Proxied::at("0.0.0.0", healthy).await;
    let wanted = format!("`kubectl proxy` listens on 0.0.0.0:{}, which others reach", proxied.address.port());
    assert_eq!(proxied.reason("loopback-only").await, Some(wanted));
}
