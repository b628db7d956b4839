//! What outcomes look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::client::Body;
use tokio::sync::OnceCell;

use super::Stop;
use super::kubectl_proxy::SharedProxy;
use super::token::AdminToken;
use crate::cluster::kind_config::expected_nodes;
use crate::cluster::{Capability, Cluster, NodeAccess, NodeError};
use crate::journal::Transcript;
use crate::recording::{Recorders, Seen};
use crate::spec::{ProxyRecording, Spec};
use crate::stages::Context;
use crate::wait::{Limit, Waiting};

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Body, lossily as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON; `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Status and the beginning of the body, for messages.
    #[must_use]
    pub fn brief(&self) -> String {
        let body: String = self.body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
        format!("HTTP {} {body}", self.status.as_u16())
    }
}

/// An environment that outcomes look at: a cluster, its spec, the tools, and what the stages recorded.
pub struct Environment {
    /// The run that looks.
    pub context: Arc<Context>,
    /// The spec.
    pub spec: Arc<Spec>,
    /// The cluster.
    pub cluster: Cluster,
    /// Clock and timeout table.
    pub waiting: Waiting,
    transcripts: BTreeMap<String, Transcript>,
    kubelets: OnceCell<BTreeMap<String, Option<String>>>,
    admin_token: OnceCell<Result<AdminToken, String>>,
    pub(super) kubectl_proxy: SharedProxy,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Environment {
    /// Opens the environment of a context without changing anything.
    ///
    /// # Errors
    /// When the cluster is not there or cannot be used.
    pub async fn open(context: Arc<Context>) -> Result<Self, crate::stages::StageError> {
        let cluster = context.cluster().await?.clone();
        Ok(Self {
            spec: Arc::clone(&context.spec),
            waiting: match &cluster.passage {
                Some(passage) => context.waiting.passing(Arc::clone(passage)),
                None => context.waiting.clone(),
            },
            transcripts: context.transcripts(),
            cluster,
            context,
            kubelets: OnceCell::new(),
            admin_token: OnceCell::new(),
            kubectl_proxy: SharedProxy::default(),
        })
    }

    /// The spec as the nodes have it: what is recorded goes through the recorders.
    #[must_use]
    pub fn node_spec(&self) -> Arc<Spec> {
        self.context.node_spec()
    }

    /// Where the nodes find the recorders, and what these saw from now on.
    ///
    /// # Errors
    /// [`Stop::Unsupported`] where there are none.
    pub fn recorders(&self) -> Result<(Recorders, Seen), Stop> {
        let recorders = self.context.state().recorders.ok_or_else(|| Stop::Unsupported {
            capability: Capability::RECORDING_MIRROR,
            reason: crate::text::current().get("unsupported-recording-mirror"),
        })?;
        Ok((recorders, Seen::from_now(&self.context.session)))
    }

    /// Why a capability is absent, or `None`. A tool is looked for when it is first asked for.
    pub async fn missing(&self, capability: &Capability) -> Option<String> {
        let tools = &self.context.tools;
        if *capability == Capability::KUBECTL {
            return tools.kubectl().await.err().map(|e| crate::error::one_line(&e));
        }
        if *capability == Capability::ISTIOCTL {
            return tools.istioctl().await.err().map(|e| crate::error::one_line(&e));
        }
        let texts = crate::text::current();
        if *capability == Capability::NODE_PROXY {
            return (!self.spec.proxy.enabled).then(|| texts.get("unsupported-node-proxy"));
        }
        if *capability == Capability::RECORDING_MIRROR {
            let there = self.spec.recording.mirror && self.context.state().recorders.is_some();
            return (!there).then(|| texts.get("unsupported-recording-mirror"));
        }
        if *capability == Capability::RECORDING_PROXY {
            let there = self.spec.recording.proxy != ProxyRecording::None && self.context.state().recorders.is_some();
            return (!there).then(|| texts.get("unsupported-recording-proxy"));
        }
        if *capability == Capability::TRANSCRIPT {
            return self.transcripts.is_empty().then(|| texts.get("unsupported-transcript"));
        }
        self.cluster.capabilities.missing(capability)
    }

    /// What a stage recorded.
    ///
    /// # Errors
    /// [`Stop::Unsupported`] where nothing of that name was recorded.
    pub fn transcript(&self, name: &str) -> Result<&Transcript, Stop> {
        self.transcripts.get(name).ok_or_else(|| Stop::Unsupported {
            capability: Capability::TRANSCRIPT,
            reason: crate::text::current().get("unsupported-transcript"),
        })
    }

    /// The nodes that the API server knows.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn nodes(&self) -> Result<Vec<Node>, Stop> {
        let api: Api<Node> = Api::all(self.cluster.client.clone());
        Ok(api.list(&ListParams::default()).await.map_err(Stop::kube("list the nodes"))?.items)
    }

    /// Names of the nodes that the API server knows.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn node_names(&self) -> Result<Vec<String>, Stop> {
        Ok(self.nodes().await?.iter().map(kube::ResourceExt::name_any).collect())
    }

    /// Asks the API server over HTTP, whatever the status of its answer is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Stop> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            Some(value) => {
                request = request.header("content-type", "application/json");
                value.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = request.body(Body::from(bytes)).map_err(|e| Stop::Failed(format!("cannot ask for {path}: {e}")))?;
        let response = self.cluster.client.send(request).await.map_err(Stop::kube(format!("ask for {path}")))?;
        let status = response.status();
        let collected = response.into_body().collect().await.map_err(Stop::kube(format!("read the answer of {path}")))?;
        Ok(Answer { status, body: String::from_utf8_lossy(&collected.to_bytes()).into_owned() })
    }

    /// The kubelets that do not answer, by node, with what was seen. Asked once: a node that is gone is still `Ready` in the API for the
    /// better part of a minute, and its pods `Running` for longer, so what the API says about them is only believed with this.
    pub async fn silent_kubelets(&self) -> &BTreeMap<String, Option<String>> {
        static UNKNOWN: BTreeMap<String, Option<String>> = BTreeMap::new();
        let ask = |name: String, stopped: Option<String>| async move {
            // Nobody answers from a machine that is not there, and to find that out over the network takes its time.
            if stopped.is_some() {
                return (name, stopped);
            }
            let path = format!("/api/v1/nodes/{name}/proxy/healthz");
            let answer =
                self.waiting.within("the kubelet answers", Limit::KubeletAnswer, self.request(Method::GET, &path, &[], None)).await;
            let silent = match answer {
                Ok(Ok(answer)) if answer.status.is_success() => None,
                Ok(Ok(answer)) => Some(answer.brief()),
                Ok(Err(e)) => Some(crate::error::one_line(&e)),
                Err(e) => Some(e.to_string()),
            };
            (name, silent)
        };
        let ask_all = || async {
            // Nobody else bounds this one: it is asked after a check was cut off as well.
            let names = self.waiting.within("the nodes are listed", Limit::KubeletAnswer, self.node_names()).await;
            let names = names.map_err(Stop::Wait).flatten()?;
            let mut stopped = self.stopped_machines().await;
            let answers = names.into_iter().map(|name| {
                let why = stopped.remove(&name);
                ask(name, why)
            });
            Ok::<_, Stop>(join_all(answers).await.into_iter().collect())
        };
        // A list that failed is made again: to know no node is not to know that every kubelet answers.
        self.kubelets.get_or_try_init(ask_all).await.unwrap_or(&UNKNOWN)
    }

    /// Why what the API says about a pod on this node is not to be believed, or `None`.
    pub async fn node_silent(&self, node: &str) -> Option<String> {
        let seen = self.silent_kubelets().await.get(node)?.as_deref()?;
        Some(silent(node, seen))
    }

    /// Ends a check at once when a pod that it depends on is on a node that is down.
    ///
    /// # Errors
    /// [`Stop::Failed`] with the pod and its node.
    pub async fn require_alive(&self, namespace: &str, labels: &str) -> Result<(), Stop> {
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let pods = api.list(&ListParams::default().labels(labels)).await.map_err(Stop::kube(format!("list the pods of {namespace}")))?;
        for pod in &pods {
            if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_deref())
                && let Some(silent) = self.node_silent(node).await
            {
                return Err(Stop::Failed(format!("pod {} cannot be reached: {silent}", pod.name_any())));
            }
        }
        Ok(())
    }

    /// What is wrong with the machines behind the nodes of the spec, by node; empty where the environment cannot list machines.
    async fn stopped_machines(&self) -> BTreeMap<String, String> {
        if self.missing(&Capability::NODE_INVENTORY).await.is_some() {
            return BTreeMap::new();
        }
        let listed = self.waiting.within("the machines are listed", Limit::EngineAnswer, self.cluster.nodes.machines()).await;
        let Ok(Ok(machines)) = listed else { return BTreeMap::new() };
        let trouble = |node: String| {
            let why = match machines.iter().find(|m| m.name == node) {
                None => format!("node {node} has no container"),
                Some(m) if m.state != "running" => format!("node {node}: its container is {}", m.state),
                Some(_) => return None,
            };
            Some((node, why))
        };
        expected_nodes(&self.spec).into_iter().filter_map(|(node, _)| trouble(node)).collect()
    }

    /// One line for every node that is down, for diagnoses.
    pub async fn node_troubles(&self) -> Vec<String> {
        let mut troubles = self.stopped_machines().await;
        for (node, seen) in self.silent_kubelets().await {
            if let Some(seen) = seen {
                troubles.entry(node.clone()).or_insert_with(|| silent(node, seen));
            }
        }
        troubles.into_values().collect()
    }

    /// A token of the Dashboard's admin user, made once by `kubectl create token` as the guide does it.
    ///
    /// # Errors
    /// When it could not be made.
    pub async fn admin_token(&self) -> Result<&AdminToken, Stop> {
        let made = self.admin_token.get_or_init(|| async { AdminToken::create(self).await.map_err(|e| crate::error::one_line(&e)) }).await;
        made.as_ref().map_err(|e| Stop::Failed(e.clone()))
    }
}

fn silent(node: &str, seen: &str) -> String {
    format!("the kubelet of node {node} does not answer: {seen}")
}

/// The environment of the running containerd on a node: `/proc/PID/environ`, which is what its pulls really use.
///
/// # Errors
/// When the node cannot be reached.
pub async fn runtime_environment(nodes: &dyn NodeAccess, node: &str) -> Result<BTreeMap<String, String>, NodeError> {
    let pid = nodes.run(node, &["systemctl", "show", "containerd", "-p", "MainPID", "--value"]).await?;
    let environ = nodes.read_file(node, &format!("/proc/{}/environ", pid.trim())).await?;
    Ok(environ.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}
