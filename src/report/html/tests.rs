use std::collections::HashSet;
use std::path::PathBuf;

use regex::Regex;
use serde_json::json;

use super::*;
use crate::journal::{Confidence, Diagnosis, Event, Fidelity, OutcomeInfo, OutcomeKind, Record, Verdict};
use crate::report::testing::{self, Pen};
use crate::text::Lang;

fn page(records: &[Record], lang: Lang) -> String {
    render(&Summary::fold(records), &Texts::new(lang)).unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)))
}

/// Text between two marks.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

fn matches(pattern: &str, page: &str) -> Vec<String> {
    Regex::new(pattern).unwrap().captures_iter(page).map(|found| found[1].to_owned()).collect()
}

/// A run of every outcome that this version knows on a cluster of so many nodes, in which a node lacks its ztunnel.
fn catalogue(nodes: usize) -> Vec<Record> {
    let mut pen = Pen::new(Fidelity::Simulated);
    let names: Vec<String> = (0..nodes).map(|n| if n == 0 { "lab-control-plane".into() } else { format!("lab-worker{n}") }).collect();
    pen.write(Event::Fact { name: "nodes".into(), value: names.join(", ") });
    pen.write(Event::StandIn { component: "ztunnel".into(), image: "docker.io/istio/ztunnel:1.27.1-distroless".into() });
    for (n, outcome) in crate::outcomes::builtin().into_iter().enumerate() {
        pen.write(Event::OutcomeStarted { outcome: outcome.id.into(), info: Some(outcome.info()) });
        pen.wait(35);
        let daemon = |name: &str, nodes: &[String]| {
            let pods: Vec<String> = nodes.iter().enumerate().map(|(n, node)| format!("{name}-{n:05} 1/1 Running 0 {node}")).collect();
            json!({"image": format!("docker.io/istio/{name}:1.27.1"), "nodes": names, "pods": pods})
        };
        let (verdict, evidence, diagnoses) = match outcome.id {
            "istio.ztunnel.every-node" => {
                let reason = format!("node {} has no ready pod of ztunnel", names[nodes - 1]);
                let diagnosis = Diagnosis {
                    rule: "P9".into(),
                    confidence: Confidence::Certain,
                    cause: "The host is out of inotify instances.".into(),
                    remedy: "Raise fs.inotify.max_user_instances to 512.".into(),
                    seen: "too many open files".into(),
                };
                (Verdict::Failed { reason }, daemon("ztunnel", &names[..nodes - 1]), vec![diagnosis])
            }
            "istio.cni.every-node" => (Verdict::Passed, daemon("istio-cni-node", &names), Vec::new()),
            _ if n % 11 == 7 => {
                let verdict =
                    Verdict::Unsupported { capability: "node-proxy".into(), reason: "the spec has no proxy for the nodes".into() };
                (verdict, json!({}), Vec::new())
            }
            _ if n % 13 == 5 => (Verdict::Skipped { reason: "not on this host".into() }, json!({}), Vec::new()),
            _ => (Verdict::Passed, json!({"answer": "as documented", "lines": ["one", "two"]}), Vec::new()),
        };
        let evidence = serde_json::from_value(evidence).unwrap();
        pen.write(Event::OutcomeFinished { outcome: outcome.id.into(), duration_ms: 35, verdict, evidence, diagnoses });
    }
    pen.end(1)
}

/// So many outcomes, some of which failed, and as many nodes as asked for.
fn large(outcomes: usize, nodes: usize) -> Vec<Record> {
    let mut records = catalogue(nodes);
    let end = records.pop().unwrap();
    let mut pen = Pen::new(Fidelity::Real);
    pen.records = records;
    for n in 0..outcomes {
        let id = format!("chapter{}.subject.claim-{n}", n % 50);
        let (title, hint) = (format!("Claim {n} holds"), "Look at it.".to_owned());
        let sentence = Some("安装完成后,您将看到以下输出".to_owned());
        let info = OutcomeInfo { id: id.clone(), title, kind: OutcomeKind::Documented, section: Some("2.3".into()), sentence, hint };
        pen.write(Event::OutcomeStarted { outcome: id.clone(), info: Some(info) });
        let verdict = if n % 100 == 0 { Verdict::Failed { reason: "it does not".into() } } else { Verdict::Passed };
        let evidence =
            serde_json::from_value(json!({"answer": "as documented", "lines": ["a line", "another line", "a third one"]})).unwrap();
        pen.write(Event::OutcomeFinished { outcome: id, duration_ms: 12, verdict, evidence, diagnoses: Vec::new() });
    }
    pen.records.push(end);
    pen.records
}

/// Where pages are to be written for a browser, if anywhere: ci/html.sh asks for them.
fn out() -> Option<PathBuf> {
    std::env::var_os("MESHPROOF_HTML_OUT").map(PathBuf::from)
}

#[test]
fn pages_for_a_browser_are_written_where_they_are_asked_for() {
    let Some(dir) = out() else { return };
    std::fs::create_dir_all(&dir).unwrap();
    let mut pages: Vec<(String, Vec<Record>)> = testing::all().into_iter().map(|(name, records)| (name.to_owned(), records)).collect();
    pages.push(("catalogue".into(), catalogue(4)));
    pages.push(("large".into(), large(10_000, 1000)));
    if let Some(journal) = std::env::var_os("MESHPROOF_HTML_JOURNAL") {
        pages.push(("journal".into(), crate::journal::read(&PathBuf::from(journal)).unwrap()));
    }
    for (name, records) in pages {
        std::fs::write(dir.join(format!("{name}.html")), page(&records, Lang::En)).unwrap();
        std::fs::write(dir.join(format!("{name}.zh-CN.html")), page(&records, Lang::ZhCn)).unwrap();
    }
}

#[test]
fn every_prefix_of_a_journal_gives_a_whole_page_in_every_language() {
    for lang in Lang::ALL {
        let texts = Texts::new(lang);
        // Its records are all of the same few kinds, so that a few cuts tell as much.
        let journals = testing::all().into_iter().map(|(name, records)| (name, records, 1)).chain([("catalogue", catalogue(3), 17)]);
        for (name, records, step) in journals {
            for cut in (0..=records.len()).step_by(step) {
                let page = render(&Summary::fold(&records[..cut]), &texts).unwrap_or_else(|e| panic!("{name} cut at {cut}: {e:?}"));
                assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"), "{name} cut at {cut}");
                assert!(page.contains(&format!("<html lang=\"{}\">", lang.tag())));
                let body = between(&page, "<body", "<script>");
                for key in ["html-", "guide-defect-", "undefined"] {
                    assert!(!body.contains(key), "{name} cut at {cut}: {key} has no text");
                }
                let whole = matches!(records[..cut].last().map(|r| &r.event), Some(Event::RunFinished { .. }));
                assert_eq!(page.contains("r-interrupted\"") || page.contains("r-interrupted many\""), !whole, "{name} cut at {cut}");
            }
        }
    }
}

#[test]
fn the_verdict_the_first_failure_and_what_is_simulated_are_told() {
    let page = page(&testing::outcomes_failed(), Lang::En);
    assert!(between(&page, "<section class=\"simulated\"", "</section>").contains("no real cluster"));
    assert!(between(&page, "<title>", "</title>").starts_with("SIMULATED · Outcomes failed"));
    let verdict = between(&page, "id=\"verdict\"", "</section>");
    assert!(verdict.contains("exit code 1") && verdict.contains("do not gate: 1"), "{verdict}");
    let failure = between(&page, "id=\"failure\"", "</section>");
    for told in ["cluster.config.mirrors", "no config_path", "Diagnosis P12 · likely", "restart containerd", "Also failed"] {
        assert!(failure.contains(told), "{told} is not in {failure}");
    }
    let outcome = between(&page, "id=\"outcome-cluster.config.mirrors\"", "</article>");
    assert!(outcome.contains("<details open>") && outcome.contains("0.3 s"), "{outcome}");
    assert!(outcome.contains("Guide 1.2") && outcome.contains("lang=\"zh-CN\""), "{outcome}");
    assert!(outcome.contains("failed to resolve reference") && !outcome.contains('\u{1b}'), "{outcome}");

    let page = self::page(&testing::green(), Lang::ZhCn);
    assert!(!page.contains("class=\"simulated\""));
    assert!(page.contains("影响退出码的结论全部成立") && page.contains("ztunnel 的替身"));
}

#[test]
fn stages_are_drawn_to_scale() {
    let page = page(&testing::green(), Lang::En);
    let stages = between(&page, "id=\"stages\"", "</section>");
    let bars = matches(r#"<rect class="[a-z-]+" x="([0-9.]+%)""#, stages);
    assert_eq!(bars.len(), testing::STAGES.len());
    // preflight, mirror and cluster take 212, 840 and 24310 of 56797 ms.
    assert_eq!(bars[..4], ["0.000%", "0.373%", "1.852%", "44.653%"]);

    let page = self::page(&testing::stage_failed(), Lang::En);
    let stages = between(&page, "id=\"stages\"", "</section>");
    assert_eq!(stages.matches("<rect").count(), 3, "what is blocked took no time");
    assert_eq!(stages.matches("blocked by cluster").count(), 5);
    let page = self::page(&testing::cut(), Lang::En);
    let stages = between(&page, "id=\"stages\"", "</section>");
    assert!(stages.contains("<rect class=\"s-running\"") && stages.contains("0 of 1 ready"), "{stages}");
}

#[test]
fn the_map_shows_which_ztunnel_is_on_which_node() {
    let page = page(&catalogue(3), Lang::En);
    let nodes = between(&page, "id=\"nodes\"", "</section>");
    assert_eq!(nodes.matches("class=\"node\"").count(), 3);
    assert_eq!(nodes.matches("pod ztunnel ok").count(), 2);
    let last = between(nodes, "lab-worker2</p>", "</ul>");
    assert!(last.contains("none on this node") && last.contains("istio-cni-node-00002"), "{last}");
    assert!(!self::page(&testing::green(), Lang::En).contains("id=\"nodes\""), "nothing tells of nodes");
}

#[test]
fn hostile_text_is_text() {
    let odd = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\u{0}\u{1b}[31m\u{202e}\u{7}{{ 1 + 1 }}";
    let mut pen = Pen::new(Fidelity::Real);
    for n in 0..2 {
        let info = OutcomeInfo {
            id: format!("{odd}{n}"),
            title: odd.into(),
            kind: OutcomeKind::Documented,
            section: Some(odd.into()),
            sentence: Some(odd.into()),
            hint: odd.into(),
        };
        pen.write(Event::OutcomeStarted { outcome: info.id.clone(), info: Some(info.clone()) });
        let diagnosis =
            Diagnosis { rule: odd.into(), confidence: Confidence::Possible, cause: odd.into(), remedy: odd.into(), seen: odd.into() };
        let evidence = serde_json::from_value(json!({odd: odd, "pods": [format!("{odd} 1/1 {odd} 0 {odd}")], "nodes": [odd]})).unwrap();
        let verdict = Verdict::Failed { reason: odd.into() };
        pen.write(Event::OutcomeFinished { outcome: info.id, duration_ms: u64::MAX, verdict, evidence, diagnoses: vec![diagnosis] });
    }
    pen.write(Event::Fact { name: odd.into(), value: odd.into() });
    pen.write(Event::Fact { name: "nodes".into(), value: odd.into() });
    pen.write(Event::StandIn { component: odd.into(), image: odd.into() });
    pen.write(Event::Warning { message: odd.into() });
    pen.write(Event::StageStarted { stage: odd.into() });
    pen.write(Event::StageProgress { stage: odd.into(), status: odd.into() });
    let page = page(&pen.records, Lang::En);
    let rest = page.replace(SCRIPT, "").replace(STYLE, "");
    assert_eq!(rest.matches("<script").count(), 1);
    assert!(!rest.contains("<img") && rest.contains("{{ 1 + 1 }}"), "nothing of it is markup");
    assert!(!page.contains(needs_cleaning), "control characters are left out");
    let ids = matches(r#" id="([^"]*)""#, &page);
    assert!(ids.iter().all(|id| !id.contains(char::is_whitespace)), "{ids:?}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "each id is there once: {ids:?}");
    for lang in Lang::ALL {
        let mut records = testing::green();
        if let Event::RunStarted { run, command, backend, spec, .. } = &mut records[0].event {
            *run = odd.into();
            *command = odd.into();
            *backend = odd.into();
            *spec = json!({odd: [odd]});
        }
        let page = self::page(&records, lang);
        assert_eq!(page.matches("<script").count(), 1 + SCRIPT.matches("<script").count());
    }
}

#[test]
fn the_page_loads_nothing_and_the_policy_fits_its_style_and_script() {
    let page = page(&catalogue(3), Lang::En);
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for (from, to) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let hash = STANDARD.encode(Sha256::digest(between(&page, from, to)));
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{from}: {policy}");
        assert_eq!(page.matches(from).count(), 1);
    }
    let body = page.replace(SCRIPT, "").replace(STYLE, "");
    assert_eq!(matches(r"\s(src|style|on[a-z]+)=", &body), [""; 0], "the policy forbids them");
    assert_eq!(matches(r"<(img|iframe|object|embed|audio|video|base|form)\b", &body), [""; 0]);
    // Only links that a person follows lead out, to where a diagnosis is discussed.
    let hrefs = matches(r##"<([a-z]+ [^>]*href="[^"#][^"]*)""##, &body);
    assert!(
        hrefs.len() > 1 && hrefs.iter().all(|h| h.starts_with("a href=\"https:") || h == "link rel=\"icon\" href=\"data:,"),
        "{hrefs:?}"
    );
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    assert!(!SCRIPT.contains("fetch(") && !SCRIPT.contains("innerHTML") && !SCRIPT.contains("import"));
}

#[test]
fn every_link_within_the_page_leads_somewhere_and_headings_are_in_order() {
    for (name, records) in testing::all().into_iter().chain([("catalogue", catalogue(3))]) {
        let page = page(&records, Lang::En);
        let ids: HashSet<String> = matches(r#" id="([^"]*)""#, &page).into_iter().collect();
        for link in matches(r##"href="#([^"]*)""##, &page) {
            assert!(ids.contains(&link), "{name}: #{link}");
        }
        let levels: Vec<u8> = matches(r"<h([1-6])[ >]", &page).iter().map(|l| l.parse().unwrap()).collect();
        assert_eq!(levels.iter().filter(|l| **l == 1).count(), 1, "{name}");
        assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "{name}: {levels:?}");
    }
}

#[test]
fn a_very_large_journal_is_as_large_a_page_and_no_larger() {
    let (small, large) = (page(&large(1000, 100), Lang::En).len(), page(&large(2000, 100), Lang::En).len());
    let each = (large - small) / 1000;
    assert!((500..4000).contains(&each), "{each} bytes an outcome");
}

#[test]
fn evidence_is_cut_between_characters() {
    let mut pen = Pen::new(Fidelity::Real);
    let evidence = json!({"log": "ä汉".repeat(40_000), "pods": ["汉".repeat(30_000), "x"]});
    pen.judge("cluster.nodes.ready", 1, Verdict::Passed, evidence, Vec::new());
    let page = page(&pen.records, Lang::En);
    assert_eq!(page.matches("the JSON report has all of it").count(), 2);
    assert!(page.len() < 250_000, "{}", page.len());
}

#[test]
fn what_may_be_pasted_into_a_shell_is_quoted_for_it() {
    let mut records = testing::green();
    let Event::RunStarted { command, backend, .. } = &mut records[0].event else { panic!("the first record starts the run") };
    (*command, *backend) = ("up".into(), "a'b; rm".into());
    assert_eq!(values::repeat(&Summary::fold(&records)).unwrap(), r"meshproof up --backend 'a'\''b; rm' --spec spec.yaml");
    let Event::RunStarted { command, .. } = &mut records[0].event else { panic!("the first record starts the run") };
    "test".clone_into(command);
    assert_eq!(values::repeat(&Summary::fold(&records)), None);
}

#[test]
fn the_command_that_repeats_a_run_judges_the_same_in_the_same_environment() {
    let mut pen = Pen::new(Fidelity::Real);
    let Event::RunStarted { command, backend, outcomes, not_selected, strict, .. } = &mut pen.records[0].event else { panic!() };
    (*command, *backend, *strict) = ("verify".into(), "existing".into(), true);
    let (kept, left_out) = outcomes.split_at(2);
    let ids = [kept[0].id.clone(), kept[1].id.clone()];
    *not_selected = left_out.iter().map(|o| o.id.clone()).collect();
    let (all, first) = (outcomes.clone(), left_out[0].id.clone());
    *outcomes = kept.to_vec();
    pen.write(Event::Fact { name: "context".into(), value: "my cluster".into() });
    pen.judge(&ids[0], 1, Verdict::Skipped { reason: "it's slow".into() }, json!({}), Vec::new());
    let repeat = |records: &[Record]| values::repeat(&Summary::fold(records)).unwrap();
    let common = "meshproof verify --backend existing --context 'my cluster' --spec spec.yaml --select";
    let rest = format!(r"--skip '{}=it'\''s slow' --strict", ids[0]);
    assert_eq!(repeat(&pen.records), format!("{common} '{}, {}' {rest}", ids[0], ids[1]));
    // What is left out is named where that is shorter.
    let Event::RunStarted { outcomes, not_selected, .. } = &mut pen.records[0].event else { panic!() };
    (*outcomes, *not_selected) = (all.into_iter().filter(|o| o.id != first).collect(), vec![first.clone()]);
    assert_eq!(repeat(&pen.records), format!("{common} 'not {first}' {rest}"));
    // And every expression means what it should.
    let outcomes = crate::outcomes::builtin();
    let judged: Vec<&str> = outcomes.iter().filter(|o| o.id != first).map(|o| o.id).collect();
    for expression in [format!("not {first}"), judged.join(", ")] {
        let selection = crate::outcomes::Selection::parse(&expression).unwrap();
        assert!(outcomes.iter().all(|o| selection.matches(o) == (o.id != first)), "{expression}");
    }
}

#[test]
fn objects_are_shown_by_kind_where_there_are_any() {
    let mut records = testing::green();
    let text = page(&records, Lang::En);
    assert!(
        text.contains("Objects of the environment (2)") && text.contains("<dt>CustomResourceDefinition <span class=\"n\">2</span></dt>")
    );
    assert!(
        text.contains("<code>gateways.gateway.networking.k8s.io (v1)</code>") && !text.contains("<dt>Service"),
        "of no kind is nothing told"
    );
    for record in &mut records {
        if let Event::Inventory { objects } = &mut record.event {
            objects.values_mut().for_each(Vec::clear);
        }
    }
    assert!(!page(&records, Lang::En).contains("Objects of the environment"));
}

#[test]
fn percentages_and_times_do_not_overflow() {
    let texts = Texts::new(Lang::En);
    assert_eq!(
        (values::percent(1, 3), values::percent(u64::MAX, 1), values::percent(5, 0)),
        ("33.333%".into(), "100.000%".into(), "0.000%".into())
    );
    let times: Vec<String> = [0, 40, 59_499, 59_500, 125_000, 3_599_600].map(|ms| values::time(&texts, ms)).into();
    assert_eq!(times, ["0.0 s", "40 ms", "59.5 s", "1 min 0 s", "2 min 5 s", "1 h 0 min"]);
    assert!(!values::time(&texts, u64::MAX).is_empty());
}
