//! Running one external command.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::time::timeout;

use super::capture::{Capture, Stream, pump, record_tail};
use super::environment::scrub;
use super::output::{Exit, Output};
use super::process::{GRACE, Group, start_ticks};
use super::running::Running;
use crate::journal::{CommandRecord, Event, Journal};

const REDACTED: &str = "<redacted>";
/// No command runs longer than this unless its caller says so.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// How long the streams of a child that has ended may stay open because something that it left behind holds them.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// Lines of standard error in the message of a failure.
const ERROR_LINES: usize = 15;

type OnLine = Arc<dyn Fn(Stream, &str) + Send + Sync>;

/// Errors of running a command. Their texts are redacted.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program's path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Its end could not be awaited.
    #[error("cannot wait for `{command}`")]
    Wait {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It ran too long and was ended.
    #[error("`{command}` did not end within {after:?}{}", tail(.stderr))]
    TimedOut {
        /// The command line.
        command: String,
        /// The time that it had.
        after: Duration,
        /// The last lines of standard error.
        stderr: String,
    },
    /// A long-running command wrote no line in time.
    #[error("`{command}` wrote nothing within {after:?}{}", tail(.stderr))]
    Silent {
        /// The command line.
        command: String,
        /// The time that it had.
        after: Duration,
        /// The last lines of standard error.
        stderr: String,
    },
    /// It ended without success.
    #[error("`{command}` {exit}{}", tail(.stderr))]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        exit: Exit,
        /// The last lines of standard error, or of standard output when it wrote no error.
        stderr: String,
    },
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it wrote:\n{stderr}") }
}

/// An external command to be run, with a scrubbed environment and in a process group of its own.
#[derive(Clone)]
pub struct Command {
    program: PathBuf,
    name: String,
    args: Vec<(OsString, bool)>,
    base_env: Vec<(OsString, OsString)>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    secret_output: bool,
    timeout: Duration,
    on_line: Option<OnLine>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments, environment and standard input may hold secrets.
        f.debug_struct("Command").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Command {
    /// A command that is recorded under `name` and runs `program`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            name: name.into(),
            args: Vec::new(),
            base_env: scrub(std::env::vars_os()),
            env: Vec::new(),
            cwd: None,
            stdin: None,
            secret_output: false,
            timeout: DEFAULT_TIMEOUT,
            on_line: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push((arg.as_ref().to_owned(), false));
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|a| (a.as_ref().to_owned(), false)));
        self
    }

    /// Adds an argument that no record shows.
    #[must_use]
    pub fn secret_arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push((arg.as_ref().to_owned(), true));
        self
    }

    /// Sets a variable for the child, whatever its name.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes the inherited variables from here and not from this process; they are scrubbed all the same.
    #[must_use]
    pub fn inherit_from(mut self, vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.base_env = scrub(vars);
        self
    }

    /// Lets the child read this Docker configuration directory; see [`copy_docker_config`](super::copy_docker_config).
    #[must_use]
    pub fn docker_config(self, dir: &Path) -> Self {
        self.env("DOCKER_CONFIG", dir)
    }

    /// Runs in this directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Writes this to standard input and closes it. Without it standard input is empty. It is never recorded.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The output is a secret: no record shows it, and what it prints is made known to the journal's redactor.
    #[must_use]
    pub fn secret_output(mut self) -> Self {
        self.secret_output = true;
        self
    }

    /// Ends it after this time. Without it, after 30 minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Calls this with every line as it is written, redacted; never when the output is secret.
    #[must_use]
    pub fn on_line(mut self, on_line: impl Fn(Stream, &str) + Send + Sync + 'static) -> Self {
        self.on_line = Some(Arc::new(on_line));
        self
    }

    /// Runs it to its end, whatever its exit code is. Dropping the future ends the command and everything in its process group.
    ///
    /// # Errors
    /// When it cannot be started or awaited, or does not end in time.
    pub async fn output(self, journal: &Journal) -> Result<Output, RunError> {
        let (mut child, mut live) = self.start(journal).await?;
        let (out, err) = (Arc::clone(&live.out), Arc::clone(&live.err));
        let to_out = self.line_handler(Stream::Stdout, journal);
        let to_err = self.line_handler(Stream::Stderr, journal);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let (Some(mut pipe), Some(bytes)) = (stdin, self.stdin) {
                // A child that does not read all of it is not an error.
                let _ = pipe.write_all(&bytes).await;
            }
        };
        let mut streams = pin!(async {
            tokio::join!(feed, pump(stdout, &out, to_out), pump(stderr, &err, to_err));
        });
        let mut drained = false;

        let first = timeout(self.timeout, settle(&mut child, streams.as_mut(), &mut drained)).await;
        let timed_out = first.is_err();
        let status = if let Ok(status) = first {
            Some(status)
        } else {
            live.group.signal(Signal::TERM);
            let ended = timeout(GRACE, settle(&mut child, streams.as_mut(), &mut drained)).await;
            live.group.signal(Signal::KILL);
            match ended {
                Ok(status) => Some(status),
                // Nothing is left to be done about a process that the kernel does not end.
                Err(_) => timeout(GRACE, settle(&mut child, streams.as_mut(), &mut drained)).await.ok(),
            }
        };
        if !drained {
            // Something that the command left behind still holds its streams.
            live.group.end_detached();
        }
        let status = match status.transpose() {
            Ok(status) => status,
            Err(source) => return Err(RunError::Wait { command: live.command(), source }),
        };
        let output = live.finish(status.into());
        if timed_out {
            return Err(RunError::TimedOut { command: live.command(), after: self.timeout, stderr: live.last_lines() });
        }
        Ok(output)
    }

    /// Runs it to its end and takes every exit code but 0 for an error.
    ///
    /// # Errors
    /// As [`Command::output`], and [`RunError::Failed`].
    pub async fn ok(self, journal: &Journal) -> Result<Output, RunError> {
        self.output(journal).await?.ok(journal)
    }

    /// Starts a long-running command. It ends when [`Running`] is stopped or dropped; the timeout does not apply.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn spawn(self, journal: &Journal) -> Result<Running, RunError> {
        let (child, live) = self.start(journal).await?;
        let to_out = self.line_handler(Stream::Stdout, journal);
        let to_err = self.line_handler(Stream::Stderr, journal);
        Ok(Running::new(child, live, self.stdin, to_out, to_err))
    }

    fn line_handler(&self, stream: Stream, journal: &Journal) -> impl FnMut(&str) + Send + 'static {
        let on_line = self.on_line.clone().filter(|_| !self.secret_output);
        let journal = journal.clone();
        move |line| {
            if let Some(on_line) = &on_line {
                on_line(stream, &journal.redactor().text(line));
            }
        }
    }

    /// Starts the process and journals it. What comes second must be dropped before the child, which is why it comes second.
    async fn start(&self, journal: &Journal) -> Result<(Child, Live), RunError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts processes")]
        let mut command = tokio::process::Command::new(&self.program);
        command.args(self.args.iter().map(|(a, _)| a));
        command.env_clear().envs(self.base_env.iter().cloned()).envs(self.env.iter().cloned());
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        let started = Instant::now();
        let child = spawn_when_closed(&mut command)
            .await
            .map_err(|source| RunError::Start { program: self.program.display().to_string(), source })?;
        // A child that was not awaited yet has an id.
        let pid = child.id().unwrap_or_default();
        let live = Live {
            group: Group { pid, start: start_ticks(pid) },
            journal: journal.clone(),
            argv: self.recorded_argv(journal),
            started,
            out: Arc::default(),
            err: Arc::default(),
            secret_output: self.secret_output,
            finished: false,
        };
        journal.write(Event::CommandStarted { argv: live.argv.clone(), pid, start_ticks: live.group.start });
        Ok((child, live))
    }

    fn recorded_argv(&self, journal: &Journal) -> Vec<String> {
        let mut argv = vec![self.name.clone()];
        let mut hide_next = false;
        for (arg, secret) in &self.args {
            let arg = journal.redactor().text(&arg.to_string_lossy());
            let flag = arg.split('=').next().unwrap_or_default();
            let names_secret = matches!(flag, "--token" | "--password");
            argv.push(match () {
                () if *secret || hide_next => REDACTED.to_owned(),
                () if names_secret && flag.len() < arg.len() => format!("{flag}={REDACTED}"),
                () => arg.clone(),
            });
            hide_next = names_secret && flag.len() == arg.len();
        }
        argv
    }
}

/// Starts a process. An executable that was written a moment ago can be "busy" while another thread of ours, between its fork and
/// its exec, still holds the descriptor that it was written through; that passes within milliseconds.
async fn spawn_when_closed(command: &mut tokio::process::Command) -> io::Result<Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => tries += 1,
            result => return result,
        }
        // There is nothing to watch for here, only a moment to let pass.
        let _ = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}

/// Waits for the child's end and then for that of its streams, unless something else keeps those open.
async fn settle(child: &mut Child, mut streams: Pin<&mut impl Future<Output = ()>>, drained: &mut bool) -> io::Result<ExitStatus> {
    let status = tokio::select! {
        status = child.wait() => status,
        () = streams.as_mut(), if !*drained => {
            *drained = true;
            child.wait().await
        }
    }?;
    if !*drained {
        *drained = timeout(LINGER, streams).await.is_ok();
    }
    Ok(status)
}

pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(ERROR_LINES)..].join("\n")
}

/// A command that was started. Dropped before it is finished, it ends the process group and journals that.
pub(crate) struct Live {
    pub(crate) group: Group,
    journal: Journal,
    argv: Vec<String>,
    started: Instant,
    pub(crate) out: Arc<Capture>,
    pub(crate) err: Arc<Capture>,
    secret_output: bool,
    finished: bool,
}

impl Live {
    /// The redacted command line.
    pub(crate) fn command(&self) -> String {
        self.argv.join(" ")
    }

    /// The redacted end of standard error for a message.
    pub(crate) fn last_lines(&self) -> String {
        last_lines(&self.journal.redactor().text(&self.err.text()))
    }

    /// Journals the end.
    pub(crate) fn finish(&mut self, exit: Exit) -> Output {
        let (stdout, stderr) = (self.out.text(), self.err.text());
        if self.secret_output {
            // Tokens have no spaces; a sentence about an error must not become a secret.
            let words = stdout.lines().filter(|l| l.len() >= 16 && !l.trim().contains(char::is_whitespace));
            words.for_each(|l| self.journal.redactor().learn(l));
        }
        let record = self.record(exit.code, &stdout, &stderr);
        self.finished = true;
        self.journal.write(Event::CommandFinished(record.clone()));
        Output { exit, stdout, stderr, duration: self.started.elapsed(), pid: self.group.pid, record }
    }

    fn record(&self, exit_code: Option<i32>, stdout: &str, stderr: &str) -> CommandRecord {
        let show = |text: &str| {
            if self.secret_output { REDACTED.to_owned() } else { record_tail(&self.journal.redactor().text(text)) }
        };
        CommandRecord {
            // Redacted again: more may be known to be secret than when it started.
            argv: self.argv.iter().map(|a| self.journal.redactor().text(a)).collect(),
            pid: self.group.pid,
            exit_code,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            stdout: show(stdout),
            stderr: show(stderr),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.finished {
            self.group.end_detached();
            let mut record = self.record(None, &self.out.text(), &self.err.text());
            record.stderr.push_str("\n[nobody waits for it any more; meshproof has ended it]");
            self.journal.write(Event::CommandFinished(record));
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
