//! The install guide as data: its sentences, commands and outputs, and what proves each.
//!
//! An outcome that a sentence names judges it. A sentence that no outcome judges says why, or names the outcomes that are still to be written;
//! there is no third way, and a test sees to it. An outcome that no sentence names goes beyond the guide: it is hardening.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::journal::OutcomeKind;
use crate::outcomes::Outcome;

/// How many things are known to be wrong with the guide.
const DEFECTS: usize = 17;

const SOURCE: &str = include_str!("guide.yaml");

/// Why nothing judges a sentence. Each has a text, `guide-reason-…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It explains, and no environment could contradict it.
    Explains,
    /// It is an opinion.
    Praise,
    /// It asks for something to be done; the command that follows does it and is judged.
    Asks,
    /// It is about something that the guide does not install.
    NotInstalled,
    /// It shows a secret.
    Secret,
}

impl Reason {
    /// Its key among the texts.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Explains => "guide-reason-explains",
            Self::Praise => "guide-reason-praise",
            Self::Asks => "guide-reason-asks",
            Self::NotInstalled => "guide-reason-not-installed",
            Self::Secret => "guide-reason-secret",
        }
    }
}

/// A sentence, a command or an output of the guide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sentence {
    /// Section, for example `2.1.2`.
    pub section: String,
    /// The guide's own words.
    pub text: String,
    /// What they say, in short.
    pub english: String,
    /// The outcomes that judge it.
    #[serde(default)]
    pub outcomes: Vec<String>,
    /// The outcomes that will judge it and are not written yet.
    #[serde(default)]
    pub planned: Vec<String>,
    /// What is wrong with it: `D1` to `D17`.
    #[serde(default)]
    pub defects: Vec<String>,
    /// Why no outcome judges it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// All of them, in the guide's order.
///
/// # Panics
/// When the embedded file cannot be read, which a test rules out.
#[must_use]
pub fn sentences() -> &'static [Sentence] {
    static ALL: LazyLock<Vec<Sentence>> = LazyLock::new(|| serde_saphyr::from_str(SOURCE).expect("guide.yaml holds sentences"));
    &ALL
}

/// How far outcomes and guide cover each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// How many sentences there are.
    pub sentences: usize,
    /// How many of them an outcome judges.
    pub checked: usize,
    /// How many say why not.
    pub reasoned: usize,
    /// How many wait for outcomes that are still to be written, wholly or in part.
    pub waiting: usize,
    /// How many have neither: holes.
    pub holes: usize,
    /// Outcomes that judge a sentence.
    pub documented: usize,
    /// Outcomes that go beyond the guide.
    pub hardening: usize,
    /// Outcomes that are still to be written.
    pub not_implemented: Vec<String>,
}

/// Compares the guide with these outcomes.
#[must_use]
pub fn coverage(outcomes: &[Outcome]) -> Coverage {
    let all = sentences();
    let known = |id: &str| outcomes.iter().any(|o| o.id == id);
    let checked = |s: &&Sentence| s.outcomes.iter().any(|id| known(id));
    let looked = looked(known);
    Coverage {
        sentences: looked.sentences,
        checked: looked.judged,
        reasoned: looked.reasoned,
        waiting: looked.waiting,
        holes: all.iter().filter(|s| !checked(s) && s.planned.is_empty() && s.reason.is_none()).count(),
        documented: outcomes.iter().filter(|o| sentences_of(o.id).next().is_some()).count(),
        hardening: outcomes.iter().filter(|o| o.kind == OutcomeKind::Hardening).count(),
        not_implemented: all.iter().flat_map(|s| s.planned.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

/// How far one run has looked at what the guide says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// How many sentences there are.
    pub sentences: usize,
    /// How many of them an outcome of the run judged, whatever the verdict.
    pub judged: usize,
    /// How many nothing can judge, each for a reason.
    pub reasoned: usize,
    /// How many wait for outcomes that are still to be written, wholly or in part.
    pub waiting: usize,
}

/// Compares the guide with the outcomes that a run has judged.
#[must_use]
pub fn looked(is_judged: impl Fn(&str) -> bool) -> Looked {
    let all = sentences();
    Looked {
        sentences: all.len(),
        judged: all.iter().filter(|s| s.outcomes.iter().any(|id| is_judged(id))).count(),
        reasoned: all.iter().filter(|s| s.reason.is_some()).count(),
        waiting: all.iter().filter(|s| !s.planned.is_empty()).count(),
    }
}

/// The sentences that an outcome judges.
pub fn sentences_of(id: &str) -> impl Iterator<Item = &'static Sentence> {
    sentences().iter().filter(move |s| s.outcomes.iter().any(|o| o == id))
}

/// What is wrong with the guide, by number: `D1` to `D17`, each with the sections that it is in.
pub fn defects() -> impl Iterator<Item = (String, Vec<&'static str>)> {
    (1..=DEFECTS).map(|number| {
        let id = format!("D{number}");
        let sections: BTreeSet<&str> = sentences().iter().filter(|s| s.defects.contains(&id)).map(|s| s.section.as_str()).collect();
        (id, sections.into_iter().collect())
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
