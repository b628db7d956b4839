//! Answering for blobs.

use std::fs::File;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};

use super::Mirror;
use super::answer::{Answer, Body, Code, Note, Refusal, chain};
use super::conditions::{Wanted, is_known, wanted};
use super::fills::{Origin, Progress, blocking};
use super::reader::{self, Follower};
use crate::mirror::name::{Digest, Repository};
use crate::mirror::record::From;
use crate::mirror::upstream::Client;

const BYTES: &str = "application/octet-stream";

impl Mirror {
    pub(super) async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        headers: &HeaderMap,
        only_head: bool,
    ) -> Result<Answer, Refusal> {
        let (local, trouble) = self.local_blob(digest).await;
        if let Some((file, size, from)) = local {
            return Ok(whole(Arc::new(file), size, digest, from, headers, only_head).failing(trouble));
        }
        let Some(client) = &self.upstream else { return Err(self.missing(Code::BlobUnknown, &format!("{repository}@{digest}"), trouble)) };
        if is_known(headers, digest) {
            return Ok(Answer::new(StatusCode::NOT_MODIFIED, Body::Empty).content(digest, From::Upstream));
        }
        if only_head {
            let size = client.blob_size(repository, digest).await.map_err(|e| Refusal::upstream(&e, Code::BlobUnknown))?;
            let answer = described(StatusCode::OK, digest, From::Upstream).failing(trouble);
            return Ok(match size {
                Some(size) => answer.with(header::CONTENT_LENGTH, &size.to_string()),
                None => answer,
            });
        }
        let answer = self.fetched(client, repository, digest, headers).await?;
        let error = trouble.or(answer.error.clone());
        Ok(answer.failing(error))
    }

    /// What is in a bundle or in the cache, and what does not work there.
    async fn local_blob(&self, digest: &Digest) -> (Option<(File, u64, From)>, Option<String>) {
        let (layouts, cache, digest) = (self.layouts.clone(), self.cache.clone(), digest.clone());
        blocking(move || {
            let mut trouble = None;
            for layout in &layouts {
                match layout.open_blob(&digest) {
                    Ok(Some((file, size))) => return (Some((file, size, From::Bundle)), trouble),
                    Ok(None) => {}
                    Err(e) => trouble = Some(format!("cannot read the bundle {}: {e}", layout.dir().display())),
                }
            }
            match cache.blob(&digest) {
                Ok(found) => (found.map(|(file, size)| (file, size, From::Cache)), trouble),
                Err(e) => (None, Some(chain(&e))),
            }
        })
        .await
    }

    async fn fetched(&self, client: &Client, repository: &Repository, digest: &Digest, headers: &HeaderMap) -> Result<Answer, Refusal> {
        loop {
            let (mut progress, source) = self.fills.join(&self.cache, client, repository, digest);
            let now = match progress.wait_for(|p| !matches!(p, Progress::Opening)).await {
                Ok(now) => now.clone(),
                Err(_) => return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "the mirror is stopping")),
            };
            let part = match &now {
                Progress::Failed(e) if source == *repository => return Err(Refusal::upstream(e, Code::BlobUnknown)),
                // It cannot be had from there, but perhaps from here.
                Progress::Failed(_) | Progress::Opening => continue,
                Progress::False(e) => return Err(Refusal::new(StatusCode::BAD_GATEWAY, Code::DigestInvalid, &chain(&**e))),
                Progress::Done(file, size, origin) => {
                    let from = if *origin == Origin::Cache { From::Cache } else { From::Upstream };
                    return Ok(whole(Arc::clone(file), *size, digest, from, headers, false));
                }
                Progress::Filling(part) | Progress::Alone(part, ..) => part.clone(),
            };
            let note = Note::default();
            let follow = |at, end| {
                let (client, digest, note) = (client.clone(), digest.clone(), Arc::clone(&note));
                let follower = Follower { progress, client, repository: source, digest, at, end, alone: None, note };
                Body::Stream(follower.stream())
            };
            let mut answer = ranged(part.size, digest, From::Upstream, headers, follow);
            answer.note = note;
            return Ok(answer);
        }
    }
}

/// The answer from a file that is complete.
fn whole(file: Arc<File>, size: u64, digest: &Digest, from: From, headers: &HeaderMap, only_head: bool) -> Answer {
    if is_known(headers, digest) {
        return Answer::new(StatusCode::NOT_MODIFIED, Body::Empty).content(digest, from);
    }
    let mut answer = ranged(Some(size), digest, from, headers, |at, end| Body::Stream(reader::file(file, at, end.unwrap_or(size))));
    if only_head {
        answer.body = Body::Empty;
    }
    answer
}

/// The whole of a blob or the part that is asked for. A part of something of unknown size is the whole.
fn ranged(size: Option<u64>, digest: &Digest, from: From, headers: &HeaderMap, body: impl FnOnce(u64, Option<u64>) -> Body) -> Answer {
    let Some(size) = size else {
        let mut answer = described(StatusCode::OK, digest, from);
        answer.body = body(0, None);
        return answer;
    };
    let (status, start, end) = match wanted(headers, digest, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Outside => {
            let message = format!("the blob has {size} bytes");
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::RangeInvalid, &message);
            return refusal.with(header::CONTENT_RANGE, &format!("bytes */{size}")).answer();
        }
    };
    let mut answer = described(status, digest, from).with(header::CONTENT_LENGTH, &(end - start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        answer = answer.with(header::CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end - 1));
    }
    answer.body = if start == end { Body::Empty } else { body(start, Some(end)) };
    answer
}

fn described(status: StatusCode, digest: &Digest, from: From) -> Answer {
    Answer::new(status, Body::Empty)
        .content(digest, from)
        .with(header::CONTENT_TYPE, BYTES)
        .with(header::ACCEPT_RANGES, "bytes")
        // What has a digest never changes.
        .with(header::CACHE_CONTROL, "max-age=31536000")
}
