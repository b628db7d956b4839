//! The edges of the API, where a server that is only nearly right differs from the real one.

use futures::FutureExt;
use http::Request;
use http_body::Body as _;
use serde_json::{Value, json};
use sim::auth::identity::User;
use sim::server::{Certificate, Fault};

use super::{JSON, World, ask, config_map};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn service(name: &str, ip: &str, port: u16) -> String {
    let ports = json!([{"port": 80, "nodePort": port}]);
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": "NodePort", "clusterIP": ip, "ports": ports}})
        .to_string()
}

#[tokio::test]
async fn what_is_not_stored_takes_no_address() {
    let world = World::new().await;
    let taken = service("one", "10.96.7.7", 30_777);
    assert_eq!(world.ask("POST", &format!("{SERVICES}?dryRun=All"), &[JSON], &taken).await.0, 201);
    // A second cause makes the whole of it invalid after the address was taken.
    assert_eq!(world.ask("POST", SERVICES, &[JSON], &taken.replace("\"one\"", "\"-\"")).await.0, 422);
    assert_eq!(world.ask("POST", SERVICES, &[JSON], &taken).await.0, 201);
    assert_eq!(world.ask("POST", SERVICES, &[JSON], &service("one", "10.96.8.8", 30_888)).await.0, 409);
    assert_eq!(world.ask("POST", &format!("{SERVICES}?dryRun=All"), &[JSON], &service("one", "10.96.8.8", 30_888)).await.0, 409);
    assert_eq!(world.ask("POST", SERVICES, &[JSON], &service("two", "10.96.8.8", 30_888)).await.0, 201);
    // What an update gives up is free, and what stays is not.
    let merge = [("content-type", "application/merge-patch+json")];
    let (code, _) = world.ask("PATCH", &format!("{SERVICES}/two"), &merge, r#"{"spec":{"type":"ClusterIP"}}"#).await;
    assert_eq!(code, 200);
    assert_eq!(world.ask("POST", SERVICES, &[JSON], &service("three", "10.96.9.9", 30_888)).await.0, 201);
    assert_eq!(world.ask("POST", SERVICES, &[JSON], &service("four", "10.96.8.8", 30_999)).await.0, 422);
}

#[tokio::test]
async fn a_role_in_a_namespace_reaches_nothing_outside_it() {
    let world = World::new().await;
    let binding = json!({
        "metadata": {"name": "all"}, "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    world.api.make("rolebindings.rbac.authorization.k8s.io", "default", binding).unwrap();
    world.api.make("nodes", "", json!({"metadata": {"name": "n"}})).unwrap();
    let client = world.client_of("u", &[]).await;
    assert_eq!(ask(&client, "GET", "/api/v1/namespaces/default/configmaps", &[], "").await.0, 200);
    for path in ["/api/v1/namespaces/default/nodes", "/api/v1/namespaces/default/nodes/n", "/api/v1/namespaces/default/namespaces"] {
        assert_eq!(ask(&client, "GET", path, &[], "").await.0, 404, "{path}");
    }
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles";
    assert_eq!(ask(&client, "GET", path, &[], "").await.0, 404);
    assert_eq!(ask(&client, "GET", "/api/v1/namespaces/default/namespaces/kube-system", &[], "").await.0, 404);
    assert_eq!(ask(&client, "GET", "/api/v1/namespaces/default", &[], "").await.0, 200);
}

#[tokio::test]
async fn methods_and_paths_that_no_route_has_are_refused() {
    let world = World::new().await;
    let body = config_map("a", &json!({}));
    for (method, path, code) in [
        ("POST", "/api/v1/namespaces/default/configmaps/a", 405),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("PATCH", "/api/v1/namespaces/default/configmaps", 405),
        ("HEAD", "/api/v1/namespaces/default/configmaps?watch=1", 405),
        ("OPTIONS", "/api/v1/namespaces/default/configmaps", 405),
        ("GET", "/api/v1/namespaces/default/status/more", 404),
        ("DELETE", "/api/v1/namespaces/default/configmaps/a?dryRun=some", 422),
        ("DELETE", "/api/v1/namespaces/default/configmaps/a?gracePeriodSeconds=x", 400),
    ] {
        let body = if method == "DELETE" || method == "HEAD" { "" } else { &body };
        assert_eq!(world.ask(method, path, &[JSON], body).await.0, code, "{method} {path}");
    }
}

#[tokio::test]
async fn nobody_impersonates_half_a_user() {
    let world = World::new().await;
    for header in [("impersonate-group", "g"), ("impersonate-uid", "1"), ("impersonate-extra-a", "b")] {
        let (code, said) = world.ask("GET", "/api/v1/namespaces", &[header], "").await;
        assert_eq!((code, said["reason"].as_str()), (500, Some("InternalError")), "{header:?}");
    }
    let (code, _) = world.ask("GET", "/api/v1/namespaces", &[("impersonate-user", "u"), ("impersonate-group", "g")], "").await;
    assert_eq!(code, 403);
}

#[tokio::test]
async fn a_fault_of_everything_can_be_taken_back() {
    let world = World::new().await;
    // A code that clients do not try again for.
    let failure = Some(sim::Failure::new(418, "InternalError", "broken"));
    world.server.faults().inject("all", Fault { path: "/".to_owned(), failure, ..Fault::default() });
    assert_eq!(world.ask("GET", "/version", &[], "").await.0, 418);
    // Nothing is below it in this world, but the fault is not what says so.
    assert_eq!(world.ask("GET", "/sim/nodes", &[], "").await.0, 404);
}

/// A watch without a network in between; it gives what is there to be had at once.
struct Watch(std::pin::Pin<Box<sim::server::Body>>);

impl Watch {
    async fn open(world: &World, path: &str) -> Self {
        let admin = Certificate::Of(Box::new(User::new("admin", &["system:masters"])));
        let request = Request::builder().uri(path).body(bytes::Bytes::new()).unwrap();
        let response = world.server.answer(request, &admin).await;
        assert_eq!(response.status(), 200);
        Self(Box::pin(response.into_body()))
    }

    /// Events that are ready, and whether the watch is over.
    fn ready(&mut self) -> (Vec<Value>, bool) {
        let mut events = Vec::new();
        loop {
            match std::future::poll_fn(|context| self.0.as_mut().poll_frame(context)).now_or_never() {
                None => return (events, false),
                Some(None) => return (events, true),
                Some(Some(frame)) => {
                    let data = frame.unwrap().into_data().unwrap();
                    events.extend(serde_json::Deserializer::from_slice(&data).into_iter::<Value>().map(Result::unwrap));
                }
            }
        }
    }
}

fn definition(versions: &[&str]) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let one = |v: &&str| json!({"name": v, "served": true, "storage": *v == versions[0], "schema": schema});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.e.com"},
        "spec": {"group": "e.com", "scope": "Cluster", "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": versions.iter().map(one).collect::<Vec<_>>()},
    })
}

#[tokio::test]
async fn a_watch_ends_with_what_it_watches() {
    let world = World::new().await;
    assert_eq!(world.ask("POST", CRDS, &[JSON], &definition(&["v1", "v2"]).to_string()).await.0, 201);
    let mut watch = Watch::open(&world, "/apis/e.com/v2/things?watch=1").await;
    assert_eq!(watch.ready(), (vec![], false));
    let thing = json!({"apiVersion": "e.com/v1", "kind": "Thing", "metadata": {"name": "a"}});
    assert_eq!(world.ask("POST", "/apis/e.com/v1/things", &[JSON], &thing.to_string()).await.0, 201);
    assert_eq!(watch.ready().0[0]["object"]["apiVersion"], "e.com/v2");
    // Custom objects are never replaced by whoever does not say which revision.
    let (code, said) = world.ask("PUT", "/apis/e.com/v1/things/a", &[JSON], &thing.to_string()).await;
    assert_eq!((code, said["details"]["causes"][0]["field"].as_str()), (422, Some("metadata.resourceVersion")));
    let merge = [("content-type", "application/merge-patch+json")];
    let status = format!("{CRDS}/things.e.com/status");
    assert_eq!(world.ask("PATCH", &status, &merge, r#"{"status":{"storedVersions":["v1"]}}"#).await.0, 200);
    assert_eq!(watch.ready(), (vec![], false), "the status of a definition is nothing to its objects");
    let versions = json!({"spec": {"versions": definition(&["v1"])["spec"]["versions"]}});
    assert_eq!(world.ask("PATCH", &format!("{CRDS}/things.e.com"), &merge, &versions.to_string()).await.0, 200);
    assert!(watch.ready().1, "its version is gone");
    let mut watch = Watch::open(&world, "/apis/e.com/v1/things?watch=1").await;
    assert_eq!(watch.ready().0.len(), 1);
    let crd = world.api.resource("customresourcedefinitions.apiextensions.k8s.io").unwrap();
    world.api.delete(&crd, ("", "things.e.com"), &sim::api::Delete::default()).unwrap();
    world
        .api
        .modify("customresourcedefinitions.apiextensions.k8s.io", ("", "things.e.com"), |crd| {
            crd["metadata"]["finalizers"] = json!([]);
            true
        })
        .unwrap();
    assert!(watch.ready().1, "its definition is gone");
}

#[tokio::test]
async fn a_watch_from_now_on_has_no_past() {
    let world = World::new().await;
    let path = "/api/v1/namespaces/default/configmaps";
    world.ask("POST", path, &[JSON], &config_map("a", &json!({}))).await;
    let query = "?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=9223372036854775807";
    let mut watch = Watch::open(&world, &format!("{path}{query}")).await;
    assert_eq!(watch.ready(), (vec![], false));
    world.ask("POST", path, &[JSON], &config_map("b", &json!({}))).await;
    let (events, _) = watch.ready();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["object"]["metadata"]["name"], "b");
}

#[tokio::test]
async fn what_leaves_a_selection_is_shown_as_it_was_in_it() {
    let world = World::new().await;
    world.api.make("pods", "default", json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).unwrap();
    let set = |phase: &'static str| {
        world.api.modify("pods", ("default", "p"), move |p| {
            p["status"]["phase"] = json!(phase);
            true
        })
    };
    let mut watch = Watch::open(&world, "/api/v1/pods?watch=1&fieldSelector=status.phase%3DRunning").await;
    set("Running").unwrap();
    assert_eq!(watch.ready().0[0]["type"], "ADDED");
    let written = set("Failed").unwrap();
    let (events, _) = watch.ready();
    assert_eq!((events[0]["type"].as_str(), events[0]["object"]["status"]["phase"].as_str()), (Some("DELETED"), Some("Running")));
    assert_eq!(events[0]["object"]["metadata"]["resourceVersion"], written.revision.to_string());
    set("Running").unwrap();
    assert_eq!(watch.ready().0[0]["type"], "ADDED");
}

#[tokio::test]
async fn pages_do_not_name_a_revision_of_their_own() {
    let world = World::new().await;
    let (_, page) = world.ask("GET", "/api/v1/namespaces?limit=1", &[], "").await;
    let next = page["metadata"]["continue"].as_str().unwrap();
    let (code, _) = world.ask("GET", &format!("/api/v1/namespaces?limit=1&continue={next}&resourceVersion=5"), &[], "").await;
    assert_eq!(code, 400);
    let (code, _) = world.ask("GET", &format!("/api/v1/namespaces?limit=1&continue={next}"), &[], "").await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn what_may_be_selected_by_is_selected_by() {
    let world = World::new().await;
    let count = async |query: &str| {
        let (status, list) = world.ask("GET", &format!("/api/v1/services?fieldSelector={query}"), &[], "").await;
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(count("spec.type%3DClusterIP").await, 1);
    assert_eq!(count("spec.type%3DNodePort").await, 0);
    assert_eq!(count("spec.clusterIP%3D10.96.0.1").await, 1);
    assert_eq!(count("spec.type!%3DNodePort,metadata.namespace%3Ddefault").await, 1);
}
