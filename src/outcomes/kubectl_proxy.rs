//! Guide 2.1.2: `kubectl proxy`, whom it lets in, and what its wildcard form would do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::environment::Answer;
use super::login;
use super::{Checked, DASHBOARD_NAMESPACE as NAMESPACE, Environment, Look, Outcome, Stop, shown};
use crate::cluster::Capability;
use crate::cluster::kind_config::expected_nodes;
use crate::tools::{PortTurn, Running, listeners};
use crate::wait::Limit;

const KUBECTL: &[Capability] = &[Capability::KUBECTL];
/// A host that a web page of somebody else would have.
const FOREIGN: &str = "dashboard.example.com";

pub(super) fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::documented("dashboard.proxy.serves", "2.1.2", "Starting to serve on 127.0.0.1:8001", proxy_serves)
            .needs(&["dashboard"])
            .with(KUBECTL)
            .group("kubectl-proxy"),
        Outcome::documented(
            "dashboard.proxy.foreign-host-refused",
            "2.1.2",
            "启动代理(默认只监听 127.0.0.1,也就是只能在本机访问。)",
            proxy_foreign_host,
        )
        .needs(&["nodes"])
        .with(KUBECTL)
        .group("kubectl-proxy"),
        Outcome::hardening("dashboard.proxy.exec-refused", proxy_exec).needs(&["nodes"]).with(KUBECTL).group("kubectl-proxy"),
        Outcome::documented(
            "dashboard.proxy.loopback-only",
            "2.1.2",
            "启动代理(默认只监听 127.0.0.1,也就是只能在本机访问。)",
            loopback_only,
        )
        .needs(&["nodes"])
        .with(KUBECTL)
        .group("kubectl-proxy"),
        Outcome::defect("dashboard.proxy.wildcard-open", "2.1.2", "kubectl proxy --address=0.0.0.0 --accept-hosts='.*'", wildcard_open)
            .shows("D8")
            .needs(&["nodes"])
            .with(KUBECTL)
            .group("kubectl-proxy"),
    ]
}

/// A running `kubectl proxy` and where it listens.
pub(super) struct Proxy {
    running: Running,
    line: String,
    address: String,
    _turn: PortTurn,
}

/// Where an environment keeps the guide's `kubectl proxy` while outcomes look at it, one after the other.
pub(super) type SharedProxy = Mutex<Option<Proxy>>;

/// The guide's `kubectl proxy` of an environment, started when it is first asked for.
async fn proxy_of(env: &Environment) -> Result<MappedMutexGuard<'_, Proxy>, Stop> {
    let mut slot = env.kubectl_proxy.lock().await;
    if slot.as_mut().is_some_and(|proxy| proxy.running.exited().is_some()) {
        *slot = None;
    }
    let proxy = match slot.take() {
        Some(proxy) => proxy,
        None => Proxy::start(env, &[]).await?,
    };
    Ok(MutexGuard::map(slot, |slot| slot.insert(proxy)))
}

/// Ends the guide's `kubectl proxy` of an environment, if there is one, and gives its port up.
///
/// # Errors
/// When its end cannot be awaited.
pub(super) async fn end(env: &Environment) -> Result<(), Stop> {
    match env.kubectl_proxy.lock().await.take() {
        Some(proxy) => proxy.stop().await,
        None => Ok(()),
    }
}

impl Proxy {
    async fn start(env: &Environment, flags: &[&str]) -> Result<Self, Stop> {
        let port = env.spec.kubectl_proxy.port;
        // Another environment of this machine may be judged at the same time.
        let turn = PortTurn::take(port, &env.waiting).await?;
        let mut command = env.context.kubectl().await?.arg("proxy");
        // The guide's command has no flag; 8001 is kubectl's own default.
        if port != 8001 {
            command = command.arg(format!("--port={port}"));
        }
        let mut running = command.args(flags.iter().copied()).spawn(&env.context.journal).await?;
        let line = running.next_line(env.waiting.limit(Limit::KubectlProxy)).await?;
        let Some(line) = line else {
            let said = running.stop().await?.record.stderr;
            return Err(Stop::Failed(format!("`kubectl proxy` ended: {}", said.trim())));
        };
        let address = line.strip_prefix("Starting to serve on ").map(|a| a.trim().to_owned());
        let address = address.ok_or_else(|| Stop::Failed(format!("`kubectl proxy` printed `{line}`")))?;
        Ok(Self { running, line, address, _turn: turn })
    }

    fn port(&self) -> Result<u16, Stop> {
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.ok_or_else(|| Stop::Failed(format!("`kubectl proxy` serves on {}, which has no port", self.address)))
    }

    async fn ask(&self, method: Method, path: &str, host: Option<&str>) -> Result<Answer, Stop> {
        self.post(method, path, host, None).await
    }

    async fn post(&self, method: Method, path: &str, host: Option<&str>, body: Option<&Value>) -> Result<Answer, Stop> {
        // Whatever it listens on, this machine reaches it here.
        let url = format!("http://127.0.0.1:{}{path}", self.port()?);
        let failed = |e: reqwest::Error| Stop::Failed(format!("{url}: {}", crate::error::one_line(&e)));
        let client = crate::tools::plain_client().map_err(failed)?;
        let mut request = client.request(method, &url);
        if let Some(host) = host {
            request = request.header(http::header::HOST, host);
        }
        if let Some(body) = body {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(failed)?;
        Ok(Answer { status: response.status(), body: response.text().await.map_err(failed)? })
    }

    async fn stop(self) -> Result<(), Stop> {
        self.running.stop().await?;
        Ok(())
    }
}

fn proxy_serves<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let proxy = proxy_of(env).await?;
        look.see("printed", &proxy.line);
        look.require(shown::is_line("Starting to serve on 127.0.0.1:{port}", &proxy.line), || {
            format!("`kubectl proxy` printed `{}`", proxy.line)
        });
        let port = env.spec.kubectl_proxy.port;
        let address: Option<std::net::SocketAddrV4> = proxy.address.parse().ok();
        look.require(address.is_some_and(|a| *a.ip() == Ipv4Addr::LOCALHOST && (port == 0 || a.port() == port)), || {
            format!("`kubectl proxy` serves on {}, not on 127.0.0.1:{port}", proxy.address)
        });
        let version = proxy.ask(Method::GET, "/version", None).await?;
        look.see("version", version.json()["gitVersion"].clone());
        look.require(version.status.is_success(), || format!("/version through the proxy gives {}", version.brief()));
        env.require_alive(NAMESPACE, "k8s-app=kubernetes-dashboard").await?;
        let page = proxy.ask(Method::GET, &format!("{}/", login::base()), None).await?;
        look.see("dashboard", page.brief());
        look.require(page.status.is_success() && page.body.to_lowercase().contains("<html"), || {
            format!("the Dashboard through the proxy gives {}", page.brief())
        });
        Ok(())
    })
}

fn proxy_foreign_host<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let proxy = proxy_of(env).await?;
        let control = proxy.ask(Method::GET, "/version", Some("localhost")).await?;
        look.require(control.status.is_success(), || format!("the host localhost is refused: {}", control.brief()));
        let foreign = proxy.ask(Method::GET, "/version", Some(FOREIGN)).await?;
        look.see("foreignHost", foreign.brief());
        look.require(foreign.status == StatusCode::FORBIDDEN, || format!("a foreign host gets {}", foreign.brief()));
        Ok(())
    })
}

fn proxy_exec<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let api: Api<Pod> = Api::namespaced(env.cluster.client.clone(), "kube-system");
        let pods = api.list(&ListParams::default()).await.map_err(Stop::kube("list the pods of kube-system"))?;
        let pod = pods.iter().next().map(ResourceExt::name_any).ok_or_else(|| Stop::Failed("kube-system has no pod".to_owned()))?;
        let path = format!("/api/v1/namespaces/kube-system/pods/{pod}");
        let proxy = proxy_of(env).await?;
        let control = proxy.ask(Method::GET, &path, None).await?;
        look.require(control.status.is_success(), || format!("the pod itself is refused: {}", control.brief()));
        for verb in ["exec", "attach"] {
            let answer = proxy.ask(Method::POST, &format!("{path}/{verb}?command=true&stdout=true"), None).await?;
            look.see(verb, answer.brief());
            // The API server's own refusals are Status objects; the proxy's filter says one word.
            look.require(answer.status == StatusCode::FORBIDDEN && answer.json().is_null(), || format!("{verb} gets {}", answer.brief()));
        }
        Ok(())
    })
}

/// Connects from a node to this machine, as the node's network has it. `None` where nodes have no way here that would prove anything.
async fn from_node(env: &Environment, port: u16) -> Result<Option<(String, bool)>, Stop> {
    if env.missing(&Capability::HOST_NETWORK).await.is_some() {
        return Ok(None);
    }
    let Some((node, _)) = expected_nodes(&env.spec).into_iter().next() else { return Ok(None) };
    let access = env.cluster.nodes.as_ref();
    let routes = access.run(&node, &["ip", "-4", "route", "show", "default"]).await?;
    let gateway = routes.split_whitespace().skip_while(|word| *word != "via").nth(1).and_then(|word| word.parse::<IpAddr>().ok());
    let Some(gateway) = gateway else { return Ok(None) };
    // Something of ours that does listen there: a connection that fails to both proves nothing.
    let Ok(control) = tokio::net::TcpListener::bind((gateway, 0)).await else { return Ok(None) };
    let open = control.local_addr().map_err(|e| Stop::Failed(format!("a listener has no address: {e}")))?.port();
    let connects = async |port: u16| {
        let try_it = format!("exec 3<>/dev/tcp/{gateway}/{port}");
        let argv = ["timeout", "3", "bash", "-c", &try_it];
        let output = env.waiting.within("a node connects", Limit::NodeCommand, access.exec(&node, &argv)).await??;
        Ok::<bool, Stop>(output.code == 0)
    };
    if !connects(open).await? {
        return Ok(None);
    }
    Ok(Some((node.clone(), connects(port).await?)))
}

fn loopback_only<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let proxy = proxy_of(env).await?;
        let port = proxy.port()?;
        let control = proxy.ask(Method::GET, "/version", None).await?;
        look.require(control.status.is_success(), || format!("this machine itself gets {}", control.brief()));
        // What the kernel says, whatever kubectl printed.
        let addresses = listeners(port);
        look.see("listeners", &addresses);
        for address in addresses.iter().flatten().filter(|a| !a.ip().is_loopback()) {
            look.problem(format!("`kubectl proxy` listens on {address}, which others reach"));
        }
        let reached = from_node(env, port).await?;
        look.see("fromNode", reached.as_ref().map(|(node, reached)| json!({"node": node, "reached": reached})));
        if let Some((node, true)) = &reached {
            look.problem(format!("`kubectl proxy` is reached from node {node}"));
        }
        let looked = addresses.is_some() || reached.is_some();
        if !looked {
            let reason = crate::text::current().get("unsupported-host-network");
            return Err(Stop::Unsupported { capability: Capability::HOST_NETWORK, reason });
        }
        Ok(())
    })
}

/// The one path that is opened for as long as the danger is shown: it says who one is, and gives nothing.
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn wildcard_open<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        // It takes the same port.
        end(env).await?;
        let only = format!("--accept-paths=^{}$", WHO_AM_I.replace('.', r"\."));
        let proxy = Proxy::start(env, &["--address=0.0.0.0", "--accept-hosts=.*", &only]).await?;
        look.see("printed", &proxy.line);
        let port = proxy.port()?;
        let documented = shown::is_line("Starting to serve on 127.0.0.1:{port}", &proxy.line);
        look.require(!documented, || "the wildcard form prints the line of the default form, as the guide has it".to_owned());
        let address: Option<SocketAddr> = proxy.address.parse().ok();
        look.require(address.is_some_and(|a| a.ip().is_unspecified()), || format!("the wildcard form listens on {}", proxy.address));
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer = proxy.post(Method::POST, WHO_AM_I, Some(FOREIGN), Some(&review)).await?;
        let user = answer.json()["status"]["userInfo"].clone();
        look.see(
            "asForeignHostWithoutAnyCredential",
            json!({"status": answer.status.as_u16(), "user": user["username"], "groups": user["groups"]}),
        );
        look.require(user["username"].as_str().is_some_and(|name| !name.is_empty() && name != "system:anonymous"), || {
            format!("a foreign host without a credential gets {}", answer.brief())
        });
        // Closed to everything else meanwhile.
        let other = proxy.ask(Method::GET, "/version", Some(FOREIGN)).await?;
        look.require(other.status == StatusCode::FORBIDDEN, || format!("more is open than is shown: /version gives {}", other.brief()));
        let reached = from_node(env, port).await?;
        look.see("fromNode", reached.as_ref().map(|(node, reached)| json!({"node": node, "reached": reached})));
        if let Some((node, reached)) = &reached {
            look.require(*reached, || format!("{node} does not reach the wildcard form"));
        }
        proxy.stop().await
    })
}
