//! Bounded, watch-driven waits that explain themselves. Nothing else in meshproof sleeps or polls.
//!
//! A condition is a pure function over what is known now; it says [`Progress::Ready`], [`Progress::NotYet`] with one line of status,
//! or [`Progress::Terminal`] when waiting longer is pointless. The waiter feeds it from watches that are re-listed regularly and that
//! survive errors, and stops at the limit of the one timeout table.

pub mod clock;
pub mod conditions;
mod limits;
pub mod terminal;
mod watch;
mod window;

use std::sync::Arc;
use std::time::Duration;

use crate::diagnose::{Kind, Line, explain};

pub use clock::{Clock, ManualClock, RealClock};
pub use limits::{Limit, Limits};
pub use watch::{Waiter, Watched};
pub use window::Passage;

/// What a condition says about the state it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T = ()> {
    /// It holds.
    Ready(T),
    /// Not yet, with what is missing.
    NotYet(String),
    /// It will not hold without help.
    Terminal(Terminal),
}

/// A state that time does not heal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// What it is, one line.
    pub status: String,
    /// How long it must last before the wait ends; zero where it is certain.
    pub grace: Duration,
}

/// A status that was seen while waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Since the wait began.
    pub at: Duration,
    /// The status.
    pub status: String,
}

/// A wait that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct WaitError {
    /// What was waited for.
    pub what: String,
    /// How long it took to give up.
    pub elapsed: Duration,
    /// Whether a terminal state ended it before the limit.
    pub terminal: bool,
    /// Of what had to stay true: how long it did.
    pub lasted: Option<Duration>,
    /// The last state seen.
    pub last: String,
    /// Every state seen, oldest first; the middle is left out when there are many.
    pub transitions: Vec<Transition>,
}

impl WaitError {
    fn sentence(&self) -> String {
        let Self { what, last, .. } = self;
        let seconds = self.elapsed.as_secs_f64();
        if let Some(lasted) = self.lasted {
            format!("{what}: true for {:.0} s and then no more: {last}", lasted.as_secs_f64())
        } else if self.terminal {
            format!("{what}: will not happen, gave up after {seconds:.1} s: {last}")
        } else {
            format!("{what}: not within {seconds:.0} s; last seen: {last}")
        }
    }

    /// The states seen, the last one first.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = Line<'_>> {
        let before = self.transitions.iter().map(|t| t.status.as_str()).filter(|status| *status != self.last);
        std::iter::once(self.last.as_str()).chain(before).flat_map(|status| Line::all(Kind::State, status))
    }

    /// Causes that the states seen point to.
    #[must_use]
    pub fn diagnoses(&self) -> Vec<crate::journal::Diagnosis> {
        explain(&self.evidence().collect::<Vec<_>>())
    }
}

/// What every wait needs: the clock, the timeout table and someone who listens to its status.
#[derive(Clone)]
pub struct Waiting {
    clock: Arc<dyn Clock>,
    limits: Limits,
    passage: Arc<dyn Passage>,
    listener: Arc<dyn Fn(&str) + Send + Sync>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self::new(Arc::new(RealClock::default()), Limits::default())
    }
}

impl Waiting {
    /// Waits by this clock and this table.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let passage = Arc::new(window::ByItself(Arc::clone(&clock)));
        Self { clock, limits, passage, listener: Arc::new(|_| {}) }
    }

    /// The same, with every change of status told to `listener`.
    #[must_use]
    pub fn listen(&self, listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { listener: Arc::new(listener), ..self.clone() }
    }

    /// The same, with windows that pass by other means than waiting.
    #[must_use]
    pub fn passing(&self, passage: Arc<dyn Passage>) -> Self {
        Self { passage, ..self.clone() }
    }

    /// The limit that is in force.
    #[must_use]
    pub fn limit(&self, limit: Limit) -> Duration {
        self.limits.of(limit)
    }

    /// A waiter for Kubernetes objects.
    #[must_use]
    pub fn waiter(&self) -> Waiter {
        Waiter::new(self.clone())
    }

    /// Waits for something that cannot be watched: asks again every `interval` until it is ready, terminal or too late.
    /// An attempt that hangs is cut off at the limit.
    ///
    /// # Errors
    /// [`WaitError`] with the last state seen.
    pub async fn poll<T, Fut>(&self, what: &str, limit: Limit, interval: Duration, mut attempt: impl FnMut() -> Fut) -> Result<T, WaitError>
    where
        Fut: Future<Output = Progress<T>>,
    {
        let mut log = Log::new(self, what, limit);
        loop {
            let progress = tokio::select! {
                biased;
                progress = attempt() => progress,
                () = self.clock.sleep_until(log.deadline) => {
                    log.see("no answer");
                    return Err(log.timed_out());
                }
            };
            if let Some(end) = log.judge(progress) {
                return end;
            }
            self.clock.sleep_until((self.clock.now() + interval).min(log.deadline)).await;
            // An attempt without any time left would only hide what was seen last.
            if self.clock.now() >= log.deadline {
                return Err(log.timed_out());
            }
        }
    }

    /// Does something again and again, as a heartbeat does, until it is dropped.
    pub fn every<A: FnMut() + Send + 'static>(&self, interval: Duration, mut act: A) -> impl Future<Output = ()> + Send + use<A> {
        let clock = Arc::clone(&self.clock);
        async move {
            loop {
                clock.sleep_until(clock.now() + interval).await;
                act();
            }
        }
    }

    /// Bounds a future by a limit of the table.
    ///
    /// # Errors
    /// [`WaitError`] when the limit passed first.
    pub async fn within<T>(&self, what: &str, limit: Limit, future: impl Future<Output = T>) -> Result<T, WaitError> {
        let mut log = Log::new(self, what, limit);
        tokio::select! {
            biased;
            out = future => Ok(out),
            () = self.clock.sleep_until(log.deadline) => {
                log.see("no answer");
                Err(log.timed_out())
            }
        }
    }
}

/// The memory of one wait.
struct Log<'a> {
    waiting: &'a Waiting,
    what: &'a str,
    start: Duration,
    deadline: Duration,
    transitions: Vec<Transition>,
    /// The terminal state that is being given its grace, and since when.
    terminal: Option<(Terminal, Duration)>,
}

impl<'a> Log<'a> {
    /// Beyond this many the middle is dropped: the first states say where it began, the last why it failed.
    const MOST: usize = 40;

    fn new(waiting: &'a Waiting, what: &'a str, limit: Limit) -> Self {
        let start = waiting.clock.now();
        Self { waiting, what, start, deadline: start + waiting.limit(limit), transitions: Vec::new(), terminal: None }
    }

    fn see(&mut self, status: &str) {
        if self.transitions.last().is_some_and(|t| t.status == status) {
            return;
        }
        (self.waiting.listener)(status);
        if self.transitions.len() >= Self::MOST {
            self.transitions.remove(Self::MOST / 2);
        }
        self.transitions.push(Transition { at: self.waiting.clock.now().saturating_sub(self.start), status: status.to_owned() });
    }

    /// Records a state; `Some` when the wait is over.
    fn judge<T>(&mut self, progress: Progress<T>) -> Option<Result<T, WaitError>> {
        let now = self.waiting.clock.now();
        match progress {
            Progress::Ready(value) => return Some(Ok(value)),
            Progress::NotYet(status) => {
                self.terminal = None;
                self.see(&status);
            }
            Progress::Terminal(terminal) => {
                self.see(&terminal.status);
                // A longer text about the same trouble does not restart its grace.
                let since = self.terminal.as_ref().map_or(now, |(_, since)| *since);
                let ends = since + terminal.grace;
                self.terminal = Some((terminal, since));
                if now >= ends {
                    return Some(Err(self.error(true)));
                }
            }
        }
        (now >= self.deadline).then(|| Err(self.timed_out()))
    }

    /// When the state must be judged again even if nothing changes.
    fn wake_at(&self) -> Duration {
        self.terminal.as_ref().map_or(self.deadline, |(t, since)| (*since + t.grace).min(self.deadline))
    }

    /// What had to stay true did not.
    fn broke(&mut self, lasted: Duration, status: &str) -> WaitError {
        self.see(status);
        WaitError { lasted: Some(lasted), ..self.error(true) }
    }

    fn timed_out(&self) -> WaitError {
        self.error(false)
    }

    fn error(&self, terminal: bool) -> WaitError {
        WaitError {
            what: self.what.to_owned(),
            elapsed: self.waiting.clock.now().saturating_sub(self.start),
            terminal,
            lasted: None,
            last: self.transitions.last().map_or_else(|| "nothing".to_owned(), |t| t.status.clone()),
            transitions: self.transitions.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
