use serde_json::json;
use tar::Header;

use super::*;
use crate::bundle::docker_export::{ExportError, export_docker_archive};
use crate::bundle::manifest::{MAX_BYTES, OCI_INDEX, walk};
use crate::bundle::testing::{PILOT, PROXY, Shop, istio, tape};

const NAME: &str = "example.test/app:1";

fn entry(path: &str, kind: EntryType, content: &[u8], link: &str) -> (Header, Vec<u8>) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    (header, content.to_vec())
}

fn file(path: &str, content: impl AsRef<[u8]>) -> (Header, Vec<u8>) {
    entry(path, EntryType::Regular, content.as_ref(), "")
}

fn config(layers: &[&[u8]]) -> String {
    let ids: Vec<Digest> = layers.iter().map(|l| Digest::of(l)).collect();
    json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": ids } }).to_string()
}

/// What engines before 25 write for an image with a layer that it has twice.
fn old() -> Vec<(Header, Vec<u8>)> {
    let manifest = json!([{ "Config": "c.json", "RepoTags": [NAME], "Layers": ["one/layer.tar", "two/layer.tar"] }]);
    vec![
        entry("one/", EntryType::Directory, b"", ""),
        file("one/VERSION", "1.0"),
        file("one/json", "{}"),
        file("one/layer.tar", "a layer"),
        entry("two/layer.tar", EntryType::Symlink, b"", "../one/layer.tar"),
        file("c.json", config(&[b"a layer", b"a layer"])),
        file("manifest.json", manifest.to_string()),
        file("repositories", "{}"),
    ]
}

struct Imported {
    _dir: tempfile::TempDir,
    blobs: Blobs,
    result: Result<Vec<(ImageName, Descriptor)>, ImportError>,
}

fn import(entries: &[(Header, Vec<u8>)], names: &[&str]) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let tape = tape(&entries.iter().map(|(h, c)| (h.clone(), &c[..])).collect::<Vec<_>>());
    let names: Vec<ImageName> = names.iter().map(|n| n.parse().unwrap()).collect();
    let result = import_docker_archive(&tape[..], &names, &blobs);
    Imported { _dir: dir, blobs, result }
}

fn refused(spoil: impl FnOnce(&mut Vec<(Header, Vec<u8>)>)) -> ImportError {
    let mut entries = old();
    spoil(&mut entries);
    import(&entries, &[NAME]).result.unwrap_err()
}

#[test]
fn an_archive_of_an_old_engine_becomes_an_image() {
    let imported = import(&old(), &[]);
    let [(name, top)] = &imported.result.unwrap()[..] else { panic!("one image") };
    assert_eq!(name.to_string(), NAME);
    let targets = ["linux/amd64".parse().unwrap()];
    let tree = walk(&imported.blobs, &top.digest, &top.media_type, &targets).unwrap();
    assert_eq!(tree.images[&targets[0]].1.layers.len(), 2);
    // A manifest, a configuration, and one layer under one digest.
    assert_eq!(tree.blobs.len(), 3);
    assert_eq!(std::fs::read_dir(imported.blobs.dir().join("blobs/sha256")).unwrap().count(), 3);
    assert_eq!(import(&old(), &[NAME]).result.unwrap()[0].1, *top);
}

#[test]
fn packed_layers_stay_packed_and_are_compared_with_the_configuration() {
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut encoder, b"a layer").unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(&b"a layer"[..], 3).unwrap();
    for (packed, media_type) in [(gzip, "+gzip"), (zstd, "+zstd")] {
        let mut entries = old();
        entries[3] = file("one/layer.tar", &packed);
        let imported = import(&entries, &[NAME]);
        let top = imported.result.unwrap().remove(0).1;
        let Document::Image(image) = parse(&imported.blobs.read(&top.digest, MAX_BYTES).unwrap().unwrap(), None).unwrap().1 else {
            panic!()
        };
        assert_eq!(image.layers[0].media_type, format!("{OCI_LAYER}{media_type}"));
        assert_eq!(image.layers[0].digest, Digest::of(&packed));
    }
    assert!(matches!(refused(|e| e[3] = file("one/layer.tar", [0x1f, 0x8b, 8, 0, 1])), ImportError::Blob(BlobError::Read { .. })));
}

#[test]
fn extended_headers_of_both_kinds_are_understood() {
    let long = format!("{}/layer.tar", "l".repeat(120));
    let manifest = json!([{ "Config": "c.json", "RepoTags": [NAME], "Layers": [long] }]).to_string();
    let record = format!("{} path={long}\n", long.len() + 10);
    let pax = entry("PaxHeaders.0/x", EntryType::XHeader, format!("{record}26 mtime=1350244992.02396\n").as_bytes(), "");
    let gnu = entry("././@LongLink", EntryType::GNULongName, format!("{long}\0").as_bytes(), "");
    for extension in [pax, gnu] {
        let all = vec![
            entry("pax_global_header", EntryType::XGlobalHeader, b"", ""),
            extension,
            file("short", "a layer"),
            file("c.json", config(&[b"a layer"])),
            file("manifest.json", &manifest),
        ];
        import(&all, &[NAME]).result.unwrap();
    }
    let large = refused(|e| e.insert(0, entry("x", EntryType::XHeader, &vec![b' '; 70_000], "")));
    assert!(matches!(large, ImportError::Extension { .. }));
    let broken = refused(|e| e.insert(0, entry("x", EntryType::XHeader, b"99 path=x\n", "")));
    assert!(matches!(broken, ImportError::Extension { .. }));
    let lie = refused(|e| e.insert(3, entry("x", EntryType::XHeader, b"12 size=999\n", "")));
    assert!(matches!(lie, ImportError::Extension { .. }));
    let out = refused(|e| e.insert(3, entry("x", EntryType::XHeader, b"14 path=../..\n", "")));
    assert!(matches!(out, ImportError::Traversal { .. }));
}

#[test]
fn doubtful_archives_are_refused() {
    for path in ["/etc/passwd", "../evil", "a/../../evil"] {
        assert!(matches!(refused(|e| e.push(file(path, ""))), ImportError::Traversal { .. }), "{path}");
    }
    let link = |target: &'static str| refused(move |e| e[4] = entry("two/layer.tar", EntryType::Symlink, b"", target));
    assert!(matches!(link("../../etc/passwd"), ImportError::Traversal { .. }));
    assert!(matches!(link("/etc/passwd"), ImportError::Traversal { .. }));
    assert!(matches!(link("layer.tar"), ImportError::Missing { .. }));
    assert!(matches!(link("../three/layer.tar"), ImportError::Missing { .. }));
    for kind in [EntryType::Link, EntryType::Char, EntryType::Fifo, EntryType::GNUSparse] {
        assert!(matches!(refused(|e| e.push(entry("x", kind, b"", "c.json"))), ImportError::Kind { .. }));
    }
    assert!(matches!(refused(|e| e.push(file("c.json", "{}"))), ImportError::Duplicate { .. }));
    assert!(matches!(refused(|e| drop(e.remove(3))), ImportError::Missing { .. }));
    assert!(matches!(refused(|e| drop(e.remove(5))), ImportError::Missing { entry, .. } if entry == "c.json"));
    assert!(matches!(refused(|e| drop(e.remove(6))), ImportError::NoManifest));
    assert!(matches!(refused(|e| e[6] = file("manifest.json", "{}")), ImportError::Json { .. }));
    assert!(matches!(refused(|e| e[5] = file("c.json", config(&[b"a layer", b"other"]))), ImportError::Layer { .. }));
    assert!(matches!(refused(|e| e[5] = file("c.json", config(&[b"a layer"]))), ImportError::Layers { found: 2, said: 1, .. }));
    assert!(matches!(refused(|e| e[5] = file("c.json", vec![b' '; 5_000_000])), ImportError::Manifest(ManifestError::TooLarge { .. })));
    let error = import(&old(), &["example.test/other:1"]).result.unwrap_err();
    assert_eq!(error.to_string(), "example.test/other:1 is not in the archive, which has: example.test/app:1");
    let mut cut = old();
    cut.truncate(4);
    cut[3].0.set_size(5000);
    cut[3].0.set_cksum();
    assert!(matches!(import(&cut, &[]).result, Err(ImportError::Read(_))));
}

#[test]
fn an_image_that_the_engine_knows_by_its_digest_only_is_the_one_that_was_asked_for() {
    let mut entries = old();
    let manifest = json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["one/layer.tar", "two/layer.tar"] }]);
    entries[6] = file("manifest.json", manifest.to_string());
    assert_eq!(import(&entries, &[NAME]).result.unwrap().len(), 1);
    assert_eq!(import(&entries, &[]).result.unwrap().len(), 0);
    assert!(matches!(import(&entries, &[NAME, PILOT]).result, Err(ImportError::NoImage { .. })));
}

/// What engines since 25 write: a layout with manifest.json beside it.
fn new() -> (Shop, Vec<(Header, Vec<u8>)>, Descriptor) {
    let (shop, layout) = istio();
    let top = layout.images()[&PROXY.parse().unwrap()].clone();
    let Document::Index(parts) = parse(&std::fs::read(layout.blob(&top.digest)).unwrap(), None).unwrap().1 else { panic!() };
    let mut entries = Vec::new();
    for blob in std::fs::read_dir(shop.dir.path().join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let name = format!("blobs/sha256/{}", path.file_name().unwrap().to_str().unwrap());
        // The engine has one platform only.
        if name != blob_path(&parts[0].digest) {
            entries.push(file(&name, std::fs::read(path).unwrap()));
        }
    }
    let amd = std::fs::read(layout.blob(&parts[1].digest)).unwrap();
    let Document::Image(amd) = parse(&amd, None).unwrap().1 else { panic!() };
    let layers: Vec<String> = amd.layers.iter().map(|l| blob_path(&l.digest)).collect();
    let manifest = json!([{ "Config": blob_path(&amd.config.digest), "RepoTags": ["istio/proxyv2:1.27.1"], "Layers": layers }]);
    entries.push(file("index.json", std::fs::read(shop.dir.path().join("index.json")).unwrap()));
    entries.push(file("manifest.json", manifest.to_string()));
    entries.push(file("oci-layout", "{}"));
    (shop, entries, top)
}

#[test]
fn an_archive_of_a_new_engine_keeps_its_digests() {
    let (_shop, entries, top) = new();
    let imported = import(&entries, &["istio/proxyv2:1.27.1"]);
    let found = imported.result.unwrap().remove(0).1;
    assert_eq!((&found.digest, found.media_type.as_str()), (&top.digest, OCI_INDEX));
    let targets = ["linux/amd64".parse().unwrap()];
    assert_eq!(walk(&imported.blobs, &found.digest, OCI_INDEX, &targets).unwrap().blobs.len(), 5);
    let pinned = format!("istio/proxyv2@{}", top.digest);
    assert_eq!(import(&entries, &[&pinned]).result.unwrap()[0].1.digest, top.digest);
    assert_eq!(import(&entries, &[]).result.unwrap().len(), 2);
}

#[test]
fn a_layout_that_lies_is_refused() {
    let (_shop, mut entries, top) = new();
    let at = entries.iter().position(|(_, c)| c == b"proxy for amd64").unwrap();
    entries[at].1[0] = b'P';
    assert!(matches!(import(&entries, &[PROXY]).result, Err(ImportError::Blob(BlobError::Digest { .. }))));
    entries.remove(at);
    assert!(matches!(import(&entries, &[PROXY]).result, Err(ImportError::Missing { .. })));
    let at = entries.iter().position(|(h, _)| h.path_bytes() == blob_path(&top.digest).as_bytes()).unwrap();
    entries.remove(at);
    assert!(matches!(import(&entries, &[PROXY]).result, Err(ImportError::Missing { .. })));
}

#[test]
fn an_image_goes_to_an_engine_and_comes_back() {
    let (_shop, layout) = istio();
    let target = "linux/amd64".parse().unwrap();
    let name: ImageName = PROXY.parse().unwrap();
    let mut archive = Vec::new();
    let id = export_docker_archive(&layout, &name, &target, &mut archive).unwrap();
    let mut again = Vec::new();
    export_docker_archive(&layout, &name, &target, &mut again).unwrap();
    assert_eq!(archive, again);
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let back = import_docker_archive(&archive[..], std::slice::from_ref(&name), &blobs).unwrap().remove(0).1;
    let tree = walk(&blobs, &back.digest, &back.media_type, std::slice::from_ref(&target)).unwrap();
    assert_eq!(tree.images[&target].1.config.digest, id);

    let arm = "linux/s390x".parse().unwrap();
    let export = |name: &ImageName, target| export_docker_archive(&layout, name, target, io::sink());
    assert!(matches!(export(&name, &arm), Err(ExportError::Image { source: ManifestError::NoPlatform { .. }, .. })));
    assert!(matches!(export(&"busybox".parse().unwrap(), &target), Err(ExportError::NoImage { .. })));
    std::fs::write(layout.blob(&Digest::of(b"base")), b"BASE").unwrap();
    assert!(matches!(export(&name, &target), Err(ExportError::Changed { .. })));
    std::fs::write(layout.blob(&Digest::of(b"base")), b"bas").unwrap();
    assert!(matches!(export(&name, &target), Err(ExportError::Image { source: ManifestError::Lie { .. }, .. })));
}

#[test]
fn layers_in_zstd_are_unpacked_for_the_engine() {
    let shop = Shop::new();
    let config = shop.put(OCI_CONFIG, config(&[b"a layer", b"a layer"]).as_bytes());
    let layer = shop.put(&format!("{OCI_LAYER}+zstd"), &zstd::encode_all(&b"a layer"[..], 3).unwrap());
    let layout = shop.layout(&[(NAME, &shop.manifest(&config, &[layer.clone(), layer]))]);
    let mut archive = Vec::new();
    export_docker_archive(&layout, &NAME.parse().unwrap(), &"linux/amd64".parse().unwrap(), &mut archive).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    import_docker_archive(&archive[..], &[], &blobs).unwrap();
    assert!(blobs.size(&Digest::of(b"a layer")).unwrap().is_some());
}
