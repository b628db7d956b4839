//! What a request is about, from its method and its address (`RequestInfoFactory` in Kubernetes `apiserver/pkg/endpoints/request`).

use percent_encoding::percent_decode_str;

use crate::failure::Failure;
use crate::selector::FieldSelector;

/// The parameters after the `?`, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
    raw: String,
}

impl Query {
    /// Parses `application/x-www-form-urlencoded` text.
    #[must_use]
    pub fn parse(raw: &str) -> Self {
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        };
        Self { pairs: raw.split('&').filter(|p| !p.is_empty()).map(pair).collect(), raw: raw.to_owned() }
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter.
    #[must_use]
    pub fn all(&self, key: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect()
    }

    /// The text as it came, for the `proxy` subresources.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// A boolean: absent is false, and so are `0` and `false`; everything else, even nothing, is true (`Convert_Slice_string_To_bool`).
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|v| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }
}

/// A request for a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or empty for a method that has none.
    pub verb: String,
    /// `api` or `apis`.
    pub prefix: String,
    /// API group; empty for the core group.
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// Plural of the resource.
    pub resource: String,
    /// For example `status`; empty for none.
    pub subresource: String,
    /// Name of the object; for a list or a watch that a field selector holds to one object, that object's name.
    pub name: String,
    /// Namespace; for `namespaces` itself, its own name, as authorisation wants it.
    pub namespace: String,
    /// What follows the subresource, not decoded, with its leading slash; empty for none.
    pub subpath: String,
    /// Whether the name is part of the path, and not of a field selector.
    pub named: bool,
}

impl RequestInfo {
    /// The resource with its group, as a store or a message has it: `deployments.apps`.
    #[must_use]
    pub fn id(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A resource, which need not exist.
    Resource(RequestInfo),
    /// Anything else: discovery, `/version`, `/healthz`.
    Path {
        /// The method in lower case.
        verb: String,
        /// The decoded path.
        path: String,
    },
}

impl Target {
    /// Reads a request's method, undecoded path and query.
    ///
    /// # Errors
    ///
    /// 500, as upstream has it, for the deprecated `/watch/` prefix with nothing behind it.
    pub fn of(method: &str, path: &str, query: &Query) -> Result<Self, Failure> {
        let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
        let other = Self::Path { verb: method.to_ascii_lowercase(), path: decoded.clone() };
        let trimmed = decoded.trim_matches('/');
        let parts: Vec<&str> = if trimmed.is_empty() { Vec::new() } else { trimmed.split('/').collect() };
        let (group, rest) = match parts[..] {
            ["api", _, _, ..] => ("", &parts[1..]),
            ["apis", group, _, _, ..] => (group, &parts[2..]),
            _ => return Ok(other),
        };
        let mut info =
            RequestInfo { prefix: parts[0].to_owned(), group: group.to_owned(), version: rest[0].to_owned(), ..RequestInfo::default() };
        let mut rest = &rest[1..];
        if matches!(rest[0], "watch" | "proxy") {
            if rest.len() < 2 {
                let url = if query.raw.is_empty() { path.to_owned() } else { format!("{path}?{}", query.raw) };
                let why = format!("failed to create RequestInfo: unable to determine kind and namespace from url, {url}");
                return Err(Failure::internal(why));
            }
            rest[0].clone_into(&mut info.verb);
            rest = &rest[1..];
        } else {
            let verb = match method {
                "POST" => "create",
                "GET" | "HEAD" => "get",
                "PUT" => "update",
                "PATCH" => "patch",
                "DELETE" => "delete",
                _ => "",
            };
            verb.clone_into(&mut info.verb);
        }
        if rest[0] == "namespaces" && rest.len() > 1 {
            rest[1].clone_into(&mut info.namespace);
            // A namespace's own subresources are told from the resources in it by their names.
            if rest.len() > 2 && !matches!(rest[2], "status" | "finalize") {
                rest = &rest[2..];
            }
        }
        rest[0].clone_into(&mut info.resource);
        if let Some(name) = rest.get(1) {
            (*name).clone_into(&mut info.name);
            info.named = true;
        }
        if let Some(subresource) = rest.get(2).filter(|_| info.verb != "proxy") {
            (*subresource).clone_into(&mut info.subresource);
            info.subpath = tail(path, parts.len() - rest.len() + 3);
        }
        info.resolve_collection(query);
        Ok(Self::Resource(info))
    }
}

impl RequestInfo {
    // Without a name, a `get` is a list or a watch and a `delete` is for the whole collection.
    fn resolve_collection(&mut self, query: &Query) {
        if !self.name.is_empty() {
            return;
        }
        if self.verb == "delete" {
            "deletecollection".clone_into(&mut self.verb);
        }
        if self.verb == "get" {
            let verb = if query.flag("watch").unwrap_or_default() { "watch" } else { "list" };
            verb.clone_into(&mut self.verb);
            // Who may get one object may also list and watch it alone.
            let selector = query.get("fieldSelector").and_then(|text| FieldSelector::parse(text).ok()).unwrap_or_default();
            if let Some(name) = selector.exact("metadata.name").filter(|n| !matches!(*n, "." | "..") && !n.contains(['/', '%'])) {
                name.clone_into(&mut self.name);
            }
        }
    }
}

// The path behind its first `count` segments, verbatim.
fn tail(path: &str, count: usize) -> String {
    let path = path.trim_start_matches('/');
    let end = path.match_indices('/').nth(count - 1).map_or(path.len(), |(i, _)| i);
    path[end..].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("GET", "/api/v1/pods", "", "list||v1|pods||||")]
    #[case("GET", "/api/v1/pods", "watch=1", "watch||v1|pods||||")]
    #[case("GET", "/api/v1/pods", "watch=false", "list||v1|pods||||")]
    #[case("GET", "/api/v1/pods", "watch", "watch||v1|pods||||")]
    #[case("GET", "/api/v1/namespaces/a/pods/b", "watch=1", "get||v1|pods||b|a|")]
    #[case("HEAD", "/api/v1/namespaces/a/pods/b/log", "", "get||v1|pods|log|b|a|")]
    #[case("GET", "/api/v1/namespaces/a/pods?", "", "list||v1|pods?|||a|")]
    #[case("GET", "/api/v1/namespaces/a/pods", "fieldSelector=metadata.name%3Db", "list||v1|pods||b|a|")]
    #[case("DELETE", "/api/v1/namespaces/a/pods", "", "deletecollection||v1|pods|||a|")]
    #[case("DELETE", "/api/v1/namespaces/a", "", "delete||v1|namespaces||a|a|")]
    #[case("PUT", "/api/v1/namespaces/a/finalize", "", "update||v1|namespaces|finalize|a|a|")]
    #[case("PATCH", "/api/v1/namespaces/a/status", "", "patch||v1|namespaces|status|a|a|")]
    #[case("GET", "/api/v1/namespaces", "", "list||v1|namespaces||||")]
    #[case("POST", "/apis/apps/v1/namespaces/a/deployments", "", "create|apps|v1|deployments|||a|")]
    #[case("GET", "/apis/g/v1/namespaces/a/b/c%20d/status", "", "get|g|v1|b|status|c d|a|")]
    #[case("GET", "/api/v1/watch/namespaces/a/pods/b", "", "watch||v1|pods||b|a|")]
    #[case("GET", "/api/v1/watch/pods", "", "watch||v1|pods||||")]
    #[case("POST", "/api/v1/namespaces/a/services/http:b:80/proxy/x%2Fy/", "q=1", "create||v1|services|proxy|http:b:80|a|/x%2Fy/")]
    #[case("GET", "/api/v1/nodes/n/proxy/", "", "get||v1|nodes|proxy|n||/")]
    #[case("OPTIONS", "/api/v1/pods", "", "||v1|pods||||")]
    fn resources(#[case] method: &str, #[case] path: &str, #[case] query: &str, #[case] expected: &str) {
        let Target::Resource(i) = Target::of(method, path, &Query::parse(query)).unwrap() else { panic!("not a resource") };
        let got = [i.verb, i.group, i.version, i.resource, i.subresource, i.name, i.namespace, i.subpath].join("|");
        assert_eq!(got, expected);
    }

    #[rstest]
    #[case("GET", "/", "get")]
    #[case("GET", "/api", "get")]
    #[case("GET", "/api/v1", "get")]
    #[case("GET", "/apis/apps/v1", "get")]
    #[case("POST", "/apis/apps", "post")]
    #[case("GET", "/healthz/ping/a/b", "get")]
    fn paths(#[case] method: &str, #[case] path: &str, #[case] verb: &str) {
        let expected = Target::Path { verb: verb.to_owned(), path: path.to_owned() };
        assert_eq!(Target::of(method, path, &Query::default()).unwrap(), expected);
    }

    #[test]
    fn watch_of_nothing() {
        let failure = Target::of("GET", "/api/v1/watch", &Query::default()).unwrap_err();
        assert_eq!(failure.code, 500);
        assert!(failure.message.ends_with("unable to determine kind and namespace from url, /api/v1/watch"));
    }

    proptest! {
        #[test]
        fn any_path_is_read(path in "(/|api|apis|v1|watch|proxy|namespaces|a|status|%2F|%|é){0,12}", query in "[a-z&=%+]{0,12}") {
            let _ = Target::of("GET", &path, &Query::parse(&query));
        }
    }
}
