//! One thing broken in a healthy environment, and exactly the outcomes that it fails.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use futures::future::join_all;

use crate::journal::Verdict;
use crate::outcomes::{Judged, Outcome, builtin, judge};
use crate::report::diff::normalised;
use crate::testing::environment::World;
use crate::testing::{drive, promptly};
use crate::wait::{Clock, Limit};

/// Something broken, and which outcomes must fail, each with a part of its reason. Every other one must pass.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) breaks: fn(&mut World),
    pub(super) fails: &'static [(&'static str, &'static str)],
}

/// The outcomes whose checks ask processes and therefore live by the real clock.
const BY_PROCESS: [&str; 3] = ["dashboard.pods.listed", "istioctl.version.client", "istioctl.version.after-install"];

/// Every outcome of the guide but those that need a real `kubectl proxy`, and the one that has nothing to look at where a page has no script.
pub(super) fn outcomes() -> Vec<Outcome> {
    builtin().into_iter().filter(|o| o.group != Some("kubectl-proxy") && o.id != "dashboard.login.page-closed").collect()
}

pub(super) fn outcome(id: &str) -> Outcome {
    builtin().into_iter().find(|o| o.id == id).unwrap_or_else(|| panic!("there is no outcome {id}"))
}

/// Judges every outcome in a world.
pub(super) async fn judge_world(world: &World) -> BTreeMap<&'static str, Judged> {
    let mut environment = world.open().await;
    let (slow, quick): (Vec<Outcome>, Vec<Outcome>) = outcomes().into_iter().partition(|o| BY_PROCESS.contains(&o.id));
    let judged = drive(&world.clock, join_all(quick.iter().map(|o| judge(o, &environment)))).await;
    let mut all: BTreeMap<&'static str, Judged> = quick.iter().map(|o| o.id).zip(judged).collect();
    // Nobody drives the clock while a process runs; the first status of a wait takes it to the wait's limit.
    let clock = world.clock.clone();
    environment.waiting = environment.waiting.listen(move |_| clock.advance(Limit::ServiceAnswer.base()));
    for outcome in &slow {
        all.insert(outcome.id, promptly(judge(outcome, &environment)).await);
    }
    all
}

/// Judges every case and panics with everything that is not as it should be.
#[track_caller]
pub(super) fn check(cases: &[Case]) -> impl Future<Output = ()> + '_ {
    let place = std::panic::Location::caller();
    async move {
        let mut wrong = Vec::new();
        for case in cases {
            let mut world = World::healthy();
            (case.breaks)(&mut world);
            let judged = judge_world(&world).await;
            for (id, _) in case.fails {
                assert!(judged.contains_key(id), "{}: there is no outcome {id}", case.name);
            }
            for (id, Judged { verdict, .. }) in &judged {
                let wanted = case.fails.iter().find(|(failing, _)| failing == id).map(|(_, part)| *part);
                match (verdict, wanted) {
                    (Verdict::Passed, None) => {}
                    (Verdict::Failed { reason }, Some(part)) if reason.contains(part) => {}
                    (_, None) => wrong.push(format!("{}: {id} should pass: {verdict:?}", case.name)),
                    (_, Some(part)) => wrong.push(format!("{}: {id} should fail with `{part}`: {verdict:?}", case.name)),
                }
            }
        }
        assert!(wrong.is_empty(), "the table at {place}:\n{}", wrong.join("\n"));
    }
}

/// What outcomes see, without what differs from one run to the next.
fn evidence(judged: &BTreeMap<&'static str, Judged>) -> String {
    let mut out = String::new();
    for (id, judged) in judged {
        writeln!(out, "{id}").unwrap();
        for (path, lines) in normalised(&judged.evidence) {
            lines.iter().for_each(|line| writeln!(out, "  {path}: {line}").unwrap());
        }
    }
    out
}

#[tokio::test]
async fn everything_passes_in_perfect_health_at_once() {
    let world = World::healthy();
    let judged = judge_world(&world).await;
    let other: Vec<_> = judged.iter().filter(|(_, j)| j.verdict != Verdict::Passed).collect();
    assert!(other.is_empty(), "{other:#?}");
    assert!(judged.values().all(|j| j.diagnoses.is_empty() && !j.evidence.is_empty()), "what passes shows why");
    assert_eq!(world.clock.now(), Duration::ZERO, "nothing is waited for");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("outcomes-evidence", evidence(&judged)));
}
