use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn role(kind: &str, name: &str, namespace: &str, rules: Value) -> Value {
    let mut role = json!({"kind": kind, "metadata": {"name": name}, "rules": rules});
    if !namespace.is_empty() {
        role["metadata"]["namespace"] = json!(namespace);
    }
    role
}

fn binding(name: &str, namespace: &str, role_kind: &str, role: &str, subjects: Value) -> Value {
    let mut binding = json!({"metadata": {"name": name}, "roleRef": {"kind": role_kind, "name": role}, "subjects": subjects});
    if !namespace.is_empty() {
        binding["metadata"]["namespace"] = json!(namespace);
    }
    binding
}

fn user(name: &str) -> Value {
    json!([{"kind": "User", "name": name}])
}

/// Somebody called `ann` who holds one rule in the whole cluster.
fn holding(rule: Value) -> Policy {
    let role = role("ClusterRole", "r", "", json!([rule]));
    Policy::new(&[role], &[binding("b", "", "ClusterRole", "r", user("ann"))], &[], &[])
}

fn ann() -> User {
    User::new("ann", &["dev", "system:authenticated"])
}

/// `get apps deployments/scale shop web`, with `-` for nothing, or `get /path`.
fn asked(text: &str) -> Attributes {
    let words: Vec<&str> = text.split(' ').map(|w| if w == "-" { "" } else { w }).collect();
    match words[..] {
        [verb, path] => Attributes::path(verb, path),
        [verb, group, plural, namespace, name] => Attributes::resource(verb, group, plural, namespace, name),
        _ => panic!("{text}"),
    }
}

#[rstest]
#[case::exact(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get - pods shop a", true)]
#[case::other_verb(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "list - pods shop -", false)]
#[case::other_group(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get metrics.k8s.io pods shop a", false)]
#[case::subresource_is_extra(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get - pods/log shop a", false)]
#[case::subresource(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}), "get - pods/log shop a", true)]
#[case::subresource_only(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}), "get - pods shop a", false)]
#[case::any_verb(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}), "deletecollection - pods shop -", true)]
#[case::any_group(json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods"]}), "get x.io pods shop a", true)]
#[case::any_resource(json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*"]}), "get apps deployments/scale shop a", true)]
#[case::any_scale(json!({"verbs": ["update"], "apiGroups": ["*"], "resources": ["*/scale"]}), "update apps deployments/scale shop a", true)]
#[case::any_scale_not_status(json!({"verbs": ["update"], "apiGroups": ["*"], "resources": ["*/scale"]}), "update apps deployments/status s a", false)]
#[case::any_scale_not_whole(json!({"verbs": ["update"], "apiGroups": ["*"], "resources": ["*/scale"]}), "update apps deployments shop a", false)]
#[case::no_wildcard_after_the_resource(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]}), "get - pods/log shop a", false)]
#[case::name(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}), "get - secrets shop a", true)]
#[case::other_name(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}), "get - secrets shop b", false)]
#[case::list_has_no_name(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}), "list - secrets shop -", false)]
#[case::path(json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]}), "get /metrics", true)]
#[case::path_below(json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]}), "get /metrics/slis", false)]
#[case::path_star(json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}), "get /healthz/etcd", true)]
#[case::path_star_needs_the_slash(json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}), "get /healthz", false)]
#[case::any_path(json!({"verbs": ["get"], "nonResourceURLs": ["*"]}), "get /x", true)]
#[case::path_verb(json!({"verbs": ["get"], "nonResourceURLs": ["*"]}), "post /x", false)]
#[case::resources_are_no_paths(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}), "get /x", false)]
#[case::paths_are_no_resources(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}), "get - pods shop a", false)]
#[case::empty_rule(json!({"verbs": []}), "get - pods shop a", false)]
fn one_rule(#[case] rule: Value, #[case] question: &str, #[case] allowed: bool) {
    let policy = holding(rule);
    assert_eq!(policy.allows(&ann(), &asked(question)).allowed, allowed);
    assert!(!policy.allows(&User::new("bob", &["dev"]), &asked(question)).allowed);
}

#[test]
fn nothing_is_allowed_without_rules_but_to_masters() {
    for question in ["get - pods shop a", "get /version"] {
        let policy = Policy::default();
        assert_eq!(policy.allows(&ann(), &asked(question)), Decision::default());
        assert!(policy.allows(&User::super_admin(), &asked(question)).allowed);
    }
}

/// Who is bound, how the binding is named in the reason, and where it holds.
#[rstest]
#[case::group(json!({"kind": "Group", "name": "dev"}), "", &ann(), r#"ClusterRoleBinding "b" of ClusterRole "r" to Group "dev""#)]
#[case::user_in_namespace(json!({"kind": "User", "name": "ann"}), "shop", &ann(), r#"RoleBinding "b/shop" of ClusterRole "r" to User "ann""#)]
#[case::account(
    json!({"kind": "ServiceAccount", "name": "cart", "namespace": "shop"}), "", &User::service_account("shop", "cart", ""),
    r#"ClusterRoleBinding "b" of ClusterRole "r" to ServiceAccount "cart/shop""#)]
#[case::account_of_the_same_namespace(
    json!({"kind": "ServiceAccount", "name": "cart"}), "shop", &User::service_account("shop", "cart", ""),
    r#"RoleBinding "b/shop" of ClusterRole "r" to ServiceAccount "cart/shop""#)]
#[case::account_of_no_namespace(json!({"kind": "ServiceAccount", "name": "cart"}), "", &User::service_account("shop", "cart", ""), "")]
#[case::account_of_another_namespace(
    json!({"kind": "ServiceAccount", "name": "cart", "namespace": "x"}), "shop", &User::service_account("shop", "cart", ""), "")]
#[case::group_is_no_user(json!({"kind": "User", "name": "dev"}), "", &ann(), "")]
#[case::unknown_kind(json!({"kind": "Robot", "name": "ann"}), "", &ann(), "")]
fn subjects(#[case] subject: Value, #[case] namespace: &str, #[case] user: &User, #[case] reason: &str) {
    let role = role("ClusterRole", "r", "", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
    let binding = binding("b", namespace, "ClusterRole", "r", json!([subject]));
    let policy = if namespace.is_empty() { Policy::new(&[role], &[binding], &[], &[]) } else { Policy::new(&[role], &[], &[], &[binding]) };
    let decision = policy.allows(user, &asked("get - pods shop a"));
    assert_eq!(decision.allowed, !reason.is_empty());
    assert_eq!(decision.reason, if reason.is_empty() { String::new() } else { format!("RBAC: allowed by {reason}") });
    assert_eq!(policy.allows(user, &asked("get - pods other a")).allowed, !reason.is_empty() && namespace.is_empty());
}

#[test]
fn role_of_another_namespace_is_not_found() {
    let role = role("Role", "r", "other", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
    let bindings = [binding("b", "shop", "Role", "r", user("ann")), binding("c", "shop", "ClusterRole", "s", user("ann"))];
    let policy = Policy::new(&[], &[], &[role], &bindings);
    let decision = policy.allows(&ann(), &asked("get - pods shop a"));
    let expected = r#"RBAC: [role.rbac.authorization.k8s.io "r" not found, clusterrole.rbac.authorization.k8s.io "s" not found]"#;
    assert_eq!(decision, Decision { allowed: false, reason: expected.to_owned() });
    let failure = policy.authorize(&ann(), &asked("list - pods shop -")).unwrap_err();
    let sentence = r#"pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "shop": "#;
    assert_eq!(failure.message, format!("{sentence}{expected}"));
}

#[rstest]
#[case("list - pods shop -", r#"pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "shop""#)]
#[case("list - nodes - -", r#"nodes is forbidden: User "ann" cannot list resource "nodes" in API group "" at the cluster scope"#)]
#[case(
    "get apps deployments shop web",
    r#"deployments.apps "web" is forbidden: User "ann" cannot get resource "deployments" in API group "apps" in the namespace "shop""#
)]
#[case(
    "get - pods/log shop a",
    r#"pods "a" is forbidden: User "ann" cannot get resource "pods/log" in API group "" in the namespace "shop""#
)]
#[case("get /metrics", r#"forbidden: User "ann" cannot get path "/metrics""#)]
fn refusals_are_in_upstream_words(#[case] question: &str, #[case] message: &str) {
    let failure = Policy::default().authorize(&ann(), &asked(question)).unwrap_err();
    assert_eq!((failure.code, failure.reason, failure.message.as_str()), (403, "Forbidden", message));
}

#[test]
fn refusal_has_details() {
    let status = forbidden(&ann(), &asked("get apps deployments shop web"), "").status();
    assert_eq!(status["details"], json!({"name": "web", "group": "apps", "kind": "deployments"}));
}

fn aggregating(name: &str, label: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels}, "rules": null,
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]},
    })
}

#[test]
fn aggregation_goes_through_steps_and_ends() {
    let mut leaf = role("ClusterRole", "leaf", "", json!([{"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["things"]}]));
    leaf["metadata"]["labels"] = json!({"to-view": "true"});
    // The last one selects the first one again.
    let roles = [
        aggregating("view", "to-view", json!({"to-edit": "true"})),
        aggregating("edit", "to-edit", json!({"to-admin": "true"})),
        aggregating("admin", "to-admin", json!({"to-view": "true"})),
        leaf,
    ];
    for name in ["view", "edit", "admin"] {
        let policy = Policy::new(&roles, &[binding("b", "", "ClusterRole", name, user("ann"))], &[], &[]);
        assert!(policy.allows(&ann(), &asked("get x.io things shop a")).allowed, "{name}");
        assert!(!policy.allows(&ann(), &asked("delete x.io things shop a")).allowed, "{name}");
    }
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({"matchLabels": {"a": "1"}}), true)]
#[case(json!({"matchLabels": {"a": "1", "b": "2"}}), false)]
#[case(json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["0", "1"]}]}), true)]
#[case(json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}), false)]
#[case(json!({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}), true)]
#[case(json!({"matchExpressions": [{"key": "b", "operator": "Exists"}]}), false)]
#[case(json!({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}), true)]
fn selectors(#[case] selector: Value, #[case] selected: bool) {
    assert_eq!(selects(&selector, &json!({"a": "1"})), selected);
}

#[test]
fn rules_review_lists_each_binding_once() {
    let roles = [role(
        "ClusterRole",
        "r",
        "",
        json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]),
    )];
    let twice = json!([{"kind": "Group", "name": "dev"}, {"kind": "User", "name": "ann"}]);
    let policy =
        Policy::new(&roles, &[binding("b", "", "ClusterRole", "r", twice)], &[], &[binding("c", "shop", "Role", "gone", user("ann"))]);
    let mut expected = json!({
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}], "incomplete": false,
    });
    assert_eq!(policy.rules_for(&ann(), "other"), expected);
    expected["evaluationError"] = json!("role.rbac.authorization.k8s.io \"gone\" not found");
    assert_eq!(policy.rules_for(&ann(), "shop"), expected);
}

#[rstest]
#[case::same(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "")]
#[case::more_verbs(json!({"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}), r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#)]
#[case::any_name_covers_one(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}), "")]
#[case::subresource_of_all(json!({"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}), "")]
#[case::one_name_does_not_cover_all(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}), r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#)]
#[case::name(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"]}), r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#)]
#[case::path(json!({"verbs": ["get"], "nonResourceURLs": ["/a/b", "/c"]}), r#"{NonResourceURLs:["/c"], Verbs:["get"]}"#)]
#[case::wildcard(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}), r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#)]
#[case::several(
    json!({"verbs": ["get"], "apiGroups": ["b", "a"], "resources": ["x"]}),
    "{APIGroups:[\"a\"], Resources:[\"x\"], Verbs:[\"get\"]}\n{APIGroups:[\"b\"], Resources:[\"x\"], Verbs:[\"get\"]}")]
fn only_what_is_held_can_be_granted(#[case] wanted: Value, #[case] missing: &str) {
    let held = json!([
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
        {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"]},
        {"verbs": ["get"], "nonResourceURLs": ["/a/*"]},
    ]);
    let policy = Policy::new(&[role("ClusterRole", "r", "", held)], &[binding("b", "", "ClusterRole", "r", user("ann"))], &[], &[]);
    let start = r#"user "ann" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:"#;
    let expected = if missing.is_empty() { Ok(()) } else { Err(format!("{start}\n{missing}")) };
    assert_eq!(policy.covers(&ann(), "", &[Rule::from_value(&wanted)]), expected);
    let new = role("Role", "new", "shop", json!([wanted]));
    let refused = policy.may_write_role(&ann(), false, &new).err().map(|f| f.message);
    let about = r#"roles.rbac.authorization.k8s.io "new" is forbidden: "#;
    assert_eq!(refused, expected.clone().err().map(|why| format!("{about}{why}")));
    let bound = binding("new", "shop", "Role", "new", user("bob"));
    assert_eq!(policy.may_write_binding(&ann(), &bound, &Rule::of_role(&new)).is_ok(), missing.is_empty());
}

#[rstest]
#[case::escalate("escalate", "clusterroles", json!(null), true, false)]
#[case::bind("bind", "clusterroles", json!(null), false, true)]
#[case::bind_one("bind", "clusterroles", json!(["new"]), false, true)]
#[case::bind_another("bind", "clusterroles", json!(["old"]), false, false)]
#[case::bind_roles("bind", "roles", json!(null), false, false)]
fn verbs_lift_the_limit(#[case] verb: &str, #[case] plural: &str, #[case] names: Value, #[case] write: bool, #[case] bind: bool) {
    let policy = holding(json!({"verbs": [verb], "apiGroups": [roles::GROUP], "resources": [plural], "resourceNames": names}));
    let new = role("ClusterRole", "new", "", json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
    assert_eq!(policy.may_write_role(&ann(), true, &new).is_ok(), write);
    let bound = binding("b", "", "ClusterRole", "new", user("bob"));
    assert_eq!(policy.may_write_binding(&ann(), &bound, &Rule::of_role(&new)).is_ok(), bind);
    assert!(policy.may_write_role(&User::super_admin(), true, &new).is_ok());
    assert!(policy.may_write_binding(&User::super_admin(), &bound, &Rule::of_role(&new)).is_ok());
}

#[test]
fn aggregating_takes_full_authority() {
    let policy = holding(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}));
    let failure = policy.may_write_role(&ann(), true, &aggregating("new", "x", json!({}))).unwrap_err();
    let expected =
        r#"clusterroles.rbac.authorization.k8s.io "new" is forbidden: must have cluster-admin privileges to use the aggregationRule"#;
    assert_eq!(failure.message, expected);
}

fn some(words: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(words).prop_map(str::to_owned), 0..3)
}

/// Either about resources or about paths; validation refuses a mixture.
fn any_rule() -> impl Strategy<Value = Value> {
    let verbs = || some(&["get", "list", "*"]);
    let lists = (verbs(), some(&["", "apps", "*"]), some(&["pods", "pods/log", "*/log", "*"]), some(&["a", "b"]));
    let resources = lists.prop_map(|(verbs, api_groups, resources, resource_names)| Rule {
        verbs,
        api_groups,
        resources,
        resource_names,
        ..Rule::default()
    });
    let paths = (verbs(), some(&["/x", "/x/*", "*"]));
    let paths = paths.prop_map(|(verbs, non_resource_urls)| Rule { verbs, non_resource_urls, ..Rule::default() });
    prop_oneof![3 => resources, 1 => paths].prop_map(|rule| rule.to_value())
}

fn any_binding() -> impl Strategy<Value = Value> {
    let namespace = prop::sample::select(&["", "shop", "other"][..]);
    let subject = prop::sample::select(vec![
        json!({"kind": "User", "name": "ann"}),
        json!({"kind": "Group", "name": "dev"}),
        json!({"kind": "User", "name": "bob"}),
    ]);
    let role = prop::sample::select(&["r0", "r1", "r2", "gone"][..]);
    (namespace, prop::collection::vec(subject, 0..3), role)
        .prop_map(|(namespace, subjects, role)| binding("b", namespace, "ClusterRole", role, json!(subjects)))
}

fn questions() -> Vec<Attributes> {
    let resources = ["get", "list", "delete"].into_iter().flat_map(|verb| {
        ["- pods", "- pods/log", "apps pods", "x.io things"]
            .into_iter()
            .flat_map(move |what| ["shop a", "shop -", "- -"].into_iter().map(move |place| asked(&format!("{verb} {what} {place}"))))
    });
    resources.chain(["get /x", "get /x/y", "list /z"].map(asked)).collect()
}

fn made(rules: &[Vec<Value>], bindings: &[Value]) -> Policy {
    let roles: Vec<Value> = rules.iter().enumerate().map(|(i, rules)| role("ClusterRole", &format!("r{i}"), "", json!(rules))).collect();
    let (local, cluster): (Vec<&Value>, Vec<&Value>) = bindings.iter().partition(|b| b["metadata"]["namespace"].is_string());
    Policy::new(&roles, cluster, &[], local)
}

proptest! {
    // A failure is reproduced by a case of its own, not by a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_further_binding_takes_nothing_away(
        rules in prop::collection::vec(prop::collection::vec(any_rule(), 0..3), 3),
        bindings in prop::collection::vec(any_binding(), 0..5),
        further in any_binding(),
    ) {
        let before = made(&rules, &bindings);
        let after = made(&rules, &[bindings, vec![further]].concat());
        for question in questions() {
            let had = before.allows(&ann(), &question).allowed;
            prop_assert!(!had || after.allows(&ann(), &question).allowed, "{question:?}");
        }
    }

    #[test]
    fn what_is_held_can_be_granted_and_grants_no_more(
        rules in prop::collection::vec(prop::collection::vec(any_rule(), 0..3), 3),
        bindings in prop::collection::vec(any_binding(), 0..5),
        wanted in any_rule(),
    ) {
        let policy = made(&rules, &bindings);
        let (held, _) = policy.rules(&ann(), "shop");
        prop_assert!(rule::not_covered(&held, &held).is_empty());
        // Whatever may be granted is something that was allowed before.
        let wanted = Rule::from_value(&wanted);
        if policy.covers(&ann(), "shop", std::slice::from_ref(&wanted)).is_ok() {
            for question in questions().iter().filter(|q| q.namespace == "shop" && wanted.allows(q)) {
                prop_assert!(policy.allows(&ann(), question).allowed, "{question:?}");
            }
        }
    }
}
