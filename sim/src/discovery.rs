//! Discovery: which groups, versions and resources are served (Kubernetes `apiserver/pkg/endpoints/discovery`, `kube-aggregator` and
//! `apiextensions-apiserver` together, as one server answers).

use std::cmp::{Ordering, Reverse};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::resource::{Resource, ResourceRef, Version};

/// The verbs of `status` and `scale`.
const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];

/// Media types of aggregated discovery, preferred first, without `application/json`.
pub const AGGREGATED: [&str; 2] =
    ["g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"];

// `pkg/controlplane/apiserver/aggregator.go`; a group that is not here comes from a CRD.
const PRIORITIES: &[(&str, u32)] = &[
    ("apiregistration.k8s.io", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

fn priority(group: &str) -> u32 {
    PRIORITIES.iter().find(|(name, _)| *name == group).map_or(1_000, |(_, p)| *p)
}

// Stability, major and minor of `v1`, `v1beta2`; `None` for a version of another form.
fn parse_version(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = |digits: &str| if digits.starts_with('0') { None } else { digits.parse::<u64>().ok() };
    let major = number(&rest[..end])?;
    let suffix = &rest[end..];
    if suffix.is_empty() {
        return Some((2, major, 0));
    }
    for (name, stability) in [("beta", 1), ("alpha", 0)] {
        if let Some(minor) = suffix.strip_prefix(name).and_then(number) {
            return Some((stability, major, minor));
        }
    }
    None
}

/// Kubernetes' version priority, the preferred one first: `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`, then other names by the alphabet
/// (`apimachinery/pkg/version.CompareKubeAwareVersionStrings`, turned round).
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// The groups besides the core group, in the API server's order.
#[must_use]
pub fn group_names(resources: &[ResourceRef]) -> Vec<String> {
    let mut names: Vec<String> = resources.iter().map(|r| r.group.clone()).filter(|g| !g.is_empty()).collect();
    names.sort_by_key(|name| (Reverse(priority(name)), name.clone()));
    names.dedup();
    names
}

/// The served versions of a group, preferred first.
#[must_use]
pub fn group_versions(resources: &[ResourceRef], group: &str) -> Vec<String> {
    let in_group = resources.iter().filter(|r| r.group == group);
    let mut versions: Vec<String> = in_group.flat_map(|r| r.versions.iter().map(|v| v.name.clone())).collect();
    versions.sort_by(|a, b| compare_versions(a, b));
    versions.dedup();
    versions
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `/api`. `address` is where clients reach this server, for example `127.0.0.1:6443`.
#[must_use]
pub fn api_versions(resources: &[ResourceRef], address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": group_versions(resources, ""),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

fn group_entry(resources: &[ResourceRef], name: &str) -> Option<Value> {
    let versions = group_versions(resources, name);
    let entry = |version: &String| json!({"groupVersion": group_version(name, version), "version": version});
    let preferred = entry(versions.first()?);
    Some(json!({"name": name, "versions": versions.iter().map(entry).collect::<Vec<_>>(), "preferredVersion": preferred}))
}

/// `/apis`.
#[must_use]
pub fn group_list(resources: &[ResourceRef]) -> Value {
    let groups: Vec<Value> = group_names(resources).iter().filter_map(|name| group_entry(resources, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`.
#[must_use]
pub fn group(resources: &[ResourceRef], name: &str) -> Option<Value> {
    let mut group = group_entry(resources, name).filter(|_| !name.is_empty())?;
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(group)
}

fn in_version<'a>(resources: &'a [ResourceRef], group: &str, version: &str) -> Vec<(&'a Resource, &'a Version)> {
    let mut found: Vec<_> =
        resources.iter().filter(|r| r.group == group).filter_map(|r| r.version(version).map(|v| (r.as_ref(), v))).collect();
    found.sort_by(|a, b| a.0.plural.cmp(&b.0.plural));
    found
}

// Name, kind, its group/version where it differs, and verbs.
fn subresources(resource: &Resource, version: &Version) -> Vec<(String, String, String, Vec<String>)> {
    let owned = |verbs: &[&str]| verbs.iter().map(|&v| v.to_owned()).collect::<Vec<_>>();
    let mut all: Vec<_> =
        resource.subresources.iter().map(|s| (s.name.to_owned(), s.kind.to_owned(), s.api_version.to_owned(), owned(s.verbs))).collect();
    if version.status {
        all.push(("status".to_owned(), resource.kind.clone(), String::new(), owned(GET_PATCH_UPDATE)));
    }
    if !version.scale.is_null() {
        all.push(("scale".to_owned(), "Scale".to_owned(), "autoscaling/v1".to_owned(), owned(GET_PATCH_UPDATE)));
    }
    if !resource.custom {
        all.sort();
    }
    all
}

/// `/api/v1` and `/apis/{group}/{version}`.
#[must_use]
pub fn resource_list(resources: &[ResourceRef], group: &str, version: &str) -> Option<Value> {
    let mut entries = Vec::new();
    for (resource, version) in in_version(resources, group, version) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        entries.push(entry);
        for (name, kind, api_version, verbs) in subresources(resource, version) {
            let name = format!("{}/{name}", resource.plural);
            let mut entry = json!({"name": name, "singularName": "", "namespaced": resource.namespaced, "kind": kind, "verbs": verbs});
            if let Some((group, version)) = api_version.split_once('/') {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
            }
            entries.push(entry);
        }
    }
    if entries.is_empty() {
        return None;
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version(group, version), "resources": entries});
    // The core group's list is older than `apiVersion` in it.
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    Some(list)
}

/// Aggregated discovery for `/api` (`core`) or `/apis`; `version` is `v2` or `v2beta1` of `apidiscovery.k8s.io`.
#[must_use]
pub fn aggregated(resources: &[ResourceRef], core: bool, version: &str) -> Value {
    let groups = if core { vec![String::new()] } else { group_names(resources) };
    let items: Vec<Value> = groups.iter().map(|group| aggregated_group(resources, group)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items})
}

fn aggregated_group(resources: &[ResourceRef], group: &str) -> Value {
    let versions: Vec<Value> = group_versions(resources, group)
        .into_iter()
        .map(|version| {
            let list: Vec<Value> = in_version(resources, group, &version).into_iter().map(|(r, v)| aggregated_resource(r, v)).collect();
            json!({"version": version, "resources": list, "freshness": "Current"})
        })
        .collect();
    let mut metadata = json!({"creationTimestamp": null});
    if !group.is_empty() {
        metadata["name"] = json!(group);
    }
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource, version: &Version) -> Value {
    // Built-in resources leave group and version empty for those that they are listed under; CRDs spell them out.
    let response_kind = |kind: &str, api_version: &str| match api_version.split_once('/') {
        Some((group, version)) => json!({"group": group, "version": version, "kind": kind}),
        None if resource.custom => json!({"group": resource.group, "version": version.name, "kind": kind}),
        None => json!({"group": "", "version": "", "kind": kind}),
    };
    let mut entry = json!({
        "resource": resource.plural, "responseKind": response_kind(&resource.kind, ""),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = subresources(resource, version)
        .into_iter()
        .map(|(name, kind, api_version, verbs)| {
            json!({"subresource": name, "responseKind": response_kind(&kind, &api_version), "verbs": verbs})
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}

/// `/version`, for a version such as `v1.33.4`. The commit has the form of one and is made from the version.
#[must_use]
pub fn version(git_version: &str) -> Value {
    let mut numbers = git_version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or("1");
    let minor: String = numbers.next().unwrap_or("33").chars().take_while(char::is_ascii_digit).collect();
    let before = minor.parse::<u32>().unwrap_or(1).saturating_sub(1).to_string();
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let commit = hex::encode(&Sha256::digest(git_version)[..20]);
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": before,
        "gitVersion": git_version, "gitCommit": commit, "gitTreeState": "clean", "buildDate": "2025-08-13T14:21:22Z",
        "goVersion": "go1.24.5", "compiler": "gc", "platform": format!("linux/{arch}"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::builtin;

    fn all() -> Vec<ResourceRef> {
        let mut all: Vec<ResourceRef> = builtin::resources().into_iter().map(Arc::new).collect();
        let gateway = Resource {
            group: "gateway.networking.k8s.io".to_owned(),
            kind: "Gateway".to_owned(),
            list_kind: "GatewayList".to_owned(),
            plural: "gateways".to_owned(),
            singular: "gateway".to_owned(),
            short_names: vec!["gtw".to_owned()],
            categories: vec!["gateway-api".to_owned()],
            namespaced: true,
            versions: ["v1beta1", "v1"].map(|v| Version { name: v.to_owned(), status: true, ..Version::default() }).to_vec(),
            storage: "v1".to_owned(),
            subresources: Vec::new(),
            verbs: vec!["get"],
            custom: true,
            generation: true,
        };
        all.insert(0, Arc::new(gateway));
        all
    }

    #[test]
    fn version_order() {
        let mut versions = ["foo", "v1alpha1", "v1", "v10", "v2", "v11beta2", "v3beta1", "v12alpha1", "v01", "bar"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v1alpha1", "bar", "foo", "v01"]);
    }

    #[test]
    fn groups() {
        let list = group_list(&all());
        let names: Vec<&str> = list["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
        assert_eq!(names[..4], ["apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]);
        assert_eq!(names.last(), Some(&"gateway.networking.k8s.io"));
        let gateway = group(&all(), "gateway.networking.k8s.io").unwrap();
        assert_eq!(gateway["preferredVersion"], json!({"groupVersion": "gateway.networking.k8s.io/v1", "version": "v1"}));
        assert_eq!(group(&all(), "autoscaling").unwrap()["preferredVersion"]["version"], "v2");
        assert_eq!(group(&all(), "none"), None);
        assert_eq!(api_versions(&all(), "a:1")["versions"], json!(["v1"]));
    }

    #[rstest]
    #[case("", "v1", "pods", json!({"name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"],
        "categories": ["all"], "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]}))]
    #[case("", "v1", "pods/eviction", json!({"name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy",
        "version": "v1", "kind": "Eviction", "verbs": ["create"]}))]
    #[case("apps", "v1", "deployments/scale", json!({"name": "deployments/scale", "singularName": "", "namespaced": true,
        "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]}))]
    fn resources(#[case] group: &str, #[case] version: &str, #[case] name: &str, #[case] expected: Value) {
        let list = resource_list(&all(), group, version).unwrap();
        let found = list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap();
        assert_eq!(*found, expected);
        assert_eq!(list["apiVersion"].is_null(), group.is_empty());
    }

    #[test]
    fn resources_are_sorted() {
        let list = resource_list(&all(), "", "v1").unwrap();
        let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        assert_eq!(resource_list(&all(), "apps", "v2"), None);
    }

    #[test]
    fn aggregated_lists() {
        let core = aggregated(&all(), true, "v2");
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
        assert_eq!(core["items"][0]["metadata"], json!({"creationTimestamp": null}));
        let groups = aggregated(&all(), false, "v2beta1");
        let gateway = groups["items"].as_array().unwrap().last().unwrap();
        assert_eq!(gateway["versions"][0]["version"], "v1");
        let kind = json!({"group": "gateway.networking.k8s.io", "version": "v1", "kind": "Gateway"});
        assert_eq!(gateway["versions"][0]["resources"][0]["responseKind"], kind);
        assert_eq!(gateway["versions"][0]["resources"][0]["subresources"][0]["subresource"], "status");
    }

    #[test]
    fn version_document() {
        let document = version("v1.33.4");
        assert_eq!((&document["major"], &document["minor"]), (&json!("1"), &json!("33")));
        assert_eq!(document["minCompatibilityMinor"], "32");
        assert_eq!(document["gitCommit"].as_str().unwrap().len(), 40);
    }
}
