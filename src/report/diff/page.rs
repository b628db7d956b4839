//! The difference of two runs for people: in a terminal, and as Markdown for a pull request or an issue.

use serde_json::Value;

use crate::report::layout::{Mark, Style, Tone, clean, one_line, seconds, wrap};
use crate::text::Texts;

use super::{Change, Diff, OutcomeChange, OutcomeChanged, OutputChange, Side, StageChange, StageChanged};

/// Lines of changed output that are shown of each outcome; the JSON form has all.
const OUTPUT_LINES: usize = 12;

/// A piece of the page, without its form.
enum Piece {
    Title(String),
    Heading(String),
    Point(Mark, String),
    /// Lines of foreign text, as a unified diff has them.
    Lines(Vec<String>),
    Closing(bool, String),
}

/// Renders a difference for a terminal. The last line says in one piece whether anything is worse.
#[must_use]
pub fn human(diff: &Diff, texts: &Texts, style: Style) -> String {
    let mut out = String::new();
    let mut line = |text: &str| out.push_str(&format!("{}\n", text.trim_end()));
    for piece in pieces(diff, texts) {
        match piece {
            Piece::Title(text) => line(&style.paint(Tone::Strong, &style.punctuate(&one_line(&text)))),
            Piece::Heading(text) => {
                line("");
                line(&style.paint(Tone::Strong, &text));
            }
            Piece::Point(mark, text) => {
                for (n, part) in wrap(&style.punctuate(&one_line(&text)), style.columns().saturating_sub(4)).iter().enumerate() {
                    let mark = if n == 0 { mark.painted(style) } else { " ".to_owned() };
                    line(&format!("  {mark} {part}"));
                }
            }
            Piece::Lines(lines) => lines.iter().for_each(|text| line(&format!("      {}", one_line(text)))),
            Piece::Closing(bad, text) => {
                line("");
                line(&style.paint(if bad { Tone::Bad } else { Tone::Good }, &style.punctuate(&one_line(&text))));
            }
        }
    }
    out
}

/// Renders a difference as Markdown of GitHub's flavour.
#[must_use]
pub fn markdown(diff: &Diff, texts: &Texts) -> String {
    let mut out = String::new();
    let mut in_list = false;
    for piece in pieces(diff, texts) {
        let is_point = matches!(piece, Piece::Point(..));
        let goes_on = out.is_empty() || (in_list && is_point);
        in_list = is_point;
        if !goes_on {
            out.push('\n');
        }
        match piece {
            Piece::Title(text) => out.push_str(&format!("{}\n", escaped(&text))),
            Piece::Heading(text) => out.push_str(&format!("### {}\n", escaped(&text))),
            Piece::Point(mark, text) => out.push_str(&format!("- {} {}\n", mark.symbol(false), escaped(&text))),
            Piece::Lines(lines) => {
                let lines = lines.iter().map(|line| format!("{}\n", one_line(line))).collect::<String>();
                // A fence must be longer than any in what it holds.
                let fence = "`".repeat(lines.split(|c| c != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
                out.push_str(&format!("{fence}diff\n{lines}{fence}\n"));
            }
            Piece::Closing(_, text) => out.push_str(&format!("**{}**\n", escaped(&text))),
        }
    }
    out
}

/// Foreign text as one line that Markdown shows as it is, and that calls nobody by name.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(&clean(text)).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn pieces(diff: &Diff, texts: &Texts) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (key, side) in [("diff-before", &diff.before), ("diff-after", &diff.after)] {
        pieces.push(Piece::Title(texts.with(key, &[("run", &side_text(side, texts))])));
    }
    section(&mut pieces, texts, "diff-environment", diff.environment.iter().map(|c| (Mark::Unsupported, change(c))));
    if !diff.environment.is_empty() {
        pieces.push(Piece::Point(Mark::Unsupported, texts.get("diff-environment-note")));
    }
    let mut kinds: Vec<OutcomeChanged> = diff.outcomes.iter().map(|o| o.change).collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind = diff.outcomes.iter().filter(|o| o.change == kind);
        section(&mut pieces, texts, outcome_heading(kind), of_kind.map(|o| (outcome_mark(o), outcome(o, texts))));
    }
    section(&mut pieces, texts, "diff-stages", diff.stages.iter().map(|s| stage(s, texts)));
    section(&mut pieces, texts, "diff-stand-ins", diff.stand_ins.iter().map(|c| (Mark::Unsupported, change(c))));
    section(&mut pieces, texts, "diff-spec", diff.spec.iter().map(|c| (Mark::Pending, change(c))));
    section(&mut pieces, texts, "diff-facts", diff.facts.iter().map(|c| (Mark::Pending, change(c))));
    objects(&mut pieces, diff, texts);
    output(&mut pieces, diff, texts);
    let [worse, fixed, failing] = [
        diff.outcomes.iter().filter(|o| o.worse).count() + diff.stages.iter().filter(|s| s.worse).count(),
        diff.outcomes.iter().filter(|o| o.change == OutcomeChanged::Fixed).count(),
        diff.still_failing.len(),
    ]
    .map(|count| count.to_string());
    let key = match (diff.worse, diff.is_empty()) {
        (true, _) => "diff-worse",
        (false, false) => "diff-not-worse",
        (false, true) => "diff-nothing",
    };
    pieces.push(Piece::Closing(diff.worse, texts.with(key, &[("worse", &worse), ("fixed", &fixed), ("failing", &failing)])));
    pieces
}

fn section(pieces: &mut Vec<Piece>, texts: &Texts, key: &str, points: impl Iterator<Item = (Mark, String)>) {
    let mut points = points.peekable();
    if points.peek().is_some() {
        pieces.push(Piece::Heading(texts.get(key)));
        pieces.extend(points.map(|(mark, text)| Piece::Point(mark, text)));
    }
}

fn side_text(side: &Side, texts: &Texts) -> String {
    let unknown = || texts.get("diff-unknown");
    let fidelity = side.fidelity.and_then(|f| serde_json::to_value(f).ok()?.as_str().map(|f| format!("report-fidelity-{f}")));
    let args = [
        ("run", side.run.clone().unwrap_or_else(unknown)),
        ("command", side.command.clone().unwrap_or_default()),
        ("version", side.meshproof.clone().unwrap_or_else(unknown)),
        ("backend", side.backend.clone().unwrap_or_else(unknown)),
        ("fidelity", fidelity.map_or_else(unknown, |key| texts.get(&key))),
        ("exit", side.exit_code.map_or_else(String::new, |code| texts.with("report-exit", &[("code", &code.to_string())]))),
    ];
    let key = match (side.exit_code, side.interrupted) {
        (None, _) => "diff-side-cut",
        (_, true) => "diff-side-stopped",
        _ => "diff-side",
    };
    texts.with(key, &args.each_ref().map(|(name, value)| (*name, value.as_str())))
}

fn value(value: Option<&Value>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn change(change: &Change) -> String {
    format!("{}: {} → {}", change.name, value(change.before.as_ref()), value(change.after.as_ref()))
}

fn outcome(outcome: &OutcomeChange, texts: &Texts) -> String {
    let word = |word: Option<&str>| word.map_or_else(|| texts.get("diff-word-none"), |word| texts.get(&format!("diff-word-{word}")));
    let mut text = format!("{}: {} → {}", outcome.id, word(outcome.before), word(outcome.after));
    if !outcome.gates {
        text = texts.with("diff-not-gating", &[("change", &text)]);
    }
    match &outcome.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

fn outcome_mark(outcome: &OutcomeChange) -> Mark {
    match outcome.change {
        OutcomeChanged::NewFailure => Mark::Bad,
        OutcomeChanged::UnexpectedPass => Mark::Unexpected,
        OutcomeChanged::NewlyBlocked => Mark::Blocked,
        OutcomeChanged::NewlySkipped | OutcomeChanged::Removed => Mark::LeftOut,
        OutcomeChanged::NewlyUnsupported => Mark::Unsupported,
        OutcomeChanged::ExpectedFailure => Mark::Expected,
        OutcomeChanged::Fixed | OutcomeChanged::NewlyJudged => Mark::Good,
        OutcomeChanged::NewlyNotJudged | OutcomeChanged::Added | OutcomeChanged::Other => Mark::Pending,
    }
}

fn outcome_heading(change: OutcomeChanged) -> &'static str {
    match change {
        OutcomeChanged::NewFailure => "diff-new-failures",
        OutcomeChanged::UnexpectedPass => "diff-unexpected-passes",
        OutcomeChanged::NewlyBlocked => "diff-newly-blocked",
        OutcomeChanged::NewlyNotJudged => "diff-newly-not-judged",
        OutcomeChanged::NewlySkipped => "diff-newly-skipped",
        OutcomeChanged::NewlyUnsupported => "diff-newly-unsupported",
        OutcomeChanged::Removed => "diff-removed",
        OutcomeChanged::ExpectedFailure => "diff-expected-failures",
        OutcomeChanged::Fixed => "diff-fixed",
        OutcomeChanged::NewlyJudged => "diff-newly-judged",
        OutcomeChanged::Added => "diff-added",
        OutcomeChanged::Other => "diff-other",
    }
}

fn stage(stage: &StageChange, texts: &Texts) -> (Mark, String) {
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| seconds(texts, ms));
    let (was, is) = (time(stage.before_ms), time(stage.after_ms));
    let args = [("id", stage.id.as_str()), ("before", &was), ("after", &is), ("reason", stage.reason.as_deref().unwrap_or_default())];
    let (mark, key) = match stage.change {
        StageChanged::NewFailure => (Mark::Bad, "diff-stage-failure"),
        StageChanged::Fixed => (Mark::Good, "diff-stage-fixed"),
        StageChanged::Slower => (Mark::Running, "diff-stage-slower"),
        StageChanged::Faster => (Mark::Good, "diff-stage-faster"),
    };
    (mark, texts.with(key, &args))
}

fn objects(pieces: &mut Vec<Piece>, diff: &Diff, texts: &Texts) {
    let sections = diff.objects.iter().map(|change| {
        let lines = [marked('-', None, &change.removed), marked('+', None, &change.added)].concat();
        (change.kind.as_str(), lines)
    });
    changed(pieces, texts, "diff-objects", sections);
}

/// Lines that are no longer there or new, each with where it is.
fn marked(sign: char, place: Option<&str>, lines: &[String]) -> Vec<String> {
    let place = place.map_or_else(String::new, |place| format!("{place}: "));
    lines.iter().map(|line| format!("{sign} {place}{line}")).collect()
}

/// A heading, and below it what has changed of each thing; not more of one than a person reads.
fn changed<'a>(pieces: &mut Vec<Piece>, texts: &Texts, heading: &str, sections: impl Iterator<Item = (&'a str, Vec<String>)>) {
    for (n, (name, mut lines)) in sections.enumerate() {
        if n == 0 {
            pieces.push(Piece::Heading(texts.get(heading)));
        }
        pieces.push(Piece::Point(Mark::Pending, name.to_owned()));
        let hidden = lines.len().saturating_sub(OUTPUT_LINES);
        lines.truncate(OUTPUT_LINES);
        if hidden > 0 {
            lines.push(texts.with("diff-output-more", &[("count", &hidden.to_string())]));
        }
        pieces.push(Piece::Lines(lines));
    }
}

fn output(pieces: &mut Vec<Piece>, diff: &Diff, texts: &Texts) {
    let of_outcome = |changes: &[OutputChange]| {
        let lines = |change: &OutputChange| {
            let path = Some(change.path.as_str());
            [marked('-', path, &change.removed), marked('+', path, &change.added)].concat()
        };
        changes.iter().flat_map(lines).collect::<Vec<_>>()
    };
    let sections = diff.output.chunk_by(|a, b| a.outcome == b.outcome);
    let sections = sections.filter_map(|changes| Some((changes.first()?.outcome.as_str(), of_outcome(changes))));
    changed(pieces, texts, "diff-output", sections);
}
