//! The files of a bundle: redacted, cut to size, below one directory, and each thing that is missing with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::CollectError;
use crate::journal::Journal;
use crate::text;

/// A secret of which only the end is left no longer has the shape of one. None is longer than this, so this much of a cut text's beginning is
/// dropped.
const GUARD: usize = 64 * 1024;
/// The longest reason that the index shows, in characters.
const REASON: usize = 400;
/// The longest piece of a path, in bytes.
const PIECE: usize = 100;

/// How large a bundle may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of one file.
    pub(super) file: usize,
    /// Bytes of all files but the index.
    pub(super) files: u64,
    /// Bytes of the index.
    pub(super) index: usize,
}

impl Bounds {
    /// 2 MiB for a file, 64 MiB for all, of which 4 MiB are kept for the index: it must always fit.
    pub(super) const USUAL: Self = Self { file: 2 << 20, files: 60 << 20, index: 4 << 20 };

    /// How much of a text need be held before it is redacted and cut, in bytes.
    pub(super) fn held(&self) -> usize {
        2 * self.file + GUARD
    }

    fn total(&self) -> u64 {
        self.files + self.index as u64
    }

    /// The limits in words, as arguments of a text.
    pub(super) fn words(&self) -> [(&'static str, String); 2] {
        [("limit", size(self.file as u64)), ("total", size(self.total()))]
    }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => {
            let tenths = (bytes * 10).div_ceil(1 << 20);
            format!("{}.{} MiB", tenths / 10, tenths % 10)
        }
    }
}

/// The place of a file below the bundle's directory. What it is made of may come from a cluster that is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(String);

impl Place {
    /// From pieces, each of which becomes one name and never a way to another directory. A piece that had to be changed gets a mark of what it
    /// was, so that no two become one.
    pub(super) fn new(pieces: &[&str]) -> Self {
        Self(pieces.iter().map(|p| piece(p)).collect::<Vec<_>>().join("/"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn piece(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && !text.starts_with('.') && text.len() <= PIECE && text.chars().all(plain) {
        return text.to_owned();
    }
    let kept: String = text.chars().take(PIECE / 2).map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{}-{}", kept.replace("..", "__").replacen('.', "_", usize::from(kept.starts_with('.'))), mark(text))
}

fn mark(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..4])
}

/// The end of a text that may have been longer.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// How many bytes were dropped before it.
    dropped: u64,
}

impl Tail {
    /// Adds bytes and keeps the last of them, at least `most`.
    pub(super) fn push(&mut self, bytes: &[u8], most: usize) {
        self.bytes.extend_from_slice(bytes);
        // Cut at twice the limit, so that a long text is not moved with every piece.
        if self.bytes.len() > 2 * most {
            self.trim(most);
        }
    }

    /// What follows after so many bytes that were not read.
    pub(super) fn after(dropped: u64, bytes: Vec<u8>) -> Self {
        Self { bytes, dropped }
    }

    /// The bytes, if they are all of it.
    pub(super) fn whole(self) -> Option<Vec<u8>> {
        (self.dropped == 0).then_some(self.bytes)
    }

    fn trim(&mut self, most: usize) {
        let surplus = self.bytes.len().saturating_sub(most);
        self.bytes.drain(..surplus);
        self.dropped += surplus as u64;
    }
}

impl From<String> for Tail {
    fn from(text: String) -> Self {
        Self { bytes: text.into_bytes(), dropped: 0 }
    }
}

/// What was cut from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// So many bytes at its beginning.
    Bytes(u64),
    /// So many objects at its end.
    Objects(usize),
}

/// A file that was written.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) bytes: u64,
    /// Key of the text that says what it is.
    pub(super) what: &'static str,
    pub(super) cut: Option<Cut>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<Place, File>,
    left_out: Vec<(String, String)>,
    /// What is planned or being fetched.
    pending: BTreeSet<String>,
    used: u64,
    broken: Option<CollectError>,
}

/// Writes a bundle. The first error of the disk ends all writing, and is kept for the end.
pub(super) struct Writer {
    dir: PathBuf,
    pub(super) bounds: Bounds,
    journal: Journal,
    state: Mutex<State>,
}

/// What a bundle has when nothing more is added.
pub(super) struct Contents {
    pub(super) files: BTreeMap<Place, File>,
    /// What is missing or cut, and why, both redacted.
    pub(super) left_out: Vec<(String, String)>,
    pub(super) bytes: u64,
}

impl Writer {
    /// Makes the directory, or takes an empty one.
    pub(super) fn create(dir: &Path, bounds: Bounds, journal: &Journal) -> Result<Self, CollectError> {
        let failed = |source| CollectError::Write { path: dir.to_owned(), source };
        make_dir(dir).map_err(failed)?;
        if let Some(entry) = std::fs::read_dir(dir).map_err(failed)?.next() {
            let entry = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            return Err(CollectError::NotEmpty { dir: dir.to_owned(), entry });
        }
        Ok(Self { dir: dir.to_owned(), bounds, journal: journal.clone(), state: Mutex::default() })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something is going to be fetched, so that the index names it should it never arrive.
    pub(super) fn expect(&self, what: &impl ToString) {
        self.lock().pending.insert(what.to_string());
    }

    /// Forgets something that was expected and turned out not to exist.
    pub(super) fn forget(&self, what: &impl ToString) {
        self.lock().pending.remove(&what.to_string());
    }

    /// Says why something is not there.
    pub(super) fn leave_out(&self, what: &impl ToString, why: &str) {
        let why: String =
            self.journal.redactor().text(&why.split_whitespace().collect::<Vec<_>>().join(" ")).chars().take(REASON).collect();
        let what = what.to_string();
        let mut state = self.lock();
        state.pending.remove(&what);
        state.left_out.push((self.journal.redactor().text(&what), why));
    }

    /// Writes a text whose end matters most.
    pub(super) fn text(&self, place: &Place, what: &'static str, tail: impl Into<Tail>) {
        let mut tail = tail.into();
        tail.trim(self.bounds.held());
        let mut text = self.journal.redactor().text(&String::from_utf8_lossy(&tail.bytes));
        let mut cut = tail.dropped;
        if cut > 0 {
            cut += drop_front(&mut text, GUARD);
        }
        let room = self.room();
        if room == 0 && !text.is_empty() {
            return self.full(place);
        }
        let surplus = text.len().saturating_sub(room);
        cut += drop_front(&mut text, surplus);
        self.write(place, what, &text, (cut > 0).then_some(Cut::Bytes(cut)));
    }

    /// Writes objects as one JSON document, as many as fit.
    pub(super) fn objects(&self, place: &Place, what: &'static str, head: &[(&str, &str)], items: Vec<Value>) {
        let mut text = "{\n".to_owned();
        for (name, value) in head {
            text.push_str(&format!("{}: {},\n", Value::from(*name), Value::from(*value)));
        }
        text.push_str("\"items\": [");
        let (room, all) = (self.room(), items.len());
        let mut written = 0;
        for mut item in items {
            // In the value first: what ends a secret in a text may be gone where only JSON ends.
            self.journal.redactor().json(&mut item);
            let item = self.journal.redactor().text(&format!("{item:#}"));
            if text.len() + item.len() + 8 > room {
                break;
            }
            text.push_str(if written == 0 { "\n" } else { ",\n" });
            text.push_str(&item);
            written += 1;
        }
        text.push_str("\n]}\n");
        if text.len() > room {
            return self.full(place);
        }
        self.write(place, what, &text, (written < all).then_some(Cut::Objects(all - written)));
    }

    /// How large the next file may be.
    fn room(&self) -> usize {
        let left = self.bounds.files.saturating_sub(self.lock().used);
        usize::try_from(left).unwrap_or(usize::MAX).min(self.bounds.file)
    }

    fn full(&self, place: &Place) {
        let words = self.bounds.words();
        self.leave_out(place, &text::current().with("collect-why-full", &[(words[1].0, &words[1].1)]));
    }

    fn write(&self, place: &Place, what: &'static str, text: &str, cut: Option<Cut>) {
        let size = text.len() as u64;
        {
            let mut state = self.lock();
            state.pending.remove(place.as_str());
            if state.broken.is_some() {
                return;
            }
            state.used += size;
        }
        match self.put(place.as_str(), text) {
            Ok(()) => {
                self.lock().files.insert(place.clone(), File { bytes: size, what, cut });
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.lock().used -= size;
                self.leave_out(place, &text::current().get("collect-why-twice"));
            }
            Err(source) => self.lock().broken = Some(CollectError::Write { path: self.dir.join(place.as_str()), source }),
        }
    }

    /// Writes a file that must not be there yet: whatever lies there, also a link, is not written through.
    fn put(&self, place: &str, text: &str) -> io::Result<()> {
        let path = self.dir.join(place);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(text.as_bytes())
    }

    /// Ends the collecting: what is still expected is left out.
    pub(super) fn close(&self) -> Result<Contents, CollectError> {
        let texts = text::current();
        let mut state = std::mem::take(&mut *self.lock());
        if let Some(broken) = state.broken {
            return Err(broken);
        }
        let why = texts.get("collect-why-time");
        state.left_out.extend(state.pending.into_iter().map(|what| (self.journal.redactor().text(&what), why.clone())));
        let words = self.bounds.words();
        for (place, file) in &state.files {
            let (key, count) = match file.cut {
                None => continue,
                Some(Cut::Bytes(bytes)) => ("collect-cut", ("bytes", bytes.to_string())),
                Some(Cut::Objects(count)) => ("collect-cut-objects", ("count", count.to_string())),
            };
            let args = [(count.0, count.1.as_str()), (words[0].0, &words[0].1), (words[1].0, &words[1].1)];
            state.left_out.push((place.to_string(), texts.with(key, &args)));
        }
        state.left_out.sort();
        Ok(Contents { files: state.files, left_out: state.left_out, bytes: state.used })
    }

    /// Writes the index, which is no part of its own contents.
    pub(super) fn index(&self, name: &str, html: &str) -> Result<(), CollectError> {
        self.put(name, html).map_err(|source| CollectError::Write { path: self.dir.join(name), source })
    }
}

/// Drops at least so many bytes at the beginning, up to the end of a line where one ends soon. How many it were.
fn drop_front(text: &mut String, least: usize) -> u64 {
    if least == 0 {
        return 0;
    }
    let mut at = least.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    if let Some(end) = text[at..].bytes().take(GUARD).position(|b| b == b'\n')
        && !text[..at].ends_with('\n')
    {
        at += end + 1;
    }
    text.drain(..at);
    at as u64
}

/// Makes a directory that only its owner may enter, and those that lead to it.
fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_directory_and_no_two_become_one() {
        let places =
            ["../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", ".hidden", "a\0b", "ü", "a..b", &"x".repeat(300), &"x".repeat(301)];
        let made: Vec<Place> = places.iter().map(|p| Place::new(&["pods", p, "c.log"])).collect();
        for place in &made {
            let pieces: Vec<&str> = place.as_str().split('/').collect();
            assert_eq!(pieces.len(), 3, "{place}");
            assert!(pieces.iter().all(|p| !p.is_empty() && !p.starts_with('.') && p.len() <= 120), "{place}");
        }
        let different: std::collections::BTreeSet<&Place> = made.iter().collect();
        assert_eq!(different.len(), places.len());
        assert_eq!(Place::new(&["nodes", "istio-cluster-worker2", "kubelet.log"]).as_str(), "nodes/istio-cluster-worker2/kubelet.log");
    }

    #[test]
    fn half_a_secret_at_the_place_where_a_text_is_cut_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { file: 100_000, files: 1 << 20, index: 1 };
        let writer = Writer::create(dir.path(), bounds, &Journal::in_memory()).unwrap();
        // Of the first key the beginning is beyond what is held, so nothing in the rest says that it is one. The second is whole and shrinks to a
        // word, so that all that is held fits into the file.
        let key = |lines: usize| format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", "c2VjcmV0\n".repeat(lines));
        let (half, whole) = (key(1000), key(20_000));
        for line in 0..4 {
            let after = bounds.held() - half.len() - whole.len() + 40 + line;
            let place = Place::new(&[&format!("{line}.log")]);
            let text = format!("{}{half}{}{whole}the end\n", "a line\n".repeat(100), "0123456789\n".repeat(after / 11));
            writer.text(&place, "collect-what-log", text);
            let written = std::fs::read_to_string(dir.path().join(place.as_str())).unwrap();
            assert!(!written.contains("c2VjcmV0"), "{}", &written[..80]);
            assert!(
                written.starts_with("0123456789\n") && written.ends_with("0123456789\n<redacted>\nthe end\n") && written.len() <= 100_000
            );
        }
        let contents = writer.close().unwrap();
        assert_eq!(contents.left_out.len(), 4, "{:?}", contents.left_out);
    }

    #[test]
    fn what_is_there_is_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        let writer = Writer::create(&to, Bounds::USUAL, &Journal::in_memory()).unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, to.join("events.txt")).unwrap();
        writer.text(&Place::new(&["events.txt"]), "collect-what-events", "theirs".to_owned());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "mine");
        assert_eq!(writer.close().unwrap().left_out.len(), 1);
        assert!(matches!(Writer::create(&to, Bounds::USUAL, &Journal::in_memory()), Err(CollectError::NotEmpty { .. })));
    }
}
