//! The recorders of a kind cluster: where its nodes find them, and what the agent that hosts them does.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::kind::Kind;
use super::kind_config::expected_nodes;
use crate::agent::{self, Agent, AgentError, Launch};
use crate::engine::{Engine, HostContainer, endpoint};
use crate::journal::Event;
use crate::mirror::record::Naming;
use crate::recording::{self, Hosting, Recorders, Running, mirror_cache};
use crate::session::{Session, State};
use crate::spec::{RecorderHost, Spec};
use crate::stages::{Context, StageError};
use crate::wait::{Limit, Progress};

/// The ports inside a container of our own, where nobody else listens: mirror, drop-in, `hosts.toml`.
const CONTAINER_PORTS: [u16; 3] = [5100, 3128, 3129];
/// How long an address that is nobody's is not asked about again.
const FORGET_AFTER: Duration = Duration::from_secs(2);

/// What the recorders are made from: when it differs, they are started anew.
pub(crate) fn config(spec: &Spec) -> serde_json::Value {
    let Spec { cluster, mirrors, proxy, recording, downloads, bundle, .. } = spec;
    let chained = (recording.proxy == crate::spec::ProxyRecording::Chained).then_some(&proxy.https);
    serde_json::json!({
        "cluster": cluster.name, "mirrors": mirrors, "recording": recording, "downloads": downloads, "bundle": bundle, "chained": chained,
    })
}

/// Hosts the recorders of a session in this process, which is its agent.
pub(crate) async fn host(session: &Session, state: &State, spec: &Spec) -> Result<(Running, Recorders), AgentError> {
    let Some(mut recorders) = state.recorders.clone() else {
        return Err(AgentError::NotAsked { dir: session.dir().to_owned() });
    };
    let nodes: Vec<String> = expected_nodes(spec).into_iter().map(|(name, _)| name).collect();
    let (address, naming) = match (&recorders.container, recorders.host.parse::<IpAddr>()) {
        // In a container nobody but those on the nodes' network reaches this one.
        (Some(_), _) => (IpAddr::from(Ipv4Addr::UNSPECIFIED), naming(Directory::Names(nodes))),
        (None, Ok(address)) => {
            let engine = Engine::connect(endpoint::find(|name| std::env::var(name).ok())).await?;
            (address, naming(Directory::Engine(engine, spec.cluster.name.clone())))
        }
        (None, Err(_)) => return Err(AgentError::NotAsked { dir: session.dir().to_owned() }),
    };
    let running = recording::start(
        spec,
        Hosting {
            address,
            ports: [recorders.mirror, recorders.drop_in, recorders.hosts_toml],
            file: recording::file(session),
            cache: mirror_cache(|name| std::env::var(name).ok()),
            bundle: spec.bundle.as_ref().map(PathBuf::from),
            upstreams: None,
            naming,
        },
    )
    .await?;
    [recorders.mirror, recorders.drop_in, recorders.hosts_toml] = running.ports;
    Ok((running, recorders))
}

/// Who knows which node has an address.
enum Directory {
    /// The engine, and the cluster's name.
    Engine(Engine, String),
    /// The engine's name service, as a container sees it; the names of the nodes.
    Names(Vec<String>),
}

impl Directory {
    async fn addresses(&self) -> HashMap<IpAddr, String> {
        match self {
            Self::Engine(engine, cluster) => engine.addresses(cluster).await.unwrap_or_default(),
            Self::Names(names) => {
                let mut found = HashMap::new();
                for name in names {
                    let addresses = tokio::net::lookup_host((name.as_str(), 0)).await.into_iter().flatten();
                    found.extend(addresses.map(|a| (a.ip(), name.clone())));
                }
                found
            }
        }
    }
}

/// Names peers. An address that is not known is asked for, since nodes come and go and get other addresses when they are restarted.
fn naming(directory: Directory) -> Naming {
    #[derive(Default)]
    struct Known {
        nodes: HashMap<IpAddr, String>,
        asked: Option<Instant>,
    }
    let (directory, known) = (Arc::new(directory), Arc::new(Mutex::new(Known::default())));
    Arc::new(move |peer: SocketAddr| {
        let (directory, known) = (Arc::clone(&directory), Arc::clone(&known));
        Box::pin(async move {
            let address = peer.ip().to_canonical();
            let (found, fresh) = {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                (known.nodes.get(&address).cloned(), known.asked.is_some_and(|at| at.elapsed() < FORGET_AFTER))
            };
            if found.is_some() || fresh {
                return found;
            }
            let nodes = directory.addresses().await;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Known { nodes, asked: Some(Instant::now()) };
            known.nodes.get(&address).cloned()
        })
    })
}

impl Kind {
    /// Where the recorders are at work now, as the spec wants them; `None` where they are not.
    pub(super) async fn recorders_at_work(&self, context: &Context) -> Result<Option<Recorders>, StageError> {
        let Some(agent) = Agent::of(&context.session).filter(|a| a.config == config(&context.spec)) else { return Ok(None) };
        let Some(recorders) = agent.recorders.clone() else { return Ok(None) };
        let engine = self.engine().await?;
        let alive = match &recorders.container {
            Some(container) => engine.is_running(container).await?,
            // The network may have been made anew, with other addresses.
            None => agent.alive() && gateway(engine).await?.is_some_and(|g| g.to_string() == recorders.host),
        };
        Ok(alive.then_some(recorders))
    }

    /// Lets the recorders work, and says where nodes find them.
    pub(super) async fn start_recorders(&self, context: &Context, launch: Option<Launch>) -> Result<Recorders, StageError> {
        self.make_network(context).await?;
        if let Some(recorders) = self.recorders_at_work(context).await? {
            return Ok(recorders);
        }
        self.end_recorders(context).await?;
        let engine = self.engine().await?;
        let gateway = gateway(engine).await?;
        let here = match gateway {
            Some(address) => can_listen(address).await,
            None => false,
        };
        let in_agent = match context.spec.recording.host {
            RecorderHost::Auto => here,
            RecorderHost::Agent if !here => {
                let address = gateway.map_or_else(|| "-".to_owned(), |a| a.to_string());
                return Err(StageError::refused("recorders-no-address", [("address", address)]));
            }
            RecorderHost::Agent => true,
            RecorderHost::Container => false,
        };
        let before = context.state().recorders;
        let recorders = if let Some(address) = gateway.filter(|_| in_agent) {
            // Nodes may know them by these ports.
            let (mirror, drop_in, hosts_toml) =
                before.filter(|b| b.container.is_none()).map_or((0, 0, 0), |b| (b.mirror, b.drop_in, b.hosts_toml));
            Recorders { host: address.to_string(), mirror, drop_in, hosts_toml, container: None }
        } else {
            let name = format!("meshproof-recorders-{}", context.state().id);
            let [mirror, drop_in, hosts_toml] = CONTAINER_PORTS;
            Recorders { host: name.clone(), mirror, drop_in, hosts_toml, container: Some(name) }
        };
        // The agent reads both; and a container is recorded before it is made.
        context.record_spec()?;
        context.record(|state| state.recorders = Some(recorders.clone()))?;
        match &recorders.container {
            None => agent::start(context, launch).await?,
            Some(name) => self.start_container(context, name, launch).await?,
        }
        let agent = Agent::of(&context.session).and_then(|a| a.recorders);
        agent.ok_or_else(|| StageError::Other { message: "the agent has not said where its recorders listen".to_owned(), hint: None })
    }

    /// Ends the recorders and removes their container, if they had one. Says what was removed.
    pub(super) async fn end_recorders(&self, context: &Context) -> Result<Option<String>, StageError> {
        if let Some(container) = context.state().recorders.and_then(|r| r.container) {
            let engine = self.engine().await?;
            return Ok(engine.remove_own_container(&container, &context.state().id).await?.then_some(container));
        }
        Ok(agent::end(&context.session).await.then(|| "recorders".to_owned()))
    }

    /// The same program in a container on the nodes' network, for engines whose network this machine has no address in.
    async fn start_container(&self, context: &Context, name: &str, launch: Option<Launch>) -> Result<(), StageError> {
        let engine = self.engine().await?;
        let image = &context.spec.cluster.node_image;
        self.load_node_image(context).await?;
        if !engine.has_image(image).await? {
            engine.pull(image).await?;
        }
        let session = &context.session;
        let launch = agent::launch(session, launch)?;
        let cache = mirror_cache(|name| std::env::var(name).ok());
        let failed = |source| crate::session::SessionError::Write { path: cache.clone(), source };
        std::fs::create_dir_all(&cache).map_err(failed)?;
        let mut binds = BTreeMap::from([
            (session.dir().to_owned(), (session.dir().to_owned(), false)),
            (cache.clone(), (cache.clone(), false)),
            (launch.program.clone(), (PathBuf::from("/meshproof"), true)),
        ]);
        if let Some(bundle) = &context.spec.bundle {
            binds.insert(bundle.into(), (bundle.into(), true));
        }
        let container = HostContainer {
            name: name.to_owned(),
            image: image.clone(),
            session: context.state().id,
            program: "/meshproof".to_owned(),
            args: launch.args.iter().map(|a| a.to_string_lossy().into_owned()).collect(),
            // A test program knows by them that it is to be an agent.
            variables: launch.variables.iter().map(|(name, value)| (name.clone(), value.to_string_lossy().into_owned())).collect(),
            binds,
        };
        context.journal.write(Event::Fact { name: "recorders".into(), value: format!("container {name}") });
        let since = jiff::Timestamp::now();
        engine.run_on_kind_network(&container).await?;
        let wanted = config(&context.spec);
        let attempt = || async {
            match Agent::of(session) {
                Some(agent) if agent.config == wanted && agent.started >= since => Progress::Ready(None),
                _ if engine.is_running(name).await.is_ok_and(|running| !running) => {
                    let said = engine.log_tail(name, 5).await.unwrap_or_default();
                    Progress::Ready(Some(said.join(" | ")))
                }
                _ => Progress::NotYet("it has not written its file yet".to_owned()),
            }
        };
        let ended = context
            .waiting
            .poll("the container of the recorders is at work", Limit::ApiServer, Duration::from_millis(100), attempt)
            .await?;
        match ended {
            Some(said) => Err(StageError::refused("recorders-container", [("container", name.to_owned()), ("said", said)])),
            None => Ok(()),
        }
    }
}

/// The address that this machine has on the nodes' network, the IPv4 one.
async fn gateway(engine: &Engine) -> Result<Option<IpAddr>, StageError> {
    let Some(network) = engine.kind_network().await? else { return Ok(None) };
    // An engine on another machine has a bridge there.
    if !engine.is_local() {
        return Ok(None);
    }
    Ok(network.gateways.iter().filter_map(|g| g.split('/').next()?.parse::<IpAddr>().ok()).find(IpAddr::is_ipv4))
}

async fn can_listen(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).await.is_ok()
}
