//! How the verdicts of two runs differ, and what they saw.

use serde::Serialize;

use crate::journal::Verdict;
use crate::report::fold::{OutcomeState, OutcomeSummary, Summary};

use super::normal;

/// How an outcome differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeChanged {
    /// It fails, and did not, or nobody expects it any longer.
    NewFailure,
    /// It passes although the ledger says that it fails.
    UnexpectedPass,
    /// A stage that it needs failed.
    NewlyBlocked,
    /// It has no verdict, since the run was cut or did not select it.
    NewlyNotJudged,
    /// Somebody asked to leave it out.
    NewlySkipped,
    /// The environment lacks a capability that it needs.
    NewlyUnsupported,
    /// It is not in the catalogue of the second run.
    Removed,
    /// It fails, and the ledger says so.
    ExpectedFailure,
    /// It failed or was blocked, and passes.
    Fixed,
    /// It had no verdict of its own, and passes.
    NewlyJudged,
    /// It is not in the catalogue of the first run.
    Added,
    /// The verdicts differ, and neither says whether the claim holds.
    Other,
}

/// An outcome whose verdict is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeChange {
    /// Its id.
    pub id: String,
    /// What it claims.
    pub title: String,
    /// How it differs.
    pub change: OutcomeChanged,
    /// Its verdict before, `not-judged` or `not-selected`; `None` where there was no such outcome.
    pub before: Option<&'static str>,
    /// The same after.
    pub after: Option<&'static str>,
    /// Why it has the verdict of the second run, where that says so.
    pub reason: Option<String>,
    /// Whether it can turn the exit code of a run.
    pub gates: bool,
    /// Whether it gates, and newly fails, passes unexpectedly or is blocked, or is no longer judged though it was.
    pub worse: bool,
}

/// What an outcome saw that differs; in both runs it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputChange {
    /// Id of the outcome.
    pub outcome: String,
    /// Path of the evidence; `[]` stands for the entries of a list.
    pub path: String,
    /// Lines that are no longer there, normalised.
    pub removed: Vec<String>,
    /// Lines that are new, normalised.
    pub added: Vec<String>,
}

const NOT_SELECTED: &str = "not-selected";
const NOT_JUDGED: &str = "not-judged";

fn find<'a>(summary: &'a Summary, id: &str) -> Option<&'a OutcomeSummary> {
    summary.outcomes.iter().find(|o| o.info.id == id)
}

/// The word for where an outcome stands in a run; `None` where the run does not know it.
fn word(summary: &Summary, id: &str) -> Option<&'static str> {
    match find(summary, id) {
        Some(outcome) => Some(outcome.word().unwrap_or(NOT_JUDGED)),
        None => summary.not_selected.iter().any(|other| other == id).then_some(NOT_SELECTED),
    }
}

/// Whether a verdict says that a claim holds or not.
fn is_seen(word: &str) -> bool {
    matches!(word, "passed" | "failed" | "expected-failure" | "unexpected-pass")
}

fn changed(before: Option<&str>, after: Option<&str>) -> OutcomeChanged {
    let Some(after) = after else { return OutcomeChanged::Removed };
    match (before, after) {
        (_, "failed") => OutcomeChanged::NewFailure,
        (_, "unexpected-pass") => OutcomeChanged::UnexpectedPass,
        (_, "blocked") => OutcomeChanged::NewlyBlocked,
        (None, _) => OutcomeChanged::Added,
        (Some(before), NOT_JUDGED | NOT_SELECTED) if is_seen(before) || before == "blocked" => OutcomeChanged::NewlyNotJudged,
        (_, "skipped") => OutcomeChanged::NewlySkipped,
        (_, "unsupported") => OutcomeChanged::NewlyUnsupported,
        (_, "expected-failure") => OutcomeChanged::ExpectedFailure,
        (Some("failed" | "blocked" | "expected-failure" | "unexpected-pass"), "passed") => OutcomeChanged::Fixed,
        (_, "passed") => OutcomeChanged::NewlyJudged,
        _ => OutcomeChanged::Other,
    }
}

/// Outcomes whose verdict is another one, the worse kinds of change first, and those that failed in both.
pub(super) fn verdicts(before: &Summary, after: &Summary) -> (Vec<OutcomeChange>, Vec<String>) {
    let ids = |summary: &Summary| -> Vec<String> {
        summary.outcomes.iter().map(|o| o.info.id.clone()).chain(summary.not_selected.iter().cloned()).collect()
    };
    let mut all = ids(after);
    for id in ids(before) {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    let (mut changes, mut still_failing) = (Vec::new(), Vec::new());
    for id in all {
        let (was, is) = (word(before, &id), word(after, &id));
        if was == is {
            still_failing.extend((is == Some("failed")).then_some(id));
            continue;
        }
        let change = changed(was, is);
        let known = find(after, &id).or_else(|| find(before, &id));
        // What neither run judged and nobody knows the kind of gates: it is not waved through.
        let gates = known.is_none_or(OutcomeSummary::gates);
        let worse = match change {
            OutcomeChanged::NewFailure | OutcomeChanged::UnexpectedPass | OutcomeChanged::NewlyBlocked => true,
            OutcomeChanged::NewlyNotJudged | OutcomeChanged::NewlySkipped | OutcomeChanged::NewlyUnsupported => was.is_some_and(is_seen),
            // An outcome that was left out cannot be missed.
            OutcomeChanged::Removed => was.is_some_and(|was| is_seen(was) || was == "blocked"),
            OutcomeChanged::ExpectedFailure
            | OutcomeChanged::Fixed
            | OutcomeChanged::NewlyJudged
            | OutcomeChanged::Added
            | OutcomeChanged::Other => false,
        };
        changes.push(OutcomeChange {
            title: known.map_or_else(|| id.clone(), |o| o.info.title.clone()),
            change,
            before: was,
            after: is,
            reason: find(after, &id).and_then(OutcomeSummary::verdict).and_then(reason),
            gates,
            worse: worse && gates,
            id,
        });
    }
    // A stable sort: within a kind of change the order of the catalogue.
    changes.sort_by_key(|c| (c.change, !c.gates));
    (changes, still_failing)
}

fn reason(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Passed => None,
        Verdict::Failed { reason } | Verdict::Skipped { reason } => Some(reason.clone()),
        Verdict::Blocked { by } => Some(by.clone()),
        Verdict::Unsupported { capability, reason } => Some(format!("{capability}: {reason}")),
    }
}

/// What outcomes that were judged in both runs saw that differs.
pub(super) fn output(before: &Summary, after: &Summary) -> Vec<OutputChange> {
    let mut out = Vec::new();
    for is in &after.outcomes {
        let states = (find(before, &is.info.id).map(|was| &was.state), &is.state);
        let (Some(OutcomeState::Judged { evidence: was, .. }), OutcomeState::Judged { evidence: seen, .. }) = states else { continue };
        // Who saw nothing has nothing to compare, as what is skipped.
        if was.is_empty() || seen.is_empty() || was == seen {
            continue;
        }
        let (was, seen) = (normal::lines(was), normal::lines(seen));
        let mut paths: Vec<&String> = was.keys().chain(seen.keys()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let none = Vec::new();
            let (was, seen) = (was.get(path).unwrap_or(&none), seen.get(path).unwrap_or(&none));
            let (removed, added) = (without(was, seen), without(seen, was));
            if !(removed.is_empty() && added.is_empty()) {
                out.push(OutputChange { outcome: is.info.id.clone(), path: path.clone(), removed, added });
            }
        }
    }
    out
}

/// The lines of one that the other lacks; a line that is there twice must be there twice.
fn without(lines: &[String], others: &[String]) -> Vec<String> {
    let mut others: Vec<&String> = others.iter().collect();
    let mut left = Vec::new();
    for line in lines {
        match others.iter().position(|other| *other == line) {
            Some(at) => {
                others.swap_remove(at);
            }
            None => left.push(line.clone()),
        }
    }
    left
}
