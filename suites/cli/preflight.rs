//! What is refused before anything is changed. Exit 3, one root cause, and a way out.

use std::net::{Ipv4Addr, TcpListener};

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use rstest::rstest;
use serde_json::{Value, json};

use super::engine::Engine;
use super::machine::{Machine, Said, script};
use super::tools;

/// The port of the guide may well be in use where the tests run.
const ANY_PORT: [&str; 2] = ["--set", "kubectlProxy.port=0"];

/// A machine with a fake engine that has these containers.
fn with_engine(containers: Vec<Value>) -> (Machine, Engine) {
    let machine = Machine::new();
    let engine = Engine::start(&machine.path("docker.sock"), containers);
    let machine = machine.with("DOCKER_HOST", &engine.url);
    (machine, engine)
}

/// Asserts that the preflight is the one thing that failed and that everything else is blocked by it; gives its error.
#[track_caller]
fn only_the_preflight_failed(report: &Value) -> String {
    assert_eq!(report["firstFailure"], json!({"stage": "preflight"}));
    assert_eq!(report["exitCode"], 3);
    assert_eq!(report["interrupted"], false);
    for stage in report["stages"].as_array().expect("stages") {
        let wanted = if stage["id"] == "preflight" { "failed" } else { "blocked" };
        assert_eq!(stage["state"], wanted, "{stage}");
        assert!(wanted == "failed" || stage["blockedBy"] == "preflight", "{stage}");
    }
    for outcome in report["outcomes"].as_array().expect("outcomes") {
        assert_eq!((&outcome["verdict"], &outcome["blockedBy"]), (&json!("blocked"), &json!("preflight")), "{outcome}");
    }
    let preflight = report["stages"].as_array().and_then(|s| s.iter().find(|s| s["id"] == "preflight")).expect("the preflight");
    format!("{} {}", preflight["error"], preflight["hint"])
}

/// Asserts that the engine was only ever asked and never told.
#[track_caller]
fn only_asked(engine: &Engine) {
    let requests = engine.requests();
    assert!(!requests.is_empty(), "the engine was not even asked");
    assert!(requests.iter().all(|r| r.starts_with("GET ")), "{requests:?}");
}

fn up(machine: &Machine, more: &[&str]) -> Said {
    machine.run(&[&["up", "--format", "json"], more].concat()).code(3)
}

#[test]
fn an_engine_that_does_not_answer() {
    let machine = Machine::new();
    let said = machine.run(&[&["run", "--backend", "kind"][..], &ANY_PORT].concat()).code(3);
    for words in ["unix:///nonexistent/docker.sock (DOCKER_HOST)", "hint: Start Docker", "blocked by preflight", "exit 3"] {
        assert!(said.stdout.contains(words), "`{words}` is not in the report:\n{}", said.stdout);
    }
    said.complains(&["stage preflight: failed"]);
}

#[test]
fn every_report_of_a_failed_preflight_is_whole() {
    let machine = Machine::new();
    let file = machine.path("junit.xml");
    let file = file.to_string_lossy();
    let forms = ["--report", "json=a.json", "--report", "conformance=a.yaml"];
    let said = machine.run(&[&["run", "--backend", "kind", "--format", "json", "--junit", &file][..], &forms, &ANY_PORT].concat()).code(3);
    let report = said.json();
    let written = |name: &str| std::fs::read_to_string(machine.path("work").join(name)).expect("a report that was asked for");
    assert_eq!(serde_json::from_str::<Value>(&written("a.json")).expect("JSON"), report);
    assert!(written("a.yaml").contains("- preflight"), "the stage that failed is named: {}", written("a.yaml"));
    let error = only_the_preflight_failed(&report);
    assert!(error.contains("DOCKER_HOST") && error.contains("Start Docker"), "{error}");
    let outcomes = meshproof::outcomes::builtin();
    assert_eq!(report["counts"]["blocked"], outcomes.len());

    let xml = std::fs::read_to_string(&*file).expect("the JUnit report");
    let junit = Report::deserialize_from_str(&xml).expect("a valid JUnit report");
    let cases = || junit.test_suites.iter().flat_map(|s| &s.test_cases);
    let errors: Vec<&str> = cases()
        .filter(|c| matches!(c.status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. }))
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(errors, ["preflight"], "one cause is one error");
    let skipped = cases().filter(|c| matches!(c.status, TestCaseStatus::Skipped { .. })).count();
    assert_eq!(skipped, outcomes.len() + meshproof::stages::builtin().len() - 1, "what it blocks is not lost");
}

#[test]
fn junit_goes_to_standard_output_too() {
    let said = Machine::new().run(&[&["up", "--backend", "kind", "--format", "junit"][..], &ANY_PORT].concat()).code(3);
    Report::deserialize_from_str(&said.stdout).expect("standard output is a JUnit report and nothing else");
}

/// A node container of a cluster with the name of the guide's, and one that only has a node's name.
#[rstest]
#[case::kind_cluster(json!({"io.x-k8s.kind.cluster": "istio-cluster", "io.x-k8s.kind.role": "control-plane"}), "istio-cluster-control-plane")]
#[case::other_container(json!({}), "istio-cluster-worker")]
fn the_name_of_someone_elses_cluster(#[case] labels: Value, #[case] name: &str) {
    let container =
        json!({"Id": "1", "Names": [format!("/{name}")], "State": "running", "Image": "theirs", "Labels": labels, "Mounts": []});
    let (machine, engine) = with_engine(vec![container]);
    tools::with_endless_kind(&machine);
    let error = only_the_preflight_failed(&up(&machine, &ANY_PORT).json());
    assert!(error.contains(&format!("the container {name} was not made by this environment")), "{error}");
    assert!(error.contains("--set cluster.name=NAME"), "{error}");
    only_asked(&engine);
    machine.run(&["down"]).code(0);
    only_asked(&engine);
    assert!(!machine.state().exists(), "down removes what a refused up left");
}

#[test]
fn a_busy_port() {
    let (machine, engine) = with_engine(Vec::new());
    tools::with_endless_kind(&machine);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let error = only_the_preflight_failed(&up(&machine, &["--set", &format!("kubectlProxy.port={port}")]).json());
    assert!(error.contains(&format!("127.0.0.1:{port} is in use")) && error.contains("kubectlProxy.port=0"), "{error}");
    assert!(engine.requests().iter().all(|r| r.starts_with("GET ")), "{:?}", engine.requests());
}

#[test]
fn no_kind_and_no_way_to_get_one() {
    let (machine, engine) = with_engine(Vec::new());
    tools::without_kind(&machine);
    let unreachable = ["--set", "tools.kind.url=http://127.0.0.1:1/kind"];
    let error = only_the_preflight_failed(&up(&machine, &[&ANY_PORT[..], &unreachable].concat()).json());
    assert!(error.contains("kind 0.30.0 is needed") && error.contains("http://127.0.0.1:1/kind"), "{error}");
    assert!(error.contains("put kind 0.30.0 on the PATH"), "{error}");
    only_asked(&engine);
}

#[test]
fn no_docker_command_for_kind() {
    let (machine, engine) = with_engine(Vec::new());
    tools::with_endless_kind(&machine);
    std::fs::remove_file(machine.path("bin/docker")).expect("the fake is there");
    let error = only_the_preflight_failed(&up(&machine, &ANY_PORT).json());
    assert!(error.contains("kind needs the `docker` command"), "{error}");
    only_asked(&engine);
}

#[test]
fn a_directory_of_somebody_else_is_neither_used_nor_removed() {
    let machine = Machine::new();
    machine.file("main.rs", "fn main() {}");
    for command in [&["up", "--state-dir", "."][..], &["run", "--state-dir", "../work"]] {
        let said = machine.run(command).code(3).without_result();
        said.complains(&["is not empty and holds no environment of meshproof", "main.rs", "hint: Name an empty or new directory"]);
    }
    machine.run(&["down", "--state-dir", "."]).code(0);
    let left: Vec<_> = std::fs::read_dir(machine.path("work")).expect("it is there").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(left, ["main.rs"]);
}

#[test]
fn down_heeds_what_was_made_and_not_what_the_spec_says_now() {
    let (machine, engine) = with_engine(Vec::new());
    tools::without_kind(&machine);
    up(&machine, &[&ANY_PORT[..], &["--set", "tools.kind.url=http://127.0.0.1:1/kind"]].concat());
    let machine = machine.with("MESHPROOF_SPEC", "/nonexistent/broken.yaml");
    machine.run(&["up"]).code(2);
    machine.run(&["down", "--set", "cluster.name=other"]).code(0);
    assert!(!machine.state().exists());
    only_asked(&engine);
}

#[test]
fn a_kind_of_another_version_is_named() {
    let (machine, engine) = with_engine(Vec::new());
    tools::without_kind(&machine);
    let kind = machine.path("other-kind");
    script(&kind, "#!/bin/sh\necho 'kind v0.29.0 go1.24.2 linux/amd64'\n");
    let path = format!("tools.kind.path={}", kind.display());
    let error = only_the_preflight_failed(&up(&machine, &[&ANY_PORT[..], &["--set", &path]].concat()).json());
    assert!(error.contains("kind 0.30.0 is needed") && error.contains("other-kind is 0.29.0"), "{error}");
    assert!(error.contains("change or remove tools.kind.path"), "{error}");
    only_asked(&engine);
}
