//! The report that a person reads in a terminal.

use unicode_width::UnicodeWidthStr;

use crate::journal::{Diagnosis, Fidelity, StageResult, Verdict};
use crate::text::Texts;

use super::fold::{Failure, OutcomeState, OutcomeSummary, StageState, StageSummary, Summary, elapsed_ms, exit_code};
use super::layout::{Mark, Style, Tone, left, one_line, right, seconds, shorten, wrap};

mod outcomes;

/// Lines of evidence shown in full; the JSON form has everything.
const EVIDENCE_LINES: usize = 40;

/// Renders a folded journal. The last line holds the counts, in one piece however narrow the terminal, for whoever greps for it.
#[must_use]
pub fn render(summary: &Summary, texts: &Texts, style: Style) -> String {
    let mut page = Page { summary, texts, style, out: Vec::new() };
    page.header();
    page.notes();
    page.stages();
    page.outcomes();
    page.ledger();
    page.first_failure();
    page.other_failures();
    page.in_progress();
    page.closing();
    let mut text = page.out.join("\n");
    text.push('\n');
    text
}

/// The word for the fidelity of a run, also where it is not known.
pub(super) fn fidelity(summary: &Summary, texts: &Texts) -> String {
    texts.get(match summary.run.as_ref().map(|r| r.fidelity) {
        Some(Fidelity::Real) => "report-fidelity-real",
        Some(Fidelity::Simulated) => "report-fidelity-simulated",
        None => "report-fidelity-unknown",
    })
}

struct Page<'a> {
    summary: &'a Summary,
    texts: &'a Texts,
    style: Style,
    out: Vec<String>,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.out.push(line.trim_end().to_owned());
    }

    fn heading(&mut self, key: &str) {
        let heading = self.style.paint(Tone::Strong, &self.texts.get(key));
        self.out.push(String::new());
        self.out.push(heading);
    }

    fn text(&self, key: &str, args: &[(&str, &str)]) -> String {
        self.style.punctuate(&self.texts.with(key, args))
    }

    /// Wrapped text behind a label; the following lines stand under the first.
    fn labelled(&mut self, indent: usize, label: &str, tone: Option<Tone>, text: &str) {
        let label = if label.is_empty() { String::new() } else { format!("{label} ") };
        let under = indent + label.width();
        for (n, part) in wrap(text, self.style.columns().saturating_sub(under)).iter().enumerate() {
            let line = match (n, tone) {
                (0, Some(tone)) => format!("{}{}{part}", " ".repeat(indent), self.style.paint(tone, &label)),
                (0, None) => format!("{}{label}{part}", " ".repeat(indent)),
                _ => format!("{}{part}", " ".repeat(under)),
            };
            self.line(&line);
        }
    }

    fn header(&mut self) {
        let fidelity = fidelity(self.summary, self.texts);
        let Some(run) = &self.summary.run else {
            let line = self.text("report-empty", &[]);
            self.line(&line);
            return;
        };
        let args = [
            ("command", run.command.as_str()),
            ("version", run.meshproof.as_str()),
            ("backend", run.backend.as_str()),
            ("fidelity", fidelity.as_str()),
            ("run", run.run.as_str()),
        ];
        let header = one_line(&self.text("report-header", &args));
        let header = self.style.paint(Tone::Strong, &header);
        self.line(&header);
        if run.fidelity == Fidelity::Simulated {
            let banner = self.text("report-simulated", &[]);
            self.labelled(0, Mark::Unsupported.symbol(self.style.ascii), Some(Tone::Caution), &banner);
        }
        // A terminal has no room for digests and URLs, whose names have a dot; the other forms have them.
        let short = self.summary.facts.iter().filter(|(name, _)| !name.contains('.'));
        let facts: Vec<String> = short.map(|(name, value)| format!("{name} {value}")).collect();
        if !facts.is_empty() {
            let facts = facts.join(&self.style.punctuate(" · "));
            self.labelled(2, "", None, &facts);
        }
    }

    fn notes(&mut self) {
        let recorded = self.summary.recorded;
        if recorded.mirror + recorded.proxy > 0 {
            let (mirror, errors, mib, proxy) = (
                recorded.mirror.to_string(),
                recorded.mirror_errors.to_string(),
                recorded.bytes.div_ceil(1 << 20).to_string(),
                recorded.proxy.to_string(),
            );
            let args = [("mirror", mirror.as_str()), ("errors", &errors), ("mib", &mib), ("proxy", &proxy)];
            self.heading("report-recorded");
            let text = self.text("report-recorded-requests", &args);
            self.labelled(2, "", None, &text);
        }
        if !self.summary.stand_ins.is_empty() {
            self.heading("report-stand-ins");
            for (component, image) in &self.summary.stand_ins {
                let text = self.text("report-stand-in", &[("component", component), ("image", image)]);
                self.labelled(2, "!", Some(Tone::Caution), &text);
            }
        }
        if !self.summary.warnings.is_empty() {
            self.heading("report-warnings");
            for warning in &self.summary.warnings {
                self.labelled(2, "!", Some(Tone::Caution), warning);
            }
        }
    }

    fn stages(&mut self) {
        if self.summary.stages.is_empty() {
            return;
        }
        self.heading("report-stages");
        let rows: Vec<Row> = tree(&self.summary.stages)
            .into_iter()
            .map(|(depth, stage)| {
                let mark = Mark::of_stage(&stage.state);
                let branch = match (depth, self.style.ascii) {
                    (0, _) => String::new(),
                    (_, false) => format!("{}└ ", "  ".repeat(depth - 1)),
                    (_, true) => format!("{}` ", "  ".repeat(depth - 1)),
                };
                let (time, note) = self.stage_note(stage);
                let name = format!("{branch}{}", one_line(&stage.info.id));
                Row { indent: 2, mark, name, title: one_line(&stage.info.title), time, note }
            })
            .collect();
        self.table(&rows);
    }

    fn stage_note(&self, stage: &StageSummary) -> (String, String) {
        match &stage.state {
            StageState::Pending => (String::new(), self.text("report-stage-pending", &[])),
            StageState::Running { since } => {
                let time = self.summary.last.map_or(0, |last| elapsed_ms(*since, last));
                (seconds(self.texts, time), self.text("report-stage-running", &[]))
            }
            StageState::Finished { result, duration_ms } => {
                let time = seconds(self.texts, *duration_ms);
                match result {
                    StageResult::Provisioned => (time, String::new()),
                    StageResult::Already => (time, self.text("report-stage-already", &[])),
                    StageResult::NotNeeded => (String::new(), self.text("report-stage-not-needed", &[])),
                    StageResult::Failed { .. } => (time, self.text("report-stage-failed", &[])),
                    StageResult::Blocked { by } => (String::new(), self.text("report-blocked-by", &[("by", by)])),
                }
            }
        }
    }

    fn outcomes(&mut self) {
        if self.summary.outcomes.is_empty() {
            return;
        }
        self.heading("report-outcomes");
        let summary = self.summary;
        let mut rows = Vec::new();
        let mut heads = Vec::new();
        for (chapter, outcomes) in summary.chapters() {
            heads.push((rows.len(), one_line(chapter)));
            rows.extend(outcomes.into_iter().map(|outcome| self.outcome_row(outcome)));
        }
        // One table, so that the columns of all chapters are aligned; the headings are put between afterwards.
        let start = self.out.len();
        self.table(&rows);
        for (n, (row, chapter)) in heads.into_iter().enumerate() {
            self.out.insert(start + row + n, format!("  {}", self.style.paint(Tone::Strong, &chapter)));
        }
    }

    /// Rows in aligned columns: mark, name, time, then the title and its note, which share what is left of the width. Where it does not
    /// suffice the title is shortened first, then the note; never the name.
    fn table(&mut self, rows: &[Row]) {
        let widest = |column: fn(&Row) -> &str| rows.iter().map(|r| column(r).width()).max().unwrap_or(0);
        let name = widest(|r| &r.name);
        let time = widest(|r| &r.time);
        let indent = rows.first().map_or(0, |r| r.indent);
        let room = self.style.columns().saturating_sub(indent + 2 + name + 2 + time + 2);
        for row in rows {
            let note = one_line(&row.note);
            let note = if note.is_empty() { note } else { format!("  {}", shorten(&note, room / 2)) };
            let title = shorten(&row.title, room.saturating_sub(note.width()));
            let line = format!(
                "{}{} {}  {}  {}{}",
                " ".repeat(row.indent),
                row.mark.painted(self.style),
                left(&row.name, name),
                right(&row.time, time),
                self.style.punctuate(&title),
                self.style.paint(row.mark.tone(), &self.style.punctuate(&note)),
            );
            self.line(&line);
        }
    }

    fn first_failure(&mut self) {
        let Some(first) = self.summary.first_failure() else { return };
        self.heading("report-first-failure");
        match first {
            Failure::Stage(stage) => {
                let title = self.text("report-failure-stage", &[("id", &stage.info.id), ("title", &stage.info.title)]);
                self.labelled(2, Mark::Bad.symbol(self.style.ascii), Some(Tone::Bad), &title);
                if let StageState::Finished { result: StageResult::Failed { error, hint, diagnoses }, .. } = &stage.state {
                    for (n, cause) in error.iter().enumerate() {
                        let key = if n == 0 { "report-reason" } else { "report-because" };
                        self.item(key, cause);
                    }
                    if let Some(status) = &stage.status {
                        self.item("report-last-status", status);
                    }
                    self.diagnoses(diagnoses);
                    if let Some(hint) = hint {
                        self.item("report-hint", hint);
                    }
                }
            }
            Failure::Outcome(outcome) => {
                let title = self.text("report-failure-outcome", &[("id", &outcome.info.id), ("title", &outcome.info.title)]);
                let mark = Mark::of_outcome(outcome);
                self.labelled(2, mark.symbol(self.style.ascii), Some(mark.tone()), &title);
                if let OutcomeState::Judged { verdict, evidence, diagnoses, .. } = &outcome.state {
                    let reason = self.reason(verdict);
                    self.item("report-reason", &reason);
                    self.evidence(evidence);
                    self.diagnoses(diagnoses);
                }
                if !outcome.info.hint.is_empty() {
                    self.item("report-hint", &outcome.info.hint);
                }
                if let Some(section) = &outcome.info.section {
                    let sentence = outcome.info.sentence.as_deref().unwrap_or_default();
                    let label = self.text("report-guide", &[("section", section)]);
                    self.labelled(4, &label, Some(Tone::Faint), sentence);
                }
            }
        }
    }

    fn item(&mut self, key: &str, text: &str) {
        let label = self.text(key, &[]);
        self.labelled(4, &label, Some(Tone::Faint), text);
    }

    fn reason(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Passed => String::new(),
            Verdict::Failed { reason } | Verdict::Skipped { reason } | Verdict::Unsupported { reason, .. } => reason.clone(),
            Verdict::Blocked { by } => self.text("report-blocked-by", &[("by", by)]),
        }
    }

    fn evidence(&mut self, evidence: &std::collections::BTreeMap<String, serde_json::Value>) {
        if evidence.is_empty() {
            return;
        }
        let heading = self.text("report-evidence", &[]);
        let heading = self.style.paint(Tone::Faint, &heading);
        self.line(&format!("    {heading}"));
        // One-liners first, so that a long log does not push them out.
        let mut lines = Vec::new();
        let mut blocks = Vec::new();
        for (name, value) in evidence {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                other => serde_json::to_string_pretty(other).unwrap_or_default(),
            };
            if value.contains('\n') {
                blocks.push(format!("{}:", one_line(name)));
                blocks.extend(wrap(&value, self.style.columns().saturating_sub(8)).into_iter().map(|l| format!("  {l}")));
            } else {
                lines.extend(wrap(&format!("{name}: {value}"), self.style.columns().saturating_sub(6)));
            }
        }
        lines.extend(blocks);
        let hidden = lines.len().saturating_sub(EVIDENCE_LINES);
        for line in lines.iter().take(EVIDENCE_LINES) {
            self.line(&format!("      {line}"));
        }
        if hidden > 0 {
            let more = self.text("report-evidence-more", &[("count", &hidden.to_string())]);
            self.line(&format!("      {more}"));
        }
    }

    fn diagnoses(&mut self, diagnoses: &[Diagnosis]) {
        for diagnosis in diagnoses {
            let key = diagnosis.confidence.word().map_or("report-diagnosis".to_owned(), |word| format!("report-diagnosis-{word}"));
            let label = self.text(&key, &[("rule", &diagnosis.rule)]);
            self.labelled(4, &label, Some(Tone::Caution), &diagnosis.cause);
            for (key, text) in [("report-seen", &diagnosis.seen), ("report-remedy", &diagnosis.remedy)] {
                let label = self.text(key, &[]);
                self.labelled(6, &label, Some(Tone::Faint), text);
            }
        }
    }

    /// What also went wrong, one line each. Blocked outcomes are one line per stage that blocks them: they have one root cause.
    fn other_failures(&mut self) {
        let first = self.summary.first_failure();
        let mut lines: Vec<(Mark, String)> = Vec::new();
        let mut blocked: Vec<(&str, usize)> = Vec::new();
        for stage in self.summary.stages.iter().filter(|s| s.failed() && first != Some(Failure::Stage(s))) {
            if let StageState::Finished { result: StageResult::Failed { error, .. }, .. } = &stage.state {
                lines.push((Mark::Bad, format!("{}: {}", stage.info.id, error.join(": "))));
            }
        }
        for outcome in self.summary.outcomes.iter().filter(|o| first != Some(Failure::Outcome(o))) {
            match outcome.verdict() {
                // What the ledger says of them stands under its own heading.
                _ if outcome.ruling().is_some() => {}
                Some(Verdict::Failed { reason }) => lines.push((Mark::Bad, format!("{}: {reason}", outcome.info.id))),
                Some(Verdict::Blocked { by }) => match blocked.iter_mut().find(|(stage, _)| stage == by) {
                    Some((_, count)) => *count += 1,
                    None => blocked.push((by, 1)),
                },
                _ => {}
            }
        }
        for (by, count) in blocked {
            lines.push((Mark::Blocked, self.text("report-blocked-outcomes", &[("by", by), ("count", &count.to_string())])));
        }
        if lines.is_empty() {
            return;
        }
        self.heading("report-other-failures");
        for (mark, line) in lines {
            let line = self.style.punctuate(&shorten(&one_line(&line), self.style.columns().saturating_sub(4)));
            self.line(&format!("  {} {line}", mark.painted(self.style)));
        }
    }

    fn in_progress(&mut self) {
        if !self.summary.interrupted() {
            return;
        }
        self.heading("report-interrupted");
        let last = self.summary.last;
        let time = |since| seconds(self.texts, last.map_or(0, |last| elapsed_ms(since, last)));
        let mut lines = Vec::new();
        for stage in &self.summary.stages {
            if let StageState::Running { since } = stage.state {
                let mut line = self.text("report-interrupted-stage", &[("id", &stage.info.id), ("time", &time(since))]);
                if let Some(status) = &stage.status {
                    line = format!("{line}: {status}");
                }
                lines.push(line);
            }
        }
        for outcome in &self.summary.outcomes {
            if let OutcomeState::Running { since } = outcome.state {
                lines.push(self.text("report-interrupted-outcome", &[("id", &outcome.info.id), ("time", &time(since))]));
            }
        }
        if lines.is_empty() {
            lines.push(self.text("report-interrupted-idle", &[]));
        }
        for line in lines {
            self.labelled(2, Mark::Running.symbol(self.style.ascii), Some(Tone::Caution), &line);
        }
    }

    fn closing(&mut self) {
        self.out.push(String::new());
        let missing: Vec<String> = self.summary.missing_capabilities().iter().map(|(name, count)| format!("{name} ({count})")).collect();
        if !missing.is_empty() {
            let line = self.text("report-missing", &[("capabilities", &missing.join(", "))]);
            self.labelled(0, "", None, &line);
        }
        let counts = self.summary.counts();
        if counts.failed_not_gating > 0 {
            let line = self.text("report-not-gating", &[("count", &counts.failed_not_gating.to_string())]);
            self.labelled(0, "", None, &line);
        }
        let unseen = |o: &&OutcomeSummary| matches!(o.verdict(), Some(Verdict::Skipped { .. } | Verdict::Unsupported { .. }));
        let unseen = self.summary.outcomes.iter().filter(|o| o.gates()).filter(unseen).count();
        if self.summary.strict() && unseen > 0 {
            let line = self.text("report-strict", &[("count", &unseen.to_string())]);
            self.labelled(0, "", None, &line);
        }
        if let Some(collected) = &self.summary.collected {
            let line = super::progress::collected(self.texts, collected);
            self.labelled(0, "", None, &self.style.punctuate(&line));
        }
        // `up` judges nothing; its result is its stages.
        let ready = self.summary.stages.iter().filter(|s| s.done()).count().to_string();
        let all = self.summary.stages.len().to_string();
        let only_stages = self.summary.outcomes.is_empty() && !self.summary.stages.is_empty();
        let mut verdicts = if only_stages {
            self.text("report-stage-counts", &[("ready", &ready), ("all", &all)])
        } else {
            self.text(
                "report-counts",
                &[
                    ("passed", &counts.passed.to_string()),
                    ("failed", &counts.failed.to_string()),
                    ("blocked", &counts.blocked.to_string()),
                    ("skipped", &counts.skipped.to_string()),
                    ("unsupported", &counts.unsupported.to_string()),
                ],
            )
        };
        if counts.not_judged > 0 {
            verdicts.push_str(&self.text("report-counts-not-judged", &[("count", &counts.not_judged.to_string())]));
        }
        if !self.summary.not_selected.is_empty() {
            let count = self.summary.not_selected.len().to_string();
            verdicts.push_str(&self.text("report-counts-not-selected", &[("count", &count)]));
        }
        for (key, count) in [("report-counts-expected", counts.expected), ("report-counts-unexpected", counts.unexpected)] {
            if count > 0 {
                verdicts.push_str(&self.text(key, &[("count", &count.to_string())]));
            }
        }
        // A cut journal has no exit code; to print the one that its verdicts ask for could look like success.
        let exit = match self.summary.finished {
            Some(finished) => self.text("report-exit", &[("code", &finished.exit_code.to_string())]),
            None => self.text("report-exit-none", &[]),
        };
        let time = seconds(self.texts, self.summary.duration_ms());
        let fidelity = fidelity(self.summary, self.texts);
        let line = self.text("report-last-line", &[("verdicts", &verdicts), ("fidelity", &fidelity), ("time", &time), ("exit", &exit)]);
        let bad = self.summary.finished.is_none_or(|f| f.exit_code != 0) || exit_code(self.summary, self.summary.strict()) != 0;
        let line = self.style.paint(if bad { Tone::Bad } else { Tone::Good }, &one_line(&line));
        self.line(&line);
    }
}

struct Row {
    indent: usize,
    mark: Mark,
    name: String,
    title: String,
    time: String,
    note: String,
}

/// Stages as a tree, each under the latest of the stages that it needs. Only earlier stages can be parents, so that a plan with a
/// cycle, which only a foreign journal can hold, still gives every stage once.
pub(super) fn tree(stages: &[StageSummary]) -> Vec<(usize, &StageSummary)> {
    let parent = |index: usize| {
        let needs = &stages[index].info.needs;
        stages[..index].iter().rposition(|s| needs.contains(&s.info.id))
    };
    let parents: Vec<Option<usize>> = (0..stages.len()).map(parent).collect();
    let mut order = Vec::with_capacity(stages.len());
    let mut todo: Vec<(usize, usize)> = (0..stages.len()).rev().filter(|i| parents[*i].is_none()).map(|i| (0, i)).collect();
    while let Some((depth, index)) = todo.pop() {
        order.push((depth, &stages[index]));
        todo.extend((0..stages.len()).rev().filter(|i| parents[*i] == Some(index)).map(|i| (depth + 1, i)));
    }
    order
}
