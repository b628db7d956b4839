//! A crash at a chosen record, for tests of what a killed run leaves behind. It is not in release builds.

use std::sync::LazyLock;

use rustix::process::{Signal, getpid, kill_process};

/// The text of the record after which the process kills itself, for example `"stage-started","stage":"istio"`.
static KILL_AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("MESHPROOF_KILL_AT").ok().filter(|text| !text.is_empty()));

/// Dies as by kill -9 if this is the line.
pub(super) fn at(line: &str) {
    if KILL_AT.as_ref().is_some_and(|text| line.contains(text)) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
