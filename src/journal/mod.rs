//! The append-only event log of a run, JSON Lines; the only source of every report.

#[cfg(debug_assertions)]
mod crash;
mod event;
mod redact;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

pub use event::{
    CommandRecord, Confidence, Diagnosis, Event, Expected, FORMAT_VERSION, Fidelity, OutcomeInfo, OutcomeKind, Record, StageInfo,
    StageResult, Transcript, Verdict,
};
pub use redact::{Redactor, Secret};

/// Errors of writing or reading a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be made.
    #[error("cannot create the journal {path}")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the journal {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

type Listener = Box<dyn Fn(&Record) + Send + Sync>;

struct Inner {
    file: Option<File>,
    seq: u64,
    records: Vec<Record>,
    /// The first write error. Provisioning goes on without a disk; the command says so at its end.
    broken: Option<io::Error>,
}

/// A handle on the journal of the current run; clones write to the same file.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    listener: Arc<Option<Listener>>,
    redactor: Arc<Redactor>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Creates the file (0600) and its directory.
    ///
    /// # Errors
    /// When the file exists or cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        Ok(Self::with(Some(make(path)?)))
    }

    /// Goes on in a file, which gets what was written so far as well.
    ///
    /// # Errors
    /// When the file exists or cannot be made.
    pub fn persist(&self, path: &Path) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let mut file = make(path)?;
        let lines: String = inner.records.iter().map(line).collect();
        file.write_all(lines.as_bytes()).map_err(|source| JournalError::Create { path: path.to_owned(), source })?;
        inner.file = Some(file);
        Ok(())
    }

    /// A journal that exists in memory only, for tests and for commands that record nothing.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::with(None)
    }

    fn with(file: Option<File>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner { file, seq: 0, records: Vec::new(), broken: None })),
            listener: Arc::new(None),
            redactor: Arc::new(Redactor::default()),
        }
    }

    /// Calls `listener` with every record after it was written: live progress.
    #[must_use]
    pub fn listen(mut self, listener: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.listener = Arc::new(Some(Box::new(listener)));
        self
    }

    /// What keeps secrets out of this journal.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Appends a record, redacted, in one write so that a cut leaves whole lines but for the last.
    pub fn write(&self, event: Event) {
        let record = {
            let mut inner = self.lock();
            let record = self.redactor.record(&Record { seq: inner.seq, at: Timestamp::now(), event });
            inner.seq += 1;
            let line = line(&record);
            if let Some(file) = inner.file.as_mut()
                && let Err(e) = file.write_all(line.as_bytes())
            {
                inner.file = None;
                inner.broken = Some(e);
            }
            inner.records.push(record.clone());
            #[cfg(debug_assertions)]
            crash::at(&line);
            record
        };
        if let Some(listener) = self.listener.as_ref() {
            listener(&record);
        }
    }

    /// Everything written so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// The first error that kept a record off the disk, once.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        self.lock().broken.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(path: &Path) -> Result<File, JournalError> {
    let make = || {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    };
    make().map_err(|source| JournalError::Create { path: path.to_owned(), source })
}

fn line(record: &Record) -> String {
    serde_json::to_string(record).unwrap_or_else(|e| format!("{{\"unwritable\":\"{e}\"}}")) + "\n"
}

/// Reads a journal that may be cut anywhere: whole records up to the first that is not.
///
/// # Errors
/// When the file cannot be read at all.
pub fn read(path: &Path) -> Result<Vec<Record>, JournalError> {
    let bytes = std::fs::read(path).map_err(|source| JournalError::Read { path: path.to_owned(), source })?;
    Ok(parse(&bytes))
}

/// Parses the bytes of a journal; see [`read`].
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let Ok(record) = serde_json::from_slice(line) else { break };
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_kind_of_record_survives_the_disk_redacted() {
        let journal = Journal::in_memory();
        journal.redactor().learn("very-secret-value");
        let command = CommandRecord {
            argv: vec!["istioctl".into(), "install".into()],
            pid: 7,
            exit_code: Some(0),
            duration_ms: 5,
            stdout: "a very-secret-value".into(),
            stderr: String::new(),
        };
        let diagnosis = Diagnosis {
            rule: "P9".into(),
            confidence: Confidence::Certain,
            cause: "c".into(),
            remedy: "r".into(),
            seen: "very-secret-value".into(),
        };
        let events = vec![
            Event::RunStarted {
                format: FORMAT_VERSION,
                run: "r".into(),
                session: "s".into(),
                meshproof: "0".into(),
                command: "run".into(),
                backend: "kind".into(),
                fidelity: Fidelity::Real,
                spec: serde_json::json!({"a": "very-secret-value"}),
                stages: vec![StageInfo { id: "cluster".into(), title: "t".into(), needs: vec![] }],
                outcomes: vec![],
                not_selected: vec!["very-secret-value".into()],
                strict: true,
            },
            Event::Expected(Expected {
                outcome: "o".into(),
                reason: "very-secret-value".into(),
                owner: "w".into(),
                expires: jiff::civil::date(2026, 12, 31),
            }),
            Event::Fact { name: "n".into(), value: "v".into() },
            Event::Inventory { objects: [("Service".to_owned(), vec!["very-secret-value".to_owned()])].into() },
            Event::StandIn { component: "ztunnel".into(), image: "i".into() },
            Event::Warning { message: "very-secret-value".into() },
            Event::StageStarted { stage: "s".into() },
            Event::StageProgress { stage: "s".into(), status: "very-secret-value".into() },
            Event::StageFinished { stage: "s".into(), duration_ms: 1, result: StageResult::Already },
            Event::StageFinished {
                stage: "s".into(),
                duration_ms: 1,
                result: StageResult::Failed { error: vec!["very-secret-value".into()], hint: None, diagnoses: vec![diagnosis.clone()] },
            },
            Event::StageFinished { stage: "s".into(), duration_ms: 0, result: StageResult::Blocked { by: "c".into() } },
            Event::CommandStarted { argv: vec!["kind".into()], pid: 1, start_ticks: Some(2) },
            Event::CommandFinished(command.clone()),
            Event::Transcript(Transcript { name: "n".into(), run: "r".into(), recorded_at: Timestamp::UNIX_EPOCH, command }),
            Event::OutcomeStarted { outcome: "o".into(), info: None },
            Event::OutcomeFinished {
                outcome: "o".into(),
                duration_ms: 1,
                verdict: Verdict::Failed { reason: "very-secret-value".into() },
                evidence: BTreeMap::from([("seen".to_owned(), serde_json::json!(["very-secret-value"]))]),
                diagnoses: vec![diagnosis],
            },
            Event::Collected { dir: "very-secret-value".into(), files: 1, bytes: 2, left_out: 3 },
            Event::RunFinished { exit_code: 0, duration_ms: 1 },
        ];
        let kinds = events.iter().map(std::mem::discriminant).collect::<Vec<_>>();
        events.into_iter().for_each(|e| journal.write(e));
        let mut bytes = Vec::new();
        for record in journal.records() {
            bytes.extend(serde_json::to_vec(&record).unwrap());
            bytes.push(b'\n');
        }
        assert!(!String::from_utf8_lossy(&bytes).contains("very-secret-value"));
        let read = parse(&bytes);
        assert_eq!(read, journal.records());
        assert_eq!(read.iter().map(|r| std::mem::discriminant(&r.event)).collect::<Vec<_>>(), kinds, "none became a warning");
    }

    #[test]
    fn a_cut_journal_reads_up_to_the_cut_and_secrets_never_reach_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs/1/journal.jsonl");
        let journal = Journal::create(&path).unwrap();
        journal.redactor().learn("very-secret-value");
        journal.write(Event::Warning { message: "a very-secret-value b".into() });
        journal.write(Event::StageStarted { stage: "cluster".into() });
        let bytes = std::fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("very-secret-value"));
        for cut in 0..=bytes.len() {
            let whole = bytes[..cut].iter().filter(|b| **b == b'\n').count();
            assert_eq!(parse(&bytes[..cut]).len(), whole, "cut at {cut}");
        }
        assert_eq!(parse(&bytes), journal.records());
        assert!(matches!(Journal::create(&path), Err(JournalError::Create { .. })), "an existing journal is never overwritten");
    }
}
