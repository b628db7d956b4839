use std::time::Instant;

use super::*;

/// `cargo test --release -p sim stress -- --ignored --nocapture`
#[tokio::test]
#[ignore = "measures"]
#[expect(clippy::print_stderr, reason = "its output is what it is for")]
async fn stress_ten_thousand_pods_on_a_hundred_nodes() {
    let c = cluster();
    for n in 0..100 {
        c.kubelets.add(&format!("s{n}"), Machine::new(&format!("172.18.1.{n}")));
    }
    c.until(("nodes", "", "s99"), |n| condition(n, "Ready") == "True").await;
    let start = Instant::now();
    for n in 0..10_000 {
        let mut value = pod(&format!("p{n}"), one("app:1"));
        value["spec"]["nodeName"] = json!(format!("s{}", n % 100));
        c.api.make("pods", "default", value).unwrap();
    }
    eprintln!("created after {:?}", start.elapsed());
    let bound = c.api.store().revision();
    let mut news = c.api.store().subscribe("pods");
    tokio::time::timeout(Duration::from_mins(2), async {
        loop {
            news.mark_unchanged();
            while c.api.store().revision() < bound + 20_000 {
                news.changed().await.unwrap();
            }
            let running = c.api.store().list("pods", "default").1.iter().filter(|o| o.field("status.phase") == Some("Running")).count();
            if running == 10_000 {
                break;
            }
            // Writes come in batches, so this is asked a few hundred times.
            news.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    eprintln!("running after {:?} ({} writes since the last was bound)", start.elapsed(), c.api.store().revision() - bound);
    let mut events = c.api.store().subscribe("events");
    while c.api.store().count("events") < 30_000 {
        tokio::time::timeout(Duration::from_secs(30), events.changed()).await.unwrap().unwrap();
    }
    eprintln!("events written after {:?}", start.elapsed());
}
