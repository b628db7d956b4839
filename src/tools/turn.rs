//! Taking turns at a port of this machine: environments that know nothing of each other run `kubectl proxy` on the same documented one.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::wait::{Limit, Progress, WaitError, Waiting};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A turn at a port; over when it is dropped.
#[derive(Debug)]
pub struct PortTurn {
    /// Absent where any port will do, and where no file for turns can be had: then the port itself tells.
    _file: Option<File>,
}

impl PortTurn {
    /// Waits for a turn, bounded; 0 means any port, for which nobody waits.
    ///
    /// # Errors
    /// When others do not give the port up in time.
    pub async fn take(port: u16, waiting: &Waiting) -> Result<Self, WaitError> {
        let Some(file) = open(port) else { return Ok(Self { _file: None }) };
        let attempt = || {
            std::future::ready(match file.try_lock() {
                Err(TryLockError::WouldBlock) => Progress::NotYet("another environment has it".to_owned()),
                Ok(()) | Err(TryLockError::Error(_)) => Progress::Ready(()),
            })
        };
        waiting.poll(&format!("a turn at port {port}"), Limit::Outcome, LOOK_EVERY, attempt).await?;
        Ok(Self { _file: Some(file) })
    }

    /// A turn if nobody has one now, else nothing: then the port may be in use, but it will be free.
    #[must_use]
    pub fn try_take(port: u16) -> Option<Self> {
        let file = open(port);
        let taken = file.as_ref().is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        (!taken).then_some(Self { _file: file })
    }
}

/// The file of a port's turns, in a directory of this user's own: in one that all may write to, anybody could be in the way. With other users
/// there are no turns.
fn open(port: u16) -> Option<File> {
    if port == 0 {
        return None;
    }
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path(port)?).ok()
}

fn path(port: u16) -> Option<PathBuf> {
    Some(directory()?.join(format!("port-{port}.lock")))
}

/// Takes the file of a port's turns away, which a test alone has used.
#[cfg(test)]
pub(crate) fn forget(port: u16) {
    let _ = path(port).map(std::fs::remove_file);
}

fn directory() -> Option<PathBuf> {
    let me = rustix::process::getuid().as_raw();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute() && dir.is_dir());
    let dir = given.map_or_else(|| std::env::temp_dir().join(format!("meshproof-{me}")), |dir| dir.join("meshproof"));
    let _ = std::fs::DirBuilder::new().mode(0o700).create(&dir);
    let found = std::fs::symlink_metadata(&dir).ok()?;
    (found.is_dir() && found.uid() == me).then_some(dir)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wait::{Limits, ManualClock};

    #[tokio::test]
    async fn a_port_is_one_environments_at_a_time_and_any_port_is_nobodys() {
        // A port of this process's own.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let clock = ManualClock::default();
        let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
        let first = PortTurn::take(port, &waiting).await.unwrap();
        assert!(PortTurn::try_take(port).is_none());
        let error = clock.drive(PortTurn::take(port, &waiting)).await.unwrap_err();
        assert!(error.to_string().contains("another environment has it"), "{error}");
        drop(first);
        let second = PortTurn::try_take(port).unwrap();
        assert!(PortTurn::try_take(port).is_none());
        drop(second);
        PortTurn::take(port, &waiting).await.unwrap();
        let _any = (PortTurn::take(0, &waiting).await.unwrap(), PortTurn::take(0, &waiting).await.unwrap());
        std::fs::remove_file(path(port).unwrap()).unwrap();
    }
}
