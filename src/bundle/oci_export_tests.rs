use std::io::Read;

use super::*;
use crate::bundle::docker_export::Blobs;
use crate::bundle::manifest::walk;
use crate::bundle::testing::{PILOT, PROXY, Shop, istio};

fn exported(layout: &Layout, names: &[&str]) -> Result<Vec<u8>, ExportError> {
    let names: Vec<ImageName> = names.iter().map(|n| n.parse().unwrap()).collect();
    let mut out = Vec::new();
    export_oci_archive(layout, &names, &"linux/amd64".parse().unwrap(), "in/here", &mut out).map(|()| out)
}

#[test]
fn the_archive_is_a_layout_with_each_image_by_tag_and_by_digest() {
    let (_shop, layout) = istio();
    let bytes = exported(&layout, &[PROXY, PILOT]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    tar::Archive::new(&bytes[..]).unpack(dir.path()).unwrap();
    let again = Layout::open(dir.path().join("in/here")).unwrap();
    let digest = |name: &str| layout.images()[&name.parse::<ImageName>().unwrap()].digest.clone();
    let mut wanted = Vec::new();
    for name in [PROXY, PILOT] {
        let (repository, _) = name.rsplit_once(':').unwrap();
        wanted.extend([(name.to_owned(), digest(name)), (format!("{repository}@{}", digest(name)), digest(name))]);
    }
    wanted.sort_by_key(|(name, _)| name.parse::<ImageName>().unwrap());
    let found: Vec<(String, Digest)> = again.images().iter().map(|(name, top)| (name.to_string(), top.digest.clone())).collect();
    assert_eq!(found, wanted);
    for name in [PROXY, PILOT] {
        let top = &again.images()[&name.parse::<ImageName>().unwrap()];
        let tree = walk(&Blobs(&again), &top.digest, &top.media_type, &["linux/amd64".parse().unwrap()]).unwrap();
        assert_eq!(tree.images.len(), 1);
    }
}

#[test]
fn what_only_other_platforms_need_stays_away() {
    let (_shop, layout) = istio();
    let bytes = exported(&layout, &[PROXY]).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let contents: Vec<String> = archive
        .entries()
        .unwrap()
        .filter_map(|entry| {
            let mut text = String::new();
            entry.unwrap().read_to_string(&mut text).ok().map(|_| text)
        })
        .collect();
    assert!(contents.iter().any(|c| c == "proxy for amd64") && contents.iter().any(|c| c == "base"), "{contents:?}");
    assert!(!contents.iter().any(|c| c.contains("for arm64") || c == "other base" || c == "pilot"), "{contents:?}");
}

#[test]
fn a_layer_that_two_images_have_is_there_once() {
    let (_shop, layout) = istio();
    let bytes = exported(&layout, &[PROXY, PILOT]).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut paths: Vec<String> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all, "{paths:?}");
}

#[test]
fn a_changed_or_missing_layer_is_noticed() {
    let shop = Shop::new();
    let image = shop.image("amd64", &[b"a layer"]);
    let layout = shop.layout(&[(PILOT, &image)]);
    let layer = layout.blob(&Digest::of(b"a layer"));
    let mut permissions = std::fs::metadata(&layer).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&layer, permissions).unwrap();
    std::fs::write(&layer, b"a later").unwrap();
    assert!(matches!(exported(&layout, &[PILOT]).unwrap_err(), ExportError::Changed { .. }));
    std::fs::remove_file(&layer).unwrap();
    assert!(matches!(exported(&layout, &[PILOT]).unwrap_err(), ExportError::Image { .. }));
    assert!(matches!(exported(&layout, &[PROXY]).unwrap_err(), ExportError::NoImage { .. }));
}
