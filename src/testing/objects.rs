//! Paths and selectors of the Kubernetes API, as far as the tests need them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The path of an object, from its own `apiVersion`, `kind` and `metadata`.
#[track_caller]
pub(super) fn path_of(object: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_else(|| panic!("no whole object: {object}")).to_owned();
    let version = text(&object["apiVersion"]);
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let kind = text(&object["kind"]).to_lowercase();
    let plural = if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") };
    let place = object["metadata"]["namespace"].as_str().map_or_else(String::new, |n| format!("/namespaces/{n}"));
    format!("{root}{place}/{plural}/{}", text(&object["metadata"]["name"]))
}

/// Root, namespace if any, and what follows.
fn split(path: &str) -> (String, Option<String>, Vec<&str>) {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = parts.split_off(if parts[0] == "apis" { 3 } else { 2 }.min(parts.len()));
    let root = format!("/{}", parts.join("/"));
    match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (root, Some((*namespace).to_owned()), rest.to_vec()),
        rest => (root, None, rest.to_vec()),
    }
}

/// The collections that an object is in: that of its namespace and that of all namespaces, which are one for an object without namespace.
pub(super) fn collection_of(path: &str) -> (String, String) {
    let (root, namespace, rest) = split(path);
    let all = format!("{root}/{}", rest[0]);
    (namespace.map_or_else(|| all.clone(), |n| format!("{root}/namespaces/{n}/{}", rest[0])), all)
}

pub(super) fn is_collection(path: &str) -> bool {
    split(path).2.len() == 1
}

/// Label and field selectors of a list or watch.
#[derive(Debug)]
pub(super) struct Selector(Vec<Term>);

#[derive(Debug)]
enum Term {
    Name(String),
    Label { key: String, among: Vec<String> },
    HasLabel(String),
}

impl Selector {
    #[track_caller]
    pub(super) fn of(query: &BTreeMap<String, String>) -> Self {
        let fields = query.get("fieldSelector").into_iter().map(|f| match f.split_once('=') {
            Some(("metadata.name", name)) => Term::Name(name.to_owned()),
            _ => panic!("the scripted API knows no fieldSelector {f}"),
        });
        Self(fields.chain(query.get("labelSelector").into_iter().flat_map(|l| labels(l))).collect())
    }

    pub(super) fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.0.iter().all(|term| match term {
            Term::Name(name) => metadata["name"] == name.as_str(),
            Term::Label { key, among } => metadata["labels"][key].as_str().is_some_and(|v| among.iter().any(|a| a == v)),
            Term::HasLabel(key) => metadata["labels"][key].is_string(),
        })
    }
}

/// `a=b`, `a in (b, c)` and `a`, separated by commas outside of parentheses.
fn labels(selector: &str) -> Vec<Term> {
    let mut depth = 0;
    let terms = selector.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    terms
        .map(str::trim)
        .map(|term| {
            let (key, among) = match (term.split_once(" in ("), term.split_once('=')) {
                (Some((key, list)), _) => (key, list.trim_end_matches(')').split(',').map(|v| v.trim().to_owned()).collect()),
                (None, Some((key, value))) => (key, vec![value.trim_start_matches('=').to_owned()]),
                (None, None) => return Term::HasLabel(term.to_owned()),
            };
            Term::Label { key: key.to_owned(), among }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_follow_the_object() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}});
        let class = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "istio"}});
        assert_eq!(path_of(&pod), "/api/v1/namespaces/b/pods/a");
        assert_eq!(path_of(&class), "/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio");
        assert_eq!(collection_of(&path_of(&pod)), ("/api/v1/namespaces/b/pods".to_owned(), "/api/v1/pods".to_owned()));
        for (path, collection) in [
            ("/api/v1/namespaces", true),
            ("/api/v1/namespaces/b", false),
            ("/api/v1/namespaces/b/pods", true),
            ("/api/v1/namespaces/b/pods/a", false),
            ("/apis/apps/v1/daemonsets", true),
            ("/version", false),
            ("/api/v1/nodes/n/proxy/healthz", false),
        ] {
            assert_eq!(is_collection(path), collection, "{path}");
        }
    }

    #[test]
    fn selectors_choose() {
        let object = json!({"metadata": {"name": "x", "labels": {"app": "istiod", "tier": "a"}}});
        let takes = |key: &str, value: &str| Selector::of(&BTreeMap::from([(key.to_owned(), value.to_owned())])).takes(&object);
        assert!(takes("labelSelector", "app=istiod,tier"));
        assert!(takes("labelSelector", "app in (ztunnel, istiod),tier=a"));
        assert!(!takes("labelSelector", "app=istiod,tier=b"));
        assert!(!takes("labelSelector", "other"));
        assert!(takes("fieldSelector", "metadata.name=x"));
        assert!(!takes("fieldSelector", "metadata.name=y"));
    }
}
