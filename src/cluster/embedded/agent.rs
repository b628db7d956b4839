//! The session's agent: the detached process that hosts the simulated cluster between commands.
//!
//! It is known by the file `agent.json` in the state directory, which it writes itself once the cluster answers. It ends when it is told
//! to, when nobody has asked it anything for a while, and when its state directory is no longer a session.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::host::{HostError, host};
use crate::session::{Owner, Session, SessionError};
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
    /// When its cluster was started.
    pub started: Timestamp,
    /// Where its API server listens.
    pub url: String,
    /// Seconds without a request after which it ends.
    pub idle_seconds: u64,
    /// The spec that its cluster was made from.
    pub spec: serde_json::Value,
}

/// Errors of the agent itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another one hosts the cluster of this state directory.
    #[error("another agent is at work in {dir}")]
    Another {
        /// The state directory.
        dir: PathBuf,
    },
    /// The cluster could not be started.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The state directory.
    #[error(transparent)]
    Session(#[from] SessionError),
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

/// Hosts the cluster of a session until it is no longer needed. This is all that the process does.
///
/// # Errors
/// When another agent is at work there, or the cluster cannot be started.
pub async fn serve(session: &Session, spec: &Spec, idle: Duration) -> Result<(), AgentError> {
    // Held for as long as the process lives, so that two commands can never start two.
    let lock = File::create(session.dir().join(LOCK))?;
    if lock.try_lock().is_err() {
        return Err(AgentError::Another { dir: session.dir().to_owned() });
    }
    // It outlives the terminal that the command was typed in. Failing means that it leads a session of its own already.
    let _ = rustix::process::setsid();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hosted = host(spec, &session.certs_dir()).await?;
    let server = hosted.cluster.server();
    session.write("kubeconfig", &hosted.cluster.kubeconfig())?;
    let agent = Agent {
        process: Owner::me(),
        started: Timestamp::now(),
        url: hosted.cluster.listening().url(),
        idle_seconds: idle.as_secs(),
        spec: crate::spec::to_document(spec),
    };
    let text = serde_json::to_string_pretty(&agent).map_err(std::io::Error::from)?;
    session.write(FILE, &text)?;
    let clock = RealClock::default();
    let (mut asked, mut since) = (server.requests(), clock.now());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
        }
        // Somebody removed the session by hand: there is nobody left who could end us.
        if !session.dir().join("state.json").exists() {
            break;
        }
        let now = server.requests();
        if now != asked || server.connections() > 0 {
            (asked, since) = (now, clock.now());
        }
        if clock.now().saturating_sub(since) >= idle {
            break;
        }
    }
    // Only what is its own, and only if nobody has put another one's there meanwhile.
    if Agent::of(session).is_some_and(|a| a.process == agent.process) {
        let _ = std::fs::remove_file(session.dir().join(FILE));
    }
    drop(lock);
    Ok(())
}
