//! Watches, and what kube-rs builds on them.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::reflector::store;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde_json::{Value, json};

use crate::{JSON, World, config_map};

const PATH: &str = "/api/v1/namespaces/default/configmaps";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it takes no longer than this")
}

fn map(name: &str, label: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"color": label}}})).unwrap()
}

#[tokio::test]
async fn a_watch_shows_what_comes_into_and_leaves_its_selection() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    let params = WatchParams::default().labels("color=red").timeout(5);
    let mut events = maps.watch(&params, "0").await.unwrap().boxed();
    maps.create(&PostParams::default(), &map("a", "blue")).await.unwrap();
    maps.create(&PostParams::default(), &map("b", "red")).await.unwrap();
    let paint = |color: &str| Patch::Merge(json!({"metadata": {"labels": {"color": color}}}));
    maps.patch("a", &PatchParams::default(), &paint("red")).await.unwrap();
    maps.patch("b", &PatchParams::default(), &paint("blue")).await.unwrap();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "v"}}))).await.unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        match soon(events.try_next()).await.unwrap().unwrap() {
            WatchEvent::Added(o) => seen.push(format!("+{}", o.name_any())),
            WatchEvent::Modified(o) => seen.push(format!("~{}", o.name_any())),
            WatchEvent::Deleted(o) => seen.push(format!("-{}", o.name_any())),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(e) => panic!("{e:?}"),
        }
    }
    assert_eq!(seen, ["+b", "+a", "-b", "~a", "-a"]);
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_and_says_when_it_cannot() {
    let world = World::new().await;
    let (_, made) = world.ask("POST", PATH, &[JSON], &config_map("a", &json!({}))).await;
    let at = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    world.ask("POST", PATH, &[JSON], &config_map("b", &json!({}))).await;
    let (_, lines) =
        world.ask("GET", &format!("{PATH}?watch=1&resourceVersion={at}&timeoutSeconds=1&allowWatchBookmarks=true"), &[], "").await;
    let events: Vec<Value> = lines.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&events[0]["type"], &events[0]["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("b")));
    assert_eq!(events[1]["type"], "BOOKMARK", "a last one when the time is over");
    assert_eq!(events.len(), 2);
    // More than the log keeps.
    let large = "x".repeat(1 << 16);
    for i in 0..300 {
        let value = json!({"data": {"k": format!("{large}{i}")}});
        world
            .api
            .modify("configmaps", ("default", "a"), |o| {
                o["data"] = value["data"].clone();
                true
            })
            .unwrap();
    }
    let (_, gone) = world.ask("GET", &format!("{PATH}?watch=1&resourceVersion={at}&timeoutSeconds=1"), &[], "").await;
    assert_eq!((&gone["type"], &gone["object"]["code"], &gone["object"]["reason"]), (&json!("ERROR"), &json!(410), &json!("Expired")));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let world = World::new().await;
    world.ask("POST", PATH, &[JSON], &config_map("a", &json!({}))).await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let (_, lines) = world.ask("GET", &format!("{PATH}?{query}"), &[], "").await;
    let events: Vec<Value> = lines.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events[0]["object"]["metadata"]["name"], "a");
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let (status, answer) = world.ask("GET", &format!("{PATH}?watch=1&sendInitialEvents=true"), &[], "").await;
    assert_eq!((status, answer["reason"].as_str()), (422, Some("Invalid")));
}

#[tokio::test]
async fn kube_runtime_works_both_with_lists_and_with_streamed_ones() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let world = World::new().await;
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
        maps.create(&PostParams::default(), &map("a", "red")).await.unwrap();
        let (reader, writer) = store();
        let stream = reflector(writer, watcher(maps.clone(), config)).default_backoff().touched_objects();
        let following = tokio::spawn(stream.for_each(|_| std::future::ready(())));
        soon(reader.wait_until_ready()).await.unwrap();
        assert_eq!(reader.state().len(), 1);
        let waiting = tokio::spawn(await_condition(maps.clone(), "b", |o: Option<&ConfigMap>| o.is_some_and(|o| o.data.is_some())));
        maps.create(&PostParams::default(), &map("b", "red")).await.unwrap();
        maps.patch("b", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "v"}}))).await.unwrap();
        soon(waiting).await.unwrap().unwrap();
        let uid = maps.get("b").await.unwrap().uid().unwrap();
        maps.delete("b", &DeleteParams::default()).await.unwrap();
        soon(await_condition(maps.clone(), "b", conditions::is_deleted(&uid))).await.unwrap();
        following.abort();
    }
}

#[tokio::test]
async fn no_event_is_lost_or_doubled_while_many_write_and_reconnect() {
    const WRITES: usize = 400;
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let maps = maps.clone();
            tokio::spawn(async move {
                for i in 0..WRITES / 4 {
                    maps.create(&PostParams::default(), &map(&format!("w{w}-{i}"), "red")).await.unwrap();
                }
            })
        })
        .collect();
    let mut at = start;
    let mut seen = Vec::new();
    while seen.len() < WRITES {
        // Cut off after a few events, wherever that is.
        let mut events = maps.watch(&WatchParams::default().timeout(10), &at).await.unwrap().boxed();
        for _ in 0..37 {
            match soon(events.try_next()).await.unwrap() {
                Some(WatchEvent::Added(o)) => {
                    at = o.resource_version().unwrap();
                    seen.push((at.parse::<u64>().unwrap(), o.name_any()));
                }
                other => panic!("{other:?}"),
            }
            if seen.len() == WRITES {
                break;
            }
        }
    }
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "revisions increase");
    let names: std::collections::BTreeSet<&String> = seen.iter().map(|(_, n)| n).collect();
    assert_eq!(names.len(), WRITES);
    for writer in writers {
        writer.await.unwrap();
    }
}
