//! What can be wrong with a spec, each with its place.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::version::VersionError;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a spec file; line and column count from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column in characters, from 1.
        column: u64,
    },
    /// In a `--set` argument, given here whole.
    Set(String),
    /// In `--profile`.
    ProfileOption,
    /// In the profile of this name.
    Profile(String),
}

impl Origin {
    /// Whether a person wrote it, as opposed to a profile.
    #[must_use]
    pub fn is_user(&self) -> bool {
        !matches!(self, Self::Profile(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Set(argument) => write!(f, "--set {argument}"),
            Self::ProfileOption => f.write_str("--profile"),
            Self::Profile(name) => write!(f, "profile {name}"),
        }
    }
}

/// Why a spec could not be loaded.
///
/// Messages start with the place as `file:line:column` or `--set argument`; causes are in the source chain and not repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A spec file could not be read.
    #[error("cannot read the spec {}", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The current directory, which relative files refer to, is not known.
    #[error("cannot tell the current directory")]
    CurrentDirectory {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not YAML.
    #[error("{at}: not valid YAML: {message}")]
    Syntax {
        /// Where.
        at: Origin,
        /// What the parser says.
        message: String,
    },
    /// More than one YAML document.
    #[error("{at}: a second document begins here, but a spec is one document")]
    SecondDocument {
        /// Where the second one begins.
        at: Origin,
    },
    /// The same key twice in one map.
    #[error("{at}: duplicate key `{key}`, first given on line {first_line}, column {first_column}")]
    DuplicateKey {
        /// Where the second one stands.
        at: Origin,
        /// The key.
        key: String,
        /// Line of the first one, from 1.
        first_line: u64,
        /// Column of the first one, from 1.
        first_column: u64,
    },
    /// A key that does not exist there.
    #[error("{at}: unknown key `{key}`{}; {}", InSection(section), Candidates { nearest: nearest.as_deref(), noun: "keys here", all: valid })]
    UnknownKey {
        /// Where the key stands.
        at: Origin,
        /// Dotted path of the section that it stands in; empty for the whole document.
        section: String,
        /// The key.
        key: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// Every key that is valid there.
        valid: Vec<String>,
    },
    /// A value of the wrong type.
    #[error("{at}: `{key}` must be {expected}, but is {found}")]
    WrongType {
        /// Where the value stands.
        at: Origin,
        /// Dotted path of the key.
        key: String,
        /// What is valid.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A word that is not one of those which are valid.
    #[error("{at}: `{key}` cannot be `{value}`; {}", Candidates { nearest: nearest.as_deref(), noun: "values", all: valid })]
    UnknownValue {
        /// Where the value stands.
        at: Origin,
        /// Dotted path of the key.
        key: String,
        /// The value.
        value: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// Every valid value.
        valid: Vec<String>,
    },
    /// `null` for something that a spec cannot do without.
    #[error("{at}: `{key}` cannot be removed, it must be {expected}")]
    NotOptional {
        /// Where the null stands.
        at: Origin,
        /// Dotted path of the key.
        key: String,
        /// What is valid.
        expected: String,
    },
    /// A part of a value that has no default was left out.
    #[error("{at}: `{parent}` lacks the key `{key}`")]
    MissingKey {
        /// Where the incomplete value stands.
        at: Origin,
        /// Dotted path of the incomplete value.
        parent: String,
        /// What is missing there.
        key: String,
    },
    /// A profile that does not exist.
    #[error("{at}: unknown profile `{name}`; {}", Candidates { nearest: nearest.as_deref(), noun: "profiles", all: valid })]
    UnknownProfile {
        /// Where it was named.
        at: Origin,
        /// The name.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// Every profile.
        valid: Vec<String>,
    },
    /// A `--set` argument that is no `path=value`.
    #[error("--set {argument}: {problem}")]
    SetSyntax {
        /// The whole argument.
        argument: String,
        /// What is wrong with it.
        problem: SetProblem,
    },
    /// A value that has the right type and still cannot be.
    #[error("{at}: `{key}` cannot be `{value}`: {reason}")]
    InvalidValue {
        /// Where the value stands.
        at: Origin,
        /// Dotted path of the key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A version that is none.
    #[error("{at}: `{key}` is not a version")]
    InvalidVersion {
        /// Where the value stands.
        at: Origin,
        /// Dotted path of the key.
        key: String,
        /// Why not.
        #[source]
        source: VersionError,
    },
    /// A placeholder that cannot be filled there.
    #[error("{at}: unknown placeholder `{{{name}}}` in `{key}`; {}", Candidates { nearest: nearest.as_deref(), noun: "placeholders", all: valid })]
    UnknownPlaceholder {
        /// Where the value stands.
        at: Origin,
        /// Dotted path of the key.
        key: String,
        /// What stands between the braces.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// Every placeholder that can be filled there.
        valid: Vec<String>,
    },
    /// The catalog knows no node image for these versions.
    #[error(
        "{at}: no node image of kind {kind} for Kubernetes {kubernetes} is known; known are {}; name another one in `cluster.nodeImage`",
        OrNone(known)
    )]
    UnknownNodeImage {
        /// Where the deciding version was written.
        at: Origin,
        /// Version of kind.
        kind: String,
        /// Version of Kubernetes.
        kubernetes: String,
        /// Kubernetes versions known for this kind; or, for an unknown kind, the known kinds.
        known: Vec<String>,
    },
    /// The tag of the node image and the Kubernetes version contradict each other.
    #[error(
        "{at}: `cluster.nodeImage` is Kubernetes {image}, but `cluster.kubernetes` is {kubernetes} ({kubernetes_at}); leave one of them out"
    )]
    NodeImageContradicts {
        /// Where the node image was written.
        at: Origin,
        /// Version in its tag.
        image: String,
        /// `cluster.kubernetes`.
        kubernetes: String,
        /// Where `cluster.kubernetes` was written.
        kubernetes_at: Origin,
    },
    /// A profile does not give everything that a spec needs: a bug of the profile.
    #[error("the profile `{profile}` is not complete")]
    IncompleteProfile {
        /// Its name.
        profile: String,
        /// What is missing.
        #[source]
        source: serde_json::Error,
    },
}

/// What is wrong with the form of a `--set` argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetProblem {
    /// No `=`.
    #[error("expected path=value, for example cluster.workers=2")]
    NoEquals,
    /// `a..b` or nothing before the `=`.
    #[error("a part of the path is empty")]
    EmptyPart,
    /// A quoted part of the path does not end, or something follows the quote.
    #[error("a quoted part of the path must end with a quote before the next dot")]
    Quote,
    /// A part of the path goes into a value that has no parts.
    #[error("`{parent}` has no parts that could be set")]
    NoParts {
        /// Dotted path of the value.
        parent: String,
    },
    /// Not an index where a list is.
    #[error("`{part}` is not an index of the list `{list}`; indices count from 0")]
    NotAnIndex {
        /// What stands there.
        part: String,
        /// Dotted path of the list.
        list: String,
    },
    /// An index that would leave a gap.
    #[error("the list `{list}` has {len} entries, so the index can be at most {len}, which appends")]
    IndexTooLarge {
        /// Dotted path of the list.
        list: String,
        /// How long it is.
        len: usize,
    },
}

struct InSection<'a>(&'a str);

impl fmt::Display for InSection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in `{}`", self.0) }
    }
}

struct Candidates<'a> {
    nearest: Option<&'a str>,
    noun: &'a str,
    all: &'a [String],
}

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nearest {
            Some(nearest) => write!(f, "did you mean `{nearest}`? Valid")?,
            None => f.write_str("valid")?,
        }
        write!(f, " {}: {}", self.noun, self.all.join(", "))
    }
}

struct OrNone<'a>(&'a [String]);

impl fmt::Display for OrNone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { f.write_str(&self.0.join(", ")) }
    }
}
