//! The ledger of expected failures: what a project knows to fail, why, who looks after it, and until when.
//!
//! An entry never changes the verdict that is journalled. Reports say what it makes of it (see [`crate::report::Ruling`]): a failure that
//! is expected does not gate, a pass that is not expected does, and an entry that has expired excuses nothing.

mod error;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use semver::VersionReq;
use serde::Deserialize;
use serde_saphyr::options::Options;
use serde_saphyr::{Location, MessageFormatter as _, Spanned};

use crate::journal::Expected;
use crate::outcomes::Outcome;
use crate::spec::{API_VERSION, Origin, Spec};

pub use error::LedgerError;

/// The `kind` of a ledger.
pub const KIND: &str = "ExpectedFailures";

/// The file that is taken by itself where it lies in the current directory.
pub const FILE: &str = "expected-failures.yaml";

/// Where a cluster can come from, as `backend` of an entry names it.
const BACKENDS: [&str; 3] = ["kind", "embedded", "existing"];

/// What a version of an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The `kind` program.
    Kind,
    /// Kubernetes on the nodes.
    Kubernetes,
    /// Istio.
    Istio,
    /// The Gateway API CRDs.
    GatewayApi,
    /// Kubernetes Dashboard.
    Dashboard,
}

impl Component {
    /// The version that a spec has of it.
    fn version(self, spec: &Spec) -> &str {
        match self {
            Self::Kind => &spec.tools.kind.version,
            Self::Kubernetes => &spec.cluster.kubernetes,
            Self::Istio => &spec.istio.version,
            Self::GatewayApi => &spec.gateway_api.version,
            Self::Dashboard => &spec.dashboard.version,
        }
    }
}

/// One outcome that is expected to fail, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The outcome with its reason, owner and last day.
    pub expected: Expected,
    /// It applies only where each of these versions of the resolved spec meets its requirement.
    pub versions: Vec<(Component, VersionReq)>,
    /// It applies only where the cluster comes from here.
    pub backend: Option<String>,
}

impl Entry {
    /// Whether it applies to a run of this spec on this backend.
    #[must_use]
    pub fn applies(&self, spec: &Spec, backend: &str) -> bool {
        // What has no version that can be compared does not meet a requirement.
        let meets = |(component, wanted): &(Component, VersionReq)| {
            let version = component.version(spec);
            semver::Version::parse(version.strip_prefix('v').unwrap_or(version)).is_ok_and(|version| wanted.matches(&version))
        };
        self.backend.as_ref().is_none_or(|wanted| wanted == backend) && self.versions.iter().all(meets)
    }
}

/// A ledger that was read and checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Its entries as they are written.
    pub entries: Vec<Entry>,
}

impl Ledger {
    /// Reads a file. `outcomes` are those that there are.
    ///
    /// # Errors
    /// When it cannot be read or anything in it is wrong; the error names the place.
    pub fn read(path: &Path, outcomes: &[Outcome]) -> Result<Self, LedgerError> {
        let text = std::fs::read_to_string(path).map_err(|source| LedgerError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, outcomes)
    }

    /// Reads the text of a ledger; `path` is what errors call it.
    ///
    /// # Errors
    /// When anything in it is wrong; the error names the place.
    pub fn parse(text: &str, path: &Path, outcomes: &[Outcome]) -> Result<Self, LedgerError> {
        let mut options = Options::default();
        options.with_snippet = false;
        options.strict_booleans = true;
        let at = |location| place(path, location);
        let written: Written = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
            let e = e.without_snippet();
            let message = serde_saphyr::UserMessageFormatter.format_message(e).chars().filter(|c| !c.is_control()).collect();
            LedgerError::Syntax { at: at(e.location().unwrap_or(Location::UNKNOWN)), message }
        })?;
        for (key, value, expected) in [("apiVersion", &written.api_version, API_VERSION), ("kind", &written.kind, KIND)] {
            if value.value != expected {
                return Err(LedgerError::NotThis { at: at(value.referenced), key, value: value.value.clone(), expected });
            }
        }
        let entries = written.entries.into_iter().map(|entry| entry.check(path, outcomes)).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// What is expected of a run of this spec on this backend, at most once of each outcome: where several entries apply, the one that
    /// expires last.
    #[must_use]
    pub fn applying(&self, spec: &Spec, backend: &str) -> Vec<Expected> {
        let mut applying: Vec<Expected> = Vec::new();
        for Entry { expected, .. } in self.entries.iter().filter(|entry| entry.applies(spec, backend)) {
            match applying.iter_mut().find(|other| other.outcome == expected.outcome) {
                Some(other) if other.expires >= expected.expires => {}
                Some(other) => other.clone_from(expected),
                None => applying.push(expected.clone()),
            }
        }
        applying
    }
}

/// The ledger that is meant: the one that is named, or the one in `current` if it is there.
#[must_use]
pub fn find(named: Option<&Path>, current: &Path) -> Option<PathBuf> {
    named.map(Path::to_path_buf).or_else(|| Some(PathBuf::from(FILE)).filter(|file| current.join(file).is_file()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: Spanned<String>,
    kind: Spanned<String>,
    entries: Vec<WrittenEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenEntry {
    outcome: Spanned<String>,
    reason: Spanned<String>,
    owner: Spanned<String>,
    expires: Spanned<String>,
    #[serde(default)]
    versions: WrittenVersions,
    #[serde(default)]
    backend: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenVersions {
    kind: Option<Spanned<String>>,
    kubernetes: Option<Spanned<String>>,
    istio: Option<Spanned<String>>,
    gateway_api: Option<Spanned<String>>,
    dashboard: Option<Spanned<String>>,
}

impl WrittenEntry {
    fn check(self, path: &Path, outcomes: &[Outcome]) -> Result<Entry, LedgerError> {
        let at = |value: &Spanned<String>| place(path, value.referenced);
        if !outcomes.iter().any(|outcome| outcome.id == self.outcome.value) {
            let likeness = |outcome: &&Outcome| strsim::jaro_winkler(&self.outcome.value, outcome.id);
            let nearest = outcomes.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).map(|outcome| outcome.id.to_owned());
            return Err(LedgerError::UnknownOutcome { at: at(&self.outcome), outcome: self.outcome.value, nearest });
        }
        for (key, value) in [("reason", &self.reason), ("owner", &self.owner)] {
            if value.value.trim().is_empty() {
                return Err(LedgerError::Empty { at: at(value), key });
            }
        }
        // jiff reads other spellings of a date as well.
        let date = self.expires.value.parse::<Date>().ok().filter(|date| date.to_string() == self.expires.value);
        let expires = date.ok_or_else(|| LedgerError::NotADate { at: at(&self.expires), value: self.expires.value.clone() })?;
        if let Some(backend) = self.backend.as_ref().filter(|backend| !BACKENDS.contains(&backend.value.as_str())) {
            return Err(LedgerError::UnknownBackend { at: at(backend), backend: backend.value.clone(), valid: BACKENDS.join(", ") });
        }
        let written = [
            (Component::Kind, self.versions.kind),
            (Component::Kubernetes, self.versions.kubernetes),
            (Component::Istio, self.versions.istio),
            (Component::GatewayApi, self.versions.gateway_api),
            (Component::Dashboard, self.versions.dashboard),
        ];
        let mut versions = Vec::new();
        for (component, wanted) in written {
            let Some(wanted) = wanted else { continue };
            let wanted = VersionReq::parse(&wanted.value).map_err(|source| LedgerError::NotARequirement {
                at: at(&wanted),
                value: wanted.value.clone(),
                source,
            })?;
            versions.push((component, wanted));
        }
        let expected = Expected {
            outcome: self.outcome.value,
            reason: self.reason.value.trim().to_owned(),
            owner: self.owner.value.trim().to_owned(),
            expires,
        };
        Ok(Entry { expected, versions, backend: self.backend.map(|backend| backend.value) })
    }
}

fn place(path: &Path, location: Location) -> Origin {
    // A location that the parser does not know is 0:0.
    Origin::File { path: path.to_owned(), line: location.line().max(1), column: location.column().max(1) }
}
