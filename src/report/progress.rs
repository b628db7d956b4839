//! What a person sees while a run is under way: plain lines, or a live tree on a terminal. Nothing here draws or ticks by itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::journal::{Event, Expected, Fidelity, Record, StageResult, Verdict};
use crate::text::Texts;

use super::expected::Ruling;
use super::fold::{Collected, OutcomeState, StageState, Summary, elapsed_ms};
use super::layout::{Mark, Style, Tone, one_line, seconds, shorten};
use super::terminal::tree;

/// One plain line for a record worth one, for standard error without a terminal. `verbose` adds commands and outcomes as they start.
#[must_use]
pub fn line(record: &Record, texts: &Texts, verbose: bool) -> Option<String> {
    let text = match &record.event {
        Event::RunStarted { command, backend, fidelity, run, .. } => {
            let fidelity = texts.get(match fidelity {
                Fidelity::Real => "report-fidelity-real",
                Fidelity::Simulated => "report-fidelity-simulated",
            });
            let args = [("command", command.as_str()), ("backend", backend), ("fidelity", &fidelity), ("run", run)];
            texts.with("report-progress-run", &args)
        }
        Event::Expected(Expected { outcome, reason, owner, expires }) => {
            let date = expires.to_string();
            texts.with("report-progress-expected", &[("id", outcome.as_str()), ("expires", &date), ("owner", owner), ("reason", reason)])
        }
        Event::StandIn { component, image } => {
            texts.with("report-progress-stand-in", &[("component", component.as_str()), ("image", image)])
        }
        Event::Warning { message } => texts.with("report-progress-warning", &[("message", message.as_str())]),
        Event::StageStarted { stage } => texts.with("report-progress-stage-started", &[("id", stage.as_str())]),
        Event::StageProgress { stage, status } => texts.with("report-progress-stage-status", &[("id", stage.as_str()), ("status", status)]),
        Event::StageFinished { stage, duration_ms, result } => {
            let time = seconds(texts, *duration_ms);
            let result = match result {
                StageResult::Failed { error, .. } => {
                    let args = [("id", stage.as_str()), ("time", &time), ("error", &error.join(": "))];
                    return Some(one_line(&texts.with("report-progress-stage-failed", &args)));
                }
                StageResult::Blocked { by } => {
                    let status = texts.with("report-blocked-by", &[("by", by.as_str())]);
                    return Some(one_line(&texts.with("report-progress-stage-status", &[("id", stage.as_str()), ("status", &status)])));
                }
                StageResult::Already => "report-stage-already",
                StageResult::Provisioned => "report-stage-provisioned",
                StageResult::NotNeeded => "report-stage-not-needed",
            };
            texts.with("report-progress-stage-finished", &[("id", stage.as_str()), ("result", &texts.get(result)), ("time", &time)])
        }
        Event::OutcomeFinished { outcome, duration_ms, verdict, .. } => {
            let (word, reason) = match verdict {
                Verdict::Passed => ("report-passed", None),
                Verdict::Failed { reason } => ("report-failed", Some(reason.clone())),
                Verdict::Blocked { by } => ("report-blocked", Some(texts.with("report-blocked-by", &[("by", by.as_str())]))),
                Verdict::Skipped { reason } => ("report-skipped-word", Some(reason.clone())),
                Verdict::Unsupported { capability, reason } => ("report-unsupported-word", Some(format!("{capability}: {reason}"))),
            };
            let word = texts.get(word);
            if let Some(reason) = reason {
                texts.with("report-progress-outcome-why", &[("verdict", word.as_str()), ("id", outcome), ("reason", &reason)])
            } else {
                let time = seconds(texts, *duration_ms);
                texts.with("report-progress-outcome", &[("verdict", word.as_str()), ("id", outcome), ("time", &time)])
            }
        }
        Event::Collected { dir, files, bytes, left_out } => {
            collected(texts, &Collected { dir: dir.clone(), files: *files, bytes: *bytes, left_out: *left_out })
        }
        Event::RunFinished { exit_code, duration_ms } => {
            let args = [("time", seconds(texts, *duration_ms)), ("code", exit_code.to_string())];
            texts.with("report-progress-finished", &args.each_ref().map(|(name, value)| (*name, value.as_str())))
        }
        Event::CommandStarted { argv, .. } if verbose => {
            texts.with("report-progress-command-started", &[("argv", argv.join(" ").as_str())])
        }
        Event::CommandFinished(command) if verbose => {
            let program = command.argv.first().map_or("", String::as_str);
            let code = command.exit_code.map_or_else(|| texts.get("report-progress-signal"), |code| code.to_string());
            let time = seconds(texts, command.duration_ms);
            texts.with("report-progress-command-finished", &[("program", program), ("code", &code), ("time", &time)])
        }
        Event::FaultInjected { fault } => texts.with("report-progress-fault", &[("fault", fault.as_str())]),
        Event::FaultReverted { fault, error: None } => texts.with("report-progress-fault-reverted", &[("fault", fault.as_str())]),
        Event::FaultReverted { fault, error: Some(error) } => {
            texts.with("report-progress-fault-stays", &[("fault", fault.as_str()), ("error", error)])
        }
        Event::Unknown
        | Event::Recorded { .. }
        | Event::Fact { .. }
        | Event::Inventory { .. }
        | Event::Transcript(_)
        | Event::OutcomeStarted { .. }
        | Event::CommandStarted { .. }
        | Event::CommandFinished(_) => return None,
    };
    Some(one_line(&text))
}

/// Plain lines of one run, which say with a verdict what the ledger of expected failures makes of it. [`line`] knows one record only.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    summary: Summary,
}

impl Lines {
    /// The line for the next record of the run, if it is worth one.
    #[must_use]
    pub fn line(&mut self, record: &Record, texts: &Texts, verbose: bool) -> Option<String> {
        self.summary.apply(record);
        let Event::OutcomeFinished { outcome: id, verdict, .. } = &record.event else { return line(record, texts, verbose) };
        let outcome = self.summary.outcomes.iter().find(|o| o.info.id == *id);
        let Some((ruling, expected)) = outcome.and_then(|o| Some((o.ruling()?, o.expected.as_ref()?))) else {
            return line(record, texts, verbose);
        };
        let (word, reason) = match (ruling, verdict) {
            (Ruling::ExpectedFailure, Verdict::Failed { reason }) => ("report-expected-failure", reason),
            (Ruling::ExpectedFailure, _) => ("report-expected-failure", &expected.entry.reason),
            (Ruling::UnexpectedPass, _) => ("report-unexpected-pass", &expected.entry.reason),
        };
        let word = texts.get(word);
        Some(one_line(&texts.with("report-progress-outcome-why", &[("verdict", word.as_str()), ("id", id), ("reason", reason)])))
    }
}

/// The groups of a GitHub log: one around the stages, one around the outcomes. Stages run at the same time, so none has a group of its own.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    open: Option<&'static str>,
}

impl Groups {
    /// The lines to write before that of this record.
    #[must_use]
    pub fn before(&mut self, record: &Record, texts: &Texts) -> Vec<String> {
        let group = match &record.event {
            Event::StageStarted { .. } | Event::StageFinished { .. } => Some("report-stages"),
            Event::OutcomeStarted { .. } | Event::OutcomeFinished { .. } => Some("report-outcomes"),
            Event::Collected { .. } | Event::RunFinished { .. } => None,
            // What belongs to neither stays where it happens.
            _ => self.open,
        };
        if group == self.open {
            return Vec::new();
        }
        let end = self.open.map(|_| "::endgroup::".to_owned());
        self.open = group;
        end.into_iter().chain(group.map(|key| format!("::group::{}", texts.get(key)))).collect()
    }
}

/// Bytes in mebibytes to a tenth, rounded up, in whole numbers.
pub(crate) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Where a bundle is and what it holds, on one line.
pub(super) fn collected(texts: &Texts, of: &Collected) -> String {
    let (files, left_out) = (of.files.to_string(), of.left_out.to_string());
    let size = mebibytes(of.bytes);
    let args = [("dir", of.dir.as_str()), ("files", &files), ("size", &size), ("leftOut", &left_out)];
    one_line(&texts.with("report-collected", &args))
}

/// The state behind a live tree: feed it every record, ask it for its lines whenever the screen is to be drawn again.
#[derive(Debug, Clone, Default)]
pub struct Live {
    summary: Summary,
    typical: BTreeMap<String, u64>,
}

impl Live {
    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        self.summary.apply(record);
    }

    /// Says how many milliseconds stages took before, by their ids; shown beside the time of those that run.
    pub fn expect(&mut self, typical: BTreeMap<String, u64>) {
        self.typical = typical;
    }

    /// What is known so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The lines to show at `now`, none wider than the style's width: a wrapped line would spoil the drawing.
    #[must_use]
    pub fn lines(&self, now: Timestamp, texts: &Texts, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        let mut pending = 0;
        for (depth, stage) in tree(&self.summary.stages) {
            let mut mark = Mark::of_stage(&stage.state).painted(style);
            let id = one_line(&stage.info.id);
            let text = match &stage.state {
                StageState::Pending => {
                    pending += 1;
                    continue;
                }
                StageState::Running { since } => {
                    let ms = elapsed_ms(*since, now);
                    mark = style.paint(Tone::Caution, spinner(ms, style.ascii));
                    let time = match self.typical.get(&stage.info.id) {
                        Some(typical) => {
                            let args = [("time", seconds(texts, ms)), ("typical", seconds(texts, *typical))];
                            texts.with("report-live-typical", &args.each_ref().map(|(name, value)| (*name, value.as_str())))
                        }
                        None => seconds(texts, ms),
                    };
                    format!("{id} {time} {}", one_line(stage.status.as_deref().unwrap_or_default()))
                }
                StageState::Finished { result, duration_ms } => match result {
                    StageResult::Provisioned => format!("{id} {}", seconds(texts, *duration_ms)),
                    StageResult::Already => format!("{id} {}", texts.get("report-stage-already")),
                    StageResult::NotNeeded => format!("{id} {}", texts.get("report-stage-not-needed")),
                    StageResult::Blocked { by } => format!("{id} {}", texts.with("report-blocked-by", &[("by", by.as_str())])),
                    StageResult::Failed { error, .. } => format!("{id} {} {}", seconds(texts, *duration_ms), one_line(&error.join(": "))),
                },
            };
            lines.push(fit(&"  ".repeat(depth), &mark, &text, style));
        }
        if pending > 0 {
            let text = texts.with("report-live-pending", &[("count", pending.to_string().as_str())]);
            lines.push(fit("", &Mark::Pending.painted(style), &text, style));
        }
        lines.extend(self.outcomes(now, texts, style));
        lines
    }

    /// One line for all outcomes once judging began, and one for each that is being judged.
    fn outcomes(&self, now: Timestamp, texts: &Texts, style: Style) -> Vec<String> {
        /// More than this would push the stages off a small screen.
        const SHOWN: usize = 4;
        let all = self.summary.outcomes.len();
        let counts = self.summary.counts();
        let judged = all - counts.not_judged;
        let running = self.summary.outcomes.iter().filter_map(|o| match o.state {
            OutcomeState::Running { since } => Some((one_line(&o.info.id), elapsed_ms(since, now))),
            OutcomeState::Pending | OutcomeState::Judged { .. } => None,
        });
        let running: Vec<(String, u64)> = running.collect();
        if judged == 0 && running.is_empty() {
            return Vec::new();
        }
        let args = [("judged", judged.to_string()), ("all", all.to_string()), ("failed", counts.failed.to_string())];
        let text = texts.with("report-live-outcomes", &args.each_ref().map(|(name, value)| (*name, value.as_str())));
        let mark = if counts.failed > 0 { Mark::Bad } else { Mark::Good };
        let mut lines = vec![fit("", &mark.painted(style), &text, style)];
        for (id, ms) in running.iter().take(SHOWN) {
            let mark = style.paint(Tone::Caution, spinner(*ms, style.ascii));
            lines.push(fit("  ", &mark, &format!("{id} {}", seconds(texts, *ms)), style));
        }
        lines
    }
}

/// Indent, a mark one column wide, and as much of the text as the width allows.
fn fit(indent: &str, mark: &str, text: &str, style: Style) -> String {
    let room = style.width.saturating_sub(indent.len() + 2);
    format!("{indent}{mark} {}", style.punctuate(&shorten(&one_line(text), room)))
}

fn spinner(ms: u64, ascii: bool) -> &'static str {
    const DOTS: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];
    const PLAIN: [&str; 4] = ["|", "/", "-", "\\"];
    let frames: &[&'static str] = if ascii { &PLAIN } else { &DOTS };
    let count = u64::try_from(frames.len()).unwrap_or(1);
    let frame = usize::try_from(ms / 100 % count).unwrap_or(0);
    frames.get(frame).copied().unwrap_or(" ")
}

/// The bytes that replace the lines drawn before by new ones. With no new lines it clears them.
#[must_use]
pub fn draw(previous_line_count: usize, lines: &[String]) -> String {
    let mut out = String::new();
    if previous_line_count > 0 {
        out.push_str(&format!("\r\u{1b}[{previous_line_count}A"));
    }
    for line in lines {
        out.push_str("\u{1b}[2K");
        out.push_str(line);
        out.push('\n');
    }
    // Fewer lines than before leave remains below.
    out.push_str("\u{1b}[0J");
    out
}
