//! What the nodes have: journals, images, containers, containerd's files. What `kind export logs` takes, and what explains a failed pull.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _};

use super::local::is_key;
use super::writer::Place;
use super::{Job, Trouble};
use crate::cluster::kind_config::{DROP_IN_PATH, expected_nodes};
use crate::cluster::{NodeAccess, NodeError};
use crate::engine::ExecOutput;
use crate::error::one_line;
use crate::text;
use crate::wait::Limit;

/// Nodes that are asked at a time; each is asked one thing after the other.
const NODES: usize = 4;
/// Files of one kind that are taken from a node's disk.
const FILES: usize = 200;
/// Where the kubelet has the logs of containers.
const POD_LOGS: &str = "/var/log/pods";

/// File, what it is, command. The first is quick and tells whether a node answers at all.
const COMMANDS: [(&str, &str, &[&str]); 8] = [
    ("kubernetes-version.txt", "collect-what-kubernetes-version", &["cat", "/kind/version"]),
    ("kubelet.log", "collect-what-kubelet-journal", &["journalctl", "--no-pager", "-u", "kubelet"]),
    ("containerd.log", "collect-what-containerd-journal", &["journalctl", "--no-pager", "-u", "containerd"]),
    ("containers.log", "collect-what-containers", &["crictl", "ps", "-a"]),
    ("images.log", "collect-what-images", &["crictl", "images"]),
    ("containerd-config.toml", "collect-what-containerd-config", &["containerd", "config", "dump"]),
    (DROP_IN, "collect-what-drop-in", &["cat", DROP_IN_PATH]),
    ("journal.log", "collect-what-node-journal", &["journalctl", "--no-pager"]),
];
const DROP_IN: &str = "http-proxy.conf";
const MACHINE: &str = "inspect.json";
const BOOT_LOG: &str = "serial.log";
const MIRRORS: &str = "certs.d";

/// Takes what the nodes have. One that does not answer costs the others nothing.
pub(super) async fn collect(job: &Job<'_>) {
    let nodes = match &job.nodes {
        Ok(nodes) => nodes,
        Err(why) => return job.writer.leave_out(&"nodes", &text::current().with("collect-why-no-nodes", &[("why", why)])),
    };
    job.writer.expect(&"nodes");
    let listed = async { nodes.machines().await.map_err(|e| one_line(&e)) };
    let machines: Vec<(String, Option<String>)> = match job.bounded("the machines are listed", Limit::EngineAnswer, listed).await {
        Ok(machines) => machines.into_iter().map(|m| (m.name, Some(m.state))).collect(),
        Err(trouble) => {
            job.writer.leave_out(&"the list of machines", trouble.words());
            expected_nodes(&job.context.spec).into_iter().map(|(name, _)| (name, None)).collect()
        }
    };
    job.writer.forget(&"nodes");
    let lanes: Vec<Lane<'_>> = machines.into_iter().map(|(name, state)| Lane::new(job, nodes, name, state)).collect();
    stream::iter(lanes).for_each_concurrent(NODES, Lane::run).await;
}

/// The questions to one node, asked one after the other.
struct Lane<'a> {
    job: &'a Job<'a>,
    nodes: &'a Arc<dyn NodeAccess>,
    node: String,
    /// Why nothing more is asked.
    over: Option<String>,
}

impl<'a> Lane<'a> {
    fn new(job: &'a Job<'a>, nodes: &'a Arc<dyn NodeAccess>, node: String, state: Option<String>) -> Self {
        let off = state.filter(|s| s != "running");
        let over = off.map(|state| text::current().with("collect-why-node-off", &[("state", &state)]));
        let lane = Self { job, nodes, node, over };
        for file in COMMANDS.iter().map(|(file, ..)| *file).chain([MACHINE, BOOT_LOG, MIRRORS]) {
            job.writer.expect(&lane.place(&[file]));
        }
        lane
    }

    fn place(&self, pieces: &[&str]) -> Place {
        Place::new(&[&["nodes", self.node.as_str()], pieces].concat())
    }

    async fn run(mut self) {
        // A machine that is stopped still has these.
        let off = self.over.take();
        self.machine().await;
        self.over = self.over.take().or(off);
        for (n, (file, what, argv)) in COMMANDS.iter().enumerate() {
            let place = self.place(&[file]);
            let limit = if n == 0 { Limit::EngineAnswer } else { Limit::NodeCommand };
            match self.ask(argv, limit).await {
                Ok(output) if output.code == 0 => self.job.writer.text(&place, what, output.stdout),
                Ok(_) if *file == DROP_IN && !self.job.context.spec.proxy.enabled => self.job.writer.forget(&place),
                Ok(output) => self.job.writer.leave_out(&place, &complaint(&output)),
                Err(why) => self.job.writer.leave_out(&place, &why),
            }
        }
        self.mirrors().await;
        if self.job.server().await.is_err() {
            self.pod_logs().await;
        }
    }

    /// What the engine knows and has heard.
    async fn machine(&mut self) {
        let (writer, journal) = (&self.job.writer, &self.job.context.journal);
        let (machine, boot) = (self.place(&[MACHINE]), self.place(&[BOOT_LOG]));
        let nodes = Arc::clone(self.nodes);
        let node = self.node.clone();
        match self.bounded(Limit::EngineAnswer, nodes.describe(&node)).await {
            Ok(Some(mut value)) => {
                journal.redactor().json(&mut value);
                writer.text(&machine, "collect-what-machine", format!("{value:#}\n"));
            }
            Ok(None) => writer.forget(&machine),
            Err(why) => writer.leave_out(&machine, &why),
        }
        match self.bounded(Limit::EngineAnswer, nodes.boot_log(&node)).await {
            Ok(Some(log)) => writer.text(&boot, "collect-what-boot-log", log),
            Ok(None) => writer.forget(&boot),
            Err(why) => writer.leave_out(&boot, &why),
        }
    }

    /// One question, unless the node was silent before.
    async fn bounded<T>(&mut self, limit: Limit, question: impl Future<Output = Result<T, NodeError>>) -> Result<T, String> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        let what = format!("node {} answers", self.node);
        match self.job.bounded(&what, limit, async { question.await.map_err(|e| one_line(&e)) }).await {
            Ok(answer) => Ok(answer),
            Err(Trouble::Said(why)) => Err(why),
            Err(Trouble::Silence(why)) => {
                self.over = Some(text::current().get("collect-why-node-silent"));
                Err(why)
            }
        }
    }

    async fn ask(&mut self, argv: &[&str], limit: Limit) -> Result<ExecOutput, String> {
        let nodes = Arc::clone(self.nodes);
        let node = self.node.clone();
        self.bounded(limit, nodes.exec(&node, argv)).await
    }

    /// The lines of a command's output, no more than [`FILES`].
    async fn lines(&mut self, argv: &[&str], place: &Place) -> Vec<String> {
        let output = match self.ask(argv, Limit::NodeCommand).await {
            Ok(output) if output.code == 0 => output,
            Ok(output) => {
                self.job.writer.leave_out(place, &complaint(&output));
                return Vec::new();
            }
            Err(why) => {
                self.job.writer.leave_out(place, &why);
                return Vec::new();
            }
        };
        self.job.writer.forget(place);
        let mut lines: Vec<String> = output.stdout.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        if lines.len() > FILES {
            let args = [("count", (lines.len() - FILES).to_string()), ("limit", FILES.to_string())];
            let why = text::current().with("collect-why-too-many", &args.each_ref().map(|(k, v)| (*k, v.as_str())));
            self.job.writer.leave_out(place, &why);
            lines.truncate(FILES);
        }
        lines
    }

    /// `certs.d` has a directory for each registry.
    async fn mirrors(&mut self) {
        let root = self.job.context.spec.cluster.config_path.trim_end_matches('/').to_owned();
        let place = self.place(&[MIRRORS]);
        for registry in self.lines(&["ls", "-1", &root], &place).await {
            let place = self.place(&[MIRRORS, &registry]);
            let dir = format!("{root}/{registry}");
            for name in self.lines(&["ls", "-1", &dir], &place).await {
                // `ls` of a file names the file itself.
                let (path, place) = if name == dir {
                    (name.clone(), place.clone())
                } else {
                    (format!("{dir}/{name}"), self.place(&[MIRRORS, &registry, &name]))
                };
                if is_key(&name) {
                    self.job.writer.leave_out(&place, &text::current().get("collect-why-key"));
                } else {
                    self.file(&["cat", &path], &place, "collect-what-node-mirror-file").await;
                }
            }
        }
    }

    /// The logs of containers, which else come from the API server.
    async fn pod_logs(&mut self) {
        let place = self.place(&["pods"]);
        let most = self.job.writer.bounds.file.to_string();
        for path in self.lines(&["find", POD_LOGS, "-type", "f", "-name", "*.log"], &place).await {
            let pieces: Vec<&str> = path.strip_prefix(POD_LOGS).unwrap_or(&path).split('/').filter(|p| !p.is_empty()).collect();
            let place = self.place(&[&["pods"], pieces.as_slice()].concat());
            self.file(&["tail", "-c", &most, &path], &place, "collect-what-node-pod-log").await;
        }
    }

    async fn file(&mut self, argv: &[&str], place: &Place, what: &'static str) {
        self.job.writer.expect(place);
        match self.ask(argv, Limit::NodeCommand).await {
            Ok(output) if output.code == 0 => self.job.writer.text(place, what, output.stdout),
            Ok(output) => self.job.writer.leave_out(place, &complaint(&output)),
            Err(why) => self.job.writer.leave_out(place, &why),
        }
    }
}

/// Why a command failed, as far as it said so.
fn complaint(output: &ExecOutput) -> String {
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    format!("the command ended with code {}: {}", output.code, said.trim())
}
