//! `prove`: every fault on a simulated cluster.

use serde_json::Value;

use super::embedded::Down;
use super::machine::Machine;

const WITHOUT_TOOLS: [&str; 12] = [
    "dashboard.other-token",
    "dashboard.proxy-to-nowhere",
    "dashboard.proxy-for-every-host",
    "dashboard.proxy-with-exec",
    "dashboard.proxy-never-open",
    "dashboard.proxy-everywhere",
    "istioctl.other-version",
    "istioctl.other-istio",
    "istioctl.failed-before",
    "istioctl.istio-was-there",
    "istio.line-missing",
    "istio.cni-not-reported",
];

#[test]
fn every_fault_fails_exactly_what_it_names_and_is_mended() {
    let machine = Machine::new();
    let _down = Down(&machine);
    let recorded = ["--set", "recording.mirror=true", "--set", "recording.proxy=direct", "--set", "proxy.enabled=true"];
    machine.run(&[&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0"], &recorded[..]].concat()).code(0);
    let mut proving = machine.start(&["prove", "--format", "json", "--timeout-scale", "0.5"]);
    // All of them take a while, of which it tells.
    let all = meshproof::faults::builtin();
    for fault in &all {
        proving.wait_for(&format!("{}  ", fault.id));
    }
    let json = proving.end().code(0).json();
    let faults = json["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(faults.len(), all.len());
    let (unsupported, judged): (Vec<&Value>, Vec<&Value>) = faults.iter().partition(|f| f["result"] == "unsupported");
    for fault in &judged {
        assert_eq!(fault["result"], "proved", "{fault:#}");
    }
    // What breaks a kubectl, an istioctl or what an installation said; there is none of them here.
    let unsupported: Vec<&str> = unsupported.iter().filter_map(|f| f["fault"].as_str()).collect();
    assert_eq!(unsupported, WITHOUT_TOOLS);
    let scraper = judged.iter().find(|f| f["fault"] == "dashboard.no-scraper").expect("the fault");
    assert_eq!(scraper["unjudged"], serde_json::json!(["dashboard.pods.listed"]));
    assert_eq!(json["after"], serde_json::json!({}));
    assert_eq!(json["fidelity"], "simulated");
    let verified = machine.run(&["verify", "--format", "json"]).code(0).json();
    assert_eq!(verified["counts"]["failed"], 0, "{}", verified["counts"]);
    // The journal tells what was done to the environment.
    let runs = std::fs::read_dir(machine.state().join("runs")).expect("the runs");
    let journals = runs.map(|run| std::fs::read_to_string(run.expect("a run").path().join("journal.jsonl")).expect("a journal"));
    let proved = journals.filter(|journal| journal.contains("\"event\":\"fault-injected\"")).collect::<Vec<_>>();
    assert_eq!(proved.len(), 1);
    let count = |event: &str| proved[0].matches(event).count();
    assert_eq!((count("\"event\":\"fault-injected\""), count("\"event\":\"fault-reverted\"")), (judged.len(), judged.len()));
    // A chapter alone, for people.
    let human = machine.run(&["prove", "gateway-api.other-bundle", "cluster.no-role", "--timeout-scale", "0.5"]).code(0);
    assert!(human.stdout.contains("gateway-api.other-bundle  proved") && human.stdout.contains("cluster.no-role"), "{}", human.stdout);
    assert!(!human.stdout.contains("istio.no-istiod") && human.stdout.contains("0 not proved"), "{}", human.stdout);
}

#[test]
fn an_unknown_fault_brings_those_that_there_are() {
    let machine = Machine::new();
    machine.run(&["prove", "istio.no-such"]).code(2).without_result().complains(&["no fault `istio.no-such`", "hint: ", "istio.no-istiod"]);
    assert!(machine.is_untouched());
}
