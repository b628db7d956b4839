//! One process at a time works on a session; the others wait, bounded, and say for whom.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::{Limit, Progress, WaitError, Waiting};

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

/// Held until dropped; the kernel frees it when the process dies.
#[derive(Debug)]
pub struct SessionLock {
    _file: File,
}

impl SessionLock {
    /// Takes the lock of a state directory, and makes the directory where it does not exist.
    ///
    /// # Errors
    /// When the file cannot be opened or another process keeps the lock beyond the limit.
    pub async fn take(dir: &Path, waiting: &Waiting) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let attempt = || async {
            // Opened anew each time: the holder may be a `down`, which removes the file with everything else.
            let file = match open() {
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
                Ok(()) if !is_at(&file, &path) => Progress::NotYet("the environment was just removed".to_owned()),
                Ok(()) => Progress::Ready(Ok(file)),
                Err(TryLockError::WouldBlock) => {
                    let holder = std::fs::read_to_string(&path).unwrap_or_default();
                    let holder = holder.trim();
                    let holder = if holder.is_empty() { "another process" } else { holder };
                    Progress::NotYet(format!("{holder} works on this environment"))
                }
                Err(TryLockError::Error(e)) => Progress::Ready(Err(e)),
            }
        };
        let mut file = waiting
            .poll("the session's lock", Limit::SessionLock, Duration::from_millis(200), attempt)
            .await
            .map_err(LockError::Held)?
            .map_err(|source| LockError::Open { path: path.clone(), source })?;
        let mut note = || {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            write!(file, "process {}", std::process::id())
        };
        note().map_err(|source| LockError::Open { path, source })?;
        Ok(Self { _file: file })
    }
}

/// Whether the open file is still the one that the path names.
fn is_at(file: &File, path: &Path) -> bool {
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
        let first = SessionLock::take(dir.path(), &waiting).await.unwrap();
        let error = clock.drive(SessionLock::take(dir.path(), &waiting)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("not within 120 s"), "{text}");
        drop(first);
        SessionLock::take(dir.path(), &waiting).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_was_just_removed_is_made_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        let clock = ManualClock::default();
        let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
        clock.drive(SessionLock::take(&dir, &waiting)).await.unwrap();
        assert!(dir.join("lock").exists());
        std::fs::write(parent.path().join("file"), "").unwrap();
        let error = clock.drive(SessionLock::take(&parent.path().join("file/state"), &waiting)).await.unwrap_err();
        assert!(matches!(error, LockError::Open { .. }), "{error}");
    }
}
