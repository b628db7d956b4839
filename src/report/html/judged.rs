//! Outcomes and failures as the page shows them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::values::{anchor, seen, time, word};
use crate::guide::{self, Sentence};
use crate::journal::{Confidence, Diagnosis, StageResult, Verdict};
use crate::report::fold::{Failure, OutcomeState, OutcomeSummary, StageState, Summary, elapsed_ms};
use crate::report::layout::Mark;
use crate::text::{Lang, Texts};

/// How many outcomes that went wrong are open from the start; more would bury what follows them.
const OPEN: usize = 12;
/// How many of the other failures the top of the page names.
const OTHERS: usize = 12;

/// The first thing to look at.
#[derive(Debug, Serialize)]
pub(super) struct First<'a> {
    stage: bool,
    anchor: String,
    id: &'a str,
    title: &'a str,
    blocked_by: Option<&'a str>,
    reasons: Vec<&'a str>,
    status: Option<&'a str>,
    diagnoses: Vec<Diagnosed<'a>>,
    hint: Option<&'a str>,
}

/// Something else that went wrong.
#[derive(Debug, Serialize)]
pub(super) struct Other<'a> {
    anchor: String,
    id: &'a str,
    title: &'a str,
    verdict: &'static str,
    mark: &'static str,
}

/// What was in progress when the journal ended.
#[derive(Debug, Serialize)]
pub(super) struct Running<'a> {
    stage: bool,
    anchor: String,
    id: &'a str,
    status: Option<&'a str>,
    time: String,
}

/// A diagnosis.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosed<'a> {
    rule: &'a str,
    confidence: &'static str,
    cause: &'a str,
    remedy: &'a str,
    seen: &'a str,
    links: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Chapter<'a> {
    name: &'a str,
    passed: usize,
    outcomes: Vec<Outcome<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    anchor: String,
    id: &'a str,
    title: &'a str,
    kind: &'static str,
    gates: bool,
    verdict: &'static str,
    mark: &'static str,
    running: bool,
    time: Option<String>,
    reason: Option<&'a str>,
    blocked_by: Option<By<'a>>,
    capability: Option<&'a str>,
    evidence: Vec<Evidence<'a>>,
    diagnoses: Vec<Diagnosed<'a>>,
    hint: &'a str,
    says: Vec<Says<'a>>,
    ledger: Option<String>,
    open: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct By<'a> {
    stage: &'a str,
    anchor: String,
}

/// One thing that was seen.
#[derive(Debug, Serialize)]
pub(super) struct Evidence<'a> {
    pub(super) name: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) block: bool,
    pub(super) cut: bool,
}

/// What the guide says.
#[derive(Debug, Serialize)]
pub(super) struct Says<'a> {
    section: &'a str,
    text: &'a str,
    english: Option<&'a str>,
    /// It is a command or an output, which needs letters of one width.
    code: bool,
    /// It needs a scrollbar, and so must be reached by keyboard.
    tall: bool,
    /// What is known to be wrong with it.
    defects: Vec<Wrong<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Wrong<'a> {
    id: &'a str,
    key: String,
}

/// Looks things up once for all outcomes, so that the work grows with their number and no faster.
pub(super) struct Maker<'a> {
    summary: &'a Summary,
    texts: &'a Texts,
    /// Anchors in the order of the outcomes.
    anchors: Vec<String>,
    sentences: HashMap<&'static str, Vec<&'static Sentence>>,
    links: HashMap<&'static str, Vec<String>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(summary: &'a Summary, texts: &'a Texts) -> Self {
        let mut taken = HashSet::new();
        let anchors = summary.outcomes.iter().enumerate().map(|(n, outcome)| {
            let anchor = anchor("outcome", &outcome.info.id);
            if taken.insert(anchor.clone()) { anchor } else { format!("{anchor}--{n}") }
        });
        let anchors = anchors.collect();
        let mut sentences: HashMap<_, Vec<_>> = HashMap::new();
        for sentence in guide::sentences() {
            for id in &sentence.outcomes {
                sentences.entry(id.as_str()).or_default().push(sentence);
            }
        }
        let links = crate::diagnose::rules().map(|r| (r.id, r.threads().map(|t| t.link()).collect())).collect();
        Self { summary, texts, anchors, sentences, links }
    }

    fn each(&self) -> impl Iterator<Item = (&String, &'a OutcomeSummary)> {
        self.anchors.iter().zip(&self.summary.outcomes)
    }

    fn anchor_of(&self, outcome: &OutcomeSummary) -> String {
        self.each().find(|(_, other)| std::ptr::eq(*other, outcome)).map(|(anchor, _)| anchor.clone()).unwrap_or_default()
    }

    pub(super) fn first(&self, failure: Failure<'a>) -> First<'a> {
        match failure {
            Failure::Stage(stage) => {
                let (reasons, hint, diagnoses) = match &stage.state {
                    StageState::Finished { result: StageResult::Failed { error, hint, diagnoses }, .. } => {
                        (error.iter().map(String::as_str).collect(), hint.as_deref(), self.causes(diagnoses))
                    }
                    _ => (Vec::new(), None, Vec::new()),
                };
                let (id, title) = (&stage.info.id, &stage.info.title);
                let status = stage.status.as_deref();
                First { stage: true, anchor: anchor("stage", id), id, title, blocked_by: None, reasons, status, diagnoses, hint }
            }
            Failure::Outcome(outcome) => {
                let (mut reasons, mut blocked_by, mut diagnoses) = (Vec::new(), None, Vec::new());
                if let OutcomeState::Judged { verdict, diagnoses: found, .. } = &outcome.state {
                    diagnoses = self.causes(found);
                    match verdict {
                        Verdict::Failed { reason } => reasons.push(reason.as_str()),
                        Verdict::Blocked { by } => blocked_by = Some(by.as_str()),
                        Verdict::Passed | Verdict::Skipped { .. } | Verdict::Unsupported { .. } => {}
                    }
                }
                First {
                    stage: false,
                    anchor: self.anchor_of(outcome),
                    id: &outcome.info.id,
                    title: &outcome.info.title,
                    blocked_by,
                    reasons,
                    status: None,
                    diagnoses,
                    hint: Some(outcome.info.hint.as_str()).filter(|h| !h.is_empty()),
                }
            }
        }
    }

    /// The other failures, and how many more there are. Blocked outcomes are left out: they have one root cause, which is named.
    pub(super) fn others(&self) -> (Vec<Other<'a>>, usize) {
        let first = self.summary.first_failure();
        let stages = self.summary.stages.iter().filter(|s| s.failed() && first != Some(Failure::Stage(s))).map(|stage| Other {
            anchor: anchor("stage", &stage.info.id),
            id: &stage.info.id,
            title: &stage.info.title,
            verdict: "failed",
            mark: Mark::Bad.symbol(false),
        });
        let failed = |o: &OutcomeSummary| matches!(word(o), "failed" | "unexpected-pass");
        let is_first = |o: &OutcomeSummary| matches!(first, Some(Failure::Outcome(f)) if std::ptr::eq(f, o));
        let outcomes = self.each().filter(|(_, o)| failed(o) && !is_first(o)).map(|(anchor, outcome)| Other {
            anchor: anchor.clone(),
            id: &outcome.info.id,
            title: &outcome.info.title,
            verdict: word(outcome),
            mark: Mark::of_outcome(outcome).symbol(false),
        });
        let mut others: Vec<_> = stages.chain(outcomes).collect();
        let more = others.len().saturating_sub(OTHERS);
        others.truncate(OTHERS);
        (others, more)
    }

    pub(super) fn running(&self) -> Vec<Running<'a>> {
        if !self.summary.interrupted() {
            return Vec::new();
        }
        let stages = self.summary.stages.iter().filter_map(|stage| {
            let StageState::Running { since } = stage.state else { return None };
            let time = self.since(since);
            let status = stage.status.as_deref();
            Some(Running { stage: true, anchor: anchor("stage", &stage.info.id), id: &stage.info.id, status, time })
        });
        let outcomes = self.each().filter_map(|(anchor, outcome)| {
            let OutcomeState::Running { since } = outcome.state else { return None };
            Some(Running { stage: false, anchor: anchor.clone(), id: &outcome.info.id, status: None, time: self.since(since) })
        });
        stages.chain(outcomes).collect()
    }

    fn since(&self, since: jiff::Timestamp) -> String {
        time(self.texts, self.summary.last.map_or(0, |last| elapsed_ms(since, last)))
    }

    pub(super) fn chapters(&self) -> Vec<Chapter<'a>> {
        let mut chapters: Vec<Chapter<'a>> = Vec::new();
        let mut index: HashMap<&str, usize> = HashMap::new();
        let mut open = OPEN;
        for (anchor, summary) in self.each() {
            let outcome = self.outcome(anchor, summary, &mut open);
            let name = summary.chapter();
            let at = *index.entry(name).or_insert_with(|| {
                chapters.push(Chapter { name, passed: 0, outcomes: Vec::new() });
                chapters.len() - 1
            });
            let chapter = &mut chapters[at];
            chapter.passed += usize::from(outcome.verdict == "passed");
            chapter.outcomes.push(outcome);
        }
        chapters
    }

    fn outcome(&self, anchor: &str, summary: &'a OutcomeSummary, open: &mut usize) -> Outcome<'a> {
        let info = &summary.info;
        let mut outcome = Outcome {
            anchor: anchor.to_owned(),
            id: &info.id,
            title: &info.title,
            kind: info.kind.word(),
            gates: summary.gates(),
            verdict: word(summary),
            mark: Mark::of_outcome(summary).symbol(false),
            running: false,
            time: None,
            reason: None,
            blocked_by: None,
            capability: None,
            evidence: Vec::new(),
            diagnoses: Vec::new(),
            hint: &info.hint,
            says: self.says(summary),
            ledger: summary
                .ledger_text()
                .map(|(key, args)| self.texts.with(key, &args.each_ref().map(|(name, value)| (*name, value.as_str())))),
            open: false,
        };
        match &summary.state {
            OutcomeState::Pending => {}
            OutcomeState::Running { since } => {
                outcome.mark = Mark::Running.symbol(false);
                outcome.running = true;
                outcome.time = Some(self.since(*since));
            }
            OutcomeState::Judged { verdict, duration_ms, evidence, diagnoses } => {
                outcome.evidence = evidence.iter().map(|(name, value)| seen(name, value)).collect();
                // One-liners first, so that a long log does not push them out of sight.
                outcome.evidence.sort_by_key(|e| e.block);
                outcome.diagnoses = self.causes(diagnoses);
                let asked = matches!(verdict, Verdict::Passed | Verdict::Failed { .. });
                outcome.time = asked.then(|| time(self.texts, *duration_ms));
                match verdict {
                    Verdict::Passed => {}
                    Verdict::Failed { reason } => {
                        outcome.reason = Some(reason);
                        if summary.ruling().is_none() {
                            outcome.open = *open > 0;
                            *open = open.saturating_sub(1);
                        }
                    }
                    Verdict::Skipped { reason } => outcome.reason = Some(reason),
                    Verdict::Blocked { by } => outcome.blocked_by = Some(By { stage: by, anchor: self::anchor("stage", by) }),
                    Verdict::Unsupported { capability, reason } => {
                        outcome.capability = Some(capability);
                        outcome.reason = Some(reason);
                    }
                }
            }
        }
        outcome
    }

    /// The guide's sentences, and before them the one that the journal has where this version does not know it.
    fn says(&self, outcome: &'a OutcomeSummary) -> Vec<Says<'a>> {
        let known = self.sentences.get(outcome.info.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let mut says: Vec<Says<'a>> = known.iter().map(|s| self.sentence(s)).collect();
        if let (true, Some(text)) = (says.is_empty(), outcome.info.sentence.as_deref()) {
            let section = outcome.info.section.as_deref().unwrap_or_default();
            says.push(Says { section, text, english: None, code: code(text), tall: tall(text), defects: Vec::new() });
        }
        says
    }

    fn sentence(&self, sentence: &'static Sentence) -> Says<'a> {
        let text = sentence.text.trim();
        Says {
            section: &sentence.section,
            text,
            code: code(text),
            tall: tall(text),
            english: (self.texts.lang() == Lang::En).then_some(sentence.english.as_str()),
            defects: sentence.defects.iter().map(|id| Wrong { id, key: format!("guide-defect-{}", id.to_lowercase()) }).collect(),
        }
    }

    fn causes(&self, diagnoses: &'a [Diagnosis]) -> Vec<Diagnosed<'a>> {
        diagnoses
            .iter()
            .map(|d| Diagnosed {
                rule: &d.rule,
                confidence: match d.confidence {
                    Confidence::Certain => "certain",
                    Confidence::Likely => "likely",
                    Confidence::Possible => "possible",
                },
                cause: &d.cause,
                remedy: &d.remedy,
                seen: &d.seen,
                links: self.links.get(d.rule.as_str()).cloned().unwrap_or_default(),
            })
            .collect()
    }
}

fn code(text: &str) -> bool {
    !text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

fn tall(text: &str) -> bool {
    text.lines().count() > 8 || text.chars().count() > 400
}
