//! `run`, `up`, `verify` and `down`.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::progress::Progress;
use super::{Failure, Format, Global, choice, ledger, print, print_as_it_is, print_json, report as files, select, sessions};
use crate::cluster::{Installs, Teardown};
use crate::harness::{Harness, Keep, Purpose};
use crate::report::{Style, Summary, json, junit, terminal};
use crate::text;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Run,
    Up,
    Verify,
}

pub(super) async fn run(global: &Global, work: Work) -> Result<u8, Failure> {
    let choice = choice::choice(global)?;
    let ledger = if work == Work::Up { None } else { ledger::of(global)? };
    // Once before anything is begun, and again by the harness when nobody else can be at work.
    choice.of(global.registry.outcomes(), &select::session(global)?)?;
    let (settings, name) = match work {
        Work::Verify => {
            let (session, state) = select::existing(global)?;
            (select::settings_of(global, select::spec_of(global, &state)?, session, &state)?, "verify")
        }
        Work::Run | Work::Up => {
            let settings = select::settings(global, select::spec(global)?, select::session(global)?).await?;
            sessions::reap_others(global).await?;
            (settings, if work == Work::Run { "run" } else { "up" })
        }
    };
    let expected = ledger.map(|ledger| ledger.applying(&settings)).unwrap_or_default();
    let purpose = if work == Work::Verify { Purpose::Judge } else { Purpose::Provision };
    let progress = Progress::new(global.verbose > 0, !global.no_color);
    progress.remember(&settings.session, settings.provider.name());
    let mut signals = Signals::catch()?;
    let harness = tokio::select! {
        harness = Harness::begin(settings, name, purpose, progress.listener()) => harness?,
        () = signals.arrived() => {
            tell(&text::current().get("cli-interrupted-early"));
            return Ok(130);
        }
    };
    let harness = harness.choose(&choice)?.expecting(expected);
    let ticking = progress.tick();
    let doing = async {
        match work {
            Work::Run => Ok(harness.run().await),
            Work::Up => Ok(harness.up().await),
            Work::Verify => harness.verify().await,
        }
    };
    let ended = tokio::select! {
        code = doing => Some(code),
        () = signals.arrived() => None,
    };
    drop(ticking);
    progress.end();
    let code = if let Some(code) = ended {
        // A `verify` that finds no environment has its report as well, for programs.
        if code.is_err() && (global.format != Format::Human || global.junit.is_some()) {
            report(global, &harness, work)?;
        } else if code.is_err()
            && let Err(e) = files::written(global, &Summary::fold(&harness.context.journal.records()), work)
        {
            // Why there is no environment is the error; this one must not hide it.
            warn(&e);
        }
        code?
    } else {
        // Dropping the work has ended its external commands.
        harness.interrupted();
        130
    };
    let reported = report(global, &harness, work);
    if let Some(e) = harness.context.journal.take_error() {
        tell(&text::current().with("warning-journal-broken", &[("error", &e.to_string())]));
    }
    if work != Work::Verify && !keeps(&harness, code) {
        // What a failed run left to look at stays; what came to a good end leaves nothing.
        let removal = async { if code == 0 { harness.down().await } else { harness.down_but_runs().await } };
        let done = tokio::select! {
            done = removal => done,
            () = signals.arrived() => {
                tell(&text::current().get("cli-down-interrupted"));
                return Ok(130);
            }
        };
        reported?;
        // The run has its own code, unless only the removal went wrong.
        let done = match done {
            Ok(done) => done,
            Err(e) if code == 0 => return Err(Failure { code: 4, ..e.into() }),
            Err(e) => {
                tell(&text::current().with("cli-warning", &[("text", &crate::error::one_line(&e))]));
                return Ok(code);
            }
        };
        for line in torn_down(&done) {
            tell(&line);
        }
        return Ok(if code == 0 && !done.remains.is_empty() { 4 } else { code });
    }
    if code == 130 {
        // The terminal that would get the report may be what went away, but a file that was asked for and is not there must be told.
        if let Err(e) = reported {
            warn(&e);
        }
        remains(&harness);
    } else {
        reported?;
    }
    Ok(code)
}

pub(super) async fn down(global: &Global) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let session = select::session(global)?;
    let Some(state) = session.load()? else {
        if crate::harness::sweep(&session).await? {
            let dir = session.dir().display().to_string();
            if global.format == Format::Json {
                print_json(&serde_json::json!({"removed": [dir], "remains": []}))?;
            } else {
                print(&texts.with("cli-removed", &[("what", &dir)]))?;
            }
            return Ok(0);
        }
        tell(&texts.with("cli-nothing-to-remove", &[("dir", &session.dir().display().to_string())]));
        return Ok(0);
    };
    // What was made is what is removed, whatever the options and files say now.
    let settings = select::settings_of(global, select::recorded(&state)?, session, &state)?;
    let progress = Progress::new(global.verbose > 0, false);
    let mut signals = Signals::catch()?;
    let work = async { Harness::begin(settings, "down", Purpose::Remove, progress.listener()).await?.down().await };
    let done = tokio::select! {
        done = work => done?,
        () = signals.arrived() => {
            tell(&texts.get("cli-down-interrupted"));
            return Ok(130);
        }
    };
    if global.format == Format::Json {
        print_json(&serde_json::json!({"removed": done.removed, "remains": done.remains}))?;
    } else {
        print(&torn_down(&done).join("\n"))?;
    }
    Ok(if done.remains.is_empty() { 0 } else { 4 })
}

/// What was removed and what remains, a line each.
pub(super) fn torn_down(done: &Teardown) -> Vec<String> {
    let texts = text::current();
    let removed = done.removed.iter().map(|what| texts.with("cli-removed", &[("what", what)]));
    removed.chain(done.remains.iter().map(|what| texts.with("cli-remains", &[("what", what)]))).collect()
}

/// Whether the environment stays.
fn keeps(harness: &Harness, code: u8) -> bool {
    match harness.policy().keep {
        Keep::Always => true,
        Keep::OnFailure => code != 0,
        Keep::Never => false,
    }
}

/// Writes the result of a run in the forms that were asked for. One that cannot be written keeps no other from being written.
fn report(global: &Global, harness: &Harness, work: Work) -> Result<(), Failure> {
    let summary = Summary::fold(&harness.context.journal.records());
    let written = files::written(global, &summary, work);
    said(global, &summary).and(written)
}

/// Writes what `--format` and `--junit` ask for.
fn said(global: &Global, summary: &Summary) -> Result<(), Failure> {
    let xml = || junit::render(summary).map_err(|e| Failure::new(1, &e, None));
    match global.format {
        Format::Human => {
            print(&terminal::render(summary, text::current(), style(global)))?;
        }
        Format::Json => print_json(&json::render(summary))?,
        Format::Junit => print_as_it_is(&xml()?)?,
    }
    if let Some(path) = &global.junit {
        std::fs::write(path, xml()?).map_err(|e| Failure {
            code: 1,
            chain: vec![format!("cannot write {}", path.display()), e.to_string()],
            hint: None,
        })?;
    }
    Ok(())
}

/// What an interrupted run leaves behind.
fn remains(harness: &Harness) {
    let texts = text::current();
    let state = harness.context.state();
    let dir = harness.context.session.dir().display().to_string();
    match state.cluster {
        Some(cluster) if harness.context.provider.installs() == Installs::Nothing => {
            tell(&texts.with("cli-interrupted-existing", &[("cluster", &cluster.name), ("dir", &dir)]));
        }
        Some(cluster) => tell(&texts.with("cli-interrupted-cluster", &[("cluster", &cluster.name), ("dir", &dir)])),
        None => tell(&texts.with("cli-interrupted-nothing", &[("dir", &dir)])),
    }
}

/// The signals that end a run in an orderly way: Ctrl-C, a polite kill, and a terminal that goes away.
pub(super) struct Signals([Signal; 3]);

impl Signals {
    /// From here on the signals no longer kill the process.
    pub(super) fn catch() -> Result<Self, Failure> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    /// Resolves at the first of them.
    pub(super) async fn arrived(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// How to write for standard output.
pub(super) fn style(global: &Global) -> Style {
    let color = std::io::stdout().is_terminal() && !global.no_color;
    Style { color, width: width(), ..Style::default() }
}

/// Columns of the terminal that standard output goes to; generous where it goes elsewhere.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|s| usize::from(s.ws_col)).filter(|w| *w >= 40).unwrap_or(160)
}

/// Tells an error that does not decide how the command ends.
fn warn(failure: &Failure) {
    tell(&text::current().with("cli-warning", &[("text", &failure.chain.join(": "))]));
}

/// A line for the person, apart from the result.
pub(super) fn tell(line: &str) {
    use std::io::Write;
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{}", super::github::settled(line));
}
