//! Istio in ambient mode (guide 2.2 and 2.3): `istioctl version` before, then the literal `istioctl install`, both kept as transcripts.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::apply::{Named, apply, lacking, manifest, plan, pods_ready, restart_stuck_pods};
use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::{Installs, Part, Provider};
use crate::outcomes::{ISTIO_NAMESPACE as NAMESPACE, is_version};
use crate::spec::Spec;
use crate::tools::Stream;
use crate::wait::terminal::first_trouble;
use crate::wait::{Limit, Progress, Waiter, Watched, conditions};

/// Transcript of `istioctl version` before Istio was there.
pub const VERSION_BEFORE: &str = "istioctl.version-before";
/// Transcript of `istioctl install`.
pub const INSTALL: &str = "istio.install";

/// Parts of an installation that no workload's status tells of. Source: Istio `manifests/charts`, the same from 1.24 to 1.31.
const PARTS: [(&str, &str, &str, &str); 10] = [
    ("v1", "Service", NAMESPACE, "istiod"),
    ("v1", "ConfigMap", NAMESPACE, "istio"),
    ("v1", "ConfigMap", NAMESPACE, "istio-sidecar-injector"),
    ("v1", "ServiceAccount", NAMESPACE, "istiod"),
    ("v1", "ServiceAccount", NAMESPACE, "istio-cni"),
    ("v1", "ServiceAccount", NAMESPACE, "ztunnel"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "istio-sidecar-injector"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "istio-validator-istio-system"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "virtualservices.networking.istio.io"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "authorizationpolicies.security.istio.io"),
];

/// Name of the kept manifest, where Istio is installed from one.
const MANIFEST: &str = "istio.yaml";

pub(super) struct Istio;

impl Action for Istio {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let parts = PARTS.map(|(api_version, kind, namespace, name)| Named { api_version, kind, namespace, name });
            // All at once: every test asks.
            let asked = tokio::try_join!(workloads(&client), pods_ready(&client, NAMESPACE), lacking(&client, &parts))?;
            let ((deployments, sets), ready, lacking) = asked;
            if let Some(lack) = lacks(&context.spec, &deployments, &sets) {
                return Ok(Found::Missing(lack));
            }
            if !ready {
                return Ok(Found::Missing(format!("a pod of {NAMESPACE} is not Ready")));
            }
            Ok(lacking.map_or(Found::True, Found::Missing))
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let found = workloads(&client).await?;
            let documented = context.provider.installs() == Installs::AsDocumented;
            if found.0.is_empty() && found.1.is_empty() {
                // Where nothing is installed with istioctl, it may still say what it sees before.
                if documented || context.tools.istioctl().await.is_ok() {
                    version_before(context).await?;
                }
            } else {
                restart_stuck_pods(context, NAMESPACE).await?;
            }
            if documented {
                install(context, &client).await?;
            } else {
                let text = manifest(context, Part::Istio, MANIFEST, MANIFEST).await?;
                apply(context, MANIFEST, &[], &text).await?;
            }
            let mut waiter = context.waiting.waiter();
            let ready = ready(&mut waiter, &context.spec, &client);
            waiter.until("Istio is ready", Limit::IstioReady, ready).await?;
            Ok(Done::Provisioned)
        })
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        let documented = vec![
            PlanStep::command(["istioctl", "version"]),
            PlanStep::command(std::iter::once("istioctl").chain(arguments(spec).iter().map(String::as_str))),
        ];
        plan(Part::Istio, MANIFEST, documented, spec, provider)
    }

    fn heeds(&self, spec: &Spec, _provider: &dyn Provider) -> Value {
        json!({"istio": {"version": spec.istio.version, "profile": spec.istio.profile}})
    }
}

/// The Deployments and `DaemonSets` of Istio's namespace.
async fn workloads(client: &kube::Client) -> Result<(Vec<Arc<Deployment>>, Vec<Arc<DaemonSet>>), StageError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), NAMESPACE);
    let all = ListParams::default();
    let (deployments, sets) = tokio::try_join!(deployments.list(&all), sets.list(&all))
        .map_err(StageError::kube(format!("list the workloads of {NAMESPACE}")))?;
    Ok((arcs(deployments.items), arcs(sets.items)))
}

/// `istioctl version` before anything is installed, kept as a transcript.
async fn version_before(context: &StageContext) -> Result<(), StageError> {
    let command = context.istioctl().await?.arg("version").timeout(context.waiting.limit(Limit::ShortCommand));
    let output = command.output(&context.journal).await?;
    context.keep_transcript(VERSION_BEFORE, output.record)?;
    Ok(())
}

/// The guide's command, word for word.
fn arguments(spec: &Spec) -> [String; 4] {
    let set = format!("profile={}", spec.istio.profile);
    ["install".to_owned(), "--set".to_owned(), set, "--skip-confirmation".to_owned()]
}

/// Runs `istioctl install`, which waits up to five minutes for each component, and ends it as soon as a pod cannot come up.
async fn install(context: &StageContext, client: &kube::Client) -> Result<(), StageError> {
    let progress = context.clone();
    let command = context.istioctl().await?.args(arguments(&context.spec)).timeout(context.waiting.limit(Limit::IstioInstall)).on_line(
        move |stream, line| {
            let line = line.trim();
            if stream == Stream::Stderr && (line.starts_with('-') || line.starts_with('✔') || line.starts_with('✘')) {
                progress.progress(line);
            }
        },
    );
    // The status of this wait is istioctl's own, so it does not listen.
    let mut waiter = context.waiting.listen(|_| {}).waiter();
    let pods = waiter.watch(Api::<Pod>::namespaced(client.clone(), NAMESPACE), &ListParams::default());
    let trouble = waiter.until("the pods of Istio come up", Limit::IstioInstall, || {
        let trouble = first_trouble(&pods.items());
        trouble.map_or_else(|| Progress::<()>::NotYet("no trouble".to_owned()), crate::wait::terminal::Trouble::progress)
    });
    let output = tokio::select! {
        output = command.output(&context.journal) => output?,
        // Dropping the command's future ends istioctl.
        Err(error) = trouble => return Err(error.into()),
    };
    context.keep_transcript(INSTALL, output.record.clone())?;
    output.ok(&context.journal)?;
    Ok(())
}

fn arcs<K>(items: Vec<K>) -> Vec<Arc<K>> {
    items.into_iter().map(Arc::new).collect()
}

fn ready(waiter: &mut Waiter, spec: &Spec, client: &kube::Client) -> impl FnMut() -> Progress + use<> {
    let all = ListParams::default();
    let deployments: Watched<Deployment> = waiter.watch(Api::namespaced(client.clone(), NAMESPACE), &all);
    let sets: Watched<DaemonSet> = waiter.watch(Api::namespaced(client.clone(), NAMESPACE), &all);
    let pods: Watched<Pod> = waiter.watch(Api::namespaced(client.clone(), NAMESPACE), &all);
    let spec = spec.clone();
    move || match lacks(&spec, &deployments.items(), &sets.items()) {
        None => Progress::Ready(()),
        Some(lack) => first_trouble(&pods.items()).map_or(Progress::NotYet(lack), crate::wait::terminal::Trouble::progress),
    }
}

/// What Istio lacks to be installed in the wanted version and ready, or `None`.
fn lacks(spec: &Spec, deployments: &[Arc<Deployment>], sets: &[Arc<DaemonSet>]) -> Option<String> {
    use kube::ResourceExt;
    let other = |name: &str, template: Option<&PodTemplateSpec>| {
        let image = template.and_then(|t| t.spec.as_ref()?.containers.first()?.image.as_deref()).unwrap_or("nothing");
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        (!is_version(tag, &spec.istio.version)).then(|| format!("{name} runs {image}"))
    };
    let Some(istiod) = deployments.iter().find(|d| d.name_any() == "istiod") else {
        return Some("Deployment istiod does not exist".to_owned());
    };
    if let Some(lack) = other("istiod", istiod.spec.as_ref().map(|s| &s.template)).or_else(|| conditions::deployment_lacks(istiod)) {
        return Some(lack);
    }
    ["istio-cni-node", "ztunnel"].into_iter().find_map(|name| match sets.iter().find(|s| s.name_any() == name) {
        None => Some(format!("DaemonSet {name} does not exist")),
        Some(set) => other(name, set.spec.as_ref().map(|s| &s.template)).or_else(|| conditions::daemon_set_lacks(set)),
    })
}
