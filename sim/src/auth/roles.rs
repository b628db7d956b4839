//! The roles and bindings that a new cluster has: those of the API server (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`) and those of
//! kubeadm (`cmd/kubeadm/app/phases`). Controllers have none here, since they do not go through the API.

use serde_json::{Value, json};

mod local;

#[cfg(test)]
mod tests;

pub use local::{role_bindings, roles};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const ALL: &str = "create delete deletecollection get list patch update watch";
/// Those who join a cluster with a token of kubeadm's.
const BOOTSTRAPPERS: &str = "Group system:bootstrappers:kubeadm:default-node-token";
const AUTHENTICATED: &str = "Group system:authenticated";
const UNAUTHENTICATED: &str = "Group system:unauthenticated";

/// Every object to begin with, each with its `kind`.
#[must_use]
pub fn all() -> Vec<Value> {
    [cluster_roles(), cluster_role_bindings(), roles(), role_bindings()].concat()
}

/// Words of a list; `core` stands for the group whose name is empty.
fn words(list: &str) -> Vec<&str> {
    list.split(' ').map(|word| if word == "core" { "" } else { word }).collect()
}

fn rule(groups: &str, resources: &str, verbs: &str) -> Value {
    json!({"apiGroups": words(groups), "resources": words(resources), "verbs": words(verbs)})
}

fn named(groups: &str, resources: &str, names: &str, verbs: &str) -> Value {
    json!({"apiGroups": words(groups), "resources": words(resources), "resourceNames": words(names), "verbs": words(verbs)})
}

fn urls(urls: &str, verbs: &str) -> Value {
    json!({"nonResourceURLs": words(urls), "verbs": words(verbs)})
}

fn events() -> Value {
    rule("core events.k8s.io", "events", "create patch update")
}

/// An object of the group without anything yet.
fn object(kind: &str, name: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name}})
}

/// What the API server makes (and repairs at its start) is marked so.
fn built_in(mut object: Value) -> Value {
    object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = json!("rbac-defaults");
    object["metadata"]["annotations"] = json!({"rbac.authorization.kubernetes.io/autoupdate": "true"});
    object
}

fn cluster_role(name: &str, rules: &[Value]) -> Value {
    let mut role = object("ClusterRole", name);
    role["rules"] = json!(rules);
    role
}

/// A role that goes into another one.
fn part_of(whole: &str, mut role: Value) -> Value {
    role["metadata"]["labels"][format!("{GROUP}/aggregate-to-{whole}")] = json!("true");
    role
}

/// A role that is made of others. The aggregation controller writes its rules.
fn aggregated(name: &str) -> Value {
    let mut role = object("ClusterRole", name);
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {format!("{GROUP}/aggregate-to-{name}"): "true"}}]});
    role["rules"] = Value::Null;
    role
}

/// `Group system:nodes`, `User system:anonymous`, `ServiceAccount kube-system/coredns`.
fn subject(subject: &str) -> Value {
    let (kind, name) = subject.split_once(' ').unwrap_or(("User", subject));
    match name.split_once('/').filter(|_| kind == "ServiceAccount") {
        Some((namespace, name)) => json!({"kind": kind, "name": name, "namespace": namespace}),
        None => json!({"kind": kind, "name": name, "apiGroup": GROUP}),
    }
}

fn bound(mut binding: Value, kind: &str, role: &str, subjects: &[&str]) -> Value {
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role});
    if !subjects.is_empty() {
        binding["subjects"] = subjects.iter().map(|s| subject(s)).collect();
    }
    binding
}

/// `ClusterRoles`.
#[must_use]
pub fn cluster_roles() -> Vec<Value> {
    let mut all: Vec<Value> = user_roles().into_iter().chain(system_roles()).map(built_in).collect();
    all.push(cluster_role("kubeadm:get-nodes", &[rule("core", "nodes", "get")]));
    all.push(cluster_role(
        "system:coredns",
        &[rule("core", "endpoints services pods namespaces", "list watch"), rule("discovery.k8s.io", "endpointslices", "list watch")],
    ));
    all
}

/// Roles for people: `cluster-admin`, and `admin`, `edit` and `view` with what they are made of.
fn user_roles() -> Vec<Value> {
    let extensions =
        "daemonsets deployments deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale";
    vec![
        cluster_role("cluster-admin", &[rule("*", "*", "*"), urls("*", "*")]),
        aggregated("admin"),
        part_of("admin", aggregated("edit")),
        part_of("edit", aggregated("view")),
        part_of(
            "admin",
            cluster_role(
                "system:aggregate-to-admin",
                &[rule("authorization.k8s.io", "localsubjectaccessreviews", "create"), rule(GROUP, "rolebindings roles", ALL)],
            ),
        ),
        part_of(
            "edit",
            cluster_role(
                "system:aggregate-to-edit",
                &[
                    rule("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
                    rule("core", "serviceaccounts", "impersonate"),
                    rule("core", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
                    rule("core", "pods/eviction", "create"),
                    rule(
                        "core",
                        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
                         serviceaccounts services services/proxy",
                        WRITE,
                    ),
                    rule("core", "serviceaccounts/token", "create"),
                    rule(
                        "apps",
                        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets \
                         statefulsets/scale",
                        WRITE,
                    ),
                    rule("autoscaling", "horizontalpodautoscalers", WRITE),
                    rule("batch", "cronjobs jobs", WRITE),
                    rule("extensions", &extensions.replace("deployments/scale", "deployments/rollback deployments/scale"), WRITE),
                    rule("policy", "poddisruptionbudgets", WRITE),
                    rule("networking.k8s.io", "ingresses networkpolicies", WRITE),
                    rule("coordination.k8s.io", "leases", ALL),
                ],
            ),
        ),
        part_of(
            "view",
            cluster_role(
                "system:aggregate-to-view",
                &[
                    rule(
                        "core",
                        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers \
                         replicationcontrollers/scale serviceaccounts services services/status",
                        READ,
                    ),
                    rule(
                        "core",
                        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
                         resourcequotas resourcequotas/status",
                        READ,
                    ),
                    rule("core", "namespaces", READ),
                    rule("discovery.k8s.io", "endpointslices", READ),
                    rule(
                        "apps",
                        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
                         replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
                        READ,
                    ),
                    rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
                    rule("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
                    rule(
                        "extensions",
                        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status \
                         networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
                        READ,
                    ),
                    rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
                    rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
                ],
            ),
        ),
    ]
}

/// Roles for parts of the system.
fn system_roles() -> Vec<Value> {
    let csr = "certificates.k8s.io";
    let mut all = vec![
        cluster_role("system:auth-delegator", &reviews()),
        cluster_role(
            "system:basic-user",
            &[
                rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
                rule("authentication.k8s.io", "selfsubjectreviews", "create"),
            ],
        ),
        cluster_role(
            "system:discovery",
            &[urls("/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/", "get")],
        ),
        cluster_role("system:public-info-viewer", &[urls("/healthz /livez /readyz /version /version/", "get")]),
        cluster_role("system:monitoring", &[urls("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*", "get")]),
        cluster_role(
            "system:service-account-issuer-discovery",
            &[urls("/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/", "get")],
        ),
        cluster_role("system:kube-aggregator", &[rule("core", "endpoints services", READ)]),
        cluster_role("system:kube-dns", &[rule("core", "endpoints services", "list watch")]),
        cluster_role("system:heapster", &[rule("core", "events namespaces nodes pods", READ), rule("extensions", "deployments", READ)]),
        cluster_role(
            "system:kubelet-api-admin",
            &[
                rule("core", "nodes", READ),
                rule("core", "nodes", "proxy"),
                rule("core", "nodes/log nodes/metrics nodes/proxy nodes/stats", "*"),
            ],
        ),
        cluster_role("system:node", &node_rules()),
        cluster_role("system:node-bootstrapper", &[rule(csr, "certificatesigningrequests", "create get list watch")]),
        cluster_role("system:node-problem-detector", &[rule("core", "nodes", "get"), rule("core", "nodes/status", "patch"), events()]),
        cluster_role(
            "system:node-proxier",
            &[
                rule("core", "endpoints services", "list watch"),
                rule("core", "nodes", READ),
                events(),
                rule("discovery.k8s.io", "endpointslices", "list watch"),
            ],
        ),
        cluster_role(
            "system:persistent-volume-provisioner",
            &[
                rule("core", "persistentvolumes", "create delete get list watch"),
                rule("core", "persistentvolumeclaims", "get list update watch"),
                rule("storage.k8s.io", "storageclasses", READ),
                rule("core", "events", "watch"),
                events(),
            ],
        ),
        cluster_role(
            "system:volume-scheduler",
            &[
                rule("core", "persistentvolumes", "get list patch update watch"),
                rule("storage.k8s.io", "storageclasses", READ),
                rule("core", "persistentvolumeclaims", "get list patch update watch"),
            ],
        ),
        kube_controller_manager(),
        kube_scheduler(),
    ];
    for own in ["nodeclient", "selfnodeclient"] {
        let resource = format!("certificatesigningrequests/{own}");
        all.push(cluster_role(&format!("system:{csr}:certificatesigningrequests:{own}"), &[rule(csr, &resource, "create")]));
    }
    for signer in ["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"] {
        let approve = named(csr, "signers", &format!("kubernetes.io/{signer}"), "approve");
        all.push(cluster_role(&format!("system:{csr}:{signer}-approver"), &[approve]));
    }
    all
}

/// What whoever delegates authentication and authorization may do.
fn reviews() -> [Value; 2] {
    [rule("authentication.k8s.io", "tokenreviews", "create"), rule("authorization.k8s.io", "subjectaccessreviews", "create")]
}

/// The lease of which there is one holder.
fn leader_election(name: &str) -> [Value; 2] {
    let group = "coordination.k8s.io";
    [rule(group, "leases", "create"), named(group, "leases", name, "get update")]
}

fn kube_controller_manager() -> Value {
    let own = [
        rule("core", "secrets serviceaccounts", "create"),
        rule("core", "secrets", "delete"),
        rule("core", "configmaps namespaces secrets serviceaccounts", "get"),
        rule("core", "secrets serviceaccounts", "update"),
    ];
    let rest = [rule("*", "*", "list watch"), rule("core", "serviceaccounts/token", "create")];
    let name = "kube-controller-manager";
    let rules = [&[events()][..], &leader_election(name), &own, &reviews(), &rest].concat();
    cluster_role(&format!("system:{name}"), &rules)
}

fn kube_scheduler() -> Value {
    let own = [
        rule("core", "nodes", READ),
        rule("core", "pods", "delete get list watch"),
        rule("core", "bindings pods/binding", "create"),
        rule("core", "pods/status", "patch update"),
        rule("core", "replicationcontrollers services", READ),
        rule("apps extensions", "replicasets", READ),
        rule("apps", "statefulsets", READ),
        rule("policy", "poddisruptionbudgets", READ),
        rule("core", "persistentvolumeclaims persistentvolumes", READ),
    ];
    let rest = [
        rule("storage.k8s.io", "csinodes", READ),
        rule("core", "namespaces", READ),
        rule("storage.k8s.io", "csidrivers", READ),
        rule("storage.k8s.io", "csistoragecapacities", READ),
    ];
    let rules = [&[events()][..], &leader_election("kube-scheduler"), &own, &reviews(), &rest].concat();
    cluster_role("system:kube-scheduler", &rules)
}

/// What kubelets may do: the role `system:node`, which is bound to nobody, and the rules of the Node authorizer (`NodeRules`).
#[must_use]
pub fn node_rules() -> Vec<Value> {
    vec![
        rule("authentication.k8s.io", "tokenreviews", "create"),
        rule("authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews", "create"),
        rule("core", "services", READ),
        rule("core", "nodes", "create get list watch"),
        rule("core", "nodes/status", "patch update"),
        rule("core", "nodes", "patch update"),
        rule("core events.k8s.io", "events", "create patch update"),
        rule("core", "pods", READ),
        rule("core", "pods", "create delete"),
        rule("core", "pods/status", "patch update"),
        rule("core", "pods/eviction", "create"),
        rule("core", "configmaps secrets", READ),
        rule("core", "persistentvolumeclaims persistentvolumes", "get"),
        rule("core", "endpoints", "get"),
        rule("certificates.k8s.io", "certificatesigningrequests", "create get list watch"),
        rule("coordination.k8s.io", "leases", "create delete get patch update"),
        rule("storage.k8s.io", "volumeattachments", "get"),
        rule("core", "serviceaccounts/token", "create"),
        rule("core", "persistentvolumeclaims/status", "get patch update"),
        rule("storage.k8s.io", "csidrivers", READ),
        rule("storage.k8s.io", "csinodes", "create delete get patch update"),
        rule("node.k8s.io", "runtimeclasses", READ),
    ]
}

/// `ClusterRoleBindings`.
#[must_use]
pub fn cluster_role_bindings() -> Vec<Value> {
    let binding = |name: &str, role: &str, subjects: &[&str]| bound(object("ClusterRoleBinding", name), "ClusterRole", role, subjects);
    let own: [(&str, &[&str]); 13] = [
        ("cluster-admin", &["Group system:masters"]),
        ("system:basic-user", &[AUTHENTICATED]),
        ("system:discovery", &[AUTHENTICATED]),
        ("system:kube-controller-manager", &["User system:kube-controller-manager"]),
        ("system:kube-dns", &["ServiceAccount kube-system/kube-dns"]),
        ("system:kube-scheduler", &["User system:kube-scheduler"]),
        ("system:monitoring", &["Group system:monitoring"]),
        ("system:node", &[]),
        ("system:node-proxier", &["User system:kube-proxy"]),
        ("system:public-info-viewer", &[AUTHENTICATED, UNAUTHENTICATED]),
        ("system:service-account-issuer-discovery", &["Group system:serviceaccounts"]),
        ("system:volume-scheduler", &["User system:kube-scheduler"]),
        ("system:coredns", &["ServiceAccount kube-system/coredns"]),
    ];
    let mut all: Vec<Value> = own
        .iter()
        .map(|(name, subjects)| {
            let binding = binding(name, name, subjects);
            if *name == "system:coredns" { binding } else { built_in(binding) }
        })
        .collect();
    let csr = "system:certificates.k8s.io:certificatesigningrequests";
    all.extend([
        binding("kubeadm:cluster-admins", "cluster-admin", &["Group kubeadm:cluster-admins"]),
        binding("kubeadm:get-nodes", "kubeadm:get-nodes", &[BOOTSTRAPPERS]),
        binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", &[BOOTSTRAPPERS]),
        binding("kubeadm:node-autoapprove-bootstrap", &format!("{csr}:nodeclient"), &[BOOTSTRAPPERS]),
        binding("kubeadm:node-autoapprove-certificate-rotation", &format!("{csr}:selfnodeclient"), &["Group system:nodes"]),
        binding("kubeadm:node-proxier", "system:node-proxier", &["ServiceAccount kube-system/kube-proxy"]),
    ]);
    all
}
