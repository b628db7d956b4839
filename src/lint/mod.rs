//! What is wrong with the files that lead a node's pulls: `hosts.toml` and the systemd drop-in of a proxy. containerd and systemd say nothing of
//! most of it; a pull goes elsewhere, or fails.

pub mod drop_in;
pub mod hosts_toml;
pub mod no_proxy;

use std::fmt;

use crate::text;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// It does something else than it seems to.
    Warning,
    /// It does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $severity:ident;)*) => {
        /// What can be found. The text of each is the message `lint-<id>`, its remedy that message's attribute.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[$doc])* $name,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its stable name.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

rules! {
    /// It is no TOML.
    Syntax = "syntax", Error;
    /// A key that containerd does not know.
    UnknownKey = "unknown-key", Warning;
    /// A `proxy` table below a host, as the guide has one (defects D1 and D2).
    ProxyTable = "proxy-table", Error;
    /// A `proxy` key below a host.
    ProxyKey = "proxy-key", Error;
    /// A host inside a host.
    NestedHost = "nested-host", Error;
    /// A host that is no URL, most often one without quotes.
    HostNotUrl = "host-not-url", Error;
    /// A capability that does not exist.
    UnknownCapability = "unknown-capability", Error;
    /// A value of the wrong type.
    WrongType = "wrong-type", Error;
    /// No server, so the registry itself is asked in the end.
    NoServer = "no-server", Warning;
    /// The server is one of the hosts.
    ServerIsHost = "server-is-host", Warning;
    /// No host, which containerd 1 takes for damage.
    NoHost = "no-host", Error;
    /// A host that is never asked for an image.
    NoPull = "no-pull", Warning;
    /// A host that is never asked what a tag stands for.
    NoResolve = "no-resolve", Note;
    /// A host on the node's own loopback.
    LoopbackHost = "loopback-host", Warning;
    /// `dial_timeout` for a containerd that does not know it.
    DialTimeout = "dial-timeout", Warning;
    /// `skip_verify` where there is no TLS.
    SkipVerify = "skip-verify", Note;
    /// The directory has the name of a server instead of a registry.
    Directory = "directory", Error;
    /// No section `[Service]`.
    NoService = "no-service", Error;
    /// A line that systemd does not understand.
    NotAssignment = "not-assignment", Error;
    /// A `%` that systemd expands.
    Percent = "percent", Warning;
    /// A proxy on the node's own loopback (P1).
    LoopbackProxy = "loopback-proxy", Error;
    /// A proxy that is no HTTP URL.
    NoProxyUrl = "proxy-not-url", Error;
    /// Only one of the two proxies.
    OneProxy = "one-proxy", Warning;
    /// No `NO_PROXY` at all.
    NoNoProxy = "no-no-proxy", Warning;
    /// A range of addresses, which never matches a name (P4).
    RangeOnlyAddresses = "range-only-addresses", Note;
    /// `*.svc` or `.svc` alone.
    SvcOnly = "svc-only", Warning;
    /// The range of docker's own bridge, where nodes are not (D17).
    DockerBridge = "docker-bridge", Warning;
    /// An entry that Go drops.
    InvalidEntry = "invalid-entry", Warning;
    /// A mirror that is itself asked for through the proxy.
    MirrorNotCovered = "mirror-not-covered", Error;
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub rule: Rule,
    /// In which line, from 1, where it is in one.
    pub line: Option<usize>,
    /// What the text names.
    pub args: Vec<(&'static str, String)>,
}

impl Finding {
    pub(crate) fn new<const N: usize>(rule: Rule, line: Option<usize>, args: [(&'static str, String); N]) -> Self {
        Self { rule, line, args: args.into() }
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.args.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// What is wrong, in one or two sentences.
    #[must_use]
    pub fn sentence(&self) -> String {
        text::current().with(&format!("lint-{}", self.rule.id()), &self.pairs())
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        text::current().attribute(&format!("lint-{}", self.rule.id()), "remedy", &self.pairs()).unwrap_or_default()
    }
}

/// Whether a host is a machine's own loopback.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_texts() {
        let ids: BTreeSet<&str> = Rule::ALL.iter().map(|r| r.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let all = ["why", "key", "nearest", "host", "word", "wanted", "registry", "server", "text", "name", "other", "entry"];
            let finding = Finding::new(*rule, None, all.map(|name| (name, String::new())));
            assert!(!finding.sentence().starts_with("lint-"), "{} has no text", rule.id());
            assert!(!finding.remedy().is_empty(), "{} has no remedy", rule.id());
        }
    }
}
