use std::fs::FileTimes;
use std::io::Read;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::mirror::name::Repository;

fn there(cache: &Cache, content: &[u8]) -> bool {
    cache.bytes(&Digest::of(content), 1000).unwrap().is_some_and(|b| b == content)
}

fn fills(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("fill")).unwrap().count()
}

#[test]
fn what_is_put_is_there_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    let digest = cache.put(b"content").unwrap();
    cache.put(b"content").unwrap();
    assert_eq!(cache.size(), 7);
    assert!(cache.bytes(&digest, 6).is_err());
    let cache = Cache::open(dir.path(), None).unwrap();
    assert!(there(&cache, b"content"));
    assert_eq!(cache.size(), 7);
    assert!(cache.blob(&Digest::of(b"other")).unwrap().is_none());
}

#[test]
fn an_unfinished_or_false_fill_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    let digest = Digest::of(b"content");
    let mut fill = cache.begin(&digest, Some(7)).unwrap();
    fill.write(b"cont").unwrap();
    // Another process opens the same cache.
    drop(Cache::open(dir.path(), None).unwrap());
    assert_eq!(fills(dir.path()), 1);
    assert!(matches!(fill.check(), Err(CacheError::Digest { .. })));
    assert!(matches!(fill.commit(), Err(CacheError::Digest { .. })));
    assert_eq!(fills(dir.path()), 0);
    // One of a process that is dead.
    std::fs::write(dir.path().join("fill").join(format!("{}.abcdef", digest.hex())), b"cont").unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    assert_eq!(fills(dir.path()), 0);
    assert!(!there(&cache, b"content"));
}

#[test]
fn what_was_used_least_recently_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), Some(30)).unwrap();
    for content in [b"1111111111", b"2222222222", b"3333333333"] {
        cache.put(content).unwrap();
    }
    let (mut reading, _) = cache.blob(&Digest::of(b"2222222222")).unwrap().unwrap();
    assert!(there(&cache, b"1111111111"));
    cache.put(b"4444444444").unwrap();
    assert!(!there(&cache, b"3333333333") && there(&cache, b"2222222222"));
    cache.put(b"55555555555555555555").unwrap();
    assert!(cache.size() <= 30);
    let mut text = String::new();
    reading.read_to_string(&mut text).unwrap();
    assert_eq!(text, "2222222222", "whoever reads goes on reading");
    assert!(matches!(cache.put(&[0; 31]), Err(CacheError::TooLarge { size: 31, limit: 30 })));
    let mut unknown = cache.begin(&Digest::of(&[0; 31]), None).unwrap();
    assert!(matches!(unknown.write(&[0; 31]), Err(CacheError::TooLarge { .. })));
    // The order is that of the last use, after a restart too.
    let old = File::open(cache.path(&Digest::of(b"55555555555555555555"))).unwrap();
    old.set_times(FileTimes::new().set_accessed(SystemTime::now() - Duration::from_secs(9))).unwrap();
    let cache = Cache::open(dir.path(), Some(10)).unwrap();
    assert_eq!(cache.size(), 10);
    assert!(!there(&cache, b"55555555555555555555"));
}

#[test]
fn what_was_changed_is_not_served_and_verify_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    let (good, bad) = (cache.put(b"good").unwrap(), cache.put(b"bad").unwrap());
    std::fs::write(cache.path(&bad), b"BAD!").unwrap();
    assert_eq!(cache.verify().unwrap(), Verified { good: 1, removed: vec![bad.clone()] });
    assert_eq!(cache.size(), 4);
    std::fs::write(cache.path(&good), b"GOOD").unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    assert!(cache.blob(&good).unwrap().is_none());
    assert!(!cache.path(&good).exists());
}

#[test]
fn a_tag_is_remembered_for_its_repository() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    let repository: Repository = "busybox".parse().unwrap();
    let tag = |tag: &str| Tag {
        repository: repository.clone(),
        tag: tag.to_owned(),
        digest: Digest::of(b""),
        media_type: "x".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    cache.set_tag(&tag("b")).unwrap();
    cache.set_tag(&tag("B")).unwrap();
    cache.set_tag(&tag("a")).unwrap();
    std::fs::write(dir.path().join("tags").join(Digest::of(b"torn").hex()), b"{\"repo").unwrap();
    std::fs::write(dir.path().join("tags/.tmpabc.tmp"), b"{}").unwrap();
    let cache = Cache::open(dir.path(), None).unwrap();
    assert!(!dir.path().join("tags/.tmpabc.tmp").exists());
    assert_eq!(cache.tag(&repository, "a"), Some(tag("a")));
    assert_eq!(cache.tag(&repository, "c"), None);
    assert_eq!(cache.tags(&repository).unwrap(), ["B", "a", "b"]);
    assert!(cache.tags(&"other".parse().unwrap()).unwrap().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Fill(u8, usize),
    Lie(u8),
    Read(u8),
    Damage(u8),
    Leave(u8),
    Reopen,
    Verify,
}

fn step() -> impl Strategy<Value = Step> {
    let blob = 0..6_u8;
    prop_oneof![
        3 => (blob.clone(), 0..300_usize).prop_map(|(b, cut)| Step::Fill(b, cut)),
        1 => blob.clone().prop_map(Step::Lie),
        2 => blob.clone().prop_map(Step::Read),
        1 => blob.clone().prop_map(Step::Damage),
        1 => blob.prop_map(Step::Leave),
        1 => Just(Step::Reopen),
        1 => Just(Step::Verify),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_blob_is_false_and_the_limit_is_kept(steps in proptest::collection::vec(step(), 1..40)) {
        let content = |b: u8| vec![b; 100 + usize::from(b) * 10];
        let dir = tempfile::tempdir().unwrap();
        let open = || Cache::open(dir.path(), Some(400)).unwrap();
        let mut cache = open();
        for step in steps {
            match step {
                Step::Fill(b, cut) => {
                    let content = content(b);
                    let mut fill = cache.begin(&Digest::of(&content), Some(content.len() as u64)).unwrap();
                    fill.write(&content[..cut.min(content.len())]).unwrap();
                    prop_assert_eq!(fill.commit().is_ok(), cut >= content.len());
                }
                Step::Lie(b) => {
                    let mut fill = cache.begin(&Digest::of(&content(b)), None).unwrap();
                    fill.write(&content(b + 1)).unwrap();
                    prop_assert!(fill.commit().is_err());
                }
                Step::Read(b) => {
                    if let Some(bytes) = cache.bytes(&Digest::of(&content(b)), 1000).unwrap() {
                        prop_assert_eq!(bytes, content(b));
                    }
                }
                Step::Damage(b) => {
                    let path = cache.path(&Digest::of(&content(b)));
                    if let Ok(file) = File::options().write(true).open(path) {
                        std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 3).unwrap();
                        // Within one tick of the file system's clock the change could not be seen.
                        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
                    }
                }
                Step::Leave(b) => {
                    // A process that dies leaves a file that nobody has locked.
                    let name = format!("{}.dead", Digest::of(&content(b)).hex());
                    std::fs::write(dir.path().join("fill").join(name), b"half").unwrap();
                }
                Step::Reopen => {
                    cache = open();
                    prop_assert_eq!(fills(dir.path()), 0);
                }
                Step::Verify => {
                    cache.verify().unwrap();
                    prop_assert!(cache.verify().unwrap().removed.is_empty());
                }
            }
            prop_assert!(cache.size() <= 400);
        }
    }
}
