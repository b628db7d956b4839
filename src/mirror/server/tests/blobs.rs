use futures::future::join_all;

use super::*;
use crate::mirror::name::Digest;
use crate::mirror::record::From;
use crate::mirror::testing::{Fault, is_error, noise};

fn path(digest: &Digest) -> String {
    format!("library/busybox/blobs/{digest}?ns=docker.io")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_make_one_download() {
    let fake = Fake::start().await;
    let content = noise(3_000_000);
    let digest = fake.blob(content.clone());
    fake.hold(true);
    let mirror = Arc::new(mirroring(&fake).await);
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (mirror, path) = (Arc::clone(&mirror), path(&digest));
            tokio::spawn(async move { mirror.body(&path).await.unwrap() })
        })
        .collect();
    eventually(|| (!fake.seen("/blobs/").is_empty()).then_some(())).await;
    fake.hold(false);
    for client in join_all(clients).await {
        assert!(client.unwrap() == content);
    }
    assert_eq!(fake.seen("GET").len(), 1);
    assert!(mirror.body(&path(&digest)).await.unwrap() == content);
    assert_eq!(fake.seen("GET").len(), 1);
    let accesses = mirror.recorded(33).await;
    assert!(accesses.iter().all(|a| a.node.as_deref() == Some("kind-worker")));
    assert_eq!(self::super::mirror(accesses.last().unwrap()), (200, 3_000_000, Some(From::Cache), None));
    assert_eq!(self::super::mirror(&accesses[0]), (200, 3_000_000, Some(From::Upstream), None));
}

#[tokio::test]
async fn a_client_reads_while_the_download_goes_on_and_the_last_byte_waits() {
    let fake = Fake::start().await;
    let content = noise(1_000_000);
    let digest = fake.blob(content.clone());
    fake.hold(true);
    let mirror = mirroring(&fake).await;
    let mut response = mirror.get(&path(&digest)).await;
    let mut got = 0;
    while got < 999_999 {
        got += response.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(got, 999_999);
    fake.hold(false);
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn wrong_bytes_are_never_a_complete_answer() {
    let fake = Fake::start().await;
    let content = noise(1_000_000);
    let digest = fake.blob(content.clone());
    let mirror = mirroring(&fake).await;
    for fault in [Fault::Corrupt, Fault::Chunked] {
        if matches!(fault, Fault::Chunked) {
            fake.put(&format!("/v2/library/busybox/blobs/{digest}"), "x", noise(999_999));
        }
        fake.fault("GET", 1, fault);
        let response = mirror.get(&path(&digest)).await;
        if response.status() == StatusCode::OK {
            assert!(body(response).await.is_err(), "it must break off");
        }
    }
    let part = mirror.request(Method::GET, &path(&digest)).header(header::RANGE, "bytes=10-19");
    fake.put(&format!("/v2/library/busybox/blobs/{digest}"), "x", content.clone());
    fake.fault("GET", 1, Fault::Corrupt);
    let response = part.send().await.unwrap();
    if response.status() == StatusCode::PARTIAL_CONTENT {
        assert!(body(response).await.is_err(), "a part of it too");
    }
    assert_eq!(mirror.cache.size(), 0);
    assert!(mirror.body(&path(&digest)).await.unwrap() == content);
    let accesses = mirror.recorded(4).await;
    assert!(self::super::mirror(&accesses[0]).3.unwrap().contains("is wanted and"), "{accesses:?}");
    eventually(|| (std::fs::read_dir(mirror.dir.path().join("fill")).unwrap().count() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_download_goes_on_when_its_client_leaves() {
    let fake = Fake::start().await;
    let digest = fake.blob(noise(1_000_000));
    fake.hold(true);
    let mirror = mirroring(&fake).await;
    let mut response = mirror.get(&path(&digest)).await;
    response.chunk().await.unwrap();
    drop(response);
    let accesses = mirror.recorded(1).await;
    let (status, bytes, _, error) = self::super::mirror(&accesses[0]);
    assert_eq!((status, error), (200, Some("the client went away")));
    assert!(bytes < 1_000_000);
    fake.hold(false);
    eventually(|| (mirror.cache.size() == 1_000_000).then_some(())).await;
    assert_eq!(fake.seen("GET").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_matter_for_clients() {
    let fake = Fake::start().await;
    let content = noise(2_000_000);
    let digest = fake.blob(content.clone());
    let mirror = Arc::new(mirroring(&fake).await);
    let path = path(&digest);
    for limit in [0, 700_000] {
        mirror.cache.fill_disk(limit);
        let clients = (0..4).map(|_| mirror.body(&path));
        for client in join_all(clients).await {
            assert!(client.unwrap() == content);
        }
        for (range, expected) in [("bytes=699000-700010", 699_000..700_011), ("bytes=10-19", 10..20), ("bytes=-5", 1_999_995..2_000_000)] {
            let request = mirror.request(Method::GET, &path).header(header::RANGE, range);
            assert_eq!(body(request.send().await.unwrap()).await.unwrap(), content[expected], "{range}");
        }
        assert_eq!(mirror.cache.size(), 0);
        fake.fault("GET", 99, Fault::Corrupt);
        assert!(mirror.body(&path).await.is_err());
        fake.forgive();
    }
    mirror.cache.fill_disk(u64::MAX);
    assert!(mirror.body(&path).await.unwrap() == content);
    eventually(|| (mirror.cache.size() == 2_000_000).then_some(())).await;
    assert!(mirror.recorder.accesses().iter().any(|a| self::super::mirror(a).3.is_some_and(|e| e.contains("not cached"))));
}

#[tokio::test]
async fn parts_conditions_and_heads_are_answered_alike_from_cache_and_upstream() {
    let fake = Fake::start().await;
    let content = noise(100_000);
    let digest = fake.blob(content.clone());
    let mirror = mirroring(&fake).await;
    for _ in 0..2 {
        let head = mirror.head(&path(&digest)).await;
        assert_eq!(head.headers()["content-length"], "100000");
        assert_eq!(head.headers()["accept-ranges"], "bytes");
        assert_eq!(head.headers()["docker-content-digest"], digest.as_str());
        let known = mirror.request(Method::GET, &path(&digest)).header("if-none-match", format!("\"{digest}\"")).send().await.unwrap();
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        let part = mirror.request(Method::GET, &path(&digest)).header(header::RANGE, "bytes=99990-").send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.headers()["content-range"], "bytes 99990-99999/100000");
        assert_eq!(body(part).await.unwrap(), content[99_990..]);
        let outside = mirror.request(Method::GET, &path(&digest)).header(header::RANGE, "bytes=100000-").send().await.unwrap();
        assert_eq!(outside.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(outside.headers()["content-range"], "bytes */100000");
        assert_eq!(mirror.body(&path(&digest)).await.unwrap(), content);
    }
    assert_eq!(fake.seen("GET").len(), 1);
}

#[tokio::test]
async fn upstreams_errors_are_passed_on() {
    let fake = Fake::start().await;
    let digest = fake.blob("content");
    let mirror = mirroring(&fake).await;
    for (fault, status, code) in [
        (Fault::Status(404), 404, "BLOB_UNKNOWN"),
        (Fault::Status(403), 403, "DENIED"),
        (Fault::Later(429, "7"), 429, "TOOMANYREQUESTS"),
        (Fault::Later(503, "7"), 503, "UNAVAILABLE"),
        (Fault::Status(500), 500, "UNAVAILABLE"),
        (Fault::Status(418), 502, "UNKNOWN"),
    ] {
        let later = matches!(fault, Fault::Later(..));
        fake.fault("GET", 1, fault);
        let response = mirror.get(&path(&digest)).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().get(header::RETRY_AFTER).is_some_and(|r| r == "7"), later);
        let status = response.status();
        assert!(is_error(&body(response).await.unwrap(), status, code), "{code}");
    }
    assert_eq!(mirror.body(&path(&digest)).await.unwrap(), b"content");
    let accesses = mirror.recorded(7).await;
    assert!(self::super::mirror(&accesses[2]).3.unwrap().contains("asked too often"));
}

#[tokio::test]
async fn a_slow_client_blocks_nobody() {
    let fake = Fake::start().await;
    let content = noise(20_000_000);
    let digest = fake.blob(content.clone());
    let mirror = mirroring(&fake).await;
    let path = path(&digest);
    let slow: Vec<_> = join_all((0..16).map(|_| mirror.get(&path))).await;
    assert!(mirror.body(&path).await.unwrap() == content);
    for response in slow {
        assert!(body(response).await.unwrap() == content);
    }
}
