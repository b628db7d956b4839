use http::StatusCode;

use super::*;
use crate::mirror::testing::{Fake, Fault, MANIFEST, busybox, client, noise};

async fn read(stream: &mut BlobStream) -> Result<Vec<u8>, UpstreamError> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

async fn blob(client: &Client, digest: &Digest, from: u64) -> Result<Vec<u8>, UpstreamError> {
    read(&mut client.blob(&busybox(), digest, from).await?).await
}

fn with(fake: &Fake, login: Login) -> Client {
    let mut credentials = Credentials::default();
    credentials.insert(&fake.address.to_string(), login);
    let registries = [("docker.io".to_owned(), vec![fake.endpoint()])].into();
    Client::new(Upstreams { registries, others: false }, credentials, None).unwrap()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_until_it_expires() {
    let fake = Fake::start().await;
    fake.protect("tok", Some("Basic bWU6c2VjcmV0"));
    let digest = fake.blob("content");
    let me = with(&fake, Login::Password { username: "me".into(), password: Secret::new("secret") });
    for _ in 0..3 {
        assert_eq!(blob(&me, &digest, 0).await.unwrap(), b"content");
    }
    let tokens = fake.seen("/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].query, "service=fake&scope=repository%3Ax%3Apull&account=me&client_id=meshproof");
    assert_eq!(fake.seen("/blobs/").len(), 4, "one of them without the token");
    assert!(!format!("{me:?}").contains("secret") && !format!("{me:?}").contains("tok\""));

    let nobody = fake.client();
    let refused = blob(&nobody, &digest, 0).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::Denied { status: StatusCode::UNAUTHORIZED, anonymous: true, .. }), "{refused:?}");
    fake.protect("other", None);
    assert_eq!(blob(&me, &digest, 0).await.unwrap(), b"content", "a token that is refused is fetched again");
    let token = with(&fake, Login::IdentityToken(Secret::new("identity")));
    assert_eq!(blob(&token, &digest, 0).await.unwrap(), b"content");
    assert_eq!(fake.seen("POST /token").len(), 1);
}

#[tokio::test]
async fn a_login_does_not_follow_a_redirect_to_another_host() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    fake.protect("tok", None);
    let digest = fake.blob("content");
    other.blob("content");
    fake.fault("/blobs/", 9, Fault::Redirect(other.url()));
    assert_eq!(blob(&fake.client(), &digest, 0).await.unwrap(), b"content");
    assert!(fake.seen("/blobs/").last().unwrap().headers.contains_key(header::AUTHORIZATION));
    assert_eq!(other.seen("/blobs/").len(), 1);
    assert!(!other.seen("/blobs/")[0].headers.contains_key(header::AUTHORIZATION));
    // In a circle, it ends.
    other.fault("/blobs/", 99, Fault::Redirect(other.url()));
    assert!(matches!(blob(&fake.client(), &digest, 0).await, Err(UpstreamError::Unreachable { .. })));
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let fake = Fake::start().await;
    let content = noise(300_000);
    let digest = fake.blob(content.clone());
    fake.fault("GET", 1, Fault::Cut(100_000));
    fake.fault("GET", 1, Fault::Cut(50_000));
    assert_eq!(blob(&fake.client(), &digest, 0).await.unwrap(), content);
    let ranges: Vec<_> =
        fake.seen("/blobs/").iter().map(|s| s.headers.get(header::RANGE).map(|r| r.to_str().unwrap().to_owned())).collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges[0].is_none() && ranges[1].is_some() && ranges[2] > ranges[1], "{ranges:?}");
    // An endpoint that begins at the beginning again.
    fake.fault("GET", 1, Fault::Cut(100_000));
    fake.fault("GET", 1, Fault::IgnoreRange);
    assert_eq!(blob(&fake.client(), &digest, 0).await.unwrap(), content);
    fake.fault("GET", 1, Fault::IgnoreRange);
    assert_eq!(blob(&fake.client(), &digest, 299_990).await.unwrap(), content[299_990..]);
    assert_eq!(blob(&fake.client(), &digest, 299_990).await.unwrap(), content[299_990..]);
}

#[tokio::test]
async fn a_download_that_breaks_too_often_goes_on_at_the_next_endpoint_or_fails() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let content = noise(300_000);
    let digest = fake.blob(content.clone());
    fake.fault("GET", 99, Fault::Cut(1000));
    let error = blob(&fake.client(), &digest, 0).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Truncated { expected: Some(300_000), .. }), "{error:?}");
    assert_eq!(fake.seen("/blobs/").len(), 4);
    other.blob(content.clone());
    let both = client(vec![fake.endpoint(), other.endpoint()]);
    assert_eq!(blob(&both, &digest, 0).await.unwrap(), content);
    assert_eq!(other.seen("/blobs/").len(), 1);
}

#[tokio::test]
async fn the_next_endpoint_is_tried_and_the_furthest_error_told() {
    let (first, second) = (Fake::start().await, Fake::start().await);
    let digest = second.blob("content");
    let closed = Endpoint::new("http://127.0.0.1:1");
    let all = client(vec![closed.clone(), first.endpoint(), second.endpoint()]);
    assert_eq!(blob(&all, &digest, 0).await.unwrap(), b"content");
    assert_eq!(second.seen("/blobs/")[0].query, "ns=docker.io");
    let nothing = Digest::of(b"nothing");
    assert!(matches!(blob(&all, &nothing, 0).await, Err(UpstreamError::NotFound { .. })));
    first.fault("/blobs/", 1, Fault::Later(429, "7"));
    let error = blob(&all, &nothing, 0).await.unwrap_err();
    assert_eq!((error.retry_after(), error.is_outage()), (Some("7"), true), "{error:?}");
    let unreachable = blob(&client(vec![closed]), &digest, 0).await.unwrap_err();
    assert_eq!(unreachable.to_string(), format!("cannot reach http://127.0.0.1:1/v2/library/busybox/blobs/{digest}?ns=docker.io"));
    let blind = client(vec![Endpoint { pull: false, ..second.endpoint() }]);
    assert!(matches!(blob(&blind, &digest, 0).await, Err(UpstreamError::NoEndpoint { .. })));
}

#[tokio::test]
async fn a_manifest_is_what_it_says_it_is_or_an_error() {
    let fake = Fake::start().await;
    let digest = fake.manifest("latest", r#"{"schemaVersion":2}"#);
    let client = fake.client();
    let get = async |reference: &str| client.manifest(&busybox(), &reference.parse().unwrap()).await;
    let manifest = get("latest").await.unwrap();
    assert_eq!((manifest.digest, manifest.media_type.as_str()), (digest.clone(), MANIFEST));
    let head = client.head(&busybox(), &"latest".parse().unwrap()).await.unwrap();
    assert_eq!((head.digest, head.size), (digest.clone(), 19));
    for reference in ["latest", digest.as_str()] {
        fake.fault("GET", 1, Fault::Corrupt);
        assert!(matches!(get(reference).await, Err(UpstreamError::Digest { .. })));
    }
    fake.fault("GET", 1, Fault::Cut(3));
    assert!(matches!(get("latest").await, Err(UpstreamError::Truncated { found: 3, .. })));
    fake.fault("GET", 1, Fault::Header("content-type", "text/html"));
    assert!(matches!(get("latest").await, Err(UpstreamError::Manifest { source: ManifestProblem::Unknown { .. }, .. })));
    fake.manifest("large", &" ".repeat(5 * 1024 * 1024));
    assert!(matches!(get("large").await, Err(UpstreamError::TooLarge { .. })));
    fake.fault("GET", 1, Fault::Chunked);
    assert!(matches!(get("large").await, Err(UpstreamError::TooLarge { .. })));
    // Only GET is known there.
    fake.fault("HEAD", 1, Fault::Status(405));
    assert_eq!(client.head(&busybox(), &"latest".parse().unwrap()).await.unwrap().digest, digest);
    // One endpoint resolves, another is pulled from.
    let resolve = Endpoint { pull: false, ..fake.endpoint() };
    let pull = Endpoint { resolve: false, ..fake.endpoint() };
    let split = super::super::testing::client(vec![resolve, pull]);
    assert_eq!(split.manifest(&busybox(), &"latest".parse().unwrap()).await.unwrap().digest, digest);
}

#[tokio::test]
async fn a_challenge_that_cannot_be_met_is_told_without_secrets() {
    let fake = Fake::start().await;
    let digest = fake.blob("content");
    fake.fault("/blobs/", 1, Fault::Status(401));
    let error = blob(&fake.client(), &digest, 0).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Challenge { .. }), "{error:?}");
    fake.fault("/blobs/", 1, Fault::Status(403));
    assert!(matches!(blob(&fake.client(), &digest, 0).await, Err(UpstreamError::Denied { status: StatusCode::FORBIDDEN, .. })));
}

#[tokio::test]
async fn what_stands_still_is_given_up() {
    let fake = Fake::start().await;
    let digest = fake.blob(noise(1_000_000));
    fake.fault("GET", 99, Fault::Stall);
    let registries = [("docker.io".to_owned(), vec![fake.endpoint()])].into();
    let upstreams = Upstreams { registries, others: false };
    let short = Duration::from_millis(200);
    let impatient = Client::with_timeouts(upstreams, Credentials::default(), None, short, short).unwrap();
    let error = blob(&impatient, &digest, 0).await.map(drop).unwrap_err();
    assert!(matches!(error, UpstreamError::Truncated { .. }), "{error:?}");
}
