//! The one environment of a state directory: where its files lie, who works on it, and what it has made.
//!
//! Everything that meshproof creates outside this directory is written into `state.json` before it is created, so that a later run knows
//! what may be its own.

mod index;
mod lease;
mod lock;
pub mod reaper;
mod runs;
mod standing;
mod state;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub use index::{Index, Indexed};
pub use lease::Lease;
pub use lock::{Holder, LockError, SessionLock};
pub use runs::PastRun;
pub use standing::Standing;
pub use state::{ClusterPhase, ClusterState, KeptCrds, Owner, Phase, STATE_VERSION, State};

/// Errors of the state directory.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Neither a state directory nor a home is known.
    #[error("no place for the state directory: set MESHPROOF_STATE or HOME")]
    NoHome,
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `state.json` is not what this version writes.
    #[error("{path} is damaged or from another version of meshproof")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The directory holds something else.
    #[error("{dir} is not empty and holds no environment of meshproof (it has `{entry}`)")]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// One of the things in it.
        entry: String,
    },
    /// `state.json` was written by another version.
    #[error("{path} has version {version}; this meshproof reads {STATE_VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Another process works on this environment.
    #[error("cannot lock the state directory")]
    Lock(#[source] LockError),
}

/// How the names of files begin that were not yet written to their end.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Runs that are kept, at least.
const RUNS: usize = 200;

/// How long a kept environment lives without being used, unless somebody says otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_hours(7 * 24);

/// Everything that meshproof keeps in a state directory, in the order in which it is removed.
const ENTRIES: [&str; 17] = [
    "agent.json",
    "agent.lock",
    "agent.log",
    "certs.d",
    "docker-config",
    "fault.json",
    "home",
    "kind-config.yaml",
    "kubeconfig",
    "kubeconfig.kept",
    "manifests",
    "recording",
    "runs",
    "wrapped",
    "state.json",
    "lease",
    "lock",
];

/// A state directory.
#[derive(Debug, Clone)]
pub struct Session {
    dir: PathBuf,
    index: Option<Index>,
}

impl Session {
    /// The state directory that is meant: the given one, `MESHPROOF_STATE`, or one for the project under the XDG state directory.
    /// The project is the nearest directory upwards with a `meshproof.yaml` or a `.git`, else the current one. Makes nothing.
    ///
    /// # Errors
    /// [`SessionError::NoHome`].
    pub fn locate(given: Option<&Path>, current: &Path, var: impl Fn(&str) -> Option<String>) -> Result<Self, SessionError> {
        let set = |name: &str| var(name).filter(|v| !v.is_empty());
        let base = state_home(set).map(|home| home.join("meshproof"));
        let index = base.clone().map(Index::below);
        let dir = if let Some(dir) = given.map(Path::to_path_buf).or_else(|| set("MESHPROOF_STATE").map(PathBuf::from)) {
            current.join(dir)
        } else {
            base.ok_or(SessionError::NoHome)?.join(project_key(current))
        };
        // kind and the engine clean the paths of mounts; ours must compare equal to theirs.
        Ok(Self { dir: clean(&dir), index })
    }

    /// A state directory by its path, which no list of sessions knows.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), index: None }
    }

    /// The list of this user's sessions, where a place for it is known.
    #[must_use]
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// Refuses a directory that holds anything but an environment: it would be ours to remove later.
    ///
    /// # Errors
    /// [`SessionError::NotOurs`], or when the directory cannot be read.
    pub fn check_ours(&self) -> Result<(), SessionError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(SessionError::Read { path: self.dir.clone(), source }),
        };
        let names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        // A run that was killed before it wrote its state leaves only entries of ours.
        let foreign = names.iter().find(|n| !ENTRIES.contains(&n.as_str()) && !n.starts_with(UNFINISHED));
        match foreign {
            Some(entry) if !names.iter().any(|n| n == "state.json") => {
                Err(SessionError::NotOurs { dir: self.dir.clone(), entry: entry.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The private kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The directory that is mounted into the nodes as containerd's `certs.d`. It proves whose node a container is.
    #[must_use]
    pub fn certs_dir(&self) -> PathBuf {
        self.dir.join("certs.d")
    }

    /// Where the bundle of a run is collected.
    #[must_use]
    pub fn bundle(&self, run: &str) -> PathBuf {
        self.dir.join("runs").join(run).join("bundle")
    }

    /// The kind configuration.
    #[must_use]
    pub fn kind_config(&self) -> PathBuf {
        self.dir.join("kind-config.yaml")
    }

    /// A manifest as applied.
    #[must_use]
    pub fn manifest(&self, name: &str) -> PathBuf {
        self.dir.join("manifests").join(name)
    }

    /// A copy of the docker client's configuration without proxies, for children.
    #[must_use]
    pub fn docker_config(&self) -> PathBuf {
        self.dir.join("docker-config")
    }

    /// The journal of a run.
    #[must_use]
    pub fn journal(&self, run: &str) -> PathBuf {
        self.dir.join("runs").join(run).join("journal.jsonl")
    }

    /// The ids of the runs that are kept here, in no order; none where nothing was ever run.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.join("runs")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Removes the oldest runs if there are more than two hundred, but none of the last hour and not the last one that worked on the session.
    /// What cannot be removed stays: it is only in the way.
    pub fn prune_runs(&self) {
        let runs = self.runs();
        if runs.len() <= RUNS {
            return;
        }
        let last = self.load().ok().flatten().and_then(|s| s.last_run);
        let age = |run: &String| self.dir.join("runs").join(run).metadata().ok()?.modified().ok()?.elapsed().ok();
        let mut old: Vec<(Duration, String)> = runs.into_iter().filter_map(|run| Some((age(&run)?, run))).collect();
        old.sort();
        for (_, run) in old.iter().skip(RUNS).filter(|(age, run)| *age > Duration::from_hours(1) && last.as_ref() != Some(run)) {
            let _ = std::fs::remove_dir_all(self.dir.join("runs").join(run));
        }
    }

    /// Makes the directory, which only its owner may enter.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prepare(&self) -> Result<(), SessionError> {
        make_private_dir(&self.dir).map_err(|source| SessionError::Write { path: self.dir.clone(), source })
    }

    /// What is on the disk; `None` where no session was begun.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn load(&self) -> Result<Option<State>, SessionError> {
        let path = self.dir.join("state.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SessionError::Read { path, source }),
        };
        let state: State = serde_json::from_slice(&bytes).map_err(|source| SessionError::Damaged { path: path.clone(), source })?;
        if state.version != STATE_VERSION {
            return Err(SessionError::Version { path, version: state.version });
        }
        Ok(Some(state))
    }

    /// A fresh state for this directory.
    #[must_use]
    pub fn begin(&self, backend: &str, spec: serde_json::Value) -> State {
        State {
            version: STATE_VERSION,
            id: random_id(),
            created: Timestamp::now(),
            backend: backend.to_owned(),
            phase: Phase::Provisioning,
            owner: Some(Owner::me()),
            ttl_seconds: Some(DEFAULT_TTL.as_secs()),
            spec,
            cluster: None,
            volumes: Vec::new(),
            network: false,
            recorders: None,
            baked_images: BTreeMap::new(),
            last_run: None,
            manifests: BTreeMap::new(),
            crds: None,
            stages: BTreeMap::new(),
            transcripts: BTreeMap::new(),
        }
    }

    /// Writes the state so that a cut leaves the old or the new one whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, state: &State) -> Result<(), SessionError> {
        let text =
            serde_json::to_string_pretty(state).map_err(|e| SessionError::Write { path: self.dir.join("state.json"), source: e.into() })?;
        self.write("state.json", &text)
    }

    /// Writes a file (0600) of this directory so that a cut leaves the old or the new one whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, name: &str, text: &str) -> Result<(), SessionError> {
        let path = self.dir.join(name);
        let parent = path.parent().unwrap_or(&self.dir).to_path_buf();
        let write = || {
            make_private_dir(&self.dir)?;
            std::fs::create_dir_all(&parent)?;
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&parent)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(|source| SessionError::Write { path: path.clone(), source })
    }

    /// Removes what meshproof keeps in the directory, and the directory itself if nothing else is in it. Says whether it is gone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self) -> Result<bool, SessionError> {
        // The state goes last but for the locks: until then a removal that was cut can be repeated.
        let unfinished = std::fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|e| e.file_name());
        let unfinished = unfinished.filter_map(|n| n.into_string().ok()).filter(|n| n.starts_with(UNFINISHED));
        for entry in unfinished.chain(ENTRIES.map(str::to_owned)) {
            let path = self.dir.join(entry);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(SessionError::Write { path, source: e }),
                _ => {}
            }
        }
        Ok(std::fs::remove_dir(&self.dir).is_ok() || !self.dir.exists())
    }
}

/// Makes a directory that only its owner may enter. `certs.d` inside is still reached by the engine, which runs as root.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// A path without `.`, `..` and doubled separators, as `path.Clean` of Go makes it; links are left alone.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// The XDG state directory.
fn state_home(set: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let given = set("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    given.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))
}

/// A name and a hash of the project's directory.
fn project_key(current: &Path) -> String {
    let project = current.ancestors().find(|d| d.join("meshproof.yaml").exists() || d.join(".git").exists()).unwrap_or(current);
    let hash = hex::encode(&Sha256::digest(project.as_os_str().as_encoded_bytes())[..4]);
    let name: String = project
        .file_name()
        .map(|n| n.to_string_lossy().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect())
        .unwrap_or_default();
    format!("{}-{hash}", if name.is_empty() { "root" } else { &name })
}

/// Eight hex digits that differ between sessions and between runs.
#[must_use]
pub fn random_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    // RandomState is keyed from the system's randomness.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}

/// A run id that sorts by time.
#[must_use]
pub fn run_id() -> String {
    format!("{}-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), random_id())
}

#[cfg(test)]
mod tests;
