//! A mirror whose process is killed while it fetches leaves a good cache.

use std::path::Path;
use std::process::Stdio;

use http::StatusCode;
use rstest::rstest;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::*;
use crate::mirror::name::Digest;
use crate::mirror::testing::{Fault, noise};
use crate::mirror::upstream::Endpoint;

const CACHE: &str = "MESHPROOF_TEST_CACHE";
const UPSTREAM: &str = "MESHPROOF_TEST_UPSTREAM";
/// More than fits into the buffers between the processes.
const SIZE: usize = 24 << 20;

#[tokio::test]
#[ignore = "the process that the other test starts and kills"]
#[expect(clippy::print_stdout, reason = "it is how the other test learns the address")]
async fn serve_until_killed() {
    let variable = |name: &str| std::env::var(name).expect("it is set by whoever starts this");
    let upstream = crate::mirror::testing::client(vec![Endpoint::new(variable(UPSTREAM))]);
    let naming: Naming = Arc::new(|_| Box::pin(std::future::ready(None)));
    let cache = Cache::open(Path::new(&variable(CACHE)), None).unwrap();
    let mirror = Mirror::new(Settings { cache, upstream: Some(upstream), layouts: Vec::new(), recorder: Recorder::memory(), naming });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\nlistens at {}", listener.local_addr().unwrap());
    mirror.serve(listener, std::future::pending()).await;
}

/// A mirror in a process of its own, and its address.
#[expect(clippy::disallowed_methods, reason = "a process that is killed, and no tool")]
async fn process(cache: &Path, fake: &Fake) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "mirror::server::tests::killed::serve_until_killed", "--nocapture"])
        .envs([(CACHE, cache.display().to_string()), (UPSTREAM, fake.url())])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("it says where it listens");
        if let Some(address) = line.strip_prefix("listens at ") {
            return (child, address.to_owned());
        }
    }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[rstest]
#[case::at_the_first_bytes(1)]
#[case::on_the_way(SIZE / 3)]
#[case::as_far_as_it_comes(SIZE / 2)]
#[tokio::test]
async fn what_a_killed_process_was_fetching_is_fetched_again(#[case] received: usize) {
    let fake = Fake::start().await;
    let (content, kept) = (noise(SIZE), noise(1000));
    let (digest, other) = (fake.blob(content.clone()), fake.blob(kept.clone()));
    let dir = tempfile::tempdir().unwrap();
    let (mut child, address) = process(dir.path(), &fake).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |digest: &Digest| format!("http://{address}/v2/library/busybox/blobs/{digest}?ns=docker.io");
    // What it has finished before stays.
    assert_eq!(client.get(url(&other)).send().await.unwrap().bytes().await.unwrap(), kept);
    eventually(|| (files(&dir.path().join("fill")) == 0 && files(&dir.path().join("blobs/sha256")) == 1).then_some(())).await;
    // Half of it, and then nothing more.
    fake.fault(&format!("GET /v2/library/busybox/blobs/{digest}"), 1, Fault::Stall);
    let mut response = client.get(url(&digest)).send().await.unwrap();
    let mut came = 0;
    while came < received {
        came += response.chunk().await.unwrap().expect("it does not end").len();
    }
    assert_eq!(files(&dir.path().join("fill")), 1, "it is at work on the blob");
    child.kill().await.unwrap();
    // Whoever waited learns that it was not all.
    while let Ok(chunk) = response.chunk().await {
        assert!(chunk.is_some(), "a part was given for the whole");
    }

    let cache = Cache::open(dir.path(), None).unwrap();
    assert_eq!(files(&dir.path().join("fill")), 0, "nothing of it is left");
    assert!(cache.blob(&digest).unwrap().is_none() && cache.blob(&other).unwrap().is_some());
    assert_eq!(cache.size(), kept.len() as u64);
    assert_eq!(cache.verify().unwrap().removed, []);
    let mirror = start_in(dir, Some(fake.client()), Vec::new()).await;
    assert_eq!(mirror.body(&format!("library/busybox/blobs/{digest}?ns=docker.io")).await.unwrap(), content);
    let again = mirror.head(&format!("library/busybox/blobs/{digest}?ns=docker.io")).await;
    assert_eq!(again.status(), StatusCode::OK);
    // The last byte goes out before the blob has its name in the cache.
    eventually(|| (mirror.cache.verify().unwrap().good == 2).then_some(())).await;
}
