//! The list of this user's sessions, wherever their state directories are: one small file for each, below the XDG state directory.
//!
//! It only says where to look. What a session is, and what belongs to it, its own directory tells.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Session, SessionError, make_private_dir};

/// The directory of the list. It begins with a dot, as no state directory of a project does.
const DIR: &str = ".sessions";

/// Where sessions are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    dir: PathBuf,
}

/// A session as the list has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Indexed {
    /// Session id.
    pub id: String,
    /// Its state directory.
    pub dir: PathBuf,
    /// Its backend when it began.
    pub backend: String,
    /// When it began.
    pub created: Timestamp,
}

impl Index {
    /// The list below the directory that holds the state directories of projects.
    #[must_use]
    pub fn below(base: impl Into<PathBuf>) -> Self {
        Self { dir: base.into().join(DIR) }
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// Writes a session down. Done before the session makes anything.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, session: &Indexed) -> Result<(), SessionError> {
        let path = self.file(&session.id);
        if std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Indexed>(&bytes).ok()).as_ref() == Some(session) {
            return Ok(());
        }
        let write = || {
            make_private_dir(&self.dir)?;
            let file = tempfile::NamedTempFile::new_in(&self.dir)?;
            serde_json::to_writer_pretty(&file, session)?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        };
        // Somebody who takes the last one off the list takes its directory away as well.
        let written = write().or_else(|e: io::Error| if e.kind() == io::ErrorKind::NotFound { write() } else { Err(e) });
        written.map_err(|source| SessionError::Write { path: path.clone(), source })?;
        // What was here before and never came to have a state.
        for other in self.sessions().into_iter().filter(|other| other.dir == session.dir && other.id != session.id) {
            self.remove(&other.id)?;
        }
        Ok(())
    }

    /// Takes a session off the list, and the list away with the last of them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, id: &str) -> Result<(), SessionError> {
        let path = self.file(id);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(SessionError::Write { path, source }),
            _ => {}
        }
        // Others are still in them, or somebody adds one right now.
        let _ = std::fs::remove_dir(&self.dir).and_then(|()| self.dir.parent().map_or(Ok(()), std::fs::remove_dir));
        Ok(())
    }

    /// The sessions of the list, oldest first. What cannot be read is left out: it is not one of ours.
    #[must_use]
    pub fn sessions(&self) -> Vec<Indexed> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let read = |path: &Path| {
            let entry: Indexed = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            // One that is still being written has another name.
            (path.file_name()? == format!("{}.json", entry.id).as_str()).then_some(entry)
        };
        let mut found: Vec<Indexed> = entries.filter_map(|e| read(&e.path())).collect();
        found.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        found
    }

    /// The session of an entry, which knows this list.
    #[must_use]
    pub fn session(&self, entry: &Indexed) -> Session {
        Session { dir: entry.dir.clone(), index: Some(self.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_found_again_and_the_list_goes_with_the_last() {
        let base = tempfile::tempdir().unwrap();
        let index = Index::below(base.path());
        let entry = |id: &str, at: i64| Indexed {
            id: id.into(),
            dir: format!("/somewhere/{id}").into(),
            backend: "kind".into(),
            created: Timestamp::from_second(at).unwrap(),
        };
        assert_eq!(index.sessions(), []);
        index.add(&entry("b", 1)).unwrap();
        index.add(&entry("a", 2)).unwrap();
        index.add(&entry("a", 2)).unwrap();
        std::fs::write(base.path().join(DIR).join("c.json"), "{").unwrap();
        assert_eq!(index.sessions(), [entry("b", 1), entry("a", 2)]);
        std::fs::remove_file(base.path().join(DIR).join("c.json")).unwrap();
        index.remove("a").unwrap();
        index.remove("a").unwrap();
        assert!(base.path().join(DIR).exists());
        index.remove("b").unwrap();
        assert!(!base.path().exists(), "what held nothing else goes as well");
    }
}
