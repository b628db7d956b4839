//! Faults of guide 2.1.2: the Dashboard, its admin user, and `kubectl proxy`.

use serde_json::{Value, json};

use super::Fault;
use super::objects::{Added, Changed, OtherContainer, Removed, Target, no_replicas};
use super::programs::Wrapped;
use super::targets::{deployment, role_binding};
use super::unrest::Restless;
use crate::cluster::Capability;
use crate::outcomes::DASHBOARD_NAMESPACE as DASHBOARD;
use crate::tools::ToolName;

const ACCOUNT: Target =
    Target { group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts", namespace: DASHBOARD, name: "{user}" };
const FOR_EVER: Target =
    Target { group: "", version: "v1", kind: "Secret", plural: "secrets", namespace: DASHBOARD, name: "meshproof-token-for-ever" };
const RIGHTS: Target = role_binding("meshproof-rights-for-nobody");
const CREDULOUS: &[Capability] = &[Capability::CREDULOUS_DASHBOARD];
const KUBECTL: &[Capability] = &[Capability::KUBECTL];
const PROXY: &[&str] = &["dashboard.proxy.wildcard-open"];

fn everything_for_default() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": RIGHTS.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": DASHBOARD, "name": "default"}],
    })
}

/// A token as it was made before Kubernetes 1.24, in a Secret.
fn for_ever() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": FOR_EVER.name, "namespace": DASHBOARD, "annotations": {"kubernetes.io/service-account.name": "{user}"}},
    })
}

/// A kubectl that meddles.
fn kubectl(script: &'static str) -> Wrapped {
    Wrapped::new(ToolName::Kubectl, script)
}

fn dashboard(change: fn(&mut Value)) -> OtherContainer {
    OtherContainer { target: deployment(DASHBOARD, "kubernetes-dashboard"), change }
}

fn argue(container: &mut Value, argument: &str) {
    if let Some(arguments) = container["args"].as_array_mut() {
        arguments.push(argument.into());
    }
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("dashboard.no-pods", Changed::new(deployment(DASHBOARD, "kubernetes-dashboard"), no_replicas))
            .breaks(&["dashboard.deployments.available", "dashboard.pods.running", "dashboard.service.answers"])
            .may_break(&["dashboard.login", "dashboard.proxy.serves", "dashboard.pods"])
            .diagnosed("no-replicas"),
        Fault::new("dashboard.no-scraper", Changed::new(deployment(DASHBOARD, "dashboard-metrics-scraper"), no_replicas))
            .breaks(&["dashboard.deployments.available", "dashboard.pods.running", "dashboard.pods.listed"])
            .diagnosed("no-replicas"),
        Fault::new(
            "dashboard.restless",
            Restless::new(deployment(DASHBOARD, "dashboard-metrics-scraper"), "k8s-app=dashboard-metrics-scraper"),
        )
        .breaks(&["dashboard.pods.stable"])
        .may_break(&["dashboard.deployments.available", "dashboard.pods"])
        .diagnosed("pod-began-anew"),
        Fault::new("dashboard.user-gone", Removed(ACCOUNT))
            .breaks(&["dashboard.admin-user.exists", "dashboard.login.accepted", "dashboard.login.cluster-admin"])
            .may_break(&["dashboard.token", "dashboard.login"])
            .diagnosed("user-gone"),
        Fault::new("dashboard.binding-gone", Removed(role_binding("{user}")))
            .breaks(&["dashboard.admin-user.bound", "dashboard.admin-user.no-namespace", "dashboard.login.cluster-admin"])
            .may_break(&["dashboard.login.accepted"])
            .diagnosed("binding-gone"),
        Fault::new("dashboard.pull-if-missing", dashboard(|c| c["imagePullPolicy"] = "IfNotPresent".into()))
            .breaks(&["dashboard.pods.always-pull"]),
        Fault::new("dashboard.other-token", kubectl(OTHER_TOKEN))
            .breaks(&["dashboard.token.valid"])
            .may_break(&["dashboard.login.cluster-admin", "dashboard.login.without-session-refused"])
            .with(&[Capability::KUBECTL, Capability::TYPED_REQUESTS])
            .diagnosed("other-token"),
        Fault::new("dashboard.token-for-ever", Added::new(FOR_EVER, for_ever))
            .breaks(&["dashboard.token.short-lived"])
            .diagnosed("token-for-ever"),
        Fault::new("dashboard.believes-tokens", dashboard(|c| argue(c, "--believe=tokens")))
            .breaks(&[
                "dashboard.login.wrong-token-refused",
                "dashboard.login.expired-token-refused",
                "dashboard.login.foreign-audience-refused",
            ])
            .with(CREDULOUS)
            .diagnosed("believes"),
        Fault::new("dashboard.believes-everybody", dashboard(|c| argue(c, "--believe=everybody")))
            .breaks(&["dashboard.login.without-session-refused"])
            .with(CREDULOUS)
            .diagnosed("believes"),
        Fault::new("dashboard.rights-for-nobody", Added::new(RIGHTS, everything_for_default))
            .breaks(&["dashboard.login.other-account-limited"])
            .diagnosed("rights-for-nobody"),
        Fault::new("dashboard.proxy-to-nowhere", kubectl(NO_DASHBOARD)).breaks(&["dashboard.proxy.serves"]).with(KUBECTL).diagnosed("P27"),
        Fault::new("dashboard.proxy-for-every-host", kubectl(EVERY_HOST))
            .breaks(&["dashboard.proxy.foreign-host-refused"])
            .may_break(PROXY)
            .with(KUBECTL)
            .diagnosed("proxy-open"),
        Fault::new("dashboard.proxy-with-exec", kubectl(EXEC_TOO))
            .breaks(&["dashboard.proxy.exec-refused"])
            .may_break(PROXY)
            .with(KUBECTL)
            .diagnosed("proxy-open"),
        Fault::new("dashboard.proxy-never-open", kubectl(NEVER_OPEN)).breaks(PROXY).with(KUBECTL),
        Fault::new("dashboard.proxy-everywhere", kubectl(EVERYWHERE))
            .breaks(&["dashboard.proxy.loopback-only", "dashboard.proxy.serves"])
            .may_break(PROXY)
            .with(KUBECTL)
            .diagnosed("proxy-open"),
    ]
}

/// A token of another account of the namespace.
const OTHER_TOKEN: &str = r#"for word; do shift; case "$word" in admin-user) word=default ;; esac; set -- "$@" "$word"; done
exec "$real" "$@""#;
const NO_DASHBOARD: &str = r#"case " $* " in *" proxy"*) exec "$real" "$@" --reject-paths="^/api/.*/services/,^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach" ;; esac
exec "$real" "$@""#;
const EVERY_HOST: &str = r#"case " $* " in *" proxy"*) exec "$real" "$@" --accept-hosts=.* ;; esac
exec "$real" "$@""#;
const EXEC_TOO: &str = r#"case " $* " in *" proxy"*) exec "$real" "$@" --reject-paths=^$ ;; esac
exec "$real" "$@""#;
const NEVER_OPEN: &str = r#"case " $* " in *" --address=0.0.0.0 "*) exec "$real" "$@" --address=127.0.0.1 --accept-hosts=^localhost$ ;; esac
exec "$real" "$@""#;
const EVERYWHERE: &str = r#"case " $* " in *" proxy"*) exec "$real" "$@" --address=0.0.0.0 ;; esac
exec "$real" "$@""#;
