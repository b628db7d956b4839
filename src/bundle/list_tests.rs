use super::*;
use crate::bundle::testing::{PILOT, bundle};

#[test]
fn what_only_one_image_needs_is_told() {
    let (_keep, dir) = bundle();
    let list = list(&dir).unwrap();
    let pilot = list.images.iter().find(|i| i.name.to_string() == PILOT).unwrap();
    let shared = "base".len() as u64;
    assert_eq!(pilot.bytes - pilot.unique, shared);
    assert_eq!(list.blobs, list.images.iter().map(|i| i.unique).sum::<u64>() + shared);
    assert_eq!((list.tools, list.manifests), (10, 16));
    assert_eq!(pilot.role, Role::Istio);
}

#[test]
fn a_bundle_with_a_hole_is_not_listed() {
    let (_keep, dir) = bundle();
    let record = super::list(&dir).unwrap().record;
    std::fs::remove_file(dir.join(blob_path(&record.images[0].digest))).unwrap();
    assert!(matches!(super::list(&dir), Err(ListError::Image { source: ManifestError::Missing { .. }, .. })));
    std::fs::remove_file(dir.join(BUNDLE_JSON)).unwrap();
    assert!(matches!(super::list(&dir), Err(ListError::Read { .. })));
}
