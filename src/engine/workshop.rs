//! Containers in which an image is changed, and the images that come of it.

use std::collections::HashMap;
use std::io;

use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, TagImageOptionsBuilder, UploadToContainerOptionsBuilder, WaitContainerOptions,
};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use jiff::Timestamp;

use super::{Engine, EngineError};

/// The label of these containers, with their own name as its value: what is made of the image that comes of one has the label too, and must not
/// be taken for one.
const WORKSHOP_LABEL: &str = "dev.meshproof.workshop";
/// The process that works in one, so that what a killed one left can be told from what is in use.
const OWNER_LABEL: &str = "dev.meshproof.workshop.owner";

/// A container in which an image is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workshop {
    /// Its name.
    pub name: String,
    /// The process that works in it, as it called itself.
    pub owner: String,
    /// When it was made, where the engine says it.
    pub created: Option<Timestamp>,
}

/// What an image runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCommand {
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub cmd: Vec<String>,
    /// `VOLUME`s: what is written there does not become part of an image.
    pub volumes: Vec<String>,
}

impl Engine {
    /// What an image runs.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn image_command(&self, image: &str) -> Result<ImageCommand, EngineError> {
        let found = self.docker.inspect_image(image).await.map_err(EngineError::request(format!("inspect image {image}")))?;
        let config = found.config.unwrap_or_default();
        Ok(ImageCommand {
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            volumes: config.volumes.unwrap_or_default(),
        })
    }

    /// Starts a container of an image that runs one program and reaches nothing.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn open_workshop(&self, name: &str, image: &str, program: &str, owner: &str) -> Result<(), EngineError> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec![program.to_owned()]),
            labels: Some(HashMap::from([(WORKSHOP_LABEL.to_owned(), name.to_owned()), (OWNER_LABEL.to_owned(), owner.to_owned())])),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        self.docker.create_container(Some(options), body).await.map_err(EngineError::request(format!("create container {name}")))?;
        let started = self.docker.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(EngineError::request(format!("start container {name}")))
    }

    /// All such containers.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn workshops(&self) -> Result<Vec<Workshop>, EngineError> {
        let filters = HashMap::from([("label", vec![WORKSHOP_LABEL.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.docker.list_containers(Some(options)).await.map_err(EngineError::request("list containers"))?;
        let ours = found.into_iter().filter_map(|container| {
            let mut labels = container.labels.unwrap_or_default();
            let name = labels.remove(WORKSHOP_LABEL)?;
            let is_it = container.names.unwrap_or_default().iter().any(|n| n.trim_start_matches('/') == name);
            let created = container.created.and_then(|at| Timestamp::from_second(at).ok());
            is_it.then(|| Workshop { name, owner: labels.remove(OWNER_LABEL).unwrap_or_default(), created })
        });
        Ok(ours.collect())
    }

    /// Removes one of these containers. One that is gone, or is being removed by somebody else, is no error.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn remove_workshop(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(name, Some(options)).await {
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(e) => Err(EngineError::request(format!("remove container {name}"))(e)),
        }
    }

    /// Unpacks a tar archive in a container's root.
    ///
    /// # Errors
    /// When the engine refuses it.
    pub async fn unpack(
        &self,
        container: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let sent = self.patient().upload_to_container(container, Some(options), bollard::body_try_stream(archive)).await;
        sent.map_err(EngineError::request(format!("unpack an archive in container {container}")))
    }

    /// Asks a container's program to end, and waits until it has.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn terminate(&self, container: &str) -> Result<(), EngineError> {
        let operation = || format!("stop container {container}");
        // Not `stop`: that sends the image's own signal, which is meant for systemd.
        let options = KillContainerOptionsBuilder::default().signal("SIGTERM").build();
        self.docker.kill_container(container, Some(options)).await.map_err(EngineError::request(operation()))?;
        match self.patient().wait_container(container, None::<WaitContainerOptions>).try_collect::<Vec<_>>().await {
            // It ended with another code than 0, which is its own matter.
            Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. }) => Ok(()),
            Err(e) => Err(EngineError::request(operation())(e)),
        }
    }

    /// Makes an image of a stopped container that runs what is said here.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn commit(&self, container: &str, name: &str, command: ImageCommand) -> Result<(), EngineError> {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let options = CommitContainerOptionsBuilder::default().container(container).repo(repository).tag(tag).build();
        let config = ContainerConfig {
            entrypoint: Some(command.entrypoint),
            cmd: (!command.cmd.is_empty()).then_some(command.cmd),
            // The engine adds those of the container that are not here, and nobody else needs to know this process.
            labels: Some([WORKSHOP_LABEL, OWNER_LABEL].map(|label| (label.to_owned(), String::new())).into()),
            ..ContainerConfig::default()
        };
        let made = self.patient().commit_container(options, config).await;
        made.map(drop).map_err(EngineError::request(format!("make the image {name}")))
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn tag(&self, image: &str, name: &str) -> Result<(), EngineError> {
        let last = name.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = name[last..].rfind(':').map_or((name, "latest"), |at| (&name[..last + at], &name[last + at + 1..]));
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.docker.tag_image(image, Some(options)).await.map_err(EngineError::request(format!("tag {image} as {name}")))
    }
}
