//! Live progress on standard error: a tree that is redrawn on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::AbortHandle;

use crate::journal::Record;
use crate::report::Style;
use crate::report::progress::{Lines, Live, draw};
use crate::text;

const REDRAW_EVERY: Duration = Duration::from_millis(120);

#[derive(Default)]
struct State {
    live: Live,
    drawn: usize,
}

/// Shows what happens until it is ended.
pub(super) struct Progress {
    state: Option<Arc<Mutex<State>>>,
    verbose: bool,
}

/// Redraws until it is dropped.
pub(super) struct Ticking(Option<AbortHandle>);

impl Drop for Ticking {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Progress {
    /// `live` is only heeded on a terminal.
    pub(super) fn new(verbose: bool, live: bool) -> Self {
        let live = live && std::io::stderr().is_terminal();
        Self { state: live.then(Arc::default), verbose }
    }

    /// What the journal calls with every record.
    pub(super) fn listener(&self) -> impl Fn(&Record) + Send + Sync + 'static {
        let (state, verbose) = (self.state.clone(), self.verbose);
        let lines = Mutex::new(Lines::default());
        move |record| {
            if let Some(state) = &state {
                state.lock().unwrap_or_else(PoisonError::into_inner).live.push(record);
                return;
            }
            let line = lines.lock().unwrap_or_else(PoisonError::into_inner).line(record, text::current(), verbose);
            if let Some(line) = line {
                // Nothing can be done when standard error is closed.
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    /// Starts to redraw.
    pub(super) fn tick(&self) -> Ticking {
        let Some(state) = self.state.clone() else { return Ticking(None) };
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(REDRAW_EVERY);
            loop {
                interval.tick().await;
                redraw(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
            }
        });
        Ticking(Some(task.abort_handle()))
    }

    /// Takes the live display away: the report that follows says it all.
    pub(super) fn end(&self) {
        if let Some(state) = &self.state {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = write!(std::io::stderr().lock(), "{}", draw(state.drawn, &[]));
            state.drawn = 0;
        }
    }
}

fn redraw(state: &mut State) {
    let style = Style { color: true, ..Style::default() };
    let lines = state.live.lines(Timestamp::now(), text::current(), style);
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "{}", draw(state.drawn, &lines)).and_then(|()| out.flush());
    state.drawn = lines.len();
}
