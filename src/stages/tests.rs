//! The order in which stages run, and what a failed one does to the others.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::future::FutureExt;
use tokio::sync::Barrier;

use super::*;
use crate::journal::{Event, StageResult};
use crate::testing::environment::{context, spec};
use crate::testing::promptly;
use crate::testing::provider::FakeProvider;
use crate::wait::ManualClock;

/// What a made-up stage does.
enum Does {
    Ends(Done),
    Fails,
    /// Ends when as many stages as the barrier wants have come to it.
    Meets(Arc<Barrier>),
    /// Says something, then fails when everyone has come to the barrier.
    FailsAfter(Arc<Barrier>),
}

impl Action for Does {
    fn look<'a>(&'a self, _: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        let found = match self {
            Self::Ends(Done::Already) => Found::True,
            Self::Ends(Done::NotNeeded) => Found::NotNeeded,
            _ => Found::Missing("to be made".to_owned()),
        };
        std::future::ready(Ok(found)).boxed()
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        let failed = || StageError::Other { message: format!("{} broke", context.stage), hint: Some("mend it".to_owned()) };
        async move {
            match self {
                Self::Ends(done) => Ok(*done),
                Self::Fails => Err(failed()),
                Self::Meets(barrier) => {
                    barrier.wait().await;
                    Ok(Done::Provisioned)
                }
                Self::FailsAfter(barrier) => {
                    context.progress("about to fail");
                    barrier.wait().await;
                    Err(failed())
                }
            }
        }
        .boxed()
    }

    fn plan(&self, _: &Spec, _: &dyn crate::cluster::Provider) -> Vec<PlanStep> {
        Vec::new()
    }
}

fn stage(id: &'static str, needs: &'static [&'static str], does: Does) -> Stage {
    Stage::new(id, does).needs(needs)
}

fn ends(id: &'static str, needs: &'static [&'static str]) -> Stage {
    stage(id, needs, Does::Ends(Done::Provisioned))
}

fn fails(id: &'static str, needs: &'static [&'static str]) -> Stage {
    stage(id, needs, Does::Fails)
}

/// Runs stages; how each ended, and the journal in short.
async fn run_all(stages: Vec<Stage>) -> (BTreeMap<&'static str, StageOutcome>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let context = Arc::new(context(spec(), &dir, &ManualClock::default(), FakeProvider::default(), &[]));
    let ended = promptly(run(&Plan::new(stages).unwrap(), &context, Manner::Make)).await;
    (ended, context.journal.records().into_iter().filter_map(|r| brief(r.event)).collect())
}

fn brief(event: Event) -> Option<String> {
    Some(match event {
        Event::StageStarted { stage } => format!("{stage} started"),
        Event::StageProgress { stage, status } => format!("{stage}: {status}"),
        Event::StageFinished { stage, result, .. } => match result {
            StageResult::Failed { error, hint, .. } => format!("{stage} failed: {} ({})", error.join(": "), hint.unwrap_or_default()),
            StageResult::Blocked { by } => format!("{stage} blocked by {by}"),
            other => format!("{stage} {other:?}").to_lowercase(),
        },
        _ => return None,
    })
}

fn blocked(by: &str) -> StageOutcome {
    StageOutcome::Blocked(by.to_owned())
}

const DONE: StageOutcome = StageOutcome::Done(Done::Provisioned);

#[tokio::test]
async fn stages_that_do_not_need_each_other_run_at_the_same_time() {
    let (first, second) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(2)));
    let meets = |id, needs, barrier: &Arc<Barrier>| stage(id, needs, Does::Meets(Arc::clone(barrier)));
    let (ended, _) = run_all(vec![
        meets("a", &[], &first),
        meets("b", &[], &first),
        meets("c", &[], &first),
        meets("after-a", &["a"], &second),
        meets("after-b", &["b"], &second),
    ])
    .await;
    assert!(ended.values().all(|o| *o == DONE), "{ended:?}");
}

#[tokio::test]
async fn a_stage_starts_when_its_own_needs_are_done_and_not_when_all_are() {
    let late = Arc::new(Barrier::new(2));
    let meets = |id, needs| stage(id, needs, Does::Meets(Arc::clone(&late)));
    // `slow` ends only when `leaf`, which does not need it, has run.
    let (ended, journal) = run_all(vec![meets("slow", &[]), ends("quick", &[]), meets("leaf", &["quick"])]).await;
    assert_eq!(ended.len(), 3);
    let at = |line: &str| journal.iter().position(|l| l == line).unwrap();
    assert!(at("quick provisioned") < at("leaf started") && at("leaf started") < at("slow provisioned"), "{journal:?}");
}

#[tokio::test]
async fn the_journal_tells_the_steps_in_order() {
    let (_, journal) = run_all(vec![
        stage("a", &[], Does::Ends(Done::Already)),
        stage("b", &["a"], Does::FailsAfter(Arc::new(Barrier::new(1)))),
        ends("c", &["b"]),
        stage("d", &["a"], Does::Ends(Done::NotNeeded)),
    ])
    .await;
    let of = |stage: &str| journal.iter().filter(|l| l.starts_with(stage)).map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("a"), ["a started", "a already"]);
    assert_eq!(of("b"), ["b started", "b: to be made", "b: about to fail", "b failed: b broke (mend it)"]);
    assert_eq!(of("c"), ["c blocked by b"], "what is blocked never starts");
    assert_eq!(of("d"), ["d started", "d notneeded"]);
    assert_eq!(journal[..2], ["a started", "a already"]);
}

#[tokio::test]
async fn a_failed_stage_blocks_what_depends_on_it_and_nothing_else() {
    let barrier = Arc::new(Barrier::new(2));
    let (ended, journal) = run_all(vec![
        ends("root", &[]),
        stage("broken", &["root"], Does::FailsAfter(Arc::clone(&barrier))),
        ends("next", &["broken"]),
        ends("last", &["next"]),
        stage("other", &["root"], Does::Meets(barrier)),
        ends("after-other", &["other"]),
    ])
    .await;
    let expected = BTreeMap::from([
        ("root", DONE),
        ("broken", StageOutcome::Failed),
        ("next", blocked("broken")),
        ("last", blocked("broken")),
        ("other", DONE),
        ("after-other", DONE),
    ]);
    assert_eq!(ended, expected);
    for id in ["next", "last"] {
        assert_eq!(journal.iter().filter(|l| l.starts_with(&format!("{id} "))).count(), 1, "{id} is blocked once: {journal:?}");
    }
}

#[tokio::test]
async fn a_diamond_is_blocked_by_its_one_root() {
    let (ended, journal) =
        run_all(vec![fails("top", &[]), ends("left", &["top"]), ends("right", &["top"]), ends("bottom", &["left", "right"])]).await;
    assert_eq!(ended["bottom"], blocked("top"));
    assert_eq!(journal.iter().filter(|l| l.starts_with("bottom")).collect::<Vec<_>>(), ["bottom blocked by top"]);
}

#[tokio::test]
async fn one_failed_side_of_a_diamond_is_enough() {
    let (ended, _) =
        run_all(vec![ends("top", &[]), ends("left", &["top"]), fails("right", &["top"]), ends("bottom", &["left", "right"])]).await;
    assert_eq!((&ended["left"], &ended["bottom"]), (&DONE, &blocked("right")));
}

#[tokio::test]
async fn two_roots_give_one_cause() {
    let (ended, journal) = run_all(vec![fails("a", &[]), fails("b", &[]), ends("both", &["a", "b"])]).await;
    assert!(ended["both"] == blocked("a") || ended["both"] == blocked("b"));
    assert_eq!(journal.iter().filter(|l| l.starts_with("both")).count(), 1);
}

#[tokio::test]
async fn the_root_of_trouble_is_named_by_the_outcome() {
    assert_eq!(DONE.root("x"), None);
    assert_eq!(StageOutcome::Failed.root("x"), Some("x"));
    assert_eq!(blocked("y").root("x"), Some("y"));
}

#[test]
fn a_plan_has_each_stage_once_and_after_its_needs() {
    let refused = |stages: Vec<Stage>| Plan::new(stages).unwrap_err();
    assert_eq!(refused(vec![ends("a", &[]), ends("a", &[])]), PlanError::Duplicate { id: "a".into() });
    let need = |stage: &str, need: &str| PlanError::Need { stage: stage.into(), need: need.into() };
    assert_eq!(refused(vec![ends("a", &["nowhere"])]), need("a", "nowhere"));
    assert_eq!(refused(vec![ends("a", &["b"]), ends("b", &[])]), need("a", "b"), "the order counts");
    assert_eq!(refused(vec![ends("a", &["a"])]), need("a", "a"));
    assert_eq!(refused(vec![ends("a", &["b"]), ends("b", &["a"])]), need("a", "b"), "a cycle has no first");
    assert_eq!(need("a", "b").to_string(), "stage `a` needs `b`, which is not before it");
    let plan = Plan::new(vec![ends("a", &[]), ends("b", &["a"])]).unwrap();
    assert_eq!(plan.stages().iter().map(|s| s.id).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn the_waits_of_a_stage_are_its_progress() {
    struct Waits(Mutex<u32>);
    impl Action for Waits {
        fn look<'a>(&'a self, _: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
            std::future::ready(Ok(Found::Missing("3 to go".to_owned()))).boxed()
        }

        fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
            use crate::wait::{Limit, Progress};
            async move {
                let attempt = || {
                    let mut left = self.0.lock().unwrap();
                    *left -= 1;
                    std::future::ready(if *left == 0 { Progress::Ready(()) } else { Progress::NotYet(format!("{left} to go")) })
                };
                context.waiting.poll("it", Limit::Controller, std::time::Duration::ZERO, attempt).await?;
                Ok(Done::Provisioned)
            }
            .boxed()
        }

        fn plan(&self, _: &Spec, _: &dyn crate::cluster::Provider) -> Vec<PlanStep> {
            Vec::new()
        }
    }
    let (_, journal) = run_all(vec![Stage::new("w", Waits(Mutex::new(3)))]).await;
    assert_eq!(journal, ["w started", "w: 3 to go", "w: 2 to go", "w: 1 to go", "w provisioned"]);
}

#[tokio::test]
async fn nothing_is_made_in_a_cluster_that_is_somebody_elses_whatever_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let provider = FakeProvider { cluster: None, installs: Some(Installs::Nothing) };
    let context = Arc::new(context(spec(), &dir, &ManualClock::default(), provider, &[]));
    // It would wait for ever if it were made.
    let made = stage("a", &[], Does::Meets(Arc::new(Barrier::new(2))));
    let plan = Plan::new(vec![made, stage("b", &["a"], Does::Ends(Done::Already)), stage("c", &[], Does::Ends(Done::Already))]).unwrap();
    let ended = promptly(run(&plan, &context, Manner::Make)).await;
    let wanted = [("a", StageOutcome::Failed), ("b", blocked("a")), ("c", StageOutcome::Done(Done::Already))];
    assert_eq!(ended, BTreeMap::from(wanted));
}
