//! Requests of the distribution specification, and what a registry answers. `MESHPROOF_REGISTRY` names a real one to compare with.

use std::collections::BTreeMap;

use super::*;
use crate::mirror::name::Digest;
use crate::mirror::testing::noise;

/// Headers whose value must be the same, not only their presence.
const EXACT: [&str; 7] = [
    "docker-content-digest",
    "content-type",
    "content-length",
    "content-range",
    "accept-ranges",
    "etag",
    "docker-distribution-api-version",
];

/// A name, the request with `{manifest}` and `{blob}` for digests, and a header.
type Question = (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>);

const CONFORMANCE: &[Question] = &[
    ("ping", "GET", "/v2/", None),
    ("ping head", "HEAD", "/v2/", None),
    ("manifest by tag", "GET", "/v2/library/busybox/manifests/latest", None),
    ("manifest by tag, head", "HEAD", "/v2/library/busybox/manifests/latest", None),
    ("manifest by digest", "GET", "/v2/library/busybox/manifests/{manifest}", None),
    ("manifest by digest, head", "HEAD", "/v2/library/busybox/manifests/{manifest}", None),
    ("manifest that is known", "GET", "/v2/library/busybox/manifests/latest", Some(("if-none-match", "\"{manifest}\""))),
    ("manifest of no tag", "GET", "/v2/library/busybox/manifests/nothing", None),
    ("manifest of no tag, head", "HEAD", "/v2/library/busybox/manifests/nothing", None),
    ("manifest of no digest", "GET", "/v2/library/busybox/manifests/sha256:{zeros}", None),
    ("manifest of no repository", "GET", "/v2/library/nothing/manifests/latest", None),
    ("blob", "GET", "/v2/library/busybox/blobs/{blob}", None),
    ("blob, head", "HEAD", "/v2/library/busybox/blobs/{blob}", None),
    ("blob that is known", "GET", "/v2/library/busybox/blobs/{blob}", Some(("if-none-match", "\"{blob}\""))),
    ("first bytes of a blob", "GET", "/v2/library/busybox/blobs/{blob}", Some(("range", "bytes=0-9"))),
    ("a blob from a byte on", "GET", "/v2/library/busybox/blobs/{blob}", Some(("range", "bytes=100-"))),
    ("last bytes of a blob", "GET", "/v2/library/busybox/blobs/{blob}", Some(("range", "bytes=-5"))),
    ("bytes after a blob", "GET", "/v2/library/busybox/blobs/{blob}", Some(("range", "bytes=99999999999-"))),
    ("blob that is not there", "GET", "/v2/library/busybox/blobs/sha256:{zeros}", None),
    ("blob that is not there, head", "HEAD", "/v2/library/busybox/blobs/sha256:{zeros}", None),
    ("blob of no digest", "GET", "/v2/library/busybox/blobs/sha256:abc", None),
    ("tags", "GET", "/v2/library/busybox/tags/list", None),
    ("a page of tags", "GET", "/v2/library/busybox/tags/list?n=1", None),
    ("tags after the last", "GET", "/v2/library/busybox/tags/list?last=zzz", None),
    ("tags of no repository", "GET", "/v2/library/nothing/tags/list", None),
    ("referrers", "GET", "/v2/library/busybox/referrers/{manifest}", None),
    ("repository of no name", "GET", "/v2/Library/Busybox/manifests/latest", None),
    ("manifest push", "PUT", "/v2/library/busybox/manifests/latest", None),
    ("blob push", "POST", "/v2/library/busybox/blobs/uploads/", None),
    ("manifest delete", "DELETE", "/v2/library/busybox/manifests/{manifest}", None),
    ("nothing", "GET", "/v2/nothing", None),
];

/// Where the reference implementation (version 3.0.0) answers otherwise, and why that is no matter.
const DELIBERATE: &[(&str, &str)] = &[
    ("manifest that is known", "it leaves out the digest and the tag, which RFC 9110 wants in a 304"),
    ("bytes after a blob", "it answers in plain text"),
    ("tags", "it ends the JSON with a newline"),
    ("a page of tags", "it ends the JSON with a newline"),
    ("tags after the last", "it ends the JSON with a newline"),
    ("referrers", "it does not know them"),
    ("repository of no name", "it does not say why"),
    ("nothing", "it answers in plain text"),
];

/// What was answered: the status, the first error's code, and the headers that mean something.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    status: u16,
    code: Option<String>,
    headers: BTreeMap<String, String>,
}

/// Asks everything that does not change a registry (all of it, where `writes` is set).
async fn ask(base: &str, manifest: &Digest, blob: &Digest, writes: bool) -> Vec<(&'static str, Answered)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let fill =
        |text: &str| text.replace("{manifest}", manifest.as_str()).replace("{blob}", blob.as_str()).replace("{zeros}", &"0".repeat(64));
    let mut all = Vec::new();
    for (name, method, path, header) in CONFORMANCE {
        let method: Method = method.parse().unwrap();
        if !writes && !matches!(method, Method::GET | Method::HEAD) {
            continue;
        }
        let mut request = client.request(method, format!("{base}{}", fill(path))).header("accept", upstream::MEDIA_TYPES.join(", "));
        if let Some((key, value)) = header {
            request = request.header(*key, fill(value));
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let mut headers = BTreeMap::new();
        for (key, value) in response.headers() {
            let value = value.to_str().unwrap();
            // The length of an error is that of its words.
            if EXACT.contains(&key.as_str()) && !(status >= 400 && key.as_str() == "content-length") {
                let value = if key == "content-type" { value.split(';').next().unwrap() } else { value };
                headers.insert(key.to_string(), value.to_owned());
            } else if key == "link" {
                headers.insert("link".to_owned(), value.to_owned());
            }
        }
        let text = body(response).await.unwrap();
        let error = if status >= 400 { serde_json::from_slice::<serde_json::Value>(&text).ok() } else { None };
        let code = error.and_then(|e| e["errors"][0]["code"].as_str().map(ToOwned::to_owned));
        all.push((*name, Answered { status, code, headers }));
    }
    all
}

#[tokio::test]
async fn the_distribution_specification_is_kept() {
    let fake = Fake::start().await;
    let blob = fake.blob(noise(1000));
    let manifest = fake.manifest("latest", r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#);
    fake.put("/v2/library/busybox/tags/list", "application/json", r#"{"name":"library/busybox","tags":["latest"]}"#);
    let mirror = mirroring(&fake).await;
    let base = format!("http://{}", mirror.address);
    // From upstream, and then from the cache.
    for _ in 0..2 {
        let all: BTreeMap<_, _> = ask(&base, &manifest, &blob, true).await.into_iter().collect();
        for (name, status, code) in [
            ("ping", 200, None),
            ("manifest by tag", 200, None),
            ("manifest by digest, head", 200, None),
            ("manifest that is known", 304, None),
            ("manifest of no tag", 404, Some("MANIFEST_UNKNOWN")),
            ("manifest of no tag, head", 404, None),
            ("manifest of no digest", 404, Some("MANIFEST_UNKNOWN")),
            ("blob", 200, None),
            ("blob that is known", 304, None),
            ("first bytes of a blob", 206, None),
            ("bytes after a blob", 416, Some("RANGE_INVALID")),
            ("blob that is not there", 404, Some("BLOB_UNKNOWN")),
            ("blob of no digest", 400, Some("DIGEST_INVALID")),
            ("tags", 200, None),
            ("tags of no repository", 404, Some("NAME_UNKNOWN")),
            ("referrers", 200, None),
            ("repository of no name", 400, Some("NAME_INVALID")),
            ("manifest push", 405, Some("UNSUPPORTED")),
            ("blob push", 405, Some("UNSUPPORTED")),
            ("manifest delete", 405, Some("UNSUPPORTED")),
            ("nothing", 404, Some("UNSUPPORTED")),
        ] {
            let answered = &all[name];
            assert_eq!((answered.status, answered.code.as_deref()), (status, code), "{name}: {answered:?}");
            assert_eq!(answered.headers["docker-distribution-api-version"], "registry/2.0", "{name}");
        }
        for name in ["manifest by tag", "manifest by digest", "blob"] {
            assert_eq!(all[name].headers, all[CONFORMANCE.iter().map(|c| c.0).find(|n| *n == format!("{name}, head")).unwrap()].headers);
        }
    }
}

#[tokio::test]
async fn a_real_registry_answers_alike() {
    let Ok(registry) = std::env::var("MESHPROOF_REGISTRY") else { return };
    let client = crate::mirror::testing::client(vec![upstream::Endpoint::new(registry.as_str())]);
    let repository = crate::mirror::testing::busybox();
    let manifest = client.manifest(&repository, &"latest".parse().unwrap()).await.unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&manifest.bytes).unwrap();
    let blob: Digest = parsed["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let mirror = start(Some(client), Vec::new()).await;
    let real = ask(&registry, &manifest.digest, &blob, false).await;
    let mut different = Vec::new();
    for _ in 0..2 {
        let ours = ask(&format!("http://{}", mirror.address), &manifest.digest, &blob, false).await;
        different.extend(
            ours.into_iter()
                .zip(&real)
                .filter(|(ours, real)| ours != *real && DELIBERATE.iter().all(|(name, _)| *name != ours.0))
                .map(|(o, r)| format!("ours {o:?}\nreal {r:?}")),
        );
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}
