//! What an external command that ended has left.

use std::process::ExitStatus;
use std::time::Duration;

use super::run::{RunError, last_lines};
use crate::journal::{CommandRecord, Journal};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(signal)) => write!(f, "was ended by signal {signal}"),
            (None, None) => f.write_str("could not be ended"),
        }
    }
}

impl From<Option<ExitStatus>> for Exit {
    fn from(status: Option<ExitStatus>) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self { code: status.and_then(|s| s.code()), signal: status.and_then(|s| s.signal()) }
    }
}

/// What a command that ended has left. The texts are not redacted; the record is.
#[derive(Clone)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Standard output; its last 4 MiB if it was longer.
    pub stdout: String,
    /// Standard error; its last 4 MiB if it was longer.
    pub stderr: String,
    /// Wall time.
    pub duration: Duration,
    /// Process id that it had.
    pub pid: u32,
    /// What the journal holds of it, for transcripts.
    pub record: CommandRecord,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The record is the redacted form.
        f.debug_struct("Output").field("exit", &self.exit).field("record", &self.record).finish_non_exhaustive()
    }
}

impl Output {
    /// Whether it exited with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit.code == Some(0)
    }

    /// Takes every exit code but 0 for an error, whose text is redacted.
    ///
    /// # Errors
    /// [`RunError::Failed`].
    pub fn ok(self, journal: &Journal) -> Result<Self, RunError> {
        if self.success() {
            return Ok(self);
        }
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let stderr = last_lines(&journal.redactor().text(text));
        Err(RunError::Failed { command: self.record.argv.join(" "), exit: self.exit, stderr })
    }
}
