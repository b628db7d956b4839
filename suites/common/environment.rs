//! The environment that the cases of a test process share.

use std::sync::{Arc, LazyLock, OnceLock};

use meshproof::agent::Launch;
use meshproof::cluster::Provider;
use meshproof::cluster::embedded::Embedded;
use meshproof::cluster::kind::Kind;
use meshproof::engine::endpoint;
use meshproof::harness::{Harness, Purpose, Settings};
use meshproof::journal::StageResult;
use meshproof::outcomes::{Environment, Judged, Outcome, judge};
use meshproof::report::progress::line;
use meshproof::report::{StageState, Summary};
use meshproof::session::Session;
use meshproof::stages::StageError;
use serial_test::{file_serial, is_locked_file_serially};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Backend, say};

/// A client belongs to the runtime that it was made in, and the runtime of a `#[tokio::test]` ends with its test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime can be made"));
/// Where a simulated cluster of this process keeps its files.
static STATE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));
static PROVIDED: OnceLock<Result<Provided, String>> = OnceLock::new();

/// An environment that was provisioned, or as much of it as there is.
pub(crate) struct Provided {
    environment: Environment,
    stages: Summary,
}

/// The environment, provisioned at the first call and found again at the later ones.
pub(crate) fn provided(backend: Backend, outcome: &Outcome) -> Result<&'static Provided, &'static str> {
    // While one process judges an outcome of a group, `kubectl proxy` runs there, and another's preflight would find its port taken.
    if outcome.group.is_some() {
        assert!(
            is_locked_file_serially(Some("meshproof_kubectl_proxy"), None),
            "the case of {} must hold the lock of its group",
            outcome.id
        );
        provide(backend);
    } else if PROVIDED.get().is_none() {
        match backend {
            Backend::Kind => provide_in_turn(),
            Backend::Embedded => provide(backend),
        }
    }
    PROVIDED.get().expect("it was provided").as_ref().map_err(String::as_str)
}

#[file_serial(meshproof_kubectl_proxy)]
fn provide_in_turn() {
    provide(Backend::Kind);
}

fn provide(backend: Backend) {
    PROVIDED.get_or_init(|| RUNTIME.block_on(Provided::make(backend)));
}

impl Provided {
    async fn make(backend: Backend) -> Result<Self, String> {
        let provider: Arc<dyn Provider> = match backend {
            Backend::Kind => Arc::new(kind()),
            Backend::Embedded => Arc::new(Embedded::in_process()),
        };
        let mut settings = Settings::from_environment(provider).map_err(|e| words(&e, None))?;
        if backend == Backend::Kind {
            let agent = Launch::meshproof(env!("CARGO_BIN_EXE_meshproof").into(), &settings.session);
            settings.provider = Arc::new(kind().with_agent_of(Some(agent)));
        }
        if backend == Backend::Embedded {
            settings.session = Session::at(STATE.path());
            // Many such clusters live on one machine at a time.
            settings.spec.kubectl_proxy.port = 0;
        }
        let progress = |record: &_| {
            if let Some(line) = line(record, meshproof::text::current(), false) {
                say(&line);
            }
        };
        let harness = Harness::begin(settings, "suites", Purpose::Provision, progress).await.map_err(|e| words(&e, e.hint().as_deref()))?;
        harness.up().await;
        let context = Arc::clone(&harness.context);
        // Judging needs no lock, and the next test process is waiting for it.
        drop(harness);
        let stages = Summary::fold(&context.journal.records());
        if let Some(why) = ["preflight", "cluster"].iter().find_map(|stage| failure(&stages, stage)) {
            return Err(why);
        }
        let environment = Environment::open(context).await.map_err(|e: StageError| words(&e, e.hint().as_deref()))?;
        Ok(Self { environment, stages })
    }

    /// Why a stage that the outcome needs was not provisioned.
    pub(crate) fn blocked(&self, outcome: &Outcome) -> Option<String> {
        outcome.needs.iter().find_map(|need| failure(&self.stages, need))
    }

    /// Judges an outcome.
    pub(crate) fn judge(&self, outcome: &Outcome) -> Judged {
        RUNTIME.block_on(judge(outcome, &self.environment))
    }

    /// A text without the secrets that this environment has met.
    pub(crate) fn redacted(&self, text: &str) -> String {
        self.environment.context.journal.redactor().text(text)
    }
}

fn kind() -> Kind {
    Kind::new(endpoint::find(|name| std::env::var(name).ok()))
}

/// How a stage failed, or the stage at the root of what blocks it.
fn failure(stages: &Summary, id: &str) -> Option<String> {
    let stage = stages.stages.iter().find(|s| s.info.id == id)?;
    let StageState::Finished { result, .. } = &stage.state else {
        return Some(format!("stage {id} was not finished"));
    };
    match result {
        StageResult::Already | StageResult::Provisioned | StageResult::NotNeeded => None,
        StageResult::Blocked { by } => failure(stages, by).or_else(|| Some(format!("stage {id} is blocked by {by}"))),
        StageResult::Failed { error, hint, diagnoses } => {
            let mut text = format!("stage {id} failed: {}", error.join(": "));
            for diagnosis in diagnoses {
                text += &format!("\n  diagnosis {}: {} {}", diagnosis.label(), diagnosis.cause, diagnosis.remedy);
            }
            Some(hint.iter().fold(text, |text, hint| format!("{text}\n  hint: {hint}")))
        }
    }
}

/// An error chain with its hint.
fn words(error: &(dyn std::error::Error + 'static), hint: Option<&str>) -> String {
    let chain = meshproof::error::chain(error).join(": ");
    hint.iter().fold(chain, |chain, hint| format!("{chain}\n  hint: {hint}"))
}
