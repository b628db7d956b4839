use proptest::prelude::*;

use super::*;
use crate::bundle::manifest::BlobKind;
use crate::bundle::record::{INDEX_JSON, OCI_LAYOUT};
use crate::bundle::sign::{PrivateKey, keygen, sign};
use crate::bundle::testing::{bundle, tree};

fn problems(dir: &Path) -> Vec<String> {
    verify(dir, None).unwrap().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_bundle_is_good() {
    let (_keep, dir) = bundle();
    let report = verify(&dir, None).unwrap();
    assert!(report.is_good(), "{:?}", report.problems);
    assert_eq!(report.bytes, tree(&dir).iter().map(|(_, _, bytes)| bytes.len() as u64).sum::<u64>());
    assert_eq!(report.signed, None);
}

#[test]
fn what_does_not_belong_is_named() {
    let (_keep, dir) = bundle();
    std::fs::write(dir.join("README"), "").unwrap();
    std::fs::create_dir_all(dir.join("tools/sub/empty")).unwrap();
    std::fs::create_dir(dir.join(PARTIAL)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("blobs/sha256/link")).unwrap();
    let all = problems(&dir);
    for path in ["README", "tools/sub", PARTIAL, "blobs/sha256/link"] {
        assert!(all.contains(&format!("{path} does not belong to the bundle")), "{path}: {all:?}");
    }
    assert_eq!(all.len(), 4);
}

#[test]
fn what_is_missing_or_no_file_is_named() {
    let (_keep, dir) = bundle();
    let tool = dir.join("tools/kind-0.30.0-linux-amd64");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_file(dir.join("manifests/dashboard.yaml")).unwrap();
    std::fs::remove_file(dir.join(OCI_LAYOUT)).unwrap();
    std::os::unix::fs::symlink(INDEX_JSON, dir.join(OCI_LAYOUT)).unwrap();
    let expected =
        ["oci-layout is not a regular file", "manifests/dashboard.yaml is missing", "tools/kind-0.30.0-linux-amd64 is not executable"];
    assert_eq!(problems(&dir), expected);
    std::fs::remove_file(dir.join(BUNDLE_JSON)).unwrap();
    assert!(matches!(verify(&dir, None).unwrap().problems[..], [Problem::NoRecord]));
    assert!(matches!(verify(&dir.join("nowhere"), None), Err(VerifyError::Read { .. })));
}

/// Writes a record that says something else, and all that follows from it.
fn rewrite(dir: &Path, change: impl FnOnce(&mut Record)) {
    let mut record = Record::parse(&std::fs::read(dir.join(BUNDLE_JSON)).unwrap()).unwrap();
    change(&mut record);
    std::fs::write(dir.join(BUNDLE_JSON), record.render()).unwrap();
    std::fs::write(dir.join(INDEX_JSON), record.index()).unwrap();
}

#[test]
fn a_record_that_lies_about_images_is_found_out() {
    let (_keep, dir) = bundle();
    rewrite(&dir, |r| r.images[0].bytes += 1);
    assert!(matches!(verify(&dir, None).unwrap().problems[..], [Problem::ImageSize { .. }]));
    rewrite(&dir, |r| r.images[0].bytes -= 1);
    assert!(problems(&dir).is_empty());

    rewrite(&dir, |r| drop(r.images.remove(0)));
    assert!(verify(&dir, None).unwrap().problems.iter().all(|p| matches!(p, Problem::Unneeded { .. })));
    assert!(!problems(&dir).is_empty());

    let (_keep, dir) = bundle();
    rewrite(&dir, |r| r.images[0].platforms = vec!["linux/s390x".parse().unwrap()]);
    assert!(matches!(verify(&dir, None).unwrap().problems[..], [Problem::Image { source: ManifestError::NoPlatform { .. }, .. }]));

    let (_keep, dir) = bundle();
    let layer = |r: &Record| r.blobs.iter().position(|b| b.kind == BlobKind::Layer).unwrap();
    rewrite(&dir, |r| {
        let at = layer(r);
        r.blobs[at].kind = BlobKind::Document;
    });
    assert!(matches!(verify(&dir, None).unwrap().problems[..], [Problem::Unneeded { .. }]));
    let (_keep, dir) = bundle();
    rewrite(&dir, |r| {
        let at = layer(r);
        r.blobs.remove(at);
    });
    assert!(verify(&dir, None).unwrap().problems.iter().any(|p| matches!(p, Problem::Unknown { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_byte_of_any_file_can_be_changed(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let (keep, dir) = bundle();
        let key = keep.path().join("key");
        keygen(&key, &keep.path().join("key.pub")).unwrap();
        sign(&dir, &PrivateKey::read(&key).unwrap()).unwrap();
        let files: Vec<_> = tree(&dir).into_iter().filter(|(_, _, bytes)| !bytes.is_empty()).collect();
        let (path, _, mut bytes) = file.get(&files).clone();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        std::fs::write(dir.join(&path), bytes).unwrap();
        prop_assert!(!verify(&dir, None).unwrap().is_good(), "{path} at {at}");
    }

    #[test]
    fn no_file_can_be_cut_or_grow(file in any::<prop::sample::Index>(), grow in any::<bool>()) {
        let (_keep, dir) = bundle();
        let files: Vec<_> = tree(&dir).into_iter().filter(|(_, _, bytes)| !bytes.is_empty()).collect();
        let (path, _, mut bytes) = file.get(&files).clone();
        bytes.truncate(bytes.len() - usize::from(!grow));
        bytes.extend(grow.then_some(b'\n'));
        std::fs::write(dir.join(&path), bytes).unwrap();
        prop_assert!(!verify(&dir, None).unwrap().is_good(), "{path}");
    }
}
