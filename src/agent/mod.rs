//! The session's agent: the detached process that hosts what must outlive a command: the simulated cluster, the recorders of a real one.
//!
//! It is known by the file `agent.json` in the state directory, which it writes itself once what it hosts answers. It ends when it is told
//! to and when its state directory is no longer a session. With a simulated cluster it also ends when nobody has asked it anything for a
//! while; a real cluster may need its mirror at any time.

mod start;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

pub use start::{Launch, TMPDIR, end, idle, launch, start};

use crate::cluster::embedded::{HostError, Hosted, host};
use crate::cluster::kind_recorders;
use crate::recording::{Recorders, RecordingError, Running};
use crate::session::{Owner, Session, SessionError, State};
use crate::spec::Spec;
use crate::tools::is_alive;
use crate::wait::{Clock, RealClock};

/// How long nobody needs to ask before the agent ends.
pub const IDLE: Duration = Duration::from_hours(2);
/// The variable that says otherwise, in seconds.
pub const IDLE_VARIABLE: &str = "MESHPROOF_AGENT_IDLE";
/// How often it looks whether it is still needed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const FILE: &str = "agent.json";
const LOCK: &str = "agent.lock";
const LOG: &str = "agent.log";

/// An agent as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The process.
    #[serde(flatten)]
    pub process: Owner,
    /// When it was started.
    pub started: Timestamp,
    /// Where the API server of its cluster listens; absent where it hosts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Seconds without a request after which it ends; absent where it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
    /// Where nodes find the recorders that it hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorders: Option<Recorders>,
    /// What it was made from.
    pub config: serde_json::Value,
}

/// Errors of the agent itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another one is at work for this state directory.
    #[error("another agent is at work in {dir}")]
    Another {
        /// The state directory.
        dir: PathBuf,
    },
    /// The cluster could not be started.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The recorders could not be started.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The container engine, which knows what the nodes are called.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The session does not say where its recorders are to be.
    #[error("the environment in {dir} asks for nothing that an agent hosts")]
    NotAsked {
        /// The state directory.
        dir: PathBuf,
    },
    /// The state directory.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The environment was removed while the cluster was being started.
    #[error("there is no environment any more in {dir}")]
    Removed {
        /// The state directory.
        dir: PathBuf,
    },
    /// The lock or the signals.
    #[error("cannot set up the agent")]
    Setup(#[from] std::io::Error),
}

impl Agent {
    /// The agent of a session, dead or alive.
    #[must_use]
    pub fn of(session: &Session) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(session.dir().join(FILE)).ok()?).ok()
    }

    /// The process of a session's agent, if it runs: also of one that has not written its file yet, for example because the command that
    /// started it was killed.
    #[must_use]
    pub fn process(session: &Session) -> Option<Owner> {
        let starting = || serde_json::from_slice(&std::fs::read(session.dir().join(LOCK)).ok()?).ok();
        let lives = |owner: &Owner| owner.start_ticks.is_some_and(|ticks| is_alive(owner.pid, ticks));
        Self::of(session).map(|a| a.process).filter(lives).or_else(|| starting().filter(lives))
    }

    /// Whether its process runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.process.start_ticks.is_some_and(|ticks| is_alive(self.process.pid, ticks))
    }

    /// Its log.
    #[must_use]
    pub fn log(session: &Session) -> PathBuf {
        session.dir().join(LOG)
    }
}

/// What an agent hosts.
enum Hosting {
    /// A simulated cluster, with its recorders.
    Cluster(Box<Hosted>),
    /// The recorders of a real one, which end with this.
    Recorders { _running: Running },
}

impl Hosting {
    /// By what it is told from idleness: requests so far, and connections now.
    fn demand(&self) -> Option<(u64, bool)> {
        match self {
            Self::Cluster(hosted) => {
                let server = hosted.cluster.server();
                Some((server.requests(), server.connections() > 0))
            }
            Self::Recorders { .. } => None,
        }
    }
}

/// Hosts what a session needs until it is no longer needed. This is all that the process does.
///
/// # Errors
/// When another agent is at work there, or what it hosts cannot be started.
pub async fn serve(session: &Session, state: &State, spec: &Spec, idle: Duration) -> Result<(), AgentError> {
    // It outlives the terminal that the command was typed in. Failing means that it was started by hand.
    let _ = rustix::process::setsid();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lock = take_lock(session)?;
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(told);
    let (hosting, mut agent) = tokio::select! {
        hosting = begin(session, state, spec, idle) => hosting?,
        () = &mut told => return Ok(()),
    };
    // A `down` may have come in between, and writing would make the directory anew.
    if !is_session(session) {
        return Err(AgentError::Removed { dir: session.dir().to_owned() });
    }
    if let Hosting::Cluster(hosted) = &hosting {
        session.write("kubeconfig", &hosted.cluster.kubeconfig())?;
    }
    agent.started = Timestamp::now();
    let text = serde_json::to_string_pretty(&agent).map_err(std::io::Error::from)?;
    session.write(FILE, &text)?;
    let clock = RealClock::default();
    let (mut asked, mut since) = (hosting.demand(), clock.now());
    loop {
        tokio::select! {
            () = &mut told => break,
            () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
        }
        // Somebody removed the session by hand, and perhaps began another one there: nobody is left who could end us.
        if !is_session(session) || !is_own(session, &agent) {
            break;
        }
        let now = hosting.demand();
        if now.is_none_or(|(_, busy)| busy) || now != asked {
            (asked, since) = (now, clock.now());
        } else if clock.now().saturating_sub(since) >= idle {
            break;
        }
    }
    // Only what is its own, and only if nobody has put another one's there meanwhile.
    if is_own(session, &agent) {
        let _ = std::fs::remove_file(session.dir().join(FILE));
    }
    drop(lock);
    Ok(())
}

/// Starts what is to be hosted, and describes it.
async fn begin(session: &Session, state: &State, spec: &Spec, idle: Duration) -> Result<(Hosting, Agent), AgentError> {
    let mut agent = Agent {
        process: Owner::me(),
        started: Timestamp::now(),
        url: None,
        idle_seconds: None,
        recorders: None,
        config: config(spec, &state.backend),
    };
    if state.backend == "embedded" {
        let hosted = host(spec, session).await?;
        agent.url = Some(hosted.cluster.listening().url());
        agent.idle_seconds = Some(idle.as_secs());
        return Ok((Hosting::Cluster(Box::new(hosted)), agent));
    }
    let (running, recorders) = kind_recorders::host(session, state, spec).await?;
    agent.recorders = Some(recorders);
    Ok((Hosting::Recorders { _running: running }, agent))
}

/// What an agent of a session is made from: when it differs, another agent is needed.
#[must_use]
pub fn config(spec: &Spec, backend: &str) -> serde_json::Value {
    if backend == "embedded" { crate::cluster::embedded::Embedded::config(spec) } else { kind_recorders::config(spec) }
}

/// The lock that is held for as long as the process lives, so that two commands can never start two. It names the process.
fn take_lock(session: &Session) -> Result<File, AgentError> {
    let path = session.dir().join(LOCK);
    let mut lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    if lock.try_lock().is_err() {
        return Err(AgentError::Another { dir: session.dir().to_owned() });
    }
    lock.set_len(0)?;
    lock.write_all(&serde_json::to_vec(&Owner::me()).map_err(std::io::Error::from)?)?;
    // Whoever removes the environment from here on finds the process. If it was removed just before, the lock is all that is left of it.
    if !is_session(session) {
        let _ = std::fs::remove_file(&path);
        return Err(AgentError::Removed { dir: session.dir().to_owned() });
    }
    Ok(lock)
}

fn is_session(session: &Session) -> bool {
    session.dir().join("state.json").exists()
}

/// Whether the file in the state directory is still this agent's.
fn is_own(session: &Session, agent: &Agent) -> bool {
    Agent::of(session).is_some_and(|a| a.process == agent.process)
}
