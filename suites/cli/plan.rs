//! `plan` shows what `up` would do, whatever the machine has, and changes nothing.

use super::machine::Machine;

#[test]
fn a_plan_changes_nothing_and_needs_nothing() {
    let machine = Machine::new();
    let said = machine.run(&["plan", "--backend", "kind"]).code(0).without_progress();
    let state = machine.state();
    for words in ["kind create cluster --name istio-cluster", "$ istioctl install", &format!("{}/certs.d", state.display())] {
        assert!(said.stdout.contains(words), "`{words}` is not in the plan:\n{}", said.stdout);
    }
    assert!(machine.is_untouched(), "a plan must not make anything");
}

#[test]
fn a_plan_for_programs_has_every_stage() {
    let machine = Machine::new();
    let json =
        machine.run(&["plan", "--backend", "kind", "--format", "json", "--set", "cluster.workers=3"]).code(0).without_progress().json();
    let planned: Vec<&str> = json["stages"].as_array().into_iter().flatten().filter_map(|s| s["id"].as_str()).collect();
    let known: Vec<&str> = meshproof::stages::builtin().iter().map(|s| s.id).collect();
    assert_eq!(planned, known);
    assert_eq!(json["spec"]["cluster"]["workers"], 3);
    assert_eq!(json["state"], machine.state().display().to_string());
    assert!(machine.is_untouched());
}

#[test]
fn the_callers_proxy_is_not_planned() {
    let machine = Machine::new();
    let without = machine.run(&["plan", "--backend", "kind"]).code(0);
    let mut machine = machine;
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy"] {
        machine = machine.with(name, "http://proxy.invalid:3128");
    }
    let with = machine.run(&["plan", "--backend", "kind"]).code(0);
    assert_eq!(with.stdout, without.stdout);
    assert_eq!(with.stderr, without.stderr);
}
