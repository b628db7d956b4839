//! A provider that hands out the cluster that a test has made.

use futures::future::{BoxFuture, FutureExt};

use crate::cluster::{Cluster, Made, Provider, Teardown};
use crate::journal::Fidelity;
use crate::stages::{Context, StageError};

/// Has a cluster, or none.
#[derive(Default)]
pub(crate) struct FakeProvider {
    pub(crate) cluster: Option<Cluster>,
}

impl Provider for FakeProvider {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Simulated
    }

    fn preflight<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        async { Ok(()) }.boxed()
    }

    fn provision<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Made, StageError>> {
        async { Ok(Made::Already) }.boxed()
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
