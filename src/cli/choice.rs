//! From options to a choice of outcomes.

use super::{Command, Failure, Global, catalogue};
use crate::outcomes::{Choice, ChoiceError, Outcome, Selection, Skip};
use crate::text;

impl From<ChoiceError> for Failure {
    fn from(e: ChoiceError) -> Self {
        // A journal that cannot be read is no mistake of whoever typed the command.
        let code = if matches!(e, ChoiceError::Journal(_)) { 3 } else { 2 };
        Self::new(code, &e, e.hint())
    }
}

/// The choice that the options make.
pub(super) fn choice(global: &Global) -> Result<Choice, Failure> {
    let skip: Result<Vec<Skip>, ChoiceError> = global.skip.iter().map(|argument| Ok(Skip::parse(argument)?)).collect();
    Ok(Choice { select: selection(global)?, skip: skip?, rerun_failed: global.rerun_failed, strict: global.strict })
}

/// The outcomes that `--select` has, without any of a session.
pub(super) fn selected(global: &Global) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = global.registry.outcomes().to_vec();
    if let Some(selection) = selection(global)? {
        selection.check(&outcomes).map_err(ChoiceError::from)?;
        outcomes.retain(|outcome| selection.matches(outcome));
    }
    Ok(outcomes)
}

fn selection(global: &Global) -> Result<Option<Selection>, ChoiceError> {
    Ok(global.select.as_deref().map(Selection::parse).transpose()?)
}

/// Refuses options that a command does not heed: whoever gives them thinks that they do something.
pub(super) fn fits(global: &Global, command: &Command) -> Result<(), Failure> {
    let judges = matches!(command, Command::Run | Command::Verify);
    let lists = matches!(command, Command::List { what: catalogue::Kind::Outcomes });
    let refused = |commands: &str, option: &str| {
        Failure::usage(text::current().with("cli-no-choice", &[("commands", commands), ("option", option)]), None)
    };
    if global.select.is_some() && !judges && !lists {
        return Err(refused("run, verify and list outcomes", "--select"));
    }
    if !global.report.is_empty() && !judges && !matches!(command, Command::Up) {
        return Err(refused("run, up and verify", "--report"));
    }
    let others = [
        ("--skip", !global.skip.is_empty()),
        ("--rerun-failed", global.rerun_failed),
        ("--strict", global.strict),
        ("--expected-failures", global.expected_failures.is_some()),
    ];
    match others.into_iter().find(|(_, given)| *given && !judges) {
        Some((option, _)) => Err(refused("run and verify", option)),
        None => Ok(()),
    }
}
