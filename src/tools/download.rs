//! Fetching documented URLs: tools with their checksum, and manifests.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Proxy, Response, StatusCode, redirect};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::archive::{ArchiveError, extract_one};
use crate::spec::DownloadsSpec;

/// The largest manifest that [`fetch_text`] should be asked for.
pub const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;
/// The largest tool, packed or unpacked.
const MAX_TOOL_BYTES: u64 = 512 * 1024 * 1024;
const MAX_CHECKSUM_BYTES: u64 = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a download may stand still.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long another process may hold a tool's lock, which it does while it downloads.
const LOCK_TIMEOUT: Duration = Duration::from_mins(10);
const MAX_REDIRECTS: usize = 10;

/// Errors of fetching something.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The client could not be set up.
    #[error("cannot set up the download client")]
    Client(#[source] reqwest::Error),
    /// The server cannot be reached or does not answer.
    #[error("cannot download {url}")]
    Request {
        /// The URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server answers with an error.
    #[error("cannot download {url}: the server answers {status}")]
    Status {
        /// The URL.
        url: String,
        /// The answer's status.
        status: StatusCode,
    },
    /// The download broke off.
    #[error("the download of {url} broke off")]
    Body {
        /// The URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// There is more than the limit.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// The URL or file.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The checksum file does not begin with a SHA-256 digest.
    #[error("{url} holds no SHA-256 digest")]
    NoDigest {
        /// The checksum file's URL.
        url: String,
    },
    /// What was downloaded is not what upstream published.
    #[error("{url} has the SHA-256 digest {found}, but its checksum file says {expected}")]
    Checksum {
        /// The URL.
        url: String,
        /// What the checksum file says.
        expected: String,
        /// What was downloaded.
        found: String,
    },
    /// The archive was refused.
    #[error("cannot unpack {url}")]
    Archive {
        /// The URL.
        url: String,
        /// Why.
        source: ArchiveError,
    },
    /// The text is not UTF-8.
    #[error("{url} is not UTF-8 text")]
    NotText {
        /// The URL or file.
        url: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tool cache cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds the lock of a tool.
    #[error("another process has held the lock {path} for {} minutes", LOCK_TIMEOUT.as_secs() / 60)]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl DownloadError {
    /// Whether a proxy could make the difference.
    pub(crate) fn is_network(&self) -> bool {
        matches!(self, Self::Request { .. } | Self::Body { .. })
    }
}

/// The text of a manifest: of a file, or of an `http` or `https` URL, up to `limit` bytes.
///
/// # Errors
/// When it cannot be read or fetched, is too large, or is not UTF-8.
pub async fn fetch_text(url_or_path: &str, downloads: &DownloadsSpec, limit: u64) -> Result<String, DownloadError> {
    let bytes = if is_url(url_or_path) {
        fetch(&client(downloads)?, url_or_path, limit).await?
    } else {
        let read = |source| DownloadError::Read { path: url_or_path.into(), source };
        let file = tokio::fs::File::open(url_or_path).await.map_err(read)?;
        let mut bytes = Vec::new();
        let mut file = tokio::io::AsyncReadExt::take(file, limit.saturating_add(1));
        tokio::io::AsyncReadExt::read_to_end(&mut file, &mut bytes).await.map_err(read)?;
        bytes
    };
    if bytes.len() as u64 > limit {
        return Err(DownloadError::TooLarge { url: url_or_path.to_owned(), limit });
    }
    String::from_utf8(bytes).map_err(|_| DownloadError::NotText { url: url_or_path.to_owned() })
}

fn is_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)))
}

/// A client that takes no proxy from anywhere and follows no redirects, for servers that run on this machine.
///
/// # Errors
/// When the client cannot be made.
pub fn plain_client() -> reqwest::Result<Client> {
    install_crypto();
    Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(Duration::from_secs(10)).build()
}

fn install_crypto() {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn client(downloads: &DownloadsSpec) -> Result<Client, DownloadError> {
    install_crypto();
    // Redirects go to other hosts as a rule, but never from https to http.
    let policy = redirect::Policy::custom(|attempt| {
        let was_secure = attempt.previous().last().is_some_and(|u| u.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if was_secure && attempt.url().scheme() != "https" {
            attempt.error("a redirect from https to http")
        } else {
            attempt.follow()
        }
    });
    // The caller's environment is not looked at, so that a run does not depend on it.
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(policy)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(STALL_TIMEOUT)
        .user_agent(concat!("meshproof/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &downloads.proxy {
        builder = builder.proxy(Proxy::all(proxy).map_err(DownloadError::Client)?);
    }
    builder.build().map_err(DownloadError::Client)
}

async fn request(client: &Client, url: &str) -> Result<Response, DownloadError> {
    let response = client.get(url).send().await.map_err(|e| DownloadError::Request { url: url.to_owned(), source: e.without_url() })?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(DownloadError::Status { url: url.to_owned(), status }),
    }
}

/// Hands a body on piece by piece.
async fn stream(
    client: &Client,
    url: &str,
    limit: u64,
    mut sink: impl FnMut(&[u8]) -> Result<(), DownloadError>,
) -> Result<(), DownloadError> {
    let mut response = request(client, url).await?;
    let mut size = 0;
    loop {
        let chunk = response.chunk().await.map_err(|e| DownloadError::Body { url: url.to_owned(), source: e.without_url() })?;
        let Some(chunk) = chunk else { return Ok(()) };
        size += chunk.len() as u64;
        if size > limit {
            return Err(DownloadError::TooLarge { url: url.to_owned(), limit });
        }
        sink(&chunk)?;
    }
}

async fn fetch(client: &Client, url: &str, limit: u64) -> Result<Vec<u8>, DownloadError> {
    let mut bytes = Vec::new();
    stream(client, url, limit, |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })
    .await?;
    Ok(bytes)
}

/// Takes the lock of a tool, so that two processes do not download it at once. It is held until the file is dropped.
pub(crate) async fn lock(dir: &Path) -> Result<File, DownloadError> {
    let path = dir.join(".lock");
    let write = |source| DownloadError::Write { path: path.clone(), source };
    std::fs::create_dir_all(dir).map_err(write)?;
    let file = File::options().create(true).append(true).open(&path).map_err(write)?;
    // A thread of its own and not one of the runtime's: a runtime cannot end before its blocking threads have.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let wait = move || drop(sender.send(file.lock().map(|()| file)));
    std::thread::Builder::new().name("tool-lock".into()).spawn(wait).map_err(write)?;
    match tokio::time::timeout(LOCK_TIMEOUT, receiver).await {
        Ok(Ok(locked)) => locked.map_err(write),
        _ => Err(DownloadError::Locked { path }),
    }
}

/// What to download, and to where.
pub(crate) struct Download<'a> {
    /// Name of the tool, of its file, and of the entry in an archive.
    pub(crate) name: &'a str,
    /// The documented URL.
    pub(crate) url: &'a str,
    /// What is appended to the URL for the checksum file.
    pub(crate) checksum_suffix: &'a str,
    /// The directory that it is put in.
    pub(crate) dir: &'a Path,
}

impl Download<'_> {
    /// Downloads, compares the digest, unpacks, and only then gives the file its name. A digest record is put beside it.
    pub(crate) async fn run(&self, downloads: &DownloadsSpec) -> Result<PathBuf, DownloadError> {
        let write = |source| DownloadError::Write { path: self.dir.to_owned(), source };
        let client = client(downloads)?;
        let expected = self.expected_digest(&client).await?;

        std::fs::create_dir_all(self.dir).map_err(write)?;
        // Temporary files vanish when they are dropped, so that whatever fails below leaves nothing.
        let mut file = NamedTempFile::new_in(self.dir).map_err(write)?;
        let mut hasher = Sha256::new();
        stream(&client, self.url, MAX_TOOL_BYTES, |chunk| {
            hasher.update(chunk);
            file.write_all(chunk).map_err(write)
        })
        .await?;
        let found = hex::encode(hasher.finalize());
        if found != expected {
            return Err(DownloadError::Checksum { url: self.url.to_owned(), expected, found });
        }
        if self.url.ends_with(".tar.gz") {
            file = self.unpack(file).await?;
        }
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755)).map_err(write)?;
        // Otherwise a power cut could leave an empty file under the final name.
        file.as_file().sync_all().map_err(write)?;
        let mut record = NamedTempFile::new_in(self.dir).map_err(write)?;
        let downloaded = self.url.rsplit('/').next().unwrap_or(self.name);
        writeln!(record, "{found}  {downloaded}").map_err(write)?;
        record.persist(self.dir.join(format!("{}.sha256", self.name))).map_err(|e| write(e.error))?;
        let path = self.dir.join(self.name);
        file.persist(&path).map_err(|e| write(e.error))?;
        Ok(path)
    }

    async fn expected_digest(&self, client: &Client) -> Result<String, DownloadError> {
        let url = format!("{}{}", self.url, self.checksum_suffix);
        let text = fetch(client, &url, MAX_CHECKSUM_BYTES).await?;
        let digest = String::from_utf8_lossy(&text).split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) { Ok(digest) } else { Err(DownloadError::NoDigest { url }) }
    }

    async fn unpack(&self, mut archive: NamedTempFile) -> Result<NamedTempFile, DownloadError> {
        let (dir, name, url) = (self.dir.to_owned(), self.name.to_owned(), self.url.to_owned());
        let unpack = move || {
            let write = |source| DownloadError::Write { path: dir.clone(), source };
            let mut file = NamedTempFile::new_in(&dir).map_err(write)?;
            archive.rewind().map_err(write)?;
            extract_one(io::BufReader::new(archive), &name, &mut file, MAX_TOOL_BYTES)
                .map_err(|source| DownloadError::Archive { url, source })?;
            Ok(file)
        };
        match tokio::task::spawn_blocking(unpack).await {
            Ok(result) => result,
            Err(e) => Err(DownloadError::Write { path: self.dir.to_owned(), source: io::Error::other(e) }),
        }
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
