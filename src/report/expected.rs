//! What an entry of the ledger of expected failures makes of a verdict. The journal holds the verdict as it was.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::journal::{Expected, Verdict};

use super::fold::OutcomeSummary;

/// The entry of the ledger that applies to an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The entry.
    pub entry: Expected,
    /// Whether its last day was over when the run began: a report that is made later says the same.
    pub expired: bool,
}

impl Expectation {
    /// The entry as it stands for a run that began at `started`.
    pub(super) fn of(entry: &Expected, started: Timestamp) -> Self {
        Self { entry: entry.clone(), expired: entry.expires < started.to_zoned(TimeZone::UTC).date() }
    }
}

/// What an entry makes of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It failed, as expected.
    ExpectedFailure,
    /// It passed, so that the entry says what is no longer true, whether it has expired or not.
    UnexpectedPass,
}

impl OutcomeSummary {
    /// What the ledger makes of the verdict; `None` where the verdict stands as it is. An entry that has expired excuses no failure.
    #[must_use]
    pub fn ruling(&self) -> Option<Ruling> {
        match (self.verdict()?, self.expected.as_ref()?) {
            (Verdict::Failed { .. }, Expectation { expired: false, .. }) => Some(Ruling::ExpectedFailure),
            (Verdict::Passed, _) => Some(Ruling::UnexpectedPass),
            _ => None,
        }
    }

    /// Whether the entry that applies to it has expired: somebody has to renew it or to remove it, whatever the verdict.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.expected.as_ref().is_some_and(|e| e.expired)
    }

    /// The text that says what became of its entry, by key, with its arguments; `None` where there is no entry.
    pub(super) fn ledger_text(&self) -> Option<(&'static str, [(&'static str, String); 4])> {
        let Expectation { entry, expired } = self.expected.as_ref()?;
        let key = match (self.ruling(), *expired) {
            (Some(Ruling::ExpectedFailure), _) => "report-ledger-failed",
            (Some(Ruling::UnexpectedPass), _) => "report-ledger-passed",
            (None, true) => "report-ledger-expired",
            (None, false) => "report-ledger-unseen",
        };
        let args = [("id", &self.info.id), ("expires", &entry.expires.to_string()), ("owner", &entry.owner), ("reason", &entry.reason)];
        Some((key, args.map(|(name, value)| (name, value.clone()))))
    }

    /// The word for its verdict, with what the ledger makes of it; `None` where there is none yet.
    #[must_use]
    pub fn word(&self) -> Option<&'static str> {
        Some(match (self.ruling(), self.verdict()?) {
            (Some(Ruling::ExpectedFailure), _) => "expected-failure",
            (Some(Ruling::UnexpectedPass), _) => "unexpected-pass",
            (None, Verdict::Passed) => "passed",
            (None, Verdict::Failed { .. }) => "failed",
            (None, Verdict::Blocked { .. }) => "blocked",
            (None, Verdict::Skipped { .. }) => "skipped",
            (None, Verdict::Unsupported { .. }) => "unsupported",
        })
    }
}
