//! `NO_PROXY` as Go's programs read it, containerd among them. Source: golang.org/x/net `http/httpproxy`.

use std::net::IpAddr;

use super::{Finding, Rule, is_loopback};

/// A `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it was written.
    pub text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// `*`.
    All,
    /// A range, which only matches hosts that are written as an address.
    Range(IpAddr, u8),
    /// An address, with a port or without.
    Address(IpAddr, Option<u16>),
    /// A domain: its own name too, or only what is below it; with a port or without.
    Domain { suffix: String, itself: bool, port: Option<u16> },
    /// What Go drops.
    Invalid,
}

impl NoProxy {
    /// Reads the value of the variable.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let entries = value.split(',').map(str::trim).filter(|e| !e.is_empty());
        Self(entries.map(|text| Entry { text: text.to_owned(), kind: kind(&text.to_ascii_lowercase()) }).collect())
    }

    /// Whether a host is asked without the proxy.
    #[must_use]
    pub fn bypasses(&self, host: &str, port: u16) -> bool {
        is_loopback(&host.to_ascii_lowercase()) || self.why(host, port).is_some()
    }

    /// The entry by which a host is asked without the proxy.
    #[must_use]
    pub fn why(&self, host: &str, port: u16) -> Option<&Entry> {
        let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        self.0.iter().find(|entry| match &entry.kind {
            Kind::All => true,
            Kind::Range(network, bits) => address.is_some_and(|a| contains(*network, *bits, a)),
            Kind::Address(ip, only) => address == Some(*ip) && only.is_none_or(|p| p == port),
            Kind::Domain { suffix, itself, port: only } => {
                let below = host.ends_with(suffix.as_str());
                (below || (*itself && host == suffix[1..])) && only.is_none_or(|p| p == port)
            }
            Kind::Invalid => false,
        })
    }
}

fn kind(text: &str) -> Kind {
    if text == "*" {
        return Kind::All;
    }
    if let Some((network, bits)) = text.split_once('/') {
        let parsed = network.parse::<IpAddr>().ok().zip(bits.parse::<u8>().ok());
        return match parsed {
            Some((ip, bits)) if bits <= if ip.is_ipv4() { 32 } else { 128 } => Kind::Range(ip, bits),
            _ => Kind::Invalid,
        };
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Kind::Address(ip, None);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => match port.parse::<u16>() {
            Ok(port) => (host, Some(port)),
            Err(_) => return Kind::Invalid,
        },
        None => (text, None),
    };
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Kind::Address(ip, port);
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    if host.is_empty() || host == "." {
        return Kind::Invalid;
    }
    match host.strip_prefix('.') {
        Some(_) => Kind::Domain { suffix: host.to_owned(), itself: false, port },
        None => Kind::Domain { suffix: format!(".{host}"), itself: true, port },
    }
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let masked = |value: u128, width: u8| if bits == 0 { 0 } else { value >> (width - bits) };
    match (network, address) {
        (IpAddr::V4(n), IpAddr::V4(a)) => masked(u128::from(u32::from(n)), 32) == masked(u128::from(u32::from(a)), 32),
        (IpAddr::V6(n), IpAddr::V6(a)) => masked(u128::from(n), 128) == masked(u128::from(a), 128),
        _ => false,
    }
}

/// What a `NO_PROXY` is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Hosts and ports of mirrors that are asked in plain HTTP or by name, and must not be asked for through the proxy.
    pub mirrors: Vec<(String, u16)>,
}

/// What is wrong with a `NO_PROXY`.
#[must_use]
pub fn lint(value: &str, line: Option<usize>, surroundings: &Surroundings) -> Vec<Finding> {
    let parsed = NoProxy::parse(value);
    let mut found = Vec::new();
    for entry in &parsed.0 {
        let text = || [("entry", entry.text.clone())];
        match &entry.kind {
            Kind::Invalid => found.push(Finding::new(Rule::InvalidEntry, line, text())),
            Kind::Range(ip, bits) if contains(*ip, *bits, IpAddr::from([172, 17, 0, 1])) && *bits >= 16 => {
                found.push(Finding::new(Rule::DockerBridge, line, text()));
            }
            Kind::Range(..) => found.push(Finding::new(Rule::RangeOnlyAddresses, line, text())),
            Kind::Domain { suffix, itself: false, .. } if suffix == ".svc" && !parsed.bypasses("a.b.svc.cluster.local", 443) => {
                found.push(Finding::new(Rule::SvcOnly, line, text()));
            }
            _ => {}
        }
    }
    for (host, port) in &surroundings.mirrors {
        if !parsed.bypasses(host, *port) {
            found.push(Finding::new(Rule::MirrorNotCovered, line, [("host", host.clone())]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_matched_as_go_does() {
        for (value, host, port, bypassed) in [
            ("", "a.com", 443, false),
            ("", "localhost", 443, true),
            ("", "127.0.0.9", 80, true),
            ("*", "a.com", 443, true),
            ("foo.com", "foo.com", 443, true),
            ("foo.com", "a.foo.com", 443, true),
            ("foo.com", "xfoo.com", 443, false),
            (".foo.com", "foo.com", 443, false),
            (".foo.com", "a.foo.com", 443, true),
            ("*.foo.com", "foo.com", 443, false),
            ("*.foo.com", "A.Foo.Com", 443, true),
            ("foo.com:80", "foo.com", 443, false),
            ("foo.com:443", "foo.com", 443, true),
            ("*.svc", "a.b.svc", 443, true),
            ("*.svc", "a.b.svc.cluster.local", 443, false),
            ("*.svc", "svc", 443, false),
            ("10.96.0.0/12", "10.100.1.2", 443, true),
            ("10.96.0.0/12", "10.112.0.1", 443, false),
            ("10.96.0.0/12", "kubernetes.default", 443, false),
            ("172.18.0.1", "172.18.0.1", 5100, true),
            ("[fd00::1]:443", "[fd00::1]", 443, true),
            ("fd00::/8", "fd00::2", 1, true),
            (" a.com , b.com", "b.com", 1, true),
            ("10.0.0.0/99", "10.0.0.1", 1, false),
        ] {
            assert_eq!(NoProxy::parse(value).bypasses(host, port), bypassed, "{value}: {host}:{port}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_star_is_for_all(value in ".{0,60}", host in ".{0,40}", port: u16) {
            let _ = NoProxy::parse(&value).bypasses(&host, port);
            let all = format!("{value},*");
            prop_assert!(NoProxy::parse(&all).bypasses(&host, port));
            let _ = lint(&value, None, &Surroundings::default());
        }
    }
}
