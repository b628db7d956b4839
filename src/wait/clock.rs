//! Where waits take their time from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// A monotonic clock. Waits use no other, so that a test or a simulated cluster can own the time.
pub trait Clock: Send + Sync {
    /// Time since the clock's own beginning.
    fn now(&self) -> Duration;
    /// Resolves when `now()` has reached `deadline`.
    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl Default for RealClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let at = tokio::time::Instant::from_std(self.start + deadline);
        #[expect(clippy::disallowed_methods, reason = "the one place where meshproof sleeps")]
        Box::pin(tokio::time::sleep_until(at))
    }
}

#[derive(Default)]
struct Manual {
    now: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

/// A clock that moves only when it is told to.
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Mutex<Manual>>);

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl ManualClock {
    /// Moves the clock and wakes every sleeper whose time has come.
    pub fn advance(&self, by: Duration) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.now += by;
        let now = inner.now;
        for (_, wake) in inner.sleepers.extract_if(.., |(at, _)| *at <= now) {
            // A sleeper that was dropped needs no waking.
            let _ = wake.send(());
        }
    }

    /// Runs a future to its end, moving the clock to the next sleeper whenever nothing else makes progress.
    ///
    /// Only for futures whose other work is in memory: real I/O would look like "no progress".
    pub async fn drive<F: Future>(&self, future: F) -> F::Output {
        const IDLE_TURNS: u32 = 64;
        let mut future = std::pin::pin!(future);
        loop {
            for _ in 0..IDLE_TURNS {
                tokio::select! {
                    biased;
                    out = &mut future => return out,
                    () = tokio::task::yield_now() => {}
                }
            }
            let next = {
                let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                inner.sleepers.retain(|(_, wake)| !wake.is_closed());
                inner.sleepers.iter().map(|(at, _)| *at).min()
            };
            if let Some(at) = next {
                self.advance(at.saturating_sub(self.now()));
            }
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if deadline <= inner.now {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        inner.sleepers.push((deadline, wake));
        Box::pin(async {
            if woken.await.is_err() {
                // The clock is gone: nobody can ever move it again.
                std::future::pending::<()>().await;
            }
        })
    }
}
