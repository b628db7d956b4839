//! Containers of our own, and the addresses of a cluster's nodes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures::StreamExt;

use super::network::KIND_NETWORK;
use super::{CLUSTER_LABEL, Engine, EngineError, NETWORK_LABEL};

/// A container that runs a program of this machine on the nodes' network. It publishes no port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostContainer {
    /// Name, by which nodes find it.
    pub name: String,
    /// Image whose files and libraries the program finds around it.
    pub image: String,
    /// Session id, for its label.
    pub session: String,
    /// The program, by its path inside.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub variables: Vec<(String, String)>,
    /// What it sees of this machine: path here, path inside, and whether it may only read.
    pub binds: BTreeMap<PathBuf, (PathBuf, bool)>,
}

impl Engine {
    /// The nodes of a kind cluster by their addresses on the engine's networks.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn addresses(&self, cluster: &str) -> Result<HashMap<IpAddr, String>, EngineError> {
        let filters = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={cluster}")])]);
        let options = ListContainersOptionsBuilder::default().filters(&filters).build();
        let containers = self.docker.list_containers(Some(options)).await.map_err(EngineError::request("list containers"))?;
        let mut found = HashMap::new();
        for container in containers {
            let name = container.names.unwrap_or_default().first().map(|n| n.trim_start_matches('/').to_owned()).unwrap_or_default();
            let networks = container.network_settings.and_then(|s| s.networks).unwrap_or_default();
            for endpoint in networks.into_values() {
                let addresses = [endpoint.ip_address, endpoint.global_ipv6_address].into_iter().flatten();
                found.extend(addresses.filter_map(|a| Some((a.parse().ok()?, name.clone()))));
            }
        }
        Ok(found)
    }

    /// Whether a container runs; one that is not there does not.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn is_running(&self, container: &str) -> Result<bool, EngineError> {
        let found = self.docker.inspect_container(container, None::<InspectContainerOptions>).await;
        match found.map_err(EngineError::request(format!("inspect container {container}"))) {
            Ok(found) => Ok(found.state.and_then(|s| s.running).unwrap_or(false)),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes a container if, and only if, it carries this session's label. Says whether it did.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn remove_own_container(&self, name: &str, session: &str) -> Result<bool, EngineError> {
        let found = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let label = match found.map_err(EngineError::request(format!("inspect container {name}"))) {
            Ok(found) => found.config.and_then(|c| c.labels).unwrap_or_default().remove(NETWORK_LABEL),
            Err(e) if e.is_not_found() => return Ok(false),
            Err(e) => return Err(e),
        };
        if label.as_deref() != Some(session) {
            return Ok(false);
        }
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.docker.remove_container(name, Some(options)).await.map_err(EngineError::request(format!("remove container {name}")))?;
        Ok(true)
    }

    /// Pulls an image, as the engine's own mirrors and credentials have it.
    ///
    /// # Errors
    /// When it cannot be pulled.
    pub async fn pull(&self, image: &str) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::default().from_image(image).build();
        let mut progress = self.docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            step.map_err(EngineError::request(format!("pull image {image}")))?;
        }
        Ok(())
    }

    /// Makes and starts a container on the nodes' network.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn run_on_kind_network(&self, container: &HostContainer) -> Result<(), EngineError> {
        let name = container.name.as_str();
        let bind = |(here, (inside, read_only)): (&PathBuf, &(PathBuf, bool))| {
            format!("{}:{}:{}", here.display(), inside.display(), if *read_only { "ro" } else { "rw" })
        };
        let body = ContainerCreateBody {
            image: Some(container.image.clone()),
            entrypoint: Some(vec![container.program.clone()]),
            cmd: Some(container.args.clone()),
            env: Some(container.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(HashMap::from([(NETWORK_LABEL.to_owned(), container.session.clone())])),
            host_config: Some(HostConfig {
                binds: Some(container.binds.iter().map(bind).collect()),
                network_mode: Some(KIND_NETWORK.to_owned()),
                // It comes back with the engine, as the nodes do.
                restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), maximum_retry_count: None }),
                init: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        self.docker.create_container(Some(options), body).await.map_err(EngineError::request(format!("create container {name}")))?;
        let started = self.docker.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(EngineError::request(format!("start container {name}")))
    }
}
