use sim::api::Delete;

use super::super::istiod::Istiod;
use super::super::ztunnel::Ztunnel;
use super::*;
use crate::cluster::Part;
use crate::cluster::embedded::manifest;
use crate::spec::{Request as SpecRequest, load};
use crate::stages::objects;

const SYSTEM: &str = "istio-system";
const PILOT: &str = "docker.io/istio/pilot:1.27.1-distroless";
const CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";

fn root(api: &Api, namespace: &str) -> Option<Value> {
    api.read("configmaps", namespace, "istio-ca-root-cert").map(|m| m["data"]["root-cert.pem"].clone())
}

fn delete(api: &Api, resource: &str, key: (&str, &str)) {
    api.delete(&api.resource(resource).unwrap(), key, &Delete::default()).unwrap();
}

/// The CRDs of the guide's bundle.
fn install_gateway_api(api: &Api) {
    let spec = load(&SpecRequest::default()).unwrap();
    for crd in objects("m", &manifest(Part::GatewayApi, &spec).unwrap()).unwrap() {
        api.make("customresourcedefinitions.apiextensions.k8s.io", "", crd).unwrap();
    }
}

fn condition(api: &Api, class: &str) -> Option<Value> {
    let class = api.read(CLASSES, "", class)?;
    class["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Accepted").cloned()
}

fn started(api: &Api, pod: &str) -> Arc<dyn Instance> {
    let (instance, _) = run(&Istiod, api, (SYSTEM, pod), PILOT, closed());
    instance
}

#[tokio::test]
async fn it_is_ready_once_somebody_leads_and_tells_its_version() {
    let api = api(&[SYSTEM]);
    let istiod = started(&api, "istiod-1");
    assert_eq!(said(&istiod, get(8080, false, "/ready")).await.0, 503);
    until("there is a leader", || api.read("configmaps", SYSTEM, "istio-leader").is_some()).await;
    assert_eq!(said(&istiod, get(8080, false, "/ready")).await.0, 200);
    assert_eq!(said(&istiod, get(15014, false, "/version")).await.1, "1.27.1-simulated-Clean");
    assert!(said(&istiod, get(15014, false, "/metrics")).await.1.contains("istio_build{component=\"pilot\",tag=\"1.27.1\"} 1"));
    assert!(refused(&istiod, 9).await);
    istiod.stop();
    assert!(refused(&istiod, 8080).await);
}

#[tokio::test]
async fn every_namespace_of_a_mesh_has_the_root_certificate() {
    let api = api(&[SYSTEM, "default", "kube-system"]);
    let _istiod = started(&api, "istiod-1");
    until("the first certificates", || root(&api, "default").is_some()).await;
    let ca = root(&api, SYSTEM).unwrap();
    assert_eq!(root(&api, "kube-system"), None, "nothing there is part of a mesh");
    assert!(ca.as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    api.make("namespaces", "", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}})).unwrap();
    until("a later namespace has one", || root(&api, "late").as_ref() == Some(&ca)).await;
    delete(&api, "configmaps", ("late", "istio-ca-root-cert"));
    until("a deleted one comes back", || root(&api, "late").as_ref() == Some(&ca)).await;
}

#[tokio::test]
async fn the_classes_come_with_the_crds_and_come_back() {
    let api = api(&[SYSTEM]);
    let _istiod = started(&api, "istiod-1");
    until("there is a leader", || root(&api, SYSTEM).is_some()).await;
    assert!(api.resource(CLASSES).is_none());
    install_gateway_api(&api);
    for class in ["istio", "istio-remote", "istio-waypoint"] {
        until(class, || condition(&api, class).is_some()).await;
    }
    let accepted = condition(&api, "istio").unwrap();
    assert_eq!((&accepted["status"], &accepted["reason"]), (&json!("True"), &json!("Accepted")));
    assert_eq!((&accepted["message"], &accepted["observedGeneration"]), (&json!("Handled by Istio controller"), &json!(1)));
    assert_eq!(api.read(CLASSES, "", "istio-waypoint").unwrap()["spec"]["controllerName"], "istio.io/mesh-controller");
    let old = api.read(CLASSES, "", "istio").unwrap()["metadata"]["uid"].clone();
    delete(&api, CLASSES, ("", "istio"));
    until("it is made again", || condition(&api, "istio").is_some()).await;
    assert_ne!(api.read(CLASSES, "", "istio").unwrap()["metadata"]["uid"], old);
    let before = api.store().revision();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.store().revision(), before, "it writes nothing where all is well");
}

#[tokio::test]
async fn somebody_elses_class_is_left_alone() {
    let api = api(&[SYSTEM]);
    install_gateway_api(&api);
    let class = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "istio"}, "spec": {"controllerName": "x.io/y"},
    });
    api.make(CLASSES, "", class).unwrap();
    let _istiod = started(&api, "istiod-1");
    until("the others are there", || condition(&api, "istio-waypoint").is_some()).await;
    assert_eq!(condition(&api, "istio"), None);
}

#[tokio::test]
async fn webhooks_get_the_certificate() {
    let api = api(&[SYSTEM]);
    let resource = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
    let hook = |name: &str, service: &str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"name": service, "namespace": SYSTEM, "path": "/inject"}},
        })
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "istio-sidecar-injector"},
        "webhooks": [hook("a.istio.io", "istiod"), hook("b.example.org", "other")],
    });
    api.make(resource, "", configuration).unwrap();
    let _istiod = started(&api, "istiod-1");
    let hooks = || api.read(resource, "", "istio-sidecar-injector").unwrap()["webhooks"].clone();
    until("the bundle is there", || hooks()[0]["clientConfig"]["caBundle"].is_string()).await;
    assert!(hooks()[1]["clientConfig"]["caBundle"].is_null(), "that one is not istiod's");
}

/// Two replicas, of which the first leads.
async fn two(api: &Api) -> (Arc<dyn Instance>, Arc<dyn Instance>) {
    let first = started(api, "istiod-1");
    until("the first leads", || root(api, SYSTEM).is_some()).await;
    let second = started(api, "istiod-2");
    while said(&second, get(8080, false, "/ready")).await.0 != 200 {
        tokio::task::yield_now().await;
    }
    assert!(leader(api).contains("istiod-1"));
    (first, second)
}

fn leader(api: &Api) -> String {
    let lock = api.read("configmaps", SYSTEM, "istio-leader").unwrap();
    lock["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn another_replica_leads_when_the_leader_stops() {
    let api = api(&[SYSTEM]);
    let (first, _second) = two(&api).await;
    first.stop();
    until("the second leads", || leader(&api).contains("istiod-2")).await;
    api.make("namespaces", "", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}})).unwrap();
    until("the second works", || root(&api, "late").is_some()).await;
}

#[tokio::test]
async fn another_replica_leads_when_the_leader_is_gone() {
    let api = api(&[SYSTEM]);
    let (first, _second) = two(&api).await;
    drop(first);
    let now = Delete { grace_seconds: Some(0), ..Delete::default() };
    api.delete(&api.resource("pods").unwrap(), (SYSTEM, "istiod-1"), &now).unwrap();
    until("the second leads", || leader(&api).contains("istiod-2")).await;
}

#[tokio::test]
async fn ztunnel_is_ready_once_istiod_can_be_reached_and_stays_so() {
    let api = api(&[SYSTEM]);
    let (ztunnel, _) = run(&Ztunnel, &api, (SYSTEM, "ztunnel-1"), "docker.io/istio/ztunnel:1.27.1-distroless", closed());
    let ready = get(15021, false, "/healthz/ready");
    assert_eq!(said(&ztunnel, ready.clone()).await.0, 500);
    let slice = |ready: bool| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "istiod-x", "namespace": SYSTEM, "labels": {"kubernetes.io/service-name": "istiod"}},
            "endpoints": [{"addresses": ["10.244.1.9"], "conditions": {"ready": ready}}], "ports": [],
        })
    };
    let slices = "endpointslices.discovery.k8s.io";
    api.make(slices, SYSTEM, slice(false)).unwrap();
    assert_eq!(said(&ztunnel, ready.clone()).await.0, 500);
    delete(&api, slices, (SYSTEM, "istiod-x"));
    api.make(slices, SYSTEM, slice(true)).unwrap();
    assert_eq!(said(&ztunnel, ready.clone()).await.0, 200);
    delete(&api, slices, (SYSTEM, "istiod-x"));
    assert_eq!(said(&ztunnel, ready).await.0, 200, "it keeps the configuration that it has");
    assert!(said(&ztunnel, get(15020, false, "/metrics")).await.1.contains("istio_build{component=\"ztunnel\",tag=\"1.27.1\"} 1"));
    let dump = json_of(&ztunnel, get(15000, false, "/config_dump")).await;
    assert_eq!((&dump["workloads"][0]["name"], &dump["workloads"][0]["protocol"]), (&json!("ztunnel-1"), &json!("TCP")));
}
