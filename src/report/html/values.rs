//! Single values of the page.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::judged::Evidence;
use crate::journal::{OutcomeKind, Transcript, Verdict};
use crate::report::fold::{Counts, OutcomeSummary, StageSummary, Summary};
use crate::report::layout::{Mark, seconds};
use crate::text::Texts;

/// Bytes of one piece of evidence; the JSON form has everything.
const EVIDENCE_BYTES: usize = 64 * 1024;

/// Outcomes of one verdict, with their part of the bar above the page.
#[derive(Debug, Serialize)]
pub(super) struct Share {
    verdict: &'static str,
    mark: &'static str,
    count: usize,
    /// Percent.
    from: String,
    /// Percent.
    width: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Kind {
    kind: &'static str,
    count: usize,
}

/// A transcript.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    name: String,
    at: String,
    code: Option<i32>,
    text: String,
}

/// How the run went, the tail of a key. What was stopped comes first: nothing else about it is final.
pub(super) fn result(summary: &Summary) -> &'static str {
    match summary.finished.map(|f| f.exit_code) {
        None | Some(130) => "interrupted",
        Some(0) => "passed",
        Some(3) if summary.stages.iter().any(StageSummary::failed) => "stage",
        Some(1) => "failed",
        Some(_) => "other",
    }
}

/// The name of an outcome's verdict, with what the ledger makes of it; one without a verdict was not judged.
pub(super) fn word(outcome: &OutcomeSummary) -> &'static str {
    outcome.word().unwrap_or("not-judged")
}

/// Outcomes by verdict, with their part of the whole.
pub(super) fn shares(counts: &Counts, all: usize) -> Vec<Share> {
    let parts = [
        ("passed", Mark::Good, counts.passed),
        ("failed", Mark::Bad, counts.failed),
        ("blocked", Mark::Blocked, counts.blocked),
        ("skipped", Mark::LeftOut, counts.skipped),
        ("unsupported", Mark::Unsupported, counts.unsupported),
        ("not-judged", Mark::Pending, counts.not_judged),
        ("expected-failure", Mark::Expected, counts.expected),
        ("unexpected-pass", Mark::Unexpected, counts.unexpected),
    ];
    // Most runs have no ledger of expected failures.
    let parts = parts.into_iter().filter(|(verdict, _, count)| *count > 0 || !verdict.contains("expected"));
    let mut before = 0;
    parts
        .map(|(verdict, mark, count)| {
            let from = percent(before as u64, all as u64);
            before += count;
            Share { verdict, mark: mark.symbol(false), count, from, width: percent(count as u64, all as u64) }
        })
        .collect()
}

/// How many outcomes there are of each kind, without kinds that there are none of.
pub(super) fn kinds(summary: &Summary) -> Vec<Kind> {
    OutcomeKind::ALL
        .into_iter()
        .map(|k| Kind { kind: k.word(), count: summary.outcomes.iter().filter(|o| o.info.kind == k).count() })
        .filter(|k| k.count > 0)
        .collect()
}

/// A part of a whole in percent, as SVG takes it. Exact to a thousandth, in whole numbers: a picture needs no more.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let thousandths = (u128::from(part) * 100_000).checked_div(u128::from(whole)).unwrap_or(0).min(100_000);
    format!("{}.{:03}%", thousandths / 1000, thousandths % 1000)
}

/// Wall time in the words of the language: seconds up to a minute, then what a person would say.
pub(super) fn time(texts: &Texts, ms: u64) -> String {
    let whole = ms.saturating_add(500) / 1000;
    let two = |first: u64, second: u64, key: &str, names: [&str; 2]| {
        texts.with(key, &[(names[0], &first.to_string()), (names[1], &second.to_string())])
    };
    match whole {
        0..60 => seconds(texts, ms),
        60..3600 => two(whole / 60, whole % 60, "html-minutes", ["minutes", "seconds"]),
        _ => two(whole / 3600, whole % 3600 / 60, "html-hours", ["hours", "minutes"]),
    }
}

/// The id of an element. Whatever the journal holds, it is one word that needs no escaping in a link.
pub(super) fn anchor(kind: &str, id: &str) -> String {
    let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }).collect();
    format!("{kind}-{id}")
}

/// The command that repeats a run of the spec that is shown below it: of the same environment, judging the same outcomes.
pub(super) fn repeat(summary: &Summary) -> Option<String> {
    // Other commands, and those of a fixture, have arguments that no journal has.
    let run = summary.run.as_ref().filter(|run| ["run", "up", "verify"].contains(&run.command.as_str()))?;
    let mut words = vec!["meshproof", &run.command, "--backend", &run.backend];
    if let Some(context) = summary.facts.get("context") {
        words.extend(["--context", context]);
    }
    words.extend(["--spec", "spec.yaml"]);
    let selection = selection(summary);
    if let Some(selection) = &selection {
        words.extend(["--select", selection]);
    }
    let skips: Vec<String> = (summary.outcomes.iter())
        .filter_map(|o| match o.verdict() {
            Some(Verdict::Skipped { reason }) => Some(format!("{}={reason}", o.info.id)),
            _ => None,
        })
        .collect();
    words.extend(skips.iter().flat_map(|skip| ["--skip", skip]));
    if run.strict {
        words.push("--strict");
    }
    Some(words.into_iter().map(quoted).collect::<Vec<_>>().join(" "))
}

/// An expression for what was judged, if not all was; the shorter of two.
fn selection(summary: &Summary) -> Option<String> {
    let left_out = &summary.not_selected;
    if left_out.is_empty() {
        return None;
    }
    let without: Vec<String> = left_out.iter().map(|id| format!("not {id}")).collect();
    let judged: Vec<&str> = summary.outcomes.iter().map(|o| o.info.id.as_str()).collect();
    let (without, judged) = (without.join(" and "), judged.join(", "));
    Some(if judged.is_empty() || without.len() < judged.len() { without } else { judged })
}

/// A word for a POSIX shell: it may be pasted into one.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A spec as people write it.
pub(super) fn yaml(spec: &Value) -> String {
    serde_saphyr::to_string(spec).unwrap_or_else(|_| format!("{spec:#}"))
}

/// A piece of evidence as a person reads it: a list of words is one word a line.
pub(super) fn seen<'a>(name: &'a str, value: &'a Value) -> Evidence<'a> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            Cow::Owned(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"))
        }
        other => Cow::Owned(format!("{other:#}")),
    };
    let end = text.floor_char_boundary(EVIDENCE_BYTES);
    let cut = end < text.len();
    let text = match text {
        text if !cut => text,
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    };
    let block = text.contains('\n') || text.len() > 160;
    Evidence { name, text, block, cut }
}

/// A transcript as a terminal would have shown it.
pub(super) fn told(transcript: &Transcript) -> Told {
    let command = &transcript.command;
    let parts = [format!("$ {}", command.argv.join(" ")), command.stdout.clone(), command.stderr.clone()];
    let text: Vec<&str> = parts.iter().map(|p| p.trim_end()).filter(|p| !p.is_empty()).collect();
    let code = command.exit_code;
    Told { name: transcript.name.clone(), at: format!("{:.0}", transcript.recorded_at), code, text: text.join("\n") }
}
