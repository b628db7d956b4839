//! What a kind cluster runs of itself. Source: kubeadm's `phases/addons` and `phases/controlplane`, kind's `pkg/build/nodeimage`.

use serde_json::{Value, json};

use super::manifests::fill;
use crate::spec::{Spec, Version, catalog};

const SYSTEM: &str = include_str!("manifests/system.yaml");

/// Where the API server of the cluster is, for what tells clients of it.
#[derive(Debug, Clone, Copy)]
pub struct ApiServer<'a> {
    /// URL as pods and nodes have it, for example `https://istio-cluster-control-plane:6443`.
    pub url: &'a str,
    /// Certificate of its authority, PEM.
    pub ca_pem: &'a str,
}

fn tags(spec: &Spec) -> catalog::SystemImages {
    let version = |text: &str| text.parse::<Version>().unwrap_or(Version::new(0, 0, 0));
    catalog::system_images(&version(&spec.tools.kind.version), &version(&spec.cluster.kubernetes))
}

/// The objects of a new cluster besides those that every API server makes (the namespaces of the system, the default roles): YAML with
/// several documents.
#[must_use]
pub fn kube_system(spec: &Spec, server: &ApiServer<'_>) -> String {
    let tags = tags(spec);
    let values = [
        ("cluster", spec.cluster.name.as_str()),
        ("kubernetes", &spec.cluster.kubernetes),
        ("coredns", tags.coredns),
        ("kindnetd", tags.kindnetd),
        ("local_path_provisioner", tags.local_path_provisioner),
        ("local_path_helper", tags.local_path_helper),
    ];
    format!("{}---\n{}\n", fill(SYSTEM, &values), cluster_info(server))
}

/// What a node that joins reads before it has any credentials.
fn cluster_info(server: &ApiServer<'_>) -> Value {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(server.ca_pem);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "users": null, "contexts": null, "current-context": "",
        "clusters": [{"name": "", "cluster": {"server": server.url, "certificate-authority-data": ca}}],
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": kubeconfig.to_string()},
    })
}

/// The pods that a control-plane node's kubelet starts from files; it adds its node's name to theirs. `address` is the node's.
#[must_use]
pub fn static_pods(spec: &Spec, address: &str) -> Vec<Value> {
    let kubernetes = format!("v{}", spec.cluster.kubernetes);
    let etcd = Component {
        name: "etcd",
        image: format!("registry.k8s.io/etcd:{}", tags(spec).etcd),
        command: vec![
            "etcd".into(),
            format!("--advertise-client-urls=https://{address}:2379"),
            "--listen-metrics-urls=http://127.0.0.1:2381".into(),
        ],
        requests: json!({"cpu": "100m", "memory": "100Mi"}),
        probes: Probes { scheme: "HTTP", host: "127.0.0.1", port: 2381, live: "/livez", ready: Some("/readyz"), startup: "/readyz" },
        annotation: Some(("kubeadm.kubernetes.io/etcd.advertise-client-urls", format!("https://{address}:2379"))),
    };
    let apiserver = Component {
        name: "kube-apiserver",
        image: format!("registry.k8s.io/kube-apiserver:{kubernetes}"),
        command: vec![
            "kube-apiserver".into(),
            format!("--advertise-address={address}"),
            "--authorization-mode=Node,RBAC".into(),
            "--secure-port=6443".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
        ],
        requests: json!({"cpu": "250m"}),
        probes: Probes { scheme: "HTTPS", host: address, port: 6443, live: "/livez", ready: Some("/readyz"), startup: "/livez" },
        annotation: Some(("kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint", format!("{address}:6443"))),
    };
    let manager = Component {
        name: "kube-controller-manager",
        image: format!("registry.k8s.io/kube-controller-manager:{kubernetes}"),
        command: vec![
            "kube-controller-manager".into(),
            "--allocate-node-cidrs=true".into(),
            "--bind-address=127.0.0.1".into(),
            "--cluster-cidr=10.244.0.0/16".into(),
            format!("--cluster-name={}", spec.cluster.name),
            "--leader-elect=true".into(),
        ],
        requests: json!({"cpu": "200m"}),
        probes: Probes { scheme: "HTTPS", host: "127.0.0.1", port: 10257, live: "/healthz", ready: None, startup: "/healthz" },
        annotation: None,
    };
    let scheduler = Component {
        name: "kube-scheduler",
        image: format!("registry.k8s.io/kube-scheduler:{kubernetes}"),
        command: vec!["kube-scheduler".into(), "--bind-address=127.0.0.1".into(), "--leader-elect=true".into()],
        requests: json!({"cpu": "100m"}),
        probes: Probes { scheme: "HTTPS", host: "127.0.0.1", port: 10259, live: "/livez", ready: Some("/readyz"), startup: "/livez" },
        annotation: None,
    };
    [etcd, apiserver, manager, scheduler].iter().map(Component::pod).collect()
}

struct Probes<'a> {
    scheme: &'static str,
    host: &'a str,
    port: u16,
    live: &'static str,
    ready: Option<&'static str>,
    startup: &'static str,
}

struct Component<'a> {
    name: &'static str,
    image: String,
    command: Vec<String>,
    requests: Value,
    probes: Probes<'a>,
    annotation: Option<(&'static str, String)>,
}

impl Component<'_> {
    fn pod(&self) -> Value {
        let p = &self.probes;
        let get = |path: &str| json!({"host": p.host, "path": path, "port": p.port, "scheme": p.scheme});
        let probe = |path: &str, delay: u32, period: u32, failures: u32| json!({"httpGet": get(path), "initialDelaySeconds": delay, "timeoutSeconds": 15, "periodSeconds": period, "failureThreshold": failures});
        let mut container = json!({
            "name": self.name, "image": self.image, "imagePullPolicy": "IfNotPresent", "command": self.command,
            "resources": {"requests": self.requests},
            "livenessProbe": probe(p.live, 10, 10, 8),
            // kubeadm's first look is after 10 s, which a simulation would only spend waiting.
            "startupProbe": probe(p.startup, 0, 10, 24),
        });
        if let Some(path) = p.ready {
            container["readinessProbe"] = probe(path, 0, 1, 3);
        }
        let annotations: serde_json::Map<String, Value> = self.annotation.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": self.name, "namespace": "kube-system", "annotations": annotations,
                "labels": {"component": self.name, "tier": "control-plane"},
            },
            "spec": {
                "hostNetwork": true, "priorityClassName": "system-node-critical", "priority": 2_000_001_000,
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                // A file on the node is stronger than any taint.
                "tolerations": [{"effect": "NoExecute", "operator": "Exists"}],
                "containers": [container],
            },
        })
    }
}
