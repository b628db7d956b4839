//! One rule of a role: what it allows, and whether it covers another one (Kubernetes `pkg/apis/rbac/v1/evaluation_helpers.go` and
//! `component-helpers/auth/rbac/validation`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::rbac::Attributes;

/// A `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// For example `get`, or `*`.
    pub verbs: Vec<String>,
    /// Empty string for the core group, or `*`.
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// Empty for all.
    pub resource_names: Vec<String>,
    /// `/healthz`, `/healthz/*`, `*`.
    pub non_resource_urls: Vec<String>,
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|i| i == item)
}

fn has_all(list: &[String], items: &[String]) -> bool {
    items.iter().all(|i| has(list, i))
}

/// Upstream trims every trailing `*`, not only the last.
fn url_covers(pattern: &str, url: &str) -> bool {
    pattern == url || (pattern.ends_with('*') && url.starts_with(pattern.trim_end_matches('*')))
}

/// Go's `%q` of a list.
pub(super) fn quoted(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(" "))
}

impl Rule {
    /// Reads one rule as an object has it.
    #[must_use]
    pub fn from_value(rule: &Value) -> Self {
        Self {
            verbs: strings(&rule["verbs"]),
            api_groups: strings(&rule["apiGroups"]),
            resources: strings(&rule["resources"]),
            resource_names: strings(&rule["resourceNames"]),
            non_resource_urls: strings(&rule["nonResourceURLs"]),
        }
    }

    /// Reads the `rules` of a Role or a `ClusterRole`.
    #[must_use]
    pub fn of_role(role: &Value) -> Vec<Self> {
        role["rules"].as_array().into_iter().flatten().map(Self::from_value).collect()
    }

    /// What somebody must hold to make a `ClusterRole` with an aggregation rule, since that may come to grant anything
    /// (`pkg/registry/rbac/clusterrole/policybased`).
    #[must_use]
    pub fn full_authority() -> Vec<Self> {
        let all = || vec!["*".to_owned()];
        vec![
            Self { verbs: all(), api_groups: all(), resources: all(), ..Self::default() },
            Self { verbs: all(), non_resource_urls: all(), ..Self::default() },
        ]
    }

    /// As an object has it; empty lists but the verbs are left out.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut rule = json!({"verbs": self.verbs});
        let lists = [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ];
        for (field, list) in lists {
            if !list.is_empty() {
                rule[field] = json!(list);
            }
        }
        rule
    }

    /// Whether it allows a request (`plugin/pkg/auth/authorizer/rbac`, `RuleAllows`).
    #[must_use]
    pub fn allows(&self, request: &Attributes) -> bool {
        if !has(&self.verbs, "*") && !has(&self.verbs, &request.verb) {
            return false;
        }
        if !request.is_resource() {
            return self.non_resource_urls.iter().any(|u| url_covers(u, &request.path));
        }
        (has(&self.api_groups, "*") || has(&self.api_groups, &request.group))
            && self.resources.iter().any(|r| resource_allows(r, request))
            && (self.resource_names.is_empty() || has(&self.resource_names, &request.name))
    }

    /// Every single permission in it: one verb, one resource and one name each.
    fn parts(&self) -> Vec<Self> {
        let names: Vec<Vec<String>> = match self.resource_names.as_slice() {
            [] => vec![Vec::new()],
            names => names.iter().map(|n| vec![n.clone()]).collect(),
        };
        let mut parts = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    parts.extend(names.iter().map(|names| Self {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        resource_names: names.clone(),
                        non_resource_urls: Vec::new(),
                    }));
                }
            }
        }
        for url in &self.non_resource_urls {
            for verb in &self.verbs {
                parts.push(Self { verbs: vec![verb.clone()], non_resource_urls: vec![url.clone()], ..Self::default() });
            }
        }
        parts
    }

    /// Whether it covers a single permission.
    fn covers(&self, part: &Self) -> bool {
        let resource = |wanted: &String| {
            let any_of_subresource = || wanted.split_once('/').is_some_and(|(_, sub)| has(&self.resources, &format!("*/{sub}")));
            has(&self.resources, "*") || has(&self.resources, wanted) || any_of_subresource()
        };
        let names =
            self.resource_names.is_empty() || (!part.resource_names.is_empty() && has_all(&self.resource_names, &part.resource_names));
        (has(&self.verbs, "*") || has_all(&self.verbs, &part.verbs))
            && (has(&self.api_groups, "*") || has_all(&self.api_groups, &part.api_groups))
            && part.resources.iter().all(resource)
            && names
            && part.non_resource_urls.iter().all(|url| self.non_resource_urls.iter().any(|own| url_covers(own, url)))
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as escalation errors have it.
    fn compact_string(&self) -> String {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let filled = lists.iter().filter(|(_, list)| !list.is_empty());
        format!("{{{}}}", filled.map(|(name, list)| format!("{name}:{}", quoted(list))).collect::<Vec<_>>().join(", "))
    }
}

fn resource_allows(pattern: &str, request: &Attributes) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*" || (request.subresource.is_empty() && pattern == request.resource),
        Some((resource, subresource)) => {
            !request.subresource.is_empty() && subresource == request.subresource && (resource == "*" || resource == request.resource)
        }
    }
}

/// The single permissions in `wanted` that none of `held` covers.
pub(super) fn not_covered(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted.iter().flat_map(Rule::parts).filter(|part| !held.iter().any(|h| h.covers(part))).collect()
}

/// Joins the verbs of single permissions for the same resource and describes them, sorted (`CompactRules` in
/// `pkg/registry/rbac/validation`).
pub(super) fn describe(missing: &[Rule]) -> Vec<String> {
    let mut joined: BTreeMap<[&[String]; 3], Rule> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for rule in missing {
        if rule.resources.is_empty() {
            lines.insert(rule.compact_string());
            continue;
        }
        let key = [rule.api_groups.as_slice(), &rule.resources, &rule.resource_names];
        joined.entry(key).and_modify(|r| r.verbs.extend_from_slice(&rule.verbs)).or_insert_with(|| rule.clone());
    }
    lines.extend(joined.values().map(Rule::compact_string));
    lines.into_iter().collect()
}
