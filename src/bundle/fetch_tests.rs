use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::bundle::contents::Contents;
use crate::bundle::create::{CreateError, Sources, create};
use crate::bundle::docker_export::export_docker_archive;
use crate::bundle::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::bundle::testing::{PILOT, PROXY, Shop, istio, silent, wanted};
use crate::bundle::verify::verify;
use crate::mirror::upstream::{Credentials, Endpoint, Upstreams};

/// A registry of one layout. It breaks off in the middle of each blob that is longer than a few bytes and asked for from its beginning.
#[derive(Clone)]
struct Registry {
    files: Arc<BTreeMap<String, (String, Vec<u8>)>>,
    breaks: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn of(layout: &Layout) -> Self {
        let mut files = BTreeMap::new();
        let text = |digest: &Digest| std::fs::read(layout.blob(digest)).unwrap();
        for (name, top) in layout.images() {
            let base = format!("/v2/{}", name.repository.path);
            let tag = name.tag.clone().unwrap();
            files.insert(format!("{base}/manifests/{tag}"), (top.media_type.clone(), text(&top.digest)));
            for blob in std::fs::read_dir(layout.dir().join("blobs/sha256")).unwrap() {
                let digest: Digest = format!("sha256:{}", blob.unwrap().file_name().to_str().unwrap()).parse().unwrap();
                let bytes = text(&digest);
                if let Ok((media_type, _)) = parse(&bytes, None) {
                    files.insert(format!("{base}/manifests/{digest}"), (media_type, bytes));
                } else {
                    files.insert(format!("{base}/blobs/{digest}"), ("application/octet-stream".to_owned(), bytes));
                }
            }
        }
        Self { files: Arc::new(files), breaks: false, asked: Arc::default() }
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let own = self.clone();
            tokio::spawn(async move { own.answer(stream).await });
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let request = String::from_utf8_lossy(&request).to_lowercase();
        let path = request.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let Some((media_type, bytes)) = self.files.get(&path) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        };
        let from = request.split("range: bytes=").nth(1).and_then(|r| r.split('-').next()?.parse::<usize>().ok());
        let (status, range) = match from {
            Some(from) => ("206 Partial Content", format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())),
            None => ("200 OK", String::new()),
        };
        let body = &bytes[from.unwrap_or(0)..];
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n{range}connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        let breaks = self.breaks && path.contains("/blobs/") && body.len() > 3;
        stream.write_all(if breaks { &body[..3] } else { body }).await?;
        stream.shutdown().await
    }
}

async fn sources(registry: Registry) -> Sources {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(registry.serve(listener));
    let registries = BTreeMap::from([("docker.io".to_owned(), vec![endpoint])]);
    let client = Client::new(Upstreams { registries, others: false }, Credentials::default(), None).unwrap();
    Sources { images: Images { registry: Some(client), ..Images::default() }, tools: None }
}

fn two() -> Contents {
    wanted(&[PROXY, PILOT])
}

#[tokio::test]
async fn only_what_is_wanted_is_asked_of_a_registry_and_nothing_twice() {
    let (_shop, layout) = istio();
    let registry = Registry::of(&layout);
    let asked = Arc::clone(&registry.asked);
    let dir = tempfile::tempdir().unwrap();
    let sources = sources(registry).await;
    let made = create(&two(), &sources, dir.path(), &silent).await.unwrap();
    assert!(verify(dir.path(), None).unwrap().is_good());
    let top = &layout.images()[&PROXY.parse().unwrap()];
    assert_eq!(made.record.images[1].digest, top.digest);
    assert_eq!(made.record.images[1].media_type, OCI_INDEX);
    let first = asked.lock().unwrap().len();
    // Two names, the manifest in the index, two configurations, three layers.
    assert_eq!(first, 8, "{:?}", asked.lock().unwrap());
    create(&two(), &sources, dir.path(), &silent).await.unwrap();
    // The names only: what a tag stands for may have changed.
    assert_eq!(asked.lock().unwrap().len(), first + 2);
    let pinned = wanted(&[&format!("{PROXY}@{}", top.digest)]);
    create(&pinned, &sources, dir.path(), &silent).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), first + 2);
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke() {
    let (_shop, layout) = istio();
    let mut registry = Registry::of(&layout);
    registry.breaks = true;
    let dir = tempfile::tempdir().unwrap();
    create(&two(), &sources(registry).await, dir.path(), &silent).await.unwrap();
    assert!(verify(dir.path(), None).unwrap().is_good());
}

#[tokio::test]
async fn a_registry_that_lies_or_lacks_something_gives_no_bundle() {
    let (_shop, layout) = istio();
    let layer = Digest::of(b"pilot");
    let path = format!("/v2/istio/pilot/blobs/{layer}");
    for content in [Some(b"pilox".to_vec()), Some(b"pilot and more".to_vec()), Some(b"pil".to_vec()), None] {
        let mut registry = Registry::of(&layout);
        let files = Arc::make_mut(&mut registry.files);
        match content.clone() {
            Some(bytes) => drop(files.insert(path.clone(), (String::new(), bytes))),
            None => drop(files.remove(&path)),
        }
        let dir = tempfile::tempdir().unwrap();
        let error = create(&wanted(&[PILOT]), &sources(registry).await, dir.path(), &silent).await.unwrap_err();
        let CreateError::Image { failures, .. } = &error else { panic!("{error}") };
        match content {
            Some(_) => assert!(matches!(failures[..], [(Origin::Registry, FetchError::Blob(_) | FetchError::Upstream(_))]), "{failures:?}"),
            None => assert!(matches!(failures[..], [(Origin::Registry, FetchError::Upstream(_))]), "{failures:?}"),
        }
        assert!(!dir.path().join("bundle.json").exists());
    }
}

#[tokio::test]
async fn a_foreign_layer_is_refused_unless_it_is_there() {
    let shop = Shop::new();
    let image = shop.image("amd64", &[b"own"]);
    let text = std::fs::read_to_string(shop.dir.path().join("blobs/sha256").join(image.digest.hex())).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["layers"][0]["urls"] = serde_json::json!(["https://example.test/layer"]);
    let foreign = shop.put(OCI_MANIFEST, value.to_string().as_bytes());
    let layout = shop.layout(&[(PILOT, &foreign)]);
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::of(&layout);
    create(&wanted(&[PILOT]), &sources(registry.clone()).await, dir.path(), &silent).await.unwrap();
    Arc::make_mut(&mut registry.files).remove(&format!("/v2/istio/pilot/blobs/{}", Digest::of(b"own")));
    let other = tempfile::tempdir().unwrap();
    let error = create(&wanted(&[PILOT]), &sources(registry).await, other.path(), &silent).await.unwrap_err();
    assert!(error.to_string().contains("kept elsewhere only"), "{error}");
}

fn engine(layout: Layout) -> Export {
    Arc::new(move |name| {
        let (layout, name) = (layout.clone(), name.clone());
        Box::pin(async move {
            if !layout.images().contains_key(&name) {
                return Ok(None);
            }
            let (mut writer, stream) = crate::bundle::pipe::writer();
            tokio::task::spawn_blocking(move || {
                export_docker_archive(&layout, &name, &"linux/amd64".parse().unwrap(), &mut writer).unwrap();
                writer.finish()
            });
            Ok(Some(Box::new(crate::bundle::pipe::reader(stream)) as Box<dyn Read + Send>))
        })
    })
}

#[tokio::test]
async fn the_engine_is_asked_before_the_registry_and_its_digest_is_its_own() {
    let (_shop, layout) = istio();
    let registry = Registry::of(&layout);
    let asked = Arc::clone(&registry.asked);
    let only_pilot = Shop::new();
    let engine_layout = only_pilot.layout(&[(PILOT, &only_pilot.image("amd64", &[b"pilot of the engine"]))]);
    let mut sources = sources(registry).await;
    sources.images.engine = Some(engine(engine_layout));
    let dir = tempfile::tempdir().unwrap();
    let origins = Mutex::new(BTreeSet::new());
    let progress = |event: Event<'_>| {
        if let Event::Image { name, origin } = event {
            origins.lock().unwrap().insert(format!("{name} {origin}"));
        }
    };
    create(&two(), &sources, dir.path(), &progress).await.unwrap();
    assert!(verify(dir.path(), None).unwrap().is_good());
    let said = [format!("{PILOT} the container engine"), format!("{PROXY} the container engine"), format!("{PROXY} the registry")];
    assert_eq!(*origins.lock().unwrap(), BTreeSet::from(said));
    assert!(!asked.lock().unwrap().iter().any(|p| p.contains("pilot")));

    // A name with a digest is not what the engine has.
    let pinned = wanted(&[&format!("{PILOT}@{}", layout.images()[&PILOT.parse().unwrap()].digest)]);
    let other = tempfile::tempdir().unwrap();
    let with_digest = engine_with_any_name(&sources);
    let made = create(&pinned, &with_digest, other.path(), &silent).await.unwrap();
    assert!(made.record.blobs.iter().any(|b| b.digest == Digest::of(b"pilot")));
}

/// The same, with an engine that does not look at digests.
fn engine_with_any_name(sources: &Sources) -> Sources {
    let inner = sources.images.engine.clone().unwrap();
    let mut sources = sources.clone();
    sources.images.engine = Some(Arc::new(move |name| inner(&ImageName { digest: None, ..name.clone() })));
    sources
}
