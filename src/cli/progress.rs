//! Live progress on standard error: a tree that is redrawn on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::AbortHandle;

use super::github::{on_github, settled};
use crate::journal::Record;
use crate::report::Style;
use crate::report::progress::{Groups, Lines, Live, draw};
use crate::session::Session;
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
    groups: Option<Arc<Mutex<Groups>>>,
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
        let github = !live && on_github();
        Self { state: live.then(Arc::default), groups: github.then(Arc::default), verbose }
    }

    /// Shows beside the time of a stage how long it took in earlier runs of this session. Only a live display has room for it.
    pub(super) fn remember(&self, session: &Session, backend: &str) {
        if let Some(state) = &self.state {
            let typical = session.typical_stages(backend);
            state.lock().unwrap_or_else(PoisonError::into_inner).live.expect(typical);
        }
    }

    /// What the journal calls with every record.
    pub(super) fn listener(&self) -> impl Fn(&Record) + Send + Sync + 'static {
        let (state, groups, verbose) = (self.state.clone(), self.groups.clone(), self.verbose);
        let plain = Mutex::new(Lines::default());
        move |record| {
            if let Some(state) = &state {
                state.lock().unwrap_or_else(PoisonError::into_inner).live.push(record);
                return;
            }
            let texts = text::current();
            // Both are held until the lines are written: another record must not come between a group and what is in it.
            let mut groups = groups.as_ref().map(|groups| groups.lock().unwrap_or_else(PoisonError::into_inner));
            let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lines = groups.as_mut().map(|groups| groups.before(record, texts)).unwrap_or_default();
            lines.extend(plain.line(record, texts, verbose).map(|line| settled(&line).into_owned()));
            let mut out = std::io::stderr().lock();
            for line in lines {
                // Nothing can be done when standard error is closed.
                let _ = writeln!(out, "{line}");
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
