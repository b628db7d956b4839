//! Clusters that are there already, reached by a context of the user's kubeconfig.
//!
//! They are somebody else's: nothing in them is made, changed or removed, and nothing is known of their machines. The stages look whether what
//! they would make is there, and the outcomes judge it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::embedded::is_simulation;
use super::user_config::{UserConfig, UserConfigError};
use super::{Capabilities, Capability, Cluster, Installs, Made, NodeAccess, NodeError, NodeMachine, Provider, Teardown};
use crate::engine::ExecOutput;
use crate::journal::Fidelity;
use crate::session::{ClusterPhase, ClusterState, Session, State};
use crate::spec::Spec;
use crate::stages::{Context, Found, PlanStep, StageError};
use crate::text;
use crate::wait::Limit;

/// The word for it, on the command line and in `state.json`.
pub const NAME: &str = "existing";

/// Which cluster is meant. It is kept in the state of the session, so that later commands need no options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    /// The context.
    context: String,
    /// The kubeconfig files that it is looked for in.
    files: Vec<PathBuf>,
}

impl Target {
    fn of(state: &State) -> Option<Self> {
        let cluster = state.cluster.as_ref().filter(|_| state.backend == NAME)?;
        serde_json::from_str::<Recorded>(&cluster.config).ok().map(|r| r.target)
    }

    fn words(&self) -> String {
        let files: Vec<String> = self.files.iter().map(|f| f.display().to_string()).collect();
        format!("{} ({})", self.context, files.join(", "))
    }
}

/// What `state.json` keeps.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    #[serde(flatten)]
    target: Target,
    /// What it turned out to be, for when it does not answer any more.
    simulated: bool,
}

/// The backend for clusters that are there already.
#[derive(Debug)]
pub struct Existing {
    /// `None` for a session that never found its cluster.
    target: Option<Target>,
    /// Whether the API server turned out to be our own simulation.
    simulated: AtomicBool,
}

impl Existing {
    /// The cluster of a context that somebody has named, in these kubeconfig files; [`user_config::files`](super::user_config::files) gives
    /// those that kubectl would read.
    #[must_use]
    pub fn new(context: impl Into<String>, files: Vec<PathBuf>) -> Self {
        Self { target: Some(Target { context: context.into(), files }), simulated: AtomicBool::new(false) }
    }

    /// The cluster that a session has been on before.
    #[must_use]
    pub fn recorded(state: &State) -> Self {
        let recorded = state.cluster.as_ref().and_then(|c| serde_json::from_str::<Recorded>(&c.config).ok());
        let simulated = AtomicBool::new(recorded.as_ref().is_some_and(|r| r.simulated));
        Self { target: recorded.map(|r| r.target), simulated }
    }

    /// Looks for the context in the kubeconfig as it is now, and asks nothing of the cluster.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read, or has no such context.
    pub fn check(&self) -> Result<(), UserConfigError> {
        self.target.as_ref().map_or(Ok(()), |target| kubeconfig(target).map(drop))
    }

    fn target(&self, context: &Context) -> Result<&Target, StageError> {
        let none = || StageError::refused("no-session", [("dir", context.session.dir().display().to_string())]);
        let target = self.target.as_ref().ok_or_else(none)?;
        match Target::of(&context.state()).filter(|has| has != target) {
            Some(has) => Err(StageError::refused("other-context", [("has", has.words()), ("wanted", target.words())])),
            None => Ok(target),
        }
    }

    /// A client by a private kubeconfig, which is written anew where the user's says something else by now.
    async fn open(&self, context: &Context) -> Result<(&Target, Client), StageError> {
        let target = self.target(context)?;
        let wanted = kubeconfig(target)?;
        let path = context.session.kubeconfig();
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&wanted) {
            context.session.write("kubeconfig", &wanted)?;
        }
        Ok((target, super::client(&path, &target.context).await?))
    }

    /// Asks the cluster whether it is our own simulation, which must not pass for a real one.
    async fn ask(&self, context: &Context, client: &Client) -> Result<bool, StageError> {
        let asked = context.waiting.within("the API server answers", Limit::EngineAnswer, is_simulation(client)).await?;
        let simulated = asked.map_err(StageError::kube("ask the API server"))?;
        self.simulated.store(simulated, Ordering::Relaxed);
        Ok(simulated)
    }

    async fn look(&self, context: &Context) -> Result<Found, StageError> {
        let (target, client) = self.open(context).await?;
        let asked = context.waiting.within("the API server answers", Limit::EngineAnswer, client.apiserver_version()).await;
        let silent = match asked {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(crate::error::one_line(&e)),
            Err(e) => Some(e.to_string()),
        };
        if let Some(why) = silent {
            return Ok(Found::Missing(format!("the API server of the context {} does not answer: {why}", target.context)));
        }
        let simulated = self.ask(context, &client).await?;
        let config = serde_json::json!(Recorded { target: target.clone(), simulated }).to_string();
        let name = target.context.clone();
        context.record(|state| state.cluster = Some(ClusterState { name, phase: ClusterPhase::Made, config }))?;
        Ok(Found::True)
    }

    async fn attach(&self, context: &Context) -> Result<Cluster, StageError> {
        let (target, client) = self.open(context).await?;
        let texts = text::current();
        let mut capabilities = Capabilities::default();
        for (capability, key) in [
            (Capability::KIND, "unsupported-existing-kind"),
            (Capability::NODE_EXEC, "unsupported-existing-nodes"),
            (Capability::NODE_INVENTORY, "unsupported-existing-nodes"),
            (Capability::IMAGE_PULL, "unsupported-existing-nodes"),
        ] {
            capabilities.lack(capability, texts.get(key));
        }
        let simulated = self.ask(context, &client).await?;
        for (capability, key) in
            [(Capability::TYPED_REQUESTS, "unsupported-typed-requests"), (Capability::PORT_FORWARD, "unsupported-port-forward")]
        {
            if simulated {
                capabilities.lack(capability, texts.get(key));
            } else {
                capabilities.give(capability);
            }
        }
        Ok(Cluster {
            name: target.context.clone(),
            client,
            kubeconfig: context.session.kubeconfig(),
            context: target.context.clone(),
            capabilities,
            fidelity: self.fidelity(),
            nodes: Arc::new(OutOfReach),
            // Somebody else's time is not ours to skip, not even where it could be.
            passage: None,
        })
    }
}

/// The private kubeconfig of a target. JSON is YAML that no reader can take for something else.
fn kubeconfig(target: &Target) -> Result<String, UserConfigError> {
    let only = UserConfig::read(&target.files)?.only(&target.context, std::env::var("HOME").ok().as_deref())?;
    Ok(format!("{only:#}\n"))
}

impl Provider for Existing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fidelity(&self) -> Fidelity {
        if self.simulated.load(Ordering::Relaxed) { Fidelity::Simulated } else { Fidelity::Real }
    }

    fn recognise<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // What is in the way here is in the stages' way as well, and they say so.
            if let Ok((_, client)) = self.open(context).await {
                let _ = self.ask(context, &client).await;
            }
        })
    }

    fn installs(&self) -> Installs {
        Installs::Nothing
    }

    fn plan(&self, _spec: &Spec) -> Vec<PlanStep> {
        let context = self.target.as_ref().map_or("-", |t| t.context.as_str());
        vec![PlanStep::note("plan-existing", &[("context", context)])]
    }

    fn machines<'a>(&'a self, _session: &'a Session, _state: &'a State) -> BoxFuture<'a, Result<Vec<NodeMachine>, StageError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn preflight<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(async move { self.open(context).await.map(drop) })
    }

    fn look<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(self.look(context))
    }

    fn heeds(&self, _spec: &Spec) -> Value {
        Value::Null
    }

    /// Nobody asks for it: what is only looked at is never made.
    fn provision<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<Made, StageError>> {
        let message = "a cluster that is somebody else's is never made".to_owned();
        Box::pin(std::future::ready(Err(StageError::Other { message, hint: None })))
    }

    fn attach<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Cluster, StageError>> {
        Box::pin(self.attach(context))
    }

    /// The session made nothing in it, so there is nothing to remove.
    fn teardown<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<Teardown, StageError>> {
        Box::pin(std::future::ready(Ok(Teardown::default())))
    }
}

/// The machines of somebody else.
struct OutOfReach;

impl OutOfReach {
    fn error(node: &str) -> NodeError {
        NodeError::OutOfReach { node: node.to_owned(), reason: text::current().get("unsupported-existing-nodes") }
    }
}

impl NodeAccess for OutOfReach {
    fn machines(&self) -> BoxFuture<'_, Result<Vec<NodeMachine>, NodeError>> {
        Box::pin(std::future::ready(Err(Self::error("*"))))
    }

    fn exec<'a>(&'a self, node: &'a str, _argv: &'a [&'a str]) -> BoxFuture<'a, Result<ExecOutput, NodeError>> {
        Box::pin(std::future::ready(Err(Self::error(node))))
    }

    fn write_file<'a>(&'a self, node: &'a str, _path: &'a str, _content: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        Box::pin(std::future::ready(Err(Self::error(node))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Mutex;

    use tempfile::TempDir;

    use super::*;
    use crate::session::ClusterState;
    use crate::testing::environment::{context, spec};
    use crate::testing::promptly;
    use crate::testing::provider::FakeProvider;
    use crate::wait::ManualClock;

    /// An API server that knows its version, and what is below `/sim/` if it is ours; and the requests that it got.
    fn server(sim: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    request.push(byte[0]);
                }
                let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
                let (status, body) = match line.as_str() {
                    "GET /version" => (
                        "200 OK",
                        r#"{"major":"1","minor":"33","gitVersion":"v1.33.4","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#,
                    ),
                    _ => sim.split_once(' ').map(|(code, body)| (if code == "200" { "200 OK" } else { code }, body)).unwrap(),
                };
                seen.lock().unwrap().push(line);
                let length = body.len();
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            }
        });
        (url, asked)
    }

    const NOT_FOUND: &str =
        r#"404 {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"not found","reason":"NotFound","code":404}"#;
    const TROUBLE: &str = r#"500 {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"broken","reason":"InternalError","code":500}"#;

    /// The user's kubeconfig with a context `here`, and a run.
    fn at(url: &str) -> (TempDir, Existing, Context) {
        let dir = tempfile::tempdir().unwrap();
        let config =
            format!("contexts: [{{name: here, context: {{cluster: c}}}}]\nclusters: [{{name: c, cluster: {{server: '{url}'}}}}]\n");
        let file = dir.path().join("config");
        std::fs::write(&file, config).unwrap();
        let context = context(spec(), &dir, &ManualClock::default(), FakeProvider::default(), &[]);
        (dir, Existing::new("here", vec![file]), context)
    }

    #[tokio::test]
    async fn a_real_cluster_is_real_and_lacks_what_only_its_maker_has() {
        let (url, asked) = server(NOT_FOUND);
        let (_dir, existing, context) = at(&url);
        assert_eq!(promptly(existing.look(&context)).await.unwrap(), Found::True);
        let cluster = promptly(existing.attach(&context)).await.unwrap();
        assert_eq!((existing.fidelity(), cluster.fidelity), (Fidelity::Real, Fidelity::Real));
        assert_eq!((cluster.name.as_str(), cluster.context.as_str()), ("here", "here"));
        for there in [Capability::TYPED_REQUESTS, Capability::PORT_FORWARD] {
            assert_eq!(cluster.capabilities.missing(&there), None, "{there}");
        }
        for lacking in [Capability::KIND, Capability::NODE_EXEC, Capability::NODE_INVENTORY, Capability::IMAGE_PULL] {
            let reason = cluster.capabilities.missing(&lacking).unwrap_or_else(|| panic!("{lacking}"));
            assert!(reason.contains("was there before"), "{lacking}: {reason}");
        }
        let error = cluster.nodes.exec("n", &["true"]).await.unwrap_err();
        assert!(error.to_string().contains("node n is out of reach"), "{error}");
        assert!(promptly(existing.provision(&context)).await.is_err());
        assert_eq!(promptly(existing.teardown(&context)).await.unwrap(), Teardown::default());
        assert!(asked.lock().unwrap().iter().all(|line| line.starts_with("GET ")), "it is only asked");
    }

    #[tokio::test]
    async fn our_own_simulation_does_not_pass_for_a_real_cluster() {
        let (url, _) = server("200 []");
        let (_dir, existing, context) = at(&url);
        promptly(existing.recognise(&context)).await;
        assert_eq!(existing.fidelity(), Fidelity::Simulated, "known before anything is looked at");
        promptly(existing.look(&context)).await.unwrap();
        let cluster = promptly(existing.attach(&context)).await.unwrap();
        assert_eq!(cluster.fidelity, Fidelity::Simulated);
        assert!(cluster.capabilities.missing(&Capability::PORT_FORWARD).is_some() && cluster.passage.is_none());
        // A later command knows it also when nobody answers.
        let mut state = context.state();
        NAME.clone_into(&mut state.backend);
        assert_eq!(Existing::recorded(&state).fidelity(), Fidelity::Simulated);
        assert_eq!(Target::of(&state), existing.target);
    }

    #[tokio::test]
    async fn trouble_is_no_proof_of_either() {
        let (url, _) = server(TROUBLE);
        let (_dir, existing, context) = at(&url);
        assert!(promptly(existing.attach(&context)).await.is_err());
        assert_eq!(context.state().cluster, None);
    }

    #[tokio::test]
    async fn the_private_kubeconfig_follows_the_users_and_another_context_is_refused() {
        let (url, asked) = server(NOT_FOUND);
        let (dir, existing, context) = at(&url);
        promptly(existing.look(&context)).await.unwrap();
        let file = dir.path().join("config");
        let config = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, config.replace("cluster: {server", "cluster: {tls-server-name: new, server")).unwrap();
        promptly(existing.preflight(&context)).await.unwrap();
        assert!(std::fs::read_to_string(context.session.kubeconfig()).unwrap().contains("\"tls-server-name\": \"new\""));
        std::fs::write(&file, "").unwrap();
        let error = promptly(existing.attach(&context)).await.unwrap_err();
        assert!(error.to_string().contains("there is no context `here`") && error.hint().is_some(), "{error}");

        let config = existing.target.as_ref().map(|t| serde_json::json!(Recorded { target: t.clone(), simulated: false }).to_string());
        let made = ClusterState { name: "here".to_owned(), phase: ClusterPhase::Made, config: config.unwrap() };
        context.record(|state| (state.backend, state.cluster) = (NAME.to_owned(), Some(made))).unwrap();
        let before = asked.lock().unwrap().len();
        let other = Existing::new("there", vec![file]);
        for result in [promptly(other.preflight(&context)).await, promptly(other.attach(&context)).await.map(drop)] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("the context here (") && error.contains("not of there ("), "{error}");
        }
        assert_eq!(asked.lock().unwrap().len(), before, "nobody was asked");
    }

    #[tokio::test]
    async fn a_session_that_never_found_its_cluster_has_none() {
        let (_dir, _, context) = at("http://127.0.0.1:1");
        let none = Existing::recorded(&context.state());
        assert!(promptly(none.attach(&context)).await.unwrap_err().to_string().starts_with("There is no environment here"));
        assert_eq!(promptly(none.teardown(&context)).await.unwrap(), Teardown::default());
        promptly(none.recognise(&context)).await;
        assert_eq!(none.fidelity(), Fidelity::Real);
    }
}
