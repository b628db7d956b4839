//! From what was seen to a cause and a remedy: rules over lines of evidence, tried in order, one finding for each rule and set of names.
//!
//! Most rules know a line when they see it; a few need several lines, such as one node that fails while another does not. A line may fit
//! several rules: the one that says less then yields to the one that says more.

mod changed;
mod rules;
mod several;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rules::{Match, RULES};

pub use crate::journal::Confidence;
use crate::journal::Diagnosis;
use crate::text;

/// The rule of a failure whose cause no other rule knows.
pub const UNKNOWN: &str = "unknown";

/// What a line of evidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What a check found wrong.
    Problem,
    /// A state that was seen while waiting.
    State,
    /// A message of an error.
    Error,
    /// A warning of the cluster about a pod.
    Event,
    /// A line of a log, of a node or of a pod.
    Log,
    /// What is wrong with a node.
    Node,
    /// Something that was seen, and need not be wrong: no symptom by itself, but it can tell what a symptom means.
    Seen,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Self::Problem => "looked-at-problem",
            Self::State => "looked-at-state",
            Self::Error => "looked-at-error",
            Self::Event => "looked-at-event",
            Self::Log => "looked-at-log",
            Self::Node => "looked-at-node",
            Self::Seen => "looked-at-seen",
        }
    }
}

/// A line of evidence.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Every line of a text that may have several.
    pub fn all(kind: Kind, text: &'a str) -> impl Iterator<Item = Self> {
        text.lines().map(move |text| Self { kind, text })
    }
}

/// A discussion of a trouble at its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// `OWNER/NAME` on GitHub.
    pub repository: &'static str,
    /// Number of the issue or pull request.
    pub number: u32,
}

impl Thread {
    /// Where it can be read; for a pull request GitHub leads on from there.
    #[must_use]
    pub fn link(&self) -> String {
        format!("https://github.com/{}/issues/{}", self.repository, self.number)
    }
}

/// What can be said of a rule without evidence.
#[derive(Debug, Clone, Copy)]
pub struct RuleInfo {
    /// Its stable id.
    pub id: &'static str,
    /// How sure its findings are.
    pub confidence: Confidence,
    threads: &'static [(&'static str, u32)],
}

impl RuleInfo {
    /// Where the trouble is discussed.
    pub fn threads(&self) -> impl Iterator<Item = Thread> {
        self.threads.iter().map(|(repository, number)| Thread { repository, number: *number })
    }
}

/// Every rule, in the order in which they are tried.
pub fn rules() -> impl Iterator<Item = RuleInfo> {
    RULES.iter().map(|r| RuleInfo { id: r.id, confidence: r.confidence, threads: r.threads })
}

/// The causes that symptoms point to, most specific first.
#[must_use]
pub fn diagnose<'a>(symptoms: impl IntoIterator<Item = &'a str>) -> Vec<Diagnosis> {
    find(&symptoms.into_iter().map(|text| Line { kind: Kind::Problem, text }).collect::<Vec<_>>())
}

/// The causes that the evidence of a failure points to, most specific first.
#[must_use]
pub fn find(evidence: &[Line<'_>]) -> Vec<Diagnosis> {
    let mut found: Vec<Diagnosis> = Vec::new();
    let mut claims: Vec<(&str, usize)> = Vec::new();
    for rule in RULES.iter().filter(|r| !r.is_last_resort) {
        for matched in rule.matches(evidence) {
            let taken = |line: &usize| rule.yields_to.iter().any(|other| claims.contains(&(*other, *line)));
            if !matched.lines.iter().any(taken) {
                claims.extend(matched.lines.iter().map(|line| (rule.id, *line)));
                add(&mut found, rule.id, rule.confidence, &matched, evidence);
            }
        }
    }
    if found.is_empty() {
        for rule in RULES.iter().filter(|r| r.is_last_resort) {
            for matched in rule.matches(evidence) {
                add(&mut found, rule.id, rule.confidence, &matched, evidence);
            }
        }
    }
    found
}

/// The same, or that nothing of what was looked at points to a known cause.
#[must_use]
pub fn explain(evidence: &[Line<'_>]) -> Vec<Diagnosis> {
    let found = find(evidence);
    if found.is_empty() { vec![unknown(evidence)] } else { found }
}

fn add(found: &mut Vec<Diagnosis>, id: &str, confidence: Confidence, matched: &Match, evidence: &[Line<'_>]) {
    let args: Vec<(&str, &str)> = matched.args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let line = matched.lines.first().map_or("", |line| evidence[*line].text);
    let diagnosis = said(id, confidence, &args, excerpt(line, matched.at));
    if !found.iter().any(|d| d.rule == diagnosis.rule && d.cause == diagnosis.cause) {
        found.push(diagnosis);
    }
}

fn said(id: &str, confidence: Confidence, args: &[(&str, &str)], seen: String) -> Diagnosis {
    let (texts, key) = (text::current(), format!("diagnosis-{}", id.to_lowercase()));
    let (cause, remedy) = (texts.with(&key, args), texts.attribute(&key, "remedy", args).unwrap_or_default());
    Diagnosis { rule: id.to_owned(), confidence, cause, remedy, seen }
}

fn unknown(evidence: &[Line<'_>]) -> Diagnosis {
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for line in evidence {
        *kinds.entry(line.kind).or_default() += 1;
    }
    let texts = text::current();
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| texts.with(kind.key(), &[("count", &count.to_string())])).collect();
    let kinds = kinds.join(&texts.get("looked-at-between"));
    said(UNKNOWN, Confidence::Likely, &[("kinds", &kinds)], excerpt(evidence.first().map_or("", |line| line.text), 0))
}

/// The part of a long line around the match.
fn excerpt(line: &str, at: usize) -> String {
    const MOST: usize = 400;
    if line.len() <= MOST {
        return line.to_owned();
    }
    let from = line.floor_char_boundary(at.saturating_sub(MOST / 4));
    let to = line.floor_char_boundary((from + MOST).min(line.len()));
    format!("{}{}{}", if from > 0 { "…" } else { "" }, &line[from..to], if to < line.len() { "…" } else { "" })
}
