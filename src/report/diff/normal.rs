//! Evidence without what differs from one run to the next though nothing has changed.
//!
//! Ids, hashes of names, ages, durations, times, addresses, ephemeral ports and people's directories become a word in braces. What says something about a
//! version stays: digests (`sha256:…`), documented ports, loopback addresses and networks in CIDR notation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::outcomes::shown::{plain, wildcard};

/// Ports from here on are chosen by Kubernetes (`NodePorts` from 30000) or by the system (ephemeral ones), and mean nothing.
const CHOSEN_PORTS: u32 = 30_000;

/// A pattern that may name the wildcards of documented output.
fn regex(pattern: &str) -> Regex {
    let pattern = ["{hash}", "{age}", "{address}"].iter().fold(pattern.to_owned(), |pattern, word| {
        // The words are known; one that were not would leave a pattern that a test finds.
        pattern.replace(word, wildcard(word).unwrap_or(word))
    });
    Regex::new(&pattern).expect("a valid pattern")
}

static TIME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"\b\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?: ?Z\b| ?[+-]\d{2}:?\d{2}\b)?|\b\d{2}:\d{2}:\d{2}(?:\.\d+)?\b")
});
static UID: LazyLock<Regex> = LazyLock::new(|| regex(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"));
static HEX: LazyLock<Regex> = LazyLock::new(|| regex(r"(sha256:|sha512:)?\b[0-9a-f]{32,128}\b"));
/// An address with the length of its network, or with a port.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| regex(r"({address})(/\d{1,3}\b)?"));
static PORT: LazyLock<Regex> = LazyLock::new(|| regex(r":(\d{5})\b"));
/// The end of the name of a pod: of a Deployment with the hash of its template, or of a `DaemonSet`.
static POD: LazyLock<Regex> =
    LazyLock::new(|| regex(r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b|-[bcdfghjklmnpqrstvwxz2456789]{5}\b"));
/// A directory of somebody's machine or of a job of CI; those of nodes and containers that say something are documented, and are others.
static DIR: LazyLock<Regex> = LazyLock::new(|| {
    let word = r#"[^\s/"'`()<>\[\]|,:;]+"#;
    let lead = r#"(^|[\s"'`=(<\[|,:]|(?:file|unix)://)"#;
    // The name of somebody, or one that was made up for the time being, belongs to the directory.
    let own = format!("(?:home|Users|tmp|private/tmp|var/(?:folders|tmp))/{word}");
    regex(&format!("{lead}/(?:{own}(/(?:{word}/)*)?|(?:root|builds|__w|workspaces?)(/(?:{word}/)*))"))
});
static RATE: LazyLock<Regex> = LazyLock::new(|| regex(r"\b\d+(?:\.\d+)? ?[kKMG]?i?B/s\b"));
static DURATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"\b\d+(?:\.\d+)? ?(?:milliseconds?|seconds?|minutes?|hours?|days?|ms|us|µs|ns|s)\b|\b(?:\d+h)?(?:\d+m)?\d+\.\d+s\b")
});
static PROCESS: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(process|pid)([ =:]+)\d+\b"));
static AGE: LazyLock<Regex> = LazyLock::new(|| regex(r"\b{age}\b"));
/// Keys whose numbers and texts tell when or how long, how much was moved, or which process.
static MEASURED: LazyLock<Regex> = LazyLock::new(|| {
    // Whole words: an image has no age.
    regex(concat!(
        r"(?:^|[_-])(?:ms|millis|age|duration|elapsed|bytes|pid|uid|since)$|",
        r"[a-z0-9](?:Ms|Millis|Age|Duration|Elapsed|Bytes|Pid|Uid|Since)$|^resourceVersion$",
    ))
});

/// Text on one line, with words in braces for what says nothing.
pub(super) fn text(line: &str) -> String {
    // The order counts: what is a time is no port, and what is a hash is no age.
    let line = plain(line);
    let line = TIME.replace_all(&line, "{time}");
    let line = UID.replace_all(&line, "{uid}");
    let line =
        HEX.replace_all(&line, |found: &Captures<'_>| if found.get(1).is_some() { found[0].to_owned() } else { "{hash}".to_owned() });
    let line = ADDRESS.replace_all(&line, |found: &Captures<'_>| {
        let speaks = found.get(2).is_some() || stays(&found[1]);
        if speaks { found[0].to_owned() } else { "{address}".to_owned() }
    });
    let line = PORT.replace_all(&line, |found: &Captures<'_>| {
        let chosen = found[1].parse::<u32>().is_ok_and(|port| (CHOSEN_PORTS..=65_535).contains(&port));
        if chosen { ":{port}".to_owned() } else { found[0].to_owned() }
    });
    let line =
        DIR.replace_all(&line, |found: &Captures<'_>| format!("{}{{dir}}{}", &found[1], found.get(2).or(found.get(3)).map_or("", |_| "/")));
    let line = POD.replace_all(&line, |found: &Captures<'_>| if found[0].len() > 6 { "-{hash}-{hash}" } else { "-{hash}" });
    let line = PROCESS.replace_all(&line, "$1$2{pid}");
    let line = RATE.replace_all(&line, "{rate}");
    let line = DURATION.replace_all(&line, "{duration}");
    AGE.replace_all(&line, "{duration}").into_owned()
}

/// Whether an address is the same everywhere, or none at all.
fn stays(address: &str) -> bool {
    match address.trim_matches(['[', ']']).parse::<IpAddr>() {
        // The tunnel of ztunnel's probes and the like are documented addresses.
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_unspecified() || v4.is_link_local() || v4 == Ipv4Addr::BROADCAST,
        Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unspecified(),
        Err(_) => true,
    }
}

/// Evidence as lines by their path, both normalised. Lists have no order: what is concurrent seldom keeps one.
pub(crate) fn lines(evidence: &BTreeMap<String, Value>) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    for (name, value) in evidence {
        add(&text(name), name, value, &mut out);
    }
    for lines in out.values_mut() {
        lines.sort();
    }
    out
}

fn add(path: &str, key: &str, value: &Value, out: &mut BTreeMap<String, Vec<String>>) {
    let mut leaf = |line: String| out.entry(path.to_owned()).or_default().push(line);
    let chosen = |n: &serde_json::Number| n.as_u64().is_some_and(|n| (u64::from(CHOSEN_PORTS)..=65_535).contains(&n));
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                add(&format!("{path}.{}", text(key)), key, value, out);
            }
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| add(&format!("{path}[]"), key, item, out)),
        Value::Number(_) | Value::String(_) if MEASURED.is_match(key) => leaf("{measured}".to_owned()),
        // How many files a session has grows with every run, each of which leaves its journal.
        Value::Number(_) if key == "files" => leaf("{measured}".to_owned()),
        Value::Number(number) if key.to_lowercase().ends_with("port") && chosen(number) => leaf("{port}".to_owned()),
        Value::String(block) => block.lines().map(text).filter(|line| !line.is_empty()).for_each(leaf),
        other => leaf(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_says_nothing_becomes_a_word() {
        for (seen, wanted) in [
            ("kubernetes-dashboard-79cbcf9fb6-xjfrd   1/1  Running  0  20s", "kubernetes-dashboard-{hash}-{hash} 1/1 Running 0 {duration}"),
            ("ztunnel-zl8zg 1/1 Running 0 5m3s", "ztunnel-{hash} 1/1 Running 0 {duration}"),
            ("at 2026-11-30T06:21:08.574570094Z", "at {time}"),
            ("I1130 06:21:08.574570 1 server.go", "I1130 {time} 1 server.go"),
            ("process 29117", "process {pid}"),
            ("uid 4d8e1f6a-9b1c-4c57-8f02-0d7a3e5b9c11.", "uid {uid}."),
            ("containerd://9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "containerd://{hash}"),
            ("dial tcp 172.18.0.3:41234: connect", "dial tcp {address}:{port}: connect"),
            ("http://172.18.0.1:36195", "http://{address}:{port}"),
            ("[fd00:10:96::a]:443", "{address}:443"),
            ("elapsed: 0.1 s total: 778.0 (15.1 KiB/s)", "elapsed: {duration} total: 778.0 ({rate})"),
            ("took 1.234567ms, then 1m2.5s and 3 seconds", "took {duration}, then {duration} and {duration}"),
            ("open /home/runner/work/.state/kubeconfig: not found", "open {dir}/kubeconfig: not found"),
            ("KUBECONFIG=/tmp/x-1/kubeconfig,[/Users/a/b/c]", "KUBECONFIG={dir}/kubeconfig,[{dir}/c]"),
            ("unix:///home/a/x.sock in /tmp/tmp.aB3 or /root/.kube/config", "unix://{dir}/x.sock in {dir} or {dir}/config"),
            ("\u{1b}[32m✔\u{1b}[0m Istiod installed 🧠", "Istiod installed"),
        ] {
            assert_eq!(text(seen), wanted, "{seen}");
        }
    }

    #[test]
    fn what_says_something_stays() {
        for seen in [
            "istio-cluster-control-plane v1.33.4",
            "docker.io/istio/ztunnel:1.27.1-distroless",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "127.0.0.1:8001",
            "/etc/containerd/certs.d/docker.io/hosts.toml",
            "/rootless/tmpfs /homes /var/lib/kubelet",
            "https://example.org/home/tmp/x",
            "GET /api/v1/namespaces",
            "10.96.0.0/12",
            "0.0.0.0:15008",
            "port 6443",
            "1/1",
            "HTTP 401",
            "gateways.gateway.networking.k8s.io",
            "local-path-provisioner",
        ] {
            assert_eq!(text(seen), seen);
        }
    }

    fn of(value: Value) -> BTreeMap<String, Vec<String>> {
        lines(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn evidence_of_two_runs_is_the_same_where_nothing_changed() {
        let run = |hash: &str, age: &str, address: &str, ms: u32| {
            of(json!({
                "printed": [format!("a-{hash} {age}"), "b"],
                "pods": {(format!("ztunnel-{hash}")): {"node": "worker", "ip": address, "elapsedMs": ms, "port": ms + 30_000}},
                "pid": ms, "files": ms, "log": format!("one\ntwo {age}\n\n"),
            }))
        };
        let (a, b) = (run("zl8zg", "19s", "10.244.1.5", 12), run("b7ffb", "2s", "10.244.0.9", 7000));
        assert_eq!(a, b);
        assert_eq!(a["pods.ztunnel-{hash}.node"], ["worker"]);
        assert_eq!(a["log"], ["one", "two {duration}"]);
        assert_eq!(of(json!({"a": ["x", "y"]})), of(json!({"a": ["y", "x"]})), "lists have no order");
        for (a, b) in [
            (json!({"lifetimeSeconds": 3600}), json!({"lifetimeSeconds": 7200})),
            (json!({"nodes": 2}), json!({"nodes": 3})),
            (json!({"a": ["x", "x"]}), json!({"a": ["x"]})),
            (json!({"a": null}), json!({"a": []})),
            (json!({"port": 8001}), json!({"port": 8002})),
            (json!({"image": "a:1"}), json!({"image": "a:2"})),
            (json!({"message": "a", "items": 1}), json!({"message": "b", "items": 2})),
        ] {
            assert_ne!(of(a.clone()), of(b.clone()), "{a} {b}");
        }
    }
}
