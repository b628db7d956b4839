//! Guide 2.4: the Gateway API CRDs, and the `GatewayClasses` that Istio makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::{Checked, Environment, Look, Outcome, Stop};
use crate::spec::{Version, catalog};
use crate::stages::{GATEWAY_API_MANIFEST, crds_of};
use crate::wait::{Limit, Progress, conditions};

const CRDS: &[&str] = &["gateway-api"];
const GROUP_SUFFIX: &str = ".gateway.networking.k8s.io";

pub(super) fn outcomes() -> Vec<Outcome> {
    let section = "2.4";
    vec![
        Outcome::documented("gateway-api.crds.established", section, "请确保在使用 Gateway API 之前已安装好这些 CRD", established)
            .needs(CRDS),
        Outcome::documented(
            "gateway-api.crds.bundle",
            section,
            "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.3.0/standard-install.yaml",
            bundle,
        )
        .needs(CRDS),
        Outcome::documented("gateway-api.classes.accepted", section, "您将使用 Kubernetes Gateway API 来配置流量路由", classes)
            .needs(&["istio", "gateway-api"]),
    ]
}

pub(crate) async fn crds(env: &Environment) -> Result<Vec<Arc<CustomResourceDefinition>>, Stop> {
    let api: Api<CustomResourceDefinition> = Api::all(env.cluster.client.clone());
    let list = api.list(&ListParams::default()).await.map_err(Stop::kube("list the CRDs"))?;
    Ok(list.items.into_iter().filter(|c| c.name_any().ends_with(GROUP_SUFFIX)).map(Arc::new).collect())
}

/// The CRDs that the bundle of the spec has: those of the version catalog, or of the manifest as applied where the catalog has no row.
pub(super) fn expected(env: &Environment) -> Result<Vec<String>, Stop> {
    let spec = &env.spec.gateway_api;
    let unknown =
        || Stop::Failed(format!("the version catalog does not know the CRDs of Gateway API {} {}", spec.version, spec.channel.as_str()));
    let version: Version = spec.version.parse().map_err(|_| unknown())?;
    if let Some(names) = catalog::gateway_api_crds(&version, spec.channel) {
        return Ok(names.iter().map(|n| (*n).to_owned()).collect());
    }
    let kept = std::fs::read_to_string(env.context.session.manifest(GATEWAY_API_MANIFEST)).map_err(|_| unknown())?;
    Ok(crds_of(&spec.manifest, &kept)?.into_iter().filter(|n| n.ends_with(GROUP_SUFFIX)).collect())
}

fn established<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let present = crds(env).await?;
        for name in expected(env)? {
            let lack = match present.iter().find(|c| c.name_any() == name) {
                None => Some(format!("CRD {name} does not exist")),
                Some(crd) => conditions::crd_lacks(crd).or_else(|| unserved(crd)),
            };
            look.see(&name, lack.as_deref().unwrap_or("Established"));
            if let Some(lack) = lack {
                look.problem(lack);
            }
        }
        Ok(())
    })
}

/// A CRD can be Established and still serve nothing that is stored.
fn unserved(crd: &CustomResourceDefinition) -> Option<String> {
    let served = crd.spec.versions.iter().any(|v| v.served && v.storage);
    (!served).then(|| format!("CRD {} does not serve the version that it stores", crd.name_any()))
}

fn bundle<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let spec = &env.spec.gateway_api;
        let wanted = (spec.version.clone(), spec.channel.as_str().to_owned());
        let names = expected(env)?;
        let present = crds(env).await?;
        for crd in present.iter().filter(|c| names.contains(&c.name_any())) {
            let found = crate::stages::bundle(crd.as_ref());
            look.require(found == wanted, || {
                format!("CRD {} is of the bundle {} {}, not {} {}", crd.name_any(), found.0, found.1, wanted.0, wanted.1)
            });
            look.see(crd.name_any(), format!("{} {}", found.0, found.1));
        }
        let missing: Vec<&String> = names.iter().filter(|n| !present.iter().any(|c| c.name_any() == **n)).collect();
        look.require(missing.is_empty(), || format!("CRDs are missing: {missing:?}"));
        Ok(())
    })
}

fn classes<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let istio = &env.spec.istio.version;
        let unknown = || Stop::Failed(format!("the version catalog does not know the GatewayClasses of Istio {istio}"));
        let version: Version = istio.parse().map_err(|_| unknown())?;
        let wanted = catalog::gateway_classes(&version).ok_or_else(unknown)?;
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "GatewayClass");
        let api: Api<DynamicObject> =
            Api::all_with(env.cluster.client.clone(), &ApiResource::from_gvk_with_plural(&kind, "gatewayclasses"));
        let mut waiter = env.waiting.waiter();
        let watched = waiter.watch(api, &ListParams::default());
        let condition = || {
            let found: BTreeMap<String, (String, String)> = watched.items().iter().map(|c| (c.name_any(), class(c))).collect();
            let lacking: Vec<String> = wanted
                .iter()
                .filter_map(|w| match found.get(w.name) {
                    None => Some(format!("GatewayClass {} does not exist", w.name)),
                    Some((_, accepted)) if accepted != "True" => Some(format!("GatewayClass {} is not Accepted: {accepted}", w.name)),
                    Some(_) => None,
                })
                .collect();
            if lacking.is_empty() { Progress::Ready(found) } else { Progress::NotYet(lacking.join("; ")) }
        };
        let found = waiter.until("the GatewayClasses are Accepted", Limit::GatewayClasses, condition).await?;
        for class in wanted {
            let controller = found.get(class.name).map(|(c, _)| c.as_str()).unwrap_or_default();
            look.require(controller == class.controller, || {
                format!("GatewayClass {} has the controller {controller}, not {}", class.name, class.controller)
            });
        }
        look.see("classes", &found);
        Ok(())
    })
}

/// Controller and the status of the Accepted condition.
fn class(object: &DynamicObject) -> (String, String) {
    let data = &object.data;
    let conditions = data["status"]["conditions"].as_array();
    let accepted = conditions.into_iter().flatten().find(|c| c["type"] == "Accepted").and_then(|c| c["status"].as_str());
    (data["spec"]["controllerName"].as_str().unwrap_or_default().to_owned(), accepted.unwrap_or("no condition").to_owned())
}
