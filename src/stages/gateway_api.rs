//! The Gateway API CRDs (guide 2.4), if they are missing. The guide asks for one CRD by name (D12); here all of the bundle's count.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::apply::{apply, heeded_manifest, manifest, objects, plan};
use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::{Part, Provider};
use crate::journal::Event;
use crate::outcomes::{BUNDLE_VERSION, CHANNEL};
use crate::session::KeptCrds;
use crate::spec::Spec;
use crate::text;
use crate::wait::{Limit, conditions};

/// Name of the kept manifest.
pub(crate) const MANIFEST: &str = "gateway-api.yaml";

pub(super) struct GatewayApi;

impl Action for GatewayApi {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let spec = &context.spec.gateway_api;
            let names = names(context).await?;
            let client = context.client().await?;
            let api: Api<CustomResourceDefinition> = Api::all(client.clone());
            // Without their schemas, which are most of them.
            let present = api.list_metadata(&ListParams::default()).await.map_err(StageError::kube("list the CRDs"))?;
            if let Some(missing) = names.iter().find(|n| !present.iter().any(|c| c.name_any() == **n)) {
                return Ok(Found::Missing(format!("CRD {missing} does not exist")));
            }
            // "If missing" is the guide's word: what somebody else installed stays, and the outcomes tell what it is.
            let ours = present.iter().filter(|c| names.contains(&c.name_any()));
            if let Some(found) = ours.map(bundle).find(|b| *b != (spec.version.clone(), spec.channel.as_str().to_owned())) {
                let wanted = format!("{} {}", spec.version, spec.channel.as_str());
                let found = format!("{} {}", found.0, found.1);
                let message = text::current().with("warning-other-bundle", &[("found", &found), ("wanted", &wanted)]);
                context.journal.write(Event::Warning { message });
            }
            // What is Established is served.
            let unserved = unserved(&client, &names).await.map_err(StageError::kube("ask what the API server serves"))?;
            Ok(unserved.map_or(Found::True, |name| Found::Missing(format!("CRD {name} is not served"))))
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let text = manifest(context, Part::GatewayApi, MANIFEST, &context.spec.gateway_api.manifest).await?;
            let names = crds_of(&context.spec.gateway_api.manifest, &text)?;
            let api: Api<CustomResourceDefinition> = Api::all(context.client().await?);
            let present = api.list_metadata(&ListParams::default()).await.map_err(StageError::kube("list the CRDs"))?;
            // CRDs that are all there, and not Established yet, are not applied over: they may be somebody else's.
            if !names.iter().all(|n| present.iter().any(|c| c.name_any() == *n)) {
                // Server-side: the larger bundles do not fit into the annotation of a client-side apply (P29).
                apply(context, MANIFEST, &["--server-side", "--force-conflicts"], &text).await?;
            }
            let mut waiter = context.waiting.waiter();
            let crds = waiter.watch(api, &ListParams::default());
            let established = || conditions::crds_established(&names, &crds.items());
            waiter.until("the Gateway API CRDs are Established", Limit::CrdsEstablished, established).await?;
            Ok(Done::Provisioned)
        })
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        let command = PlanStep::command(["kubectl", "apply", "--server-side", "--force-conflicts", "-f", &spec.gateway_api.manifest]);
        let mut steps = vec![PlanStep::note("plan-gateway-api", &[])];
        steps.extend(plan(Part::GatewayApi, MANIFEST, vec![command], spec, provider));
        steps
    }

    fn heeds(&self, spec: &Spec, provider: &dyn Provider) -> Value {
        let spec = &spec.gateway_api;
        json!({"gatewayApi": {"version": spec.version, "channel": spec.channel, "manifest": heeded_manifest(provider, &spec.manifest)}})
    }
}

/// Names of the CRDs of the bundle. They are kept with the manifest that they were read from: it is large.
async fn names(context: &StageContext) -> Result<Vec<String>, StageError> {
    let source = &context.spec.gateway_api.manifest;
    let heeds = heeded_manifest(context.provider.as_ref(), source);
    let of = (!heeds.is_null()).then(|| heeds.to_string());
    if let Some(kept) = context.state().crds.filter(|kept| of.as_ref() == Some(&kept.of)) {
        return Ok(kept.names);
    }
    let names = crds_of(source, &manifest(context, Part::GatewayApi, MANIFEST, source).await?)?;
    if let Some(of) = of {
        context.record(|state| state.crds = Some(KeptCrds { of, names: names.clone() }))?;
    }
    Ok(names)
}

/// The first of the CRDs whose objects the API server does not serve.
async fn unserved(client: &Client, names: &[String]) -> Result<Option<String>, kube::Error> {
    let groups: BTreeSet<&str> = names.iter().filter_map(|name| Some(name.split_once('.')?.1)).collect();
    let mut served = BTreeSet::new();
    for group in groups {
        match kube::discovery::group(client, group).await {
            Ok(found) => served.extend(found.resources_by_stability().into_iter().map(|(r, _)| format!("{}.{group}", r.plural))),
            // A group without a single Established CRD is none.
            Err(kube::Error::Discovery(_)) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(e) => return Err(e),
        }
    }
    Ok(names.iter().find(|name| !served.contains(*name)).cloned())
}

/// Names of the CRDs of a manifest.
pub(crate) fn crds_of(source: &str, text: &str) -> Result<Vec<String>, StageError> {
    let crds = objects(source, text)?.into_iter().filter(|o| o["kind"] == "CustomResourceDefinition");
    Ok(crds.filter_map(|o| o["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// Bundle version and channel as a CRD's annotations tell them.
pub(crate) fn bundle(crd: &impl ResourceExt) -> (String, String) {
    let annotation = |name: &str| crd.annotations().get(name).cloned().unwrap_or_else(|| "none".to_owned());
    (annotation(BUNDLE_VERSION), annotation(CHANNEL))
}
