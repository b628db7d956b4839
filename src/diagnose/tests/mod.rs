//! Each rule knows its own symptoms and no others.

mod injected;
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use samples::{HEALTHY, SAMPLES, Source};

use super::*;

fn names(found: &[Diagnosis]) -> Vec<&str> {
    found.iter().map(|d| d.rule.as_str()).collect()
}

#[test]
fn the_catalogue_is_whole_and_every_rule_has_a_sample_and_both_texts() {
    let ids: Vec<&str> = rules().map(|r| r.id).collect();
    let known: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(known.len(), ids.len(), "an id is there twice");
    for n in 1..=35 {
        assert!(known.contains(format!("P{n}").as_str()), "there is no P{n}");
    }
    let sampled: BTreeSet<&str> = SAMPLES.iter().map(|s| s.rule).collect();
    assert_eq!(sampled, known);
    for found in SAMPLES.iter().flat_map(|s| diagnose(s.lines.iter().copied())) {
        assert!(!found.cause.starts_with("diagnosis-") && !found.cause.contains("{$"), "{}: {}", found.rule, found.cause);
        assert!(!found.remedy.is_empty(), "{} has no remedy", found.rule);
    }
}

#[test]
fn a_rule_yields_only_to_rules_above_it() {
    let order: BTreeMap<&str, usize> = RULES.iter().enumerate().map(|(at, r)| (r.id, at)).collect();
    for rule in RULES.iter() {
        for other in rule.yields_to {
            assert!(order.get(other).is_some_and(|at| *at < order[rule.id]), "{} yields to {other}, which is tried later", rule.id);
        }
    }
}

/// The confusion matrix: a row for each sample, a column for each rule that fires anywhere but on its own samples.
#[test]
fn every_sample_is_known_by_its_own_rule_and_by_no_other() {
    let rows: Vec<(&str, Vec<String>)> =
        SAMPLES.iter().map(|s| (s.rule, diagnose(s.lines.iter().copied()).into_iter().map(|d| d.rule).collect())).collect();
    let mut wrong = String::new();
    for (sample, (rule, found)) in SAMPLES.iter().zip(&rows) {
        if found != &[(*rule).to_owned()] {
            wrong += &format!("{rule:>22} | {:<40} | {}\n", found.join(" "), sample.lines.join(" / ").chars().take(90).collect::<String>());
        }
    }
    assert!(wrong.is_empty(), "off the diagonal:\n{:>22} | {:<40} | symptom\n{wrong}", "should be", "is");
}

#[test]
fn every_sample_says_where_its_words_come_from() {
    for sample in SAMPLES {
        match sample.source {
            Source::Seen => {}
            Source::Thread(thread) => {
                let (repository, number) = thread.split_once('#').expect("OWNER/NAME#NUMBER");
                assert!(repository.matches('/').count() == 1 && number.parse::<u32>().is_ok(), "{thread}");
            }
            Source::Upstream(place) => assert!(place.split('/').count() >= 2, "{place}"),
            Source::Own(file) => {
                let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
                assert!(std::path::Path::new(&path).exists(), "{file}");
            }
        }
    }
}

#[test]
fn what_is_healthy_has_no_diagnosis() {
    for line in HEALTHY {
        assert_eq!(names(&diagnose([*line])), [""; 0], "{line}");
    }
    assert_eq!(names(&diagnose(HEALTHY.iter().copied())), [""; 0], "all together");
}

#[test]
fn what_was_only_seen_is_no_symptom() {
    let seen = Line { kind: Kind::Seen, text: "dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host" };
    assert!(find(&[seen]).is_empty());
}

#[test]
fn a_node_fails_alone_only_if_another_has_the_proxy() {
    let fails = "crictl pull on w: image docker.io/a/b:1: failed to do request: Head \"https://r/v2/\": dial tcp: lookup r: no such host";
    let has = |node| format!("{node}: {{\"HTTP_PROXY\":\"http://172.17.0.1:7890\"}}");
    assert_eq!(names(&diagnose([fails])), ["P5"]);
    assert_eq!(names(&diagnose([fails, &has("c")])), ["P2"]);
    assert_eq!(names(&diagnose([fails, &has("c"), &has("w")])), ["P5"], "it has the proxy as well");
}

#[test]
fn a_name_that_no_proxy_names_is_not_asked_for_through_the_proxy() {
    let asked = "unexpected status from HEAD request to http://lab-registry:5000/v2/a/manifests/1?ns=docker.io: 502 Bad Gateway";
    assert_eq!(names(&diagnose([asked, "NO_PROXY=172.18.0.0/16"])), ["P4"]);
    assert_eq!(names(&diagnose([asked, "NO_PROXY=172.18.0.0/16,lab-registry"])), ["registry-unavailable"]);
    assert_eq!(names(&diagnose([asked])), ["registry-unavailable"]);
    let tunnel = "failed to do request: Head \"https://registry:5000/v2/web/manifests/1\": Bad Gateway";
    assert_eq!(names(&diagnose([tunnel, "no_proxy=172.17.0.0/16"])), ["P4"]);
}

#[test]
fn the_cause_names_what_the_line_names() {
    let found = diagnose(["node istio-cluster-worker has no container", "node istio-cluster-worker has no container"]);
    assert_eq!(found.len(), 1);
    assert!(found[0].cause.contains("istio-cluster-worker"), "{}", found[0].cause);
    let both = diagnose(["node a has no container; node b has no container"]);
    assert_eq!(both.len(), 2, "a sentence may tell of several");
}

#[test]
fn a_failure_without_a_known_cause_says_what_was_looked_at() {
    let lines = [Line { kind: Kind::Problem, text: "the moon is full" }, Line { kind: Kind::State, text: "waning" }];
    let found = explain(&lines);
    assert_eq!(names(&found), [UNKNOWN]);
    assert!(found[0].cause.contains("problems found (1), states seen while waiting (1)"), "{}", found[0].cause);
    assert_eq!((found[0].seen.as_str(), found[0].label().as_str()), ("the moon is full", UNKNOWN));
    let known = explain(&[Line { kind: Kind::Error, text: "node w has no container" }]);
    assert_eq!(known[0].label(), "node-missing (certain)");
}

#[test]
fn threads_can_be_followed() {
    let first = rules().find(|r| r.id == "P1").unwrap();
    assert_eq!(first.threads().next().unwrap().link(), "https://github.com/kubernetes-sigs/kind/issues/1459");
    assert_eq!(first.confidence, Confidence::Certain);
    assert_eq!(rules().find(|r| r.id == "P25").unwrap().confidence, Confidence::Possible);
}

#[test]
fn a_diagnosis_of_an_older_journal_is_likely() {
    let old = r#"{"rule":"P9","cause":"c","remedy":"r","seen":"s"}"#;
    let read: Diagnosis = serde_json::from_str(old).unwrap();
    assert_eq!(read.confidence, Confidence::Likely);
}

#[test]
fn a_long_line_is_cut_around_the_match() {
    let line = format!("{}node w has no container{}", "é".repeat(600), "x".repeat(600));
    let found = diagnose([line.as_str()]);
    assert!(found[0].seen.contains("node w has no container"));
    assert!(found[0].seen.len() < 450);
}
