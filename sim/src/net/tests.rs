use std::time::Duration;

use http::Method;
use tokio::net::TcpListener;

use super::authority::Authority;
use super::go_proxy::ProxyConfig;
use super::*;
use crate::oci::{Config, Images, Registry};

fn client(network: &Network) -> Client {
    Client::new(network.clone(), "n1", ProxyConfig::default(), Tls::default(), Duration::from_secs(30))
}

async fn why(client: &Client, url: &str) -> String {
    client.send(&Method::HEAD, &Url::parse(url).unwrap(), &[]).await.unwrap_err().to_string()
}

fn images() -> Images {
    let mut images = Images::default();
    images.add("library/busybox", "latest", &Config::default(), 1000);
    images
}

#[tokio::test]
async fn errors_are_in_gos_words() {
    let network = Network::closed();
    network.patience(Duration::from_millis(20));
    let mut client = client(&network);
    let lookup = "dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host";
    assert_eq!(why(&client, "https://registry-1.docker.io/v2/").await, format!("Head \"https://registry-1.docker.io/v2/\": {lookup}"));
    network.blackhole("10.1.1.1");
    assert!(why(&client, "http://10.1.1.1/").await.ends_with("dial tcp 10.1.1.1:80: i/o timeout"));
    assert!(why(&client, "http://10.1.1.2/").await.ends_with("dial tcp 10.1.1.2:80: connect: no route to host"));
    assert!(why(&client, "http://172.17.0.1:7890/").await.ends_with("dial tcp 172.17.0.1:7890: connect: connection refused"));
    // P1: a proxy on the loopback of the host is not on the node's, though it listens on this machine.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    client.proxy.https = format!("http://127.0.0.1:{port}");
    let refused = format!("proxyconnect tcp: dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert!(why(&client, "https://a.example/").await.ends_with(&refused));
    client.proxy.https = "http://localhost:7890".to_owned();
    assert!(why(&client, "https://a.example/").await.ends_with("proxyconnect tcp: dial tcp [::1]:7890: connect: connection refused"));
}

#[tokio::test]
async fn certificates_are_checked_as_go_checks_them() {
    let (network, authority) = (Network::closed(), Authority::new("lab"));
    let registry = Registry::start_tls(images(), authority.server(&["registry-1.docker.io"])).await.unwrap();
    for name in ["registry-1.docker.io:443", "other.example:443"] {
        network.map(name, registry.address());
    }
    let plain = Registry::start(images()).await.unwrap();
    network.map("plain.example:443", plain.address());
    let mut client = client(&network);
    let unknown = why(&client, "https://registry-1.docker.io/v2/").await;
    assert!(unknown.ends_with("tls: failed to verify certificate: x509: certificate signed by unknown authority"), "{unknown}");
    client.tls.roots = authority.roots();
    let url = Url::parse("https://registry-1.docker.io/v2/").unwrap();
    assert_eq!(client.send(&Method::GET, &url, &[]).await.unwrap().status, 200);
    let other = why(&client, "https://other.example/v2/").await;
    assert!(other.ends_with("x509: certificate is valid for registry-1.docker.io, not other.example"), "{other}");
    let http = why(&client, "https://plain.example/v2/").await;
    assert!(http.ends_with("http: server gave HTTP response to HTTPS client"), "{http}");
    client.tls.skip_verify = true;
    assert_eq!(client.send(&Method::GET, &Url::parse("https://other.example/v2/").unwrap(), &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_proxy_tunnels_https_and_forwards_http() {
    let (network, authority) = (Network::closed(), Authority::new("lab"));
    let registry = Registry::start_tls(images(), authority.server(&["registry-1.docker.io"])).await.unwrap();
    network.map("registry-1.docker.io:443", registry.address());
    let mirror = Registry::start(images()).await.unwrap();
    network.map("mirror:5000", mirror.address());
    let proxy = Proxy::start(&network).await.unwrap();
    network.map("172.17.0.1:7890", proxy.address());
    let mut client = client(&network);
    client.tls.roots = authority.roots();
    "http://172.17.0.1:7890".clone_into(&mut client.proxy.http);
    "http://user:p%40ss@172.17.0.1:7890".clone_into(&mut client.proxy.https);
    let get = |url: &str| Url::parse(url).unwrap();
    let manifest = "http://mirror:5000/v2/library/busybox/manifests/latest?ns=docker.io";
    assert_eq!(client.send(&Method::GET, &get("https://registry-1.docker.io/v2/"), &[]).await.unwrap().status, 200);
    let head = client.send(&Method::HEAD, &get(manifest), &[]).await.unwrap();
    assert_eq!(head.status, 200);
    assert_ne!(head.header("content-length"), Some("0"));
    let records = proxy.records();
    let seen: Vec<(&str, &str)> = records.iter().map(|r| (r.method.as_str(), r.target.as_str())).collect();
    assert_eq!(seen, [("CONNECT", "registry-1.docker.io:443"), ("HEAD", manifest)]);
    assert_eq!(records[0].node.as_deref(), Some("n1"));
    assert_eq!(records[0].authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
    assert_eq!(registry.records().len(), 1);

    // A tunnel that is there is used again.
    assert_eq!(client.send(&Method::GET, &get("https://registry-1.docker.io/v2/"), &[]).await.unwrap().status, 200);
    assert_eq!(proxy.records().len(), 2);
    client.close_idle();

    // A refused CONNECT is told by its status text alone (P3).
    proxy.fault(Some(ProxyFault::Authorization("Basic eDp5".to_owned())));
    assert!(why(&client, "https://registry-1.docker.io/v2/").await.ends_with("/v2/\": Proxy Authentication Required"));
    proxy.fault(None);
    assert!(why(&client, "https://gone.example/").await.ends_with("\": Bad Gateway"));
    assert_eq!(client.send(&Method::HEAD, &get("http://gone.example/"), &[]).await.unwrap().status_text(), "502 Bad Gateway");
    proxy.stop();
}

#[test]
fn urls_are_kept_as_written() {
    let url = Url::parse("HTTPS://u:p@[fd00::1]:5000/v2/a?ns=b#f").unwrap();
    assert_eq!((url.host.as_str(), url.port, url.userinfo.as_deref()), ("fd00::1", Some(5000), Some("u:p")));
    assert_eq!(url.to_string(), "https://[fd00::1]:5000/v2/a?ns=b");
    assert_eq!(url.join("/x").unwrap().to_string(), "https://[fd00::1]:5000/x");
    assert_eq!(url.join("y").unwrap().path, "/v2/y");
    assert_eq!(url.join("//h/z").unwrap().to_string(), "https://h/z");
    assert_eq!(Url::parse("127.0.0.1:7890"), None);
}
