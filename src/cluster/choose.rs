//! Which source of clusters is meant: what was asked for, what the session has, or what there is.

use std::sync::Arc;

use super::Provider;
use super::embedded::Embedded;
use super::existing::{self, Existing};
use super::kind::Kind;
use super::user_config::{self, UserConfig, UserConfigError, contexts_there_are};
use crate::engine::{EngineError, endpoint};
use crate::session::State;
use crate::text;

/// A word for `--backend` that nobody knows, or a backend that is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// No such backend.
    #[error("{}", text::current().with("cli-unknown-backend", &[("backend", word)]))]
    Unknown {
        /// The word.
        word: String,
    },
    /// No container engine answers, and in CI nothing else is taken for it.
    #[error(transparent)]
    Downgrade(EngineError),
    /// Nobody has named the context of an existing cluster.
    #[error("{}", text::current().get("cli-no-context"))]
    NoContext {
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// The user's kubeconfig cannot be read, or has no such context.
    #[error(transparent)]
    UserConfig(#[from] UserConfigError),
}

impl ChooseError {
    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => None,
            Self::Downgrade(_) => Some(text::current().get("cli-hint-no-downgrade")),
            Self::NoContext { known } => text::current().attribute("cli-no-context", "hint", &[("contexts", &contexts_there_are(known))]),
            Self::UserConfig(e) => e.hint(),
        }
    }

    /// Whether something else has to be asked for; otherwise something is not to be had.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Downgrade(_))
    }
}

/// The source of the clusters of a session that exists: what made it, whatever options and variables say now.
#[must_use]
pub fn of_session(state: &State) -> Arc<dyn Provider> {
    if state.backend == existing::NAME { Arc::new(Existing::recorded(state)) } else { named(&state.backend) }
}

/// The existing cluster of the context that somebody has named, now or when the session was begun. The current context is nobody's word.
///
/// # Errors
/// When none is named, or there is none of this name.
pub fn existing(context: Option<&str>, state: Option<&State>) -> Result<Arc<dyn Provider>, ChooseError> {
    let files = user_config::files(|name| std::env::var_os(name));
    if let Some(context) = context.filter(|c| !c.is_empty()) {
        let existing = Existing::new(context, files);
        existing.check()?;
        return Ok(Arc::new(existing));
    }
    match state.filter(|s| s.backend == existing::NAME && s.cluster.is_some()) {
        Some(state) => Ok(of_session(state)),
        None => Err(ChooseError::NoContext { known: UserConfig::read(&files)?.contexts() }),
    }
}

fn named(backend: &str) -> Arc<dyn Provider> {
    match backend {
        "embedded" => Arc::new(Embedded::in_agent()),
        _ => Arc::new(Kind::new(endpoint::find(|name| std::env::var(name).ok()))),
    }
}

/// The backend of a word; nothing and `auto` go on with what the session has, and where it has nothing take kind where a container engine
/// answers, and else the embedded cluster, with a banner for `tell` that nobody can miss. In CI that is refused. `existing` is only taken by
/// name, and its context from `MESHPROOF_CONTEXT`.
///
/// # Errors
/// [`ChooseError`].
pub async fn provider(word: Option<&str>, state: Option<&State>, tell: impl FnOnce(&str)) -> Result<Arc<dyn Provider>, ChooseError> {
    match (word.unwrap_or("auto"), state.filter(|s| s.cluster.is_some())) {
        (word @ ("kind" | "embedded"), _) => return Ok(named(word)),
        (existing::NAME, state) => return existing(std::env::var("MESHPROOF_CONTEXT").ok().as_deref(), state),
        ("auto" | "", Some(state)) => return Ok(of_session(state)),
        ("auto" | "", None) => {}
        (word, _) => return Err(ChooseError::Unknown { word: word.to_owned() }),
    }
    let kind = Kind::new(endpoint::find(|name| std::env::var(name).ok()));
    let Err(error) = kind.engine().await else { return Ok(Arc::new(kind)) };
    if in_ci() {
        return Err(ChooseError::Downgrade(error));
    }
    tell(&text::current().with("cli-downgrade", &[("error", &crate::error::one_line(&error))]));
    Ok(named("embedded"))
}

/// Whether a CI system runs this, by the variable that all of them set.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"))
}
