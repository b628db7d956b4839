use serde_json::json;

use super::*;
use crate::journal::{Confidence, Event, OutcomeInfo, OutcomeKind, Record};
use crate::report::testing::{self, Pen};
use crate::text::Lang;

/// What GitHub needs to show it as it is meant: everything is closed, tables are whole, and nothing is too big.
pub(in crate::report) fn assert_sound(markdown: &str, at: &str) {
    assert!(markdown.len() <= LIMIT, "{at}: {} bytes", markdown.len());
    assert!(markdown.starts_with("## "), "{at}: {markdown}");
    let (mut open, mut in_block, mut columns) = (0_i32, false, None);
    for line in markdown.lines() {
        in_block |= line.starts_with("<pre>");
        if in_block {
            in_block = !line.ends_with("</pre>");
            continue;
        }
        for tag in ["details", "summary", "code"] {
            let (opened, closed) = (line.matches(&format!("<{tag}>")).count(), line.matches(&format!("</{tag}>")).count());
            assert!(tag == "details" || opened == closed, "{at}: {line}");
        }
        open += i32::from(line.starts_with("<details>")) - i32::from(line == "</details>");
        assert!((0..=1).contains(&open), "{at}: {line}");
        let pipes = line.starts_with('|').then(|| line.matches('|').count());
        if let (Some(head), Some(row)) = (columns, pipes) {
            assert_eq!(head, row, "{at}: {line}");
        }
        columns = pipes;
        assert!(!line.contains("report-markdown") && !line.contains('`') && !line.contains('\u{1b}'), "{at}: {line}");
    }
    assert!(open == 0 && !in_block, "{at}: something is not closed");
}

fn texts() -> Texts {
    Texts::new(Lang::En)
}

/// A run with these outcomes, each of them failed with this reason and evidence.
fn failing(count: usize, reason: &str, evidence: &Value) -> Vec<Record> {
    let mut pen = Pen::new(Fidelity::Simulated);
    let Event::RunStarted { outcomes, .. } = &mut pen.records[0].event else { panic!("the first record starts the run") };
    *outcomes = (0..count)
        .map(|n| OutcomeInfo {
            id: format!("istio.many.n{n}"),
            title: "One of many".into(),
            kind: OutcomeKind::Documented,
            section: Some("2.2".into()),
            sentence: Some(reason.into()),
            hint: reason.into(),
        })
        .collect();
    let diagnosis =
        Diagnosis { rule: "P1".into(), confidence: Confidence::Certain, cause: reason.into(), remedy: reason.into(), seen: reason.into() };
    for n in 0..count {
        let verdict = Verdict::Failed { reason: reason.into() };
        pen.judge(&format!("istio.many.n{n}"), 1, verdict, evidence.clone(), vec![diagnosis.clone(); 5]);
    }
    pen.end(1)
}

#[test]
fn every_kind_of_run_has_a_summary() {
    for (name, records) in testing::all() {
        let markdown = render(&Summary::fold(&records), &texts());
        assert_sound(&markdown, name);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../../../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("report-markdown-{name}"), markdown));
    }
}

#[test]
fn five_hundred_failures_with_huge_evidence_are_all_there_and_fit() {
    let evidence = json!({"log": "<a|b`c> ".repeat(20_000), "nested": {"a": ["x".repeat(1_000), 1]}});
    let markdown = render(&Summary::fold(&failing(500, &"word & ".repeat(2_000), &evidence)), &texts());
    assert_sound(&markdown, "500");
    assert_eq!(markdown.matches("<details>").count(), 499, "the first failure stands by itself, and nothing is left out");
    assert!(markdown.len() > LIMIT / 10, "{}", markdown.len());
}

#[test]
fn what_does_not_fit_is_counted() {
    for (count, reason) in [(10_000, "short"), (10_000, "@<&|`*_"), (3_000, "全部都失败了")] {
        for limit in [LEAST, LIMIT] {
            let markdown = render_within(&Summary::fold(&failing(count, reason, &json!({"a": reason}))), &texts(), limit);
            assert_sound(&markdown, reason);
            assert!(markdown.len() <= limit, "{}", markdown.len());
            let shown = markdown.matches("<details>").count() + 1;
            assert!(
                shown > 50 && shown < count && markdown.contains(&format!("… and {} more, left out here", count - shown)),
                "{shown} of {count}"
            );
        }
    }
}

#[test]
fn nothing_in_a_journal_makes_it_outgrow_its_limit() {
    // Each character takes five bytes once it is escaped.
    let hostile = "@|".repeat(5_000);
    let mut pen = Pen::new(Fidelity::Real);
    let Event::RunStarted { command, backend, run, meshproof, .. } = &mut pen.records[0].event else { panic!() };
    for text in [command, backend, run, meshproof] {
        text.clone_from(&hostile);
    }
    let diagnosis = Diagnosis {
        rule: hostile.clone(),
        confidence: Confidence::Possible,
        cause: hostile.clone(),
        remedy: hostile.clone(),
        seen: hostile.clone(),
    };
    for n in 0..300 {
        let id = format!("{n}{hostile}");
        pen.write(Event::Fact { name: id.clone(), value: hostile.clone() });
        pen.write(Event::StandIn { component: id.clone(), image: hostile.clone() });
        pen.write(Event::Warning { message: id.clone() });
        pen.write(Event::StageStarted { stage: format!("{id} runs") });
        pen.write(Event::StageProgress { stage: id.clone(), status: hostile.clone() });
        let failed =
            StageResult::Failed { error: vec![hostile.clone(); 50], hint: Some(hostile.clone()), diagnoses: vec![diagnosis.clone(); 20] };
        pen.write(Event::StageFinished { stage: id.clone(), duration_ms: 1, result: failed });
        pen.judge(&format!("a.{id}"), 1, Verdict::Failed { reason: hostile.clone() }, json!({"x": hostile}), vec![diagnosis.clone(); 9]);
        pen.judge(&format!("b.{id}"), 1, Verdict::Blocked { by: format!("{}{hostile}", n % 7) }, json!({}), vec![]);
        pen.judge(&format!("c.{id}"), 1, Verdict::Skipped { reason: id.clone() }, json!({}), vec![]);
        let unsupported = Verdict::Unsupported { capability: hostile.clone(), reason: hostile.clone() };
        pen.judge(&format!("d.{id}"), 1, unsupported, json!({}), vec![]);
        pen.write(Event::OutcomeStarted { outcome: format!("e.{id}"), info: None });
    }
    pen.write(Event::Collected { dir: hostile.clone(), files: 1, bytes: 1, left_out: 0 });
    let summary = Summary::fold(&pen.end(130));
    for limit in [0, LEAST, LIMIT] {
        let markdown = render_within(&summary, &texts(), limit);
        assert_sound(&markdown, "hostile");
        assert!(markdown.len() <= limit.max(LEAST), "{} of {limit}", markdown.len());
    }
}

#[test]
fn a_simulated_run_cannot_be_taken_for_a_real_one() {
    let markdown = render(&Summary::fold(&testing::outcomes_failed()), &texts());
    assert!(markdown.lines().take(4).any(|l| l.starts_with("> **SIMULATED")), "{markdown}");
    let chinese = render(&Summary::fold(&testing::outcomes_failed()), &Texts::new(Lang::ZhCn));
    assert_sound(&chinese, "zh-CN");
    assert!(chinese.contains("> **模拟") && chinese.contains("保真度：模拟"), "{chinese}");
}
