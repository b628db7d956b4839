//! The systemd drop-in of guide 2.1.2, on every node: the guide writes it on the control plane alone, but the pods land on the worker (D3).

use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use serde_json::{Value, json};

use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::kind_config::{DROP_IN_PATH, drop_in, expected_nodes, proxy_environment};
use crate::cluster::{Capability, Installs, NodeAccess, Provider};
use crate::recording::{Recorders, through};
use crate::spec::Spec;
use crate::wait::{Limit, Progress, Waiting};

pub(super) struct Proxy;

impl Action for Proxy {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let cluster = context.cluster().await?;
            if cluster.capabilities.missing(&Capability::NODE_EXEC).is_some() {
                return Ok(Found::NotNeeded);
            }
            let nodes = expected_nodes(&context.spec);
            let right = try_join_all(nodes.iter().map(|(node, _)| async move {
                let what = format!("the proxy of {node} is looked at");
                context.waiting.within(&what, Limit::NodeCommand, is_right(context, cluster.nodes.as_ref(), node)).await?
            }))
            .await?;
            Ok(match nodes.iter().zip(right).find(|(_, right)| !right) {
                Some(((node, _), _)) => Found::Missing(format!("containerd on {node} does not run with the proxy that the spec asks for")),
                None if context.spec.proxy.enabled => Found::True,
                None => Found::NotNeeded,
            })
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let cluster = context.cluster().await?;
            let nodes = expected_nodes(&context.spec);
            try_join_all(nodes.iter().map(|(node, _)| async move {
                let what = format!("the proxy of {node} is as the spec asks");
                context.waiting.within(&what, Limit::Outcome, one(context, cluster.nodes.as_ref(), node)).await?
            }))
            .await?;
            Ok(Done::Provisioned)
        })
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        if !spec.proxy.enabled {
            return vec![PlanStep::note("plan-no-proxy", &[("http", &spec.proxy.http)])];
        }
        let recorders = spec.recording.is_on().then(Recorders::to_be);
        let content = drop_in(&through(spec, recorders.as_ref()));
        let mut steps = vec![PlanStep::File { path: DROP_IN_PATH.to_owned(), on_nodes: true, content }];
        for (node, _) in expected_nodes(spec) {
            for command in [&["systemctl", "daemon-reload"][..], &["systemctl", "restart", "containerd"]] {
                steps.push(match provider.installs() {
                    Installs::AsDocumented => PlanStep::command(["docker", "exec", &node].into_iter().chain(command.iter().copied())),
                    Installs::FromManifests | Installs::Nothing => {
                        PlanStep::note("plan-on-node", &[("node", &node), ("command", &command.join(" "))])
                    }
                });
            }
        }
        steps
    }

    fn heeds(&self, spec: &Spec, _provider: &dyn Provider) -> Value {
        // What is off does nothing, whatever it says.
        match (spec.proxy.enabled, spec.recording.is_on()) {
            (false, _) => json!({"proxy": {"enabled": false}}),
            (true, false) => json!({"proxy": spec.proxy}),
            (true, true) => json!({"proxy": spec.proxy, "recording": spec.recording}),
        }
    }
}

/// Whether one node is as the spec asks.
async fn is_right(context: &StageContext, nodes: &dyn NodeAccess, node: &str) -> Result<bool, StageError> {
    let spec = context.node_spec();
    // The environment of the running containerd, which is what counts, and behind it the drop-in, if there is one. One question for both: a
    // command on a node may cost a tenth of a second, and every test asks.
    let ask = format!("cat /proc/$(systemctl show containerd -p MainPID --value)/environ {DROP_IN_PATH}");
    let seen = nodes.exec(node, &["sh", "-c", &ask]).await?.stdout;
    let (environ, present) = seen.rsplit_once('\0').unwrap_or(("", &seen));
    let has = |name: &str, value: &str| environ.split('\0').filter_map(|pair| pair.split_once('=')).any(|pair| pair == (name, value));
    let in_force = proxy_environment(&spec).iter().all(|(name, value)| has(name, value));
    // A file that is gone may still be in force: containerd keeps its environment until it is restarted.
    Ok(if spec.proxy.enabled { present == drop_in(&spec) && in_force } else { present.is_empty() && !in_force })
}

/// Brings one node to what the spec asks for.
async fn one(context: &StageContext, nodes: &dyn NodeAccess, node: &str) -> Result<(), StageError> {
    if is_right(context, nodes, node).await? {
        return Ok(());
    }
    if context.spec.proxy.enabled {
        nodes.write_file(node, DROP_IN_PATH, &drop_in(&context.node_spec())).await?;
    } else {
        nodes.run(node, &["rm", "-f", DROP_IN_PATH]).await?;
    }
    restart_containerd(&context.waiting, nodes, node).await?;
    Ok(())
}

/// Has containerd read its files anew.
///
/// # Errors
/// When the node cannot be reached or containerd does not come back.
pub(crate) async fn restart_containerd(waiting: &Waiting, nodes: &dyn NodeAccess, node: &str) -> Result<(), StageError> {
    nodes.run(node, &["systemctl", "daemon-reload"]).await?;
    nodes.run(node, &["systemctl", "restart", "containerd"]).await?;
    // systemd waits for containerd's own word that it is up; its CRI service answers a moment later.
    let attempt = || async {
        match nodes.exec(node, &["crictl", "info"]).await {
            Ok(output) if output.code == 0 => Progress::Ready(()),
            Ok(output) => Progress::NotYet(format!("containerd on {node}: {}", output.stderr.trim())),
            Err(e) => Progress::NotYet(crate::error::one_line(&e)),
        }
    };
    let what = format!("containerd on {node} answers after its restart");
    waiting.poll(&what, Limit::RuntimeRestart, Duration::from_millis(300), attempt).await?;
    Ok(())
}
