use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::writer::Bounds;
use super::{Bundle, CollectError, INDEX, collect, collect_session, collect_within};
use crate::cluster::Capability;
use crate::journal::Event;
use crate::testing::api::Reply;
use crate::testing::environment::{World, context, spec};
use crate::testing::guide::{CONTROL_PLANE, WORKER, pod};
use crate::testing::provider::FakeProvider;
use crate::testing::{drive, promptly};
use crate::wait::{Clock as _, Limit, ManualClock};

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
const ISTIOD: &str = "istiod-6c8f9d7b4-q5v8m";

/// Every file below a directory, by its path from there.
fn files(dir: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, String::from_utf8(std::fs::read(&path).unwrap()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

/// A world whose nodes and pods have something to say. istioctl would live by the real clock, so it is not there.
fn world() -> World {
    let mut world = World::healthy();
    world.capabilities.lack(Capability::PORT_FORWARD, "the test has none");
    for node in [CONTROL_PLANE, WORKER] {
        for (command, says) in [
            ("journalctl --no-pager -u kubelet", "the kubelet says\n"),
            ("journalctl --no-pager -u containerd", "containerd says\n"),
            ("journalctl --no-pager", "everybody says\n"),
            ("crictl images", "IMAGE\n"),
            ("crictl ps -a", "CONTAINER\n"),
            ("ls -1 /etc/containerd/certs.d", "docker.io\n"),
            ("ls -1 /etc/containerd/certs.d/docker.io", "hosts.toml\nclient.key\n"),
        ] {
            world.nodes.answer(node, command, 0, says, "");
        }
        world.nodes.file(node, "/kind/version", "v1.33.4\n");
        world.nodes.file(node, "/etc/containerd/certs.d/docker.io/client.key", "not for you");
        world.nodes.file(node, "/etc/systemd/system/containerd.service.d/http-proxy.conf", "[Service]\n");
    }
    for pod in world.api.names("/api/v1/pods") {
        for namespace in ["kube-system", "istio-system", "kubernetes-dashboard"] {
            log(&world, namespace, &pod, |container| format!("{container} says hello\n"));
        }
    }
    world
}

fn log(world: &World, namespace: &str, pod: &str, says: impl Fn(&str) -> String + Send + Sync + 'static) {
    world.api.handle(&format!("GET /api/v1/namespaces/{namespace}/pods/{pod}/log"), move |asked| {
        let before = asked.query.get("previous").is_some_and(|p| p == "true");
        Reply::Text(200, format!("{}{}", says(&asked.query["container"]), if before { "in the life before\n" } else { "" }))
    });
}

async fn collected(world: &World, bounds: Bounds) -> (Bundle, BTreeMap<String, String>) {
    let to = world.dir.path().join("bundle");
    let environment = world.open().await;
    let bundle = drive(&world.clock, collect_within(&environment, &to, bounds)).await.unwrap();
    assert_eq!(bundle.dir, to);
    let files = files(&to);
    assert_eq!(bundle.files, files.len());
    assert_eq!(bundle.bytes, files.values().map(|t| t.len() as u64).sum::<u64>());
    let recorded = environment.context.journal.records().into_iter().rfind(|r| matches!(r.event, Event::Collected { .. }));
    let Some(Event::Collected { files, left_out, .. }) = recorded.map(|r| r.event) else { panic!("nothing was recorded") };
    assert_eq!((files, left_out), (bundle.files, bundle.left_out.len()));
    (bundle, self::files(&to))
}

/// The index names every file and whatever is not there.
fn assert_indexed(bundle: &Bundle, files: &BTreeMap<String, String>) {
    let index = &files[INDEX];
    for name in files.keys().filter(|n| *n != INDEX) {
        assert!(index.contains(&format!("<a href=\"{name}\">")), "{name} is not in the index");
    }
    for line in &bundle.left_out {
        let (what, _) = line.split_once(": ").unwrap();
        assert!(index.contains(&format!("<code>{what}</code>")), "{line} is not in the index");
    }
    assert!(!index.contains("collect-"), "a key has no text\n{index}");
}

#[track_caller]
fn left_out<'a>(bundle: &'a Bundle, what: &str) -> &'a str {
    bundle.left_out.iter().find(|l| l.starts_with(what)).unwrap_or_else(|| panic!("{what} is not left out: {:#?}", bundle.left_out))
}

#[tokio::test]
async fn everything_is_there_and_nothing_else_leaves_the_cluster() {
    let world = world();
    let files_of_session = [
        ("manifests/dashboard.yaml", "kind: Namespace\n---\nkind: Secret\ndata: {a: c2VjcmV0}\n"),
        ("certs.d/docker.io/hosts.toml", "server\n"),
        ("kind-config.yaml", "kind: Cluster\n"),
        ("recording/access.jsonl", "{}\n"),
        ("runs/earlier/journal.jsonl", "{}\n"),
        ("docker-config/config.json", "auths"),
    ];
    for (name, text) in files_of_session {
        let path = world.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    world.api.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "istio-system"}, "data": {}}));
    for (n, reason) in [(2, "Later"), (1, "Sooner")] {
        world.api.put(json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("e{n}"), "namespace": "default"}, "type": "Normal",
            "involvedObject": {"kind": "Pod", "name": "p"}, "reason": reason, "message": "m", "lastTimestamp": format!("2026-01-01T00:00:0{n}Z")}));
    }
    world.api.edit(&format!("/api/v1/namespaces/istio-system/pods/{ISTIOD}"), |p| {
        p["status"]["containerStatuses"][0]["restartCount"] = 2.into();
        p["spec"]["initContainers"] = json!([{"name": "first"}]);
        p["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    });
    world.api.always(&format!("GET /api/v1/namespaces/istio-system/pods/{ISTIOD}:15014/proxy/version"), Reply::Text(200, "1.27.1".into()));
    let (bundle, files) = collected(&world, Bounds::USUAL).await;
    for node in [CONTROL_PLANE, WORKER] {
        for (name, says) in [
            ("kubelet.log", "the kubelet says\n"),
            ("containerd.log", "containerd says\n"),
            ("journal.log", "everybody says\n"),
            ("images.log", "IMAGE\n"),
            ("containers.log", "CONTAINER\n"),
            ("kubernetes-version.txt", "v1.33.4\n"),
            ("http-proxy.conf", "[Service]\n"),
        ] {
            assert_eq!(files[&format!("nodes/{node}/{name}")], says);
        }
        assert!(files[&format!("nodes/{node}/containerd-config.toml")].contains("config_path"));
        assert!(files[&format!("nodes/{node}/certs.d/docker.io/hosts.toml")].contains("server"));
        assert!(left_out(&bundle, &format!("nodes/{node}/certs.d/docker.io/client.key")).contains("private keys"));
    }
    assert_eq!(
        files["events.txt"],
        "2026-01-01T00:00:01Z Normal default Pod/p Sooner: m\n2026-01-01T00:00:02Z Normal default Pod/p Later: m\n"
    );
    let parsed = |name: &str| serde_json::from_str::<Value>(&files[&format!("objects/{name}.json")]).unwrap();
    assert_eq!(parsed("nodes")["items"].as_array().unwrap().len(), 2);
    assert!(parsed("customresourcedefinitions")["items"][0]["versions"].is_array());
    assert_eq!(parsed("gatewayclasses.gateway.networking.k8s.io")["items"][0]["metadata"]["name"], "istio");
    assert!(!files["objects/pods.json"].contains("managedFields"));
    for (name, says) in [
        ("main.log", "main says hello\n"),
        ("first.log", "first says hello\n"),
        ("main.previous.log", "main says hello\nin the life before\n"),
    ] {
        assert_eq!(files[&format!("pods/istio-system/{ISTIOD}/{name}")], says);
    }
    assert_eq!(files.keys().filter(|n| n.ends_with(".previous.log")).count(), 1, "only where there was a life before");
    assert_eq!(files[&format!("istio/{ISTIOD}/version.txt")], "1.27.1");
    assert_eq!(left_out(&bundle, "istio/proxy-status.txt"), "istio/proxy-status.txt: the test has none");
    for (name, text) in [
        ("applied/manifests/dashboard.yaml", "kind: Namespace\n---\n# a Secret, which is left out\n"),
        ("applied/certs.d/docker.io/hosts.toml", "server\n"),
        ("applied/kind-config.yaml", "kind: Cluster\n"),
        ("applied/access.jsonl", "{}\n"),
        ("applied/runs/earlier.jsonl", "{}\n"),
    ] {
        assert_eq!(files[name], text);
    }
    assert!(files["applied/spec.json"].contains("istio-cluster") && files.contains_key("applied/journal.jsonl"));
    assert!(!files.keys().any(|n| n.contains("kubeconfig") || n.contains("docker-config") || n.to_lowercase().contains("secret")));
    assert!(world.api.count("GET /api/v1/secrets") + world.api.count("GET /api/v1/namespaces/istio-system/secrets") == 0);
    assert_indexed(&bundle, &files);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| std::fs::metadata(bundle.dir.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("events.txt"), mode(INDEX), mode("nodes"), mode("")), (0o600, 0o600, 0o700, 0o700));
    }
    let again = collect(&world.open().await, &bundle.dir).await;
    assert!(matches!(again, Err(CollectError::NotEmpty { .. })), "{again:?}");
}

#[tokio::test]
async fn secrets_are_replaced_wherever_they_are() {
    let world = world();
    world.api.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "istio-system",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "again"}},
        "data": {"token": JWT, "key": "-----BEGIN PRIVATE KEY-----\nabcdefgh\n-----END PRIVATE KEY-----\nrest", "other": "hunter2-hunter2"}}));
    log(&world, "istio-system", ISTIOD, |_| format!("got {JWT}\nand hunter2-hunter2\n"));
    world.nodes.answer(WORKER, "journalctl --no-pager", 0, &format!("pulling https://user:p4ssword@proxy/ with {JWT}\n"), "");
    world.nodes.answer(WORKER, "crictl images", 1, "", &format!("fatal: {JWT}"));
    let environment = world.open().await;
    environment.context.journal.redactor().learn("hunter2-hunter2");
    let to = world.dir.path().join("bundle");
    let bundle = drive(&world.clock, collect(&environment, &to)).await.unwrap();
    let files = files(&to);
    for (name, text) in &files {
        for secret in [JWT, "abcdefgh", "hunter2-hunter2", "p4ssword", "last-applied"] {
            assert!(!text.contains(secret), "{secret} is in {name}");
        }
    }
    assert!(bundle.left_out.iter().all(|l| !l.contains(JWT)));
    assert_eq!(files[&format!("pods/istio-system/{ISTIOD}/main.log")], "got <redacted>\nand <redacted>\n");
    let configmaps: Value = serde_json::from_str(&files["objects/configmaps.istio-system.json"]).unwrap();
    assert_eq!(configmaps["items"][0]["data"]["key"], "<redacted>\nrest", "what follows a key is still there, and it is JSON");
}

#[tokio::test]
async fn files_and_bundle_have_their_sizes() {
    let world = world();
    let long: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    for node in [CONTROL_PLANE, WORKER] {
        for command in ["journalctl --no-pager", "journalctl --no-pager -u kubelet", "journalctl --no-pager -u containerd"] {
            world.nodes.answer(node, command, 0, &long, "");
        }
    }
    let bounds = Bounds { file: 50_000, files: 160_000, index: 1 << 20 };
    let (bundle, files) = collected(&world, bounds).await;
    assert!(files.iter().all(|(name, text)| name == INDEX || text.len() <= 50_000));
    assert!(files.iter().filter(|(name, _)| *name != INDEX).map(|(_, text)| text.len()).sum::<usize>() <= 160_000);
    let kept: Vec<(&String, &String)> = files.iter().filter(|(n, _)| n.ends_with("kubelet.log")).collect();
    for (name, text) in &kept {
        assert!(text.ends_with("line 19999\n") && text.starts_with("line "), "{name}: the end is kept, and whole lines");
        assert!(left_out(&bundle, name).contains(&format!("first {} bytes were cut", long.len() - text.len())), "{:?}", bundle.left_out);
    }
    assert!(!kept.is_empty() && bundle.left_out.iter().any(|l| l.contains("the bundle has its")), "{:#?}", bundle.left_out);
    assert_indexed(&bundle, &files);
    // Of objects, whole ones: what is there is still JSON.
    for (_, text) in files.iter().filter(|(n, _)| n.starts_with("objects/")) {
        assert!(serde_json::from_str::<Value>(text).unwrap()["items"].is_array());
    }
}

#[tokio::test]
async fn a_node_that_hangs_costs_its_own_files_and_no_others() {
    let world = world();
    world.nodes.hang(WORKER, "journalctl --no-pager -u kubelet");
    let (bundle, files) = collected(&world, Bounds::USUAL).await;
    let took = world.clock.now();
    assert!(took <= Limit::NodeCommand.base(), "{took:?}");
    assert!(left_out(&bundle, &format!("nodes/{WORKER}/kubelet.log")).contains("not within 30 s"));
    assert!(left_out(&bundle, &format!("nodes/{WORKER}/journal.log")).contains("did not answer before"));
    assert!(files.contains_key(&format!("nodes/{WORKER}/kubernetes-version.txt")));
    assert!(files.contains_key(&format!("nodes/{CONTROL_PLANE}/journal.log")) && files.contains_key("objects/pods.json"));
    assert_indexed(&bundle, &files);
}

#[tokio::test]
async fn when_the_time_is_up_what_is_there_is_kept_and_the_rest_is_named() {
    let world = world();
    // More nodes than are asked at a time, all of which hang after the first answer.
    for n in 0..20 {
        let name = format!("more-{n:02}");
        world.nodes.machines_mut(|m| {
            m.push(crate::cluster::NodeMachine { name: name.clone(), role: "worker".into(), state: "running".into(), started: None });
        });
        world.nodes.file(&name, "/kind/version", "v1.33.4\n");
        world.nodes.hang(&name, "journalctl --no-pager -u kubelet");
    }
    let (bundle, files) = collected(&world, Bounds::USUAL).await;
    assert_eq!(world.clock.now(), Limit::Collect.base());
    assert!(left_out(&bundle, "nodes/more-19/kubelet.log").contains("the time for the bundle was up"));
    assert!(files.contains_key("objects/nodes.json") && files.contains_key("events.txt"));
    assert_indexed(&bundle, &files);
}

#[tokio::test]
async fn without_an_api_server_the_nodes_give_the_logs_of_pods() {
    let world = world();
    world.api.always("GET /version", Reply::Hang);
    let path = "/var/log/pods/kube-system_etcd_1/etcd/0.log";
    world.nodes.answer(CONTROL_PLANE, "find /var/log/pods -type f -name *.log", 0, &format!("{path}\n"), "");
    world.nodes.answer(CONTROL_PLANE, &format!("tail -c 2097152 {path}"), 0, "etcd says\n", "");
    world.nodes.take_down(WORKER);
    let (bundle, files) = collected(&world, Bounds::USUAL).await;
    assert_eq!(files[&format!("nodes/{CONTROL_PLANE}/pods/kube-system_etcd_1/etcd/0.log")], "etcd says\n");
    assert!(left_out(&bundle, "objects/pods.json").contains("the API server does not answer"));
    assert!(left_out(&bundle, &format!("nodes/{WORKER}/kubelet.log")).contains("its machine is exited"));
    assert_eq!(world.api.count("GET /api/v1/pods"), 0, "what does not answer is not asked again");
    assert_indexed(&bundle, &files);
}

#[tokio::test]
async fn a_kubelet_that_gives_no_log_does_not_hold_up_the_others() {
    let world = world();
    for namespace in ["kube-system", "istio-system", "kubernetes-dashboard"] {
        for pod in world.api.names(&format!("/api/v1/namespaces/{namespace}/pods")) {
            let mut on = String::new();
            world
                .api
                .edit(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"), |p| on = p["spec"]["nodeName"].as_str().unwrap().to_owned());
            if on == WORKER {
                world.api.always(&format!("GET /api/v1/namespaces/{namespace}/pods/{pod}/log"), Reply::Hang);
            }
        }
    }
    let (bundle, files) = collected(&world, Bounds::USUAL).await;
    assert_eq!(world.clock.now(), Limit::KubeletAnswer.base(), "it is asked for a few logs at once, and then for no more");
    let lost = |why: &str| bundle.left_out.iter().filter(|l| l.starts_with("pods/") && l.contains(why)).count();
    assert_eq!((lost("not within 10 s"), lost("did not answer before")), (3, 4), "{:#?}", bundle.left_out);
    assert!(files.contains_key(&format!("pods/kube-system/etcd-{CONTROL_PLANE}/main.log")));
}

#[tokio::test]
async fn names_that_want_out_stay_in() {
    let world = world();
    let mut evil = pod("kube-system", "../../../x", WORKER, json!({}), "i");
    evil["spec"]["containers"][0]["name"] = "../../../../y<script>".into();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [evil]});
    world.api.always("GET /api/v1/pods", Reply::Json(200, list));
    world.nodes.answer(WORKER, "ls -1 /etc/containerd/certs.d", 0, "..\n", "");
    world.nodes.answer(WORKER, "ls -1 /etc/containerd/certs.d/..", 0, "../../../../z\n", "");
    world.nodes.file(WORKER, "/etc/containerd/certs.d/../../../../../z", "zzz");
    world.nodes.machines_mut(|m| m[0].name = "../../n".into());
    drop(world.open().await);
    let before: Vec<_> = std::fs::read_dir(world.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let (bundle, files) = collected(&world, Bounds::USUAL).await;
    let after: Vec<_> = std::fs::read_dir(world.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(after.len(), before.len() + 1, "only the bundle is new: {after:?}");
    assert!(!files[INDEX].contains("<script>"));
    assert!(files.iter().any(|(name, text)| name.contains("certs.d") && text == "zzz"), "{:?}", files.keys());
    assert_indexed(&bundle, &files);
}

#[tokio::test]
async fn without_a_cluster_the_local_files_are_there() {
    let (dir, clock) = (TempDir::new().unwrap(), ManualClock::default());
    let context = context(spec(), &dir, &clock, FakeProvider::default(), &[]);
    let to = dir.path().join("deep/er/bundle");
    let bundle = drive(&clock, collect_session(&context, &to)).await.unwrap();
    let files = files(&to);
    assert!(files.contains_key("applied/spec.json") && files.contains_key("applied/state.json"), "{:?}", files.keys());
    assert!(left_out(&bundle, "nodes").contains("there is no cluster"));
    assert!(left_out(&bundle, "objects, events and logs").contains("there is no cluster"));
    assert_indexed(&bundle, &files);
}

#[tokio::test]
async fn istioctl_is_asked_where_it_can_reach_the_pods() {
    let mut world = world();
    world.capabilities.give(Capability::PORT_FORWARD);
    world.tool(
        "istioctl",
        &[("--remote=false", "client version: 1.27.1"), ("proxy-status", "NAME CLUSTER\n"), ("ztunnel-config all -o json", "{\"a\": 1}\n")],
    );
    let environment = world.open().await;
    let to = world.dir.path().join("bundle");
    // Nothing here waits for the clock, and istioctl is a process, which the driven clock would not wait for.
    let bundle = promptly(collect(&environment, &to)).await.unwrap();
    let files = files(&to);
    assert_eq!((files["istio/proxy-status.txt"].as_str(), files["istio/ztunnel-config.json"].as_str()), ("NAME CLUSTER\n", "{\"a\": 1}\n"));
    assert!(left_out(&bundle, "istio/syncz.json").contains("the test has no answer"), "{:?}", bundle.left_out);
}
