//! How clusters begin and end, many of them in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{PostParams, WatchParams};
use rustls::RootCertStore;
use sim::Cluster;
use tokio::runtime::RuntimeMetrics;

use crate::{Hub, client, soon, web};

/// Waits until every node is ready, without a client.
async fn up(cluster: &Cluster) {
    let store = cluster.api().store();
    let mut news = store.subscribe("nodes");
    let ready = || {
        let nodes = store.list("nodes", "").1;
        let ready = nodes.iter().filter(|n| {
            let conditions = n.value()["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        });
        ready.count() == cluster.machines().len()
    };
    soon(async {
        loop {
            news.mark_unchanged();
            if ready() {
                return;
            }
            news.changed().await.unwrap();
        }
    })
    .await;
}

/// Memory of this process in KiB, where the system says it.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures are what one wants to know, and no test can judge them")]
async fn fifty_clusters_live_next_to_each_other() {
    let hub = Hub::new().await;
    let mut clusters = Vec::new();
    let (began, before) = (Instant::now(), memory());
    for number in 0..50 {
        let start = Instant::now();
        let mut settings = hub.settings();
        settings.name = format!("sim-{number}");
        let cluster = Cluster::start(settings).await.unwrap();
        up(&cluster).await;
        println!("cluster {number}: ready after {} ms, {} KiB", start.elapsed().as_millis(), memory());
        clusters.push(cluster);
    }
    let each = memory().saturating_sub(before) / 50;
    println!("50 clusters: {} ms each, {each} KiB each", began.elapsed().as_millis() / 50);
    // The first is still as good as the last.
    for cluster in [&clusters[0], &clusters[49]] {
        let client = client(cluster).await;
        let deployments: Api<Deployment> = Api::namespaced(client, "default");
        soon(deployments.create(&PostParams::default(), &serde_json::from_value(web("web", 1)).unwrap())).await.unwrap();
        soon(kube::runtime::wait::await_condition(deployments, "web", crate::rolled_out(1))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_cluster_outlives_it() {
    let hub = Hub::new().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let cluster = Cluster::start(hub.settings()).await.unwrap();
    up(&cluster).await;
    let client = client(&cluster).await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    soon(deployments.create(&PostParams::default(), &serde_json::from_value(web("web", 2)).unwrap())).await.unwrap();
    soon(kube::runtime::wait::await_condition(deployments.clone(), "web", crate::rolled_out(2))).await.unwrap();
    // A watch and a request that is held up are open when the cluster goes.
    let watching = soon(deployments.watch(&WatchParams::default(), "0")).await.unwrap();
    let path = "/api/v1/namespaces/default/configmaps";
    let fault = serde_json::json!({"layer": "api", "path": path, "delayMilliseconds": 3_600_000}).to_string();
    assert_eq!(crate::ask(&client, "PUT", "/sim/faults/slow", &fault).await.0, 200);
    let asked = cluster.server().requests();
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await.is_err() }
    });
    soon(async {
        while cluster.server().requests() == asked {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let address = cluster.listening().address();
    assert!(metrics.num_alive_tasks() > before);

    drop(cluster);
    assert!(soon(held).await.unwrap());
    drop((watching, deployments, client));
    ended(&metrics, before).await;
    assert!(soon(tokio::net::TcpStream::connect(address)).await.is_err());
}

/// Waits until no more tasks run than before.
pub(crate) async fn ended(metrics: &RuntimeMetrics, before: usize) {
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while metrics.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    });
    assert!(ended.await.is_ok(), "{} tasks are left, {before} were there", metrics.num_alive_tasks());
}

/// A request over HTTP/2, whose streams are tasks of their own on the server's side.
async fn ask_over_http2(address: SocketAddr, roots: RootCertStore) -> bool {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::from(address.ip());
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    let request = http::Request::get(format!("https://{address}/version")).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let answer = sender.send_request(request);
    futures::pin_mut!(connection, answer);
    match futures::future::select(answer, connection).await {
        futures::future::Either::Left((answer, _)) => answer.is_ok(),
        futures::future::Either::Right(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_http2_end_with_it_too() {
    let hub = Hub::new().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let cluster = Cluster::start(hub.settings()).await.unwrap();
    let (address, roots) = (cluster.listening().address(), cluster.api().pki().roots());
    assert!(soon(ask_over_http2(address, roots.clone())).await);
    let slow = sim::server::Fault { path: "/version".to_owned(), delay: Duration::from_hours(1), ..sim::server::Fault::default() };
    cluster.server().faults().inject("slow", slow);
    let asked = cluster.server().requests();
    let mut held = Box::pin(ask_over_http2(address, roots));
    soon(async {
        while cluster.server().requests() == asked {
            assert!(futures::poll!(&mut held).is_pending());
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(cluster);
    assert!(!soon(held).await);
    ended(&metrics, before).await;
}
