//! Faults inside nodes: files and services.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use serde_json::Value;

use super::{Inject, Injected};
use crate::cluster::kind_config::expected_nodes;
use crate::outcomes::{Environment, Stop};
use crate::stages::restart_containerd;
use crate::wait::{Limit, Progress};

/// A node by what it is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum On {
    /// The first control plane.
    ControlPlane,
    /// The last node of the spec: a worker, if there is one.
    Last,
}

impl On {
    fn node(self, environment: &Environment) -> Result<String, Stop> {
        let mut nodes = expected_nodes(&environment.spec).into_iter().map(|(name, _)| name);
        let node = match self {
            Self::ControlPlane => nodes.next(),
            Self::Last => nodes.next_back(),
        };
        node.ok_or_else(|| Stop::Failed("the spec has no node".to_owned()))
    }
}

/// What becomes of a file, if anything is to be left of it.
type Edit = fn(&str) -> Option<String>;

/// A file that containerd reads when it starts has another content, or is gone, and containerd was started anew.
pub(super) struct ContainerdFile {
    on: On,
    path: &'static str,
    edit: Edit,
}

impl ContainerdFile {
    pub(super) fn new(on: On, path: &'static str, edit: Edit) -> Self {
        Self { on, path, edit }
    }

    async fn put(&self, environment: &Environment, content: Option<&str>) -> Result<(), Stop> {
        let node = self.on.node(environment)?;
        let access = environment.cluster.nodes.as_ref();
        match content {
            Some(content) => access.write_file(&node, self.path, content).await?,
            None => drop(access.run(&node, &["rm", "-f", self.path]).await?),
        }
        Ok(restart_containerd(&environment.waiting, access, &node).await?)
    }
}

impl Inject for ContainerdFile {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        async move {
            let node = self.on.node(environment)?;
            Ok(Value::from(environment.cluster.nodes.read_file(&node, self.path).await?))
        }
        .boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move { self.put(environment, (self.edit)(kept.as_str().unwrap_or_default()).as_deref()).await }.boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move { self.put(environment, Some(kept.as_str().unwrap_or_default())).await }.boxed()
    }
}

/// The kubelet of a node does not run. What it started goes on.
pub(super) struct NoKubelet(pub(super) On);

impl NoKubelet {
    /// Starts or stops it, and waits until it answers or does not.
    async fn switch(&self, environment: &Environment, verb: &str, answers: bool) -> Result<(), Stop> {
        let node = self.0.node(environment)?;
        environment.cluster.nodes.run(&node, &["systemctl", verb, "kubelet"]).await?;
        let path = format!("/api/v1/nodes/{node}/proxy/healthz");
        let attempt = || async {
            let answer = environment.request(Method::GET, &path, &[], None).await;
            if answer.as_ref().is_ok_and(|a| a.status.is_success()) == answers {
                return Progress::Ready(());
            }
            Progress::NotYet(answer.map_or_else(|e| crate::error::one_line(&e), |a| a.brief()))
        };
        let what = format!("the kubelet of {node} {}", if answers { "answers" } else { "is silent" });
        Ok(environment.waiting.poll(&what, Limit::RuntimeRestart, Duration::from_millis(300), attempt).await?)
    }
}

impl Inject for NoKubelet {
    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move { self.switch(environment, "stop", false).await }.boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            self.switch(environment, "start", true).await?;
            // It has to say so to the API server as well.
            let attempt = || async {
                match environment.nodes().await {
                    Ok(nodes) => nodes.iter().find_map(crate::wait::conditions::node_unready).map_or(Progress::Ready(()), Progress::NotYet),
                    Err(e) => Progress::NotYet(crate::error::one_line(&e)),
                }
            };
            Ok(environment.waiting.poll("every node is Ready again", Limit::NodesReady, Duration::from_millis(300), attempt).await?)
        }
        .boxed()
    }
}
