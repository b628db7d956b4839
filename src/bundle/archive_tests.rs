use std::io::Cursor;

use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::bundle::sign::{PrivateKey, keygen, sign};
use crate::bundle::testing::{Shop, bundle, create_now, from, tape, tool, tree, wanted};
use crate::bundle::verify::{VerifyError, verify};

/// The entries of a good archive, to be spoilt.
fn entries(dir: &Path) -> Vec<(Header, Vec<u8>)> {
    let record = Record::parse(&std::fs::read(dir.join(BUNDLE_JSON)).unwrap()).unwrap();
    let mut files: Vec<(String, Expected)> = record.files().into_iter().collect();
    files.sort_by_key(|(path, _)| (path != BUNDLE_JSON, path.clone()));
    let entry = |(path, e): (String, Expected)| (header(&path, e.size, e.executable).unwrap(), std::fs::read(dir.join(path)).unwrap());
    files.into_iter().map(entry).collect()
}

fn bytes(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    tape(&entries.iter().map(|(h, c)| (h.clone(), &c[..])).collect::<Vec<_>>())
}

/// Unpacks and verifies an archive, which must come to the same end.
fn refused(packed: &[u8]) -> ArchiveError {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.tar.zst");
    std::fs::write(&file, packed).unwrap();
    let into = dir.path().join("into");
    let error = unpack(&file, &into, &Limits::default(), None).unwrap_err();
    assert!(!into.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something is left behind");
    match verify(&file, None) {
        Err(VerifyError::Archive(e)) => assert_eq!(e.to_string(), error.to_string()),
        Ok(report) => assert!(!report.is_good()),
        Err(e) => panic!("{e}"),
    }
    error
}

fn zst(tape: &[u8]) -> Vec<u8> {
    zstd::encode_all(Cursor::new(tape), 3).unwrap()
}

fn spoilt(spoil: impl FnOnce(&mut Vec<(Header, Vec<u8>)>)) -> ArchiveError {
    let (_keep, dir) = bundle();
    let mut entries = entries(&dir);
    spoil(&mut entries);
    refused(&zst(&bytes(&entries)))
}

fn odd(path: &[u8], kind: EntryType) -> (Header, Vec<u8>) {
    let mut header = header("x", 0, false).unwrap();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_link_name("/etc/passwd").unwrap();
    header.set_cksum();
    (header, Vec::new())
}

#[test]
fn a_bundle_comes_back_as_it_was_and_packs_to_the_same_bytes() {
    let (keep, dir) = bundle();
    let file = keep.path().join("a.tar.zst");
    pack(&dir, &file).unwrap();
    assert!(verify(&file, None).unwrap().is_good());
    let into = keep.path().join("new/into");
    assert!(unpack(&file, &into, &Limits::default(), None).unwrap().is_good());
    assert_eq!(tree(&dir), tree(&into));
    let again = keep.path().join("b.tar.zst");
    pack(&into, &again).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&again).unwrap());
    assert!(matches!(unpack(&file, &into, &Limits::default(), None), Err(ArchiveError::Exists { .. })));
    // The helper of the other tests makes good archives.
    assert_eq!(zstd::decode_all(File::open(&file).unwrap()).unwrap(), bytes(&entries(&dir)));
}

#[test]
fn a_signature_goes_along() {
    let (keep, dir) = bundle();
    let key = keygen(&keep.path().join("key"), &keep.path().join("pub")).unwrap();
    let file = keep.path().join("a.tar.zst");
    pack(&dir, &file).unwrap();
    let into = keep.path().join("into");
    assert!(matches!(unpack(&file, &into, &Limits::default(), Some(&key)), Err(ArchiveError::Signature(SignError::Unsigned))));
    assert!(!into.exists());
    sign(&dir, &PrivateKey::read(&keep.path().join("key")).unwrap()).unwrap();
    pack(&dir, &file).unwrap();
    assert_eq!(unpack(&file, &into, &Limits::default(), Some(&key)).unwrap().signed, Some(key));
    assert_eq!(tree(&dir), tree(&into));
    let other = keygen(&keep.path().join("other"), &keep.path().join("other.pub")).unwrap();
    let refused = unpack(&file, &keep.path().join("again"), &Limits::default(), Some(&other));
    assert!(matches!(refused, Err(ArchiveError::Signature(SignError::OtherKey { .. }))));
    assert!(matches!(verify(&file, Some(&other)).unwrap().problems[..], [Problem::Signature(_)]));
    // Without a key too, a damaged signature is none.
    std::fs::write(dir.join(BUNDLE_SIG), "algorithm: none\n").unwrap();
    pack(&dir, &file).unwrap();
    assert!(matches!(unpack(&file, &keep.path().join("again"), &Limits::default(), None), Err(ArchiveError::Damaged(_))));
}

#[test]
fn only_what_is_true_is_packed() {
    let (keep, dir) = bundle();
    let file = keep.path().join("a.tar.zst");
    std::fs::write(dir.join("manifests/dashboard.yaml"), "kind: Namespacf\n").unwrap();
    assert!(matches!(pack(&dir, &file), Err(ArchiveError::Differs { entry }) if entry == "manifests/dashboard.yaml"));
    std::fs::write(dir.join("manifests/dashboard.yaml"), "kind").unwrap();
    assert!(matches!(pack(&dir, &file), Err(ArchiveError::Differs { .. })));
    assert!(!file.exists());
}

#[test]
fn entries_of_other_kinds_are_refused() {
    for (kind, word) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "pipe"),
        (EntryType::Directory, "directory"),
        (EntryType::XHeader, "header extension"),
        (EntryType::GNULongName, "header extension"),
        (EntryType::GNUSparse, "thing of an unknown kind"),
    ] {
        for place in [0, 1] {
            let error = spoilt(|e| e.insert(place, odd(b"oci-layout", kind)));
            assert!(matches!(&error, ArchiveError::Kind { kind, .. } if *kind == word), "{kind:?}: {error}");
        }
    }
}

#[test]
fn entries_with_other_names_are_refused() {
    for path in ["/etc/passwd", "../evil", "tools/../../evil", "tools//evil", "./oci-layout", "tools/"] {
        let error = spoilt(|e| e.insert(1, odd(path.as_bytes(), EntryType::Regular)));
        assert!(matches!(&error, ArchiveError::Traversal { entry } if entry == path), "{path}: {error}");
    }
    assert!(matches!(spoilt(|e| e.insert(1, odd(b"tools/\xff", EntryType::Regular))), ArchiveError::NotText { .. }));
    assert!(matches!(spoilt(|e| e.insert(1, odd(b"README", EntryType::Regular))), ArchiveError::Unknown { .. }));
    assert!(matches!(spoilt(|e| e.insert(1, odd(b"tools/evil", EntryType::Regular))), ArchiveError::Unknown { .. }));
    assert!(matches!(spoilt(|e| e.swap(0, 1)), ArchiveError::First { .. }));
    assert!(matches!(spoilt(|e| e.swap(2, 1)), ArchiveError::Order { .. }));
    let late = spoilt(|e| e.push((header(BUNDLE_SIG, 0, false).unwrap(), Vec::new())));
    assert!(matches!(late, ArchiveError::Order { entry } if entry == BUNDLE_SIG));
    assert!(matches!(spoilt(|e| e.insert(1, e[1].clone())), ArchiveError::Duplicate { .. }));
    assert!(matches!(spoilt(|e| e.insert(1, e[0].clone())), ArchiveError::Duplicate { entry } if entry == BUNDLE_JSON));
}

#[test]
fn headers_must_be_plain_and_sizes_true() {
    let error = |change: fn(&mut Header)| {
        spoilt(|e| {
            change(&mut e[1].0);
            e[1].0.set_cksum();
        })
    };
    assert!(matches!(error(|h| h.set_mode(0o4755)), ArchiveError::Header { .. }));
    assert!(matches!(error(|h| h.set_uid(1000)), ArchiveError::Header { .. }));
    assert!(matches!(error(|h| h.set_mtime(1)), ArchiveError::Header { .. }));
    assert!(matches!(error(|h| h.set_size(u64::MAX)), ArchiveError::Size { found: u64::MAX, .. }));
    assert!(matches!(error(|h| h.as_old_mut().size = *b"-1\0\0\0\0\0\0\0\0\0\0"), ArchiveError::Header { .. }));
    assert!(matches!(spoilt(|e| e[1].0.as_old_mut().cksum = [0; 8]), ArchiveError::Header { .. }));
    let large = spoilt(|e| {
        e[0].0.set_size(MAX_RECORD_BYTES + 1);
        e[0].0.set_cksum();
    });
    assert!(matches!(large, ArchiveError::Size { expected: MAX_RECORD_BYTES, .. }));
    let signature = spoilt(|e| e.insert(1, (header(BUNDLE_SIG, 5000, false).unwrap(), vec![0; 5000])));
    assert!(matches!(signature, ArchiveError::Size { .. }));
}

#[test]
fn damaged_content_is_found_after_unpacking_and_nothing_stays() {
    let error = spoilt(|e| e.last_mut().unwrap().1[0] ^= 1);
    assert!(matches!(&error, ArchiveError::Damaged(p) if matches!(p[..], [Problem::Digest { .. }])), "{error}");
    let error = spoilt(|e| drop(e.pop()));
    assert!(matches!(&error, ArchiveError::Damaged(p) if matches!(p[..], [Problem::Missing { .. }])), "{error}");
    assert!(matches!(spoilt(|e| e[0].1[0] = b'['), ArchiveError::Record(_)));
}

#[test]
fn the_end_is_the_end() {
    let (_keep, dir) = bundle();
    let good = bytes(&entries(&dir));
    let whole = zst(&good);
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(refused(&whole[..cut]), ArchiveError::Truncated | ArchiveError::Read { .. }), "{cut}");
    }
    assert!(matches!(refused(&zst(&good[..good.len() - 512])), ArchiveError::Truncated));
    assert!(matches!(refused(&zst(&good[..good.len() - 1024])), ArchiveError::Truncated));
    assert!(matches!(refused(&zst(&[&good[..], &[0; 512]].concat())), ArchiveError::Trailing));
    assert!(matches!(refused(&zst(&[&good[..good.len() - 512], &good[..]].concat())), ArchiveError::Trailing));
    assert!(matches!(refused(&[&whole[..], b"x"].concat()), ArchiveError::Trailing));
    assert!(matches!(refused(&[&whole[..], &whole[..]].concat()), ArchiveError::Trailing));
    assert!(matches!(refused(b"<html>not found</html>"), ArchiveError::Read { .. }));
    let mut padded = good.clone();
    let hole = padded.len() - 1025;
    padded[hole] = 1;
    assert!(matches!(refused(&zst(&padded)), ArchiveError::Header { .. }));
}

#[test]
fn bombs_and_large_bundles_are_refused() {
    let shop = Shop::new();
    let zeros = vec![0; 3_000_000];
    let layout = shop.layout(&[("docker.io/library/zeros:1", &shop.image("amd64", &[&zeros]))]);
    let dir = tempfile::tempdir().unwrap();
    create_now(&wanted(&["zeros:1"]), &from(&[&layout]), &dir.path().join("made")).unwrap();
    let file = dir.path().join("a.tar.zst");
    pack(&dir.path().join("made"), &file).unwrap();
    let into = dir.path().join("into");
    let with = |limits| unpack(&file, &into, &limits, None);
    let strict = Limits { slack: 100_000, ..Limits::default() };
    assert!(matches!(with(strict), Err(ArchiveError::Bomb { ratio: 200, .. })));
    assert!(matches!(with(Limits { total: 3_000_000, ..strict }), Err(ArchiveError::TooLarge { limit: 3_000_000, .. })));
    assert!(!into.exists());
    assert!(with(Limits::default()).is_ok());

    // An entry that never ends: its size is one that bundle.json does not know.
    let endless = zst(&[header("oci-layout", 1 << 33, false).unwrap().as_bytes(), &vec![0; 5_000_000][..]].concat());
    assert!(matches!(refused(&endless), ArchiveError::First { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_unpacked_is_what_was_packed(
        layers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..5),
        binary in prop::collection::vec(any::<u8>(), 0..1500),
        text in "[ -~\n]{0,700}",
    ) {
        let shop = Shop::new();
        let layers: Vec<&[u8]> = layers.iter().map(|l| &l[..]).collect();
        let image = shop.image("amd64", &layers);
        let layout = shop.layout(&[("example.test/one:1", &image), ("example.test/two:2", &shop.index(&[("amd64", &image)]))]);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tool"), binary).unwrap();
        let mut contents = wanted(&["example.test/one:1", "example.test/two:2"]);
        contents.tools.push(tool("kubectl", &dir.path().join("tool")));
        contents.manifests[0].text = text;
        let (made, into, file) = (dir.path().join("made"), dir.path().join("into"), dir.path().join("x.tar.zst"));
        create_now(&contents, &from(&[&layout]), &made).unwrap();
        pack(&made, &file).unwrap();
        prop_assert!(unpack(&file, &into, &Limits::default(), None).unwrap().is_good());
        prop_assert_eq!(tree(&made), tree(&into));
    }

    #[test]
    fn a_changed_byte_of_the_archive_changes_nothing_unnoticed(at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let (keep, dir) = bundle();
        let file = keep.path().join("a.tar.zst");
        pack(&dir, &file).unwrap();
        let mut packed = std::fs::read(&file).unwrap();
        let at = at.index(packed.len());
        packed[at] ^= mask;
        std::fs::write(&file, packed).unwrap();
        let into = keep.path().join("into");
        // A few bits of the frame's header mean nothing to the content.
        if unpack(&file, &into, &Limits::default(), None).is_ok() {
            prop_assert_eq!(tree(&dir), tree(&into));
        } else {
            prop_assert!(!into.exists());
        }
    }
}
