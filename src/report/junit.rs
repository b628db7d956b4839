//! `JUnit` XML for CI systems, as the schema of Jenkins has it (`jenkins-junit.xsd`), which GitHub's and GitLab's readers accept as well: a case has
//! no properties there, so what it claims is its output. Provisioning stages are cases too, so that a failed setup is one error and not a hundred failures.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::journal::{Diagnosis, StageResult, Verdict};

use super::expected::{Expectation, Ruling};
use super::fold::{OutcomeState, OutcomeSummary, StageState, StageSummary, Summary, exit_code};
use super::layout::{clean, one_line};

/// Renders a folded journal. What gates is an error (stages, outcomes without a verdict) or a failure (outcomes); what does not
/// gate is skipped with its reason, so a CI system is red exactly when the exit code is not 0.
///
/// # Errors
/// When the XML writer fails, which it does not for text that was cleaned as here.
pub fn render(summary: &Summary) -> Result<String, SerializeError> {
    let mut report = Report::new("meshproof");
    report.set_time(Duration::from_millis(summary.duration_ms()));
    let mut provisioning = suite(summary, "provisioning");
    let mut time = 0;
    for stage in &summary.stages {
        let mut case = TestCase::new(one_line(&stage.info.id), stage_status(summary, stage));
        case.set_classname("provisioning");
        if let StageState::Finished { duration_ms, .. } = stage.state {
            case.set_time(Duration::from_millis(duration_ms));
            time += duration_ms;
        }
        case.set_system_out(clean(&stage.info.title));
        provisioning.add_test_case(case);
    }
    if let Some(status) = run_status(summary) {
        let mut case = TestCase::new("run", status);
        case.set_classname("provisioning");
        provisioning.add_test_case(case);
    }
    provisioning.set_time(Duration::from_millis(time));
    report.add_test_suite(provisioning);

    let stage_failed = summary.stages.iter().any(StageSummary::failed);
    for (chapter, outcomes) in summary.chapters() {
        let mut suite = suite(summary, chapter);
        let mut time = 0;
        for outcome in outcomes {
            let mut case = TestCase::new(one_line(&outcome.info.id), outcome_status(summary, outcome, stage_failed));
            case.set_classname(one_line(chapter));
            if let OutcomeState::Judged { duration_ms, .. } = outcome.state {
                case.set_time(Duration::from_millis(duration_ms));
                time += duration_ms;
            }
            let mut says = outcome.info.title.clone();
            if let (Some(section), Some(sentence)) = (&outcome.info.section, &outcome.info.sentence) {
                says.push_str(&format!("\nguide {section}: {sentence}"));
            }
            case.set_system_out(clean(&says));
            suite.add_test_case(case);
        }
        suite.set_time(Duration::from_millis(time));
        report.add_test_suite(suite);
    }
    let mut xml = report.to_string()?;
    // The schemas know this attribute on a suite only; no reader misses what can be added up.
    let root = xml.find("<testsuites").and_then(|start| Some(start..start + xml[start..].find('>')?));
    if let Some(root) = root
        && let Some(skipped) = xml[root.clone()].find(" skipped=\"")
        && let Some(length) = xml[root.start + skipped..].match_indices('"').nth(1).map(|(at, _)| at + 1)
    {
        xml.replace_range(root.start + skipped..root.start + skipped + length, "");
    }
    Ok(xml)
}

/// A suite that says what it was run against; tools tear suites apart, so each says it.
fn suite(summary: &Summary, name: &str) -> TestSuite {
    let mut suite = TestSuite::new(one_line(name));
    suite.timestamp = summary.started.and_then(|at| at.to_string().parse().ok());
    if let Some(run) = &summary.run {
        suite.add_property(Property::new("fidelity", run.fidelity.word()));
        suite.add_property(Property::new("backend", one_line(&run.backend)));
        suite.add_property(Property::new("run", one_line(&run.run)));
        suite.add_property(Property::new("meshproof", one_line(&run.meshproof)));
    }
    if !summary.not_selected.is_empty() {
        suite.add_property(Property::new("not-selected", summary.not_selected.len().to_string()));
    }
    for (name, value) in &summary.facts {
        suite.add_property(Property::new(format!("fact.{}", one_line(name)), one_line(value)));
    }
    for (component, image) in &summary.stand_ins {
        suite.add_property(Property::new(format!("stand-in.{}", one_line(component)), one_line(image)));
    }
    suite
}

/// An error for what no stage or outcome accounts for: a cut journal, or an exit code that comes from elsewhere (teardown).
/// Without it such a run could be green.
fn run_status(summary: &Summary) -> Option<TestCaseStatus> {
    let (ty, message) = match summary.finished {
        _ if summary.interrupted() => ("interrupted", "the run was interrupted".to_owned()),
        Some(f) if f.exit_code != 0 && exit_code(summary, summary.strict()) == 0 => {
            ("exit-code", format!("the command ended with exit {}", f.exit_code))
        }
        _ => return None,
    };
    Some(bad(NonSuccessKind::Error, ty, &message, ""))
}

fn stage_status(summary: &Summary, stage: &StageSummary) -> TestCaseStatus {
    match &stage.state {
        StageState::Finished { result, .. } => match result {
            StageResult::Already | StageResult::Provisioned => TestCaseStatus::success(),
            StageResult::NotNeeded => skipped("not needed: the spec does not ask for it"),
            StageResult::Blocked { by } => skipped(&format!("blocked by stage {by}")),
            StageResult::Failed { error, hint, diagnoses } => {
                let mut text = error.join("\ncaused by: ");
                if let Some(status) = &stage.status {
                    text.push_str(&format!("\nlast status: {status}"));
                }
                explain(&mut text, diagnoses, hint.as_deref());
                bad(NonSuccessKind::Error, "stage-failed", error.first().map_or("failed", String::as_str), &text)
            }
        },
        StageState::Running { .. } => {
            let status = stage.status.as_deref().unwrap_or("no status was recorded");
            bad(NonSuccessKind::Error, "interrupted", "interrupted while in progress", &format!("last status: {status}"))
        }
        StageState::Pending if summary.interrupted() => skipped("not started: the run was interrupted"),
        StageState::Pending => skipped("not part of this command"),
    }
}

fn outcome_status(summary: &Summary, outcome: &OutcomeSummary, stage_failed: bool) -> TestCaseStatus {
    let OutcomeState::Judged { verdict, evidence, diagnoses, .. } = &outcome.state else {
        return match (summary.interrupted(), outcome.gates()) {
            (true, true) => bad(NonSuccessKind::Error, "interrupted", "not judged: the run was interrupted", ""),
            (true, false) => skipped("not judged: the run was interrupted"),
            (false, _) => skipped("not judged by this command"),
        };
    };
    let strict = summary.strict() && outcome.gates();
    if let Some(status) = ledger_status(outcome, verdict) {
        return status;
    }
    let strictly = |ty: &str, message: &str| bad(NonSuccessKind::Failure, ty, &format!("{message} (strict)"), &outcome.info.hint);
    match verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed { reason } if !outcome.gates() => skipped(&format!("failed, but outcomes of kind defect do not gate: {reason}")),
        Verdict::Failed { reason } => {
            let mut text = serde_json::to_string_pretty(evidence).unwrap_or_default();
            explain(&mut text, diagnoses, Some(&outcome.info.hint));
            bad(NonSuccessKind::Failure, "failed", reason, &text)
        }
        // The stage's own case carries the error; to repeat it for all that depends on it would bury it.
        Verdict::Blocked { by } if stage_failed || !outcome.gates() => skipped(&format!("blocked by stage {by}")),
        Verdict::Blocked { by } => {
            bad(NonSuccessKind::Failure, "blocked", &format!("blocked by stage {by} although no stage failed"), &outcome.info.hint)
        }
        Verdict::Skipped { reason } if strict => strictly("skipped", &format!("skipped: {reason}")),
        Verdict::Skipped { reason } => skipped(&format!("skipped: {reason}")),
        Verdict::Unsupported { capability, reason } if strict => {
            strictly("unsupported", &format!("unsupported: needs {capability}: {reason}"))
        }
        Verdict::Unsupported { capability, reason } => skipped(&format!("unsupported: needs {capability}: {reason}")),
    }
}

/// What an entry of the ledger makes of a verdict, where it changes it.
fn ledger_status(outcome: &OutcomeSummary, verdict: &Verdict) -> Option<TestCaseStatus> {
    let Expectation { entry, expired } = outcome.expected.as_ref()?;
    let until = format!("until {} ({}): {}", entry.expires, entry.owner, entry.reason);
    let (ty, message) = match (outcome.ruling(), verdict) {
        (Some(Ruling::ExpectedFailure), Verdict::Failed { reason }) => {
            return Some(skipped(&format!("expected failure {until}: {reason}")));
        }
        (Some(_), _) => ("unexpected-pass", format!("passed, but is expected to fail {until}")),
        // A failure says more than that nobody expects it any longer.
        (None, Verdict::Failed { .. }) => return None,
        (None, _) if *expired => ("ledger-expired", format!("{}; the entry of the ledger has expired: {until}", outcome.word()?)),
        (None, _) => return None,
    };
    Some(if outcome.gates() { bad(NonSuccessKind::Failure, ty, &message, "") } else { skipped(&message) })
}

fn explain(text: &mut String, diagnoses: &[Diagnosis], hint: Option<&str>) {
    for d in diagnoses {
        text.push_str(&format!("\ndiagnosis {}: {}\n  seen: {}\n  remedy: {}", d.label(), d.cause, d.seen, d.remedy));
    }
    if let Some(hint) = hint.filter(|h| !h.is_empty()) {
        text.push_str(&format!("\nhint: {hint}"));
    }
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(one_line(message));
    status
}

fn bad(kind: NonSuccessKind, ty: &str, message: &str, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ty).set_message(one_line(message));
    if !text.is_empty() {
        status.set_description(clean(text));
    }
    status
}
