//! What lists and watches rely on, whatever is written in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn put(store: &Store, namespace: &str, name: &str, expect: Expect, n: u32) -> Result<Arc<Object>, Rejected> {
    let mut value = json!({"metadata": {"name": name, "labels": {"n": n.to_string()}}});
    store.put("pods", (namespace, name), expect, &mut value, Box::default())
}

#[derive(Debug, Clone)]
enum Write {
    Put(u8, u8, u32),
    Remove(u8, u8),
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let one = prop_oneof![
        3 => (0..3u8, 0..5u8, any::<u32>()).prop_map(|(ns, n, v)| Write::Put(ns, n, v)),
        1 => (0..3u8, 0..5u8).prop_map(|(ns, n)| Write::Remove(ns, n)),
    ];
    prop::collection::vec(one, 0..60)
}

fn carry_out(store: &Store, write: &Write) {
    match write {
        Write::Put(ns, name, n) => {
            let (ns, name) = (format!("ns{ns}"), format!("p{name}"));
            let expect = store.get("pods", &ns, &name).map_or(Expect::Absent, |o| Expect::Revision(o.revision));
            put(store, &ns, &name, expect, *n).unwrap();
        }
        Write::Remove(ns, name) => {
            let _ = store.remove("pods", (&format!("ns{ns}"), &format!("p{name}")), None, None);
        }
    }
}

fn state(objects: &[Arc<Object>]) -> BTreeMap<String, (u64, Bytes)> {
    objects.iter().map(|o| (o.key(), (o.revision, o.bytes.clone()))).collect()
}

proptest! {
    #[test]
    fn a_list_and_the_events_after_it_make_every_later_list(first in writes(), then in writes(), scope in 0..4u8) {
        let store = Store::default();
        for write in &first { carry_out(&store, write); }
        let namespace = if scope == 3 { String::new() } else { format!("ns{scope}") };
        let (revision, objects) = store.list("pods", &namespace);
        let mut seen = state(&objects);
        for write in &then { carry_out(&store, write); }
        let mut last = revision;
        for event in store.events("pods", revision, usize::MAX).unwrap() {
            prop_assert!(event.object.revision > last, "revisions of a watch increase");
            last = event.object.revision;
            if !namespace.is_empty() && *event.object.namespace != *namespace {
                continue;
            }
            let before = seen.get(&event.object.key()).map(|(r, _)| *r);
            prop_assert_eq!(before, event.before.as_ref().map(|b| b.revision), "no event is lost or doubled");
            match event.change {
                Change::Deleted => { seen.remove(&event.object.key()); }
                _ => { seen.insert(event.object.key(), (event.object.revision, event.object.bytes.clone())); }
            }
        }
        prop_assert_eq!(&seen, &state(&store.list("pods", &namespace).1));
        // And back again: the older list can still be had.
        prop_assert_eq!(state(&store.list_at("pods", &namespace, revision).unwrap()), state(&objects));
    }

    #[test]
    fn a_watch_that_reconnects_anywhere_sees_every_event_once(all in writes(), stops in prop::collection::vec(1..7usize, 1..40)) {
        let store = Store::default();
        for write in &all { carry_out(&store, write); }
        let whole: Vec<u64> = store.events("pods", 1, usize::MAX).unwrap().iter().map(|e| e.object.revision).collect();
        let mut seen = Vec::new();
        let mut at = 1;
        for stop in stops.iter().cycle().take(whole.len() + 1) {
            for event in store.events("pods", at, *stop).unwrap() {
                at = event.object.revision;
                seen.push(at);
            }
        }
        prop_assert_eq!(seen, whole);
    }
}

#[test]
fn among_guarded_writers_exactly_one_wins() {
    let store = Store::default();
    let mut at = put(&store, "a", "x", Expect::Absent, 0).unwrap().revision;
    for round in 0..50 {
        let winners: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|i| {
                    let store = &store;
                    scope.spawn(move || put(store, "a", "x", Expect::Revision(at), round * 8 + i).ok().map(|o| o.revision))
                })
                .collect();
            writers.into_iter().filter_map(|w| w.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1, "round {round}");
        at = winners[0];
    }
    assert_eq!(store.revision(), at);
}

#[test]
fn what_is_expected_decides() {
    let store = Store::default();
    assert_eq!(put(&store, "a", "x", Expect::Revision(1), 0).unwrap_err(), Rejected::Missing);
    let made = put(&store, "a", "x", Expect::Absent, 0).unwrap();
    assert_eq!(put(&store, "a", "x", Expect::Absent, 0).unwrap_err(), Rejected::Exists);
    assert_eq!(put(&store, "a", "x", Expect::Revision(made.revision + 9), 0).unwrap_err(), Rejected::Changed(made.revision));
    assert_eq!(store.remove("pods", ("a", "x"), Some(99), None).unwrap_err(), Rejected::Changed(made.revision));
    let gone = store.remove("pods", ("a", "x"), Some(made.revision), None).unwrap();
    assert_eq!(gone.revision, made.revision + 1, "a removal takes a revision of its own");
    assert_eq!(gone.value()["metadata"]["resourceVersion"], json!(gone.revision.to_string()));
    assert_eq!(store.remove("pods", ("a", "x"), None, None).unwrap_err(), Rejected::Missing);
}

#[test]
fn the_log_is_bounded_and_says_so() {
    let store = Store::default();
    let mut value = json!({"metadata": {"name": "x"}, "data": "y".repeat(1 << 16)});
    let mut at = store.put("configmaps", ("a", "x"), Expect::Absent, &mut value, Box::default()).unwrap().revision;
    for _ in 0..LOG_EVENTS + 5 {
        at = store.put("configmaps", ("a", "x"), Expect::Revision(at), &mut value, Box::default()).unwrap().revision;
    }
    let error = store.events("configmaps", 1, 10).unwrap_err();
    assert_eq!(error.asked, 1);
    assert!(store.list_at("configmaps", "", 1).is_err());
    assert_eq!(store.events("configmaps", error.floor, usize::MAX).unwrap().len(), LOG_EVENTS, "what is kept can be had in full");
    assert!(store.events("pods", 1, 10).unwrap().is_empty(), "another resource has its own log");
}

#[test]
fn a_line_is_shared_and_holds_the_object() {
    let store = Store::default();
    put(&store, "a", "x", Expect::Absent, 7).unwrap();
    let event = store.events("pods", 1, 1).unwrap().remove(0);
    let line: Value = serde_json::from_slice(&event.line()).unwrap();
    assert_eq!(line["type"], "ADDED");
    assert_eq!(line["object"], event.object.value());
    assert!(event.line().ends_with(b"}\n"));
    assert_eq!(Event::line_as(Change::Added, &event.object), event.line());
    assert_eq!((event.object.label("n"), event.object.label("m")), (Some("7"), None));
    let inside = event.line().as_ptr_range();
    assert!(inside.contains(&event.object.bytes.as_ptr()), "one allocation for both");
}

#[test]
fn namespaces_are_not_prefixes_of_each_other() {
    let store = Store::default();
    for (namespace, name) in [("a", "x"), ("ab", "y"), ("b", "z"), ("", "cluster")] {
        put(&store, namespace, name, Expect::Absent, 0).unwrap();
    }
    let names = |ns: &str| store.list("pods", ns).1.iter().map(|o| o.name.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(names("a"), BTreeSet::from(["x".to_owned()]));
    assert_eq!(names("").len(), 4);
}
