//! The cluster's time: the machine's, plus what was skipped.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// The most that can be skipped: a thousand years, so that times after the present one can still be told.
const LONGEST: Duration = Duration::from_hours(1000 * 365 * 24);

/// Where everything in the cluster takes its time from. Cheap to clone; clones share what was skipped.
#[derive(Debug, Clone)]
pub struct Clock(Arc<watch::Sender<Duration>>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Duration::ZERO)))
    }
}

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        later(Timestamp::now(), *self.0.borrow())
    }

    /// The time now as objects have it: RFC 3339 in whole seconds.
    #[must_use]
    pub fn stamp(&self) -> String {
        stamp(self.now())
    }

    /// The time now with microseconds, as `MicroTime` fields have it.
    #[must_use]
    pub fn micro_stamp(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }

    /// Resolves when the time has come, whether it passed or was skipped.
    pub async fn sleep_until(&self, at: Timestamp) {
        let mut skipped = self.0.subscribe();
        loop {
            let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = real(left) => {}
                changed = skipped.changed() => {
                    // The sender lives in `self`.
                    debug_assert!(changed.is_ok());
                }
            }
        }
    }

    /// Resolves after a while.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(later(self.now(), time)).await;
    }

    /// Lets time pass at once: every sleeper whose time has come by then wakes.
    pub fn skip(&self, time: Duration) {
        self.0.send_modify(|skipped| *skipped = skipped.saturating_add(time).min(LONGEST));
    }
}

/// Resolves after a while of the machine's own time: for what concerns connections and not the cluster.
pub(crate) async fn real(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the one place where the simulation sleeps")]
    tokio::time::sleep(time).await;
}

/// A time some while after another. Objects can name any number of seconds; what would be after the end of time is then.
pub(crate) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

/// [`later`] by whole seconds, as objects have them; less than none is none.
pub(crate) fn seconds_later(at: Timestamp, seconds: i64) -> Timestamp {
    later(at, Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// A time as objects have it.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn skipped_time_wakes_sleepers_in_order_of_their_time() {
        let clock = Clock::default();
        let start = clock.now();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_hours(1)).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        clock.skip(Duration::from_hours(1) - Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.skip(Duration::from_secs(1));
        let woke = sleeper.await.unwrap();
        assert!(woke.duration_since(start).as_secs() >= 3600);
    }

    #[test]
    fn there_is_an_end_of_time() {
        let clock = Clock::default();
        clock.skip(Duration::MAX);
        clock.skip(Duration::MAX);
        assert!(clock.now() < Timestamp::MAX);
        assert_eq!(seconds_later(clock.now(), i64::MAX), Timestamp::MAX);
        assert_eq!(seconds_later(Timestamp::UNIX_EPOCH, -1), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn stamps_are_whole_seconds() {
        let at: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        assert_eq!(stamp(at), "2026-01-02T03:04:05Z");
    }
}
