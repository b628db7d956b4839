//! Outcomes in the terminal report: the line of each, and what the ledger of expected failures says of them.

use super::{Mark, OutcomeState, OutcomeSummary, Page, Row, Tone, Verdict, elapsed_ms, one_line, seconds};
use crate::report::expected::Ruling;

impl Page<'_> {
    /// A line of the table.
    pub(super) fn outcome_row(&self, outcome: &OutcomeSummary) -> Row {
        let mut mark = Mark::of_outcome(outcome);
        let (time, note) = match &outcome.state {
            OutcomeState::Pending => (String::new(), self.text("report-not-judged", &[])),
            OutcomeState::Running { since } => {
                mark = Mark::Running;
                let time = self.summary.last.map_or(0, |last| elapsed_ms(*since, last));
                (seconds(self.texts, time), self.text("report-outcome-running", &[]))
            }
            OutcomeState::Judged { duration_ms, .. } if let Some(ruling) = outcome.ruling() => {
                let key = match ruling {
                    Ruling::ExpectedFailure => "report-expected-failure",
                    Ruling::UnexpectedPass => "report-unexpected-pass",
                };
                (seconds(self.texts, *duration_ms), self.text(key, &[]))
            }
            OutcomeState::Judged { verdict, duration_ms, .. } => match verdict {
                Verdict::Passed => (seconds(self.texts, *duration_ms), String::new()),
                Verdict::Failed { .. } if !outcome.gates() => {
                    (seconds(self.texts, *duration_ms), self.text("report-failed-not-gating", &[]))
                }
                Verdict::Failed { .. } => (seconds(self.texts, *duration_ms), self.text("report-failed", &[])),
                Verdict::Blocked { by } => (String::new(), self.text("report-blocked-by", &[("by", by)])),
                Verdict::Skipped { reason } => (String::new(), self.text("report-skipped", &[("reason", reason)])),
                Verdict::Unsupported { capability, .. } => (String::new(), self.text("report-unsupported", &[("capability", capability)])),
            },
        };
        Row { indent: 4, mark, name: one_line(&outcome.info.id), title: one_line(&outcome.info.title), time, note }
    }

    /// What is expected to fail, and who has to do something about it.
    pub(super) fn ledger(&mut self) {
        let summary = self.summary;
        let mut lines = Vec::new();
        for outcome in &summary.outcomes {
            let Some((key, args)) = outcome.ledger_text() else { continue };
            let mark = match outcome.ruling() {
                Some(Ruling::ExpectedFailure) => Mark::Expected,
                Some(Ruling::UnexpectedPass) => Mark::Unexpected,
                None if outcome.expired() => Mark::Bad,
                None => Mark::Pending,
            };
            lines.push((mark, self.text(key, &args.each_ref().map(|(name, value)| (*name, value.as_str())))));
        }
        if lines.is_empty() {
            return;
        }
        self.heading("report-ledger");
        for (mark, line) in lines {
            let tone: Tone = mark.tone();
            self.labelled(2, mark.symbol(self.style.ascii), Some(tone), &one_line(&line));
        }
    }
}
