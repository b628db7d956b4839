//! What the real API server answers, as tables.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use rstest::rstest;
use serde_json::{Value, json};

use super::{World, admit_create, admit_update, fields, validate, validate_meta, validate_name};

/// A cluster of a few objects.
#[derive(Default)]
struct Cluster {
    objects: HashMap<(String, String, String), Value>,
    ips: AtomicU8,
    ports: AtomicU16,
}

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self::default();
        cluster.objects.insert(("serviceaccounts".into(), "default".into(), "default".into()), json!({}));
        cluster
    }
}

impl World for Cluster {
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }
    fn allocate_ip(&self) -> Option<String> {
        Some(format!("10.96.0.{}", 10 + self.ips.fetch_add(1, Ordering::Relaxed)))
    }
    fn take_ip(&self, ip: &str) -> bool {
        ip != "10.96.0.1"
    }
    fn allocate_node_port(&self) -> Option<u16> {
        Some(30000 + self.ports.fetch_add(1, Ordering::Relaxed))
    }
    fn suffix(&self) -> String {
        "abcde".to_owned()
    }
    fn now(&self) -> String {
        "2025-01-01T00:00:00Z".to_owned()
    }
}

fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": "default", "uid": "u-1"})
}

fn created(resource: &str, mut value: Value) -> Value {
    admit_create(resource, &mut value, &Cluster::new()).unwrap();
    value
}

fn updated(resource: &str, old: &Value, mut new: Value) -> Value {
    admit_update(resource, old, &mut new, &Cluster::new()).unwrap();
    new
}

/// The causes that an object is refused for, as lines.
fn causes(resource: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    match validate(resource, "Kind", "x", old, new) {
        Ok(()) => Vec::new(),
        Err(failure) => failure.causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect(),
    }
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("x"), "spec": spec})
}

#[test]
fn a_bare_pod_gets_everything() {
    let value = created("pods", pod(json!({"containers": [{"name": "a", "image": "nginx"}]})));
    let expected = json!({
        "containers": [{
            "name": "a", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [{"name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        }],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
        "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {}, "serviceAccount": "default",
        "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ],
        "volumes": [{"name": "kube-api-access-abcde", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}],
    });
    assert_eq!(value["spec"], expected);
    assert_eq!(value["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(causes("pods", None, &value), [""; 0]);
    // A second pass changes nothing.
    assert_eq!(updated("pods", &value, value.clone()), value);
    assert_eq!(causes("pods", Some(&value), &value), [""; 0]);
}

#[rstest]
#[case(json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed", json!({"cpu": "1", "memory": "1Gi"}))]
#[case(json!({"limits": {"cpu": "1000m"}}), "Burstable", json!({"cpu": "1"}))]
#[case(json!({"requests": {"cpu": 0.5}}), "Burstable", json!({"cpu": "500m"}))]
fn limits_become_requests(#[case] resources: Value, #[case] class: &str, #[case] requests: Value) {
    let value = created("pods", pod(json!({"containers": [{"name": "a", "image": "b:1", "resources": resources}]})));
    assert_eq!(value["status"]["qosClass"], class);
    assert_eq!(value["spec"]["containers"][0]["resources"]["requests"], requests);
}

#[rstest]
#[case(json!({"serviceAccountName": "none"}), 403, "pods \"x\" is forbidden: error looking up service account default/none: serviceaccount \"none\" not found")]
#[case(json!({"priorityClassName": "high"}), 403, "pods \"x\" is forbidden: no PriorityClass with name high was found")]
#[case(json!({"priority": 5}), 403, "pods \"x\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name")]
#[case(json!({"overhead": {"cpu": "one"}}), 400, "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
fn admission_refuses(#[case] spec: Value, #[case] code: u16, #[case] message: &str) {
    let failure = admit_create("pods", &mut pod(spec), &Cluster::new()).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (code, message));
}

#[test]
fn mirror_pods_have_no_account_and_critical_ones_a_number() {
    let mut mirror = pod(json!({"priorityClassName": "system-node-critical", "containers": [{"name": "a", "image": "b:1"}]}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    let value = created("pods", mirror);
    assert!(value["spec"].get("serviceAccountName").is_none());
    assert_eq!(value["spec"]["priority"], 2_000_001_000);
}

#[rstest]
#[case(json!({}), &["spec.containers: Required value"])]
#[case(json!({"containers": [{"name": "a"}]}), &["spec.containers[0].image: Required value"])]
#[case(json!({"containers": [{"image": "a"}]}), &["spec.containers[0].name: Required value"])]
#[case(json!({"containers": [{"name": "a", "image": "a"}, {"name": "a", "image": "a"}]}), &["spec.containers[1].name: Duplicate value: \"a\""])]
#[case(json!({"containers": [{"name": "a", "image": "a"}], "restartPolicy": "x"}), &["spec.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnFailure\", \"Never\""])]
#[case(json!({"containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 70000}]}]}), &["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"])]
#[case(json!({"containers": [{"name": "a", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}), &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""])]
#[case(json!({"containers": [{"name": "a", "image": "a", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}), &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"])]
#[case(json!({"containers": [{"name": "a", "image": "a", "livenessProbe": {}}]}), &["spec.containers[0].livenessProbe: Required value: must specify a handler type"])]
#[case(json!({"containers": [{"name": "a", "image": "a"}], "tolerations": [{"operator": "Equal"}]}), &["spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""])]
#[case(json!({"containers": [{"name": "A", "image": "a"}]}), &["spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"])]
fn pods_are_validated(#[case] spec: Value, #[case] expected: &[&str]) {
    assert_eq!(causes("pods", None, &created("pods", pod(spec))), expected);
}

#[test]
fn little_of_a_pod_may_change() {
    let old = created("pods", pod(json!({"containers": [{"name": "a", "image": "a"}]})));
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = json!("b");
    assert_eq!(causes("pods", Some(&old), &new), [""; 0]);
    new["spec"]["hostNetwork"] = json!(true);
    let lines = causes("pods", Some(&old), &new);
    assert!(
        lines.len() == 1
            && lines[0].starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"),
        "{lines:?}"
    );
}

fn deployment(selector: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("x"), "spec": {"selector": selector, "template": {
        "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}}})
}

#[test]
fn deployments_are_defaulted() {
    let value = created("deployments.apps", deployment(json!({"matchLabels": {"app": "a"}})));
    let spec = &value["spec"];
    assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]), (&json!(1), &json!(10), &json!(600)));
    assert_eq!(spec["strategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}));
    assert_eq!(spec["template"]["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(causes("deployments.apps", None, &value), [""; 0]);
}

#[rstest]
#[case(json!(null), &["spec.selector: Required value", "spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"a\"}: `selector` does not match template `labels`"])]
#[case(json!({"matchLabels": {"app": "b"}}), &["spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"a\"}: `selector` does not match template `labels`"])]
#[case(json!({}), &["spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for deployment"])]
fn selectors_must_fit(#[case] selector: Value, #[case] expected: &[&str]) {
    assert_eq!(causes("deployments.apps", None, &created("deployments.apps", deployment(selector))), expected);
}

#[test]
fn selectors_stay() {
    let old = created("deployments.apps", deployment(json!({"matchLabels": {"app": "a"}})));
    let mut new = old.clone();
    new["spec"]["selector"]["matchLabels"] = json!({"app": "a", "x": "y"});
    new["spec"]["template"]["metadata"]["labels"]["x"] = json!("y");
    assert_eq!(
        causes("deployments.apps", Some(&old), &new),
        [
            "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"a\", \"x\":\"y\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
        ]
    );
}

#[test]
fn jobs_select_by_their_uid() {
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a:1"}]}});
    let value = created("jobs.batch", json!({"metadata": meta("x"), "spec": {"template": template}}));
    let spec = &value["spec"];
    assert_eq!(spec["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}));
    let labels =
        json!({"batch.kubernetes.io/controller-uid": "u-1", "batch.kubernetes.io/job-name": "x", "controller-uid": "u-1", "job-name": "x"});
    assert_eq!(spec["template"]["metadata"]["labels"], labels);
    assert_eq!((&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]), (&json!(1), &json!(1), &json!(6)));
    assert_eq!(causes("jobs.batch", None, &value), [""; 0]);
    let always = created(
        "jobs.batch",
        json!({"metadata": meta("x"), "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}}),
    );
    assert_eq!(
        causes("jobs.batch", None, &always),
        ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
}

#[rstest]
#[case(json!({"ports": [{"port": 80}]}), json!({
    "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
    "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}))]
#[case(json!({"clusterIP": "None", "selector": {"a": "b"}}), json!({
    "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "clusterIP": "None", "clusterIPs": ["None"],
    "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "selector": {"a": "b"}}))]
#[case(json!({"type": "ExternalName", "externalName": "a.b"}), json!({"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}))]
#[case(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}), json!({
    "type": "LoadBalancer", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster",
    "allocateLoadBalancerNodePorts": true, "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30000}]}))]
fn services_get_addresses(#[case] spec: Value, #[case] expected: Value) {
    let value = created("services", json!({"metadata": meta("x"), "spec": spec}));
    assert_eq!(value["spec"], expected);
    assert_eq!(causes("services", None, &value), [""; 0]);
}

#[test]
fn services_keep_what_they_have() {
    let old = created("services", json!({"metadata": meta("x"), "spec": {"type": "NodePort", "ports": [{"port": 80}]}}));
    let new = updated(
        "services",
        &old,
        json!({"metadata": meta("x"), "spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81, "name": "b"}]}}),
    );
    assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert_eq!(new["spec"]["ports"][0]["nodePort"], old["spec"]["ports"][0]["nodePort"]);
    assert_eq!(causes("services", Some(&old), &new), ["spec.ports[0].name: Required value"]);
    let mut moved = old.clone();
    moved["spec"]["clusterIP"] = json!("10.96.0.99");
    moved["spec"]["clusterIPs"] = json!(["10.96.0.99"]);
    let moved = updated("services", &old, moved);
    assert_eq!(
        causes("services", Some(&old), &moved),
        ["spec.clusterIPs[0]: Invalid value: []string{\"10.96.0.99\"}: may not change once set"]
    );
    let taken = admit_create(
        "services",
        &mut json!({"metadata": meta("x"), "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}}),
        &Cluster::new(),
    );
    let message = "Service \"x\" is invalid: spec.clusterIPs: Invalid value: []string{\"10.96.0.1\"}: failed to allocate IP 10.96.0.1: provided IP is already allocated";
    assert_eq!(taken.unwrap_err().message, message);
}

#[test]
fn secrets_and_config_maps() {
    let secret = created("secrets", json!({"metadata": meta("x"), "stringData": {"a": "b"}}));
    assert_eq!(secret, json!({"metadata": meta("x"), "type": "Opaque", "data": {"a": "Yg=="}}));
    let mut other = secret.clone();
    other["type"] = json!("other");
    assert_eq!(causes("secrets", Some(&secret), &other), ["type: Invalid value: \"other\": field is immutable"]);
    let fixed = json!({"immutable": true, "data": {"a": "b"}});
    let lines =
        ["immutable: Forbidden: field is immutable when `immutable` is set", "data: Forbidden: field is immutable when `immutable` is set"];
    assert_eq!(causes("configmaps", Some(&fixed), &json!({"data": {"a": "c"}})), lines);
    assert_eq!(causes("configmaps", Some(&fixed), &fixed), [""; 0]);
}

#[test]
fn roles_of_bindings_stay() {
    const RESOURCE: &str = "rolebindings.rbac.authorization.k8s.io";
    let binding = |role: &str| json!({"roleRef": {"kind": "Role", "name": role}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "b"}]});
    let (old, new) = (created(RESOURCE, binding("a")), created(RESOURCE, binding("b")));
    let line =
        "roleRef: Invalid value: rbac.RoleRef{APIGroup:\"rbac.authorization.k8s.io\", Kind:\"Role\", Name:\"b\"}: cannot change roleRef";
    assert_eq!(causes(RESOURCE, Some(&old), &new), [line]);
}

#[test]
fn definitions() {
    const RESOURCE: &str = "customresourcedefinitions.apiextensions.k8s.io";
    let definition = json!({"metadata": {"name": "x"}, "spec": {"group": "a.b", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}}}]}});
    let value = created(RESOURCE, definition);
    assert_eq!(value["spec"]["names"], json!({"plural": "foos", "kind": "Foo", "singular": "foo", "listKind": "FooList"}));
    assert_eq!(value["spec"]["conversion"], json!({"strategy": "None"}));
    let lines = [
        "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group",
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
    ];
    assert_eq!(causes(RESOURCE, None, &value), lines);
}

#[rstest]
#[case("pods", "a.b", true)]
#[case("pods", "A", false)]
#[case("namespaces", "a.b", false)]
#[case("services", "1a", false)]
#[case("services", "a1", true)]
#[case("roles.rbac.authorization.k8s.io", "system:Node", true)]
#[case("roles.rbac.authorization.k8s.io", "a/b", false)]
#[case("foos.example.com", "a_b", false)]
fn names_have_a_syntax(#[case] resource: &str, #[case] name: &str, #[case] valid: bool) {
    assert_eq!(validate_name(resource, name).is_empty(), valid);
}

#[test]
fn metadata_has_a_syntax() {
    let lines = |meta: Value| -> Vec<String> {
        validate_meta(&json!({"metadata": meta})).iter().map(|c| format!("{}: {}", c.field, c.message)).collect()
    };
    assert_eq!(lines(json!({"labels": {"app.kubernetes.io/name": "a", "b": ""}, "finalizers": ["a/b"]})), [""; 0]);
    assert_eq!(
        lines(json!({"annotations": {"a": "x".repeat(262_144)}})),
        ["metadata.annotations: Too long: may not be more than 262144 bytes"]
    );
    assert!(
        lines(json!({"labels": {"a": "b c"}}))[0]
            .starts_with("metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or")
    );
    assert!(lines(json!({"labels": {"/a": "b"}}))[0].ends_with("prefix part must be non-empty"));
    assert_eq!(
        lines(json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]})),
        ["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"]
    );
}

#[test]
fn nulls_of_built_in_kinds_go_and_those_of_others_stay() {
    let value = json!({"metadata": {"name": "x", "annotations": {"a": null}}, "data": {"k": null}, "immutable": null});
    assert_eq!(created("configmaps", value), json!({"metadata": {"name": "x", "annotations": {"a": ""}}, "data": {"k": ""}}));
    let custom = json!({"metadata": {"name": "x"}, "spec": {"a": null}});
    assert_eq!(created("gateways.gateway.networking.k8s.io", custom.clone()), custom);
}

#[test]
fn the_finalizers_of_namespaces_stay() {
    let old = created("namespaces", json!({"metadata": {"name": "x"}}));
    assert_eq!(old["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "x"}));
    assert_eq!((&old["spec"]["finalizers"], &old["status"]["phase"]), (&json!(["kubernetes"]), &json!("Active")));
    assert_eq!(updated("namespaces", &old, json!({"metadata": {"name": "x"}}))["spec"], old["spec"]);
}

#[test]
fn fields_can_be_selected() {
    let value = json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
    let found: HashMap<&str, String> = fields("pods", &value).into_iter().collect();
    assert_eq!((found["spec.nodeName"].as_str(), found["status.phase"].as_str(), found["status.podIP"].as_str()), ("n", "Running", ""));
    assert_eq!(found["spec.hostNetwork"], "false");
}

#[test]
fn nothing_panics_on_values_of_the_wrong_type() {
    let kinds = [
        "pods",
        "deployments.apps",
        "daemonsets.apps",
        "statefulsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "services",
        "secrets",
        "namespaces",
        "ingresses.networking.k8s.io",
        "replicationcontrollers",
        "persistentvolumeclaims",
        "events",
        "nodes",
        "customresourcedefinitions.apiextensions.k8s.io",
        "horizontalpodautoscalers.autoscaling",
        "networkpolicies.networking.k8s.io",
    ];
    for kind in kinds {
        for body in [
            json!({}),
            json!({"spec": 1}),
            json!({"spec": []}),
            json!({"spec": {"template": 3, "ports": [1], "containers": [null, "x"]}}),
            json!([1]),
            json!(null),
            json!({"metadata": 4, "spec": {}}),
        ] {
            let mut value = body.clone();
            let _ = admit_create(kind, &mut value, &Cluster::new());
            let _ = validate(kind, "Kind", "x", None, &value);
            let mut again = value.clone();
            let _ = admit_update(kind, &value, &mut again, &Cluster::new());
            let _ = validate(kind, "Kind", "x", Some(&value), &again);
            let _ = fields(kind, &value);
        }
    }
}
