//! kill -9 of meshproof at every stage's beginning, in its middle and at its end: the next `up` converges, the next `down` leaves nothing, and
//! what belongs to others is as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rstest::rstest;

use super::machine::Machine;

const UP: [&str; 5] = ["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"];
/// A proxy makes the stage of that name do something.
const PROXIED: [&str; 2] = ["--set", "proxy.enabled=true"];

/// The records after which it is killed.
fn at(event: &str, stage: &str) -> String {
    format!("\"event\":\"{event}\",\"stage\":\"{stage}\"")
}

/// Files of others, with what is in them: a kubeconfig, somebody's directory beside the state directory.
fn others(machine: &Machine) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("a readable file"));
            }
        }
    }
    let mut found = BTreeMap::new();
    for dir in ["home", "work", "tmp", "bin"] {
        walk(&machine.path(dir), &mut found);
    }
    found
}

#[rstest]
fn a_run_that_killed_between_stages_is_picked_up_or_removed(
    #[values("preflight", "mirror", "cluster", "nodes", "proxy", "dashboard", "admin-user", "istio", "gateway-api")] stage: &str,
    #[values("stage-started", "stage-finished")] event: &str,
) {
    picked_up_or_removed(stage, event);
}

/// Not in preflight, which makes nothing, nor in `nodes`, which here finds everything Ready.
#[rstest]
fn a_run_that_killed_in_the_middle_of_a_stage_is_picked_up_or_removed(
    #[values("mirror", "cluster", "proxy", "dashboard", "admin-user", "istio", "gateway-api")] stage: &str,
) {
    picked_up_or_removed(stage, "stage-progress");
}

fn picked_up_or_removed(stage: &str, event: &str) {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.path("home/.kube")).expect("a directory can be made");
    std::fs::write(machine.path("home/.kube/config"), "apiVersion: v1\nkind: Config\n").expect("a file can be written");
    let before = others(&machine);
    let args = [&UP[..], &PROXIED].concat();
    let kill = |what: &str| machine.start_with(&[("MESHPROOF_KILL_AT", &at(event, stage))], &args).killed_as(what);

    kill("up");
    let standing = machine.run(&["status", "--format", "json"]).code(0).json()["phase"].clone();
    assert_eq!(standing, "orphaned");
    machine.run(&args).code(0);
    let verified = machine.run(&["verify", "--format", "json"]).code(0).json();
    assert_eq!(verified["counts"]["failed"], 0);
    machine.run(&["down"]).code(0);
    assert!(!machine.state().exists(), "down leaves nothing");

    // And removed at once, with nothing in between that could heal it.
    kill("up again");
    machine.run(&["down"]).code(0);
    assert!(!machine.state().exists(), "down leaves nothing of what was killed");
    assert_eq!(others(&machine), before, "what belongs to others is as it was");
    assert_eq!(agents(&machine), Vec::<String>::new(), "no process is left");
}

#[test]
fn a_down_that_killed_is_finished_by_the_next() {
    let machine = Machine::new();
    machine.run(&UP).code(0);
    let agent = agents(&machine);
    assert_eq!(agent.len(), 1, "{agent:?}");
    machine.start_with(&[("MESHPROOF_KILL_AT", "\"event\":\"run-started\"")], &["down"]).killed();
    // It was to go, and nobody misses it.
    assert_eq!(machine.run(&["status", "--format", "json"]).code(0).json()["phase"], "orphaned");
    for entry in ["agent.json", "certs.d", "kubeconfig"] {
        // As a `down` leaves it that was killed between two removals: the state goes last.
        let path = machine.state().join(entry);
        if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.expect("it can be removed");
        assert!(machine.state().join("state.json").exists());
    }
    machine.run(&["down"]).code(0);
    assert!(!machine.state().exists());
    assert_eq!(agents(&machine), Vec::<String>::new(), "no process is left");
}

/// Command lines of processes that serve this machine's state directory.
fn agents(machine: &Machine) -> Vec<String> {
    let state = machine.state().display().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let line = |p: std::fs::DirEntry| Some(String::from_utf8_lossy(&std::fs::read(p.path().join("cmdline")).ok()?).replace('\0', " "));
    processes.filter_map(line).filter(|line| line.contains("agent") && line.contains(&state)).collect()
}
