//! The node proxy of ambient mode, without a data plane. Source: ztunnel 1.27 `src/readiness`, `src/admin.rs`, `src/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use sim::Api;
use sim::workload::{Instance, Log, Process, Request, Start, Unreachable, Workload};
use tokio::sync::watch;

use super::life::Life;
use super::{container, pod_namespace, reply, version};

pub(super) struct Ztunnel;

struct Proxy {
    life: Life,
    api: Api,
    log: Log,
    version: String,
    /// Service and namespace that its configuration comes from.
    source: (String, String),
    /// Whether it ever had its configuration. It keeps what it has: a control plane that goes away later does not make it unready.
    configured: AtomicBool,
}

impl Workload for Ztunnel {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        let env = container(&start)["env"].as_array();
        let address = env.into_iter().flatten().find(|e| e["name"] == "XDS_ADDRESS").and_then(|e| e["value"].as_str()).unwrap_or_default();
        let mut parts = address.split(['.', ':']);
        let service = parts.next().filter(|s| !s.is_empty()).unwrap_or("istiod").to_owned();
        let namespace = parts.next().filter(|s| !s.is_empty() && *s != "svc").map_or_else(|| pod_namespace(&start), str::to_owned);
        let proxy = Proxy {
            life: Life::default(),
            version: version(&start),
            api: start.api,
            log: start.log,
            source: (service, namespace),
            configured: AtomicBool::new(false),
        };
        proxy.say(&format!("info\tztunnel\tversion: {} (simulated)", proxy.version));
        Arc::new(proxy)
    }
}

impl Proxy {
    fn say(&self, text: &str) {
        let now = self.api.clock().now();
        self.log.line(now, format!("{now}\t{text}"));
    }

    /// Whether it has its configuration, which istiod gives to it.
    fn ready(&self) -> bool {
        if self.configured.load(Ordering::Acquire) {
            return true;
        }
        let (service, namespace) = &self.source;
        let (_, slices) = self.api.store().list("endpointslices.discovery.k8s.io", namespace);
        let reachable = slices
            .iter()
            .filter(|s| s.label("kubernetes.io/service-name") == Some(service))
            .any(|s| s.value()["endpoints"].as_array().is_some_and(|e| e.iter().any(|e| e["conditions"]["ready"] == true)));
        if reachable {
            if !self.configured.swap(true, Ordering::AcqRel) {
                self.say("info\txds::client:xds{id=1}\tStream established");
                self.say("info\treadiness\tTask 'state manager' complete, marking server ready");
            }
        } else {
            self.say("warn\txds::client:xds{id=1}\tXDS client connection error: gRPC connection error: status: Unknown, retrying");
        }
        reachable
    }

    fn reply(&self, request: &Request) -> reply::Reply {
        if !self.life.runs() || !matches!(request.port, 15000 | 15020 | 15021) {
            return Err(Unreachable::Refused);
        }
        if let Some(mismatch) = reply::mismatch(request, false) {
            return mismatch;
        }
        Ok(match (request.port, reply::path(request)) {
            (15021, "/healthz/ready") if self.ready() => reply::ok("ready\n"),
            (15021, "/healthz/ready") => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "not ready, pending: state manager"),
            (15020, "/metrics" | "/stats/prometheus") => reply::ok(self.metrics()),
            // The real one listens on the pod's loopback only; whoever comes here is in the pod or forwards a port into it.
            (15000, "/config_dump") => reply::json(&self.dump()),
            (15000, "/healthz/ready") => reply::ok("ready\n"),
            _ => reply::not_found(),
        })
    }

    fn metrics(&self) -> String {
        let version = &self.version;
        format!(
            "# HELP istio_build Istio component build info\n# TYPE istio_build gauge\nistio_build{{component=\"ztunnel\",tag=\"{version}\"}} 1\n\
             # HELP istio_xds_connection_terminations The total number of completed connections to xds server.\n\
             # TYPE istio_xds_connection_terminations counter\nistio_xds_connection_terminations_total{{reason=\"Reconnect\"}} 0\n# EOF\n"
        )
    }

    /// What it knows of the mesh: everything once it is configured, as istiod tells every ztunnel of every workload.
    fn dump(&self) -> Value {
        if !self.ready() {
            return json!({"workloads": [], "services": [], "policies": [], "certificates": []});
        }
        let objects = |resource: &str| self.api.store().list(resource, "").1.into_iter().map(|o| o.value());
        let runs = |pod: &Value| pod["status"]["podIP"].is_string() && pod["status"]["phase"] == "Running";
        let workloads: Vec<Value> = objects("pods").filter(runs).map(|pod| workload(&pod)).collect();
        let services: Vec<Value> = objects("services").map(|s| service(&s)).collect();
        json!({
            "workloads": workloads, "services": services, "policies": [], "certificates": [],
            "version": {"version": self.version, "gitRevision": "simulated", "istioVersion": self.version},
        })
    }
}

fn workload(pod: &Value) -> Value {
    let meta = &pod["metadata"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
    // Nothing but the redirection says that a workload can be reached over HBONE.
    let enrolled = meta["annotations"]["ambient.istio.io/redirection"] == "enabled";
    json!({
        "uid": format!("Kubernetes//Pod/{namespace}/{name}"), "name": name, "namespace": namespace,
        "workloadIps": [pod["status"]["podIP"]], "protocol": if enrolled { "HBONE" } else { "TCP" },
        "serviceAccount": pod["spec"]["serviceAccountName"], "trustDomain": "cluster.local", "node": pod["spec"]["nodeName"],
        "canonicalName": meta["labels"]["app"].as_str().unwrap_or(&name), "workloadType": "pod", "status": "Healthy", "clusterId": "Kubernetes",
    })
}

fn service(service: &Value) -> Value {
    let meta = &service["metadata"];
    let (name, namespace) = (meta["name"].as_str().unwrap_or_default(), meta["namespace"].as_str().unwrap_or_default());
    let addresses = service["spec"]["clusterIPs"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|ip| *ip != "None");
    let vips: Vec<String> = addresses.map(|ip| format!("/{ip}")).collect();
    let port = |p: &Value| (p["port"].to_string(), if p["targetPort"].is_number() { p["targetPort"].clone() } else { p["port"].clone() });
    let ports: serde_json::Map<String, Value> = service["spec"]["ports"].as_array().into_iter().flatten().map(port).collect();
    json!({"name": name, "namespace": namespace, "hostname": format!("{name}.{namespace}.svc.cluster.local"), "vips": vips, "ports": ports})
}

impl Instance for Proxy {
    fn process(&self) -> watch::Receiver<Process> {
        self.life.watch()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(std::future::ready(self.reply(&request)))
    }

    fn stop(&self) {
        self.life.stop();
    }
}
