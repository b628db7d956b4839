//! Why a tool cannot be had.

use std::path::PathBuf;

use super::download::DownloadError;
use super::locate::ToolName;

/// A candidate that was looked at and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, to be read after its path: `is 0.33.0`.
    pub why: String,
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.why)
    }
}

/// Errors of finding a tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The spec names a file that will not do.
    #[error("{name} {wanted} is needed: {attempt}")]
    Explicit {
        /// The tool.
        name: ToolName,
        /// The version that the spec wants.
        wanted: String,
        /// The file and what is wrong with it.
        attempt: Attempt,
    },
    /// No candidate will do and the download failed.
    #[error("{name} {wanted} is needed: {}the download failed", list(.attempts))]
    NotFound {
        /// The tool.
        name: ToolName,
        /// The version that the spec wants.
        wanted: String,
        /// What was looked at before.
        attempts: Vec<Attempt>,
        /// Whether the caller's environment names a proxy, which is not used.
        caller_has_proxy: bool,
        /// Why the download failed.
        source: Box<DownloadError>,
    },
    /// No candidate will do, and nothing is downloaded.
    #[error("there is no {name} {wanted} here{}", found(.attempts))]
    Absent {
        /// The tool.
        name: ToolName,
        /// The version that the spec wants.
        wanted: String,
        /// What was looked at.
        attempts: Vec<Attempt>,
    },
    /// The download is intact and will not do.
    #[error("{name} {wanted} is needed: {attempt}, although it was downloaded from {url}")]
    WrongDownload {
        /// The tool.
        name: ToolName,
        /// The version that the spec wants.
        wanted: String,
        /// Where it came from.
        url: String,
        /// The file and what is wrong with it.
        attempt: Attempt,
    },
    /// The version cannot be a directory's name.
    #[error("{wanted:?} is not a version of {name}")]
    BadVersion {
        /// The tool.
        name: ToolName,
        /// The version that the spec wants.
        wanted: String,
    },
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|a| format!("{a}; ")).collect()
}

fn found(attempts: &[Attempt]) -> String {
    let all: Vec<String> = attempts.iter().map(ToString::to_string).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}

impl ToolError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Explicit { name, .. } => {
                Some(format!("change or remove tools.{name}.path, or set tools.{name}.version to the version of that file"))
            }
            Self::NotFound { source, caller_has_proxy: true, .. } if source.is_network() => Some(
                "the proxy variables of the environment are not used; pass --set downloads.proxy=URL to download through a proxy"
                    .to_owned(),
            ),
            Self::NotFound { name, wanted, source, .. } if source.is_network() => Some(format!(
                "put {name} {wanted} on the PATH, for example as {name}-{wanted}, or set tools.{name}.url to where it can be downloaded from"
            )),
            Self::NotFound { source, .. } if matches!(**source, DownloadError::Checksum { .. }) => {
                Some("something between here and the server may have changed the file; nothing of it was kept".to_owned())
            }
            Self::WrongDownload { name, .. } => Some(format!("make tools.{name}.url and tools.{name}.version name the same version")),
            Self::Absent { name, wanted, .. } => Some(format!("put {name} {wanted} on the PATH")),
            Self::NotFound { .. } | Self::BadVersion { .. } => None,
        }
    }
}
