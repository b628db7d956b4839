//! Kubernetes Dashboard (guide 2.1.2): `kubectl apply` of `recommended.yaml`, then both Deployments available.

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde::Deserialize;
use serde_json::{Value, json};

use super::apply::{Named, apply, heeded_manifest, lacking, manifest, objects, plan, pods_ready, restart_stuck_pods};
use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::{Part, Provider};
use crate::journal::Event;
use crate::outcomes::DASHBOARD_NAMESPACE as NAMESPACE;
use crate::spec::Spec;
use crate::wait::{Limit, conditions};

const MANIFEST: &str = "dashboard.yaml";

pub(super) struct Dashboard;

impl Action for Dashboard {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let source = &context.spec.dashboard.manifest;
            let text = manifest(context, Part::Dashboard, MANIFEST, source).await?;
            let all = objects(source, &text)?;
            let wanted = deployments(source, &all)?;
            let client = context.client().await?;
            let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
            let things: Vec<Named<'_>> = all.iter().map(Named::of).collect();
            // All at once: every test asks.
            let present =
                async { api.list(&ListParams::default()).await.map_err(StageError::kube(format!("list the Deployments of {NAMESPACE}"))) };
            let (present, ready, lacking) = tokio::try_join!(present, pods_ready(&client, NAMESPACE), lacking(&client, &things))?;
            if let Some(wanted) = wanted.iter().find(|w| !present.iter().any(|p| is_true(w, p))) {
                return Ok(Found::Missing(format!("Deployment {} is not there, not available, or of another version", wanted.name_any())));
            }
            if !ready {
                return Ok(Found::Missing(format!("a pod of {NAMESPACE} is not Ready")));
            }
            Ok(lacking.map_or(Found::True, Found::Missing))
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let source = &context.spec.dashboard.manifest;
            let text = manifest(context, Part::Dashboard, MANIFEST, source).await?;
            let wanted = deployments(source, &objects(source, &text)?)?;
            let client = context.client().await?;
            let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
            if context.spec.cluster.preloaded {
                context.journal.write(Event::Fact { name: "imagePullPolicy".into(), value: "IfNotPresent".to_owned() });
            }
            apply(context, MANIFEST, &[], &text).await?;
            restart_stuck_pods(context, NAMESPACE).await?;
            let mut waiter = context.waiting.waiter();
            let deployments = waiter.watch(api, &ListParams::default());
            let pods = waiter.watch(Api::<Pod>::namespaced(client, NAMESPACE), &ListParams::default());
            let names: Vec<String> = wanted.iter().map(kube::ResourceExt::name_any).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let available = || conditions::deployments_available(&names, &deployments.items(), &pods.items());
            waiter.until("the Dashboard is available", Limit::Dashboard, available).await?;
            Ok(Done::Provisioned)
        })
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        let mut documented = vec![PlanStep::command(["kubectl", "apply", "-f", &spec.dashboard.manifest])];
        if spec.cluster.preloaded {
            documented.push(PlanStep::note("plan-preloaded", &[]));
        }
        plan(Part::Dashboard, MANIFEST, documented, spec, provider)
    }

    fn heeds(&self, spec: &Spec, provider: &dyn Provider) -> Value {
        let spec = &spec.dashboard;
        json!({"dashboard": {"version": spec.version, "manifest": heeded_manifest(provider, &spec.manifest)}})
    }
}

/// The Deployments of the manifest.
fn deployments(source: &str, objects: &[Value]) -> Result<Vec<Deployment>, StageError> {
    let unusable = |reason: String| StageError::Manifest { manifest: source.to_owned(), reason };
    let found: Vec<Deployment> = objects
        .iter()
        .filter(|o| o["kind"] == "Deployment")
        .map(Deployment::deserialize)
        .collect::<Result<_, _>>()
        .map_err(|e| unusable(format!("a Deployment cannot be read: {e}")))?;
    if found.is_empty() { Err(unusable("it has no Deployment".to_owned())) } else { Ok(found) }
}

/// Whether what runs is what the manifest asks for: the same images, all available.
fn is_true(wanted: &Deployment, present: &Deployment) -> bool {
    wanted.name_any() == present.name_any() && images(wanted) == images(present) && conditions::deployment_lacks(present).is_none()
}

fn images(deployment: &Deployment) -> Vec<Option<String>> {
    let spec = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    spec.map(|s| s.containers.iter().map(|c| c.image.clone()).collect()).unwrap_or_default()
}
