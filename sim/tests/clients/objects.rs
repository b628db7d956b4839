//! Reading and writing objects.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Error, ResourceExt};
use serde_json::json;

use crate::{JSON, World, config_map};

fn map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"n": name}}, "data": {"k": value}})).unwrap()
}

fn reason(error: &Error) -> (u16, String) {
    match error {
        Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_object_lives_from_creation_to_deletion() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    let made = maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
    assert!(made.uid().is_some_and(|u| u.len() == 36) && made.creation_timestamp().is_some());
    assert_eq!(reason(&maps.create(&PostParams::default(), &map("a", "1")).await.unwrap_err()), (409, "AlreadyExists".into()));

    let mut next = made.clone();
    next.data = Some([("k".to_owned(), "2".to_owned())].into());
    let written = maps.replace("a", &PostParams::default(), &next).await.unwrap();
    assert_ne!(written.resource_version(), made.resource_version());
    assert_eq!(written.uid(), made.uid());
    // The revision that it wants to replace is not the newest any more.
    assert_eq!(reason(&maps.replace("a", &PostParams::default(), &next).await.unwrap_err()), (409, "Conflict".into()));
    // A write that changes nothing is no write.
    let same = maps.replace("a", &PostParams::default(), &written).await.unwrap();
    assert_eq!(same.resource_version(), written.resource_version());

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(reason(&maps.get("a").await.unwrap_err()), (404, "NotFound".into()));
}

#[tokio::test]
async fn names_are_generated_and_checked() {
    let world = World::new().await;
    let body = json!({"metadata": {"generateName": "web-"}}).to_string();
    let (status, made) = world.ask("POST", "/api/v1/namespaces/default/configmaps", &[JSON], &body).await;
    assert_eq!(status, 201);
    assert!(made["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("web-") && n.len() == 9), "{made}");
    for (body, code) in [
        (config_map("Upper", &json!({})), 422),
        (json!({"metadata": {}}).to_string(), 422),
        (json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}}).to_string(), 400),
        (json!({"metadata": {"name": "x", "namespace": "other"}}).to_string(), 400),
        (json!({"metadata": {"name": "x", "resourceVersion": "7"}}).to_string(), 400),
        ("{".to_owned(), 400),
    ] {
        let (status, answer) = world.ask("POST", "/api/v1/namespaces/default/configmaps", &[JSON], &body).await;
        assert_eq!((status, answer["kind"].as_str()), (code, Some("Status")), "{body}: {answer}");
    }
    let (status, answer) = world.ask("POST", "/api/v1/namespaces/nowhere/configmaps", &[JSON], &config_map("x", &json!({}))).await;
    assert_eq!((status, answer["message"].as_str()), (404, Some("namespaces \"nowhere\" not found")));
}

#[tokio::test]
async fn bodies_and_answers_come_in_the_forms_that_are_served() {
    let world = World::new().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let protobuf = ("content-type", "application/vnd.kubernetes.protobuf");
    let (status, answer) = world.ask("POST", path, &[protobuf], "k8s").await;
    assert_eq!((status, answer["reason"].as_str()), (415, Some("UnsupportedMediaType")));
    let (status, _) = world.ask("POST", path, &[("content-type", "application/yaml")], "metadata:\n  name: w\n").await;
    assert_eq!(status, 201);
    let (status, yaml) = world.ask("GET", &format!("{path}/w"), &[("accept", "application/yaml")], "").await;
    assert!(status == 200 && yaml.as_str().is_some_and(|y| y.contains("name: w")), "{yaml}");
    let (status, _) = world.ask("GET", path, &[("accept", "application/vnd.kubernetes.protobuf")], "").await;
    assert_eq!(status, 406);
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    let (_, shown) = world.ask("GET", path, &[table], "").await;
    assert_eq!(shown["kind"], "Table");
    let metadata = ("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
    let (_, shown) = world.ask("GET", path, &[metadata], "").await;
    assert_eq!((&shown["kind"], shown["items"][0].get("data")), (&json!("PartialObjectMetadataList"), None));
}

#[tokio::test]
async fn lists_are_paged_at_one_revision_and_selected() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    for i in 0..7 {
        maps.create(&PostParams::default(), &map(&format!("m{i}"), "1")).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (3, Some(4)));
    // What happens between the pages does not show in them.
    maps.delete("m5", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &map("m9", "1")).await.unwrap();
    let rest = maps.list(&ListParams::default().limit(9).continue_token(&first.metadata.continue_.clone().unwrap())).await.unwrap();
    let names: Vec<String> = rest.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["m3", "m4", "m5", "m6"]);
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    let some = maps.list(&ListParams::default().labels("n in (m0,m9),n!=m1")).await.unwrap();
    assert_eq!(some.items.len(), 2);
    assert_eq!(maps.list(&ListParams::default().fields("metadata.name=m4")).await.unwrap().items.len(), 1);
    assert_eq!(reason(&maps.list(&ListParams::default().fields("data.k=1")).await.unwrap_err()).0, 400);
    assert_eq!(reason(&maps.list(&ListParams::default().labels("a=(")).await.unwrap_err()).0, 400);
    // Asked past the client, which would try this again for minutes.
    let request = http::Request::get("/api/v1/configmaps?resourceVersion=99999").body(bytes::Bytes::new()).unwrap();
    assert_eq!(world.server.answer(request, &sim::server::Certificate::Of(Box::new(sim::auth::User::super_admin()))).await.status(), 504);
    let (status, _) = world.ask("GET", "/api/v1/configmaps?limit=1&continue=nonsense", &[], "").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn all_four_patches_work() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
    let merged = maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": null, "l": "2"}}))).await.unwrap();
    assert_eq!(merged.data.clone().unwrap().keys().collect::<Vec<_>>(), ["l"]);
    let operations = json!([{"op": "test", "path": "/data/l", "value": "2"}, {"op": "add", "path": "/data/m", "value": "3"}]);
    let patch: Patch<ConfigMap> = Patch::Json(serde_json::from_value(operations).unwrap());
    assert_eq!(maps.patch("a", &PatchParams::default(), &patch).await.unwrap().data.unwrap()["m"], "3");
    let strategic = json!({"metadata": {"labels": {"x": "y"}}});
    let patched = maps.patch("a", &PatchParams::default(), &Patch::Strategic(strategic)).await.unwrap();
    assert_eq!(patched.labels()["x"], "y");

    let apply =
        |value: &str| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"k": value}}));
    let one = PatchParams::apply("one");
    let made = maps.patch("b", &one, &apply("1")).await.unwrap();
    assert_eq!(maps.patch("b", &one, &apply("1")).await.unwrap().resource_version(), made.resource_version(), "nothing to do");
    let error = maps.patch("b", &PatchParams::apply("two"), &apply("2")).await.unwrap_err();
    assert_eq!(reason(&error), (409, "Conflict".into()));
    assert!(error.to_string().contains("conflict with \"one\": .data.k"), "{error}");
    let forced = maps.patch("b", &PatchParams::apply("two").force(), &apply("2")).await.unwrap();
    assert_eq!(forced.data.unwrap()["k"], "2");
    let (status, _) = world.ask("PATCH", "/api/v1/namespaces/default/configmaps/b", &[("content-type", "text/plain")], "{}").await;
    assert_eq!(status, 415);
}

#[tokio::test]
async fn status_is_a_part_of_its_own() {
    let world = World::new().await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}, "status": {"phase": "Odd"}}));
    let main = namespaces.patch("default", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((main.labels().get("x").map(String::as_str), main.status.clone().unwrap().phase.as_deref()), (Some("y"), Some("Active")));
    let patch = Patch::Merge(json!({"metadata": {"labels": {"x": "z"}}, "status": {"phase": "Odd"}}));
    let status = namespaces.patch_status("default", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((status.labels()["x"].as_str(), status.status.clone().unwrap().phase.as_deref()), ("y", Some("Odd")));
}

#[tokio::test]
async fn finalizers_hold_what_is_deleted() {
    let world = World::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    let mut held = map("held", "1");
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    maps.delete("held", &DeleteParams::default()).await.unwrap();
    let marked = maps.get("held").await.unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}));
    assert_eq!(reason(&maps.patch("held", &PatchParams::default(), &more).await.unwrap_err()).0, 422);
    maps.patch("held", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert_eq!(reason(&maps.get("held").await.unwrap_err()).0, 404);
    // A precondition protects the namesake of what one meant.
    let made = maps.create(&PostParams::default(), &map("other", "1")).await.unwrap();
    let options = DeleteParams::default().preconditions(kube::api::Preconditions { uid: Some("x".into()), ..Default::default() });
    assert_eq!(reason(&maps.delete("other", &options).await.unwrap_err()).0, 409);
    assert_eq!(maps.get("other").await.unwrap().uid(), made.uid());
    assert!(maps.delete("other", &DeleteParams::default().dry_run()).await.is_ok());
    assert!(maps.get("other").await.is_ok());
    maps.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn pods_get_defaults_and_are_bound_once() {
    let world = World::new().await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "default");
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}})).unwrap();
    let made = pods.create(&PostParams::default(), &pod).await.unwrap();
    let spec = made.spec.clone().unwrap();
    assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("Always"));
    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}).to_string();
    let path = "/api/v1/namespaces/default/pods/p/binding";
    assert_eq!(world.ask("POST", path, &[JSON], &binding).await.0, 201);
    assert_eq!(world.ask("POST", path, &[JSON], &binding).await.0, 409);
    // On a node it has grace, and its kubelet has the last word.
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert_eq!(pods.get("p").await.unwrap().metadata.deletion_grace_period_seconds, Some(30));
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
    let (status, answer) = world.ask("POST", "/api/v1/namespaces/default/pods/p/exec?command=ls", &[], "").await;
    assert_eq!((status, answer["kind"].as_str()), (501, Some("Status")));
}
