//! The probe image's program, as far as a test's own service needs one: `httpd -f [-p PORT] [-h DIRECTORY]`, which serves the `ConfigMap` that is
//! mounted at its directory. Any other command runs, says nothing and listens nowhere. Source: busybox `networking/httpd.c`.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use serde_json::Value;
use sim::Api;
use sim::workload::{Idle, Instance, Process, Request, Start, Unreachable, Workload};
use tokio::sync::watch;

use super::life::Life;
use super::{container, pod_namespace, reply};

/// The port that busybox takes unless it is told another.
const PORT: u16 = 80;

pub(super) struct Busybox;

struct Httpd {
    life: Life,
    api: Api,
    port: u16,
    namespace: String,
    /// The `ConfigMap` that is mounted at its directory.
    page: Option<String>,
}

impl Workload for Busybox {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        let spec = container(&start);
        let words = |name: &str| spec[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let argv: Vec<String> = words("command").chain(words("args")).collect();
        let mut program = argv.iter().skip_while(|word| *word == "busybox");
        if program.next().map(String::as_str) != Some("httpd") {
            return Idle.start(start);
        }
        let after = |flag: &str| argv.iter().skip_while(|word| *word != flag).nth(1);
        let port = after("-p").and_then(|p| p.rsplit(':').next()?.parse().ok()).unwrap_or(PORT);
        let page = after("-h").and_then(|directory| config_map(&start.pod, spec, directory));
        let namespace = pod_namespace(&start);
        Arc::new(Httpd { life: Life::default(), api: start.api, port, namespace, page })
    }
}

/// The `ConfigMap` that a container has mounted at a path.
fn config_map(pod: &Value, container: &Value, path: &str) -> Option<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mount = list(&container["volumeMounts"]).into_iter().find(|m| m["mountPath"] == path)?;
    let volume = list(&pod["spec"]["volumes"]).into_iter().find(|v| v["name"] == mount["name"])?;
    volume["configMap"]["name"].as_str().map(str::to_owned)
}

impl Httpd {
    fn reply(&self, request: &Request) -> reply::Reply {
        if !self.life.runs() || request.port != self.port {
            return Err(Unreachable::Refused);
        }
        if let Some(mismatch) = reply::mismatch(request, false) {
            return mismatch;
        }
        let file = match reply::path(request).trim_start_matches('/') {
            "" => "index.html",
            file => file,
        };
        let (_, maps) = self.api.store().list("configmaps", &self.namespace);
        let map = maps.iter().map(|m| m.value()).find(|m| m["metadata"]["name"].as_str() == self.page.as_deref());
        let text = map.and_then(|m| m["data"][file].as_str().map(str::to_owned));
        Ok(text.map_or_else(reply::not_found, reply::html))
    }
}

impl Instance for Httpd {
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
