//! The container engine through bollard: node containers, commands in them, the network of kind. Nothing else speaks to the engine.

mod containers;
pub mod endpoint;
mod images;
mod network;
mod workshop;

use std::collections::HashMap;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerSummaryStateEnum, MountPoint, SystemInfoCgroupVersionEnum};
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder, UploadToContainerOptionsBuilder};
use futures::StreamExt;
use jiff::Timestamp;

pub use containers::HostContainer;
pub use endpoint::Endpoint;
pub use network::{NETWORK_LABEL, NetworkState};
pub use workshop::{ImageCommand, Workshop};

/// The label that kind puts on its node containers, its value is the cluster's name. Source: kind `pkg/cluster/constants`.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// The role label of kind's node containers.
const ROLE_LABEL: &str = "io.x-k8s.kind.role";

/// An engine that does not begin to answer within this time does not answer at all.
const REQUEST_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// The same for what the engine answers only when it has taken, or made, a whole image.
const IMAGE_LIMIT: std::time::Duration = std::time::Duration::from_mins(30);

/// Errors of the container engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No engine answers.
    #[error("no container engine answers at {endpoint}")]
    Unreachable {
        /// Where, and who said so.
        endpoint: String,
        /// Why.
        source: bollard::errors::Error,
    },
    /// A request failed.
    #[error("the container engine cannot {operation}")]
    Request {
        /// What was asked for, for example `list containers`.
        operation: String,
        /// Why.
        source: bollard::errors::Error,
    },
    /// The engine took an archive and named no image.
    #[error("the container engine did not say what it loaded for {image}")]
    NoImage {
        /// The name that was meant.
        image: String,
    },
    /// A file for a container could not be packed.
    #[error("cannot pack {path} for a container")]
    Pack {
        /// Path inside the container.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl EngineError {
    fn request(operation: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Request { operation, source }
    }

    /// Whether the engine said that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Request { source: bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }, .. })
    }
}

/// What the engine says about its machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Engine version, for example `20.10.24`.
    pub version: String,
    /// Total memory in bytes, as containers see it.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u64,
    /// 1 or 2; 0 where the engine does not say.
    pub cgroup: u8,
    /// Kernel release.
    pub kernel: String,
}

/// A node container of a kind cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeContainer {
    /// Container name, which is the node's name.
    pub name: String,
    /// kind's word for its role: `control-plane`, `worker` or `external-load-balancer`.
    pub role: String,
    /// State in the engine's words: `running`, `exited`, `paused`, ….
    pub state: String,
    /// Sources of its bind mounts on the engine's machine, by their place in the container.
    pub binds: HashMap<String, String>,
    /// Names of its volumes. kind gives each node an anonymous one for `/var`.
    pub volumes: Vec<String>,
}

/// A command that ran in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code.
    pub code: i64,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A connection to the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    endpoint: Endpoint,
}

impl Engine {
    /// Connects and agrees on an API version.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`].
    pub async fn connect(endpoint: Endpoint) -> Result<Self, EngineError> {
        let unreachable = |source| EngineError::Unreachable { endpoint: format!("{} ({})", endpoint.url, endpoint.source), source };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that speaks to the engine")]
        let docker = Docker::connect_with_host(&endpoint.url).map_err(unreachable)?;
        let docker = docker.with_timeout(REQUEST_LIMIT).negotiate_version().await.map_err(unreachable)?;
        Ok(Self { docker, endpoint })
    }

    /// Whether the engine runs on this machine, so that its kernel's limits can be read here.
    #[must_use]
    pub fn is_local(&self) -> bool {
        cfg!(target_os = "linux") && self.endpoint.url.starts_with("unix://")
    }

    /// A connection for requests that move gigabytes.
    fn patient(&self) -> Docker {
        self.docker.clone().with_timeout(IMAGE_LIMIT)
    }

    /// What the engine says about its machine.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn machine(&self) -> Result<Machine, EngineError> {
        let info = self.docker.info().await.map_err(EngineError::request("describe its machine"))?;
        Ok(Machine {
            version: info.server_version.unwrap_or_default(),
            memory: info.mem_total.and_then(|m| u64::try_from(m).ok()).unwrap_or(0),
            cpus: info.ncpu.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            cgroup: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_1) => 1,
                Some(SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 0,
            },
            kernel: info.kernel_version.unwrap_or_default(),
        })
    }

    /// The node containers of a kind cluster, also stopped ones, in order of name.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn nodes(&self, cluster: &str) -> Result<Vec<NodeContainer>, EngineError> {
        let filters = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={cluster}")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.docker.list_containers(Some(options)).await.map_err(EngineError::request("list containers"))?;
        let mut nodes: Vec<NodeContainer> = containers
            .into_iter()
            .map(|c| {
                let (binds, volumes) = mounts(c.mounts.unwrap_or_default());
                NodeContainer {
                    name: c.names.unwrap_or_default().first().map(|n| n.trim_start_matches('/').to_owned()).unwrap_or_default(),
                    role: c.labels.unwrap_or_default().remove(ROLE_LABEL).unwrap_or_default(),
                    state: c.state.unwrap_or(ContainerSummaryStateEnum::EMPTY).to_string(),
                    binds,
                    volumes,
                }
            })
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// Whether any container, ours or not, has this name.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn container_exists(&self, name: &str) -> Result<bool, EngineError> {
        let found = self
            .docker
            .inspect_container(name, None::<bollard::query_parameters::InspectContainerOptions>)
            .await
            .map_err(EngineError::request(format!("inspect container {name}")));
        match found {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// When a container was last started; `None` where the engine does not say.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn started(&self, container: &str) -> Result<Option<Timestamp>, EngineError> {
        let found = self
            .docker
            .inspect_container(container, None::<bollard::query_parameters::InspectContainerOptions>)
            .await
            .map_err(EngineError::request(format!("inspect container {container}")))?;
        Ok(found.state.and_then(|s| s.started_at).and_then(|at| at.parse().ok()))
    }

    /// Everything that the engine knows about a container, as `docker inspect` shows it.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn describe(&self, container: &str) -> Result<serde_json::Value, EngineError> {
        let found = self
            .docker
            .inspect_container(container, None::<bollard::query_parameters::InspectContainerOptions>)
            .await
            .map_err(EngineError::request(format!("inspect container {container}")))?;
        // What the engine sent as JSON can be written as JSON.
        Ok(serde_json::to_value(found).unwrap_or_default())
    }

    /// Removes a volume unless a container has it. Says whether it did.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn remove_volume(&self, name: &str) -> Result<bool, EngineError> {
        let options = None::<bollard::query_parameters::RemoveVolumeOptions>;
        match self.docker.remove_volume(name, options).await {
            Ok(()) => Ok(true),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(false),
            Err(e) => Err(EngineError::request(format!("remove volume {name}"))(e)),
        }
    }

    /// Starts a stopped container, or lets a paused one go on.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn start(&self, container: &NodeContainer) -> Result<(), EngineError> {
        let name = &container.name;
        if container.state == "paused" {
            return self.docker.unpause_container(name).await.map_err(EngineError::request(format!("unpause container {name}")));
        }
        self.docker
            .start_container(name, None::<bollard::query_parameters::StartContainerOptions>)
            .await
            .map_err(EngineError::request(format!("start container {name}")))
    }

    /// Whether the engine has this image, so that nothing need be pulled.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn has_image(&self, reference: &str) -> Result<bool, EngineError> {
        match self.docker.inspect_image(reference).await.map_err(EngineError::request(format!("inspect image {reference}"))) {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Runs a command in a container and waits for its end.
    ///
    /// # Errors
    /// When the request fails; a command that ends with a code other than 0 is no error.
    pub async fn exec(&self, container: &str, argv: &[&str]) -> Result<ExecOutput, EngineError> {
        let operation = || format!("run {} in container {container}", argv.first().unwrap_or(&"nothing"));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(container, options).await.map_err(EngineError::request(operation()))?;
        let started = self.docker.start_exec(&exec.id, None).await.map_err(EngineError::request(operation()))?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                match chunk.map_err(EngineError::request(operation()))? {
                    LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                    other => stdout.extend_from_slice(&other.into_bytes()),
                }
            }
        }
        let ended = self.docker.inspect_exec(&exec.id).await.map_err(EngineError::request(operation()))?;
        Ok(ExecOutput {
            code: ended.exit_code.unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// The last lines that a container wrote: for a node, what systemd said while it booted.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn log_tail(&self, container: &str, lines: usize) -> Result<Vec<String>, EngineError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = self.docker.logs(container, Some(options));
        let mut text = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(EngineError::request(format!("read the log of container {container}")))?;
            text.extend_from_slice(&chunk.into_bytes());
        }
        Ok(String::from_utf8_lossy(&text).lines().map(|l| l.trim_end().to_owned()).collect())
    }

    /// Writes a file (0644) into a container; missing directories are made. The path must not lie on a tmpfs of the container.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn write_file(&self, container: &str, path: &str, content: &str) -> Result<(), EngineError> {
        let archive =
            pack(path.trim_start_matches('/'), content.as_bytes()).map_err(|source| EngineError::Pack { path: path.to_owned(), source })?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        self.docker
            .upload_to_container(container, Some(options), bollard::body_full(archive.into()))
            .await
            .map_err(EngineError::request(format!("write {path} into container {container}")))
    }
}

/// Bind sources by destination, and the names of volumes.
fn mounts(mounts: Vec<MountPoint>) -> (HashMap<String, String>, Vec<String>) {
    let (mut binds, mut volumes) = (HashMap::new(), Vec::new());
    for mount in mounts {
        match (mount.typ.as_deref(), mount.destination, mount.source, mount.name) {
            (Some("bind"), Some(destination), Some(source), _) => {
                binds.insert(destination, source);
            }
            (Some("volume"), _, _, Some(name)) => volumes.push(name),
            _ => {}
        }
    }
    (binds, volumes)
}

/// A tar archive with one file and the directories that lead to it.
fn pack(path: &str, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    for (at, _) in path.match_indices('/') {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header.clone(), &path[..=at], std::io::empty())?;
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)?;
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_file_brings_its_directories() {
        let bytes = pack("etc/systemd/x.conf", b"[Service]\n").unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<(String, u64)> =
            archive.entries().unwrap().map(|e| e.unwrap()).map(|e| (e.path().unwrap().display().to_string(), e.size())).collect();
        assert_eq!(entries, [("etc/".to_owned(), 0), ("etc/systemd/".to_owned(), 0), ("etc/systemd/x.conf".to_owned(), 10)]);
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named() {
        let endpoint = Endpoint { url: "unix:///nonexistent/docker.sock".into(), source: "DOCKER_HOST".into() };
        let error = Engine::connect(endpoint).await.unwrap_err();
        assert_eq!(error.to_string(), "no container engine answers at unix:///nonexistent/docker.sock (DOCKER_HOST)");
    }
}
