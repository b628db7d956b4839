//! Reading a blob, or a part of one, for one client.
//!
//! Whatever the source, the last byte of a body is given only when the whole blob is known to be true to its digest.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use ring::digest::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::answer::{Broken, Note, chain};
use super::buffers::{BUFFER, read_buffer};
use super::fills::{Part, Progress, blocking, reason};
use crate::mirror::name::{Digest, Repository};
use crate::mirror::upstream::{BlobStream, Client};

/// How much is read and sent at once. Two of them fit into a processor's cache, so that what was read is sent from there.
const CHUNK: u64 = BUFFER as u64;

/// A file whose content is known to be true, from one byte to before another.
pub(super) fn file(file: Arc<File>, start: u64, end: u64) -> BoxStream<'static, Result<Bytes, Broken>> {
    let ahead: Option<JoinHandle<io::Result<Bytes>>> = None;
    stream::unfold((file, start, ahead), move |(file, at, ahead)| async move {
        if at >= end {
            return None;
        }
        let read = |at: u64| {
            let file = Arc::clone(&file);
            let length = usize::try_from(CHUNK.min(end - at)).unwrap_or(0);
            tokio::task::spawn_blocking(move || read_buffer(&file, at, length))
        };
        let bytes = match ahead.unwrap_or_else(|| read(at)).await {
            Ok(Ok(bytes)) if bytes.is_empty() => Err(Broken("the file has become shorter".to_owned())),
            Ok(read) => read.map_err(|e| Broken(format!("cannot read the file: {e}"))),
            Err(e) => Err(Broken(format!("cannot read the file: {e}"))),
        };
        match bytes {
            Ok(bytes) => {
                let next = at + bytes.len() as u64;
                // The next piece is read while this one is sent.
                let ahead = (next < end).then(|| read(next));
                Some((Ok(bytes), (file, next, ahead)))
            }
            Err(e) => Some((Err(e), (file, end, None))),
        }
    })
    .boxed()
}

/// A client that follows a download.
pub(super) struct Follower {
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) client: Client,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    /// The next byte.
    pub(super) at: u64,
    /// Where to end, if not at the end of the blob.
    pub(super) end: Option<u64>,
    pub(super) alone: Option<Alone>,
    /// Where it is said that the cache could not take it.
    pub(super) note: Note,
}

/// The rest of a blob that the cache could not take.
pub(super) struct Alone {
    stream: BlobStream,
    hash: Option<Box<Context>>,
    /// Where the next piece of the stream begins.
    position: u64,
    /// Held back until the next piece, or the digest, is there.
    held: Bytes,
}

enum Step {
    Read(Arc<File>, u64),
    Alone(Part, Box<Context>),
    Wait,
    End,
}

impl Follower {
    pub(super) fn stream(self) -> BoxStream<'static, Result<Bytes, Broken>> {
        stream::unfold(Some(self), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(follower))),
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if self.alone.is_some() {
                return self.next_alone().await;
            }
            let now = self.progress.borrow_and_update().clone();
            match self.step(&now)? {
                Step::End => return Ok(None),
                Step::Read(file, limit) => return self.read(file, limit).await.map(Some),
                Step::Alone(part, hash) => {
                    let _ = self.note.set(reason(&now).unwrap_or_default());
                    let position = part.written;
                    // The last byte of a part that is in the file: it waits for the digest like any other.
                    let end = self.end.map_or(position, |e| e.min(position));
                    let held = match part.file {
                        Some(file) if self.at < end => self.read(file, end).await?,
                        _ => Bytes::new(),
                    };
                    let stream = self.client.blob(&self.repository, &self.digest, position).await;
                    let stream = stream.map_err(|e| Broken(chain(&e)))?;
                    self.alone = Some(Alone { stream, hash: Some(hash), position, held });
                }
                Step::Wait => {
                    // The task was ended together with the mirror.
                    self.progress.changed().await.map_err(|_| Broken("the mirror is stopping".to_owned()))?;
                }
            }
        }
    }

    /// What there is to do now.
    fn step(&self, progress: &Progress) -> Result<Step, Broken> {
        // What may be given before the digest is known: not the last byte.
        let unproven = |part: &Part| {
            let last = self.end.or(part.size).map_or(u64::MAX, |e| e.saturating_sub(1));
            part.file.clone().filter(|_| part.written.min(last) > self.at).map(|file| Step::Read(file, part.written.min(last)))
        };
        match progress {
            Progress::Opening => Ok(Step::Wait),
            Progress::Filling(part) => Ok(unproven(part).unwrap_or(Step::Wait)),
            Progress::Done(file, size, _) => {
                let end = self.end.unwrap_or(*size).min(*size);
                Ok(if self.at < end { Step::Read(Arc::clone(file), end) } else { Step::End })
            }
            Progress::Alone(part, hash, _) => Ok(unproven(part).unwrap_or_else(|| Step::Alone(part.clone(), hash.clone()))),
            Progress::Failed(_) | Progress::False(_) => Err(Broken(reason(progress).unwrap_or_default())),
        }
    }

    async fn read(&mut self, file: Arc<File>, limit: u64) -> Result<Bytes, Broken> {
        let (at, length) = (self.at, usize::try_from(CHUNK.min(limit - self.at)).unwrap_or(0));
        let bytes = blocking(move || read_buffer(&file, at, length)).await.map_err(|e| Broken(format!("cannot read the file: {e}")))?;
        if bytes.is_empty() {
            return Err(Broken("the file has become shorter".to_owned()));
        }
        self.at += bytes.len() as u64;
        Ok(bytes)
    }

    async fn next_alone(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(alone) = &mut self.alone else { return Ok(None) };
        while let Some(hash) = &mut alone.hash {
            let Some(piece) = alone.stream.chunk().await.map_err(|e| Broken(chain(&e)))? else {
                let found = alone.hash.take().map(|h| Digest::hashed(&h.finish()));
                if found.as_ref() != Some(&self.digest) {
                    let found = found.as_ref().map_or("nothing", Digest::as_str);
                    return Err(Broken(format!("{} is wanted and {found} came", self.digest)));
                }
                break;
            };
            hash.update(&piece);
            let begin = alone.position;
            alone.position += piece.len() as u64;
            let end = self.end.map_or(alone.position, |e| e.min(alone.position));
            if self.at.max(begin) < end {
                let cut = |at: u64| usize::try_from(at - begin).unwrap_or(usize::MAX);
                let wanted = piece.slice(cut(self.at.max(begin))..cut(end));
                self.at = end;
                let before = std::mem::replace(&mut alone.held, wanted);
                if !before.is_empty() {
                    return Ok(Some(before));
                }
            }
        }
        let held = std::mem::take(&mut alone.held);
        Ok((!held.is_empty()).then_some(held))
    }
}
