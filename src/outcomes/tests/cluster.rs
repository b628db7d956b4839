//! What breaks the cluster, its nodes, mirrors, proxy and pulls.

use serde_json::{Value, json};

use super::cases::{Case, check, judge_world};
use crate::cluster::{Capabilities, Capability, NodeMachine};
use crate::journal::Verdict;
use crate::recording::{CONTROL_REGISTRY, HOSTS_TOML, INERT_REGISTRY, PROXIED_REGISTRY};
use crate::testing::api::Reply;
use crate::testing::environment::{World, healthz, mirror_access, proxy_access};
use crate::testing::guide::{self, CONTROL_PLANE, WORKER};

const WORKER_NODE: &str = "/api/v1/nodes/istio-cluster-worker";
const CANARY: &str = "crictl pull meshproof.invalid/probe:latest";
const PULL: &str = "crictl pull docker.io/library/busybox:latest";

fn ready_condition(node: &mut Value) -> &mut Value {
    &mut node["status"]["conditions"][1]
}

/// The machine of the worker is gone or stopped, and the API server has not noticed.
fn silence(world: &World) {
    let refused = "Get \"https://172.18.0.3:10250/healthz\": dial tcp 172.18.0.3:10250: connect: no route to host";
    world.api.always(&format!("GET {}", healthz(WORKER)), Reply::status(503, refused));
}

/// Everything that asks the worker or believes what the API says about its pods fails when it is down, and what is named besides.
macro_rules! worker_down {
    ($($besides:expr),*) => {
        &[
            ("cluster.nodes.ready", "the kubelet of node istio-cluster-worker does not answer: "),
            ("cluster.system.healthy", "the kubelet of node istio-cluster-worker does not answer"),
            ("dashboard.deployments.available", "the status of the Deployments is out of date"),
            ("dashboard.pods.running", "kubernetes-dashboard-b7ffbc8cb-zl8zg says Running, but the kubelet of node istio-cluster-worker"),
            ("dashboard.service.answers", "kubernetes-dashboard-b7ffbc8cb-zl8zg cannot be reached"),
            ("dashboard.login.accepted", "cannot be reached"),
            ("dashboard.login.cluster-admin", "cannot be reached"),
            ("dashboard.login.wrong-token-refused", "cannot be reached"),
            ("dashboard.login.expired-token-refused", "cannot be reached"),
            ("dashboard.login.without-session-refused", "cannot be reached"),
            ("dashboard.login.foreign-audience-refused", "cannot be reached"),
            ("dashboard.login.other-account-limited", "cannot be reached"),
            ("istioctl.version.after-install", "istiod-6c8f9d7b4-q5v8m cannot be reached"),
            ("istio.istiod.ready", "istiod-6c8f9d7b4-q5v8m says Ready, but the kubelet"),
            ("istio.cni.every-node", "node istio-cluster-worker has no ready pod of istio-cni-node"),
            ("istio.ztunnel.every-node", "node istio-cluster-worker has no ready pod of ztunnel"),
            $($besides),*
        ]
    };
}

#[tokio::test]
async fn nodes_and_machines() {
    check(&[
        Case {
            name: "a node is NotReady",
            breaks: |w| {
                w.api.edit(WORKER_NODE, |n| {
                    ready_condition(n)["status"] = "False".into();
                    ready_condition(n)["message"] = "container runtime network not ready: cni plugin not initialized".into();
                });
            },
            fails: &[("cluster.nodes.ready", "node istio-cluster-worker is not Ready: container runtime network not ready")],
        },
        Case {
            name: "the kubelet of a node has stopped posting",
            breaks: |w| w.api.edit(WORKER_NODE, |n| ready_condition(n)["status"] = "Unknown".into()),
            fails: &[("cluster.nodes.ready", "node istio-cluster-worker is not Ready")],
        },
        Case { name: "a kubelet is silent", breaks: |w| silence(w), fails: worker_down![] },
        Case {
            name: "the question to a kubelet hangs",
            breaks: |w| w.api.always(&format!("GET {}", healthz(CONTROL_PLANE)), Reply::Hang),
            fails: &[
                ("cluster.nodes.ready", "the kubelet of node istio-cluster-control-plane does not answer: the kubelet answers: not within 10 s"),
                ("cluster.system.healthy", "the kubelet of node istio-cluster-control-plane does not answer"),
                ("istio.cni.every-node", "node istio-cluster-control-plane has no ready pod of istio-cni-node"),
                ("istio.ztunnel.every-node", "node istio-cluster-control-plane has no ready pod of ztunnel"),
                // It has ztunnel pods there.
                ("istioctl.version.after-install", "cannot be reached"),
            ],
        },
        Case {
            name: "a container is missing in the inventory",
            breaks: |w| w.nodes.machines_mut(|m| m.retain(|m| m.name != WORKER)),
            fails: worker_down![("cluster.kind.nodes", "node istio-cluster-worker has no container")],
        },
        Case {
            name: "there is no container at all",
            breaks: |w| w.nodes.machines_mut(Vec::clear),
            fails: worker_down![
                ("cluster.kind.named", "there is no cluster called istio-cluster"),
                ("cluster.kind.nodes", "node istio-cluster-control-plane has no container; node istio-cluster-worker has no container")
            ],
        },
        Case {
            name: "a container is stopped",
            breaks: |w| w.nodes.machines_mut(|m| "exited".clone_into(&mut m[1].state)),
            fails: worker_down![("cluster.kind.nodes", "node istio-cluster-worker: its container is exited")],
        },
        Case {
            name: "a container has another role",
            breaks: |w| w.nodes.machines_mut(|m| "control-plane".clone_into(&mut m[1].role)),
            fails: &[("cluster.kind.nodes", "has the role control-plane, not worker")],
        },
        Case {
            name: "there is one container more",
            breaks: |w| {
                let more = NodeMachine { name: "istio-cluster-worker2".into(), role: "worker".into(), state: "running".into(), started: None };
                w.nodes.machines_mut(|m| m.push(more));
            },
            fails: &[("cluster.kind.nodes", "a container istio-cluster-worker2 that the spec does not know")],
        },
        Case {
            name: "a node has joined that the spec does not know",
            breaks: |w| {
                w.api.put(guide::node("istio-cluster-worker2"));
                w.api.always(&format!("GET {}", healthz("istio-cluster-worker2")), Reply::Text(200, "ok".into()));
                w.istioctl("client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: 1.27.1 (3 proxies)\n");
            },
            fails: &[
                ("cluster.kind.nodes", "istio-cluster-worker2"),
                ("istio.cni.every-node", "node istio-cluster-worker2 has no ready pod of istio-cni-node"),
                ("istio.ztunnel.every-node", "node istio-cluster-worker2 has no ready pod of ztunnel"),
            ],
        },
        Case {
            name: "a node lacks the role's label",
            breaks: |w| {
                w.api.edit("/api/v1/nodes/istio-cluster-control-plane", |n| n["metadata"]["labels"] = json!({"kubernetes.io/os": "linux"}));
            },
            fails: &[("cluster.kind.nodes", "the spec wants {\"istio-cluster-control-plane\": \"control-plane\"")],
        },
        Case {
            name: "the API server is of another version",
            breaks: |w| {
                let version = json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
                                     "goVersion": "", "compiler": "", "platform": ""});
                w.api.always("GET /version", Reply::Json(200, version));
            },
            fails: &[("cluster.kind.named", "the API server is v1.34.0, the spec wants v1.33.4")],
        },
        Case {
            name: "the kubeconfig's context is another one",
            breaks: |w| {
                let text = std::fs::read_to_string(w.kubeconfig()).unwrap();
                std::fs::write(w.kubeconfig(), text.replace("current-context: kind-istio-cluster", "current-context: other")).unwrap();
            },
            fails: &[("cluster.kind.named", "the current context is `other`, not `kind-istio-cluster`")],
        },
        Case {
            name: "there is no kubeconfig",
            breaks: |w| std::fs::remove_file(w.kubeconfig()).unwrap(),
            fails: &[("cluster.kind.named", "the kubeconfig: ")],
        },
    ])
    .await;
}

#[tokio::test]
async fn the_system_namespace() {
    const POD: &str = "/api/v1/namespaces/kube-system/pods";
    const SET: &str = "/apis/apps/v1/namespaces/kube-system";
    check(&[
        Case {
            name: "a DNS pod is not Ready",
            breaks: |w| w.api.edit(&format!("{POD}/coredns-674b8bbfcf-2xq7k"), |p| guide::waits(p, "CrashLoopBackOff", "back-off 10s")),
            fails: &[("cluster.system.healthy", "coredns-674b8bbfcf-2xq7k 0/1 CrashLoopBackOff")],
        },
        Case {
            name: "DNS is not fully available",
            breaks: |w| w.api.edit(&format!("{SET}/deployments/coredns"), |d| d["status"]["availableReplicas"] = 1.into()),
            fails: &[("cluster.system.healthy", "Deployment coredns: 1 of 2 available")],
        },
        Case {
            name: "a node agent runs on one node only",
            breaks: |w| w.api.edit(&format!("{SET}/daemonsets/kindnet"), |s| s["status"]["numberReady"] = 1.into()),
            fails: &[("cluster.system.healthy", "DaemonSet kindnet: 1 of 2 ready")],
        },
        Case {
            name: "there is no kube-proxy",
            breaks: |w| w.api.remove(&format!("{SET}/daemonsets/kube-proxy")),
            fails: &[("cluster.system.healthy", "kube-system has no kube-proxy")],
        },
        Case {
            name: "there is no etcd",
            breaks: |w| w.api.remove(&format!("{POD}/etcd-{CONTROL_PLANE}")),
            fails: &[("cluster.system.healthy", "kube-system has no pod etcd-istio-cluster-control-plane")],
        },
    ])
    .await;
}

#[tokio::test]
async fn mirrors_and_proxy() {
    const HOSTS: &str = "/etc/containerd/certs.d/docker.io/hosts.toml";
    check(&[
        Case {
            name: "config_path is empty on one node",
            breaks: |w| w.config_path(WORKER, ""),
            fails: &[("cluster.mirror.config-path", "containerd on istio-cluster-worker has config_path \"\", not /etc/containerd/certs.d")],
        },
        Case {
            name: "config_path is another directory",
            breaks: |w| w.config_path(CONTROL_PLANE, "/etc/containerd/certs.d2"),
            fails: &[("cluster.mirror.config-path", "containerd on istio-cluster-control-plane has config_path")],
        },
        Case {
            name: "containerd has no such configuration",
            breaks: |w| w.nodes.answer(WORKER, "containerd config dump", 0, "version = 3\n", ""),
            fails: &[("cluster.mirror.config-path", "containerd on istio-cluster-worker has config_path \"\"")],
        },
        Case {
            name: "the dump fails on one node",
            breaks: |w| w.nodes.answer(WORKER, "containerd config dump", 1, "", "containerd: unknown containerd config version: 4"),
            fails: &[("cluster.mirror.config-path", "unknown containerd config version: 4")],
        },
        Case {
            name: "hosts.toml differs on one node",
            breaks: |w| w.nodes.file(WORKER, HOSTS, "server = \"https://elsewhere\"\n"),
            fails: &[("cluster.mirror.hosts-read", "certs.d/docker.io/hosts.toml on istio-cluster-worker is not what the spec says")],
        },
        Case {
            name: "hosts.toml is missing on one node",
            breaks: |w| w.nodes.remove_file(WORKER, HOSTS),
            fails: &[("cluster.mirror.hosts-read", "on node istio-cluster-worker ended with code 1: cat: /etc/containerd/certs.d/docker.io")],
        },
        Case {
            name: "the canary is looked for in the DNS",
            breaks: |w| {
                let said = "failed to pull image: failed to do request: Head \"https://meshproof.invalid/v2/probe/manifests/latest\": dial tcp: lookup meshproof.invalid on 172.18.0.1:53: no such host";
                w.nodes.answer(WORKER, CANARY, 1, "", said);
            },
            fails: &[("cluster.mirror.hosts-read", "containerd on istio-cluster-worker did not read /etc/containerd/certs.d/meshproof.invalid/hosts.toml")],
        },
        Case {
            name: "the proxy is missing in one containerd",
            breaks: |w| w.nodes.file(WORKER, "/proc/123/environ", "PATH=/bin"),
            fails: &[("cluster.proxy.every-node", "containerd on istio-cluster-worker has HTTP_PROXY=None")],
        },
        Case {
            name: "containerd was not restarted after NO_PROXY changed",
            breaks: |w| {
                w.nodes.file(WORKER, "/proc/123/environ", "HTTP_PROXY=http://172.17.0.1:7890\0HTTPS_PROXY=http://172.17.0.1:7890\0NO_PROXY=localhost");
            },
            fails: &[("cluster.proxy.every-node", "containerd on istio-cluster-worker has NO_PROXY=Some(\"localhost\")")],
        },
        Case {
            name: "a pull fails on one node",
            breaks: |w| {
                let said = "time=\"now\" level=fatal\nfailed to resolve reference \"docker.io/library/busybox:latest\": unexpected status from HEAD request to http://m:5000/v2/: 503 Service Unavailable";
                w.nodes.answer(WORKER, PULL, 1, "", said);
            },
            fails: &[("cluster.images.pulled", "crictl pull on istio-cluster-worker: image docker.io/library/busybox:latest: failed to resolve")],
        },
        Case {
            name: "a pull hangs on one node",
            breaks: |w| w.nodes.hang(WORKER, PULL),
            fails: &[("cluster.images.pulled", "docker.io/library/busybox:latest is pulled on istio-cluster-worker: not within 90 s")],
        },
        Case {
            name: "a node asks the registry itself",
            breaks: |w| w.nodes.seen(WORKER, PULL, &[]),
            fails: &[(
                "cluster.mirror.every-image",
                "image docker.io/library/busybox:latest on istio-cluster-worker (registry docker.io) did not come through the mirror",
            )],
        },
        Case {
            name: "an image that nobody is known to have pulled",
            breaks: |w| {
                let digest = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
                let image = json!({"id": digest, "repoTags": ["quay.io/a/b:1"], "repoDigests": [format!("quay.io/a/b@{digest}")]});
                w.nodes.answer(WORKER, "crictl images -o json", 0, &json!({"images": [image]}).to_string(), "");
            },
            fails: &[(
                "cluster.mirror.every-image",
                "image quay.io/a/b:1 on istio-cluster-worker (registry quay.io) did not come through the mirror: nothing of it is recorded",
            )],
        },
        Case {
            name: "the mirror has another node's pull only",
            breaks: |w| w.nodes.seen(WORKER, PULL, &[mirror_access(CONTROL_PLANE, 200)]),
            fails: &[("cluster.mirror.every-image", "on istio-cluster-worker (registry docker.io) did not come through the mirror")],
        },
        Case {
            name: "containerd asks for the registry directly",
            breaks: |w| w.nodes.seen(WORKER, &format!("crictl pull {PROXIED_REGISTRY}/probe:latest"), &[]),
            fails: &[("cluster.proxy.connects", "containerd on istio-cluster-worker did not ask the proxy of the drop-in")],
        },
        Case {
            name: "containerd reads a proxy table",
            breaks: |w| {
                let asks = proxy_access(WORKER, HOSTS_TOML, "CONNECT", &format!("{INERT_REGISTRY}:443"));
                w.nodes.seen(WORKER, &format!("crictl pull {INERT_REGISTRY}/probe:latest"), &[asks]);
            },
            fails: &[("cluster.proxy.hosts-toml-ignored", "containerd on istio-cluster-worker read the proxy table of hosts.toml")],
        },
        Case {
            name: "the recording proxy is out of reach, so that silence proves nothing",
            breaks: |w| w.nodes.seen(WORKER, &format!("crictl pull {CONTROL_REGISTRY}/probe:latest"), &[]),
            fails: &[("cluster.proxy.hosts-toml-ignored", "istio-cluster-worker does not reach the recording proxy")],
        },
        Case {
            name: "no command starts on one node",
            breaks: |w| w.nodes.take_down(WORKER),
            fails: worker_down![("cluster.images.ctr-asks-elsewhere", "container is not running"), 
                ("cluster.kind.nodes", "node istio-cluster-worker: its container is exited"),
                ("cluster.mirror.config-path", "on node istio-cluster-worker"),
                ("cluster.mirror.hosts-read", "on node istio-cluster-worker"),
                ("cluster.mirror.every-image", "on node istio-cluster-worker"),
                ("cluster.proxy.connects", "istio-cluster-worker did not ask the proxy"),
                ("cluster.proxy.hosts-toml-ignored", "istio-cluster-worker does not reach"),
                ("cluster.proxy.every-node", "on node istio-cluster-worker"),
                ("cluster.images.pulled", "on node istio-cluster-worker")
            ],
        },
    ])
    .await;
}

/// As an existing cluster is: of other nodes than the spec's, without what kind puts into one, and with its machines out of reach.
fn not_ours() -> World {
    let mut world = World::healthy();
    world.capabilities = Capabilities::default();
    world.capabilities.give(Capability::TYPED_REQUESTS);
    world.capabilities.give(Capability::PORT_FORWARD);
    world.spec.cluster.name = "another-name".to_owned();
    world.spec.cluster.kubernetes = "1.31.2".to_owned();
    let system = "/api/v1/namespaces/kube-system/pods";
    for pod in world.api.names(system).into_iter().filter(|name| name.starts_with("etcd-") || name.starts_with("kube-scheduler-")) {
        world.api.remove(&format!("{system}/{pod}"));
    }
    world.api.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a-job-x7k2p", "namespace": "kube-system"},
        "spec": {"nodeName": WORKER, "containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Succeeded"}}));
    world
}

#[tokio::test]
async fn a_cluster_that_was_not_made_from_the_spec_is_judged_by_what_is_in_it() {
    let judged = judge_world(&not_ours()).await;
    let other: Vec<_> = judged.iter().filter(|(_, j)| !matches!(j.verdict, Verdict::Passed | Verdict::Unsupported { .. })).collect();
    assert!(other.is_empty(), "{other:#?}");
    for id in ["cluster.nodes.ready", "cluster.system.healthy", "istio.ztunnel.every-node", "dashboard.login.cluster-admin"] {
        assert_eq!(judged[id].verdict, Verdict::Passed, "{id}");
    }
    let world = not_ours();
    world.api.edit(WORKER_NODE, |n| ready_condition(n)["status"] = "False".into());
    let judged = judge_world(&world).await;
    assert!(matches!(&judged["cluster.nodes.ready"].verdict, Verdict::Failed { .. }), "{:?}", judged["cluster.nodes.ready"]);
    let world = not_ours();
    for node in [WORKER, CONTROL_PLANE] {
        world.api.remove(&format!("/api/v1/nodes/{node}"));
    }
    let Verdict::Failed { reason } = &judge_world(&world).await["cluster.nodes.ready"].verdict else { panic!("no node is Ready") };
    assert!(reason.contains("knows no node"), "{reason}");
}
