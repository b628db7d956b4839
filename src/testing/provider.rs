//! A provider that hands out the cluster that a test has made.

use futures::future::{BoxFuture, FutureExt};

use crate::cluster::{Cluster, Installs, Made, NodeMachine, Provider, Teardown};
use crate::journal::{CommandRecord, Fidelity};
use crate::session::{Session, State};
use crate::spec::Spec;
use crate::stages::{Context, Found, PlanStep, StageError};

/// Has a cluster, or none.
#[derive(Default)]
pub(crate) struct FakeProvider {
    pub(crate) cluster: Option<Cluster>,
    /// Whose the cluster is, if not made for the test.
    pub(crate) installs: Option<Installs>,
}

impl Provider for FakeProvider {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Simulated
    }

    fn installs(&self) -> Installs {
        self.installs.unwrap_or(Installs::AsDocumented)
    }

    fn plan(&self, _: &Spec) -> Vec<PlanStep> {
        Vec::new()
    }

    fn machines<'a>(&'a self, _: &'a Session, _: &'a State) -> BoxFuture<'a, Result<Vec<NodeMachine>, StageError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn preflight<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        async { Ok(()) }.boxed()
    }

    fn look<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Found, StageError>> {
        async { Ok(Found::True) }.boxed()
    }

    fn heeds(&self, _: &Spec) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn provision<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Made, StageError>> {
        async { Ok(Made::Already) }.boxed()
    }

    fn create_again<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<CommandRecord>, StageError>> {
        let name = &context.spec.cluster.name;
        let record = CommandRecord {
            argv: ["kind", "create", "cluster", "--name", name].map(str::to_owned).into(),
            pid: 1,
            exit_code: Some(1),
            duration_ms: 1,
            stdout: String::new(),
            stderr: format!("ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"{name}\"\n"),
        };
        async { Ok(Some(record)) }.boxed()
    }

    fn attach<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Cluster, StageError>> {
        let none = || StageError::Other { message: "there is no cluster".into(), hint: None };
        let cluster = self.cluster.clone().ok_or_else(none);
        async { cluster }.boxed()
    }

    fn teardown<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Teardown, StageError>> {
        async { Ok(Teardown::default()) }.boxed()
    }
}
