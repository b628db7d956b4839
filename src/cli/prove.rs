//! `prove`: shows that outcomes can fail.

use std::sync::Arc;

use serde_json::json;

use super::run::Signals;
use super::{Failure, Format, Global, catalogue, print, print_json, run, select};
use crate::faults::Fault;
use crate::harness::{Harness, HarnessError, Purpose};
use crate::journal::Fidelity;
use crate::outcomes::is_dotted_prefix;
use crate::prove::{Proof, Proved, Proven, named, prove};
use crate::text::{self, Texts};
use crate::wait::{Limits, RealClock, Waiting};

/// The time scale of a simulated cluster, unless somebody asks for another one.
const SIMULATED: f64 = 0.1;

/// Injects the faults whose ids begin with one of these words, or all of them.
pub(super) async fn command(global: &Global, wanted: &[String]) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let faults = chosen(global.registry.faults(), wanted)?;
    let (session, state) = select::existing(global)?;
    let mut settings = select::settings_of(global, select::spec_of(global, &state)?, session, &state)?;
    // What fails is waited for in vain each time, and a simulated cluster needs no minutes for anything.
    if settings.provider.fidelity() == Fidelity::Simulated && !select::is_scaled(global) {
        settings.waiting = Waiting::new(Arc::new(RealClock::default()), Limits::scaled(SIMULATED));
    }
    let outcomes = global.registry.outcomes().to_vec();
    let mut signals = Signals::catch()?;
    let harness = tokio::select! {
        harness = Harness::begin(settings, "prove", Purpose::Judge, |_| {}) => harness?,
        () = signals.arrived() => {
            run::tell(&texts.get("cli-interrupted-early"));
            return Ok(130);
        }
    };
    // Nobody's tests should meet what is broken here.
    let alone = tokio::select! {
        alone = harness.context.alone() => alone.map_err(HarnessError::from)?,
        () = signals.arrived() => {
            run::tell(&texts.get("cli-interrupted-early"));
            return Ok(130);
        }
    };
    harness.announce(false, false);
    harness.mend().await;
    let tell = |proven: &Proven| run::tell(&line(proven, texts).join("  "));
    let proved = prove(&harness.context, &outcomes, &faults, &tell, async move { signals.arrived().await }).await;
    drop(alone);
    let proved = match proved {
        Ok(proved) => proved,
        Err(e) => {
            harness.end(3);
            return Err(Failure::new(3, &e, Some(texts.get("cli-hint-prove-green"))));
        }
    };
    let Proved { proofs: proved, after } = proved;
    let bad = proved.iter().filter(|p| matches!(p.proof, Proof::NotProved { .. } | Proof::Error { .. })).count();
    let interrupted = proved.last().is_some_and(|p| p.proof == Proof::Interrupted);
    let code = if interrupted { 130 } else { u8::from(bad > 0 || !after.is_empty()) };
    harness.end(code);
    let count = |is: &dyn Fn(&Proof) -> bool| proved.iter().filter(|p| is(&p.proof)).count().to_string();
    let numbers = [
        ("faults", faults.len().to_string()),
        ("proved", count(&|p| *p == Proof::Proved)),
        ("unsupported", count(&|p| matches!(p, Proof::Unsupported { .. }))),
        ("bad", bad.to_string()),
        ("untried", (faults.len() - proved.len()).to_string()),
    ];
    if global.format == Format::Json {
        let broken: Vec<&str> = proved.iter().flat_map(|p| p.failed.iter().map(String::as_str)).collect();
        let never: Vec<&str> = outcomes.iter().map(|o| o.id).filter(|id| !broken.contains(id)).collect();
        print_json(&json!({"faults": proved, "after": after, "neverFailed": never, "fidelity": harness.context.provider.fidelity()}))?;
    } else {
        let table = catalogue::rows(proved.iter().map(|p| line(p, texts)));
        if !after.is_empty() {
            run::tell(&texts.with("cli-prove-after", &[("outcomes", &named(&after))]));
        }
        print(&format!("{table}\n{}\n", texts.with("cli-prove-sum", &numbers.each_ref().map(|(k, v)| (*k, v.as_str())))))?;
    }
    Ok(code)
}

fn chosen(all: &[Fault], wanted: &[String]) -> Result<Vec<Fault>, Failure> {
    let is = |fault: &Fault, word: &String| is_dotted_prefix(word, fault.id);
    if let Some(unknown) = wanted.iter().find(|word| !all.iter().any(|fault| is(fault, word))) {
        let ids: Vec<&str> = all.iter().map(|f| f.id).collect();
        let hint = text::current().with("cli-hint-faults", &[("ids", &ids.join(", "))]);
        return Err(Failure::usage(text::current().with("cli-unknown-fault", &[("id", unknown)]), Some(hint)));
    }
    Ok(all.iter().filter(|fault| wanted.is_empty() || wanted.iter().any(|word| is(fault, word))).cloned().collect())
}

fn line(proven: &Proven, texts: &Texts) -> [String; 4] {
    let seconds = format!("{:.1} s", proven.took.as_secs_f64());
    let (key, what) = match &proven.proof {
        Proof::Proved => ("cli-prove-proved", proven.failed.join(", ")),
        Proof::Interrupted => ("cli-prove-interrupted", String::new()),
        Proof::Unsupported { reason } => ("cli-prove-unsupported", reason.clone()),
        Proof::Error { reason } => ("cli-prove-error", reason.clone()),
        Proof::NotProved { held, strayed, lasting, unnamed } => {
            let parts = [
                ("cli-prove-held", held.join(", ")),
                ("cli-prove-strayed", named(strayed)),
                ("cli-prove-lasting", named(lasting)),
                ("cli-prove-unnamed", unnamed.clone().unwrap_or_default()),
            ];
            let parts = parts.iter().filter(|(_, ids)| !ids.is_empty()).map(|(key, ids)| texts.with(key, &[("outcomes", ids)]));
            ("cli-prove-not-proved", parts.collect::<Vec<_>>().join("; "))
        }
    };
    let unjudged = match &proven.proof {
        Proof::Proved | Proof::NotProved { .. } if !proven.unjudged.is_empty() => {
            format!(" {}", texts.with("cli-prove-unjudged", &[("outcomes", &proven.unjudged.join(", "))]))
        }
        _ => String::new(),
    };
    [proven.fault.clone(), texts.get(key), seconds, what + &unjudged]
}
