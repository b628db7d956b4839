//! What a journal's records add up to: the one structure that every form is rendered from.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use crate::journal::{Diagnosis, Event, Fidelity, OutcomeInfo, OutcomeKind, Record, StageInfo, StageResult, Transcript, Verdict};
use crate::mirror::record::{Access, Asked};

pub use super::counts::{Counts, exit_code};
use super::expected::{Expectation, Ruling};

/// What [`Event::RunStarted`] says about the run, without its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInfo {
    /// Version of the record format.
    pub format: u32,
    /// Run id.
    pub run: String,
    /// Session id.
    pub session: String,
    /// meshproof's version.
    pub meshproof: String,
    /// The subcommand.
    pub command: String,
    /// Backend name.
    pub backend: String,
    /// Real or simulated.
    pub fidelity: Fidelity,
    /// The resolved spec.
    pub spec: Value,
    /// Whether skipped and unsupported outcomes gate.
    pub strict: bool,
}

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq)]
pub enum StageState {
    /// It has not begun.
    Pending,
    /// It began and has not ended.
    Running {
        /// When it began.
        since: Timestamp,
    },
    /// It ended.
    Finished {
        /// How.
        result: StageResult,
        /// Wall time in milliseconds.
        duration_ms: u64,
    },
}

/// A stage and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSummary {
    /// The planned stage.
    pub info: StageInfo,
    /// When it began, for a waterfall; reckoned back from its end where no start was recorded.
    pub started: Option<Timestamp>,
    /// Where it stands.
    pub state: StageState,
    /// The last line of progress.
    pub status: Option<String>,
}

impl StageSummary {
    fn new(info: StageInfo) -> Self {
        Self { info, started: None, state: StageState::Pending, status: None }
    }

    /// Whether it ended well.
    #[must_use]
    pub fn done(&self) -> bool {
        use StageResult::{Already, NotNeeded, Provisioned};
        matches!(self.state, StageState::Finished { result: Already | Provisioned | NotNeeded, .. })
    }

    /// Whether it failed itself; a blocked stage did not.
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self.state, StageState::Finished { result: StageResult::Failed { .. }, .. })
    }
}

/// Where an outcome stands.
#[derive(Debug, Clone, PartialEq)]
pub enum OutcomeState {
    /// Its judging has not begun.
    Pending,
    /// It is being judged.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It was judged.
    Judged {
        /// The verdict.
        verdict: Verdict,
        /// Wall time in milliseconds.
        duration_ms: u64,
        /// What was seen, by name.
        evidence: BTreeMap<String, Value>,
        /// Causes found in the evidence.
        diagnoses: Vec<Diagnosis>,
    },
}

/// An outcome and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeSummary {
    /// What it claims.
    pub info: OutcomeInfo,
    /// Where it stands.
    pub state: OutcomeState,
    /// The entry of the ledger that says that it fails.
    pub expected: Option<Expectation>,
}

impl OutcomeSummary {
    /// The first segment of the id.
    #[must_use]
    pub fn chapter(&self) -> &str {
        self.info.id.split('.').next().unwrap_or_default()
    }

    /// The verdict, once there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.state {
            OutcomeState::Judged { verdict, .. } => Some(verdict),
            OutcomeState::Pending | OutcomeState::Running { .. } => None,
        }
    }

    /// Whether its verdict can turn the exit code: outcomes of kind defect never do.
    #[must_use]
    pub fn gates(&self) -> bool {
        self.info.kind != OutcomeKind::Defect
    }

    /// Whether it failed, and nobody expected that.
    pub(super) fn failed(&self) -> bool {
        matches!(self.verdict(), Some(Verdict::Failed { .. })) && self.ruling().is_none()
    }

    fn blocked(&self) -> bool {
        matches!(self.verdict(), Some(Verdict::Blocked { .. }))
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code.
    pub exit_code: u8,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
}

/// A bundle that was collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Its directory.
    pub dir: String,
    /// How many files it has, with its index.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many things were left out or cut.
    pub left_out: usize,
}

/// What the recorders of a run were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Requests to the mirror.
    pub mirror: usize,
    /// Those of `mirror` that were answered with an error.
    pub mirror_errors: usize,
    /// Bytes that the mirror sent.
    pub bytes: u64,
    /// Requests to the proxy.
    pub proxy: usize,
}

impl Recorded {
    fn add(&mut self, access: &Access) {
        match &access.asked {
            Asked::Mirror { status, bytes, .. } => {
                self.mirror += 1;
                self.mirror_errors += usize::from(*status >= 400);
                self.bytes += bytes;
            }
            Asked::Proxy { .. } => self.proxy += 1,
        }
    }
}

/// The first thing to look at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Failure<'a> {
    /// A stage that failed.
    Stage(&'a StageSummary),
    /// An outcome that failed or is blocked.
    Outcome(&'a OutcomeSummary),
}

/// A folded journal. The default is that of an empty one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// The run; `None` when the journal lacks its first record.
    pub run: Option<RunInfo>,
    /// Time of the first record.
    pub started: Option<Timestamp>,
    /// Time of the last record: for a cut journal the last moment known.
    pub last: Option<Timestamp>,
    /// Facts about the environment, the latest of each name.
    pub facts: BTreeMap<String, String>,
    /// Which objects the environment has, by kind; a kind that could not be listed is not there.
    pub objects: BTreeMap<String, Vec<String>>,
    /// Stand-in images by component.
    pub stand_ins: BTreeMap<String, String>,
    /// Warnings in order, each once.
    pub warnings: Vec<String>,
    /// Stages in plan order; unplanned ones at the end.
    pub stages: Vec<StageSummary>,
    /// Outcomes in catalogue order; unknown ones at the end.
    pub outcomes: Vec<OutcomeSummary>,
    /// Ids of the outcomes that the run was asked not to judge. They are not among `outcomes` and turn no exit code.
    pub not_selected: Vec<String>,
    /// External commands that ended.
    pub commands: usize,
    /// Transcripts in the order of recording.
    pub transcripts: Vec<Transcript>,
    /// What the recorders were asked for.
    pub recorded: Recorded,
    /// The last bundle that was collected.
    pub collected: Option<Collected>,
    /// How the command ended; `None` when the journal was cut.
    pub finished: Option<Finished>,
    /// Where each outcome is in `outcomes`: matrices merge into journals with thousands.
    places: HashMap<String, usize>,
}

impl Summary {
    /// Folds a journal, whole or cut.
    #[must_use]
    pub fn fold(records: &[Record]) -> Self {
        let mut summary = Self::default();
        for record in records {
            summary.apply(record);
        }
        summary
    }

    /// Adds one record, so that live progress needs no second fold.
    pub fn apply(&mut self, record: &Record) {
        let at = *self.started.get_or_insert(record.at);
        self.last = Some(record.at);
        match &record.event {
            Event::RunStarted {
                format,
                run,
                session,
                meshproof,
                command,
                backend,
                fidelity,
                spec,
                stages,
                outcomes,
                not_selected,
                strict,
            } => {
                self.run = Some(RunInfo {
                    format: *format,
                    run: run.clone(),
                    session: session.clone(),
                    meshproof: meshproof.clone(),
                    command: command.clone(),
                    backend: backend.clone(),
                    fidelity: *fidelity,
                    spec: spec.clone(),
                    strict: *strict,
                });
                self.not_selected.clone_from(not_selected);
                for info in stages {
                    self.stage(&info.id).info = info.clone();
                }
                for info in outcomes {
                    self.outcome(&info.id).info = info.clone();
                }
            }
            Event::Expected(entry) => self.outcome(&entry.outcome).expected = Some(Expectation::of(entry, at)),
            Event::Fact { name, value } => {
                self.facts.insert(name.clone(), value.clone());
            }
            Event::Inventory { objects } => self.objects.clone_from(objects),
            Event::StandIn { component, image } => {
                self.stand_ins.insert(component.clone(), image.clone());
            }
            Event::Warning { message } => {
                if !self.warnings.contains(message) {
                    self.warnings.push(message.clone());
                }
            }
            Event::StageStarted { stage } => {
                let stage = self.stage(stage);
                stage.started = Some(record.at);
                stage.state = StageState::Running { since: record.at };
            }
            Event::StageProgress { stage, status } => self.stage(stage).status = Some(status.clone()),
            Event::StageFinished { stage, duration_ms, result } => {
                let stage = self.stage(stage);
                if stage.started.is_none() && *duration_ms > 0 {
                    stage.started = before(record.at, *duration_ms);
                }
                stage.state = StageState::Finished { result: result.clone(), duration_ms: *duration_ms };
            }
            Event::CommandStarted { .. } | Event::FaultInjected { .. } | Event::FaultReverted { .. } | Event::Unknown => {}
            Event::Recorded { access } => self.recorded.add(access),
            Event::CommandFinished(_) => self.commands += 1,
            Event::Transcript(transcript) => self.transcripts.push(transcript.clone()),
            Event::OutcomeStarted { outcome, info } => {
                let outcome = self.outcome(outcome);
                outcome.state = OutcomeState::Running { since: record.at };
                if let Some(info) = info {
                    outcome.info = info.clone();
                }
            }
            Event::OutcomeFinished { outcome, duration_ms, verdict, evidence, diagnoses } => {
                self.outcome(outcome).state = OutcomeState::Judged {
                    verdict: verdict.clone(),
                    duration_ms: *duration_ms,
                    evidence: evidence.clone(),
                    diagnoses: diagnoses.clone(),
                };
            }
            Event::Collected { dir, files, bytes, left_out } => {
                self.collected = Some(Collected { dir: dir.clone(), files: *files, bytes: *bytes, left_out: *left_out });
            }
            Event::RunFinished { exit_code, duration_ms } => {
                self.finished = Some(Finished { exit_code: *exit_code, duration_ms: *duration_ms });
            }
        }
    }

    /// The first failed stage, else the first failed outcome, else the first blocked one, else the first that has outlived its entry of the
    /// ledger. What gates comes before what does not; what fails as expected is none.
    #[must_use]
    pub fn first_failure(&self) -> Option<Failure<'_>> {
        if let Some(stage) = self.stages.iter().find(|s| s.failed()) {
            return Some(Failure::Stage(stage));
        }
        let find = |test: fn(&OutcomeSummary) -> bool| self.outcomes.iter().find(|o| test(o));
        find(|o| o.failed() && o.gates())
            .or_else(|| find(|o| o.blocked() && o.gates()))
            .or_else(|| find(|o| o.gates() && (o.ruling() == Some(Ruling::UnexpectedPass) || o.expired())))
            .or_else(|| find(OutcomeSummary::failed))
            .or_else(|| find(OutcomeSummary::blocked))
            .map(Failure::Outcome)
    }

    /// Whether the run ended before its end: the journal was cut, or someone stopped it.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.finished.is_none_or(|f| f.exit_code == 130)
    }

    /// Whether skipped and unsupported outcomes gate.
    #[must_use]
    pub fn strict(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.strict)
    }

    /// Wall time in milliseconds, for a cut journal up to its last record.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        match (self.finished, self.started, self.last) {
            (Some(finished), ..) => finished.duration_ms,
            (None, Some(started), Some(last)) => elapsed_ms(started, last),
            _ => 0,
        }
    }

    /// Missing capabilities with the number of outcomes that they cost.
    #[must_use]
    pub fn missing_capabilities(&self) -> BTreeMap<&str, usize> {
        let mut missing = BTreeMap::new();
        for outcome in &self.outcomes {
            if let Some(Verdict::Unsupported { capability, .. }) = outcome.verdict() {
                *missing.entry(capability.as_str()).or_default() += 1;
            }
        }
        missing
    }

    /// Outcomes grouped by chapter, chapters in the order of their first outcome.
    #[must_use]
    pub fn chapters(&self) -> Vec<(&str, Vec<&OutcomeSummary>)> {
        let mut chapters: Vec<(&str, Vec<&OutcomeSummary>)> = Vec::new();
        for outcome in &self.outcomes {
            match chapters.iter_mut().find(|(name, _)| *name == outcome.chapter()) {
                Some((_, outcomes)) => outcomes.push(outcome),
                None => chapters.push((outcome.chapter(), vec![outcome])),
            }
        }
        chapters
    }

    /// The stage of this id, added when the plan lacks it.
    fn stage(&mut self, id: &str) -> &mut StageSummary {
        let index = self.stages.iter().position(|s| s.info.id == id).unwrap_or_else(|| {
            self.stages.push(StageSummary::new(StageInfo { id: id.to_owned(), title: id.to_owned(), needs: Vec::new() }));
            self.stages.len() - 1
        });
        &mut self.stages[index]
    }

    /// The outcome of this id, added when the catalogue lacks it. It gates: what nobody announced is not waved through.
    fn outcome(&mut self, id: &str) -> &mut OutcomeSummary {
        let index = self.places.get(id).copied().unwrap_or_else(|| {
            let info = OutcomeInfo {
                id: id.to_owned(),
                title: id.to_owned(),
                kind: OutcomeKind::Hardening,
                section: None,
                sentence: None,
                hint: String::new(),
            };
            self.outcomes.push(OutcomeSummary { info, state: OutcomeState::Pending, expected: None });
            self.places.insert(id.to_owned(), self.outcomes.len() - 1);
            self.outcomes.len() - 1
        });
        &mut self.outcomes[index]
    }
}

/// Milliseconds between two moments, 0 when the clock went back.
pub(super) fn elapsed_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

fn before(at: Timestamp, ms: u64) -> Option<Timestamp> {
    at.checked_sub(jiff::SignedDuration::from_millis(i64::try_from(ms).ok()?)).ok()
}
