//! A `hosts.toml` as containerd reads it. Source: containerd `core/remotes/docker/config/hosts.go`, the same in what is judged here from 1.6 to 2.3.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Finding, Rule, is_loopback};

/// Keys of a host, and of the file itself, whose values are for the server.
const HOST_KEYS: [&str; 7] = ["capabilities", "ca", "client", "skip_verify", "override_path", "header", "dial_timeout"];
/// Keys of the file alone.
const FILE_KEYS: [&str; 2] = ["server", "host"];
/// What a host may be asked for.
const CAPABILITIES: [&str; 4] = ["pull", "resolve", "push", "referrers"];

/// Where the file lies, and who reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The name of its directory: the registry that it is for.
    pub registry: Option<String>,
    /// Major and minor version of containerd.
    pub containerd: Option<(u64, u64)>,
}

/// What is wrong with a file.
#[must_use]
pub fn lint(text: &str, place: &Place) -> Vec<Finding> {
    let line = |at: usize| Some(text[..at.min(text.len())].bytes().filter(|b| *b == b'\n').count() + 1);
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let at = e.span().and_then(|span| line(span.start));
            return vec![Finding::new(Rule::Syntax, at, [("why", e.message().to_owned())])];
        }
    };
    let mut lint = Lint { line: &line, place, found: Vec::new() };
    lint.file(table.get_ref());
    lint.found.sort_by_key(|f| f.line);
    lint.found
}

struct Lint<'a> {
    line: &'a dyn Fn(usize) -> Option<usize>,
    place: &'a Place,
    found: Vec<Finding>,
}

impl Lint<'_> {
    fn find<const N: usize>(&mut self, rule: Rule, at: Option<usize>, args: [(&'static str, String); N]) {
        let line = at.and_then(|at| (self.line)(at));
        self.found.push(Finding::new(rule, line, args));
    }

    fn file(&mut self, file: &DeTable<'_>) {
        if let Some(registry @ ("registry-1.docker.io" | "index.docker.io")) = self.place.registry.as_deref() {
            self.find(Rule::Directory, None, [("registry", registry.to_owned())]);
        }
        self.keys(file, "", &[&FILE_KEYS[..], &HOST_KEYS].concat());
        let server = self.server(file);
        let mut hosts = BTreeSet::new();
        if let Some(host) = file.get("host") {
            match host.get_ref() {
                DeValue::Table(table) => {
                    for (url, value) in table {
                        hosts.insert(url.get_ref().to_string());
                        self.host(url, value);
                    }
                }
                _ => self.wrong("host", "a table for each host", host),
            }
        }
        if hosts.is_empty() && self.place.containerd.is_some_and(|(major, _)| major < 2) {
            self.find(Rule::NoHost, None, []);
        }
        if let Some((server, at)) = server
            && hosts.iter().any(|host| host.trim_end_matches('/') == server.trim_end_matches('/'))
        {
            self.find(Rule::ServerIsHost, Some(at), [("server", server)]);
        }
    }

    fn server(&mut self, file: &DeTable<'_>) -> Option<(String, usize)> {
        let Some(value) = file.get("server") else {
            let registry = self.place.registry.clone().unwrap_or_else(|| "-".to_owned());
            self.find(Rule::NoServer, None, [("registry", registry)]);
            return None;
        };
        if let DeValue::String(server) = value.get_ref() {
            return Some((server.to_string(), value.span().start));
        }
        self.wrong("server", "a text", value);
        None
    }

    /// Keys that containerd drops without a word.
    fn keys(&mut self, table: &DeTable<'_>, host: &str, known: &[&str]) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                self.typed(name, value);
            } else if !matches!((host.is_empty(), name), (false, "proxy" | "host")) {
                let nearest = known.iter().min_by_key(|k| strsim::damerau_levenshtein(name, k)).copied().unwrap_or_default();
                self.find(Rule::UnknownKey, Some(key.span().start), [("key", name.to_owned()), ("nearest", nearest.to_owned())]);
            }
        }
    }

    fn host(&mut self, url: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let (name, at) = (url.get_ref().to_string(), url.span().start);
        let DeValue::Table(host) = value.get_ref() else { return self.wrong(&name, "a table", value) };
        if !name.contains("://") {
            // Without quotes TOML takes each dot for a table of its own.
            return self.find(Rule::HostNotUrl, Some(at), [("host", name)]);
        }
        for (key, rule) in [("proxy", Rule::ProxyTable), ("host", Rule::NestedHost)] {
            if let Some((found, value)) = host.get_key_value(key) {
                let rule = if key == "proxy" && !matches!(value.get_ref(), DeValue::Table(_)) { Rule::ProxyKey } else { rule };
                self.find(rule, Some(found.span().start), [("host", name.clone())]);
            }
        }
        self.keys(host, &name, &HOST_KEYS);
        let listed = host.get("capabilities").and_then(|c| match c.get_ref() {
            DeValue::Array(words) => {
                Some((words.iter().filter_map(|w| w.get_ref().as_str().map(str::to_owned)).collect::<Vec<_>>(), c.span().start))
            }
            _ => None,
        });
        // Without the key a host has all of them.
        if let Some((words, at)) = listed {
            for (word, rule) in [("pull", Rule::NoPull), ("resolve", Rule::NoResolve)] {
                if !words.iter().any(|w| w == word) {
                    self.find(rule, Some(at), [("host", name.clone())]);
                }
            }
        }
        let uri: Option<http::Uri> = name.parse().ok();
        if let Some(uri) = uri {
            if is_loopback(uri.host().unwrap_or_default()) {
                self.find(Rule::LoopbackHost, Some(at), [("host", name.clone())]);
            }
            if let Some((key, value)) = host.get_key_value("skip_verify")
                && uri.scheme_str() == Some("http")
                && matches!(value.get_ref(), DeValue::Boolean(true))
            {
                self.find(Rule::SkipVerify, Some(key.span().start), [("host", name.clone())]);
            }
        }
    }

    /// A value of another type than containerd decodes it into, at which it drops the whole file.
    fn typed(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        let text = |v: &DeValue<'_>| matches!(v, DeValue::String(_));
        let v = value.get_ref();
        match key {
            "capabilities" => match v {
                DeValue::Array(words) => {
                    for word in words {
                        match word.get_ref().as_str() {
                            Some(known) if CAPABILITIES.contains(&known) => {}
                            Some(other) => self.find(Rule::UnknownCapability, Some(word.span().start), [("word", other.to_owned())]),
                            None => self.wrong(key, "a list of texts", word),
                        }
                    }
                }
                _ => self.wrong(key, "a list of texts", value),
            },
            "skip_verify" | "override_path" if !matches!(v, DeValue::Boolean(_)) => self.wrong(key, "true or false", value),
            "ca" | "client" if !text(v) && !matches!(v, DeValue::Array(_)) => self.wrong(key, "a path or a list of paths", value),
            "header" if !matches!(v, DeValue::Table(_)) => self.wrong(key, "a table", value),
            "dial_timeout" => {
                if !text(v) {
                    self.wrong(key, "a duration such as \"3s\"", value);
                }
                if self.place.containerd.is_some_and(|version| version < (2, 1)) {
                    self.find(Rule::DialTimeout, Some(value.span().start), []);
                }
            }
            _ => {}
        }
    }

    fn wrong(&mut self, key: &str, wanted: &str, value: &Spanned<DeValue<'_>>) {
        self.find(Rule::WrongType, Some(value.span().start), [("key", key.to_owned()), ("wanted", wanted.to_owned())]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUIDE: &str = include_str!("../../fixtures/guide/hosts.toml");

    fn docker_io() -> Place {
        Place { registry: Some("docker.io".to_owned()), containerd: Some((2, 1)) }
    }

    /// What was found, after it was told: a text that names what it was not given fails here.
    fn told(finding: Finding) -> (Rule, Option<usize>) {
        assert!(!finding.sentence().is_empty() && !finding.remedy().is_empty());
        (finding.rule, finding.line)
    }

    fn rules(text: &str, place: &Place) -> Vec<(Rule, Option<usize>)> {
        lint(text, place).into_iter().map(told).collect()
    }

    #[test]
    fn the_guides_file_is_explained() {
        assert_eq!(rules(GUIDE, &docker_io()), [(Rule::ServerIsHost, Some(1)), (Rule::ProxyTable, Some(4))]);
        let told = lint(GUIDE, &docker_io())[1].sentence();
        assert!(told.contains("https://registry-1.docker.io") && told.contains("ignore"), "{told}");
    }

    #[test]
    fn each_mistake_has_its_line() {
        let good = "server = \"https://m\"\n[host.\"https://h\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
        assert_eq!(rules(good, &docker_io()), []);
        for (text, expected) in [
            ("server = \n", vec![(Rule::Syntax, Some(1))]),
            ("", vec![(Rule::NoServer, None)]),
            ("server = 1\n", vec![(Rule::WrongType, Some(1))]),
            ("server = \"https://m\"\n[host.docker.io]\n", vec![(Rule::HostNotUrl, Some(2))]),
            ("server = \"https://m\"\n[host.\"https://h\"]\ncapabilites = [\"pull\"]\n", vec![(Rule::UnknownKey, Some(3))]),
            (
                "server = \"https://m\"\n[host.\"https://h\"]\ncapabilities = [\"pull\", \"resolve\", \"fetch\"]\n",
                vec![(Rule::UnknownCapability, Some(3))],
            ),
            (
                "server = \"https://m\"\n[host.\"https://h\"]\ncapabilities = [\"push\"]\n",
                vec![(Rule::NoPull, Some(3)), (Rule::NoResolve, Some(3))],
            ),
            ("server = \"https://m\"\n[host.\"https://h\"]\nproxy = \"http://p\"\n", vec![(Rule::ProxyKey, Some(3))]),
            ("server = \"https://m\"\n[host.\"https://h\"]\n[host.\"https://h\".host.\"https://i\"]\n", vec![(Rule::NestedHost, Some(3))]),
            (
                "server = \"https://m\"\n[host.\"http://127.0.0.1:5000\"]\nskip_verify = true\n",
                vec![(Rule::LoopbackHost, Some(2)), (Rule::SkipVerify, Some(3))],
            ),
            ("server = \"https://m\"\n[host.\"https://h\"]\noverride_path = \"yes\"\n", vec![(Rule::WrongType, Some(3))]),
        ] {
            assert_eq!(rules(text, &docker_io()), expected, "{text}");
        }
    }

    #[test]
    fn what_depends_on_the_place() {
        let server = "server = \"https://m\"\n";
        let old = Place { containerd: Some((1, 7)), ..docker_io() };
        assert_eq!(rules(server, &old), [(Rule::NoHost, None)]);
        let timeout = "server = \"https://m\"\n[host.\"https://h\"]\ndial_timeout = \"3s\"\n";
        assert_eq!(rules(timeout, &old), [(Rule::DialTimeout, Some(3))]);
        assert_eq!(rules(timeout, &docker_io()), []);
        let elsewhere = Place { registry: Some("registry-1.docker.io".to_owned()), ..docker_io() };
        assert_eq!(rules(server, &elsewhere), [(Rule::Directory, None)]);
    }

    #[test]
    fn our_own_files_have_no_errors() {
        let mut spec = crate::spec::load(&crate::spec::Request::default()).unwrap();
        spec.recording.mirror = true;
        let recorders = crate::recording::Recorders::to_be();
        for (path, content) in crate::recording::certs_files(&spec, Some(&recorders)) {
            let place = Place { registry: path.split('/').next().map(str::to_owned), containerd: Some((1, 7)) };
            let bad: Vec<_> = lint(&content, &place).into_iter().filter(|f| f.rule.severity() == super::super::Severity::Error).collect();
            assert_eq!(bad, [], "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}", key in "[a-z.\"]{0,20}", value in "[a-z0-9\\[\\]\"{}=, ]{0,20}") {
            let _ = lint(&text, &docker_io());
            let _ = lint(&format!("[host.\"http://a\"]\n{key} = {value}\n"), &docker_io());
        }
    }
}
