//! The cluster itself, and then all of its nodes: `kind create cluster --wait` looks at control planes only and takes a timeout for success.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::kind_config::expected_nodes;
use crate::cluster::{Capability, Installs, Made, Provider};
use crate::journal::Event;
use crate::spec::Spec;
use crate::wait::terminal::{Trouble, first_trouble};
use crate::wait::{Limit, Progress, conditions};

/// Where the parts of Kubernetes itself run.
const SYSTEM: &str = "kube-system";

pub(super) struct MakeCluster;

impl Action for MakeCluster {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let found = context.provider.look(context).await?;
            if found == Found::True {
                note_version(context).await?;
                context.record_spec()?;
            }
            Ok(found)
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let made = context.provider.provision(context).await?;
            context.record_spec()?;
            note_version(context).await?;
            Ok(match made {
                Made::Already => Done::Already,
                Made::Now => Done::Provisioned,
            })
        })
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        provider.plan(spec)
    }

    fn heeds(&self, spec: &Spec, provider: &dyn Provider) -> Value {
        provider.heeds(spec)
    }
}

async fn note_version(context: &StageContext) -> Result<(), StageError> {
    let version = context.client().await?.apiserver_version().await.map_err(StageError::kube("ask for the API server's version"))?;
    context.journal.write(Event::Fact { name: "kubernetes".into(), value: version.git_version });
    Ok(())
}

pub(super) struct Nodes;

impl Action for Nodes {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let all = ListParams::default();
            let nodes = Api::<Node>::all(client.clone());
            let pods = Api::<Pod>::all(client.clone());
            let deployments = Api::<Deployment>::namespaced(client.clone(), SYSTEM);
            let sets = Api::<DaemonSet>::namespaced(client, SYSTEM);
            let listed = tokio::try_join!(nodes.list(&all), pods.list(&all), deployments.list(&all), sets.list(&all));
            let (nodes, pods, deployments, sets) = listed.map_err(StageError::kube(format!("list the nodes and what runs in {SYSTEM}")))?;
            let wanted = wanted_nodes(context, &nodes.items);
            if let Progress::NotYet(status) = conditions::nodes_ready(&wanted, &arcs(nodes.items)) {
                return Ok(Found::Missing(status));
            }
            let started = started(context).await?;
            let system = System { pods: arcs(pods.items), deployments: arcs(deployments.items), sets: arcs(sets.items) };
            Ok(system.lacks(&started).map_or(Found::True, Found::Missing))
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let names: Vec<String> = expected_nodes(&context.spec).into_iter().map(|(name, _)| name).collect();
            let mut waiter = context.waiting.waiter();
            let nodes = waiter.watch(Api::<Node>::all(client.clone()), &ListParams::default());
            waiter.until("every node is Ready", Limit::NodesReady, || conditions::nodes_ready(&names, &nodes.items())).await?;
            let started = started(context).await?;
            let mut waiter = context.waiting.waiter();
            let pods = waiter.watch(Api::<Pod>::all(client.clone()), &ListParams::default());
            let deployments = waiter.watch(Api::<Deployment>::namespaced(client.clone(), SYSTEM), &ListParams::default());
            let sets = waiter.watch(Api::<DaemonSet>::namespaced(client, SYSTEM), &ListParams::default());
            let system = || {
                let system = System { pods: pods.items(), deployments: deployments.items(), sets: sets.items() };
                match system.lacks(&started) {
                    None => Progress::Ready(()),
                    Some(status) => system.trouble().map_or(Progress::NotYet(status), Trouble::progress),
                }
            };
            waiter.until("every kube-system pod is Ready", Limit::SystemReady, system).await?;
            Ok(Done::Provisioned)
        })
    }

    fn plan(&self, spec: &Spec, _provider: &dyn Provider) -> Vec<PlanStep> {
        let names: Vec<String> = expected_nodes(spec).into_iter().map(|(name, _)| name).collect();
        vec![PlanStep::note("plan-nodes", &[("nodes", &names.join(", "))])]
    }
}

/// The nodes that must be Ready: those of the spec, or where the machines are not ours those that are there.
fn wanted_nodes(context: &StageContext, present: &[Node]) -> Vec<String> {
    if context.provider.installs() == Installs::Nothing {
        return present.iter().map(kube::ResourceExt::name_any).collect();
    }
    expected_nodes(&context.spec).into_iter().map(|(name, _)| name).collect()
}

/// When the machines were started, as far as that is known. After a restart of a node's machine the API still shows what ran on it before,
/// until its kubelet has looked.
async fn started(context: &StageContext) -> Result<BTreeMap<String, Timestamp>, StageError> {
    let cluster = context.cluster().await?;
    if cluster.capabilities.missing(&Capability::NODE_INVENTORY).is_some() {
        return Ok(BTreeMap::new());
    }
    let machines = cluster.nodes.machines().await?;
    Ok(machines.into_iter().filter_map(|m| Some((m.name, m.started?))).collect())
}

/// What is known of kube-system, and the pods of all namespaces.
struct System {
    pods: Vec<Arc<Pod>>,
    deployments: Vec<Arc<Deployment>>,
    sets: Vec<Arc<DaemonSet>>,
}

impl System {
    /// Pods of kube-system that should run.
    fn running(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|p| p.metadata.namespace.as_deref() == Some(SYSTEM) && !conditions::pod_ended(p))
    }

    /// What it lacks to be Ready, or `None`. Cluster DNS is what everything that follows needs.
    fn lacks(&self, started: &BTreeMap<String, Timestamp>) -> Option<String> {
        if let Some(stale) = self.pods.iter().find_map(|p| conditions::stale(p, started)) {
            return Some(stale);
        }
        let unready: Vec<String> = self.running().filter(|p| !conditions::pod_ready(p)).map(|p| conditions::pod_line(p)).collect();
        if !unready.is_empty() {
            return Some(unready.join("; "));
        }
        // Pods that are not there yet are missed by their controllers only.
        let lacks = self.deployments.iter().find_map(|d| conditions::deployment_lacks(d));
        let lacks = lacks.or_else(|| self.sets.iter().find_map(|s| conditions::daemon_set_lacks(s)));
        lacks.or_else(|| self.running().next().is_none().then(|| format!("{SYSTEM} has no pod")))
    }

    fn trouble(&self) -> Option<Trouble> {
        first_trouble(&self.running().cloned().collect::<Vec<_>>())
    }
}

fn arcs<K>(items: Vec<K>) -> Vec<Arc<K>> {
    items.into_iter().map(Arc::new).collect()
}
