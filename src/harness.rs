//! One run from beginning to end: spec and state directory, stages, outcomes, journal. The command line and the fixture both start here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::{Installs, Provider, Teardown};
use crate::journal::{Event, FORMAT_VERSION, Journal, JournalError, Record};
use crate::outcomes::{Environment, Outcome, block_all, judge_all, stand_ins};
use crate::report::{Summary, exit_code};
use crate::session::{Owner, Phase, Session, SessionError, SessionLock, State, run_id};
use crate::spec::{Advisory, Request, Spec, SpecError, advisories, load, to_document};
use crate::stages::{self, Context, Manner, Plan, StageError, StageOutcome};
use crate::text;
use crate::tools::{Tools, end_if_same, is_alive};
use crate::wait::{Limits, RealClock, Waiting};

/// Errors that keep a run from beginning or ending properly. What goes wrong in between is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The state directory.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The environment cannot be opened or removed.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl HarnessError {
    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Stage(e) => e.hint(),
            Self::Session(SessionError::NotOurs { .. }) => Some(text::current().get("hint-not-ours")),
            Self::Session(SessionError::Damaged { .. } | SessionError::Version { .. }) => Some(text::current().get("hint-damaged")),
            Self::Session(SessionError::Read { .. } | SessionError::Write { .. } | SessionError::NoHome) => {
                Some(text::current().get("hint-no-place"))
            }
            _ => None,
        }
    }
}

/// What a run works with.
pub struct Settings {
    /// The resolved spec.
    pub spec: Spec,
    /// The state directory.
    pub session: Session,
    /// Where the cluster comes from.
    pub provider: Arc<dyn Provider>,
    /// Clock and timeout table.
    pub waiting: Waiting,
    /// Where downloaded tools are kept.
    pub cache: PathBuf,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Errors of [`Settings::from_environment`].
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The state directory.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The current directory, which names the project, is not known.
    #[error("cannot tell the current directory")]
    CurrentDirectory(#[source] std::io::Error),
}

impl Settings {
    /// What the command line works with when it is given no options: the spec files of `MESHPROOF_SPEC` (separated by colons) or the
    /// `meshproof.yaml` of the current directory, and the state directory of `MESHPROOF_STATE` or that of the project.
    ///
    /// # Errors
    /// When the spec is wrong or the state directory is not known.
    pub fn from_environment(provider: Arc<dyn Provider>) -> Result<Self, SettingsError> {
        let var = |name: &str| std::env::var(name).ok();
        let spec = load(&Request { files: spec_files(named_specs(var)), ..Request::default() })?;
        let current = std::env::current_dir().map_err(SettingsError::CurrentDirectory)?;
        let session = Session::locate(None, &current, var)?;
        let waiting = Waiting::new(Arc::new(RealClock::default()), Limits::default());
        Ok(Self { spec, session, provider, waiting, cache: tool_cache(var) })
    }
}

/// The files of `MESHPROOF_SPEC`, separated by colons; `var` looks up an environment variable.
#[must_use]
pub fn named_specs(var: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    var("MESHPROOF_SPEC").unwrap_or_default().split(':').filter(|f| !f.is_empty()).map(PathBuf::from).collect()
}

/// The spec files that were named, or else the `meshproof.yaml` of the current directory where there is one.
#[must_use]
pub fn spec_files(named: Vec<PathBuf>) -> Vec<PathBuf> {
    let default = Path::new("meshproof.yaml");
    if named.is_empty() && default.exists() { vec![default.to_owned()] } else { named }
}

/// Where downloaded tools are kept; `var` looks up an environment variable.
#[must_use]
pub fn tool_cache(var: impl Fn(&str) -> Option<String>) -> PathBuf {
    let base = var("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let base = base.or_else(|| Some(PathBuf::from(var("HOME")?).join(".cache"))).unwrap_or_else(std::env::temp_dir);
    base.join("meshproof").join("tools")
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To make the environment what the spec asks for; the spec becomes that of the session.
    Provision,
    /// To look at the environment.
    Judge,
    /// To remove it.
    Remove,
}

/// Refuses to work on a session whose cluster is another than the spec's, or comes from another backend.
fn same_cluster(session: &Session, spec: &Spec, backend: &str) -> Result<(), HarnessError> {
    let Some(state) = session.load()? else { return Ok(()) };
    let Some(cluster) = state.cluster else { return Ok(()) };
    if state.backend != backend {
        let args = [("has", state.backend), ("wanted", backend.to_owned()), ("cluster", cluster.name)];
        return Err(StageError::refused("other-backend", args).into());
    }
    if cluster.name != spec.cluster.name {
        let args = [("has", cluster.name), ("wanted", spec.cluster.name.clone())];
        return Err(StageError::refused("other-spec", args).into());
    }
    Ok(())
}

/// A run that has begun: it holds the session's lock and a journal.
#[derive(Debug)]
pub struct Harness {
    /// What stages and outcomes work with.
    pub context: Arc<Context>,
    plan: Plan,
    outcomes: Vec<Outcome>,
    command: &'static str,
    start: Instant,
    _lock: SessionLock,
}

impl Harness {
    /// Begins a run with the stages and outcomes of the guide.
    ///
    /// `listener` is called with every record: live progress.
    ///
    /// # Errors
    /// When the state directory is not usable, another process keeps it, or it belongs to another environment than the spec asks for.
    pub async fn begin(
        settings: Settings,
        command: &'static str,
        purpose: Purpose,
        listener: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Self, HarnessError> {
        let Settings { spec, session, provider, waiting, cache } = settings;
        // Once before anything is written, and again when nobody else can be at work.
        session.check_ours()?;
        same_cluster(&session, &spec, provider.name())?;
        session.prepare()?;
        let lock = SessionLock::take(session.dir(), &waiting).await.map_err(SessionError::Lock)?;
        same_cluster(&session, &spec, provider.name())?;
        let (state, orphan) = match session.load()? {
            None => (session.begin(provider.name(), to_document(&spec)), None),
            Some(mut state) => {
                let orphan = (state.phase == Phase::Provisioning).then(|| (state.owner.clone(), state.last_run.clone()));
                if purpose == Purpose::Provision {
                    // Without a cluster there is nothing yet that another backend would have to remove.
                    provider.name().clone_into(&mut state.backend);
                }
                // Whoever works on the session may start children, which a later run must find if this one is killed.
                (State { phase: Phase::Provisioning, owner: Owner::me(), ..state }, orphan)
            }
        };
        let run = run_id();
        let journal = Journal::create(&session.journal(&run))?.listen(listener);
        let mut tools = Tools::new(&spec.tools, &spec.downloads, cache, journal.clone());
        if provider.installs() == Installs::FromManifests {
            tools = tools.without_downloads();
        }
        let spec = Arc::new(spec);
        let context = Context::new(spec, session, state, journal, tools, waiting, provider, run);
        if let Some((owner, last_run)) = orphan {
            end_children(&context, &owner, last_run.as_deref()).await;
        }
        let run = context.run.clone();
        context.record(|state| state.last_run = Some(run))?;
        let plan = Plan::new(stages::builtin()).map_err(|e| StageError::Other { message: e.to_string(), hint: None })?;
        let outcomes = crate::outcomes::builtin();
        Ok(Self { context: Arc::new(context), plan, outcomes, command, start: Instant::now(), _lock: lock })
    }

    fn announce(&self, stages: bool, outcomes: bool) {
        let context = &self.context;
        context.journal.write(Event::RunStarted {
            format: FORMAT_VERSION,
            run: context.run.clone(),
            session: context.state().id,
            meshproof: env!("CARGO_PKG_VERSION").to_owned(),
            command: self.command.to_owned(),
            backend: context.provider.name().to_owned(),
            fidelity: context.provider.fidelity(),
            spec: to_document(&context.spec),
            stages: self.plan.stages().iter().filter(|_| stages).map(stages::Stage::info).collect(),
            outcomes: self.outcomes.iter().filter(|_| outcomes).map(Outcome::info).collect(),
        });
        for advisory in advisories(&context.spec) {
            context.journal.write(Event::Warning { message: advice(&advisory) });
        }
    }

    /// Nothing is made in a cluster that is somebody else's.
    fn manner(&self) -> Manner {
        if self.context.provider.installs() == Installs::Nothing { Manner::Look } else { Manner::Make }
    }

    /// Provisions, or finds everything provisioned. The journal tells how it went.
    pub async fn up(&self) -> u8 {
        self.announce(true, false);
        stages::run(&self.plan, &self.context, self.manner()).await;
        self.finish()
    }

    /// Provisions, then judges every outcome that is not blocked.
    pub async fn run(&self) -> u8 {
        self.announce(true, true);
        let ended = stages::run(&self.plan, &self.context, self.manner()).await;
        match ended.get("cluster").and_then(|c| c.root("cluster")) {
            Some(root) => block_all(&self.outcomes, &ended, root, &self.context.journal),
            None => match Environment::open(Arc::clone(&self.context)).await {
                Ok(environment) => self.judge(&environment, &ended).await,
                Err(e) => {
                    self.context.journal.write(Event::Warning { message: crate::error::one_line(&e) });
                    block_all(&self.outcomes, &ended, "cluster", &self.context.journal);
                }
            },
        }
        self.finish()
    }

    /// Judges the environment that is there and changes nothing.
    ///
    /// # Errors
    /// When there is no environment.
    pub async fn verify(&self) -> Result<u8, HarnessError> {
        self.announce(false, true);
        match Environment::open(Arc::clone(&self.context)).await {
            Ok(environment) => {
                self.judge(&environment, &BTreeMap::new()).await;
                Ok(self.finish())
            }
            Err(e) => {
                self.context.journal.write(Event::Warning { message: crate::error::one_line(&e) });
                block_all(&self.outcomes, &BTreeMap::new(), "environment", &self.context.journal);
                self.end(3);
                Err(e.into())
            }
        }
    }

    async fn judge(&self, environment: &Environment, ended: &BTreeMap<&'static str, StageOutcome>) {
        let context = &self.context;
        for transcript in context.transcripts().into_values().filter(|t| t.run != context.run) {
            context.journal.write(Event::Transcript(transcript));
        }
        let describe = async {
            if let Ok(nodes) = environment.nodes().await {
                for info in nodes.iter().filter_map(|n| n.status.as_ref()?.node_info.as_ref()).take(1) {
                    let fact = |name: &str, value: &str| {
                        context.journal.write(Event::Fact { name: name.to_owned(), value: value.to_owned() });
                    };
                    fact("containerRuntime", &info.container_runtime_version);
                    fact("nodeSystem", &info.os_image);
                    fact("kernel", &info.kernel_version);
                }
                let names: Vec<String> = nodes.iter().map(kube::ResourceExt::name_any).collect();
                context.journal.write(Event::Fact { name: "nodes".into(), value: names.join(", ") });
            }
            let (found, unknown) = stand_ins(environment).await;
            for (component, image) in found {
                context.journal.write(Event::StandIn { component, image });
            }
            for image in unknown {
                let message = text::current().with("warning-uninspected", &[("image", &image)]);
                context.journal.write(Event::Warning { message });
            }
        };
        tokio::join!(describe, judge_all(&self.outcomes, environment, ended, &context.journal));
    }

    /// Removes what this session made, and then its state directory.
    ///
    /// # Errors
    /// When the engine does not answer or something cannot be removed.
    pub async fn down(self) -> Result<Teardown, HarnessError> {
        let context = &self.context;
        let mut done = match context.provider.teardown(context).await {
            Ok(done) => done,
            Err(e) => {
                context.record(|state| state.phase = Phase::Kept)?;
                return Err(e.into());
            }
        };
        if done.remains.is_empty() {
            let dir = context.session.dir().to_path_buf();
            if !context.session.remove()? {
                done.remains.push(text::current().with("remains-directory", &[("dir", &dir.display().to_string())]));
                return Ok(done);
            }
            // The directory that holds all state directories goes with the last of them.
            if let Some(parent) = dir.parent().filter(|p| p.file_name().is_some_and(|n| n == "meshproof")) {
                let _ = std::fs::remove_dir(parent);
            }
            done.removed.push(dir.display().to_string());
        } else {
            context.record(|state| state.phase = Phase::Kept)?;
        }
        Ok(done)
    }

    /// Ends a run that was interrupted: the journal says so, and the session is kept for a later `up` or `down`.
    pub fn interrupted(&self) {
        self.end(130);
    }

    fn finish(&self) -> u8 {
        let code = exit_code(&Summary::fold(&self.context.journal.records()), false);
        self.end(code);
        code
    }

    fn end(&self, code: u8) {
        let duration_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(e) = self.context.record(|state| state.phase = Phase::Kept) {
            self.context.journal.write(Event::Warning { message: crate::error::one_line(&e) });
        }
        self.context.journal.write(Event::RunFinished { exit_code: code, duration_ms });
    }
}

/// Removes what a run left that was killed before it wrote its state: it had made nothing outside the directory. Says whether there was
/// anything, and leaves alone what somebody is at work on or what is not ours.
///
/// # Errors
/// When the disk refuses.
pub async fn sweep(session: &Session) -> Result<bool, HarnessError> {
    let left = std::fs::read_dir(session.dir()).is_ok_and(|mut entries| entries.next().is_some());
    if !left || session.check_ours().is_err() {
        return Ok(false);
    }
    let waiting = Waiting::new(Arc::new(RealClock::default()), Limits::default());
    let _lock = SessionLock::take(session.dir(), &waiting).await.map_err(SessionError::Lock)?;
    // Whoever held the lock may have begun a session, which is removed with all that it made or not at all.
    Ok(session.load()?.is_none() && session.remove()?)
}

/// A dead owner's `kind` or `istioctl` may still be at work; it is ended before anything else is done. Its journal names it by pid and start time.
async fn end_children(context: &Context, owner: &Owner, run: Option<&str>) {
    let alive = owner.start_ticks.is_some_and(|ticks| is_alive(owner.pid, ticks));
    let Some(run) = run.filter(|_| !alive) else { return };
    let Ok(records) = crate::journal::read(&context.session.journal(run)) else { return };
    let mut running: BTreeMap<u32, u64> = BTreeMap::new();
    for record in records {
        match record.event {
            Event::CommandStarted { pid, start_ticks: Some(ticks), .. } => {
                running.insert(pid, ticks);
            }
            Event::CommandFinished(command) => {
                running.remove(&command.pid);
            }
            _ => {}
        }
    }
    for (pid, ticks) in running {
        end_if_same(pid, ticks).await;
    }
}

/// An advisory in words.
#[must_use]
pub fn advice(advisory: &Advisory) -> String {
    let value = serde_json::to_value(advisory).unwrap_or_default();
    let args: Vec<(&str, &str)> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "advisory")
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    text::current().with(&format!("warning-{}", value["advisory"].as_str().unwrap_or_default()), &args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advisory_has_words() {
        let some = [
            Advisory::LoopbackProxy { key: "proxy.http".into(), url: "http://127.0.0.1:1".into() },
            Advisory::IstioRegistryNotMirrored { istio: "1.30.1".into(), registry: "registry.istio.io".into() },
            Advisory::KubernetesOutsideIstioRange {
                istio: "1.27.1".into(),
                kubernetes: "1.34.0".into(),
                oldest: "1.29".into(),
                newest: "1.33".into(),
            },
        ];
        for advisory in some {
            let words = advice(&advisory);
            assert!(!words.starts_with("warning-") && !words.contains("{$") && !words.contains("{ $"), "{words}");
        }
        assert!(advice(&Advisory::LoopbackProxy { key: "proxy.http".into(), url: "u".into() }).starts_with("proxy.http is u"));
    }
}
