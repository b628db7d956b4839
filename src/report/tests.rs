use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::fold::{Failure, OutcomeState, StageState, Summary, exit_code};
use super::layout::{Style, clean, left, wrap};
use super::testing::{self, Pen};
use super::{json, junit, progress, terminal};
use crate::journal::{Event, Fidelity, OutcomeInfo, OutcomeKind, Record, StageResult, Verdict};
use crate::text::{Lang, Texts};

const STYLE: Style = Style { color: false, width: 120, ascii: false };

/// All snapshots of the crate live in one directory at its top.
fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn texts() -> Texts {
    Texts::new(Lang::En)
}

fn parsed(summary: &Summary) -> Report {
    let xml = junit::render(summary).unwrap();
    Report::deserialize_from_str(&xml).unwrap_or_else(|e| panic!("{e}\n{xml}"))
}

fn skipped(report: &Report) -> usize {
    report.test_suites.iter().map(|s| s.skipped).sum()
}

/// Reports for parsers that are not ours: ci/junit.sh asks for them.
#[test]
fn reports_for_other_parsers_are_written_where_they_are_asked_for() {
    let Some(dir) = std::env::var_os("MESHPROOF_JUNIT_OUT").map(std::path::PathBuf::from) else { return };
    std::fs::create_dir_all(&dir).unwrap();
    for (name, records) in testing::all() {
        let summary = Summary::fold(&records);
        std::fs::write(dir.join(format!("{name}.xml")), junit::render(&summary).unwrap()).unwrap();
        // What the report must say, by somebody who has not read it.
        std::fs::write(dir.join(format!("{name}.json")), json::render(&summary).to_string()).unwrap();
    }
}

fn case<'a>(report: &'a Report, name: &str) -> &'a TestCase {
    report.test_suites.iter().flat_map(|s| &s.test_cases).find(|c| c.name.as_str() == name).unwrap_or_else(|| panic!("no case {name}"))
}

#[test]
fn the_terminal_report_of_every_kind_of_run() {
    for (name, records) in testing::all() {
        let text = terminal::render(&Summary::fold(&records), &texts(), STYLE);
        snapshot(&format!("report-terminal-{name}"), &text);
    }
}

#[test]
fn plain_progress_of_a_run_with_failures() {
    let lines: Vec<String> = testing::outcomes_failed().iter().filter_map(|r| progress::line(r, &texts(), true)).collect();
    snapshot("report-progress", &lines.join("\n"));
    let quiet = testing::green().iter().filter(|r| progress::line(r, &texts(), false).is_some()).count();
    let verbose = testing::green().iter().filter(|r| progress::line(r, &texts(), true).is_some()).count();
    assert_eq!(verbose - quiet, 2, "only the command's start and end are for the verbose");
}

#[test]
fn every_prefix_of_a_journal_gives_every_form_and_fits_the_width() {
    for (name, records) in testing::all() {
        for cut in 0..=records.len() {
            let records = &records[..cut];
            let summary = Summary::fold(records);
            let at = format!("{name} cut at {cut}");
            let whole = matches!(records.last().map(|r| &r.event), Some(Event::RunFinished { .. }));
            assert_eq!(summary.interrupted(), !whole, "{at}");

            for style in [STYLE, Style { width: 20, ascii: true, color: true }] {
                let text = terminal::render(&summary, &texts(), style);
                let last = text.lines().last().unwrap();
                assert_eq!(last.contains("interrupted"), !whole, "{at}: {last}");
                assert_eq!(text.contains("\u{1b}["), style.color, "{at}");
                assert!(!text.contains("report-"), "{at}: a key has no text\n{text}");
            }
            let text = terminal::render(&summary, &texts(), STYLE);
            for line in text.lines().rev().skip(1) {
                assert!(line.width() <= STYLE.width, "{at}: {line}");
            }

            let value = json::render(&summary);
            assert_eq!(value["interrupted"], json!(!whole), "{at}");
            assert_eq!(value["exitCode"].is_null(), !whole, "{at}");
            let counts = summary.counts();
            let total = counts.passed + counts.failed + counts.blocked + counts.skipped + counts.unsupported + counts.not_judged;
            assert_eq!(total, summary.outcomes.len(), "{at}");

            let report = parsed(&summary);
            assert_eq!(report.tests, summary.stages.len() + summary.outcomes.len() + usize::from(!whole), "{at}");
            let green = report.errors + report.failures == 0;
            assert_eq!(green, whole && name == "green", "{at}: half a run must not be green");

            let mut live = progress::Live::default();
            records.iter().for_each(|r| live.push(r));
            assert_eq!(live.summary(), &summary, "{at}");
            if let Some(last) = records.last() {
                for width in [12, 60] {
                    for line in live.lines(last.at, &texts(), Style { width, ..STYLE }) {
                        assert!(line.width() <= width, "{at}: {line}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_cut_journal_says_what_was_in_progress() {
    let summary = Summary::fold(&testing::cut());
    let istio = summary.stages.last().unwrap();
    assert!(matches!(istio.state, StageState::Running { .. }));
    let text = terminal::render(&summary, &texts(), STYLE);
    assert!(text.contains("stage istio was in progress for 19.9 s: waiting for istiod: 0 of 1 ready"), "{text}");
    let report = parsed(&summary);
    let TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, message, description, .. } = &case(&report, "istio").status else {
        panic!("an interrupted stage is an error")
    };
    assert_eq!(message.as_ref().unwrap().as_str(), "interrupted while in progress");
    assert!(description.as_ref().unwrap().contains("0 of 1 ready"));
}

#[test]
fn a_run_that_someone_stopped_is_as_interrupted_as_a_cut_one() {
    let records = Pen::new(Fidelity::Real).end(130);
    let summary = Summary::fold(&records);
    assert!(summary.interrupted());
    assert_eq!(json::render(&summary)["exitCode"], 130);
    assert_eq!(parsed(&summary).errors, 9, "the run, and every outcome that gates");
    let summary = Summary::fold(&Pen::new(Fidelity::Real).end(0));
    assert_eq!(parsed(&summary).errors, 0, "a command such as up judges nothing, and that is no error");
    let summary = Summary::fold(&Pen::new(Fidelity::Real).end(4));
    assert_eq!(parsed(&summary).errors, 1, "teardown left something behind");
}

#[test]
fn unknown_ids_are_added_at_the_end_and_gate() {
    let mut records = testing::green();
    let mut late = records[3].clone();
    late.event = Event::StageFinished { stage: "own-stage".into(), duration_ms: 700, result: StageResult::Provisioned };
    records.push(late.clone());
    late.event = Event::OutcomeStarted { outcome: "own.thing.works".into(), info: None };
    records.push(late.clone());
    let summary = Summary::fold(&records);
    assert_eq!(summary.stages.last().unwrap().info.id, "own-stage");
    assert_eq!(late.at.duration_since(summary.stages.last().unwrap().started.unwrap()).as_millis(), 700);
    assert!(matches!(summary.outcomes.last().unwrap().state, OutcomeState::Running { .. }));
    let verdict = Verdict::Failed { reason: "no".into() };
    late.event = Event::OutcomeFinished {
        outcome: "own.thing.works".into(),
        duration_ms: 1,
        verdict,
        evidence: Default::default(),
        diagnoses: vec![],
    };
    records.push(late);
    assert_eq!(exit_code(&Summary::fold(&records), false), 1);
    let headless = Summary::fold(&records[1..]);
    assert!(headless.run.is_none() && !headless.stages.is_empty());
    assert_eq!(json::render(&headless)["fidelity"], json!(null));
}

#[test]
fn first_failure_goes_stage_then_failed_then_blocked_and_defects_come_last() {
    let id = |records: &[Record]| match Summary::fold(records).first_failure() {
        Some(Failure::Stage(s)) => s.info.id.clone(),
        Some(Failure::Outcome(o)) => o.info.id.clone(),
        None => "none".into(),
    };
    assert_eq!(id(&testing::green()), "none");
    assert_eq!(id(&testing::stage_failed()), "cluster");
    assert_eq!(id(&testing::outcomes_failed()), "cluster.config.mirrors");
    let judged = |verdicts: &[(&str, Verdict)]| {
        let mut pen = Pen::new(Fidelity::Real);
        for (outcome, verdict) in verdicts {
            pen.judge(outcome, 1, verdict.clone(), json!({}), vec![]);
        }
        pen.end(1)
    };
    let failed = || Verdict::Failed { reason: "no".into() };
    let blocked = || Verdict::Blocked { by: "istio".into() };
    let (defect, documented) = ("istio.sentence.literal", "gateway.crds.established");
    assert_eq!(id(&judged(&[("cluster.nodes.ready", blocked()), (documented, failed())])), documented);
    assert_eq!(id(&judged(&[(defect, failed()), (documented, blocked())])), documented);
    assert_eq!(id(&judged(&[(defect, failed())])), defect);
}

#[test]
fn exit_codes() {
    use OutcomeKind::{Defect, Documented, Hardening};
    let failed = || Verdict::Failed { reason: "no".into() };
    let blocked = || Verdict::Blocked { by: "istio".into() };
    let skipped = || Verdict::Skipped { reason: "asked".into() };
    let unsupported = || Verdict::Unsupported { capability: "data-plane".into(), reason: "none".into() };
    let stage_failed = || StageResult::Failed { error: vec!["no".into()], hint: None, diagnoses: vec![] };
    let stage_blocked = || StageResult::Blocked { by: "x".into() };
    let table = [
        (StageResult::Provisioned, Documented, Verdict::Passed, 0, 0),
        (StageResult::Provisioned, Documented, failed(), 1, 1),
        (StageResult::Provisioned, Hardening, failed(), 1, 1),
        (StageResult::Provisioned, Defect, failed(), 0, 0),
        (StageResult::Already, Documented, blocked(), 1, 1),
        (StageResult::NotNeeded, Hardening, blocked(), 1, 1),
        (StageResult::Provisioned, Defect, blocked(), 0, 0),
        (StageResult::Provisioned, Documented, skipped(), 0, 1),
        (StageResult::Provisioned, Hardening, unsupported(), 0, 1),
        (StageResult::Provisioned, Defect, unsupported(), 0, 0),
        (stage_failed(), Documented, Verdict::Passed, 3, 3),
        (stage_failed(), Documented, failed(), 3, 3),
        (stage_failed(), Documented, blocked(), 3, 3),
        (stage_failed(), Defect, skipped(), 3, 3),
        (stage_blocked(), Documented, Verdict::Passed, 0, 0),
    ];
    for (n, (stage, kind, verdict, normal, strict)) in table.into_iter().enumerate() {
        let mut records = Pen::new(Fidelity::Real).records;
        let mut record = records[1].clone();
        record.event = Event::StageFinished { stage: "istio".into(), duration_ms: 1, result: stage };
        records.push(record.clone());
        let Event::RunStarted { outcomes, .. } = &mut records[0].event else { panic!("the first record starts the run") };
        let info = OutcomeInfo { id: "a.b.c".into(), title: String::new(), kind, section: None, sentence: None, hint: String::new() };
        *outcomes = vec![info];
        record.event =
            Event::OutcomeFinished { outcome: "a.b.c".into(), duration_ms: 1, verdict, evidence: Default::default(), diagnoses: vec![] };
        records.push(record);
        let summary = Summary::fold(&records);
        assert_eq!((exit_code(&summary, false), exit_code(&summary, true)), (normal, strict), "row {n}");
    }
    for (name, records) in testing::all() {
        let summary = Summary::fold(&records);
        if let Some(finished) = summary.finished {
            assert_eq!(exit_code(&summary, false), finished.exit_code, "{name}");
        }
    }
}

#[test]
fn json_tells_everything_under_a_versioned_schema() {
    let value = json::render(&Summary::fold(&testing::green()));
    assert_eq!(value["schema"], "meshproof.dev/report/v1alpha1");
    assert_eq!(value["fidelity"], "real");
    assert_eq!(value["run"]["backend"], "kind");
    assert_eq!(value["spec"]["kind"], "Environment");
    assert_eq!(value["facts"]["istio"], "1.27.1");
    assert_eq!(value["standIns"][0]["component"], "ztunnel");
    assert_eq!((&value["exitCode"], &value["interrupted"]), (&json!(0), &json!(false)));
    assert_eq!(value["counts"]["passed"], 8);
    assert_eq!(value["missingCapabilities"], json!({"data-plane": 1}));
    assert_eq!(value["transcripts"][0]["name"], "istio.install");
    let cluster = &value["stages"][2];
    assert_eq!((&cluster["id"], &cluster["state"], &cluster["durationMs"]), (&json!("cluster"), &json!("provisioned"), &json!(24_310)));
    assert_eq!(cluster["offsetMs"], 1_052, "after preflight and mirror");
    let last = &value["outcomes"][8];
    assert_eq!((&last["verdict"], &last["capability"]), (&json!("unsupported"), &json!("data-plane")));

    let value = json::render(&Summary::fold(&testing::stage_failed()));
    assert_eq!(value["firstFailure"], json!({"stage": "cluster"}));
    let diagnosis = &value["stages"][2]["diagnoses"][0];
    assert_eq!((&diagnosis["rule"], &diagnosis["confidence"]), (&json!("P9"), &json!("certain")));
    assert_eq!(value["stages"][3]["blockedBy"], "cluster");
    assert_eq!(value["outcomes"][0]["blockedBy"], "cluster");
    let value = json::render(&Summary::fold(&testing::outcomes_failed()));
    assert_eq!(value["outcomes"][1]["evidence"]["node"], "meshproof-worker");
    assert_eq!(value["counts"]["failedNotGating"], 1);
}

#[test]
fn junit_is_red_exactly_for_what_gates() {
    let report = parsed(&Summary::fold(&testing::green()));
    assert_eq!((report.tests, report.errors, report.failures, skipped(&report)), (17, 0, 0, 1));
    assert_eq!(report.test_suites[0].name.as_str(), "provisioning");
    assert!(report.test_suites.iter().all(|s| s.properties.iter().any(|p| p.name.as_str() == "fidelity" && p.value.as_str() == "real")));
    assert_eq!(case(&report, "cluster").time, Some(Duration::from_millis(24_310)));
    assert!(report.test_suites.iter().all(|s| s.timestamp.is_some()));

    let report = parsed(&Summary::fold(&testing::stage_failed()));
    assert_eq!((report.errors, report.failures, skipped(&report)), (1, 0, 14), "one root cause, all else is skipped");
    let TestCaseStatus::NonSuccess { description: Some(text), .. } = &case(&report, "cluster").status else { panic!("not an error") };
    assert!(
        text.contains("caused by: kind ended with 1") && text.contains("diagnosis P9 (certain): ") && text.contains("hint: "),
        "{text:?}"
    );

    let report = parsed(&Summary::fold(&testing::outcomes_failed()));
    assert_eq!((report.errors, report.failures, skipped(&report)), (0, 2, 3), "the defect does not gate");
    let mirrors = case(&report, "cluster.config.mirrors");
    assert_eq!(mirrors.classname.as_ref().unwrap().as_str(), "cluster");
    assert!(mirrors.system_out.as_ref().is_some_and(|out| out.as_str().contains("\nguide 1.2: ")), "{:?}", mirrors.system_out);
    let TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, description: Some(text), .. } = &mirrors.status else {
        panic!("not a failure")
    };
    assert!(text.contains("\"node\": \"meshproof-worker\"") && text.contains("diagnosis P12: "), "{text:?}");

    let mut pen = Pen::new(Fidelity::Real);
    pen.judge("cluster.nodes.ready", 0, Verdict::Blocked { by: "cluster".into() }, json!({}), vec![]);
    let report = parsed(&Summary::fold(&pen.end(1)));
    assert_eq!(report.failures, 1, "blocked though no stage failed turns the exit code, so it is red");
}

#[test]
fn what_was_not_selected_is_counted_in_every_form_and_turns_nothing() {
    let mut records = testing::green();
    let plain = terminal::render(&Summary::fold(&records), &texts(), STYLE);
    let Event::RunStarted { not_selected, .. } = &mut records[0].event else { panic!("the first record starts the run") };
    *not_selected = vec!["own.thing.works".into(), "own.thing.lasts".into()];
    let summary = Summary::fold(&records);
    let text = terminal::render(&summary, &texts(), STYLE);
    let (before, after) = plain.trim_end().rsplit_once(" · fidelity").unwrap();
    assert!(text.trim_end().starts_with(&format!("{before}, 2 not selected")) && text.trim_end().ends_with(after), "{text}");
    let value = json::render(&summary);
    assert_eq!((&value["counts"]["notSelected"], &value["notSelected"][1]), (&json!(2), &json!("own.thing.lasts")));
    assert_eq!((summary.outcomes.len(), exit_code(&summary, true)), (9, 1), "unsupported gates; what was not selected does not");
    let report = parsed(&summary);
    assert_eq!((report.tests, report.errors, report.failures), (17, 0, 0));
    let counted = |s: &quick_junit::TestSuite| s.properties.iter().any(|p| p.name.as_str() == "not-selected" && p.value.as_str() == "2");
    assert!(report.test_suites.iter().all(counted));
    records[0] = testing::green()[0].clone();
    let report = parsed(&Summary::fold(&records));
    assert!(report.test_suites.iter().flat_map(|s| s.properties.iter()).all(|p| p.name.as_str() != "not-selected"));
}

#[test]
fn under_strict_each_outcome_that_was_not_seen_is_red_by_itself() {
    let judged = |exit: u8| {
        let mut pen = Pen::new(Fidelity::Real);
        let Event::RunStarted { strict, .. } = &mut pen.records[0].event else { panic!("the first record starts the run") };
        *strict = true;
        for (outcome, verdict) in [
            ("cluster.nodes.ready", Verdict::Skipped { reason: "asked".into() }),
            ("ambient.traffic.mtls", Verdict::Unsupported { capability: "data-plane".into(), reason: "none".into() }),
            ("istio.sentence.literal", Verdict::Skipped { reason: "a defect".into() }),
        ] {
            pen.judge(outcome, 1, verdict, json!({}), vec![]);
        }
        Summary::fold(&pen.end(exit))
    };
    let summary = judged(1);
    assert_eq!(exit_code(&summary, summary.strict()), 1);
    let report = parsed(&summary);
    assert_eq!((report.errors, report.failures), (0, 2), "a defect never gates, and the run itself needs no case");
    let TestCaseStatus::NonSuccess { message: Some(message), .. } = &case(&report, "cluster.nodes.ready").status else { panic!() };
    assert_eq!(message.as_str(), "skipped: asked (strict)");
    let text = terminal::render(&summary, &texts(), STYLE);
    assert!(text.contains("strict: skipped and unsupported outcomes gate: 2\n"), "{text}");
    assert_eq!(json::render(&summary)["run"]["strict"], true);
    assert_eq!(parsed(&judged(4)).errors, 0, "what is red already needs no second word");
}

#[test]
fn odd_characters_break_neither_xml_nor_the_terminal() {
    let odd = "a\u{0}b\u{1b}[31mc\u{1b}]0;title\u{7}d\u{8}<&\"]]>\u{fffe}\u{9b}e\u{202e}f\r\nnext 中文";
    let mut pen = Pen::new(Fidelity::Real);
    pen.write(Event::Fact { name: odd.into(), value: odd.into() });
    pen.write(Event::Warning { message: odd.into() });
    pen.write(Event::StageProgress { stage: odd.into(), status: odd.into() });
    pen.judge("cluster.nodes.ready", 1, Verdict::Failed { reason: odd.into() }, json!({odd: odd}), vec![]);
    let summary = Summary::fold(&pen.end(1));
    let report = parsed(&summary);
    let TestCaseStatus::NonSuccess { message: Some(message), .. } = &case(&report, "cluster.nodes.ready").status else { panic!() };
    assert_eq!(message.as_str(), "abcd<&\"]]>ef next 中文");
    let text = terminal::render(&summary, &texts(), STYLE);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    assert_eq!(clean("x\u{1b}]never ends\ny\u{1b}"), "x\ny", "an escape sequence that does not end takes at most its line");
}

#[test]
fn text_wraps_and_aligns_by_what_a_terminal_shows() {
    assert_eq!(wrap("one two three four", 10), ["one two", "three four"]);
    assert_eq!(wrap("所有节点都已经就绪", 10), ["所有节点都", "已经就绪"]);
    assert_eq!(wrap("abcdefghijklmno", 10), ["abcdefghij", "klmno"]);
    assert_eq!(left("节点就绪", 6), "节点… ", "a wide character that does not fit leaves a gap, not a ragged column");
    assert_eq!(left("ok", 4), "ok  ");
}

#[test]
fn the_live_tree_shows_what_runs_and_for_how_long() {
    let records = testing::cut();
    let mut live = progress::Live::default();
    records.iter().for_each(|r| live.push(r));
    let now = records.last().unwrap().at + jiff::SignedDuration::from_millis(5_000);
    let lines = live.lines(now, &texts(), Style { width: 60, ascii: true, ..STYLE });
    assert_eq!(lines[0], "+ preflight already true");
    assert!(lines.iter().any(|l| l.contains("istio 24.9 s waiting for istiod: 0 of 1 ready")), "{lines:#?}");
    live.expect([("istio".to_owned(), 20_000), ("cluster".to_owned(), 1)].into());
    let lines = live.lines(now, &texts(), Style { width: 60, ascii: true, ..STYLE });
    assert!(lines.iter().any(|l| l.contains("istio 24.9 s (typically 20.0 s) waiting")), "{lines:#?}");
    assert!(!lines.iter().any(|l| l.contains("cluster") && l.contains("typically")), "what has ended has its own time: {lines:#?}");
    assert_eq!(progress::draw(0, &["a".into()]), "\u{1b}[2Ka\n\u{1b}[0J");
    assert_eq!(progress::draw(3, &[]), "\r\u{1b}[3A\u{1b}[0J");
}

#[test]
fn a_bundle_is_one_line_for_people_and_an_object_for_programs() {
    let mut pen = Pen::new(Fidelity::Real);
    pen.write(Event::Collected { dir: "/state/runs/1/bundle".into(), files: 70, bytes: 3 << 20, left_out: 2 });
    let records = pen.end(1);
    let summary = Summary::fold(&records);
    let line = "bundle: /state/runs/1/bundle (70 files, 3.0 MiB; left out or cut: 2)";
    assert!(terminal::render(&summary, &texts(), STYLE).lines().any(|l| l == line));
    assert!(records.iter().filter_map(|r| progress::line(r, &texts(), false)).any(|l| l == line));
    assert_eq!(json::render(&summary)["bundle"], json!({"dir": "/state/runs/1/bundle", "files": 70, "bytes": 3 << 20, "leftOut": 2}));
    assert!(json::render(&Summary::fold(&testing::green()))["bundle"].is_null());
}

#[test]
fn a_github_log_has_a_group_for_the_stages_and_one_for_the_outcomes() {
    let shown = |records: &[Record]| {
        let mut groups = progress::Groups::default();
        let lines =
            records.iter().flat_map(|record| groups.before(record, &texts()).into_iter().chain(progress::line(record, &texts(), false)));
        lines.collect::<Vec<_>>()
    };
    let marks = |records: &[Record]| shown(records).into_iter().filter(|line| line.starts_with("::")).collect::<Vec<_>>();
    let whole = ["::group::Stages", "::endgroup::", "::group::Outcomes", "::endgroup::"];
    for (name, records) in [("green", testing::green()), ("outcomes-failed", testing::outcomes_failed())] {
        assert_eq!(marks(&records), whole, "{name}");
        let lines = shown(&records);
        assert_eq!(lines.iter().rposition(|l| l == "::endgroup::"), Some(lines.len() - 2), "the end of the run is outside: {lines:#?}");
    }
    assert_eq!(marks(&testing::cut()), whole[..1]);
    assert_eq!(marks(&Pen::new(Fidelity::Real).end(0)), Vec::<String>::new());
}
