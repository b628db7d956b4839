//! Who may do what (Kubernetes `plugin/pkg/auth/authorizer/rbac` and `pkg/registry/rbac/validation`): deny by default, and rules only
//! ever add.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::identity::{User, service_account_name};
use super::roles;
use super::rule::{self, Rule};
use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// What somebody wants to do. `path` is for requests that are not about a resource, and empty otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a lower-case HTTP method for a path.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version; no rule looks at it.
    pub version: String,
    /// Plural.
    pub resource: String,
    /// For example `log`.
    pub subresource: String,
    /// Name of the object; empty where the request has none (list, create).
    pub name: String,
    /// Empty at the cluster scope.
    pub namespace: String,
    /// For example `/metrics`.
    pub path: String,
}

impl Attributes {
    /// About a resource: `plural` may have a subresource (`pods/log`).
    #[must_use]
    pub fn resource(verb: &str, group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        let (resource, subresource) = plural.split_once('/').unwrap_or((plural, ""));
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..Self::default()
        }
    }

    /// About a path.
    #[must_use]
    pub fn path(verb: &str, path: &str) -> Self {
        Self { verb: verb.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    /// Whether it is about a resource rather than a path.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        self.path.is_empty()
    }
}

/// An answer. No rule says no, so what is not allowed is simply without an opinion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// `status.reason` of a `SubjectAccessReview`: the binding that allows it, or the roles that could not be found.
    pub reason: String,
}

/// A binding with the rules of its role.
#[derive(Debug, Clone)]
struct Binding {
    /// `ClusterRoleBinding "name" of ClusterRole "role" to`; the subject follows.
    source: String,
    /// Described subjects.
    subjects: Vec<String>,
    rules: Result<Arc<[Rule]>, String>,
}

/// Bindings by whom they are for: indices of the binding and of the subject in it.
#[derive(Debug, Clone, Default)]
struct Scope {
    users: HashMap<String, Vec<(usize, usize)>>,
    groups: HashMap<String, Vec<(usize, usize)>>,
}

/// All roles and bindings, made to be asked often. A change means a new one.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    bindings: Vec<Binding>,
    cluster: Scope,
    namespaces: HashMap<String, Scope>,
}

static NODE_RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| roles::node_rules().iter().map(Rule::from_value).collect());

impl Policy {
    /// From the stored objects.
    #[must_use]
    pub fn new<'a>(
        cluster_roles: impl IntoIterator<Item = &'a Value>,
        cluster_role_bindings: impl IntoIterator<Item = &'a Value>,
        roles: impl IntoIterator<Item = &'a Value>,
        role_bindings: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let all: BTreeMap<&str, &Value> = cluster_roles.into_iter().map(|r| (text(&r["metadata"]["name"]), r)).collect();
        let cluster_rules: HashMap<&str, Arc<[Rule]>> = all.iter().map(|(&name, role)| (name, rules_of(role, &all).into())).collect();
        let role_rules: HashMap<(&str, &str), Arc<[Rule]>> = roles
            .into_iter()
            .map(|r| ((text(&r["metadata"]["namespace"]), text(&r["metadata"]["name"])), Rule::of_role(r).into()))
            .collect();
        let mut policy = Self::default();
        let cluster = cluster_role_bindings.into_iter().map(|b| (b, ""));
        let local = role_bindings.into_iter().map(|b| (b, text(&b["metadata"]["namespace"])));
        for (binding, namespace) in cluster.chain(local) {
            let role = text(&binding["roleRef"]["name"]);
            let rules = match text(&binding["roleRef"]["kind"]) {
                "ClusterRole" => cluster_rules.get(role).cloned().ok_or_else(|| not_found("clusterrole", role)),
                "Role" => role_rules.get(&(namespace, role)).cloned().ok_or_else(|| not_found("role", role)),
                other => Err(format!("unsupported role reference kind: {other:?}")),
            };
            policy.add(binding, namespace, rules);
        }
        policy
    }

    fn add(&mut self, binding: &Value, namespace: &str, rules: Result<Arc<[Rule]>, String>) {
        let index = self.bindings.len();
        let scope = if namespace.is_empty() { &mut self.cluster } else { self.namespaces.entry(namespace.to_owned()).or_default() };
        let mut subjects = Vec::new();
        for (position, subject) in binding["subjects"].as_array().into_iter().flatten().enumerate() {
            let (kind, name) = (text(&subject["kind"]), text(&subject["name"]));
            let at = (index, position);
            // The order of the two names is upstream's (`describeSubject`).
            let mut described = format!("{kind} {name:?}");
            match kind {
                "User" => scope.users.entry(name.to_owned()).or_default().push(at),
                "Group" => scope.groups.entry(name.to_owned()).or_default().push(at),
                "ServiceAccount" => {
                    let own = text(&subject["namespace"]);
                    let own = if own.is_empty() { namespace } else { own };
                    described = format!("{kind} {:?}", format!("{name}/{own}"));
                    if !own.is_empty() {
                        scope.users.entry(service_account_name(own, name)).or_default().push(at);
                    }
                }
                _ => {}
            }
            subjects.push(described);
        }
        let name = text(&binding["metadata"]["name"]);
        let (kind, role) = (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
        let source = if namespace.is_empty() {
            format!("ClusterRoleBinding {name:?} of {kind} {role:?} to")
        } else {
            format!("RoleBinding {:?} of {kind} {role:?} to", format!("{name}/{namespace}"))
        };
        self.bindings.push(Binding { source, subjects, rules });
    }

    /// The bindings that apply, each once, with the first subject that makes it apply; those of the cluster first.
    fn applying(&self, user: &User, namespace: &str) -> Vec<(&Binding, usize)> {
        let mut found = Vec::new();
        for scope in [Some(&self.cluster), self.namespaces.get(namespace)].into_iter().flatten() {
            found.extend(scope.users.get(&user.name).into_iter().flatten().copied());
            for group in &user.groups {
                found.extend(scope.groups.get(group).into_iter().flatten().copied());
            }
        }
        found.sort_unstable();
        found.dedup_by_key(|(binding, _)| *binding);
        found.into_iter().map(|(binding, subject)| (&self.bindings[binding], subject)).collect()
    }

    /// Whether somebody may do something.
    #[must_use]
    pub fn allows(&self, user: &User, attributes: &Attributes) -> Decision {
        if user.is_superuser() {
            return Decision { allowed: true, reason: String::new() };
        }
        // The Node authorizer stands before RBAC. Which pods a node runs is not looked at; upstream keeps a graph for that.
        if user.node_name().is_some() && NODE_RULES.iter().any(|rule| rule.allows(attributes)) {
            return Decision { allowed: true, reason: String::new() };
        }
        let mut errors = Vec::new();
        for (binding, subject) in self.applying(user, &attributes.namespace) {
            match &binding.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    let reason = format!("RBAC: allowed by {} {}", binding.source, binding.subjects[subject]);
                    return Decision { allowed: true, reason };
                }
                Ok(_) => {}
                Err(error) => errors.push(error.clone()),
            }
        }
        let reason = if errors.is_empty() { String::new() } else { format!("RBAC: {}", aggregate(&errors)) };
        Decision { allowed: false, reason }
    }

    /// `allows`, or the refusal that the client is sent.
    ///
    /// # Errors
    ///
    /// 403 if it is not allowed.
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Result<(), Failure> {
        let decision = self.allows(user, attributes);
        if decision.allowed { Ok(()) } else { Err(forbidden(user, attributes, &decision.reason)) }
    }

    /// The rules that a user has in a namespace (and those of the cluster), and the roles that could not be found.
    #[must_use]
    pub fn rules(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for (binding, _) in self.applying(user, namespace) {
            match &binding.rules {
                Ok(own) => rules.extend(own.iter().cloned()),
                Err(error) => errors.push(error.clone()),
            }
        }
        (rules, errors)
    }

    /// The `status` of a `SelfSubjectRulesReview`.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> Value {
        let (rules, errors) = self.rules(user, namespace);
        let (mut resource, mut non_resource) = (Vec::new(), Vec::new());
        for mut rule in rules {
            if !rule.non_resource_urls.is_empty() {
                non_resource.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
                rule.non_resource_urls.clear();
            }
            if !rule.resources.is_empty() {
                resource.push(rule.to_value());
            }
        }
        let mut errors: Vec<String> = if errors.is_empty() { Vec::new() } else { vec![aggregate(&errors)] };
        let is_node = user.node_name().is_some();
        if is_node {
            errors.insert(0, "node authorizer does not support user rule resolution".to_owned());
        }
        let mut status = json!({"resourceRules": resource, "nonResourceRules": non_resource, "incomplete": is_node});
        if !errors.is_empty() {
            status["evaluationError"] = json!(aggregate(&errors));
        }
        status
    }

    /// Whether a user holds everything in these rules and so may grant them (`ConfirmNoEscalation`). `namespace` is that of the role or
    /// the binding; empty at the cluster scope.
    ///
    /// # Errors
    ///
    /// The sentence that goes into the refusal, with what is missing.
    pub fn covers(&self, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), String> {
        let (held, errors) = self.rules(user, namespace);
        let missing = rule::not_covered(&held, rules);
        if missing.is_empty() {
            return Ok(());
        }
        let lines = rule::describe(&missing).join("\n");
        let groups = rule::quoted(&user.groups);
        let mut message =
            format!("user {:?} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{lines}", user.name);
        if !errors.is_empty() {
            message.push_str(&format!("; resolution errors: [{}]", aggregate(&errors)));
        }
        Err(message)
    }

    /// Whether a user may write a Role or a `ClusterRole` (`policybased` storage of both): somebody who holds all of it, or may `escalate`.
    /// `cluster_role` is whether it is a `ClusterRole`.
    ///
    /// # Errors
    ///
    /// 403 with what is missing.
    pub fn may_write_role(&self, user: &User, cluster_role: bool, role: &Value) -> Result<(), Failure> {
        let (name, namespace) = (text(&role["metadata"]["name"]), text(&role["metadata"]["namespace"]));
        let plural = if cluster_role { "clusterroles" } else { "roles" };
        if user.is_superuser() || self.allows(user, &Attributes::resource("escalate", roles::GROUP, plural, namespace, name)).allowed {
            return Ok(());
        }
        let refuse = |why: String| refuse_grant(plural, name, &why);
        self.covers(user, namespace, &Rule::of_role(role)).map_err(refuse)?;
        if role["aggregationRule"].is_object() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            self.covers(user, namespace, &Rule::full_authority()).map_err(|_| refuse_grant(plural, name, why))?;
        }
        Ok(())
    }

    /// Whether a user may write a `RoleBinding` or a `ClusterRoleBinding`: somebody who holds all of the role, or may `bind` it. `rules` are
    /// those of the role (see [`rules_of`]); a role that does not exist has none.
    ///
    /// # Errors
    ///
    /// 403 with what is missing.
    pub fn may_write_binding(&self, user: &User, binding: &Value, rules: &[Rule]) -> Result<(), Failure> {
        let (name, namespace) = (text(&binding["metadata"]["name"]), text(&binding["metadata"]["namespace"]));
        let role = if text(&binding["roleRef"]["kind"]) == "ClusterRole" { "clusterroles" } else { "roles" };
        let bind = Attributes::resource("bind", roles::GROUP, role, namespace, text(&binding["roleRef"]["name"]));
        if user.is_superuser() || self.allows(user, &bind).allowed {
            return Ok(());
        }
        let plural = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        self.covers(user, namespace, rules).map_err(|why| refuse_grant(plural, name, &why))
    }
}

/// The rules of a `ClusterRole`. Those of one with an aggregation rule are what the aggregation controller would have written into it: all
/// rules of the roles that it selects, through any number of steps, each once (`pkg/controller/clusterroleaggregation`).
#[must_use]
pub fn rules_of(role: &Value, cluster_roles: &BTreeMap<&str, &Value>) -> Vec<Rule> {
    let mut rules = Vec::new();
    collect(role, cluster_roles, &mut BTreeSet::new(), &mut rules);
    rules
}

fn collect<'a>(role: &'a Value, all: &BTreeMap<&'a str, &'a Value>, seen: &mut BTreeSet<&'a str>, rules: &mut Vec<Rule>) {
    if !seen.insert(text(&role["metadata"]["name"])) {
        return;
    }
    if !role["aggregationRule"].is_object() {
        for rule in Rule::of_role(role) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        return;
    }
    for selector in role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten() {
        for other in all.values().filter(|other| selects(selector, &other["metadata"]["labels"])) {
            collect(other, all, seen, rules);
        }
    }
}

/// A label selector; an empty one selects everything.
fn selects(selector: &Value, labels: &Value) -> bool {
    let exact = selector["matchLabels"].as_object().is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    exact
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
            let label = labels.get(text(&expression["key"]));
            let listed = || label.is_some_and(|l| expression["values"].as_array().is_some_and(|v| v.contains(l)));
            match text(&expression["operator"]) {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// As a lister has it, with the singular.
fn not_found(singular: &str, name: &str) -> String {
    format!("{singular}.{} {name:?} not found", roles::GROUP)
}

/// `utilerrors.NewAggregate`: repeated messages once, brackets if there are several.
fn aggregate(errors: &[String]) -> String {
    let mut seen = BTreeSet::new();
    let once: Vec<&str> = errors.iter().map(String::as_str).filter(|e| seen.insert(*e)).collect();
    if once.len() == 1 { once.join("") } else { format!("[{}]", once.join(", ")) }
}

fn refuse_grant(plural: &str, name: &str, why: &str) -> Failure {
    let resource = format!("{plural}.{}", roles::GROUP);
    let about = if name.is_empty() { resource.clone() } else { format!("{resource} {name:?}") };
    Failure::forbidden(&resource, name, format!("{about} is forbidden: {why}"))
}

/// The refusal in upstream's words (`apiserver/pkg/endpoints/handlers/responsewriters`, `forbiddenMessage`, within `NewForbidden`).
#[must_use]
pub fn forbidden(user: &User, attributes: &Attributes, reason: &str) -> Failure {
    let (verb, user) = (&attributes.verb, &user.name);
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !attributes.is_resource() {
        return Failure::forbidden("", "", format!("forbidden: User {user:?} cannot {verb} path {:?}{reason}", attributes.path));
    }
    let Attributes { group, resource, subresource, name, namespace, .. } = attributes;
    let what = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let id = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
    let about = if name.is_empty() { id.clone() } else { format!("{id} {name:?}") };
    let place = if namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {namespace:?}") };
    let sentence = format!("{about} is forbidden: User {user:?} cannot {verb} resource {what:?} in API group {group:?} {place}{reason}");
    Failure::forbidden(&id, name, sentence)
}
