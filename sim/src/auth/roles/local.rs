//! Roles of single namespaces, `kube-system` and `kube-public`.

use serde_json::{Value, json};

use super::{BOOTSTRAPPERS, READ, bound, built_in, events, named, object, rule};

fn in_namespace(namespace: &str, mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!(namespace);
    object
}

/// A role of a namespace, its rules, and whom it is bound to under which name.
struct Local {
    namespace: &'static str,
    name: &'static str,
    /// Of kubeadm's, and so without the marks of the API server's own.
    kubeadm: bool,
    rules: Vec<Value>,
    binding: &'static str,
    subjects: &'static [&'static str],
}

fn local() -> Vec<Local> {
    const NODES: &[&str] = &["Group system:nodes", BOOTSTRAPPERS];
    let own = |namespace, name, rules, binding, subjects| Local { namespace, name, kubeadm: false, rules, binding, subjects };
    let kubeadm = |namespace, name, map: &str, subjects| {
        let rules = vec![named("core", "configmaps", map, "get")];
        Local { namespace, name, kubeadm: true, rules, binding: name, subjects }
    };
    let leases = || {
        let group = "coordination.k8s.io";
        vec![rule(group, "leases", "create get list update watch"), rule(group, "leasecandidates", "create get list update watch")]
    };
    let config = "extension-apiserver-authentication";
    let (signer, cleaner) = ("system:controller:bootstrap-signer", "system:controller:token-cleaner");
    let (manager, scheduler) = ("system::leader-locking-kube-controller-manager", "system::leader-locking-kube-scheduler");
    let (cloud, reader) = ("system:controller:cloud-provider", "system::extension-apiserver-authentication-reader");
    vec![
        own(
            "kube-public",
            signer,
            vec![rule("core", "configmaps", READ), named("core", "configmaps", "cluster-info", "update"), events()],
            signer,
            &["ServiceAccount kube-system/bootstrap-signer"],
        ),
        own(
            "kube-system",
            "extension-apiserver-authentication-reader",
            vec![named("core", "configmaps", config, READ)],
            reader,
            &["User system:kube-controller-manager", "User system:kube-scheduler"],
        ),
        own(
            "kube-system",
            manager,
            leases(),
            manager,
            &["User system:kube-controller-manager", "ServiceAccount kube-system/kube-controller-manager"],
        ),
        own("kube-system", scheduler, leases(), scheduler, &["User system:kube-scheduler", "ServiceAccount kube-system/kube-scheduler"]),
        own("kube-system", signer, vec![rule("core", "secrets", READ)], signer, &["ServiceAccount kube-system/bootstrap-signer"]),
        own(
            "kube-system",
            cloud,
            vec![rule("core", "configmaps", "create get list watch")],
            cloud,
            &["ServiceAccount kube-system/cloud-provider"],
        ),
        own(
            "kube-system",
            cleaner,
            vec![rule("core", "secrets", "delete get list watch"), events()],
            cleaner,
            &["ServiceAccount kube-system/token-cleaner"],
        ),
        kubeadm("kube-public", "kubeadm:bootstrap-signer-clusterinfo", "cluster-info", &["User system:anonymous"]),
        kubeadm("kube-system", "kube-proxy", "kube-proxy", &[BOOTSTRAPPERS]),
        kubeadm("kube-system", "kubeadm:kubelet-config", "kubelet-config", NODES),
        kubeadm("kube-system", "kubeadm:nodes-kubeadm-config", "kubeadm-config", NODES),
    ]
}

fn marked(local: &Local, object: Value) -> Value {
    let object = in_namespace(local.namespace, object);
    if local.kubeadm { object } else { built_in(object) }
}

/// Roles, all of them in `kube-system` and `kube-public`.
#[must_use]
pub fn roles() -> Vec<Value> {
    let role = |local: &Local| {
        let mut role = object("Role", local.name);
        role["rules"] = json!(local.rules);
        marked(local, role)
    };
    local().iter().map(role).collect()
}

/// `RoleBindings`.
#[must_use]
pub fn role_bindings() -> Vec<Value> {
    let binding = |local: &Local| marked(local, bound(object("RoleBinding", local.binding), "Role", local.name, local.subjects));
    local().iter().map(binding).collect()
}
