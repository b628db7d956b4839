//! The ledger of expected failures.

use serde_json::json;

use super::embedded::Down;
use super::machine::{Machine, Said};
use super::selection::unbind;

const BOUND: &str = "dashboard.admin-user.bound";

fn ledger(outcome: &str, expires: &str) -> String {
    let entry = format!(
        "  - outcome: {outcome}\n    reason: 'the admin user has no rights yet, see #7'\n    owner: team-a\n    expires: {expires}\n"
    );
    format!(
        "apiVersion: meshproof.dev/v1alpha1\nkind: ExpectedFailures\nentries:\n{entry}    backend: embedded\n    versions: {{istio: ^1.27}}\n"
    )
}

#[test]
fn what_fails_as_expected_does_not_gate_and_what_passes_unexpectedly_does() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let verify = |args: &[&str]| machine.run(&[&["verify", "--select", BOUND], args].concat());
    let verdict = |said: &Said| said.json()["outcomes"][0]["verdict"].clone();

    machine.file("expected-failures.yaml", &ledger(BOUND, "9999-12-31"));
    let said = verify(&["--format", "json"]).code(1).complains(&["expected failures: expected-failures.yaml, 1 of 1 entries apply"]);
    assert_eq!(verdict(&said), "unexpected-pass", "{}", said.stdout);

    unbind(&machine);
    let said = verify(&["--format", "json"]).code(0).complains(&["expected failure dashboard.admin-user.bound: "]);
    assert_eq!(verdict(&said), "expected-failure", "{}", said.stdout);
    let report = said.json();
    assert_eq!(report["outcomes"][0]["expected"]["owner"], "team-a");
    assert_eq!((&report["counts"]["failed"], &report["counts"]["expected"]), (&json!(0), &json!(1)));
    let said = verify(&[]).code(0);
    let last = said.stdout.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("0 passed, 0 failed, 0 blocked, 0 skipped, 0 unsupported") && last.contains(", 1 failed as expected"),
        "{last}"
    );
    let said = verify(&["--format", "junit"]).code(0);
    assert!(said.stdout.contains("failures=\"0\"") && said.stdout.contains("expected failure until 9999-12-31"), "{}", said.stdout);

    machine.file("old.yaml", &ledger(BOUND, "2026-01-01"));
    let said = verify(&["--expected-failures", "old.yaml"]).code(1);
    assert!(said.stdout.contains("its entry has expired; renew it or remove it"), "{}", said.stdout);
    let by_variable =
        machine.start_with(&[("MESHPROOF_EXPECTED_FAILURES", "old.yaml")], &["verify", "--select", BOUND, "--format", "json"]);
    assert_eq!(verdict(&by_variable.end().code(1)), "failed");
}

#[test]
fn a_mistake_in_it_names_its_place_and_makes_nothing() {
    let machine = Machine::new();
    machine.file("expected-failures.yaml", &ledger("dashboard.admin-user.bond", "9999-12-31"));
    let words =
        ["expected-failures.yaml:4:14: no outcome is called `dashboard.admin-user.bond`", "did you mean `dashboard.admin-user.bound`?"];
    machine.run(&["run", "--backend", "embedded"]).code(2).without_result().complains(&words);
    machine.file("expected-failures.yaml", &ledger(BOUND, "tomorrow"));
    machine.run(&["run"]).code(2).without_result().complains(&["expected-failures.yaml:7:14: `expires` must be a date"]);
    assert!(!machine.state().exists(), "a mistake must not make anything");
}
