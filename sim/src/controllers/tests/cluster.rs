//! A cluster without kubelets: the test says what becomes of its pods.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Controllers, Settings, start};
use crate::api::{Api, Delete};
use crate::clock::Clock;

/// Enough for the tests: plain numbers, `m`, `Mi` and `Gi`.
pub(super) fn quantity(text: &str) -> Option<i128> {
    for (suffix, factor) in [("m", 1), ("Gi", 1000 << 30), ("Mi", 1000 << 20), ("", 1000)] {
        if let Some(number) = text.strip_suffix(suffix) {
            return Some(number.parse::<i128>().ok()? * factor);
        }
    }
    None
}

pub(super) struct Cluster {
    pub(super) api: Api,
    pub(super) controllers: Controllers,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let api = Api::new(crate::auth::pki::Pki::new("test", &[]), Clock::default(), "v1.33.4");
        let controllers = start(&api, Settings { quantity, ca_pem: "the certificate".into(), ..Settings::default() });
        for namespace in ["default", "kube-node-lease"] {
            let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            api.make("namespaces", "", value).unwrap();
        }
        // Admission asks for it, and a test that makes a pod at once is faster than the controller that would make it.
        api.make("serviceaccounts", "default", json!({"metadata": {"name": "default"}})).unwrap();
        Self { api, controllers }
    }

    pub(super) fn node(&self, name: &str, spec: Value) {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": spec,
            "status": {
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        });
        self.api.make("nodes", "", node).unwrap();
    }

    pub(super) fn all(&self, resource: &str) -> Vec<Value> {
        self.api.store().list(resource, "").1.iter().map(|o| o.value()).collect()
    }

    /// Waits until objects of a resource are as they should be.
    pub(super) async fn until(&self, resource: &str, what: &str, mut holds: impl FnMut(&[Value]) -> bool) -> Vec<Value> {
        let mut word = self.api.store().subscribe(resource);
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                word.borrow_and_update();
                let all = self.all(resource);
                if holds(&all) {
                    return all;
                }
                word.changed().await.unwrap();
            }
        });
        let waited = waited.await;
        waited.unwrap_or_else(|_| panic!("{resource}: not {what}: {:#}", json!(self.all(resource))))
    }

    /// Lets the controllers come to rest: nothing is written for a while.
    pub(super) async fn rest(&self) {
        loop {
            let before = self.api.store().revision();
            Clock::default().sleep(Duration::from_millis(60)).await;
            if self.api.store().revision() == before {
                return;
            }
        }
    }

    pub(super) fn ready(&self, pod: &Value) {
        let now = self.api.clock().stamp();
        let name = pod["metadata"]["name"].as_str().unwrap();
        let n = self.api.store().revision();
        let done = self.api.modify("pods", (pod["metadata"]["namespace"].as_str().unwrap(), name), |pod| {
            pod["status"]["phase"] = json!("Running");
            pod["status"]["podIPs"] = json!([{"ip": format!("10.244.{}.{}", n / 250 % 250, n % 250)}]);
            let ready = json!({"type": "Ready", "status": "True"});
            super::super::fields::set_condition(&mut pod["status"], ready, &now);
            true
        });
        drop(done);
    }

    pub(super) fn end(&self, pod: &Value, phase: &str) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let done = self.api.modify("pods", (pod["metadata"]["namespace"].as_str().unwrap(), name), |pod| {
            pod["status"]["phase"] = json!(phase);
            true
        });
        done.unwrap();
    }

    /// What the kubelets would do now: start what is bound, end what is marked. Says whether there was anything.
    pub(super) fn kubelets(&self) -> bool {
        let mut worked = false;
        for pod in self.all("pods") {
            let bound = pod["spec"]["nodeName"].is_string();
            if pod["metadata"]["deletionTimestamp"].is_string() {
                self.finish(&pod);
                worked = true;
            } else if bound && pod["status"]["phase"] == "Pending" {
                self.ready(&pod);
                worked = true;
            }
        }
        worked
    }

    /// The last word of a kubelet on a pod.
    pub(super) fn finish(&self, pod: &Value) {
        let options = Delete { grace_seconds: Some(0), ..Delete::default() };
        self.delete("pods", pod, &options);
    }

    pub(super) fn delete(&self, resource: &str, object: &Value, options: &Delete) {
        let meta = &object["metadata"];
        let key = (meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap());
        let done = self.api.delete(&self.api.resource(resource).unwrap(), key, options);
        drop(done);
    }

    /// Lets everything happen until nothing does.
    pub(super) async fn settle(&self) {
        loop {
            self.rest().await;
            if !self.kubelets() {
                return;
            }
        }
    }

    pub(super) fn events(&self, reason: &str) -> Vec<String> {
        self.all("events").iter().filter(|e| e["reason"] == reason).map(|e| e["message"].as_str().unwrap().to_owned()).collect()
    }
}

pub(super) fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]},
    })
}

pub(super) fn workload(kind: &str, name: &str, image: &str, spec: Value) -> Value {
    let mut value = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name, image)},
    });
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    value
}

pub(super) fn alive(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_string() && !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}
