//! The forms of a report by name, and files of them.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::text::Texts;

use super::fold::Summary;
use super::layout::Style;
use super::{conformance, html, json, junit, markdown, terminal};

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What a person reads in a terminal.
    Terminal,
    /// For programs, with a [schema](super::schema).
    Json,
    /// `JUnit` XML for CI systems.
    Junit,
    /// GitHub-flavoured Markdown, for the summary of a CI job.
    Markdown,
    /// YAML in the shape of the Gateway API's conformance reports.
    Conformance,
    /// One HTML page that needs nothing else.
    Html,
}

impl Form {
    /// All of them, the default first.
    pub const ALL: [Self; 6] = [Self::Terminal, Self::Json, Self::Junit, Self::Markdown, Self::Conformance, Self::Html];

    /// Its name on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Conformance => "conformance",
            Self::Html => "html",
        }
    }

    /// The names of all forms, for texts.
    #[must_use]
    pub fn words() -> String {
        Self::ALL.map(Self::word).join(", ")
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that names no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownForm {
    /// It is none of ours.
    #[error("there is no form `{word}` of a report; there are {}", Form::words())]
    Word {
        /// The word.
        word: String,
    },
    /// What should name a form and a file does not.
    #[error("`{argument}` is not FORM=FILE, for example markdown=summary.md; forms are {}", Form::words())]
    NoFile {
        /// The argument.
        argument: String,
    },
}

impl FromStr for Form {
    type Err = UnknownForm;

    fn from_str(word: &str) -> Result<Self, UnknownForm> {
        Self::ALL.into_iter().find(|form| form.word() == word).ok_or_else(|| UnknownForm::Word { word: word.to_owned() })
    }
}

/// A form and the file that it goes to, as `--report FORM=FILE` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormFile {
    /// The form.
    pub form: Form,
    /// The file.
    pub path: PathBuf,
}

impl FromStr for FormFile {
    type Err = UnknownForm;

    fn from_str(argument: &str) -> Result<Self, UnknownForm> {
        match argument.split_once('=') {
            Some((form, path)) if !path.is_empty() => Ok(Self { form: form.parse()?, path: path.into() }),
            _ => Err(UnknownForm::NoFile { argument: argument.to_owned() }),
        }
    }
}

/// A form that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The JSON could not be written.
    #[error("cannot render the JSON report")]
    Json(#[source] serde_json::Error),
    /// The XML could not be written.
    #[error("cannot render the JUnit report")]
    Junit(#[source] quick_junit::SerializeError),
    /// The YAML could not be written.
    #[error("cannot render the conformance report")]
    Conformance(#[source] serde_saphyr::SerializeError),
    /// The page could not be made.
    #[error(transparent)]
    Html(#[from] html::HtmlError),
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Renders a folded journal in a form, with a line end at its end. `style` is heeded by [`Form::Terminal`] alone.
///
/// # Errors
/// When a writer fails, which it does not for what a journal holds.
pub fn render(form: Form, summary: &Summary, texts: &Texts, style: Style) -> Result<String, RenderError> {
    let mut text = match form {
        Form::Terminal => terminal::render(summary, texts, style),
        Form::Json => serde_json::to_string_pretty(&json::render(summary)).map_err(RenderError::Json)?,
        Form::Junit => junit::render(summary).map_err(RenderError::Junit)?,
        Form::Markdown => markdown::render(summary, texts),
        Form::Conformance => conformance::render(summary, texts).map_err(RenderError::Conformance)?,
        Form::Html => html::render(summary, texts)?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Writes a report so that a cut leaves the old file or the new one whole. What is no regular file, such as a pipe or `/dev/stderr`, is
/// written to as it is: a new file in its place would not reach whoever reads it.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, text: &str) -> Result<(), WriteError> {
    let write = || {
        let there = match std::fs::metadata(path) {
            Ok(there) => Some(there),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
        }
        // Through a link, so that the link stays one.
        let target = if there.is_some() { std::fs::canonicalize(path)? } else { path.to_path_buf() };
        let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(crate::session::UNFINISHED);
        // A report is for others to read as well; the mask of the process has the last word.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(parent)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|source| WriteError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_named_as_they_are_parsed() {
        for form in Form::ALL {
            assert_eq!(form.word().parse(), Ok(form));
        }
        assert!("xml".parse::<Form>().unwrap_err().to_string().ends_with("terminal, json, junit, markdown, conformance, html"));
        assert_eq!("markdown=a=b.md".parse(), Ok(FormFile { form: Form::Markdown, path: "a=b.md".into() }));
        for wrong in ["markdown", "markdown=", "=a.md", "xml=a.xml"] {
            assert!(wrong.parse::<FormFile>().is_err(), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_report_replaces_a_file_whole_and_goes_through_links_and_devices() {
        use std::os::unix::fs::FileTypeExt;
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished is left");
        write(Path::new("/dev/null"), "gone").unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let missing = dir.path().join("no/such/file");
        assert!(write(&missing, "x").unwrap_err().to_string().contains("no/such/file"));
        assert!(write(dir.path(), "x").is_err());
    }
}
