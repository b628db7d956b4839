//! `collect`: the bundle of an environment that is there, or of what is left of one.

use std::path::PathBuf;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::progress::Progress;
use super::{Failure, Format, Global, print, print_json, run, select};
use crate::collect::{Bundle, CollectError, INDEX};
use crate::harness::{Harness, Purpose};
use crate::text;

pub(super) async fn collect(global: &Global, out: Option<PathBuf>) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let out = out.map(std::path::absolute).transpose()?;
    let (session, state) = select::existing(global)?;
    // What was made is what is looked at, unless the options say otherwise.
    let settings = select::settings_of(global, select::spec_of(global, &state)?, session, &state)?;
    let progress = Progress::new(global.verbose > 0, false);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let harness = tokio::select! {
        harness = Harness::begin(settings, "collect", Purpose::Judge, progress.listener()) => harness?,
        () = &mut stopped => {
            run::tell(&texts.get("cli-interrupted-early"));
            return Ok(130);
        }
    };
    let context = &harness.context;
    let to = out.unwrap_or_else(|| context.session.bundle(&context.run));
    harness.announce(false, false);
    let work = harness.collect(&to);
    let ended = tokio::select! {
        bundle = work => Some(bundle),
        () = &mut stopped => None,
    };
    let (code, collected) = match ended {
        Some(Ok(bundle)) => (0, Ok(Some(bundle))),
        Some(Err(e)) => {
            let failure = failure(&e);
            (failure.code, Err(failure))
        }
        None => (130, Ok(None)),
    };
    harness.end(code);
    match collected? {
        Some(bundle) => show(global, &bundle)?,
        None => run::tell(&texts.with("cli-collect-interrupted", &[("dir", &to.display().to_string())])),
    }
    Ok(code)
}

fn failure(e: &CollectError) -> Failure {
    match e {
        CollectError::NotEmpty { .. } => Failure { hint: Some(text::current().get("cli-hint-collect-out")), ..Failure::new(2, e, None) },
        CollectError::Write { .. } => Failure::new(1, e, None),
    }
}

fn show(global: &Global, bundle: &Bundle) -> Result<(), Failure> {
    let index = bundle.dir.join(INDEX);
    if global.format == Format::Json {
        return print_json(&json!({
            "dir": bundle.dir, "index": index, "files": bundle.files, "bytes": bundle.bytes, "leftOut": bundle.left_out,
        }));
    }
    let count = bundle.left_out.len().to_string();
    let mut lines = vec![text::current().with("cli-collected", &[("index", &index.display().to_string())])];
    if !bundle.left_out.is_empty() {
        lines.push(text::current().with("cli-collected-without", &[("count", &count)]));
    }
    print(&lines.join("\n"))
}
