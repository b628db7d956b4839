use super::*;
use crate::bundle::testing::{PILOT, PROXY, Shop, bundle, create_now, from, istio, tool, tree, wanted};
use crate::bundle::verify::verify;
use crate::mirror::layout::Layout;

#[test]
fn the_same_contents_give_the_same_bytes() {
    let (_a, one) = bundle();
    let (_b, two) = bundle();
    assert_eq!(tree(&one), tree(&two));
    let mode = |path: &str| tree(&one).iter().find(|(p, ..)| p == path).unwrap().1 & 0o7777;
    assert_eq!((mode("tools/kind-0.30.0-linux-amd64"), mode("bundle.json"), mode("blobs/sha256")), (0o755, 0o644, 0o755));
}

#[test]
fn order_and_repetition_do_not_matter() {
    let (_shop, layout) = istio();
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, images: &[&str]| {
        create_now(&wanted(images), &from(&[&layout]), &dir.path().join(name)).unwrap();
        tree(&dir.path().join(name))
    };
    assert_eq!(make("a", &[PROXY, PILOT]), make("b", &[PILOT, PROXY, PILOT]));
}

#[test]
fn names_stand_for_upstreams_digest_and_other_platforms_stay_away() {
    let (_shop, layout) = istio();
    let dir = tempfile::tempdir().unwrap();
    let made = create_now(&wanted(&[PROXY]), &from(&[&layout]), dir.path()).unwrap();
    let name: ImageName = PROXY.parse().unwrap();
    let opened = Layout::open(dir.path()).unwrap();
    assert_eq!(opened.images()[&name].digest, layout.images()[&name].digest);
    assert_eq!(made.record.images[0].digest, layout.images()[&name].digest);
    // An index, a manifest, a configuration and two layers.
    assert_eq!(made.record.blobs.len(), 5);

    let mut both = wanted(&[PROXY]);
    both.platforms.insert(0, "linux/arm64".parse().unwrap());
    let made = create_now(&both, &from(&[&layout]), dir.path()).unwrap();
    assert_eq!(made.record.blobs.len(), 9);
    assert!(verify(dir.path(), None).unwrap().is_good());

    both.images.push(wanted(&[PILOT]).images.remove(0));
    let error = create_now(&both, &from(&[&layout]), dir.path()).unwrap_err().to_string();
    assert!(error.contains("has no image for linux/arm64"), "{error}");
}

#[test]
fn what_is_there_and_true_is_used_again() {
    let (_shop, layout) = istio();
    let dir = tempfile::tempdir().unwrap();
    let made = create_now(&wanted(&[PROXY]), &from(&[&layout]), dir.path()).unwrap();
    let before = tree(dir.path());
    let pinned = format!("{PROXY}@{}", made.record.images[0].digest);
    // Nothing to take it from, and nothing needed.
    create_now(&wanted(&[&pinned]), &Sources::default(), dir.path()).unwrap();
    create_now(&wanted(&[PROXY]), &from(&[&layout]), dir.path()).unwrap();
    assert_eq!(tree(dir.path()), before);

    let layer = made.record.blobs.iter().find(|b| b.kind == BlobKind::Layer).unwrap();
    let path = dir.path().join("blobs/sha256").join(layer.digest.hex());
    std::fs::write(&path, b"half").unwrap();
    assert!(create_now(&wanted(&[&pinned]), &Sources::default(), dir.path()).is_err());
    assert!(dir.path().join(".partial").exists());
    create_now(&wanted(&[PROXY]), &from(&[&layout]), dir.path()).unwrap();
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn what_is_not_wanted_any_more_goes_and_so_does_a_signature_of_something_else() {
    let (keep, dir) = bundle();
    let key = keep.path().join("key");
    crate::bundle::sign::keygen(&key, &keep.path().join("pub")).unwrap();
    crate::bundle::sign::sign(&dir, &crate::bundle::sign::PrivateKey::read(&key).unwrap()).unwrap();
    let (_shop, layout) = istio();
    let mut contents = wanted(&[PROXY, PILOT]);
    contents.tools.push(tool("kind", &keep.path().join("kind")));
    create_now(&contents, &from(&[&layout]), &dir).unwrap();
    assert!(dir.join(BUNDLE_SIG).exists());
    create_now(&wanted(&[PILOT]), &from(&[&layout]), &dir).unwrap();
    assert!(!dir.join(BUNDLE_SIG).exists());
    assert!(!dir.join("tools").exists());
    assert!(verify(&dir, None).unwrap().is_good());
    let fresh = keep.path().join("fresh");
    create_now(&wanted(&[PILOT]), &from(&[&layout]), &fresh).unwrap();
    assert_eq!(tree(&dir), tree(&fresh));
}

#[test]
fn places_are_asked_in_order_and_all_that_went_wrong_is_told() {
    let (_shop, layout) = istio();
    // The first layout knows the name and has lost a blob.
    let broken = Shop::new();
    let image = broken.image("amd64", &[b"x"]);
    let broken_layout = broken.layout(&[(PILOT, &image)]);
    std::fs::remove_file(broken_layout.blob(&Digest::of(b"x"))).unwrap();
    let empty = Shop::new();
    let empty_layout = empty.layout(&[]);
    let dir = tempfile::tempdir().unwrap();
    let made = create_now(&wanted(&[PILOT]), &from(&[&empty_layout, &broken_layout, &layout]), dir.path()).unwrap();
    assert_eq!(made.record.images[0].digest, layout.images()[&PILOT.parse().unwrap()].digest);
    assert!(verify(dir.path(), None).unwrap().is_good());

    let other = tempfile::tempdir().unwrap();
    let error = create_now(&wanted(&[PILOT]), &from(&[&empty_layout, &broken_layout]), other.path()).unwrap_err();
    let CreateError::Image { failures, .. } = &error else { panic!("{error}") };
    assert!(matches!(failures[..], [(_, FetchError::Absent), (_, FetchError::Manifest(ManifestError::Missing { .. }))]));
    assert!(error.to_string().contains(&broken.dir.path().display().to_string()));
    let error = create_now(&wanted(&[PILOT]), &Sources::default(), other.path()).unwrap_err();
    assert!(error.to_string().ends_with("there is no place to take it from"), "{error}");
}

#[test]
fn other_directories_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tools")).unwrap();
    std::fs::write(dir.path().join("tools/hammer"), "").unwrap();
    let create = |dir: &Path| create_now(&wanted(&[]), &Sources::default(), dir);
    assert!(matches!(create(dir.path()), Err(CreateError::NotABundle { .. })));
    assert!(dir.path().join("tools/hammer").exists());
    let made = dir.path().join("made");
    create(&made).unwrap();
    assert!(verify(&made, None).unwrap().is_good());
    let lock = File::open(&made).unwrap();
    lock.lock().unwrap();
    assert!(matches!(create(&made), Err(CreateError::Busy { .. })));
    assert!(matches!(create(Path::new("/proc/nowhere")), Err(CreateError::Dir { .. })));
}

#[test]
fn contents_that_are_no_bundles_are_refused_before_anything_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let mut contents = wanted(&[]);
    contents.manifests[0].name = "../evil".to_owned();
    let create = |contents: &Contents| create_now(contents, &Sources::default(), &dir.path().join("x")).unwrap_err();
    assert!(matches!(create(&contents), CreateError::Contents(RecordError::Name { .. })));
    contents.manifests[0].name = "a".to_owned();
    contents.manifests.push(contents.manifests[0].clone());
    assert!(matches!(create(&contents), CreateError::Contents(RecordError::Order { .. })));
    let mut contents = wanted(&[PILOT]);
    contents.platforms.clear();
    assert!(matches!(create(&contents), CreateError::NoPlatform));
    assert!(!dir.path().join("x").exists());
}

#[test]
fn tools_are_fetched_once_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("download");
    std::fs::write(&file, "binary").unwrap();
    let fetched = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (count, from) = (Arc::clone(&fetched), file.clone());
    let fetch: FetchTool = Arc::new(move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let from = from.clone();
        Box::pin(async move { Ok(from) })
    });
    let sources = Sources { tools: Some(fetch), ..Sources::default() };
    let mut contents = wanted(&[]);
    let mut wanted_tool = tool("istioctl", &file);
    wanted_tool.source = ToolSource::Fetch { url: "https://example.test/istioctl".to_owned(), sha256: Some(Digest::of(b"binary")) };
    contents.tools.push(wanted_tool);
    let made = dir.path().join("made");
    assert!(matches!(create_now(&contents, &Sources::default(), &made), Err(CreateError::Tool { .. })));
    create_now(&contents, &sources, &made).unwrap();
    create_now(&contents, &sources, &made).unwrap();
    assert_eq!(fetched.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(verify(&made, None).unwrap().is_good());
    std::fs::write(&file, "virus").unwrap();
    std::fs::remove_dir_all(&made).unwrap();
    assert!(matches!(create_now(&contents, &sources, &made), Err(CreateError::ToolDigest { .. })));
    assert!(!made.join("tools").exists());
    contents.tools[0].source = ToolSource::File(dir.path().join("absent"));
    assert!(matches!(create_now(&contents, &sources, &made), Err(CreateError::Tool { .. })));
}

#[test]
fn it_can_be_made_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    let (contents, sources) = (wanted(&[]), Sources::default());
    is_send(&create(&contents, &sources, Path::new("nowhere"), &crate::bundle::testing::silent));
}
