//! The faults of the guide's own outcomes.

use serde_json::{Value, json};

use super::Fault;
use super::compose::InTurn;
use super::files::HostsToml;
use super::objects::{Changed, Removed, Target, no_replicas};
use crate::outcomes::{BUNDLE_VERSION, CHANNEL, DASHBOARD_NAMESPACE as DASHBOARD, ISTIO_NAMESPACE as ISTIO};

const fn deployment(namespace: &'static str, name: &'static str) -> Target {
    Target { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", namespace, name }
}

const fn daemon_set(namespace: &'static str, name: &'static str) -> Target {
    Target { group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets", namespace, name }
}

const fn crd(name: &'static str) -> Target {
    Target {
        group: "apiextensions.k8s.io",
        version: "v1",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        namespace: "",
        name,
    }
}

const BINDING: Target = Target {
    group: "rbac.authorization.k8s.io",
    version: "v1",
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    namespace: "",
    name: "{user}",
};
const ACCOUNT: Target =
    Target { group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts", namespace: DASHBOARD, name: "{user}" };
const CONTROL_PLANE: Target =
    Target { group: "", version: "v1", kind: "Node", plural: "nodes", namespace: "", name: "{cluster}-control-plane" };
const CLASS: Target = Target {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "GatewayClass",
    plural: "gatewayclasses",
    namespace: "",
    name: "istio",
};
/// A kind of the Gateway API that nothing here has objects of.
const GRPC_ROUTES: &str = "grpcroutes.gateway.networking.k8s.io";

/// Nodes that nobody has.
fn nowhere() -> Value {
    json!({"spec": {"template": {"spec": {"nodeSelector": {"meshproof.dev/nowhere": "yes"}}}}})
}

fn other_bundle() -> Value {
    json!({"metadata": {"annotations": {BUNDLE_VERSION: "v0.0.1"}}})
}

fn no_role() -> Value {
    json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": null}}})
}

fn other_channel() -> Value {
    json!({"metadata": {"annotations": {CHANNEL: "experimental"}}})
}

fn no_istiod() -> Changed {
    Changed::new(deployment(ISTIO, "istiod"), no_replicas)
}

/// All of them.
pub(crate) fn builtin() -> Vec<Fault> {
    vec![
        Fault::new("cluster.no-role", Changed::new(CONTROL_PLANE, no_role)).breaks(&["cluster.kind.nodes"]),
        Fault::new("cluster.hosts-unreadable", HostsToml::new("docker.io", "server = ["))
            .breaks(&["cluster.mirror.hosts-read"])
            .may_break(&["cluster.images.pulled", "cluster.mirror.every-image"]),
        Fault::new("cluster.dns-gone", Changed::new(deployment("kube-system", "coredns"), no_replicas)).breaks(&["cluster.system.healthy"]),
        Fault::new("dashboard.no-pods", Changed::new(deployment(DASHBOARD, "kubernetes-dashboard"), no_replicas))
            .breaks(&["dashboard.deployments.available", "dashboard.pods.running", "dashboard.service.answers"])
            .may_break(&["dashboard.login", "dashboard.proxy.serves"]),
        Fault::new("dashboard.no-scraper", Changed::new(deployment(DASHBOARD, "dashboard-metrics-scraper"), no_replicas))
            .breaks(&["dashboard.deployments.available", "dashboard.pods.running"]),
        Fault::new("dashboard.user-gone", Removed::new(ACCOUNT))
            .breaks(&["dashboard.admin-user.exists", "dashboard.login.accepted", "dashboard.login.cluster-admin"])
            .may_break(&["dashboard.token.valid", "dashboard.login"]),
        Fault::new("dashboard.binding-gone", Removed::new(BINDING))
            .breaks(&["dashboard.admin-user.bound", "dashboard.login.cluster-admin"])
            .may_break(&["dashboard.login.accepted"]),
        Fault::new("istio.no-istiod", no_istiod()).breaks(&["istio.istiod.ready"]).may_break(&["istioctl.version.after-install"]),
        Fault::new("istio.no-ztunnel", Changed::new(daemon_set(ISTIO, "ztunnel"), nowhere))
            .breaks(&["istio.ztunnel.every-node"])
            .may_break(&["istioctl.version.after-install"]),
        Fault::new("istio.no-cni", Changed::new(daemon_set(ISTIO, "istio-cni-node"), nowhere))
            .breaks(&["istio.cni.every-node"])
            .may_break(&["istio.ztunnel.every-node"]),
        // Istiod would make the class anew.
        Fault::new("gateway-api.class-gone", InTurn([Box::new(no_istiod()), Box::new(Removed::new(CLASS))]))
            .breaks(&["gateway-api.classes.accepted", "istio.istiod.ready"])
            .may_break(&["istioctl.version.after-install"]),
        Fault::new("gateway-api.crd-gone", Removed::new(crd(GRPC_ROUTES)))
            .breaks(&["gateway-api.crds.established"])
            .may_break(&["gateway-api.crds.bundle"]),
        Fault::new("gateway-api.other-bundle", Changed::new(crd(GRPC_ROUTES), other_bundle)).breaks(&["gateway-api.crds.bundle"]),
        Fault::new("gateway-api.other-channel", Changed::new(crd(GRPC_ROUTES), other_channel)).breaks(&["gateway-api.crds.bundle"]),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::outcomes;

    #[test]
    fn every_fault_is_narrow_and_names_outcomes_that_there_are() {
        let all = outcomes::builtin();
        for fault in builtin() {
            assert!((1..=3).contains(&fault.breaks.len()), "{} names {} outcomes that it breaks", fault.id, fault.breaks.len());
            for id in fault.breaks {
                assert!(all.iter().any(|o| o.id == *id), "{} breaks {id}, which does not exist", fault.id);
            }
            for named in fault.may_break {
                let excused = all.iter().filter(|o| Fault::new("a.b", Nothing).may_break(fault.may_break).excuses(o.id)).count();
                assert!(excused > 0 && !fault.breaks.contains(named), "{}: {named}", fault.id);
            }
            let chapter = fault.id.split('.').next().unwrap();
            assert!(fault.breaks.iter().any(|id| id.starts_with(chapter)), "{} breaks nothing of its chapter", fault.id);
        }
        let ids: BTreeSet<&str> = builtin().iter().map(|f| f.id).collect();
        assert_eq!(ids.len(), builtin().len());
    }

    #[test]
    fn a_subject_excuses_its_outcomes_and_no_others() {
        let fault = Fault::new("a.b", Nothing).may_break(&["dashboard.login", "istio.istiod.ready"]);
        for (id, excused) in [
            ("dashboard.login.accepted", true),
            ("istio.istiod.ready", true),
            ("dashboard.login-page.shown", false),
            ("istio.istiod", false),
        ] {
            assert_eq!(fault.excuses(id), excused, "{id}");
        }
    }

    struct Nothing;

    impl crate::faults::Inject for Nothing {
        fn inject<'a>(&'a self, _: &'a crate::outcomes::Environment) -> futures::future::BoxFuture<'a, Result<(), crate::outcomes::Stop>> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn revert<'a>(&'a self, _: &'a crate::outcomes::Environment) -> futures::future::BoxFuture<'a, Result<(), crate::outcomes::Stop>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }
}
