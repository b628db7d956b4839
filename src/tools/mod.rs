//! The command line tools: kind, kubectl, istioctl.
//!
//! This is the only module that starts processes. [`Command`] runs one with a scrubbed environment, in a process group of its
//! own, and journals its start and its end. [`Tools`] finds the right version of each tool or downloads it.

mod archive;
mod capture;
mod detached;
mod download;
mod environment;
mod error;
mod listeners;
mod locate;
mod output;
mod process;
mod run;
mod running;
pub(crate) mod turn;
mod version;

#[cfg(test)]
pub(crate) mod testing;

pub use archive::ArchiveError;
pub use detached::{Detached, detach};
pub use download::{DownloadError, MAX_TEXT_BYTES, fetch_text, plain_client};
pub use environment::{PASSED_VARIABLES, copy_docker_config, docker_config_dir};
pub use error::{Attempt, ToolError};
pub use listeners::listeners;
pub use locate::{Origin, Tool, ToolName, Tools};
pub use output::{Exit, Output};
pub use process::{Ended, end_if_same, is_alive, settle, start_ticks};
pub use run::{Command, RunError};
pub use running::Running;
pub use turn::PortTurn;

pub use capture::Stream;
