//! A process that outlives the command that starts it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use super::environment::scrub;

/// A process that was started and let go.
#[derive(Debug)]
pub struct Detached(Child);

impl Detached {
    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        match self.0.try_wait() {
            Ok(Some(status)) => Some(status.to_string()),
            Ok(None) => None,
            Err(e) => Some(e.to_string()),
        }
    }
}

/// Starts a program with no input, the scrubbed environment and these variables, and its output in a file that only the owner reads.
///
/// It is let go once it calls `setsid` itself, which a program that leads a process group already could not.
///
/// # Errors
/// When the file cannot be written or the program cannot be started.
pub fn detach(program: &Path, args: &[OsString], variables: &[(String, OsString)], log: &Path) -> io::Result<Detached> {
    let output = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(log)?;
    #[expect(clippy::disallowed_methods, reason = "this is tools/")]
    let mut command = std::process::Command::new(program);
    command.args(args).env_clear().envs(scrub(std::env::vars_os())).envs(variables.iter().cloned());
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // A working directory that somebody wants to remove is not held.
    command.current_dir("/").spawn().map(Detached)
}
