//! A command that runs until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::capture::pump;
use super::output::{Exit, Output};
use super::process::GRACE;
use super::run::{LINGER, Live, RunError};

/// Lines that wait for [`Running::next_line`]; of more, later ones are not kept for it. A child is never blocked by a reader that
/// has seen enough.
const WAITING_LINES: usize = 1024;

/// A long-running command, for example `kubectl proxy`. Ends when it is stopped or dropped, or with the runtime that started it.
pub struct Running {
    // Before the child: the process group must be signalled while its leader's pid is still taken.
    live: Live,
    child: Child,
    lines: mpsc::Receiver<String>,
    pumps: [JoinHandle<()>; 2],
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("command", &self.live.command()).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Running {
    pub(crate) fn new(
        mut child: Child,
        live: Live,
        input: Option<Vec<u8>>,
        mut to_out: impl FnMut(&str) + Send + 'static,
        to_err: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        let (sender, lines) = mpsc::channel(WAITING_LINES);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (out, err) = (Arc::clone(&live.out), Arc::clone(&live.err));
        let from_out = tokio::spawn(async move {
            let on_line = |line: &str| {
                to_out(line);
                let _ = sender.try_send(line.to_owned());
            };
            pump(stdout, &out, on_line).await;
        });
        let from_err = tokio::spawn(async move {
            let feed = async {
                if let (Some(mut pipe), Some(bytes)) = (stdin, input) {
                    let _ = pipe.write_all(&bytes).await;
                }
            };
            tokio::join!(feed, pump(stderr, &err, to_err));
        });
        Self { live, child, lines, pumps: [from_out, from_err] }
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.live.group.pid
    }

    /// The next line of standard output, not redacted, or `None` when there will be no more, which mostly means that the command has ended.
    ///
    /// # Errors
    /// [`RunError::Silent`] when no line comes in time.
    pub async fn next_line(&mut self, limit: Duration) -> Result<Option<String>, RunError> {
        let silent = |_| RunError::Silent { command: self.live.command(), after: limit, stderr: self.live.last_lines() };
        timeout(limit, self.lines.recv()).await.map_err(silent)
    }

    /// How it ended, when it has ended by itself.
    pub fn exited(&mut self) -> Option<Exit> {
        self.child.try_wait().ok().flatten().map(|status| Some(status).into())
    }

    /// Ends it and everything in its process group: SIGTERM, and SIGKILL after 5 seconds.
    ///
    /// # Errors
    /// When its end cannot be awaited.
    pub async fn stop(mut self) -> Result<Output, RunError> {
        self.live.group.signal(Signal::TERM);
        let first = timeout(GRACE, self.child.wait()).await;
        let status = if let Ok(status) = first {
            Some(status)
        } else {
            self.live.group.signal(Signal::KILL);
            timeout(GRACE, self.child.wait()).await.ok()
        };
        let status = status.transpose().map_err(|source| RunError::Wait { command: self.live.command(), source })?;
        let [out, err] = &mut self.pumps;
        let drained = timeout(LINGER, async { drop(tokio::join!(out, err)) }).await;
        // What the command started may be there still; and whoever holds the streams is.
        self.live.group.signal(Signal::KILL);
        if drained.is_err() {
            self.pumps.iter().for_each(JoinHandle::abort);
        }
        Ok(self.live.finish(status.into()))
    }
}
