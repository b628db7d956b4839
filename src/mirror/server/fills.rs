//! Blobs that are being fetched: one download each, however many want it.
//!
//! A download writes into the cache and says how far it is; every client, the first one too, reads from the file what is there so far. So
//! it goes on when a client leaves, and needs no memory for one that is slow.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::answer::chain;
use crate::mirror::cache::{Cache, CacheError, Fill};
use crate::mirror::name::{Digest, Repository};
use crate::mirror::upstream::{BlobStream, Client, UpstreamError};

/// How many pieces wait to be written, each of some ten kilobytes.
const WAITING: usize = 64;
/// How many are written at once.
const BATCH: usize = 64;

/// How far a download is.
#[derive(Clone)]
pub(super) enum Progress {
    /// Upstream has not answered.
    Opening,
    /// This much is in the file, not yet known to be true.
    Filling(Part),
    /// It is all there, and true.
    Done(Arc<File>, u64, Origin),
    /// The cache cannot take more: whoever wants it goes on alone, with the hash of what is in the file.
    Alone(Part, Box<Context>, Arc<CacheError>),
    /// It cannot be had.
    Failed(Arc<UpstreamError>),
    /// What came is something else.
    False(Arc<CacheError>),
}

/// What is there of a blob.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Nothing, where none could be made.
    pub(super) file: Option<Arc<File>>,
    pub(super) written: u64,
    /// Of the whole blob, if upstream said it.
    pub(super) size: Option<u64>,
}

/// Whether a blob had to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Cache,
    Upstream,
}

struct Going {
    repository: Repository,
    progress: watch::Receiver<Progress>,
}

/// All downloads. Dropped, it ends them.
#[derive(Default)]
pub(super) struct Fills {
    going: Arc<Mutex<HashMap<Digest, Going>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Fills {
    /// The progress of a blob's download, which begins if there is none, and the repository that it is fetched from.
    pub(super) fn join(
        &self,
        cache: &Cache,
        client: &Client,
        repository: &Repository,
        digest: &Digest,
    ) -> (watch::Receiver<Progress>, Repository) {
        let mut going = lock(&self.going);
        if let Some(other) = going.get(digest) {
            return (other.progress.clone(), other.repository.clone());
        }
        let (sender, progress) = watch::channel(Progress::Opening);
        going.insert(digest.clone(), Going { repository: repository.clone(), progress: progress.clone() });
        let gone = Gone { going: Arc::clone(&self.going), digest: digest.clone() };
        let (cache, client, repository) = (cache.clone(), client.clone(), repository.clone());
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        let (from, digest) = (repository.clone(), digest.clone());
        tasks.spawn(async move {
            let gone = gone;
            fetch(cache, client, from, digest, &sender).await;
            // Only now, when it is in the cache or known not to come, may another begin.
            drop(gone);
        });
        (progress, repository)
    }

    /// Whether nothing is being fetched.
    #[cfg(test)]
    pub(super) fn at_rest(&self) -> bool {
        lock(&self.going).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Gone {
    going: Arc<Mutex<HashMap<Digest, Going>>>,
    digest: Digest,
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.going).remove(&self.digest);
    }
}

/// Work on files, off the threads that serve.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

async fn fetch(cache: Cache, client: Client, repository: Repository, digest: Digest, progress: &watch::Sender<Progress>) {
    // Another download may have ended since the caller looked.
    let (there, wanted) = (cache.clone(), digest.clone());
    if let Ok(Some((file, size))) = blocking(move || there.blob(&wanted)).await {
        progress.send_replace(Progress::Done(Arc::new(file), size, Origin::Cache));
        return;
    }
    let stream = match client.blob(&repository, &digest, 0).await {
        Ok(stream) => stream,
        Err(e) => {
            progress.send_replace(Progress::Failed(Arc::new(e)));
            return;
        }
    };
    let size = stream.size;
    let begun = blocking(move || cache.begin(&digest, size)).await;
    let fill = match begun {
        Ok(fill) => fill,
        Err(e) => {
            let part = Part { file: None, written: 0, size };
            progress.send_replace(Progress::Alone(part, Box::new(Context::new(&SHA256)), Arc::new(e)));
            return;
        }
    };
    progress.send_replace(Progress::Filling(Part { file: Some(fill.file()), written: 0, size }));
    let (sender, receiver) = mpsc::channel(WAITING);
    futures::future::join(receive(stream, sender), keep(fill, size, receiver, progress)).await;
}

/// Takes pieces from upstream, as many as are wanted.
async fn receive(mut stream: BlobStream, sender: mpsc::Sender<Result<Bytes, UpstreamError>>) {
    loop {
        let (piece, last) = match stream.chunk().await {
            Ok(Some(piece)) => (Ok(piece), false),
            Ok(None) => return,
            Err(e) => (Err(e), true),
        };
        if sender.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// Writes pieces and tells how far it is.
async fn keep(
    mut fill: Fill,
    size: Option<u64>,
    mut pieces: mpsc::Receiver<Result<Bytes, UpstreamError>>,
    progress: &watch::Sender<Progress>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while pieces.recv_many(&mut batch, BATCH).await > 0 {
        let mut failed = None;
        let good: Vec<Bytes> = batch.drain(..).map_while(|piece| piece.map_err(|e| failed = Some(e)).ok()).collect();
        let (back, written) = blocking(move || {
            let written = good.iter().try_for_each(|piece| fill.write(piece));
            (fill, written)
        })
        .await;
        fill = back;
        let part = Part { file: Some(fill.file()), written: fill.written(), size };
        if let Err(e) = written {
            progress.send_replace(Progress::Alone(part, Box::new(fill.hash()), Arc::new(e)));
            return;
        }
        if let Some(e) = failed {
            progress.send_replace(Progress::Failed(Arc::new(e)));
            return;
        }
        progress.send_replace(Progress::Filling(part));
    }
    if let Err(e) = fill.check() {
        progress.send_replace(Progress::False(Arc::new(e)));
        return;
    }
    // Nobody has to wait for the disk: it is true, and can be read.
    progress.send_replace(Progress::Done(fill.file(), fill.written(), Origin::Upstream));
    // A cache that cannot keep it has lost nothing but the next download.
    let _ = blocking(move || fill.commit()).await;
}

/// What a failed download means to those who are in the middle of it.
pub(super) fn reason(progress: &Progress) -> Option<String> {
    match progress {
        Progress::Failed(e) => Some(chain(&**e)),
        Progress::False(e) => Some(chain(&**e)),
        Progress::Alone(_, _, e) => Some(format!("not cached: {}", chain(&**e))),
        _ => None,
    }
}
