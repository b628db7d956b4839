//! Each program against an API of its own, with an API server that is a closure.

mod dashboard;
mod istio;
mod others;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};
use sim::workload::{Call, Instance, Request, Start, Unreachable, Workload};
use sim::{Api, Clock};

/// The API of a cluster with these namespaces.
fn api(namespaces: &[&str]) -> Api {
    let api = Api::new(sim::auth::pki::Pki::new("test", &[]), Clock::default(), "v1.33.4");
    for name in namespaces {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.make("namespaces", "", namespace).unwrap();
        // No pod is admitted without.
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}});
        api.make("serviceaccounts", name, account).unwrap();
    }
    api
}

/// An API server that refuses everything.
fn closed() -> Call {
    call(|_| (401, json!({"kind": "Status", "apiVersion": "v1", "message": "Unauthorized", "code": 401})))
}

fn call(answer: impl Fn(&http::Request<Bytes>) -> (u16, Value) + Send + Sync + 'static) -> Call {
    Arc::new(move |request| {
        let (code, body) = answer(&request);
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        Box::pin(std::future::ready(response))
    })
}

/// Puts a pod with one container into the cluster, and starts it.
fn run(program: &dyn Workload, api: &Api, (namespace, name): (&str, &str), image: &str, call: Call) -> (Arc<dyn Instance>, Start) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": "worker", "containers": [{"name": "c", "image": image}]},
    });
    api.make("pods", namespace, pod).unwrap();
    let running = |pod: &mut Value| {
        pod["status"] = json!({"phase": "Running", "podIP": "10.244.1.2"});
        true
    };
    let pod = api.modify("pods", (namespace, name), running).unwrap().value();
    let start = Start {
        api: api.clone(),
        pod: Arc::new(pod),
        container: "c".into(),
        image_labels: Arc::new(json!({})),
        log: Default::default(),
        call,
    };
    (program.start(start.clone()), start)
}

fn get(port: u16, tls: bool, path: &str) -> Request {
    Request { port, tls, method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
}

fn with(mut request: Request, headers: &[(&'static str, &str)]) -> Request {
    for (name, value) in headers {
        request.headers.insert(*name, value.parse().unwrap());
    }
    request
}

fn post(port: u16, path: &str, body: &Value, headers: &[(&'static str, &str)]) -> Request {
    let mut request = with(get(port, true, path), headers);
    request.method = Method::POST;
    request.body = Bytes::from(body.to_string());
    request
}

/// Code and text of an answer.
async fn said(instance: &Arc<dyn Instance>, request: Request) -> (u16, String) {
    let response = instance.answer(request).await.unwrap();
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// The JSON of an answer that must be 200.
async fn json_of(instance: &Arc<dyn Instance>, request: Request) -> Value {
    let (code, text) = said(instance, request).await;
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Lets the instance's tasks run until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what} did not come about");
}

async fn refused(instance: &Arc<dyn Instance>, port: u16) -> bool {
    matches!(instance.answer(get(port, false, "/")).await, Err(Unreachable::Refused))
}
