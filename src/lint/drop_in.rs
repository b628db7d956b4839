//! The systemd drop-in that gives containerd a proxy (guide 2.1.2).

use std::collections::BTreeMap;

use super::no_proxy::{self, Surroundings};
use super::{Finding, Rule, is_loopback};

/// What is wrong with a drop-in.
#[must_use]
pub fn lint(text: &str, surroundings: &Surroundings) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut section = "";
    let mut services = false;
    // By the upper-case name, which Go prefers: line and value.
    let mut variables: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l.trim())) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
            services |= name == "Service";
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            found.push(Finding::new(Rule::NotAssignment, Some(number), [("text", line.to_owned())]));
            continue;
        };
        if section != "Service" || key.trim() != "Environment" {
            continue;
        }
        for assignment in words(value.trim()) {
            let Some((name, value)) = assignment.split_once('=') else {
                found.push(Finding::new(Rule::NotAssignment, Some(number), [("text", assignment)]));
                continue;
            };
            if value.replace("%%", "").contains('%') {
                found.push(Finding::new(Rule::Percent, Some(number), [("name", name.to_owned())]));
            }
            variables.insert(name.to_ascii_uppercase(), (number, value.replace("%%", "%")));
        }
    }
    if !services {
        found.push(Finding::new(Rule::NoService, None, []));
    }
    let proxies: Vec<(&str, &(usize, String))> =
        ["HTTP_PROXY", "HTTPS_PROXY"].into_iter().filter_map(|name| Some((name, variables.get(name)?))).collect();
    for (name, (line, value)) in &proxies {
        proxy(name, value, *line, &mut found);
    }
    if let [(name, (line, _))] = proxies.as_slice() {
        let other = if *name == "HTTP_PROXY" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        found.push(Finding::new(Rule::OneProxy, Some(*line), [("name", (*name).to_owned()), ("other", other.to_owned())]));
    }
    match variables.get("NO_PROXY") {
        Some((line, value)) => found.extend(no_proxy::lint(value, Some(*line), surroundings)),
        None if !proxies.is_empty() => found.push(Finding::new(Rule::NoNoProxy, None, [])),
        None => {}
    }
    found
}

fn proxy(name: &str, value: &str, line: usize, found: &mut Vec<Finding>) {
    // Go takes a host without a scheme for http.
    let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let uri: Option<http::Uri> = url.parse().ok();
    let usable =
        uri.as_ref().filter(|u| matches!(u.scheme_str(), Some("http" | "https" | "socks5")) && u.host().is_some_and(|h| !h.is_empty()));
    match usable {
        None => found.push(Finding::new(Rule::NoProxyUrl, Some(line), [("name", name.to_owned())])),
        Some(uri) if is_loopback(uri.host().unwrap_or_default()) => {
            found.push(Finding::new(Rule::LoopbackProxy, Some(line), [("name", name.to_owned())]));
        }
        Some(_) => {}
    }
}

/// The words of an assignment, some in double or single quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty())),
            _ => word.push(c),
        }
    }
    words.extend(Some(word).filter(|w| !w.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUIDE: &str = include_str!("../../fixtures/guide/http-proxy.conf");

    /// What was found, after it was told: a text that names what it was not given fails here.
    fn told(finding: Finding) -> (Rule, Option<usize>) {
        assert!(!finding.sentence().is_empty() && !finding.remedy().is_empty());
        (finding.rule, finding.line)
    }

    fn rules(text: &str, surroundings: &Surroundings) -> Vec<(Rule, Option<usize>)> {
        lint(text, surroundings).into_iter().map(told).collect()
    }

    #[test]
    fn the_guides_drop_in_is_explained() {
        let mirror = Surroundings { mirrors: vec![("172.18.0.1".to_owned(), 5100)] };
        assert_eq!(
            rules(GUIDE, &mirror),
            [
                (Rule::RangeOnlyAddresses, Some(4)),
                (Rule::RangeOnlyAddresses, Some(4)),
                (Rule::DockerBridge, Some(4)),
                (Rule::SvcOnly, Some(4)),
                (Rule::MirrorNotCovered, Some(4)),
            ]
        );
        let told = lint(GUIDE, &mirror).into_iter().map(|f| f.sentence()).collect::<Vec<_>>().join("\n");
        for part in ["10.96.0.0/12", "172.17.0.0/16", "svc.cluster.local", "172.18.0.1"] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }

    #[test]
    fn what_systemd_and_go_make_of_it() {
        let service = |lines: &str| format!("[Service]\n{lines}\n");
        for (text, expected) in [
            (service("Environment=\"HTTP_PROXY=http://p:1\" \"HTTPS_PROXY=http://p:1\" NO_PROXY=a.com"), vec![]),
            (
                service("Environment=HTTP_PROXY=http://127.0.0.1:7890 HTTPS_PROXY=http://p:1 NO_PROXY=a"),
                vec![(Rule::LoopbackProxy, Some(2))],
            ),
            (service("Environment=HTTPS_PROXY=http://p:1 NO_PROXY=a"), vec![(Rule::OneProxy, Some(2))]),
            (service("Environment=HTTP_PROXY=p:1 HTTPS_PROXY=p:1"), vec![(Rule::NoNoProxy, None)]),
            (
                service("Environment=HTTP_PROXY=ftp://p HTTPS_PROXY=http://u:p%40x@p NO_PROXY=a"),
                vec![(Rule::Percent, Some(2)), (Rule::NoProxyUrl, Some(2))],
            ),
            ("Environment=HTTP_PROXY=http://p:1\n".to_owned(), vec![(Rule::NoService, None)]),
            (service("export HTTP_PROXY"), vec![(Rule::NotAssignment, Some(2))]),
        ] {
            assert_eq!(rules(&text, &Surroundings::default()), expected, "{text}");
        }
    }

    #[test]
    fn our_own_drop_in_has_nothing_that_does_not_work() {
        let mut spec = crate::spec::load(&crate::spec::Request::default()).unwrap();
        spec.proxy.enabled = true;
        let bad: Vec<_> = lint(&crate::cluster::kind_config::drop_in(&spec), &Surroundings::default())
            .into_iter()
            .filter(|f| f.rule.severity() == super::super::Severity::Error || f.rule == Rule::SvcOnly)
            .collect();
        assert_eq!(bad, []);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}") {
            let _ = lint(&text, &Surroundings::default());
            let _ = lint(&format!("[Service]\nEnvironment={text}"), &Surroundings::default());
        }
    }
}
