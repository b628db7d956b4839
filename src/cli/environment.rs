//! `status`, and what hands the environment over: `env`, `kubeconfig`, `token`.

use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::{Failure, Format, Global, print, print_as_it_is, print_json, select};
use crate::agent::Agent;
use crate::cluster::Installs;
use crate::cluster::kind_config::expected_nodes;
use crate::outcomes::{DASHBOARD_NAMESPACE, request_token};
use crate::session::{ClusterPhase, Lease, Phase, Session, Standing, State};
use crate::spec::fingerprint;
use crate::stages::{StageError, bound_kubectl};
use crate::text;
use crate::wait::Limit;

/// The session with a cluster that was made whole, or the error that there is none.
fn made(global: &Global) -> Result<(Session, State), Failure> {
    select::no_junit(global)?;
    let (session, state) = select::existing(global)?;
    match &state.cluster {
        Some(cluster) if cluster.phase == ClusterPhase::Made && session.kubeconfig().exists() => {
            // Whoever asks for it is about to use it.
            Lease::note(session.dir());
            Ok((session, state))
        }
        _ => Err(StageError::refused("no-session", [("dir", session.dir().display().to_string())]).into()),
    }
}

/// A word for the phase of a session.
pub(super) fn phase(standing: &Standing, state: &State) -> &'static str {
    match (standing, state.phase) {
        (Standing::Live(_), Phase::Provisioning) => "provisioning",
        (Standing::Live(_), Phase::Kept) => "kept",
        (other, _) => other.word(),
    }
}

/// A span of time in words, for example `6d 23h`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let from = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    parts[from..].iter().take(2).map(|(n, unit)| format!("{n}{unit}")).collect::<Vec<_>>().join(" ")
}

pub(super) async fn status(global: &Global) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let session = select::session(global)?;
    let dir = session.dir().display().to_string();
    let Some(state) = session.load()? else {
        if global.format == Format::Json {
            print_json(&json!({"stateDir": dir, "session": null}))?;
        } else {
            print(&texts.with("cli-status-none", &[("dir", &dir)]))?;
        }
        return Ok(0);
    };
    let mut nodes: Vec<(String, String)> = Vec::new();
    if state.cluster.is_some() {
        let spec = select::spec_of(global, &state)?;
        let provider = select::of_session(&state);
        let found = provider.machines(&session, &state).await?;
        // The nodes of somebody else's cluster are not those of the spec.
        let ours = provider.installs() != Installs::Nothing;
        for (name, _) in expected_nodes(&spec).into_iter().filter(|_| ours) {
            let state = found.iter().find(|n| n.name == name).map_or("missing", |n| n.state.as_str()).to_owned();
            nodes.push((name, state));
        }
    }
    let agent = Agent::of(&session);
    let standing = Standing::of(&session);
    let left = if let Standing::Kept { left } = &standing { *left } else { None };
    if global.format == Format::Json {
        let agent = agent
            .map(|a| json!({"pid": a.process.pid, "alive": a.alive(), "started": a.started, "url": a.url, "idleSeconds": a.idle_seconds}));
        let nodes: serde_json::Map<_, _> = nodes.into_iter().map(|(k, v)| (k, v.into())).collect();
        print_json(&json!({
            "stateDir": dir, "session": state.id, "phase": phase(&standing, &state), "backend": state.backend, "created": state.created,
            "fingerprint": fingerprint(&state.stages), "ttlSeconds": state.ttl_seconds, "leftSeconds": left.map(|l| l.as_secs()),
            "worker": if let Standing::Live(holder) = &standing { json!({"pid": holder.process.pid, "command": holder.command, "since": holder.since, "beat": holder.beat}) } else { Value::Null },
            "cluster": state.cluster.map(|c| json!({"name": c.name, "phase": c.phase})), "nodes": nodes, "lastRun": state.last_run, "agent": agent,
        }))?;
        return Ok(0);
    }
    let age =
        Timestamp::now().since(state.created).and_then(|s| s.round(Unit::Second)).map_or_else(|_| "?".to_owned(), |s| format!("{s:#}"));
    let cluster = state.cluster.as_ref().map_or("-", |c| c.name.as_str());
    let args =
        [("session", state.id.as_str()), ("phase", phase(&standing, &state)), ("backend", state.backend.as_str()), ("cluster", cluster)];
    let mut lines = vec![texts.with("cli-status-session", &[args.as_slice(), &[("age", &age), ("dir", &dir)]].concat())];
    match &standing {
        Standing::Live(holder) => {
            let (pid, command) = (holder.process.pid.to_string(), holder.command.as_str());
            lines.push(texts.with("cli-status-worker", &[("pid", &pid), ("command", command)]));
        }
        Standing::Kept { left: Some(left) } => lines.push(texts.with("cli-status-left", &[("left", &span(*left))])),
        Standing::Kept { left: None } => lines.push(texts.get("cli-status-for-ever")),
        _ => {}
    }
    lines.extend(nodes.iter().map(|(node, state)| texts.with("cli-status-node", &[("node", node), ("state", state)])));
    if agent.is_none() && state.backend == "embedded" && state.cluster.is_some() {
        lines.push(texts.get("cli-status-no-agent"));
    }
    let container = state.recorders.as_ref().and_then(|r| r.container.as_ref());
    if let Some(container) = container {
        lines.push(texts.with("cli-status-recorders", &[("container", container)]));
    }
    if let Some(agent) = agent.filter(|_| container.is_none()) {
        let life = texts.get(if agent.alive() { "cli-agent-alive" } else { "cli-agent-dead" });
        let seconds = agent.idle_seconds.map(|s| jiff::SignedDuration::from_secs(i64::try_from(s).unwrap_or(i64::MAX)));
        let idle = seconds.map_or_else(|| texts.get("cli-agent-stays"), |s| texts.with("cli-agent-idle", &[("idle", &format!("{s:#}"))]));
        let (pid, log) = (agent.process.pid.to_string(), Agent::log(&session).display().to_string());
        let args = [("pid", pid.as_str()), ("life", life.as_str()), ("idle", idle.as_str()), ("log", log.as_str())];
        lines.push(texts.with("cli-status-agent", &args));
    }
    if let Some(run) = &state.last_run {
        lines.push(texts.with("cli-status-journal", &[("journal", &session.journal(run).display().to_string())]));
    }
    print(&lines.join("\n"))?;
    Ok(0)
}

pub(super) fn env(global: &Global) -> Result<u8, Failure> {
    let (session, state) = made(global)?;
    let cluster = state.cluster.map(|c| c.name).unwrap_or_default();
    let values = [
        ("KUBECONFIG", session.kubeconfig().display().to_string()),
        ("MESHPROOF_STATE", session.dir().display().to_string()),
        ("MESHPROOF_CLUSTER", cluster),
    ];
    if global.format == Format::Json {
        print_json(&values.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect::<serde_json::Map<_, _>>())?;
    } else {
        let lines: Vec<String> = values.iter().map(|(k, v)| format!("export {k}='{}'", v.replace('\'', r"'\''"))).collect();
        print(&lines.join("\n"))?;
    }
    Ok(0)
}

pub(super) fn kubeconfig(global: &Global) -> Result<u8, Failure> {
    let (session, _) = made(global)?;
    print_as_it_is(&std::fs::read_to_string(session.kubeconfig())?)?;
    Ok(0)
}

pub(super) async fn token(global: &Global) -> Result<u8, Failure> {
    let (session, state) = made(global)?;
    let settings = select::settings_of(global, select::spec_of(global, &state)?, session, &state)?;
    let user = settings.spec.dashboard.admin_user.clone();
    if settings.provider.installs() != Installs::AsDocumented {
        let client = crate::cluster::own_client(&settings.session.kubeconfig()).await.map_err(StageError::from)?;
        let token = request_token(&client, &user).await.map_err(StageError::kube("make a token"))?;
        print_as_it_is(&token)?;
        return Ok(0);
    }
    // No run: nothing is recorded, and the session's lock is not needed to ask the API server for a token.
    let journal = crate::journal::Journal::in_memory();
    let tools = crate::tools::Tools::new(&settings.spec.tools, &settings.spec.downloads, settings.cache, journal.clone());
    let kubectl = tools.kubectl().await.map_err(StageError::from)?;
    let output = bound_kubectl(kubectl, &settings.session)
        .args(["-n", DASHBOARD_NAMESPACE, "create", "token", &user])
        .secret_output()
        .timeout(settings.waiting.limit(Limit::ShortCommand))
        .ok(&journal)
        .await
        .map_err(StageError::from)?;
    print_as_it_is(&output.stdout)?;
    Ok(0)
}
