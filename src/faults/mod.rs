//! Faults: named, revertible mutations of an environment, and the outcomes that must fail under each.

mod builtin;
mod compose;
mod files;
mod objects;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::cluster::{Capability, Installs};
use crate::journal::Event;
use crate::outcomes::{Environment, Stop, is_dotted_prefix};

pub(crate) use builtin::builtin;

/// Breaks something and mends it again.
pub trait Inject: Send + Sync {
    /// Breaks it, and returns once it is broken.
    fn inject<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Stop>>;
    /// Mends it, and returns once it is whole. Also called when [`Inject::inject`] failed half-way.
    fn revert<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Stop>>;
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
        Self { id, breaks: &[], may_break: &[], capabilities: &[], action: Arc::new(action) }
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
        let journal = &environment.context.journal;
        journal.write(Event::FaultInjected { fault: self.id.to_owned() });
        let done = match self.action.inject(environment).await {
            Ok(()) => Ok(AssertUnwindSafe(act()).catch_unwind().await),
            Err(e) => Err(e),
        };
        let mended = self.action.revert(environment).await;
        journal.write(Event::FaultReverted { fault: self.id.to_owned(), error: mended.as_ref().err().map(|e| crate::error::one_line(e)) });
        match done? {
            Ok(value) => mended.map(|()| value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
