//! The nodes of a kind cluster, reached through the container engine.

use futures::future::BoxFuture;

use super::{NodeAccess, NodeError, NodeMachine};
use crate::engine::{Engine, ExecOutput};

/// The nodes of a kind cluster: containers.
#[derive(Debug)]
pub(super) struct KindNodes {
    pub(super) engine: Engine,
    /// The cluster's name.
    pub(super) cluster: String,
}

impl NodeAccess for KindNodes {
    fn machines(&self) -> BoxFuture<'_, Result<Vec<NodeMachine>, NodeError>> {
        Box::pin(async move {
            let unreachable = |source| NodeError::Engine { node: self.cluster.clone(), source };
            let nodes = self.engine.nodes(&self.cluster).await.map_err(unreachable)?;
            let mut machines = Vec::new();
            for node in nodes.into_iter().filter(|n| n.role != "external-load-balancer") {
                let started = match self.engine.started(&node.name).await {
                    Err(e) if e.is_not_found() => continue,
                    started => started.map_err(|source| NodeError::Engine { node: node.name.clone(), source })?,
                };
                machines.push(NodeMachine { name: node.name, role: node.role, state: node.state, started });
            }
            Ok(machines)
        })
    }

    fn exec<'a>(&'a self, node: &'a str, argv: &'a [&'a str]) -> BoxFuture<'a, Result<ExecOutput, NodeError>> {
        Box::pin(async move {
            let unreachable = |source| NodeError::Engine { node: node.to_owned(), source };
            self.engine.exec(node, argv).await.map_err(unreachable)
        })
    }

    fn write_file<'a>(&'a self, node: &'a str, path: &'a str, content: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        Box::pin(async move {
            let unreachable = |source| NodeError::Engine { node: node.to_owned(), source };
            self.engine.write_file(node, path, content).await.map_err(unreachable)
        })
    }

    fn boot_log<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<String>, NodeError>> {
        /// systemd says a few hundred lines when a node boots.
        const LINES: usize = 20_000;
        Box::pin(async move {
            let unreachable = |source| NodeError::Engine { node: node.to_owned(), source };
            let lines = self.engine.log_tail(node, LINES).await.map_err(unreachable)?;
            Ok(Some(lines.iter().map(|l| format!("{l}\n")).collect()))
        })
    }

    fn describe<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<Option<serde_json::Value>, NodeError>> {
        Box::pin(async move {
            let unreachable = |source| NodeError::Engine { node: node.to_owned(), source };
            self.engine.describe(node).await.map(Some).map_err(unreachable)
        })
    }
}
