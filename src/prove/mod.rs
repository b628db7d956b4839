//! Proving the outcomes: each fault is injected, and exactly the outcomes that it names must fail; then it is mended, and they must hold again.
//! A check that has never failed proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde::Serialize;

use crate::error::one_line;
use crate::faults::Fault;
use crate::journal::{Journal, OutcomeKind, Verdict};
use crate::outcomes::{Environment, Judged, Outcome, Stop, judge_all};
use crate::stages::{Context, StageError};

/// What came of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Proof {
    /// Exactly what it names failed, and holds again.
    Proved,
    /// Something that it names did not fail, something else did, something did not come back, or nobody named it as the cause.
    #[serde(rename_all = "camelCase")]
    NotProved {
        /// Outcomes that it names and that held all the same.
        held: Vec<String>,
        /// Outcomes that failed and that it does not name, each with why.
        strayed: BTreeMap<String, String>,
        /// Outcomes that did not hold again when it was mended, each with why.
        lasting: BTreeMap<String, String>,
        /// The rule that should have named it as the cause and did not.
        unnamed: Option<String>,
    },
    /// It cannot be injected here, or none of the outcomes that it names can be judged here.
    Unsupported {
        /// Why.
        reason: String,
    },
    /// Somebody did not want to know any more. It is mended all the same.
    Interrupted,
    /// It could not be injected or mended.
    Error {
        /// Why.
        reason: String,
    },
}

/// A fault with what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proven {
    /// The fault.
    pub fault: String,
    /// What came of it.
    #[serde(flatten)]
    pub proof: Proof,
    /// The outcomes that failed under it.
    pub failed: Vec<String>,
    /// Outcomes that it names and that cannot be judged here: nothing is shown about them.
    pub unjudged: Vec<String>,
    /// The rules of the diagnoses of what failed.
    pub rules: BTreeSet<String>,
    /// How long it took.
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub took: Duration,
}

fn milliseconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

/// What came of all faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proved {
    /// Each fault, as far as it came.
    #[serde(rename = "faults")]
    pub proofs: Vec<Proven>,
    /// Outcomes that fail when everything is mended, each with why: there should be none. Not looked for where a fault was not mended.
    pub after: BTreeMap<String, String>,
}

/// Why nothing could be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The environment cannot be looked at.
    #[error(transparent)]
    Environment(#[from] StageError),
    /// Outcomes fail before anything was broken, so their failing would prove nothing.
    #[error("nothing can be proved, since without any fault these fail: {}", named(failed))]
    NotGreen {
        /// Each with why.
        failed: BTreeMap<String, String>,
    },
}

/// Outcomes, each with why.
pub(crate) fn named(failed: &BTreeMap<String, String>) -> String {
    failed.iter().map(|(id, why)| format!("{id} ({why})")).collect::<Vec<_>>().join(", ")
}

/// The outcomes of an environment by what they are now.
struct Looked(Vec<(Outcome, Judged)>);

impl Looked {
    /// Judges with nothing that was learned before: a token that is kept would hide that there are no more.
    async fn at(context: &Arc<Context>, outcomes: &[Outcome]) -> Result<Self, StageError> {
        let environment = Environment::open(Arc::clone(context)).await?;
        let judged = judge_all(outcomes, &environment, &BTreeMap::new(), &Journal::in_memory()).await;
        Ok(Self(outcomes.iter().cloned().zip(judged).collect()))
    }

    fn passed(&self) -> Vec<Outcome> {
        self.0.iter().filter(|(_, judged)| judged.verdict == Verdict::Passed).map(|(outcome, _)| outcome.clone()).collect()
    }

    fn failed(&self) -> BTreeMap<String, String> {
        let failed = self.0.iter().filter_map(|(outcome, judged)| match &judged.verdict {
            Verdict::Failed { reason } => Some((outcome.id.to_owned(), reason.clone())),
            _ => None,
        });
        failed.collect()
    }

    fn rules(&self) -> BTreeSet<String> {
        self.0.iter().flat_map(|(_, judged)| judged.diagnoses.iter().map(|d| d.rule.clone())).collect()
    }
}

/// Proves faults one after the other, and tells each result as soon as it is known. `stop` breaks it off, when the fault that is there is mended.
///
/// # Errors
/// When the environment cannot be looked at or is not green to begin with.
pub async fn prove(
    context: &Arc<Context>,
    outcomes: &[Outcome],
    faults: &[Fault],
    tell: &(dyn Fn(&Proven) + Sync),
    stop: impl Future<Output = ()> + Send,
) -> Result<Proved, ProveError> {
    let stop = stop.boxed().shared();
    let before = Looked::at(context, outcomes).await?;
    // What does not gate need not hold; it is then not judged.
    let gates = |id: &String| before.0.iter().any(|(outcome, _)| outcome.id == id && outcome.kind != OutcomeKind::Defect);
    let failed: BTreeMap<String, String> = before.failed().into_iter().filter(|(id, _)| gates(id)).collect();
    if !failed.is_empty() {
        return Err(ProveError::NotGreen { failed });
    }
    let green = before.passed();
    let mut proofs = Vec::new();
    for fault in faults {
        let start = Instant::now();
        let (named, unjudged): (Vec<&str>, Vec<&str>) = fault.breaks.iter().partition(|id| green.iter().any(|o| o.id == **id));
        let (proof, failed, rules) = one(context, &green, fault, &named, stop.clone()).await;
        let unjudged = unjudged.into_iter().map(str::to_owned).collect();
        let proven = Proven { fault: fault.id.to_owned(), proof, failed, unjudged, rules, took: start.elapsed() };
        tell(&proven);
        let lasting = matches!(&proven.proof, Proof::Error { .. } | Proof::Interrupted)
            || matches!(&proven.proof, Proof::NotProved { lasting, .. } if !lasting.is_empty());
        proofs.push(proven);
        // What comes after it would be about a broken environment.
        if lasting {
            return Ok(Proved { proofs, after: BTreeMap::new() });
        }
    }
    let after = Looked::at(context, &green).await?.failed();
    Ok(Proved { proofs, after })
}

async fn one(
    context: &Arc<Context>,
    green: &[Outcome],
    fault: &Fault,
    named: &[&str],
    stop: Shared<BoxFuture<'_, ()>>,
) -> (Proof, Vec<String>, BTreeSet<String>) {
    let nothing = |proof| (proof, Vec::new(), BTreeSet::new());
    if stop.clone().now_or_never().is_some() {
        return nothing(Proof::Interrupted);
    }
    if named.is_empty() {
        let reason = crate::text::current().with("prove-not-judged", &[("outcomes", &fault.breaks.join(", "))]);
        return nothing(Proof::Unsupported { reason });
    }
    let environment = match Environment::open(Arc::clone(context)).await {
        Ok(environment) => environment,
        Err(e) => return nothing(Proof::Error { reason: one_line(&e) }),
    };
    let look = async || {
        tokio::select! {
            looked = Looked::at(context, green) => Some(looked),
            () = stop => None,
        }
    };
    let during = match fault.during(&environment, look).await {
        Ok(Some(Ok(looked))) => looked,
        Ok(None) => return nothing(Proof::Interrupted),
        Ok(Some(Err(e))) => return nothing(Proof::Error { reason: one_line(&e) }),
        Err(Stop::Unsupported { capability, reason }) => return nothing(Proof::Unsupported { reason: format!("{capability}: {reason}") }),
        Err(e) => return nothing(Proof::Error { reason: one_line(&e) }),
    };
    // What did not fail was not broken; everything is looked at once more when all faults are mended.
    let failed = during.failed();
    let broken: Vec<Outcome> = green.iter().filter(|o| failed.contains_key(o.id)).cloned().collect();
    let lasting = match Looked::at(context, &broken).await {
        Ok(looked) => looked.failed(),
        Err(e) => return nothing(Proof::Error { reason: one_line(&e) }),
    };
    let held: Vec<String> = named.iter().filter(|id| !failed.contains_key(**id)).map(|id| (*id).to_owned()).collect();
    let strayed: BTreeMap<String, String> =
        failed.iter().filter(|(id, _)| !fault.excuses(id)).map(|(id, why)| (id.clone(), why.clone())).collect();
    let rules = during.rules();
    let unnamed = fault.diagnosed.filter(|rule| !rules.contains(*rule)).map(str::to_owned);
    let proof = if held.is_empty() && strayed.is_empty() && lasting.is_empty() && unnamed.is_none() {
        Proof::Proved
    } else {
        Proof::NotProved { held, strayed, lasting, unnamed }
    };
    (proof, failed.into_keys().collect(), rules)
}

#[cfg(test)]
mod tests;
