//! The runs whose journals a session keeps, by their age.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use jiff::Timestamp;

use super::Session;
use crate::journal::{self, Event, StageResult};

/// Runs that say how long a stage typically takes.
const TYPICAL: usize = 10;

/// A run of a session that left a journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PastRun {
    /// When it began.
    pub began: Timestamp,
    /// Its id.
    pub id: String,
    /// The subcommand.
    pub command: String,
    /// Where the cluster came from.
    pub backend: String,
    /// How many stages it announced.
    pub stages: usize,
    /// How many outcomes it announced; tests judge outcomes that they do not announce.
    pub outcomes: usize,
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
        self.past_runs().into_iter().find(|run| run.stages + run.outcomes > 0 || self.did_something(&run.id))
    }

    /// The median of the milliseconds that each stage took in the last runs of this backend that provisioned it, by stage id.
    #[must_use]
    pub fn typical_stages(&self, backend: &str) -> BTreeMap<String, u64> {
        let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for run in self.past_runs().into_iter().filter(|run| run.stages > 0 && run.backend == backend).take(TYPICAL) {
            for record in journal::read(&self.journal(&run.id)).unwrap_or_default() {
                if let Event::StageFinished { stage, duration_ms, result: StageResult::Provisioned } = record.event {
                    times.entry(stage).or_default().push(duration_ms);
                }
            }
        }
        let median = |mut times: Vec<u64>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        times.into_iter().map(|(stage, times)| (stage, median(times))).collect()
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
        Event::RunStarted { command, backend, stages, outcomes, .. } => {
            Some(PastRun { began: first.at, id, command, backend, stages: stages.len(), outcomes: outcomes.len() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{FORMAT_VERSION, Fidelity, Journal, StageInfo};

    fn run(session: &Session, id: &str, command: &str, backend: &str, stages: &[u64]) {
        let journal = Journal::create(&session.journal(id)).unwrap();
        let info = |id: &str| StageInfo { id: id.into(), title: id.into(), needs: vec![] };
        journal.write(Event::RunStarted {
            format: FORMAT_VERSION,
            run: id.into(),
            session: "s".into(),
            meshproof: "0".into(),
            command: command.into(),
            backend: backend.into(),
            fidelity: Fidelity::Real,
            spec: serde_json::json!({}),
            stages: stages.iter().map(|_| info("istio")).collect(),
            outcomes: vec![],
            not_selected: vec![],
            strict: false,
        });
        for time in stages {
            journal.write(Event::StageFinished { stage: "istio".into(), duration_ms: *time, result: StageResult::Provisioned });
            journal.write(Event::StageFinished { stage: "nodes".into(), duration_ms: *time, result: StageResult::Already });
        }
    }

    #[test]
    fn the_newest_run_that_did_something_is_found_and_stages_have_typical_times() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::at(dir.path());
        assert_eq!((session.past_runs(), session.newest_work(), session.typical_stages("kind")), (vec![], None, BTreeMap::new()));
        run(&session, "z", "up", "kind", &[30]);
        run(&session, "y", "up", "kind", &[10]);
        run(&session, "x", "up", "kind", &[20]);
        run(&session, "w", "up", "embedded", &[1]);
        run(&session, "v", "collect", "kind", &[]);
        // A run that was killed before it wrote a whole record.
        std::fs::create_dir_all(session.journal("u").parent().unwrap()).unwrap();
        std::fs::write(session.journal("u"), "{\"seq\":0").unwrap();
        let ids: Vec<String> = session.past_runs().into_iter().map(|run| run.id).collect();
        assert_eq!(ids, ["v", "w", "x", "y", "z"], "by time, not by name");
        assert_eq!(session.newest_work().map(|run| run.id).as_deref(), Some("w"), "a collect has nothing to report");
        assert_eq!(session.typical_stages("kind"), BTreeMap::from([("istio".to_owned(), 20)]), "what was there already took no time");
        // A test judges what it does not announce.
        run(&session, "t", "suites", "kind", &[]);
        let judged = "{\"seq\":1,\"at\":\"2026-11-03T08:00:00Z\",\"event\":\"outcome-started\",\"outcome\":\"a.b.c\"}\n";
        let mut bytes = std::fs::read(session.journal("t")).unwrap();
        bytes.extend(judged.as_bytes());
        std::fs::write(session.journal("t"), bytes).unwrap();
        assert_eq!(session.newest_work().map(|run| run.id).as_deref(), Some("t"));
    }
}
