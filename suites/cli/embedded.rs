//! The embedded cluster on a machine that has nothing: no engine, no tools, no network.

use serde_json::Value;

use super::machine::{Machine, Said};

const RUN: [&str; 5] = ["run", "--format", "json", "--set", "kubectlProxy.port=0"];

/// Ends the agent of a test that fails as well.
pub(crate) struct Down<'a>(pub(crate) &'a Machine);

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
    assert_eq!((passed, failed, passed + unsupported), (40, 0, 60), "{}", said.stdout);
    // What stands is used again, and nobody needs to say which backend.
    let again = machine.run(&RUN).code(0);
    assert_eq!(counts(&again), (passed, failed, unsupported));
    assert!(!again.stderr.contains("no container engine answers"), "{}", again.stderr);
    let made: Vec<Value> = again.json()["stages"].as_array().cloned().unwrap_or_default();
    assert!(made.iter().all(|s| s["state"] == "already" || s["state"] == "not-needed"), "{made:?}");
}

#[test]
fn every_image_comes_through_the_mirror_and_every_node_asks_the_proxy() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let recorded =
        ["--backend", "embedded", "--set", "recording.mirror=true", "--set", "recording.proxy=direct", "--set", "proxy.enabled=true"];
    let said = machine.run(&[&RUN[..], &recorded].concat()).code(0);
    let json = said.json();
    let evidence = |id: &str| {
        let outcome = json["outcomes"].as_array().and_then(|all| all.iter().find(|o| o["id"] == id)).unwrap_or_else(|| panic!("no {id}"));
        assert_eq!(outcome["verdict"], "passed", "{outcome}");
        outcome["evidence"].clone()
    };
    let images = evidence("cluster.mirror.every-image");
    for (node, image) in [
        ("istio-cluster-worker", "docker.io/kubernetesui/dashboard:v2.7.0"),
        ("istio-cluster-control-plane", "docker.io/istio/ztunnel:1.27.1-distroless"),
    ] {
        let through = &images[node]["throughTheMirror"][image];
        assert!(through["digest"].as_str().is_some_and(|d| d.starts_with("sha256:")) && through["at"].is_string(), "{node}: {images}");
    }
    assert_eq!(evidence("cluster.proxy.connects")["istio-cluster-worker"]["target"], "proxied.meshproof.invalid:443");
    assert_eq!(evidence("cluster.proxy.hosts-toml-ignored")["istio-cluster-worker"]["connects"], Value::Array(Vec::new()));
    assert!(json["recorded"]["mirror"].as_u64() > Some(20) && json["recorded"]["mirrorErrors"] == 0, "{}", json["recorded"]);
    // What is recorded is in the journal, and so in every report that is made of it later.
    let journal =
        std::fs::read_to_string(machine.state().join("runs").join(json["run"]["id"].as_str().expect("an id")).join("journal.jsonl"))
            .expect("the journal");
    assert!(journal.lines().any(|l| l.contains("\"event\":\"recorded\"") && l.contains("library/busybox")), "nothing in the journal");
    // Without recorders these outcomes are not passes.
    machine.run(&["down"]).code(0);
    let said = machine.run(&[&RUN[..], &["--backend", "embedded"]].concat()).code(0);
    assert_eq!(said.json()["recorded"], serde_json::json!({"mirror": 0, "mirrorErrors": 0, "mirrorBytes": 0, "proxy": 0}));
}

#[test]
fn nodes_that_have_every_image_pull_none() {
    let machine = Machine::new();
    let up = ["up", "--format", "json", "--backend", "embedded", "--set", "kubectlProxy.port=0", "--set", "recording.mirror=true"];
    for preloaded in [true, false] {
        let _down = Down(&machine);
        let json = machine.run(&[&up[..], &["--set", &format!("cluster.preloaded={preloaded}")]].concat()).code(0).json();
        assert_eq!(json["recorded"]["mirror"] == 0, preloaded, "{}", json["recorded"]);
    }
}

#[test]
fn a_bundle_that_is_none_is_refused_before_anything_is_made() {
    let machine = Machine::new();
    let said = machine.run(&[&RUN[..], &["--backend", "embedded", "--bundle", "no-such-bundle"]].concat()).code(2).without_result();
    said.complains(&["cannot use the bundle", "no-such-bundle", "hint: meshproof bundle verify"]);
    assert!(machine.is_untouched(), "nothing was made");
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
    let said = machine.run(&["status", "--format", "json"]).code(0).json();
    // Asking for its state again and again would keep it awake.
    if let Some(pid) = said["agent"]["pid"].as_u64() {
        assert!(is_gone(pid), "{pid} is still there");
    }
    // Its file goes with it.
    assert_eq!(machine.run(&["status", "--format", "json"]).code(0).json()["agent"], Value::Null);
}

#[test]
fn an_agent_whose_environment_was_removed_by_hand_ends_even_if_another_is_made_in_its_place() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let up = || machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let agent = || machine.run(&["status", "--format", "json"]).code(0).json()["agent"]["pid"].as_u64().expect("the agent's process");
    up();
    let old = agent();
    std::fs::remove_dir_all(machine.state()).expect("it can be removed");
    up();
    assert_ne!(agent(), old);
    assert!(is_gone(old), "{old} is still there");
    assert!(!is_gone_at_once(agent()), "the new one stays");
}

#[test]
fn down_finds_an_agent_that_has_not_said_where_it_is() {
    let machine = Machine::new();
    let down = Down(&machine);
    machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let pid = machine.run(&["status", "--format", "json"]).code(0).json()["agent"]["pid"].as_u64().expect("the agent's process");
    // As a killed `up` leaves it: the lock names the process, and the file is still to come.
    std::fs::remove_file(machine.state().join("agent.json")).expect("it can be removed");
    drop(down);
    assert!(is_gone_at_once(pid), "{pid} is still there");
    assert!(!machine.state().exists());
}

#[test]
fn what_only_stages_heed_needs_no_other_cluster_and_a_refusal_changes_nothing() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let up = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|s| ["--set", s]);
        machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"].into_iter().chain(sets).collect::<Vec<_>>())
    };
    up(&[]).code(0);
    up(&["gatewayApi.version=v1.4.0"]).code(0);
    assert!(up(&["istio.version=1.28.0"]).code(3).stdout.contains("another configuration"));
    // What is judged is what was made, and not what was refused.
    assert_eq!(counts(&machine.run(&["verify", "--format", "json"]).code(0)).1, 0);
    let said = up(&["gatewayApi.channel=experimental"]).code(3);
    assert!(said.stdout.contains("hint: Take other versions"), "{}", said.stdout);
}

#[test]
fn the_plan_names_no_command_of_a_container_engine() {
    let machine = Machine::new();
    let plan = machine.run(&["plan", "--backend", "embedded", "--set", "proxy.enabled=true"]).code(0).stdout;
    assert!(plan.contains("run on istio-cluster-worker: systemctl daemon-reload") && !plan.contains("docker exec"), "{plan}");
}

#[test]
fn files_of_the_agent_are_its_owners_only_and_hold_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&[&RUN[..], &["--backend", "embedded"]].concat()).code(0);
    let state = machine.state();
    for name in ["agent.json", "agent.lock", "agent.log", "state.json", "kubeconfig"] {
        let path = state.join(name);
        let mode = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{name}: {e}")).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let text = std::fs::read_to_string(&path).expect("it can be read");
        // A key, or the beginning of a JSON Web Token.
        assert!(name == "kubeconfig" || !(text.contains("PRIVATE KEY") || text.contains("eyJ")), "{name}: {text}");
    }
}

fn is_gone_at_once(pid: u64) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
}

/// Whether a process ends before long: an agent looks every two seconds whether it is needed.
fn is_gone(pid: u64) -> bool {
    let begin = std::time::Instant::now();
    while begin.elapsed() < super::machine::PATIENCE {
        if is_gone_at_once(pid) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}
