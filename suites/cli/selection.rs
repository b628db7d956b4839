//! A part of the outcomes: which are judged, which are left out in sight, and which are judged again.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use rstest::rstest;
use serde_json::{Value, json};

use super::machine::{Machine, Said};

const UP: [&str; 5] = ["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"];

/// Ends the agent of a test that fails as well.
struct Down<'a>(&'a Machine);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.run(&["down"]);
    }
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    let outcomes = report["outcomes"].as_array().into_iter().flatten();
    outcomes.map(|o| (o["id"].as_str().unwrap_or_default(), o["verdict"].as_str().unwrap_or_default())).collect()
}

fn ids(report: &Value) -> Vec<&str> {
    outcomes(report).into_iter().map(|(id, _)| id).collect()
}

fn last_line(said: &Said) -> &str {
    said.stdout.lines().last().unwrap_or_default()
}

/// Takes from the cluster what the outcomes about the admin user need.
pub(crate) fn unbind(machine: &Machine) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = meshproof::cluster::client(&machine.state().join("kubeconfig"), "kind-istio-cluster").await.expect("a client");
        let bindings: kube::Api<ClusterRoleBinding> = kube::Api::all(client);
        bindings.delete("admin-user", &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    });
}

#[test]
fn a_part_is_judged_and_the_rest_is_counted_in_every_form() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let all = meshproof::outcomes::builtin().len();
    let args = ["--select", "gateway-api or *.ready and not istio", "--skip", "*.ready=the lab has slow disks"];
    let verify = |more: &[&str]| machine.run(&[&["verify"][..], &args, more].concat());
    let said = verify(&["--format", "json"]).code(0);
    let report = said.json();
    let wanted = [
        ("cluster.nodes.ready", "skipped"),
        ("gateway-api.crds.established", "passed"),
        ("gateway-api.crds.bundle", "passed"),
        ("gateway-api.classes.accepted", "passed"),
        ("gateway-api.guard.one-name", "passed"),
    ];
    assert_eq!(outcomes(&report), wanted);
    assert_eq!(report["outcomes"][0]["reason"], "the lab has slow disks");
    assert_eq!((&report["counts"]["notSelected"], &report["counts"]["skipped"]), (&json!(all - 5), &json!(1)));
    assert_eq!(report["notSelected"].as_array().map(Vec::len), Some(all - 5));

    let said = verify(&[]).code(0);
    assert!(said.stdout.contains("skipped: the lab has slow disks"), "{}", said.stdout);
    let counts = format!("4 passed, 0 failed, 0 blocked, 1 skipped, 0 unsupported, {} not selected", all - 5);
    assert!(last_line(&said).starts_with(&counts), "{}", said.stdout);

    let said = verify(&["--format", "junit"]).code(0);
    let wanted = ["skipped: the lab has slow disks", &format!("<property name=\"not-selected\" value=\"{}\"/>", all - 5)];
    assert!(wanted.iter().all(|w| said.stdout.contains(w)), "{}", said.stdout);
    assert!(!said.stdout.contains("istio.istiod.ready"), "{}", said.stdout);

    // Nothing of it lasts.
    let said = machine.run(&["verify"]).code(0);
    assert!(!last_line(&said).contains("not selected") && last_line(&said).contains(" 0 skipped"), "{}", said.stdout);
}

#[test]
fn strict_makes_what_was_not_seen_gate() {
    let machine = Machine::new();
    let _down = Down(&machine);
    // There is no istioctl on this machine, so nothing can be said of its version.
    let strict = |command: &[&str]| machine.run(&[command, &["--strict"]].concat());
    let said = strict(&["run", "--backend", "embedded", "--set", "kubectlProxy.port=0", "--junit", "report.xml"]).code(1);
    assert!(said.stdout.contains("strict: skipped and unsupported outcomes gate: 13"), "{}", said.stdout);
    assert!(last_line(&said).contains(" 0 failed") && last_line(&said).ends_with("exit 1"), "{}", said.stdout);
    let xml = std::fs::read_to_string(machine.path("work/report.xml")).expect("the report was written");
    assert!(xml.contains("failures=\"13\" errors=\"0\""), "each is red by itself: {xml}");
    assert!(xml.contains("unsupported: needs istioctl") && xml.contains("(strict)"), "{xml}");
    strict(&["verify", "--select", "gateway-api"]).code(0);
    strict(&["verify", "--select", "gateway-api", "--skip", "gateway-api.crds.bundle=known"]).code(1);
    let report = strict(&["verify", "--select", "istioctl.version.client", "--format", "json"]).code(1).json();
    assert_eq!((&report["run"]["strict"], &report["exitCode"]), (&json!(true), &json!(1)));
    machine.run(&["verify", "--select", "istioctl.version.client"]).code(0);
}

#[test]
fn what_failed_is_judged_again_until_nothing_does() {
    let machine = Machine::new();
    let _down = Down(&machine);
    machine.run(&UP).code(0);
    let never = ["--rerun-failed: no run has judged anything in ", "hint: meshproof run"];
    machine.run(&["verify", "--rerun-failed"]).code(2).without_result().complains(&never);
    unbind(&machine);
    let verify = |args: &[&str]| machine.run(&[&["verify", "--format", "json"], args].concat());
    let first = verify(&[]).code(1).json();
    let failed: Vec<&str> = outcomes(&first).into_iter().filter(|(_, verdict)| *verdict == "failed").map(|(id, _)| id).collect();
    assert!(failed.contains(&"dashboard.admin-user.bound"), "{failed:?}");

    let again = verify(&["--rerun-failed"]).code(1).json();
    assert_eq!(ids(&again), failed);
    assert_eq!(again["counts"]["notSelected"], json!(ids(&first).len() - failed.len()));
    let said = verify(&["--rerun-failed", "--select", "istio"]).code(2).without_result();
    said.complains(&["--select `istio` has nothing of what run ", "dashboard.admin-user.bound", "hint: "]);

    // `up` repairs and judges nothing, so what failed before it is still what failed.
    machine.run(&UP).code(0);
    let green = verify(&["--rerun-failed"]).code(0).json();
    assert_eq!(ids(&green), failed);
    let all = verify(&["--rerun-failed"]).code(0);
    assert_eq!(ids(&all.json()), ids(&first));
    let run = green["run"]["id"].as_str().expect("the run has an id");
    all.complains(&[&format!("--rerun-failed: nothing was left to judge again by run {run}, so everything is judged")]);

    // Half a journal, as a kill leaves it: what has no verdict yet is to be judged.
    let report = verify(&["--select", "gateway-api"]).code(0).json();
    let journal = machine.state().join("runs").join(report["run"]["id"].as_str().unwrap_or_default()).join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("the journal can be read");
    let cut = text.find("\"outcome-finished\"").expect("an outcome was judged");
    std::fs::write(&journal, &text[..cut]).expect("the journal can be cut");
    assert_eq!(ids(&verify(&["--rerun-failed"]).code(0).json()), ids(&report));
}

#[test]
fn the_list_shows_what_would_be_judged() {
    let machine = Machine::new();
    let args = ["list", "outcomes", "--select", "section:2.3 and not needs:nodes or gateway-api.classes"];
    let said = machine.run(&args).code(0).without_progress();
    let listed: Vec<&str> = said.stdout.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(listed.contains(&"istio.istiod.ready") && listed.ends_with(&["gateway-api.classes.accepted"]), "{listed:?}");
    assert!(listed.len() < 7, "{listed:?}");
    let json = machine.run(&[&args[..], &["--format", "json"]].concat()).code(0).without_progress().json();
    let same: Vec<&str> = json.as_array().into_iter().flatten().filter_map(|o| o["id"].as_str()).collect();
    assert_eq!(same, listed);
    assert!(machine.is_untouched());
}

#[rstest]
#[case::syntax(&["run", "--select", "istio and"], &["--select `istio and`, column 10: expected an id"])]
#[case::unknown_id(&["run", "--select", "istio or dashbord"], &["column 10: no outcome is called `dashbord`", "hint: did you mean `dashboard`?"])]
#[case::unknown_stage(&["verify", "--select", "needs:itsio"], &["no outcome has needs:itsio; there are admin-user", "did you mean `needs:istio`?"])]
#[case::unknown_kind(&["run", "--select", "kind:documentd"], &["there are documented, hardening, defect"])]
#[case::unknown_predicate(&["run", "--select", "stage:istio"], &["unknown predicate `stage`; there are kind, section, needs"])]
#[case::nothing(&["run", "--select", "istio and dashboard"], &["no outcome is selected", "hint: "])]
#[case::a_list(&["list", "outcomes", "--select", "istoi"], &["--select `istoi`, column 1", "hint: did you mean `istio`?"])]
#[case::skip_without_reason(&["run", "--skip", "istio"], &["--skip istio: expected ID=reason"])]
#[case::skip_with_an_empty_reason(&["verify", "--skip", "istio= "], &["expected a reason after the `=`"])]
#[case::skip_of_nothing(&["run", "--skip", "istio=x", "--skip", "cluster.node.*=x"], &["--skip cluster.node.*=x: no outcome", "did you mean `cluster.nodes.*`?"])]
#[case::never_judged(&["run", "--rerun-failed"], &["no run has judged anything in ", "hint: meshproof run"])]
#[case::never_judged_nor_made(&["verify", "--rerun-failed"], &["no run has judged anything in "])]
#[case::select_for_up(&["up", "--select", "istio"], &["only run, verify and list outcomes take --select"])]
#[case::select_for_stages(&["list", "stages", "--select", "istio"], &["only run, verify and list outcomes take --select"])]
#[case::skip_for_a_list(&["list", "outcomes", "--skip", "istio=x"], &["only run and verify take --skip"])]
#[case::rerun_for_down(&["down", "--rerun-failed"], &["only run and verify take --rerun-failed"])]
#[case::a_ledger_for_up(&["up", "--expected-failures", "l.yaml"], &["only run and verify take --expected-failures"])]
#[case::no_ledger(&["run", "--expected-failures", "l.yaml"], &["cannot read the expected failures l.yaml"])]
#[case::strict_for_a_plan(&["plan", "--strict"], &["only run and verify take --strict"])]
fn a_mistake_makes_nothing(#[case] args: &[&str], #[case] words: &[&str]) {
    let machine = Machine::new();
    machine.run(args).code(2).without_result().complains(words);
    assert!(machine.is_untouched(), "a mistake must not make anything");
}
