//! A failed outcome in words.

use super::{Judged, Outcome};
use crate::journal::Verdict;

/// Lines of evidence in a message; the rest is counted.
const EVIDENCE_LINES: usize = 60;

/// What a person needs to know about an outcome that does not hold.
#[must_use]
pub fn failure(outcome: &Outcome, judged: &Judged) -> String {
    let info = outcome.info();
    let why = match &judged.verdict {
        Verdict::Failed { reason } => reason.clone(),
        Verdict::Blocked { by } => format!("blocked by {by}"),
        other => format!("{other:?}"),
    };
    let mut text = format!("FAILED {}: {}\n  reason: {why}\n", info.id, info.title);
    if let (Some(section), Some(sentence)) = (&info.section, &info.sentence) {
        text += &format!("  guide {section}: «{sentence}»\n");
    }
    for diagnosis in &judged.diagnoses {
        text += &format!("  diagnosis {}: {} {}\n    seen: {}\n", diagnosis.label(), diagnosis.cause, diagnosis.remedy, diagnosis.seen);
    }
    text += &format!("  hint: {}\n  evidence:\n", info.hint);
    let evidence = serde_json::to_string_pretty(&judged.evidence).unwrap_or_else(|e| e.to_string());
    for line in evidence.lines().take(EVIDENCE_LINES) {
        text += &format!("    {line}\n");
    }
    let more = evidence.lines().count().saturating_sub(EVIDENCE_LINES);
    if more > 0 {
        text += &format!("    … {more} more lines\n");
    }
    text
}
