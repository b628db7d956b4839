//! What the state directory has: what was asked for, what was applied, and what was recorded.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::Job;
use super::writer::{Place, Tail};
use crate::spec::to_document;

/// Journals of earlier runs that are taken, the newest first: what went wrong may have begun in one of them.
const EARLIER: usize = 5;
/// How deep directories are followed.
const DEPTH: usize = 4;

/// Takes the local files. Keys, the kubeconfig and the docker client's configuration are not among them.
pub(super) fn collect(job: &Job<'_>) {
    let (context, writer) = (job.context, &job.writer);
    let session = &context.session;
    let redactor = context.journal.redactor();
    let documents = [
        ("spec.json", "collect-what-spec", Ok(to_document(&context.spec))),
        ("state.json", "collect-what-state", serde_json::to_value(context.state())),
    ];
    for (name, what, document) in documents {
        let place = Place::new(&["applied", name]);
        match document {
            Ok(mut value) => {
                redactor.json(&mut value);
                writer.text(&place, what, format!("{value:#}\n"));
            }
            Err(e) => writer.leave_out(&place, &e.to_string()),
        }
    }
    let records = context.journal.records();
    let lines: String = records.iter().filter_map(|r| serde_json::to_string(r).ok()).map(|line| line + "\n").collect();
    writer.text(&Place::new(&["applied", "journal.jsonl"]), "collect-what-journal", lines);
    for run in earlier_runs(job) {
        take(job, &session.journal(&run), &Place::new(&["applied", "runs", &format!("{run}.jsonl")]), "collect-what-earlier-journal");
    }
    take(job, &session.kind_config(), &Place::new(&["applied", "kind-config.yaml"]), "collect-what-kind-config");
    take(job, &session.dir().join("agent.log"), &Place::new(&["applied", "agent.log"]), "collect-what-agent-log");
    tree(job, &session.dir().join("manifests"), &["applied", "manifests"], "collect-what-manifest", DEPTH);
    tree(job, &session.certs_dir(), &["applied", "certs.d"], "collect-what-mirror-file", DEPTH);
}

/// Run ids sort by time.
fn earlier_runs(job: &Job<'_>) -> Vec<String> {
    let entries = fs::read_dir(job.context.session.dir().join("runs")).into_iter().flatten().flatten();
    let mut runs: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).filter(|r| *r != job.context.run).collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    runs.truncate(EARLIER);
    runs
}

/// Takes the regular files of a directory and of those in it; links are not followed.
fn tree(job: &Job<'_>, dir: &Path, at: &[&str], what: &'static str, depth: usize) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => return job.writer.leave_out(&Place::new(at), &e.to_string()),
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_unstable_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pieces = [at, &[name.as_str()]].concat();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => tree(job, &entry.path(), &pieces, what, depth - 1),
            Ok(kind) if kind.is_file() && is_key(&name) => {
                job.writer.leave_out(&Place::new(&pieces), &crate::text::current().get("collect-why-key"));
            }
            Ok(kind) if kind.is_file() => take(job, &entry.path(), &Place::new(&pieces), what),
            Ok(_) => {}
            Err(e) => job.writer.leave_out(&Place::new(&pieces), &e.to_string()),
        }
    }
}

/// Whether a file of this name holds a private key and nothing else.
pub(super) fn is_key(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("key"))
}

/// Takes the end of a file, if there is one.
fn take(job: &Job<'_>, path: &Path, place: &Place, what: &'static str) {
    match read_tail(path, job.writer.bounds.held()) {
        Ok(tail) => job.writer.text(place, what, tail),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => job.writer.leave_out(place, &e.to_string()),
    }
}

fn read_tail(path: &Path, most: usize) -> io::Result<Tail> {
    let mut file = fs::File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(most as u64);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    // It may be growing.
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(Tail::after(skipped, bytes))
}
