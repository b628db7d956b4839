//! The embedded backend: a simulated cluster in the session's agent, or in this process for tests.

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::host::{Hosted, host};
use super::manifests::manifest;
use super::nodes::SimNodes;
use crate::agent::{self, Agent, Launch};
use crate::cluster::kind_config::{expected_nodes, kube_context};
use crate::cluster::{Capabilities, Capability, Cluster, Installs, Made, NodeMachine, Part, Provider, Teardown};
use crate::journal::{Event, Fidelity};
use crate::recording::{Recorders, baked_images};
use crate::session::{ClusterPhase, ClusterState, Session, State};
use crate::spec::Spec;
use crate::stages::{Context, Found, PlanStep, StageError};
use crate::text;

/// The embedded backend.
#[derive(Debug)]
pub struct Embedded(Host);

#[derive(Debug)]
enum Host {
    /// A process of its own, started from this program unless something else is said.
    Agent(Option<Launch>),
    /// This process.
    Here(Box<Mutex<Option<(serde_json::Value, Hosted)>>>),
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
    #[must_use]
    pub fn config(spec: &Spec) -> serde_json::Value {
        let Spec { cluster, mirrors, proxy, recording, probe, dashboard, istio, tools, .. } = spec;
        serde_json::json!({
            "cluster": cluster.heeded(), "mirrors": mirrors, "proxy": proxy, "recording": recording, "probe": probe, "dashboard": dashboard.version,
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
            state.baked_images.clear();
        })?;
        match &self.0 {
            Host::Agent(launch) => {
                // One that a killed command had started may just be coming up.
                agent::end(&context.session).await;
                agent::start(context, launch.clone()).await?;
            }
            Host::Here(hosted) => {
                let mut hosted = hosted.lock().await;
                let failed = |e: super::HostError| StageError::Other { message: crate::error::one_line(&e), hint: None };
                let new = host(&context.spec, &context.session).await.map_err(failed)?;
                context.session.write("kubeconfig", &new.cluster.kubeconfig())?;
                *hosted = Some((config, new));
            }
        }
        if context.spec.recording.mirror {
            let nodes = SimNodes(client(&context.session, &context.spec).await?);
            let names: Vec<String> = expected_nodes(&context.spec).into_iter().map(|(name, _)| name).collect();
            let baked = baked_images(&nodes, &names).await?;
            context.record(|state| state.baked_images = baked)?;
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
    async fn end(&self, session: &Session) -> bool {
        match &self.0 {
            Host::Agent(_) => agent::end(session).await,
            Host::Here(hosted) => hosted.lock().await.take().is_some(),
        }
    }
}

async fn client(session: &Session, spec: &Spec) -> Result<kube::Client, StageError> {
    Ok(crate::cluster::client(&session.kubeconfig(), &kube_context(&spec.cluster.name)).await?)
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

    fn preflight<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        // What it installs are its own manifests and images.
        let bundled = context.spec.bundle.is_some().then(|| StageError::refused("bundle-simulated", []));
        Box::pin(std::future::ready(bundled.map_or(Ok(()), Err)))
    }

    fn recorders_at_work<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<Option<Recorders>, StageError>> {
        // Whatever hosts the cluster hosts them as well.
        Box::pin(std::future::ready(Ok(Some(super::host::recorders()))))
    }

    fn start_recorders<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<Recorders, StageError>> {
        Box::pin(std::future::ready(Ok(super::host::recorders())))
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
            let given = [
                Capability::KIND,
                Capability::NODE_EXEC,
                Capability::NODE_INVENTORY,
                Capability::IMAGE_PULL,
                Capability::CREDULOUS_DASHBOARD,
            ];
            for capability in given {
                capabilities.give(capability);
            }
            let texts = text::current();
            capabilities.lack(Capability::TYPED_REQUESTS, texts.get("unsupported-typed-requests"));
            capabilities.lack(Capability::PORT_FORWARD, texts.get("unsupported-port-forward"));
            capabilities.lack(Capability::HOST_NETWORK, texts.get("unsupported-host-network"));
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
            let ended = self.end(&context.session).await;
            if let Some(cluster) = context.state().cluster.filter(|_| ended) {
                done.removed.push(text::current().with("removed-simulated", &[("cluster", &cluster.name)]));
            }
            Ok(done)
        })
    }
}
