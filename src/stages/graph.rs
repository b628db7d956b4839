//! Runs stages concurrently as far as their needs allow. A failed stage blocks what depends on it, once and with one root cause;
//! everything independent still runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::{Context, Done, Found, Stage, StageContext, StageError};
use crate::cluster::Installs;
use crate::error::chain;
use crate::journal::{Event, StageResult};

/// Stages whose needs are known and free of cycles.
#[derive(Debug, Clone)]
pub struct Plan {
    stages: Vec<Stage>,
}

/// Why stages do not make a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two stages have the same id.
    #[error("two stages are called `{id}`")]
    Duplicate {
        /// The id.
        id: String,
    },
    /// A stage needs one that is not in the plan, or that comes later or needs it in turn.
    #[error("stage `{stage}` needs `{need}`, which is not before it")]
    Need {
        /// The stage.
        stage: String,
        /// What it needs.
        need: String,
    },
}

impl Plan {
    /// Checks that every stage comes after what it needs, which also rules out cycles.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(stages: Vec<Stage>) -> Result<Self, PlanError> {
        for (i, stage) in stages.iter().enumerate() {
            let before = &stages[..i];
            if before.iter().any(|s| s.id == stage.id) {
                return Err(PlanError::Duplicate { id: stage.id.to_owned() });
            }
            if let Some(need) = stage.needs.iter().find(|n| !before.iter().any(|s| s.id == **n)) {
                return Err(PlanError::Need { stage: stage.id.to_owned(), need: (*need).to_owned() });
            }
        }
        Ok(Self { stages })
    }

    /// The stages in order.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }
}

/// How a stage ended, for whoever judges what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageOutcome {
    /// It is true.
    Done(Done),
    /// It failed.
    Failed,
    /// The stage at the root failed.
    Blocked(String),
}

impl StageOutcome {
    /// The stage at the root of the trouble, if there is trouble; `own` is the id of the stage itself.
    #[must_use]
    pub fn root<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        match self {
            Self::Done(_) => None,
            Self::Failed => Some(own),
            Self::Blocked(by) => Some(by),
        }
    }
}

/// What to do about a stage that is not true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Make it so.
    Make,
    /// Fail: nothing may be changed.
    Look,
    /// The same, for whoever only uses what stands: what merely prepares for making is not looked at.
    Attach,
}

/// Runs a plan to its end and journals every step.
pub async fn run(plan: &Plan, context: &Arc<Context>, manner: Manner) -> BTreeMap<&'static str, StageOutcome> {
    let mut ended: BTreeMap<&'static str, StageOutcome> = BTreeMap::new();
    let mut waiting: Vec<&Stage> = plan.stages.iter().collect();
    let mut running = FuturesUnordered::new();
    loop {
        // In plan order a stage comes after what it needs, so one pass also blocks what depends on a stage blocked in this very pass.
        waiting.retain(|stage| {
            if let Some(by) = stage.needs.iter().find_map(|n| ended.get(n)?.root(n)).map(str::to_owned) {
                finish(context, stage.id, Instant::now(), StageResult::Blocked { by: by.clone() });
                ended.insert(stage.id, StageOutcome::Blocked(by));
                return false;
            }
            // Looks do not need each other's work.
            let ready = manner == Manner::Attach || stage.needs.iter().all(|n| matches!(ended.get(n), Some(StageOutcome::Done(_))));
            if ready {
                running.push(one(stage, context, manner));
            }
            !ready
        });
        match running.next().await {
            Some((id, outcome)) => ended.insert(id, outcome),
            None => return ended,
        };
    }
}

async fn one(stage: &Stage, context: &Arc<Context>, manner: Manner) -> (&'static str, StageOutcome) {
    let start = Instant::now();
    context.journal.write(Event::StageStarted { stage: stage.id.to_owned() });
    let stage_context = StageContext::new(Arc::clone(context), stage.id);
    let (result, outcome) = match bring(stage, &stage_context, manner).await {
        Ok(Done::Already) => (StageResult::Already, StageOutcome::Done(Done::Already)),
        Ok(Done::Provisioned) => (StageResult::Provisioned, StageOutcome::Done(Done::Provisioned)),
        Ok(Done::NotNeeded) => (StageResult::NotNeeded, StageOutcome::Done(Done::NotNeeded)),
        Err(error) => (failed(&error), StageOutcome::Failed),
    };
    finish(context, stage.id, start, result);
    (stage.id, outcome)
}

/// Journals that nothing was done because of an error: the first stage failed of it, and the others are blocked.
pub fn refuse(plan: &Plan, context: &Context, error: &StageError) -> BTreeMap<&'static str, StageOutcome> {
    let mut ended = BTreeMap::new();
    let Some(first) = plan.stages.first() else { return ended };
    context.journal.write(Event::StageStarted { stage: first.id.to_owned() });
    finish(context, first.id, Instant::now(), failed(error));
    ended.insert(first.id, StageOutcome::Failed);
    for stage in &plan.stages[1..] {
        finish(context, stage.id, Instant::now(), StageResult::Blocked { by: first.id.to_owned() });
        ended.insert(stage.id, StageOutcome::Blocked(first.id.to_owned()));
    }
    ended
}

async fn bring(stage: &Stage, context: &StageContext, manner: Manner) -> Result<Done, StageError> {
    // Whoever runs stages may say what they like: nothing is made in a cluster that is somebody else's.
    let theirs = context.provider.installs() == Installs::Nothing;
    let manner = if theirs && manner == Manner::Make { Manner::Look } else { manner };
    if manner == Manner::Attach && stage.action.only_prepares() {
        return Ok(Done::NotNeeded);
    }
    // Whoever attaches writes nothing down, and has compared it already: reading a manifest for it costs a test its time.
    let heeds = (manner != Manner::Attach).then(|| stage.action.heeds(&context.spec, context.provider.as_ref()));
    let done = match stage.action.look(context).await? {
        Found::True => Done::Already,
        Found::NotNeeded => Done::NotNeeded,
        Found::Missing(why) if manner != Manner::Make => return Err(StageError::refused("stage-missing", [("why", why)])),
        Found::Missing(why) => {
            context.progress(why);
            context.record_heeded(stage.id, None)?;
            stage.action.make(context).await?
        }
    };
    // Only what is true is what the next `up` has to compare with.
    if heeds.is_some() {
        context.record_heeded(stage.id, heeds)?;
    }
    Ok(done)
}

fn failed(error: &StageError) -> StageResult {
    StageResult::Failed { error: chain(error), hint: error.hint(), diagnoses: error.diagnoses() }
}

fn finish(context: &Context, stage: &str, start: Instant, result: StageResult) {
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.journal.write(Event::StageFinished { stage: stage.to_owned(), duration_ms, result });
}
