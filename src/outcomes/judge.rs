//! From checks to verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::clues::of_pods;
use super::{Environment, Look, Outcome, Stop, kubectl_proxy};
use crate::cluster::kind_config::proxy_environment;
use crate::diagnose::{Kind, Line, explain};
use crate::error::chain;
use crate::journal::{Diagnosis, Event, Journal, Verdict};
use crate::stages::StageOutcome;
use crate::wait::Limit;

/// The checks wait for the cluster, not for the processor.
const AT_ONCE: usize = 16;

/// A verdict with what justifies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: BTreeMap<String, Value>,
    /// Causes that the evidence points to.
    pub diagnoses: Vec<Diagnosis>,
}

impl Judged {
    /// A verdict without a look.
    fn unseen(verdict: Verdict) -> Self {
        Self { verdict, evidence: BTreeMap::new(), diagnoses: Vec::new() }
    }
}

/// What pods that are not well say: read once for outcomes that are judged together, however many fail.
type PodClues = OnceCell<Vec<(Kind, String)>>;

/// Judges one outcome. Takes no longer than the limit of an outcome.
pub async fn judge(outcome: &Outcome, environment: &Environment) -> Judged {
    let judged = judge_with(outcome, environment, &PodClues::new()).await;
    end_shared(environment).await;
    judged
}

/// Ends what outcomes of one group share, when none of them is to follow.
async fn end_shared(environment: &Environment) {
    // Where it does not end, it is killed when it is dropped; that is no verdict on anything.
    let _ = kubectl_proxy::end(environment).await;
}

async fn judge_with(outcome: &Outcome, environment: &Environment, pod_clues: &PodClues) -> Judged {
    if let Some(reason) = &outcome.skip {
        return Judged::unseen(Verdict::Skipped { reason: reason.clone() });
    }
    for capability in outcome.capabilities {
        if let Some(reason) = environment.missing(capability).await {
            return Judged::unseen(Verdict::Unsupported { capability: capability.to_string(), reason });
        }
    }
    let mut look = Look::default();
    let ended = environment.waiting.within(outcome.id, Limit::Outcome, outcome.check.check(environment, &mut look)).await;
    let stop = match ended {
        Ok(Ok(())) => None,
        Ok(Err(stop)) => Some(stop),
        Err(wait) => Some(Stop::Wait(wait)),
    };
    let Look { evidence, mut problems } = look;
    if let Some(Stop::Unsupported { capability, reason }) = &stop
        && problems.is_empty()
    {
        let verdict = Verdict::Unsupported { capability: capability.to_string(), reason: reason.clone() };
        return Judged { verdict, evidence, diagnoses: Vec::new() };
    }
    let mut clues: Vec<(Kind, String)> = problems.iter().map(|problem| (Kind::Problem, problem.clone())).collect();
    if let Some(stop) = stop {
        if let Stop::Wait(wait) = &stop {
            clues.extend(wait.transitions.iter().map(|t| (Kind::State, t.status.clone())));
        }
        let sentence = chain(&stop).join(": ");
        clues.push((Kind::Error, sentence.clone()));
        problems.push(sentence);
    }
    if problems.is_empty() {
        return Judged { verdict: Verdict::Passed, evidence, diagnoses: Vec::new() };
    }
    // A node that is down explains more than any symptom on it.
    let (nodes, pods) = tokio::join!(environment.node_troubles(), pod_clues.get_or_init(|| of_pods(environment)));
    clues.extend(nodes.into_iter().map(|trouble| (Kind::Node, trouble)));
    clues.extend(pods.iter().cloned());
    // What one node shows may explain what another lacks.
    clues.extend(evidence.iter().map(|(name, value)| (Kind::Seen, format!("{name}: {value}"))));
    if environment.spec.proxy.enabled {
        let variables = proxy_environment(&environment.node_spec());
        clues.extend(variables.into_iter().map(|(name, value)| (Kind::Seen, format!("{name}={value}"))));
    }
    let lines: Vec<Line<'_>> = clues.iter().flat_map(|(kind, text)| Line::all(*kind, text)).collect();
    let diagnoses = explain(&lines);
    Judged { verdict: Verdict::Failed { reason: problems.join("; ") }, evidence, diagnoses }
}

/// Judges outcomes concurrently and journals every verdict. What a failed stage makes impossible is blocked.
///
/// `stages` is empty where nothing was provisioned, as for `verify`.
pub async fn judge_all(
    outcomes: &[Outcome],
    environment: &Environment,
    stages: &BTreeMap<&'static str, StageOutcome>,
    journal: &Journal,
) -> Vec<Judged> {
    // How many of each group are still to be judged.
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for group in outcomes.iter().filter_map(|o| o.group) {
        *groups.entry(group).or_default() += 1;
    }
    let groups: BTreeMap<&str, Arc<Mutex<usize>>> = groups.into_iter().map(|(group, n)| (group, Arc::new(Mutex::new(n)))).collect();
    let pod_clues = &PodClues::new();
    let one = |outcome: &Outcome| {
        let outcome = outcome.clone();
        let group = outcome.group.and_then(|g| groups.get(g).cloned());
        async move {
            let mut turn = match &group {
                Some(group) => Some(group.lock().await),
                None => None,
            };
            let start = Instant::now();
            journal.write(Event::OutcomeStarted { outcome: outcome.id.to_owned(), info: None });
            let judged = match blocked_by(&outcome, stages) {
                // What someone asked to leave out is skipped, whatever else would be in its way.
                Some(by) if outcome.skip.is_none() => Judged::unseen(Verdict::Blocked { by }),
                _ => judge_with(&outcome, environment, pod_clues).await,
            };
            if let Some(to_come) = turn.as_mut() {
                **to_come -= 1;
                if **to_come == 0 {
                    end_shared(environment).await;
                }
            }
            journal.write(finished(&outcome, start, &judged));
            judged
        }
    };
    futures::stream::iter(outcomes.iter().map(one)).buffered(AT_ONCE).collect().await
}

/// Journals every outcome as blocked, but for what is skipped: there is no environment to look at.
pub fn block_all(outcomes: &[Outcome], stages: &BTreeMap<&'static str, StageOutcome>, root: &str, journal: &Journal) {
    for outcome in outcomes {
        let verdict = match &outcome.skip {
            Some(reason) => Verdict::Skipped { reason: reason.clone() },
            None => Verdict::Blocked { by: blocked_by(outcome, stages).unwrap_or_else(|| root.to_owned()) },
        };
        journal.write(finished(outcome, Instant::now(), &Judged::unseen(verdict)));
    }
}

impl Judged {
    /// What a journal says about it; `start` is when the judging began.
    #[must_use]
    pub fn finished(&self, outcome: &Outcome, start: Instant) -> Event {
        finished(outcome, start, self)
    }
}

fn finished(outcome: &Outcome, start: Instant, judged: &Judged) -> Event {
    Event::OutcomeFinished {
        outcome: outcome.id.to_owned(),
        duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        verdict: judged.verdict.clone(),
        evidence: judged.evidence.clone(),
        diagnoses: judged.diagnoses.clone(),
    }
}

fn blocked_by(outcome: &Outcome, stages: &BTreeMap<&'static str, StageOutcome>) -> Option<String> {
    outcome.needs.iter().find_map(|need| Some(stages.get(need)?.root(need)?.to_owned()))
}
