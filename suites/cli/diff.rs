//! What changed between two runs.

use super::embedded::Down;
use super::machine::Machine;
use super::selection::unbind;

#[test]
fn two_runs_are_compared_by_their_ids_and_their_journals() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"]).code(0);
    let verify = |code: i32, args: &[&str]| {
        let report = machine.run(&[&["verify", "--format", "json"], args].concat()).code(code).json();
        report["run"]["id"].as_str().expect("the run has an id").to_owned()
    };
    let (first, second) = (verify(0, &[]), verify(0, &[]));
    let said = machine.run(&["diff", &first, &second]).code(0).without_progress();
    assert!(said.stdout.lines().last().is_some_and(|l| l.starts_with("nothing changed")), "{}", said.stdout);

    unbind(&machine);
    let broken = verify(1, &[]);
    let diff = machine.run(&["diff", &second, &broken, "--format", "json"]).code(1).json();
    let change =
        diff["outcomes"].as_array().and_then(|all| all.iter().find(|o| o["id"] == "dashboard.admin-user.bound")).expect("it changed");
    assert_eq!(
        (change["change"].as_str(), change["before"].as_str(), change["worse"].as_bool()),
        (Some("new-failure"), Some("passed"), Some(true))
    );
    let back = machine.run(&["diff", &broken, &second]).code(0);
    assert!(back.stdout.contains("Fixed\n  ✓ dashboard.admin-user.bound: failed → passed"), "{}", back.stdout);

    let runs = machine.state().join("runs");
    let (dir, file) = (runs.join(&second), runs.join(&broken).join("journal.jsonl"));
    let paths = [dir.to_str().expect("a path"), file.to_str().expect("a path")];
    let said = machine.run(&["diff", paths[0], paths[1], "--markdown"]).code(1);
    assert!(said.stdout.contains("### New failures\n\n- ✗ dashboard.admin-user"), "{}", said.stdout);

    // As somebody else's program may have written it.
    let text = std::fs::read_to_string(&file).expect("the journal can be read");
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJzdWIiOiJub2JvZHkiLCJhdWQiOltdfQ.c2lnbmF0dXJlLW9mLW5vYm9keQ";
    let failed = "\"verdict\":\"failed\",\"reason\":\"";
    assert!(text.contains(failed), "an outcome failed");
    std::fs::write(&file, text.replace(failed, &format!("{failed}planted {token} "))).expect("the journal can be written");
    let said = machine.run(&["diff", paths[0], paths[1]]).code(1);
    assert!(said.stdout.contains("planted <redacted> ") && !said.stdout.contains(token), "{}", said.stdout);

    // As a kill leaves it.
    let cut = text.find("\"outcome-finished\"").expect("an outcome was judged");
    std::fs::write(&file, &text[..cut]).expect("the journal can be cut");
    let said = machine.run(&["diff", &second, &broken]).code(1);
    assert!(said.stdout.lines().nth(1).is_some_and(|l| l.contains("CUT")), "{}", said.stdout);
    std::fs::write(&file, "nothing\n").expect("the journal can be spoilt");
    machine.run(&["diff", &second, &broken]).code(2).without_result().complains(&["holds no record of a run"]);
    machine
        .run(&["diff", &second, "nowhere"])
        .code(2)
        .without_result()
        .complains(&["there is no run `nowhere` in ", "The last runs here: "]);
    machine.run(&["diff", &first, &second, "--markdown", "--format", "json"]).code(2).without_result().complains(&["--markdown is a form"]);
    machine.run(&["diff", &first, &second, "--format", "junit"]).code(2).without_result();
}
