//! The report as GitHub-flavoured Markdown, for the summary of a CI job. It never outgrows what GitHub shows, whatever the journal holds,
//! and says how much was left out.

mod escape;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::journal::{Diagnosis, Fidelity, StageResult, Verdict};
use crate::text::Texts;

use self::escape::{block, code, text};
use super::fold::{Failure, OutcomeState, OutcomeSummary, StageState, StageSummary, Summary, elapsed_ms, exit_code};
use super::layout::{Mark, one_line, seconds};
use super::terminal::fidelity;

/// Most bytes of a summary: GitHub refuses more than 1 MiB for a step, and counts what is around the text as well.
pub const LIMIT: usize = 1_000_000;

/// Least bytes that [`render_within`] can do with; a summary that is all omissions helps nobody.
pub const LEAST: usize = 512 * 1024;

/// Characters of a name or of a title.
const NAME: usize = 120;
/// Characters of a sentence, such as a reason.
const SENTENCE: usize = 600;

/// How much is said of one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Detail {
    /// Characters of a sentence.
    chars: usize,
    /// Diagnoses.
    diagnoses: usize,
    /// Characters of evidence; with none there is also nothing else that can be read in the JSON report.
    evidence: usize,
}

impl Detail {
    const FULL: Self = Self { chars: SENTENCE, diagnoses: 3, evidence: 4_000 };

    /// The more failures share so many bytes, the less is said of each, so that each is there.
    fn of_each(bytes: usize, failures: usize) -> Self {
        let each = bytes / failures.max(1);
        match each {
            40_000.. => Self { evidence: 2_000, ..Self::FULL },
            8_000.. => Self { chars: 200, diagnoses: 2, evidence: each / 10 },
            // Three sentences, and room for names and for what escaping adds.
            _ => Self { chars: (each.saturating_sub(350) / 5).max(40), diagnoses: 1, evidence: 0 },
        }
    }
}

/// Something that went wrong besides the first.
enum Entry<'a> {
    Stage(&'a StageSummary),
    Blocked((&'a str, Vec<&'a OutcomeSummary>)),
    Failed(&'a OutcomeSummary),
}

/// Renders a folded journal in at most [`LIMIT`] bytes.
#[must_use]
pub fn render(summary: &Summary, texts: &Texts) -> String {
    render_within(summary, texts, LIMIT)
}

/// Renders a folded journal in at most so many bytes, at least [`LEAST`].
#[must_use]
pub fn render_within(summary: &Summary, texts: &Texts, limit: usize) -> String {
    let mut page = Page { summary, texts, limit: limit.max(LEAST), out: String::new() };
    page.head();
    page.counts();
    page.first_failure();
    page.failures();
    page.ledger();
    page.in_progress();
    page.stages();
    page.left_out();
    page.around();
    page.out
}

struct Page<'a> {
    summary: &'a Summary,
    texts: &'a Texts,
    limit: usize,
    out: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        self.line(text);
        self.out.push('\n');
    }

    fn heading(&mut self, key: &str) {
        let heading = format!("### {}", self.texts.get(key));
        self.paragraph(&heading);
    }

    /// As many of the items as fit into this share of the page, then how many do not. What does not fit is not even made.
    fn list(&self, share: usize, count: usize, item: impl Fn(usize) -> String) -> String {
        let room = self.limit / share;
        let mut out = String::new();
        for n in 0..count {
            let item = item(n);
            // Once one is left out all later ones are: a list with holes reads as if it were whole.
            if out.len() + item.len() > room {
                let more = self.texts.with("report-markdown-more", &[("count", &(count - n).to_string())]);
                // A table ends at the empty line, so that this is no row of it.
                out.push_str(&format!("\n*{more}*\n"));
                break;
            }
            out.push_str(&item);
        }
        out.push('\n');
        out
    }

    fn items(&mut self, share: usize, items: &[String]) {
        let list = self.list(share, items.len(), |n| items[n].clone());
        self.out.push_str(&list);
    }

    fn head(&mut self) {
        let Some(run) = &self.summary.run else {
            let line = format!("## ❔ {}", self.texts.get("report-empty"));
            self.paragraph(&line);
            return;
        };
        let bad = self.summary.finished.is_none_or(|f| f.exit_code != 0) || exit_code(self.summary, self.summary.strict()) != 0;
        let exit = match self.summary.finished {
            Some(finished) => self.texts.with("report-exit", &[("code", &finished.exit_code.to_string())]),
            None => self.texts.get("report-exit-none"),
        };
        let command = text(&run.command, NAME);
        let line = self.texts.with("report-markdown-verdict-line", &[("command", &command), ("exit", &exit)]);
        self.paragraph(&format!("## {} {line}", if bad { "❌" } else { "✅" }));
        if run.fidelity == Fidelity::Simulated {
            let banner = self.texts.get("report-simulated");
            self.paragraph(&format!("> [!CAUTION]\n> **{banner}**"));
        }
        let fidelity = fidelity(self.summary, self.texts);
        let time = seconds(self.texts, self.summary.duration_ms());
        let (version, backend, id) = (text(&run.meshproof, NAME), text(&run.backend, NAME), code(&run.run, NAME));
        let args = [("fidelity", fidelity.as_str()), ("backend", &backend), ("time", &time), ("version", &version), ("run", &id)];
        let line = self.texts.with("report-markdown-run", &args);
        self.paragraph(&line);
    }

    fn counts(&mut self) {
        let counts = self.summary.counts();
        if self.summary.outcomes.is_empty() {
            // `up` judges nothing; its result is its stages.
            let ready = self.summary.stages.iter().filter(|s| s.done()).count().to_string();
            let all = self.summary.stages.len().to_string();
            let line = self.texts.with("report-stage-counts", &[("ready", &ready), ("all", &all)]);
            self.paragraph(&line);
            return;
        }
        let columns = [
            ("report-markdown-passed", counts.passed),
            ("report-markdown-failed", counts.failed),
            ("report-markdown-blocked", counts.blocked),
            ("report-markdown-skipped", counts.skipped),
            ("report-markdown-unsupported", counts.unsupported),
            ("report-markdown-not-judged", counts.not_judged),
            ("report-markdown-not-selected", self.summary.not_selected.len()),
            ("report-expected-failure", counts.expected),
            ("report-unexpected-pass", counts.unexpected),
        ];
        // Most runs have no ledger.
        let columns: Vec<_> = columns.into_iter().filter(|(key, count)| *count > 0 || key.starts_with("report-markdown-")).collect();
        let names: Vec<String> = columns.iter().map(|(key, _)| self.texts.get(key)).collect();
        let numbers: Vec<String> = columns.iter().map(|(_, count)| count.to_string()).collect();
        self.line(&format!("| {} |", names.join(" | ")));
        self.line(&format!("|{}", "--:|".repeat(columns.len())));
        self.paragraph(&format!("| {} |", numbers.join(" | ")));
        if counts.failed_not_gating > 0 {
            let line = self.texts.with("report-not-gating", &[("count", &counts.failed_not_gating.to_string())]);
            self.paragraph(&line);
        }
        let unseen = |o: &&OutcomeSummary| matches!(o.verdict(), Some(Verdict::Skipped { .. } | Verdict::Unsupported { .. }));
        let unseen = self.summary.outcomes.iter().filter(|o| o.gates()).filter(unseen).count();
        if self.summary.strict() && unseen > 0 {
            let line = self.texts.with("report-strict", &[("count", &unseen.to_string())]);
            self.paragraph(&line);
        }
    }

    fn first_failure(&mut self) {
        let Some(first) = self.summary.first_failure() else { return };
        self.heading("report-first-failure");
        let body = match first {
            Failure::Stage(stage) => {
                let args = [("id", code(&stage.info.id, NAME)), ("title", text(&stage.info.title, NAME))];
                let args = args.each_ref().map(|(name, value)| (*name, value.as_str()));
                format!("**{}**\n\n{}", self.texts.with("report-failure-stage", &args), self.stage_body(stage))
            }
            Failure::Outcome(outcome) => {
                let (id, title) = (code(&outcome.info.id, NAME), text(&outcome.info.title, NAME));
                format!("**{id}: {title}**\n\n{}", self.outcome_body(outcome, Detail::FULL))
            }
        };
        self.paragraph(&body);
    }

    /// Every other failure. What is blocked is one entry for each stage that blocks it: it has one root cause.
    fn failures(&mut self) {
        let first = self.summary.first_failure();
        let stages: Vec<&StageSummary> = self.summary.stages.iter().filter(|s| s.failed() && first != Some(Failure::Stage(s))).collect();
        // What the ledger says of the others stands under its own heading.
        let others = self.summary.outcomes.iter().filter(|o| first != Some(Failure::Outcome(o)) && o.ruling().is_none());
        let failed: Vec<&OutcomeSummary> = others.clone().filter(|o| matches!(o.verdict(), Some(Verdict::Failed { .. }))).collect();
        let mut blocked: BTreeMap<&str, Vec<&OutcomeSummary>> = BTreeMap::new();
        for outcome in others {
            if let Some(Verdict::Blocked { by }) = outcome.verdict() {
                blocked.entry(by).or_default().push(outcome);
            }
        }
        if stages.is_empty() && failed.is_empty() && blocked.is_empty() {
            return;
        }
        self.heading("report-other-failures");
        let detail = Detail::of_each(self.limit / 2, failed.len());
        let stages = stages.into_iter().map(Entry::Stage);
        let entries: Vec<Entry> =
            stages.chain(blocked.into_iter().map(Entry::Blocked)).chain(failed.into_iter().map(Entry::Failed)).collect();
        let blocking = entries.iter().filter(|e| matches!(e, Entry::Blocked(_))).count();
        let list = self.list(2, entries.len(), |n| match &entries[n] {
            Entry::Stage(stage) => details(&title(Mark::Bad, &stage.info.id, &stage.info.title), &self.stage_body(stage)),
            Entry::Blocked((by, outcomes)) => {
                let by = code(by, NAME);
                let title = self.texts.with("report-blocked-outcomes", &[("by", &by), ("count", &outcomes.len().to_string())]);
                let body = self.list(8 * blocking, outcomes.len(), |n| blocked_item(outcomes[n]));
                details(&format!("{} {title}", Mark::Blocked.symbol(false)), &body)
            }
            Entry::Failed(outcome) => {
                let mut head = title(Mark::Bad, &outcome.info.id, &outcome.info.title);
                if !outcome.gates() {
                    head = format!("{head} ({})", self.texts.get("report-failed-not-gating"));
                }
                details(&head, &self.outcome_body(outcome, detail))
            }
        });
        self.out.push_str(&list);
    }

    fn ledger(&mut self) {
        let entries = self.summary.outcomes.iter().filter_map(OutcomeSummary::ledger_text);
        let item = |(key, args): (&str, [(&str, String); 4])| {
            let args = args.map(|(name, value)| (name, text(&value, SENTENCE)));
            format!("- {}\n", self.texts.with(key, &args.each_ref().map(|(name, value)| (*name, value.as_str()))))
        };
        let items: Vec<String> = entries.map(item).collect();
        if !items.is_empty() {
            self.heading("report-ledger");
            self.items(16, &items);
        }
    }

    fn stage_body(&self, stage: &StageSummary) -> String {
        let mut lines = Vec::new();
        if let StageState::Finished { result: StageResult::Failed { error, hint, diagnoses }, .. } = &stage.state {
            for (n, cause) in error.iter().enumerate().take(8) {
                lines.push(self.item(if n == 0 { "report-reason" } else { "report-because" }, cause, SENTENCE));
            }
            if let Some(status) = &stage.status {
                lines.push(self.item("report-last-status", status, SENTENCE));
            }
            lines.extend(self.diagnoses(diagnoses, Detail::FULL));
            if let Some(hint) = hint {
                lines.push(self.item("report-hint", hint, SENTENCE));
            }
        }
        lines.concat()
    }

    /// Reason, diagnoses and hint; in full also the guide's sentence and evidence.
    fn outcome_body(&self, outcome: &OutcomeSummary, detail: Detail) -> String {
        let mut lines = Vec::new();
        let mut shown = None;
        if let OutcomeState::Judged { verdict, evidence, diagnoses, .. } = &outcome.state {
            match verdict {
                Verdict::Blocked { by } => {
                    let blocked = self.texts.with("report-blocked-by", &[("by", by)]);
                    lines.push(self.item("report-reason", &blocked, detail.chars));
                }
                Verdict::Failed { reason } => lines.push(self.item("report-reason", reason, detail.chars)),
                _ => {}
            }
            lines.extend(self.diagnoses(diagnoses, detail));
            shown = Some(evidence).filter(|e| !e.is_empty() && detail.evidence > 0);
        }
        if !outcome.info.hint.is_empty() {
            lines.push(self.item("report-hint", &outcome.info.hint, detail.chars));
        }
        if let Some(section) = outcome.info.section.as_ref().filter(|_| detail.evidence > 0) {
            let label = self.texts.with("report-guide", &[("section", &text(section, NAME))]);
            lines.push(format!("- **{label}** {}\n", code(outcome.info.sentence.as_deref().unwrap_or_default(), detail.chars)));
        }
        if let Some(evidence) = shown {
            let evidence = block(&flat(evidence, detail.evidence), detail.evidence);
            lines.push(format!("- **{}**\n\n{evidence}\n", self.texts.get("report-evidence")));
        }
        lines.concat()
    }

    fn item(&self, key: &str, foreign: &str, chars: usize) -> String {
        format!("- **{}** {}\n", self.texts.get(key), text(foreign, chars))
    }

    fn diagnoses(&self, diagnoses: &[Diagnosis], detail: Detail) -> Vec<String> {
        let mut lines = Vec::new();
        for diagnosis in diagnoses.iter().take(detail.diagnoses) {
            let key = diagnosis.confidence.word().map_or("report-diagnosis".to_owned(), |word| format!("report-diagnosis-{word}"));
            let label = self.texts.with(&key, &[("rule", &text(&diagnosis.rule, NAME))]);
            lines.push(format!("- **{label}** {}\n", text(&diagnosis.cause, detail.chars)));
            if detail.evidence > 0 {
                lines.push(format!("  {}", self.item("report-seen", &diagnosis.seen, detail.chars)));
                lines.push(format!("  {}", self.item("report-remedy", &diagnosis.remedy, detail.chars)));
            }
        }
        let more = diagnoses.len().saturating_sub(detail.diagnoses);
        if more > 0 {
            lines.push(format!("- *{}*\n", self.texts.with("report-markdown-more-diagnoses", &[("count", &more.to_string())])));
        }
        lines
    }

    fn in_progress(&mut self) {
        if !self.summary.interrupted() {
            return;
        }
        self.heading("report-interrupted");
        let time = |since| seconds(self.texts, self.summary.last.map_or(0, |last| elapsed_ms(since, last)));
        let mut items = Vec::new();
        for stage in &self.summary.stages {
            if let StageState::Running { since } = stage.state {
                let id = code(&stage.info.id, NAME);
                let line = self.texts.with("report-interrupted-stage", &[("id", &id), ("time", &time(since))]);
                let status = stage.status.as_ref().map(|s| format!(": {}", text(s, SENTENCE))).unwrap_or_default();
                items.push(format!("- {line}{status}\n"));
            }
        }
        for outcome in &self.summary.outcomes {
            if let OutcomeState::Running { since } = outcome.state {
                let id = code(&outcome.info.id, NAME);
                items.push(format!("- {}\n", self.texts.with("report-interrupted-outcome", &[("id", &id), ("time", &time(since))])));
            }
        }
        if items.is_empty() {
            items.push(format!("- {}\n", self.texts.get("report-interrupted-idle")));
        }
        self.items(32, &items);
    }

    fn stages(&mut self) {
        if self.summary.stages.is_empty() {
            return;
        }
        self.heading("report-stages");
        self.table_head(&["stage", "title", "result", "time"]);
        let rows: Vec<String> = self.summary.stages.iter().map(|stage| self.stage_row(stage)).collect();
        self.items(16, &rows);
    }

    fn stage_row(&self, stage: &StageSummary) -> String {
        let (result, ms) = match &stage.state {
            StageState::Pending => (self.texts.get("report-stage-pending"), None),
            StageState::Running { since } => {
                (self.texts.get("report-stage-running"), Some(self.summary.last.map_or(0, |last| elapsed_ms(*since, last))))
            }
            StageState::Finished { result, duration_ms } => match result {
                StageResult::Already => (self.texts.get("report-stage-already"), Some(*duration_ms)),
                StageResult::Provisioned => (self.texts.get("report-stage-provisioned"), Some(*duration_ms)),
                StageResult::NotNeeded => (self.texts.get("report-stage-not-needed"), None),
                StageResult::Failed { .. } => (self.texts.get("report-stage-failed"), Some(*duration_ms)),
                StageResult::Blocked { by } => (self.texts.with("report-blocked-by", &[("by", &code(by, NAME))]), None),
            },
        };
        let mark = Mark::of_stage(&stage.state).symbol(false);
        let time = ms.map_or(String::new(), |ms| seconds(self.texts, ms));
        format!("| {mark} {} | {} | {result} | {time} |\n", code(&stage.info.id, NAME), text(&stage.info.title, NAME))
    }

    /// What was not looked at, by reason.
    fn left_out(&mut self) {
        let mut reasons: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
        for outcome in &self.summary.outcomes {
            let reason = match outcome.verdict() {
                Some(Verdict::Skipped { reason }) => (self.texts.get("report-skipped-word"), one_line(reason)),
                Some(Verdict::Unsupported { capability, reason }) => {
                    (self.texts.with("report-unsupported", &[("capability", capability)]), one_line(reason))
                }
                _ => continue,
            };
            reasons.entry(reason).or_default().push(&outcome.info.id);
        }
        if reasons.is_empty() {
            return;
        }
        self.heading("report-markdown-left-out");
        self.table_head(&["verdict", "reason", "count", "outcomes"]);
        let rows = reasons.into_iter().map(|((verdict, reason), ids)| {
            let shown: Vec<String> = ids.iter().take(20).map(|id| code(id, NAME)).collect();
            let rest = if ids.len() > shown.len() { ", …" } else { "" };
            format!("| {} | {} | {} | {}{rest} |\n", text(&verdict, NAME), text(&reason, SENTENCE), ids.len(), shown.join(", "))
        });
        let rows: Vec<String> = rows.collect();
        self.items(16, &rows);
    }

    /// What the verdicts were made in: facts, stand-ins, warnings, and where the rest is.
    fn around(&mut self) {
        if !self.summary.warnings.is_empty() {
            self.heading("report-warnings");
            let items: Vec<String> = self.summary.warnings.iter().map(|warning| format!("- {}\n", text(warning, SENTENCE))).collect();
            self.items(32, &items);
        }
        if !self.summary.stand_ins.is_empty() {
            self.heading("report-stand-ins");
            let items = self.summary.stand_ins.iter().map(|(component, image)| {
                let (component, image) = (text(component, NAME), code(image, NAME));
                format!("- {}\n", self.texts.with("report-stand-in", &[("component", &component), ("image", &image)]))
            });
            let items: Vec<String> = items.collect();
            self.items(32, &items);
        }
        if !self.summary.facts.is_empty() {
            self.heading("report-markdown-facts");
            self.table_head(&["fact", "value"]);
            let rows = self.summary.facts.iter().map(|(name, value)| format!("| {} | {} |\n", text(name, NAME), text(value, SENTENCE)));
            let rows: Vec<String> = rows.collect();
            self.items(32, &rows);
        }
        if let Some(collected) = &self.summary.collected {
            let line = text(&super::progress::collected(self.texts, collected), SENTENCE);
            self.paragraph(&line);
        }
    }

    fn table_head(&mut self, columns: &[&str]) {
        let names: Vec<String> = columns.iter().map(|key| self.texts.get(&format!("report-markdown-{key}"))).collect();
        self.line(&format!("| {} |", names.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(columns.len())));
    }
}

/// Mark, id and title of an entry.
fn title(mark: Mark, id: &str, title: &str) -> String {
    let title = if id == title { String::new() } else { format!(" {}", text(title, NAME)) };
    format!("{} {}{title}", mark.symbol(false), code(id, NAME))
}

fn blocked_item(outcome: &OutcomeSummary) -> String {
    let info = &outcome.info;
    let hint = if info.hint.is_empty() { String::new() } else { format!(" — {}", text(&info.hint, NAME)) };
    format!("- {} {}{hint}\n", code(&info.id, NAME), text(&info.title, NAME))
}

/// Something to unfold. The empty lines make the body Markdown again.
fn details(title: &str, body: &str) -> String {
    format!("<details><summary>{title}</summary>\n\n{}\n\n</details>\n\n", body.trim_end())
}

/// Evidence as text, a name at a time until there is enough.
fn flat(evidence: &BTreeMap<String, Value>, chars: usize) -> String {
    let mut out = String::new();
    for (name, value) in evidence {
        if out.len() > chars.saturating_mul(4) {
            // Further than this nothing is shown, however wide its characters.
            break;
        }
        match value {
            Value::String(text) if text.contains('\n') => out.push_str(&format!("{name}:\n{text}\n")),
            Value::String(text) => out.push_str(&format!("{name}: {text}\n")),
            other => out.push_str(&format!("{name}: {}\n", serde_json::to_string_pretty(other).unwrap_or_default())),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests;
