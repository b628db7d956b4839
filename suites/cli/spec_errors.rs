//! A mistake in a spec or an option ends with 2, names its place and what was probably meant, and nothing was made.

use rstest::rstest;

use super::machine::{Machine, snapshot};

/// A file that every case can name.
const SPEC: &str = "apiVersion: meshproof.dev/v1alpha1\nkind: Environment\ncluster:\n  wokers: 2\n";

#[rstest]
#[case::wrong_key(&["up", "--spec", "wrong.yaml"], &["wrong.yaml:4:3:", "`wokers` in `cluster`", "did you mean `workers`?"])]
#[case::wrong_type(&["up", "--spec", "type.yaml"], &["type.yaml:2:12:", "`cluster.workers` must be a whole number", "the text `many`"])]
#[case::not_yaml(&["up", "--spec", "broken.yaml"], &["broken.yaml:", "not valid YAML"])]
#[case::no_file(&["up", "--spec", "none.yaml"], &["cannot read the spec none.yaml"])]
#[case::later_file(&["plan", "--spec", "good.yaml", "--spec", "wrong.yaml"], &["wrong.yaml:4:3:"])]
#[case::unknown_profile(&["plan", "--profile", "gide"], &["--profile: unknown profile `gide`", "did you mean `guide`?"])]
#[case::unknown_set(&["plan", "--set", "cluster.wokers=2"], &["--set cluster.wokers=2:", "did you mean `workers`?"])]
#[case::set_of_wrong_type(&["run", "--set", "cluster.workers=two"], &["--set cluster.workers=two:", "must be a whole number"])]
#[case::too_many_workers(&["plan", "--set", "cluster.workers=4294967295"], &["cluster.workers", "4294967295", "up to 100 workers"])]
#[case::no_control_plane(&["plan", "--set", "cluster.controlPlanes=0"], &["cluster.controlPlanes"])]
#[case::no_user_name(&["plan", "--set", "dashboard.adminUser=a b"], &["dashboard.adminUser", "RFC 1123"])]
#[case::quote_in_no_proxy(&["plan", "--set", "proxy.noProxy=['a\"b']"], &["proxy.noProxy.0", "not one host"])]
#[case::unknown_scheme(&["plan", "--set", "proxy.http=socks5://u:secretpw@h:1"], &["proxy.http", "<redacted>@h:1"])]
#[case::set_without_value(&["run", "--set", "cluster"], &["--set cluster:", "path=value"])]
#[case::unknown_command(&["frobnicate"], &["unrecognized subcommand 'frobnicate'"])]
#[case::unknown_flag(&["up", "--frobnicate"], &["unexpected argument '--frobnicate'"])]
#[case::unknown_backend(&["up", "--backend", "kindd"], &["invalid value 'kindd'", "possible values: auto, kind"])]
#[case::unknown_thing_to_list(&["list", "outcome"], &["invalid value 'outcome'", "outcomes"])]
#[case::no_command(&[], &["Usage: meshproof"])]
#[case::no_time(&["up", "--timeout-scale", "0"], &["--timeout-scale must be between"])]
#[case::junit_of_a_plan(&["plan", "--format", "junit"], &["only run, up and verify have a JUnit report"])]
fn is_refused(#[case] args: &[&str], #[case] words: &[&str]) {
    let machine = Machine::new();
    machine.file("good.yaml", "cluster:\n  workers: 1\n");
    machine.file("wrong.yaml", SPEC);
    machine.file("type.yaml", "cluster:\n  workers: many\n");
    machine.file("broken.yaml", "cluster: [1,\n");
    let said = machine.run(args).code(2).without_result();
    assert!(!said.stderr.contains("secretpw"), "{}", said.stderr);
    said.complains(words);
    assert!(machine.is_untouched(), "a mistake must not make anything");
}

#[rstest]
#[case::beside_the_caller("meshproof.yaml", "")]
#[case::named_by_the_variable("other.yaml", "other.yaml")]
fn a_spec_is_found_without_an_option(#[case] file: &str, #[case] variable: &str) {
    let machine = Machine::new();
    machine.file(file, SPEC);
    let machine = if variable.is_empty() { machine } else { machine.with("MESHPROOF_SPEC", variable) };
    machine.run(&["plan"]).code(2).complains(&[&format!("{file}:4:3:")]);
}

#[test]
fn the_whole_message_of_a_wrong_key() {
    let machine = Machine::new();
    machine.file("wrong.yaml", SPEC);
    let path = machine.path("work/wrong.yaml");
    let said = machine.run(&["up", "--spec", &path.to_string_lossy()]).code(2);
    snapshot("cli-spec-error", &machine.redacted(&said.stderr));
}
