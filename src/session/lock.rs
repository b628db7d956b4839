//! One process at a time works on a session; the others wait, bounded, and say for whom.
//!
//! The lock is the kernel's and goes with the process, so it is the truth about who is alive. The note inside the file is for people: who it
//! is, what it does, and when it was last heard of.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use super::Owner;
use crate::wait::{Limit, Progress, WaitError, Waiting};

const FILE: &str = "lock";
/// How often a holder says that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A holder that was not heard of for this long is stopped or starved, and whoever waits for it is told so.
const SILENT_AFTER: Duration = Duration::from_secs(30);

/// Errors of the session's lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process did not give it up in time.
    #[error(transparent)]
    Held(WaitError),
}

impl LockError {
    /// Whether the environment went away meanwhile.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Who holds a session's lock, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The process.
    #[serde(flatten)]
    pub process: Owner,
    /// What it does: the subcommand, for example `up`.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was last heard of.
    pub beat: Timestamp,
}

impl Holder {
    fn me(command: &str) -> Self {
        let now = Timestamp::now();
        Self { process: Owner::me(), command: command.to_owned(), since: now, beat: now }
    }

    /// One line about it. Times are left out where the clock was moved.
    fn line(&self) -> String {
        let ago = |at: Timestamp| u64::try_from(Timestamp::now().duration_since(at).as_secs()).ok();
        let since = ago(self.since).map_or_else(String::new, |s| format!(" since {s} s"));
        let silent = ago(self.beat).filter(|s| *s >= SILENT_AFTER.as_secs());
        let silent = silent.map_or_else(String::new, |s| format!(", not heard of for {s} s"));
        format!("process {} (meshproof {}) works on this environment{since}{silent}", self.process.pid, self.command)
    }
}

/// Held until dropped; the kernel frees it when the process dies.
#[derive(Debug)]
pub struct SessionLock {
    file: File,
    beating: AbortHandle,
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        // The note is a second handle on the same lock; it must not outlive this one.
        self.beating.abort();
        let _ = self.file.unlock();
    }
}

impl SessionLock {
    /// Takes the lock of a state directory for a command, and makes the directory where it does not exist.
    ///
    /// # Errors
    /// When the file cannot be opened or another process keeps the lock beyond the limit.
    pub async fn take(dir: &Path, waiting: &Waiting, command: &str) -> Result<Self, LockError> {
        Self::take_within(dir, waiting, command, Limit::SessionLock).await
    }

    /// The same with another limit: whoever needs an environment that somebody else provisions waits for longer.
    ///
    /// # Errors
    /// As [`SessionLock::take`].
    pub async fn take_within(dir: &Path, waiting: &Waiting, command: &str, limit: Limit) -> Result<Self, LockError> {
        let path = dir.join(FILE);
        let attempt = || std::future::ready(attempt(dir, &path));
        let file = waiting
            .poll("the session's lock", limit, Duration::from_millis(200), attempt)
            .await
            .map_err(LockError::Held)?
            .map_err(|source| LockError::Open { path: path.clone(), source })?;
        Self::note(file, waiting, command).map_err(|source| LockError::Open { path, source })
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn try_take(dir: &Path, waiting: &Waiting, command: &str) -> Result<Option<Self>, LockError> {
        let path = dir.join(FILE);
        match attempt(dir, &path) {
            Progress::Ready(Ok(file)) => Self::note(file, waiting, command).map(Some).map_err(|source| LockError::Open { path, source }),
            Progress::Ready(Err(source)) => Err(LockError::Open { path, source }),
            Progress::NotYet(_) | Progress::Terminal(_) => Ok(None),
        }
    }

    fn note(mut file: File, waiting: &Waiting, command: &str) -> io::Result<Self> {
        let mut holder = Holder::me(command);
        write_note(&mut file, &holder)?;
        let mut note = file.try_clone()?;
        let beat = waiting.every(BEAT_EVERY, move || {
            holder.beat = Timestamp::now();
            // A full disk must not end the work that fills it.
            let _ = write_note(&mut note, &holder);
        });
        Ok(Self { file, beating: tokio::spawn(beat).abort_handle() })
    }

    /// Who works on the session of a state directory now; `None` where nobody does.
    #[must_use]
    pub fn holder(dir: &Path) -> Option<Holder> {
        let path = dir.join(FILE);
        let file = File::open(&path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            // Free, or not to be told; whoever then works on it takes the lock first and finds out.
            _ => return None,
        }
        let unknown = || Holder { process: Owner { pid: 0, start_ticks: None, boot: None, namespace: None }, ..Holder::me("") };
        Some(read_note(&path).unwrap_or_else(unknown))
    }
}

fn attempt(dir: &Path, path: &Path) -> Progress<io::Result<File>> {
    // Opened anew each time: the holder may be a `down`, which removes the file with everything else.
    let file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path) {
        Ok(file) => file,
        // A `down` that held the lock took the directory with it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return match super::make_private_dir(dir) {
                Ok(()) => Progress::NotYet("the environment was just removed".to_owned()),
                Err(e) => Progress::Ready(Err(e)),
            };
        }
        Err(e) => return Progress::Ready(Err(e)),
    };
    match file.try_lock() {
        Ok(()) if !is_at(&file, path) => Progress::NotYet("the environment was just removed".to_owned()),
        Ok(()) => Progress::Ready(Ok(file)),
        Err(TryLockError::WouldBlock) => {
            Progress::NotYet(read_note(path).map_or_else(|| "another process works on this environment".to_owned(), |h| h.line()))
        }
        Err(TryLockError::Error(e)) => Progress::Ready(Err(e)),
    }
}

fn read_note(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// In one write, so that a reader sees one note or the other.
fn write_note(file: &mut File, holder: &Holder) -> io::Result<()> {
    let text = serde_json::to_vec(holder)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

/// Whether the open file is still the one that the path names.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wait::{Limits, ManualClock};

    #[tokio::test]
    async fn a_second_taker_waits_bounded_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::default();
        let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
        let first = SessionLock::take(dir.path(), &waiting, "up").await.unwrap();
        let error = clock.drive(SessionLock::take(dir.path(), &waiting, "verify")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("process {} (meshproof up) works on this environment", std::process::id())), "{text}");
        assert!(text.contains("not within 120 s"), "{text}");
        assert!(SessionLock::try_take(dir.path(), &waiting, "down").unwrap().is_none());
        let holder = SessionLock::holder(dir.path()).unwrap();
        assert_eq!((holder.process.pid, holder.command.as_str()), (std::process::id(), "up"));
        assert!(holder.process.alive());
        drop(first);
        assert_eq!(SessionLock::holder(dir.path()), None);
        SessionLock::take(dir.path(), &waiting, "verify").await.unwrap();
    }

    #[tokio::test]
    async fn a_holder_is_heard_of_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::default();
        let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
        let _lock = SessionLock::take(dir.path(), &waiting, "up").await.unwrap();
        let path = dir.path().join(FILE);
        let first = read_note(&path).unwrap().beat;
        let changed = || {
            std::future::ready(if read_note(&path).unwrap().beat == first { Progress::NotYet(String::new()) } else { Progress::Ready(()) })
        };
        clock.drive(waiting.poll("a beat", Limit::SessionLock, Duration::from_secs(1), changed)).await.unwrap();
    }

    #[test]
    fn a_stopped_holder_is_told_from_a_busy_one_and_a_moved_clock_from_both() {
        let at = |seconds: i64| Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
        let mut holder = Holder::me("up");
        holder.since = at(-100);
        assert!(holder.line().contains("since 100 s") && !holder.line().contains("heard"), "{}", holder.line());
        holder.beat = at(-45);
        assert!(holder.line().contains("not heard of for 45 s"), "{}", holder.line());
        (holder.since, holder.beat) = (at(500), at(500));
        assert!(holder.line().ends_with("works on this environment"), "{}", holder.line());
    }

    #[tokio::test]
    async fn a_directory_that_was_just_removed_is_made_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        let clock = ManualClock::default();
        let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
        clock.drive(SessionLock::take(&dir, &waiting, "up")).await.unwrap();
        assert!(dir.join("lock").exists());
        std::fs::write(parent.path().join("file"), "").unwrap();
        let error = clock.drive(SessionLock::take(&parent.path().join("file/state"), &waiting, "up")).await.unwrap_err();
        assert!(matches!(error, LockError::Open { .. }), "{error}");
    }
}
