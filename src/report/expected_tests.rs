//! What the ledger of expected failures makes of a run, in every form.

use jiff::civil::{Date, date};
use serde_json::json;

use super::fold::{Failure, Summary, exit_code};
use super::layout::Style;
use super::testing::Pen;
use super::{Ruling, json, junit, progress, terminal};
use crate::journal::{Event, Expected, Fidelity, Record, Verdict};
use crate::text::{Lang, Texts};

const READY: &str = "cluster.nodes.ready";
const DEFECT: &str = "istio.sentence.literal";
/// The run of [`Pen`] begins on this day.
const DAY: Date = date(2026, 11, 3);

fn failed() -> Verdict {
    Verdict::Failed { reason: "one node is not Ready".into() }
}

fn run(id: &str, expires: Date, verdict: Verdict) -> Vec<Record> {
    let mut pen = Pen::new(Fidelity::Real);
    let entry = Expected { outcome: id.into(), reason: "slow disks".into(), owner: "team-a".into(), expires };
    pen.write(Event::Expected(entry));
    pen.judge(id, 40, verdict, json!({}), Vec::new());
    let code = exit_code(&Summary::fold(&pen.records), false);
    pen.end(code)
}

fn last_line(summary: &Summary) -> String {
    let texts = Texts::new(Lang::En);
    terminal::render(summary, &texts, Style { width: 200, ..Style::default() }).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn every_verdict_with_every_entry() {
    let (yesterday, unsupported) = (date(2026, 11, 2), Verdict::Unsupported { capability: "kubectl".into(), reason: "not found".into() });
    for (id, expires, verdict, word, code, red) in [
        (READY, DAY, failed(), "expected-failure", 0, false),
        (READY, yesterday, failed(), "failed", 1, true),
        (READY, DAY, Verdict::Passed, "unexpected-pass", 1, true),
        (READY, yesterday, Verdict::Passed, "unexpected-pass", 1, true),
        (READY, DAY, Verdict::Blocked { by: "cluster".into() }, "blocked", 1, true),
        (READY, DAY, unsupported.clone(), "unsupported", 0, false),
        (READY, yesterday, unsupported, "unsupported", 1, true),
        (READY, DAY, Verdict::Skipped { reason: "r".into() }, "skipped", 0, false),
        (DEFECT, DAY, failed(), "expected-failure", 0, false),
        (DEFECT, DAY, Verdict::Passed, "unexpected-pass", 0, false),
        (DEFECT, yesterday, failed(), "failed", 0, false),
    ] {
        let records = run(id, expires, verdict);
        let summary = Summary::fold(&records);
        let at = format!("{id} {word} {expires}");
        let outcome = summary.outcomes.iter().find(|o| o.info.id == id).unwrap();
        assert_eq!((outcome.word(), exit_code(&summary, false)), (Some(word), code), "{at}");
        assert_eq!(outcome.expired(), expires == yesterday, "{at}");
        let report = json::render(&summary);
        let shown = report["outcomes"].as_array().unwrap().iter().find(|o| o["id"] == id).unwrap();
        let entry = json!({"reason": "slow disks", "owner": "team-a", "expires": expires, "expired": expires == yesterday});
        assert_eq!((&shown["verdict"], &shown["expected"]), (&json!(word), &entry), "{at}");
        let xml = junit::render(&summary).unwrap();
        assert_eq!(!xml.contains("failures=\"0\" errors=\"0\""), red, "{at}: {xml}");
        assert_eq!(matches!(summary.first_failure(), Some(Failure::Outcome(o)) if o.info.id == id && o.gates()), red, "{at}");
        let counts = summary.counts();
        let sum =
            counts.passed + counts.failed + counts.blocked + counts.skipped + counts.unsupported + counts.expected + counts.unexpected;
        assert_eq!(sum + counts.not_judged, summary.outcomes.len(), "{at}");
        let kept: serde_json::Value = serde_json::to_value(&records).unwrap();
        assert!(!kept.to_string().contains("unexpected-pass"), "the journal has the verdict as it was");
    }
}

#[test]
fn the_terminal_says_what_is_expected_and_what_is_to_be_done() {
    let texts = Texts::new(Lang::En);
    let page = |records: &[Record]| terminal::render(&Summary::fold(records), &texts, Style { width: 200, ..Style::default() });
    let expected = page(&run(READY, DAY, failed()));
    assert!(expected.contains("≈ cluster.nodes.ready: fails as expected, until 2026-11-03 (team-a): slow disks"), "{expected}");
    assert!(!expected.contains("First failure") && !expected.contains("Other failures"), "{expected}");
    let passed = page(&run(READY, DAY, Verdict::Passed));
    assert!(passed.contains("≠ cluster.nodes.ready: passed, although it is expected to fail; remove its entry"), "{passed}");
    let expired = page(&run(READY, date(2026, 11, 2), failed()));
    assert!(
        expired.contains("✗ cluster.nodes.ready: its entry has expired; renew it or remove it (team-a, until 2026-11-02)"),
        "{expired}"
    );
    for text in [expected, passed, expired] {
        assert!(!text.contains("report-"), "a key has no text\n{text}");
    }
}

#[test]
fn the_counts_stand_at_the_end_of_the_last_line_and_only_where_there_are_any() {
    let line = last_line(&Summary::fold(&run(READY, DAY, failed())));
    assert!(line.starts_with("0 passed, 0 failed, 0 blocked, 0 skipped, 0 unsupported, 8 not judged, 1 failed as expected · "), "{line}");
    let line = last_line(&Summary::fold(&run(READY, DAY, Verdict::Passed)));
    assert!(line.contains(", 8 not judged, 1 passed unexpectedly · ") && line.ends_with("exit 1"), "{line}");
    let line = last_line(&Summary::fold(&super::testing::green()));
    assert!(!line.contains("expected"), "{line}");
}

#[test]
fn progress_says_it_with_the_verdict() {
    let texts = Texts::new(Lang::En);
    let said = |records: &[Record]| {
        let mut lines = progress::Lines::default();
        records.iter().filter_map(|r| lines.line(r, &texts, false)).collect::<Vec<_>>().join("\n")
    };
    let lines = said(&run(READY, DAY, failed()));
    assert!(lines.contains("expected to fail until 2026-11-03: cluster.nodes.ready (team-a): slow disks"), "{lines}");
    assert!(lines.contains("expected failure cluster.nodes.ready: one node is not Ready"), "{lines}");
    assert!(said(&run(READY, DAY, Verdict::Passed)).contains("unexpected pass cluster.nodes.ready: slow disks"));
    assert!(said(&run(READY, date(2026, 11, 2), failed())).contains("\nfailed cluster.nodes.ready: one node is not Ready"));
}

#[test]
fn a_cut_before_the_verdict_leaves_nothing_to_rule_on() {
    let mut records = run(READY, DAY, failed());
    records.truncate(records.iter().position(|r| matches!(r.event, Event::OutcomeFinished { .. })).unwrap());
    let summary = Summary::fold(&records);
    assert_eq!((summary.outcomes[0].ruling(), summary.counts().expected), (None, 0));
    assert_eq!(Summary::fold(&run(READY, DAY, failed())).outcomes[0].ruling(), Some(Ruling::ExpectedFailure));
}
