//! Sessions beyond one state directory: the list of them, what a crash leaves, how long they live, and what is done with one that is there.

use std::path::Path;

use serde_json::Value;

use super::machine::{Machine, Said};

const UP: [&str; 5] = ["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"];
const RUN: [&str; 7] = ["run", "--backend", "embedded", "--set", "kubectlProxy.port=0", "--format", "json"];

struct Down<'a>(&'a Machine);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.run(&["down", "--all"]);
    }
}

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

fn sessions(machine: &Machine) -> Vec<Value> {
    machine.run(&["status", "--all", "--format", "json"]).code(0).json()["sessions"].as_array().cloned().unwrap_or_default()
}

fn result(said: &Said, stage: &str) -> String {
    let json = said.json();
    let found = json["stages"].as_array().and_then(|all| all.iter().find(|s| s["id"] == stage)).cloned().unwrap_or_default();
    found["state"].as_str().unwrap_or_default().to_owned()
}

/// Dies by its own hand once the journal has a record with this text.
fn killed(machine: &Machine, at: &str, args: &[&str]) {
    machine.start_with(&[("MESHPROOF_KILL_AT", at)], args).killed();
}

#[test]
fn every_session_of_the_user_is_listed_and_removed_wherever_it_lies() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let other = machine.path("elsewhere").display().to_string();
    machine.run(&UP).code(0);
    machine.run(&with(&UP, &["--state-dir", &other, "--set", "cluster.name=other", "--ttl", "never"])).code(0);
    let all = sessions(&machine);
    let seen: Vec<(&Value, &Value)> = all.iter().map(|s| (&s["phase"], &s["cluster"])).collect();
    assert_eq!(seen, [(&"kept".into(), &"istio-cluster".into()), (&"kept".into(), &"other".into())]);
    let left = all[0]["leftSeconds"].as_u64().expect("it has a time to live");
    assert!((600_000..=604_800).contains(&left), "{left}");
    assert_eq!(all[1]["leftSeconds"], Value::Null, "it was to live for ever");
    let human = machine.run(&["status"]).code(0);
    assert!(human.stdout.contains("ends by meshproof down, or after 6d 23h without being used"), "{}", human.stdout);
    let down = machine.run(&["down", "--all"]).code(0);
    assert!(down.stdout.contains(&other) && down.stdout.matches("removed: simulated cluster").count() == 2, "{}", down.stdout);
    assert_eq!(sessions(&machine), Vec::<Value>::new());
    assert!(!machine.state().exists() && !Path::new(&other).exists());
    assert!(!machine.path("xdg-state").join("meshproof").exists(), "the list went with the last of them");
}

#[test]
fn what_a_killed_run_left_elsewhere_is_removed_by_the_next_start_and_nothing_that_was_kept() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let [orphan, kept] = ["orphan", "kept"].map(|name| machine.path(name).display().to_string());
    machine.run(&with(&UP, &["--state-dir", &kept, "--set", "cluster.name=kept"])).code(0);
    // A later run that dies on what was kept makes no orphan of it.
    killed(&machine, "\"outcome-started\"", &["verify", "--state-dir", &kept]);
    killed(&machine, "\"stage-started\",\"stage\":\"dashboard\"", &with(&UP, &["--state-dir", &orphan]));
    let phases: Vec<Value> = sessions(&machine).iter().map(|s| s["phase"].clone()).collect();
    assert_eq!(phases, [Value::from("kept"), Value::from("orphaned")]);
    let said = machine.run(&UP).code(0);
    said.complains(&[&format!("{orphan} was orphaned, and nobody can miss it: removed: simulated cluster istio-cluster")]);
    assert!(!Path::new(&orphan).exists() && Path::new(&kept).exists());
    machine.run(&["verify", "--state-dir", &kept]).code(0);
}

#[test]
fn what_nobody_used_for_as_long_as_it_was_to_live_goes_and_use_renews_it() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let [old, used] = ["old", "used"].map(|name| machine.path(name).display().to_string());
    for (dir, name) in [(&old, "cluster.name=old"), (&used, "cluster.name=used")] {
        machine.run(&with(&UP, &["--state-dir", dir, "--set", name, "--ttl", "1h"])).code(0);
    }
    for dir in [&old, &used] {
        // As after another boot, where only the clock can tell.
        std::fs::write(Path::new(dir).join("lease"), "another-boot 1").expect("it can be written");
        let past = std::time::SystemTime::now() - std::time::Duration::from_hours(2);
        let lease = std::fs::File::options().write(true).open(Path::new(dir).join("lease")).expect("it is there");
        lease.set_modified(past).expect("its time can be set");
    }
    machine.run(&["verify", "--state-dir", &used]).code(0);
    let phases: Vec<Value> = sessions(&machine).iter().map(|s| s["phase"].clone()).collect();
    assert_eq!(phases, [Value::from("expired"), Value::from("kept")]);
    machine.run(&UP).code(0).complains(&[&format!("{old} was expired")]);
    assert!(!Path::new(&old).exists() && Path::new(&used).exists());
}

#[test]
fn another_spec_is_applied_refused_or_made_anew_and_named_each_time() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&RUN).code(0);
    let user = ["--set", "dashboard.adminUser=root-user"];
    let refused = machine.run(&with(&with(&RUN, &user), &["--on-drift", "refuse"])).code(3);
    assert!(refused.stdout.contains(r#"dashboard.adminUser (admin-user): \"root-user\", was \"admin-user\""#), "{}", refused.stdout);
    let applied = machine.run(&with(&RUN, &user)).code(0);
    assert_eq!((result(&applied, "cluster"), result(&applied, "admin-user")), ("already".to_owned(), "provisioned".to_owned()));
    assert!(applied.stdout.contains("was made from another spec and is changed: dashboard.adminUser"), "{}", applied.stdout);
    // What cannot be changed in a cluster that stands is refused before anything is touched.
    let certs = std::fs::read_to_string(machine.state().join("certs.d/docker.io/hosts.toml")).expect("it is there");
    let mirror = ["--set", "mirrors.docker.io.server=http://mirror:5000"];
    let refused = machine.run(&with(&RUN, &mirror)).code(3);
    assert!(refused.stdout.contains("mirrors.docker.io.server (cluster)"), "{}", refused.stdout);
    assert_eq!(std::fs::read_to_string(machine.state().join("certs.d/docker.io/hosts.toml")).expect("it is there"), certs);
    let made = machine.run(&with(&with(&RUN, &mirror), &["--on-drift", "recreate"])).code(0);
    assert_eq!(result(&made, "cluster"), "provisioned");
    // The same again is no drift.
    let again = machine.run(&with(&with(&RUN, &mirror), &["--on-drift", "refuse"])).code(0);
    assert!(
        again.json()["stages"].as_array().expect("stages").iter().all(|s| s["state"] == "already" || s["state"] == "not-needed"),
        "{}",
        again.stdout
    );
}

#[test]
fn an_environment_is_required_or_made_afresh_when_asked() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let none = machine.run(&with(&RUN, &["--reuse", "require"])).code(3);
    none.complains(&["There is no environment here", "hint: meshproof up makes one"]);
    assert!(!machine.state().exists());
    machine.run(&UP).code(0);
    let id = || machine.run(&["status", "--format", "json"]).code(0).json()["agent"]["pid"].clone();
    let first = id();
    machine.run(&with(&RUN, &["--reuse", "require"])).code(0);
    assert_eq!(id(), first);
    let fresh = machine.run(&with(&RUN, &["--reuse", "never"])).code(0);
    assert_eq!(result(&fresh, "cluster"), "provisioned");
    assert_ne!(id(), first);
}

#[test]
fn what_is_kept_depends_on_how_it_went() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&with(&RUN, &["--keep", "on-failure"])).code(0);
    assert!(!machine.state().exists(), "it came to a good end and leaves nothing");
    // A port that is taken fails the preflight.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = format!("kubectlProxy.port={}", taken.local_addr().expect("its address").port());
    let fails = ["run", "--backend", "embedded", "--set", &port];
    machine.run(&with(&fails, &["--keep", "on-failure"])).code(3);
    assert!(machine.state().join("state.json").exists());
    machine.run(&with(&fails, &["--keep", "never"])).code(3);
    let status = machine.run(&["status", "--format", "json"]).code(0).json();
    assert_eq!((&status["cluster"], &status["agent"]), (&Value::Null, &Value::Null));
    let run = status["lastRun"].as_str().expect("the run that failed");
    assert!(machine.state().join("runs").join(run).join("journal.jsonl").exists(), "what is known about the failure stays");
    machine.run(&["run", "--keep", "sometimes"]).code(2).complains(&["--keep is `sometimes`; there are always, on-failure, never"]);
}

#[test]
fn an_environment_that_is_used_is_not_removed() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let lease = std::fs::File::open(machine.state().join("lease")).expect("it is there");
    lease.lock_shared().expect("it can be shared");
    let said = machine.run(&["down", "--timeout-scale", "0.01"]).code(3);
    said.complains(&[&format!("process {} uses this environment", std::process::id())]);
    let all = machine.run(&["down", "--all"]).code(4);
    assert!(all.stdout.contains("left alone, since somebody works on it or uses it"), "{}", all.stdout);
    machine.run(&["verify"]).code(0);
    drop(lease);
    machine.run(&["down"]).code(0);
}

#[test]
fn a_damaged_state_is_named_and_nothing_is_removed_for_it() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let path = machine.state().join("state.json");
    let good = std::fs::read(&path).expect("it is there");
    for cut in [0, 1, good.len() / 2, good.len() - 2] {
        std::fs::write(&path, &good[..cut]).expect("it can be cut");
        for command in [&UP[..], &["down"], &["verify"], &["status"]] {
            machine.run(command).code(3).complains(&["state.json is damaged", "hint: "]);
        }
        let all = machine.run(&["down", "--all"]).code(4);
        assert!(all.stdout.contains("is damaged"), "{}", all.stdout);
        assert_eq!(sessions(&machine)[0]["phase"], "unreadable");
        let other = machine.path("other").display().to_string();
        machine.run(&with(&UP, &["--state-dir", &other, "--set", "cluster.name=other"])).code(0);
        machine.run(&["down", "--state-dir", &other]).code(0);
        assert_eq!(std::fs::read(&path).expect("it is there"), &good[..cut]);
    }
    std::fs::write(&path, &good).expect("it can be mended");
    machine.run(&["verify"]).code(0);
}

#[test]
fn a_journal_that_is_cut_or_garbage_stops_nobody() {
    let machine = Machine::new();
    let _down = Down(&machine);
    killed(&machine, "\"stage-started\",\"stage\":\"istio\"", &UP);
    let status = machine.run(&["status", "--format", "json"]).code(0).json();
    let run = status["lastRun"].as_str().expect("the run that died");
    let journal = machine.state().join("runs").join(run).join("journal.jsonl");
    for text in ["", "{\"seq\": 0", "\u{0}\u{0}garbage\n{}\n"] {
        std::fs::write(&journal, text).expect("it can be damaged");
        machine.run(&UP).code(0);
    }
}

#[test]
fn a_disk_that_takes_nothing_is_an_error_and_loses_nothing() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let full = |args: &[&str]| machine.run_with_file_limit(0, args);
    let said = full(&UP).code(3);
    said.complains(&["cannot open", "File too large"]);
    assert_eq!(sessions(&machine), Vec::<Value>::new());
    machine.run(&UP).code(0);
    let before = std::fs::read(machine.state().join("state.json")).expect("it is there");
    for command in [&UP[..], &["verify"]] {
        full(command).code(3).complains(&["error: "]);
        assert_eq!(std::fs::read(machine.state().join("state.json")).expect("it is there"), before, "{command:?}");
    }
    machine.run(&["verify"]).code(0);
    let said = machine.run(&with(&UP, &["--state-dir", "/proc/nowhere"])).code(3);
    said.complains(&["/proc/nowhere", "hint: "]);
}
