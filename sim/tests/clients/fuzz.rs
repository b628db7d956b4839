//! Whatever is sent, the server answers: it never panics, and what it refuses it refuses with a `Status` of the same code.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use sim::auth::identity::User;
use sim::auth::pki::Pki;
use sim::server::{Certificate, Server};
use sim::{Api, Clock};

use super::NoNodes;

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PATCH", "PUT"];

const PATHS: [&str; 34] = [
    "/api/v1/namespaces",
    "/api/v1/namespaces/a",
    "/api/v1/namespaces/a/finalize",
    "/api/v1/namespaces/a/status",
    "/api/v1/namespaces/a/pods",
    "/api/v1/namespaces/a/pods/x",
    "/api/v1/namespaces/a/pods/x/status",
    "/api/v1/namespaces/a/pods/x/log",
    "/api/v1/namespaces/a/pods/x/binding",
    "/api/v1/namespaces/a/pods/x/eviction",
    "/api/v1/namespaces/a/pods/x:80/proxy/a/..%2f",
    "/api/v1/namespaces/a/services",
    "/api/v1/namespaces/a/services/x",
    "/api/v1/namespaces/a/services/https:x:1/proxy/",
    "/api/v1/namespaces/a/secrets",
    "/api/v1/namespaces/a/serviceaccounts/default/token",
    "/api/v1/nodes",
    "/api/v1/nodes/x",
    "/api/v1/nodes/x/status",
    "/api/v1/watch/namespaces/a/pods/x",
    "/apis/apps/v1/namespaces/a/deployments",
    "/apis/apps/v1/namespaces/a/deployments/x",
    "/apis/apps/v1/namespaces/a/deployments/x/scale",
    "/apis/apps/v1/namespaces/a/deployments/x/status",
    "/apis/batch/v1/namespaces/a/jobs",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.e.com",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.e.com/status",
    "/apis/e.com/v1/namespaces/a/things",
    "/apis/e.com/v1/namespaces/a/things/x",
    "/apis/e.com/v1/namespaces/a/things/x/scale",
    "/apis/authentication.k8s.io/v1/tokenreviews",
];

const QUERIES: [&str; 24] = [
    "dryRun=All",
    "dryRun=x",
    "watch=1",
    "timeoutSeconds=1",
    "timeoutSeconds=9223372036854775807",
    "sinceSeconds=9223372036854775807",
    "sinceSeconds=-9223372036854775808",
    "tailLines=-1",
    "limit=1",
    "limit=-9223372036854775808",
    "continue=e30",
    "continue=%FF",
    "resourceVersion=1",
    "resourceVersion=18446744073709551615",
    "resourceVersionMatch=Exact",
    "sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
    "allowWatchBookmarks=1",
    "gracePeriodSeconds=9223372036854775807",
    "gracePeriodSeconds=-1",
    "propagationPolicy=Foreground",
    "fieldManager=m",
    "force=1",
    "labelSelector=a%20in%20(b,",
    "fieldSelector=metadata.name%3Dx",
];

const CONTENT: [&str; 7] = [
    "application/json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/yaml",
    "text/plain",
];

const ACCEPT: [&str; 5] = [
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

fn pod_spec() -> Value {
    json!({
        "nodeName": "n", "terminationGracePeriodSeconds": 5, "activeDeadlineSeconds": 9, "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}],
        "containers": [{
            "name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "web"}], "env": [{"name": "E", "value": "1"}],
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": 2}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "readinessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 1},
        }],
    })
}

/// Bodies that make sense somewhere, to be spoilt.
fn bodies() -> Vec<Value> {
    let meta = json!({
        "name": "x", "namespace": "a", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e.com/f"], "resourceVersion": "",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u", "controller": true}],
        "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}],
    });
    let cluster = json!({"name": "x", "labels": {"a": "b"}});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    vec![
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod_spec(), "status": {"phase": "Running", "conditions": []}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": []}, "status": {"phase": "Active"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"type": "NodePort", "selector": {"a": "b"},
            "ports": [{"port": 80, "targetPort": "web", "nodePort": 30001}]}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"a": "Yg=="}, "type": "Opaque"}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": cluster, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "1"}, "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}], "conditions": []}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": {"replicas": 2, "selector": selector, "template": template, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"backoffLimit": 1, "template": template}}),
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "x"}, "spec": {"replicas": 3}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": cluster,
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}], "aggregationRule": {"clusterRoleSelectors": [selector]}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}]}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.e.com"},
            "spec": {"group": "e.com", "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "additionalPrinterColumns": [{"name": "C", "type": "date", "jsonPath": ".spec.a"}],
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.a.b", "statusReplicasPath": ".status.b"}}}]}}),
        json!({"apiVersion": "e.com/v1", "kind": "Thing", "metadata": meta, "spec": {"a": {"b": 1}}, "status": {"b": 2}}),
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1, "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}}),
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["a"], "expirationSeconds": 600}}),
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n"}}),
        json!([{"op": "replace", "path": "/spec/replicas", "value": 3}, {"op": "remove", "path": "/metadata/labels/a"}]),
        json!({"metadata": {"labels": {"a": null}}, "spec": {"template": {"spec": {"containers": [{"name": "c", "$patch": "delete"}]}}}}),
    ]
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(i64::MAX)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!("")),
        Just(json!("text")),
        Just(json!("\u{e9}\u{1f600}/..\n")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, 1, "a", []])),
        Just(json!({"": {"a": [1]}, "name": 1})),
    ]
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| places(v, &format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")), all)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), all)),
        _ => {}
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = (select(bodies()), proptest::collection::vec((any::<Index>(), junk()), 0..3)).prop_map(|(mut body, changes)| {
        for (place, junk) in changes {
            let mut all = Vec::new();
            places(&body, "", &mut all);
            if let Some(found) = body.pointer_mut(place.get::<String>(&all)) {
                *found = junk;
            }
        }
        body.to_string().into_bytes()
    });
    prop_oneof![
        16 => spoilt,
        1 => Just(Vec::new()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => Just("[".repeat(3000).into_bytes()),
        1 => Just(b"a: &a [*a]\nb: {<<: *a}\n? [x]: y".to_vec()),
    ]
}

#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    path: &'static str,
    query: String,
    headers: [(&'static str, &'static str); 2],
    body: Vec<u8>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let queries = proptest::collection::vec(select(&QUERIES[..]), 0..3);
    (select(&METHODS[..]), select(&PATHS[..]), queries, select(&CONTENT[..]), select(&ACCEPT[..]), body()).prop_map(
        |(method, path, queries, content, accept, body)| Asked {
            method,
            path,
            query: queries.join("&"),
            headers: [("content-type", content), ("accept", accept)],
            body,
        },
    )
}

/// A server with one object of most kinds that the paths name.
fn server() -> Server {
    let api = Api::new(Pki::new("fuzz", &[]), Clock::default(), "v1.33.4");
    api.bootstrap().unwrap();
    api.make("namespaces", "", json!({"metadata": {"name": "a"}})).unwrap();
    api.make("serviceaccounts", "a", json!({"metadata": {"name": "default"}})).unwrap();
    for body in bodies() {
        let id = match body["kind"].as_str().unwrap_or_default() {
            "Pod" => "pods",
            "Deployment" => "deployments.apps",
            "CustomResourceDefinition" => "customresourcedefinitions.apiextensions.k8s.io",
            "Thing" => "things.e.com",
            "Node" => "nodes",
            _ => continue,
        };
        let namespaced = api.resource(id).unwrap().namespaced;
        api.make(id, if namespaced { "a" } else { "" }, body).unwrap();
    }
    Server::new(api, Arc::new(NoNodes))
}

/// Sends a request and judges the answer.
async fn judge(server: &Server, asked: &Asked) -> Result<(), TestCaseError> {
    let mut request = Request::builder().method(asked.method).uri(format!("{}?{}", asked.path, asked.query));
    for (name, value) in asked.headers {
        request = request.header(name, value);
    }
    let certificate = Certificate::Of(Box::new(User::new("admin", &["system:masters"])));
    let response = server.answer(request.body(Bytes::from(asked.body.clone())).unwrap(), &certificate).await;
    let status = response.status();
    let mut body = Box::pin(response.into_body());
    if status.is_success() {
        // A watch has no end; its beginning is enough.
        for _ in 0..4 {
            let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context));
            let _ = futures::FutureExt::now_or_never(frame);
        }
        return Ok(());
    }
    let mut said = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        said.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    prop_assert!(!String::from_utf8_lossy(&said).contains("caused apiserver to panic"));
    if asked.method == "HEAD" {
        return Ok(());
    }
    let said: Value = serde_json::from_slice(&said).map_err(|e| TestCaseError::fail(format!("{e}: {said:?}")))?;
    prop_assert_eq!(&said["kind"], "Status", "{}", said);
    prop_assert_eq!(said["code"].as_u64(), Some(u64::from(status.as_u16())), "{}", said);
    prop_assert_ne!(&said["message"], "", "{}", said);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_answered(requests in proptest::collection::vec(asked(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = server();
            for request in &requests {
                judge(&server, request).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

/// More for whoever has the time: `PROPTEST_CASES=5000`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}
