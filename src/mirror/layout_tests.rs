use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn put(dir: &Path, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    std::fs::write(dir.join("blobs/sha256").join(digest.hex()), content).unwrap();
    digest
}

fn layout(entries: &[Value]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
    std::fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    std::fs::write(dir.path().join("index.json"), json!({"schemaVersion": 2, "manifests": entries}).to_string()).unwrap();
    dir
}

fn entry(media: &str, content: &[u8], annotations: &Value) -> Value {
    json!({"mediaType": media, "digest": Digest::of(content), "size": content.len(), "annotations": annotations})
}

#[test]
fn images_are_found_by_name_by_digest_and_inside_of_indexes() {
    let child = br#"{"schemaVersion":2}"#;
    let gone = entry(MANIFEST, b"another platform", &Value::Null);
    let index = json!({"schemaVersion": 2, "manifests": [entry(MANIFEST, child, &Value::Null), gone]}).to_string();
    let dir = layout(&[
        entry(INDEX, index.as_bytes(), &json!({IMAGE_NAME: "docker.io/library/busybox:1", REF_NAME: "1"})),
        entry(MANIFEST, child, &json!({REF_NAME: "registry.k8s.io/pause:3.10"})),
        entry(MANIFEST, child, &json!({REF_NAME: "latest"})),
    ]);
    put(dir.path(), index.as_bytes());
    put(dir.path(), child);
    let layout = Layout::open(dir.path()).unwrap();
    let names: Vec<_> = layout.images().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["docker.io/library/busybox:1", "registry.k8s.io/pause:3.10"]);
    let busybox: Repository = "busybox".parse().unwrap();
    let found = |reference: &str| layout.resolve(&busybox, &reference.parse().unwrap()).map(|d| d.digest);
    assert_eq!(found("1"), Some(Digest::of(index.as_bytes())));
    assert_eq!(found("2"), None);
    assert_eq!(found(Digest::of(child).as_str()), Some(Digest::of(child)));
    assert_eq!(found(Digest::of(b"another platform").as_str()), None);
    let (file, size) = layout.open_blob(&Digest::of(child)).unwrap().unwrap();
    assert_eq!((size, file.metadata().unwrap().len()), (child.len() as u64, child.len() as u64));
    std::fs::write(layout.blob(&Digest::of(child)), br#"{"schemaVersion":3}"#).unwrap();
    assert!(layout.open_blob(&Digest::of(child)).unwrap_err().to_string().contains("holds something else"));
    assert!(layout.open_blob(&Digest::of(b"nothing")).unwrap().is_none());
}

#[test]
fn what_is_odd_is_refused() {
    let open = |dir: &TempDir| Layout::open(dir.path()).unwrap_err();
    let dir = layout(&[]);
    std::fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(matches!(open(&dir), LayoutError::Version { .. }));
    let dir = layout(&[]);
    std::fs::rename(dir.path().join("index.json"), dir.path().join("elsewhere")).unwrap();
    assert!(matches!(open(&dir), LayoutError::Read { .. }));
    symlink("elsewhere", dir.path().join("index.json")).unwrap();
    assert!(matches!(open(&dir), LayoutError::Kind { wanted: "file", .. }));
    let dir = layout(&[]);
    std::fs::rename(dir.path().join("blobs"), dir.path().join("elsewhere")).unwrap();
    symlink("elsewhere", dir.path().join("blobs")).unwrap();
    assert!(matches!(open(&dir), LayoutError::Kind { wanted: "directory", .. }));
    let dir = layout(&[]);
    std::fs::write(dir.path().join("index.json"), vec![b' '; 5 * 1024 * 1024]).unwrap();
    assert!(matches!(open(&dir), LayoutError::TooLarge { .. }));
    std::fs::write(dir.path().join("index.json"), "[]").unwrap();
    assert!(matches!(open(&dir), LayoutError::Json { .. }));
    let name = json!({IMAGE_NAME: "docker.io/library/busybox:1"});
    let dir = layout(&[entry(MANIFEST, b"1", &name), entry(MANIFEST, b"2", &name)]);
    assert!(matches!(open(&dir), LayoutError::Twice { .. }));
}

#[test]
fn a_link_is_no_blob() {
    let dir = layout(&[]);
    std::fs::write(dir.path().join("secret"), b"secret").unwrap();
    symlink("../../secret", dir.path().join("blobs/sha256").join(Digest::of(b"secret").hex())).unwrap();
    assert!(Layout::open(dir.path()).unwrap().open_blob(&Digest::of(b"secret")).is_err());
}
