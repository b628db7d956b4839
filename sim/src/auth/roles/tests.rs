use std::collections::BTreeSet;

use rstest::rstest;

use super::*;
use crate::auth::{Attributes, Policy, User};

fn policy() -> Policy {
    Policy::new(&cluster_roles(), &cluster_role_bindings(), &roles(), &role_bindings())
}

fn names(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(|o| format!("{}/{}", o["metadata"]["namespace"], o["metadata"]["name"])).collect()
}

#[test]
fn names_are_unique_and_every_role_exists() {
    for list in [cluster_roles(), cluster_role_bindings(), roles(), role_bindings()] {
        assert_eq!(names(&list).len(), list.len());
    }
    let (cluster, local) = (names(&cluster_roles()), names(&roles()));
    for binding in [cluster_role_bindings(), role_bindings()].concat() {
        let role = &binding["roleRef"];
        let found = if role["kind"] == "ClusterRole" {
            cluster.contains(&format!("null/{}", role["name"]))
        } else {
            local.contains(&format!("{}/{}", binding["metadata"]["namespace"], role["name"]))
        };
        assert!(found, "{binding}");
    }
}

#[test]
fn own_roles_are_marked() {
    let of = |name: &str| cluster_roles().into_iter().find(|r| r["metadata"]["name"] == name).unwrap();
    let edit = of("edit");
    assert_eq!(edit["metadata"]["annotations"], json!({"rbac.authorization.kubernetes.io/autoupdate": "true"}));
    assert_eq!(
        edit["metadata"]["labels"],
        json!({"kubernetes.io/bootstrapping": "rbac-defaults", "rbac.authorization.k8s.io/aggregate-to-admin": "true"})
    );
    assert_eq!(of("kubeadm:get-nodes")["metadata"], json!({"name": "kubeadm:get-nodes"}));
}

#[rstest]
#[case::admin_is_root(User::admin(), Attributes::resource("delete", "apps", "deployments", "shop", "web"), true)]
#[case::admin_gets_paths(User::admin(), Attributes::path("get", "/metrics"), true)]
#[case::anonymous_gets_the_version(User::anonymous(), Attributes::path("get", "/version"), true)]
#[case::anonymous_gets_no_api(User::anonymous(), Attributes::path("get", "/api"), false)]
#[case::anonymous_gets_the_cluster_info(
    User::anonymous(),
    Attributes::resource("get", "", "configmaps", "kube-public", "cluster-info"),
    true
)]
#[case::anonymous_lists_nothing(User::anonymous(), Attributes::resource("list", "", "configmaps", "kube-public", ""), false)]
#[case::account_discovers(User::service_account("shop", "cart", "u"), Attributes::path("get", "/apis/apps/v1"), true)]
#[case::account_asks_about_itself(
    User::service_account("shop", "cart", "u"),
    Attributes::resource("create", "authorization.k8s.io", "selfsubjectaccessreviews", "", ""),
    true
)]
#[case::account_finds_the_issuer(User::service_account("shop", "cart", "u"), Attributes::path("get", "/openid/v1/jwks"), true)]
#[case::account_lists_nothing(User::service_account("shop", "cart", "u"), Attributes::resource("list", "", "pods", "shop", ""), false)]
#[case::dns_watches(
    User::service_account("kube-system", "coredns", "u"),
    Attributes::resource("watch", "discovery.k8s.io", "endpointslices", "", ""),
    true
)]
#[case::proxy_watches(User::service_account("kube-system", "kube-proxy", "u"), Attributes::resource("watch", "", "services", "", ""), true)]
#[case::scheduler_binds(
    User::new("system:kube-scheduler", &[]), Attributes::resource("create", "", "pods/binding", "shop", "web"), true)]
#[case::kubelet_updates_pods(User::node("worker"), Attributes::resource("patch", "", "pods/status", "shop", "web"), true)]
#[case::kubelet_renews_its_lease(
    User::node("worker"),
    Attributes::resource("update", "coordination.k8s.io", "leases", "kube-node-lease", "worker"),
    true
)]
#[case::kubelet_deletes_no_node(User::node("worker"), Attributes::resource("delete", "", "nodes", "", "other"), false)]
fn new_cluster_allows(#[case] user: User, #[case] attributes: Attributes, #[case] allowed: bool) {
    assert_eq!(policy().allows(&user, &attributes).allowed, allowed);
}

#[rstest]
#[case("view", "get", "", "pods", true)]
#[case("view", "get", "", "secrets", false)]
#[case("view", "create", "", "pods", false)]
#[case("edit", "get", "", "pods", true)]
#[case("edit", "get", "", "secrets", true)]
#[case("edit", "create", "apps", "deployments", true)]
#[case("edit", "create", "rbac.authorization.k8s.io", "roles", false)]
#[case("admin", "get", "", "pods", true)]
#[case("admin", "create", "apps", "deployments", true)]
#[case("admin", "create", "rbac.authorization.k8s.io", "roles", true)]
#[case("admin", "update", "", "resourcequotas", false)]
fn roles_for_people_build_on_each_other(
    #[case] role: &str,
    #[case] verb: &str,
    #[case] group: &str,
    #[case] plural: &str,
    #[case] allowed: bool,
) {
    let mut binding = bound(object("RoleBinding", "b"), "ClusterRole", role, &["User ann"]);
    binding["metadata"]["namespace"] = json!("shop");
    let policy = Policy::new(&cluster_roles(), &[], &[], &[binding]);
    let ask = |namespace| policy.allows(&User::new("ann", &[]), &Attributes::resource(verb, group, plural, namespace, "")).allowed;
    assert_eq!(ask("shop"), allowed);
    assert!(!ask("elsewhere") && !ask(""));
}
