//! From options to a spec, a session and a backend.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::{Backend, Failure, Format, Global};
use crate::bundle::gather::{OpenError, load_bundled};
use crate::cluster::Provider;
use crate::cluster::choose::{self, ChooseError};
use crate::harness::{
    Keep, OnDrift, Policy, PolicyError, Reuse, Settings, Word as _, named_specs, spec_files, time_scale, tool_cache, ttl,
};
use crate::session::{Session, State};
use crate::spec::{Request, Spec, SpecError, from_document};
use crate::stages::StageError;
use crate::text;
use crate::wait::{Limits, RealClock, Waiting};

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Takes from environment variables what the options leave open. An empty variable counts as unset, as CI systems need it.
pub(super) fn from_variables(global: &mut Global) -> Result<(), Failure> {
    let set = |name: &str| var(name).filter(|v| !v.is_empty());
    if global.spec.is_empty() {
        global.spec = named_specs(var);
    }
    if global.bundle.is_none() {
        global.bundle = set("MESHPROOF_BUNDLE").map(PathBuf::from);
    }
    if let (None, Some(word)) = (global.backend, set("MESHPROOF_BACKEND")) {
        let unknown = || Failure::usage(text::current().with("cli-unknown-backend", &[("backend", &word)]), None);
        global.backend = Some(Backend::from_str(&word, false).map_err(|_| unknown())?);
    }
    match (&global.context, global.backend == Some(Backend::Existing)) {
        // Another backend would not heed it, and the person would look at another cluster than they think.
        (Some(_), false) => return Err(Failure::usage(text::current().get("cli-context-without-existing"), None)),
        (None, true) => global.context = set("MESHPROOF_CONTEXT"),
        _ => {}
    }
    // https://no-color.org: any value but the empty one.
    global.no_color |= set("NO_COLOR").is_some();
    Ok(())
}

fn current_dir() -> Result<PathBuf, Failure> {
    Ok(std::env::current_dir()?)
}

fn spec_failure(e: &SpecError) -> Failure {
    Failure::new(2, e, None)
}

/// The spec that the options ask for.
pub(super) fn spec(global: &Global) -> Result<Spec, Failure> {
    let files = spec_files(global.spec.clone());
    let request = Request { files, profile: global.profile.clone(), sets: global.set.clone() };
    load_bundled(request, global.bundle.as_deref(), &cache()).map_err(|e| match e {
        OpenError::Spec(e) => spec_failure(&e),
        other => Failure::new(2, &other, Some(text::current().get("cli-hint-bundle"))),
    })
}

/// The session that the options mean.
pub(super) fn session(global: &Global) -> Result<Session, Failure> {
    Ok(Session::locate(global.state_dir.as_deref(), &current_dir()?, var)?)
}

/// The session and what it has, or the error that there is none.
pub(super) fn existing(global: &Global) -> Result<(Session, State), Failure> {
    let session = session(global)?;
    let none = || StageError::refused("no-session", [("dir", session.dir().display().to_string())]);
    let state = session.load()?.ok_or_else(none)?;
    Ok((session, state))
}

/// The spec for a command on an environment that exists: what it was made from, unless the options say otherwise.
pub(super) fn spec_of(global: &Global, state: &State) -> Result<Spec, Failure> {
    let asked = global.bundle.is_some() || !global.spec.is_empty() || !global.set.is_empty() || global.profile.is_some();
    if asked {
        return spec(global);
    }
    recorded(state)
}

/// The spec that the environment was made from.
pub(super) fn recorded(state: &State) -> Result<Spec, Failure> {
    from_document(&state.spec).map_err(|e| Failure::new(3, &e, Some(text::current().get("cli-hint-recorded-spec"))))
}

/// Where downloaded tools are kept.
pub(super) fn cache() -> PathBuf {
    tool_cache(var)
}

/// The source of the clusters of a session that exists: what made it, whatever the options and variables say.
pub(super) fn of_session(state: &State) -> Arc<dyn Provider> {
    choose::of_session(state)
}

/// The source of clusters that the options ask for.
pub(super) async fn provider(global: &Global, state: Option<&State>) -> Result<Arc<dyn Provider>, Failure> {
    let failure = |e: ChooseError| Failure::new(if e.is_usage() { 2 } else { 3 }, &e, e.hint());
    if global.backend == Some(Backend::Existing) {
        return choose::existing(global.context.as_deref(), state).map_err(failure);
    }
    let word = global.backend.and_then(|backend| Some(backend.to_possible_value()?.get_name().to_owned()));
    choose::provider(word.as_deref(), state, super::run::tell).await.map_err(failure)
}

/// Everything that a run needs, with the source of clusters that the options ask for.
pub(super) async fn settings(global: &Global, spec: Spec, session: Session) -> Result<Settings, Failure> {
    let provider = provider(global, session.load()?.as_ref()).await?;
    settings_with(global, spec, session, provider)
}

/// The same for a session that exists, with what made it.
pub(super) fn settings_of(global: &Global, spec: Spec, session: Session, state: &State) -> Result<Settings, Failure> {
    settings_with(global, spec, session, of_session(state))
}

fn settings_with(global: &Global, spec: Spec, session: Session, provider: Arc<dyn Provider>) -> Result<Settings, Failure> {
    Ok(Settings {
        spec,
        session,
        provider,
        waiting: waiting(global)?,
        cache: tool_cache(var),
        policy: policy(global)?,
        registry: global.registry.clone(),
    })
}

/// Whether somebody asks for other limits than those of the table.
pub(super) fn is_scaled(global: &Global) -> bool {
    global.timeout_scale.is_some() || time_scale(var).is_ok_and(|scale| (scale - 1.0).abs() > f64::EPSILON)
}

/// Waits by the clock on the wall, with limits as the options say over what the variables say.
pub(super) fn waiting(global: &Global) -> Result<Waiting, Failure> {
    let scale = match global.timeout_scale {
        Some(scale) if (0.01..=100.0).contains(&scale) => scale,
        Some(_) => return Err(Failure::usage(text::current().get("cli-bad-timeout-scale"), None)),
        None => time_scale(var).map_err(|e| Failure::usage(e.to_string(), None))?,
    };
    Ok(Waiting::new(Arc::new(RealClock::default()), Limits::scaled(scale)))
}

/// What is done with an environment: what the options say over what the variables say.
pub(super) fn policy(global: &Global) -> Result<Policy, Failure> {
    let usage = |e: PolicyError| Failure::usage(e.to_string(), None);
    let mut policy = Policy::from_variables(var).map_err(usage)?;
    if let Some(word) = &global.keep {
        policy.keep = Keep::from_word("--keep", word).map_err(usage)?;
    }
    if let Some(word) = &global.reuse {
        policy.reuse = Reuse::from_word("--reuse", word).map_err(usage)?;
    }
    if let Some(word) = &global.on_drift {
        policy.on_drift = OnDrift::from_word("--on-drift", word).map_err(usage)?;
    }
    if let Some(word) = &global.collect {
        policy.collect = bool::from_word("--collect", word).map_err(usage)?;
    }
    if let Some(word) = &global.ttl {
        policy.ttl = ttl("--ttl", word).map_err(usage)?;
    }
    Ok(policy)
}

/// Refuses a form that a command does not have.
pub(super) fn no_junit(global: &Global) -> Result<(), Failure> {
    if global.format == Format::Junit || global.junit.is_some() {
        return Err(Failure::usage(text::current().get("cli-no-junit"), None));
    }
    Ok(())
}
