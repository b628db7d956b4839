use super::*;
use crate::bundle::testing::bundle;
use crate::bundle::verify::verify;
use std::os::unix::fs::PermissionsExt;

// The example of RFC 8410, which openssl writes in the same form.
const RFC_PRIVATE: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const RFC_PUBLIC: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

#[test]
fn keys_of_others_are_read_and_written_the_same() {
    let key = PrivateKey::from_pem(RFC_PRIVATE, "rfc").unwrap();
    assert_eq!(key.public().to_pem(), RFC_PUBLIC);
    assert_eq!(PublicKey::from_pem(RFC_PUBLIC, "rfc").unwrap(), key.public());
    assert!(!format!("{key:?}").contains("MC4C"));
    for bad in ["", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", RFC_PUBLIC] {
        assert!(matches!(PrivateKey::from_pem(bad, "x"), Err(SignError::Key { kind: "private", .. })));
    }
    let short = RFC_PUBLIC.replace("ZuE=", "");
    assert!(matches!(PublicKey::from_pem(&short, "x"), Err(SignError::Key { kind: "public", .. })));
}

#[test]
fn a_new_key_is_the_owners_and_replaces_none() {
    let dir = tempfile::tempdir().unwrap();
    let (private, public) = (dir.path().join("key"), dir.path().join("key.pub"));
    let key = keygen(&private, &public).unwrap();
    assert_eq!(private.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(PublicKey::read(&public).unwrap(), key);
    assert_eq!(PrivateKey::read(&private).unwrap().public(), key);
    assert!(matches!(keygen(&private, &public), Err(SignError::Write { .. })));
    assert_eq!(PublicKey::read(&public).unwrap(), key);
}

#[test]
fn a_signature_is_good_for_one_key_and_one_bundle() {
    let key = PrivateKey::from_pem(RFC_PRIVATE, "rfc").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let other = keygen(&dir.path().join("a"), &dir.path().join("b")).unwrap();
    let (_keep, made) = bundle();
    let problem = |key: &PublicKey| verify(&made, Some(key)).unwrap().problems.pop();
    assert!(matches!(problem(&key.public()), Some(super::super::verify::Problem::Signature(SignError::Unsigned))));
    sign(&made, &key).unwrap();
    let report = verify(&made, Some(&key.public())).unwrap();
    assert!(report.is_good(), "{:?}", report.problems);
    assert_eq!(report.signed, Some(key.public()));
    assert!(matches!(problem(&other), Some(super::super::verify::Problem::Signature(SignError::OtherKey { .. }))));
    assert!(verify(&made, None).unwrap().is_good());

    let text = std::fs::read(made.join(BUNDLE_SIG)).unwrap();
    assert!(matches!(check(&text, &Digest::of(b"another"), Some(&key.public())), Err(SignError::Wrong)));
    let spaced = [&text[..], b"\n"].concat();
    assert!(matches!(check(&spaced, &Digest::of(b""), None), Err(SignError::Form(_))));
    assert!(matches!(check(b"\xff", &Digest::of(b""), None), Err(SignError::Form(_))));
    assert!(matches!(sign(dir.path(), &key), Err(SignError::Read { .. })));
}
