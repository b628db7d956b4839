//! Answering for tags and referrers.

use std::collections::BTreeSet;

use http::{HeaderName, StatusCode, header};
use serde_json::json;

use super::Mirror;
use super::answer::{Answer, Code, Refusal, chain};
use super::fills::blocking;
use super::route::Query;
use crate::mirror::name::{Digest, Repository};
use crate::mirror::record::From;
use crate::mirror::upstream::{OCI_INDEX, Tags, UpstreamError};

impl Mirror {
    /// `path` is that of the request, so that the next page is asked for as this one was.
    pub(super) async fn tags(&self, repository: &Repository, path: &str, query: &Query) -> Result<Answer, Refusal> {
        let wrong = || Refusal::new(StatusCode::BAD_REQUEST, Code::PaginationNumberInvalid, "`n` is no number");
        let limit = query.limit.as_deref().map(|n| n.parse::<u64>().map_err(|_| wrong())).transpose()?;
        let last = query.last.as_deref();
        let (Tags { tags, more }, from, error) = match &self.upstream {
            None => (self.local_tags(repository, limit, last, None).await?, From::Cache, None),
            Some(client) => match client.tags(repository, limit, last).await {
                Ok(tags) => (tags, From::Upstream, None),
                Err(e) if e.is_outage() => {
                    let error = chain(&e);
                    (self.local_tags(repository, limit, last, Some(e)).await?, From::Cache, Some(error))
                }
                Err(e) => return Err(Refusal::upstream(&e, Code::NameUnknown)),
            },
        };
        let name = path.strip_prefix("/v2/").and_then(|p| p.strip_suffix("/tags/list")).unwrap_or(&repository.path);
        let next = tags.last().filter(|_| more).map(|last| {
            let mut url = reqwest::Url::parse("http://next").expect("a constant URL");
            let limit = limit.map_or_else(|| tags.len().to_string(), |l| l.to_string());
            url.query_pairs_mut().append_pair("last", last).append_pair("n", &limit);
            if let Some(namespace) = &query.namespace {
                url.query_pairs_mut().append_pair("ns", namespace);
            }
            format!("<{path}?{}>; rel=\"next\"", url.query().unwrap_or_default())
        });
        let body = json!({"name": name, "tags": tags}).to_string();
        let mut answer = Answer::full(StatusCode::OK, "application/json", body.into()).failing(error);
        answer.from = Some(from);
        Ok(match next {
            Some(next) => answer.with(header::LINK, &next),
            None => answer,
        })
    }

    /// A page of what bundles and the cache know.
    async fn local_tags(
        &self,
        repository: &Repository,
        limit: Option<u64>,
        last: Option<&str>,
        outage: Option<UpstreamError>,
    ) -> Result<Tags, Refusal> {
        let (cache, layouts, wanted) = (self.cache.clone(), self.layouts.clone(), repository.clone());
        let known: Result<BTreeSet<String>, _> = blocking(move || {
            let bundled = layouts.iter().flat_map(|l| l.images().keys());
            let bundled: Vec<_> = bundled.filter(|n| n.repository == wanted).filter_map(|n| n.tag.clone()).collect();
            cache.tags(&wanted).map(|cached| cached.into_iter().chain(bundled).collect())
        })
        .await;
        let known = known.map_err(|e| Refusal::internal(&e))?;
        if known.is_empty() {
            return Err(match outage {
                Some(e) => Refusal::upstream(&e, Code::NameUnknown),
                None => self.missing(Code::NameUnknown, &repository.to_string(), None),
            });
        }
        let mut after: Vec<String> = known.into_iter().filter(|t| last.is_none_or(|l| t.as_str() > l)).collect();
        let limit = limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX));
        let more = after.len() > limit && limit > 0;
        after.truncate(limit);
        Ok(Tags { tags: after, more })
    }

    pub(super) async fn referrers(&self, repository: &Repository, digest: &Digest, query: &Query) -> Result<Answer, Refusal> {
        let none = || json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string().into();
        let (body, filtered, from) = match &self.upstream {
            None => (none(), false, From::Cache),
            Some(client) => match client.referrers(repository, digest, query.artifact_type.as_deref()).await {
                Ok((body, filtered)) => (body, filtered, From::Upstream),
                Err(e) if e.is_outage() || matches!(e, UpstreamError::Denied { .. }) => {
                    return Err(Refusal::upstream(&e, Code::ManifestUnknown));
                }
                // Older registries have no such list.
                Err(_) => (none(), false, From::Upstream),
            },
        };
        let mut answer = Answer::full(StatusCode::OK, OCI_INDEX, body);
        answer.from = Some(from);
        Ok(if filtered { answer.with(HeaderName::from_static("oci-filters-applied"), "artifactType") } else { answer })
    }
}
