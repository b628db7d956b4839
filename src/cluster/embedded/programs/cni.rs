//! The CNI agent of ambient mode. Source: Istio 1.27 `cni/cmd/install-cni` and `cni/pkg/install`.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use sim::workload::{Instance, Process, Request, Start, Unreachable, Workload};
use tokio::sync::watch;

use super::life::Life;
use super::{reply, version};

/// How the CNI agent changes its node.
pub trait NodeFiles: Send + Sync {
    /// Adds the plugin `istio-cni` to the end of the node's CNI chain; says what is wrong if that cannot be done.
    ///
    /// # Errors
    /// In words, for the agent's log. The agent is not ready then.
    fn chain(&self, node: &str) -> Result<(), String>;
    /// Takes it out again, as the agent does when it is told to terminate.
    fn unchain(&self, node: &str);
}

pub(super) struct Cni(pub(super) Option<Arc<dyn NodeFiles>>);

struct Agent {
    life: Life,
    node: String,
    version: String,
    files: Option<Arc<dyn NodeFiles>>,
    chained: bool,
}

impl Workload for Cni {
    fn start(&self, start: Start) -> Arc<dyn Instance> {
        let node = start.pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let say = |text: String| start.log.line(start.api.clock().now(), text);
        let chained = match self.0.as_ref().map_or(Ok(()), |files| files.chain(&node)) {
            Ok(()) => {
                say("info\tcni-agent\tInstallation succeed, start watching for re-installation.".to_owned());
                true
            }
            Err(why) => {
                say(format!("error\tcni-agent\tcould not install the CNI configuration: {why}"));
                false
            }
        };
        Arc::new(Agent { life: Life::default(), node, version: version(&start), files: self.0.clone(), chained })
    }
}

impl Agent {
    fn reply(&self, request: &Request) -> reply::Reply {
        if !self.life.runs() || !matches!(request.port, 8000 | 15014) {
            return Err(Unreachable::Refused);
        }
        if let Some(mismatch) = reply::mismatch(request, false) {
            return mismatch;
        }
        Ok(match (request.port, reply::path(request)) {
            (8000, "/healthz") => reply::ok(""),
            (8000, "/readyz") if self.chained => reply::ok(""),
            (8000, "/readyz") => reply::text(StatusCode::SERVICE_UNAVAILABLE, ""),
            (15014, "/metrics") => {
                let tag = &self.version;
                reply::ok(format!("# TYPE istio_build gauge\nistio_build{{component=\"cni\",tag=\"{tag}\"}} 1\n"))
            }
            _ => reply::not_found(),
        })
    }
}

impl Instance for Agent {
    fn process(&self) -> watch::Receiver<Process> {
        self.life.watch()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        Box::pin(std::future::ready(self.reply(&request)))
    }

    fn stop(&self) {
        if let Some(files) = self.files.as_ref().filter(|_| self.life.runs() && self.chained) {
            files.unchain(&self.node);
        }
        self.life.stop();
    }
}
