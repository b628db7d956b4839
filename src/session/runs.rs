//! The runs whose journals a session keeps, by their age.

use std::io::BufRead;
use std::path::Path;

use jiff::Timestamp;

use super::Session;
use crate::journal::{self, Event};

/// A run of a session that left a journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PastRun {
    /// When it began.
    pub began: Timestamp,
    /// Its id.
    pub id: String,
    /// The subcommand.
    pub command: String,
    /// Whether it announced stages or outcomes; tests judge outcomes that they do not announce.
    pub announced: bool,
}

impl Session {
    /// The runs with a readable first record, newest first. Only that record is read: a session may have many runs, and journals are long.
    #[must_use]
    pub fn past_runs(&self) -> Vec<PastRun> {
        // Ids of runs are as fine as a second, records as fine as the clock.
        let mut runs: Vec<PastRun> = self.runs().into_iter().filter_map(|id| first(&self.journal(&id), id)).collect();
        runs.sort_by(|a, b| b.cmp(a));
        runs
    }

    /// The newest run that provisioned or judged something, or set out to; `None` where there is none.
    #[must_use]
    pub fn newest_work(&self) -> Option<PastRun> {
        self.past_runs().into_iter().find(|run| run.announced || self.did_something(&run.id))
    }

    fn did_something(&self, run: &str) -> bool {
        let did =
            |event: &Event| matches!(event, Event::StageStarted { .. } | Event::OutcomeStarted { .. } | Event::OutcomeFinished { .. });
        journal::read(&self.journal(run)).is_ok_and(|records| records.iter().any(|record| did(&record.event)))
    }
}

fn first(journal: &Path, id: String) -> Option<PastRun> {
    let mut line = Vec::new();
    std::io::BufReader::new(std::fs::File::open(journal).ok()?).read_until(b'\n', &mut line).ok()?;
    let first = journal::parse(&line).into_iter().next()?;
    match first.event {
        Event::RunStarted { command, stages, outcomes, .. } => {
            Some(PastRun { began: first.at, id, command, announced: !stages.is_empty() || !outcomes.is_empty() })
        }
        _ => None,
    }
}
