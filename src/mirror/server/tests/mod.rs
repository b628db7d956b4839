mod air_gapped;
mod blobs;
mod conformance;
mod killed;
mod manifests;
mod properties;

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::mirror::record::{Access, Asked};
use crate::mirror::testing::Fake;

/// A mirror that runs.
struct Running {
    mirror: Arc<Mirror>,
    address: SocketAddr,
    recorder: Recorder,
    cache: Cache,
    dir: TempDir,
    client: reqwest::Client,
}

async fn start(upstream: Option<upstream::Client>, layouts: Vec<Layout>) -> Running {
    start_in(tempfile::tempdir().unwrap(), upstream, layouts).await
}

async fn start_in(dir: TempDir, upstream: Option<upstream::Client>, layouts: Vec<Layout>) -> Running {
    let cache = Cache::open(dir.path(), None).unwrap();
    let recorder = Recorder::memory();
    let naming: Naming = Arc::new(|_| Box::pin(std::future::ready(Some("kind-worker".to_owned()))));
    let mirror = Mirror::new(Settings { cache: cache.clone(), upstream, layouts, recorder: recorder.clone(), naming });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&mirror).serve(listener, std::future::pending()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Running { mirror, address, recorder, cache, dir, client }
}

async fn mirroring(fake: &Fake) -> Running {
    start(Some(fake.client()), Vec::new()).await
}

impl Running {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}/v2/{path}", self.address))
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn head(&self, path: &str) -> reqwest::Response {
        self.request(Method::HEAD, path).send().await.unwrap()
    }

    /// The whole body, or that it broke off.
    async fn body(&self, path: &str) -> Result<Vec<u8>, reqwest::Error> {
        body(self.get(path).await).await
    }

    /// The record, once it has so many entries.
    async fn recorded(&self, count: usize) -> Vec<Access> {
        eventually(|| Some(self.recorder.accesses()).filter(|a| a.len() >= count)).await
    }
}

async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut all = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it did not come");
        let _ = tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
    }
}

fn mirror(access: &Access) -> (u16, u64, Option<super::super::record::From>, Option<&str>) {
    match &access.asked {
        Asked::Mirror { status, bytes, from, error, .. } => (*status, *bytes, *from, error.as_deref()),
        Asked::Proxy { .. } => panic!("no proxy is here"),
    }
}
