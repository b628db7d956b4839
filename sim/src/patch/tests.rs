use rstest::rstest;
use serde_json::{Value, json};

use super::{Schema, json as json_patch, merge, strategic};

#[rstest]
#[case(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}))]
#[case(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}))]
#[case(json!({"a": "b"}), json!({"a": null}), json!({}))]
#[case(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}))]
#[case(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}))]
#[case(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}))]
#[case(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}))]
#[case(json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]}))]
#[case(json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"]))]
#[case(json!({"a": "b"}), json!(["c"]), json!(["c"]))]
#[case(json!({"a": "foo"}), json!(null), json!(null))]
#[case(json!({"a": "foo"}), json!("bar"), json!("bar"))]
#[case(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}))]
#[case(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}))]
#[case(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}))]
fn merge_patch_as_in_rfc_7386(#[case] mut target: Value, #[case] patch: Value, #[case] want: Value) {
    merge(&mut target, &patch);
    assert_eq!(target, want);
}

#[rstest]
#[case(json!({"foo": "bar"}), json!([{"op": "add", "path": "/baz", "value": "qux"}]), json!({"baz": "qux", "foo": "bar"}))]
#[case(json!({"foo": ["bar", "baz"]}), json!([{"op": "add", "path": "/foo/1", "value": "qux"}]), json!({"foo": ["bar", "qux", "baz"]}))]
#[case(json!({"foo": ["bar", "qux", "baz"]}), json!([{"op": "remove", "path": "/foo/1"}]), json!({"foo": ["bar", "baz"]}))]
#[case(json!({"baz": "qux"}), json!([{"op": "replace", "path": "/baz", "value": "boo"}]), json!({"baz": "boo"}))]
#[case(json!({"foo": {"a": 1}, "q": {}}), json!([{"op": "move", "from": "/foo/a", "path": "/q/b"}]), json!({"foo": {}, "q": {"b": 1}}))]
#[case(json!({"a/b": 1, "m~n": 2}), json!([{"op": "test", "path": "/a~1b", "value": 1}, {"op": "remove", "path": "/m~0n"}]), json!({"a/b": 1}))]
#[case(json!({"foo": ["bar"]}), json!([{"op": "add", "path": "/foo/-", "value": ["abc"]}]), json!({"foo": ["bar", ["abc"]]}))]
#[case(json!({"a": 1}), json!([{"op": "test", "path": "/missing", "value": null}, {"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": 1, "b": 1}))]
fn json_patch_as_in_rfc_6902(#[case] mut target: Value, #[case] patch: Value, #[case] want: Value) {
    json_patch(&mut target, &patch).unwrap();
    assert_eq!(target, want);
}

#[rstest]
#[case(json!({"op": "add"}), 400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")]
#[case(json!([{"op": "test", "path": "/a", "value": 2}]), 422, "the server rejected our request due to an error in our request")]
#[case(json!([{"op": "replace", "path": "/a", "value": 9}, {"op": "remove", "path": "/b"}]), 422, "the server rejected our request due to an error in our request")]
#[case(json!([{"op": "what", "path": "/a"}]), 422, "the server rejected our request due to an error in our request")]
#[case(Value::Array(vec![json!({"op": "test", "path": "/a", "value": 1}); 10_001]), 413, "Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001")]
fn json_patch_that_is_refused_changes_nothing(#[case] patch: Value, #[case] code: u16, #[case] message: &str) {
    let mut target = json!({"a": 1});
    let failure = json_patch(&mut target, &patch).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (code, message));
    assert_eq!(target, json!({"a": 1}));
}

fn pod(spec: Value) -> Value {
    json!({"spec": spec})
}

#[rstest]
#[case::by_name(
    pod(json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]})),
    pod(json!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "1"}]})),
    pod(json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "1"}]})),
)]
#[case::ports_by_number_alone(
    pod(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]})),
    pod(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}]})),
    pod(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}]})),
)]
#[case::delete_an_item(
    pod(json!({"containers": [{"name": "a"}, {"name": "b"}]})),
    pod(json!({"containers": [{"name": "a", "$patch": "delete"}]})),
    pod(json!({"containers": [{"name": "b"}]})),
)]
#[case::replace_a_list(
    pod(json!({"containers": [{"name": "a"}, {"name": "b"}]})),
    pod(json!({"containers": [{"name": "c"}, {"$patch": "replace"}]})),
    pod(json!({"containers": [{"name": "c"}]})),
)]
#[case::replace_an_object(
    pod(json!({"nodeSelector": {"a": "1"}})),
    pod(json!({"nodeSelector": {"b": "2", "$patch": "replace"}})),
    pod(json!({"nodeSelector": {"b": "2"}})),
)]
#[case::atomic_for_apply_but_merged_here(
    pod(json!({"nodeSelector": {"a": "1"}})),
    pod(json!({"nodeSelector": {"b": "2"}})),
    pod(json!({"nodeSelector": {"a": "1", "b": "2"}})),
)]
#[case::lists_without_keys_are_replaced(
    pod(json!({"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["1"]}]})),
    pod(json!({"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["2"]}]})),
    pod(json!({"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["2"]}]})),
)]
#[case::null_removes(
    pod(json!({"containers": [{"name": "a", "image": "1"}], "nodeName": "n"})),
    pod(json!({"containers": [{"name": "a", "image": null}], "nodeName": null, "other": null})),
    pod(json!({"containers": [{"name": "a"}]})),
)]
#[case::retained_keys(
    pod(json!({"volumes": [{"name": "v", "emptyDir": {}}]})),
    pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}]})),
    pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
)]
// What is new comes before what the patch does not have: upstream, too, can only compare the places of what was there before.
#[case::set_of_scalars(
    json!({"metadata": {"finalizers": ["a", "b"]}}),
    json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}),
    json!({"metadata": {"finalizers": ["c", "b"]}}),
)]
#[case::element_order(
    pod(json!({"containers": [{"name": "a"}, {"name": "x"}, {"name": "b"}]})),
    pod(json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "2"}]})),
    pod(json!({"containers": [{"name": "x"}, {"name": "b", "image": "2"}, {"name": "a"}]})),
)]
#[case::directives_do_not_stay_in_what_is_new(
    pod(json!({})),
    pod(json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "$setElementOrder/env": [{"name": "E"}], "env": [{"name": "E"}, {"name": "F", "$patch": "delete"}]}]})),
    pod(json!({"containers": [{"name": "a", "env": [{"name": "E"}]}]})),
)]
fn strategic_merge(#[case] mut target: Value, #[case] patch: Value, #[case] want: Value) {
    strategic(&mut target, &patch, &Schema::builtin("", "v1", "Pod")).unwrap();
    assert_eq!(target, want);
}

#[rstest]
#[case(json!({"spec": {"containers": [{"image": "x"}]}}), 500, r#"map: {"image":"x"} does not contain declared merge key: name"#)]
#[case(json!({"spec": {"$retainKeys": ["a"], "b": 1}}), 400, "invalid patch format of retainKeys")]
#[case(json!({"spec": {"$setElementOrder": []}}), 400, "invalid patch format of setElementOrder list")]
#[case(json!({"$deleteFromPrimitiveListX": []}), 400, "invalid patch format of primitive list")]
#[case(json!({"spec": {"$patch": "merge"}}), 500, "unknown patch type: merge in map: {}")]
fn strategic_merge_that_is_refused(#[case] patch: Value, #[case] code: u16, #[case] message: &str) {
    let mut target = json!({"spec": {"containers": [{"name": "a"}]}});
    let failure = strategic(&mut target, &patch, &Schema::builtin("", "v1", "Pod")).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (code, message));
}

#[test]
fn service_ports_and_replaced_selectors() {
    let mut service = json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 1}]}});
    strategic(&mut service, &json!({"spec": {"ports": [{"port": 80, "targetPort": 8}]}}), &Schema::builtin("", "v1", "Service")).unwrap();
    assert_eq!(service, json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 1, "targetPort": 8}]}}));

    let mut budget = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}});
    let patch = json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}});
    strategic(&mut budget, &patch, &Schema::builtin("policy", "v1", "PodDisruptionBudget")).unwrap();
    assert_eq!(budget, patch);
}
