//! The commands on an environment that does not exist.

use rstest::rstest;
use serde_json::Value;

use super::machine::Machine;

#[rstest]
#[case::verify("verify")]
#[case::env("env")]
#[case::kubeconfig("kubeconfig")]
#[case::token("token")]
#[case::collect("collect")]
fn what_needs_an_environment_says_how_to_get_one(#[case] command: &str) {
    let machine = Machine::new();
    let said = machine.run(&[command]).code(3).without_result();
    said.complains(&["There is no environment here", &machine.state().display().to_string(), "hint: meshproof up"]);
    assert!(machine.is_untouched(), "asking for an environment must not make anything");
}

#[test]
fn there_is_nothing_to_remove() {
    let machine = Machine::new();
    machine.run(&["down"]).code(0).without_result().complains(&["nothing to remove", &machine.state().display().to_string()]);
    assert!(machine.is_untouched());
}

#[test]
fn what_a_run_left_that_was_killed_at_its_very_beginning_is_removed() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.state().join("runs")).expect("a directory can be made");
    for name in ["lock", ".unfinished-1"] {
        std::fs::write(machine.state().join(name), "").expect("a file can be written");
    }
    let said = machine.run(&["down"]).code(0);
    assert!(said.stdout.contains("removed: "), "{}", said.stdout);
    assert!(!machine.state().exists());
    // An empty directory, or one with something else in it, is somebody else's.
    std::fs::create_dir(machine.state()).expect("a directory can be made");
    machine.run(&["down"]).code(0).complains(&["nothing to remove"]);
    std::fs::write(machine.state().join("main.rs"), "").expect("a file can be written");
    machine.run(&["down"]).code(0).complains(&["nothing to remove"]);
    assert!(machine.state().join("main.rs").exists());
}

#[test]
fn there_is_nothing_to_show() {
    let machine = Machine::new();
    let said = machine.run(&["status"]).code(0).without_progress();
    assert!(said.stdout.starts_with("No environment"), "{}", said.stdout);
    let json = machine.run(&["status", "--format", "json"]).code(0).without_progress().json();
    assert_eq!(json["session"], Value::Null);
    assert_eq!(json["stateDir"], machine.state().display().to_string());
    assert!(machine.is_untouched());
}

#[test]
fn the_state_directory_of_the_option_wins_over_that_of_the_variable() {
    let machine = Machine::new();
    let json = machine.run(&["status", "--format", "json", "--state-dir", "here"]).code(0).json();
    assert_eq!(json["stateDir"], machine.path("work/here").display().to_string());
}
