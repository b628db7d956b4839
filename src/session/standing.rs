//! What may be done with a session that is found: whose it is, and whether anybody would miss it.

use std::time::Duration;

use super::lease::Lease;
use super::{Holder, Phase, Session, SessionError, SessionLock, State};

/// How a session stands now.
#[derive(Debug)]
pub enum Standing {
    /// There is none in its directory.
    Gone,
    /// A process works on it.
    Live(Holder),
    /// Somebody was told that it is there. It ends by `down`.
    Kept {
        /// How long it lives on if nobody uses it; absent for ever.
        left: Option<Duration>,
    },
    /// Kept, and nobody has used it for as long as it was to live.
    Expired,
    /// Its owner died before it had come to an end, so nobody can miss it.
    Orphaned,
    /// Its state cannot be read. What it made is not known, so nothing of it is touched.
    Unreadable(SessionError),
}

impl Standing {
    /// How a session stands.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        if let Some(holder) = SessionLock::holder(session.dir()) {
            return Self::Live(holder);
        }
        match session.load() {
            Ok(None) => Self::Gone,
            Ok(Some(state)) => Self::of_state(session, &state),
            Err(e) => Self::Unreadable(e),
        }
    }

    /// How a session stands on which nobody works.
    #[must_use]
    pub fn of_state(session: &Session, state: &State) -> Self {
        if state.phase == Phase::Provisioning {
            return Self::Orphaned;
        }
        let Some(ttl) = state.ttl_seconds.map(Duration::from_secs) else { return Self::Kept { left: None } };
        match ttl.checked_sub(Lease::idle(session.dir()).unwrap_or_default()) {
            Some(left) if !left.is_zero() => Self::Kept { left: Some(left) },
            _ => Self::Expired,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Live(_) => "live",
            Self::Kept { .. } => "kept",
            Self::Expired => "expired",
            Self::Orphaned => "orphaned",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whether whoever starts next may remove it.
    #[must_use]
    pub fn is_reapable(&self) -> bool {
        matches!(self, Self::Orphaned | Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Waiting;

    #[tokio::test]
    async fn only_what_nobody_can_miss_is_reapable() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::at(dir.path().join("s"));
        assert!(matches!(Standing::of(&session), Standing::Gone));
        let mut state = session.begin("kind", serde_json::json!({}));
        session.save(&state).unwrap();
        let lock = SessionLock::take(session.dir(), &Waiting::default(), "up").await.unwrap();
        let live = Standing::of(&session);
        assert!(!live.is_reapable() && matches!(&live, Standing::Live(h) if h.command == "up"), "{live:?}");
        drop(lock);
        assert!(Standing::of(&session).is_reapable(), "its owner let go of it before it was kept");
        state.phase = Phase::Kept;
        session.save(&state).unwrap();
        assert!(matches!(Standing::of(&session), Standing::Kept { left: Some(_) }));
        // A run that dies on what was kept makes no orphan of it.
        state.owner = Some(super::super::Owner { pid: u32::MAX, start_ticks: Some(1), boot: None, namespace: None });
        session.save(&state).unwrap();
        assert!(!Standing::of(&session).is_reapable());
        std::fs::write(session.dir().join("lease"), "another-boot 1").unwrap();
        let old = std::time::SystemTime::now() - Duration::from_hours(1);
        std::fs::File::options().write(true).open(session.dir().join("lease")).unwrap().set_modified(old).unwrap();
        state.ttl_seconds = Some(3000);
        session.save(&state).unwrap();
        assert!(matches!(Standing::of(&session), Standing::Expired));
        state.ttl_seconds = None;
        session.save(&state).unwrap();
        assert!(matches!(Standing::of(&session), Standing::Kept { left: None }));
        std::fs::write(session.dir().join("state.json"), "{\"version\": 1, \"id\"").unwrap();
        assert!(!Standing::of(&session).is_reapable(), "what cannot be read is left alone");
    }
}
