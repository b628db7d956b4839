use super::*;
use crate::tools::testing::{Server, ok, sha256, tar_gz};

const DIRECT: DownloadsSpec = DownloadsSpec { proxy: None };

async fn download(name: &str, url: &str, dir: &Path) -> Result<PathBuf, DownloadError> {
    Download { name, url, checksum_suffix: ".sha256", dir }.run(&DIRECT).await
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).map(|d| d.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()).unwrap_or_default();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_download_is_checked_executable_and_recorded() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let url = server.file("/v1/kubectl", b"#!/bin/sh\n", ".sha256");
    let path = download("kubectl", &url, dir.path()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"#!/bin/sh\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(names(dir.path()), ["kubectl", "kubectl.sha256"]);
    let record = std::fs::read_to_string(dir.path().join("kubectl.sha256")).unwrap();
    assert_eq!(record, format!("{}  kubectl\n", sha256(b"#!/bin/sh\n")));
}

#[tokio::test]
async fn a_redirect_is_followed_and_an_archive_unpacked() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let archive = tar_gz(&[("istio-1/LICENSE", b"l"), ("istio-1/bin/istioctl", b"tool")]);
    server.file("/store/a.tar.gz", &archive, "");
    server.raw("/istioctl.tar.gz.sha256", ok(sha256(&archive).to_uppercase().as_bytes()));
    server.raw("/store/a.tar.gz", ok(&archive));
    let moved = b"HTTP/1.1 302 Found\r\nlocation: /store/a.tar.gz\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let url = server.raw("/istioctl.tar.gz", moved.to_vec());
    let path = download("istioctl", &url, dir.path()).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"tool");
    assert_eq!(names(dir.path()), ["istioctl", "istioctl.sha256"]);
}

#[tokio::test]
async fn a_wrong_digest_names_both_and_leaves_nothing() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let url = server.file("/kind", b"good", ".sha256");
    server.raw("/kind", ok(b"evil"));
    let error = download("kind", &url, dir.path()).await.unwrap_err();
    assert!(matches!(error, DownloadError::Checksum { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&sha256(b"good")) && text.contains(&sha256(b"evil")) && text.contains(&url), "{text}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[tokio::test]
async fn broken_downloads_leave_nothing() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let url = server.file("/kind", b"0123456789", ".sha256");
    server.raw("/kind", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n01234".to_vec());
    assert!(matches!(download("kind", &url, dir.path()).await, Err(DownloadError::Body { .. })));
    // Without a length only the digest can tell.
    server.raw("/kind", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n01234".to_vec());
    assert!(matches!(download("kind", &url, dir.path()).await, Err(DownloadError::Checksum { .. })));
    server.raw("/kind.sha256", ok(b"<html>sign in</html>"));
    assert!(matches!(download("kind", &url, dir.path()).await, Err(DownloadError::NoDigest { .. })));
    let missing = format!("{}/none", server.url);
    assert!(matches!(download("kind", &missing, dir.path()).await, Err(DownloadError::Status { .. })));
    let evil = server.file("/i.tar.gz", &tar_gz(&[("../istioctl", b"x")]), ".sha256");
    assert!(matches!(download("istioctl", &evil, dir.path()).await, Err(DownloadError::Archive { .. })));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[tokio::test]
async fn a_broken_download_keeps_what_was_there_before() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("kind"), "before").unwrap();
    let url = server.file("/kind", b"good", ".sha256");
    server.raw("/kind", ok(b"evil"));
    download("kind", &url, dir.path()).await.unwrap_err();
    assert_eq!(std::fs::read(dir.path().join("kind")).unwrap(), b"before");
}

#[tokio::test]
async fn the_spec_s_proxy_is_used() {
    let proxy = Server::start().await;
    proxy.raw("http://upstream.invalid/a.yaml", ok(b"from the proxy"));
    let downloads = DownloadsSpec { proxy: Some(proxy.url.clone()) };
    assert_eq!(fetch_text("http://upstream.invalid/a.yaml", &downloads, 100).await.unwrap(), "from the proxy");
    assert!(matches!(fetch_text("http://upstream.invalid/a.yaml", &DIRECT, 100).await, Err(DownloadError::Request { .. })));
}

#[tokio::test]
async fn manifests_come_from_files_and_urls_within_the_limit() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("m.yaml");
    std::fs::write(&file, "kind: List").unwrap();
    let file = file.to_str().unwrap();
    let url = server.raw("/m.yaml", ok(b"kind: List"));
    for source in [file, &url] {
        assert_eq!(fetch_text(source, &DIRECT, 10).await.unwrap(), "kind: List");
        assert!(matches!(fetch_text(source, &DIRECT, 9).await, Err(DownloadError::TooLarge { .. })), "{source}");
    }
    assert!(matches!(fetch_text("/no/such/file", &DIRECT, 9).await, Err(DownloadError::Read { .. })));
    let binary = server.raw("/b", ok(&[0xff]));
    assert!(matches!(fetch_text(&binary, &DIRECT, 9).await, Err(DownloadError::NotText { .. })));
}
