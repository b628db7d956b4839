//! What changed between two runs: a pure function of their journals.

mod normal;
mod outcomes;
mod page;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::journal::{Fidelity, StageResult};

use super::fold::{StageState, StageSummary, Summary};

#[cfg(test)]
pub(crate) use normal::lines as normalised;
pub use outcomes::{OutcomeChange, OutcomeChanged, OutputChange};
pub use page::{human, markdown};

/// The value of `schema`.
pub const SCHEMA: &str = "meshproof.dev/diff/v1alpha1";

/// A stage is slower or faster when its times differ by more than this factor,
pub const NOISE_RATIO: f64 = 1.5;
/// and by more than so many milliseconds. Less than either is noise: machines differ from one minute to the next.
pub const NOISE_MS: u64 = 2_000;

/// What changed from one run to another. Its shape is versioned by `schema`: fields are added, never renamed or removed within a version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The run that is compared with.
    pub before: Side,
    /// The run that is compared.
    pub after: Side,
    /// Whether something that gates is worse than before: see [`OutcomeChange::worse`] and [`StageChange::worse`].
    pub worse: bool,
    /// Backend and fidelity, where they differ: then little else can be compared.
    pub environment: Vec<Change>,
    /// Outcomes whose verdict is another one, the worse changes first.
    pub outcomes: Vec<OutcomeChange>,
    /// Ids of the outcomes that failed in both.
    pub still_failing: Vec<String>,
    /// Stages that fail, no longer fail, or took a different time beyond noise.
    pub stages: Vec<StageChange>,
    /// Values of the resolved spec that differ, by their dotted path.
    pub spec: Vec<Change>,
    /// Facts that differ.
    pub facts: Vec<Change>,
    /// Objects that came or went, by kind.
    pub objects: Vec<ObjectChange>,
    /// Stand-ins that differ, by component.
    pub stand_ins: Vec<Change>,
    /// What outcomes saw that differs in more than what differs from run to run.
    pub output: Vec<OutputChange>,
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// Its id; `None` when the journal lacks its first record.
    pub run: Option<String>,
    /// The subcommand.
    pub command: Option<String>,
    /// meshproof's version.
    pub meshproof: Option<String>,
    /// Backend name.
    pub backend: Option<String>,
    /// Real or simulated.
    pub fidelity: Option<Fidelity>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// Whether its journal was cut or the run was stopped: what it does not say is not known.
    pub interrupted: bool,
    /// Its exit code; `None` when the journal was cut.
    pub exit_code: Option<u8>,
}

/// A value that differs; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Its name or path.
    pub name: String,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

/// Objects of a kind that only one of two environments has, by `namespace/name` or `name`; a CRD that serves other versions is both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectChange {
    /// The kind.
    pub kind: String,
    /// Objects that are no longer there.
    pub removed: Vec<String>,
    /// Objects that are new.
    pub added: Vec<String>,
}

/// How a stage differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageChanged {
    /// It fails, and did not.
    NewFailure,
    /// It failed, and ends well now.
    Fixed,
    /// It takes longer, beyond noise.
    Slower,
    /// It takes less long, beyond noise.
    Faster,
}

/// A stage that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageChange {
    /// Its id.
    pub id: String,
    /// How.
    pub change: StageChanged,
    /// Wall time in milliseconds before, if it ended.
    pub before_ms: Option<u64>,
    /// Wall time in milliseconds after, if it ended.
    pub after_ms: Option<u64>,
    /// Why it fails, if it does.
    pub reason: Option<String>,
    /// Whether that is worse: it fails. Time does not gate.
    pub worse: bool,
}

impl Diff {
    /// Compares two folded journals, whole or cut.
    #[must_use]
    pub fn of(before: &Summary, after: &Summary) -> Self {
        let (outcomes, still_failing) = outcomes::verdicts(before, after);
        let stages = stages(before, after);
        let texts = |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let (was, is) = (side(before), side(after));
        let named = |side: &Side| {
            let fidelity = side.fidelity.map(|f| serde_json::to_value(f).unwrap_or_default());
            let backend = side.backend.clone().map(Value::from);
            [("backend", backend), ("fidelity", fidelity)].into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect()
        };
        Self {
            schema: SCHEMA,
            worse: outcomes.iter().any(|o| o.worse) || stages.iter().any(|s| s.worse),
            environment: changes(&named(&was), &named(&is)),
            outcomes,
            still_failing,
            stages,
            spec: changes(&spec(before), &spec(after)),
            facts: facts(before, after, changes(&texts(&before.facts), &texts(&after.facts))),
            objects: objects(before, after),
            stand_ins: changes(&texts(&before.stand_ins), &texts(&after.stand_ins)),
            output: outcomes::output(before, after),
            before: was,
            after: is,
        }
    }

    /// The exit code that it asks for: 1 if something that gates is worse, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.worse)
    }

    /// Whether nothing is different but the runs themselves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let changes = [&self.environment, &self.spec, &self.facts, &self.stand_ins];
        changes.iter().all(|c| c.is_empty())
            && self.outcomes.is_empty()
            && self.stages.is_empty()
            && self.objects.is_empty()
            && self.output.is_empty()
    }
}

fn side(summary: &Summary) -> Side {
    let run = summary.run.as_ref();
    Side {
        run: run.map(|r| r.run.clone()),
        command: run.map(|r| r.command.clone()),
        meshproof: run.map(|r| r.meshproof.clone()),
        backend: run.map(|r| r.backend.clone()),
        fidelity: run.map(|r| r.fidelity),
        started_at: summary.started,
        interrupted: summary.interrupted(),
        exit_code: summary.finished.map(|f| f.exit_code),
    }
}

/// The values of a resolved spec by their dotted path. A list is one value: its entries have no names.
fn spec(summary: &Summary) -> BTreeMap<String, Value> {
    fn add(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    add(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, out);
                }
            }
            value => {
                out.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut out = BTreeMap::new();
    if let Some(run) = &summary.run {
        add("", &run.spec, &mut out);
    }
    out
}

/// Facts that differ in what says something. Each command looks at other things: of two of them only what both tell can be compared.
fn facts(before: &Summary, after: &Summary, mut changes: Vec<Change>) -> Vec<Change> {
    let command = |summary: &Summary| summary.run.as_ref().map(|r| r.command.clone());
    let same_command = command(before) == command(after);
    changes.retain(|change| match (&change.before, &change.after) {
        (Some(Value::String(was)), Some(Value::String(is))) => normal::text(was) != normal::text(is),
        _ => same_command,
    });
    changes
}

/// Objects that came or went. A kind that only one of the two could list says nothing.
fn objects(before: &Summary, after: &Summary) -> Vec<ObjectChange> {
    let change = |(kind, was): (&String, &Vec<String>)| {
        let [was, is] = [was, after.objects.get(kind)?].map(|names| names.iter().collect::<BTreeSet<_>>());
        let only = |a: &BTreeSet<&String>, b: &BTreeSet<&String>| a.difference(b).map(|name| (*name).clone()).collect::<Vec<_>>();
        let (removed, added) = (only(&was, &is), only(&is, &was));
        let differs = !(removed.is_empty() && added.is_empty());
        differs.then(|| ObjectChange { kind: kind.clone(), removed, added })
    };
    before.objects.iter().filter_map(change).collect()
}

/// What differs between two maps, in the order of the names.
fn changes(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<Change> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let change = |name: &String| {
        let (was, is) = (before.get(name), after.get(name));
        (was != is).then(|| Change { name: name.clone(), before: was.cloned(), after: is.cloned() })
    };
    names.into_iter().filter_map(change).collect()
}

fn stages(before: &Summary, after: &Summary) -> Vec<StageChange> {
    after.stages.iter().filter_map(|is| stage(before.stages.iter().find(|was| was.info.id == is.info.id), is)).collect()
}

fn stage(was: Option<&StageSummary>, is: &StageSummary) -> Option<StageChange> {
    let ended = |stage: &StageSummary| match &stage.state {
        StageState::Finished { result, duration_ms } => Some((result.clone(), *duration_ms)),
        StageState::Pending | StageState::Running { .. } => None,
    };
    let (was_ended, is_ended) = (was.and_then(ended), ended(is));
    let (before_ms, after_ms) = (was_ended.as_ref().map(|(_, ms)| *ms), is_ended.as_ref().map(|(_, ms)| *ms));
    let failed = was.is_some_and(StageSummary::failed);
    let change = if is.failed() && !failed {
        StageChanged::NewFailure
    } else if failed && is.done() {
        StageChanged::Fixed
    } else {
        // To make something and to find it made are different work.
        match (was_ended, is_ended) {
            (Some((StageResult::Provisioned, was)), Some((StageResult::Provisioned, is)))
            | (Some((StageResult::Already, was)), Some((StageResult::Already, is))) => beyond_noise(was, is)?,
            _ => return None,
        }
    };
    let reason = match &is.state {
        StageState::Finished { result: StageResult::Failed { error, .. }, .. } => Some(error.join(": ")),
        _ => None,
    };
    let worse = change == StageChanged::NewFailure;
    Some(StageChange { id: is.info.id.clone(), change, before_ms, after_ms, reason, worse })
}

/// Which of two times is longer, where that cannot be chance.
fn beyond_noise(was: u64, is: u64) -> Option<StageChanged> {
    let (short, long) = (was.min(is), was.max(is));
    #[expect(clippy::cast_precision_loss, reason = "times of stages are far below 2^53 milliseconds")]
    let beyond = long - short > NOISE_MS && long as f64 > short as f64 * NOISE_RATIO;
    beyond.then_some(if is > was { StageChanged::Slower } else { StageChanged::Faster })
}
