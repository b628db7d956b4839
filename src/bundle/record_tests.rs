use super::*;
use crate::bundle::testing::bundle;

fn text() -> String {
    let (_keep, dir) = bundle();
    std::fs::read_to_string(dir.join(BUNDLE_JSON)).unwrap()
}

fn refused(from: &str, to: &str) -> RecordError {
    let text = text();
    assert!(text.contains(from), "{from} is not in {text}");
    Record::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err()
}

#[test]
fn it_is_read_as_it_was_written() {
    let text = text();
    let record = Record::parse(text.as_bytes()).unwrap();
    assert_eq!(record.render(), text.as_bytes());
    assert_eq!(record.images.len(), 2);
    assert_eq!(record.tools[0].path(), "tools/kind-0.30.0-linux-amd64");
}

#[test]
fn anything_else_is_refused() {
    assert!(matches!(refused("\"format\": 1", "\"format\": 2"), RecordError::Format { found: 2 }));
    assert!(matches!(refused("\"profile\"", "\"profil\""), RecordError::Json(_)));
    assert!(matches!(refused("\"name\": \"kind\"", "\"name\": \"../kind\""), RecordError::Name { .. }));
    assert!(matches!(refused("\"name\": \"dashboard\"", "\"name\": \".dashboard\""), RecordError::Name { .. }));
    assert!(matches!(refused("\"version\": \"0.30.0\"", "\"version\": \"\""), RecordError::Name { .. }));
    assert!(matches!(refused("\"size\": 16", "\"size\": -16"), RecordError::Json(_)));
    assert!(matches!(refused("\"size\": 16", "\"size\": 99999999999999"), RecordError::Size { .. }));
    assert!(matches!(refused("\"kind\": \"document\"", "\"kind\": \"paper\""), RecordError::Json(_)));
    assert!(matches!(refused("docker.io/istio/pilot", "docker.io/istio/zpilot"), RecordError::Order { what: "images" }));
    assert!(matches!(refused("{\n", "{ \n"), RecordError::Form { line: 1 }));
    assert!(matches!(Record::parse(&vec![b' '; 20_000_000]), Err(RecordError::TooLarge)));
    let long = "a".repeat(80);
    assert!(matches!(refused("\"name\": \"kind\"", &format!("\"name\": \"{long}\"")), RecordError::Name { .. }));
}

#[test]
fn the_documents_are_bounded() {
    let mut record = Record::parse(text().as_bytes()).unwrap();
    let document = |n: u32| BlobRecord { digest: Digest::of(&n.to_le_bytes()), size: MAX_BYTES, kind: BlobKind::Document };
    record.blobs = (0..65).map(document).collect();
    record.sort();
    assert!(matches!(record.check(), Err(RecordError::Size { .. })));
    record.blobs.truncate(64);
    assert!(record.check().is_ok());
    record.blobs[0].size += 1;
    assert!(matches!(record.check(), Err(RecordError::Size { .. })));
}
