//! From a check to a verdict: what is missing, what is blocked, what hangs, and what explains it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::cases::{judge_world, outcome, outcomes};
use crate::cluster::{Capabilities, Capability};
use crate::journal::{Event, Verdict};
use crate::outcomes::{Checked, Environment, Look, Outcome, Stop, block_all, judge, judge_all};
use crate::stages::{Done, StageOutcome};
use crate::testing::api::Reply;
use crate::testing::drive;
use crate::testing::environment::{World, healthz};
use crate::testing::guide::{CONTROL_PLANE, WORKER};
use crate::wait::{Clock, Limit};

fn reason(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Failed { reason } => reason,
        other => panic!("it should have failed: {other:?}"),
    }
}

fn documented(id: &'static str, check: impl crate::outcomes::Check + 'static) -> Outcome {
    Outcome::documented(id, "1", "it works", check)
}

#[tokio::test]
async fn a_missing_capability_is_unsupported_and_never_a_pass() {
    let mut world = World::healthy();
    world.capabilities = Capabilities::default();
    world.capabilities.give(Capability::NODE_EXEC);
    world.capabilities.give(Capability::TYPED_REQUESTS);
    world.capabilities.give(Capability::PORT_FORWARD);
    world.capabilities.lack(Capability::IMAGE_PULL, "the nodes are simulated");
    world.spec.proxy.enabled = false;
    world.spec.tools.kubectl.path = Some("/nowhere/kubectl".to_owned());
    world.transcripts.clear();
    let judged = judge_world(&world).await;
    let mut lacking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, judged) in &judged {
        match &judged.verdict {
            Verdict::Passed => {}
            Verdict::Unsupported { capability, reason } => {
                assert!(!reason.is_empty() && judged.evidence.is_empty(), "{id}");
                lacking.entry(capability).or_default().push(id);
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    let expected = BTreeMap::from([
        (
            "image-pull",
            vec![
                "cluster.images.ctr-asks-elsewhere",
                "cluster.images.ctr-says-otherwise",
                "cluster.images.pulled",
                "cluster.mirror.every-image",
                "cluster.mirror.hosts-read",
                "cluster.proxy.connects",
                "cluster.proxy.hosts-toml-ignored",
            ],
        ),
        (
            "kind-cluster",
            vec!["cluster.kind.named", "cluster.kind.nodes", "cluster.kind.second-create-fails", "cluster.proxy.worker-left-out"],
        ),
        // A session needs a token, but not one that kubectl made.
        ("kubectl", vec!["dashboard.pods.listed", "dashboard.token.valid"]),
        ("node-proxy", vec!["cluster.proxy.every-node"]),
        (
            "transcript",
            vec![
                "istio.install.lines",
                "istio.install.order-varies",
                "istioctl.version.always-succeeds",
                "istioctl.version.before-install",
            ],
        ),
    ]);
    assert_eq!(lacking, expected);
    let Verdict::Unsupported { reason, .. } = &judged["cluster.images.pulled"].verdict else { panic!() };
    assert_eq!(reason, "the nodes are simulated");
}

#[tokio::test]
async fn one_transcript_is_no_replacement_for_another() {
    let mut world = World::healthy();
    world.transcripts.remove(crate::outcomes::ISTIO_VERSION_BEFORE);
    let environment = world.open().await;
    let judged = drive(&world.clock, judge(&outcome("istioctl.version.before-install"), &environment)).await;
    assert!(matches!(&judged.verdict, Verdict::Unsupported { capability, .. } if capability == "transcript"), "{:?}", judged.verdict);
    let judged = drive(&world.clock, judge(&outcome("istio.install.lines"), &environment)).await;
    assert_eq!(judged.verdict, Verdict::Passed);
}

fn unsupported_late<'a>(_: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        look.see("half", 1);
        Err(Stop::Unsupported { capability: Capability::IMAGE_PULL, reason: "as it turned out".to_owned() })
    })
}

fn problem_then_unsupported<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    look.problem("already wrong");
    unsupported_late(env, look)
}

#[tokio::test]
async fn a_problem_outweighs_a_capability_that_turns_out_to_be_missing() {
    let world = World::healthy();
    let environment = world.open().await;
    let late = drive(&world.clock, judge(&documented("a.b.late", unsupported_late), &environment)).await;
    assert!(matches!(late.verdict, Verdict::Unsupported { .. }), "{late:?}");
    assert_eq!(late.evidence["half"], 1);
    let both = drive(&world.clock, judge(&documented("a.b.both", problem_then_unsupported), &environment)).await;
    assert_eq!(reason(&both.verdict), "already wrong; image-pull is missing: as it turned out");
}

fn hangs<'a>(_: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    look.see("before", "something");
    look.problem("a first problem");
    Box::pin(std::future::pending())
}

#[tokio::test]
async fn a_check_that_hangs_ends_at_the_limit_with_what_it_had_found() {
    let world = World::healthy();
    let environment = world.open().await;
    let judged = drive(&world.clock, judge(&documented("a.b.hangs", hangs), &environment)).await;
    assert_eq!(world.clock.now(), Limit::Outcome.base());
    assert_eq!(reason(&judged.verdict), "a first problem; a.b.hangs: not within 120 s; last seen: no answer");
    assert_eq!(judged.evidence["before"], "something");
}

#[tokio::test]
async fn an_api_server_that_falls_silent_hangs_no_verdict() {
    let world = World::healthy();
    let environment = world.open().await;
    world.api.always("GET /api/v1/nodes", Reply::Hang);
    let judged = drive(&world.clock, judge(&outcome("cluster.nodes.ready"), &environment)).await;
    assert!(reason(&judged.verdict).contains("cluster.nodes.ready: not within 120 s"), "{judged:?}");
    let most = Limit::Outcome.base() + Limit::KubeletAnswer.base();
    assert!(world.clock.now() <= most, "it took {:?}", world.clock.now());
}

#[tokio::test]
async fn a_failed_question_for_the_nodes_is_asked_again() {
    let world = World::healthy();
    let environment = world.open().await;
    world.api.always(&format!("GET {}", healthz(WORKER)), Reply::Refused);
    world.api.next("GET /api/v1/nodes", [Reply::status(503, "etcdserver: leader changed")]);
    assert!(drive(&world.clock, environment.node_silent(WORKER)).await.is_none(), "nothing is known yet");
    let seen = drive(&world.clock, environment.node_silent(WORKER)).await;
    assert!(seen.is_some_and(|s| s.contains(WORKER)), "one failed list must not make every kubelet answer for the rest of the run");
}

#[tokio::test]
async fn a_node_that_is_down_is_one_problem_however_many_pods_it_has() {
    let world = World::healthy();
    for node in [CONTROL_PLANE, WORKER] {
        world.api.always(&format!("GET {}", healthz(node)), Reply::Text(500, "down".to_owned()));
    }
    let environment = world.open().await;
    let judged = drive(&world.clock, judge(&outcome("cluster.system.healthy"), &environment)).await;
    let said = |node| reason(&judged.verdict).matches(&format!("kubelet of node {node} does not answer: HTTP 500 down")).count();
    assert_eq!((said(CONTROL_PLANE), said(WORKER)), (1, 1));
}

#[tokio::test]
async fn kubelets_are_asked_once_for_all_outcomes() {
    let world = World::healthy();
    judge_world(&world).await;
    for node in [CONTROL_PLANE, WORKER] {
        assert_eq!(world.api.count(&format!("GET {}", healthz(node))), 1);
    }
}

#[tokio::test]
async fn a_silent_kubelet_is_named_whatever_the_symptom_was() {
    let world = World::healthy();
    world.api.always(&format!("GET {}", healthz(WORKER)), Reply::Refused);
    // This symptom does not speak of any node.
    world.api.remove("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io");
    let judged = judge_world(&world).await;
    let found = &judged["gateway-api.crds.established"].diagnoses;
    let silent: Vec<_> = found.iter().filter(|d| d.rule == "node-silent").collect();
    assert_eq!(silent.len(), 1, "{found:?}");
    assert!(silent[0].cause.contains(WORKER) && !silent[0].cause.contains(CONTROL_PLANE), "{}", silent[0].cause);
}

#[tokio::test]
async fn a_stopped_machine_explains_more_than_its_silence() {
    let world = World::healthy();
    world.nodes.take_down(WORKER);
    world.api.always(&format!("GET {}", healthz(WORKER)), Reply::Refused);
    let environment = world.open().await;
    let troubles = drive(&world.clock, environment.node_troubles()).await;
    assert_eq!(troubles, [format!("node {WORKER}: its container is exited")], "said once");
    assert_eq!(world.api.count(&format!("GET {}", healthz(WORKER))), 0, "nobody asks a machine that is stopped");

    let world = World::healthy();
    world.nodes.machines_mut(|m| m.retain(|m| m.name != WORKER));
    let environment = world.open().await;
    assert_eq!(drive(&world.clock, environment.node_troubles()).await, [format!("node {WORKER} has no container")]);
    let judged = drive(&world.clock, judge(&outcome("dashboard.pods.running"), &environment)).await;
    let rules: Vec<&str> = judged.diagnoses.iter().map(|d| d.rule.as_str()).collect();
    assert_eq!(rules, ["node-missing", "node-silent"], "the cause comes before the symptom");
}

#[tokio::test]
async fn machines_that_cannot_be_listed_hang_no_verdict() {
    let world = World::healthy();
    let environment = world.open().await;
    world.nodes.hang_machines();
    let judged = drive(&world.clock, judge(&outcome("cluster.nodes.ready"), &environment)).await;
    assert_eq!(judged.verdict, Verdict::Passed, "the kubelets answer");
    assert_eq!(world.clock.now(), Limit::EngineAnswer.base());
}

#[tokio::test]
async fn one_node_is_not_taken_for_another_whose_name_it_begins() {
    let mut world = World::healthy();
    world.spec.cluster.workers = 2;
    let second = format!("{WORKER}2");
    world.api.put(crate::testing::guide::node(&second));
    world.api.always(&format!("GET {}", healthz(&second)), Reply::Refused);
    world.api.always(&format!("GET {}", healthz(WORKER)), Reply::Refused);
    // The second worker has no machine at all; the first has one that runs, and a kubelet that does not answer.
    let environment = world.open().await;
    let troubles = drive(&world.clock, environment.node_troubles()).await;
    assert!(troubles[0].starts_with(&format!("the kubelet of node {WORKER} does not answer")), "{troubles:?}");
    assert_eq!(troubles[1..], [format!("node {second} has no container")]);
}

#[tokio::test]
async fn states_on_the_way_of_a_wait_are_clues() {
    let world = World::healthy();
    let environment = world.open().await;
    let list = "GET /apis/gateway.networking.k8s.io/v1/gatewayclasses";
    let lookup = "Get \"https://x\": dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host";
    world.api.remove("/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio");
    world.api.next(list, [Reply::status(500, lookup)]);
    let judged = drive(&world.clock, judge(&outcome("gateway-api.classes.accepted"), &environment)).await;
    assert!(reason(&judged.verdict).ends_with("last seen: GatewayClass istio does not exist"), "{judged:?}");
    assert_eq!(judged.diagnoses.iter().map(|d| d.rule.as_str()).collect::<Vec<_>>(), ["P5"]);
}

#[tokio::test]
async fn events_and_logs_of_a_pod_that_is_not_ready_are_clues() {
    const ZTUNNEL: &str = "/api/v1/namespaces/istio-system/pods/ztunnel-hp4wd";
    let world = World::healthy();
    let sandbox =
        "istio-cni cmdAdd failed to contact node Istio CNI agent: unable to push CNI event (status code 500): no ztunnel connection";
    let event = |name: &str, uid: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "istio-system"},
            "type": "Warning", "reason": "FailedCreatePodSandBox", "message": sandbox,
            "involvedObject": {"kind": "Pod", "namespace": "istio-system", "name": "ztunnel-hp4wd", "uid": uid},
        })
    };
    let xds = "XDS client connection error: gRPC connection error connecting to https://istiod.istio-system.svc:15012: source: dns error: \
               failed to lookup address information: Name or service not known, retrying in 15s";
    world.api.put(event("now", "u1"));
    world.api.always(&format!("GET {ZTUNNEL}/log"), Reply::Text(200, format!("starting\n{xds}\n")));
    world.api.edit(ZTUNNEL, |pod| {
        pod["metadata"]["uid"] = json!("u1");
        pod["status"]["conditions"][1]["status"] = json!("False");
        pod["status"]["containerStatuses"] = json!([
            {"name": "istio-proxy", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"running": {}}}
        ]);
    });
    let judged = async |world: &World| {
        let environment = world.open().await;
        let judged = drive(&world.clock, judge(&outcome("istio.ztunnel.every-node"), &environment)).await;
        judged.diagnoses.into_iter().map(|d| d.rule).collect::<Vec<_>>()
    };
    assert_eq!(judged(&world).await, ["P15", "P18"]);
    // Of a pod that had the name before, and of one that is well, nobody wants to hear.
    world.api.edit(ZTUNNEL, |pod| pod["metadata"]["uid"] = json!("u2"));
    assert_eq!(judged(&world).await, ["P18"]);
    world.api.always(&format!("GET {ZTUNNEL}/log"), Reply::Text(200, "starting\n".to_owned()));
    assert_eq!(judged(&world).await, [crate::diagnose::UNKNOWN]);
}

#[tokio::test]
async fn what_a_failed_stage_makes_impossible_is_blocked_by_its_root() {
    let world = World::healthy();
    let environment = world.open().await;
    let stages = BTreeMap::from([
        ("cluster", StageOutcome::Done(Done::Already)),
        ("nodes", StageOutcome::Done(Done::Provisioned)),
        ("proxy", StageOutcome::Failed),
        ("dashboard", StageOutcome::Blocked("proxy".to_owned())),
        ("admin-user", StageOutcome::Blocked("proxy".to_owned())),
        ("istio", StageOutcome::Blocked("proxy".to_owned())),
        ("gateway-api", StageOutcome::Done(Done::Already)),
    ]);
    let outcomes: Vec<Outcome> = outcomes().into_iter().filter(|o| !o.id.starts_with("istioctl.")).collect();
    let journal = &environment.context.journal;
    let before = journal.records().len();
    let judged = drive(&world.clock, judge_all(&outcomes, &environment, &stages, journal)).await;
    for (outcome, judged) in outcomes.iter().zip(&judged) {
        let lost = ["proxy", "dashboard", "admin-user", "istio"];
        if outcome.needs.iter().any(|n| lost.contains(n)) {
            assert_eq!(judged.verdict, Verdict::Blocked { by: "proxy".to_owned() }, "{}", outcome.id);
        } else {
            assert_eq!(judged.verdict, Verdict::Passed, "{}", outcome.id);
        }
    }
    assert_eq!(judged.iter().filter(|j| j.verdict == Verdict::Passed).count(), 19);
    let mut events: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for record in journal.records().into_iter().skip(before) {
        match record.event {
            Event::OutcomeStarted { outcome, .. } => events.entry(outcome).or_default().push("started"),
            Event::OutcomeFinished { outcome, .. } => events.entry(outcome).or_default().push("finished"),
            _ => {}
        }
    }
    assert_eq!(events.len(), outcomes.len());
    assert!(events.values().all(|e| *e == ["started", "finished"]), "{events:?}");
}

#[tokio::test]
async fn without_an_environment_everything_is_blocked_by_the_root() {
    let world = World::healthy();
    let environment = world.open().await;
    let stages = BTreeMap::from([("cluster", StageOutcome::Failed), ("nodes", StageOutcome::Blocked("cluster".to_owned()))]);
    let journal = crate::journal::Journal::in_memory();
    let free = documented("a.b.free", hangs);
    block_all(&[outcome("cluster.kind.named"), outcome("cluster.nodes.ready"), free], &stages, "preflight", &journal);
    let by: Vec<String> = journal
        .records()
        .into_iter()
        .map(|r| match r.event {
            Event::OutcomeFinished { verdict: Verdict::Blocked { by }, .. } => by,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(by, ["cluster", "cluster", "preflight"]);
    drop(environment);
}

/// Counts how many of its kind run at once.
struct Counts {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl crate::outcomes::Check for Counts {
    fn check<'a>(&'a self, environment: &'a Environment, _: &'a mut Look) -> Checked<'a> {
        Box::pin(async move {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            // Long enough for every other one to begin.
            environment.node_names().await?;
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_group_is_judged_one_by_one_and_everything_else_together() {
    let world = World::healthy();
    let environment = world.open().await;
    world.api.always("GET /api/v1/nodes", Reply::Late(Limit::Controller.base() / 60, Box::new(Reply::Objects)));
    let [grouped, free] = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let make =
        |id, most: &Arc<AtomicUsize>, now: &Arc<AtomicUsize>| documented(id, Counts { now: Arc::clone(now), most: Arc::clone(most) });
    let nows = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let all = [
        make("a.b.1", &grouped, &nows[0]).group("g"),
        make("a.b.2", &grouped, &nows[0]).group("g"),
        make("a.b.3", &grouped, &nows[0]).group("g"),
        make("a.c.1", &free, &nows[1]),
        make("a.c.2", &free, &nows[1]),
        make("a.c.3", &free, &nows[1]),
    ];
    let judged = drive(&world.clock, judge_all(&all, &environment, &BTreeMap::new(), &environment.context.journal)).await;
    assert!(judged.iter().all(|j| j.verdict == Verdict::Passed), "{judged:?}");
    assert_eq!((grouped.load(Ordering::SeqCst), free.load(Ordering::SeqCst)), (1, 3));
}

#[tokio::test]
async fn no_secret_reaches_evidence_or_journal() {
    let world = World::healthy();
    let environment = world.open().await;
    let token = environment.admin_token().await.unwrap().raw.expose().to_owned();
    let outcomes: Vec<Outcome> = outcomes().into_iter().filter(|o| !o.id.starts_with("istioctl.")).collect();
    let journal = &environment.context.journal;
    let judged = drive(&world.clock, judge_all(&outcomes, &environment, &BTreeMap::new(), journal)).await;
    let evidence: Vec<&Value> = judged.iter().flat_map(|j| j.evidence.values()).collect();
    let all = format!("{} {}", serde_json::to_string(&evidence).unwrap(), serde_json::to_string(&journal.records()).unwrap());
    let key = crate::testing::tokens::signing_key();
    let secrets = [token.as_str(), token.rsplit('.').next().unwrap(), "a-session-of-the-dashboard", key.lines().nth(1).unwrap()];
    for secret in secrets {
        assert!(!all.contains(secret), "{secret} is in there");
    }
}
