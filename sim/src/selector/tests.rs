use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::builtin;

#[rstest]
#[case("a=b", json!({"a": "b"}), true)]
#[case("a==b", json!({"a": "c"}), false)]
#[case("a!=b", json!({}), true)]
#[case("a!=b", json!({"a": "b"}), false)]
#[case("a", json!({"a": ""}), true)]
#[case("!a", json!({"a": ""}), false)]
#[case("!a", Value::Null, true)]
#[case("x in (a,b)", json!({"x": "b"}), true)]
#[case("x in (a,,b)", json!({"x": ""}), true)]
#[case("x notin (a, b)", json!({"x": "c"}), true)]
#[case("x notin ()", json!({"x": ""}), false)]
#[case("n>5", json!({"n": "6"}), true)]
#[case("n<5", json!({"n": "6"}), false)]
#[case("a=b,c!=d,e in (x,y),f notin (z),g,!h", json!({"a": "b", "e": "y", "g": "1"}), true)]
#[case("a=", json!({"a": ""}), true)]
#[case("in in (in)", json!({"in": "in"}), true)]
#[case("", json!({}), true)]
fn matching(#[case] selector: &str, #[case] labels: Value, #[case] expected: bool) {
    let parsed = LabelSelector::parse(selector).unwrap();
    assert_eq!(parsed.matches(&labels), expected);
    let map = labels.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    assert_eq!(parsed.matches_map(&map), expected);
}

#[rstest]
#[case("b=1,a in (z,y)", "a in (y,z),b=1")]
#[case(" x , !y ", "x,!y")]
#[case("x == y", "x==y")]
fn canonical(#[case] selector: &str, #[case] expected: &str) {
    assert_eq!(LabelSelector::parse(selector).unwrap().to_string(), expected);
}

#[rstest]
#[case("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")]
#[case("a=b c", "found 'c', expected: ',' or 'end of string'")]
#[case("a=b,", "found '', expected: identifier after ','")]
#[case("=b", "found '=', expected: !, identifier, or 'end of string'")]
#[case("a in b", "unable to parse requirement: found 'b' expected: '('")]
#[case("a in (b", "unable to parse requirement: found '', expected: ',' or ')'")]
#[case("a=!", "unable to parse requirement: found '!', expected: identifier")]
#[case("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer")]
fn refused(#[case] selector: &str, #[case] message: &str) {
    assert_eq!(LabelSelector::parse(selector).unwrap_err(), message);
}

#[test]
fn refused_names() {
    let key = LabelSelector::parse("-a=b").unwrap_err();
    assert!(key.starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"), "{key}");
    let value = LabelSelector::parse("a=b_").unwrap_err();
    assert!(
        value.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"b_\": a valid label must be an empty"),
        "{value}"
    );
}

#[test]
fn objects() {
    let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]});
    let selector = LabelSelector::from_object(&selector).unwrap();
    assert_eq!(selector.to_string(), "a=b,c in (d)");
    assert!(selector.matches(&json!({"a": "b", "c": "d"})));
    assert!(LabelSelector::from_object(&json!({})).unwrap().is_everything());
    assert!(!LabelSelector::from_object(&Value::Null).unwrap().matches(&json!({})));
    let wrong = LabelSelector::from_object(&json!({"matchExpressions": [{"key": "c", "operator": "in"}]})).unwrap_err();
    assert_eq!(wrong, "\"in\" is not a valid label selector operator");
}

#[rstest]
#[case("pods", "status.phase!=Running,spec.nodeName=n", json!({"spec": {"nodeName": "n"}, "status": {"phase": "Pending"}}), true)]
#[case("pods", "spec.host=n", json!({"spec": {"nodeName": "n"}}), true)]
#[case("pods", "spec.hostNetwork=false", json!({"spec": {}}), true)]
#[case("pods", "spec.nodeName=", json!({"spec": {}}), true)]
#[case("nodes", "spec.unschedulable==true", json!({"spec": {}}), false)]
#[case("events", "involvedObject.name=a,source=k", json!({"involvedObject": {"name": "a"}, "source": {"component": "k"}}), true)]
#[case("jobs.batch", "status.successful=1", json!({"status": {"succeeded": 1}}), true)]
#[case("secrets", r"type=a\,b", json!({"type": "a,b"}), true)]
fn fields(#[case] id: &str, #[case] selector: &str, #[case] object: Value, #[case] expected: bool) {
    let resource = builtin::resources().into_iter().find(|r| r.id() == id).unwrap();
    let selector = FieldSelector::parse(selector).unwrap().check(&resource).unwrap();
    assert_eq!(selector.matches(&object), expected);
}

#[rstest]
#[case("pods", "spec.foo=b", "field label not supported: spec.foo")]
#[case("nodes", "metadata.namespace=b", "field label not supported: metadata.namespace")]
#[case("jobs.batch", "x=b", "field label \"x\" not supported for batchv1.Job")]
#[case(
    "ingresses.networking.k8s.io",
    "foo.bar=b",
    "\"foo.bar\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
)]
fn unsupported_fields(#[case] id: &str, #[case] selector: &str, #[case] message: &str) {
    let resource = builtin::resources().into_iter().find(|r| r.id() == id).unwrap();
    assert_eq!(FieldSelector::parse(selector).unwrap().check(&resource).unwrap_err().message, message);
}

#[rstest]
#[case("a", "invalid selector: 'a'; can't understand 'a'")]
#[case("a=b=c", "invalid field selector: unescaped character in value: 61")]
#[case(r"a=\x", r"invalid field selector: invalid escape sequence: \x")]
fn refused_fields(#[case] selector: &str, #[case] message: &str) {
    assert_eq!(FieldSelector::parse(selector).unwrap_err(), message);
}

proptest! {
    // What is printed must be read as the same again, and nothing that a client sends may take the server down.
    #[test]
    fn labels_survive_printing(text in "[a-c!=(),>< in]{0,24}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn fields_survive_printing(text in r"[a-c!=,\\é]{0,16}") {
        if let Ok(selector) = FieldSelector::parse(&text) {
            // Terms are sorted as they were written, and `==` is printed as `=`: the order may change once, but no term does.
            let terms = |s: &FieldSelector| s.to_string().split(',').map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).map(|s| terms(&s)), Ok(terms(&selector)));
        }
    }
}
