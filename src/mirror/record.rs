//! What nodes asked for, one JSON object a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::Digest;

/// One request, written when it was answered or broke off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// When it came.
    pub at: Timestamp,
    /// Who asked.
    pub peer: SocketAddr,
    /// The node that this is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What was asked and answered.
    #[serde(flatten)]
    pub asked: Asked,
}

/// What was asked, by which way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Asked {
    /// A registry's API at the mirror.
    Mirror {
        /// `GET` or `HEAD` as a rule.
        method: String,
        /// The registry that was meant, empty where none was.
        namespace: String,
        /// The repository's path in it.
        repository: String,
        /// What kind of thing.
        what: What,
        /// The tag or digest.
        reference: String,
        /// The digest of what was answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// The answer.
        status: u16,
        /// How many bytes of the body were sent.
        bytes: u64,
        /// Where the answer came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<From>,
        /// How long it took until the last byte.
        millis: u64,
        /// What went wrong. Also where the answer is good, but upstream failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Anything at a proxy.
    Proxy {
        /// Which proxy: a name that its host gave it.
        listener: String,
        /// `CONNECT`, `GET`, `HEAD`.
        method: String,
        /// `host:port` of a `CONNECT`, otherwise the absolute URL without user and query.
        target: String,
        /// The answer.
        status: u16,
        /// Bytes from the client to the target.
        sent: u64,
        /// Bytes from the target to the client.
        received: u64,
        /// How long it took, or the tunnel was open.
        millis: u64,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// What a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A manifest or index.
    Manifest,
    /// A blob.
    Blob,
    /// The list of tags.
    Tags,
    /// What refers to a manifest.
    Referrers,
    /// Whether a registry is there, and all that is no part of its API.
    Ping,
}

/// Where a mirror has an answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// It was there already.
    Cache,
    /// It was fetched.
    Upstream,
    /// It is in a bundle.
    Bundle,
}

/// Tells which node a peer is.
pub type Naming = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// Writes accesses down. Clones write to the same place.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<Sink>>);

#[derive(Debug)]
enum Sink {
    File {
        file: File,
        /// The last line has no end, because the disk was full or its writer died.
        torn: bool,
    },
    Memory(Vec<Access>),
}

impl Recorder {
    /// Appends to a file that only its owner can read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::options().create(true).read(true).append(true).mode(0o600).open(path)?;
        let (size, mut last) = (file.metadata()?.len(), [0]);
        let torn = size > 0 && file.read_at(&mut last, size - 1)? == 1 && last != *b"\n";
        Ok(Self(Arc::new(Mutex::new(Sink::File { file, torn }))))
    }

    /// Keeps them in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self(Arc::new(Mutex::new(Sink::Memory(Vec::new()))))
    }

    /// Writes one down. A full disk loses it; the request that it is about was answered all the same.
    pub fn write(&self, access: Access) {
        match &mut *self.sink() {
            Sink::Memory(all) => all.push(access),
            Sink::File { file, torn } => {
                let mut line = if *torn { vec![b'\n'] } else { Vec::new() };
                if serde_json::to_writer(&mut line, &access).is_ok() {
                    line.push(b'\n');
                    *torn = file.write_all(&line).is_err();
                }
            }
        }
    }

    /// What was written down in memory so far.
    #[must_use]
    pub fn accesses(&self) -> Vec<Access> {
        match &*self.sink() {
            Sink::Memory(all) => all.clone(),
            Sink::File { .. } => Vec::new(),
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The complete lines of a record from a byte offset on, and the offset after them. Lines that are unknown or damaged are stepped over.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path, offset: u64) -> io::Result<(Vec<Access>, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    // No further than it reaches now, so that a busy writer cannot keep the reader here.
    let rest = file.metadata()?.len().saturating_sub(offset);
    let mut reader = BufReader::new(file.take(rest));
    let (mut all, mut next, mut line) = (Vec::new(), offset, Vec::new());
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok((all, next));
        }
        next += n as u64;
        all.extend(serde_json::from_slice::<Access>(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(status: u16) -> Access {
        let asked = Asked::Mirror {
            method: "GET".into(),
            namespace: "docker.io".into(),
            repository: "library/busybox".into(),
            what: What::Blob,
            reference: Digest::of(b"").to_string(),
            digest: Some(Digest::of(b"")),
            status,
            bytes: 0,
            from: Some(From::Cache),
            millis: 3,
            error: None,
        };
        Access { at: Timestamp::UNIX_EPOCH, peer: ([10, 0, 0, 1], 4711).into(), node: Some("kind-worker".into()), asked }
    }

    #[test]
    fn a_record_is_one_flat_object() {
        let json = serde_json::to_value(access(200)).unwrap();
        assert_eq!(json["via"], "mirror");
        assert_eq!(json["what"], "blob");
        assert_eq!(json["from"], "cache");
        assert_eq!(json["peer"], "10.0.0.1:4711");
        assert_eq!(serde_json::from_value::<Access>(json).unwrap(), access(200));
        let proxied = r#"{"at":"1970-01-01T00:00:00Z","peer":"10.0.0.1:1","via":"proxy","listener":"drop-in","method":"CONNECT",
            "target":"a:443","status":200,"sent":1,"received":2,"millis":3}"#;
        assert!(matches!(serde_json::from_str::<Access>(proxied).unwrap().asked, Asked::Proxy { received: 2, .. }));
    }

    #[test]
    fn reading_goes_on_where_it_stopped_and_steps_over_damage() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accesses.jsonl");
        let recorder = Recorder::file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        recorder.write(access(200));
        let (all, next) = read(&path, 0).unwrap();
        assert_eq!(all, [access(200)]);
        assert_eq!(read(&path, next).unwrap(), (vec![], next));
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"via\":\"pigeon\"}\n{\"at\":\"19").unwrap();
        let (all, half) = read(&path, next).unwrap();
        assert!(all.is_empty() && half > next);
        // Another process died in the middle of a line.
        Recorder::file(&path).unwrap().write(access(404));
        let (all, end) = read(&path, next).unwrap();
        assert_eq!(all, [access(404)]);
        assert_eq!(end, std::fs::metadata(&path).unwrap().len());
        assert_eq!(read(&path, end + 100).unwrap(), (vec![], end + 100));
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_nothing_else() {
        let recorder = Recorder::file("/dev/full").unwrap();
        recorder.write(access(200));
        recorder.write(access(200));
        assert!(recorder.accesses().is_empty());
        let memory = Recorder::memory();
        memory.clone().write(access(200));
        assert_eq!(memory.accesses(), [access(200)]);
    }
}
