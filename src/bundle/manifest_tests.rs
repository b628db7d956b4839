use super::*;
use crate::bundle::testing::Shop;
use serde_json::{Value, json};

fn digest(n: u8) -> Digest {
    Digest::of(&[n])
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": digest(0), "size": 2 },
        "layers": [{ "mediaType": format!("{OCI_LAYER}+gzip"), "digest": digest(1), "size": 3 }],
    })
}

fn read(value: &Value) -> Result<(String, Document), ManifestError> {
    parse(value.to_string().as_bytes(), None)
}

#[test]
fn images_and_indexes_are_told_apart() {
    let (media_type, document) = read(&image()).unwrap();
    assert_eq!(media_type, OCI_MANIFEST);
    assert!(matches!(document, Document::Image(i) if i.layers.len() == 1 && i.config.size == 2));
    let index = json!({ "schemaVersion": 2, "manifests": [] });
    assert!(matches!(read(&index), Ok((t, Document::Index(_))) if t == OCI_INDEX));
    let mut docker = image();
    docker["mediaType"] = json!(DOCKER_MANIFEST);
    docker["config"]["mediaType"] = json!(DOCKER_CONFIG);
    docker["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar.gzip");
    assert!(read(&docker).is_ok());
}

#[test]
fn doubtful_manifests_are_refused() {
    let with = |change: fn(&mut Value)| {
        let mut value = image();
        change(&mut value);
        read(&value).unwrap_err()
    };
    assert!(matches!(with(|v| v["layers"][0]["size"] = json!(-1)), ManifestError::Json { .. }));
    assert!(matches!(with(|v| v["layers"][0]["size"] = json!(1e300)), ManifestError::Json { .. }));
    assert!(matches!(with(|v| v["layers"][0]["size"] = json!(u64::MAX)), ManifestError::Size { size: u64::MAX, .. }));
    assert!(matches!(with(|v| v["layers"][0]["digest"] = json!("sha256:../../etc")), ManifestError::Json { .. }));
    assert!(matches!(with(|v| v["layers"][0]["digest"] = json!(format!("sha512:{:0128}", 0))), ManifestError::Json { .. }));
    assert!(matches!(with(|v| v["layers"][0]["mediaType"] = json!("text/html")), ManifestError::MediaType { .. }));
    assert!(matches!(
        with(|v| v["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json")),
        ManifestError::MediaType { .. }
    ));
    assert!(matches!(with(|v| v["config"]["size"] = json!(MAX_BYTES + 1)), ManifestError::TooLarge { .. }));
    assert!(matches!(with(|v| v["mediaType"] = json!("text/html")), ManifestError::MediaType { .. }));
    assert!(matches!(with(|v| v["schemaVersion"] = json!(1)), ManifestError::MediaType { .. }));
    assert!(matches!(with(|v| v["manifests"] = json!([])), ManifestError::Ambiguous { .. }));
    assert!(matches!(with(|v| v["layers"] = json!(null)), ManifestError::Lacks { field: "layers", .. }));
    let too_many = with(|v| v["layers"] = json!(vec![v["layers"][0].clone(); MAX_LAYERS + 1]));
    assert!(matches!(too_many, ManifestError::TooMany { found: 128, limit: 127, .. }));

    let entry = json!({ "mediaType": OCI_MANIFEST, "digest": digest(1), "size": 1 });
    let index = |n: usize| json!({ "schemaVersion": 2, "manifests": vec![entry.clone(); n] });
    assert!(read(&index(MAX_MANIFESTS)).is_ok());
    assert!(matches!(read(&index(MAX_MANIFESTS + 1)), Err(ManifestError::TooMany { .. })));

    let deep = format!(r#"{{"schemaVersion":2,"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(parse(deep.as_bytes(), None), Err(ManifestError::Lacks { .. })));
    let large = vec![b' '; usize::try_from(MAX_BYTES).unwrap() + 1];
    assert!(matches!(parse(&large, None), Err(ManifestError::TooLarge { .. })));
    let twice = r#"{"schemaVersion":2,"schemaVersion":2,"manifests":[]}"#;
    assert!(matches!(parse(twice.as_bytes(), None), Err(ManifestError::Json { .. })));
    let said = image().to_string();
    assert!(matches!(parse(said.as_bytes(), Some(OCI_INDEX)), Err(ManifestError::Contradiction { .. })));
}

struct Files<'a>(&'a Shop);

impl Shelf for Files<'_> {
    fn size(&self, digest: &Digest) -> Option<u64> {
        self.read(digest).map(|b| b.len() as u64)
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        std::fs::read(self.0.dir.path().join("blobs/sha256").join(digest.hex())).ok()
    }
}

fn follow(shop: &Shop, top: &Descriptor) -> Result<Tree, ManifestError> {
    walk(&Files(shop), &top.digest, &top.media_type, &["linux/amd64".parse().unwrap()])
}

#[test]
fn only_the_platform_of_an_index_is_followed() {
    let shop = Shop::new();
    let amd = shop.image("amd64", &[b"amd"]);
    let mut absent = amd.clone();
    absent.digest = digest(9);
    let tree = follow(&shop, &shop.index(&[("arm64", &absent), ("amd64", &amd)])).unwrap();
    assert_eq!(tree.blobs.len(), 4);
    assert_eq!(tree.blobs.values().filter(|(_, kind)| *kind == BlobKind::Layer).count(), 1);
    let nested = shop.index(&[("", &shop.index(&[("amd64", &amd)]))]);
    assert_eq!(follow(&shop, &nested).unwrap().blobs.len(), 5);
    let unlabelled = shop.index(&[("", &shop.image("arm64", &[b"arm"])), ("", &amd)]);
    assert_eq!(follow(&shop, &unlabelled).unwrap().blobs.len(), 4);
}

#[test]
fn what_is_not_there_or_not_for_the_platform_is_said() {
    let shop = Shop::new();
    let arm = shop.image("arm64", &[b"arm"]);
    assert!(matches!(follow(&shop, &shop.index(&[("arm64", &arm)])), Err(ManifestError::NoPlatform { .. })));
    assert!(matches!(follow(&shop, &arm), Err(ManifestError::NoPlatform { .. })));
    // The index says so, and the configuration does not.
    assert!(matches!(follow(&shop, &shop.index(&[("amd64", &arm)])), Err(ManifestError::NoPlatform { .. })));
    let config = shop.put(OCI_CONFIG, br#"{"os":"linux","architecture":"amd64"}"#);
    let mut layer = shop.put(OCI_LAYER, b"layer");
    layer.size += 1;
    assert!(matches!(follow(&shop, &shop.manifest(&config, &[layer.clone()])), Err(ManifestError::Lie { found: 5, said: 6, .. })));
    layer.digest = digest(9);
    assert!(matches!(follow(&shop, &shop.manifest(&config, &[layer.clone()])), Err(ManifestError::Missing { .. })));
    layer.urls.push("https://example.test/layer".to_owned());
    assert!(matches!(follow(&shop, &shop.manifest(&config, &[layer])), Err(ManifestError::Foreign { .. })));
    let mut here = shop.put(&format!("{}.gzip", FOREIGN[1]), b"layer that its vendor keeps");
    here.urls.push("https://example.test/layer".to_owned());
    assert!(follow(&shop, &shop.manifest(&config, &[here])).is_ok());
}

#[test]
fn a_chain_of_indexes_ends_and_many_ways_do_not_multiply() {
    let shop = Shop::new();
    let amd = shop.image("amd64", &[b"amd"]);
    let mut top = amd.clone();
    for _ in 0..5 {
        top = shop.index(&[("", &top)]);
    }
    assert!(matches!(follow(&shop, &top), Err(ManifestError::Depth { .. })));
    let mut top = shop.image("arm64", &[b"arm"]);
    for _ in 0..3 {
        top = shop.index(&vec![("", &top); MAX_MANIFESTS]);
    }
    assert!(matches!(follow(&shop, &top), Err(ManifestError::NoPlatform { .. })));
}

#[test]
fn a_document_that_was_changed_is_not_believed() {
    let shop = Shop::new();
    let amd = shop.image("amd64", &[b"amd"]);
    let path = shop.dir.path().join("blobs/sha256").join(amd.digest.hex());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("schemaVersion", "SchemaVersion")).unwrap();
    assert!(matches!(follow(&shop, &amd), Err(ManifestError::Changed { .. })));
}

#[test]
fn images_of_all_containers_are_found() {
    let text = "
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{ name: a, image: 'busybox:1.36' }]
      containers:
        - name: b
          image: docker.io/istio/pilot:1.27.1
        - name: c
          image: auto
---
---
kind: List
items:
  - kind: Pod
    spec: { containers: [{ image: 'busybox:1.36' }], image: not-a-container }
";
    assert_eq!(images_of_manifest(text).unwrap(), ["auto", "busybox:1.36", "docker.io/istio/pilot:1.27.1"]);
    assert!(images_of_manifest("a: [").is_err());
}
