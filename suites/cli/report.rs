//! `report` and `schema`, and the reports that a run writes into files.

use std::path::Path;

use rstest::rstest;
use serde_json::{Value, json};

use super::embedded::Down;
use super::machine::Machine;

const UP: [&str; 5] = ["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"];

/// A run that was killed while it judged.
fn journal() -> String {
    let outcome = |id: &str| json!({"id": id, "title": "It holds", "kind": "documented", "section": "2.1", "hint": "Look."});
    let lines = [
        json!({
            "seq": 0, "at": "2026-11-03T08:00:00Z", "event": "run-started", "format": 1, "run": "r1", "session": "s", "meshproof": "0.1.0",
            "command": "verify", "backend": "kind", "fidelity": "real", "spec": {}, "stages": [],
            "outcomes": [outcome("a.b.c"), outcome("a.b.d")],
        }),
        json!({
            "seq": 1, "at": "2026-11-03T08:00:01Z", "event": "outcome-finished", "outcome": "a.b.c", "duration_ms": 5, "verdict": "failed",
            "reason": "it does not", "evidence": {},
        }),
    ];
    // The order of the keys is that of a journal's records: what was cut within the first is known by its beginning.
    let line = |value: &Value| {
        let (seq, at) = (&value["seq"], &value["at"]);
        let rest = value.as_object().into_iter().flatten().filter(|(key, _)| !["seq", "at"].contains(&key.as_str()));
        let rest: String = rest.map(|(key, value)| format!(",\"{key}\":{value}")).collect();
        format!("{{\"seq\":{seq},\"at\":{at}{rest}}}\n")
    };
    lines.iter().map(line).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[rstest]
#[case::terminal("terminal", "0 passed, 1 failed")]
#[case::json("json", "\"schemaVersion\": 1")]
#[case::junit("junit", "<testsuites name=\"meshproof\"")]
#[case::markdown("markdown", "## ❌ meshproof verify")]
#[case::conformance("conformance", "kind: ConformanceReport")]
fn a_cut_journal_is_reported_again_in_every_form(#[case] form: &str, #[case] has: &str) {
    let machine = Machine::new();
    machine.file("journal.jsonl", &(journal() + "{\"seq\":2,\"at\":\"20"));
    let said = machine.run(&["report", "journal.jsonl", "--as", form]).code(0).without_progress();
    assert!(said.stdout.contains(has), "{}", said.stdout);
    machine.run(&["report", ".", "--as", form, "--out", "out"]).code(0).without_progress().without_result();
    assert!(read(machine.path("work/out")).contains(has), "a directory with a journal is as good, and a file gets the same");
    assert!(machine.is_untouched());
}

#[test]
fn a_journal_that_was_cut_within_its_first_record_is_one_and_other_files_are_none() {
    let machine = Machine::new();
    for length in [0, 1, 20] {
        machine.file("journal.jsonl", &journal()[..length]);
        machine.run(&["report", "journal.jsonl"]).code(0).without_progress();
    }
    machine.file("other.json", "{\"schema\": \"meshproof.dev/report/v1alpha1\"}\n");
    for wrong in [&["other.json"][..], &["nowhere.jsonl"], &["no-such-run"], &["journal.jsonl", "--as", "xml"], &["/"], &[]] {
        machine.run(&[&["report"][..], wrong].concat()).code(2).without_result();
    }
    machine.run(&["report", "nowhere"]).code(2).complains(&["no run and no file `nowhere`", "hint: There are no runs in"]);
    machine.run(&["report", "--report", "json=a"]).code(2).complains(&["only run, up and verify take --report"]);
    assert!(machine.is_untouched());
}

#[test]
fn the_schema_is_printed() {
    let machine = Machine::new();
    let schema = machine.run(&["schema", "report"]).code(0).without_progress().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(machine.is_untouched());
}

#[test]
fn a_run_writes_the_forms_that_were_asked_for_and_they_can_be_had_again() {
    let machine = Machine::new().with("GITHUB_ACTIONS", "true").with("GITHUB_STEP_SUMMARY", "step.md");
    machine.file("step.md", "before\n");
    let _down = Down(&machine);
    machine.run(&[&UP[..], &["--report", "json=up.json"]].concat()).code(0);
    let up: Value = serde_json::from_str(&read(machine.path("work/up.json"))).expect("JSON");
    assert_eq!((&up["run"]["command"], up["outcomes"].as_array().map(Vec::len)), (&json!("up"), Some(0)));
    assert_eq!(read(machine.path("work/step.md")), "before\n", "what only provisions has no summary");

    let files = ["--report", "json=a.json", "--report", "markdown=a.md", "--report", "conformance=a.yaml", "--report", "junit=a.xml"];
    machine.run(&[&["verify", "--select", "cluster.nodes"][..], &files].concat()).code(0);
    let verified: Value = serde_json::from_str(&read(machine.path("work/a.json"))).expect("JSON");
    assert_eq!(verified["run"]["command"], "verify");
    let (step, markdown) = (read(machine.path("work/step.md")), read(machine.path("work/a.md")));
    assert_eq!(step, format!("before\n\n{markdown}"), "it is added to what is there");
    assert!(markdown.contains("> **SIMULATED"), "{markdown}");

    // The newest that did something is the one without a name; `collect` did not.
    machine.run(&["collect", "--out", "bundle"]).code(0);
    assert_eq!(machine.run(&["report", "--as", "json"]).code(0).without_progress().json(), verified);
    let run = up["run"]["id"].as_str().unwrap_or_default();
    assert_eq!(machine.run(&["report", run, "--format", "json"]).code(0).without_progress().json(), up);
    machine.run(&["report", "nowhere"]).code(2).complains(&["hint: There are these runs, newest first: ", run, "(verify)"]);
    for form in ["json", "markdown", "conformance", "junit"] {
        let name = machine.path(match form {
            "json" => "work/a.json",
            "markdown" => "work/a.md",
            "conformance" => "work/a.yaml",
            _ => "work/a.xml",
        });
        assert_eq!(machine.run(&["report", "--as", form]).code(0).stdout, read(name), "{form}");
    }
    // One that cannot be written is told, and keeps no other from being written.
    let said = machine.run(&["verify", "--select", "cluster.nodes", "--report", "json=no/such/a", "--report", "json=b.json"]).code(1);
    said.complains(&["cannot write no/such/a"]);
    assert!(machine.path("work/b.json").exists());
}
