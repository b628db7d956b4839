//! Which outcomes are meant: the expressions of `--select`.
//!
//! ```text
//! expression = and-part { ("or" | ",") and-part }
//! and-part   = part { "and" part }
//! part       = "not" part | "(" expression ")" | predicate
//! predicate  = pattern of an id | name ":" value
//! ```

mod parse;

use std::fmt;

use super::Outcome;
use crate::journal::OutcomeKind;
use crate::text;

/// The predicates that have a name.
const PREDICATES: [&str; 5] = ["kind", "section", "needs", "capability", "group"];

/// A set of outcomes, written as an expression.
///
/// ```
/// use meshproof::outcomes::{self, Selection};
///
/// let selection = Selection::parse("istio or section:2.1.2 and not kind:hardening")?;
/// let outcomes = outcomes::builtin();
/// selection.check(&outcomes)?;
/// let selected = outcomes.iter().filter(|outcome| selection.matches(outcome));
/// assert!(selected.clone().any(|outcome| outcome.id == "dashboard.login.accepted"));
/// # Ok::<(), meshproof::outcomes::SelectionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Selection {
    text: String,
    root: Expression,
}

#[derive(Debug, Clone)]
enum Expression {
    Is(Predicate),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

/// A test of one outcome, and the column where it was written.
#[derive(Debug, Clone)]
struct Predicate {
    column: usize,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Id(Pattern),
    Kind(OutcomeKind),
    Section(String),
    Needs(String),
    Capability(String),
    Group(String),
}

impl Selection {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is none, with the column and what was expected there. Whether its names exist only [`Selection::check`] can say.
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        let root = parse::expression(text).map_err(|(column, problem)| SelectionError::at(text, column, problem))?;
        Ok(Self { text: text.to_owned(), root })
    }

    /// Whether it has this outcome.
    #[must_use]
    pub fn matches(&self, outcome: &Outcome) -> bool {
        self.root.matches(outcome)
    }

    /// Refuses an expression that names what no outcome has, or that selects nothing: it is a mistake, and to leave out what it stands for
    /// unseen would be worse than to stop. Kinds are few and fixed, so `not kind:defect` is right also where there is none.
    ///
    /// # Errors
    /// The first such name with its column, what was probably meant, and what there is.
    pub fn check(&self, outcomes: &[Outcome]) -> Result<(), SelectionError> {
        let mut predicates = Vec::new();
        self.root.predicates(&mut predicates);
        for Predicate { column, test } in predicates {
            let exists = matches!(test, Test::Kind(_)) || outcomes.iter().any(|outcome| test.matches(outcome));
            if !exists {
                return Err(SelectionError::at(&self.text, *column, test.unknown(outcomes)));
            }
        }
        if outcomes.iter().any(|outcome| self.matches(outcome)) {
            return Ok(());
        }
        Err(SelectionError::at(&self.text, 1, SelectionProblem::Empty))
    }
}

/// The expression with the fewest parentheses that it needs; parsed again it selects the same.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl std::str::FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Expression {
    fn matches(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Is(predicate) => predicate.test.matches(outcome),
            Self::Not(inner) => !inner.matches(outcome),
            Self::And(parts) => parts.iter().all(|part| part.matches(outcome)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(outcome)),
        }
    }

    /// Every predicate in the order of the text.
    fn predicates<'a>(&'a self, all: &mut Vec<&'a Predicate>) {
        match self {
            Self::Is(predicate) => all.push(predicate),
            Self::Not(inner) => inner.predicates(all),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.predicates(all)),
        }
    }

    /// How tightly it binds.
    fn rank(&self) -> u8 {
        match self {
            Self::Or(_) => 0,
            Self::And(_) => 1,
            Self::Not(_) | Self::Is(_) => 2,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |f: &mut fmt::Formatter<'_>, rank: u8, part: &Self| {
            if part.rank() < rank { write!(f, "({part})") } else { part.fmt(f) }
        };
        let joined = |f: &mut fmt::Formatter<'_>, word: &str, parts: &[Self]| {
            for (n, part) in parts.iter().enumerate() {
                f.write_str(if n == 0 { "" } else { word })?;
                // One rank higher than the own one: a chain in a chain was in parentheses.
                within(f, self.rank() + 1, part)?;
            }
            Ok(())
        };
        match self {
            Self::Is(predicate) => predicate.test.fmt(f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                within(f, self.rank(), inner)
            }
            Self::And(parts) => joined(f, " and ", parts),
            Self::Or(parts) => joined(f, " or ", parts),
        }
    }
}

impl Test {
    fn matches(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Id(pattern) => pattern.matches(outcome.id),
            Self::Kind(kind) => outcome.kind == *kind,
            Self::Section(section) => outcome.anchor.is_some_and(|anchor| is_dotted_prefix(section, anchor.section)),
            Self::Needs(stage) => outcome.needs.contains(&stage.as_str()),
            Self::Capability(name) => outcome.capabilities.iter().any(|capability| capability.0 == *name),
            Self::Group(name) => outcome.group == Some(name.as_str()),
        }
    }

    /// What is wrong with it where no outcome has it.
    fn unknown(&self, outcomes: &[Outcome]) -> SelectionProblem {
        let problem = |predicate: &str, value: &str, known: Vec<String>| {
            let mut known = known;
            known.sort();
            known.dedup();
            SelectionProblem::UnknownValue { predicate: predicate.to_owned(), value: value.to_owned(), known }
        };
        match self {
            Self::Id(pattern) => {
                let nearest = pattern.nearest(outcomes);
                SelectionProblem::UnknownId { pattern: pattern.clone(), nearest }
            }
            Self::Kind(kind) => problem("kind", kind.word(), OutcomeKind::ALL.map(|kind| kind.word().to_owned()).into()),
            Self::Section(value) => problem("section", value, outcomes.iter().filter_map(|o| Some(o.anchor?.section.to_owned())).collect()),
            Self::Needs(value) => problem("needs", value, outcomes.iter().flat_map(|o| o.needs).map(|&n| n.to_owned()).collect()),
            Self::Capability(value) => {
                problem("capability", value, outcomes.iter().flat_map(|o| o.capabilities).map(ToString::to_string).collect())
            }
            Self::Group(value) => problem("group", value, outcomes.iter().filter_map(|o| Some(o.group?.to_owned())).collect()),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(pattern) => pattern.fmt(f),
            Self::Kind(kind) => write!(f, "kind:{}", kind.word()),
            Self::Section(value) => write!(f, "section:{value}"),
            Self::Needs(value) => write!(f, "needs:{value}"),
            Self::Capability(value) => write!(f, "capability:{value}"),
            Self::Group(value) => write!(f, "group:{value}"),
        }
    }
}

/// Ids by their whole text, by their first parts (`istio`, `dashboard.login`), or with `*` for any text, dots included (`*.ready`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern; any text is one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it means this id.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return is_dotted_prefix(&self.0, id) };
        let Some(mut left) = id.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            // The earliest place leaves the most for what follows.
            let Some((_, after)) = left.split_once(part) else { return false };
            left = after;
        }
        left.ends_with(last)
    }

    /// The id that it is most like, or the first or last parts of one where the pattern has that shape.
    #[must_use]
    pub fn nearest(&self, outcomes: &[Outcome]) -> Option<String> {
        let candidates = outcomes.iter().flat_map(|outcome| {
            let id = outcome.id;
            let dots = id.match_indices('.').map(|(at, _)| at);
            let parts: Vec<String> = if self.0.starts_with("*.") {
                dots.map(|at| format!("*{}", &id[at..])).collect()
            } else if self.0.ends_with(".*") {
                dots.map(|at| format!("{}.*", &id[..at])).collect()
            } else {
                dots.map(|at| id[..at].to_owned()).chain([id.to_owned()]).collect()
            };
            parts
        });
        let likeness = |candidate: &String| strsim::jaro_winkler(&self.0, candidate);
        // The first of equals, so that the answer does not depend on what comes later.
        candidates.reduce(|best, next| if likeness(&next) > likeness(&best) { next } else { best })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `whole` is `prefix`, or goes on with a dot after it.
pub(crate) fn is_dotted_prefix(prefix: &str, whole: &str) -> bool {
    whole.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Why an expression selects nothing that could be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`, column {column}: {problem}")]
pub struct SelectionError {
    /// The whole expression.
    pub expression: String,
    /// Where, in characters from 1; one more than there are where it ends too early.
    pub column: usize,
    /// What is wrong there.
    pub problem: SelectionProblem,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionProblem {
    /// Something else should stand there.
    #[error("expected {expected}, but {}", Found(found.as_deref()))]
    Expected {
        /// What.
        expected: String,
        /// What stands there; `None` at the end.
        found: Option<String>,
    },
    /// An operator of other languages.
    #[error("`{found}` means nothing here; write `{word}`")]
    Operator {
        /// The character.
        found: char,
        /// The word for it.
        word: &'static str,
    },
    /// More parentheses and `not`s within each other than anybody needs.
    #[error("more than {limit} levels of parentheses and `not`")]
    Depth {
        /// How many there may be.
        limit: usize,
    },
    /// A predicate that does not exist.
    #[error("unknown predicate `{name}`; there are {}", known.join(", "))]
    UnknownPredicate {
        /// What stands before the colon.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// A value that no outcome has.
    #[error("no outcome has {predicate}:{value}; {}", Known(predicate, known))]
    UnknownValue {
        /// What stands before the colon.
        predicate: String,
        /// What stands after it.
        value: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// A pattern that no id has.
    #[error("no outcome is called `{pattern}`")]
    UnknownId {
        /// The pattern.
        pattern: Pattern,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// Every part selects something, and the whole nothing.
    #[error("no outcome is selected")]
    Empty,
}

impl SelectionError {
    fn at(expression: &str, column: usize, problem: SelectionProblem) -> Self {
        Self { expression: expression.to_owned(), column, problem }
    }

    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let near = |wrong: &str, known: &[String]| {
            let likeness = |known: &String| strsim::jaro_winkler(wrong, known);
            let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
            // Where nothing is like it, the list in the message says more than the least unlike.
            (likeness(best) > 0.7).then(|| best.clone())
        };
        let texts = text::current();
        match &self.problem {
            SelectionProblem::UnknownId { nearest, .. } => Some(texts.with("hint-nearest-outcome", &[("id", nearest.as_deref()?)])),
            SelectionProblem::UnknownPredicate { name, known } => {
                Some(texts.with("hint-nearest", &[("name", &format!("{}:", near(name, known)?))]))
            }
            SelectionProblem::UnknownValue { predicate, value, known } => {
                Some(texts.with("hint-nearest", &[("name", &format!("{predicate}:{}", near(value, known)?))]))
            }
            SelectionProblem::Empty => Some(texts.get("hint-selects-nothing")),
            _ => None,
        }
    }
}

struct Found<'a>(Option<&'a str>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "found `{found}`"),
            None => f.write_str("the expression ends"),
        }
    }
}

struct Known<'a>(&'a str, &'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.is_empty() { write!(f, "none has a {}", self.0) } else { write!(f, "there are {}", self.1.join(", ")) }
    }
}
