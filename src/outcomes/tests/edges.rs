//! Where a judgement turns: the last thing that passes beside the first that does not, and what is left out of sight.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::cases::outcome;
use crate::cluster::Capability;
use crate::diagnose::Kind;
use crate::journal::{Confidence, Diagnosis, OutcomeKind, Verdict};
use crate::outcomes::{Judged, builtin, clues, failure, judge, stand_ins};
use crate::spec::{ProxyRecording, Spec};
use crate::stages::{GATEWAY_API_MANIFEST, ISTIO_INSTALL, ISTIO_VERSION_BEFORE};
use crate::testing::api::Reply;
use crate::testing::drive;
use crate::testing::environment::World;
use crate::testing::tokens::{DASHBOARD, token, token_for_ever};

async fn judged(world: &World, id: &str) -> Judged {
    drive(&world.clock, judge(&outcome(id), &world.open().await)).await
}

/// Why an outcome fails; nothing if it passes.
pub(super) async fn reason(world: &World, id: &str) -> Option<String> {
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
    let there = world.api.names("/api/v1/namespaces");
    let list = |extra: &[&str]| {
        let names = there.iter().map(String::as_str).chain(extra.iter().copied());
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
    for replies in [[list(&[]), list(&["passing"])], [list(&["passing"]), list(&[])]] {
        world.api.next("GET /api/v1/namespaces", replies);
        assert_eq!(reason(&world, OUTCOME).await, None);
    }
    world.api.next("GET /api/v1/namespaces", [list(&[]), list(&[])]);
    assert!(reason(&world, OUTCOME).await.is_some_and(|r| r.contains("the Dashboard lists the namespaces")));
}

#[tokio::test]
async fn the_api_server_is_asked_for_the_whole_of_the_admin_users_rights() {
    let world = World::healthy();
    assert_eq!(reason(&world, "dashboard.admin-user.bound").await, None);
    let asked = world.api.asked("POST /apis/authorization.k8s.io/v1/subjectaccessreviews");
    let wanted = json!({
        "user": "system:serviceaccount:kubernetes-dashboard:admin-user",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:kubernetes-dashboard", "system:authenticated"],
        "resourceAttributes": {"verb": "*", "group": "*", "resource": "*"},
    });
    assert_eq!(asked[0].body["spec"], wanted);
    // The binding of the guide once more, in no namespace, and without making it.
    assert_eq!(reason(&world, "dashboard.admin-user.no-namespace").await, None);
    let asked = world.api.asked("POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings");
    assert_eq!(asked[0].body["metadata"], json!({"name": "admin-user"}));
    assert_eq!(asked[0].query.get("dryRun").map(String::as_str), Some("All"));
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
    // Of a version that nobody knows, the manifest that was applied tells which CRDs there are.
    let mut world = World::healthy();
    world.spec.gateway_api.version = "v9.9.9".to_owned();
    let environment = world.open().await;
    let manifest = environment.context.session.manifest(GATEWAY_API_MANIFEST);
    std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    let crd = |name: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {name}.gateway.networking.k8s.io}}\n---\n"
        )
    };
    for (crds, alone) in [(crd("gateways"), true), (crd("gateways") + &crd("httproutes"), false)] {
        std::fs::write(&manifest, crds).unwrap();
        let verdict = drive(&world.clock, judge(&outcome(OUTCOME), &environment)).await.verdict;
        assert_eq!(verdict != Verdict::Passed, alone, "{verdict:?}");
    }
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
    assert!((390_000..500_000).contains(&bytes), "{bytes}");
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

#[tokio::test]
async fn half_an_istio_was_there_before_as_well() {
    for more in ["control plane version: 1.27.1", "data plane version: 1.27.1 (2 proxies)"] {
        let mut world = World::healthy();
        world.transcript(ISTIO_VERSION_BEFORE).stdout.push_str(&format!("{more}\n"));
        let reason = reason(&world, "istioctl.version.before-install").await;
        assert!(reason.as_ref().is_some_and(|r| r.starts_with("`istioctl version` already found Istio:")), "{more}: {reason:?}");
    }
}

#[tokio::test]
async fn a_session_with_nothing_in_it_is_none() {
    for (session, accepted) in [(json!({}), false), (json!(""), false), (json!(7), false), (json!({"iv": "x"}), true)] {
        let world = World::healthy();
        let answer = json!({"name": "admin-user", "jweToken": session, "errors": []});
        world.api.always(&format!("POST {DASHBOARD}/api/v1/login"), Reply::Json(200, answer));
        let reason = reason(&world, "dashboard.login.accepted").await.unwrap_or_default();
        assert_eq!(!reason.contains("the Dashboard gives no session"), accepted, "{session}: {reason}");
    }
}

#[tokio::test]
async fn a_pod_that_began_anew_did_not_stay() {
    const PODS: &str = "/api/v1/namespaces/istio-system/pods";
    for (change, part) in [
        ((|pod| pod["status"]["containerStatuses"][0]["restartCount"] = json!(1)) as fn(&mut Value), "began anew"),
        (|pod| pod["metadata"]["uid"] = json!("another"), "began anew"),
        (|pod| pod["metadata"]["labels"]["seen"] = json!("again"), ""),
    ] {
        let world = World::healthy();
        let mut before = Vec::new();
        for name in world.api.names(PODS) {
            let path = format!("{PODS}/{name}");
            world.api.edit(&path, |pod| {
                pod["metadata"]["uid"] = json!(name);
                before.push(pod.clone());
            });
        }
        let first = world.api.names(PODS)[0].clone();
        // It is so when it is looked at first, and another when it is watched.
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": before});
        world.api.next(&format!("GET {PODS}"), [Reply::Json(200, list)]);
        world.api.edit(&format!("{PODS}/{first}"), change);
        let reason = reason(&world, "istio.pods.stable").await.unwrap_or_default();
        assert!(reason.contains(part) && reason.is_empty() == part.is_empty(), "{part}: {reason}");
    }
}

#[tokio::test]
async fn stand_ins_are_named_by_what_they_stand_for() {
    let world = World::healthy();
    let environment = world.open().await;
    let images: Vec<(String, String)> = {
        let api: Api<Pod> = Api::all(environment.cluster.client.clone());
        let pods = api.list(&ListParams::default()).await.unwrap().items;
        let ours = pods.into_iter().filter(|p| ["istio-system", "kubernetes-dashboard"].contains(&p.namespace().unwrap().as_str()));
        let specs = ours.filter_map(|p| p.spec).map(|s| (s.node_name.unwrap(), s.containers[0].image.clone().unwrap()));
        specs.collect()
    };
    let says = |image: &str, label: &str| {
        let inspected = json!({"info": {"imageSpec": {"config": {"Labels": {"org.meshproof.standin": label}}}}}).to_string();
        for (node, _) in images.iter().filter(|(_, i)| i == image) {
            world.nodes.answer(node, &format!("crictl inspecti -o json {image}"), 0, &inspected, "");
        }
    };
    let [ztunnel, pilot] = ["ztunnel", "pilot"].map(|name| images.iter().find(|(_, i)| i.contains(name)).unwrap().1.clone());
    let (found, unknown) = stand_ins(&environment).await;
    assert!(found.is_empty() && unknown.contains(&ztunnel) && unknown.contains(&pilot), "{unknown:?}");
    says(&ztunnel, "true");
    says(&pilot, "false");
    let (found, unknown) = stand_ins(&environment).await;
    assert_eq!(found, [("ztunnel".to_owned(), ztunnel.clone())].into());
    assert!(!unknown.is_empty() && !unknown.contains(&ztunnel) && !unknown.contains(&pilot), "{unknown:?}");
}

#[test]
fn a_failed_outcome_is_told_with_its_sentence_cause_and_evidence() {
    let outcome = outcome("istio.ztunnel.every-node");
    let info = outcome.info();
    let told = |lines: usize| {
        // One value a line, between two braces.
        let evidence = (2..lines).map(|n| (format!("{n:03}"), json!(n))).collect();
        let diagnosis = Diagnosis {
            rule: "P18".into(),
            cause: "It is so.".into(),
            remedy: "Change it.".into(),
            confidence: Confidence::Certain,
            seen: "a line".into(),
        };
        failure(&outcome, &Judged { verdict: Verdict::Failed { reason: "no".into() }, evidence, diagnoses: vec![diagnosis] })
    };
    let text = told(60);
    let wanted = format!(
        "FAILED {}: {}\n  reason: no\n  guide {}: «{}»\n  diagnosis {}: It is so. Change it.\n    seen: a line\n  hint: {}\n  evidence:\n    {{\n",
        info.id,
        info.title,
        info.section.unwrap(),
        info.sentence.unwrap(),
        Confidence::Certain.word().map_or_else(|| "P18".to_owned(), |word| format!("P18 ({word})")),
        info.hint
    );
    assert!(text.starts_with(&wanted), "{text}\n{wanted}");
    assert!(text.ends_with("      \"059\": 59\n    }\n"), "{text}");
    assert!(told(61).ends_with("      \"060\": 60\n    … 1 more lines\n"), "{}", told(61));
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
            let query = |key: &str| asked.query.get(key).map(String::as_str);
            assert_eq!(query("previous") == Some("true"), state == "waiting");
            assert_eq!((query("container"), query("tailLines")), (Some("c"), Some("40")));
        }
    }
}
