//! `/sim/`: the machines behind the nodes, faults and time, for whoever administers the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Machine;
use crate::api::Api;
use crate::controllers::Pause;
use crate::failure::Failure;
use crate::kubelet::Kubelets;
use crate::net::Network;
use crate::node::RunState;
use crate::node::{PullError, PullFault};
use crate::oci::{self, Misbehaviour, Registry};
use crate::path::Query;
use crate::server::{self, Body, Control, Server, WeakServer};

/// Something that is broken on purpose, at one layer. `PUT /sim/faults/{name}` injects it, `DELETE` takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "layer", deny_unknown_fields)]
pub enum Fault {
    /// The API server answers some requests otherwise.
    Api {
        /// Method; any if absent.
        #[serde(default)]
        method: Option<String>,
        /// What the path begins with.
        path: String,
        /// Status code of the answer; 0 for only the delay.
        #[serde(default)]
        code: u16,
        /// Milliseconds before anything else.
        #[serde(default)]
        delay_milliseconds: u64,
        /// How often; always if absent.
        #[serde(default)]
        times: Option<u32>,
    },
    /// A controller or the scheduler stands still; see [`Pause`] for the names.
    Controller {
        /// Its name.
        name: String,
    },
    /// A node's kubelet does nothing and says nothing.
    Kubelet {
        /// The node.
        node: String,
    },
    /// A container ends again and again.
    Crash {
        /// Namespace of its pod.
        namespace: String,
        /// Its pod; a trailing `*` means all that begin so.
        pod: String,
        /// Its name.
        container: String,
        /// The exit code.
        code: i32,
    },
    /// A container does not become ready, whatever its probes say.
    Unready {
        /// Namespace of its pod.
        namespace: String,
        /// Its pod; a trailing `*` means all that begin so.
        pod: String,
        /// Its name.
        container: String,
    },
    /// containerd's socket refuses connections.
    Runtime {
        /// The node.
        node: String,
    },
    /// Pulls of an image fail.
    Pull {
        /// The node; every one if absent.
        #[serde(default)]
        node: Option<String>,
        /// The image.
        image: String,
        /// The error, as containerd would say it.
        message: String,
    },
    /// The cluster's registries answer some requests otherwise.
    Registry {
        /// What the path begins with, for example `/v2/library/busybox/`.
        path: String,
        /// Status code of the answer.
        code: u16,
        /// `Retry-After` of the answer in seconds.
        #[serde(default)]
        retry_after_seconds: Option<u32>,
        /// How often, at each registry; always if absent.
        #[serde(default)]
        times: Option<u32>,
    },
    /// A host of the network does not answer.
    Network {
        /// Its name or address.
        host: String,
    },
    /// A machine is stopped.
    Machine {
        /// Its name.
        node: String,
    },
}

/// What answers below `/sim/`.
pub(super) struct Panel {
    api: Api,
    server: WeakServer,
    all: Arc<BTreeMap<String, Machine>>,
    kubelets: Kubelets,
    pause: Pause,
    network: Network,
    registries: Vec<Registry>,
    faults: std::sync::Mutex<BTreeMap<String, Fault>>,
}

impl Panel {
    pub(super) fn new(
        api: &Api,
        server: &Server,
        all: Arc<BTreeMap<String, Machine>>,
        kubelets: Kubelets,
        pause: Pause,
        network: Network,
        registries: Vec<Registry>,
    ) -> Self {
        let (api, server) = (api.clone(), server.downgrade());
        Self { api, server, all, kubelets, pause, network, registries, faults: std::sync::Mutex::default() }
    }

    async fn answer(&self, path: &str, request: &Request<Bytes>) -> Result<Response<Body>, Failure> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let method = request.method();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["nodes"]) => Ok(json_answer(&self.all.iter().map(|(name, m)| describe(name, m)).collect())),
            ("POST", ["nodes", node, "exec"]) => {
                let argv: Vec<String> = read(request)?;
                let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                let machine = self.machine(node)?;
                let before = machine.node().kubelet_runs();
                let output = machine.node().exec(&argv).await;
                // A kubelet that systemd has stopped says nothing any more, and what it started goes on.
                let runs = machine.node().kubelet_runs();
                if runs != before && machine.node().run_state() == RunState::Running {
                    self.kubelets.faults().silent(node, !runs);
                }
                Ok(json_answer(&json!({"code": output.code, "stdout": output.stdout, "stderr": output.stderr})))
            }
            ("PUT", ["nodes", node, "file"]) => {
                let query = Query::parse(request.uri().query().unwrap_or_default());
                let file = query.get("path").ok_or_else(|| Failure::bad_request("the parameter path is missing"))?;
                let content = std::str::from_utf8(request.body()).map_err(|e| Failure::bad_request(e.to_string()))?;
                self.machine(node)?.node().write_file(file, content).map_err(|e| Failure::bad_request(e.to_string()))?;
                Ok(json_answer(&json!({})))
            }
            ("POST", ["nodes", node, what @ ("start" | "stop" | "pause" | "unpause")]) => {
                let machine = self.machine(node)?;
                match *what {
                    "start" => machine.start(),
                    "stop" => machine.stop(),
                    "pause" => machine.pause(),
                    _ => machine.unpause(),
                }
                Ok(json_answer(&describe(node, machine)))
            }
            ("GET", ["faults"]) => {
                let faults = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(json_answer(&serde_json::to_value(&*faults).unwrap_or_default()))
            }
            ("PUT", ["faults", name]) => {
                let fault: Fault = read(request)?;
                self.revert(name)?;
                self.inject(name, &fault)?;
                let mut faults = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                faults.insert((*name).to_owned(), fault);
                Ok(json_answer(&json!({})))
            }
            ("DELETE", ["faults", name]) => {
                if self.revert(name)? {
                    Ok(json_answer(&json!({})))
                } else {
                    Err(Failure::not_found("faults", name))
                }
            }
            ("POST", ["clock"]) => {
                let body: Value = read(request)?;
                let skip = body["skipMilliseconds"].as_u64().ok_or_else(|| Failure::bad_request("skipMilliseconds is missing"))?;
                self.api.clock().skip(Duration::from_millis(skip));
                self.settle().await;
                Ok(json_answer(&json!({"now": self.api.clock().now().to_string()})))
            }
            ("GET", ["clock"]) => Ok(json_answer(&json!({"now": self.api.clock().now().to_string()}))),
            _ => Err(Failure::no_such_path()),
        }
    }

    /// Resolves when everything that had come due was done, as far as one can see it: nothing was written for a while.
    async fn settle(&self) {
        const QUIET: u32 = 4;
        const LONGEST: u32 = 500;
        let store = self.api.store();
        let (mut last, mut quiet) = (store.revision(), 0);
        for _ in 0..LONGEST {
            crate::clock::real(Duration::from_millis(2)).await;
            let now = store.revision();
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
            if quiet == QUIET {
                return;
            }
        }
    }

    fn machine(&self, name: &str) -> Result<&Machine, Failure> {
        self.all.get(name).ok_or_else(|| Failure::not_found("nodes", name))
    }

    fn inject(&self, name: &str, fault: &Fault) -> Result<(), Failure> {
        let faults = self.kubelets.faults();
        match fault {
            Fault::Api { method, path, code, delay_milliseconds, times } => {
                let method = method.as_deref().map(str::parse::<Method>).transpose();
                let method = method.map_err(|e| Failure::bad_request(e.to_string()))?;
                if *code != 0 && !(400..600).contains(code) {
                    return Err(Failure::bad_request(format!("{code} is no status of a failure")));
                }
                let failure = (*code > 0).then(|| Failure::new(*code, "InternalError", format!("injected by the fault {name}")));
                let fault =
                    server::Fault { method, path: path.clone(), delay: Duration::from_millis(*delay_milliseconds), failure, times: *times };
                if let Some(server) = self.server.upgrade() {
                    server.faults().inject(name, fault);
                }
            }
            Fault::Controller { name } => self.pause.pause(name),
            Fault::Kubelet { node } => faults.silent(self.machine(node)?.node().name(), true),
            Fault::Crash { namespace, pod, container, code } => faults.crash((namespace, pod, container), *code, true),
            Fault::Unready { namespace, pod, container } => faults.unready((namespace, pod, container), true),
            Fault::Runtime { node } => self.machine(node)?.node().runtime_down(true),
            Fault::Pull { node, image, message } => {
                self.pulls(node.as_deref(), image, Some(&PullFault::Fails(pull_error(message))))?;
            }
            Fault::Registry { .. } => self.misbehave(fault),
            Fault::Network { host } => self.network.blackhole(host),
            Fault::Machine { node } => self.machine(node)?.stop(),
        }
        Ok(())
    }

    /// Says whether there was such a fault.
    fn revert(&self, name: &str) -> Result<bool, Failure> {
        let fault = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
        let Some(fault) = fault else { return Ok(false) };
        let faults = self.kubelets.faults();
        match &fault {
            Fault::Api { .. } => {
                if let Some(server) = self.server.upgrade() {
                    // One that was used up is gone as well.
                    let _ = server.faults().revert(name);
                }
            }
            Fault::Controller { name } => self.pause.resume(name),
            Fault::Kubelet { node } => faults.silent(node, false),
            Fault::Crash { namespace, pod, container, .. } => faults.heal_crash((namespace, pod, container)),
            Fault::Unready { namespace, pod, container } => faults.unready((namespace, pod, container), false),
            Fault::Runtime { node } => self.machine(node)?.node().runtime_down(false),
            Fault::Pull { node, image, .. } => self.pulls(node.as_deref(), image, None)?,
            Fault::Registry { .. } => {
                self.registries.iter().for_each(Registry::clear_faults);
                // What else is in force stays so.
                let faults = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                faults.values().for_each(|fault| self.misbehave(fault));
            }
            Fault::Network { host } => self.network.heal(host),
            Fault::Machine { node } => self.machine(node)?.start(),
        }
        Ok(true)
    }

    /// Puts a fault of registries in force; others are none of theirs.
    fn misbehave(&self, fault: &Fault) {
        let Fault::Registry { path, code, retry_after_seconds, times } = fault else { return };
        for registry in &self.registries {
            let what = Misbehaviour::Status(*code, *retry_after_seconds);
            registry.fault(oci::Fault { prefix: path.clone(), what, times: *times });
        }
    }

    fn pulls(&self, node: Option<&str>, image: &str, fault: Option<&PullFault>) -> Result<(), Failure> {
        for (_, machine) in self.all.iter().filter(|(name, _)| node.is_none_or(|n| n == **name)) {
            machine.node().pull_fault(image, fault.cloned()).map_err(Failure::bad_request)?;
        }
        Ok(())
    }
}

impl Control for Panel {
    fn handle<'a>(&'a self, path: &'a str, request: &'a Request<Bytes>) -> BoxFuture<'a, Response<Body>> {
        Box::pin(async move {
            self.answer(path, request).await.unwrap_or_else(|failure| {
                let mut response = json_answer(&failure.status());
                *response.status_mut() = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                response
            })
        })
    }
}

/// An error with or without the frame that gRPC puts around it.
fn pull_error(said: &str) -> PullError {
    const CODES: [&str; 8] = [
        "Unknown",
        "NotFound",
        "Unavailable",
        "DeadlineExceeded",
        "FailedPrecondition",
        "PermissionDenied",
        "ResourceExhausted",
        "Internal",
    ];
    let framed = said.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = "));
    let framed = framed.and_then(|(code, message)| Some((*CODES.iter().find(|c| **c == code)?, message)));
    let (code, message) = framed.unwrap_or((CODES[0], said));
    PullError { code, message: message.to_owned() }
}

fn describe(name: &str, machine: &Machine) -> Value {
    json!({"name": name, "role": machine.role(), "state": machine.state(), "started": machine.node().started().to_string()})
}

fn read<T: serde::de::DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Failure> {
    serde_json::from_slice(request.body()).map_err(|e| Failure::bad_request(format!("the body is not usable: {e}")))
}

fn json_answer(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(serde_json::to_vec(value).unwrap_or_default())));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
