//! The embedded backend: a simulated cluster in the session's agent, or in this process for tests.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::agent::{Agent, IDLE, IDLE_VARIABLE};
use super::host::{Hosted, host};
use super::manifests::manifest;
use super::nodes::SimNodes;
use crate::cluster::kind_config::{expected_nodes, kube_context};
use crate::cluster::{Capabilities, Capability, Cluster, Installs, Made, NodeMachine, Part, Provider, Teardown};
use crate::journal::{Event, Fidelity};
use crate::session::{ClusterPhase, ClusterState, Session, SessionError, State};
use crate::spec::Spec;
use crate::stages::{Context, Found, PlanStep, StageError};
use crate::text;
use crate::tools::{Ended, end_if_same};
use crate::wait::{Limit, Progress};

/// The embedded backend.
#[derive(Debug)]
pub struct Embedded(Host);

/// The variable for temporary files. A directory that a [`Launch`] names in it is made.
pub const TMPDIR: &str = "TMPDIR";

/// How the agent is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables that it gets besides the scrubbed environment.
    pub variables: Vec<(String, OsString)>,
}

#[derive(Debug)]
enum Host {
    /// A process of its own, started from this program unless something else is said.
    Agent(Option<Launch>),
    /// This process.
    Here(Box<Mutex<Option<(serde_json::Value, Hosted)>>>),
}

impl Launch {
    /// The command `meshproof agent` of a program that has meshproof's command line.
    #[must_use]
    pub fn meshproof(program: PathBuf, session: &Session) -> Self {
        Self { program, args: vec!["agent".into(), "--state-dir".into(), session.dir().into()], variables: Vec::new() }
    }
}

impl Embedded {
    /// Hosted by the session's agent, so that the cluster outlives the command. The agent is started from the running program.
    #[must_use]
    pub fn in_agent() -> Self {
        Self(Host::Agent(None))
    }

    /// The same from another program, for a process that is not `meshproof` itself.
    #[must_use]
    pub fn in_agent_of(launch: Launch) -> Self {
        Self(Host::Agent(Some(launch)))
    }

    /// Hosted by this process, and gone with this value: for tests. The cluster's tasks run on the runtime that provisions it.
    #[must_use]
    pub fn in_process() -> Self {
        Self(Host::Here(Box::new(Mutex::new(None))))
    }

    /// What the host of the cluster is made from, with the images that its registries hold. What only stages heed changes in a cluster that
    /// stands, as it does in a real one.
    pub(super) fn config(spec: &Spec) -> serde_json::Value {
        let Spec { cluster, mirrors, proxy, probe, dashboard, istio, tools, .. } = spec;
        serde_json::json!({
            "cluster": cluster, "mirrors": mirrors, "proxy": proxy, "probe": probe, "dashboard": dashboard.version,
            "istio": [istio.version, istio.hub], "kind": tools.kind.version,
        })
    }

    /// Whether the cluster of the spec is there, all its machines run, and its API server answers.
    async fn look(&self, context: &Context) -> Result<Found, StageError> {
        let name = &context.spec.cluster.name;
        let made = context.state().cluster.is_some_and(|c| c.phase == ClusterPhase::Made);
        if !made || !self.stands(&context.session, &Self::config(&context.spec)).await {
            return Ok(Found::Missing(format!("no simulated cluster {name} of this spec is there")));
        }
        let machines = SimNodes(client(&context.session, &context.spec).await?).list().await;
        Ok(match machines {
            Err(e) => Found::Missing(format!("the API server does not answer: {}", crate::error::one_line(&e))),
            Ok(machines) => match machines.iter().find(|m| m.state != "running") {
                Some(machine) => Found::Missing(format!("the machine {} is {}", machine.name, machine.state)),
                None => Found::True,
            },
        })
    }

    async fn provision(&self, context: &Context) -> Result<Made, StageError> {
        let config = Self::config(&context.spec);
        let recorded = context.state().cluster;
        if self.stands(&context.session, &config).await {
            if recorded.is_some_and(|c| c.phase == ClusterPhase::Made) {
                return self.repair(context).await;
            }
        } else if self.alive(&context.session).await {
            if recorded.is_some_and(|c| c.phase == ClusterPhase::Made) {
                let args = [("cluster", context.spec.cluster.name.clone()), ("drifts", "what its agent was started with".to_owned())];
                return Err(StageError::refused("cluster-drift", args));
            }
        } else if recorded.is_some_and(|c| c.phase == ClusterPhase::Made) {
            let message = text::current().with("warning-agent-gone", &[("cluster", &context.spec.cluster.name)]);
            context.journal.write(Event::Warning { message });
        }
        let name = context.spec.cluster.name.clone();
        // The agent reads it, and whatever stood here before was made from another one.
        context.record_spec()?;
        context.record(|state| {
            state.cluster = Some(ClusterState { name, phase: ClusterPhase::Creating, config: config.to_string() });
            // What was installed in a cluster that is gone proves nothing about this one.
            state.transcripts.clear();
        })?;
        match &self.0 {
            Host::Agent(launch) => {
                // One that a killed command had started may just be coming up.
                self.end(&context.session).await?;
                start_agent(context, launch.clone()).await?;
            }
            Host::Here(hosted) => {
                let mut hosted = hosted.lock().await;
                let failed = |e: super::HostError| StageError::Other { message: crate::error::one_line(&e), hint: None };
                let new = host(&context.spec, &context.session.certs_dir()).await.map_err(failed)?;
                context.session.write("kubeconfig", &new.cluster.kubeconfig())?;
                *hosted = Some((config, new));
            }
        }
        context.record(|state| {
            if let Some(cluster) = &mut state.cluster {
                cluster.phase = ClusterPhase::Made;
            }
        })?;
        Ok(Made::Now)
    }

    /// Whether the cluster that this configuration makes is there.
    async fn stands(&self, session: &Session, config: &serde_json::Value) -> bool {
        match &self.0 {
            Host::Agent(_) => Agent::of(session).is_some_and(|a| a.alive() && a.config == *config),
            Host::Here(hosted) => hosted.lock().await.as_ref().is_some_and(|(of, _)| of == config),
        }
    }

    /// Whether any cluster is there.
    async fn alive(&self, session: &Session) -> bool {
        match &self.0 {
            Host::Agent(_) => Agent::of(session).is_some_and(|a| a.alive()),
            Host::Here(hosted) => hosted.lock().await.is_some(),
        }
    }

    /// Starts machines that are stopped.
    async fn repair(&self, context: &Context) -> Result<Made, StageError> {
        let nodes = SimNodes(client(&context.session, &context.spec).await?);
        let mut made = Made::Already;
        for machine in nodes.list().await.map_err(StageError::kube("list the machines"))? {
            if machine.state != "running" {
                nodes.start(&machine).await.map_err(StageError::kube(format!("start the machine {}", machine.name)))?;
                made = Made::Now;
            }
        }
        Ok(made)
    }

    /// Ends whatever hosts the cluster; says whether there was anything.
    async fn end(&self, session: &Session) -> Result<bool, StageError> {
        match &self.0 {
            Host::Agent(_) => {
                let Some(process) = Agent::process(session) else { return Ok(false) };
                let Some(ticks) = process.start_ticks else { return Ok(false) };
                Ok(end_if_same(process.pid, ticks).await != Ended::Gone)
            }
            Host::Here(hosted) => Ok(hosted.lock().await.take().is_some()),
        }
    }
}

async fn client(session: &Session, spec: &Spec) -> Result<kube::Client, StageError> {
    Ok(crate::cluster::client(&session.kubeconfig(), &kube_context(&spec.cluster.name)).await?)
}

/// How long the agent may be idle: what the variable says, or the usual.
#[must_use]
pub fn idle(var: impl Fn(&str) -> Option<String>) -> Duration {
    var(IDLE_VARIABLE).and_then(|v| v.parse().ok()).map_or(IDLE, Duration::from_secs)
}

/// Starts the agent and waits until its cluster answers.
async fn start_agent(context: &Context, launch: Option<Launch>) -> Result<(), StageError> {
    let session = &context.session;
    let log = Agent::log(session);
    let own = || std::env::current_exe().map_err(|source| SessionError::Read { path: PathBuf::from("/proc/self/exe"), source });
    let launch = launch.map_or_else(|| own().map(|own| Launch::meshproof(own, session)), Ok)?;
    let failed = |source| SessionError::Write { path: log.clone(), source };
    let Launch { program, args, mut variables } = launch;
    for (_, directory) in variables.iter().filter(|(name, _)| name == TMPDIR) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    variables.extend(std::env::var_os(IDLE_VARIABLE).map(|value| (IDLE_VARIABLE.to_owned(), value)));
    let mut process = crate::tools::detach(&program, &args, &variables, &log).map_err(failed)?;
    context.journal.write(Event::Fact { name: "agent".into(), value: format!("process {}", process.pid()) });
    let config = Embedded::config(&context.spec);
    let mut gone = None;
    let attempt = || {
        let found = Agent::of(session).filter(|a| a.alive() && a.config == config);
        if found.is_none() && gone.is_none() {
            gone = process.ended();
        }
        // Another command may have started one in the same moment; then ours ends and theirs is as good.
        std::future::ready(match (found, &gone) {
            (Some(_), _) => Progress::Ready(None),
            (None, Some(how)) => Progress::Ready(Some(how.clone())),
            (None, None) => Progress::NotYet("it has not written its file yet".to_owned()),
        })
    };
    let ended = context.waiting.poll("the simulated cluster answers", Limit::ApiServer, Duration::from_millis(10), attempt).await?;
    let Some(how) = ended else { return Ok(()) };
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    // The error, and not the hint that may follow it.
    let said = said.lines().rfind(|l| !l.is_empty() && !l.starts_with("hint:")).map_or_else(|| how.clone(), str::to_owned);
    Err(StageError::refused("agent-failed", [("said", said), ("log", log.display().to_string())]))
}

impl Provider for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Simulated
    }

    fn installs(&self) -> Installs {
        Installs::FromManifests
    }

    fn manifest(&self, part: Part, spec: &Spec) -> Result<String, StageError> {
        manifest(part, spec).map_err(|e| StageError::refused("not-simulated", [("why", crate::error::one_line(&e))]))
    }

    fn plan(&self, spec: &Spec) -> Vec<PlanStep> {
        let nodes: Vec<String> = expected_nodes(spec).into_iter().map(|(name, _)| name).collect();
        let containerd = super::host::containerd(spec).to_string();
        let args = [("nodes", nodes.join(", ")), ("kubernetes", spec.cluster.kubernetes.clone()), ("containerd", containerd)];
        let args: Vec<(&str, &str)> = args.iter().map(|(k, v)| (*k, v.as_str())).collect();
        vec![PlanStep::note("plan-agent", &args), PlanStep::command(["meshproof", "agent", "--state-dir", "{state}"])]
    }

    fn machines<'a>(&'a self, session: &'a Session, state: &'a State) -> BoxFuture<'a, Result<Vec<NodeMachine>, StageError>> {
        Box::pin(async move {
            let Some(cluster) = &state.cluster else { return Ok(Vec::new()) };
            if !self.alive(session).await {
                return Ok(Vec::new());
            }
            let client = crate::cluster::client(&session.kubeconfig(), &kube_context(&cluster.name)).await?;
            match SimNodes(client).list().await {
                // It ended between the two looks.
                Err(_) if !self.alive(session).await => Ok(Vec::new()),
                found => found.map_err(StageError::kube("list the machines")),
            }
        })
    }

    fn preflight<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn look<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(self.look(context))
    }

    fn heeds(&self, spec: &Spec) -> serde_json::Value {
        Self::config(spec)
    }

    fn provision<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Made, StageError>> {
        Box::pin(self.provision(context))
    }

    fn attach<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Cluster, StageError>> {
        Box::pin(async move {
            let name = context.spec.cluster.name.clone();
            if !self.alive(&context.session).await {
                let key = if context.state().cluster.is_some() { "agent-gone" } else { "no-environment" };
                return Err(StageError::refused(key, [("cluster", name)]));
            }
            let mut capabilities = Capabilities::default();
            for capability in [Capability::KIND, Capability::NODE_EXEC, Capability::NODE_INVENTORY, Capability::IMAGE_PULL] {
                capabilities.give(capability);
            }
            let texts = text::current();
            capabilities.lack(Capability::TYPED_REQUESTS, texts.get("unsupported-typed-requests"));
            capabilities.lack(Capability::PORT_FORWARD, texts.get("unsupported-port-forward"));
            let client = client(&context.session, &context.spec).await?;
            Ok(Cluster {
                client: client.clone(),
                kubeconfig: context.session.kubeconfig(),
                context: kube_context(&context.spec.cluster.name),
                capabilities,
                fidelity: Fidelity::Simulated,
                passage: Some(std::sync::Arc::new(SimNodes(client.clone()))),
                nodes: std::sync::Arc::new(SimNodes(client)),
                name,
            })
        })
    }

    fn teardown<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Teardown, StageError>> {
        Box::pin(async move {
            let mut done = Teardown::default();
            let ended = self.end(&context.session).await?;
            if let Some(cluster) = context.state().cluster.filter(|_| ended) {
                done.removed.push(text::current().with("removed-simulated", &[("cluster", &cluster.name)]));
            }
            Ok(done)
        })
    }
}
