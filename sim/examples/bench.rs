//! What the simulated cluster can do on this machine: `bench requests|pods|clusters`, each in a process of its own so that its
//! memory is its own. `requests` also takes a kubeconfig, to put the same load on another API server. Run it from `ci/bench/sim.sh`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use sim::cluster::MachineSettings;
use sim::net::Network;
use sim::node::{ContainerdVersion, Image};
use sim::workload::Workloads;
use sim::{Clock, Cluster, Settings};
use tokio::net::TcpStream;

const WINDOW: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 4;

/// Where an API server is and how to get in.
#[derive(Clone)]
struct Target {
    host: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Target {
    fn from_kubeconfig(text: &str) -> Self {
        let config: Value = serde_saphyr::from_str(text).unwrap();
        let data = |v: &Value| base64::engine::general_purpose::STANDARD.decode(v.as_str().unwrap()).unwrap();
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&data(&cluster["certificate-authority-data"])).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&data(&user["client-certificate-data"])).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&data(&user["client-key-data"])).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        let host = cluster["server"].as_str().unwrap().trim_start_matches("https://").to_owned();
        Self { host, tls: Arc::new(tls) }
    }

    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.unwrap();
        let (send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Connection { send, host: self.host.clone() }
    }
}

struct Connection {
    send: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn open(&mut self, method: &str, path: &str, kind: &str, body: &str) -> http::Response<hyper::body::Incoming> {
        let request = http::Request::builder().method(method).uri(path).header("host", &self.host).header("content-type", kind);
        self.send.ready().await.unwrap();
        self.send.send_request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap()
    }

    async fn ask(&mut self, method: &str, path: &str, kind: &str, body: &str) -> (u16, Bytes) {
        let response = self.open(method, path, kind, body).await;
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }
}

async fn cluster(nodes: usize) -> Cluster {
    let machine = |i: usize| MachineSettings {
        name: format!("node-{i}"),
        role: if i == 0 { "control-plane" } else { "worker" }.to_owned(),
        address: format!("172.18.{}.{}", i / 250, i % 250 + 2),
        config_patches: Vec::new(),
        mounts: Vec::new(),
        static_pods: Vec::new(),
    };
    let settings = Settings {
        name: "bench".to_owned(),
        version: "v1.33.4".to_owned(),
        containerd: ContainerdVersion(2, 1, 4),
        machines: (0..nodes).map(machine).collect(),
        objects: Vec::new(),
        preloaded: vec![Image::preloaded("registry.k8s.io/pause:3.10", &sim::oci::Config::default(), 1 << 20).unwrap()],
        workloads: Workloads::default(),
        network: Network::closed(),
        registries: Vec::new(),
        roots: rustls::RootCertStore::empty(),
        clock: Clock::default(),
        stages: None,
        port: 0,
    };
    Cluster::start(settings).await.unwrap()
}

/// Resolves when all nodes are Ready.
async fn ready(cluster: &Cluster, nodes: usize) {
    let store = cluster.api().store();
    let mut changed = store.subscribe("nodes");
    let is_ready =
        |v: &Value| v["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    while store.list("nodes", "").1.iter().filter(|n| is_ready(&n.value())).count() < nodes {
        changed.changed().await.unwrap();
    }
}

/// A number of `/proc/self/status`, in MiB.
fn memory(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// How many requests a second `CONNECTIONS` clients get answered, each on one connection that it keeps.
async fn rate(target: &Target, method: &'static str, path: fn(usize) -> String, kind: &'static str, body: fn(usize, u64) -> String) -> f64 {
    let start = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|i| {
            let target = target.clone();
            tokio::spawn(async move {
                let mut connection = target.connect().await;
                let path = path(i);
                let mut count = 0_u64;
                while start.elapsed() < WINDOW {
                    let (status, answer) = connection.ask(method, &path, kind, &body(i, count)).await;
                    assert!(status < 300, "{status}: {}", String::from_utf8_lossy(&answer));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut all = 0;
    for client in clients {
        all += client.await.unwrap();
    }
    all as f64 / start.elapsed().as_secs_f64()
}

async fn requests(target: &Target) {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let mut connection = target.connect().await;
    for i in 0..CONNECTIONS {
        let map = json!({"metadata": {"name": format!("bench-{i}")}, "data": {"k": "x".repeat(800)}}).to_string();
        let (status, answer) = connection.ask("POST", MAPS, "application/json", &map).await;
        assert!(status == 201 || status == 409, "{status}: {}", String::from_utf8_lossy(&answer));
    }
    let path = |i: usize| format!("{MAPS}/bench-{i}");
    let get = rate(target, "GET", path, "application/json", |_, _| String::new()).await;
    println!("GET of one object, {CONNECTIONS} connections: {get:.0}/s");
    let put = |i: usize, n: u64| {
        json!({"metadata": {"name": format!("bench-{i}")}, "data": {"k": "x".repeat(800), "n": n.to_string()}}).to_string()
    };
    let writes = rate(target, "PUT", path, "application/json", put).await;
    println!("PUT of one object, {CONNECTIONS} connections: {writes:.0}/s");
    let patch =
        rate(target, "PATCH", path, "application/merge-patch+json", |_, n| json!({"data": {"n": format!("p{n}")}}).to_string()).await;
    println!("merge PATCH of one object, {CONNECTIONS} connections: {patch:.0}/s");
    for i in 0..CONNECTIONS {
        connection.ask("DELETE", &path(i), "application/json", "").await;
    }
}

async fn pods() {
    const PODS: usize = 10_000;
    const NODES: usize = 101;
    let cluster = cluster(NODES).await;
    ready(&cluster, NODES).await;
    let target = Target::from_kubeconfig(&cluster.kubeconfig());
    let mut connection = target.connect().await;
    let before = memory("VmRSS");
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": {
        "replicas": PODS, "selector": {"matchLabels": {"app": "many"}},
        "template": {"metadata": {"labels": {"app": "many"}}, "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}}}});
    let start = Instant::now();
    let (status, answer) =
        connection.ask("POST", "/apis/apps/v1/namespaces/default/deployments", "application/json", &deployment.to_string()).await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
    let store = cluster.api().store().clone();
    let mut changed = store.subscribe("pods");
    loop {
        let (_, pods) = store.list("pods", "default");
        if pods.iter().filter(|p| p.field("status.phase") == Some("Running")).count() >= PODS {
            break;
        }
        // Looking at all of them for every change would be most of the work.
        for _ in 0..500 {
            if tokio::time::timeout(Duration::from_millis(100), changed.changed()).await.is_err() {
                break;
            }
        }
    }
    println!("{PODS} pods on {} nodes from Deployment to Running: {:.2} s", NODES - 1, start.elapsed().as_secs_f64());
    println!("memory: {before:.0} MiB before, {:.0} MiB after, {:.0} MiB at most", memory("VmRSS"), memory("VmHWM"));
    let mut times: Vec<f64> = Vec::new();
    let mut size = 0;
    for _ in 0..5 {
        let start = Instant::now();
        let (status, answer) = connection.ask("GET", "/api/v1/pods", "application/json", "").await;
        assert_eq!(status, 200);
        size = answer.len();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!("LIST of {PODS} pods ({:.1} MiB): {:.0} ms (median of 5)", size as f64 / f64::from(1 << 20), times[2] * 1000.0);
    watchers(&cluster, &target).await;
    println!("memory at most: {:.0} MiB", memory("VmHWM"));
}

/// A hundred watches, and how long until all of them have seen a thousand changes.
async fn watchers(cluster: &Cluster, target: &Target) {
    const WATCHERS: usize = 100;
    const CHANGES: usize = 1000;
    let store = cluster.api().store();
    let at = store.revision();
    let mut watching = Vec::new();
    for _ in 0..WATCHERS {
        let mut connection = target.connect().await;
        let path = format!("/api/v1/namespaces/default/pods?watch=1&resourceVersion={at}&labelSelector=app%3Dmany");
        let mut body = connection.open("GET", &path, "application/json", "").await.into_body();
        watching.push(tokio::spawn(async move {
            let _keep = connection;
            let mut lines = 0;
            while lines < CHANGES {
                let frame = body.frame().await.unwrap().unwrap();
                lines += frame.data_ref().map_or(0, |d| d.split(|b| *b == b'\n').count() - 1);
            }
        }));
    }
    let (_, pods) = store.list("pods", "default");
    let start = Instant::now();
    for pod in pods.iter().take(CHANGES) {
        let change = |pod: &mut Value| {
            pod["metadata"]["annotations"]["bench"] = json!("seen");
            true
        };
        cluster.api().modify("pods", (&pod.namespace, &pod.name), change).unwrap();
    }
    for watcher in watching {
        watcher.await.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    println!("{CHANGES} changes to {WATCHERS} watchers: {took:.2} s, {:.0} events/s", (WATCHERS * CHANGES) as f64 / took);
}

async fn clusters() {
    const CLUSTERS: usize = 50;
    let mut kept = Vec::new();
    let (start, before) = (Instant::now(), memory("VmRSS"));
    for _ in 0..CLUSTERS {
        let cluster = cluster(2).await;
        ready(&cluster, 2).await;
        kept.push(cluster);
    }
    let each = start.elapsed().as_secs_f64() * 1000.0 / CLUSTERS as f64;
    let memory = (memory("VmRSS") - before) / CLUSTERS as f64;
    println!("{CLUSTERS} clusters of two nodes in one process: {each:.1} ms and {memory:.2} MiB each, until both nodes are Ready");
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["requests"] => {
            let cluster = cluster(2).await;
            requests(&Target::from_kubeconfig(&cluster.kubeconfig())).await;
            println!("memory at most, client included: {:.0} MiB", memory("VmHWM"));
        }
        ["requests", kubeconfig] => requests(&Target::from_kubeconfig(&std::fs::read_to_string(kubeconfig).unwrap())).await,
        ["pods"] => pods().await,
        ["clusters"] => clusters().await,
        _ => {
            println!("bench requests [KUBECONFIG] | pods | clusters");
            std::process::exit(2);
        }
    }
}
