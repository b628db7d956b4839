//! The machines of a simulated cluster, reached through its API server below `/sim/`.

use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, Request};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{NodeAccess, NodeError, NodeMachine};
use crate::engine::ExecOutput;
use crate::wait::Passage;

/// Whether an API server is our own simulation: a real one has nothing below `/sim/`. One that lets us do too little to ask cannot be told from a
/// real one.
///
/// # Errors
/// When there is no answer.
pub(in crate::cluster) async fn is_simulation(client: &Client) -> Result<bool, kube::Error> {
    match SimNodes(client.clone()).list().await {
        Ok(_) => Ok(true),
        // Not there, not allowed, or something else altogether: it is none of ours. Trouble is no answer.
        Err(kube::Error::Api(status)) if matches!(status.code, 400..=499) && !matches!(status.code, 401 | 429) => Ok(false),
        Err(kube::Error::SerdeError(_)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Access to the machines.
#[derive(Clone)]
pub(super) struct SimNodes(pub(super) Client);

impl SimNodes {
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, kube::Error> {
        let request = Request::builder().method(method).uri(path).body(body).map_err(kube::Error::HttpError)?;
        self.0.request(request).await
    }

    /// The machines.
    pub(super) async fn list(&self) -> Result<Vec<NodeMachine>, kube::Error> {
        let found: Vec<Value> = self.ask(Method::GET, "/sim/nodes", Vec::new()).await?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let machine = |m: &Value| NodeMachine {
            name: text(&m["name"]),
            role: text(&m["role"]),
            state: text(&m["state"]),
            started: m["started"].as_str().and_then(|s| s.parse().ok()),
        };
        Ok(found.iter().map(machine).collect())
    }

    /// Starts a machine that is stopped, and thaws one that is paused.
    pub(super) async fn start(&self, machine: &NodeMachine) -> Result<(), kube::Error> {
        let verb = if machine.state == "paused" { "unpause" } else { "start" };
        self.ask::<Value>(Method::POST, &format!("/sim/nodes/{}/{verb}", machine.name), Vec::new()).await?;
        Ok(())
    }
}

fn remote(node: &str) -> impl FnOnce(kube::Error) -> NodeError {
    let node = node.to_owned();
    move |source| NodeError::Remote { node, source: Box::new(source) }
}

/// One segment of a path or one value of a query.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Passage for SimNodes {
    fn pass(&self, time: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let skip = json!({"skipMilliseconds": time.as_millis()}).to_string().into_bytes();
            let skipped = self.ask::<Value>(Method::POST, "/sim/clock", skip).await;
            skipped.map(|_| ()).map_err(|e| format!("the simulated cluster's time cannot be skipped: {}", crate::error::one_line(&e)))
        })
    }
}

impl NodeAccess for SimNodes {
    fn machines(&self) -> BoxFuture<'_, Result<Vec<NodeMachine>, NodeError>> {
        Box::pin(async move { self.list().await.map_err(remote("*")) })
    }

    fn exec<'a>(&'a self, node: &'a str, argv: &'a [&'a str]) -> BoxFuture<'a, Result<ExecOutput, NodeError>> {
        Box::pin(async move {
            let path = format!("/sim/nodes/{}/exec", escape(node));
            let said: Value = self.ask(Method::POST, &path, json!(argv).to_string().into_bytes()).await.map_err(remote(node))?;
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            Ok(ExecOutput { code: said["code"].as_i64().unwrap_or(-1), stdout: text(&said["stdout"]), stderr: text(&said["stderr"]) })
        })
    }

    fn write_file<'a>(&'a self, node: &'a str, path: &'a str, content: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        Box::pin(async move {
            let url = format!("/sim/nodes/{}/file?path={}", escape(node), escape(path));
            self.ask::<Value>(Method::PUT, &url, content.as_bytes().to_vec()).await.map_err(remote(node))?;
            Ok(())
        })
    }
}
