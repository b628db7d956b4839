//! `hosts.toml` and the directories it is looked for in (containerd `core/remotes/docker/config/hosts.go`).

use std::time::Duration;

use toml::{Table, Value};

use super::config::ContainerdVersion;
use super::tree::Tree;
use crate::net::Url;

/// containerd's dial timeout where nothing else is said.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A place to pull from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `http` or `https`.
    pub scheme: String,
    /// `host` or `host:port`; empty for a root without `server` until the registry itself is filled in.
    pub host: String,
    /// Root of the API.
    pub path: String,
    /// Capability `pull`.
    pub pull: bool,
    /// Capability `resolve`.
    pub resolve: bool,
    /// Certificate files to trust beside the system's.
    pub ca: Vec<String>,
    /// Certificate and key files to present.
    pub client: Vec<(String, String)>,
    /// `skip_verify`, if it is said.
    pub skip_verify: Option<bool>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// `dial_timeout`, if it is said.
    pub dial_timeout: Option<Duration>,
    /// Whether plain HTTP is tried after TLS failed (`docker.NewHTTPFallback`).
    pub fallback: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            scheme: String::new(),
            host: String::new(),
            path: String::new(),
            pull: true,
            resolve: true,
            ca: Vec::new(),
            client: Vec::new(),
            skip_verify: None,
            headers: Vec::new(),
            dial_timeout: None,
            fallback: false,
        }
    }
}

/// What reading a host directory came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// In the order in which they are tried.
    pub hosts: Vec<Host>,
    /// What containerd logs about it.
    pub log: Vec<String>,
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The containerd that reads.
    pub version: ContainerdVersion,
    /// Whether a host table has a string `proxy`, as an open change of containerd proposes it (D2).
    pub proxy_key: bool,
}

/// The host directory of a registry under one root: the first that exists of `<host>_<port>_`, `<host>:<port>` and `_default`.
#[must_use]
pub fn directory(tree: &Tree, root: &str, host: &str) -> Option<String> {
    let mut names = vec![host.to_owned(), "_default".to_owned()];
    if let Some((name, port)) = host.rsplit_once(':').filter(|(name, _)| !name.is_empty()) {
        names.insert(0, format!("{name}_{port}_"));
    }
    let root = root.trim_end_matches('/');
    names.into_iter().map(|name| format!("{root}/{name}")).find(|path| tree.is_directory(path) || tree.is_file(path))
}

/// Where a registry's images are pulled from: the first root with a host directory, or the registry itself.
///
/// # Errors
/// When containerd gives up for what it found.
pub fn choose(dialect: Dialect, tree: &Tree, roots: &[String], registry: &str) -> Result<Chosen, String> {
    let mut chosen = Chosen::default();
    let found = roots.iter().find_map(|root| directory(tree, root, registry));
    if let Some(directory) = found {
        let file = format!("{directory}/hosts.toml");
        match tree.text(&file).filter(|text| !text.is_empty()).map(|text| parse(dialect, &directory, &text)) {
            Some(Ok(hosts)) => chosen.hosts = hosts,
            Some(Err(why)) => {
                chosen.log.push(format!("level=error msg=\"failed to decode {file}\" error={why:?}"));
                chosen.hosts = certificate_files(tree, &directory);
            }
            None => chosen.hosts = certificate_files(tree, &directory),
        }
    }
    if chosen.hosts.is_empty() {
        chosen.hosts.push(Host::default());
    }
    if let Some(last) = chosen.hosts.last_mut().filter(|h| h.host.is_empty()) {
        fill_in(last, registry);
    }
    for host in &mut chosen.hosts {
        let explicit = !host.ca.is_empty() || !host.client.is_empty() || host.skip_verify.is_some();
        if host.scheme == "http" && explicit && !host.host.ends_with(":80") {
            "https".clone_into(&mut host.scheme);
            host.fallback = true;
        }
    }
    Ok(chosen)
}

/// The registry itself, with all capabilities.
fn fill_in(host: &mut Host, registry: &str) {
    "https".clone_into(&mut host.scheme);
    let name = registry.rsplit_once(':').map_or(registry, |(name, _)| name);
    let local = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if registry == "docker.io" {
        "registry-1.docker.io".clone_into(&mut host.host);
    } else {
        registry.clone_into(&mut host.host);
    }
    if local {
        let port = registry.rsplit_once(':').map_or("", |(_, port)| port);
        if !matches!(port, "" | "443") {
            "http".clone_into(&mut host.scheme);
        }
        if port != "80" {
            host.skip_verify = Some(true);
        }
    }
    "/v2".clone_into(&mut host.path);
    (host.pull, host.resolve) = (true, true);
}

/// Docker's layout: `*.crt` to trust, `*.cert` with `*.key` to present.
fn certificate_files(tree: &Tree, directory: &str) -> Vec<Host> {
    let mut host = Host::default();
    for name in tree.list(directory).unwrap_or_default() {
        let path = format!("{directory}/{name}");
        if path.strip_suffix(".crt").is_some() {
            host.ca.push(path);
        } else if let Some(stem) = path.strip_suffix(".cert") {
            host.client.push((path.clone(), format!("{stem}.key")));
        }
    }
    vec![host]
}

/// Reads a `hosts.toml`: its `[host]` tables in the order of the file, then the root as the last. Unknown keys and tables are dropped (D1).
///
/// # Errors
/// When containerd would ignore the file.
pub fn parse(dialect: Dialect, directory: &str, text: &str) -> Result<Vec<Host>, String> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| format!("toml: {}", e.message()))?;
    let mut hosts = Vec::new();
    match table.get("host") {
        Some(Value::Table(tables)) => {
            for (url, value) in tables {
                let Value::Table(table) = value else { return Err(mismatch(url, "table")) };
                hosts.push(host(dialect, directory, url, table)?);
            }
        }
        Some(_) => return Err(mismatch("host", "table")),
        // Up to 1.7 the order comes from a look at the tree, which must be there.
        None if dialect.version.0 < 2 => return Err("invalid `host` tree".to_owned()),
        None => {}
    }
    let server = string(&table, "server")?.unwrap_or_default();
    hosts.push(host(dialect, directory, server, &table)?);
    Ok(hosts)
}

fn mismatch(key: &str, wanted: &str) -> String {
    format!("toml: cannot decode TOML value of {key} into {wanted}")
}

fn string<'a>(table: &'a Table, key: &str) -> Result<Option<&'a str>, String> {
    table.get(key).map(|v| v.as_str().ok_or_else(|| mismatch(key, "string"))).transpose()
}

fn boolean(table: &Table, key: &str) -> Result<Option<bool>, String> {
    table.get(key).map(|v| v.as_bool().ok_or_else(|| mismatch(key, "bool"))).transpose()
}

fn strings<'a>(key: &str, values: &'a [Value]) -> Result<Vec<&'a str>, String> {
    values.iter().map(|v| v.as_str().ok_or_else(|| mismatch(key, "string"))).collect()
}

/// `parseHostConfig`.
fn host(dialect: Dialect, directory: &str, server: &str, table: &Table) -> Result<Host, String> {
    let mut host = Host::default();
    if dialect.proxy_key {
        string(table, "proxy")?;
    }
    let override_path = boolean(table, "override_path")?.unwrap_or(false);
    if !server.is_empty() {
        let full = if server.starts_with("http") { server.to_owned() } else { format!("https://{server}") };
        let url = Url::parse(&full).ok_or_else(|| format!("unable to parse server {full}: invalid URL"))?;
        host.host = url.authority();
        let path = url.path.split('?').next().unwrap_or_default();
        host.path = match path.trim_end_matches('/') {
            path if override_path || path.ends_with("/v2") => path.to_owned(),
            path => format!("{path}/v2"),
        };
        host.scheme = url.scheme;
    }
    match table.get("capabilities") {
        // An empty list means all, as none does.
        Some(Value::Array(names)) if !names.is_empty() => {
            (host.pull, host.resolve) = (false, false);
            for name in strings("capabilities", names)? {
                match name.to_lowercase().as_str() {
                    "pull" => host.pull = true,
                    "resolve" => host.resolve = true,
                    "push" => {}
                    "referrers" if dialect.version.0 >= 2 => {}
                    _ => return Err(format!("unknown capability {name}")),
                }
            }
        }
        None | Some(Value::Array(_)) => {}
        Some(_) => return Err(mismatch("capabilities", "[]string")),
    }
    let absolute = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    host.ca = match table.get("ca") {
        None => Vec::new(),
        Some(Value::String(path)) => vec![absolute(path)],
        Some(Value::Array(paths)) => strings("ca", paths)?.into_iter().map(absolute).collect(),
        Some(other) => return Err(format!("invalid type {other} for \"ca\"")),
    };
    match table.get("client") {
        None => {}
        // One file then has both.
        Some(Value::String(path)) => host.client.push((absolute(path), absolute(path))),
        Some(Value::Array(entries)) => {
            for entry in entries {
                host.client.push(match entry {
                    Value::String(path) => (absolute(path), absolute(path)),
                    Value::Array(pair) => match strings("client", pair)?[..] {
                        [certificate, key] => (absolute(certificate), absolute(key)),
                        _ => return Err(format!("invalid pair {entry} for \"client\"")),
                    },
                    other => return Err(format!("invalid type {other} for \"client\"")),
                });
            }
        }
        Some(other) => return Err(format!("invalid type {other} for \"client\"")),
    }
    host.skip_verify = boolean(table, "skip_verify")?;
    match table.get("header") {
        None => {}
        Some(Value::Table(headers)) => {
            for (name, value) in headers {
                let values = match value {
                    Value::String(value) => vec![value.as_str()],
                    Value::Array(values) => strings("header", values)?,
                    other => return Err(format!("invalid type {other} for header {name:?}")),
                };
                host.headers.extend(values.into_iter().map(|v| (name.clone(), v.to_owned())));
            }
        }
        Some(_) => return Err(mismatch("header", "map")),
    }
    // Older versions do not know the key, and so drop it.
    if dialect.version.at_least(2, 1)
        && let Some(text) = string(table, "dial_timeout")?.filter(|t| !t.is_empty())
    {
        host.dial_timeout = Some(duration(text).ok_or_else(|| format!("time: invalid duration {text:?}"))?);
    }
    Ok(host)
}

/// Go's `time.ParseDuration`, without signs.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let seconds = match &tail[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = &tail[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Dialect = Dialect { version: ContainerdVersion(2, 1, 4), proxy_key: false };
    const ROOT: &str = "/etc/containerd/certs.d";

    fn chosen(files: &[(&str, &str)], registry: &str) -> Chosen {
        let mut tree = Tree::default();
        for (path, content) in files {
            tree.write(&format!("{ROOT}/{path}"), content.as_bytes()).unwrap();
        }
        choose(NOW, &tree, &[ROOT.to_owned(), "/etc/docker/certs.d".to_owned()], registry).unwrap()
    }

    fn places(chosen: &Chosen) -> Vec<String> {
        chosen.hosts.iter().map(|h| format!("{}://{}{}", h.scheme, h.host, h.path)).collect()
    }

    #[rstest]
    #[case(&["r_5000_", "r:5000", "_default"], "r:5000", Some("r_5000_"))]
    #[case(&["r:5000", "_default"], "r:5000", Some("r:5000"))]
    #[case(&["r", "_default"], "r:5000", Some("_default"))]
    #[case(&["r"], "r:5000", None)]
    #[case(&["docker.io", "_default"], "docker.io", Some("docker.io"))]
    #[case(&["_default"], "registry.istio.io", Some("_default"))]
    fn the_host_directory_is_the_first_that_exists(#[case] present: &[&str], #[case] host: &str, #[case] wanted: Option<&str>) {
        let mut tree = Tree::default();
        for name in present {
            tree.make_directory(&format!("{ROOT}/{name}")).unwrap();
        }
        assert_eq!(directory(&tree, ROOT, host), wanted.map(|name| format!("{ROOT}/{name}")));
    }

    #[test]
    fn hosts_are_tried_in_the_order_of_the_file_and_then_the_server() {
        let text = "server = \"https://last\"\n[host.\"http://z:5000\"]\n[host.\"https://a/sub\"]\n[host.\"m/v2/\"]\n[host.\"https://o/x\"]\noverride_path = true\n";
        let found = chosen(&[("docker.io/hosts.toml", text)], "docker.io");
        assert_eq!(places(&found), ["http://z:5000/v2", "https://a/sub/v2", "https://m/v2", "https://o/x", "https://last/v2"]);
        let no_server = chosen(&[("docker.io/hosts.toml", "[host.\"http://z:5000\"]")], "docker.io");
        assert_eq!(places(&no_server), ["http://z:5000/v2", "https://registry-1.docker.io/v2"]);
        assert_eq!(places(&chosen(&[], "lab:5000")), ["https://lab:5000/v2"]);
        let local = chosen(&[], "localhost:5000");
        assert!(local.hosts[0].fallback && places(&local) == ["https://localhost:5000/v2"]);
    }

    /// D1, and D2 for a containerd that would know the key.
    #[test]
    fn the_proxy_table_of_the_guide_is_dropped_without_a_word() {
        let text = "server = \"https://registry-1.docker.io\"\n[host.\"https://registry-1.docker.io\"]\n  capabilities = [\"pull\", \"resolve\"]\n  [host.\"https://registry-1.docker.io\".proxy]\n    http = \"http://172.17.0.1:7890\"\n";
        let found = chosen(&[("docker.io/hosts.toml", text)], "docker.io");
        assert_eq!((places(&found).len(), found.log.len()), (2, 0));
        let future = Dialect { proxy_key: true, ..NOW };
        assert!(parse(future, ROOT, text).unwrap_err().contains("proxy"));
    }

    #[test]
    fn an_unknown_capability_spoils_the_file() {
        let found = chosen(&[("docker.io/hosts.toml", "[host.\"http://m\"]\ncapabilities = [\"pull\", \"fetch\"]")], "docker.io");
        assert_eq!(places(&found), ["https://registry-1.docker.io/v2"]);
        assert_eq!(
            found.log,
            ["level=error msg=\"failed to decode /etc/containerd/certs.d/docker.io/hosts.toml\" error=\"unknown capability fetch\""]
        );
    }

    #[test]
    fn versions_differ() {
        let old = Dialect { version: ContainerdVersion(1, 7, 24), proxy_key: false };
        assert!(parse(old, ROOT, "server = \"https://m\"").is_err());
        assert_eq!(parse(NOW, ROOT, "server = \"https://m\"").unwrap().len(), 1);
        let timeout = "[host.\"http://m\"]\ndial_timeout = \"1m30.5s\"";
        assert_eq!(parse(NOW, ROOT, timeout).unwrap()[0].dial_timeout, Some(Duration::from_millis(90_500)));
        assert_eq!(parse(Dialect { version: ContainerdVersion(2, 0, 2), ..NOW }, ROOT, timeout).unwrap()[0].dial_timeout, None);
        assert!(parse(NOW, ROOT, "[host.\"http://m\"]\ndial_timeout = \"soon\"").is_err());
    }

    #[test]
    fn certificates_may_be_relative() {
        let text = "[host.\"https://m\"]\nca = [\"a.crt\", \"/b.crt\"]\nclient = [[\"c.cert\", \"c.key\"]]\nskip_verify = true\n[host.\"https://m\".header]\nx-a = [\"1\", \"2\"]\n";
        let host = parse(NOW, "/d", text).unwrap().remove(0);
        assert_eq!(host.ca, ["/d/a.crt", "/b.crt"]);
        assert_eq!(host.client, [("/d/c.cert".to_owned(), "/d/c.key".to_owned())]);
        assert_eq!((host.skip_verify, host.headers.len()), (Some(true), 2));
        let files = chosen(&[("r:5000/ca.crt", "x"), ("r:5000/me.cert", "x")], "r:5000");
        assert_eq!((files.hosts[0].ca.len(), files.hosts[0].client[0].1.as_str()), (1, "/etc/containerd/certs.d/r:5000/me.key"));
    }
}
