//! Answering for manifests.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;

use super::Mirror;
use super::answer::{Answer, Body, Code, Refusal, chain};
use super::conditions::is_known;
use super::fills::blocking;
use crate::mirror::cache::{Cache, CacheError, Tag};
use crate::mirror::hashing::read_at;
use crate::mirror::layout::Layout;
use crate::mirror::name::{Digest, Reference, Repository};
use crate::mirror::record::From;
use crate::mirror::upstream::{Client, Head, MAX_MANIFEST, Manifest, UpstreamError, media_type};

impl Mirror {
    pub(super) async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        headers: &HeaderMap,
        only_head: bool,
    ) -> Result<Answer, Refusal> {
        let (layouts, named, asked) = (self.layouts.clone(), repository.clone(), reference.clone());
        let (bundled, trouble) = blocking(move || in_layouts(&layouts, &named, &asked)).await;
        if let Some(manifest) = bundled {
            return Ok(answer(&manifest, From::Bundle, headers, only_head).failing(trouble));
        }
        if let Reference::Digest(digest) = reference
            && let Some(manifest) = self.cached(digest.clone()).await
        {
            return Ok(answer(&manifest, From::Cache, headers, only_head).failing(trouble));
        }
        let Some(client) = &self.upstream else {
            // What a tag pointed at when there was an upstream.
            return match self.tagged(repository, reference).await {
                Some(manifest) => Ok(answer(&manifest, From::Cache, headers, only_head).failing(trouble)),
                None => Err(self.missing(Code::ManifestUnknown, &format!("{repository} {reference}"), trouble)),
            };
        };
        match self.asked(client, repository, reference, headers, only_head).await {
            Ok(answer) => {
                let error = trouble.or(answer.error.clone());
                Ok(answer.failing(error))
            }
            Err(e) if e.is_outage() => match self.tagged(repository, reference).await {
                Some(manifest) => Ok(answer(&manifest, From::Cache, headers, only_head).failing(Some(chain(&e)))),
                None => Err(Refusal::upstream(&e, Code::ManifestUnknown)),
            },
            Err(e) => Err(Refusal::upstream(&e, Code::ManifestUnknown)),
        }
    }

    /// Asks upstream; what a tag points at now may be there already.
    async fn asked(
        &self,
        client: &Client,
        repository: &Repository,
        reference: &Reference,
        headers: &HeaderMap,
        only_head: bool,
    ) -> Result<Answer, UpstreamError> {
        let before = match reference {
            Reference::Tag(tag) => self.cache.tag(repository, tag),
            Reference::Digest(_) => None,
        };
        if only_head || before.is_some() {
            let head = client.head(repository, reference).await?;
            self.note(repository, reference, &head.digest, &head.media_type, before.as_ref()).await;
            if let Some(manifest) = self.cached(head.digest.clone()).await {
                return Ok(answer(&manifest, From::Cache, headers, only_head));
            }
            if only_head {
                return Ok(self::head(&head, From::Upstream, headers));
            }
        }
        let manifest = client.manifest(repository, reference).await?;
        let (cache, bytes) = (self.cache.clone(), manifest.bytes.clone());
        let kept = blocking(move || cache.put(&bytes)).await;
        self.note(repository, reference, &manifest.digest, &manifest.media_type, before.as_ref()).await;
        // A cache that cannot keep it has lost nothing but the next download.
        Ok(answer(&manifest, From::Upstream, headers, only_head).failing(kept.err().map(|e| format!("not cached: {}", chain(&e)))))
    }

    /// Remembers where a tag points, for the time when upstream does not answer.
    async fn note(&self, repository: &Repository, reference: &Reference, digest: &Digest, media_type: &str, before: Option<&Tag>) {
        let Reference::Tag(tag) = reference else { return };
        if before.is_some_and(|b| b.digest == *digest && b.media_type == media_type) {
            return;
        }
        let tag = Tag {
            repository: repository.clone(),
            tag: tag.clone(),
            digest: digest.clone(),
            media_type: media_type.to_owned(),
            at: Timestamp::now(),
        };
        let cache = self.cache.clone();
        // What cannot be written is asked for again.
        let _ = blocking(move || cache.set_tag(&tag)).await;
    }

    /// What a tag pointed at last, if that is still in the cache.
    async fn tagged(&self, repository: &Repository, reference: &Reference) -> Option<Manifest> {
        let Reference::Tag(tag) = reference else { return None };
        let note = self.cache.tag(repository, tag)?;
        let manifest = self.cached(note.digest).await?;
        Some(Manifest { media_type: note.media_type, ..manifest })
    }

    async fn cached(&self, digest: Digest) -> Option<Manifest> {
        let cache = self.cache.clone();
        // What cannot be read, or is no manifest, is asked for again.
        blocking(move || in_cache(&cache, &digest).ok().flatten()).await
    }
}

fn in_cache(cache: &Cache, digest: &Digest) -> Result<Option<Manifest>, CacheError> {
    let bytes = cache.bytes(digest, MAX_MANIFEST)?;
    Ok(bytes.and_then(|bytes| {
        let media_type = media_type(&bytes, None).ok()?;
        Some(Manifest { bytes: bytes.into(), media_type, digest: digest.clone() })
    }))
}

/// What is in a bundle, and what does not work there.
fn in_layouts(layouts: &[Layout], repository: &Repository, reference: &Reference) -> (Option<Manifest>, Option<String>) {
    let mut trouble = None;
    for layout in layouts {
        let Some(descriptor) = layout.resolve(repository, reference) else { continue };
        let read = layout.open_blob(&descriptor.digest).and_then(|found| match found {
            Some((file, size)) if size <= MAX_MANIFEST => read_at(&file, 0, usize::try_from(size).unwrap_or(0)).map(Some),
            _ => Ok(None),
        });
        match read {
            Ok(Some(bytes)) if Digest::of(&bytes) == descriptor.digest => {
                let (media_type, digest) = (descriptor.media_type, descriptor.digest);
                return (Some(Manifest { bytes: Bytes::from(bytes), media_type, digest }), trouble);
            }
            Ok(_) => trouble = Some(format!("the bundle {} lacks {}", layout.dir().display(), descriptor.digest)),
            Err(e) => trouble = Some(format!("cannot read the bundle {}: {e}", layout.dir().display())),
        }
    }
    (None, trouble)
}

fn answer(manifest: &Manifest, from: From, headers: &HeaderMap, only_head: bool) -> Answer {
    let (digest, media_type, size) = (manifest.digest.clone(), manifest.media_type.clone(), manifest.bytes.len() as u64);
    let mut answer = head(&Head { media_type, digest, size }, from, headers);
    if answer.status == StatusCode::OK && !only_head {
        answer.body = Body::Full(Some(manifest.bytes.clone()));
    }
    answer
}

fn head(head: &Head, from: From, headers: &HeaderMap) -> Answer {
    if is_known(headers, &head.digest) {
        return Answer::new(StatusCode::NOT_MODIFIED, Body::Empty).content(&head.digest, from);
    }
    Answer::new(StatusCode::OK, Body::Empty)
        .content(&head.digest, from)
        .with(header::CONTENT_TYPE, &head.media_type)
        .with(header::CONTENT_LENGTH, &head.size.to_string())
}
