//! The little of a URL that registry clients need. Parts are kept as written, because error messages quote them.

/// An absolute `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `http` or `https`, in lower case.
    pub scheme: String,
    /// `user:password` as written, percent-encoded.
    pub userinfo: Option<String>,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// The port, if it is written.
    pub port: Option<u16>,
    /// Path and query; empty or beginning with a slash or a question mark.
    pub path: String,
}

impl Url {
    /// Reads a URL. The fragment is dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        let (host, port) = split_host_port(host)?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return None;
        }
        Some(Self { scheme: scheme.to_ascii_lowercase(), userinfo, host: host.to_owned(), port, path: path.to_owned() })
    }

    /// The port that is dialled.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.scheme == "https" { 443 } else { 80 })
    }

    /// `host` or `host:port` as written.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.bracketed();
        self.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    /// `host:port`, with the scheme's port where none is written.
    #[must_use]
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port_or_default())
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Path and query as a request line has them.
    #[must_use]
    pub fn request_target(&self) -> String {
        if self.path.starts_with('/') { self.path.clone() } else { format!("/{}", self.path) }
    }

    /// Where a `Location` header leads from here.
    #[must_use]
    pub fn join(&self, location: &str) -> Option<Self> {
        if location.contains("://") {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme));
        }
        let mut next = self.clone();
        if location.starts_with('/') {
            location.clone_into(&mut next.path);
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let directory = path.rfind('/').map_or("/", |at| &path[..=at]);
            next.path = format!("{directory}{location}");
        }
        Some(next)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

/// Splits `host:port`, `[v6]:port` or a host alone. `None` if the port is no number.
pub(super) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        (host, rest.strip_prefix(':').unwrap_or_default())
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    if port.is_empty() {
        return Some((host, None));
    }
    Some((host, Some(port.parse().ok()?)))
}
