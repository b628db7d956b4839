//! `lint`: the guide's own files, and what is no such file.

use super::machine::Machine;

const HOSTS: &str = include_str!("../../fixtures/guide/hosts.toml");
const DROP_IN: &str = include_str!("../../fixtures/guide/http-proxy.conf");

#[test]
fn the_guides_own_files_are_explained_with_line_and_remedy() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.path("work/docker.io")).expect("a directory");
    machine.file("docker.io/hosts.toml", HOSTS);
    machine.file("http-proxy.conf", DROP_IN);
    let said = machine.run(&["lint", "docker.io/hosts.toml", "http-proxy.conf"]).code(1);
    for told in [
        "docker.io/hosts.toml:4: error [proxy-table]: ",
        "hint: Put the proxy into a systemd drop-in",
        "http-proxy.conf:4: warning [docker-bridge]: 172.17.0.0/16",
    ] {
        assert!(said.stdout.contains(told), "{told} is not in\n{}", said.stdout);
    }
    // A mirror of the spec has to be in NO_PROXY.
    let mirror = "mirrors.docker.io.server=http://mirror:5000";
    let json = machine.run(&["lint", "http-proxy.conf", "--format", "json", "--set", mirror]).code(1).json();
    let found = json["findings"].as_array().cloned().unwrap_or_default();
    assert!(found.iter().any(|f| f["rule"] == "mirror-not-covered" && f["line"] == 4), "{json}");
    // Only warnings are no error.
    machine.run(&["lint", "http-proxy.conf"]).code(0);
    assert!(machine.is_untouched(), "nothing was made");
}

#[test]
fn what_is_no_such_file_is_refused() {
    let machine = Machine::new();
    machine.run(&["lint", "nowhere.toml"]).code(2).without_result().complains(&["cannot read nowhere.toml"]);
    machine.file("a.yaml", "");
    machine.run(&["lint", "a.yaml"]).code(2).without_result().complains(&["a.yaml is neither"]);
}
