//! Finding the right version of each tool.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::download::{Download, lock};
use super::environment::names_a_proxy;
use super::error::{Attempt, ToolError};
use super::run::{Command, RunError};
use super::version::{Fit, exact, from_istioctl, from_kind, from_kubectl, plain, within_one_minor};
use crate::journal::{Event, Journal};
use crate::spec::{DownloadsSpec, ToolSpec, ToolsSpec};

/// How long a candidate may take to say its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A tool that meshproof runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolName {
    /// `kind`.
    Kind,
    /// `kubectl`.
    Kubectl,
    /// `istioctl`.
    Istioctl,
}

impl ToolName {
    /// The name of its executable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Kubectl => "kubectl",
            Self::Istioctl => "istioctl",
        }
    }

    fn version_args(self) -> &'static [&'static str] {
        match self {
            Self::Kind => &["version"],
            Self::Kubectl => &["version", "--client", "-o", "json"],
            Self::Istioctl => &["version", "--remote=false"],
        }
    }

    fn parse_version(self, stdout: &str) -> Option<String> {
        match self {
            Self::Kind => from_kind(stdout),
            Self::Kubectl => from_kubectl(stdout),
            Self::Istioctl => from_istioctl(stdout),
        }
    }

    fn fit(self, wanted: &str, found: &str) -> Option<Fit> {
        match self {
            Self::Kind | Self::Istioctl => exact(wanted, found),
            Self::Kubectl => within_one_minor(wanted, found),
        }
    }

    /// What upstream appends to a URL for the checksum file.
    fn checksum_suffix(self) -> &'static str {
        match self {
            Self::Kind => ".sha256sum",
            Self::Kubectl | Self::Istioctl => ".sha256",
        }
    }
}

impl std::fmt::Display for ToolName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a tool was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The spec names the file.
    Explicit,
    /// A directory of the `PATH`.
    Path,
    /// The tool cache, from an earlier download.
    Cache,
    /// It was downloaded just now.
    Download,
}

/// A tool of a version that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Which.
    pub name: ToolName,
    /// Its executable.
    pub path: PathBuf,
    /// The version that it says it has, without a leading `v`.
    pub version: String,
    /// Where it was found.
    pub origin: Origin,
}

impl Tool {
    /// A command that runs it.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(self.name.as_str(), &self.path)
    }
}

/// The tools of a run. Each is looked for when it is first asked for, and once; a failure is tried again.
#[derive(Debug)]
pub struct Tools {
    spec: ToolsSpec,
    downloads: DownloadsSpec,
    cache_dir: PathBuf,
    journal: Journal,
    search_dirs: Vec<PathBuf>,
    caller_has_proxy: bool,
    probe_timeout: Duration,
    downloading: bool,
    kind: OnceCell<Tool>,
    kubectl: OnceCell<Tool>,
    istioctl: OnceCell<Tool>,
}

impl Tools {
    /// Tools as the spec wants them, kept in `cache_dir` when they are downloaded.
    #[must_use]
    pub fn new(spec: &ToolsSpec, downloads: &DownloadsSpec, cache_dir: PathBuf, journal: Journal) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            spec: spec.clone(),
            downloads: downloads.clone(),
            cache_dir,
            journal,
            search_dirs: std::env::split_paths(&path).collect(),
            caller_has_proxy: names_a_proxy(std::env::vars_os()),
            probe_timeout: PROBE_TIMEOUT,
            downloading: true,
            kind: OnceCell::new(),
            kubectl: OnceCell::new(),
            istioctl: OnceCell::new(),
        }
    }

    /// Looks in these directories and not in those of the `PATH`.
    #[must_use]
    pub fn search_in(mut self, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.search_dirs = dirs.into_iter().collect();
        self
    }

    /// Takes what is there and downloads nothing.
    #[must_use]
    pub fn without_downloads(mut self) -> Self {
        self.downloading = false;
        self
    }

    #[cfg(test)]
    pub(crate) fn with_test_settings(mut self, caller_has_proxy: bool, probe_timeout: Duration) -> Self {
        (self.caller_has_proxy, self.probe_timeout) = (caller_has_proxy, probe_timeout);
        self
    }

    /// kind, in exactly the wanted version.
    ///
    /// # Errors
    /// When it is neither found nor can be downloaded.
    pub async fn kind(&self) -> Result<&Tool, ToolError> {
        self.kind.get_or_try_init(|| self.find(ToolName::Kind, &self.spec.kind)).await
    }

    /// kubectl, at most one minor away from the wanted version.
    ///
    /// # Errors
    /// When it is neither found nor can be downloaded.
    pub async fn kubectl(&self) -> Result<&Tool, ToolError> {
        self.kubectl.get_or_try_init(|| self.find(ToolName::Kubectl, &self.spec.kubectl)).await
    }

    /// istioctl, in exactly the wanted version.
    ///
    /// # Errors
    /// When it is neither found nor can be downloaded.
    pub async fn istioctl(&self) -> Result<&Tool, ToolError> {
        self.istioctl.get_or_try_init(|| self.find(ToolName::Istioctl, &self.spec.istioctl)).await
    }

    async fn find(&self, name: ToolName, spec: &ToolSpec) -> Result<Tool, ToolError> {
        let tool = self.find_unrecorded(name, spec).await?;
        self.journal.write(Event::Fact { name: name.to_string(), value: tool.version.clone() });
        Ok(tool)
    }

    async fn find_unrecorded(&self, name: ToolName, spec: &ToolSpec) -> Result<Tool, ToolError> {
        let wanted = plain(&spec.version);
        let tool = |(path, version, _): (PathBuf, String, Fit), origin| Tool { name, path, version, origin };
        if let Some(path) = &spec.path {
            let probed = self.probe(name, wanted, Path::new(path)).await;
            return probed.map(|found| tool(found, Origin::Explicit)).map_err(|attempt| ToolError::Explicit {
                name,
                wanted: wanted.to_owned(),
                attempt,
            });
        }

        let mut attempts = Vec::new();
        let mut second_best = None;
        for candidate in self.candidates(name, wanted) {
            match self.probe(name, wanted, &candidate).await {
                Ok(found) if found.2 <= Fit::SameMinor => return Ok(tool(found, Origin::Path)),
                Ok(found) => second_best = second_best.or(Some(found)),
                Err(attempt) => attempts.push(attempt),
            }
        }
        if let Some(found) = second_best {
            return Ok(tool(found, Origin::Path));
        }

        // The version becomes part of a path.
        if wanted.is_empty() || wanted.starts_with('.') || !wanted.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)) {
            return Err(ToolError::BadVersion { name, wanted: wanted.to_owned() });
        }
        let tool_dir = self.cache_dir.join(name.as_str());
        let dir = tool_dir.join(wanted);
        let cached = dir.join(name.as_str());
        if cached.exists()
            && let Ok(found) = self.probe(name, wanted, &cached).await
        {
            return Ok(tool(found, Origin::Cache));
        }
        if !self.downloading {
            return Err(ToolError::Absent { name, wanted: wanted.to_owned(), attempts });
        }
        let failed = |attempts, source| ToolError::NotFound {
            name,
            wanted: wanted.to_owned(),
            attempts,
            caller_has_proxy: self.caller_has_proxy,
            source: Box::new(source),
        };
        let _lock = match lock(&tool_dir).await {
            Ok(lock) => lock,
            Err(e) => return Err(failed(attempts, e)),
        };
        // Whoever held the lock before may have downloaded it.
        if cached.exists() {
            match self.probe(name, wanted, &cached).await {
                Ok(found) => return Ok(tool(found, Origin::Cache)),
                Err(attempt) => attempts.push(attempt),
            }
        }
        let download = Download { name: name.as_str(), url: &spec.url, checksum_suffix: name.checksum_suffix(), dir: &dir };
        let path = match download.run(&self.downloads).await {
            Ok(path) => path,
            Err(e) => return Err(failed(attempts, e)),
        };
        match self.probe(name, wanted, &path).await {
            Ok(found) => Ok(tool(found, Origin::Download)),
            Err(attempt) => Err(ToolError::WrongDownload { name, wanted: wanted.to_owned(), url: spec.url.clone(), attempt }),
        }
    }

    /// Whether there is an executable of this name, which some other tool needs.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.search_dirs.iter().filter(|dir| dir.is_absolute()).any(|dir| is_executable(&dir.join(name)))
    }

    /// Executables with one of the tool's names, in the order of the search directories, each file once.
    fn candidates(&self, name: ToolName, wanted: &str) -> Vec<PathBuf> {
        let names = [format!("{name}-{wanted}"), format!("{name}-v{wanted}"), name.to_string()];
        let mut seen = HashSet::new();
        let all = self.search_dirs.iter().filter(|dir| dir.is_absolute()).flat_map(|dir| names.iter().map(|n| dir.join(n)));
        // A relative entry of the PATH means another file in every directory; meshproof does not run what lies around.
        all.filter(|path| is_executable(path) && seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone()))).collect()
    }

    /// Asks a candidate for its version.
    async fn probe(&self, name: ToolName, wanted: &str, path: &Path) -> Result<(PathBuf, String, Fit), Attempt> {
        let reject = |why: String| Attempt { path: path.to_owned(), why };
        let command = Command::new(name.as_str(), path).args(name.version_args()).timeout(self.probe_timeout);
        let output = command.ok(&self.journal).await.map_err(|e| {
            reject(match e {
                RunError::Start { source, .. } => format!("does not run ({source})"),
                RunError::TimedOut { after, .. } => format!("did not say its version within {after:?}"),
                RunError::Failed { exit, stderr, .. } => {
                    let last = stderr.lines().last().unwrap_or_default();
                    format!("does not say its version: it {exit} ({last})")
                }
                other => format!("cannot be asked for its version ({other})"),
            })
        })?;
        let found = name.parse_version(&output.stdout).ok_or_else(|| reject("does not say its version in the expected form".to_owned()))?;
        match name.fit(wanted, &found) {
            Some(fit) => Ok((path.to_owned(), found, fit)),
            None => Err(reject(format!("is {found}"))),
        }
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
