use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;

struct World {
    address: SocketAddr,
    recorder: Recorder,
    _stop: oneshot::Sender<()>,
}

async fn proxy(upstream: Option<String>) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, recorder) = (listener.local_addr().unwrap(), Recorder::memory());
    let naming: Naming = Arc::new(|_| Box::pin(std::future::ready(Some("worker".to_owned()))));
    let proxy = Proxy::new(Settings { name: "drop-in".to_owned(), upstream, recorder: recorder.clone(), naming }).unwrap();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(proxy.serve(listener, async {
        let _ = stopped.await;
    }));
    World { address, recorder, _stop: stop }
}

/// A server that answers one connection with what `answer` makes of the request's head.
async fn server(answer: impl FnOnce(String) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer(String::from_utf8(head).unwrap()).as_bytes()).await.unwrap();
    });
    address
}

/// What a client gets for what it sends, until the connection ends.
async fn talk(to: SocketAddr, say: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(say.as_bytes()).await.unwrap();
    let mut said = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut said)).await;
    read.expect("an end").unwrap();
    said
}

fn asked(world: &World) -> Vec<(String, String, u16)> {
    let one = |access: Access| match access.asked {
        Asked::Proxy { listener, method, target, status, .. } => {
            assert_eq!((access.node.as_deref(), listener.as_str()), (Some("worker"), "drop-in"));
            (method, target, status)
        }
        Asked::Mirror { .. } => panic!("no mirror is here"),
    };
    world.recorder.accesses().into_iter().map(one).collect()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_tunnel_carries_both_ways_and_is_written_down_when_it_opens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let world = proxy(None).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    // It is still open.
    assert_eq!(asked(&world), [("CONNECT".to_owned(), target.to_string(), 200)]);
    client.write_all(b"there").await.unwrap();
    let mut there = [0; 5];
    far.read_exact(&mut there).await.unwrap();
    assert_eq!(&there, b"there");
    // Half of it may be closed, and the other goes on.
    far.write_all(b"back").await.unwrap();
    far.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"back"), "{rest:?}");
}

#[tokio::test]
async fn a_target_that_is_not_there_is_a_bad_gateway_that_says_why() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = proxy(None).await;
    let said = talk(world.address, &format!("CONNECT {free} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 502") && said.to_lowercase().contains("connection refused"), "{said}");
    let said = talk(world.address, "CONNECT proxied.meshproof.invalid:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 502") && said.contains("no such host"), "{said}");
    let targets: Vec<_> = asked(&world).into_iter().map(|(_, target, status)| (target, status)).collect();
    assert_eq!(targets, [(free.to_string(), 502), ("proxied.meshproof.invalid:443".to_owned(), 502)]);
}

#[tokio::test]
async fn plain_requests_are_passed_on_without_what_is_the_proxys_own() {
    let (sees, saw) = oneshot::channel();
    let target = server(move |head| {
        sees.send(head).unwrap();
        ok("hello")
    })
    .await;
    let world = proxy(None).await;
    let said = talk(
        world.address,
        &format!(
            "GET http://u:pass@{target}/v2/?ns=x HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic c2VjcmV0\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\n\r\n"
        ),
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("hello"), "{said}");
    let head = saw.await.unwrap().to_lowercase();
    assert!(head.starts_with("get /v2/?ns=x http/1.1\r\n") && head.contains("x-other: 2"), "{head}");
    assert!(!head.contains("proxy-authorization") && !head.contains("x-mine") && !head.contains("pass"), "{head}");
    // Neither the password nor the query is written down.
    assert_eq!(asked(&world), [("GET".to_owned(), format!("http://{target}/v2/"), 200)]);
    let Asked::Proxy { received, .. } = world.recorder.accesses().remove(0).asked else { panic!("a proxy") };
    assert_eq!(received, 5);
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_refused_and_written_down() {
    let world = proxy(None).await;
    let said = talk(world.address, "HEAD /v2/probe/manifests/latest?ns=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    let own = world.address;
    let said = talk(own, &format!("CONNECT {own} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 508") && said.contains("asked for itself"), "{said}");
    let said = talk(own, &format!("GET http://{own}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 508"), "{said}");
    let statuses = asked(&world);
    assert_eq!(statuses[0], ("HEAD".to_owned(), "/v2/probe/manifests/latest".to_owned(), 400));
    assert_eq!(statuses.iter().map(|(.., status)| *status).collect::<Vec<_>>(), [400, 508, 508]);
}

#[tokio::test]
async fn another_proxy_is_asked_with_its_password() {
    let (sees, saw) = oneshot::channel();
    let other = server(move |head| {
        sees.send(head).unwrap();
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_owned()
    })
    .await;
    let world = proxy(Some(format!("http://user:p%40ss@{other}"))).await;
    let said = talk(world.address, "CONNECT r.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 502") && said.contains("407 Proxy Authentication Required"), "{said}");
    let head = saw.await.unwrap();
    // user:p@ss
    assert!(head.starts_with("CONNECT r.example:443 ") && head.contains("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
    assert_eq!(asked(&world), [("CONNECT".to_owned(), "r.example:443".to_owned(), 502)]);
    let written = format!("{:?}", world.recorder.accesses());
    assert!(!written.contains("p@ss") && !written.contains("dXNlcjpwQHNz"), "{written}");
}

#[test]
fn a_proxy_to_ask_is_a_url_with_a_host() {
    for bad in ["", "proxy:3128", "https://proxy:3128", "http://"] {
        let naming: Naming = Arc::new(|_| Box::pin(std::future::ready(None)));
        let settings = Settings { name: String::new(), upstream: Some(bad.to_owned()), recorder: Recorder::memory(), naming };
        assert!(Proxy::new(settings).is_err(), "{bad}");
    }
}
