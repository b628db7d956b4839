//! What istiod writes into the cluster. One replica does it, the leader; every change in what it looks at makes it look again.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::select_all;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use sim::Api;
use sim::workload::{Log, Start};

use super::super::{pod_name, pod_namespace, version};
use super::{decode, encode};
use crate::outcomes::BUNDLE_VERSION;
use crate::spec::{Version, catalog};

const CLASSES: &str = "gatewayclasses.gateway.networking.k8s.io";
const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";
const WEBHOOKS: [&str; 2] =
    ["mutatingwebhookconfigurations.admissionregistration.k8s.io", "validatingwebhookconfigurations.admissionregistration.k8s.io"];
const LOOKED_AT: [&str; 8] = ["namespaces", "configmaps", "secrets", "pods", CRDS, CLASSES, WEBHOOKS[0], WEBHOOKS[1]];

/// Who leads is kept in an annotation of this `ConfigMap`. Source: `pilot/pkg/leaderelection/k8sleaderelection/k8sresourcelock`.
const LOCK: &str = "istio-leader";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const ROOT: &str = "istio-ca-root-cert";
/// Namespaces in which nothing is part of a mesh. Source: `pkg/kube/inject` `IgnoredNamespaces`.
const WITHOUT_ROOT: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];
const CA_SECRET: &str = "istio-ca-secret";

pub(super) struct Control {
    api: Api,
    log: Log,
    pod: String,
    namespace: String,
    version: String,
    ready: AtomicBool,
}

impl Control {
    pub(super) fn new(start: &Start) -> Self {
        Self {
            api: start.api.clone(),
            log: start.log.clone(),
            pod: pod_name(start),
            namespace: pod_namespace(start),
            version: version(start),
            ready: AtomicBool::new(false),
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn say(&self, text: &str) {
        let now = self.api.clock().now();
        self.log.line(now, format!("{now}\tinfo\t{text}"));
    }

    /// Works until it is dropped.
    pub(super) async fn work(&self) {
        let mut signals = LOOKED_AT.map(|resource| self.api.store().subscribe(resource));
        self.say(&format!("Istio {} (simulated) starts", self.version));
        loop {
            self.reconcile();
            let (changed, ..) = select_all(signals.iter_mut().map(|s| Box::pin(s.changed()))).await;
            if changed.is_err() {
                return;
            }
        }
    }

    pub(super) fn reconcile(&self) {
        let Some(leader) = self.leader() else { return };
        // A replica that does not lead serves all the same.
        if !self.ready.swap(true, Ordering::AcqRel) {
            self.say(&format!("leader election lock {}/{LOCK}: {leader} leads", self.namespace));
        }
        if leader != self.pod {
            return;
        }
        let Some(ca) = self.ca() else { return };
        self.root_certificates(&ca);
        self.webhooks(&ca);
        self.gateway_classes();
    }

    fn record(&self, leader: &str) -> String {
        let now = self.api.clock().stamp();
        let record = json!({
            "holderIdentity": leader, "holderKey": "default", "leaseDurationSeconds": 30, "acquireTime": now, "renewTime": now,
            "leaderTransitions": 0,
        });
        record.to_string()
    }

    /// Stops leading, so that another replica may at once. Source: `leaderelection.go`, `ReleaseOnCancel`.
    pub(super) fn release(&self) {
        let nobody = self.record("");
        let written = self.api.modify("configmaps", (&self.namespace, LOCK), |map| {
            let ours = holder(map).is_some_and(|h| h == self.pod);
            if ours {
                map["metadata"]["annotations"][LEADER] = json!(nobody);
            }
            ours
        });
        // Where there is no lock, there is nothing to release.
        drop(written);
    }

    /// Who leads; this pod, if nobody else does who is still there.
    fn leader(&self) -> Option<String> {
        let alive = |pod: &str| self.api.read("pods", &self.namespace, pod).is_some_and(|p| !ended(&p));
        let record = self.record(&self.pod);
        let map = self.api.read("configmaps", &self.namespace, LOCK);
        let Some(map) = map else {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": LOCK, "namespace": self.namespace, "annotations": {LEADER: record}},
            });
            // Where another replica was first, its write makes this one look again.
            return self.api.make("configmaps", &self.namespace, map).ok().map(|_| self.pod.clone());
        };
        if let Some(holder) = holder(&map).filter(|h| *h == self.pod || alive(h)) {
            return Some(holder);
        }
        let taken = self.api.modify("configmaps", (&self.namespace, LOCK), |map| {
            if holder(map).is_some_and(|h| alive(&h)) {
                return false;
            }
            map["metadata"]["annotations"][LEADER] = json!(record);
            true
        });
        holder(&taken.ok()?.value())
    }

    /// The certificate of istiod's own authority, made once for the cluster. Source: `security/pkg/pki/ca` `NewSelfSignedIstioCAOptions`.
    fn ca(&self) -> Option<String> {
        if let Some(secret) = self.api.read("secrets", &self.namespace, CA_SECRET)
            && let Some(ca) = decode(&secret["data"]["ca-cert.pem"])
        {
            return Some(ca);
        }
        let (certificate, key) = authority()?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "istio.io/ca-root",
            "metadata": {"name": CA_SECRET, "namespace": self.namespace},
            "data": {"ca-cert.pem": encode(&certificate), "ca-key.pem": encode(&key), "cert-chain.pem": "", "key.pem": "", "root-cert.pem": ""},
        });
        self.api.make("secrets", &self.namespace, secret).ok().map(|_| certificate)
    }

    /// Source: `pilot/pkg/serviceregistry/kube/controller/namespacecontroller.go`.
    fn root_certificates(&self, ca: &str) {
        for namespace in self.api.store().list("namespaces", "").1 {
            let name = &*namespace.name;
            if namespace.deleting || WITHOUT_ROOT.contains(&name) {
                continue;
            }
            match self.api.read("configmaps", name, ROOT) {
                Some(map) if map["data"]["root-cert.pem"] == ca => {}
                Some(_) => {
                    let written = self.api.modify("configmaps", (name, ROOT), |map| {
                        map["data"] = json!({"root-cert.pem": ca});
                        true
                    });
                    // It was deleted meanwhile, and that makes us look again.
                    drop(written);
                }
                None => {
                    let map = json!({
                        "apiVersion": "v1", "kind": "ConfigMap", "data": {"root-cert.pem": ca},
                        "metadata": {"name": ROOT, "namespace": name, "labels": {"istio.io/config": "true"}},
                    });
                    if let Err(e) = self.api.make("configmaps", name, map) {
                        self.say(&format!("cannot write ConfigMap {name}/{ROOT}: {e}"));
                    }
                }
            }
        }
    }

    /// Source: `pkg/webhooks/webhookpatch.go` and `pkg/webhooks/validation/controller`.
    fn webhooks(&self, ca: &str) {
        let bundle = encode(ca);
        let ours = |webhook: &Value| {
            let service = &webhook["clientConfig"]["service"];
            service["name"] == "istiod" && service["namespace"] == self.namespace.as_str()
        };
        for resource in WEBHOOKS {
            for configuration in self.api.store().list(resource, "").1 {
                let value = configuration.value();
                let hooks = value["webhooks"].as_array().into_iter().flatten();
                if !hooks.into_iter().any(|w| ours(w) && w["clientConfig"]["caBundle"] != bundle.as_str()) {
                    continue;
                }
                let written = self.api.modify(resource, ("", &configuration.name), |value| {
                    for webhook in value["webhooks"].as_array_mut().into_iter().flatten().filter(|w| ours(w)) {
                        webhook["clientConfig"]["caBundle"] = json!(bundle);
                    }
                    true
                });
                drop(written);
            }
        }
    }

    /// Source: `pilot/pkg/config/kube/gateway/gatewayclass.go`. Needs no restart: the CRDs may come long after Istio.
    fn gateway_classes(&self) {
        let Ok(version) = self.version.parse::<Version>() else { return };
        let served = self.api.resource(CLASSES).is_some_and(|r| r.version("v1").is_some());
        if !served || !self.watched(&version, CLASSES) {
            return;
        }
        for class in catalog::gateway_classes(&version).unwrap_or_default() {
            let current = self.api.read(CLASSES, "", class.name).or_else(|| self.create(class));
            let Some(current) = current else { continue };
            // A class of that name with another controller is somebody else's.
            if current["spec"]["controllerName"] == class.controller && !accepted(&current) {
                let now = self.api.clock().stamp();
                let written = self.api.modify(CLASSES, ("", class.name), |value| accept(value, &now));
                drop(written);
            }
        }
    }

    fn create(&self, class: &catalog::GatewayClass) -> Option<Value> {
        let value = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": class.name},
            "spec": {"controllerName": class.controller, "description": description(class.controller)},
        });
        match self.api.make(CLASSES, "", value) {
            Ok(made) => {
                self.say(&format!("GatewayClass {} created", class.name));
                Some(made.value())
            }
            Err(e) => {
                self.say(&format!("cannot create GatewayClass {}: {e}", class.name));
                None
            }
        }
    }

    /// Whether istiod looks at a CRD of this bundle at all (P31).
    fn watched(&self, istio: &Version, crd: &str) -> bool {
        let Some(minimum) = catalog::gateway_crd_minimum(istio, crd) else { return true };
        let Some(definition) = self.api.read(CRDS, "", crd) else { return false };
        let bundle = definition["metadata"]["annotations"][BUNDLE_VERSION].as_str().and_then(|b| b.parse::<Version>().ok());
        bundle.is_some_and(|mut bundle| {
            bundle.pre.clear();
            bundle >= minimum
        })
    }

    /// The ztunnels, as they would be connected. Source: `pilot/pkg/xds/debug.go` `SyncStatus`.
    pub(super) fn proxies(&self) -> Value {
        let (_, pods) = self.api.store().list("pods", &self.namespace);
        let ztunnels = pods.iter().filter(|p| p.label("app") == Some("ztunnel")).map(|p| p.value());
        let ready = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        ztunnels
            .filter(ready)
            .map(|pod| {
                let id = format!("{}.{}", pod["metadata"]["name"].as_str().unwrap_or_default(), self.namespace);
                json!({"cluster_id": "Kubernetes", "proxy": id, "proxy_type": "ztunnel", "istio_version": self.version})
            })
            .collect()
    }
}

/// Who leads, as the lock has it.
fn holder(lock: &Value) -> Option<String> {
    let record: Value = serde_json::from_str(lock["metadata"]["annotations"][LEADER].as_str()?).ok()?;
    record["holderIdentity"].as_str().filter(|h| !h.is_empty()).map(str::to_owned)
}

fn ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn description(controller: &str) -> &'static str {
    match controller {
        "istio.io/unmanaged-gateway" => "Remote to this cluster. Does not deploy or affect configuration.",
        "istio.io/mesh-controller" => "The default Istio waypoint GatewayClass",
        _ => "The default Istio GatewayClass",
    }
}

fn accepted(class: &Value) -> bool {
    let conditions = class["status"]["conditions"].as_array();
    let holds = |c: &Value| {
        c["type"] == "Accepted" && c["status"] == "True" && c["observedGeneration"].as_i64() == class["metadata"]["generation"].as_i64()
    };
    conditions.into_iter().flatten().any(holds)
}

/// Writes the condition Accepted beside those that others wrote.
fn accept(class: &mut Value, now: &str) -> bool {
    let mut conditions: Vec<Value> = class["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let before = conditions.iter().find(|c| c["type"] == "Accepted" && c["status"] == "True");
    let since = before.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(now).to_owned();
    conditions.retain(|c| c["type"] != "Accepted");
    conditions.push(json!({
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "Handled by Istio controller",
        "lastTransitionTime": since, "observedGeneration": class["metadata"]["generation"],
    }));
    class["status"]["conditions"] = json!(conditions);
    true
}

/// A certificate authority: certificate and key.
fn authority() -> Option<(String, String)> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "cluster.local");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    Some((certificate.pem(), key.serialize_pem()))
}
