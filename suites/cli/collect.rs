//! `collect` on a simulated cluster.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::embedded::Down;
use super::machine::Machine;

const UP: [&str; 5] = ["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"];

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn assert_no_secret(dir: &Path) {
    for path in files(dir) {
        let text = text(&path);
        assert!(!text.contains("PRIVATE KEY-----"), "{}", path.display());
        // The beginning of a JSON Web Token, and a key of a kubeconfig.
        assert!(!text.contains("eyJhbGciOi") && !text.contains("client-key-data: L"), "{}", path.display());
    }
}

#[test]
fn a_bundle_of_a_whole_cluster_says_what_is_in_it() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let said = machine.run(&["collect", "--format", "json"]).code(0);
    let json = said.json();
    let dir = PathBuf::from(json["dir"].as_str().expect("a directory"));
    assert!(dir.starts_with(machine.state().join("runs")) && dir.ends_with("bundle"), "{}", dir.display());
    for name in [
        "nodes/istio-cluster-control-plane/kubernetes-version.txt",
        "nodes/istio-cluster-worker/containerd.log",
        "nodes/istio-cluster-worker/containerd-config.toml",
        "nodes/istio-cluster-worker/certs.d/docker.io/hosts.toml",
        "nodes/istio-cluster-worker/images.log",
        "objects/pods.json",
        "objects/configmaps.istio-system.json",
        "objects/gatewayclasses.gateway.networking.k8s.io.json",
        "applied/spec.json",
        "applied/journal.jsonl",
        "applied/agent.log",
    ] {
        assert!(!text(dir.join(name)).is_empty() || name == "applied/agent.log", "{name}");
    }
    let events = text(dir.join("events.txt"));
    assert!(events.lines().any(|l| l.contains("Pod/") && l.contains("Started")), "{events}");
    let istiod = files(&dir.join("pods/istio-system"));
    assert!(istiod.iter().any(|p| p.display().to_string().contains("istiod-") && !text(p).is_empty()), "{istiod:?}");
    assert!(files(&dir.join("istio")).iter().any(|p| p.ends_with("metrics.txt") && text(p).contains("istio")), "no metrics");
    // The journals of the runs before tell what was provisioned.
    assert!(files(&dir.join("applied/runs")).iter().any(|p| text(p).contains("stage-finished")));
    let index = text(dir.join("index.html"));
    let all = files(&dir);
    for path in all.iter().filter(|p| !p.ends_with("index.html")) {
        let name = path.strip_prefix(&dir).expect("below it").display().to_string();
        assert!(index.contains(&format!("<a href=\"{name}\">")), "{name} is not in the index");
    }
    assert_eq!(json["files"], all.len());
    let left_out = json["leftOut"].as_array().expect("a list");
    // There is no istioctl on this machine.
    assert!(left_out.iter().any(|l| l.as_str().is_some_and(|l| l.starts_with("istio/proxy-status.txt: "))), "{left_out:?}");
    assert!(left_out.iter().all(|l| index.contains(l.as_str().and_then(|l| l.split(": ").next()).unwrap_or("?"))), "{left_out:?}");
    assert_no_secret(&dir);
    // The command is a run like others, and the session is free again.
    let journal = text(dir.parent().expect("the run").join("journal.jsonl"));
    assert!(journal.contains("\"event\":\"collected\"") && journal.contains("\"event\":\"run-finished\""), "{journal}");
    assert_eq!(machine.run(&["status", "--format", "json"]).code(0).json()["phase"], "kept");
}

#[test]
fn a_bundle_goes_where_it_is_told_to_and_never_over_anything() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let said = machine.run(&["collect", "--out", "out/bundle"]).code(0);
    let dir = machine.path("work/out/bundle");
    assert!(said.stdout.starts_with(&format!("bundle: {}", dir.join("index.html").display())), "{}", said.stdout);
    assert!(dir.join("objects/nodes.json").exists());
    let said = machine.run(&["collect", "--out", "out/bundle"]).code(2).without_result();
    said.complains(&["is not empty", "hint: Name a directory that is empty"]);
    machine.run(&["collect", "--format", "junit"]).code(2).without_result();
}

#[test]
fn a_cluster_that_is_gone_leaves_the_local_files() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let pid = machine.run(&["status", "--format", "json"]).code(0).json()["agent"]["pid"].as_i64().expect("the agent's process");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
    let json = machine.run(&["collect", "--format", "json"]).code(0).json();
    let dir = PathBuf::from(json["dir"].as_str().expect("a directory"));
    assert!(dir.join("applied/spec.json").exists() && dir.join("applied/runs").is_dir() && !dir.join("objects").exists());
    let left_out = json["leftOut"].as_array().cloned().unwrap_or_default();
    let said = |what: &str| left_out.iter().filter_map(Value::as_str).any(|l| l.starts_with(what) && l.contains("and the cluster with it"));
    assert!(said("nodes: ") && said("objects, events and logs: "), "{left_out:?}");
    assert_no_secret(&dir);
}
