use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::*;
use crate::net::go_proxy::ProxyConfig;
use crate::net::{Client, Network, Response, Tls, Url};

async fn ask(registry: &Registry, method: Method, path: &str) -> Result<Response, String> {
    let network = Network::closed();
    network.map("r:5000", registry.address());
    let client = Client::new(network, "n", ProxyConfig::default(), Tls::default(), Duration::from_secs(5));
    client.send(&method, &Url::parse(&format!("http://r:5000{path}")).unwrap(), &[]).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn an_image_is_served_by_tag_and_by_digest() {
    let mut images = Images::default();
    let labels = [("a".to_owned(), "b".to_owned())].into();
    let built = images.add("istio/pilot", "1.27.1", &Config { labels, ..Config::default() }, 1);
    assert_eq!(
        built,
        images.clone().add("istio/pilot", "x", &Config { labels: [("a".into(), "b".into())].into(), ..Config::default() }, 1)
    );
    let registry = Registry::start(images).await.unwrap();
    let head = ask(&registry, Method::HEAD, "/v2/istio/pilot/manifests/1.27.1?ns=docker.io").await.unwrap();
    assert_eq!((head.status, head.header("docker-content-digest"), head.body.len()), (200, Some(built.digest.as_str()), 0));
    assert_eq!(head.header("content-length"), Some(built.manifest.len().to_string().as_str()));
    let get = ask(&registry, Method::GET, &format!("/v2/istio/pilot/manifests/{}", built.digest)).await.unwrap();
    assert_eq!(digest(&get.body), built.digest);
    let manifest: Value = serde_json::from_slice(&get.body).unwrap();
    for described in [&manifest["config"], &manifest["layers"][0]] {
        let wanted = described["digest"].as_str().unwrap();
        let blob = ask(&registry, Method::GET, &format!("/v2/istio/pilot/blobs/{wanted}")).await.unwrap();
        assert_eq!((digest(&blob.body).as_str(), blob.body.len() as u64), (wanted, described["size"].as_u64().unwrap()));
    }
    let tags = ask(&registry, Method::GET, "/v2/istio/pilot/tags/list").await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&tags.body).unwrap()["tags"][0], "1.27.1");
    for (path, code) in [("istio/pilot/manifests/2", "MANIFEST_UNKNOWN"), ("no/such/manifests/2", "NAME_UNKNOWN")] {
        let missing = ask(&registry, Method::GET, &format!("/v2/{path}")).await.unwrap();
        assert_eq!(missing.status, 404);
        assert_eq!(serde_json::from_slice::<Value>(&missing.body).unwrap()["errors"][0]["code"], code);
    }
    let asked = registry.records();
    assert_eq!((asked[0].path.as_str(), asked[0].ns.as_deref()), ("/v2/istio/pilot/manifests/1.27.1", Some("docker.io")));
}

#[tokio::test]
async fn faults_are_for_some_requests_only() {
    let mut images = Images::default();
    let built = images.add("a", "1", &Config::default(), 1);
    let registry = Registry::start(images).await.unwrap();
    let fault = |what, times| Fault { prefix: "/v2/a/".to_owned(), what, times };
    registry.fault(fault(Misbehaviour::Status(429, Some(7)), Some(1)));
    let limited = ask(&registry, Method::GET, "/v2/a/manifests/1").await.unwrap();
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
    assert_eq!(ask(&registry, Method::GET, "/v2/a/manifests/1").await.unwrap().status, 200);
    registry.fault(fault(Misbehaviour::Cut, Some(1)));
    assert!(ask(&registry, Method::GET, "/v2/a/manifests/1").await.unwrap_err().ends_with("\": EOF"));
    registry.fault(fault(Misbehaviour::Corrupt, None));
    assert_ne!(digest(&ask(&registry, Method::GET, "/v2/a/manifests/1").await.unwrap().body), built.digest);
    registry.clear_faults();
    registry.fault(fault(Misbehaviour::Delay(Duration::from_millis(5)), None));
    assert_eq!(ask(&registry, Method::GET, "/v2/a/manifests/1").await.unwrap().status, 200);
}
