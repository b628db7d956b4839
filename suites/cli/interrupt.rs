//! A signal in the middle of `kind create cluster`: what was started is ended, what remains is said, and `down` removes it.

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use meshproof::tools::{is_alive, start_ticks};

use super::engine::Engine;
use super::machine::{Machine, wait_until};
use super::tools;

#[rstest]
#[case::control_c(Signal::INT)]
#[case::termination(Signal::TERM)]
fn a_signal_while_kind_creates_the_cluster(#[case] signal: Signal) {
    let machine = Machine::new();
    let engine = Engine::start(&machine.path("docker.sock"), Vec::new());
    let machine = machine.with("DOCKER_HOST", &engine.url);
    tools::with_endless_kind(&machine);

    let files = ["--report", "json=up.json", "--report", "markdown=up.md"];
    let mut up = machine.start(&[&["up", "--format", "json", "--set", "kubectlProxy.port=0"][..], &files].concat());
    up.wait_for("stage cluster: Preparing nodes");
    let kind: u32 = std::fs::read_to_string(machine.path("kind.pid")).expect("kind was started").trim().parse().expect("a process id");
    let ticks = start_ticks(kind).expect("kind is at work");
    let pid = i32::try_from(up.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("a signal can be sent");

    let said = up.end().code(130);
    let report = said.json();
    assert_eq!(report["exitCode"], 130);
    let cluster = report["stages"].as_array().and_then(|s| s.iter().find(|s| s["id"] == "cluster").cloned()).expect("the stage");
    assert_eq!(cluster["state"], "running", "it was not finished, and nobody says it was");
    let written = |name: &str| std::fs::read_to_string(machine.path("work").join(name)).expect("a report that was asked for");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&written("up.json")).expect("JSON"),
        report,
        "an interruption has its files as well"
    );
    assert!(written("up.md").contains("stage <code>cluster</code> was in progress"), "{}", written("up.md"));
    let state = machine.state().display().to_string();
    said.complains(&["Interrupted. The cluster istio-cluster may exist", "meshproof down removes it", &state]);
    wait_until("the kind that was started has ended", || !is_alive(kind, ticks));

    let status = machine.run(&["status", "--format", "json"]).code(0).json();
    assert_eq!(status["phase"], "kept", "nobody works on it any more");
    assert_eq!(status["cluster"]["name"], "istio-cluster");
    assert_eq!(status["cluster"]["phase"], "creating", "it was never whole");
    machine.run(&["env"]).code(3).without_result().complains(&["There is no environment here"]);

    assert!(engine.has_network(), "the network was made before kind was started");
    let down = machine.run(&["down"]).code(0);
    assert!(down.stdout.contains("removed: network kind"), "{}", down.stdout);
    assert!(!engine.has_network());
    assert!(!machine.state().exists());
}
