//! What verdicts add up to: their counts, and the exit code that they ask for.

use std::collections::BTreeSet;

use crate::guide::{Looked, looked};
use crate::journal::Verdict;

use super::expected::Ruling;
use super::fold::{OutcomeSummary, StageSummary, Summary};

/// Outcomes by verdict. They always add up to the number of outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The claim holds.
    pub passed: usize,
    /// The claim does not hold.
    pub failed: usize,
    /// A stage that they need failed.
    pub blocked: usize,
    /// Someone asked to leave them out.
    pub skipped: usize,
    /// The environment lacks a capability.
    pub unsupported: usize,
    /// The claim does not hold, as an entry of the ledger says.
    pub expected: usize,
    /// The claim holds although an entry of the ledger says that it does not.
    pub unexpected: usize,
    /// No verdict was recorded.
    pub not_judged: usize,
    /// Those of `failed` that are of kind defect, which never gate.
    pub failed_not_gating: usize,
}

impl Summary {
    /// Outcomes by verdict.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for outcome in &self.outcomes {
            match (outcome.ruling(), outcome.verdict()) {
                (Some(Ruling::ExpectedFailure), _) => counts.expected += 1,
                (Some(Ruling::UnexpectedPass), _) => counts.unexpected += 1,
                (None, None) => counts.not_judged += 1,
                (None, Some(Verdict::Passed)) => counts.passed += 1,
                (None, Some(Verdict::Failed { .. })) => {
                    counts.failed += 1;
                    counts.failed_not_gating += usize::from(!outcome.gates());
                }
                (None, Some(Verdict::Blocked { .. })) => counts.blocked += 1,
                (None, Some(Verdict::Skipped { .. })) => counts.skipped += 1,
                (None, Some(Verdict::Unsupported { .. })) => counts.unsupported += 1,
            }
        }
        counts
    }
}

impl Summary {
    /// How far the run has looked at what the guide says: what passed or failed was looked at.
    #[must_use]
    pub fn guide(&self) -> Looked {
        let judged: BTreeSet<&str> = self
            .outcomes
            .iter()
            .filter(|o| matches!(o.verdict(), Some(Verdict::Passed | Verdict::Failed { .. })))
            .map(|o| o.info.id.as_str())
            .collect();
        looked(|id| judged.contains(id))
    }
}

/// The exit code that the verdicts ask for: 3 a stage failed; 1 a gating outcome failed, passed unexpectedly, is blocked though every
/// stage is fine, or has outlived its entry of the ledger; else 0. `strict` makes skipped and unsupported outcomes gate too.
///
/// This judges what is recorded so far, which a command needs before it writes [`crate::journal::Event::RunFinished`]. The exit code of
/// a run that ended is [`Summary::finished`], since teardown and interruption have a say in it as well.
#[must_use]
pub fn exit_code(summary: &Summary, strict: bool) -> u8 {
    if summary.stages.iter().any(StageSummary::failed) {
        return 3;
    }
    let bad = |outcome: &OutcomeSummary| match outcome.verdict() {
        None => false,
        Some(_) if outcome.expired() => true,
        Some(Verdict::Passed) => outcome.ruling() == Some(Ruling::UnexpectedPass),
        Some(Verdict::Failed { .. }) => outcome.ruling() != Some(Ruling::ExpectedFailure),
        Some(Verdict::Blocked { .. }) => true,
        Some(Verdict::Skipped { .. } | Verdict::Unsupported { .. }) => strict,
    };
    u8::from(summary.outcomes.iter().any(|outcome| outcome.gates() && bad(outcome)))
}
