//! Which objects an environment has, of the kinds that the guide's manifests and istioctl make, so that two runs tell what a new version
//! adds and what it drops.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use crate::cluster::Installs;
use crate::journal::Event;
use crate::outcomes::{DASHBOARD_NAMESPACE, Environment, ISTIO_NAMESPACE};
use crate::wait::Limit;

/// Group, version, kind and plural.
type Kind = [&'static str; 4];

const NAMESPACED: &[Kind] = &[
    ["", "v1", "ConfigMap", "configmaps"],
    ["", "v1", "Secret", "secrets"],
    ["", "v1", "Service", "services"],
    ["", "v1", "ServiceAccount", "serviceaccounts"],
    ["apps", "v1", "DaemonSet", "daemonsets"],
    ["apps", "v1", "Deployment", "deployments"],
    ["autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"],
    ["networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"],
    ["policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"],
    ["rbac.authorization.k8s.io", "v1", "Role", "roles"],
    ["rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"],
];

const OF_THE_CLUSTER: &[Kind] = &[
    ["admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"],
    ["admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"],
    ["admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"],
    ["admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"],
    ["gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses"],
    ["rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"],
    ["rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"],
];

/// How names begin that only Kubernetes and kubeadm use.
const KUBERNETES_OWN: [&str; 2] = ["system:", "kubeadm:"];
/// What is in the names of the guide's objects that are in no namespace. In somebody's own cluster nothing else of this kind is told.
const OF_THE_GUIDE: [&str; 4] = ["istio", "ztunnel", "kubernetes-dashboard", "gateway.networking.k8s.io"];
/// The annotation of an object that replicas elect their leader with: it comes when they please.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Journals the objects by their kinds. A kind that cannot be listed, because the cluster does not serve it or this user may not, is left
/// out: nothing would be said of an empty list that is not true.
pub(super) async fn take(environment: &Environment) {
    let namespaced = NAMESPACED.iter().map(|kind| (kind, vec![Some(DASHBOARD_NAMESPACE), Some(ISTIO_NAMESPACE)]));
    let kinds = namespaced.chain(OF_THE_CLUSTER.iter().map(|kind| (kind, vec![None])));
    let listed = kinds.map(async |(kind, places)| {
        let lists = places.into_iter().map(|namespace| names(environment, kind, namespace));
        let names: Vec<Vec<String>> = futures::future::join_all(lists).await.into_iter().collect::<Option<_>>()?;
        Some((kind[2].to_owned(), names.concat()))
    });
    let (listed, crds) = tokio::join!(futures::future::join_all(listed), crds(environment));
    let crds = crds.map(|crds| ("CustomResourceDefinition".to_owned(), crds));
    let objects: BTreeMap<String, Vec<String>> = listed.into_iter().flatten().chain(crds).collect();
    if !objects.is_empty() {
        environment.context.journal.write(Event::Inventory { objects });
    }
}

/// The names of a kind's objects, with their namespace where they have one. Only metadata is asked for: what is in a Secret stays there.
async fn names(environment: &Environment, kind: &Kind, namespace: Option<&str>) -> Option<Vec<String>> {
    let [group, version, kind, plural] = kind;
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let client = environment.cluster.client.clone();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let params = ListParams::default();
    let listed = environment.waiting.within("the objects are listed", Limit::KubeletAnswer, api.list_metadata(&params)).await;
    let objects = listed.ok()?.ok()?.items.into_iter().filter(|object| !object.annotations().contains_key(LEADER));
    let names = objects.map(|object| object.name_any());
    let names = names.filter(|name| !KUBERNETES_OWN.iter().any(|own| name.starts_with(own)));
    let names = names.filter(|name| namespace.is_some() || ours(environment, name));
    Some(names.map(|name| namespace.map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"))).collect())
}

/// Whether an object of the cluster may be told.
fn ours(environment: &Environment, name: &str) -> bool {
    let anybodys = environment.context.provider.installs() == Installs::Nothing;
    !anybodys || name == environment.spec.dashboard.admin_user || OF_THE_GUIDE.iter().any(|part| name.contains(part))
}

/// The CRDs, each with the versions that are served.
async fn crds(environment: &Environment) -> Option<Vec<String>> {
    let api: Api<CustomResourceDefinition> = Api::all(environment.cluster.client.clone());
    let params = ListParams::default();
    let listed = environment.waiting.within("the CRDs are listed", Limit::KubeletAnswer, api.list(&params)).await;
    let told = |crd: CustomResourceDefinition| {
        let served: Vec<&str> = crd.spec.versions.iter().filter(|v| v.served).map(|v| v.name.as_str()).collect();
        format!("{} ({})", crd.name_any(), served.join(", "))
    };
    Some(listed.ok()?.ok()?.items.into_iter().filter(|crd| ours(environment, &crd.name_any())).map(told).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::api::Reply;
    use crate::testing::environment::World;

    async fn taken(world: &World) -> Option<BTreeMap<String, Vec<String>>> {
        let environment = world.open().await;
        take(&environment).await;
        let records = environment.context.journal.records();
        records.into_iter().find_map(|r| match r.event {
            Event::Inventory { objects } => Some(objects),
            _ => None,
        })
    }

    #[tokio::test]
    async fn objects_are_told_by_kind_and_what_cannot_be_listed_is_left_out() {
        let world = World::healthy();
        let objects = taken(&world).await.unwrap();
        assert!(objects["Deployment"].contains(&"istio-system/istiod".to_owned()), "{objects:#?}");
        assert!(
            objects["CustomResourceDefinition"].contains(&"gateways.gateway.networking.k8s.io (v1, v1beta1)".to_owned()),
            "{objects:#?}"
        );
        // An empty list is told: nothing of that kind is there.
        assert_eq!(objects["PodDisruptionBudget"], Vec::<String>::new());
        // One of the two namespaces alone would be half the truth.
        world.api.always("GET /api/v1/namespaces/istio-system/services", Reply::status(403, "forbidden"));
        world.api.always("GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions", Reply::status(403, "forbidden"));
        let fewer = taken(&world).await.unwrap();
        assert!(objects.contains_key("Service") && !fewer.contains_key("Service") && !fewer.contains_key("CustomResourceDefinition"));
        assert_eq!(fewer.len() + 2, objects.len());
    }

    #[tokio::test]
    async fn what_kubernetes_brings_along_is_not_told_and_secrets_are_not_read() {
        let world = World::healthy();
        let elected = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio-leader", "namespace": ISTIO_NAMESPACE, "annotations": {(LEADER): "{}"}}});
        world.api.put(elected);
        for name in ["system:node", "kubeadm:get-nodes", "istiod-clusterrole"] {
            let role =
                json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": []});
            world.api.put(role);
        }
        let objects = taken(&world).await.unwrap();
        assert!(!objects["ConfigMap"].iter().any(|name| name.ends_with("/istio-leader")), "{objects:#?}");
        let roles = &objects["ClusterRole"];
        assert!(roles.contains(&"istiod-clusterrole".to_owned()) && !roles.iter().any(|name| name.contains(':')), "{roles:?}");
        let secrets = world.api.asked("GET /api/v1/namespaces/istio-system/secrets");
        assert!(!secrets.is_empty());
        for request in secrets {
            let accept = request.headers[http::header::ACCEPT].to_str().unwrap();
            assert!(accept.contains("as=PartialObjectMetadataList"), "{accept}");
        }
    }
}
