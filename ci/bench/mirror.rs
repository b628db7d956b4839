//! The recording mirror alone, for `ci/bench/mirror.sh`: `bench-mirror CACHE REGISTRY-URL`. It prints the URL that it listens on.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use meshproof::mirror::cache::Cache;
use meshproof::mirror::record::Recorder;
use meshproof::mirror::server::{Mirror, Settings};
use meshproof::mirror::upstream::{Client, Credentials, Endpoint, Upstreams};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cache, registry] = &arguments[..] else { return Err("usage: bench-mirror CACHE REGISTRY-URL".into()) };
    let registries = [("docker.io".to_owned(), vec![Endpoint::new(registry.clone())])].into();
    let upstream = Client::new(Upstreams { registries, others: false }, Credentials::default(), None)?;
    let cache = Path::new(cache);
    let settings = Settings {
        cache: Cache::open(&cache.join("blobs"), None)?,
        upstream: Some(upstream),
        layouts: Vec::new(),
        recorder: Recorder::file(cache.join("access.jsonl"))?,
        naming: Arc::new(|_| Box::pin(std::future::ready(None))),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    Mirror::new(settings).serve(listener, std::future::pending()).await;
    Ok(())
}
