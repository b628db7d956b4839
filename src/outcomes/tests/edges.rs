//! Where a judgement turns: the last thing that passes beside the first that does not, and what is left out of sight.

use serde_json::{Value, json};

use super::cases::outcome;
use crate::cluster::Capability;
use crate::diagnose::Kind;
use crate::journal::{OutcomeKind, Verdict};
use crate::outcomes::{Judged, builtin, clues, judge};
use crate::spec::{ProxyRecording, Spec};
use crate::stages::ISTIO_INSTALL;
use crate::testing::api::Reply;
use crate::testing::drive;
use crate::testing::environment::World;
use crate::testing::tokens::{token, token_for_ever};

async fn judged(world: &World, id: &str) -> Judged {
    drive(&world.clock, judge(&outcome(id), &world.open().await)).await
}

/// Why an outcome fails; nothing if it passes.
async fn reason(world: &World, id: &str) -> Option<String> {
    match judged(world, id).await.verdict {
        Verdict::Passed => None,
        Verdict::Failed { reason } => Some(reason),
        other => panic!("{id}: {other:?}"),
    }
}

#[test]
fn outcomes_are_in_the_order_of_the_guide_and_defects_come_last_in_their_chapter() {
    let mut chapters: Vec<(&str, bool)> = builtin().iter().map(|o| (o.chapter(), o.kind == OutcomeKind::Defect)).collect();
    chapters.dedup();
    let wanted = ["cluster", "dashboard", "istioctl", "istio", "gateway-api"].map(|chapter| [(chapter, false), (chapter, true)]);
    assert_eq!(chapters, wanted.concat());
}

#[tokio::test]
async fn a_token_lives_for_an_hour_at_most() {
    for (made, fails) in [
        (token("admin-user", 1), None),
        (token("admin-user", 3600), None),
        (token("admin-user", 3601), Some("the token lives for 3601 s, not for an hour at most")),
        (token("admin-user", 0), Some("the token lives for 0 s, not for an hour at most")),
        (token_for_ever("admin-user"), Some("the token lives for ever, not for an hour at most")),
    ] {
        let mut world = World::healthy();
        world.tool("kubectl", &[("version --client", "{\"clientVersion\":{\"gitVersion\":\"v1.33.4\"}}"), ("create token", &made)]);
        assert_eq!(reason(&world, "dashboard.token.short-lived").await.as_deref(), fails);
    }
}

#[tokio::test]
async fn namespaces_may_come_and_go_while_the_dashboard_lists_them() {
    const OUTCOME: &str = "dashboard.login.cluster-admin";
    let world = World::healthy();
    let list = |extra: &[&str]| {
        let names = world.api.names("/api/v1/namespaces");
        let names = names.iter().map(String::as_str).chain(extra.iter().copied());
        let items: Vec<Value> = names.map(|n| json!({"metadata": {"name": n}})).collect();
        Reply::Json(200, json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": items}))
    };
    // What the Dashboard does not list came after it was asked, or went before.
    for (before, after) in [(&["other"][..], &[][..]), (&[], &["other"])] {
        world.api.next("GET /api/v1/namespaces", [list(before), list(after)]);
        assert_eq!(reason(&world, OUTCOME).await, None);
    }
    world.api.next("GET /api/v1/namespaces", [list(&["other"]), list(&["other"])]);
    assert!(reason(&world, OUTCOME).await.is_some_and(|r| r.contains("the Dashboard lists the namespaces")));
    // What it does list came before it was asked, or went after.
    world.api.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "passing"}}));
    let without = || {
        let names = world.api.names("/api/v1/namespaces");
        let items: Vec<Value> = names.iter().filter(|n| *n != "passing").map(|n| json!({"metadata": {"name": n}})).collect();
        Reply::Json(200, json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": items}))
    };
    for replies in [[without(), list(&[])], [list(&[]), without()]] {
        world.api.next("GET /api/v1/namespaces", replies);
        assert_eq!(reason(&world, OUTCOME).await, None);
    }
    world.api.next("GET /api/v1/namespaces", [without(), without()]);
    assert!(reason(&world, OUTCOME).await.is_some_and(|r| r.contains("the Dashboard lists the namespaces")));
}

#[tokio::test]
async fn with_one_node_no_worker_is_left_out() {
    let mut world = World::healthy();
    world.spec.cluster.workers = 0;
    let verdict = judged(&world, "cluster.proxy.worker-left-out").await.verdict;
    assert!(matches!(verdict, Verdict::Unsupported { .. }), "{verdict:?}");
}

#[tokio::test]
async fn without_either_line_nothing_is_said_of_their_order() {
    const MISSING: &str = "the line `Istiod installed` or `CNI installed` is missing";
    for lines in [&["✔ Istiod installed"][..], &["✔ CNI installed"], &["✔ Istiod installed", "✔ CNI installed"]] {
        let mut world = World::healthy();
        let out = &mut world.transcript(ISTIO_INSTALL).stderr;
        *out = lines.iter().fold(out.clone(), |out, line| out.replace(line, "✔ Something"));
        assert_eq!(reason(&world, "istio.install.order-varies").await.as_deref(), Some(MISSING), "{lines:?}");
    }
}

#[tokio::test]
async fn the_guard_needs_its_one_name_and_others_that_it_does_not_look_at() {
    const OUTCOME: &str = "gateway-api.guard.one-name";
    const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let world = World::healthy();
    world.api.remove(&format!("{CRDS}/gateways.gateway.networking.k8s.io"));
    let wanted = "the guard would find no gateways.gateway.networking.k8s.io and install";
    assert_eq!(reason(&world, OUTCOME).await.as_deref(), Some(wanted));
}

#[tokio::test]
async fn every_file_counts_and_what_is_mounted_may_be_read_by_anybody() {
    let world = World::healthy();
    let count = async |id: &str, what: &str| judged(&world, id).await.evidence[what].as_i64().unwrap();
    let before = [
        count("cluster.files.private", "files").await,
        count("cluster.files.no-secret", "files").await,
        count("cluster.files.no-secret", "bytes").await,
    ];
    for name in ["certs.d/docker.io/hosts.toml", "recording/access.jsonl", "home/cache", "runs/x/journal.jsonl"] {
        let path = world.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        let mode = if name.starts_with("runs") { 0o644 } else { 0o666 };
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    assert_eq!(reason(&world, "cluster.files.private").await, None);
    assert_eq!(count("cluster.files.private", "files").await, before[0] + 1);
    assert_eq!(count("cluster.files.no-secret", "files").await, before[1] + 4);
    let bytes = count("cluster.files.no-secret", "bytes").await - before[2];
    assert!((400_000..500_000).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_recorder_is_there_when_it_was_asked_for_and_runs() {
    for (capability, turn_off) in [
        (Capability::RECORDING_MIRROR, (|spec| spec.recording.mirror = false) as fn(&mut Spec)),
        (Capability::RECORDING_PROXY, |spec| spec.recording.proxy = ProxyRecording::None),
    ] {
        let mut world = World::healthy();
        let environment = world.open().await;
        assert_eq!(environment.missing(&capability).await, None);
        environment.context.record(|state| state.recorders = None).unwrap();
        assert!(environment.missing(&capability).await.is_some(), "{capability:?}: it does not run");
        turn_off(&mut world.spec);
        assert!(world.open().await.missing(&capability).await.is_some(), "{capability:?}: nobody asked for it");
    }
}

/// What an ill pod and its container say.
fn said(clues: &[(Kind, String)]) -> Vec<&str> {
    clues.iter().map(|(_, text)| text.as_str()).collect()
}

#[tokio::test]
async fn only_what_is_ill_is_asked_what_it_says() {
    const PODS: &str = "/api/v1/namespaces/istio-system/pods";
    let world = World::healthy();
    let names = world.api.names(PODS);
    for (n, name) in names.iter().enumerate() {
        let path = format!("{PODS}/{name}");
        world.api.edit(&path, |pod| pod["metadata"]["uid"] = json!(format!("u{n}")));
        world.api.always(&format!("GET {path}/log"), Reply::Text(200, format!("log of {n}\n")));
        for kind in ["Warning", "Normal"] {
            world.api.put(json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{kind}-{n}"), "namespace": "istio-system"},
                "type": kind, "reason": kind, "message": n.to_string(),
                "involvedObject": {"kind": "Pod", "namespace": "istio-system", "name": name, "uid": format!("u{n}")},
            }));
        }
    }
    let asked = async || clues::of_pods(&world.open().await).await;
    assert_eq!(said(&asked().await), [""; 0], "all are well");
    let edit = |n: usize, change: &dyn Fn(&mut Value)| world.api.edit(&format!("{PODS}/{}", names[n]), |pod| change(pod));
    let unready = |pod: &mut Value| pod["status"]["conditions"][1]["status"] = json!("False");
    // One that is on its way out or has done its work is not ill.
    edit(0, &|pod| {
        unready(pod);
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    edit(1, &|pod| {
        unready(pod);
        pod["status"]["phase"] = json!("Succeeded");
    });
    assert_eq!(said(&asked().await), [""; 0]);
    let container = |restarts: u32, state: &str| json!([{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts, "state": {state: {}}}]);
    for (restarts, state, log) in [(0, "running", true), (2, "running", true), (0, "waiting", false), (2, "waiting", true)] {
        edit(2, &|pod| {
            unready(pod);
            pod["status"]["containerStatuses"] = container(restarts, state);
        });
        let name = &names[2];
        let mut wanted = vec![format!("pod istio-system/{name}: Warning: 2")];
        wanted.extend(log.then(|| format!("pod istio-system/{name}: log of 2")));
        assert_eq!(said(&asked().await), wanted, "{restarts} {state}");
        let path = format!("GET {PODS}/{name}/log");
        if let Some(asked) = world.api.asked(&path).last().filter(|_| log) {
            assert_eq!(asked.query.get("previous").is_some_and(|p| p == "true"), state == "waiting");
        }
    }
}
