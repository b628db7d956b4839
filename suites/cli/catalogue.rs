//! `list`, `explain` and `--help`.

use rstest::rstest;
use serde_json::Value;

use meshproof::{outcomes, stages};

use super::machine::{Machine, snapshot};

#[test]
fn outcomes_are_listed_for_people() {
    let said = Machine::new().run(&["list", "outcomes"]).code(0).without_progress();
    snapshot("cli-list-outcomes", &said.stdout);
    assert_eq!(Machine::new().run(&["list"]).stdout, said.stdout, "outcomes are what is listed by default");
}

#[test]
fn stages_are_listed_for_people() {
    let said = Machine::new().run(&["list", "stages"]).code(0).without_progress();
    snapshot("cli-list-stages", &said.stdout);
}

#[rstest]
#[case::outcomes("outcomes", outcomes::builtin().iter().map(|o| o.id.to_owned()).collect())]
#[case::stages("stages", stages::builtin().iter().map(|s| s.id.to_owned()).collect())]
#[case::faults("faults", meshproof::faults::builtin().iter().map(|f| f.id.to_owned()).collect())]
#[case::profiles("profiles", meshproof::spec::PROFILES.iter().map(|p| p.name.to_owned()).collect())]
fn everything_is_listed_in_both_forms(#[case] what: &str, #[case] names: Vec<String>) {
    let machine = Machine::new();
    let json = machine.run(&["list", what, "--format", "json"]).code(0).without_progress().json();
    let name = |entry: &Value| entry.get("id").or(entry.get("name")).and_then(Value::as_str).map(str::to_owned);
    let listed: Vec<String> = json.as_array().into_iter().flatten().filter_map(name).collect();
    assert_eq!(listed, names);
    let human = machine.run(&["list", what]).code(0).without_progress().stdout;
    let listed: Vec<&str> = human.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(listed, names);
    assert!(machine.is_untouched());
}

#[test]
fn an_outcome_is_explained() {
    let machine = Machine::new();
    let said = machine.run(&["explain", "cluster.nodes.ready"]).code(0).without_progress();
    snapshot("cli-explain-outcome", &said.stdout);
    let json = machine.run(&["explain", "cluster.nodes.ready", "--format", "json"]).code(0).json();
    assert_eq!(json["id"], "cluster.nodes.ready");
    assert_eq!(json["section"], "2.1.1");
    // What shows a defect says which, and what is done instead; a fault is explained as well.
    let defect = machine.run(&["explain", "cluster.proxy.hosts-toml-ignored"]).code(0).stdout;
    assert!(defect.contains("D1: No containerd knows") && defect.contains("instead: "), "{defect}");
    let fault = machine.run(&["explain", "gateway-api.class-gone", "--lang", "zh-CN"]).code(0).stdout;
    assert!(fault.contains("必须失败：gateway-api.classes.accepted") && fault.contains("诊断为：P31"), "{fault}");
    assert!(machine.is_untouched());
}

#[test]
fn the_guide_is_listed_sentence_by_sentence_with_what_judges_it() {
    let machine = Machine::new();
    let json = machine.run(&["list", "guide", "--format", "json"]).code(0).without_progress().json();
    assert_eq!((&json["coverage"]["holes"], json["coverage"]["sentences"].as_u64() > Some(70)), (&Value::from(0), true));
    let human = machine.run(&["list", "guide"]).code(0).without_progress().stdout;
    let sentences = json["sentences"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(human.lines().count(), sentences.len() + 2, "a line each, and the sum: {human}");
    for sentence in sentences {
        let (says, first) = (sentence["english"].as_str().unwrap_or_default(), sentence["outcomes"][0].as_str().unwrap_or_default());
        assert!(human.lines().any(|line| line.contains(says) && line.contains(first)), "{says} ({first}) is not in {human}");
    }
    let defects = machine.run(&["list", "defects"]).code(0).without_progress().stdout;
    assert_eq!(defects.lines().count(), 17, "{defects}");
    assert!(defects.lines().any(|l| l.starts_with("D17 ") && l.contains("2.1.1, 2.1.2") && l.contains("NO_PROXY")), "{defects}");
    assert!(machine.is_untouched());
}

#[test]
fn what_is_said_is_in_the_language_of_the_option_else_of_the_locale() {
    let explained = |machine: &Machine, lang: &[&str]| {
        let said = machine.run(&[&["explain", "cluster.nodes.ready"], lang].concat()).code(0).without_progress();
        said.stdout.lines().nth(1).unwrap_or_default().to_owned()
    };
    let (english, chinese) = ("Every node is Ready and its kubelet answers", "每个节点均为 Ready，且其 kubelet 有响应");
    let (plain, of_china) = (Machine::new(), Machine::new().with("LANG", "zh_CN.UTF-8"));
    assert_eq!((explained(&plain, &[]).as_str(), explained(&of_china, &[]).as_str()), (english, chinese));
    assert_eq!(explained(&plain, &["--lang", "zh-CN"]), chinese);
    assert_eq!(explained(&of_china, &["--lang", "en"]), english);
    let unknown = of_china.run(&["explain", "cluster.node.ready"]).code(2).without_result();
    let unknown = unknown.complains(&["cluster.node.ready", "cluster.nodes.ready"]);
    assert!(unknown.stderr.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{}", unknown.stderr);
}

#[test]
fn a_stage_is_explained_with_the_outcomes_that_need_it() {
    let said = Machine::new().run(&["explain", "admin-user"]).code(0).without_progress();
    assert!(said.stdout.contains("dashboard.login.accepted"), "{}", said.stdout);
    assert!(!said.stdout.contains("cluster.kind.named"), "{}", said.stdout);
}

#[test]
fn an_unknown_id_brings_the_nearest() {
    let said = Machine::new().run(&["explain", "cluster.node.ready"]).code(2).without_result();
    said.complains(&["no stage and no outcome `cluster.node.ready`", "hint: did you mean `cluster.nodes.ready`?"]);
}

#[rstest]
#[case::all(&["--help"])]
#[case::one(&["run", "--help"])]
fn help_is_a_result(#[case] args: &[&str]) {
    let machine = Machine::new();
    let said = machine.run(args).code(0).without_progress();
    assert!(said.stdout.contains("Usage: meshproof") && said.stdout.contains("--spec <FILE>"), "{}", said.stdout);
    assert!(machine.is_untouched());
}

#[test]
fn the_version_is_that_of_the_package() {
    let said = Machine::new().run(&["--version"]).code(0).without_progress();
    assert_eq!(said.stdout, concat!("meshproof ", env!("CARGO_PKG_VERSION"), "\n"));
}
