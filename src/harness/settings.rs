//! What a run works with, and where it comes from where nobody says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Policy, PolicyError};
use crate::bundle::gather::{OpenError, load_bundled};
use crate::cluster::Provider;
use crate::registry::Registry;
use crate::session::{Session, SessionError};
use crate::spec::{Request, Spec};
use crate::wait::{Limits, RealClock, Waiting};

/// What a run works with.
#[derive(Clone)]
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
    /// What is done with an environment that is there, and with this one afterwards.
    pub policy: Policy,
    /// What there is to provision and to judge.
    pub registry: Registry,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Errors of [`Settings::from_environment`].
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The spec, or the bundle of `MESHPROOF_BUNDLE`.
    #[error(transparent)]
    Spec(#[from] OpenError),
    /// The state directory.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A variable that says what is done with an environment.
    #[error(transparent)]
    Policy(#[from] PolicyError),
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
        let scale = time_scale(var)?;
        let request = Request { files: spec_files(named_specs(var)), ..Request::default() };
        let bundle = var("MESHPROOF_BUNDLE").filter(|v| !v.is_empty()).map(PathBuf::from);
        let spec = load_bundled(request, bundle.as_deref(), &tool_cache(var))?;
        let session = session_from_environment()?;
        let waiting = Waiting::new(Arc::new(RealClock::default()), Limits::scaled(scale));
        Ok(Self {
            spec,
            session,
            provider,
            waiting,
            cache: tool_cache(var),
            policy: Policy::from_variables(var)?,
            registry: Registry::builtin(),
        })
    }
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The session of `MESHPROOF_STATE`, or else of the project.
///
/// # Errors
/// When its place is not known.
pub fn session_from_environment() -> Result<Session, SettingsError> {
    let current = std::env::current_dir().map_err(SettingsError::CurrentDirectory)?;
    Ok(Session::locate(None, &current, var)?)
}

/// What `MESHPROOF_TIMEOUT_SCALE` multiplies time limits with.
///
/// # Errors
/// When it is no number from 0.01 to 100.
pub fn time_scale(var: impl Fn(&str) -> Option<String>) -> Result<f64, PolicyError> {
    let name = "MESHPROOF_TIMEOUT_SCALE";
    let Some(value) = var(name).filter(|v| !v.is_empty()) else { return Ok(1.0) };
    let scale = value.parse().ok().filter(|scale| (0.01..=100.0).contains(scale));
    scale.ok_or_else(|| PolicyError { name: name.to_owned(), value, known: "numbers from 0.01 to 100".to_owned() })
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
