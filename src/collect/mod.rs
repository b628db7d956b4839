//! The bundle: one directory with everything that may tell what went wrong in an environment, taken before anything is cleaned up.
//!
//! It is bounded in size and in time, everything in it is redacted, and whatever could not be had is a line in its index instead of an error:
//! who collects has trouble already.

mod api;
mod index;
mod istio;
mod local;
mod nodes;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{OnceCell, Semaphore};

use crate::cluster::{Capability, Cluster, NodeAccess};
use crate::error::one_line;
use crate::journal::{Event, Fidelity};
use crate::outcomes::Environment;
use crate::spec::fingerprint;
use crate::stages::Context;
use crate::text;
use crate::wait::{Limit, Waiting};

use writer::{Bounds, Contents, Writer};

/// Name of the index.
pub const INDEX: &str = "index.html";
/// Requests that are under way at the API server at a time; the nodes have their own turns, so that neither waits for the other.
const REQUESTS: usize = 6;

/// A bundle that was collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its directory; `index.html` in it names every file.
    pub dir: PathBuf,
    /// How many files it has, with the index.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// What is not there, or not whole, and why; one line each.
    pub left_out: Vec<String>,
}

/// Errors of the local disk. Nothing else keeps a bundle from being made.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The directory has something in it already.
    #[error("{dir} is not empty (it has `{entry}`)")]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of the things in it.
        entry: String,
    },
    /// A file or directory could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Collects everything about an environment into a directory that is empty or does not exist, in about a minute at most.
///
/// # Errors
/// When the directory has something in it or cannot be written.
pub async fn collect(environment: &Environment, to: &Path) -> Result<Bundle, CollectError> {
    collect_within(environment, to, Bounds::USUAL).await
}

async fn collect_within(environment: &Environment, to: &Path, bounds: Bounds) -> Result<Bundle, CollectError> {
    let cluster = &environment.cluster;
    let nodes = match environment.missing(&Capability::NODE_EXEC).await {
        None => Ok(Arc::clone(&cluster.nodes)),
        Some(why) => Err(why),
    };
    // The one that costs no process first.
    let lacking = match environment.missing(&Capability::PORT_FORWARD).await {
        None => environment.missing(&Capability::ISTIOCTL).await,
        lacking => lacking,
    };
    Job::new(&environment.context, environment.waiting.clone(), to, bounds)?.of(Ok(cluster), nodes, lacking).run().await
}

/// Collects what there is in one namespace: its objects, events and logs.
///
/// # Errors
/// When the directory has something in it or cannot be written.
pub async fn collect_namespace(environment: &Environment, namespace: &str, to: &Path) -> Result<Bundle, CollectError> {
    let job = Job::new(&environment.context, environment.waiting.clone(), to, Bounds::USUAL)?;
    let job = job.of(Ok(&environment.cluster), Err(String::new()), Some(String::new()));
    Job { namespace: Some(namespace.to_owned()), ..job }.run().await
}

/// Collects what there is about a session whose environment cannot be opened: the local files always, and nodes and objects as far as the
/// cluster can be reached.
///
/// # Errors
/// When the directory has something in it or cannot be written.
pub async fn collect_session(context: &Context, to: &Path) -> Result<Bundle, CollectError> {
    let job = Job::new(context, context.waiting.clone(), to, Bounds::USUAL)?;
    let attached = context.waiting.within("the cluster is opened", Limit::ShortCommand, context.cluster()).await;
    let cluster = attached.map_err(|e| e.to_string()).and_then(|found| found.map_err(|e| one_line(&e)));
    let nodes = match &cluster {
        Ok(cluster) => cluster.capabilities.missing(&Capability::NODE_EXEC).map_or_else(|| Ok(Arc::clone(&cluster.nodes)), Err),
        // Nodes of a cluster that never came up have the most to tell.
        Err(why) => match context.waiting.within("the nodes are found", Limit::EngineAnswer, context.provider.node_access(context)).await {
            Ok(Ok(Some(nodes))) => Ok(nodes),
            Ok(Ok(None)) => Err(why.clone()),
            Ok(Err(e)) => Err(one_line(&e)),
            Err(e) => Err(e.to_string()),
        },
    };
    // A tool is not looked for, since that may mean to download it.
    let lacking = Some("the environment could not be opened".to_owned());
    job.of(cluster, nodes, lacking).run().await
}

/// One collecting.
struct Job<'a> {
    context: &'a Context,
    waiting: Waiting,
    writer: Writer,
    /// The cluster, or why there is none to ask.
    cluster: Result<&'a Cluster, String>,
    nodes: Result<Arc<dyn NodeAccess>, String>,
    /// Why istioctl cannot be used, if it cannot.
    no_istioctl: Option<String>,
    /// The API server's version, or why it does not answer.
    server: OnceCell<Result<String, String>>,
    requests: Semaphore,
    /// The only namespace to look at, if it is one.
    namespace: Option<String>,
}

impl<'a> Job<'a> {
    fn new(context: &'a Context, waiting: Waiting, to: &Path, bounds: Bounds) -> Result<Self, CollectError> {
        Ok(Self {
            context,
            waiting,
            writer: Writer::create(to, bounds, &context.journal)?,
            cluster: Err(String::new()),
            nodes: Err(String::new()),
            no_istioctl: None,
            server: OnceCell::new(),
            requests: Semaphore::new(REQUESTS),
            namespace: None,
        })
    }

    fn of(self, cluster: Result<&'a Cluster, String>, nodes: Result<Arc<dyn NodeAccess>, String>, no_istioctl: Option<String>) -> Self {
        Self { cluster, nodes, no_istioctl, ..self }
    }

    async fn run(self) -> Result<Bundle, CollectError> {
        let at = Timestamp::now();
        // What is here already comes first: it needs no time and may be all that there is.
        if self.namespace.is_none() {
            local::collect(&self);
        }
        let work = async {
            match &self.namespace {
                Some(namespace) => api::collect_namespace(&self, namespace).await,
                None => drop(tokio::join!(nodes::collect(&self), api::collect(&self))),
            }
        };
        // What is not done when the time is up is still expected, and the index says so.
        let _ = self.waiting.within("everything is collected", Limit::Collect, work).await;
        let contents = self.writer.close()?;
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let page = index::page(&contents, self.writer.bounds, &self.about(), &at, text::current());
        self.writer.index(INDEX, &page)?;
        let Contents { files, left_out, bytes } = contents;
        let bundle = Bundle {
            dir: self.writer.dir().to_owned(),
            files: files.len() + 1,
            bytes: bytes + page.len() as u64,
            left_out: left_out.into_iter().map(|(what, why)| format!("{what}: {why}")).collect(),
        };
        let dir = bundle.dir.display().to_string();
        self.context.journal.write(Event::Collected { dir, files: bundle.files, bytes: bundle.bytes, left_out: bundle.left_out.len() });
        Ok(bundle)
    }

    /// Names and values of what was looked at.
    fn about(&self) -> Vec<(String, String)> {
        let texts = text::current();
        let (context, spec) = (self.context, &self.context.spec);
        let fidelity = match context.provider.fidelity() {
            Fidelity::Real => "report-fidelity-real",
            Fidelity::Simulated => "report-fidelity-simulated",
        };
        let server = match self.server.get() {
            Some(Ok(version)) => version.clone(),
            Some(Err(why)) => why.clone(),
            None => "-".to_owned(),
        };
        let values = [
            ("meshproof", crate::harness::version()),
            ("run", context.run.clone()),
            ("session", context.state().id),
            ("backend", context.provider.name().to_owned()),
            ("fidelity", texts.get(fidelity)),
            ("cluster", spec.cluster.name.clone()),
            ("server", server),
            ("kubernetes", spec.cluster.kubernetes.clone()),
            ("istio", spec.istio.version.clone()),
            ("gateway-api", spec.gateway_api.version.clone()),
            ("dashboard", spec.dashboard.version.clone()),
            ("spec", fingerprint(spec.as_ref())),
        ];
        let redactor = context.journal.redactor();
        values.into_iter().map(|(name, value)| (texts.get(&format!("collect-about-{name}")), redactor.text(&value))).collect()
    }

    /// One question, bounded by a limit of the table; an error in words.
    async fn bounded<T>(&self, what: &str, limit: Limit, question: impl Future<Output = Result<T, String>>) -> Result<T, Trouble> {
        match self.waiting.within(what, limit, question).await {
            Ok(answer) => answer.map_err(Trouble::Said),
            Err(e) => Err(Trouble::Silence(e.to_string())),
        }
    }
}

/// Why a question was not answered.
enum Trouble {
    /// The other side said why.
    Said(String),
    /// It said nothing in time, and will probably not to the next question either.
    Silence(String),
}

impl Trouble {
    fn words(&self) -> &str {
        match self {
            Self::Said(why) | Self::Silence(why) => why,
        }
    }
}
