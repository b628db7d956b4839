//! Images of the engine: taken out, put in, and made from a container.

use std::io;

use bollard::models::ContainerConfig;
use bollard::query_parameters::{CommitContainerOptionsBuilder, ImportImageOptions, RemoveImageOptions, TagImageOptionsBuilder};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

use super::{Engine, EngineError};

impl Engine {
    /// What `docker save` writes of an image: a stream of the archive.
    pub fn save(&self, image: &str) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static {
        let (docker, image) = (self.docker.clone(), image.to_owned());
        // The engine's own stream borrows the name.
        sent(move |sender| async move {
            let mut chunks = docker.export_image(&image);
            while let Some(chunk) = chunks.next().await {
                if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                    return;
                }
            }
        })
    }

    /// Puts an archive of one image into the engine and gives it a name. Says the engine's identifier of it.
    ///
    /// # Errors
    /// When the engine refuses it.
    pub async fn load(
        &self,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        repository: &str,
        tag: &str,
    ) -> Result<String, EngineError> {
        let operation = || format!("load image {repository}:{tag}");
        let mut said = self.docker.import_image_stream(ImportImageOptions::default(), archive, None);
        let mut id = None;
        while let Some(step) = said.try_next().await.map_err(EngineError::request(operation()))? {
            // `Loaded image ID: sha256:…`, or with a name `Loaded image: …`.
            let line = step.stream.unwrap_or_default();
            id = line.trim().strip_prefix("Loaded image ID: ").or(line.trim().strip_prefix("Loaded image: ")).map(str::to_owned).or(id);
        }
        let id = id.ok_or_else(|| EngineError::NoImage { image: format!("{repository}:{tag}") })?;
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.docker.tag_image(&id, Some(options)).await.map_err(EngineError::request(operation()))?;
        Ok(id)
    }

    /// Makes an image of a container's files, with the configuration of the image that it was made from.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn commit(&self, container: &str, of: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let operation = || format!("commit container {container}");
        let base = self.docker.inspect_image(of).await.map_err(EngineError::request(format!("inspect image {of}")))?;
        let config = base.config.unwrap_or_default();
        let config = ContainerConfig {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env,
            stop_signal: config.stop_signal,
            working_dir: config.working_dir,
            user: config.user,
            labels: config.labels,
            ..ContainerConfig::default()
        };
        let options = CommitContainerOptionsBuilder::default().container(container).repo(repository).tag(tag).pause(true).build();
        self.docker.commit_container(options, config).await.map_err(EngineError::request(operation()))?;
        Ok(())
    }

    /// Removes an image; one that is not there is no error.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        match self
            .docker
            .remove_image(image, None::<RemoveImageOptions>, None)
            .await
            .map_err(EngineError::request(format!("remove image {image}")))
        {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }
}

/// What a task sends, as a stream.
fn sent<F, Fut>(make: F) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static
where
    F: FnOnce(tokio::sync::mpsc::Sender<io::Result<Bytes>>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(make(sender));
    futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}
