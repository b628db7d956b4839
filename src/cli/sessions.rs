//! `status --all` and `down --all`, and the removal of what nobody can miss before something new is made.

use jiff::Timestamp;
use serde_json::json;

use super::environment::{phase, span};
use super::run::{tell, torn_down};
use super::{Failure, Format, Global, print, print_json, select};
use crate::error::one_line;
use crate::session::Standing;
use crate::session::reaper::{Removal, Remover, reap, remove_all};
use crate::text;
use crate::wait::Waiting;

fn remover<'a>() -> Remover<'a> {
    Remover { provider: &select::of_session, waiting: Waiting::default(), cache: select::cache() }
}

/// Lists every session of this user on this machine.
pub(super) fn status_all(global: &Global) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let session = select::session(global)?;
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for entry in session.index().map(crate::session::Index::sessions).unwrap_or_default() {
        let of = session.index().map(|index| index.session(&entry));
        let Some(of) = of else { continue };
        let standing = Standing::of(&of);
        let state = of.load().ok().flatten();
        let word = state.as_ref().map_or(standing.word(), |state| phase(&standing, state));
        let left = if let Standing::Kept { left } = &standing { *left } else { None };
        let cluster = state.as_ref().and_then(|s| s.cluster.as_ref()).map(|c| c.name.clone());
        let dir = entry.dir.display().to_string();
        let shown = left.map_or_else(|| "-".to_owned(), span);
        let args = [("session", entry.id.as_str()), ("phase", word), ("backend", &entry.backend), ("left", &shown), ("dir", &dir)];
        lines.push(texts.with("cli-status-all", &args));
        rows.push(json!({
            "session": entry.id, "stateDir": dir, "phase": word, "backend": entry.backend, "created": entry.created, "cluster": cluster,
            "leftSeconds": left.map(|l| l.as_secs()),
        }));
    }
    if global.format == Format::Json {
        print_json(&json!({"sessions": rows, "at": Timestamp::now()}))?;
    } else if lines.is_empty() {
        print(&texts.get("cli-status-all-none"))?;
    } else {
        print(&lines.join("\n"))?;
    }
    Ok(0)
}

/// Removes every session on which nobody works and which nobody uses. 4 where something remains.
pub(super) async fn down_all(global: &Global) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let session = select::session(global)?;
    let Some(index) = session.index() else { return Ok(0) };
    let removals = remove_all(index, &remover()).await;
    let remains = removals.iter().any(|r| !matches!(&r.done, Ok(Some(done)) if done.remains.is_empty()));
    if global.format == Format::Json {
        let rows: Vec<_> = removals.iter().map(row).collect();
        print_json(&json!({"sessions": rows}))?;
    } else if removals.is_empty() {
        print(&texts.get("cli-status-all-none"))?;
    } else {
        print(&removals.iter().flat_map(lines).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(if remains { 4 } else { 0 })
}

/// Removes what nobody can miss before something new is made, and says so.
pub(super) async fn reap_others(global: &Global) -> Result<(), Failure> {
    let session = select::session(global)?;
    let Some(index) = session.index() else { return Ok(()) };
    let texts = text::current();
    for removal in reap(index, session.dir(), &remover()).await {
        let dir = removal.session.dir.display().to_string();
        let args = [("dir", dir.as_str()), ("was", removal.was)];
        match &removal.done {
            Ok(Some(done)) => {
                let what = torn_down(done).join("; ");
                tell(&texts.with("cli-reaped", &[args.as_slice(), &[("what", &what)]].concat()));
            }
            // Somebody began to use it in this very moment.
            Ok(None) => {}
            // It is not ours to fail for: what was asked for is another environment.
            Err(e) => tell(&texts.with("cli-not-reaped", &[args.as_slice(), &[("error", &one_line(e))]].concat())),
        }
    }
    Ok(())
}

fn row(removal: &Removal) -> serde_json::Value {
    let dir = removal.session.dir.display().to_string();
    let mut row = json!({"session": removal.session.id, "stateDir": dir, "was": removal.was});
    match &removal.done {
        Ok(Some(done)) => (row["removed"], row["remains"]) = (json!(done.removed), json!(done.remains)),
        Ok(None) => row["inUse"] = json!(true),
        Err(e) => row["error"] = json!(one_line(e)),
    }
    row
}

fn lines(removal: &Removal) -> Vec<String> {
    let texts = text::current();
    let dir = removal.session.dir.display().to_string();
    match &removal.done {
        Ok(Some(done)) => {
            let lines = torn_down(done).into_iter().map(|line| format!("  {line}"));
            std::iter::once(texts.with("cli-down-all", &[("dir", &dir)])).chain(lines).collect()
        }
        Ok(None) => vec![texts.with("cli-down-all-in-use", &[("dir", &dir)])],
        Err(e) => vec![texts.with("cli-down-all-failed", &[("dir", &dir), ("error", &one_line(e))])],
    }
}
