//! What clients rely on, asked through kube-rs over TLS as any other client would.

#![allow(clippy::unwrap_used, missing_docs)]

mod access;
mod crds;
mod edges;
mod fuzz;
mod objects;
mod watching;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use sim::auth::pki::Pki;
use sim::server::{Listening, Nodes, Server};
use sim::workload::{Log, Request, Unreachable};
use sim::{Api, Clock};

struct NoNodes;

impl Nodes for NoNodes {
    fn healthz(&self, _node: &str) -> Result<(), String> {
        Err("dial tcp 172.18.0.2:10250: connect: connection refused".to_owned())
    }

    fn log(&self, _namespace: &str, _pod: &str, _container: &str, _previous: bool) -> Option<Log> {
        None
    }

    fn answer<'a>(&'a self, _: &'a str, _: Request) -> BoxFuture<'a, Result<http::Response<Bytes>, Unreachable>> {
        Box::pin(std::future::ready(Err(Unreachable::Refused)))
    }
}

/// An API server without nodes and controllers.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) client: Client,
    pub(crate) listening: Listening,
    pub(crate) server: Server,
}

impl World {
    pub(crate) async fn new() -> Self {
        let api = Api::new(Pki::new("test", &[]), Clock::default(), "v1.33.4");
        api.bootstrap().unwrap();
        for namespace in sim::api::NAMESPACES {
            api.make("serviceaccounts", namespace, json!({"metadata": {"name": "default"}})).unwrap();
        }
        let server = Server::new(api.clone(), Arc::new(NoNodes));
        let listening = server.listen(0).await.unwrap();
        let client = client(&api, &listening, "kubernetes-super-admin", &["system:masters"]).await;
        Self { api, client, listening, server }
    }

    /// A client with the certificate of another user.
    pub(crate) async fn client_of(&self, user: &str, groups: &[&str]) -> Client {
        client(&self.api, &self.listening, user, groups).await
    }

    /// A client with a bearer token and no certificate.
    pub(crate) async fn client_with(&self, token: &str) -> Client {
        let mut config = config(&self.api, &self.listening, "nobody", &[]).await;
        config.auth_info = kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() };
        Client::try_from(config).unwrap()
    }

    /// Asks with any method and headers; status and body.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        ask(&self.client, method, path, headers, body).await
    }
}

pub(crate) async fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    use http_body_util::BodyExt;
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.send(request.body(kube::client::Body::from(body.as_bytes().to_vec())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned())))
}

async fn config(api: &Api, listening: &Listening, user: &str, groups: &[&str]) -> kube::Config {
    let (certificate, key) = api.pki().client(user, groups);
    let kubeconfig: Kubeconfig = Kubeconfig::from_yaml(&api.pki().kubeconfig(&listening.url(), "sim", &certificate, &key)).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    config
}

async fn client(api: &Api, listening: &Listening, user: &str, groups: &[&str]) -> Client {
    Client::try_from(config(api, listening, user, groups).await).unwrap()
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// A `ConfigMap` as JSON text.
pub(crate) fn config_map(name: &str, data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).to_string()
}
