//! `list` and `explain`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::json;

use super::{Failure, Format, Global, choice, print, print_json, select};
use crate::faults::Fault;
use crate::guide::{self, Sentence};
use crate::outcomes::Outcome;
use crate::spec::PROFILES;
use crate::stages::Stage;
use crate::text::{self, Lang};

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Provisioning steps.
    Stages,
    /// Checkable claims.
    Outcomes,
    /// What can be broken on purpose, and the outcomes that must fail then.
    Faults,
    /// Sets of versions.
    Profiles,
    /// The install guide, sentence by sentence: what judges each, or why nothing does.
    Guide,
    /// What is wrong with the install guide, and what is done instead.
    Defects,
}

fn outcome_json(outcome: &Outcome) -> serde_json::Value {
    let info = outcome.info();
    let (check, example) = checked(outcome.id).unzip();
    json!({
        "id": info.id, "title": info.title, "kind": outcome.kind.word(), "section": info.section, "sentence": info.sentence, "hint": info.hint,
        "needs": outcome.needs, "capabilities": outcome.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "shows": outcome.shows, "check": check, "example": example.flatten(),
    })
}

/// How an outcome is judged, and what its evidence looks like; `None` of one that another crate added.
fn checked(id: &str) -> Option<(String, Option<String>)> {
    let (texts, key) = (text::current(), format!("check-{id}"));
    let how = texts.get(&key);
    (how != key).then(|| (how, texts.attribute(&key, "example", &[])))
}

/// What a fault breaks, in words.
fn broken(fault: &Fault) -> String {
    let (texts, key) = (text::current(), format!("fault-{}", fault.id));
    let words = texts.get(&key);
    if words == key { fault.id.to_owned() } else { words }
}

fn fault_json(fault: &Fault) -> serde_json::Value {
    json!({
        "id": fault.id, "title": broken(fault), "breaks": fault.breaks, "mayBreak": fault.may_break, "diagnosedAs": fault.diagnosed,
        "capabilities": fault.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

pub(super) fn list(global: &Global, what: Kind) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let json = global.format == Format::Json;
    let outcomes = choice::selected(global)?;
    match what {
        Kind::Guide => guide(json, &outcomes)?,
        Kind::Defects => defects(json)?,
        Kind::Stages if json => print_json(&global.registry.plan().stages().iter().map(Stage::info).collect::<Vec<_>>())?,
        Kind::Stages => print(&rows(global.registry.plan().stages().iter().map(|s| [s.id.to_owned(), s.info().title])))?,
        Kind::Outcomes if json => print_json(&outcomes.iter().map(outcome_json).collect::<Vec<_>>())?,
        Kind::Outcomes => print(&rows(outcomes.iter().map(|o| {
            let section = o.anchor.map_or("-", |a| a.section);
            [o.id.to_owned(), o.kind.word().to_owned(), section.to_owned(), o.info().title]
        })))?,
        Kind::Faults if json => print_json(&global.registry.faults().iter().map(fault_json).collect::<Vec<_>>())?,
        Kind::Faults => print(&rows(global.registry.faults().iter().map(|f| [f.id.to_owned(), broken(f), f.breaks.join(", ")])))?,
        Kind::Profiles if json => {
            print_json(&PROFILES.iter().map(|p| json!({"name": p.name, "description": p.description})).collect::<Vec<_>>())?;
        }
        Kind::Profiles => print(&rows(PROFILES.iter().map(|p| [p.name.to_owned(), p.description.to_owned()])))?,
    }
    Ok(0)
}

fn guide(json: bool, outcomes: &[Outcome]) -> Result<(), Failure> {
    let (sentences, coverage) = (guide::sentences(), guide::coverage(outcomes));
    if json {
        return print_json(&json!({"sentences": sentences, "coverage": coverage}));
    }
    let texts = text::current();
    // Whoever reads Chinese reads the guide itself, of which a line has room for the first.
    let says = |sentence: &Sentence| match text::lang() {
        Lang::ZhCn => sentence.text.lines().next().unwrap_or_default().trim_end().to_owned(),
        Lang::En => sentence.english.clone(),
    };
    let how = |sentence: &Sentence| {
        let planned = sentence.planned.join(", ");
        let planned = (!planned.is_empty()).then(|| texts.with("guide-not-implemented", &[("outcomes", &planned)]));
        let parts = sentence.outcomes.iter().cloned().chain(planned).chain(sentence.reason.map(|r| texts.get(r.key())));
        let parts = parts.collect::<Vec<_>>().join(", ");
        if sentence.defects.is_empty() { parts } else { format!("{parts} [{}]", sentence.defects.join(", ")) }
    };
    let lines = rows(sentences.iter().map(|s| [s.section.clone(), says(s), how(s)]));
    let numbers = [
        ("sentences", coverage.sentences),
        ("checked", coverage.checked),
        ("reasoned", coverage.reasoned),
        ("waiting", coverage.waiting),
        ("documented", coverage.documented),
        ("hardening", coverage.hardening),
        ("planned", coverage.not_implemented.len()),
    ];
    let numbers = numbers.map(|(name, number)| (name, number.to_string()));
    print(&format!("{lines}\n{}\n", texts.with("cli-guide-coverage", &numbers.each_ref().map(|(name, number)| (*name, number.as_str())))))
}

fn defects(json: bool) -> Result<(), Failure> {
    let texts = text::current();
    let all = guide::defects().map(|(id, sections)| {
        let key = format!("guide-defect-{}", id.to_lowercase());
        (id, sections, texts.get(&key), texts.attribute(&key, "instead", &[]).unwrap_or_default())
    });
    if json {
        let all = all.map(|(id, sections, wrong, instead)| json!({"id": id, "sections": sections, "wrong": wrong, "instead": instead}));
        return print_json(&all.collect::<Vec<_>>());
    }
    print(&rows(all.map(|(id, sections, wrong, instead)| [id, sections.join(", "), wrong, instead])))
}

/// Where the trouble that a rule names is discussed upstream.
fn links(rule: &str) -> Vec<String> {
    crate::diagnose::rules().filter(|r| r.id == rule).flat_map(|r| r.threads().map(|t| t.link()).collect::<Vec<_>>()).collect()
}

pub(super) fn explain(global: &Global, id: &str) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let (outcomes, stages) = (global.registry.outcomes(), global.registry.plan().stages());
    if let Some(outcome) = outcomes.iter().find(|o| o.id == id) {
        if global.format == Format::Json {
            print_json(&outcome_json(outcome))?;
            return Ok(0);
        }
        let info = outcome.info();
        let mut out = format!("{id}\n{}\n\n", info.title);
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(out, "{}", texts.with(key, &[("value", value)]));
        };
        line("cli-explain-kind", outcome.kind.word());
        if let Some(anchor) = outcome.anchor {
            line("cli-explain-guide", &format!("{} «{}»", anchor.section, anchor.sentence));
        }
        // Whoever reads Chinese reads the guide itself.
        for sentence in guide::sentences_of(id) {
            line("cli-explain-says", if text::lang() == Lang::ZhCn { sentence.text.trim() } else { &sentence.english });
        }
        if let Some((how, example)) = checked(id) {
            line("cli-explain-check", &how);
            if let Some(example) = example {
                line("cli-explain-example", &example);
            }
        }
        if let Some(defect) = outcome.shows {
            let key = format!("guide-defect-{}", defect.to_lowercase());
            line("cli-explain-shows", &format!("{defect}: {}", texts.get(&key)));
            line("cli-explain-instead", &texts.attribute(&key, "instead", &[]).unwrap_or_default());
        }
        line("cli-explain-needs", if outcome.needs.is_empty() { "-".to_owned() } else { outcome.needs.join(", ") }.as_str());
        if !outcome.capabilities.is_empty() {
            let names: Vec<String> = outcome.capabilities.iter().map(ToString::to_string).collect();
            line("cli-explain-capabilities", &names.join(", "));
        }
        let faults: Vec<&Fault> = global.registry.faults().iter().filter(|f| f.breaks.contains(&id)).collect();
        for fault in &faults {
            line("cli-explain-fault", &format!("{} ({})", broken(fault), fault.id));
        }
        line("cli-explain-hint", &info.hint);
        for link in faults.iter().filter_map(|f| f.diagnosed).collect::<BTreeSet<_>>().into_iter().flat_map(links) {
            line("cli-explain-link", &link);
        }
        print(&out)?;
        return Ok(0);
    }
    if let Some(fault) = global.registry.faults().iter().find(|f| f.id == id) {
        if global.format == Format::Json {
            print_json(&fault_json(fault))?;
            return Ok(0);
        }
        let mut out = format!("{id}\n{}\n\n", broken(fault));
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(out, "{}", texts.with(key, &[("value", value)]));
        };
        line("cli-explain-breaks", &fault.breaks.join(", "));
        if !fault.may_break.is_empty() {
            line("cli-explain-may-break", &fault.may_break.join(", "));
        }
        if let Some(rule) = fault.diagnosed {
            line("cli-explain-rule", rule);
        }
        if !fault.capabilities.is_empty() {
            line("cli-explain-capabilities", &fault.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        }
        print(&out)?;
        return Ok(0);
    }
    if let Some(stage) = stages.iter().find(|s| s.id == id) {
        if global.format == Format::Json {
            print_json(&stage.info())?;
            return Ok(0);
        }
        let dependents: Vec<&str> = outcomes.iter().filter(|o| o.needs.contains(&id)).map(|o| o.id).collect();
        let mut out = format!("{id}\n{}\n\n", stage.info().title);
        let mut line = |key: &str, value: String| {
            let _ = writeln!(out, "{}", texts.with(key, &[("value", &value)]));
        };
        line("cli-explain-needs", if stage.needs.is_empty() { "-".to_owned() } else { stage.needs.join(", ") });
        line("cli-explain-outcomes", dependents.join(", "));
        print(&out)?;
        return Ok(0);
    }
    let ids: Vec<&str> =
        outcomes.iter().map(|o| o.id).chain(stages.iter().map(|s| s.id)).chain(global.registry.faults().iter().map(|f| f.id)).collect();
    let nearest = ids.iter().map(|known| (strsim::jaro_winkler(id, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = nearest.map(|(_, known)| texts.with("cli-did-you-mean", &[("id", known)]));
    Err(Failure::usage(texts.with("cli-unknown-id", &[("id", id)]), hint))
}

/// Columns as wide as their widest cell; the last one is left as it is.
pub(super) fn rows<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    use unicode_width::UnicodeWidthStr;
    let rows: Vec<[String; N]> = rows.collect();
    let width = |column: usize| rows.iter().map(|r| r[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == N {
                let _ = writeln!(out, "{cell}");
            } else {
                let _ = write!(out, "{cell}{}  ", " ".repeat(widths[column] - cell.width()));
            }
        }
    }
    out
}
