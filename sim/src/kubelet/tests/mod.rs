//! A cluster of kubelets with a made-up container runtime.

mod life;
mod machines;
mod stress;
mod trouble;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{ContainerRecord, Image, Kubelets, NodeFacts, PullError, Runtime, Stages};
use crate::api::Api;
use crate::auth::pki::Pki;
use crate::clock::Clock;
use crate::workload::{Instance, Process, Request, Start, Unreachable, Workload, Workloads};

/// A machine whose registry has everything but what is named `missing`.
struct Machine {
    images: Mutex<HashSet<String>>,
    running: watch::Sender<bool>,
    address: String,
    records: Mutex<Vec<ContainerRecord>>,
}

impl Machine {
    fn new(address: &str) -> Arc<Self> {
        Arc::new(Self {
            images: Mutex::new(HashSet::from(["app:1".to_owned()])),
            running: watch::Sender::new(true),
            address: address.to_owned(),
            records: Mutex::default(),
        })
    }
}

fn image(name: &str) -> Image {
    let repository = super::status::normalised(name).rsplit_once(':').map_or_else(String::new, |(r, _)| r.to_owned());
    let repo_digest = format!("{repository}@sha256:{}", "d".repeat(64));
    Image { id: format!("sha256:{}", "c".repeat(64)), repo_digest, repository, size: 4_269_694, labels: json!({}) }
}

impl Runtime for Machine {
    fn present(&self, name: &str) -> Option<Image> {
        self.images.lock().unwrap().contains(name).then(|| image(name))
    }

    fn pull(&self, name: &str) -> BoxFuture<'_, Result<Image, PullError>> {
        let result = if name.contains("missing") {
            let message = format!("rpc error: code = NotFound desc = failed to pull and unpack image {name:?}: not found");
            Err(PullError { message })
        } else {
            self.images.lock().unwrap().insert(name.to_owned());
            Ok(image(name))
        };
        Box::pin(std::future::ready(result))
    }

    fn container(&self, record: ContainerRecord) {
        let mut records = self.records.lock().unwrap();
        records.retain(|r| r.id != record.id);
        records.push(record);
    }

    fn container_gone(&self, id: &str) {
        self.records.lock().unwrap().retain(|r| r.id != id);
    }

    fn running(&self) -> watch::Receiver<bool> {
        self.running.subscribe()
    }

    fn started(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn facts(&self) -> NodeFacts {
        NodeFacts {
            cpu_millis: 4000,
            memory_bytes: 8 << 30,
            pods: 110,
            kubelet_version: "v1.33.4".into(),
            architecture: "amd64".into(),
            addresses: vec![self.address.clone()],
            ..NodeFacts::default()
        }
    }

    fn ready(&self) -> bool {
        true
    }
}

/// Answers on port 80 with what it is told, and ends when it is told.
struct Web(Arc<watch::Sender<u16>>);

struct Serving(watch::Sender<Process>, Arc<watch::Sender<u16>>);

impl Workload for Web {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        start.log.line(start.api.clock().now(), "serving");
        Arc::new(Serving(watch::Sender::new(Process::Running), Arc::clone(&self.0)))
    }
}

impl Instance for Serving {
    fn process(&self) -> watch::Receiver<Process> {
        self.0.subscribe()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>> {
        let code = *self.1.borrow();
        let answer = if request.port == 80 {
            Ok(http::Response::builder().status(code).body(Bytes::new()).unwrap())
        } else {
            Err(Unreachable::Refused)
        };
        Box::pin(std::future::ready(answer))
    }

    fn stop(&self) {
        self.0.send_replace(Process::Exited { code: 0, reason: "Completed".into() });
    }
}

/// Ends at once with a code.
struct Exits(i32);

impl Workload for Exits {
    fn start(&self, _start: Start) -> Arc<dyn Instance> {
        let reason = if self.0 == 0 { "Completed" } else { "Error" };
        let (code, _) = watch::channel(0);
        Arc::new(Serving(watch::Sender::new(Process::Exited { code: self.0, reason: reason.into() }), Arc::new(code)))
    }
}

struct Cluster {
    api: Api,
    kubelets: Kubelets,
    machine: Arc<Machine>,
    web: Arc<watch::Sender<u16>>,
}

fn cluster() -> Cluster {
    cluster_with(Stages::default())
}

fn cluster_with(stages: Stages) -> Cluster {
    let api = Api::new(Pki::new("test", &[]), Clock::default(), "v1.33.4");
    for namespace in ["default", "kube-system", "kube-node-lease"] {
        api.make("namespaces", "", json!({"metadata": {"name": namespace}})).unwrap();
        api.make("serviceaccounts", namespace, json!({"metadata": {"name": "default"}})).unwrap();
        // It is mounted into every pod together with the account's token.
        api.make("configmaps", namespace, json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "the certificate"}}))
            .unwrap();
    }
    let web = Arc::new(watch::Sender::new(200));
    let mut workloads = Workloads::default();
    workloads.add("docker.io/library/web", Web(Arc::clone(&web)));
    workloads.add("docker.io/library/done", Exits(0));
    workloads.add("docker.io/library/fails", Exits(3));
    let kubelets = Kubelets::new(api.clone(), workloads, stages);
    let machine = Machine::new("172.18.0.2");
    kubelets.add("n1", Arc::clone(&machine) as Arc<dyn Runtime>);
    Cluster { api, kubelets, machine, web }
}

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["nodeName"] = json!("n1");
    json!({"metadata": {"name": name}, "spec": spec})
}

fn one(image: &str) -> Value {
    json!({"containers": [{"name": "c", "image": image}]})
}

impl Cluster {
    fn make(&self, name: &str, spec: Value) {
        self.api.make("pods", "default", pod(name, spec)).unwrap();
    }

    /// Waits until an object is as it should be.
    async fn until(&self, (resource, namespace, name): (&str, &str, &str), holds: impl Fn(&Value) -> bool) -> Value {
        let mut news = self.api.store().subscribe(resource);
        let mut last = Value::Null;
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                news.mark_unchanged();
                last = self.api.read(resource, namespace, name).unwrap_or_default();
                if holds(&last) {
                    return last.clone();
                }
                news.changed().await.unwrap();
            }
        });
        let found = waited.await;
        found.unwrap_or_else(|_| panic!("{name} is still {}", serde_json::to_string_pretty(&last).unwrap()))
    }

    async fn pod(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until(("pods", "default", name), holds).await
    }

    async fn ready(&self, name: &str) -> Value {
        self.pod(name, |p| condition(p, "Ready") == "True").await
    }

    async fn event(&self, reason: &str, message: &str) -> Value {
        let mut news = self.api.store().subscribe("events");
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                news.mark_unchanged();
                let all = self.api.store().list("events", "").1;
                let fits = |e: &Value| e["reason"] == reason && e["message"].as_str().unwrap().contains(message);
                if let Some(found) = all.iter().map(|o| o.value()).find(|e| fits(e)) {
                    return found;
                }
                news.changed().await.unwrap();
            }
        });
        let found = waited.await;
        found.unwrap_or_else(|_| {
            let all = self.api.store().list("events", "").1;
            let lines: Vec<String> = all.iter().map(|o| o.value()).map(|e| format!("{} {}", e["reason"], e["message"])).collect();
            panic!("no event {reason} {message:?} in {lines:#?}")
        })
    }

    fn delete(&self, name: &str) {
        let resource = self.api.resource("pods").unwrap();
        self.api.delete(&resource, ("default", name), &crate::api::Delete::default()).unwrap();
    }
}

fn condition(object: &Value, kind: &str) -> String {
    let found = object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    found.and_then(|c| c["status"].as_str()).unwrap_or_default().to_owned()
}

fn waiting(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}
