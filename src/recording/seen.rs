//! What the recorders of a session saw.

use std::path::PathBuf;

use crate::mirror::record::{Access, read};
use crate::session::Session;

/// What the recorders saw from one moment on.
#[derive(Debug, Clone)]
pub struct Seen {
    file: PathBuf,
    from: u64,
}

impl Seen {
    /// Everything since the environment was made.
    #[must_use]
    pub fn all(session: &Session) -> Self {
        Self { file: super::file(session), from: 0 }
    }

    /// What they will see from now on.
    #[must_use]
    pub fn from_now(session: &Session) -> Self {
        let file = super::file(session);
        let from = std::fs::metadata(&file).map_or(0, |m| m.len());
        Self { file, from }
    }

    /// What there is by now; nothing where nothing was ever recorded.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> std::io::Result<Vec<Access>> {
        self.clone().take()
    }

    /// What there is by now and was not taken before.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn take(&mut self) -> std::io::Result<Vec<Access>> {
        match read(&self.file, self.from) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            seen => {
                let (accesses, next) = seen?;
                self.from = next;
                Ok(accesses)
            }
        }
    }
}
