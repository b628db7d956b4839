//! Pulls through the recording mirror from registries and through proxies that are not ours.

use meshproof::mirror::record::{Asked, From};
use meshproof::mirror::upstream::{Credentials, Endpoint, Login, Secret};
use mirror_in_containers::{Image, OwnMirror, REGISTRY_PORT, RegistryKind, chained_proxy, envoy, mirror, own_name, registry};

/// A user of the registry as `htpasswd -B` writes it; the password is the next one.
const HTPASSWD: &str = "tester:$2b$05$IxNcO6TyEw33oRMPnbETUOaDauJUBphQTfxuLDQN9i3VD5/b3m472\n";
const LOGIN: (&str, &str) = ("tester", "the password of a test");

/// Where the answers that were given came from.
fn sources(mirror: &OwnMirror) -> Vec<Option<From>> {
    let from = |asked: &Asked| match asked {
        Asked::Mirror { from, .. } => *from,
        Asked::Proxy { .. } => None,
    };
    mirror.recorder.accesses().iter().map(|access| from(&access.asked)).collect()
}

#[tokio::test]
async fn what_came_from_a_registry_once_is_there_when_the_registry_is_gone() {
    let image = Image::of(&vec![7; 3 << 20]);
    let registry = registry(RegistryKind::default()).await;
    let url = format!("http://{}", registry.address);
    image.push(&url, "library/app", "1", None).await;
    let mirror = mirror(Endpoint::new(url), Credentials::default(), None).await;
    mirror.pulls("library/app", "1", &image).await;
    mirror.pulls("library/app", "1", &image).await;
    let blobs = 2 * image.blobs.len() + 2;
    let seen = sources(&mirror);
    assert_eq!((seen.len(), seen[..3].iter().all(|s| *s == Some(From::Upstream))), (blobs, true), "{seen:?}");
    assert!(seen[3..].iter().all(|s| *s == Some(From::Cache)), "{seen:?}");
    // A tag moves, and the mirror must not say the old one as long as it can ask.
    let newer = Image::of(b"another layer");
    newer.push(&format!("http://{}", registry.address), "library/app", "1", None).await;
    mirror.pulls("library/app", "1", &newer).await;
    let (status, body) = mirror.get("library/app/manifests/2").await;
    assert_eq!((status, body.windows(16).any(|w| w == b"MANIFEST_UNKNOWN")), (404, true), "{}", String::from_utf8_lossy(&body));

    registry.container.stop().await.expect("it stops");
    mirror.pulls("library/app", "1", &newer).await;
    let (status, body) = mirror.get("library/other/manifests/1").await;
    assert!(status >= 500, "{status} {}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn a_registry_that_wants_a_login_gets_the_right_one_and_nobody_sees_it() {
    let image = Image::of(b"a layer for those who may");
    let registry = registry(RegistryKind { login: Some(HTPASSWD), ..RegistryKind::default() }).await;
    let url = format!("http://{}", registry.address);
    image.push(&url, "private/app", "1", Some(LOGIN)).await;
    let with = |password: &str| {
        let mut credentials = Credentials::default();
        let login = Login::Password { username: LOGIN.0.to_owned(), password: Secret::new(password) };
        credentials.insert(&registry.address, login);
        credentials
    };
    let allowed = mirror(Endpoint::new(&url), with(LOGIN.1), None).await;
    allowed.pulls("private/app", "1", &image).await;
    for credentials in [Credentials::default(), with("another password")] {
        let refused = mirror(Endpoint::new(&url), credentials, None).await;
        let (status, body) = refused.get("private/app/manifests/1").await;
        let (body, recorded) = (String::from_utf8_lossy(&body).into_owned(), format!("{:?}", refused.recorder.accesses()));
        assert!(matches!(status, 401 | 403 | 502) && body.contains("401"), "{status} {body}");
        for secret in [LOGIN.1, "another password"] {
            assert!(!body.contains(secret) && !recorded.contains(secret), "{body} {recorded}");
        }
    }
}

#[tokio::test]
async fn what_only_a_proxy_reaches_comes_through_it_and_through_ours_before_it() {
    let (network, name) = (own_name("network"), own_name("registry"));
    let registry = registry(RegistryKind { behind: Some((&network, &name)), ..RegistryKind::default() }).await;
    let image = Image::of(b"a layer behind a proxy");
    image.push(&format!("https://{}", registry.address), "library/app", "1", None).await;
    let envoy = envoy(&network, &name).await;
    // A name that only the proxy can look up, and a certificate that nobody vouches for.
    let endpoint = || Endpoint { skip_verify: true, ..Endpoint::new(format!("https://{name}:{REGISTRY_PORT}")) };
    let proxy = format!("http://{}", envoy.address);
    let direct = mirror(endpoint(), Credentials::default(), None).await;
    assert!(direct.get("library/app/manifests/1").await.0 >= 500, "it is to be had without a proxy");
    mirror(endpoint(), Credentials::default(), Some(&proxy)).await.pulls("library/app", "1", &image).await;

    let (ours, recorder) = chained_proxy(&proxy).await;
    mirror(endpoint(), Credentials::default(), Some(&format!("http://{ours}"))).await.pulls("library/app", "1", &image).await;
    // Another registry is refused by the other proxy, and ours says so.
    let other = Endpoint { skip_verify: true, ..Endpoint::new("https://other.example.invalid") };
    let refused = mirror(other, Credentials::default(), Some(&format!("http://{ours}"))).await;
    assert!(refused.get("library/app/manifests/1").await.0 >= 500);
    let asked: Vec<(String, String, u16)> = recorder
        .accesses()
        .into_iter()
        .filter_map(|access| match access.asked {
            Asked::Proxy { method, target, status, .. } => Some((method, target, status)),
            Asked::Mirror { .. } => None,
        })
        .collect();
    assert!(asked.contains(&("CONNECT".to_owned(), format!("{name}:{REGISTRY_PORT}"), 200)), "{asked:?}");
    assert!(asked.iter().any(|(_, target, status)| target == "other.example.invalid:443" && *status >= 400), "{asked:?}");
}
