//! Images of the engine: taken out, and put in.

use std::io;

use bollard::query_parameters::{ImportImageOptions, TagImageOptionsBuilder};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

use super::{Engine, EngineError};

impl Engine {
    /// What `docker save` writes of an image: a stream of the archive.
    pub fn save(&self, image: &str) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static {
        let (docker, image) = (self.patient(), image.to_owned());
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
        let docker = self.patient();
        let mut said = docker.import_image_stream(ImportImageOptions::default(), archive, None);
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
