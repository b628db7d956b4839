//! Rules that need more than one line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::rules::{Match, regex};
use super::{Kind, Line};
use crate::lint::no_proxy::NoProxy;

/// P2: a node whose pulls go past the proxy that another node uses, or whose containerd has no proxy where the spec wants one.
pub(super) fn drop_in_missing(lines: &[Line<'_>]) -> Vec<Match> {
    static LACKS: LazyLock<Regex> =
        LazyLock::new(|| regex(r"containerd on (?P<node>\S+) (?:has HTTPS?_PROXY=None, not|did not ask the proxy of the drop-in)"));
    static FAILS: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?:crictl pull on (?P<node>\S+): |pod \S+ on (?P<place>\S+): container \S+: (?:ErrImagePull|ImagePullBackOff): ).*: dial tcp",
        )
    });
    static HAS: LazyLock<Regex> = LazyLock::new(|| regex(r#"^(?P<node>\S+): .*(?:"HTTPS?_PROXY":"[^"]+"|"connects":[1-9])"#));
    let has: Vec<&str> = lines.iter().filter_map(|l| HAS.captures(l.text)?.name("node").map(|m| m.as_str())).collect();
    let mut without: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.kind != Kind::Seen) {
        let lacks = LACKS.captures(line.text).and_then(|c| c.name("node"));
        // A pull that fails without the proxy says nothing where nobody is known to use one.
        let fails = FAILS.captures(line.text).filter(|_| !has.is_empty() && !line.text.contains("proxyconnect"));
        let fails = fails.and_then(|c| c.name("node").or(c.name("place"))).filter(|node| !has.contains(&node.as_str()));
        if let Some(node) = lacks.or(fails) {
            without.entry(node.as_str()).or_default().push(at);
        }
    }
    without.into_iter().map(|(node, lines)| Match { lines, at: 0, args: vec![("node".to_owned(), node.to_owned())] }).collect()
}

/// P4: a registry of the local network, asked for by name through the proxy although a range of `NO_PROXY` was meant to cover it.
pub(super) fn range_covers_no_name(lines: &[Line<'_>]) -> Vec<Match> {
    static LIST: LazyLock<Regex> = LazyLock::new(|| regex(r#"(?i)\bno_proxy(?:=Some\("|=|":"|"=")(?P<list>[^"\s]+)"#));
    // What a proxy says of a place that it cannot reach: the answer itself for http, the end of the tunnel for https.
    static PROXIED: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r#"(?i)(?:request to |head \\?"|get \\?")https?://(?P<host>[^/:\s"]+)(?::(?P<port>\d+))?[^\s"]*\\?"?: (?:50[234] )?(?:bad gateway|service unavailable|gateway timeout)"#,
        )
    });
    let lists: Vec<(&str, NoProxy)> = lines
        .iter()
        .filter_map(|l| LIST.captures(l.text)?.name("list").map(|m| m.as_str()))
        .filter(|list| list.split(',').any(|entry| entry.contains('/')))
        .map(|list| (list, NoProxy::parse(list)))
        .collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.kind != Kind::Seen) {
        let Some(asked) = PROXIED.captures(line.text) else { continue };
        let host = asked.name("host").map_or("", |m| m.as_str());
        let port: Option<u16> = asked.name("port").and_then(|m| m.as_str().parse().ok());
        // Names of the docker network have no dot, and registries of one's own seldom have the port of all others.
        let local = host.parse::<std::net::IpAddr>().is_err() && (!host.contains('.') || port.is_some_and(|p| p != 443));
        if let Some((list, _)) = lists.iter().find(|(_, list)| local && !list.bypasses(host, port.unwrap_or(443))) {
            let args = vec![("host".to_owned(), host.to_owned()), ("list".to_owned(), (*list).to_owned())];
            found.push(Match { lines: vec![at], at: asked.get(0).map_or(0, |m| m.start()), args });
        }
    }
    found
}

/// P6: a `hosts.toml` with a proxy, and pulls that dial their registry themselves.
pub(super) fn proxy_table(lines: &[Line<'_>]) -> Vec<Match> {
    static TABLE: LazyLock<Regex> = LazyLock::new(|| regex(r#"\[host\.\\?"(?P<host>[^"\\]+)\\?"\.proxy\]"#));
    static DIRECT: LazyLock<Regex> = LazyLock::new(|| regex(r#"(?:Head|Get) \\?"[^"]+": dial tcp"#));
    let Some(host) = lines.iter().find_map(|l| TABLE.captures(l.text)?.name("host").map(|m| m.as_str())) else { return Vec::new() };
    let direct = |(_, line): &(usize, &Line<'_>)| line.kind != Kind::Seen && DIRECT.is_match(line.text);
    let lines: Vec<usize> = lines.iter().enumerate().filter(direct).map(|(at, _)| at).collect();
    if lines.is_empty() { Vec::new() } else { vec![Match { lines, at: 0, args: vec![("host".to_owned(), host.to_owned())] }] }
}
