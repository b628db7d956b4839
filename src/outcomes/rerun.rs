//! What an earlier run left to judge again.

use std::collections::BTreeSet;

use crate::journal::{self, Event, JournalError, Record, Verdict};
use crate::report::{Ruling, Summary};
use crate::session::Session;

/// What a run did not end well: what failed without being expected to, what passed although it was expected to fail, what was blocked, and
/// what has no verdict because the journal was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerun {
    /// Id of that run.
    pub run: String,
    /// Ids of those outcomes.
    pub outcomes: BTreeSet<String>,
}

impl Rerun {
    /// From the journal of a run; `None` where it announced no outcomes, as `up` does.
    #[must_use]
    pub fn of(records: &[Record]) -> Option<Self> {
        let (run, mut outcomes) = records.iter().find_map(|record| announced(&record.event))?;
        for outcome in Summary::fold(records).outcomes {
            let Some(verdict) = outcome.verdict() else { continue };
            let id = outcome.info.id.clone();
            match (outcome.ruling(), verdict) {
                (Some(Ruling::UnexpectedPass), _) | (None, Verdict::Failed { .. } | Verdict::Blocked { .. }) => outcomes.insert(id),
                (Some(Ruling::ExpectedFailure) | None, _) => outcomes.remove(&id),
            };
        }
        Some(Self { run, outcomes })
    }

    /// From the last run of a session that judged outcomes, however it ended; `None` where there is none.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn find(session: &Session) -> Result<Option<Self>, JournalError> {
        let Some(last) = session.past_runs().into_iter().find(|run| run.outcomes > 0) else { return Ok(None) };
        Ok(Self::of(&journal::read(&session.journal(&last.id))?))
    }
}

fn announced(event: &Event) -> Option<(String, BTreeSet<String>)> {
    match event {
        Event::RunStarted { run, outcomes, .. } if !outcomes.is_empty() => {
            Some((run.clone(), outcomes.iter().map(|outcome| outcome.id.clone()).collect()))
        }
        _ => None,
    }
}
