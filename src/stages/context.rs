//! What stages work with.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::StageError;
use crate::cluster::{Cluster, Provider};
use crate::journal::{CommandRecord, Event, Journal, Transcript};
use crate::recording::{Seen, through};
use crate::session::{Lease, Session, SessionError, State};
use crate::spec::{Spec, to_document};
use crate::tools::{Command, Tool, ToolName, Tools};
use crate::wait::Waiting;

/// Everything that one run works with.
pub struct Context {
    /// The resolved spec.
    pub spec: Arc<Spec>,
    /// The state directory.
    pub session: Session,
    /// The journal of this run.
    pub journal: Journal,
    /// kind, kubectl, istioctl.
    pub tools: Tools,
    /// Clock and timeout table.
    pub waiting: Waiting,
    /// Where the cluster comes from.
    pub provider: Arc<dyn Provider>,
    /// Id of this run.
    pub run: String,
    state: Mutex<State>,
    /// Whether this process has the session's lock, without which its state on the disk is somebody else's to write.
    locked: bool,
    /// Held while the run looks at the environment, so that nobody removes it meanwhile.
    lease: tokio::sync::Mutex<Option<Lease>>,
    cluster: OnceCell<Cluster>,
    seen: Mutex<Seen>,
    /// What runs instead of a tool, for the time of a fault.
    wrapped: Mutex<HashMap<ToolName, PathBuf>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("run", &self.run).field("session", &self.session).finish_non_exhaustive()
    }
}

impl Context {
    /// A context for one run on a session's state.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a thing of its own, named once by the harness")]
    pub fn new(
        spec: Arc<Spec>,
        session: Session,
        state: State,
        journal: Journal,
        tools: Tools,
        waiting: Waiting,
        provider: Arc<dyn Provider>,
        run: String,
    ) -> Self {
        learn_credentials(&journal, &to_document(&spec));
        let seen = Mutex::new(Seen::from_now(&session));
        Self {
            seen,
            spec,
            session,
            journal,
            tools,
            waiting,
            provider,
            run,
            state: Mutex::new(state),
            locked: true,
            lease: tokio::sync::Mutex::new(None),
            cluster: OnceCell::new(),
            wrapped: Mutex::default(),
        }
    }

    /// The same for a process that only looks and has not taken the session's lock: what it records stays in its memory.
    #[must_use]
    pub fn unlocked(mut self) -> Self {
        self.locked = false;
        self
    }

    /// Whether this process has the session's lock.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// What is on the disk about the session, as last written by this process.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the state and writes it to the disk before it returns: what is created next is recorded first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record(&self, change: impl FnOnce(&mut State)) -> Result<(), SessionError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = state.clone();
        change(&mut changed);
        // What is the same already costs no write.
        if self.locked && changed != *state {
            self.session.save(&changed)?;
        }
        *state = changed;
        Ok(())
    }

    /// The spec as the nodes get it: what is recorded goes through the recorders.
    #[must_use]
    pub fn node_spec(&self) -> Arc<Spec> {
        let recorders = self.state.lock().unwrap_or_else(PoisonError::into_inner).recorders.clone();
        match recorders {
            Some(_) if self.spec.recording.is_on() => Arc::new(through(&self.spec, recorders.as_ref())),
            _ => Arc::clone(&self.spec),
        }
    }

    /// Copies into the journal what the recorders saw since the last copy, or since the run began.
    pub fn journal_recordings(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.take() {
            Ok(accesses) => accesses.into_iter().for_each(|access| self.journal.write(Event::Recorded { access })),
            Err(e) => self.journal.write(Event::Warning { message: format!("what the recorders saw cannot be read: {e}") }),
        }
    }

    /// Uses the environment from here on, together with others.
    ///
    /// # Errors
    /// When somebody removes it for longer than that may take.
    pub async fn share(&self) -> Result<(), SessionError> {
        let lease = Lease::share(self.session.dir(), &self.waiting).await.map_err(SessionError::Lock)?;
        *self.lease.lock().await = Some(lease);
        Ok(())
    }

    /// Has the environment alone until the lease is dropped, as whoever removes it must; this run's own share is given back first.
    ///
    /// # Errors
    /// When others use it for longer than the limit.
    pub async fn alone(&self) -> Result<Lease, SessionError> {
        self.lease.lock().await.take();
        Lease::alone(self.session.dir(), &self.waiting).await.map_err(SessionError::Lock)
    }

    /// From here on the session is what this spec asks for. One that was refused leaves it as it was.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn record_spec(&self) -> Result<(), SessionError> {
        self.record(|state| state.spec = to_document(&self.spec))
    }

    /// Writes down what a stage was made from, or that it is not known any more.
    pub(crate) fn record_heeded(&self, stage: &str, heeded: Option<Value>) -> Result<(), SessionError> {
        self.record(|state| {
            match heeded {
                Some(heeded) => state.stages.insert(stage.to_owned(), heeded),
                None => state.stages.remove(stage),
            };
        })
    }

    /// Keeps what a command said while it installed something.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_transcript(&self, name: &str, command: CommandRecord) -> Result<(), SessionError> {
        let transcript = Transcript { name: name.to_owned(), run: self.run.clone(), recorded_at: Timestamp::now(), command };
        self.journal.write(Event::Transcript(transcript.clone()));
        self.record(|state| {
            state.transcripts.insert(name.to_owned(), transcript);
        })
    }

    /// The transcripts that the session has.
    #[must_use]
    pub fn transcripts(&self) -> BTreeMap<String, Transcript> {
        self.state().transcripts
    }

    /// The cluster, opened once.
    ///
    /// # Errors
    /// When it is not there or cannot be used.
    pub async fn cluster(&self) -> Result<&Cluster, StageError> {
        self.cluster.get_or_try_init(|| self.provider.attach(self)).await
    }

    /// Has another executable run instead of a tool, or the tool itself again.
    pub(crate) fn wrap(&self, tool: ToolName, by: Option<PathBuf>) {
        let mut wrapped = self.wrapped.lock().unwrap_or_else(PoisonError::into_inner);
        match by {
            Some(path) => wrapped.insert(tool, path),
            None => wrapped.remove(&tool),
        };
    }

    fn in_use(&self, tool: &Tool) -> Tool {
        let wrapped = self.wrapped.lock().unwrap_or_else(PoisonError::into_inner);
        Tool { path: wrapped.get(&tool.name).unwrap_or(&tool.path).clone(), ..tool.clone() }
    }

    /// `kubectl` bound to the private kubeconfig.
    ///
    /// # Errors
    /// When there is no usable kubectl.
    pub async fn kubectl(&self) -> Result<Command, StageError> {
        Ok(bound_kubectl(&self.in_use(self.tools.kubectl().await?), &self.session))
    }

    /// `istioctl` bound to the private kubeconfig, which it takes from the environment so that the command line stays the guide's.
    ///
    /// # Errors
    /// When there is no usable istioctl.
    pub async fn istioctl(&self) -> Result<Command, StageError> {
        Ok(at_home(&self.in_use(self.tools.istioctl().await?), &self.session).env("KUBECONFIG", self.session.kubeconfig()))
    }
}

/// Keeps the users and passwords in the URLs of a spec out of a journal, whatever characters they have.
fn learn_credentials(journal: &Journal, value: &Value) {
    match value {
        Value::String(text) => {
            let credentials = text.split_once("://").and_then(|(_, rest)| Some(rest.rsplit_once('@')?.0));
            // A name alone is a token; before a password it is none.
            if let Some(credentials) = credentials {
                journal.redactor().learn(credentials.split_once(':').map_or(credentials, |(_, password)| password));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| learn_credentials(journal, item)),
        Value::Object(map) => map.values().for_each(|item| learn_credentials(journal, item)),
        _ => {}
    }
}

/// `kubectl` bound to the private kubeconfig of a session.
pub(crate) fn bound_kubectl(kubectl: &Tool, session: &Session) -> Command {
    at_home(kubectl, session).arg("--kubeconfig").arg(session.kubeconfig())
}

/// A client whose home is in the session: both keep a discovery cache in `~/.kube/cache` (istioctl knows no other place), and kubectl reads
/// preferences from `~/.kube/kuberc`. The user's are neither filled nor heeded.
fn at_home(tool: &Tool, session: &Session) -> Command {
    tool.command().env("HOME", session.dir().join("home"))
}

/// A [`Context`] for one stage: its waits report as that stage's progress.
#[derive(Clone)]
pub struct StageContext {
    run: Arc<Context>,
    /// The stage's id.
    pub stage: &'static str,
    /// Waits whose status becomes the stage's progress.
    pub waiting: Waiting,
}

impl std::ops::Deref for StageContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.run
    }
}

impl StageContext {
    /// The context for one stage.
    #[must_use]
    pub fn new(run: Arc<Context>, stage: &'static str) -> Self {
        let journal = run.journal.clone();
        let waiting =
            run.waiting.listen(move |status| journal.write(Event::StageProgress { stage: stage.to_owned(), status: status.to_owned() }));
        Self { run, stage, waiting }
    }

    /// A client for the cluster.
    ///
    /// # Errors
    /// When the cluster is not there.
    pub async fn client(&self) -> Result<Client, StageError> {
        Ok(self.cluster().await?.client.clone())
    }

    /// Says what the stage is doing now.
    pub fn progress(&self, status: impl Into<String>) {
        self.journal.write(Event::StageProgress { stage: self.stage.to_owned(), status: status.into() });
    }
}
