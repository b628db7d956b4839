//! Where a cluster comes from.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::{Cluster, NodeAccess, NodeMachine};
use crate::journal::{CommandRecord, Fidelity};
use crate::recording::Recorders;
use crate::session::{Session, State};
use crate::spec::Spec;
use crate::stages::{Context, Found, PlanStep, StageError};

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

/// Something that the stages install into a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Kubernetes Dashboard.
    Dashboard,
    /// Istio.
    Istio,
    /// The Gateway API CRDs.
    GatewayApi,
}

/// By what means the stages install into a source's clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installs {
    /// With the guide's own commands and manifests: kubectl and istioctl are needed.
    AsDocumented,
    /// From manifests that the source itself has, through the API. kubectl and istioctl are used where they are, and never downloaded.
    FromManifests,
    /// Not at all: the cluster is somebody else's. What the stages would make is only looked for.
    Nothing,
}

/// A source of clusters. `kind` is one; each makes the same small [`Cluster`].
pub trait Provider: Send + Sync {
    /// The word for `--backend`.
    fn name(&self) -> &'static str;
    /// How real its clusters are.
    fn fidelity(&self) -> Fidelity;
    /// Finds out before a run is announced what only the cluster itself can tell, as how real it is. Changes nothing, takes no longer than an
    /// answer may, and leaves what cannot be found out for the stages to say.
    fn recognise<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, ()> {
        let _ = context;
        Box::pin(std::future::ready(()))
    }
    /// By what means things are installed into its clusters.
    fn installs(&self) -> Installs {
        Installs::AsDocumented
    }
    /// The manifest of a part, for a source that [installs from manifests](Installs::FromManifests).
    ///
    /// # Errors
    /// When the source has none for this spec.
    fn manifest(&self, part: Part, spec: &Spec) -> Result<String, StageError> {
        let _ = spec;
        Err(StageError::Other { message: format!("there is no manifest of {part:?} but the documented one"), hint: None })
    }
    /// What [`Provider::provision`] would do for this spec.
    fn plan(&self, spec: &Spec) -> Vec<PlanStep>;
    /// The machines behind the nodes of a session's cluster, for `status`.
    fn machines<'a>(&'a self, session: &'a Session, state: &'a State) -> BoxFuture<'a, Result<Vec<NodeMachine>, StageError>>;
    /// Refuses what cannot work before anything is changed.
    fn preflight<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>>;
    /// Where the [recorders](crate::recording) of the spec are at work, so that nodes find them; `None` where they are not. Changes nothing.
    fn recorders_at_work<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<Recorders>, StageError>> {
        let _ = context;
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Lets the recorders of the spec work, and says where nodes find them. It comes before the cluster is made.
    fn start_recorders<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Recorders, StageError>> {
        let _ = context;
        Box::pin(std::future::ready(Err(StageError::refused("no-recorders", []))))
    }
    /// Ends the recorders, which the spec does not ask for any more.
    fn end_recorders<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        let _ = context;
        Box::pin(std::future::ready(Ok(())))
    }
    /// Looks whether the cluster of the spec is there and whole. Changes nothing and waits for nothing.
    fn look<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Found, StageError>>;
    /// The part of the spec that the cluster is made from and that cannot be changed in one that stands.
    fn heeds(&self, spec: &Spec) -> Value;
    /// Makes the cluster of the spec, or finds it whole, or repairs it.
    fn provision<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Made, StageError>>;
    /// Asks once more for the cluster that is there, as the guide does (D6), which must be refused; what the command said. `None` where clusters
    /// are made by no command.
    fn create_again<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<CommandRecord>, StageError>> {
        let _ = context;
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Opens the cluster that is there without changing anything.
    fn attach<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Cluster, StageError>>;
    /// The nodes of a cluster that may be too broken to [attach](Provider::attach) to, for whoever asks what broke it. `None` where there are none
    /// of ours, or where nodes are only reached through the cluster.
    fn node_access<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<Arc<dyn NodeAccess>>, StageError>> {
        let _ = context;
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Removes what this session made, and nothing else.
    fn teardown<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Teardown, StageError>>;
}
