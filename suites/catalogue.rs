//! What holds of the suites themselves: every outcome has its case, and a skip is never silent.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use meshproof::outcomes::{self, Outcome};
use regex::Regex;

use common::Backend;

/// The suite of every chapter.
const SUITES: [(&str, &str, &str); 5] = [
    ("cluster", "suites/cluster.rs", include_str!("cluster.rs")),
    ("dashboard", "suites/dashboard.rs", include_str!("dashboard.rs")),
    ("istioctl", "suites/istioctl.rs", include_str!("istioctl.rs")),
    ("istio", "suites/istio.rs", include_str!("istio.rs")),
    ("gateway-api", "suites/gateway_api.rs", include_str!("gateway_api.rs")),
];

/// A case of a suite.
#[derive(Debug)]
struct Case {
    name: String,
    id: String,
    in_turn: bool,
}

fn cases(source: &str) -> Vec<Case> {
    let case = Regex::new(r#"(?m)^#\[case::(\w+)\("([^"]*)"\)\]$"#).expect("a valid pattern");
    case.captures_iter(source)
        .map(|found| {
            let attributes = source[found.get(0).expect("the match").end()..].split("\nfn ").next().unwrap_or_default();
            let in_turn = attributes.contains("#[file_serial(meshproof_kubectl_proxy)]");
            Case { name: found[1].to_owned(), id: found[2].to_owned(), in_turn }
        })
        .collect()
}

#[test]
fn every_outcome_has_exactly_one_case_in_the_suite_of_its_chapter() {
    let mut chapters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let all = outcomes::builtin();
    for outcome in &all {
        chapters.entry(outcome.chapter()).or_default().push(outcome.id);
    }
    for (chapter, path, source) in SUITES {
        let mut wanted = chapters.remove(chapter).unwrap_or_default();
        let cases = cases(source);
        let mut found: Vec<&str> = cases.iter().map(|c| c.id.as_str()).collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{path} does not have one case for each outcome of its chapter");
    }
    assert!(chapters.is_empty(), "no suite for the chapters {:?}", chapters.keys());
}

#[test]
fn every_case_is_named_after_its_outcome() {
    for (chapter, path, source) in SUITES {
        for case in cases(source) {
            let claim = case.id.strip_prefix(chapter).unwrap_or(&case.id).trim_start_matches('.');
            assert_eq!(case.name, claim.replace(['.', '-'], "_"), "{path}: {}", case.id);
        }
    }
}

#[test]
fn outcomes_of_a_group_take_turns_and_no_others() {
    let groups: BTreeMap<&str, Option<&str>> = outcomes::builtin().iter().map(|o: &Outcome| (o.id, o.group)).collect();
    for (_, path, source) in SUITES {
        for case in cases(source) {
            let group = groups.get(case.id.as_str()).copied().flatten();
            assert!(group.is_none_or(|g| g == "kubectl-proxy"), "{path}: the group {group:?} of {} has no file lock", case.id);
            assert_eq!(case.in_turn, group.is_some(), "{path}: {} and the lock of the group {group:?}", case.id);
        }
    }
}

/// Under nextest, where a process that waits for a file lock would keep others from running.
#[test]
fn cases_of_a_group_take_turns_in_the_configuration_of_nextest() {
    let config = include_str!("../ci/nextest.toml");
    let filter = Regex::new(r#"package\(meshproof\) & test\(/(.*)/\)'\ntest-group = "kubectl-proxy""#).expect("a valid pattern");
    let grouped = Regex::new(&filter.captures(config).expect("a filter for the group")[1]).expect("a valid pattern");
    let function = Regex::new(r"(?m)^((?:#\[.*\]\n)+)fn (\w+)\(#\[case\]").expect("a valid pattern");
    for (_, path, source) in SUITES {
        for found in function.captures_iter(source) {
            let in_turn = found[1].contains("#[file_serial(meshproof_kubectl_proxy)]");
            let name = format!("{}::case_1", &found[2]);
            assert_eq!(grouped.is_match(&name), in_turn, "{path}: {name} in ci/nextest.toml");
        }
    }
}

#[test]
fn every_suite_is_a_test_target() {
    let manifest = include_str!("../Cargo.toml");
    let mut suites = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("suites")).expect("the suites are there") {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let path = if path.join("main.rs").exists() { format!("suites/{name}/main.rs") } else { format!("suites/{name}") };
        // What the suites share is none.
        if Path::new(&path).extension().is_some_and(|e| e == "rs") && Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).is_file() {
            suites += 1;
            assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is not in Cargo.toml, so nothing runs it");
        }
    }
    assert!(suites > SUITES.len(), "{suites} suites were looked at");
}

#[test]
fn the_backend_is_embedded_unless_somebody_asks_for_kind() {
    assert_eq!(Backend::asked(None), Backend::Embedded);
    assert_eq!(Backend::asked(Some("")), Backend::Embedded, "a variable that is set to nothing asks for nothing");
    assert_eq!(Backend::asked(Some("kind")), Backend::Kind);
    assert_eq!(Backend::asked(Some("embedded")), Backend::Embedded);
}

#[test]
fn without_a_backend_a_case_is_proved_on_a_simulated_cluster_also_in_ci() {
    for ci in [&[][..], &[("CI", "true")]] {
        let (output, said) = probe(ci);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }
}

/// The same code runs on every backend: what differs between them are capabilities.
#[test]
fn neither_stages_nor_outcomes_ask_which_backend_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for dir in ["src/stages", "src/outcomes"] {
        for entry in std::fs::read_dir(root.join(dir)).expect("the sources are there") {
            let path = entry.expect("a readable directory").path();
            if path.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).expect("a readable file").to_lowercase();
            for word in ["embedded", "fidelity", "backend", "provider.name(", "in_agent", "simulated("] {
                let found = text.lines().find(|l| l.contains(word) && !l.trim_start().starts_with("//"));
                assert!(found.is_none(), "{} asks for the backend: {}", path.display(), found.unwrap_or_default());
            }
        }
    }
    assert!(files > 15, "{files} files were looked at");
}

/// The simulation knows Kubernetes and nothing of meshproof, and only the embedded backend knows the simulation; the tests of diagnoses make
/// their causes on it.
#[test]
fn only_the_embedded_backend_uses_the_simulation_and_that_uses_nothing_of_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let uses = Regex::new(r"\bsim::|\b(use|extern crate) sim\b").expect("a valid pattern");
    let [mut inside, mut outside] = [0, 0];
    for path in ["src", "suites"].iter().flat_map(|dir| sources(&root.join(dir))) {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let found = text.lines().find(|l| uses.is_match(l) && !l.trim_start().starts_with("//"));
        if path.starts_with(root.join("src/cluster/embedded")) {
            inside += usize::from(found.is_some());
        } else if path != root.join("suites/catalogue.rs") && !path.starts_with(root.join("src/diagnose/tests")) {
            outside += 1;
            assert!(found.is_none(), "{} uses the simulation: {}", path.display(), found.unwrap_or_default());
        }
    }
    assert!(inside > 0 && outside > 60, "{inside} files use the simulation, and {outside} others were looked at");
    let manifest = include_str!("../sim/Cargo.toml");
    assert!(!manifest.contains("meshproof"), "the simulation depends on nothing of ours");
}

/// The Rust files below a directory.
fn sources(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the sources are there") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_backend_that_cannot_be_had_fails_the_case() {
    let (output, said) = probe(&[("MESHPROOF_BACKEND", "kind"), ("DOCKER_HOST", "unix:///nonexistent/docker.sock")]);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("cluster.nodes.ready cannot be judged: stage preflight failed"), "{said}");
    assert!(said.contains("unix:///nonexistent/docker.sock (DOCKER_HOST)"), "{said}");
    assert!(said.contains("hint: Start Docker"), "{said}");
}

#[test]
fn a_backend_that_nobody_knows_fails_the_case() {
    let (output, said) = probe(&[("MESHPROOF_BACKEND", "kindd")]);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("MESHPROOF_BACKEND is `kindd`, but the suites know only `embedded` and `kind`"), "{said}");
}

#[test]
fn a_spec_that_is_wrong_fails_the_case() {
    let (output, said) = probe(&[("MESHPROOF_BACKEND", "kind"), ("MESHPROOF_SPEC", "/nonexistent/spec.yaml")]);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("cannot read the spec /nonexistent/spec.yaml"), "{said}");
}

#[test]
#[ignore = "needs an environment of its own, in which the tests above start it"]
fn one_case() {
    common::prove("cluster.nodes.ready");
}

/// Runs [`one_case`] in a process of its own. Nothing of this process's environment reaches it.
fn probe(variables: &[(&str, &str)]) -> (Output, String) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let this = std::env::current_exe().expect("the path of this test");
    let output = command(&this)
        .args(["--ignored", "--exact", "one_case"])
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        // The port of the guide may well be in use where this runs.
        .env("MESHPROOF_SPEC", spec(home.path()))
        .env("MESHPROOF_STATE", home.path().join("state"))
        .envs(variables.iter().copied())
        .output()
        .expect("this test can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

fn spec(dir: &Path) -> std::path::PathBuf {
    let file = dir.join("any-port.yaml");
    std::fs::write(&file, "kubectlProxy:\n  port: 0\n").expect("a spec can be written");
    file
}

#[expect(clippy::disallowed_methods, reason = "the process is this very test, which tools/ knows nothing of")]
fn command(program: &Path) -> Command {
    Command::new(program)
}
