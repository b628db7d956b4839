//! Reading blobs, which goes on elsewhere when a connection breaks.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::Response;

use super::endpoint::Base;
use super::request::{Answer, Ask, content_length};
use super::{Client, UpstreamError};
use crate::mirror::name::{Digest, Repository};

/// How often one endpoint is asked to go on.
const MAX_RESUMES: u32 = 3;

/// A blob that is being read. Its content is not checked: only its reader sees it from the beginning.
#[derive(Debug)]
pub struct BlobStream {
    client: Client,
    repository: Repository,
    digest: Digest,
    /// The endpoint that is read from, and those after it.
    bases: Vec<Base>,
    resumes: u32,
    open: Open,
    at: u64,
    /// The size of the whole blob, if it is known.
    pub size: Option<u64>,
}

#[derive(Debug)]
struct Open {
    response: Response,
    url: String,
    /// What has to be thrown away, since the endpoint began at the beginning.
    skip: u64,
    size: Option<u64>,
}

impl Client {
    /// Begins to read a blob, from a byte offset on.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn blob(&self, repository: &Repository, digest: &Digest, from: u64) -> Result<BlobStream, UpstreamError> {
        let mut bases = self.bases(&repository.namespace, "has the blobs", |b| b.pull)?;
        let mut worst: Option<UpstreamError> = None;
        while let Some(base) = bases.first() {
            match self.open(base, repository, digest, from).await {
                Ok(open) => {
                    let (client, size) = (self.clone(), open.size);
                    let (repository, digest) = (repository.clone(), digest.clone());
                    return Ok(BlobStream { client, repository, digest, bases, resumes: MAX_RESUMES, open, at: from, size });
                }
                Err(e) => worst = Some(further(worst, e)),
            }
            bases.remove(0);
        }
        Err(worst.unwrap_or_else(|| UpstreamError::NoEndpoint { namespace: repository.namespace.clone(), what: "has the blobs" }))
    }

    /// The size of a blob that is there, if the registry tells it.
    ///
    /// # Errors
    /// When no endpoint has it.
    pub async fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>, UpstreamError> {
        let path = format!("{}/blobs/{digest}", repository.path);
        let ask = Ask { method: Method::HEAD, path: &path, query: &[], repository: &repository.path, headers: HeaderMap::new() };
        let bases = self.bases(&repository.namespace, "has the blobs", |b| b.pull)?;
        let answer = self.first(&bases, |base| Box::pin(self.ask(base, &ask))).await?;
        Ok(content_length(answer.response.headers()))
    }

    async fn open(&self, base: &Base, repository: &Repository, digest: &Digest, from: u64) -> Result<Open, UpstreamError> {
        let path = format!("{}/blobs/{digest}", repository.path);
        let mut headers = HeaderMap::new();
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-")).expect("digits fit in a header");
            headers.insert(header::RANGE, range);
        }
        let ask = Ask { method: Method::GET, path: &path, query: &[], repository: &repository.path, headers };
        let Answer { response, url } = self.ask(base, &ask).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if from > 0 => match content_range(response.headers()) {
                Some((start, size)) if start == from => Ok(Open { response, url, skip: 0, size }),
                _ => Err(UpstreamError::Unexpected { url, status: StatusCode::PARTIAL_CONTENT }),
            },
            StatusCode::OK => {
                let size = content_length(response.headers());
                Ok(Open { response, url, skip: from, size })
            }
            status => Err(UpstreamError::Unexpected { url, status }),
        }
    }
}

impl BlobStream {
    /// The next piece, or none at the end.
    ///
    /// # Errors
    /// When every endpoint broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            let broken = match self.open.response.chunk().await {
                Ok(Some(mut chunk)) => {
                    let skipped = usize::try_from(self.open.skip).map_or(chunk.len(), |s| s.min(chunk.len()));
                    let chunk = chunk.split_off(skipped);
                    self.open.skip -= skipped as u64;
                    if chunk.is_empty() {
                        continue;
                    }
                    self.at += chunk.len() as u64;
                    if let Some(limit) = self.size.filter(|s| self.at > *s) {
                        return Err(UpstreamError::TooLarge { url: self.open.url.clone(), limit });
                    }
                    return Ok(Some(chunk));
                }
                Ok(None) if self.size.is_none_or(|s| self.at == s) && self.open.skip == 0 => return Ok(None),
                Ok(None) => self.truncated(None),
                Err(e) => self.truncated(Some(e.without_url())),
            };
            self.resume(broken).await?;
        }
    }

    fn truncated(&self, source: Option<reqwest::Error>) -> UpstreamError {
        UpstreamError::Truncated { url: self.open.url.clone(), expected: self.size, found: self.at, source }
    }

    /// Goes on where it broke off, at this endpoint a few times and then at the next ones.
    async fn resume(&mut self, broken: UpstreamError) -> Result<(), UpstreamError> {
        while let Some(base) = self.bases.first() {
            if self.resumes == 0 {
                self.bases.remove(0);
                self.resumes = MAX_RESUMES;
                continue;
            }
            self.resumes -= 1;
            match self.client.open(base, &self.repository, &self.digest, self.at).await {
                // Another size is another blob, whatever the endpoint calls it.
                Ok(open) if open.size.is_none() || self.size.is_none() || open.size == self.size => {
                    self.size = self.size.or(open.size);
                    self.open = open;
                    return Ok(());
                }
                Ok(_) | Err(UpstreamError::NotFound { .. } | UpstreamError::Denied { .. } | UpstreamError::Unexpected { .. }) => {
                    self.resumes = 0;
                }
                Err(_) => {}
            }
        }
        // What broke tells more than why it could not be mended.
        Err(broken)
    }
}

/// The error of the endpoint that got furthest; the first of those that got equally far.
pub(super) fn further(before: Option<UpstreamError>, after: UpstreamError) -> UpstreamError {
    before.filter(|b| b.rank() >= after.rank()).unwrap_or(after)
}

/// `bytes 5-9/10`: where it starts, and the size of the whole.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim();
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, size.trim().parse().ok()))
}
