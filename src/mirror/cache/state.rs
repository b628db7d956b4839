//! What is in the cache, and in which order it was used.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::SystemTime;

use super::{CacheError, read};
use crate::mirror::name::Digest;

#[derive(Debug, Default)]
pub(super) struct State {
    blobs: HashMap<Digest, Held>,
    /// By last use, the oldest first.
    order: BTreeMap<u64, Digest>,
    total: u64,
    turn: u64,
}

#[derive(Debug)]
struct Held {
    size: u64,
    used: u64,
}

impl State {
    /// What lies there. Files with other names are somebody else's and are left alone.
    pub(super) fn scan(dir: &Path) -> Result<Self, CacheError> {
        let mut found: Vec<(SystemTime, Digest, u64)> = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(read(dir))? {
            let entry = entry.map_err(read(dir))?;
            let name = entry.file_name();
            let Some(Ok(digest)) = name.to_str().map(|n| format!("sha256:{n}").parse::<Digest>()) else { continue };
            // One that goes away at this moment is evicted by another process.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_file() {
                found.push((meta.accessed().unwrap_or(SystemTime::UNIX_EPOCH), digest, meta.len()));
            }
        }
        found.sort();
        let mut state = Self::default();
        for (_, digest, size) in found {
            state.used(&digest, size);
        }
        Ok(state)
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.blobs.keys()
    }

    pub(super) fn oldest(&self) -> Option<&Digest> {
        self.order.values().next()
    }

    /// Notes that a blob is there, and is used now.
    pub(super) fn used(&mut self, digest: &Digest, size: u64) {
        self.remove(digest);
        self.turn += 1;
        self.total += size;
        self.order.insert(self.turn, digest.clone());
        self.blobs.insert(digest.clone(), Held { size, used: self.turn });
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        if let Some(held) = self.blobs.remove(digest) {
            self.total -= held.size;
            self.order.remove(&held.used);
        }
    }
}
