use super::*;
use crate::mirror::name::Digest;
use crate::mirror::record::From;
use crate::mirror::testing::{Fault, MANIFEST, busybox, is_error};

const LATEST: &str = "library/busybox/manifests/latest";

#[tokio::test]
async fn a_tag_is_asked_for_each_time_and_a_digest_once() {
    let fake = Fake::start().await;
    let old = fake.manifest("latest", r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#);
    let mirror = mirroring(&fake).await;
    let digest = async || {
        let response = mirror.get(LATEST).await;
        assert_eq!(response.headers()["content-type"], MANIFEST);
        let digest = response.headers()["docker-content-digest"].to_str().unwrap().to_owned();
        assert_eq!(Digest::of(&body(response).await.unwrap()).as_str(), digest);
        digest
    };
    assert_eq!(digest().await, old.as_str());
    assert_eq!(digest().await, old.as_str());
    assert_eq!((fake.seen("GET").len(), fake.seen("HEAD").len()), (1, 1), "what it points at is there");
    let new = fake.manifest("latest", r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","new":1}"#);
    assert_eq!(digest().await, new.as_str(), "tags move");
    for _ in 0..2 {
        assert_eq!(mirror.body(&format!("library/busybox/manifests/{old}")).await.map(|b| Digest::of(&b)).unwrap(), old);
    }
    assert_eq!(fake.seen(&format!("manifests/{old}")).len(), 0, "the old one is in the cache");
    let head = mirror.head(LATEST).await;
    assert_eq!(
        (head.headers()["docker-content-digest"].to_str().unwrap(), head.headers()["etag"].to_str().unwrap()),
        (new.as_str(), &*format!("\"{new}\""))
    );
    let known = mirror.request(Method::GET, LATEST).header("if-none-match", format!("\"{new}\"")).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn an_outage_is_bridged_and_a_missing_tag_is_not() {
    let fake = Fake::start().await;
    let digest = fake.manifest("latest", r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#);
    let mirror = mirroring(&fake).await;
    mirror.body(LATEST).await.unwrap();
    for fault in [Fault::Status(500), Fault::Later(429, "7")] {
        fake.fault("/manifests/", 2, fault);
        let response = mirror.get(LATEST).await;
        assert_eq!(response.headers()["docker-content-digest"], digest.as_str());
        fake.forgive();
    }
    fake.fault("/manifests/", 1, Fault::Status(404));
    let response = mirror.get(LATEST).await;
    let status = response.status();
    assert!(is_error(&body(response).await.unwrap(), status, "MANIFEST_UNKNOWN"));
    fake.fault("/manifests/", 9, Fault::Later(429, "7"));
    let other = mirror.get("library/busybox/manifests/other").await;
    assert_eq!((other.status().as_u16(), other.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    let accesses = mirror.recorded(5).await;
    let (status, _, from, error) = self::super::mirror(&accesses[1]);
    assert_eq!((status, from), (200, Some(From::Cache)));
    assert!(error.unwrap().contains("answers 500"), "{error:?}");
    // Another start, and nobody answers.
    let Running { dir, .. } = mirror;
    let closed = crate::mirror::testing::client(vec![upstream::Endpoint::new("http://127.0.0.1:1")]);
    let again = start_in(dir, Some(closed), Vec::new()).await;
    assert_eq!(again.get(LATEST).await.headers()["docker-content-digest"], digest.as_str());
    let tags = again.body("library/busybox/tags/list").await.unwrap();
    assert_eq!(String::from_utf8(tags).unwrap(), r#"{"name":"library/busybox","tags":["latest"]}"#);
    let response = again.get("library/other/manifests/latest").await;
    let status = response.status();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(is_error(&body(response).await.unwrap(), status, "UNAVAILABLE"));
}

#[tokio::test]
async fn what_is_no_manifest_does_not_come_through() {
    let fake = Fake::start().await;
    fake.manifest("latest", r#"{"schemaVersion":1}"#);
    let mirror = mirroring(&fake).await;
    let response = mirror.get(LATEST).await;
    let status = response.status();
    let text = body(response).await.unwrap();
    assert!(is_error(&text, status, "MANIFEST_INVALID") && String::from_utf8_lossy(&text).contains("schema 1"));
    // A layer that is in the cache is not served as a manifest.
    let layer = fake.blob("a layer");
    mirror.body(&format!("library/busybox/blobs/{layer}")).await.unwrap();
    assert_eq!(mirror.get(&format!("library/busybox/manifests/{layer}")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tags_and_referrers_come_from_upstream() {
    let fake = Fake::start().await;
    let mirror = mirroring(&fake).await;
    let digest = fake.manifest("latest", "{}");
    fake.put("/v2/library/busybox/tags/list", "application/json", r#"{"name":"x","tags":["1","2"]}"#);
    fake.fault("/tags/", 1, Fault::Header("link", "</v2/x?last=2>; rel=\"next\""));
    let response = mirror.get("busybox/tags/list?n=2&last=0&ns=docker.io").await;
    assert_eq!(response.headers()["link"], "</v2/busybox/tags/list?last=2&n=2&ns=docker.io>; rel=\"next\"");
    assert_eq!(body(response).await.unwrap(), br#"{"name":"busybox","tags":["1","2"]}"#);
    assert_eq!(fake.seen("/tags/")[0].query, "n=2&last=0&ns=docker.io");
    let referrers = format!("library/busybox/referrers/{digest}");
    let response = mirror.get(&referrers).await;
    assert_eq!(response.headers()["content-type"], upstream::OCI_INDEX);
    let empty: serde_json::Value = serde_json::from_slice(&body(response).await.unwrap()).unwrap();
    assert_eq!(empty["manifests"], serde_json::json!([]));
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"x":1}]}"#;
    fake.put(&format!("/v2/{referrers}"), upstream::OCI_INDEX, index);
    fake.fault("/referrers/", 1, Fault::Header("oci-filters-applied", "artifactType"));
    let response = mirror.get(&format!("{referrers}?artifactType=a/b")).await;
    assert_eq!(response.headers()["oci-filters-applied"], "artifactType");
    assert_eq!(body(response).await.unwrap(), index.as_bytes());
    assert_eq!(fake.seen("/referrers/")[1].query, "artifactType=a%2Fb&ns=docker.io");
    assert_eq!(busybox().to_string(), "docker.io/library/busybox");
}

#[tokio::test]
async fn stopping_ends_idle_connections_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    let naming: Naming = Arc::new(|_| Box::pin(std::future::pending()));
    let recorder = Recorder::memory();
    let mirror = Mirror::new(Settings { cache, upstream: None, layouts: Vec::new(), recorder: recorder.clone(), naming });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(mirror.serve(listener, async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::OK);
    assert!(recorder.accesses().is_empty(), "nobody says which node this is, and the answer did not wait for it");
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(1), serving).await.unwrap().unwrap();
    assert!(client.get(&url).send().await.is_err());
}
