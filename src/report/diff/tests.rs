use jiff::civil::date;
use serde_json::json;

use super::*;
use crate::journal::{Event, Expected, Record, Verdict};
use crate::report::layout::Style;
use crate::report::testing::{self, Pen};
use crate::text::{Lang, Texts};

const READY: &str = "cluster.nodes.ready";
const MIRRORS: &str = "cluster.config.mirrors";
const DEFECT: &str = "istio.sentence.literal";

fn failed() -> Verdict {
    Verdict::Failed { reason: "one node is not Ready".into() }
}

fn skipped() -> Verdict {
    Verdict::Skipped { reason: "asked".into() }
}

fn unsupported() -> Verdict {
    Verdict::Unsupported { capability: "kubectl".into(), reason: "none".into() }
}

fn blocked() -> Verdict {
    Verdict::Blocked { by: "cluster".into() }
}

/// A run that judged one outcome, and expected it to fail if asked.
fn run(id: &str, verdict: Option<Verdict>, expected: bool) -> Summary {
    let mut pen = Pen::new(Fidelity::Real);
    if expected {
        pen.write(Event::Expected(Expected { outcome: id.into(), reason: "r".into(), owner: "o".into(), expires: date(2026, 12, 31) }));
    }
    if let Some(verdict) = verdict {
        pen.judge(id, 1, verdict, json!({}), Vec::new());
    }
    Summary::fold(&pen.end(0))
}

/// The first record, changed.
fn started(records: &mut [Record], change: impl FnOnce(&mut Event)) {
    change(&mut records.first_mut().unwrap().event);
}

#[test]
fn every_change_of_a_verdict_has_its_kind_and_tells_whether_it_is_worse() {
    use OutcomeChanged::{
        ExpectedFailure, Fixed, NewFailure, NewlyBlocked, NewlyJudged, NewlyNotJudged, NewlySkipped, NewlyUnsupported, UnexpectedPass,
    };
    let passed = || Some(Verdict::Passed);
    for (was, is, change, worse) in [
        ((passed(), false), (Some(failed()), false), NewFailure, true),
        ((None, false), (Some(failed()), false), NewFailure, true),
        ((Some(failed()), true), (Some(failed()), false), NewFailure, true),
        ((passed(), false), (Some(blocked()), false), NewlyBlocked, true),
        ((None, false), (Some(blocked()), false), NewlyBlocked, true),
        ((passed(), false), (None, false), NewlyNotJudged, true),
        ((passed(), false), (Some(skipped()), false), NewlySkipped, true),
        ((Some(failed()), false), (Some(skipped()), false), NewlySkipped, true),
        ((Some(unsupported()), false), (Some(skipped()), false), NewlySkipped, false),
        ((passed(), false), (Some(unsupported()), false), NewlyUnsupported, true),
        ((None, false), (Some(unsupported()), false), NewlyUnsupported, false),
        ((passed(), false), (passed(), true), UnexpectedPass, true),
        ((Some(failed()), false), (Some(failed()), true), ExpectedFailure, false),
        ((Some(failed()), false), (passed(), false), Fixed, false),
        ((Some(blocked()), false), (passed(), false), Fixed, false),
        ((Some(unsupported()), false), (passed(), false), NewlyJudged, false),
        ((None, false), (passed(), false), NewlyJudged, false),
    ] {
        let diff = |id: &str| Diff::of(&run(id, was.0.clone(), was.1), &run(id, is.0.clone(), is.1));
        let at = format!("{was:?} {is:?}");
        let gating = diff(READY);
        assert_eq!(
            gating.outcomes.iter().map(|o| (o.id.as_str(), o.change, o.worse)).collect::<Vec<_>>(),
            [(READY, change, worse)],
            "{at}"
        );
        assert_eq!((gating.worse, gating.exit_code()), (worse, u8::from(worse)), "{at}");
        let defect = diff(DEFECT);
        assert_eq!((defect.outcomes[0].change, defect.exit_code()), (change, 0), "outcomes of kind defect never gate: {at}");
    }
    let again = Diff::of(&run(READY, Some(failed()), false), &run(READY, Some(failed()), false));
    assert_eq!((again.outcomes.len(), again.still_failing.as_slice(), again.exit_code()), (0, &[READY.to_owned()][..], 0));
}

#[test]
fn outcomes_come_and_go() {
    let whole = testing::green();
    let mut without = testing::green();
    started(&mut without, |event| {
        if let Event::RunStarted { outcomes, not_selected, .. } = event {
            outcomes.retain(|o| ![READY, MIRRORS, DEFECT].contains(&o.id.as_str()));
            not_selected.push(MIRRORS.into());
        }
    });
    without.retain(|r| !matches!(&r.event, Event::OutcomeStarted { outcome, .. } | Event::OutcomeFinished { outcome, .. } if [READY, MIRRORS, DEFECT].contains(&outcome.as_str())));
    let (whole, without) = (Summary::fold(&whole), Summary::fold(&without));
    let kinds = |diff: &Diff| diff.outcomes.iter().map(|o| (o.id.clone(), o.change, o.worse)).collect::<Vec<_>>();
    assert_eq!(
        kinds(&Diff::of(&whole, &without)),
        [
            (MIRRORS.into(), OutcomeChanged::NewlyNotJudged, true),
            (READY.into(), OutcomeChanged::Removed, true),
            (DEFECT.into(), OutcomeChanged::Removed, false)
        ]
    );
    let back = Diff::of(&without, &whole);
    assert_eq!(
        kinds(&back),
        [
            (MIRRORS.into(), OutcomeChanged::NewlyJudged, false),
            (READY.into(), OutcomeChanged::Added, false),
            (DEFECT.into(), OutcomeChanged::Added, false)
        ]
    );
    assert!(!back.worse);
}

#[test]
fn a_run_does_not_differ_from_itself_however_it_was_cut() {
    for (name, records) in testing::all() {
        for cut in 0..=records.len() {
            let summary = Summary::fold(&records[..cut]);
            let diff = Diff::of(&summary, &summary);
            assert!(diff.is_empty() && !diff.worse, "{name} cut at {cut}: {diff:?}");
            // Every pair has every form.
            let other = Diff::of(&Summary::fold(&testing::green()), &summary);
            for lang in Lang::ALL {
                let texts = Texts::new(lang);
                for text in [human(&other, &texts, Style::default()), markdown(&other, &texts)] {
                    assert!(!text.contains("diff-") && !text.contains("report-"), "a key has no text\n{text}");
                }
            }
            assert!(serde_json::to_value(&other).unwrap()["schema"] == SCHEMA);
        }
    }
}

#[test]
fn a_cut_journal_is_named_and_what_it_lacks_is_worse() {
    let diff = Diff::of(&Summary::fold(&testing::green()), &Summary::fold(&testing::cut()));
    assert!(diff.after.interrupted && diff.after.exit_code.is_none() && diff.worse);
    let text = human(&diff, &Texts::new(Lang::En), Style { width: 200, ..Style::default() });
    assert!(text.lines().nth(1).unwrap().contains("CUT") && !text.lines().next().unwrap().contains("CUT"), "{text}");
    assert!(text.contains("  · cluster.nodes.ready: passed → not judged"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("worse: "), "{text}");
}

#[test]
fn only_what_is_beyond_noise_is_slower() {
    for (was, is, change) in [
        (10_000, 12_001, None),
        (10_000, 15_001, Some(StageChanged::Slower)),
        (10_000, 15_000, None),
        (1_000, 3_000, None),
        (1_000, 3_001, Some(StageChanged::Slower)),
        (15_001, 10_000, Some(StageChanged::Faster)),
        (0, 2_001, Some(StageChanged::Slower)),
        (7, 7, None),
    ] {
        assert_eq!(beyond_noise(was, is), change, "{was} {is}");
    }
}

fn staged(result: StageResult, duration_ms: u64) -> Summary {
    let mut pen = Pen::new(Fidelity::Real);
    pen.write(Event::StageFinished { stage: "istio".into(), duration_ms, result });
    Summary::fold(&pen.end(0))
}

#[test]
fn stages_are_compared_where_they_did_the_same_work() {
    let broken = || StageResult::Failed { error: vec!["no".into(), "because".into()], hint: None, diagnoses: Vec::new() };
    for (was, is, change, worse) in [
        ((StageResult::Provisioned, 9_000), (StageResult::Provisioned, 60_000), Some(StageChanged::Slower), false),
        ((StageResult::Already, 9_000), (StageResult::Provisioned, 60_000), None, false),
        ((StageResult::Provisioned, 60_000), (broken(), 1), Some(StageChanged::NewFailure), true),
        ((broken(), 1), (StageResult::Provisioned, 60_000), Some(StageChanged::Fixed), false),
        ((broken(), 1), (broken(), 60_000), None, false),
    ] {
        let diff = Diff::of(&staged(was.0.clone(), was.1), &staged(is.0.clone(), is.1));
        assert_eq!(diff.stages.first().map(|s| s.change), change, "{was:?} {is:?}");
        assert_eq!(diff.worse, worse, "{was:?} {is:?}");
    }
    let diff = Diff::of(&staged(StageResult::Provisioned, 1), &staged(broken(), 1));
    assert_eq!(diff.stages[0].reason.as_deref(), Some("no: because"));
}

#[test]
fn another_environment_is_said_first_and_what_it_was_made_of_with_its_path() {
    let mut other = testing::outcomes_failed();
    started(&mut other, |event| {
        if let Event::RunStarted { spec, .. } = event {
            *spec = json!({"apiVersion": "meshproof.dev/v1alpha1", "kind": "Environment", "istio": {"version": "1.28.0"}});
        }
    });
    let diff = Diff::of(&Summary::fold(&testing::green()), &Summary::fold(&other));
    let named = |changes: &[Change]| changes.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(named(&diff.environment), ["backend", "fidelity"]);
    assert_eq!(diff.spec, [Change { name: "istio.version".into(), before: None, after: Some("1.28.0".into()) }]);
    assert_eq!(named(&diff.stand_ins), ["ztunnel"]);
    let text = human(&diff, &Texts::new(Lang::En), Style { width: 160, ..Style::default() });
    let headings: Vec<&str> = text.lines().filter(|l| !l.starts_with(' ') && !l.is_empty()).collect();
    assert_eq!(headings[2..4], ["Another environment", "New failures"], "{text}");
    assert!(text.contains("  ○ backend: kind → embedded") && text.contains("  · istio.version: - → 1.28.0"), "{text}");
}

#[test]
fn facts_differ_only_in_what_says_something_and_where_both_commands_tell_them() {
    let told = |command: &str, facts: &[(&str, &str)]| {
        let mut pen = Pen::new(Fidelity::Real);
        for (name, value) in facts {
            pen.write(Event::Fact { name: (*name).into(), value: (*value).into() });
        }
        let mut records = pen.end(0);
        started(&mut records, |event| {
            if let Event::RunStarted { command: this, .. } = event {
                *this = command.into();
            }
        });
        Summary::fold(&records)
    };
    let facts = |was: Summary, is: Summary| Diff::of(&was, &is).facts.into_iter().map(|c| c.name).collect::<Vec<_>>();
    let one = || told("run", &[("agent", "process 29117"), ("kernel", "6.1.0")]);
    assert_eq!(facts(one(), told("run", &[("agent", "process 4"), ("kernel", "6.8.0")])), ["kernel"]);
    assert_eq!(facts(one(), told("run", &[("agent", "process 4")])), ["kernel"]);
    assert_eq!(facts(one(), told("verify", &[("agent", "process 4")])), [""; 0]);
}

#[test]
fn objects_come_and_go_by_kind() {
    let has = |kinds: &[(&str, &[&str])]| {
        let mut pen = Pen::new(Fidelity::Real);
        let objects = kinds.iter().map(|(kind, names)| ((*kind).to_owned(), names.iter().map(|n| (*n).to_owned()).collect()));
        pen.write(Event::Inventory { objects: objects.collect() });
        Summary::fold(&pen.end(0))
    };
    let before = has(&[
        ("CustomResourceDefinition", &["a.example.org (v1)", "b.example.org (v1)"]),
        ("Secret", &["x/token"]),
        ("Service", &["x/y"]),
        ("Role", &["x/z"]),
    ]);
    let after = has(&[
        ("CustomResourceDefinition", &["b.example.org (v1, v2)", "a.example.org (v1)"]),
        ("Secret", &["x/token"]),
        ("Service", &[]),
        ("Deployment", &["x/y"]),
    ]);
    let diff = Diff::of(&before, &after);
    let change = |kind: &str, removed: &[&str], added: &[&str]| ObjectChange {
        kind: kind.into(),
        removed: removed.iter().map(|n| (*n).to_owned()).collect(),
        added: added.iter().map(|n| (*n).to_owned()).collect(),
    };
    let crds = change("CustomResourceDefinition", &["b.example.org (v1)"], &["b.example.org (v1, v2)"]);
    // What only one of the two could list is no change.
    assert_eq!(diff.objects, [crds, change("Service", &["x/y"], &[])]);
    assert!(!diff.worse && !diff.is_empty());
    let text = human(&diff, &Texts::new(Lang::En), Style { width: 160, ..Style::default() });
    assert!(
        text.contains("Objects\n  · CustomResourceDefinition\n      - b.example.org (v1)\n      + b.example.org (v1, v2)\n  · Service\n"),
        "{text}"
    );
}

fn saw(evidence: serde_json::Value) -> Summary {
    let mut pen = Pen::new(Fidelity::Real);
    pen.judge(READY, 1, Verdict::Passed, evidence, Vec::new());
    Summary::fold(&pen.end(0))
}

#[test]
fn output_differs_only_in_what_says_something() {
    let a = saw(json!({"printed": ["a-79cbcf9fb6-xjfrd 1/1 Running 19s", "v1.33.4"]}));
    assert!(Diff::of(&a, &saw(json!({"printed": ["v1.33.4", "a-5bd45c9dd6-8nj6s 1/1 Running 2m"]}))).is_empty());
    let diff = Diff::of(&a, &saw(json!({"printed": ["a-5bd45c9dd6-8nj6s 0/1 Running 2m", "v1.33.4"], "more": 1})));
    let output = |path: &str, removed: &[&str], added: &[&str]| OutputChange {
        outcome: READY.into(),
        path: path.into(),
        removed: removed.iter().map(|l| (*l).to_owned()).collect(),
        added: added.iter().map(|l| (*l).to_owned()).collect(),
    };
    let pods = output("printed[]", &["a-{hash}-{hash} 1/1 Running {duration}"], &["a-{hash}-{hash} 0/1 Running {duration}"]);
    assert_eq!(diff.output, [output("more", &[], &["1"]), pods]);
    assert!(!diff.worse && !diff.is_empty(), "what the outcome passes with gates nothing");
}

#[test]
fn markdown_shows_foreign_text_as_it_is_and_calls_nobody() {
    let mut pen = Pen::new(Fidelity::Real);
    let reason = "<b>*@team*</b> `x` [y](z) | #1\nnext";
    pen.judge(READY, 1, Verdict::Failed { reason: reason.into() }, json!({"log": "```\nend"}), Vec::new());
    let diff = Diff::of(&saw(json!({"log": "begin"})), &Summary::fold(&pen.end(1)));
    let text = markdown(&diff, &Texts::new(Lang::En));
    let line = text.lines().find(|l| l.starts_with("- ✗")).unwrap();
    assert_eq!(line, r"- ✗ cluster.nodes.ready: passed → failed: &lt;b&gt;\*&#64;team\*&lt;/b&gt; \`x\` \[y\](z) \| \#1 next");
    assert!(text.contains("````diff\n- log: begin\n+ log: ```\n+ log: end\n````\n") && text.contains("### New failures\n\n- ✗"), "{text}");
    assert!(text.trim_end().ends_with("**worse: 1 changes for the worse, 0 fixed, 0 still failing**"), "{text}");
}
