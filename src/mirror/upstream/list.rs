//! Lists that registries give: tags and referrers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;

use super::request::{Ask, limited};
use super::{Client, MAX_MANIFEST, UpstreamError};
use crate::mirror::name::{Digest, Repository};

/// A page of a repository's tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// The tags, as the registry orders them.
    pub tags: Vec<String>,
    /// There are more after the last one.
    pub more: bool,
}

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

impl Client {
    /// A page of a repository's tags: those after `last`, and no more than `limit`.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn tags(&self, repository: &Repository, limit: Option<u64>, last: Option<&str>) -> Result<Tags, UpstreamError> {
        let path = format!("{}/tags/list", repository.path);
        let limit = limit.map(|l| l.to_string());
        let query: Vec<_> = limit.as_deref().map(|n| ("n", n)).into_iter().chain(last.map(|l| ("last", l))).collect();
        let ask = &Ask { method: Method::GET, path: &path, query: &query, repository: &repository.path, headers: HeaderMap::new() };
        let bases = self.bases(&repository.namespace, "lists the tags", |b| b.resolve)?;
        self.first(&bases, |base| {
            Box::pin(async move {
                let answer = self.ask(base, ask).await?;
                let more = answer.response.headers().contains_key(header::LINK);
                let body = limited(answer.response, &answer.url, MAX_MANIFEST).await?;
                let list: TagList = serde_json::from_slice(&body).map_err(|source| UpstreamError::Json { url: answer.url, source })?;
                Ok(Tags { tags: list.tags.unwrap_or_default(), more })
            })
        })
        .await
    }

    /// The index of what refers to a manifest, of one kind if that is said, and whether the registry chose the kind.
    ///
    /// # Errors
    /// When no endpoint knows any.
    pub async fn referrers(&self, repository: &Repository, digest: &Digest, kind: Option<&str>) -> Result<(Bytes, bool), UpstreamError> {
        let path = format!("{}/referrers/{digest}", repository.path);
        let query: Vec<_> = kind.map(|k| ("artifactType", k)).into_iter().collect();
        let accept = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(super::OCI_INDEX))]);
        let ask = &Ask { method: Method::GET, path: &path, query: &query, repository: &repository.path, headers: accept };
        let bases = self.bases(&repository.namespace, "knows the referrers", |b| b.pull)?;
        self.first(&bases, |base| {
            Box::pin(async move {
                let answer = self.ask(base, ask).await?;
                let filtered = answer.response.headers().contains_key("oci-filters-applied");
                let body = limited(answer.response, &answer.url, MAX_MANIFEST).await?;
                match super::manifest::media_type(&body, Some(super::OCI_INDEX)) {
                    Ok(_) => Ok((body, filtered)),
                    Err(source) => Err(UpstreamError::Manifest { url: answer.url, source }),
                }
            })
        })
        .await
    }
}
