//! From what was seen to a cause and a remedy: rules over lines of evidence, tried in order, one finding a rule.

use std::sync::LazyLock;

use regex::Regex;

use crate::journal::Diagnosis;
use crate::text;

/// A rule: the id is stable and names a message in `diagnoses.ftl` whose value is the cause and whose attribute is the remedy.
/// Named groups of the pattern fill the message's variables.
struct Rule {
    id: &'static str,
    pattern: Regex,
}

/// In order of how specific they are. The `P` ids are the project's catalogue of known troubles of Kind, containerd and Istio.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    [
        ("P1", r"proxyconnect tcp: dial tcp (?P<address>(127\.0\.0\.1|\[::1\]):\d+): connect: connection refused"),
        ("P3", r"(407 Proxy Authentication Required|Proxy Authentication Required|proxy.* 407\b)"),
        ("P7", r"image (?P<image>\S+) on (?P<node>\S+) \(registry (?P<registry>\S+)\) did not come through the mirror"),
        ("P8", r"`?mirrors`? cannot be set when `?config_path`? is provided"),
        ("P9", r"(?i)(toomanyrequests|429 too many requests|unexpected status.*: 429)"),
        ("P10", r"(failed to detect containerd snapshotter|unknown containerd config version: \d+)"),
        ("P12", r"(?i)(configured to not run on a host using cgroup v1|cannot run on a host with cgroup v1)"),
        ("P13", r"(?i)(too many open files|failed to create fsnotify watcher|inotify)"),
        ("P19", r"Insufficient (?P<resource>memory|cpu)"),
        ("P23", r"(?i)net/http: TLS handshake timeout"),
        ("P24", r"exec format error"),
        ("P30", r"Installing CRDs with version before (?P<version>v[0-9.]+) is prohibited"),
        ("P32", r"node\(s\) already exist for a cluster"),
        ("image-not-found", r"(?i)pull.*?image (?P<image>[^\s:]+[^\s]*): .*(: not found|manifest unknown|NotFound)"),
        ("image-denied", r"(?i)pull.*?image (?P<image>[^\s:]+[^\s]*): .*(access denied|unauthorized|authorization failed|403 forbidden)"),
        ("P5", r"lookup (?P<host>[^\s:]+)( on [^\s]+)?: no such host"),
        ("registry-unavailable", r"unexpected status from \w+ request to (?P<url>[^\s?]+)[^\s]*: (?P<status>5\d\d[^\x22;]*)"),
        ("registry-unreachable", r"(?:Head|Get) \\?\x22(?P<url>https?://[^\x22?\\]+)[^\x22]*\\?\x22: (?P<error>dial tcp [^\s]+ (connect: connection refused|i/o timeout|connect: no route to host))"),
        ("P26", r"no endpoints available for service"),
        ("node-missing", r"node (?P<node>[a-z0-9.-]+) has no container"),
        ("node-stopped", r"node (?P<node>[a-z0-9.-]+): its container is (?P<state>exited|dead|paused|created)"),
        ("node-silent", r"kubelet of node (?P<node>[a-z0-9.-]+) does not answer"),
        ("crash-loop", r"pod (?P<pod>[^\s]+) on (?P<node>[^\s:]+): container (?P<container>[^\s:]+): CrashLoopBackOff"),
        ("container-runtime", r"cni plugin not initialized"),
    ]
    .into_iter()
    .map(|(id, pattern)| Rule { id, pattern: Regex::new(pattern).expect("a valid pattern") })
    .collect()
});

/// What the lines point to, most specific first, one finding for each rule and set of captured names.
#[must_use]
pub fn diagnose<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Diagnosis> {
    let lines: Vec<&str> = lines.into_iter().collect();
    let mut found: Vec<Diagnosis> = Vec::new();
    for rule in RULES.iter() {
        for line in &lines {
            let Some(captures) = rule.pattern.captures(line) else { continue };
            let args: Vec<(&str, &str)> =
                rule.pattern.capture_names().flatten().filter_map(|n| Some((n, captures.name(n)?.as_str()))).collect();
            let key = format!("diagnosis-{}", rule.id.to_lowercase());
            let texts = text::current();
            let diagnosis = Diagnosis {
                rule: rule.id.to_owned(),
                cause: texts.with(&key, &args),
                remedy: texts.attribute(&key, "remedy", &args).unwrap_or_default(),
                seen: excerpt(line, captures.get(0).map_or(0, |m| m.start())),
            };
            if !found.iter().any(|d| d.rule == diagnosis.rule && d.cause == diagnosis.cause) {
                found.push(diagnosis);
            }
        }
    }
    found
}

/// The part of a long line around the match.
fn excerpt(line: &str, at: usize) -> String {
    const MOST: usize = 400;
    if line.len() <= MOST {
        return line.to_owned();
    }
    let from = line.floor_char_boundary(at.saturating_sub(MOST / 4));
    let to = line.floor_char_boundary((from + MOST).min(line.len()));
    format!("{}{}{}", if from > 0 { "…" } else { "" }, &line[from..to], if to < line.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One real line for each rule; a rule without one has never been seen to match.
    const SAMPLES: &[(&str, &str)] = &[
        ("P1", "proxyconnect tcp: dial tcp 127.0.0.1:7890: connect: connection refused"),
        ("P3", "failed to do request: Head \"https://registry-1.docker.io/v2/\": 407 Proxy Authentication Required"),
        (
            "P7",
            "image docker.io/library/busybox:latest on istio-cluster-worker (registry docker.io) did not come through the mirror: dial tcp: lookup registry-1.docker.io: no such host",
        ),
        ("P8", "invalid cri image config: `mirrors` cannot be set when `config_path` is provided"),
        ("P9", "unexpected status from HEAD request to https://registry-1.docker.io/v2/a/manifests/1: 429 Too Many Requests"),
        ("P10", "unknown containerd config version: 4 (supported versions: 2 and 3)"),
        ("P12", "kubelet is configured to not run on a host using cgroup v1"),
        ("P13", "Failed to start: failed to create fsnotify watcher: too many open files"),
        ("P19", "pod istio-system/istiod-0 is Pending: Unschedulable: 0/2 nodes are available: 2 Insufficient memory."),
        ("P23", "failed to do request: Head \"https://r/v2/\": net/http: TLS handshake timeout"),
        ("P24", "exec /usr/local/bin/entrypoint: exec format error"),
        ("P30", "denied request: Installing CRDs with version before v1.5.0 is prohibited by default"),
        ("P32", "ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"istio-cluster\""),
        (
            "image-not-found",
            "pod kubernetes-dashboard/kubernetes-dashboard-x on istio-cluster-worker: container kubernetes-dashboard: ErrImagePull: image docker.io/kubernetesui/dashboard:v2.7.0: rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/kubernetesui/dashboard:v2.7.0\": docker.io/kubernetesui/dashboard:v2.7.0: not found",
        ),
        (
            "image-denied",
            "pod a/b on n: container c: ErrImagePull: image docker.io/a/b:1: pull access denied, repository does not exist or may require authorization",
        ),
        ("P5", "dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host"),
        (
            "registry-unavailable",
            "unexpected status from HEAD request to http://mirror:5000/v2/a/manifests/1?ns=docker.io: 503 Service Unavailable",
        ),
        (
            "registry-unreachable",
            "failed to do request: Head \"http://mirror:5000/v2/a/manifests/1?ns=docker.io\": dial tcp 172.18.0.2:5000: connect: connection refused",
        ),
        ("P26", "no endpoints available for service \"https:kubernetes-dashboard:\""),
        ("node-missing", "node istio-cluster-worker has no container"),
        ("node-stopped", "node istio-cluster-worker: its container is exited"),
        ("node-silent", "the kubelet of node istio-cluster-worker does not answer: no route to host"),
        ("crash-loop", "pod istio-system/ztunnel-x on n1: container istio-proxy: CrashLoopBackOff: 4 restarts"),
        ("container-runtime", "node n is not Ready: container runtime network not ready: cni plugin not initialized"),
    ];

    #[test]
    fn every_rule_matches_a_line_as_upstream_writes_it_and_has_texts() {
        for rule in RULES.iter() {
            let (_, line) = SAMPLES.iter().find(|(id, _)| *id == rule.id).unwrap_or_else(|| panic!("no sample for {}", rule.id));
            let found = diagnose([*line]);
            let own = found.iter().find(|d| d.rule == rule.id).unwrap_or_else(|| panic!("{} does not match: {line}", rule.id));
            assert!(!own.cause.starts_with("diagnosis-"), "{} has no text", rule.id);
            assert!(!own.cause.contains("{$"), "{}: {}", rule.id, own.cause);
            assert!(!own.remedy.is_empty(), "{} has no remedy", rule.id);
        }
    }

    #[test]
    fn the_cause_names_what_the_line_names() {
        let found = diagnose(["node istio-cluster-worker has no container", "node istio-cluster-worker has no container"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].cause.contains("istio-cluster-worker"), "{}", found[0].cause);
        assert!(diagnose(["all is well"]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_around_the_match() {
        let line = format!("{}node w has no container{}", "é".repeat(600), "x".repeat(600));
        let found = diagnose([line.as_str()]);
        assert!(found[0].seen.contains("node w has no container"));
        assert!(found[0].seen.len() < 450);
    }
}
