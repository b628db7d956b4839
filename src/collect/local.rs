//! What the state directory has: what was asked for, what was applied, and what was recorded.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::Job;
use super::writer::{Place, Tail};
use crate::recording;
use crate::spec::to_document;
use crate::text;

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
    take(job, &recording::file(session), &Place::new(&["applied", "access.jsonl"]), "collect-what-access");
    tree(job, &session.dir().join("manifests"), &["applied", "manifests"], DEPTH, &|path, place| manifest(job, path, place));
    let mirror_file = |path: &Path, place: &Place| take(job, path, place, "collect-what-mirror-file");
    tree(job, &session.certs_dir(), &["applied", "certs.d"], DEPTH, &mirror_file);
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
fn tree(job: &Job<'_>, dir: &Path, at: &[&str], depth: usize, take: &dyn Fn(&Path, &Place)) {
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
            Ok(kind) if kind.is_dir() && depth > 0 => tree(job, &entry.path(), &pieces, depth - 1, take),
            Ok(kind) if kind.is_file() && is_key(&name) => {
                job.writer.leave_out(&Place::new(&pieces), &text::current().get("collect-why-key"));
            }
            Ok(kind) if kind.is_file() => take(&entry.path(), &Place::new(&pieces)),
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

/// Takes a manifest without its Secrets: somebody's own manifest may have real ones.
fn manifest(job: &Job<'_>, path: &Path, place: &Place) {
    let read = read_tail(path, job.writer.bounds.held()).map(Tail::whole);
    match read.map(|whole| whole.map(|bytes| without_secrets(&String::from_utf8_lossy(&bytes)))) {
        Ok(Some(text)) => job.writer.text(place, "collect-what-manifest", text),
        // Of half a document nobody can tell whether it is a Secret.
        Ok(None) => {
            let [limit, total] = job.writer.bounds.words();
            let args = [(limit.0, limit.1.as_str()), (total.0, total.1.as_str())];
            job.writer.leave_out(place, &text::current().with("collect-why-too-long", &args));
        }
        Err(e) => job.writer.leave_out(place, &e.to_string()),
    }
}

/// The documents of a manifest, each Secret replaced by a comment; so is a list that has one.
fn without_secrets(manifest: &str) -> String {
    static KINDS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
        // A key at the beginning of a line, in a list of objects, and in JSON.
        let patterns = [
            r#"(?m)^["']?kind["']?\s*:\s*["']?Secret(List)?\b"#,
            r#"(?ms)^["']?kind["']?\s*:\s*["']?List\b.*^[\s-]+["']?kind["']?\s*:\s*["']?Secret\b|^[\s-]+["']?kind["']?\s*:\s*["']?Secret\b.*^["']?kind["']?\s*:\s*["']?List\b"#,
            r#""kind"\s*:\s*"Secret(List)?""#,
        ];
        patterns.map(|p| Regex::new(p).expect("a valid pattern"))
    });
    let mut out = String::new();
    let mut document = String::new();
    let mut end = |document: &mut String| {
        let document = std::mem::take(document);
        if KINDS.iter().any(|k| k.is_match(&document)) {
            out.push_str("# a Secret, which is left out\n");
        } else {
            out.push_str(&document);
        }
    };
    for line in manifest.split_inclusive('\n') {
        // What follows on the line of a separator belongs to its document.
        if line.starts_with("---") {
            end(&mut document);
            if line.trim_end() == "---" {
                document.push_str(line);
                end(&mut document);
                continue;
            }
        }
        document.push_str(line);
    }
    end(&mut document);
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_keeps_everything_but_secrets() {
        let kept = "kind: Gateway\nspec:\n  certificateRefs:\n  - kind: Secret\n    name: tls\n";
        let hidden = [
            "apiVersion: v1\nkind: Secret\ndata: {a: c2VjcmV0}\n",
            "kind: \"Secret\" # mine\ndata: {a: c2VjcmV0}\n",
            "'kind': Secret\ndata: {a: c2VjcmV0}\n",
            "kind: List\nitems:\n- kind: Secret\n  data: {a: c2VjcmV0}\n",
            "items:\n  - data: {a: c2VjcmV0}\n    kind: Secret\nkind: List\n",
            "{\"kind\": \"Secret\", \"data\": {\"a\": \"c2VjcmV0\"}}\n",
        ];
        for secret in hidden {
            let text = without_secrets(&format!("# first\n---\n{secret}---\n{kept}"));
            assert!(!text.contains("c2VjcmV0"), "{text}");
            assert!(text.starts_with("# first\n---\n# a Secret") && text.ends_with(kept), "{text}");
        }
        assert_eq!(without_secrets(kept), kept);
    }
}
