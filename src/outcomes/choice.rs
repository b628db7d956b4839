//! What of all outcomes a run judges, and how strictly.

use super::{Outcome, Pattern, Rerun, Selection, SelectionError};
use crate::journal::JournalError;
use crate::session::Session;
use crate::text;

/// What a person asks a run to judge. The default is everything.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Judge only these.
    pub select: Option<Selection>,
    /// Leave these out, in sight. Where several mean the same outcome, the last one has its say.
    pub skip: Vec<Skip>,
    /// Judge only what the last run that judged outcomes left: see [`Rerun`].
    pub rerun_failed: bool,
    /// Skipped and unsupported outcomes gate.
    pub strict: bool,
}

/// What a choice makes of a list of outcomes.
#[derive(Debug)]
pub struct Chosen {
    /// What is judged, in the same order; skipped outcomes are among them.
    pub outcomes: Vec<Outcome>,
    /// The ids of the others.
    pub not_selected: Vec<String>,
    /// The run that was to be judged again but had left nothing, so that everything is judged.
    pub nothing_failed: Option<String>,
}

/// An outcome, or several, to leave out for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Which.
    pub pattern: Pattern,
    /// Why.
    pub reason: String,
}

impl Skip {
    /// Reads `ID=reason`; the id may be a pattern.
    ///
    /// # Errors
    /// When there is no `=`, or nothing on one side of it.
    pub fn parse(argument: &str) -> Result<Self, SkipError> {
        let error = |problem| SkipError { argument: argument.to_owned(), problem };
        let (id, reason) = argument.split_once('=').ok_or_else(|| error(SkipProblem::NoEquals))?;
        match (id.trim(), reason.trim()) {
            ("", _) => Err(error(SkipProblem::NoId)),
            (_, "") => Err(error(SkipProblem::NoReason)),
            (id, reason) => Ok(Self { pattern: Pattern::new(id), reason: reason.to_owned() }),
        }
    }

    /// Refuses one that means no outcome.
    fn check(&self, outcomes: &[Outcome]) -> Result<(), SkipError> {
        if outcomes.iter().any(|outcome| self.pattern.matches(outcome.id)) {
            return Ok(());
        }
        let problem = SkipProblem::UnknownId { pattern: self.pattern.clone(), nearest: self.pattern.nearest(outcomes) };
        Err(SkipError { argument: format!("{}={}", self.pattern, self.reason), problem })
    }
}

/// Why a `--skip` argument cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--skip {argument}: {problem}")]
pub struct SkipError {
    /// The whole argument.
    pub argument: String,
    /// What is wrong with it.
    pub problem: SkipProblem,
}

/// What is wrong with a `--skip` argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipProblem {
    /// No `=`.
    #[error("expected ID=reason: what is left out needs a reason, which every report gives")]
    NoEquals,
    /// Nothing before the `=`.
    #[error("expected an id before the `=`")]
    NoId,
    /// Nothing after the `=`.
    #[error("expected a reason after the `=`, which every report gives")]
    NoReason,
    /// A pattern that no id has.
    #[error("no outcome is called `{pattern}`")]
    UnknownId {
        /// The pattern.
        pattern: Pattern,
        /// What was probably meant.
        nearest: Option<String>,
    },
}

/// Why a choice cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// The expression.
    #[error("--select {0}")]
    Select(#[from] SelectionError),
    /// What is to be skipped.
    #[error(transparent)]
    Skip(#[from] SkipError),
    /// There is no run to judge again.
    #[error("--rerun-failed: no run has judged anything in {dir}")]
    NeverJudged {
        /// The state directory.
        dir: String,
    },
    /// What is selected and what is to be judged again have nothing in common.
    #[error("--select `{selection}` has nothing of what run {run} left to judge again: {}", left.join(", "))]
    NothingLeft {
        /// The expression.
        selection: String,
        /// The run.
        run: String,
        /// What it left.
        left: Vec<String>,
    },
    /// The journal of the run that is to be judged again.
    #[error("--rerun-failed: the last run cannot be read")]
    Journal(#[from] JournalError),
}

impl ChoiceError {
    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Select(e) => e.hint(),
            Self::Skip(SkipError { problem: SkipProblem::UnknownId { nearest, .. }, .. }) => {
                Some(text::current().with("hint-nearest-outcome", &[("id", nearest.as_deref()?)]))
            }
            Self::NeverJudged { .. } => Some(text::current().get("hint-never-judged")),
            Self::NothingLeft { .. } => Some(text::current().get("hint-nothing-left")),
            Self::Skip(_) | Self::Journal(_) => None,
        }
    }
}

impl Choice {
    /// Whether it asks for anything but to judge everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.select.is_none() && self.skip.is_empty() && !self.rerun_failed && !self.strict
    }

    /// Follows it. Changes nothing on the disk, so that whoever is about to begin a run can ask first.
    ///
    /// # Errors
    /// When a name in it means no outcome, when nothing is left to judge, or when there is no run to judge again.
    pub fn of(&self, outcomes: &[Outcome], session: &Session) -> Result<Chosen, ChoiceError> {
        if let Some(select) = &self.select {
            select.check(outcomes)?;
        }
        for skip in &self.skip {
            skip.check(outcomes)?;
        }
        let last = if self.rerun_failed {
            let never = || ChoiceError::NeverJudged { dir: session.dir().display().to_string() };
            Some(Rerun::find(session)?.ok_or_else(never)?)
        } else {
            None
        };
        // What no longer exists cannot be judged again.
        let left: Vec<String> =
            outcomes.iter().filter(|o| last.as_ref().is_some_and(|l| l.outcomes.contains(o.id))).map(|o| o.id.to_owned()).collect();
        let nothing_failed = last.as_ref().filter(|_| left.is_empty()).map(|l| l.run.clone());
        let wanted = |outcome: &Outcome| {
            let selected = self.select.as_ref().is_none_or(|select| select.matches(outcome));
            selected && (left.is_empty() || left.iter().any(|id| id == outcome.id))
        };
        let (chosen, others): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|outcome| wanted(outcome));
        if let (true, Some(select), Some(last)) = (chosen.is_empty(), &self.select, last) {
            return Err(ChoiceError::NothingLeft { selection: select.to_string(), run: last.run, left });
        }
        Ok(Chosen {
            outcomes: chosen.into_iter().map(|outcome| self.marked(outcome)).collect(),
            not_selected: others.into_iter().map(|outcome| outcome.id.to_owned()).collect(),
            nothing_failed,
        })
    }

    /// The outcome, skipped where it is to be.
    fn marked(&self, outcome: &Outcome) -> Outcome {
        let outcome = outcome.clone();
        match self.skip.iter().rfind(|skip| skip.pattern.matches(outcome.id)) {
            Some(skip) => outcome.skipped(&skip.reason),
            None => outcome,
        }
    }
}
