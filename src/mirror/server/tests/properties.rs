//! Whatever happens in whatever order, what a client gets completely is what it asked for.

use proptest::prelude::*;

use super::*;
use crate::mirror::testing::{Fault, noise};

#[derive(Debug, Clone)]
enum Event {
    Get(usize),
    Part(usize, u64),
    Leave(usize),
    Cut(usize),
    Corrupt,
    Unranged,
    Fail,
    Full(u64),
    Damage(usize),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Event::Get),
        2 => (0..3_usize, 0..60_000_u64).prop_map(|(b, at)| Event::Part(b, at)),
        1 => (0..3_usize).prop_map(Event::Leave),
        1 => (0..90_000_usize).prop_map(Event::Cut),
        1 => Just(Event::Corrupt),
        1 => Just(Event::Unranged),
        1 => Just(Event::Fail),
        1 => (0..90_000_u64).prop_map(Event::Full),
        1 => (0..3_usize).prop_map(Event::Damage),
        1 => Just(Event::Restart),
    ]
}

async fn play(events: Vec<Event>) {
    let fake = Fake::start().await;
    let contents: Vec<_> = [60_000, 70_000, 80_000].map(noise).into();
    let digests: Vec<_> = contents.iter().map(|c| fake.blob(c.clone())).collect();
    let path = |b: usize| format!("library/busybox/blobs/{}", digests[b]);
    let mut mirror = mirroring(&fake).await;
    for event in events {
        match event {
            Event::Get(b) => {
                let response = mirror.get(&path(b)).await;
                if response.status() == StatusCode::OK
                    && let Ok(got) = body(response).await
                {
                    assert!(got == contents[b], "something else came");
                }
            }
            Event::Part(b, at) => {
                let request = mirror.request(Method::GET, &path(b)).header(header::RANGE, format!("bytes={at}-{}", at + 999));
                let response = request.send().await.unwrap();
                if response.status() == StatusCode::PARTIAL_CONTENT
                    && let Ok(got) = body(response).await
                {
                    let end = contents[b].len().min(usize::try_from(at).unwrap() + 1000);
                    assert!(got == contents[b][usize::try_from(at).unwrap()..end], "something else came");
                }
            }
            Event::Leave(b) => drop(mirror.get(&path(b)).await),
            Event::Cut(at) => fake.fault("GET", 1, Fault::Cut(at)),
            Event::Corrupt => fake.fault("GET", 1, Fault::Corrupt),
            Event::Unranged => fake.fault("GET", 1, Fault::IgnoreRange),
            Event::Fail => fake.fault("GET", 1, Fault::Status(500)),
            Event::Full(size) => mirror.cache.fill_disk(size),
            Event::Damage(b) => {
                // What is damaged lies on the disk: a file that has just come is still given to whoever asks in that moment.
                eventually(|| mirror.mirror.fills.at_rest().then_some(())).await;
                let file = mirror.dir.path().join("blobs/sha256").join(digests[b].hex());
                if let Ok(file) = std::fs::File::options().write(true).open(file) {
                    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 1000).unwrap();
                    // Within one tick of the file system's clock the change could not be seen.
                    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
                }
            }
            Event::Restart => {
                let Running { dir, .. } = mirror;
                mirror = start_in(dir, Some(fake.client()), Vec::new()).await;
            }
        }
    }
    // A download that a client left goes on, and whoever joins it shares what comes of it.
    eventually(|| mirror.mirror.fills.at_rest().then_some(())).await;
    let verified = mirror.cache.verify().unwrap();
    fake.forgive();
    mirror.cache.fill_disk(u64::MAX);
    for (b, content) in contents.iter().enumerate() {
        assert!(mirror.body(&path(b)).await.is_ok_and(|got| got == *content), "it recovers, after {verified:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_complete_answer_is_a_true_one(events in proptest::collection::vec(event(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(events));
    }
}
