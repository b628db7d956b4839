//! Which source of clusters is meant: what was asked for, what the session has, or what there is.

use std::sync::Arc;

use super::Provider;
use super::embedded::Embedded;
use super::kind::Kind;
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
}

impl ChooseError {
    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        matches!(self, Self::Downgrade(_)).then(|| text::current().get("cli-hint-no-downgrade"))
    }
}

/// The source of the clusters of a session that exists: what made it, whatever options and variables say now.
#[must_use]
pub fn of_session(state: &State) -> Arc<dyn Provider> {
    named(&state.backend)
}

fn named(backend: &str) -> Arc<dyn Provider> {
    match backend {
        "embedded" => Arc::new(Embedded::in_agent()),
        _ => Arc::new(Kind::new(endpoint::find(|name| std::env::var(name).ok()))),
    }
}

/// The backend of a word; nothing and `auto` go on with what the session has, and where it has nothing take kind where a container engine
/// answers, and else the embedded cluster, with a banner for `tell` that nobody can miss. In CI that is refused.
///
/// # Errors
/// [`ChooseError`].
pub async fn provider(word: Option<&str>, state: Option<&State>, tell: impl FnOnce(&str)) -> Result<Arc<dyn Provider>, ChooseError> {
    match (word.unwrap_or("auto"), state.filter(|s| s.cluster.is_some())) {
        (word @ ("kind" | "embedded"), _) => return Ok(named(word)),
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
