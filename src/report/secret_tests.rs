//! Secrets that reach a journal from anywhere reach no report.

use serde_json::Value;

use super::testing;
use super::{Form, Style, Summary, render};
use crate::journal::{Record, Redactor};
use crate::text::{Lang, Texts};

/// What is only known to be a secret since somebody said so.
const LEARNED: &str = "hunter2-of-the-admin";
/// A `ServiceAccount`'s token by its form, of nobody.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJzdWIiOiJub2JvZHkiLCJhdWQiOltdfQ.c2lnbmF0dXJlLW9mLW5vYm9keQ";
const PASSWORD: &str = "correct-horse";
const KEY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw";

fn planted(text: &str) -> String {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----");
    format!("{text} {LEARNED} token {TOKEN} http://user:{PASSWORD}@mirror:5000/v2/ {key}")
}

/// Strings that are one of a few words, or times: nothing else can stand there.
const WORDS: [&str; 8] = ["event", "at", "fidelity", "result", "verdict", "kind", "confidence", "recorded_at"];

fn plant(value: &mut Value) {
    match value {
        Value::String(text) => *text = planted(text),
        Value::Array(items) => items.iter_mut().for_each(plant),
        Value::Object(map) => map.iter_mut().filter(|(key, _)| !WORDS.contains(&key.as_str())).for_each(|(_, value)| plant(value)),
        _ => {}
    }
}

#[test]
fn a_secret_that_is_everywhere_in_a_journal_is_in_no_report() {
    let redactor = Redactor::default();
    redactor.learn(LEARNED);
    let leaks = |text: &str| [LEARNED, TOKEN, PASSWORD, KEY].into_iter().find(|secret| text.contains(secret));
    for (name, records) in testing::all() {
        let poisoned: Vec<Record> = records
            .iter()
            .map(|record| {
                let mut value = serde_json::to_value(record).unwrap();
                plant(&mut value);
                serde_json::from_value(value).unwrap_or_else(|e| panic!("{name}: {e}: {record:?}"))
            })
            .collect();
        for (lang, form) in Lang::ALL.into_iter().flat_map(|lang| Form::ALL.map(|form| (lang, form))) {
            let report = |records: &[Record]| render(form, &Summary::fold(records), &Texts::new(lang), Style::default()).unwrap();
            // Each form shows what it is given, so that what follows proves something.
            assert!(leaks(&report(&poisoned)).is_some(), "{name} as {form}: nothing was planted");
            let redacted: Vec<Record> = poisoned.iter().map(|record| redactor.record(record)).collect();
            assert_eq!(leaks(&report(&redacted)), None, "{name} as {form} in {lang:?}");
        }
    }
}
