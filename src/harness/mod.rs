//! One run from beginning to end: spec and state directory, stages, outcomes, journal. The command line and the fixture both start here.

mod bill;
mod drift;
mod inventory;
mod policy;
mod provision;
mod settings;
mod teardown;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::{Installs, Provider};
use crate::collect::{Bundle, CollectError, collect, collect_session};
use crate::faults::{Fault, left_behind, mend_left_behind};
use crate::journal::{Event, Expected, FORMAT_VERSION, Journal, JournalError, Record};
use crate::outcomes::{Choice, ChoiceError, Environment, Outcome, block_all, judge_all, stand_ins};
use crate::report::{Summary, exit_code};
use crate::session::{Indexed, Lease, Owner, Session, SessionError, SessionLock, run_id};
use crate::spec::{Advisory, Spec, advisories, to_document};
use crate::stages::{self, Context, Plan, StageError, StageOutcome};
use crate::text;
use crate::tools::{Tools, end_if_same};
use crate::wait::Limit;

pub use drift::{Drift, drifts};
pub use policy::{Keep, OnDrift, Policy, PolicyError, Reuse, Word, ttl};
pub use settings::{Settings, SettingsError, named_specs, session_from_environment, spec_files, time_scale, tool_cache};
pub use teardown::sweep;

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
pub(crate) fn same_cluster(session: &Session, spec: &Spec, provider: &dyn Provider) -> Result<(), HarnessError> {
    let backend = provider.name();
    let Some(state) = session.load()? else { return Ok(()) };
    let Some(cluster) = state.cluster else { return Ok(()) };
    if state.backend != backend {
        let args = [("has", state.backend), ("wanted", backend.to_owned()), ("cluster", cluster.name)];
        return Err(StageError::refused("other-backend", args).into());
    }
    // A cluster that is somebody else's has the name that they gave it.
    if provider.installs() != Installs::Nothing && cluster.name != spec.cluster.name {
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
    faults: Vec<Fault>,
    policy: Policy,
    purpose: Purpose,
    not_selected: Vec<String>,
    nothing_failed: Option<String>,
    expected: Vec<Expected>,
    strict: bool,
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
        let Settings { session, provider, waiting, spec, .. } = &settings;
        // Once before anything is written, and again when nobody else can be at work.
        session.check_ours()?;
        let required = settings.policy.reuse == Reuse::Require && provider.installs() != Installs::Nothing;
        if required && purpose == Purpose::Provision && session.load()?.is_none() {
            return Err(StageError::refused("no-session", [("dir", session.dir().display().to_string())]).into());
        }
        same_cluster(session, spec, provider.as_ref())?;
        session.prepare()?;
        let lock = SessionLock::take(session.dir(), waiting, command).await.map_err(SessionError::Lock)?;
        Self::begin_locked(settings, lock, command, purpose, listener).await
    }

    /// The same for whoever has the session's lock already.
    ///
    /// # Errors
    /// As [`Harness::begin`].
    pub async fn begin_locked(
        settings: Settings,
        lock: SessionLock,
        command: &'static str,
        purpose: Purpose,
        listener: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Self, HarnessError> {
        let Settings { spec, session, provider, waiting, cache, policy, registry } = settings;
        session.check_ours()?;
        same_cluster(&session, &spec, provider.as_ref())?;
        let run = run_id();
        session.prune_runs();
        let (state, dead) = match session.load()? {
            None => (session.begin(provider.name(), to_document(&spec)), None),
            Some(mut state) => {
                let dead = state.owner.take().map(|owner| (owner, state.last_run.clone()));
                if purpose == Purpose::Provision {
                    // Without a cluster there is nothing yet that another backend would have to remove.
                    provider.name().clone_into(&mut state.backend);
                }
                (state, dead)
            }
        };
        // Before anything is made: whoever starts after a crash finds the session by this list.
        if let Some(index) = session.index() {
            let (id, dir) = (state.id.clone(), session.dir().to_owned());
            index.add(&Indexed { id, dir, backend: state.backend.clone(), created: state.created })?;
        }
        let journal = Journal::create(&session.journal(&run))?.listen(listener);
        let mut tools = Tools::new(&spec.tools, &spec.downloads, cache, journal.clone());
        if provider.installs() != Installs::AsDocumented {
            tools = tools.without_downloads();
        }
        let spec = Arc::new(spec);
        let context = Context::new(spec, session, state, journal, tools, waiting, provider, run);
        if purpose != Purpose::Remove {
            context.provider.recognise(&context).await;
        }
        if let Some((owner, last_run)) = dead {
            end_children(&context, &owner, last_run.as_deref()).await;
        }
        let run = context.run.clone();
        context.record(|state| {
            // Whoever works on the session may start children, which a later run must find if this one is killed.
            (state.owner, state.last_run) = (Some(Owner::me()), Some(run));
            if purpose == Purpose::Provision {
                state.ttl_seconds = policy.ttl.map(|ttl| ttl.as_secs());
            }
        })?;
        let (plan, outcomes, faults) = (registry.plan().clone(), registry.outcomes().to_vec(), registry.faults().to_vec());
        let (not_selected, nothing_failed, strict) = (Vec::new(), None, false);
        Ok(Self {
            context: Arc::new(context),
            plan,
            outcomes,
            faults,
            policy,
            purpose,
            not_selected,
            nothing_failed,
            expected: Vec::new(),
            strict,
            command,
            start: Instant::now(),
            _lock: lock,
        })
    }

    /// Judges what is chosen of its outcomes, and no more. [`Choice::of`] tells before a run is begun whether that can be.
    ///
    /// # Errors
    /// When the choice cannot be followed; the run is then at its end.
    pub fn choose(mut self, choice: &Choice) -> Result<Self, ChoiceError> {
        let chosen = match choice.of(&self.outcomes, &self.context.session) {
            Ok(chosen) => chosen,
            Err(e) => {
                self.end(2);
                return Err(e);
            }
        };
        self.outcomes = chosen.outcomes;
        self.not_selected.extend(chosen.not_selected);
        self.nothing_failed = chosen.nothing_failed;
        self.strict = choice.strict;
        Ok(self)
    }

    /// Expects outcomes to fail, as [`crate::ledger::Ledger::applying`] says. Those that are not judged are left out.
    #[must_use]
    pub fn expecting(mut self, expected: Vec<Expected>) -> Self {
        self.expected = expected;
        self
    }

    pub(crate) fn announce(&self, stages: bool, outcomes: bool) {
        let context = &self.context;
        context.journal.write(Event::RunStarted {
            format: FORMAT_VERSION,
            run: context.run.clone(),
            session: context.state().id,
            meshproof: version(),
            command: self.command.to_owned(),
            backend: context.provider.name().to_owned(),
            fidelity: context.provider.fidelity(),
            spec: to_document(&context.spec),
            stages: self.plan.stages().iter().filter(|_| stages).map(stages::Stage::info).collect(),
            outcomes: self.outcomes.iter().filter(|_| outcomes).map(Outcome::info).collect(),
            not_selected: self.not_selected.iter().filter(|_| outcomes).cloned().collect(),
            strict: self.strict,
        });
        for expected in self.expected.iter().filter(|e| outcomes && self.outcomes.iter().any(|o| o.id == e.outcome)) {
            context.journal.write(Event::Expected(expected.clone()));
        }
        if let Some(run) = self.nothing_failed.as_ref().filter(|_| outcomes) {
            let message = text::current().with("warning-nothing-failed", &[("run", run)]);
            context.journal.write(Event::Warning { message });
        }
        for advisory in advisories(&context.spec) {
            context.journal.write(Event::Warning { message: advice(&advisory) });
        }
    }

    /// Mends the fault that a `prove` which was killed has left in the environment, so that nobody takes it for the environment's own. What
    /// cannot be mended is told; the stages and outcomes find what it breaks.
    pub async fn mend(&self) {
        if left_behind(&self.context.session).is_none() {
            return;
        }
        let texts = text::current();
        let mended = match Environment::open(Arc::clone(&self.context)).await {
            Ok(environment) => mend_left_behind(&environment, &self.faults).await,
            Err(e) => Err(e.into()),
        };
        let message = match mended {
            Ok(None) => return,
            Ok(Some(fault)) => texts.with("warning-fault-mended", &[("fault", &fault)]),
            Err(e) => texts.with("warning-fault-left", &[("why", &crate::error::one_line(&e))]),
        };
        self.context.journal.write(Event::Warning { message });
    }

    /// Provisions, or finds everything provisioned. The journal tells how it went.
    pub async fn up(&self) -> u8 {
        self.announce(true, false);
        self.mend().await;
        self.provision().await;
        self.finish().await
    }

    /// Provisions, then judges every outcome that is not blocked.
    pub async fn run(&self) -> u8 {
        self.announce(true, true);
        self.mend().await;
        let ended = self.provision().await;
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
        self.finish().await
    }

    /// Judges the environment that is there and changes nothing.
    ///
    /// # Errors
    /// When there is no environment.
    pub async fn verify(&self) -> Result<u8, HarnessError> {
        self.announce(false, true);
        // It may be that somebody proves at this moment, and then it is not for us to mend.
        if let Some(fault) = left_behind(&self.context.session) {
            let message = text::current().with("warning-fault-there", &[("fault", &fault)]);
            self.context.journal.write(Event::Warning { message });
        }
        self.context.share().await?;
        match Environment::open(Arc::clone(&self.context)).await {
            Ok(environment) => {
                self.judge(&environment, &BTreeMap::new()).await;
                Ok(self.finish().await)
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
        let name_stand_ins = async {
            let (found, unknown) = stand_ins(environment).await;
            for (component, image) in found {
                context.journal.write(Event::StandIn { component, image });
            }
            for image in unknown {
                let message = text::current().with("warning-uninspected", &[("image", &image)]);
                context.journal.write(Event::Warning { message });
            }
        };
        let judging = judge_all(&self.outcomes, environment, ended, &context.journal);
        tokio::join!(bill::describe(environment), name_stand_ins, judging);
        // Last, since controllers go on making objects after a stage is done, and outcomes wait for them.
        inventory::take(environment).await;
        context.journal_recordings();
    }

    /// Collects what may tell what went wrong. What cannot be opened is collected from all the same.
    ///
    /// # Errors
    /// When the directory has something in it or cannot be written.
    pub async fn collect(&self, to: &Path) -> Result<Bundle, CollectError> {
        let context = &self.context;
        let opened = Environment::open(Arc::clone(context));
        match context.waiting.within("the environment is opened", Limit::ShortCommand, opened).await {
            Ok(Ok(environment)) => collect(&environment, to).await,
            Ok(Err(e)) => {
                context.journal.write(Event::Warning { message: crate::error::one_line(&e) });
                collect_session(context, to).await
            }
            Err(e) => {
                context.journal.write(Event::Warning { message: e.to_string() });
                collect_session(context, to).await
            }
        }
    }

    /// What is done with the environment.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Ends a run that was interrupted: the journal says so, and the session is kept for a later `up` or `down`.
    pub fn interrupted(&self) {
        self.end(130);
    }

    async fn finish(&self) -> u8 {
        let code = exit_code(&Summary::fold(&self.context.journal.records()), self.strict);
        // Before anything is cleaned up. Where there is no cluster, the journal says all that is known.
        if code != 0 && self.policy.collect && self.purpose == Purpose::Provision && self.context.state().cluster.is_some() {
            let to = self.context.session.bundle(&self.context.run);
            if let Err(e) = self.collect(&to).await {
                self.context.journal.write(Event::Warning { message: crate::error::one_line(&e) });
            }
        }
        self.end(code);
        code
    }

    pub(crate) fn end(&self, code: u8) {
        let duration_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(e) = self.release() {
            self.context.journal.write(Event::Warning { message: crate::error::one_line(&e) });
        }
        // Its time to live begins when the work on it is over.
        Lease::note(self.context.session.dir());
        self.context.journal.write(Event::RunFinished { exit_code: code, duration_ms });
    }
}

/// A dead owner's `kind` or `istioctl` may still be at work; it is ended before anything else is done. Its journal names it by pid and start time.
async fn end_children(context: &Context, owner: &Owner, run: Option<&str>) {
    // Of another boot nothing runs, and its numbers may be those of strangers now.
    let Some(run) = run.filter(|_| !owner.alive() && owner.is_of_this_boot()) else { return };
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

/// This version of meshproof; of a release build that was made in its repository also the commit, as build metadata: `0.1.0+1a2b3c4d5e6f`.
#[must_use]
pub fn version() -> String {
    let commit = option_env!("MESHPROOF_COMMIT").map(|commit| format!("+{commit}")).unwrap_or_default();
    format!("{}{commit}", env!("CARGO_PKG_VERSION"))
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
