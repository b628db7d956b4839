//! From options to the ledger of expected failures.

use std::path::PathBuf;

use super::{Failure, Global, run};
use crate::harness::Settings;
use crate::journal::Expected;
use crate::ledger::{self, LedgerError};
use crate::text;

impl From<LedgerError> for Failure {
    fn from(e: LedgerError) -> Self {
        Self::new(2, &e, e.hint())
    }
}

/// A ledger and where it was found.
pub(super) struct Ledger {
    path: PathBuf,
    ledger: ledger::Ledger,
}

/// The ledger that the options, the variable or the current directory name; `None` where none does. An empty variable counts as unset.
pub(super) fn of(global: &Global) -> Result<Option<Ledger>, Failure> {
    let variable = || std::env::var_os("MESHPROOF_EXPECTED_FAILURES").filter(|v| !v.is_empty()).map(PathBuf::from);
    let named = global.expected_failures.clone().or_else(variable);
    let Some(path) = ledger::find(named.as_deref(), &std::env::current_dir()?) else { return Ok(None) };
    let ledger = ledger::Ledger::read(&path, global.registry.outcomes())?;
    Ok(Some(Ledger { path, ledger }))
}

impl Ledger {
    /// What it says of a run with these settings, told to the person: nobody should wonder where a failure has gone.
    pub(super) fn applying(&self, settings: &Settings) -> Vec<Expected> {
        let applying = self.ledger.applying(&settings.spec, settings.provider.name());
        let (path, count) = (self.path.display().to_string(), self.ledger.entries.len().to_string());
        let args = [("path", path.as_str()), ("count", &count), ("applying", &applying.len().to_string())];
        run::tell(&text::current().with("cli-ledger", &args));
        applying
    }
}
