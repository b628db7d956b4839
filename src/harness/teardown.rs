//! How an environment is removed.

use std::sync::Arc;

use super::{Harness, HarnessError};
use crate::cluster::Teardown;
use crate::session::{Lease, Owner, Phase, Session, SessionError, SessionLock, State};
use crate::text;
use crate::wait::{Limits, RealClock, Waiting};

/// What a removal leaves in the state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Nothing,
    Runs,
}

impl Harness {
    /// Removes what this session made, and then its state directory.
    ///
    /// # Errors
    /// When the engine does not answer or something cannot be removed.
    pub async fn down(self) -> Result<Teardown, HarnessError> {
        let alone = self.context.alone().await?;
        self.down_alone(alone).await
    }

    /// Removes the cluster of a run that failed. What is known about the failure stays in the state directory, for the next `down`.
    ///
    /// # Errors
    /// As [`Harness::down`].
    pub async fn down_but_runs(self) -> Result<Teardown, HarnessError> {
        let alone = self.context.alone().await?;
        self.tear_down(alone, Leave::Runs).await
    }

    /// [`Harness::down`] for whoever has the environment alone.
    ///
    /// # Errors
    /// As [`Harness::down`].
    pub async fn down_alone(self, alone: Lease) -> Result<Teardown, HarnessError> {
        self.tear_down(alone, Leave::Nothing).await
    }

    async fn tear_down(self, alone: Lease, leave: Leave) -> Result<Teardown, HarnessError> {
        let context = &self.context;
        let before = context.state().phase;
        // It is not to be there any more: who dies from here on leaves an orphan, with its children.
        context.record(|state| (state.phase, state.owner) = (Phase::Provisioning, Some(Owner::me())))?;
        self.announce(false, false);
        // What could not be removed is what it was before.
        let stays = |state: &mut State| (state.phase, state.owner) = (before, None);
        let mut done = match context.provider.teardown(context).await {
            Ok(done) => done,
            Err(e) => {
                context.record(stays)?;
                return Err(e.into());
            }
        };
        if done.remains.is_empty() && leave == Leave::Runs {
            context.record(State::forget_cluster)?;
            self.release()?;
        } else if done.remains.is_empty() {
            let dir = context.session.dir().to_path_buf();
            if !context.session.remove()? {
                done.remains.push(text::current().with("remains-directory", &[("dir", &dir.display().to_string())]));
                return Ok(done);
            }
            if let Some(index) = context.session.index() {
                index.remove(&context.state().id)?;
            }
            // The directory that holds all state directories goes with the last of them.
            if let Some(parent) = dir.parent().filter(|p| p.file_name().is_some_and(|n| n == "meshproof")) {
                let _ = std::fs::remove_dir(parent);
            }
            done.removed.push(dir.display().to_string());
        } else {
            context.record(stays)?;
        }
        drop(alone);
        Ok(done)
    }

    /// Nobody works on the session any more, and somebody knows that it is there.
    pub(super) fn release(&self) -> Result<(), SessionError> {
        self.context.record(|state| (state.phase, state.owner) = (Phase::Kept, None))
    }
}

/// Removes what a run left that was killed before it wrote its state: it had made nothing outside the directory. Says whether there was
/// anything, and leaves alone what somebody is at work on or what is not ours.
///
/// # Errors
/// When the disk refuses.
pub async fn sweep(session: &Session) -> Result<bool, HarnessError> {
    let left = std::fs::read_dir(session.dir()).is_ok_and(|mut entries| entries.next().is_some());
    if !left || session.check_ours().is_err() {
        return Ok(false);
    }
    let waiting = Waiting::new(Arc::new(RealClock::default()), Limits::default());
    let _lock = SessionLock::take(session.dir(), &waiting, "down").await.map_err(SessionError::Lock)?;
    // Whoever held the lock may have begun a session, which is removed with all that it made or not at all.
    Ok(session.load()?.is_none() && session.remove()?)
}
