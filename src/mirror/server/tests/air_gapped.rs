use serde_json::json;

use super::*;
use crate::mirror::layout::IMAGE_NAME;
use crate::mirror::name::Digest;
use crate::mirror::record::From;
use crate::mirror::testing::{MANIFEST, is_error};

fn bundle() -> (TempDir, Digest, Digest) {
    let dir = tempfile::tempdir().unwrap();
    let put = |content: &[u8]| {
        let digest = Digest::of(content);
        std::fs::write(dir.path().join("blobs/sha256").join(digest.hex()), content).unwrap();
        digest
    };
    std::fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
    let layer = put(b"a layer");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": []}).to_string();
    let manifest_digest = put(manifest.as_bytes());
    let entry = |tag: &str| {
        json!({"mediaType": MANIFEST, "digest": manifest_digest, "size": manifest.len(),
            "annotations": {IMAGE_NAME: format!("docker.io/library/busybox:{tag}")}})
    };
    let index = json!({"schemaVersion": 2, "manifests": [entry("1"), entry("2"), entry("3")]});
    std::fs::write(dir.path().join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    (dir, manifest_digest, layer)
}

#[tokio::test]
async fn a_bundle_comes_first_and_what_it_lacks_says_where_it_was_looked_for() {
    let (dir, manifest, layer) = bundle();
    let mirror = start(None, vec![Layout::open(dir.path()).unwrap()]).await;
    for reference in ["1", manifest.as_str()] {
        let response = mirror.get(&format!("library/busybox/manifests/{reference}?ns=docker.io")).await;
        assert_eq!(response.headers()["content-type"], MANIFEST);
        assert_eq!(Digest::of(&body(response).await.unwrap()), manifest);
    }
    assert_eq!(mirror.body(&format!("library/busybox/blobs/{layer}")).await.unwrap(), b"a layer");
    let accesses = mirror.recorded(3).await;
    assert!(accesses.iter().all(|a| self::super::mirror(a).2 == Some(From::Bundle)));
    let none = Digest::of(b"none");
    for (path, code) in [
        ("library/busybox/manifests/9".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("library/busybox/blobs/{none}"), "BLOB_UNKNOWN"),
        ("library/other/tags/list".to_owned(), "NAME_UNKNOWN"),
    ] {
        let response = mirror.get(&path).await;
        let status = response.status();
        let text = body(response).await.unwrap();
        assert!(is_error(&text, status, code), "{path}");
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("no upstream (it is air-gapped)") && text.contains(dir.path().to_str().unwrap()), "{text}");
    }
    let response = mirror.get("library/busybox/tags/list?n=1&last=1").await;
    assert_eq!(response.headers()["link"], "</v2/library/busybox/tags/list?last=2&n=1>; rel=\"next\"");
    assert_eq!(body(response).await.unwrap(), br#"{"name":"library/busybox","tags":["2"]}"#);
    let response = mirror.get("library/busybox/tags/list?n=x").await;
    let status = response.status();
    assert!(is_error(&body(response).await.unwrap(), status, "PAGINATION_NUMBER_INVALID"));
}

#[tokio::test]
async fn a_damaged_bundle_is_not_served() {
    let (dir, manifest, layer) = bundle();
    let layout = Layout::open(dir.path()).unwrap();
    std::fs::write(layout.blob(&layer), b"A layer").unwrap();
    std::fs::write(layout.blob(&manifest), b"{}").unwrap();
    let mirror = start(None, vec![layout]).await;
    for path in [format!("library/busybox/blobs/{layer}"), "library/busybox/manifests/1".to_owned()] {
        let response = mirror.get(&path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(String::from_utf8(body(response).await.unwrap()).unwrap().contains("holds something else"));
    }
}
