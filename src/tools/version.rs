//! Which version of a tool will do.

/// How well a version fits; smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// The wanted version.
    Exact,
    /// The same minor.
    SameMinor,
    /// The minor before or after.
    NextMinor,
}

/// A version without the leading `v` that some tools print.
pub(crate) fn plain(version: &str) -> &str {
    version.trim().strip_prefix('v').unwrap_or(version.trim())
}

/// Whether a version is the wanted one. No part is taken for insignificant: snapshots differ in their last part only.
pub(crate) fn exact(wanted: &str, found: &str) -> Option<Fit> {
    (plain(wanted) == plain(found)).then_some(Fit::Exact)
}

/// Whether kubectl of this version may talk to a server of the wanted one: Kubernetes supports one minor of skew.
pub(crate) fn within_one_minor(wanted: &str, found: &str) -> Option<Fit> {
    if let Some(fit) = exact(wanted, found) {
        return Some(fit);
    }
    let (wanted, found) = (major_minor(wanted)?, major_minor(found)?);
    match (wanted.0 == found.0, wanted.1.abs_diff(found.1)) {
        (true, 0) => Some(Fit::SameMinor),
        (true, 1) => Some(Fit::NextMinor),
        _ => None,
    }
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = plain(version).split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// `kind v0.30.0 go1.26.8 linux/amd64`
pub(crate) fn from_kind(stdout: &str) -> Option<String> {
    let version = stdout.lines().find_map(|l| l.strip_prefix("kind "))?.split_whitespace().next()?;
    Some(plain(version).to_owned())
}

/// `client version: 1.27.1`
pub(crate) fn from_istioctl(stdout: &str) -> Option<String> {
    let version = plain(stdout.lines().find_map(|l| l.strip_prefix("client version:"))?);
    (!version.is_empty()).then(|| version.to_owned())
}

/// `{"clientVersion": {"gitVersion": "v1.33.4"}}`
pub(crate) fn from_kubectl(stdout: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(stdout).ok()?;
    Some(plain(json.pointer("/clientVersion/gitVersion")?.as_str()?).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_may_be_one_minor_away_and_the_others_must_be_exact() {
        assert_eq!(within_one_minor("1.33.4", "v1.33.4"), Some(Fit::Exact));
        assert_eq!(within_one_minor("1.33.4", "v1.33.9"), Some(Fit::SameMinor));
        assert_eq!(within_one_minor("1.33.4", "v1.32.4-dispatcher"), Some(Fit::NextMinor));
        assert_eq!(within_one_minor("1.33.4", "1.34.0+k3s1"), Some(Fit::NextMinor));
        assert_eq!(within_one_minor("1.33.4", "1.35.0"), None);
        assert_eq!(within_one_minor("1.33.4", "2.33.4"), None);
        assert_eq!(within_one_minor("1.33.4", "unknown"), None);
        assert_eq!(exact("v1.30.0-alpha.b01690e6db7d", "1.30.0-alpha.b01690e6db7d"), Some(Fit::Exact));
        assert_eq!(exact("1.30.0-alpha.b01690e6db7d", "1.30.0-alpha.0000"), None);
        assert_eq!(exact("0.30.0", "0.30"), None);
    }

    #[test]
    fn what_the_tools_print_is_understood() {
        assert_eq!(from_kind("kind v0.30.0 go1.26.8 linux/amd64\n").as_deref(), Some("0.30.0"));
        assert_eq!(from_kind("something else"), None);
        assert_eq!(from_istioctl("a warning\nclient version: 1.27.1\n").as_deref(), Some("1.27.1"));
        assert_eq!(from_istioctl("client version:\n"), None);
        assert_eq!(from_kubectl(r#"{"clientVersion":{"gitVersion":"v1.32.4-dispatcher"}}"#).as_deref(), Some("1.32.4-dispatcher"));
        assert_eq!(from_kubectl("v1.32.4"), None);
    }
}
