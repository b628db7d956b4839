//! A whole cluster, used as any client would: API server, controllers, kubelets, machines, and the network that images come over.

#![allow(clippy::unwrap_used, missing_docs)]

mod faults;
mod images;
mod lifetime;
mod machines;
mod start;
mod workloads;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sim::cluster::MachineSettings;
use sim::net::Network;
use sim::net::authority::Authority;
use sim::node::ContainerdVersion;
use sim::oci::{Config, Images, Registry};
use sim::workload::{Instance, Process, Request, Start, Unreachable, Workload, Workloads};
use sim::{Clock, Cluster, Settings};
use tokio::sync::watch;

pub(crate) const CONTROL_PLANE: &str = "sim-control-plane";
pub(crate) const WORKER: &str = "sim-worker";
const HUB: &str = "registry-1.docker.io";

/// Answers on port 8080 with the image that it runs from and the path that it was asked for.
struct Web;

struct Serving {
    process: watch::Sender<Process>,
    image: String,
}

impl Workload for Web {
    fn start(&self, start: Start) -> std::sync::Arc<dyn Instance> {
        let image = start.pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        start.log.line(start.api.clock().now(), format!("serving {image}"));
        start.log.line(start.api.clock().now(), "ready");
        std::sync::Arc::new(Serving { process: watch::Sender::new(Process::Running), image })
    }
}

impl Instance for Serving {
    fn process(&self) -> watch::Receiver<Process> {
        self.process.subscribe()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>> {
        let answer = match request.port {
            8080 => Ok(http::Response::new(Bytes::from(format!("{} {}", self.image, request.path)))),
            _ => Err(Unreachable::Refused),
        };
        Box::pin(std::future::ready(answer))
    }

    fn stop(&self) {
        self.process.send_replace(Process::Exited { code: 0, reason: "Completed".to_owned() });
    }
}

/// Waits for something that takes no longer than a test may.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it takes no longer than this")
}

/// What a machine of a name, role and address is made from.
pub(crate) fn machine(name: &str, role: &str, address: &str) -> MachineSettings {
    MachineSettings {
        name: name.to_owned(),
        role: role.to_owned(),
        address: address.to_owned(),
        config_patches: Vec::new(),
        mounts: Vec::new(),
        static_pods: Vec::new(),
    }
}

/// The registry that stands in for Docker Hub, and the network on which it is all that exists.
pub(crate) struct Hub {
    pub(crate) registry: Registry,
    pub(crate) network: Network,
    authority: Authority,
}

impl Hub {
    pub(crate) async fn new() -> Self {
        let authority = Authority::new("hub");
        let mut images = Images::default();
        for tag in ["1", "2", "latest"] {
            images.add("library/web", tag, &Config::default(), 1 << 20);
        }
        let registry = Registry::start_tls(images, authority.server(&[HUB])).await.unwrap();
        let network = Network::closed();
        network.map(&format!("{HUB}:443"), registry.address());
        network.patience(Duration::from_millis(200));
        Self { registry, network, authority }
    }

    /// A control plane and a worker.
    pub(crate) fn settings(&self) -> Settings {
        let mut workloads = Workloads::default();
        workloads.add("docker.io/library/web", Web);
        Settings {
            name: "sim".to_owned(),
            version: "v1.33.4".to_owned(),
            containerd: ContainerdVersion(2, 1, 4),
            machines: vec![machine(CONTROL_PLANE, "control-plane", "172.18.0.2"), machine(WORKER, "worker", "172.18.0.3")],
            objects: Vec::new(),
            preloaded: Vec::new(),
            workloads,
            network: self.network.clone(),
            registries: vec![self.registry.clone()],
            roots: self.authority.roots(),
            clock: Clock::default(),
            stages: None,
            port: 0,
        }
    }
}

/// A cluster of two machines and its administrator's client.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) cluster: Cluster,
    pub(crate) hub: Hub,
}

/// The administrator's client.
pub(crate) async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    // What the server answers first is what is asked for here.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Status and body of any request.
pub(crate) async fn ask(client: &Client, method: &str, path: &str, body: &str) -> (u16, Value) {
    use http_body_util::BodyExt;
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = soon(client.send(request.body(kube::client::Body::from(body.as_bytes().to_vec())).unwrap())).await.unwrap();
    let status = response.status().as_u16();
    let bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned())))
}

impl World {
    pub(crate) async fn new() -> Self {
        let hub = Hub::new().await;
        let settings = hub.settings();
        Self::of(hub, settings).await
    }

    pub(crate) async fn of(hub: Hub, settings: Settings) -> Self {
        let cluster = Cluster::start(settings).await.unwrap();
        let world = Self { client: client(&cluster).await, cluster, hub };
        for name in world.cluster.machines().keys() {
            world.node(name, ready_is("True")).await;
        }
        world
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&self.client, method, path, &body).await
    }

    /// Asks for something that works.
    pub(crate) async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub(crate) async fn skip(&self, time: Duration) {
        self.done("POST", "/sim/clock", &json!({"skipMilliseconds": u64::try_from(time.as_millis()).unwrap()})).await;
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) async fn create<K>(&self, value: Value) -> K
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + serde::Serialize
            + DeserializeOwned,
    {
        soon(self.api::<K>().create(&PostParams::default(), &serde_json::from_value(value).unwrap())).await.unwrap()
    }

    pub(crate) async fn node(&self, name: &str, is: impl Condition<Node>) -> Node {
        self.until(Api::all(self.client.clone()), name, is).await.unwrap()
    }

    pub(crate) async fn pod(&self, name: &str, is: impl Condition<Pod>) -> Option<Pod> {
        self.until(self.api(), name, is).await
    }

    pub(crate) async fn deployment(&self, name: &str, replicas: i32) -> Deployment {
        self.until(self.api::<Deployment>(), name, rolled_out(replicas)).await.unwrap()
    }

    /// Waits until an object is as it should be, and shows it if it never is.
    pub(crate) async fn until<K>(&self, api: Api<K>, name: &str, is: impl Condition<K>) -> Option<K>
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + serde::Serialize + 'static,
    {
        let waited = tokio::time::timeout(Duration::from_secs(30), await_condition(api.clone(), name, is)).await;
        let Ok(found) = waited else {
            panic!("{name} is still {}", serde_json::to_string_pretty(&api.get_opt(name).await.unwrap()).unwrap());
        };
        found.unwrap()
    }

    /// Waits until something holds of all objects of a resource.
    pub(crate) async fn all(&self, resource: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let store = self.cluster.api().store();
        let mut news = store.subscribe(resource);
        soon(async {
            loop {
                news.mark_unchanged();
                let all: Vec<Value> = store.list(resource, "").1.iter().map(|o| o.value()).collect();
                if holds(&all) {
                    return all;
                }
                news.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits for an event.
    pub(crate) async fn event(&self, reason: &str, message: &str) {
        self.all("events", |all| all.iter().any(|e| e["reason"] == reason && e["message"].as_str().unwrap_or_default().contains(message)))
            .await;
    }
}

/// `status` of the condition `Ready` of a node.
pub(crate) fn ready_is(wanted: &'static str) -> impl Condition<Node> {
    move |node: Option<&Node>| {
        let conditions = node.and_then(|n| n.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == wanted)
    }
}

/// `status` of the condition `Ready` of a pod.
pub(crate) fn pod_ready(wanted: &'static str) -> impl Condition<Pod> {
    move |pod: Option<&Pod>| {
        let conditions = pod.and_then(|p| p.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == wanted)
    }
}

/// Reason and message with which a pod's first container waits.
pub(crate) fn waiting(pod: &Pod) -> Option<(String, String)> {
    let state = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.waiting.as_ref()?;
    Some((state.reason.clone()?, state.message.clone().unwrap_or_default()))
}

pub(crate) fn waits_for(reason: &'static str) -> impl Condition<Pod> {
    move |pod: Option<&Pod>| pod.and_then(waiting).is_some_and(|(r, _)| r == reason)
}

/// As `kubectl rollout status` sees it, and nothing old is left.
pub(crate) fn rolled_out(replicas: i32) -> impl Condition<Deployment> {
    move |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|d| d.status.as_ref());
        status.is_some_and(|s| {
            let counts = [s.replicas, s.updated_replicas, s.available_replicas];
            s.observed_generation == deployment.and_then(|d| d.metadata.generation) && counts.iter().all(|c| c.unwrap_or(0) == replicas)
        })
    }
}

/// A pod of one container.
pub(crate) fn pod(name: &str, image: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}})
}

/// A Deployment of the program that answers.
pub(crate) fn web(name: &str, replicas: i32) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "main", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                }]},
            },
        },
    })
}

/// A Service in front of it.
pub(crate) fn service(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})
}
