//! Which proxy a Go program uses: `golang.org/x/net/http/httpproxy`, which `net/http.ProxyFromEnvironment` is made of.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Url;

/// `httpproxy.Config`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `HTTP_PROXY`.
    pub http: String,
    /// `HTTPS_PROXY`.
    pub https: String,
    /// `NO_PROXY`.
    pub no_proxy: String,
    /// Whether the process looks like a CGI script, where `HTTP_PROXY` may come from a request header.
    pub cgi: bool,
}

impl ProxyConfig {
    /// `httpproxy.FromEnvironment`: the upper-case variable is preferred, and an empty one counts as unset.
    #[must_use]
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let any = |upper: &str| {
            let lower = upper.to_lowercase();
            let values = [upper, lower.as_str()].into_iter().filter_map(|name| environment.get(name));
            values.into_iter().find(|v| !v.is_empty()).cloned().unwrap_or_default()
        };
        Self {
            http: any("HTTP_PROXY"),
            https: any("HTTPS_PROXY"),
            no_proxy: any("NO_PROXY"),
            cgi: environment.get("REQUEST_METHOD").is_some_and(|v| !v.is_empty()),
        }
    }

    /// The proxy for a request; `None` means a direct connection.
    ///
    /// # Errors
    /// In a CGI environment, `HTTP_PROXY` is refused.
    pub fn proxy_for(&self, url: &Url) -> Result<Option<Url>, String> {
        let proxy = match url.scheme.as_str() {
            "https" => parse_proxy(&self.https),
            "http" => parse_proxy(&self.http),
            _ => None,
        };
        let Some(proxy) = proxy else { return Ok(None) };
        if url.scheme == "http" && self.cgi {
            return Err("refusing to use HTTP_PROXY value in CGI environment; see golang.org/s/cgihttpproxy".to_owned());
        }
        Ok(self.uses_proxy(&url.host, url.port_or_default()).then_some(proxy))
    }

    /// `useProxy`: whether requests to this host and port go to the proxy.
    #[must_use]
    pub fn uses_proxy(&self, host: &str, port: u16) -> bool {
        if host == "localhost" {
            return false;
        }
        let ip = host.parse::<IpAddr>().ok().map(unmapped);
        if ip.is_some_and(|ip| ip.is_loopback()) {
            return false;
        }
        let host = host.trim().to_lowercase();
        !matchers(&self.no_proxy).iter().any(|m| m.matches(&host, port, ip))
    }
}

/// `parseProxy`: an address without a scheme is an HTTP proxy. One that cannot be read counts as none.
fn parse_proxy(text: &str) -> Option<Url> {
    if text.is_empty() {
        return None;
    }
    Url::parse(text).or_else(|| Url::parse(&format!("http://{text}")))
}

#[derive(Debug)]
enum Matcher {
    All,
    Network { ip: IpAddr, bits: u32 },
    Address { ip: IpAddr, port: String },
    Domain { suffix: String, port: String, itself: bool },
}

/// `config.init`, the part about `NO_PROXY`.
fn matchers(no_proxy: &str) -> Vec<Matcher> {
    let mut found = Vec::new();
    for entry in no_proxy.split(',') {
        let entry = entry.trim().to_lowercase();
        if entry.is_empty() {
            continue;
        }
        if entry == "*" {
            return vec![Matcher::All];
        }
        if let Some(network) = parse_cidr(&entry) {
            found.push(network);
            continue;
        }
        let (host, port) = match split_strictly(&entry) {
            Some(("", _)) => continue,
            Some((host, port)) => (host, port),
            None => (entry.as_str(), ""),
        };
        let port = port.to_owned();
        if let Ok(ip) = host.parse::<IpAddr>() {
            found.push(Matcher::Address { ip: unmapped(ip), port });
            continue;
        }
        let host = if host.starts_with("*.") { &host[1..] } else { host };
        found.push(match host.strip_prefix('.') {
            Some(_) => Matcher::Domain { suffix: host.to_owned(), port, itself: false },
            None => Matcher::Domain { suffix: format!(".{host}"), port, itself: true },
        });
    }
    found
}

impl Matcher {
    fn matches(&self, host: &str, port: u16, ip: Option<IpAddr>) -> bool {
        let port_fits = |wanted: &str| wanted.is_empty() || wanted == port.to_string();
        match self {
            Self::All => true,
            // No name is resolved for this: a network matches only what is written as an address.
            Self::Network { ip: network, bits } => ip.is_some_and(|ip| in_network(ip, *network, *bits)),
            Self::Address { ip: wanted, port } => ip == Some(*wanted) && port_fits(port),
            Self::Domain { suffix, port, itself } => {
                (host.ends_with(suffix.as_str()) || (*itself && host == &suffix[1..])) && port_fits(port)
            }
        }
    }
}

/// Go's `net.SplitHostPort`: there must be a port, and an IPv6 address must have brackets.
fn split_strictly(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return Some((host, rest.strip_prefix(':')?));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains(':')).then_some((host, port))
}

/// Go compares an IPv4 address and its IPv6-mapped form as equal.
fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn parse_cidr(text: &str) -> Option<Matcher> {
    let (ip, bits) = text.split_once('/')?;
    let (ip, bits): (IpAddr, u32) = (ip.parse().ok()?, bits.parse().ok()?);
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Matcher::Network { ip, bits })
}

fn in_network(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GUIDE: &str = "localhost,127.0.0.1,10.96.0.0/12,10.244.0.0/16,172.17.0.0/16,*.svc";

    #[rstest]
    // A name and its subdomains.
    #[case("foo.com", "foo.com", 80, false)]
    #[case("foo.com", "bar.foo.com", 80, false)]
    #[case("foo.com", "barfoo.com", 80, true)]
    #[case("foo.com", "FOO.com", 80, false)]
    // Subdomains only.
    #[case(".foo.com", "foo.com", 80, true)]
    #[case(".foo.com", "bar.foo.com", 80, false)]
    #[case("*.foo.com", "foo.com", 80, true)]
    #[case("*.foo.com", "a.b.foo.com", 80, false)]
    // Ports.
    #[case("foo.com:8080", "foo.com", 8080, false)]
    #[case("foo.com:8080", "foo.com", 80, true)]
    #[case("10.0.0.1:5000", "10.0.0.1", 5000, false)]
    #[case("10.0.0.1:5000", "10.0.0.1", 80, true)]
    #[case("[fd00::1]:80", "fd00::1", 80, false)]
    #[case("fd00::1", "fd00::1", 443, false)]
    #[case(":80", "foo.com", 80, true)]
    // Everything, but only when it stands alone in its entry.
    #[case("*", "foo.com", 443, false)]
    #[case("a.com, * ,b.com", "10.1.2.3", 443, false)]
    #[case("", "foo.com", 443, true)]
    // Networks match addresses, never names (kind #1304, D17).
    #[case("172.18.0.0/16", "172.18.0.5", 5000, false)]
    #[case("172.18.0.0/16", "lab-registry", 5000, true)]
    #[case("fd00::/8", "fd12::1", 443, false)]
    #[case("0.0.0.0/0", "8.8.8.8", 443, false)]
    #[case("::/0", "8.8.8.8", 443, true)]
    // Loopback is never proxied.
    #[case("", "localhost", 80, false)]
    #[case("", "127.0.0.2", 80, false)]
    #[case("", "::1", 80, false)]
    // The guide's list.
    #[case(GUIDE, "10.97.3.4", 443, false)]
    #[case(GUIDE, "172.18.0.9", 5000, true)]
    #[case(GUIDE, "registry-1.docker.io", 443, true)]
    #[case(GUIDE, "a.b.svc", 443, false)]
    #[case(GUIDE, "a.b.svc.cluster.local", 443, true)]
    #[case(GUIDE, "svc", 443, true)]
    fn no_proxy_is_read_as_go_reads_it(#[case] no_proxy: &str, #[case] host: &str, #[case] port: u16, #[case] proxied: bool) {
        let config = ProxyConfig { no_proxy: no_proxy.to_owned(), ..ProxyConfig::default() };
        assert_eq!(config.uses_proxy(host, port), proxied, "{host}:{port} with NO_PROXY={no_proxy}");
    }

    fn chosen(environment: &[(&str, &str)], url: &str) -> Result<Option<String>, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let url = Url::parse(url).unwrap();
        ProxyConfig::from_environment(&environment).proxy_for(&url).map(|p| p.map(|p| p.to_string()))
    }

    #[rstest]
    #[case(&[("HTTP_PROXY", "http://p:1")], "http://a/", Some("http://p:1"))]
    #[case(&[("HTTP_PROXY", "http://p:1")], "https://a/", None)]
    #[case(&[("HTTPS_PROXY", "http://p:1")], "https://a/", Some("http://p:1"))]
    #[case(&[("https_proxy", "p:1")], "https://a/", Some("http://p:1"))]
    #[case(&[("https_proxy", "127.0.0.1:7890")], "https://a/", Some("http://127.0.0.1:7890"))]
    #[case(&[("HTTPS_PROXY", "http://up:1"), ("https_proxy", "http://low:1")], "https://a/", Some("http://up:1"))]
    #[case(&[("HTTPS_PROXY", ""), ("https_proxy", "http://low:1")], "https://a/", Some("http://low:1"))]
    #[case(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "a")], "https://a/", None)]
    fn the_environment_chooses(#[case] environment: &[(&str, &str)], #[case] url: &str, #[case] proxy: Option<&str>) {
        assert_eq!(chosen(environment, url), Ok(proxy.map(str::to_owned)));
    }

    #[test]
    fn a_cgi_script_does_not_trust_http_proxy() {
        let environment = [("HTTP_PROXY", "http://p:1"), ("HTTPS_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")];
        assert!(chosen(&environment, "http://a/").unwrap_err().starts_with("refusing to use HTTP_PROXY"));
        assert_eq!(chosen(&environment, "https://a/"), Ok(Some("http://p:1".to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn a_subdomain_entry_never_matches_the_domain_itself(name in "[a-z]{1,8}(\\.[a-z]{1,5}){1,3}", port in 1_u16..) {
            // The macro cannot see names inside of format strings, so they are made first.
            let (dotted, starred, below) = (format!(".{name}"), format!("*.{name}"), format!("x.{name}"));
            let with_port = format!("{starred}:{port}");
            let used = |no_proxy: &str, host: &str| ProxyConfig { no_proxy: no_proxy.to_owned(), ..ProxyConfig::default() }.uses_proxy(host, port);
            proptest::prop_assert!(used(&dotted, &name));
            proptest::prop_assert!(used(&starred, &name));
            proptest::prop_assert!(!used(&name, &name));
            proptest::prop_assert!(!used(&with_port, &below));
        }
    }
}
