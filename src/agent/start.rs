//! Starting the agent, and ending it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::{Agent, IDLE, IDLE_VARIABLE};
use crate::journal::Event;
use crate::recording::{CACHE_VARIABLE, mirror_cache};
use crate::session::{Session, SessionError};
use crate::stages::{Context, StageError};
use crate::tools::{Ended, end_if_same};
use crate::wait::{Limit, Progress};

/// The variable for temporary files. A directory that a [`Launch`] names in it is made.
pub const TMPDIR: &str = "TMPDIR";

/// How the agent is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables that it gets besides the scrubbed environment.
    pub variables: Vec<(String, OsString)>,
}

impl Launch {
    /// The command `meshproof agent` of a program that has meshproof's command line.
    #[must_use]
    pub fn meshproof(program: PathBuf, session: &Session) -> Self {
        Self { program, args: vec!["agent".into(), "--state-dir".into(), session.dir().into()], variables: Vec::new() }
    }
}

/// How long the agent may be idle: what the variable says, or the usual.
#[must_use]
pub fn idle(var: impl Fn(&str) -> Option<String>) -> Duration {
    var(IDLE_VARIABLE).and_then(|v| v.parse().ok()).map_or(IDLE, Duration::from_secs)
}

/// How an agent is started, wherever it will run: as given, else from the running program; with the directories that it needs made, and told
/// where the mirror's cache is.
///
/// # Errors
/// When the running program is not known, or a directory cannot be made.
pub fn launch(session: &Session, given: Option<Launch>) -> Result<Launch, SessionError> {
    let own = || std::env::current_exe().map_err(|source| SessionError::Read { path: PathBuf::from("/proc/self/exe"), source });
    let mut launch = given.map_or_else(|| own().map(|own| Launch::meshproof(own, session)), Ok)?;
    for (_, directory) in launch.variables.iter().filter(|(name, _)| name == TMPDIR) {
        std::fs::create_dir_all(directory).map_err(|source| SessionError::Write { path: PathBuf::from(directory), source })?;
    }
    launch.variables.push((CACHE_VARIABLE.to_owned(), mirror_cache(|name| std::env::var(name).ok()).into()));
    Ok(launch)
}

/// Starts the agent and waits until what it hosts answers.
///
/// # Errors
/// When it cannot be started, or ends.
pub async fn start(context: &Context, launch: Option<Launch>) -> Result<(), StageError> {
    let session = &context.session;
    let log = Agent::log(session);
    let launch = self::launch(session, launch)?;
    let failed = |source| SessionError::Write { path: log.clone(), source };
    let Launch { program, args, mut variables } = launch;
    variables.extend(std::env::var_os(IDLE_VARIABLE).map(|value| (IDLE_VARIABLE.to_owned(), value)));
    let mut process = crate::tools::detach(&program, &args, &variables, &log).map_err(failed)?;
    context.journal.write(Event::Fact { name: "agent".into(), value: format!("process {}", process.pid()) });
    let config = super::config(&context.spec, context.provider.name());
    let mut gone = None;
    let attempt = || {
        let found = Agent::of(session).filter(|a| a.alive() && a.config == config);
        if found.is_none() && gone.is_none() {
            gone = process.ended();
        }
        // Another command may have started one in the same moment; then ours ends and theirs is as good.
        std::future::ready(match (found, &gone) {
            (Some(_), _) => Progress::Ready(None),
            (None, Some(how)) => Progress::Ready(Some(how.clone())),
            (None, None) => Progress::NotYet("it has not written its file yet".to_owned()),
        })
    };
    let ended = context.waiting.poll("the agent is at work", Limit::ApiServer, Duration::from_millis(10), attempt).await?;
    let Some(how) = ended else { return Ok(()) };
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    // The error, and not the hint that may follow it.
    let said = said.lines().rfind(|l| !l.is_empty() && !l.starts_with("hint:")).map_or_else(|| how.clone(), str::to_owned);
    Err(StageError::refused("agent-failed", [("said", said), ("log", log.display().to_string())]))
}

/// Ends the agent of a session, whatever it hosts; says whether there was one.
pub async fn end(session: &Session) -> bool {
    let process = Agent::process(session).and_then(|process| Some((process.pid, process.start_ticks?)));
    match process {
        Some((pid, ticks)) => end_if_same(pid, ticks).await != Ended::Gone,
        None => false,
    }
}
