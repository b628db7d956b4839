//! A kind node: files, systemd, containerd and the commands that one runs with `docker exec`.

mod commands;
pub mod config;
mod containers;
mod crictl;
mod ctr;
pub mod hosts;
mod images;
mod pull;
pub mod reference;
mod runtime;
pub mod systemd;
#[cfg(test)]
mod tests;
pub mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use rustls::RootCertStore;

pub use config::ContainerdVersion;
pub use containers::{ContainerRecord, Containers};
pub use images::{Image, Store};
pub use pull::{PullError, PullFault};

use crate::net::Network;
use crate::oci::host_architecture;
use config::Loaded;
use reference::Reference;
use systemd::{Environment, Systemd};
use tree::{Tree, TreeError};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Lines of each unit's journal that are kept.
const JOURNAL: usize = 2000;

/// Where containerd's configuration is.
pub const CONFIG: &str = "/etc/containerd/config.toml";

/// What a node is made of.
#[derive(Clone)]
pub struct NodeSettings {
    /// Container name, host name and node name.
    pub name: String,
    /// `control-plane` or `worker`.
    pub role: String,
    /// Its containerd.
    pub containerd: ContainerdVersion,
    /// Where it dials.
    pub network: Network,
    /// Authorities that its system trusts.
    pub roots: RootCertStore,
    /// Tells the time.
    pub now: Now,
    /// CPU in thousandths.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of its system.
    pub os_image: String,
    /// Go's name of the architecture.
    pub architecture: String,
    /// The container's environment, in which kind leaves its proxy variables.
    pub environment: Environment,
    /// Whether containerd knows a string `proxy` in `hosts.toml`, which no release does (D2).
    pub proxy_key: bool,
}

impl NodeSettings {
    /// A node of kind 0.30.
    #[must_use]
    pub fn new(name: &str, role: &str, network: Network, roots: RootCertStore, now: Now) -> Self {
        Self {
            name: name.to_owned(),
            role: role.to_owned(),
            containerd: ContainerdVersion(2, 1, 4),
            network,
            roots,
            now,
            cpu_millis: 4000,
            memory: 8 << 30,
            kernel: "6.1.0-37-amd64".to_owned(),
            os_image: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            architecture: host_architecture().to_owned(),
            environment: Environment::new(),
            proxy_key: false,
        }
    }
}

/// Whether the node's container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It runs.
    Running,
    /// It was stopped or died.
    Exited,
    /// It is frozen.
    Paused,
}

/// What a command came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status.
    pub code: i64,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    fn ok(stdout: impl Into<String>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    fn failed(code: i64, stderr: impl Into<String>) -> Self {
        Self { code, stderr: stderr.into(), ..Self::default() }
    }
}

/// A node. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    settings: NodeSettings,
    state: Mutex<State>,
    containers: Containers,
}

struct State {
    run: RunState,
    started: Timestamp,
    tree: Tree,
    systemd: Systemd,
    /// The configuration of the running containerd, or why it does not run.
    runtime: Result<Loaded, String>,
    images: Store,
    journal: BTreeMap<String, VecDeque<String>>,
    runtime_down: bool,
    pull_faults: BTreeMap<String, PullFault>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.inner.settings.name).finish_non_exhaustive()
    }
}

impl Node {
    /// A node that has booted.
    #[must_use]
    pub fn new(settings: NodeSettings) -> Self {
        let mut tree = Tree::default();
        let files = [
            (CONFIG, config::default_config()),
            ("/etc/hostname", format!("{}\n", settings.name)),
            ("/etc/resolv.conf", "nameserver 172.18.0.1\noptions ndots:0\n".to_owned()),
            ("/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()),
            ("/etc/os-release", format!("PRETTY_NAME=\"{}\"\nNAME=\"Debian GNU/Linux\"\nID=debian\n", settings.os_image)),
            ("/kind/version", "v1.33.4\n".to_owned()),
        ];
        for (path, content) in files {
            // An empty tree takes any file.
            let _ = tree.write(path, content.as_bytes());
        }
        let started = (settings.now)();
        let state = State {
            run: RunState::Exited,
            started,
            tree,
            systemd: Systemd::default(),
            runtime: Err("containerd has not been started".to_owned()),
            images: Store::default(),
            journal: BTreeMap::new(),
            runtime_down: false,
            pull_faults: BTreeMap::new(),
        };
        let node = Self { inner: Arc::new(Inner { settings, state: Mutex::new(state), containers: Containers::default() }) };
        node.start();
        node
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("nothing panics with this lock held")
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &NodeSettings {
        &self.inner.settings
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.settings.name
    }

    /// The runtime as a `Node` object's status names it.
    #[must_use]
    pub fn runtime_version(&self) -> String {
        format!("containerd://{}", self.inner.settings.containerd)
    }

    /// The containers on it, which a kubelet fills in.
    #[must_use]
    pub fn containers(&self) -> &Containers {
        &self.inner.containers
    }

    /// Whether it runs.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        self.state().run
    }

    /// When it was started last.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.state().started
    }

    /// Starts a stopped node, as `docker start` does: its files are still there, its processes are new.
    pub fn start(&self) {
        let mut state = self.state();
        if state.run != RunState::Exited {
            return;
        }
        state.run = RunState::Running;
        state.started = (self.inner.settings.now)();
        // The entrypoint of kind's node image hands the container's proxy variables to systemd, empty ones too.
        let value = |name: &str| self.inner.settings.environment.get(name).cloned().unwrap_or_default().replace('%', "%%");
        let pairs: Vec<String> = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].map(|n| format!("\"{n}={}\"", value(n))).into();
        let text = format!("[Manager]\nDefaultEnvironment={}\n", pairs.join(" "));
        let path = "/etc/systemd/system.conf.d/proxy-default-environment.conf";
        // Under a mount it may fail, and then systemd has no defaults.
        let _ = state.tree.write(path, text.as_bytes());
        self.reload(&mut state);
        self.restart(&mut state, "containerd");
        self.restart(&mut state, "kubelet");
    }

    /// Whether systemd runs the kubelet.
    #[must_use]
    pub fn kubelet_runs(&self) -> bool {
        self.state().systemd.unit("kubelet").is_some_and(|unit| unit.main_pid != 0)
    }

    /// Stops it, as `docker stop` does.
    pub fn stop(&self) {
        let mut state = self.state();
        state.run = RunState::Exited;
        for unit in systemd::UNITS {
            state.systemd.stop(unit);
        }
    }

    /// Freezes it, as `docker pause` does.
    pub fn pause(&self) {
        let mut state = self.state();
        if state.run == RunState::Running {
            state.run = RunState::Paused;
        }
    }

    /// Ends [`Self::pause`].
    pub fn unpause(&self) {
        let mut state = self.state();
        if state.run == RunState::Paused {
            state.run = RunState::Running;
        }
    }

    /// Binds a directory of the host, as kind's `extraMounts` does.
    pub fn mount(&self, host: impl Into<std::path::PathBuf>, path: &str) {
        self.state().tree.mount(host, path);
    }

    /// Writes a file; the directories above it are made.
    ///
    /// # Errors
    /// When something is in the way.
    pub fn write_file(&self, path: &str, content: &str) -> Result<(), TreeError> {
        self.state().tree.write(path, content.as_bytes())
    }

    /// Reads a file, `/proc` included.
    ///
    /// # Errors
    /// When it is not there.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        self.read(&self.state(), path)
    }

    fn read(&self, state: &State, path: &str) -> Result<Vec<u8>, TreeError> {
        let settings = &self.inner.settings;
        let Some(rest) = path.strip_prefix("/proc/") else { return state.tree.read(path) };
        let text = match rest {
            "sys/kernel/hostname" => format!("{}\n", settings.name),
            "sys/kernel/osrelease" => format!("{}\n", settings.kernel),
            "version" => format!("Linux version {} (sim)\n", settings.kernel),
            "meminfo" => format!("MemTotal: {:>15} kB\nMemAvailable: {:>11} kB\n", settings.memory / 1024, settings.memory / 2048),
            _ => {
                let pid = rest.strip_suffix("/environ").and_then(|pid| pid.parse().ok());
                return pid.and_then(|pid| state.systemd.environ(pid)).ok_or(TreeError::NotFound);
            }
        };
        Ok(text.into_bytes())
    }

    /// Changes containerd's configuration as kind does it with `containerdConfigPatches`; containerd is restarted.
    ///
    /// # Errors
    /// When the patch is no TOML.
    pub fn patch_config(&self, patch: &str) -> Result<(), String> {
        let mut state = self.state();
        let mut text = state.tree.text(CONFIG).unwrap_or_default();
        config::merge_patch(&mut text, patch)?;
        state.tree.write(CONFIG, text.as_bytes()).map_err(|e| e.to_string())?;
        self.restart(&mut state, "containerd");
        Ok(())
    }

    fn reload(&self, state: &mut State) {
        let State { systemd, tree, .. } = state;
        systemd.reload(tree, &self.inner.settings.name);
    }

    /// Starts a unit anew. Says whether it came up.
    fn restart(&self, state: &mut State, unit: &str) -> bool {
        state.systemd.restart(unit);
        if unit != "containerd" {
            self.journal(state, unit, &format!("Started {unit}.service"));
            return true;
        }
        let text = state.tree.text(CONFIG).unwrap_or_default();
        state.runtime = config::load(self.inner.settings.containerd, &text);
        let (up, line) = match &state.runtime {
            Ok(loaded) => {
                (true, loaded.failure_log().unwrap_or_else(|| "level=info msg=\"containerd successfully booted in 0.05s\"".to_owned()))
            }
            Err(why) => (false, format!("containerd: failed to load TOML: {CONFIG}: {why}")),
        };
        self.journal(state, unit, &line);
        if !up {
            state.systemd.stop(unit);
        }
        up
    }

    fn journal(&self, state: &mut State, unit: &str, line: &str) {
        let now = (self.inner.settings.now)();
        let line = if line.starts_with("level=") { format!("time=\"{now}\" {line}") } else { line.to_owned() };
        let lines = state.journal.entry(unit.to_owned()).or_default();
        if lines.len() == JOURNAL {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Adds a line to a unit's journal.
    pub fn log(&self, unit: &str, line: &str) {
        self.journal(&mut self.state(), unit, line);
    }

    /// A unit's journal.
    #[must_use]
    pub fn journal_of(&self, unit: &str) -> Vec<String> {
        self.state().journal.get(unit).into_iter().flatten().cloned().collect()
    }

    /// Lets containerd's socket refuse connections, or answer again.
    pub fn runtime_down(&self, down: bool) {
        self.state().runtime_down = down;
    }

    /// Decides about pulls of one image; `None` leaves them to the network again.
    ///
    /// # Errors
    /// When the name is no image reference.
    pub fn pull_fault(&self, image: &str, fault: Option<PullFault>) -> Result<(), String> {
        let name = Reference::parse(image)?.to_string();
        let mut state = self.state();
        match fault {
            Some(fault) => state.pull_faults.insert(name, fault),
            None => state.pull_faults.remove(&name),
        };
        Ok(())
    }

    /// Adds an image without a pull.
    pub fn preload(&self, image: Image) {
        self.state().images.add(image);
    }

    /// An image that the node has.
    #[must_use]
    pub fn image(&self, name: &str) -> Option<Image> {
        self.state().images.find(name).cloned()
    }

    /// All images that the node has.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        self.state().images.all().to_vec()
    }
}
