//! Nodes that are maps.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::{BoxFuture, FutureExt};

use crate::cluster::{NodeAccess, NodeError, NodeMachine};
use crate::engine::ExecOutput;
use crate::mirror::record::Access;

type Run = Arc<dyn Fn(&str) -> i64 + Send + Sync>;

#[derive(Default)]
struct State {
    machines: Vec<NodeMachine>,
    /// By node and command line; `None` never ends.
    answers: BTreeMap<(String, String), Option<ExecOutput>>,
    /// By node and the beginning of a command line: the exit code by the rest of it.
    runs: BTreeMap<(String, String), Run>,
    files: BTreeMap<(String, String), String>,
    /// What the recorders see of a command: node and command line, and the lines that they write.
    seen: BTreeMap<(String, String), String>,
    recording: Option<PathBuf>,
    down: BTreeSet<String>,
    hanging: bool,
}

impl State {
    /// `None` where there is never an answer.
    fn answer(&self, node: &str, argv: &[&str]) -> Result<Option<ExecOutput>, NodeError> {
        let (name, command) = (node.to_owned(), argv.join(" "));
        if self.down.contains(node) {
            return Err(NodeError::Command { node: name, command, code: 409, output: "container is not running".to_owned() });
        }
        let says = |code, stdout: &str, stderr: String| Ok(Some(ExecOutput { code, stdout: stdout.to_owned(), stderr }));
        if let ["cat", path] = argv {
            let content = self.files.get(&(name, (*path).to_owned()));
            return content
                .map_or_else(|| says(1, "", format!("cat: {path}: No such file or directory")), |content| says(0, content, String::new()));
        }
        if let (Some(file), Some(lines)) = (&self.recording, self.seen.get(&(name.clone(), command.clone()))) {
            let written = std::fs::OpenOptions::new().create(true).append(true).open(file).and_then(|mut f| f.write_all(lines.as_bytes()));
            written.expect("a file");
        }
        for ((of, begins), run) in &self.runs {
            if let Some(rest) = command.strip_prefix(begins).filter(|_| *of == name) {
                return says(run(rest), "", String::new());
            }
        }
        match self.answers.get(&(name, command.clone())) {
            Some(answer) => Ok(answer.clone()),
            None => says(127, "", format!("the test has no answer for `{command}`")),
        }
    }
}

/// The nodes of a cluster; clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct FakeNodes(Arc<Mutex<State>>);

impl FakeNodes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes the list of machines.
    pub(crate) fn machines_mut(&self, change: impl FnOnce(&mut Vec<NodeMachine>)) {
        change(&mut self.lock().machines);
    }

    /// What a command says on a node.
    pub(crate) fn answer(&self, node: &str, command: &str, code: i64, stdout: &str, stderr: &str) {
        let output = ExecOutput { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() };
        self.lock().answers.insert((node.to_owned(), command.to_owned()), Some(output));
    }

    /// How a command ends on a node, by what follows these words.
    pub(crate) fn runs(&self, node: &str, begins: &str, run: impl Fn(&str) -> i64 + Send + Sync + 'static) {
        self.lock().runs.insert((node.to_owned(), begins.to_owned()), Arc::new(run));
    }

    /// What the recorders see while a command runs on a node: nothing where no access is given.
    pub(crate) fn seen(&self, node: &str, command: &str, accesses: &[Access]) {
        let lines = accesses.iter().map(|a| serde_json::to_string(a).unwrap() + "\n").collect();
        self.lock().seen.insert((node.to_owned(), command.to_owned()), lines);
    }

    /// Where the recorders write.
    pub(crate) fn record_to(&self, file: PathBuf) {
        self.lock().recording = Some(file);
    }

    /// A command that never ends on a node.
    pub(crate) fn hang(&self, node: &str, command: &str) {
        self.lock().answers.insert((node.to_owned(), command.to_owned()), None);
    }

    /// A file on a node.
    pub(crate) fn file(&self, node: &str, path: &str, content: &str) {
        self.lock().files.insert((node.to_owned(), path.to_owned()), content.to_owned());
    }

    pub(crate) fn remove_file(&self, node: &str, path: &str) {
        self.lock().files.remove(&(node.to_owned(), path.to_owned()));
    }

    /// The machines cannot be listed any more: the question hangs.
    pub(crate) fn hang_machines(&self) {
        self.lock().hanging = true;
    }

    /// A node whose machine is stopped: no command starts there.
    pub(crate) fn take_down(&self, node: &str) {
        let mut state = self.lock();
        state.down.insert(node.to_owned());
        if let Some(machine) = state.machines.iter_mut().find(|m| m.name == node) {
            "exited".clone_into(&mut machine.state);
        }
    }
}

impl NodeAccess for FakeNodes {
    fn machines(&self) -> BoxFuture<'_, Result<Vec<NodeMachine>, NodeError>> {
        async {
            let (machines, hanging) = {
                let state = self.lock();
                (state.machines.clone(), state.hanging)
            };
            if hanging { std::future::pending().await } else { Ok(machines) }
        }
        .boxed()
    }

    fn exec<'a>(&'a self, node: &'a str, argv: &'a [&'a str]) -> BoxFuture<'a, Result<ExecOutput, NodeError>> {
        async move {
            let answer = self.lock().answer(node, argv)?;
            match answer {
                Some(output) => Ok(output),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn write_file<'a>(&'a self, node: &'a str, path: &'a str, content: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        self.file(node, path, content);
        async { Ok(()) }.boxed()
    }
}
