//! Faults: named, revertible mutations of an environment, and the outcomes that must fail under each.

mod cluster;
mod compose;
mod dashboard;
mod files;
mod gateway_api;
mod istio;
mod istioctl;
mod leftover;
mod nodes;
mod objects;
mod programs;
mod records;
mod targets;
mod unrest;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::cluster::{Capability, Installs};
use crate::journal::Event;
use crate::outcomes::{Environment, Stop, is_dotted_prefix};

pub use leftover::{left_behind, mend_left_behind};

/// The faults of the guide's own outcomes, in its order.
#[must_use]
pub fn builtin() -> Vec<Fault> {
    [cluster::faults(), dashboard::faults(), istioctl::faults(), istio::faults(), gateway_api::faults()].concat()
}

/// What injecting and mending return.
pub type Injected<'a> = BoxFuture<'a, Result<(), Stop>>;

/// Breaks something and mends it again.
///
/// What it needs to know to mend is read before anything is broken and written to the session's directory, so that another process can mend
/// what one that was killed has left broken. A fault keeps nothing in itself.
pub trait Inject: Send + Sync {
    /// Reads what will be changed, as it is now. Changes nothing.
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        let _ = environment;
        std::future::ready(Ok(Value::Null)).boxed()
    }
    /// Breaks it, and returns once it is broken.
    fn inject<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a>;
    /// Makes it as it was kept, and returns once it is so. Also called when [`Inject::inject`] failed half-way, and in a later process.
    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a>;
}

/// A named mutation of an environment.
#[derive(Clone)]
pub struct Fault {
    /// `chapter.what-is-broken`.
    pub id: &'static str,
    /// Outcomes that must fail under it. Few: a fault that breaks everything proves nothing.
    pub breaks: &'static [&'static str],
    /// Outcomes, or whole subjects of them (`dashboard.login`), that fail under it on some backend or version. All others must not.
    pub may_break: &'static [&'static str],
    /// The rule of `diagnose` that names it as the cause.
    pub diagnosed: Option<&'static str>,
    /// What the environment must be able to do.
    pub capabilities: &'static [Capability],
    /// How.
    pub action: Arc<dyn Inject>,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fault").field("id", &self.id).field("breaks", &self.breaks).finish_non_exhaustive()
    }
}

impl Fault {
    /// A fault that breaks nothing yet.
    #[must_use]
    pub fn new(id: &'static str, action: impl Inject + 'static) -> Self {
        Self { id, breaks: &[], may_break: &[], diagnosed: None, capabilities: &[], action: Arc::new(action) }
    }

    /// Names the outcomes that must fail under it.
    #[must_use]
    pub fn breaks(mut self, outcomes: &'static [&'static str]) -> Self {
        self.breaks = outcomes;
        self
    }

    /// Names the outcomes that may fail under it too.
    #[must_use]
    pub fn may_break(mut self, outcomes: &'static [&'static str]) -> Self {
        self.may_break = outcomes;
        self
    }

    /// Names the rule that must tell it as the cause of what it breaks.
    #[must_use]
    pub fn diagnosed(mut self, rule: &'static str) -> Self {
        self.diagnosed = Some(rule);
        self
    }

    /// Whether an outcome may fail under it.
    #[must_use]
    pub fn excuses(&self, outcome: &str) -> bool {
        self.breaks.contains(&outcome) || self.may_break.iter().any(|name| is_dotted_prefix(name, outcome))
    }

    /// Names the capabilities that it needs.
    #[must_use]
    pub fn with(mut self, capabilities: &'static [Capability]) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Does something while the fault is there, and mends it whatever happens meanwhile: a panic goes on when it is mended.
    ///
    /// # Errors
    /// When a capability is missing, or it could not be broken or mended.
    pub async fn during<T>(&self, environment: &Environment, act: impl AsyncFnOnce() -> T) -> Result<T, Stop> {
        if environment.context.provider.installs() == Installs::Nothing {
            let reason = crate::text::current().get("unsupported-fault");
            return Err(Stop::Unsupported { capability: Capability::OWN_CLUSTER, reason });
        }
        for capability in self.capabilities {
            if let Some(reason) = environment.missing(capability).await {
                return Err(Stop::Unsupported { capability: capability.clone(), reason });
            }
        }
        let kept = self.action.keep(environment).await?;
        leftover::remember(environment, self.id, &kept).await?;
        let journal = &environment.context.journal;
        journal.write(Event::FaultInjected { fault: self.id.to_owned() });
        let done = match self.action.inject(environment, &kept).await {
            Ok(()) => Ok(AssertUnwindSafe(act()).catch_unwind().await),
            Err(e) => Err(e),
        };
        let mended = self.mend(environment, &kept).await;
        match done? {
            Ok(value) => mended.map(|()| value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Makes everything as it was kept; only then is it forgotten.
    async fn mend(&self, environment: &Environment, kept: &Value) -> Result<(), Stop> {
        let mended = self.action.revert(environment, kept).await.and_then(|()| leftover::forget(&environment.context.session));
        let error = mended.as_ref().err().map(|e| crate::error::one_line(e));
        environment.context.journal.write(Event::FaultReverted { fault: self.id.to_owned(), error });
        mended
    }
}

#[cfg(test)]
mod tests;
