//! Resources that come with a definition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::discovery::{ApiGroup, Discovery};
use serde_json::{Value, json};

use crate::World;

fn definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red"}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}},
                {"name": "v1beta1", "served": true, "storage": false, "schema": schema},
            ],
        },
    })
}

#[tokio::test]
async fn a_definition_is_served_when_its_creation_returns() {
    let world = World::new().await;
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    crds.create(&PostParams::default(), &serde_json::from_value(definition()).unwrap()).await.unwrap();
    let conditions = crds.get("widgets.example.com").await.unwrap().status.unwrap().conditions.unwrap();
    assert!(conditions.iter().all(|c| c.status == "True") && conditions.len() == 2, "{conditions:?}");
    let group: ApiGroup = kube::discovery::group(&world.client, "example.com").await.unwrap();
    assert_eq!(group.preferred_version_or_latest(), "v1");
    let (resource, _) = group.recommended_kind("Widget").unwrap();
    let widgets: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "default", &resource);
    let widget = |name: &str, spec: Value| -> DynamicObject {
        serde_json::from_value(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})).unwrap()
    };
    let made = widgets.create(&PostParams::default(), &widget("a", json!({"size": 2, "unknown": true}))).await.unwrap();
    assert_eq!(made.data["spec"], json!({"size": 2, "color": "red"}), "pruned and defaulted");
    assert_eq!(made.metadata.generation, Some(1));
    for bad in [json!({}), json!({"size": 0}), json!({"size": "x"})] {
        let error = widgets.create(&PostParams::default(), &widget("b", bad.clone())).await.unwrap_err();
        assert!(matches!(&error, kube::Error::Api(s) if s.code == 422), "{bad}: {error}");
    }
    let (_, other) = world.ask("GET", "/apis/example.com/v1beta1/namespaces/default/widgets/a", &[], "").await;
    assert_eq!(other["apiVersion"], "example.com/v1beta1");
    // Everything that discovery lists can be found by kube's own client, aggregated or not.
    let all = Discovery::new(world.client.clone()).run().await.unwrap();
    assert!(all.has_group("example.com") && all.has_group("apps"));
    let aggregated = Discovery::new(world.client.clone()).run_aggregated().await.unwrap();
    assert!(aggregated.has_group("example.com") && aggregated.has_group("apps"));
    assert_eq!(widgets.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_accepted() {
    let world = World::new().await;
    let mut second = definition();
    world.api.make("customresourcedefinitions.apiextensions.k8s.io", "", definition()).unwrap();
    second["metadata"]["name"] = json!("gadgets.example.com");
    second["spec"]["names"] = json!({"plural": "gadgets", "singular": "gadget", "kind": "Widget"});
    world.api.make("customresourcedefinitions.apiextensions.k8s.io", "", second).unwrap();
    let crd = world.api.read("customresourcedefinitions.apiextensions.k8s.io", "", "gadgets.example.com").unwrap();
    let status = |kind: &str| crd["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()["status"].clone();
    assert_eq!((status("NamesAccepted"), status("Established")), (json!("False"), json!("False")));
    assert_eq!(world.ask("GET", "/apis/example.com/v1/gadgets", &[], "").await.0, 404);
}
