//! The embedded cluster on a machine that has nothing: no engine, no tools, no network.

use serde_json::Value;

use super::machine::{Machine, Said};

const RUN: [&str; 5] = ["run", "--format", "json", "--set", "kubectlProxy.port=0"];

/// Ends the agent of a test that fails as well.
struct Down<'a>(&'a Machine);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.run(&["down"]);
    }
}

fn counts(said: &Said) -> (u64, u64, u64) {
    let json = said.json();
    let count = |name: &str| json["counts"][name].as_u64().unwrap_or_default();
    (count("passed"), count("failed"), count("unsupported"))
}

#[test]
fn auto_takes_the_embedded_cluster_where_no_engine_answers_and_nobody_can_miss_it() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let said = machine.run(&RUN).code(0);
    assert!(said.stderr.contains("SIMULATED: no container engine answers"), "{}", said.stderr);
    let json = said.json();
    assert_eq!((&json["fidelity"], &json["run"]["backend"]), (&Value::from("simulated"), &Value::from("embedded")));
    let (passed, failed, unsupported) = counts(&said);
    // Everything that needs no capability that this machine lacks: kubectl, istioctl, a proxy, the transcripts of an installation.
    assert_eq!((passed, failed, passed + unsupported), (23, 0, 32), "{}", said.stdout);
    // What stands is used again, and nobody needs to say which backend.
    let again = machine.run(&RUN).code(0);
    assert_eq!(counts(&again), (passed, failed, unsupported));
    assert!(!again.stderr.contains("no container engine answers"), "{}", again.stderr);
    let made: Vec<Value> = again.json()["stages"].as_array().cloned().unwrap_or_default();
    assert!(made.iter().all(|s| s["result"] != "provisioned"), "{made:?}");
}

#[test]
fn in_ci_auto_does_not_downgrade() {
    let machine = Machine::new().with("CI", "true");
    let said = machine.run(&RUN).code(3).without_result();
    said.complains(&["unix:///nonexistent/docker.sock", "hint: CI is set", "--backend embedded"]);
    assert!(machine.is_untouched(), "nothing was made");
    let _down = Down(&machine);
    machine.run(&[&RUN[..], &["--backend", "embedded"]].concat()).code(0);
}

#[test]
fn the_cluster_lives_between_commands_and_ends_with_down() {
    let machine = Machine::new();
    let down = Down(&machine);
    machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let status = machine.run(&["status", "--format", "json"]).code(0).json();
    let pid = status["agent"]["pid"].as_u64().expect("the agent's process");
    assert_eq!((&status["agent"]["alive"], &status["agent"]["idleSeconds"]), (&Value::from(true), &Value::from(7200)));
    assert_eq!(status["nodes"]["istio-cluster-worker"], "running");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    let human = machine.run(&["status"]).code(0);
    assert!(human.stdout.contains(&format!("agent: process {pid} runs")), "{}", human.stdout);
    let verified = machine.run(&["verify", "--format", "json"]).code(0);
    assert_eq!(counts(&verified).1, 0);
    let token = machine.run(&["token"]).code(0);
    assert_eq!(token.stdout.trim().split('.').count(), 3, "a JSON Web Token");
    // Another spec is another cluster, and nothing is thrown away unasked.
    let said = machine.run(&["up", "--set", "cluster.workers=2", "--set", "kubectlProxy.port=0"]).code(3);
    assert!(said.stdout.contains("made from another configuration"), "{}", said.stdout);
    let said = machine.run(&["up", "--backend", "kind"]).code(3);
    said.complains(&["is the cluster istio-cluster of the backend embedded, not of kind"]);
    // What was made is what is looked at and removed, whatever the variable says now.
    for command in ["verify", "status", "token"] {
        machine.run(&[command, "--backend", "kind"]).code(0);
    }
    std::mem::forget(down);
    machine.run(&["down", "--backend", "kind"]).code(0);
    assert!(!machine.state().exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists(), "the agent is gone");
}

#[test]
fn a_cluster_whose_agent_was_killed_is_gone_and_made_anew() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let pid = machine.run(&["status", "--format", "json"]).code(0).json()["agent"]["pid"].as_i64().expect("the agent's process");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
    machine.run(&["verify"]).code(3).complains(&["is gone, and the cluster with it", "hint: meshproof up"]);
    let said = machine.run(&RUN).code(0);
    assert_eq!(counts(&said).1, 0);
    assert!(said.stdout.contains("is gone: the cluster is made anew"), "{}", said.stdout);
}

#[test]
fn an_agent_that_nobody_asks_ends_by_itself() {
    let machine = Machine::new().with("MESHPROOF_AGENT_IDLE", "0");
    let _down = Down(&machine);
    machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let pid = machine.run(&["status", "--format", "json"]).code(0).json()["agent"]["pid"].as_u64();
    // Its file goes with it.
    let gone = (0..1000).any(|_| {
        std::thread::yield_now();
        let json = machine.run(&["status", "--format", "json"]).code(0).json();
        json["agent"].is_null()
    });
    assert!(pid.is_none() || gone, "{pid:?} is still there");
}
