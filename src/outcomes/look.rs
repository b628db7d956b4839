//! What a check sees and says.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::Environment;
use crate::cluster::{Capability, NodeError};
use crate::stages::StageError;
use crate::tools::{RunError, ToolError};
use crate::wait::WaitError;

/// Why a check ended before it could judge.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A capability that only turned out to be missing while looking.
    #[error("{capability} is missing: {reason}")]
    Unsupported {
        /// The capability.
        capability: Capability,
        /// Why it is missing.
        reason: String,
    },
    /// The claim cannot hold, in one sentence.
    #[error("{0}")]
    Failed(String),
    /// A request to the API server failed.
    #[error("cannot {operation}")]
    Kube {
        /// What was asked for.
        operation: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// A node could not be reached.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A command failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A tool is not to be had.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Something did not come true in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Something that stages share failed.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl Stop {
    /// For `map_err` on requests to the API server.
    pub fn kube(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Kube { operation, source: Box::new(source) }
    }
}

/// What a check looks at and what it finds wrong.
#[derive(Debug, Default)]
pub struct Look {
    pub(super) evidence: BTreeMap<String, Value>,
    pub(super) problems: Vec<String>,
}

impl Look {
    /// Keeps something seen as evidence, whatever the verdict will be.
    pub fn see(&mut self, name: impl Into<String>, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_else(|e| Value::from(format!("not representable: {e}")));
        self.evidence.insert(name.into(), value);
    }

    /// Records a problem unless the condition holds; the check goes on, so that one look finds everything that is wrong.
    pub fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) -> bool {
        if !holds {
            self.problems.push(problem());
        }
        holds
    }

    /// Records a problem.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

/// The future of a check.
pub type Checked<'a> = BoxFuture<'a, Result<(), Stop>>;

/// Judges one claim by looking. Any `fn` of the same shape is one.
pub trait Check: Send + Sync {
    /// Looks at the environment. The claim holds when this returns `Ok` and recorded no problem.
    fn check<'a>(&'a self, environment: &'a Environment, look: &'a mut Look) -> Checked<'a>;
}

impl<F> Check for F
where
    F: for<'a> Fn(&'a Environment, &'a mut Look) -> Checked<'a> + Send + Sync,
{
    fn check<'a>(&'a self, environment: &'a Environment, look: &'a mut Look) -> Checked<'a> {
        self(environment, look)
    }
}
