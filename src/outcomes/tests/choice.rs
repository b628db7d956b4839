//! What a choice makes of the outcomes, and what an earlier run left to judge again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use crate::journal::{Event, Expected, FORMAT_VERSION, Fidelity, Journal, Record, Verdict, parse};
use crate::outcomes::{
    Checked, Choice, ChoiceError, Chosen, Environment, Look, Outcome, Rerun, Selection, Skip, block_all, builtin, judge_all,
};
use crate::session::Session;
use crate::testing::environment::World;

const READY: &str = "cluster.nodes.ready";
const NAMED: &str = "cluster.kind.named";
const CRDS: &str = "gateway-api.crds.established";

fn select(text: &str) -> Choice {
    Choice { select: Some(Selection::parse(text).unwrap()), ..Choice::default() }
}

fn skip(arguments: &[&str]) -> Choice {
    Choice { skip: arguments.iter().map(|a| Skip::parse(a).unwrap()).collect(), ..Choice::default() }
}

fn again() -> Choice {
    Choice { rerun_failed: true, ..Choice::default() }
}

fn ids(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(|o| o.id).collect()
}

fn started(run: &str, outcomes: &[&str]) -> Event {
    let infos = builtin().iter().map(Outcome::info).filter(|info| outcomes.contains(&info.id.as_str())).collect();
    Event::RunStarted {
        format: FORMAT_VERSION,
        run: run.into(),
        session: "s".into(),
        meshproof: "0".into(),
        command: "run".into(),
        backend: "embedded".into(),
        fidelity: Fidelity::Simulated,
        spec: json!({}),
        stages: vec![],
        outcomes: infos,
        not_selected: vec![],
        strict: false,
    }
}

fn finished(outcome: &str, verdict: Verdict) -> Event {
    Event::OutcomeFinished { outcome: outcome.into(), duration_ms: 1, verdict, evidence: BTreeMap::new(), diagnoses: vec![] }
}

fn failed() -> Verdict {
    Verdict::Failed { reason: "no".into() }
}

/// A session's directory with one journal after the other.
fn session(runs: &[(&str, Vec<Event>)]) -> (tempfile::TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::at(dir.path().join("state"));
    for (run, events) in runs {
        let journal = Journal::create(&session.journal(run)).unwrap();
        events.iter().for_each(|event| journal.write(event.clone()));
    }
    (dir, session)
}

fn chosen(choice: &Choice, session: &Session) -> Chosen {
    choice.of(&builtin(), session).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn by_default_everything_is_judged_as_it_is() {
    let (_dir, session) = session(&[]);
    let all = chosen(&Choice::default(), &session);
    assert_eq!(ids(&all.outcomes), ids(&builtin()));
    assert!(all.not_selected.is_empty() && all.nothing_failed.is_none() && all.outcomes.iter().all(|o| o.skip.is_none()));
    assert!(Choice::default().is_everything());
    let strict = Choice { strict: true, ..Choice::default() };
    for less in [again(), select("cluster"), skip(&["cluster.nodes.ready=slow"]), strict] {
        assert!(!less.is_everything(), "{less:?}");
    }
    assert!(!session.dir().exists(), "to ask makes nothing");
}

#[test]
fn a_journal_that_announced_nothing_tells_of_no_outcomes() {
    let records = |event| [Record { seq: 0, at: Timestamp::UNIX_EPOCH, event }];
    assert!(Rerun::of(&records(started("a", &[]))).is_none());
    assert!(Rerun::of(&records(started("a", &[READY]))).is_some());
}

#[test]
fn what_is_not_selected_is_named() {
    let (_dir, session) = session(&[]);
    let part = chosen(&select("gateway-api.crds"), &session);
    assert_eq!(ids(&part.outcomes), [CRDS, "gateway-api.crds.bundle"]);
    assert_eq!(part.not_selected.len() + 2, builtin().len());
    assert!(part.not_selected.contains(&READY.to_owned()));
    let error = select("cluster and istio").of(&builtin(), &session).unwrap_err();
    assert!(error.to_string().starts_with("--select `cluster and istio`, column 1: no outcome"), "{error}");
}

#[test]
fn what_is_skipped_stays_with_the_reason_of_the_last_who_gave_one() {
    let (_dir, session) = session(&[]);
    let mut choice = skip(&["cluster=slow = today", "*.ready= see #7 ", "dashboard.login.accepted=x"]);
    let reasons =
        |chosen: Chosen| -> BTreeMap<&str, String> { chosen.outcomes.into_iter().filter_map(|o| Some((o.id, o.skip?))).collect() };
    let all = chosen(&choice, &session);
    assert_eq!((all.outcomes.len(), all.not_selected.len()), (builtin().len(), 0));
    let all = reasons(all);
    assert_eq!((all[NAMED].as_str(), all[READY].as_str(), all["istio.istiod.ready"].as_str()), ("slow = today", "see #7", "see #7"));
    assert_eq!(all["dashboard.login.accepted"], "x");
    assert!(!all.contains_key("dashboard.login.cluster-admin"));
    // A list of what is known to be broken serves for every part.
    choice.select = Some(Selection::parse("cluster.nodes or gateway-api").unwrap());
    assert_eq!(reasons(chosen(&choice, &session)).into_keys().collect::<Vec<_>>(), [READY]);
}

#[test]
fn a_skip_needs_an_id_and_a_reason() {
    for (argument, problem) in [
        ("cluster", "expected ID=reason"),
        ("=reason", "expected an id before"),
        (" =reason", "expected an id before"),
        ("cluster=", "expected a reason after"),
        ("cluster= ", "expected a reason after"),
        ("", "expected ID=reason"),
    ] {
        let error = Skip::parse(argument).expect_err(argument).to_string();
        assert!(error.starts_with(&format!("--skip {argument}: {problem}")), "{error}");
    }
    let (_dir, session) = session(&[]);
    let error = skip(&["cluster=x", "cluster.node.ready=x"]).of(&builtin(), &session).unwrap_err();
    assert_eq!(error.to_string(), "--skip cluster.node.ready=x: no outcome is called `cluster.node.ready`");
    assert!(error.hint().unwrap().contains("`cluster.nodes.ready`"));
}

#[test]
fn only_what_failed_or_was_blocked_or_has_no_verdict_is_judged_again() {
    let unsupported = Verdict::Unsupported { capability: "kubectl".into(), reason: "none".into() };
    let events = vec![
        started("1", &[NAMED, READY, CRDS, "istio.istiod.ready", "cluster.system.healthy", "dashboard.pods.running"]),
        finished(NAMED, failed()),
        finished(READY, Verdict::Passed),
        finished(CRDS, Verdict::Blocked { by: "gateway-api".into() }),
        finished("istio.istiod.ready", Verdict::Skipped { reason: "asked".into() }),
        finished("cluster.system.healthy", unsupported),
        Event::OutcomeStarted { outcome: "dashboard.pods.running".into(), info: None },
    ];
    let (_dir, session) = session(&[("1", events)]);
    let rest = chosen(&again(), &session);
    assert_eq!(ids(&rest.outcomes), [NAMED, "dashboard.pods.running", CRDS]);
    assert_eq!((rest.not_selected.len(), rest.nothing_failed), (builtin().len() - 3, None));
    // An intersection, also with what is skipped.
    let both = Choice { select: Some(Selection::parse("dashboard or gateway-api").unwrap()), ..skip(&["gateway-api=not today"]) };
    let both = chosen(&Choice { rerun_failed: true, ..both }, &session);
    assert_eq!(ids(&both.outcomes), ["dashboard.pods.running", CRDS]);
    assert_eq!(both.outcomes[1].skip.as_deref(), Some("not today"));
    let error = Choice { rerun_failed: true, ..select("istio") }.of(&builtin(), &session).unwrap_err();
    assert!(matches!(&error, ChoiceError::NothingLeft { run, left, .. } if run == "1" && left.len() == 3), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn what_failed_as_expected_is_not_judged_again_and_what_passed_unexpectedly_is() {
    let expected = |outcome: &str, year: i16| {
        let expires = jiff::civil::date(year, 12, 31);
        Event::Expected(Expected { outcome: outcome.into(), reason: "r".into(), owner: "o".into(), expires })
    };
    let events = vec![
        started("1", &[NAMED, READY, CRDS, "istio.istiod.ready"]),
        expected(NAMED, 9999),
        expected(READY, 9999),
        expected(CRDS, 2001),
        finished(NAMED, failed()),
        finished(READY, Verdict::Passed),
        finished(CRDS, failed()),
        finished("istio.istiod.ready", Verdict::Passed),
    ];
    let (_dir, session) = session(&[("1", events)]);
    assert_eq!(ids(&chosen(&again(), &session).outcomes), [READY, CRDS], "an entry that has expired excuses nothing");
}

#[test]
fn a_journal_that_was_cut_anywhere_leaves_what_it_does_not_tell() {
    let outcomes = [NAMED, READY, CRDS];
    let events = [
        started("1", &outcomes),
        finished(NAMED, Verdict::Passed),
        finished(READY, failed()),
        finished(CRDS, Verdict::Passed),
        Event::RunFinished { exit_code: 1, duration_ms: 1 },
    ];
    let (_dir, session) = session(&[("1", events.to_vec())]);
    let path = session.journal("1");
    let bytes = std::fs::read(&path).unwrap();
    let lefts: [Option<&[&str]>; 6] =
        [None, Some(&[NAMED, READY, CRDS]), Some(&[READY, CRDS]), Some(&[READY, CRDS]), Some(&[READY]), Some(&[READY])];
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let found = Rerun::find(&session).unwrap();
        assert_eq!(found, Rerun::of(&parse(&bytes[..cut])), "cut at {cut}");
        let whole = bytes[..cut].iter().filter(|b| **b == b'\n').count();
        let wanted = lefts[whole].map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(found.map(|r| r.outcomes), wanted, "cut at {cut}");
    }
}

#[test]
fn the_last_run_that_judged_counts_whatever_came_after_and_however_the_ids_sort() {
    let up = || vec![started("z", &[]), Event::RunFinished { exit_code: 0, duration_ms: 1 }];
    let runs = [
        ("20260101T000000Z-bbbb", vec![started("20260101T000000Z-bbbb", &[NAMED]), finished(NAMED, failed())]),
        // The same second, later, and its letters sort before.
        ("20260101T000000Z-aaaa", vec![started("20260101T000000Z-aaaa", &[CRDS]), finished(CRDS, failed())]),
        ("20260101T000001Z-cccc", up()),
        ("20260101T000002Z-dddd", vec![]),
    ];
    let (_dir, session) = session(&runs);
    std::fs::create_dir_all(session.dir().join("runs/no-journal")).unwrap();
    std::fs::write(session.dir().join("runs/a-file"), "x").unwrap();
    assert_eq!(ids(&chosen(&again(), &session).outcomes), [CRDS]);
}

#[test]
fn where_nothing_failed_everything_is_judged_and_where_nothing_was_judged_that_is_an_error() {
    let green = vec![started("1", &[NAMED]), finished(NAMED, Verdict::Passed)];
    let (_dir, green) = session(&[("1", green)]);
    let all = chosen(&again(), &green);
    assert_eq!((all.outcomes.len(), all.nothing_failed.as_deref()), (builtin().len(), Some("1")));
    let part = chosen(&Choice { rerun_failed: true, ..select("istio") }, &green);
    assert_eq!((part.outcomes.len(), part.nothing_failed.as_deref()), (chosen(&select("istio"), &green).outcomes.len(), Some("1")));
    // What failed then and exists no longer cannot be judged.
    let mut old = started("1", &[NAMED]);
    if let Event::RunStarted { outcomes, .. } = &mut old {
        outcomes[0].id = "cluster.kind.gone".into();
    }
    let (_dir, gone) = session(&[("1", vec![old])]);
    assert_eq!(chosen(&again(), &gone).nothing_failed.as_deref(), Some("1"));
    for (_dir, never) in [session(&[]), session(&[("1", vec![started("1", &[])])])] {
        let error = again().of(&builtin(), &never).unwrap_err();
        assert!(matches!(error, ChoiceError::NeverJudged { .. }), "{error}");
        assert!(error.hint().unwrap().contains("meshproof verify"));
    }
}

fn panics<'a>(_: &'a Environment, _: &'a mut Look) -> Checked<'a> {
    panic!("it was looked at")
}

#[tokio::test]
async fn a_skipped_outcome_is_not_looked_at_and_nothing_blocks_it() {
    let outcome = Outcome::hardening("a.b.c", panics).needs(&["cluster"]).skipped("asked");
    let stages = BTreeMap::from([("cluster", crate::stages::StageOutcome::Failed)]);
    let world = World::healthy();
    let environment = world.open().await;
    let judged = judge_all(std::slice::from_ref(&outcome), &environment, &stages, &environment.context.journal).await;
    assert_eq!(judged[0].verdict, Verdict::Skipped { reason: "asked".into() });
    let journal = Journal::in_memory();
    block_all(&[outcome, Outcome::hardening("a.b.d", panics)], &stages, "cluster", &journal);
    let verdicts: Vec<Verdict> = journal
        .records()
        .into_iter()
        .filter_map(|r| match r.event {
            Event::OutcomeFinished { verdict, .. } => Some(verdict),
            _ => None,
        })
        .collect();
    assert_eq!(verdicts, [Verdict::Skipped { reason: "asked".into() }, Verdict::Blocked { by: "cluster".into() }]);
}
