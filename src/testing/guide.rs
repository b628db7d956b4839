//! The objects of the guide's environment in perfect health, as a kind cluster of one control plane and one worker has them: the fields that
//! anything of ours looks at, with the values that Kubernetes 1.33, Istio 1.27, the Dashboard 2.7 and Gateway API 1.3 write.

use serde_json::{Value, json};

use crate::outcomes::{BUNDLE_VERSION, CHANNEL};
use crate::spec::{Spec, Version, catalog};

pub(crate) const CONTROL_PLANE: &str = "istio-cluster-control-plane";
pub(crate) const WORKER: &str = "istio-cluster-worker";

/// Everything, for a spec whose cluster has the guide's name.
pub(crate) fn objects(spec: &Spec) -> Vec<Value> {
    let names = ["default", "istio-system", "kube-node-lease", "kube-public", "kube-system", "kubernetes-dashboard", "local-path-storage"];
    let namespaces = names.iter().map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}})).collect();
    [namespaces, vec![node(CONTROL_PLANE), node(WORKER)], kube_system(), dashboard(spec), istio(spec), gateway_api(spec)].concat()
}

/// A Ready node; the control plane has its label and its taint.
pub(crate) fn node(name: &str) -> Value {
    let control_plane = name.contains("control-plane");
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}},
        "spec": {"providerID": format!("kind://docker/istio-cluster/{name}")},
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"},
            ],
            "addresses": [
                {"type": "InternalIP", "address": if control_plane { "172.18.0.2" } else { "172.18.0.3" }},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {"kubeletVersion": "v1.33.4", "containerRuntimeVersion": "containerd://2.1.4", "operatingSystem": "linux"},
        },
    });
    if control_plane {
        node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = "".into();
        node["spec"]["taints"] = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
    }
    node
}

/// A pod of one container that is Running and Ready.
pub(crate) fn pod(namespace: &str, name: &str, node: &str, labels: Value, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": image}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "main", "image": image, "imageID": "", "ready": true, "restartCount": 0, "started": true,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }],
        },
    })
}

/// Turns a healthy pod into one whose container waits.
pub(crate) fn waits(pod: &mut Value, reason: &str, message: &str) {
    let status = &mut pod["status"];
    status["phase"] = "Pending".into();
    status["conditions"][1]["status"] = "False".into();
    status["containerStatuses"][0]["ready"] = false.into();
    status["containerStatuses"][0]["state"] = json!({"waiting": {"reason": reason, "message": message}});
}

/// A pod that a `DaemonSet` owns.
fn owned(mut pod: Value, set: &str) -> Value {
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": set, "uid": uid(set), "controller": true}]);
    pod
}

fn uid(name: &str) -> String {
    format!("uid-of-{name}")
}

fn deployment(namespace: &str, name: &str, image: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {"containers": [{"name": "main", "image": image}]}},
        },
        "status": {
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas,
        },
    })
}

/// A `DaemonSet` on both nodes.
fn daemon_set(namespace: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "generation": 1, "uid": uid(name)},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {
                "containers": [{"name": "main", "image": image}],
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "tolerations": [
                    {"effect": "NoSchedule", "operator": "Exists"},
                    {"key": "CriticalAddonsOnly", "operator": "Exists"},
                    {"effect": "NoExecute", "operator": "Exists"},
                ],
            }},
        },
        "status": {
            "observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberReady": 2, "numberAvailable": 2,
            "updatedNumberScheduled": 2, "numberMisscheduled": 0,
        },
    })
}

fn kube_system() -> Vec<Value> {
    let namespace = "kube-system";
    let mut all = vec![
        deployment(namespace, "coredns", "registry.k8s.io/coredns/coredns:v1.12.0", 2),
        daemon_set(namespace, "kube-proxy", "registry.k8s.io/kube-proxy:v1.33.4"),
        daemon_set(namespace, "kindnet", "docker.io/kindest/kindnetd:v20250512-df8de77b"),
    ];
    for name in ["coredns-674b8bbfcf-2xq7k", "coredns-674b8bbfcf-zt9vc"] {
        all.push(pod(namespace, name, CONTROL_PLANE, json!({"k8s-app": "kube-dns"}), "registry.k8s.io/coredns/coredns:v1.12.0"));
    }
    for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let labels = json!({"component": component, "tier": "control-plane"});
        all.push(pod(namespace, &format!("{component}-{CONTROL_PLANE}"), CONTROL_PLANE, labels, &format!("registry.k8s.io/{component}:x")));
    }
    for set in ["kube-proxy", "kindnet"] {
        for (node, suffix) in [(CONTROL_PLANE, "c9dlq"), (WORKER, "w7h2n")] {
            all.push(owned(pod(namespace, &format!("{set}-{suffix}"), node, json!({"k8s-app": set}), "registry.k8s.io/x:1"), set));
        }
    }
    all
}

fn dashboard(spec: &Spec) -> Vec<Value> {
    let namespace = "kubernetes-dashboard";
    let image = format!("kubernetesui/dashboard:{}", spec.dashboard.version);
    let scraper = "kubernetesui/metrics-scraper:v1.0.8";
    let label = |app: &str| json!({"k8s-app": app});
    let mut ui = deployment(namespace, "kubernetes-dashboard", &image, 1);
    ui["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
    vec![
        ui,
        deployment(namespace, "dashboard-metrics-scraper", scraper, 1),
        pod(namespace, "kubernetes-dashboard-b7ffbc8cb-zl8zg", WORKER, label("kubernetes-dashboard"), &image),
        pod(namespace, "dashboard-metrics-scraper-6b5c7f7b5c-9xk2p", WORKER, label("dashboard-metrics-scraper"), scraper),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": spec.dashboard.admin_user, "namespace": namespace}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": spec.dashboard.admin_user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": spec.dashboard.admin_user, "namespace": namespace}],
        }),
    ]
}

/// The image of a component, in the variant that the ambient profile takes.
pub(crate) fn istio_image(spec: &Spec, component: &str) -> String {
    format!("{}/{component}:{}-distroless", spec.istio.hub, spec.istio.version)
}

/// The ready ztunnel pod of a node, under a name of its own.
pub(crate) fn ztunnel_pod(spec: &Spec, name: &str, node: &str) -> Value {
    owned(pod("istio-system", name, node, json!({"app": "ztunnel"}), &istio_image(spec, "ztunnel")), "ztunnel")
}

fn istio(spec: &Spec) -> Vec<Value> {
    let namespace = "istio-system";
    let (pilot, cni) = (istio_image(spec, "pilot"), istio_image(spec, "install-cni"));
    let cni_pod = |name: &str, node: &str| owned(pod(namespace, name, node, json!({"k8s-app": "istio-cni-node"}), &cni), "istio-cni-node");
    vec![
        deployment(namespace, "istiod", &pilot, 1),
        daemon_set(namespace, "istio-cni-node", &cni),
        daemon_set(namespace, "ztunnel", &istio_image(spec, "ztunnel")),
        pod(namespace, "istiod-6c8f9d7b4-q5v8m", WORKER, json!({"app": "istiod"}), &pilot),
        cni_pod("istio-cni-node-4k2lp", CONTROL_PLANE),
        cni_pod("istio-cni-node-x8r6t", WORKER),
        ztunnel_pod(spec, "ztunnel-5m7cj", CONTROL_PLANE),
        ztunnel_pod(spec, "ztunnel-hp4wd", WORKER),
    ]
}

fn gateway_api(spec: &Spec) -> Vec<Value> {
    let bundle: Version = spec.gateway_api.version.parse().expect("a version");
    let istio: Version = spec.istio.version.parse().expect("a version");
    let crds = catalog::gateway_api_crds(&bundle, spec.gateway_api.channel).expect("a known bundle").iter().map(|name| {
        let plural = name.split('.').next().expect("a name");
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "annotations": {BUNDLE_VERSION: spec.gateway_api.version, CHANNEL: spec.gateway_api.channel.as_str()}},
            "spec": {
                "group": "gateway.networking.k8s.io", "names": {"kind": plural, "plural": plural}, "scope": "Namespaced",
                "versions": [{"name": "v1", "served": true, "storage": true}, {"name": "v1beta1", "served": true, "storage": false}],
            },
            "status": {"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]},
        })
    });
    let classes = catalog::gateway_classes(&istio).expect("a known Istio").iter().map(|class| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": class.name},
            "spec": {"controllerName": class.controller},
            "status": {"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "Handled by Istio controller"}]},
        })
    });
    crds.chain(classes).collect()
}
