//! Many tests want the environment at once, as processes and as threads: one of them makes it, and all use it.
//!
//! The tests of the crowd are ignored ones of this very program, which the others start with a state directory of their own. With
//! `MESHPROOF_BACKEND=kind` they take the environment that the variables name, and it must not be there yet. `MESHPROOF_CROWD` is the number
//! of processes.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use meshproof::fixture::{Environment, environment};
use meshproof::k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use meshproof::kube::api::{Api, ListParams};
use meshproof::session::Session;
use rstest::rstest;
use serde_json::Value;
use serial_test::file_serial;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Processes at once, unless somebody says otherwise.
const PROCESSES: usize = 40;
/// Threads of one more process.
const THREADS: [&str; 3] = ["member::row_1", "member::row_2", "16"];
/// A record in the middle of provisioning: the cluster is made, and nothing that a test wants is in it.
const HALFWAY: &str = r#""stage-started","stage":"istio""#;

/// One of the crowd. What it makes in its namespace, nobody else has changed.
#[rstest]
#[tokio::test]
#[ignore = "needs an environment of its own, in which the tests below start it"]
async fn member(#[future(awt)] environment: Environment, #[values(1, 2, 3, 4, 5)] row: u32, #[values(1, 2, 3, 4, 5, 6, 7, 8)] seat: u32) {
    environment
        .with_namespace("crowd", async |environment, namespace| {
            let mine = format!("row {row}, seat {seat}");
            let seat = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seat"}, "data": {"taken": mine}});
            namespace.apply(&seat.to_string()).await;
            let seats: Api<ConfigMap> = Api::namespaced(environment.cluster.client.clone(), &namespace.name);
            let found = seats.get("seat").await.expect("the ConfigMap that was just made");
            assert_eq!(found.data.unwrap_or_default().get("taken"), Some(&mine));
        })
        .await;
}

/// The last one of the crowd.
#[rstest]
#[tokio::test]
#[ignore = "needs an environment of its own, in which the tests below start it"]
async fn nobody_left_a_namespace(#[future(awt)] environment: Environment) {
    let namespaces: Api<Namespace> = Api::all(environment.cluster.client.clone());
    let found = namespaces.list(&ListParams::default().labels("dev.meshproof.session")).await.expect("a list of namespaces");
    let stay = found.items.iter().map(|n| &n.metadata).filter(|m| m.deletion_timestamp.is_none());
    assert_eq!(stay.map(|m| m.name.clone()).collect::<Vec<_>>(), []);
}

#[rstest]
#[case::from_nothing(None)]
#[case::after_a_killed_one(Some(HALFWAY))]
#[tokio::test]
#[file_serial(meshproof_crowd)]
async fn a_crowd_shares_one_environment(#[case] killed_at: Option<&str>) {
    let place = Place::new();
    let members = place.members().await;
    assert_eq!(members.len(), 40, "{members:?}");
    if let Some(record) = killed_at {
        let holder = place.test(&members[0]).env("MESHPROOF_KILL_AT", record).output();
        let output = timeout(place.limit, holder).await.expect("it ends in time").expect("it can be started");
        assert_eq!(output.status.signal(), Some(9), "{}", said(&output));
    }
    let mut crowd = JoinSet::new();
    let [first, second, threads] = THREADS;
    crowd.spawn(place.tests(&[first, second, "--test-threads", threads]).output());
    for member in members.iter().cycle().take(place.processes) {
        crowd.spawn(place.test(member).output());
    }
    // What is not over by then is killed with the crowd.
    let outputs = timeout(place.limit, crowd.join_all()).await.expect("the crowd ends in time");
    for output in outputs {
        let output = output.expect("a test can be started");
        assert!(output.status.success(), "{}", said(&output));
    }
    let last = place.test("nobody_left_a_namespace").output().await.expect("a test can be started");
    assert!(last.status.success(), "{}", said(&last));

    let runs = place.runs();
    let provisioned = |stage: &str| {
        let done = |r: &&Value| r["event"] == "stage-finished" && r["stage"] == stage && r["result"] == "provisioned";
        runs.iter().flatten().filter(done).count()
    };
    assert_eq!((provisioned("cluster"), provisioned("istio")), (1, 1), "of {} runs", runs.len());
    let green = |run: &&Vec<Value>| run.last().is_some_and(|r| r["event"] == "run-finished" && r["exit_code"] == 0);
    // A run for each test, and the one that made the environment.
    assert_eq!(runs.iter().filter(green).count(), place.processes + 16 + 1 + 1);
    assert_eq!(runs.len(), place.processes + 16 + 1 + 1 + usize::from(killed_at.is_some()));
}

#[tokio::test]
#[file_serial(meshproof_crowd)]
async fn a_test_that_may_not_make_an_environment_says_so_and_leaves_nothing() {
    let place = Place::new();
    let output = place.test("nobody_left_a_namespace").env("MESHPROOF_REUSE", "require").output().await.expect("a test can be started");
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("There is no environment here") && said.contains("hint: "), "{said}");
    assert!(!place.state.exists(), "{said}");
}

/// Where the crowd finds its environment.
struct Place {
    dir: TempDir,
    state: PathBuf,
    variables: Option<Vec<(&'static str, OsString)>>,
    processes: usize,
    limit: Duration,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let asked = std::env::var("MESHPROOF_CROWD").ok().filter(|n| !n.is_empty());
        let processes = asked.map_or(PROCESSES, |n| n.parse().expect("MESHPROOF_CROWD is a number"));
        if std::env::var("MESHPROOF_BACKEND").is_ok_and(|backend| backend == "kind") {
            let state = PathBuf::from(std::env::var_os("MESHPROOF_STATE").expect("MESHPROOF_STATE names where the environment is to be"));
            assert!(!state.join("state.json").exists(), "there is an environment already in {}", state.display());
            return Self { dir, state, variables: None, processes, limit: Duration::from_mins(30) };
        }
        let spec = dir.path().join("any-port.yaml");
        // The port of the guide may well be in use where this runs.
        std::fs::write(&spec, "kubectlProxy:\n  port: 0\n").expect("a spec can be written");
        let state = dir.path().join("state");
        let variables = vec![
            ("HOME", dir.path().into()),
            ("TMPDIR", dir.path().into()),
            ("MESHPROOF_BACKEND", "embedded".into()),
            ("MESHPROOF_SPEC", spec.into()),
            ("MESHPROOF_STATE", state.clone().into()),
        ];
        Self { dir, state, variables: Some(variables), processes, limit: Duration::from_mins(2) }
    }

    /// Tests of this program, in a process that ends with this one.
    fn tests(&self, args: &[&str]) -> Command {
        let this = std::env::current_exe().expect("the path of this test");
        let mut command = Command::from(self.command(&this));
        command.arg("--ignored").args(args).kill_on_drop(true);
        command
    }

    fn test(&self, name: &str) -> Command {
        self.tests(&["--exact", name])
    }

    #[expect(clippy::disallowed_methods, reason = "the processes are this very test and the command line, which tools/ knows nothing of")]
    fn command(&self, program: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        if let Some(variables) = &self.variables {
            // Nothing of this process's environment reaches it.
            command.current_dir(self.dir.path()).env_clear().envs(variables.iter().cloned());
        }
        command
    }

    async fn members(&self) -> Vec<String> {
        let output = self.tests(&["member::", "--list", "--format", "terse"]).output().await.expect("this test can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect()
    }

    /// The records of every run.
    fn runs(&self) -> Vec<Vec<Value>> {
        let session = Session::at(&self.state);
        let read = |run: &String| std::fs::read_to_string(session.journal(run)).expect("every run has a journal");
        let parse = |text: String| text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        session.runs().iter().map(read).map(parse).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Also after a test that failed. Whether `down` works is not the question here.
        let _ = self.command(Path::new(env!("CARGO_BIN_EXE_meshproof"))).arg("down").output();
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
