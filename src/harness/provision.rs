//! What is done with an environment that is there, and then the stages.

use std::collections::BTreeMap;

use super::{Harness, OnDrift, Reuse, drifts};
use crate::cluster::Installs;
use crate::journal::Event;
use crate::session::State;
use crate::stages::{self, Manner, StageError, StageOutcome};
use crate::text;

impl Harness {
    /// Nothing is made in a cluster that is somebody else's, nor where what is there is all that may be used.
    pub(super) fn manner(&self) -> Manner {
        let look = self.context.provider.installs() == Installs::Nothing || self.policy.reuse == Reuse::Require;
        if look { Manner::Look } else { Manner::Make }
    }

    pub(super) async fn provision(&self) -> BTreeMap<&'static str, StageOutcome> {
        if let Err(error) = self.clear().await {
            return stages::refuse(&self.plan, &self.context, &error);
        }
        let ended = stages::run(&self.plan, &self.context, self.manner()).await;
        self.context.journal_recordings();
        ended
    }

    /// Removes an environment that is not to be used, and refuses one that was made from another spec. Changes nothing else.
    async fn clear(&self) -> Result<(), StageError> {
        let context = &self.context;
        let state = context.state();
        let drifts = drifts(&self.plan, &context.spec, context.provider.as_ref(), &state);
        let named = drifts.iter().map(|d| context.journal.redactor().text(&d.to_string())).collect::<Vec<_>>().join("; ");
        let texts = text::current();
        // It is always there, and never removed or changed.
        if context.provider.installs() == Installs::Nothing {
            return Ok(context.share().await?);
        }
        if state.cluster.is_none() && self.policy.reuse == Reuse::Require {
            return Err(StageError::refused("no-environment", [("cluster", context.spec.cluster.name.clone())]));
        }
        if state.cluster.is_none() {
            return Ok(context.share().await?);
        }
        let remake = match (self.policy.reuse, self.policy.on_drift) {
            (Reuse::Never, _) => Some(texts.get("warning-fresh")),
            _ if drifts.is_empty() => None,
            (Reuse::Require, _) | (_, OnDrift::Refuse) => return Err(StageError::refused("drift", [("drifts", named)])),
            (_, OnDrift::Recreate) => Some(texts.with("warning-drift-recreate", &[("drifts", &named)])),
            // The stage would refuse it as well, but by then others would have been changed.
            (_, OnDrift::Apply) if drifts.iter().any(|d| d.stage == "cluster") => {
                return Err(StageError::refused("cluster-drift", [("cluster", context.spec.cluster.name.clone()), ("drifts", named)]));
            }
            (_, OnDrift::Apply) => {
                context.journal.write(Event::Warning { message: texts.with("warning-drift-apply", &[("drifts", &named)]) });
                None
            }
        };
        if let Some(message) = remake {
            context.journal.write(Event::Warning { message });
            let _alone = context.alone().await?;
            let done = context.provider.teardown(context).await?;
            if !done.remains.is_empty() {
                return Err(StageError::refused("remains", [("what", done.remains.join("; "))]));
            }
            context.record(State::forget_cluster)?;
        }
        Ok(context.share().await?)
    }
}
