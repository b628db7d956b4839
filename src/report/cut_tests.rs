//! Journals that were cut anywhere, in every form: a kill or a full disk leaves a report, and a valid one.

use std::collections::BTreeSet;

use quick_junit::Report;
use serde_json::json;

use super::conformance::{self, ConformanceReport, Grade};
use super::markdown::tests::assert_sound;
use super::testing::{self, Pen};
use super::{Form, Style, Summary, render, schema};
use crate::journal::{self, Fidelity, OutcomeKind, Record, Verdict};
use crate::text::{Lang, Texts};

/// Places at which each journal is cut besides those at and around its records.
const PLACES: usize = 2_000;

fn bytes(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend(serde_json::to_vec(record).unwrap());
        bytes.push(b'\n');
    }
    bytes
}

/// Every record boundary, every byte of the last two records, and pseudo-random places that are the same in every run (Knuth's generator).
fn places(bytes: &[u8], seed: u64) -> BTreeSet<usize> {
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    let last_two = ends.len().checked_sub(3).map_or(0, |n| ends[n]);
    let mut places: BTreeSet<usize> = ends.into_iter().chain(last_two..=bytes.len()).chain([0]).collect();
    let mut state = seed;
    for _ in 0..PLACES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        places.insert(usize::try_from(state >> 33).unwrap() % (bytes.len() + 1));
    }
    places
}

#[test]
fn a_journal_cut_anywhere_is_a_valid_report_in_every_form() {
    let schema: serde_json::Value = serde_json::from_str(schema::REPORT).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let languages = Lang::ALL.map(Texts::new);
    for (seed, (name, records)) in (1..).zip(testing::all()) {
        let bytes = bytes(&records);
        let mut checked = BTreeSet::new();
        for place in places(&bytes, seed) {
            let at = format!("{name} cut at byte {place}");
            let read = journal::parse(&bytes[..place]);
            assert_eq!(read, records[..read.len()], "{at}: what is whole is read, and nothing else");
            // Every form is a function of these records alone, so that one look at each number of them is enough.
            if !checked.insert(read.len()) {
                continue;
            }
            let summary = Summary::fold(&read);
            for texts in &languages {
                let form = |form| render(form, &summary, texts, Style::default()).unwrap_or_else(|e| panic!("{at}: {e}"));
                let value: serde_json::Value = serde_json::from_str(&form(Form::Json)).unwrap();
                let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
                assert!(errors.is_empty(), "{at}: {errors:#?}");
                let xml = form(Form::Junit);
                Report::deserialize_from_str(&xml).unwrap_or_else(|e| panic!("{at}: {e}\n{xml}"));
                assert_sound(&form(Form::Markdown), &at);
                let yaml = form(Form::Conformance);
                let again: ConformanceReport = serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{at}: {e}\n{yaml}"));
                assert_eq!(again, conformance::report(&summary, texts), "{at}\n{yaml}");
                assert_eq!(again.interrupted, summary.interrupted(), "{at}");
                assert!(!form(Form::Terminal).is_empty(), "{at}");
                assert!(form(Form::Html).trim_end().ends_with("</html>"), "{at}");
            }
        }
        assert_eq!(checked.len(), records.len() + 1, "{name}: every number of records was there");
    }
}

#[test]
fn a_conformance_report_has_a_profile_for_each_chapter_and_no_defects() {
    let texts = Texts::new(Lang::En);
    let report = conformance::report(&Summary::fold(&testing::green()), &texts);
    let names: Vec<&str> = report.profiles.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["cluster", "dashboard", "istio", "gateway", "ambient"]);
    assert_eq!((report.gateway_api_version.as_str(), report.implementation.version.as_str()), ("v1.3.0", "1.27.1"));
    assert_eq!((report.fidelity.as_str(), report.stand_ins.contains_key("ztunnel"), report.interrupted), ("real", true, false));
    let istio = &report.profiles[2];
    let (core, extended) = (istio.core.as_ref().unwrap(), istio.extended.as_ref().unwrap());
    assert_eq!((core.statistics.passed, extended.status.statistics.passed), (1, 1), "the defect is in neither");
    let ambient = report.profiles[4].extended.as_ref().unwrap();
    assert_eq!((ambient.status.result, ambient.unsupported_features.len(), report.profiles[4].core.is_none()), (Grade::Partial, 1, true));
    assert_eq!(ambient.status.skipped_because["ambient.traffic.mtls"], "unsupported: data-plane");

    let report = conformance::report(&Summary::fold(&testing::outcomes_failed()), &texts);
    let core = |n: usize| report.profiles[n].core.clone().unwrap();
    assert_eq!((core(0).result, core(0).failed_tests), (Grade::Failure, vec!["cluster.config.mirrors".to_owned()]));
    assert_eq!((core(1).result, core(1).skipped_tests), (Grade::Partial, vec!["dashboard.token.login".to_owned()]));
    assert_eq!((report.profiles[2].extended.as_ref().unwrap().status.result, core(2).result), (Grade::Failure, Grade::Success));

    let report = conformance::report(&Summary::fold(&testing::stage_failed()), &texts);
    assert_eq!((report.provisioning.result, report.provisioning.failed_stages), (Grade::Failure, vec!["cluster".to_owned()]));
    assert!(report.profiles.iter().filter_map(|p| p.core.as_ref()).all(|core| core.result == Grade::Partial), "blocked is not failed");
    let report = conformance::report(&Summary::fold(&testing::cut()), &texts);
    assert_eq!((report.interrupted, report.run.exit_code, report.provisioning.result), (true, None, Grade::Partial));

    let summary = Summary::fold(&testing::outcomes_failed());
    let yaml = conformance::render(&summary, &texts).unwrap();
    for line in ["apiVersion: meshproof.dev/v1alpha1", "kind: ConformanceReport", "gatewayAPIVersion: v1.3.0", "      Passed: 1"] {
        assert!(yaml.lines().any(|l| l.replace('"', "").trim_end().ends_with(line.trim_start())), "{line} is not in\n{yaml}");
    }
    let defects = summary.outcomes.iter().filter(|o| o.info.kind == OutcomeKind::Defect);
    assert!(defects.clone().count() > 0 && defects.map(|o| o.info.id.as_str()).all(|id| !yaml.contains(id)));
}

#[test]
fn words_that_mean_something_in_yaml_stay_text() {
    for odd in [
        "yes",
        "null",
        "1.30",
        "0x1F",
        "- a",
        "a: b",
        "# c",
        "&a",
        "*a",
        "!t",
        "\"q\"",
        "'",
        "%",
        "@",
        "a\u{0}\u{1b}[31mb\nc",
        "中文",
        " ",
        "~",
        "{}",
    ] {
        let mut pen = Pen::new(Fidelity::Real);
        pen.write(journal::Event::Fact { name: "kubernetes".into(), value: odd.into() });
        pen.write(journal::Event::StandIn { component: odd.into(), image: odd.into() });
        let verdict = Verdict::Unsupported { capability: odd.into(), reason: odd.into() };
        pen.judge(&format!("{odd}.a.b"), 1, verdict, json!({}), vec![]);
        let (summary, texts) = (Summary::fold(&pen.end(0)), Texts::new(Lang::En));
        let yaml = conformance::render(&summary, &texts).unwrap();
        let again: ConformanceReport = serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{odd:?}: {e}\n{yaml}"));
        assert_eq!(again, conformance::report(&summary, &texts), "{odd:?}\n{yaml}");
    }
}
