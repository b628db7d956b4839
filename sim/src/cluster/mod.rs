//! A whole cluster: API server, controllers, nodes with their kubelets, and the network between them.

mod control;
mod machine;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use rustls::RootCertStore;
use serde_json::Value;

pub use control::Fault;
pub use machine::Machine;

use crate::api::{Api, Part, Write};
use crate::auth::pki::Pki;
use crate::clock::Clock;
use crate::controllers::{self, Controllers};
use crate::failure::Failure;
use crate::kubelet::{Kubelets, StageError, Stages};
use crate::net::Network;
use crate::node::{ContainerdVersion, Image, Node, NodeSettings};
use crate::oci::Registry;
use crate::server::{Listening, Nodes, Server};
use crate::workload::{Log, Request, Unreachable, Workloads};

/// A machine that the cluster is to have.
#[derive(Debug, Clone)]
pub struct MachineSettings {
    /// Name of the machine and of its node.
    pub name: String,
    /// `control-plane` or `worker`.
    pub role: String,
    /// Its address on the network of the nodes, for example `172.18.0.2`.
    pub address: String,
    /// Patches of containerd's configuration (TOML), applied before it starts.
    pub config_patches: Vec<String>,
    /// Directories of this machine that are mounted: from, to.
    pub mounts: Vec<(std::path::PathBuf, String)>,
    /// Pods that it runs by itself.
    pub static_pods: Vec<Value>,
}

/// What a cluster is made from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name; its kubeconfig calls everything `kind-<name>`, as kind does.
    pub name: String,
    /// Kubernetes version with `v`.
    pub version: String,
    /// containerd of every machine.
    pub containerd: ContainerdVersion,
    /// The machines; the control planes first.
    pub machines: Vec<MachineSettings>,
    /// Objects that are there from the beginning, in this order; those that exist already are left alone.
    pub objects: Vec<Value>,
    /// Images that every machine has from the beginning.
    pub preloaded: Vec<Image>,
    /// What runs in containers.
    pub workloads: Workloads,
    /// The network that the machines pull through.
    pub network: Network,
    /// The registries on it that faults may concern.
    pub registries: Vec<Registry>,
    /// Authorities that containerd trusts, besides the cluster's own.
    pub roots: RootCertStore,
    /// Its time.
    pub clock: Clock,
    /// What kubelets do; `None` for the usual.
    pub stages: Option<String>,
    /// Port of the API server; 0 for a free one.
    pub port: u16,
}

/// Errors of starting a cluster.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port of the API server cannot be had.
    #[error("cannot listen")]
    Listen(#[from] std::io::Error),
    /// An object of the beginning was refused.
    #[error("cannot create {kind} {name}")]
    Object {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: Failure,
    },
    /// The stages of the kubelets cannot be read.
    #[error("cannot read the kubelets' stages")]
    Stages(#[from] StageError),
    /// containerd's configuration cannot be patched.
    #[error("cannot configure containerd on {machine}: {why}")]
    Containerd {
        /// The machine.
        machine: String,
        /// Why.
        why: String,
    },
}

/// A running cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    api: Api,
    server: Server,
    listening: Listening,
    machines: Arc<BTreeMap<String, Machine>>,
    kubelets: Kubelets,
    network: Network,
    _controllers: Controllers,
}

impl Drop for Cluster {
    /// The network may be shared with clusters that come later.
    fn drop(&mut self) {
        self.network.unmap_all(self.listening.address());
    }
}

/// What the API server reaches of the nodes.
struct Reach(Kubelets);

impl Nodes for Reach {
    fn healthz(&self, node: &str) -> Result<(), String> {
        self.0.healthz(node)
    }

    fn log(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<Log> {
        self.0.instances().log(namespace, pod, container, previous)
    }

    fn answer<'a>(&'a self, address: &'a str, request: Request) -> BoxFuture<'a, Result<http::Response<Bytes>, Unreachable>> {
        Box::pin(async move { self.0.instances().answer(address, request).await })
    }
}

impl Cluster {
    /// Starts a cluster on the current tokio runtime. When this returns its API server answers; its nodes come up by themselves.
    ///
    /// # Errors
    /// When the port cannot be had or something of the settings cannot be used.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let names: Vec<&str> = settings.machines.iter().flat_map(|m| [m.name.as_str(), m.address.as_str()]).collect();
        let api = Api::new(Pki::new(&settings.name, &names), settings.clock.clone(), &settings.version);
        api.bootstrap().map_err(|source| StartError::Object { kind: String::new(), name: String::new(), source })?;
        let way = Arc::new(OnceLock::new());
        let stages = settings.stages.as_deref().map(Stages::parse).transpose()?.unwrap_or_default();
        let kubelets = Kubelets::new(api.clone(), settings.workloads.clone().reaching(Server::call(&way)), stages);
        let server = Server::new(api.clone(), Arc::new(Reach(kubelets.clone())));
        // It is set once, here.
        let _ = way.set(server.downgrade());
        let listening = server.listen(settings.port).await?;
        create_all(&api, &settings.objects)?;
        let pause = controllers::Pause::default();
        let ca_pem = api.pki().ca_pem();
        let controllers =
            controllers::start(&api, controllers::Settings { ca_pem, pause: pause.clone(), ..controllers::Settings::default() });
        let machines = Arc::new(machines(&settings, &api, &kubelets)?);
        for machine in settings.machines.iter().filter(|m| m.role == "control-plane") {
            settings.network.map(&format!("{}:6443", machine.name), listening.address());
        }
        let control = control::Panel::new(
            &api,
            &server,
            Arc::clone(&machines),
            kubelets.clone(),
            pause,
            settings.network.clone(),
            settings.registries,
        );
        server.set_control(Arc::new(control));
        Ok(Self { name: settings.name, api, server, listening, machines, kubelets, network: settings.network, _controllers: controllers })
    }

    /// Creates objects; those that exist already are left alone.
    ///
    /// # Errors
    /// When one of them is refused.
    pub fn create(&self, objects: &[Value]) -> Result<(), StartError> {
        create_all(&self.api, objects)
    }

    /// The API without HTTP.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The API server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Where the API server listens.
    #[must_use]
    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// The machines by name.
    #[must_use]
    pub fn machines(&self) -> &BTreeMap<String, Machine> {
        &self.machines
    }

    /// The kubelets.
    #[must_use]
    pub fn kubelets(&self) -> &Kubelets {
        &self.kubelets
    }

    /// A kubeconfig of the administrator, as kind writes it: cluster, user and context are all called `kind-<name>`.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let (certificate, key) = self.api.pki().client("kubernetes-admin", &["kubeadm:cluster-admins"]);
        self.api.pki().kubeconfig(&self.listening.url(), &format!("kind-{}", self.name), &certificate, &key)
    }
}

fn create_all(api: &Api, objects: &[Value]) -> Result<(), StartError> {
    for object in objects {
        match create(api, object) {
            Err(failure) if failure.reason == "AlreadyExists" => {}
            made => made.map_err(|source| StartError::Object {
                kind: object["kind"].as_str().unwrap_or_default().to_owned(),
                name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                source,
            })?,
        }
    }
    Ok(())
}

/// Creates any object by its kind, as a client would: a mistake in it is found here and not by whoever uses it later.
fn create(api: &Api, object: &Value) -> Result<(), Failure> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = api.registry().by_kind(group, &kind).ok_or_else(Failure::no_such_path)?;
    let namespace = if resource.namespaced { text(&object["metadata"]["namespace"]) } else { String::new() };
    api.create(&Write { version, ..Write::own(&resource, &namespace, "", Part::Main) }, object.clone())?;
    Ok(())
}

fn machines(settings: &Settings, api: &Api, kubelets: &Kubelets) -> Result<BTreeMap<String, Machine>, StartError> {
    let mut machines = BTreeMap::new();
    let mut roots = settings.roots.clone();
    roots.extend(api.pki().roots().roots);
    for wanted in &settings.machines {
        let clock = settings.clock.clone();
        let mut node =
            NodeSettings::new(&wanted.name, &wanted.role, settings.network.clone(), roots.clone(), Arc::new(move || clock.now()));
        node.containerd = settings.containerd;
        let node = Node::new(node);
        let failed = |why: String| StartError::Containerd { machine: wanted.name.clone(), why };
        for (from, to) in &wanted.mounts {
            node.mount(from, to);
        }
        for patch in &wanted.config_patches {
            node.patch_config(patch).map_err(failed)?;
        }
        if wanted.role == "control-plane" {
            // Where kubeadm keeps them.
            for (file, content) in api.pki().files() {
                node.write_file(&format!("/etc/kubernetes/pki/{file}"), &content).map_err(|e| failed(e.to_string()))?;
            }
        }
        for image in &settings.preloaded {
            node.preload(image.clone());
        }
        let only = settings.machines.len() == 1;
        let machine = Machine::new(node, &settings.version, &wanted.address, only);
        let kubelet = kubelets.add(&wanted.name, Arc::new(machine.clone()));
        for pod in &wanted.static_pods {
            kubelet.static_pod(pod.clone());
        }
        machines.insert(wanted.name.clone(), machine);
    }
    Ok(machines)
}
