//! Who uses an environment, without working on it: a shared lock for each, which whoever removes the environment must have alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::lock::{LockError, is_at};
use super::state::boot;
use crate::wait::{Limit, Progress, Waiting};

const FILE: &str = "lease";
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Held while an environment is used; the kernel frees it when the process dies.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    /// Uses the environment of a state directory, together with others. Its time to live begins anew.
    ///
    /// # Errors
    /// When the file cannot be opened, or somebody removes the environment for longer than the limit.
    pub async fn share(dir: &Path, waiting: &Waiting) -> Result<Self, LockError> {
        let mut file = take(dir, waiting, "the environment's lease", Limit::SharedEnvironment, File::try_lock_shared).await?;
        note(&mut file);
        Ok(Self { _file: file })
    }

    /// Has the environment alone, as whoever removes it must. Waits, bounded, for those who use it.
    ///
    /// # Errors
    /// When the file cannot be opened, or the environment is used for longer than the limit.
    pub async fn alone(dir: &Path, waiting: &Waiting) -> Result<Self, LockError> {
        let file = take(dir, waiting, "nobody uses the environment", Limit::SessionLock, File::try_lock).await?;
        Ok(Self { _file: file })
    }

    /// The same without waiting: `None` while somebody uses it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn try_alone(dir: &Path) -> Result<Option<Self>, LockError> {
        let path = dir.join(FILE);
        let file = open(&path).map_err(|source| LockError::Open { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(LockError::Open { path, source }),
        }
    }

    /// Says that the environment is used now, for somebody to whom it is handed over without a lease.
    pub fn note(dir: &Path) {
        if let Ok(mut file) = open(&dir.join(FILE)) {
            note(&mut file);
        }
    }

    /// How long nobody has used the environment; `None` where nobody ever has, or the clock was moved back since.
    ///
    /// Within one boot the machine's uptime is asked as well, so that a clock that was moved forward makes nothing look old.
    #[must_use]
    pub(super) fn idle(dir: &Path) -> Option<Duration> {
        let path = dir.join(FILE);
        let by_clock = SystemTime::now().duration_since(std::fs::metadata(&path).ok()?.modified().ok()?).ok()?;
        let text = std::fs::read_to_string(&path).ok()?;
        let by_uptime = text
            .trim()
            .split_once(' ')
            .filter(|(of, _)| boot().as_deref() == Some(of))
            .and_then(|(_, then)| Some(Duration::from_secs(uptime()?.saturating_sub(then.parse().ok()?))));
        Some(by_uptime.map_or(by_clock, |uptime| uptime.min(by_clock)))
    }
}

/// Writes down when it is used, by the boot and the seconds since as far as the system tells, and by the file's own time. Only the time to live
/// hangs on it, and a full disk must not keep a test from its environment.
fn note(file: &mut File) {
    let used = format!("{} {}", boot().unwrap_or_default(), uptime().unwrap_or_default());
    let length = used.len() as u64;
    let _ = file.write_all(used.as_bytes()).and_then(|()| file.set_len(length)).and_then(|()| file.set_modified(SystemTime::now()));
}

fn uptime() -> Option<u64> {
    std::fs::read_to_string("/proc/uptime").ok()?.split('.').next()?.parse().ok()
}

fn open(path: &Path) -> io::Result<File> {
    // Where somebody removes the environment right now, a new file would be in the way.
    if !path.with_file_name("state.json").exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no environment any more"));
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

async fn take(
    dir: &Path,
    waiting: &Waiting,
    what: &str,
    limit: Limit,
    lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<File, LockError> {
    let path = dir.join(FILE);
    let attempt = || {
        std::future::ready(match open(&path) {
            Err(e) => Progress::Ready(Err(e)),
            Ok(file) => match lock(&file) {
                Ok(()) if is_at(&file, &path) => Progress::Ready(Ok(file)),
                Ok(()) => Progress::NotYet("the environment was just removed".to_owned()),
                Err(TryLockError::WouldBlock) => Progress::NotYet(users(&file)),
                Err(TryLockError::Error(e)) => Progress::Ready(Err(e)),
            },
        })
    };
    let taken = waiting.poll(what, limit, LOOK_EVERY, attempt).await.map_err(LockError::Held)?;
    taken.map_err(|source| LockError::Open { path: PathBuf::from(&path), source })
}

/// Who has the lock on a file, as far as `/proc/locks` tells.
fn users(file: &File) -> String {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = file.metadata().map(|m| m.ino()).unwrap_or_default();
    let mut pids: Vec<&str> = holders(&locks, inode).collect();
    pids.sort_unstable();
    pids.dedup();
    match pids.as_slice() {
        [] => "another process uses this environment".to_owned(),
        [pid] => format!("process {pid} uses this environment"),
        [first, .., last] => format!("{} processes use this environment ({first} to {last})", pids.len()),
    }
}

/// The process ids of the holders of a file's lock: `1: FLOCK  ADVISORY  READ 4242 08:01:131 0 EOF`. Source: proc(5).
fn holders(locks: &str, inode: u64) -> impl Iterator<Item = &str> {
    locks.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = fields.as_slice() else { return None };
        (place.rsplit(':').next()?.parse() == Ok(inode)).then_some(*pid)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wait::{Limits, ManualClock};

    fn session() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state.json"), "{}").unwrap();
        dir
    }

    #[tokio::test]
    async fn where_there_is_no_environment_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let error = Lease::share(dir.path(), &Waiting::default()).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        Lease::note(dir.path());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn many_share_and_whoever_removes_waits_for_them() {
        let dir = session();
        let clock = ManualClock::default();
        let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
        let first = Lease::share(dir.path(), &waiting).await.unwrap();
        let second = Lease::share(dir.path(), &waiting).await.unwrap();
        let error = clock.drive(Lease::alone(dir.path(), &waiting)).await.unwrap_err();
        assert!(error.to_string().contains("use this environment") || error.to_string().contains("uses this environment"), "{error}");
        drop((first, second));
        let alone = Lease::alone(dir.path(), &waiting).await.unwrap();
        assert!(Lease::try_alone(dir.path()).unwrap().is_none());
        clock.drive(Lease::share(dir.path(), &waiting)).await.unwrap_err();
        drop(alone);
        assert!(Lease::try_alone(dir.path()).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_clock_that_was_moved_makes_nothing_look_old() {
        let dir = session();
        assert_eq!(Lease::idle(dir.path()), None, "nobody ever used it");
        let lease = Lease::share(dir.path(), &Waiting::default()).await.unwrap();
        assert!(Lease::idle(dir.path()).unwrap() < Duration::from_mins(1));
        let moved = |seconds: i64| {
            let now = SystemTime::now();
            let by = Duration::from_secs(seconds.unsigned_abs());
            let at = if seconds < 0 { now - by } else { now + by };
            File::options().write(true).open(dir.path().join(FILE)).unwrap().set_modified(at).unwrap();
        };
        // As if the clock had since been moved a year forward, within one boot.
        moved(-31_536_000);
        assert!(Lease::idle(dir.path()).unwrap() < Duration::from_mins(1));
        // And back.
        moved(31_536_000);
        assert_eq!(Lease::idle(dir.path()), None);
        // After another boot only the clock can tell.
        std::fs::write(dir.path().join(FILE), "another-boot 5").unwrap();
        moved(-7200);
        assert!(Lease::idle(dir.path()).unwrap() >= Duration::from_hours(2));
        drop(lease);
    }

    #[test]
    fn holders_are_read_off_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:5 0 EOF\n2: FLOCK  ADVISORY  READ 42 08:01:131 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 43 08:01:131 0 EOF\n";
        assert_eq!(holders(locks, 131).collect::<Vec<_>>(), ["42"]);
        assert_eq!(holders(locks, 5).count(), 0);
    }
}
