//! `report` and `schema`, and the reports that `run`, `up` and `verify` write into files.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::github::{on_github, settled_json};
use super::run::{Work, style, tell};
use super::{Failure, Format, Global, print, print_as_it_is, select};
use crate::journal::{self, JournalError, Record, Redactor};
use crate::report::{self, Form, RenderError, Style, Summary, WriteError, markdown};
use crate::session::Session;
use crate::text;

/// Runs that a hint names.
const NAMED: usize = 10;

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Schema {
    /// The JSON report.
    Report,
}

/// A journal that could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// Nothing was run here that has a report.
    #[error("{}", text::current().with("report-files-no-run", &[("dir", &dir.display().to_string())]))]
    NoRun { dir: PathBuf },
    /// No run and no file has this name.
    #[error("{}", text::current().with("report-files-unknown", &[("name", name)]))]
    Unknown { name: String },
    /// It is a directory without a journal.
    #[error("{}", text::current().with("report-files-no-journal", &[("dir", &dir.display().to_string())]))]
    NoJournal { dir: PathBuf },
    /// It is something else.
    #[error("{}", text::current().with("report-files-not-a-journal", &[("name", name)]))]
    NotAJournal { name: String },
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] JournalError),
    /// Standard input cannot be read.
    #[error("{}", text::current().get("report-files-stdin"))]
    Stdin(#[source] io::Error),
}

impl From<RenderError> for Failure {
    fn from(e: RenderError) -> Self {
        Self::new(1, &e, None)
    }
}

impl From<WriteError> for Failure {
    fn from(e: WriteError) -> Self {
        Self::new(1, &e, None)
    }
}

/// Renders the journal of a run again.
pub(super) fn report(global: &Global, source: Option<&str>, form: Option<Form>, out: Option<&Path>) -> Result<u8, Failure> {
    if global.junit.is_some() {
        let args = [("commands", "run, up and verify"), ("option", "--junit")];
        let hint = text::current().get("report-files-hint-junit");
        return Err(Failure::usage(text::current().with("cli-no-choice", &args), Some(hint)));
    }
    let session = select::session(global)?;
    let records = records(&session, source).map_err(|e| Failure::new(2, &e, Some(runs(&session))))?;
    let form = form.unwrap_or(match global.format {
        Format::Human => Form::Terminal,
        Format::Json => Form::Json,
        Format::Junit => Form::Junit,
    });
    // A file has no columns and no colours of a terminal.
    let style = if out.is_some() { Style::default() } else { style(global) };
    let text = report::render(form, &Summary::fold(&records), text::current(), style)?;
    match out {
        Some(path) => report::write(path, &text)?,
        None if form == Form::Terminal => print(&text)?,
        None if form == Form::Json => print_as_it_is(&settled_json(text))?,
        None => print_as_it_is(&text)?,
    }
    Ok(0)
}

/// Prints a schema.
pub(super) fn schema(global: &Global, what: Schema) -> Result<u8, Failure> {
    select::no_junit(global)?;
    match what {
        Schema::Report => print_as_it_is(report::schema::REPORT)?,
    }
    Ok(0)
}

fn records(session: &Session, source: Option<&str>) -> Result<Vec<Record>, SourceError> {
    let Some(name) = source else {
        let run = session.newest_work().ok_or_else(|| SourceError::NoRun { dir: session.dir().to_path_buf() })?;
        return Ok(journal::read(&session.journal(&run.id))?);
    };
    if name == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(SourceError::Stdin)?;
        return parsed(name, &bytes);
    }
    // A path is never taken for a run, whatever lies below the state directory.
    let path = if session.runs().iter().any(|run| run == name) { session.journal(name) } else { PathBuf::from(name) };
    let path = match std::fs::metadata(&path) {
        Ok(there) if there.is_dir() => {
            let inside = path.join("journal.jsonl");
            if !inside.is_file() {
                return Err(SourceError::NoJournal { dir: path });
            }
            inside
        }
        Ok(_) => path,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(SourceError::Unknown { name: name.to_owned() }),
        Err(source) => return Err(SourceError::Read(JournalError::Read { path, source })),
    };
    let bytes = std::fs::read(&path).map_err(|source| JournalError::Read { path, source })?;
    parsed(name, &bytes)
}

/// The records of a journal, also of one that was cut within its first; what never was one is refused rather than reported as empty.
fn parsed(name: &str, bytes: &[u8]) -> Result<Vec<Record>, SourceError> {
    const BEGINNING: &[u8] = br#"{"seq":0,"at":""#;
    let records = journal::parse(bytes);
    let length = bytes.len().min(BEGINNING.len());
    if records.is_empty() && bytes[..length] != BEGINNING[..length] {
        return Err(SourceError::NotAJournal { name: name.to_owned() });
    }
    Ok(redacted(&records))
}

/// The records of a journal from elsewhere: whoever wrote it may have redacted less than a journal of ours is, and a report is for others to read.
pub(super) fn redacted(records: &[Record]) -> Vec<Record> {
    let redactor = Redactor::default();
    records.iter().map(|record| redactor.record(record)).collect()
}

/// The runs that there are, newest first.
fn runs(session: &Session) -> String {
    let texts = text::current();
    let runs = session.past_runs();
    if runs.is_empty() {
        return texts.with("report-files-hint-none", &[("dir", &session.dir().display().to_string())]);
    }
    let names: Vec<String> = runs.iter().take(NAMED).map(|run| format!("{} ({})", run.id, run.command)).collect();
    let rest = if runs.len() > NAMED { ", …" } else { "" };
    texts.with("report-files-hint-runs", &[("runs", &format!("{}{rest}", names.join(", ")))])
}

/// Writes the files of `--report` and the summary of a GitHub job. Each is tried, and the first error is told at the end.
pub(super) fn written(global: &Global, summary: &Summary, work: Work) -> Result<(), Failure> {
    let mut result = Ok(());
    for file in &global.report {
        let text = report::render(file.form, summary, text::current(), Style::default()).map_err(Failure::from);
        let done = text.and_then(|text| Ok(report::write(&file.path, &text)?));
        result = result.and(done);
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if work != Work::Up
        && on_github()
        && let Some(path) = set("GITHUB_STEP_SUMMARY")
    {
        append(summary, Path::new(&path));
    }
    result
}

/// Adds to the summary of a step of a GitHub job. Nobody asked for it in words, so what goes wrong is told and changes no exit code.
fn append(summary: &Summary, path: &Path) {
    let append = || {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        // What earlier commands of the step wrote counts as well.
        let there = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let room = markdown::LIMIT.saturating_sub(there);
        if room < markdown::LEAST {
            tell(&text::current().with("report-files-summary-full", &[("path", &path.display().to_string())]));
            return Ok(());
        }
        let start = if there > 0 { "\n" } else { "" };
        write!(file, "{start}{}", markdown::render_within(summary, text::current(), room - 1))
    };
    if let Err(e) = append() {
        let args = [("path", path.display().to_string()), ("error", e.to_string())];
        let args = args.each_ref().map(|(name, value)| (*name, value.as_str()));
        tell(&text::current().with("report-files-summary-failed", &args));
    }
}
