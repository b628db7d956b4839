//! Causes that are made for real, on nodes that read their files and pull over HTTP, on an API server, and in the environments that outcomes
//! judge: what these say leads to the rule. What cannot be made here has only the samples, and the last test counts which that is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use sim::cluster::MachineSettings;
use sim::net::authority::Authority;
use sim::net::{Network, Proxy, ProxyFault};
use sim::node::{ContainerdVersion, Node, NodeSettings};
use sim::oci::{Config, Fault, Images, Misbehaviour, Registry};
use sim::workload::Workloads;
use sim::{Clock, Cluster, Settings};

use super::*;
use crate::outcomes::{builtin, judge};
use crate::stages::StageError;
use crate::testing::api::Reply;
use crate::testing::drive;
use crate::testing::environment::World;
use crate::testing::guide::WORKER as GUIDE_WORKER;
use crate::wait::terminal::pod_trouble;

const HOSTS: &str = "/etc/containerd/certs.d/docker.io/hosts.toml";
const CONFIG_PATH: &str = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";
const MIRROR: &str =
    "server = \"http://lab-registry:5000\"\n[host.\"http://lab-registry:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
const BUSYBOX: &str = "docker.io/library/busybox:latest";
const PROXY: &str = "http://172.17.0.1:7890";

type Break = fn(&World);
type Cause = fn() -> BoxFuture<'static, Vec<String>>;

macro_rules! causes {
    ($($rule:literal => $cause:path,)*) => { &[$(($rule, || Box::pin($cause()) as BoxFuture<'static, Vec<String>>),)*] };
}

/// Rules with what makes their cause and returns what was said.
const INJECTED: &[(&str, Cause)] = causes! {
    "P1" => dead_proxy,
    "P2" => drop_in_on_one_node,
    "P3" => proxy_wants_credentials,
    "P4" => mirror_through_the_proxy,
    "P5" => no_way_to_the_registry,
    "P6" => proxy_in_hosts_toml,
    "P7" => no_config_path,
    "P8" => mirrors_beside_config_path,
    "P9" => rate_limit,
    "P19" => too_large_a_pod,
    "P23" => silent_handshake,
    "P24" => other_platform,
    "P26" => service_without_pods,
    "P29" => annotation_too_long,
    "P35" => bookinfo,
    "image-not-found" => image_that_nobody_has,
    "image-denied" => private_image,
    "registry-unavailable" => ill_registry,
    "registry-unreachable" => dead_registry,
};

#[tokio::test]
async fn a_cause_that_is_made_is_named() {
    let made = join_all(INJECTED.iter().map(|(rule, cause)| async move { (*rule, cause().await) })).await;
    let mut wrong = String::new();
    for (rule, lines) in made {
        let found = diagnose(lines.iter().map(String::as_str));
        if names(&found) != [rule] {
            wrong += &format!("{rule}: {:?}\n  {}\n", names(&found), lines.join("\n  "));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What breaks an environment, the outcome that notices, and the rule that its evidence leads to.
const JUDGED: &[(&str, &str, Break)] = &[
    ("P2", "cluster.proxy.every-node", |w| w.nodes.file(GUIDE_WORKER, "/proc/123/environ", "PATH=/bin\0")),
    ("P7", "cluster.mirror.config-path", |w| w.config_path(GUIDE_WORKER, "")),
    ("P28", "dashboard.login.accepted", |w| {
        let refusal = json!({"jweToken": "", "errors": [{"ErrStatus": {"message": "MSG_LOGIN_UNAUTHORIZED_ERROR", "code": 401}}]});
        let login = "POST /api/v1/namespaces/kubernetes-dashboard/services/https:kubernetes-dashboard:/proxy/api/v1/login";
        w.api.always(login, Reply::Json(200, refusal));
    }),
    ("P31", "gateway-api.classes.accepted", |w| w.api.remove("/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio")),
    ("node-missing", "cluster.kind.nodes", |w| w.nodes.machines_mut(|m| m.retain(|m| m.name != GUIDE_WORKER))),
    ("node-stopped", "cluster.kind.nodes", |w| w.nodes.take_down(GUIDE_WORKER)),
    ("other-bundle", "gateway-api.crds.bundle", |w| {
        let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.gateway.networking.k8s.io";
        w.api.edit(crd, |c| c["metadata"]["annotations"]["gateway.networking.k8s.io/channel"] = json!("experimental"));
    }),
];

#[tokio::test]
async fn an_outcome_that_fails_leads_to_its_cause() {
    for (rule, id, breaks) in JUDGED {
        let world = World::healthy();
        breaks(&world);
        let environment = world.open().await;
        let outcome = builtin().into_iter().find(|o| o.id == *id).unwrap_or_else(|| panic!("there is no outcome {id}"));
        let judged = drive(&world.clock, judge(&outcome, &environment)).await;
        assert_eq!(names(&judged.diagnoses).first(), Some(rule), "{id}: {judged:#?}");
    }
}

/// Nobody drops an injection silently, and what is only quoted is known to be.
#[test]
fn what_is_only_quoted_is_counted() {
    let made: BTreeSet<&str> = INJECTED.iter().map(|(rule, _)| *rule).chain(JUDGED.iter().map(|(rule, ..)| *rule)).collect();
    // What a fault makes is proved with it.
    let faults: BTreeSet<&str> = crate::faults::builtin().iter().filter_map(|f| f.diagnosed).collect();
    let quoted: Vec<&str> = rules().map(|r| r.id).filter(|id| !made.contains(id) && !faults.contains(id)).collect();
    let expected = [
        // They need a host with a fault of its own: kind, a kernel, an architecture, a tool or a network that nothing here has.
        "P11",
        "P10",
        "P12",
        "P14",
        "P13",
        "P16",
        "P25",
        "P32",
        "P33",
        "P34",
        // They need a data plane or a policy engine.
        "P15",
        "P22",
        "P18",
        "P21",
        "P20",
        "P30",
        "P17",
        // Other tests make these: of a node without a network and of containers that end.
        "crash-loop",
        "container-runtime",
    ];
    assert_eq!(quoted, expected, "{} of {} rules are made, the others are quoted", rules().count() - quoted.len(), rules().count());
}

/// Docker Hub, a mirror without TLS and a proxy. Nodes only reach what `network` has; the proxy sees `outside`.
struct Lab {
    network: Network,
    outside: Network,
    authority: Authority,
    hub: Registry,
    mirror: Registry,
    proxy: Proxy,
}

impl Lab {
    async fn new() -> Self {
        let (network, outside, authority) = (Network::closed(), Network::closed(), Authority::new("lab"));
        network.patience(Duration::from_millis(200));
        let mut images = Images::default();
        images.add("library/busybox", "latest", &Config::default(), 4_000_000);
        images.add_index("other/platform", "1", &[Config { architecture: "s390x".to_owned(), ..Config::default() }], 1);
        let hub = Registry::start_tls(images.clone(), authority.server(&["registry-1.docker.io"])).await.unwrap();
        let mirror = Registry::start(images).await.unwrap();
        let proxy = Proxy::start(&outside).await.unwrap();
        network.map("172.17.0.1:7890", proxy.address());
        network.map("lab-registry:5000", mirror.address());
        outside.map("registry-1.docker.io:443", hub.address());
        Self { network, outside, authority, hub, mirror, proxy }
    }

    /// The same, where nodes reach Docker Hub without a proxy.
    async fn open() -> Self {
        let lab = Self::new().await;
        lab.network.map("registry-1.docker.io:443", lab.hub.address());
        lab
    }

    fn node(&self, name: &str) -> Node {
        let now: sim::node::Now = Arc::new(|| jiff::Timestamp::from_second(1_760_000_000).unwrap());
        Node::new(NodeSettings::new(name, "worker", self.network.clone(), self.authority.roots(), now))
    }

    fn fault(&self, status: u16) {
        self.hub.fault(Fault { prefix: "/v2/".to_owned(), what: Misbehaviour::Status(status, None), times: None });
    }
}

async fn exec(node: &Node, command: &str) -> sim::node::Output {
    node.exec(&command.split(' ').collect::<Vec<_>>()).await
}

/// Gives a node's containerd a proxy, as the guide does.
async fn drop_in(node: &Node, proxy: &str) {
    let no_proxy = "localhost,127.0.0.1,10.96.0.0/12,10.244.0.0/16,172.18.0.0/16,*.svc";
    let text = format!(
        "[Service]\nEnvironment=\"HTTP_PROXY={proxy}\"\nEnvironment=\"HTTPS_PROXY={proxy}\"\nEnvironment=\"NO_PROXY={no_proxy}\"\n"
    );
    node.write_file("/etc/systemd/system/containerd.service.d/http-proxy.conf", &text).unwrap();
    for command in ["systemctl daemon-reload", "systemctl restart containerd"] {
        assert_eq!(exec(node, command).await.code, 0);
    }
}

/// What the outcome of the pulls would say of one that fails.
async fn pull(node: &Node, image: &str) -> Vec<String> {
    let output = exec(node, &format!("crictl pull {image}")).await;
    let said = output.stderr.lines().last().unwrap_or_default().to_owned();
    assert_ne!(output.code, 0, "it should fail");
    vec![format!("crictl pull on {}: image {image}: {said}", node.name())]
}

/// The variables of a running containerd, as outcomes keep them.
async fn variables(node: &Node) -> String {
    let pid = exec(node, "systemctl show containerd -p MainPID --value").await.stdout;
    let environ = exec(node, &format!("cat /proc/{}/environ", pid.trim())).await.stdout;
    let pairs = environ.split('\0').filter_map(|p| p.split_once('=')).filter(|(name, value)| name.ends_with("_PROXY") && !value.is_empty());
    let proxies: Value = pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<serde_json::Map<_, _>>().into();
    format!("{}: {proxies}", node.name())
}

async fn dead_proxy() -> Vec<String> {
    let lab = Lab::new().await;
    let node = lab.node("n1");
    drop_in(&node, "http://127.0.0.1:7890").await;
    pull(&node, BUSYBOX).await
}

async fn drop_in_on_one_node() -> Vec<String> {
    let lab = Lab::new().await;
    let [first, second] = ["control-plane", "worker"].map(|name| lab.node(name));
    drop_in(&first, PROXY).await;
    assert_eq!(exec(&first, &format!("crictl pull {BUSYBOX}")).await.code, 0, "the proxy is the way out");
    let mut lines = pull(&second, BUSYBOX).await;
    lines.extend([variables(&first).await, variables(&second).await]);
    lines
}

async fn proxy_wants_credentials() -> Vec<String> {
    let lab = Lab::new().await;
    lab.proxy.fault(Some(ProxyFault::Authorization("Basic dTpw".to_owned())));
    let node = lab.node("n1");
    drop_in(&node, PROXY).await;
    pull(&node, BUSYBOX).await
}

async fn mirror_through_the_proxy() -> Vec<String> {
    let lab = Lab::new().await;
    // The proxy is elsewhere and does not see the mirror; with Docker Hub out of reach as well, the pull tells of the mirror.
    lab.outside.unmap("registry-1.docker.io:443");
    let node = lab.node("n1");
    node.patch_config(CONFIG_PATH).unwrap();
    node.write_file(HOSTS, MIRROR).unwrap();
    drop_in(&node, PROXY).await;
    let mut lines = pull(&node, BUSYBOX).await;
    assert!(lab.mirror.records().is_empty(), "the mirror itself was never asked");
    lines.push(variables(&node).await);
    lines
}

async fn no_way_to_the_registry() -> Vec<String> {
    let lab = Lab::new().await;
    pull(&lab.node("n1"), BUSYBOX).await
}

async fn proxy_in_hosts_toml() -> Vec<String> {
    let lab = Lab::new().await;
    let node = lab.node("n1");
    node.patch_config(CONFIG_PATH).unwrap();
    let hosts = format!(
        "server = \"https://registry-1.docker.io\"\n[host.\"https://registry-1.docker.io\"]\n  capabilities = [\"pull\", \"resolve\"]\n\
         \x20 [host.\"https://registry-1.docker.io\".proxy]\n    http = \"{PROXY}\"\n    https = \"{PROXY}\"\n"
    );
    node.write_file(HOSTS, &hosts).unwrap();
    let mut lines = pull(&node, BUSYBOX).await;
    assert!(lab.proxy.records().is_empty(), "no containerd asks it");
    lines.extend(String::from_utf8(node.read_file(HOSTS).unwrap()).unwrap().lines().map(str::to_owned));
    lines
}

async fn no_config_path() -> Vec<String> {
    let lab = Lab::new().await;
    let node = lab.node("n1");
    node.write_file(HOSTS, MIRROR).unwrap();
    let said = pull(&node, BUSYBOX).await.remove(0);
    assert!(lab.mirror.records().is_empty());
    vec![format!("image {BUSYBOX} on n1 (registry docker.io) did not come through the mirror: {said}")]
}

async fn mirrors_beside_config_path() -> Vec<String> {
    let lab = Lab::new().await;
    let node = lab.node("n1");
    node.patch_config(CONFIG_PATH).unwrap();
    node.patch_config("[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"http://m\"]").unwrap();
    let mut lines = pull(&node, BUSYBOX).await;
    lines.extend(node.journal_of("containerd"));
    lines
}

async fn rate_limit() -> Vec<String> {
    let lab = Lab::open().await;
    lab.fault(429);
    pull(&lab.node("n1"), BUSYBOX).await
}

async fn silent_handshake() -> Vec<String> {
    let lab = Lab::new().await;
    // Small packets arrive, and large ones vanish: the connection stands and the certificate never comes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.network.map("registry-1.docker.io:443", listener.local_addr().unwrap());
    pull(&lab.node("n1"), BUSYBOX).await
}

async fn other_platform() -> Vec<String> {
    let lab = Lab::open().await;
    pull(&lab.node("n1"), "docker.io/other/platform:1").await
}

async fn bookinfo() -> Vec<String> {
    let lab = Lab::open().await;
    let node = lab.node("n1");
    node.patch_config(CONFIG_PATH).unwrap();
    node.write_file(HOSTS, MIRROR).unwrap();
    assert_eq!(exec(&node, &format!("crictl pull {BUSYBOX}")).await.code, 0, "docker.io has a mirror");
    pull(&node, "registry.istio.io/release/examples-bookinfo-details-v1:1.20.3").await
}

async fn image_that_nobody_has() -> Vec<String> {
    let lab = Lab::open().await;
    pull(&lab.node("n1"), "docker.io/library/busybox:gone").await
}

async fn private_image() -> Vec<String> {
    let lab = Lab::open().await;
    lab.fault(403);
    pull(&lab.node("n1"), BUSYBOX).await
}

async fn ill_registry() -> Vec<String> {
    let lab = Lab::open().await;
    lab.fault(503);
    pull(&lab.node("n1"), BUSYBOX).await
}

async fn dead_registry() -> Vec<String> {
    let lab = Lab::open().await;
    let node = lab.node("n1");
    node.patch_config(CONFIG_PATH).unwrap();
    // Of this host only another port answers.
    node.write_file(HOSTS, &MIRROR.replace("5000", "5001")).unwrap();
    pull(&node, BUSYBOX).await
}

/// A cluster of one machine, and its administrator's client.
async fn cluster() -> (Cluster, kube::Client) {
    let machine = MachineSettings {
        name: "n1".to_owned(),
        role: "control-plane".to_owned(),
        address: "172.18.0.2".to_owned(),
        config_patches: Vec::new(),
        mounts: Vec::new(),
        static_pods: Vec::new(),
    };
    let settings = Settings {
        name: "diagnoses".to_owned(),
        version: "v1.33.4".to_owned(),
        containerd: ContainerdVersion(2, 1, 4),
        machines: vec![machine],
        objects: Vec::new(),
        preloaded: Vec::new(),
        workloads: Workloads::default(),
        network: Network::closed(),
        registries: Vec::new(),
        roots: Authority::new("lab").roots(),
        clock: Clock::default(),
        stages: None,
        port: 0,
    };
    let cluster = Cluster::start(settings).await.unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    config.default_retry = false;
    (cluster, kube::Client::try_from(config).unwrap())
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

async fn too_large_a_pod() -> Vec<String> {
    let (cluster, client) = cluster().await;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let resources = json!({"requests": {"memory": "64Gi"}});
    let pod =
        object(json!({"metadata": {"name": "istiod"}, "spec": {"containers": [{"name": "c", "image": "a", "resources": resources}]}}));
    let mut news = cluster.api().store().subscribe("pods");
    pods.create(&PostParams::default(), &pod).await.unwrap();
    loop {
        news.mark_unchanged();
        let says = pod_trouble(&pods.get("istiod").await.unwrap()).map(|trouble| trouble.status);
        // Until its node is ready, the pod waits for something else.
        if let Some(status) = says.filter(|status| status.contains("Insufficient")) {
            return vec![status];
        }
        news.changed().await.unwrap();
    }
}

async fn service_without_pods() -> Vec<String> {
    let (_cluster, client) = cluster().await;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let service = object(json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}));
    services.create(&PostParams::default(), &service).await.unwrap();
    let request = http::Request::get("/api/v1/namespaces/default/services/web/proxy/").body(Vec::new()).unwrap();
    vec![crate::error::one_line(&client.request_text(request).await.unwrap_err())]
}

async fn annotation_too_long() -> Vec<String> {
    let (_cluster, client) = cluster().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let last = json!({"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(262_145)});
    let map = object(json!({"metadata": {"name": "large", "annotations": last}}));
    let refused = maps.create(&PostParams::default(), &map).await.unwrap_err();
    crate::error::chain(&StageError::kube("apply ConfigMap large")(refused))
}
