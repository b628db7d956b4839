//! The control plane. Source: Istio 1.27 `pilot/pkg/bootstrap`, `pilot/pkg/leaderelection`, `pilot/pkg/config/kube/gateway`.

mod control;

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use sim::workload::{Instance, Process, Request, Start, Unreachable, Workload};
use tokio::sync::watch;

use self::control::Control;
use super::life::Life;
use super::reply;

pub(super) struct Istiod;

struct Discovery {
    life: Life,
    control: Arc<Control>,
}

impl Workload for Istiod {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        let control = Arc::new(Control::new(&start));
        let life = Life::default();
        let working = Arc::clone(&control);
        life.spawn(async move {
            working.work().await;
            None
        });
        Arc::new(Discovery { life, control })
    }
}

impl Discovery {
    fn reply(&self, request: &Request) -> reply::Reply {
        const PLAIN: [u16; 3] = [8080, 15010, 15014];
        const TLS: [u16; 2] = [15012, 15017];
        let tls = TLS.contains(&request.port);
        if !self.life.runs() || !(tls || PLAIN.contains(&request.port)) {
            return Err(Unreachable::Refused);
        }
        if let Some(mismatch) = reply::mismatch(request, tls) {
            return mismatch;
        }
        let version = self.control.version();
        Ok(match (request.port, reply::path(request)) {
            (8080, "/ready") if self.control.ready() => reply::ok(""),
            (8080, "/ready") => reply::text(StatusCode::SERVICE_UNAVAILABLE, "istiod is not ready: no leader yet"),
            // `version-revision-status`, as `istioctl version` takes it apart.
            (8080 | 15014, "/version") => reply::ok(format!("{version}-simulated-Clean")),
            (8080 | 15014, "/metrics") => reply::ok(format!(
                "# HELP pilot_info Pilot version and build information.\n# TYPE pilot_info gauge\npilot_info{{version=\"{version}-simulated-Clean\"}} 1\n\
                 # HELP istio_build Istio component build info\n# TYPE istio_build gauge\nistio_build{{component=\"pilot\",tag=\"{version}\"}} 1\n"
            )),
            (8080 | 15014, "/debug/syncz") => reply::json(&self.control.proxies()),
            (15017, "/inject" | "/validate") => review(&request.body),
            (15010 | 15012, _) => reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid gRPC request content-type \"\""),
            _ => reply::not_found(),
        })
    }
}

/// Admits everything as it is: what the real one would check or inject is not simulated.
fn review(body: &[u8]) -> Response<Bytes> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(uid) = asked["request"]["uid"].as_str() else {
        return reply::text(StatusCode::BAD_REQUEST, "no body found");
    };
    reply::json(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, "allowed": true}}))
}

impl Instance for Discovery {
    fn process(&self) -> watch::Receiver<Process> {
        self.life.watch()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(std::future::ready(self.reply(&request)))
    }

    fn stop(&self) {
        self.life.stop();
        self.control.release();
    }
}

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn decode(value: &Value) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}
