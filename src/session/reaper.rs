//! Removes what nobody can miss: sessions whose owner died before it had told anybody of them, and those that outlived their time.
//!
//! A session that somebody works on or uses is never touched, nor one whose state cannot be read; and of a session only that is removed
//! which its own backend proves to be its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Index, Indexed, Lease, Session, SessionError, SessionLock, Standing, State};
use crate::cluster::{Provider, Teardown};
use crate::harness::{Harness, HarnessError, Policy, Purpose, Settings};
use crate::registry::Registry;
use crate::spec::from_document;
use crate::wait::Waiting;

/// What a removal works with.
pub struct Remover<'a> {
    /// The source of the clusters of a session.
    pub provider: &'a (dyn Fn(&State) -> Arc<dyn Provider> + Sync),
    /// Clock and timeout table.
    pub waiting: Waiting,
    /// Where downloaded tools are kept.
    pub cache: PathBuf,
}

impl std::fmt::Debug for Remover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remover").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// What became of a session of the list.
#[derive(Debug)]
pub struct Removal {
    /// The session.
    pub session: Indexed,
    /// Why it was to be removed: [`Standing::word`].
    pub was: &'static str,
    /// What was removed and what remains; `None` where somebody works on it or uses it now.
    pub done: Result<Option<Teardown>, HarnessError>,
}

/// Removes every orphaned or expired session of the list but that of the state directory `except`.
pub async fn reap(index: &Index, except: &Path, remover: &Remover<'_>) -> Vec<Removal> {
    let mut removals = Vec::new();
    for entry in index.sessions().into_iter().filter(|e| e.dir != except) {
        let standing = Standing::of(&index.session(&entry));
        if standing.is_reapable() {
            let done = remove(&index.session(&entry), remover, Standing::is_reapable).await;
            removals.push(Removal { was: standing.word(), session: entry, done });
        }
    }
    removals
}

/// Removes every session of the list on which nobody works and which nobody uses.
pub async fn remove_all(index: &Index, remover: &Remover<'_>) -> Vec<Removal> {
    let mut removals = Vec::new();
    for entry in index.sessions() {
        let session = index.session(&entry);
        let standing = Standing::of(&session);
        let done = match &standing {
            Standing::Unreadable(_) => session.load().map(|_| None).map_err(HarnessError::from),
            // Somebody removed its directory. What may be left of it can no longer be proved to be its own.
            Standing::Gone if entry.dir.parent().is_some_and(Path::exists) => {
                index.remove(&entry.id).map(|()| Some(Teardown::default())).map_err(HarnessError::from)
            }
            // Perhaps only its disk is not there now.
            Standing::Gone => Ok(None),
            _ => remove(&session, remover, |_| true).await,
        };
        removals.push(Removal { was: standing.word(), session: entry, done });
    }
    removals
}

/// Removes a session if nobody works on it or uses it, and if it still is what it was taken for once nobody else can be at work.
async fn remove(session: &Session, remover: &Remover<'_>, wanted: fn(&Standing) -> bool) -> Result<Option<Teardown>, HarnessError> {
    let locked = SessionLock::try_take(session.dir(), &remover.waiting, "down").map_err(SessionError::Lock)?;
    let Some(lock) = locked else { return Ok(None) };
    let Some(state) = session.load()? else { return Ok(None) };
    if !wanted(&Standing::of_state(session, &state)) {
        return Ok(None);
    }
    let Some(alone) = Lease::try_alone(session.dir()).map_err(SessionError::Lock)? else { return Ok(None) };
    let path = session.dir().join("state.json");
    let spec = from_document(&state.spec).map_err(|source| SessionError::Damaged { path, source })?;
    let settings = Settings {
        spec,
        session: session.clone(),
        provider: (remover.provider)(&state),
        waiting: remover.waiting.clone(),
        cache: remover.cache.clone(),
        policy: Policy::default(),
        registry: Registry::builtin(),
    };
    let harness = Harness::begin_locked(settings, lock, "down", Purpose::Remove, |_| {}).await?;
    harness.down_alone(alone).await.map(Some)
}
