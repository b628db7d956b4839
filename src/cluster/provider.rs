//! Where a cluster comes from.

use futures::future::BoxFuture;

use super::Cluster;
use crate::journal::Fidelity;
use crate::stages::{Context, StageError};

/// How the cluster stage found its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was whole already.
    Already,
    /// It was created or repaired.
    Now,
}

/// What a teardown did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Teardown {
    /// What was removed.
    pub removed: Vec<String>,
    /// What is still there, with the reason.
    pub remains: Vec<String>,
}

/// A source of clusters. `kind` is one; each makes the same small [`Cluster`].
pub trait Provider: Send + Sync {
    /// The word for `--backend`.
    fn name(&self) -> &'static str;
    /// How real its clusters are.
    fn fidelity(&self) -> Fidelity;
    /// Refuses what cannot work before anything is changed.
    fn preflight<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>>;
    /// Makes the cluster of the spec, or finds it whole, or repairs it.
    fn provision<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Made, StageError>>;
    /// Opens the cluster that is there without changing anything.
    fn attach<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Cluster, StageError>>;
    /// Removes what this session made, and nothing else.
    fn teardown<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Teardown, StageError>>;
}
