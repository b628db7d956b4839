//! A registry that lacks an image, and one that is unavailable for a while: on a real cluster, through the command line.
//!
//! Needs `MESHPROOF_BACKEND=kind` and `MESHPROOF_UPSTREAM_REGISTRY=HOST:PORT`, a plain-HTTP registry with the images of the spec. A small
//! reverse proxy stands before it, on the host's address in the network of kind, and misbehaves as each phase says.

#![expect(clippy::unwrap_used, reason = "a test panics")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use meshproof::engine::{Endpoint, Engine, endpoint};
use meshproof::journal::{Event, Record, StageResult};
use serde_json::Value;
use tokio::net::TcpListener;

const CLUSTER: &str = "meshproof-faults";
const LACKING: &str = "kubernetesui/dashboard";

#[derive(Debug, Clone)]
enum Mode {
    /// Knows nothing of repositories with this name.
    Lacks(&'static str),
    /// Answers 503 to everything for this long, from the first request on.
    Unavailable { lasts: Duration, since: Option<Instant>, answers: usize },
}

#[derive(Debug, Clone)]
struct Faulty {
    upstream: String,
    mode: Arc<Mutex<Mode>>,
    client: reqwest::Client,
}

impl Faulty {
    /// What the fault answers, or `None` to pass the request on.
    fn fault(&self, path: &str) -> Option<StatusCode> {
        match &mut *self.mode.lock().unwrap() {
            Mode::Lacks(repository) => path.contains(*repository).then_some(StatusCode::NOT_FOUND),
            Mode::Unavailable { lasts, since, answers } => {
                let began = *since.get_or_insert_with(Instant::now);
                let down = began.elapsed() < *lasts;
                *answers += usize::from(down);
                down.then_some(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, reqwest::Error> {
        if let Some(status) = self.fault(request.uri().path()) {
            let mut response = Response::new(Full::from(r#"{"errors":[{"code":"NAME_UNKNOWN","message":"not here"}]}"#));
            *response.status_mut() = status;
            return Ok(response);
        }
        let url = format!("http://{}{}", self.upstream, request.uri());
        let mut forward = self.client.request(request.method().clone(), url);
        for (name, value) in request.headers().iter().filter(|(name, _)| *name != hyper::header::HOST) {
            forward = forward.header(name, value);
        }
        let answer = forward.send().await?;
        let mut response = Response::builder().status(answer.status());
        for name in ["content-type", "content-length", "docker-content-digest", "docker-distribution-api-version"] {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        Ok(response.body(Full::from(answer.bytes().await?)).expect("headers that came over HTTP"))
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let registry = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| registry.clone().answer(request));
                // A client that hangs up is its own affair.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

/// Runs the command line against the faulty registry.
fn meshproof(registry: SocketAddr, state: &Path, command: &str) -> Output {
    let url = format!("http://{registry}");
    #[expect(clippy::disallowed_methods, reason = "the command line itself is what is tested")]
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_meshproof"));
    process
        .args([command, "--backend", "kind", "--format", "json", "--state-dir"])
        .arg(state)
        .arg(format!("--set=cluster.name={CLUSTER}"))
        .arg("--set=kubectlProxy.port=0")
        .arg(format!("--set=mirrors.docker.io={{server: \"{url}\", hosts: [{{url: \"{url}\"}}]}}"))
        .output()
        .expect("the binary that was just built")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The records of the newest run.
fn journal(state: &Path) -> Vec<Record> {
    let mut runs: Vec<_> = std::fs::read_dir(state.join("runs")).unwrap().map(|e| e.unwrap().path()).collect();
    runs.sort();
    meshproof::journal::read(&runs.last().unwrap().join("journal.jsonl")).unwrap()
}

/// Ends the cluster whatever happens to the test.
struct Down<'a>(SocketAddr, &'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let output = meshproof(self.0, self.1, "down");
        if !output.status.success() {
            let _ = writeln!(std::io::stderr(), "down failed: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn a_missing_image_fails_fast_and_an_unavailable_registry_does_not_fail_at_all() {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (Some("kind"), Some(upstream)) = (var("MESHPROOF_BACKEND").as_deref(), var("MESHPROOF_UPSTREAM_REGISTRY")) else {
        // Not eprintln!, which the test harness swallows where a test passes.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED registry faults: set MESHPROOF_BACKEND=kind and MESHPROOF_UPSTREAM_REGISTRY=HOST:PORT");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = runtime.block_on(async {
        let at: Endpoint = endpoint::find(|name| std::env::var(name).ok());
        let network = Engine::connect(at).await.unwrap().kind_network().await.unwrap();
        let gateways = network.expect("the network of kind, on which the registry stands").gateways;
        gateways.into_iter().find_map(|g| g.parse::<std::net::Ipv4Addr>().ok()).expect("an IPv4 gateway")
    });
    let listener = runtime.block_on(TcpListener::bind((gateway, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let mode = Arc::new(Mutex::new(Mode::Lacks(LACKING)));
    let client = meshproof::tools::plain_client().unwrap();
    runtime.spawn(Faulty { upstream, mode: Arc::clone(&mode), client }.serve(listener));
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let _down = Down(address, &state);

    lacks_an_image(address, &state);

    *mode.lock().unwrap() = Mode::Unavailable { lasts: Duration::from_secs(20), since: None, answers: 0 };
    let output = meshproof(address, &state, "run");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let Mode::Unavailable { answers, .. } = mode.lock().unwrap().clone() else { unreachable!("set above") };
    assert!(answers > 0, "nobody asked while the registry was unavailable");
    let saw = |r: &Record| matches!(&r.event, Event::StageProgress { stage, status } if stage == "dashboard" && status.contains("503"));
    assert!(journal(&state).iter().any(saw), "the stage did not say what it was waiting for");
}

fn lacks_an_image(address: SocketAddr, state: &Path) {
    let output = meshproof(address, state, "run");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report = report(&output);
    let stage = |id: &str| report["stages"].as_array().unwrap().iter().find(|s| s["id"] == id).unwrap().clone();
    let dashboard = stage("dashboard").to_string();
    for word in ["ErrImagePull", LACKING, "meshproof-faults-worker", "not found"] {
        assert!(dashboard.contains(word), "the failed stage does not say {word}: {dashboard}");
    }
    assert!(dashboard.contains("image-not-found"), "no diagnosis: {dashboard}");
    assert!(stage("admin-user").to_string().contains("blocked"), "{}", stage("admin-user"));

    for outcome in report["outcomes"].as_array().unwrap() {
        let id = outcome["id"].as_str().unwrap();
        if id.starts_with("istio.") || id.starts_with("istioctl.") || id.starts_with("gateway-api.") {
            assert_eq!(outcome["verdict"], "passed", "{outcome}");
        }
        if id == "dashboard.pods.running" || id == "dashboard.login.accepted" {
            assert_eq!(outcome["verdict"], "blocked", "{outcome}");
        }
    }

    let records = journal(state);
    let of_dashboard = |r: &&Record| match &r.event {
        Event::StageProgress { stage, status } => stage == "dashboard" && status.contains("ErrImagePull"),
        _ => false,
    };
    let terminal = records.iter().find(of_dashboard).expect("the terminal state was never reported").at;
    let failed =
        |r: &&Record| matches!(&r.event, Event::StageFinished { stage, result: StageResult::Failed { .. }, .. } if stage == "dashboard");
    let end = records.iter().find(failed).expect("the stage did not fail").at;
    let took = end.duration_since(terminal);
    assert!(took.as_secs() < 30, "it took {took:?} from the terminal state to the failure");
}
