//! A machine of its own for every test: nothing of the real one reaches the binary, and nothing of the binary reaches the real one.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

/// Nothing here takes a second; a machine under load gets this long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A home, a state directory that does not exist yet, and variables.
pub(crate) struct Machine {
    dir: TempDir,
    variables: Vec<(String, OsString)>,
}

/// What a command left.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    /// A machine without an engine and without tools.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("mp").tempdir().expect("a temporary directory");
        for name in ["bin", "tmp", "work"] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory can be made");
        }
        let path = |name: &str| dir.path().join(name).into_os_string();
        let variables = [
            ("HOME", path("home")),
            ("PATH", path("bin")),
            ("TMPDIR", path("tmp")),
            ("XDG_CACHE_HOME", path("cache")),
            ("XDG_CONFIG_HOME", path("config")),
            ("XDG_STATE_HOME", path("xdg-state")),
            ("MESHPROOF_STATE", path("state")),
            ("DOCKER_HOST", "unix:///nonexistent/docker.sock".into()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { dir, variables }
    }

    /// Sets a variable of the binary's environment.
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// A path on this machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file into the working directory, under whose name the binary finds it.
    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path("work").join(name), text).expect("a file can be written");
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.start(args).end()
    }

    /// Starts the binary.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        self.start_with(&[], args)
    }

    /// Starts the binary with more variables.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Started {
        let mut command = command(env!("CARGO_BIN_EXE_meshproof"));
        command.args(args).envs(variables.iter().copied());
        self.start_command(command)
    }

    /// Runs the binary where no file can grow beyond so many blocks of 512 bytes: as on a full disk, every write fails.
    pub(crate) fn run_with_file_limit(&self, blocks: u32, args: &[&str]) -> Said {
        let mut command = command("/bin/sh");
        let script = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_meshproof")]).args(args);
        self.start_command(command).end()
    }

    fn start_command(&self, mut command: Command) -> Started {
        let variables = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect::<Vec<_>>();
        let mut child = command
            .current_dir(self.path("work"))
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = lines(child.stdout.take().expect("standard output is piped"));
        let stderr = lines(child.stderr.take().expect("standard error is piped"));
        Started { child, stdout, stderr, seen: String::new() }
    }

    /// The text with this machine's paths replaced, for snapshots.
    pub(crate) fn redacted(&self, text: &str) -> String {
        text.replace(&*self.dir.path().to_string_lossy(), "[MACHINE]")
    }

    /// Whether the binary has made anything at all; the cache of an engine's answers would be as wrong as a state directory.
    pub(crate) fn is_untouched(&self) -> bool {
        ["home", "cache", "config", "xdg-state", "state"].iter().all(|name| !self.path(name).exists())
    }
}

/// The binary at work.
pub(crate) struct Started {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    seen: String,
}

impl Started {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says something on standard error.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let line = self.stderr.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|e| panic!("it did not say `{text}` ({e}), only:\n{}", self.seen));
            self.seen += &line;
        }
    }

    /// Waits for its end, which must be SIGKILL.
    pub(crate) fn killed(self) {
        self.killed_as("it");
    }

    /// The same, with a word for what it is.
    pub(crate) fn killed_as(mut self, what: &str) {
        use std::os::unix::process::ExitStatusExt as _;
        // Whatever it started may still hold its streams.
        let status = self.child.wait().expect("its end can be awaited");
        assert_eq!(status.signal(), Some(9), "{what}: {status}");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Said {
        // Its streams close when it ends, and the channels with them.
        let stdout = rest(&self.stdout);
        let stderr = std::mem::take(&mut self.seen) + &rest(&self.stderr);
        let status = self.child.wait().expect("its end can be awaited");
        let code = status.code().unwrap_or_else(|| panic!("{status}; it said:\n{stdout}\n{stderr}"));
        Said { code, stdout, stderr }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // After `end` it is gone already; after a panic nobody else ends it.
        let _ = self.child.kill();
    }
}

fn rest(lines: &Receiver<String>) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => text += &line,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return text,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it does not end; it said:\n{text}"),
        }
    }
}

/// The lines of a stream, each with its end, as they come.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if sender.send(String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Polls until a condition holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    // Nobody ever sends: each turn is a bounded pause.
    let (_keep, never) = channel::<()>();
    let turns = PATIENCE.as_millis() / 10;
    let held = (0..turns).any(|_| condition() || never.recv_timeout(Duration::from_millis(10)).is_ok());
    assert!(held, "not within {PATIENCE:?}: {what}");
}

impl Said {
    /// Asserts the exit code and shows everything when it is another.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that standard error has these words.
    #[track_caller]
    pub(crate) fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not on standard error:\n{}", self.stderr);
        }
        self
    }

    /// Asserts that standard output has nothing: there was no result.
    #[track_caller]
    pub(crate) fn without_result(self) -> Self {
        assert_eq!(self.stdout, "", "standard output carries the result only");
        self
    }

    /// Asserts that standard error has nothing: there was no progress and no trouble.
    #[track_caller]
    pub(crate) fn without_progress(self) -> Self {
        assert_eq!(self.stderr, "", "standard error carries progress and errors only");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("standard output is not JSON ({e}):\n{}", self.stdout))
    }
}

/// Compares with a snapshot of the house's directory.
#[track_caller]
pub(crate) fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A program that may be run: an executable script.
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a script can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a script can be made executable");
}

#[expect(clippy::disallowed_methods, reason = "the process is the binary under test, which tools/ is a part of")]
fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}
