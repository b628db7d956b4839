//! The command line. It parses, calls the library and prints; a library user misses nothing of it.

mod agent;
mod bundle;
mod catalogue;
mod choice;
mod collect;
mod diff;
mod environment;
mod github;
mod ledger;
mod lint;
mod plan;
mod progress;
mod prove;
mod report;
mod run;
mod select;
mod sessions;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::registry::Registry;
use crate::text;

/// Provisions an Istio-ambient-on-Kind environment and proves every outcome that its install guide documents.
#[derive(Debug, Parser)]
#[command(name = "meshproof", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Spec file; can be given several times, later ones over earlier ones. Without it: meshproof.yaml here, if there is one.
    /// Also `MESHPROOF_SPEC`, files separated by colons.
    #[arg(long, global = true, value_name = "FILE")]
    spec: Vec<PathBuf>,
    /// A value over those of the spec files, for example cluster.workers=2.
    #[arg(long, global = true, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Take everything from this bundle, a directory or a packed file, and nothing from anywhere else; also `MESHPROOF_BUNDLE`. The spec that it
    /// was made from is the ground under --spec and --set.
    #[arg(long, global = true, value_name = "PATH")]
    bundle: Option<PathBuf>,
    /// The profile to start from; `meshproof list profiles` shows them.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Where the cluster comes from; also `MESHPROOF_BACKEND`. Without it: auto.
    #[arg(long, global = true, value_enum)]
    backend: Option<Backend>,
    /// The context of the cluster for `--backend existing`, in the files of KUBECONFIG or ~/.kube/config; also `MESHPROOF_CONTEXT`. It is
    /// never guessed.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// State directory; without it $`MESHPROOF_STATE`, or one for this project below the XDG state directory.
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// What is written to standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Also write a `JUnit` report to this file.
    #[arg(long, global = true, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report in this form to this file when the work has ended, however it ended, for example markdown=summary.md; can be given
    /// several times. Of `run`, `up` and `verify`. Forms: those of `meshproof report --as`.
    #[arg(long, global = true, value_name = "FORM=FILE")]
    report: Vec<crate::report::FormFile>,
    /// Judge only these outcomes, for example "istio, section:2.1.2 and not kind:hardening". Of `run`, `verify` and `list outcomes`.
    #[arg(long, global = true, value_name = "EXPR")]
    select: Option<String>,
    /// Leave an outcome out, or several (dashboard.proxy, *.ready), and say why; can be given several times. Of `run` and `verify`.
    #[arg(long, global = true, value_name = "ID=REASON")]
    skip: Vec<String>,
    /// Judge only what failed, was blocked or was not finished in the last run that judged anything. Of `run` and `verify`.
    #[arg(long, global = true)]
    rerun_failed: bool,
    /// Skipped and unsupported outcomes gate as well. Of `run` and `verify`.
    #[arg(long, global = true)]
    strict: bool,
    /// What is expected to fail, with reason, owner and last day. Without it: expected-failures.yaml here, if there is one. Also
    /// `MESHPROOF_EXPECTED_FAILURES`. Of `run` and `verify`.
    #[arg(long, global = true, value_name = "FILE")]
    expected_failures: Option<PathBuf>,
    /// Multiply every time limit. Also `MESHPROOF_TIMEOUT_SCALE`.
    #[arg(long, global = true, value_name = "X")]
    timeout_scale: Option<f64>,
    /// What becomes of the environment when a run has ended: always, on-failure or never. Also `MESHPROOF_KEEP`. Without it: always.
    #[arg(long, global = true, value_name = "WHEN")]
    keep: Option<String>,
    /// What is done with an environment that is there: allow, never or require. Also `MESHPROOF_REUSE`. Without it: allow.
    #[arg(long, global = true, value_name = "HOW")]
    reuse: Option<String>,
    /// What is done if it was made from another spec: apply, recreate or refuse. Also `MESHPROOF_ON_DRIFT`. Without it: apply.
    #[arg(long, global = true, value_name = "HOW")]
    on_drift: Option<String>,
    /// How long the environment lives if nobody uses it, for example 8h, 3d or never. Also `MESHPROOF_TTL`. Without it: 7d.
    #[arg(long, global = true, value_name = "TIME")]
    ttl: Option<String>,
    /// Show external commands as well; twice: internals.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When what may tell what went wrong is collected by run and up: on-failure or never. Also `MESHPROOF_COLLECT`. Without it: on-failure.
    #[arg(long, global = true, value_name = "WHEN")]
    collect: Option<String>,
    /// What there is to provision and to judge.
    #[arg(skip)]
    registry: Registry,
    /// The language of what is said. Without it: that of the locale.
    #[arg(long, global = true, value_enum, value_name = "LANG")]
    lang: Option<Language>,
    /// No colour and no live display; also `NO_COLOR`.
    #[arg(long, global = true)]
    no_color: bool,
}

/// A source of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// kind where a container engine answers, else embedded.
    Auto,
    /// A real Kind cluster.
    Kind,
    /// A simulated cluster in a process of its own, without any engine.
    Embedded,
    /// A cluster that is there, by its context in your kubeconfig; nothing in it is changed.
    Existing,
}

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// English.
    En,
    /// Simplified Chinese.
    #[value(name = "zh-CN", alias = "zh")]
    ZhCn,
}

/// A form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// For CI systems.
    Junit,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Provision, verify and report; a healthy environment is used again.
    Run,
    /// Provision the environment, or repair it.
    Up,
    /// Judge the environment that is there; changes nothing.
    Verify,
    /// Remove everything that up made.
    Down {
        /// Every environment of this user on this machine, but those that somebody works on or uses.
        #[arg(long)]
        all: bool,
    },
    /// Show the environment of this state directory.
    Status {
        /// Every environment of this user on this machine.
        #[arg(long)]
        all: bool,
    },
    /// Put everything that may tell what went wrong into one directory, without secrets: logs, objects, events, configurations.
    Collect {
        /// Where to; it must be empty or not exist. Without it: the directory of this run in the state directory.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make, check, show, serve, sign and pack bundles: everything that an environment needs, for machines without a network.
    Bundle {
        /// What to do.
        #[command(subcommand)]
        command: bundle::Command,
    },
    /// Show what up would do, with every file and command; changes nothing.
    Plan,
    /// Show what there is to know by name.
    List {
        /// What to list.
        #[arg(value_enum, default_value_t = catalogue::Kind::Outcomes)]
        what: catalogue::Kind,
    },
    /// Break the environment in many small ways, one after the other, and show that exactly the outcomes that must fail do.
    Prove {
        /// Only these faults, or those of these chapters, for example `dashboard.no-pods istio`.
        faults: Vec<String>,
    },
    /// Write the report of a run again, in any form, from its journal; works on a journal that was cut, and needs no environment.
    Report {
        /// A run of this environment by its id, a journal file, a directory with a journal.jsonl, or - for standard input. Without it: the
        /// newest run that provisioned or judged something.
        #[arg(value_name = "RUN|FILE")]
        source: Option<String>,
        /// The form: terminal, json, junit, markdown, conformance or html. Without it that of --format.
        #[arg(long = "as", value_name = "FORM")]
        form: Option<crate::report::Form>,
        /// The file that it goes to. Without it: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print a JSON Schema of what meshproof writes.
    Schema {
        /// Of what.
        #[arg(value_enum)]
        what: report::Schema,
    },
    /// Say what is wrong with hosts.toml files of containerd and with systemd drop-ins of a proxy; the mirrors and the kind release of the spec
    /// are what they are judged by.
    Lint {
        /// The files: NAME.toml, NAME.conf.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Say what changed between two runs; exit code 1 if something that gates is worse.
    Diff {
        /// The run to compare with: its id, its journal, or a directory that holds a journal.jsonl.
        before: String,
        /// The run to compare.
        after: String,
        /// As Markdown, for a pull request or an issue.
        #[arg(long)]
        markdown: bool,
    },
    /// Explain a stage or an outcome.
    Explain {
        /// Its id.
        id: String,
    },
    /// Print shell exports that hand the environment over: eval "$(meshproof env)".
    Env,
    /// Print the private kubeconfig.
    Kubeconfig,
    /// Print a new token of the Dashboard's admin user.
    Token,
    /// Host the embedded cluster of a state directory; `up` starts it.
    #[command(hide = true)]
    Agent,
}

/// An error of the command line with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    chain: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    fn new(code: u8, error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Self {
        Self { code, chain: crate::error::chain(error), hint }
    }

    fn usage(message: String, hint: Option<String>) -> Self {
        Self { code: 2, chain: vec![message], hint }
    }
}

impl From<crate::harness::HarnessError> for Failure {
    fn from(e: crate::harness::HarnessError) -> Self {
        Self::new(3, &e, e.hint())
    }
}

impl From<crate::session::SessionError> for Failure {
    fn from(e: crate::session::SessionError) -> Self {
        crate::harness::HarnessError::from(e).into()
    }
}

impl From<crate::cluster::user_config::UserConfigError> for Failure {
    fn from(e: crate::cluster::user_config::UserConfigError) -> Self {
        Self::new(2, &e, e.hint())
    }
}

impl From<crate::stages::StageError> for Failure {
    fn from(e: crate::stages::StageError) -> Self {
        Self::new(3, &e, e.hint())
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::new(1, &e, None)
    }
}

/// Parses the arguments of the process, does what they say and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    main_with(Registry::builtin())
}

/// The same command line with other stages and outcomes, for the program of a crate that adds its own.
#[must_use]
pub fn main_with(registry: Registry) -> ExitCode {
    let mut cli = Cli::parse();
    cli.global.registry = registry;
    match cli.global.lang {
        Some(Language::En) => text::choose(text::Lang::En),
        Some(Language::ZhCn) => text::choose(text::Lang::ZhCn),
        None => {}
    }
    if let Err(failure) = select::from_variables(&mut cli.global) {
        return fail(&failure);
    }
    log(cli.global.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&Failure::new(3, &e, None)),
    };
    let result = runtime.block_on(dispatch(&cli));
    crate::tools::settle();
    // Detached threads of the runtime have nothing left to do that anybody waits for.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => fail(&failure),
    }
}

async fn dispatch(cli: &Cli) -> Result<u8, Failure> {
    let global = &cli.global;
    choice::fits(global, &cli.command)?;
    match &cli.command {
        Command::Run => run::run(global, run::Work::Run).await,
        Command::Up => run::run(global, run::Work::Up).await,
        Command::Verify => run::run(global, run::Work::Verify).await,
        Command::Down { all: true } => sessions::down_all(global).await,
        Command::Down { all: false } => run::down(global).await,
        Command::Status { all: true } => sessions::status_all(global),
        Command::Status { all: false } => environment::status(global).await,
        Command::Collect { out } => collect::collect(global, out.clone()).await,
        Command::Bundle { command } => bundle::bundle(global, command).await,
        Command::Plan => plan::plan(global).await,
        Command::List { what } => catalogue::list(global, *what),
        Command::Prove { faults } => prove::command(global, faults).await,
        Command::Report { source, form, out } => report::report(global, source.as_deref(), *form, out.as_deref()),
        Command::Schema { what } => report::schema(global, *what),
        Command::Lint { files } => lint::lint(global, files),
        Command::Diff { before, after, markdown } => diff::diff(global, before, after, *markdown),
        Command::Explain { id } => catalogue::explain(global, id),
        Command::Env => environment::env(global),
        Command::Kubeconfig => environment::kubeconfig(global),
        Command::Token => environment::token(global).await,
        Command::Agent => agent::agent(global).await,
    }
}

/// Prints an error chain once, with its hint.
fn fail(failure: &Failure) -> ExitCode {
    let mut out = std::io::stderr().lock();
    let texts = text::current();
    // Nothing can be done when standard error is closed.
    // A spec error repeats the value, and an URL may hold a password.
    let chain = crate::journal::Redactor::default().text(&failure.chain.join(": "));
    let _ = writeln!(out, "{}", github::settled(&texts.with("cli-error", &[("chain", &chain)])));
    if let Some(hint) = &failure.hint {
        let _ = writeln!(out, "{}", github::settled(&texts.with("cli-hint", &[("hint", hint)])));
    }
    ExitCode::from(failure.code)
}

/// Writes the result to standard output; a reader that went away is no error.
fn print(text: &str) -> Result<(), Failure> {
    print_as_it_is(&github::settled(text))
}

/// The same of what another program has to read.
fn print_as_it_is(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::new(1, &e, None))?;
    print_as_it_is(&github::settled_json(text))
}

fn log(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    if verbose >= 2 {
        let filter = EnvFilter::try_from_env("MESHPROOF_LOG").unwrap_or_else(|_| EnvFilter::new("info,meshproof=debug"));
        // A second call in one process changes nothing.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}
