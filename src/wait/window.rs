//! What must stay true for a while: pods that keep running, not pods that ran when somebody looked.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::watch::Waiter;
use super::{Clock, Limit, Log, Progress, WaitError};

/// The time of a window passes in steps no longer than this, so that a simulated cluster does in each what it would have done by then.
const STEP: Duration = Duration::from_secs(5);

/// Lets an environment's time pass. In a real one that is waiting; a simulated one can be told to.
pub trait Passage: Send + Sync {
    /// Resolves when so much time has passed in the environment, and it has done what it had to do meanwhile.
    fn pass(&self, time: Duration) -> BoxFuture<'_, Result<(), String>>;
}

/// Time that passes by itself.
pub(super) struct ByItself(pub(super) Arc<dyn Clock>);

impl Passage for ByItself {
    fn pass(&self, time: Duration) -> BoxFuture<'_, Result<(), String>> {
        let until = self.0.sleep_until(self.0.now() + time);
        Box::pin(async {
            until.await;
            Ok(())
        })
    }
}

impl Waiter {
    /// Requires that a condition is ready now and stays so while `window` passes in the environment. It is evaluated after every change, and
    /// on a fresh list after every step of the window, so that what happened in time that was skipped is seen as well.
    ///
    /// # Errors
    /// [`WaitError`] with how long it lasted, or when the state could not be looked at.
    pub async fn stays(self, what: &str, window: Duration, mut condition: impl FnMut() -> Progress) -> Result<(), WaitError> {
        let waiting = self.waiting.clone();
        let mut log = Log::new(&waiting, what, Limit::Outcome);
        log.deadline += window;
        let mut passed = Duration::ZERO;
        loop {
            self.look_again(&mut log).await?;
            holds(&mut log, passed, condition())?;
            if passed >= window {
                return Ok(());
            }
            let step = STEP.min(window.saturating_sub(passed));
            let mut passing = pin!(waiting.passage.pass(step));
            loop {
                tokio::select! {
                    biased;
                    done = &mut passing => {
                        done.map_err(|why| log.broke(passed, &why))?;
                        break;
                    }
                    () = self.changed.notified() => {
                        // While a list cannot be had the state is unknown, which is not the same as broken.
                        if self.unknown().is_none() {
                            holds(&mut log, passed, condition())?;
                        }
                    }
                    () = waiting.clock.sleep_until(log.deadline) => return Err(log.timed_out()),
                }
            }
            passed += step;
        }
    }

    /// Waits for a list of every kind that was begun after now.
    async fn look_again(&self, log: &mut Log<'_>) -> Result<(), WaitError> {
        let wanted = self.refresh();
        loop {
            let missing = self.unknown().or_else(|| (!self.listed_since(wanted)).then(|| "listing".to_owned()));
            let Some(missing) = missing else { return Ok(()) };
            log.see(&missing);
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.waiting.clock.sleep_until(log.deadline) => return Err(log.timed_out()),
            }
        }
    }
}

fn holds(log: &mut Log<'_>, passed: Duration, progress: Progress) -> Result<(), WaitError> {
    match progress {
        Progress::Ready(()) => Ok(()),
        Progress::NotYet(status) => Err(log.broke(passed, &status)),
        Progress::Terminal(terminal) => Err(log.broke(passed, &terminal.status)),
    }
}
