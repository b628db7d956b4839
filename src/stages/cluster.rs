//! The cluster itself, and then all of its nodes: `kind create cluster --wait` looks at control planes only and takes a timeout for success.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};

use super::{Action, Done, PlanStep, StageContext, StageError};
use crate::cluster::kind_config::expected_nodes;
use crate::cluster::{Made, Provider};
use crate::journal::Event;
use crate::spec::{Spec, to_document};
use crate::wait::terminal::{Trouble, first_trouble};
use crate::wait::{Limit, Progress, conditions};

/// Where the parts of Kubernetes itself run.
const SYSTEM: &str = "kube-system";

pub(super) struct MakeCluster;

impl Action for MakeCluster {
    fn provision<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let made = context.provider.provision(context).await?;
            // From here on the session is what this spec asks for. One that was refused leaves it as it was.
            context.record(|state| state.spec = to_document(&context.spec))?;
            let version =
                context.client().await?.apiserver_version().await.map_err(StageError::kube("ask for the API server's version"))?;
            context.journal.write(Event::Fact { name: "kubernetes".into(), value: version.git_version });
            Ok(match made {
                Made::Already => Done::Already,
                Made::Now => Done::Provisioned,
            })
        })
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        provider.plan(spec)
    }
}

pub(super) struct Nodes;

impl Action for Nodes {
    fn provision<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let names: Vec<String> = expected_nodes(&context.spec).into_iter().map(|(name, _)| name).collect();
            let mut waiter = context.waiting.waiter();
            let nodes = waiter.watch(Api::<Node>::all(client.clone()), &ListParams::default());
            let mut pending = false;
            let ready = || {
                let progress = conditions::nodes_ready(&names, &nodes.items());
                pending |= progress != Progress::Ready(());
                progress
            };
            waiter.until("every node is Ready", Limit::NodesReady, ready).await?;
            // After a restart of a node's machine the API still shows what ran on it before, until its kubelet has looked.
            let machines = context.cluster().await?.nodes.machines().await?;
            let started: BTreeMap<String, Timestamp> = machines.into_iter().filter_map(|m| Some((m.name, m.started?))).collect();
            // Cluster DNS is what everything that follows needs besides.
            let mut waiter = context.waiting.waiter();
            let pods = waiter.watch(Api::<Pod>::all(client.clone()), &ListParams::default());
            let deployments = waiter.watch(Api::<Deployment>::namespaced(client.clone(), SYSTEM), &ListParams::default());
            let sets = waiter.watch(Api::<DaemonSet>::namespaced(client, SYSTEM), &ListParams::default());
            let system = || {
                let mut items = pods.items();
                if let Some(stale) = items.iter().find_map(|p| conditions::stale(p, &started)) {
                    pending = true;
                    return Progress::NotYet(stale);
                }
                // Pods that are not there yet are missed by their controllers only.
                let lacks = deployments.items().iter().find_map(|d| conditions::deployment_lacks(d));
                let lacks = lacks.or_else(|| sets.items().iter().find_map(|s| conditions::daemon_set_lacks(s)));
                items.retain(|p| p.metadata.namespace.as_deref() == Some(SYSTEM) && !conditions::pod_ended(p));
                let unready: Vec<String> = items.iter().filter(|p| !conditions::pod_ready(p)).map(|p| conditions::pod_line(p)).collect();
                pending |= !unready.is_empty();
                pending |= lacks.is_some();
                if unready.is_empty() && !items.is_empty() && lacks.is_none() {
                    return Progress::Ready(());
                }
                let status = || if unready.is_empty() { lacks.clone().unwrap_or_default() } else { unready.join("; ") };
                first_trouble(&items).map_or_else(|| Progress::NotYet(status()), Trouble::progress)
            };
            waiter.until("every kube-system pod is Ready", Limit::SystemReady, system).await?;
            Ok(if pending { Done::Provisioned } else { Done::Already })
        })
    }

    fn plan(&self, spec: &Spec, _provider: &dyn Provider) -> Vec<PlanStep> {
        let names: Vec<String> = expected_nodes(spec).into_iter().map(|(name, _)| name).collect();
        vec![PlanStep::note("plan-nodes", &[("nodes", &names.join(", "))])]
    }
}
