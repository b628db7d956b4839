use std::time::Instant;

use serde_json::json;

use super::cluster::{Cluster, workload};

/// Prints how long it takes; run it with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "it takes a while and measures rather than checks"]
#[expect(clippy::print_stderr, reason = "the figures are its result")]
async fn ten_thousand_pods() {
    let began = Instant::now();
    let clusters: Vec<Cluster> = (0..50).map(|_| Cluster::new()).collect();
    for cluster in &clusters {
        cluster.rest().await;
    }
    eprintln!("50 clusters: {:?} with 60 ms of rest each", began.elapsed());
    drop(clusters);
    let cluster = Cluster::new();
    for n in 0..100 {
        cluster.node(&format!("node-{n:03}"), json!({}));
    }
    cluster.rest().await;
    let began = Instant::now();
    cluster.api.make("deployments.apps", "default", workload("Deployment", "web", "one", json!({"replicas": 10_000}))).unwrap();
    let mut word = cluster.api.store().subscribe("pods");
    while cluster.api.store().count("pods") < 10_000 {
        word.changed().await.unwrap();
    }
    eprintln!("10,000 pods made: {:?}", began.elapsed());
    let bound =
        || cluster.api.store().list("pods", "").1.iter().filter(|p| p.field("spec.nodeName").is_some_and(|n| !n.is_empty())).count();
    while bound() < 10_000 {
        word.changed().await.unwrap();
        tokio::time::timeout(std::time::Duration::from_millis(50), std::future::pending::<()>()).await.ok();
    }
    eprintln!("and scheduled: {:?}", began.elapsed());
    cluster.rest().await;
    let kubelets = Instant::now();
    cluster.kubelets();
    eprintln!("made ready by hand: {:?}", kubelets.elapsed());
    cluster.until("deployments.apps", "available", |all| all[0]["status"]["availableReplicas"] == 10_000).await;
    eprintln!("and the deployment says so: {:?}", kubelets.elapsed());
    eprintln!("events: {}, revision {}", cluster.all("events").len(), cluster.api.store().revision());
}
