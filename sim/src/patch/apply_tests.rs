use rstest::rstest;
use serde_json::{Value, json};

use super::{Apply, Schema, apply, track_update};

const FIRST: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:00:09Z";

fn by(manager: &str) -> Apply<'_> {
    Apply { manager, force: false, api_version: "apps/v1", subresource: "", now: FIRST }
}

fn deployments() -> Schema {
    Schema::builtin("apps", "v1", "Deployment")
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec})
}

/// The fields of one manager's entry.
fn owned<'a>(object: &'a Value, manager: &str, operation: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().find(|e| e["manager"] == manager && e["operation"] == operation).map_or(&Value::Null, |e| &e["fieldsV1"])
}

fn pods(containers: Value) -> Value {
    deployment(json!({"template": {"spec": {"containers": containers}}}))
}

#[test]
fn an_apply_that_creates() {
    let container = json!({"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["a", "b"]});
    let config = deployment(
        json!({"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}}),
    );
    let made = apply(None, &config, &by("me"), &deployments()).unwrap();
    let mut want = config.clone();
    want["metadata"]["managedFields"] = json!([{
        "manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "time": FIRST, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {
            "f:replicas": {}, "f:selector": {},
            "f:template": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
            }}}},
        }},
    }]);
    assert_eq!(made, want);
    let again = apply(Some(&made), &config, &Apply { now: LATER, ..by("me") }, &deployments()).unwrap();
    assert_eq!(again, made, "the same once more changes nothing, not even a time");
}

#[test]
fn a_field_that_is_left_out_is_removed_unless_somebody_owns_it() {
    let schema = deployments();
    let both = pods(json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]));
    let one = pods(json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]));
    let live = apply(None, &both, &by("me"), &schema).unwrap();
    let live = apply(Some(&live), &one, &Apply { now: LATER, ..by("me") }, &schema).unwrap();
    assert_eq!(live["spec"], one["spec"]);
    assert_eq!(live["metadata"]["managedFields"][0]["time"], LATER);

    let other = pods(json!([{"name": "c", "env": [{"name": "B", "value": "2"}]}]));
    let live = apply(None, &both, &by("me"), &schema).unwrap();
    let live = apply(Some(&live), &other, &by("other"), &schema).unwrap();
    let live = apply(Some(&live), &one, &by("me"), &schema).unwrap();
    assert_eq!(live["spec"], both["spec"], "what is owned in common stays");
    let live = apply(Some(&live), &pods(json!([{"name": "c"}])), &by("other"), &schema).unwrap();
    assert_eq!(live["spec"], one["spec"]);
}

#[test]
fn who_owns_an_object_keeps_it_when_it_becomes_empty() {
    let schema = deployments();
    let with = |context: Value| deployment(json!({"template": {"spec": {"securityContext": context}}}));
    let mut live = with(json!({}));
    track_update(None, &mut live, &by("a"), &schema);
    let live = apply(Some(&live), &with(json!({"runAsUser": 1})), &by("b"), &schema).unwrap();
    let live = apply(Some(&live), &deployment(json!({})), &by("b"), &schema).unwrap();
    assert_eq!(owned(&live, "a", "Update"), &json!({"f:spec": {"f:template": {"f:spec": {"f:securityContext": {}}}}}));
    assert_eq!(owned(&live, "b", "Apply"), &json!({"f:spec": {}}));
}

#[test]
fn conflicts_and_force() {
    let schema = deployments();
    let live = apply(None, &deployment(json!({"replicas": 1, "paused": true})), &by("a"), &schema).unwrap();
    let config = deployment(json!({"replicas": 2, "paused": true}));
    let failure = apply(Some(&live), &config, &by("b"), &schema).unwrap_err();
    assert_eq!((failure.code, failure.reason), (409, "Conflict"));
    assert_eq!(failure.message, "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
    assert_eq!(failure.causes.len(), 1);
    assert_eq!(failure.causes[0].reason, "FieldManagerConflict");
    assert_eq!((failure.causes[0].message.as_str(), failure.causes[0].field.as_str()), ("conflict with \"a\"", ".spec.replicas"));

    let failure = apply(Some(&live), &deployment(json!({"replicas": 2, "paused": false})), &by("b"), &schema).unwrap_err();
    assert_eq!(failure.message, "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas");

    let forced = apply(Some(&live), &config, &Apply { force: true, ..by("b") }, &schema).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(owned(&forced, "a", "Apply"), &json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(owned(&forced, "b", "Apply"), &json!({"f:spec": {"f:paused": {}, "f:replicas": {}}}));
}

#[test]
fn conflicts_with_updates_name_their_version() {
    let schema = deployments();
    let mut live = deployment(json!({"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}));
    track_update(None, &mut live, &by("kubectl"), &schema);
    let config = deployment(json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}));
    let failure = apply(Some(&live), &config, &by("me"), &schema).unwrap_err();
    assert_eq!(
        failure.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image"
    );
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(7);
    track_update(Some(&live), &mut scaled, &Apply { subresource: "scale", ..by("hpa") }, &schema);
    let failure = apply(Some(&scaled), &deployment(json!({"replicas": 3})), &by("me"), &schema).unwrap_err();
    assert_eq!(
        failure.message,
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn replicas_are_handed_over_to_an_autoscaler() {
    let schema = deployments();
    let with = deployment(json!({"replicas": 1, "paused": true}));
    let without = deployment(json!({"paused": true}));
    let live = apply(None, &with, &by("me"), &schema).unwrap();
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    track_update(Some(&live), &mut scaled, &Apply { now: LATER, ..by("autoscaler") }, &schema);
    assert_eq!(owned(&scaled, "me", "Apply"), &json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(owned(&scaled, "autoscaler", "Update"), &json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(apply(Some(&scaled), &with, &by("me"), &schema).unwrap_err().code, 409);
    assert_eq!(apply(Some(&scaled), &without, &by("me"), &schema).unwrap(), scaled);
}

#[test]
fn a_creation_is_tracked() {
    let mut made = deployment(json!({
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "resources": {}}]}},
    }));
    made["status"] = json!({});
    track_update(None, &mut made, &by("curl"), &deployments());
    let want = json!({"f:spec": {
        "f:replicas": {}, "f:selector": {}, "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
        "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {
            "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:resources": {}}},
            "f:volumes": {".": {}, "k:{\"name\":\"v\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
        }},
    }});
    assert_eq!(owned(&made, "curl", "Update"), &want);
}

#[test]
fn updates_that_change_nothing_and_clients_that_know_nothing() {
    let schema = deployments();
    let mut live = deployment(json!({"replicas": 1}));
    track_update(None, &mut live, &by("a"), &schema);
    let mut same = live.clone();
    track_update(Some(&live), &mut same, &Apply { now: LATER, ..by("b") }, &schema);
    assert_eq!(same, live);
    let mut bare = deployment(json!({"replicas": 1}));
    track_update(Some(&live), &mut bare, &Apply { now: LATER, ..by("b") }, &schema);
    assert_eq!(bare, live);
    let mut removed = deployment(json!({}));
    track_update(Some(&live), &mut removed, &Apply { now: LATER, ..by("b") }, &schema);
    assert_eq!(removed["metadata"].get("managedFields"), None, "nobody owns what is gone");

    for reset in [json!([]), json!([{}])] {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = reset;
        track_update(Some(&live), &mut new, &by("a"), &schema);
        assert_eq!(new["metadata"].get("managedFields"), None);
        let applied = apply(Some(&new), &deployment(json!({"paused": true})), &by("me"), &schema).unwrap();
        assert_eq!(owned(&applied, "before-first-apply", "Update"), &json!({"f:spec": {"f:replicas": {}}}));
    }
}

#[test]
fn old_updates_are_put_together() {
    let schema = Schema::builtin("", "v1", "ConfigMap");
    let mut live = json!({"metadata": {"name": "c"}, "data": {}});
    for index in 0..15 {
        let mut new = live.clone();
        new["data"][format!("k{index:02}")] = json!("x");
        let (manager, now) = (format!("m{index:02}"), format!("2026-01-01T00:00:{index:02}Z"));
        let old = if index == 0 { None } else { Some(&live) };
        track_update(old, &mut new, &Apply { manager: &manager, now: &now, api_version: "v1", ..by("") }, &schema);
        live = new;
    }
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert_eq!((&entries[0]["manager"], &entries[0]["time"]), (&json!("ancient-changes"), &json!("2026-01-01T00:00:05Z")));
    assert_eq!(entries[0]["fieldsV1"]["f:data"].as_object().unwrap().len(), 7);
}

#[test]
fn the_same_port_with_two_protocols() {
    let schema = Schema::builtin("", "v1", "Service");
    let request = Apply { api_version: "v1", ..by("me") };
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}});
    let config = service(json!([{"port": 53, "name": "tcp"}, {"port": 53, "protocol": "UDP", "name": "udp"}]));
    let mut live = apply(None, &config, &request, &schema).unwrap();
    live["spec"]["ports"][0]["protocol"] = json!("TCP");
    let config = service(json!([{"port": 53, "name": "again"}]));
    let live = apply(Some(&live), &config, &request, &schema).unwrap();
    assert_eq!(live["spec"]["ports"], json!([{"port": 53, "protocol": "TCP", "name": "again"}]));
}

#[rstest]
#[case(json!([{"name": "c"}, {"name": "c"}]), "duplicate entries for key [name=\"c\"]")]
#[case(
    json!([{"image": "c"}]),
    "element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)"
)]
fn lists_with_wrong_keys(#[case] containers: Value, #[case] why: &str) {
    let failure = apply(None, &pods(containers), &by("me"), &deployments()).unwrap_err();
    let prefix = "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: ";
    assert_eq!((failure.code, failure.message), (500, format!("{prefix}{why}")));
}

#[test]
fn configurations_that_are_refused() {
    let mut config = deployment(json!({}));
    config["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let failure = apply(None, &config, &by("me"), &deployments()).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (400, "metadata.managedFields must be nil"));
    let failure = apply(None, &deployment(json!({})), &Apply { api_version: "v1", ..by("me") }, &deployments()).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (400, "invalid object type: apps/v1, Kind=Deployment"));
}

#[test]
fn from_client_side_to_server_side_apply() {
    let schema = deployments();
    let last = deployment(json!({"replicas": 1, "paused": true}));
    let mut live = last.clone();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last.to_string()});
    track_update(None, &mut live, &by("kubectl-client-side-apply"), &schema);
    let config = deployment(json!({"replicas": 2, "paused": true}));
    assert_eq!(apply(Some(&live), &config, &by("somebody"), &schema).unwrap_err().code, 409);
    let applied = apply(Some(&live), &config, &by("kubectl"), &schema).unwrap();
    assert_eq!(applied["spec"], config["spec"]);
    assert_eq!(applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"], format!("{config}\n"));

    let mut edited = live.clone();
    edited["spec"]["replicas"] = json!(9);
    track_update(Some(&live), &mut edited, &by("edit"), &schema);
    assert_eq!(apply(Some(&edited), &config, &by("kubectl"), &schema).unwrap_err().code, 409, "somebody else's value is not taken");
}

#[test]
fn custom_resources_follow_their_schema() {
    let schema = Schema::custom(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "plain": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"], "items": {
            "type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
        }},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }}}}));
    let request = Apply { api_version: "example.com/v1", ..by("me") };
    let object = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec});
    let mut first = object(json!({"set": ["a", "b"], "plain": ["x"], "map": [{"port": 1}], "whole": {"k": "1"}, "free": {"a": {"b": 1}}}));
    track_update(None, &mut first, &Apply { manager: "other", ..request }, &schema);
    assert_eq!(
        owned(&first, "other", "Update"),
        &json!({"f:spec": {
            ".": {}, "f:set": {".": {}, "v:\"a\"": {}, "v:\"b\"": {}}, "f:plain": {}, "f:whole": {},
            "f:map": {".": {}, "k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
            "f:free": {".": {}, "f:a": {".": {}, "f:b": {}}},
        }})
    );
    let config = object(json!({"set": ["c"], "map": [{"port": 2}], "free": {"z": null}}));
    let live = apply(Some(&first), &config, &request, &schema).unwrap();
    assert_eq!(
        live["spec"],
        json!({"set": ["a", "b", "c"], "plain": ["x"], "map": [{"port": 1}, {"port": 2}], "whole": {"k": "1"}, "free": {"a": {"b": 1}, "z": null}})
    );
    let live = apply(Some(&live), &object(json!({})), &request, &schema).unwrap();
    assert_eq!(live["spec"], first["spec"]);
    let failure = apply(Some(&live), &object(json!({"plain": ["y"], "whole": {"k": "2"}})), &request, &schema).unwrap_err();
    assert_eq!(failure.causes.iter().map(|c| c.field.as_str()).collect::<Vec<_>>(), [".spec.plain", ".spec.whole"]);
}
