//! What can be wrong with a ledger, each with its place.

use std::io;
use std::path::PathBuf;

use crate::spec::Origin;
use crate::text;

/// Why a ledger cannot be taken. Messages start with the place as `file:line:column`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file could not be read.
    #[error("cannot read the expected failures {}", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not YAML, a key that is not known or is missing, or a value of the wrong type.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: Origin,
        /// What the parser says.
        message: String,
    },
    /// Another document, or one of another version.
    #[error("{at}: `{key}` must be {expected}, but is `{value}`")]
    NotThis {
        /// Where the value stands.
        at: Origin,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// The only valid one.
        expected: &'static str,
    },
    /// An id that no outcome has.
    #[error("{at}: no outcome is called `{outcome}`")]
    UnknownOutcome {
        /// Where the id stands.
        at: Origin,
        /// The id.
        outcome: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// Nothing where a reason or an owner is needed.
    #[error("{at}: `{key}` must not be empty: whoever reads a report wants to know")]
    Empty {
        /// Where the value stands.
        at: Origin,
        /// The key.
        key: &'static str,
    },
    /// No day of the calendar.
    #[error("{at}: `expires` must be a date such as 2026-12-31, but is `{value}`")]
    NotADate {
        /// Where the value stands.
        at: Origin,
        /// The value.
        value: String,
    },
    /// No requirement on a version.
    #[error("{at}: `{value}` is no requirement on a version such as `>=1.27, <1.28`")]
    NotARequirement {
        /// Where the value stands.
        at: Origin,
        /// The value.
        value: String,
        /// Why not.
        source: semver::Error,
    },
    /// A source of clusters that does not exist.
    #[error("{at}: there is no backend `{backend}`; valid: {valid}")]
    UnknownBackend {
        /// Where the value stands.
        at: Origin,
        /// The value.
        backend: String,
        /// Those that there are, with commas between.
        valid: String,
    },
}

impl LedgerError {
    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownOutcome { nearest, .. } => Some(text::current().with("hint-nearest-outcome", &[("id", nearest.as_deref()?)])),
            _ => None,
        }
    }
}
