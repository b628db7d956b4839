//! Provisioning, one file per stage. A stage makes something true or finds it true; it never judges.

mod admin_user;
mod apply;
mod cluster;
mod context;
mod dashboard;
mod error;
mod gateway_api;
mod graph;
mod istio;
mod mirror;
mod preflight;
mod proxy;

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

pub(crate) use admin_user::binds;
pub use apply::apply_manifest as apply;
pub(crate) use apply::{apply_objects, objects};
#[cfg(feature = "cli")]
pub(crate) use context::bound_kubectl;
pub use context::{Context, StageContext};
pub use error::StageError;
pub(crate) use gateway_api::{MANIFEST as GATEWAY_API_MANIFEST, bundle, crds_of};
pub use graph::{Manner, Plan, PlanError, StageOutcome, refuse, run};
pub use istio::{INSTALL as ISTIO_INSTALL, VERSION_BEFORE as ISTIO_VERSION_BEFORE};
pub(crate) use proxy::restart_containerd;

use crate::cluster::{Installs, Provider};
use crate::journal::StageInfo;
use crate::spec::Spec;
use crate::text;

/// What a look at a stage finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is true.
    True,
    /// It is not, for this reason.
    Missing(String),
    /// The spec does not ask for it, or this source of clusters has no place for it.
    NotNeeded,
}

/// How a stage ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was already true.
    Already,
    /// It was made.
    Provisioned,
    /// The spec does not ask for it.
    NotNeeded,
}

/// One thing that `up` would do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum PlanStep {
    /// A command; `{state}` stands for the state directory.
    Command {
        /// Argument vector.
        argv: Vec<String>,
    },
    /// A file that is written, on this machine or on every node.
    File {
        /// Path; `{state}` stands for the state directory.
        path: String,
        /// Whether it is written on every node.
        on_nodes: bool,
        /// Content.
        content: String,
    },
    /// Anything else, one line.
    Note {
        /// The line.
        text: String,
    },
}

impl PlanStep {
    pub(crate) fn command<'a>(argv: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Command { argv: argv.into_iter().map(str::to_owned).collect() }
    }

    pub(crate) fn note(key: &str, args: &[(&str, &str)]) -> Self {
        Self::Note { text: text::current().with(key, args) }
    }
}

/// What a stage does. Other crates implement it for their own stages.
pub trait Action: Send + Sync {
    /// Looks whether the stage is true now. It changes nothing, trusts nothing that was recorded, and waits for nothing.
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>>;
    /// Makes it true, after a look that found it missing. Run again on a half-made environment it converges.
    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>>;
    /// Whether it only prepares for other stages to make something, so that it says nothing about what stands.
    fn only_prepares(&self) -> bool {
        false
    }
    /// What [`Action::make`] would do for this spec, with clusters of this source, on a machine that has nothing.
    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep>;
    /// The part of the spec that the stage heeds: if it changes, what was made is not what is asked for. Nothing by default.
    fn heeds(&self, spec: &Spec, provider: &dyn Provider) -> Value {
        let _ = (spec, provider);
        Value::Null
    }
}

/// A provisioning step and what it needs.
#[derive(Clone)]
pub struct Stage {
    /// Stable id.
    pub id: &'static str,
    /// Ids of the stages that must be done before.
    pub needs: &'static [&'static str],
    /// Its title, where it is none of the guide's own, whose titles are texts.
    pub title: Option<&'static str>,
    /// What it does.
    pub action: Arc<dyn Action>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("id", &self.id).field("needs", &self.needs).finish_non_exhaustive()
    }
}

impl Stage {
    /// What `up` would do for it with clusters of this source.
    #[must_use]
    pub fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        // What is only looked at has one plan for all of it.
        if provider.installs() == Installs::Nothing { provider.plan(spec) } else { self.action.plan(spec, provider) }
    }

    /// A stage that needs no other.
    #[must_use]
    pub fn new(id: &'static str, action: impl Action + 'static) -> Self {
        Self { id, needs: &[], title: None, action: Arc::new(action) }
    }

    /// Names the stages that must be done before.
    #[must_use]
    pub fn needs(mut self, stages: &'static [&'static str]) -> Self {
        self.needs = stages;
        self
    }

    /// Gives it a title of one line.
    #[must_use]
    pub fn titled(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// What a journal says about it.
    #[must_use]
    pub fn info(&self) -> StageInfo {
        StageInfo {
            id: self.id.to_owned(),
            title: self.title.map_or_else(|| text::current().get(&format!("stage-{}", self.id)), str::to_owned),
            needs: self.needs.iter().map(|n| (*n).to_owned()).collect(),
        }
    }
}

/// The stages of the guide, in the order of a plan.
#[must_use]
pub fn builtin() -> Vec<Stage> {
    fn stage(id: &'static str, needs: &'static [&'static str], action: impl Action + 'static) -> Stage {
        Stage::new(id, action).needs(needs)
    }
    vec![
        stage("preflight", &[], preflight::Preflight),
        stage("mirror", &["preflight"], mirror::Mirror),
        stage("cluster", &["mirror"], cluster::MakeCluster),
        stage("nodes", &["cluster"], cluster::Nodes),
        stage("proxy", &["nodes"], proxy::Proxy),
        stage("dashboard", &["proxy"], dashboard::Dashboard),
        stage("admin-user", &["dashboard"], admin_user::AdminUser),
        stage("istio", &["proxy"], istio::Istio),
        stage("gateway-api", &["nodes"], gateway_api::GatewayApi),
    ]
}

#[cfg(test)]
mod tests;
