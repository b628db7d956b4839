//! How a stage fails.

use crate::cluster::user_config::UserConfigError;
use crate::cluster::{ClientError, NodeError};
use crate::diagnose::{Kind, Line, explain, find};
use crate::engine::EngineError;
use crate::journal::Diagnosis;
use crate::session::SessionError;
use crate::text;
use crate::tools::{DownloadError, RunError, ToolError};
use crate::wait::WaitError;

/// Errors of provisioning.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The container engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A command line tool is not to be had.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// An external command failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A node cannot be reached.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No client for the cluster.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The user's kubeconfig.
    #[error(transparent)]
    UserConfig(#[from] UserConfigError),
    /// The state directory.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A manifest is not to be had.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// `kind create cluster` failed.
    #[error("the cluster could not be created")]
    Create {
        /// Why, in kind's words.
        source: RunError,
        /// The last lines of the nodes' logs, which kind does not repeat.
        nodes: Vec<String>,
    },
    /// A request to the API server failed.
    #[error("cannot {operation}")]
    Kube {
        /// What was asked for.
        operation: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// A manifest is not what it should be.
    #[error("the manifest {manifest} is not usable: {reason}")]
    Manifest {
        /// Where it came from.
        manifest: String,
        /// Why, with the line where known.
        reason: String,
    },
    /// meshproof refuses to go on; the text is the message `refusal-<key>`.
    #[error("{}", text::current().with(&format!("refusal-{key}"), &pairs(args)))]
    Refused {
        /// Key of the text.
        key: &'static str,
        /// Its variables.
        args: Vec<(&'static str, String)>,
    },
    /// An error of a stage that another crate added.
    #[error("{message}")]
    Other {
        /// One sentence.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

fn pairs<'a>(args: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    args.iter().map(|(k, v)| (*k, v.as_str())).collect()
}

impl StageError {
    /// A refusal with its variables.
    pub fn refused(key: &'static str, args: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self::Refused { key, args: args.into_iter().collect() }
    }

    /// For `map_err` on requests to the API server.
    pub fn kube(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Kube { operation, source: Box::new(source) }
    }

    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let texts = text::current();
        match self {
            Self::Refused { key, args } => texts.attribute(&format!("refusal-{key}"), "hint", &pairs(args)),
            Self::Tool(e) => e.hint(),
            Self::UserConfig(e) => e.hint(),
            Self::Engine(EngineError::Unreachable { .. }) => Some(texts.get("hint-engine-unreachable")),
            Self::Download(DownloadError::Request { .. } | DownloadError::Status { .. } | DownloadError::Body { .. }) => {
                Some(texts.get("hint-download"))
            }
            Self::Other { hint, .. } => hint.clone(),
            _ => None,
        }
    }

    /// Causes that the error's texts and the states seen point to.
    #[must_use]
    pub fn diagnoses(&self) -> Vec<Diagnosis> {
        match self {
            Self::Wait(e) => e.diagnoses(),
            other => {
                let chain = crate::error::chain(other);
                let mut lines: Vec<Line<'_>> = chain.iter().flat_map(|message| Line::all(Kind::Error, message)).collect();
                if let Self::Create { nodes, .. } = other {
                    lines.extend(nodes.iter().flat_map(|line| Line::all(Kind::Log, line)));
                }
                // An error that says what to do about it is no riddle.
                if other.hint().is_some() { find(&lines) } else { explain(&lines) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Exit;

    #[test]
    fn a_failed_creation_is_diagnosed_by_what_the_nodes_said() {
        let source = RunError::Failed {
            command: "kind create cluster".into(),
            exit: Exit { code: Some(1), signal: None },
            stderr: "ERROR: failed to create cluster: could not find a log line that matches".into(),
        };
        let nodes = vec!["kubelet: kubelet is configured to not run on a host using cgroup v1".to_owned()];
        let error = StageError::Create { source, nodes };
        assert_eq!(error.diagnoses().iter().map(|d| d.rule.as_str()).collect::<Vec<_>>(), ["P12"]);
        let chain = crate::error::chain(&error);
        assert_eq!(chain[0], "the cluster could not be created");
        assert!(chain[1].contains("could not find a log line"), "{chain:?}");
    }
}
