//! What each cause looks like, and who says so. Only the words that a rule must know are quoted.

/// Where the words of a sample come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A real run of kind, containerd, Istio or the Dashboard wrote it.
    Seen,
    /// Someone showed it in this thread.
    Thread(&'static str),
    /// This file writes it.
    Upstream(&'static str),
    /// meshproof writes it, in this file.
    Own(&'static str),
}

/// A symptom: the rule that must know it, and nothing else.
pub(super) struct Sample {
    pub(super) rule: &'static str,
    pub(super) source: Source,
    pub(super) lines: &'static [&'static str],
}

const fn sample(rule: &'static str, source: Source, lines: &'static [&'static str]) -> Sample {
    Sample { rule, source, lines }
}

use Source::{Own, Seen, Thread, Upstream};

pub(super) const SAMPLES: &[Sample] = &[
    sample(
        "P1",
        Thread("kubernetes-sigs/kind#1459"),
        &[
            "failed to do request: Head https://registry-1.docker.io/v2/library/nginx/manifests/latest: proxyconnect tcp: dial tcp 127.0.0.1:7890: connect: connection refused",
        ],
    ),
    sample(
        "P1",
        Thread("kubernetes-sigs/kind#4140"),
        &[
            "ctr: failed to resolve reference \"registry.k8s.io/etcd:3.6.8-0\": failed to do request: Head \"https://registry.k8s.io/v2/etcd/manifests/3.6.8-0\": proxyconnect tcp: dial tcp 127.0.0.1:12334: connect: connection refused",
        ],
    ),
    sample(
        "P2",
        Own("src/outcomes/cluster.rs"),
        &[
            "containerd on istio-cluster-worker has HTTP_PROXY=None, not http://172.17.0.1:7890",
            "containerd on istio-cluster-worker has HTTPS_PROXY=None, not http://172.17.0.1:7890",
        ],
    ),
    // Of two nodes only one fails, and it is the one without the variables.
    sample(
        "P2",
        Own("src/outcomes/cluster.rs"),
        &[
            "crictl pull on istio-cluster-worker: image docker.io/library/busybox:latest: failed to resolve reference \"docker.io/library/busybox:latest\": failed to do request: Head \"https://registry-1.docker.io/v2/library/busybox/manifests/latest\": dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host",
            "istio-cluster-control-plane: {\"HTTPS_PROXY\":\"http://172.17.0.1:7890\",\"HTTP_PROXY\":\"http://172.17.0.1:7890\"}",
            "istio-cluster-worker: {}",
        ],
    ),
    sample(
        "P2",
        Own("src/outcomes/recordings.rs"),
        &[
            "containerd on istio-cluster-worker did not ask the proxy of the drop-in; its pull said: failed to do request: Head \"https://proxied.invalid/v2/\": dial tcp: lookup proxied.invalid on 172.18.0.1:53: no such host",
        ],
    ),
    sample("P3", Thread("kubernetes-sigs/kind#3467"), &["  407  Access denied [IP: 172.17.0.1 3128]"]),
    sample(
        "P3",
        Upstream("golang/go src/net/http/transport.go"),
        &["failed to do request: Head \"https://registry-1.docker.io/v2/\": Proxy Authentication Required"],
    ),
    sample(
        "P4",
        Seen,
        &[
            "failed to resolve reference \"docker.io/library/busybox:latest\": unexpected status from HEAD request to http://lab-registry:5000/v2/library/busybox/manifests/latest?ns=docker.io: 502 Bad Gateway",
            "NO_PROXY=localhost,127.0.0.1,10.96.0.0/12,10.244.0.0/16,172.18.0.0/16,*.svc",
        ],
    ),
    sample("P5", Thread("kubernetes-sigs/kind#1974"), &["dial tcp: lookup registry-1.docker.io on 172.19.0.1:53: no such host"]),
    // Every node fails alike, and none has a proxy.
    sample(
        "P5",
        Seen,
        &[
            "crictl pull on istio-cluster-control-plane: image docker.io/library/busybox:latest: failed to do request: Head \"https://registry-1.docker.io/v2/library/busybox/manifests/latest\": dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host",
            "crictl pull on istio-cluster-worker: image docker.io/library/busybox:latest: failed to do request: Head \"https://registry-1.docker.io/v2/library/busybox/manifests/latest\": dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host",
        ],
    ),
    sample(
        "P6",
        Seen,
        &[
            "[host.\"https://registry-1.docker.io\".proxy]",
            "failed to do request: Head \"https://registry-1.docker.io/v2/library/busybox/manifests/latest\": dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host",
        ],
    ),
    sample(
        "P7",
        Own("src/outcomes/recordings.rs"),
        &[
            "image docker.io/library/busybox:latest on istio-cluster-worker (registry docker.io) did not come through the mirror: dial tcp: lookup registry-1.docker.io: no such host",
        ],
    ),
    sample("P7", Own("src/outcomes/cluster.rs"), &["containerd on istio-cluster-worker has config_path \"\", not /etc/containerd/certs.d"]),
    sample(
        "P8",
        Upstream("containerd/containerd internal/cri/config/config.go"),
        &["invalid cri image config: `mirrors` cannot be set when `config_path` is provided"],
    ),
    sample(
        "P9",
        Upstream("containerd/containerd core/remotes/errors/errors.go"),
        &["unexpected status from HEAD request to https://registry-1.docker.io/v2/a/manifests/1: 429 Too Many Requests"],
    ),
    sample("P9", Thread("docker/hub-feedback#2429"), &["toomanyrequests: You have reached your pull rate limit."]),
    sample(
        "P10",
        Thread("kubernetes-sigs/dra-example-driver#245"),
        &["unknown containerd config version: 4 (supported versions: 2 and 3)"],
    ),
    sample("P10", Upstream("kubernetes-sigs/kind pkg/cluster/nodeutils/util.go"), &["ERROR: failed to detect containerd snapshotter"]),
    sample(
        "P11",
        Thread("kubernetes-sigs/kind#4224"),
        &["Command Output: ctr: content digest sha256:b1addbe72465a718643cff9e60a58e6df1841e29d6d7d60c9a85d8d72f08d1a7: not found"],
    ),
    sample(
        "P11",
        Thread("containerd/containerd#11344"),
        &[
            "ctr: rpc error: code = NotFound desc = content digest sha256:4c6b3915ceab750f69555510444e80541e4c72e23130c748c6ce3315f603015e: not found",
        ],
    ),
    sample(
        "P12",
        Upstream("kubernetes/kubernetes cmd/kubelet/app/server.go"),
        &["kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in maintenance mode"],
    ),
    sample(
        "P13",
        Upstream("kubernetes/kubernetes pkg/kubelet/kuberuntime/logs/logs.go"),
        &["failed to create fsnotify watcher: too many open files"],
    ),
    sample("P13", Upstream("systemd/systemd src/core/cgroup.c"), &["Failed to create control group inotify object: Too many open files"]),
    sample(
        "P14",
        Thread("istio/ztunnel#1631"),
        &[
            "{\"level\":\"error\",\"scope\":\"ztunnel::proxy::inbound_passthrough\",\"message\":\"Failed TCP handshake Too many open files (os error 24)\"}",
        ],
    ),
    sample(
        "P15",
        Upstream("istio/istio cni/pkg/plugin/plugin.go"),
        &[
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"7918dd79\": plugin type=\"istio-cni\" name=\"istio-cni\" failed (add): istio-cni cmdAdd failed to contact node Istio CNI agent: unable to push CNI event (status code 500): no ztunnel connection",
        ],
    ),
    sample(
        "P16",
        Thread("defenseunicorns/uds-core#1547"),
        &[
            "istio-cni cmdAdd failed to contact node Istio CNI agent: unable to push CNI event (status code 500): pod add cannot be retried: exit status 2 Warning: Extension CONNMARK revision 0 not supported, missing kernel module?",
        ],
    ),
    sample(
        "P16",
        Thread("defenseunicorns/uds-core#1547"),
        &["modprobe: FATAL: Module xt_connmark not found in directory /lib/modules/5.15.167.4-microsoft-standard-WSL2"],
    ),
    sample(
        "P17",
        Thread("istio/istio#53308"),
        &[
            "✔ CNI installed",
            "✘ Ztunnel encountered an error: failed to wait for resource: resources not ready after 5m0s: context deadline exceeded",
            "DaemonSet/istio-system/ztunnel",
        ],
    ),
    // What istioctl adds names the state and not the cause.
    sample(
        "P17",
        Upstream("istio/istio operator/pkg/install/wait.go"),
        &[
            "✘ Istiod encountered an error: failed to wait for resource: resources not ready after 5m0s: context deadline exceeded",
            "Deployment/istio-system/istiod (container failed to start: ImagePullBackOff: Back-off pulling image \"docker.io/istio/pilot:1.27.1-distroless\")",
        ],
    ),
    // The same, where the pod says why.
    sample(
        "P5",
        Own("src/wait/terminal.rs"),
        &[
            "✘ Ztunnel encountered an error: failed to wait for resource: resources not ready after 5m0s: context deadline exceeded",
            "pod istio-system/ztunnel-x7k2p on istio-cluster-worker: container istio-proxy: ErrImagePull: image docker.io/istio/ztunnel:1.27.1-distroless: failed to pull and unpack image \"docker.io/istio/ztunnel:1.27.1-distroless\": failed to do request: Head \"https://registry-1.docker.io/v2/istio/ztunnel/manifests/1.27.1-distroless\": dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host",
        ],
    ),
    sample(
        "P18",
        Thread("istio/istio#54912"),
        &[
            "warn xds::client:xds{id=1} XDS client connection error: gRPC connection error connecting to https://istiod.istio-system.svc:15012: status: Unknown, message: \"client error (Connect)\", source: dns error: failed to lookup address information: Name or service not known, retrying in 20ms",
            "warn xds::client:xds{id=2} XDS client connection error: gRPC connection error connecting to https://istiod.istio-system.svc:15012: status: Unknown, message: \"client error (Connect)\", source: dns error: failed to lookup address information: Name or service not known, retrying in 40ms",
        ],
    ),
    sample(
        "P18",
        Thread("istio/istio#54434"),
        &[
            "XDS client connection error: gRPC connection error connecting to https://istiod.istio-system.svc:15012: status: Unknown, message: \"client error (Connect)\", source: tcp connect error: No route to host (os error 113), retrying in 20ms",
        ],
    ),
    // The same words as P5, but the question was put to the cluster's DNS.
    sample("P18", Thread("istio/istio#26354"), &["dial tcp: lookup istiod.istio-system.svc on 10.96.0.10:53: no such host"]),
    sample(
        "P18",
        Thread("istio/istio#26354"),
        &["lookup istiod.istio-system.svc on 10.96.0.10:53: read udp 10.244.153.113:41187->10.96.0.10:53: i/o timeout"],
    ),
    sample(
        "P19",
        Upstream("kubernetes/kubernetes pkg/scheduler/framework/plugins/noderesources/fit.go"),
        &["pod istio-system/istiod-0 is Pending: Unschedulable: 0/2 nodes are available: 2 Insufficient memory."],
    ),
    sample("P20", Thread("istio/istio#52765"), &["Readiness probe failed: dial tcp 192.168.140.251:1080: i/o timeout"]),
    sample(
        "P20",
        Upstream("kubernetes/kubernetes pkg/probe/http/http.go"),
        &["Liveness probe failed: Get \"http://10.244.1.7:8080/healthz\": dial tcp 10.244.1.7:8080: i/o timeout"],
    ),
    sample(
        "P21",
        Thread("istio/ztunnel#1229"),
        &[
            "error access connection complete src.workload=\"shell-56bd5dbdbf-gz6cq\" error=\"connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: deadline has elapsed\"",
        ],
    ),
    sample(
        "P22",
        Thread("istio/istio#55979"),
        &[
            "level=error msg=\"Unable to aggregate info: lookup _headless._tcp.reportportal-api.reportportal.svc. on 172.21.0.10:53: no such host\"",
        ],
    ),
    sample("P22", Thread("istio/istio#55962"), &["All UPDATE operations return a NOTIMP."]),
    sample(
        "P23",
        Upstream("golang/go src/net/http/transport.go"),
        &["failed to do request: Head \"https://r/v2/\": net/http: TLS handshake timeout"],
    ),
    sample("P24", Upstream("torvalds/linux ENOEXEC"), &["exec /usr/local/bin/entrypoint: exec format error"]),
    sample(
        "P24",
        Upstream("containerd/containerd core/images/image.go"),
        &["failed to pull and unpack image \"docker.io/a/b:1\": no match for platform in manifest sha256:70ea: not found"],
    ),
    sample("P25", Upstream("jemalloc/jemalloc src/pages.c"), &["<jemalloc>: Unsupported system page size"]),
    sample("P26", Thread("kubernetes-retired/dashboard#4943"), &["no endpoints available for service \"https:kubernetes-dashboard:\""]),
    sample(
        "P26",
        Upstream("kubernetes/kubernetes pkg/registry/core/service/storage/storage.go"),
        &["HTTP 503 {\"message\":\"no service port \\\"web\\\" found for service \\\"kubernetes-dashboard\\\"\"}"],
    ),
    sample("P27", Seen, &["the Dashboard through the proxy gives HTTP 403 Forbidden"]),
    sample("P27", Upstream("kubernetes/kubectl pkg/proxy/proxy_server.go"), &["Filter rejecting GET /api/v1/nodes dashboard.example.com"]),
    sample("P28", Seen, &["the Dashboard refuses the token: MSG_LOGIN_UNAUTHORIZED_ERROR"]),
    sample(
        "P29",
        Thread("kubernetes-sigs/gateway-api#4156"),
        &[
            "The CustomResourceDefinition \"httproutes.gateway.networking.k8s.io\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes",
        ],
    ),
    sample("P29", Thread("nginx/nginx-gateway-fabric#3796"), &["metadata.annotations: Too long: must have at most 262144 bytes"]),
    sample("P30", Seen, &["denied request: Installing CRDs with version before v1.5.0 is prohibited by default"]),
    sample(
        "P30",
        Upstream("kubernetes-sigs/gateway-api config/crd"),
        &[
            "denied request: Installing experimental CRDs on top of standard channel CRDs is prohibited by default. Uninstall ValidatingAdmissionPolicy safe-upgrades.gateway.networking.k8s.io",
        ],
    ),
    sample(
        "P31",
        Own("src/outcomes/gateway_api.rs"),
        &[
            "the GatewayClasses are Accepted: not within 60 s; last seen: GatewayClass istio does not exist",
            "GatewayClass istio does not exist",
        ],
    ),
    sample(
        "P32",
        Upstream("kubernetes-sigs/kind pkg/cluster/internal/create/create.go"),
        &["ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"istio-cluster\""],
    ),
    sample(
        "P33",
        Upstream("opencontainers/runc libcontainer/process_linux.go"),
        &["OCI runtime exec failed: exec failed: error adding pid 1710 to cgroups: failed to write 1710"],
    ),
    sample(
        "P33",
        Upstream("kubernetes-sigs/kind site/content/docs/user/known-issues.md"),
        &["stat failed on /dev/nvme0n1p3 with error: no such file or directory"],
    ),
    sample("P33", Upstream("systemd/systemd src/systemctl"), &["Couldn't find an alternative telinit implementation to spawn."]),
    sample(
        "P34",
        Upstream("istio/istio release/downloadIstioCandidate.sh"),
        &["Unable to get latest Istio version. Set ISTIO_VERSION env var and re-run. For example: export ISTIO_VERSION=1.0.4"],
    ),
    sample(
        "P35",
        Upstream("istio/istio samples/bookinfo/platform/kube/bookinfo.yaml"),
        &[
            "pod default/details-v1-x on istio-cluster-worker: container details: ErrImagePull: image registry.istio.io/release/examples-bookinfo-details-v1:1.20.3: failed to do request: Head \"https://registry.istio.io/v2/release/examples-bookinfo-details-v1/manifests/1.20.3\": dial tcp: lookup registry.istio.io on 172.18.0.1:53: no such host",
        ],
    ),
    sample(
        "image-not-found",
        Seen,
        &[
            "pod kubernetes-dashboard/kubernetes-dashboard-x on istio-cluster-worker: container kubernetes-dashboard: ErrImagePull: image docker.io/kubernetesui/dashboard:v2.7.0: rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/kubernetesui/dashboard:v2.7.0\": docker.io/kubernetesui/dashboard:v2.7.0: not found",
        ],
    ),
    sample(
        "image-denied",
        Seen,
        &[
            "pod a/b on n: container c: ErrImagePull: image docker.io/a/b:1: pull access denied, repository does not exist or may require authorization",
        ],
    ),
    sample(
        "registry-unavailable",
        Seen,
        &["unexpected status from HEAD request to http://mirror:5000/v2/a/manifests/1?ns=docker.io: 503 Service Unavailable"],
    ),
    sample(
        "registry-unreachable",
        Seen,
        &[
            "failed to do request: Head \"http://mirror:5000/v2/a/manifests/1?ns=docker.io\": dial tcp 172.18.0.2:5000: connect: connection refused",
        ],
    ),
    sample("node-missing", Own("src/outcomes/cluster.rs"), &["node istio-cluster-worker has no container"]),
    sample("node-stopped", Own("src/outcomes/cluster.rs"), &["node istio-cluster-worker: its container is exited"]),
    sample(
        "node-silent",
        Own("src/outcomes/environment.rs"),
        &["the kubelet of node istio-cluster-worker does not answer: no route to host"],
    ),
    sample(
        "crash-loop",
        Own("src/wait/terminal.rs"),
        &["pod istio-system/ztunnel-x on n1: container istio-proxy: CrashLoopBackOff: 4 restarts"],
    ),
    sample("container-runtime", Seen, &["node n is not Ready: container runtime network not ready: cni plugin not initialized"]),
    sample("other-context", Own("src/outcomes/cluster.rs"), &["the current context is `elsewhere`, not `kind-istio-cluster`"]),
    sample(
        "node-role",
        Own("src/outcomes/cluster.rs"),
        &[
            "the API server has {\"istio-cluster-control-plane\": \"worker\"}, the spec wants {\"istio-cluster-control-plane\": \"control-plane\"}",
        ],
    ),
    sample("no-replicas", Own("src/wait/conditions.rs"), &["Deployment coredns: 0 of 0 available, 0 updated, 0 in all"]),
    sample("no-node-fits", Own("src/outcomes/istio.rs"), &["ztunnel can be scheduled to no node"]),
    sample(
        "hosts-toml-changed",
        Own("src/outcomes/cluster.rs"),
        &["/etc/containerd/certs.d/docker.io/hosts.toml on istio-cluster-worker is not what the spec says"],
    ),
    sample("file-mode", Own("src/outcomes/files.rs"), &["others may use kubeconfig: its mode is 0644"]),
    sample("secret-in-file", Own("src/outcomes/files.rs"), &["runs/a/journal.jsonl holds a token or a private key"]),
    sample(
        "pod-began-anew",
        Own("src/outcomes/stable.rs"),
        &["the pods of istio-system stay as they are: true for 0 s and then no more: pod istiod-x is gone"],
    ),
    sample("user-gone", Own("src/outcomes/dashboard.rs"), &["ServiceAccount kubernetes-dashboard/admin-user does not exist"]),
    sample("binding-gone", Own("src/outcomes/dashboard.rs"), &["ClusterRoleBinding admin-user does not exist"]),
    sample(
        "other-token",
        Own("src/outcomes/dashboard.rs"),
        &[
            "the token is for \"system:serviceaccount:kubernetes-dashboard:default\", not system:serviceaccount:kubernetes-dashboard:admin-user",
        ],
    ),
    sample("token-for-ever", Own("src/outcomes/dashboard.rs"), &["Secrets hold tokens of admin-user that never expire: old"]),
    sample("believes", Own("src/outcomes/dashboard.rs"), &["an expired token is not refused: {}"]),
    sample("rights-for-nobody", Own("src/outcomes/dashboard.rs"), &["the account default, which has no rights, sees the nodes [\"a\"]"]),
    sample("proxy-open", Own("src/outcomes/kubectl_proxy.rs"), &["`kubectl proxy` listens on 0.0.0.0:8001, which others reach"]),
    sample("other-istioctl", Own("src/outcomes/istioctl.rs"), &["istioctl says its version is Some(\"1.0.0\"), the spec wants 1.27.1"]),
    sample("other-istio", Own("src/outcomes/istioctl.rs"), &["the data plane is [(\"1.0.0\", 2)], not 1.27.1"]),
    sample("istio-was-there", Own("src/outcomes/istioctl.rs"), &["`istioctl version` already found Istio: client version: 1.27.1"]),
    sample("install-incomplete", Own("src/outcomes/istio.rs"), &["the line `Ztunnel installed` was not printed"]),
    sample("crd-gone", Own("src/outcomes/gateway_api.rs"), &["CRD grpcroutes.gateway.networking.k8s.io does not exist"]),
    sample(
        "other-bundle",
        Own("src/outcomes/gateway_api.rs"),
        &["CRD grpcroutes.gateway.networking.k8s.io is of the bundle v0.0.1 standard, not v1.3.0 standard"],
    ),
];

/// What a healthy environment says, and what only sounds bad.
pub(super) const HEALTHY: &[&str] = &[
    "all is well",
    "Metric client health check failed: the server could not find the requested resource. Retrying in 30 seconds.",
    "Image is up to date for sha256:1111111111111111111111111111111111111111111111111111111111111111",
    "kubernetes-dashboard-b7ffbc8cb-zl8zg 1/1 Running 0 istio-cluster-worker",
    "istio-cluster-worker: {\"HTTPS_PROXY\":\"http://172.17.0.1:7890\",\"HTTP_PROXY\":\"http://172.17.0.1:7890\",\"NO_PROXY\":\"localhost,10.96.0.0/12\"}",
    "istio-cluster-worker: {\"connects\":2,\"target\":\"proxied.invalid:443\"}",
    "server = \"https://registry-1.docker.io\"",
    "[host.\"https://registry-1.docker.io\".proxy]",
    "✔ Istio core installed ⛵️",
    "- Processing resources for Ztunnel. Waiting for DaemonSet/istio-system/ztunnel",
    "info access connection complete src.workload=\"sleep\" dst.hbone_addr=10.244.1.8:80 direction=\"outbound\" bytes_sent=83 duration=\"4ms\"",
    "Istio is not present in the cluster: no running Istio pods in namespace \"istio-system\"",
    "Starting to serve on 127.0.0.1:8001",
    "Successful initial request to the apiserver, version: v1.33.4",
    "time=\"2026-01-01T00:00:00Z\" level=info msg=\"containerd successfully booted in 0.05s\"",
    "fs.inotify.max_user_instances = 512",
    "GatewayClass istio is Accepted",
    "CRD gateways.gateway.networking.k8s.io is of the bundle v1.3.0 standard",
];
