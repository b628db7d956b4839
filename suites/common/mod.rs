//! What binds a case to an environment: one environment per machine, opened once per test process, and a verdict that becomes a test's end.
//!
//! `MESHPROOF_BACKEND` names the backend, `MESHPROOF_SPEC` and `MESHPROOF_STATE` say the rest as they do for the command line. Without a
//! backend every test process hosts a simulated cluster of its own; a backend that was asked for and cannot be had is a failure, never a skip.

mod environment;

use std::io::Write as _;

use meshproof::journal::{OutcomeKind, Verdict};
use meshproof::outcomes::{self, Outcome};

use environment::{Provided, provided};

/// Proves one outcome of the guide on the backend that was asked for.
///
/// Cases of outcomes that have a group must hold the group's file lock: `#[file_serial(meshproof_kubectl_proxy)]`.
///
/// # Panics
/// When the outcome does not hold, or the environment cannot be provided.
pub(crate) fn prove(id: &str) {
    let outcome = outcomes::builtin().into_iter().find(|o| o.id == id).unwrap_or_else(|| panic!("there is no outcome {id}"));
    let backend = Backend::asked(std::env::var("MESHPROOF_BACKEND").ok().as_deref());
    let provided = provided(backend, &outcome).unwrap_or_else(|why| panic!("{id} cannot be judged: {why}"));
    judge(&outcome, provided);
}

fn judge(outcome: &Outcome, provided: &Provided) {
    let id = outcome.id;
    if let Some(why) = provided.blocked(outcome) {
        panic!("BLOCKED {id}: {why}");
    }
    let judged = provided.judge(outcome);
    match &judged.verdict {
        Verdict::Passed => {}
        Verdict::Unsupported { capability, reason } => say(&format!("UNSUPPORTED {id}: {capability}: {reason}")),
        Verdict::Skipped { reason } => say(&format!("SKIPPED {id}: {reason}")),
        // It shows what the guide's text would do and gates nothing.
        Verdict::Failed { reason } if outcome.kind == OutcomeKind::Defect => say(&format!("DEFECT {id}: {reason}")),
        Verdict::Failed { .. } | Verdict::Blocked { .. } => panic!("{}", provided.redacted(&outcomes::failure(outcome, &judged))),
    }
}

/// Where the cluster of the suites comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A real Kind cluster, one for all test processes.
    Kind,
    /// A simulated cluster in this process.
    Embedded,
}

impl Backend {
    /// The backend that the value of `MESHPROOF_BACKEND` asks for.
    ///
    /// # Panics
    /// When it names none that there is: whoever set it wants proof, not a skip.
    pub(crate) fn asked(value: Option<&str>) -> Self {
        match value.unwrap_or_default() {
            "" | "embedded" => Self::Embedded,
            "kind" => Self::Kind,
            other => panic!("MESHPROOF_BACKEND is `{other}`, but the suites know only `embedded` and `kind`"),
        }
    }
}

/// A line for the person. The test runner shows what `eprintln!` says of failed tests only, so this goes past it.
fn say(line: &str) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
