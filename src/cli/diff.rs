//! `diff`: what changed between two runs.

use std::path::PathBuf;

use clap::ValueEnum;

use super::report::redacted;
use super::{Failure, Format, Global, print, print_as_it_is, print_json, run, select};
use crate::journal::read;
use crate::report::Summary;
use crate::report::diff::{Diff, human, markdown};
use crate::session::Session;
use crate::text;

/// How many runs a hint names.
const NAMED_RUNS: usize = 5;

/// Compares two runs. Exit code 1 if something that gates is worse.
pub(super) fn diff(global: &Global, before: &str, after: &str, as_markdown: bool) -> Result<u8, Failure> {
    select::no_junit(global)?;
    if as_markdown && global.format != Format::Human {
        let format = global.format.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        return Err(Failure::usage(text::current().with("cli-diff-one-form", &[("format", &format)]), None));
    }
    let session = select::session(global)?;
    let diff = Diff::of(&summary(&session, before)?, &summary(&session, after)?);
    match global.format {
        Format::Json => print_json(&diff)?,
        _ if as_markdown => print_as_it_is(&markdown(&diff, text::current()))?,
        _ => print(&human(&diff, text::current(), run::style(global)))?,
    }
    Ok(diff.exit_code())
}

/// The run that a word means: a journal, a directory that holds one, or a run of the session by its id.
fn summary(session: &Session, word: &str) -> Result<Summary, Failure> {
    let path = journal(session, word)?;
    let records = read(&path).map_err(|e| Failure::new(2, &e, None))?;
    let summary = Summary::fold(&redacted(&records));
    if summary.run.is_none() {
        // Without its first record nobody knows what was to be judged.
        return Err(Failure::usage(text::current().with("cli-diff-no-run", &[("path", &path.display().to_string())]), None));
    }
    Ok(summary)
}

fn journal(session: &Session, word: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(word);
    let mut runs = session.runs();
    if path.is_file() {
        return Ok(path);
    }
    if path.join("journal.jsonl").is_file() {
        return Ok(path.join("journal.jsonl"));
    }
    if runs.iter().any(|run| run == word) {
        return Ok(session.journal(word));
    }
    // Ids of runs sort by time.
    runs.sort_by(|a, b| b.cmp(a));
    runs.truncate(NAMED_RUNS);
    let texts = text::current();
    let dir = session.dir().display().to_string();
    let hint = texts.attribute("cli-diff-not-found", "hint", &[("runs", &if runs.is_empty() { "-".to_owned() } else { runs.join(", ") })]);
    Err(Failure::usage(texts.with("cli-diff-not-found", &[("name", word), ("dir", &dir)]), hint))
}
