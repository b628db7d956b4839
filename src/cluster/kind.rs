//! Real clusters through the `kind` command line tool.
//!
//! A cluster counts as ours only when the session recorded its name before creation and every node container binds this session's own
//! `certs.d`; kind cannot put labels of ours on its nodes.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::OnceCell;

use super::kind_config::{expected_nodes, kind_config, kube_context};
use super::kind_nodes::KindNodes;
use super::{Capabilities, Capability, Cluster, Made, NodeAccess, NodeMachine, Provider, Teardown};
use crate::agent::Launch;
use crate::engine::{Endpoint, Engine, EngineError, NodeContainer};
use crate::journal::{CommandRecord, Event, Fidelity};
use crate::recording::Recorders;
use crate::session::{ClusterPhase, ClusterState, Session, SessionError, State};
use crate::spec::{Spec, to_document};
use crate::stages::{Context, Found as Looked, PlanStep, StageError};
use crate::tools::{Command, Stream, copy_docker_config, docker_config_dir};
use crate::wait::{Limit, Progress};

/// The kind backend.
#[derive(Debug)]
pub struct Kind {
    endpoint: Endpoint,
    engine: OnceCell<Engine>,
    /// How an agent is started, where not from the running program.
    launch: Option<Launch>,
}

/// What the engine has under the cluster's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// Node containers of which at least this one is not provably this session's.
    Foreign {
        /// Its name.
        container: String,
        /// Whether others among them are.
        mixed: bool,
    },
    /// This session's node containers.
    Ours(Vec<NodeContainer>),
}

/// What became of a cluster that was made whole once.
enum Repair {
    /// There was nothing to do.
    Whole,
    /// It is whole again.
    Healed,
    /// It must be made anew, for this reason.
    Remake(String),
}

impl Kind {
    /// The backend on an engine that is connected to when it is first needed.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, engine: OnceCell::new(), launch: None }
    }

    /// The same for a process that is not `meshproof` itself: agents are started like this.
    #[must_use]
    pub fn with_agent_of(mut self, launch: Option<Launch>) -> Self {
        self.launch = launch;
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn engine(&self) -> Result<&Engine, EngineError> {
        self.engine.get_or_try_init(|| Engine::connect(self.endpoint.clone())).await
    }

    pub(super) async fn find(&self, context: &Context) -> Result<Found, StageError> {
        let name = &context.spec.cluster.name;
        let nodes = self.engine().await?.nodes(name).await?;
        if let Some(first) = nodes.first() {
            let recorded = context.state().cluster.is_some_and(|c| c.name == *name);
            let certs = context.session.certs_dir();
            let certs = certs.to_string_lossy();
            // Docker Desktop shows a host path below a mount point of its virtual machine.
            let ours = |bind: &String| bind.strip_prefix("/host_mnt").unwrap_or(bind) == certs;
            let bound = |n: &NodeContainer| n.role == "external-load-balancer" || n.binds.values().any(ours);
            let foreign = nodes.iter().find(|n| !bound(n)).or((!recorded).then_some(first));
            if let Some(node) = foreign {
                let mixed = nodes.iter().any(|n| n.binds.values().any(ours));
                return Ok(Found::Foreign { container: node.name.clone(), mixed });
            }
            let volumes: Vec<String> = nodes.iter().flat_map(|n| n.volumes.iter().cloned()).collect();
            if volumes.iter().any(|v| !context.state().volumes.contains(v)) {
                context.record(|state| state.volumes.extend(volumes))?;
            }
            return Ok(Found::Ours(nodes));
        }
        for (node, _) in expected_nodes(&context.spec) {
            if self.engine().await?.container_exists(&node).await? {
                return Ok(Found::Foreign { container: node, mixed: false });
            }
        }
        Ok(Found::Nothing)
    }

    pub(super) async fn command(&self, context: &Context) -> Result<Command, StageError> {
        let command = context.tools.kind().await?.command().env("DOCKER_HOST", &self.endpoint.url);
        Ok(command.docker_config(&context.session.docker_config()))
    }

    /// Whether every node runs and the API server answers, without waiting for anything.
    async fn look(&self, context: &Context) -> Result<Looked, StageError> {
        let name = &context.spec.cluster.name;
        let nodes = match self.find(context).await? {
            Found::Nothing => return Ok(Looked::Missing(format!("there is no cluster {name}"))),
            Found::Foreign { container, .. } => return Err(refuse_foreign(context, container)),
            Found::Ours(nodes) => nodes,
        };
        let recorded = context.state().cluster.filter(|c| c.phase == ClusterPhase::Made);
        let Some(recorded) = recorded else { return Ok(Looked::Missing(format!("the cluster {name} was never made whole"))) };
        if recorded.config != kind_config(&context.spec, &context.session.certs_dir()) {
            return Ok(Looked::Missing(format!("the cluster {name} was made from another configuration")));
        }
        for (node, _) in expected_nodes(&context.spec) {
            match nodes.iter().find(|n| n.name == node) {
                None => return Ok(Looked::Missing(format!("the container of node {node} is gone"))),
                Some(n) if n.state != "running" => return Ok(Looked::Missing(format!("the container of node {node} is {}", n.state))),
                Some(_) => {}
            }
        }
        if !context.session.kubeconfig().exists() {
            return Ok(Looked::Missing("the private kubeconfig is gone".to_owned()));
        }
        let client = super::client(&context.session.kubeconfig(), &kube_context(name)).await?;
        let asked = context.waiting.within("the API server answers", Limit::EngineAnswer, client.apiserver_version()).await;
        Ok(match asked {
            Ok(Ok(_)) => Looked::True,
            Ok(Err(e)) => Looked::Missing(format!("the API server does not answer: {}", crate::error::one_line(&e))),
            Err(e) => Looked::Missing(e.to_string()),
        })
    }

    async fn provision(&self, context: &Context) -> Result<Made, StageError> {
        Self::copy_client_config(context)?;
        context.journal.write(Event::Fact { name: "nodeImage".into(), value: context.spec.cluster.node_image.clone() });
        let config = kind_config(&context.spec, &context.session.certs_dir());
        let recorded = context.state().cluster;
        match self.find(context).await? {
            Found::Foreign { container, .. } => return Err(refuse_foreign(context, container)),
            Found::Nothing => self.remove_volumes(context).await?,
            Found::Ours(nodes) => {
                if recorded.as_ref().is_some_and(|c| c.phase == ClusterPhase::Made) {
                    if recorded.is_some_and(|c| c.config != config) {
                        let drifts = "the kind configuration".to_owned();
                        let args = [("cluster", context.spec.cluster.name.clone()), ("drifts", drifts)];
                        return Err(StageError::refused("cluster-drift", args));
                    }
                    match self.repair(context, &nodes).await? {
                        Repair::Whole => return Ok(Made::Already),
                        Repair::Healed => return Ok(Made::Now),
                        Repair::Remake(why) => context.journal.write(Event::Warning { message: why }),
                    }
                }
                // Others may use what is left of it.
                let alone = context.alone().await?;
                self.delete(context).await?;
                drop(alone);
                context.share().await?;
            }
        }
        self.create(context, config).await?;
        Ok(Made::Now)
    }

    /// Heals a cluster that was made whole once, as far as that is possible.
    async fn repair(&self, context: &Context, nodes: &[NodeContainer]) -> Result<Repair, StageError> {
        let texts = crate::text::current();
        let missing: Vec<String> =
            expected_nodes(&context.spec).into_iter().map(|(name, _)| name).filter(|n| !nodes.iter().any(|c| c.name == *n)).collect();
        if !missing.is_empty() {
            return Ok(Repair::Remake(texts.with("warning-recreate-missing-node", &[("nodes", &missing.join(", "))])));
        }
        let engine = self.engine().await?;
        // Control planes first: a worker that starts alone finds nobody to join.
        let mut stopped: Vec<&NodeContainer> = nodes.iter().filter(|n| n.state != "running").collect();
        stopped.sort_by_key(|n| n.role != "control-plane");
        for node in &stopped {
            engine.start(node).await?;
        }
        if !context.session.kubeconfig().exists() {
            self.export_kubeconfig(context).await?;
        }
        match self.wait_for_api(context).await {
            Ok(()) if stopped.is_empty() => Ok(Repair::Whole),
            Ok(()) => Ok(Repair::Healed),
            // Node addresses may have changed with a restart of the engine; kind cannot always follow.
            Err(StageError::Wait(e)) if !stopped.is_empty() => {
                Ok(Repair::Remake(texts.with("warning-recreate-no-api", &[("seen", &e.last)])))
            }
            // Every node has been running all along: slow or overloaded, perhaps, but not ours to throw away.
            Err(StageError::Wait(e)) => Err(StageError::refused("api-silent", [("seen", e.last)])),
            Err(e) => Err(e),
        }
    }

    /// kind reads proxies from the docker client's configuration as well; it gets a copy that has none.
    fn copy_client_config(context: &Context) -> Result<(), StageError> {
        let copy = context.session.docker_config();
        let failed = |source| SessionError::Write { path: copy.clone(), source };
        std::fs::create_dir_all(&copy).map_err(failed)?;
        if let Some(from) = docker_config_dir() {
            copy_docker_config(&from, &copy).map_err(failed)?;
        }
        Ok(())
    }

    async fn create(&self, context: &Context, config: String) -> Result<(), StageError> {
        self.load_node_image(context).await?;
        let name = context.spec.cluster.name.clone();
        context.session.write("kind-config.yaml", &config)?;
        self.make_network(context).await?;
        context.record(|state| {
            // Whoever removes a cluster that is only half made goes by the spec that it has its name from.
            state.spec = to_document(&context.spec);
            state.cluster = Some(ClusterState { name: name.clone(), phase: ClusterPhase::Creating, config });
            // What was installed in a cluster that is gone proves nothing about this one.
            state.transcripts.clear();
            state.baked_images.clear();
        })?;
        let journal = context.journal.clone();
        let kubeconfig = context.session.kubeconfig();
        let created = self
            .command(context)
            .await?
            .args(["create", "cluster", "--name", &name, "--retain", "--config"])
            .arg(context.session.kind_config())
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .timeout(context.waiting.limit(Limit::ClusterCreate))
            .on_line(move |stream, line| {
                // ` • Preparing nodes 📦 📦   ...` is the beginning of a step.
                if stream == Stream::Stderr
                    && let Some(step) = line.trim().strip_prefix('•')
                {
                    let status = step.trim().trim_end_matches('.').trim().to_owned();
                    journal.write(Event::StageProgress { stage: "cluster".into(), status });
                }
            })
            .ok(&context.journal)
            .await;
        // Also of a failed creation: finding the nodes writes down their volumes.
        let found = self.find(context).await;
        if let Err(source) = created {
            return Err(StageError::Create { source, nodes: self.node_logs(context).await });
        }
        found?;
        self.wait_for_api(context).await?;
        self.note_baked_images(context).await?;
        context.record(|state| {
            if let Some(cluster) = &mut state.cluster {
                cluster.phase = ClusterPhase::Made;
            }
        })?;
        Ok(())
    }

    /// The network of the nodes, made where it is missing and recorded before.
    pub(super) async fn make_network(&self, context: &Context) -> Result<(), StageError> {
        let engine = self.engine().await?;
        if engine.kind_network().await?.is_none() {
            context.record(|state| state.network = true)?;
            engine.create_kind_network(&context.state().id).await?;
        }
        Ok(())
    }

    /// What the nodes of a failed creation said, thanks to `--retain`: why systemd or the kubelet did not come up. As far as it can be had.
    async fn node_logs(&self, context: &Context) -> Vec<String> {
        const LINES: usize = 60;
        let mut lines = Vec::new();
        let Ok(engine) = self.engine().await else { return lines };
        for node in engine.nodes(&context.spec.cluster.name).await.unwrap_or_default() {
            let boot = engine.log_tail(&node.name, LINES);
            lines.extend(
                context.waiting.within("the node's log", Limit::EngineAnswer, boot).await.ok().and_then(Result::ok).unwrap_or_default(),
            );
            let tail = LINES.to_string();
            let kubelet = ["journalctl", "--no-pager", "-o", "cat", "-u", "kubelet", "-n", &tail];
            let said = context.waiting.within("the kubelet's log", Limit::NodeCommand, engine.exec(&node.name, &kubelet)).await;
            lines.extend(said.ok().and_then(Result::ok).iter().flat_map(|o| o.stdout.lines().map(str::to_owned)));
        }
        lines
    }

    async fn export_kubeconfig(&self, context: &Context) -> Result<(), StageError> {
        self.command(context)
            .await?
            .args(["export", "kubeconfig", "--name", &context.spec.cluster.name, "--kubeconfig"])
            .arg(context.session.kubeconfig())
            .timeout(context.waiting.limit(Limit::ShortCommand))
            .ok(&context.journal)
            .await?;
        Ok(())
    }

    pub(super) async fn delete(&self, context: &Context) -> Result<(), StageError> {
        self.command(context)
            .await?
            .args(["delete", "cluster", "--name", &context.spec.cluster.name, "--kubeconfig"])
            .arg(context.session.kubeconfig())
            .timeout(context.waiting.limit(Limit::ClusterDelete))
            .ok(&context.journal)
            .await?;
        self.remove_volumes(context).await
    }

    /// kind removes the volumes of the nodes that it deletes; those of nodes that were gone already are left to us.
    pub(super) async fn remove_volumes(&self, context: &Context) -> Result<(), StageError> {
        for volume in context.state().volumes {
            // Gone or in use by a container that is not one of ours any more: nothing is left to do.
            self.engine().await?.remove_volume(&volume).await?;
        }
        context.record(|state| state.volumes.clear())?;
        Ok(())
    }

    async fn wait_for_api(&self, context: &Context) -> Result<(), StageError> {
        let client = super::client(&context.session.kubeconfig(), &kube_context(&context.spec.cluster.name)).await?;
        let attempt = || {
            let client = client.clone();
            async move {
                match client.apiserver_version().await {
                    Ok(_) => Progress::Ready(()),
                    Err(e) => Progress::NotYet(crate::error::one_line(&e)),
                }
            }
        };
        let interval = std::time::Duration::from_millis(500);
        Ok(context.waiting.poll("the API server answers", Limit::ApiServer, interval, attempt).await?)
    }

    async fn attach(&self, context: &Context) -> Result<Cluster, StageError> {
        let engine = self.engine().await?.clone();
        match self.find(context).await? {
            Found::Ours(_) => {}
            Found::Foreign { container, .. } => return Err(refuse_foreign(context, container)),
            Found::Nothing => {
                return Err(StageError::refused("no-environment", [("cluster", context.spec.cluster.name.clone())]));
            }
        }
        if !context.session.kubeconfig().exists() {
            if !context.is_locked() {
                return Err(StageError::refused("stage-missing", [("why", "the private kubeconfig is gone".to_owned())]));
            }
            self.export_kubeconfig(context).await?;
        }
        let mut capabilities = Capabilities::default();
        capabilities.give(Capability::KIND);
        capabilities.give(Capability::NODE_EXEC);
        capabilities.give(Capability::NODE_INVENTORY);
        capabilities.give(Capability::IMAGE_PULL);
        capabilities.give(Capability::TYPED_REQUESTS);
        capabilities.give(Capability::PORT_FORWARD);
        capabilities.give(Capability::HOST_NETWORK);
        capabilities.give(Capability::DASHBOARD_PAGE);
        Ok(Cluster {
            name: context.spec.cluster.name.clone(),
            client: super::client(&context.session.kubeconfig(), &kube_context(&context.spec.cluster.name)).await?,
            kubeconfig: context.session.kubeconfig(),
            context: kube_context(&context.spec.cluster.name),
            capabilities,
            fidelity: Fidelity::Real,
            passage: None,
            nodes: Arc::new(KindNodes { engine, cluster: context.spec.cluster.name.clone() }),
        })
    }
}

fn refuse_foreign(context: &Context, container: String) -> StageError {
    StageError::refused("cluster-taken", [("cluster", context.spec.cluster.name.clone()), ("container", container)])
}

impl Provider for Kind {
    fn name(&self) -> &'static str {
        "kind"
    }

    fn fidelity(&self) -> Fidelity {
        Fidelity::Real
    }

    fn plan(&self, spec: &Spec) -> Vec<PlanStep> {
        let config = "{state}/kind-config.yaml";
        let content = kind_config(spec, "{state}/certs.d".as_ref());
        vec![
            PlanStep::File { path: config.to_owned(), on_nodes: false, content },
            PlanStep::note("plan-network", &[]),
            PlanStep::command([
                "kind",
                "create",
                "cluster",
                "--name",
                &spec.cluster.name,
                "--retain",
                "--config",
                config,
                "--kubeconfig",
                "{state}/kubeconfig",
            ]),
        ]
    }

    fn machines<'a>(&'a self, _session: &'a Session, state: &'a State) -> BoxFuture<'a, Result<Vec<NodeMachine>, StageError>> {
        Box::pin(async move {
            let Some(cluster) = &state.cluster else { return Ok(Vec::new()) };
            let nodes = self.engine().await?.nodes(&cluster.name).await?;
            Ok(nodes.into_iter().map(|n| NodeMachine { name: n.name, role: n.role, state: n.state, started: None }).collect())
        })
    }

    fn preflight<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(async move {
            let engine = self.engine().await?;
            if !context.tools.has("docker") {
                return Err(StageError::refused("docker-cli", []));
            }
            super::kind_host::check(engine, context).await?;
            context.tools.kind().await?;
            if let Found::Foreign { container, .. } = self.find(context).await? {
                return Err(refuse_foreign(context, container));
            }
            self.baked(context).await?;
            if context.spec.bundle.is_none() && !engine.has_image(&context.spec.cluster.node_image).await? {
                context.journal.write(Event::StageProgress {
                    stage: "preflight".into(),
                    status: crate::text::current().with("progress-node-image-pull", &[("image", &context.spec.cluster.node_image)]),
                });
            }
            Ok(())
        })
    }

    fn recorders_at_work<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<Recorders>, StageError>> {
        Box::pin(self.recorders_at_work(context))
    }

    fn start_recorders<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Recorders, StageError>> {
        Box::pin(self.start_recorders(context, self.launch.clone()))
    }

    fn end_recorders<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<(), StageError>> {
        Box::pin(async move { self.end_recorders(context).await.map(drop) })
    }

    fn look<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Looked, StageError>> {
        Box::pin(self.look(context))
    }

    fn heeds(&self, spec: &Spec) -> serde_json::Value {
        json!({"cluster": spec.cluster.heeded()})
    }

    fn provision<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Made, StageError>> {
        Box::pin(self.provision(context))
    }

    fn create_again<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<CommandRecord>, StageError>> {
        Box::pin(self.again(context))
    }

    fn attach<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Cluster, StageError>> {
        Box::pin(self.attach(context))
    }

    fn node_access<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Option<Arc<dyn NodeAccess>>, StageError>> {
        Box::pin(async move {
            let Found::Ours(_) = self.find(context).await? else { return Ok(None) };
            let nodes = KindNodes { engine: self.engine().await?.clone(), cluster: context.spec.cluster.name.clone() };
            Ok(Some(Arc::new(nodes) as Arc<dyn NodeAccess>))
        })
    }

    fn teardown<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Teardown, StageError>> {
        Box::pin(self.teardown(context))
    }
}
