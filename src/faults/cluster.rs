//! Faults of guide 2.1.1, and of the image pulls of 2.1.2.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::compose::InTurn;
use super::files::{HostFile, OtherContext, Readable};
use super::nodes::{ContainerdFile, NoKubelet, On};
use super::objects::{Changed, Target, no_replicas};
use super::targets::deployment;
use super::{Fault, Inject};
use crate::cluster::Capability;
use crate::cluster::kind_config::DROP_IN_PATH;
use crate::outcomes::{DASHBOARD_NAMESPACE, Environment};
use crate::recording::CONTROL_REGISTRY;

const CONTROL_PLANE: Target =
    Target { group: "", version: "v1", kind: "Node", plural: "nodes", namespace: "", name: "{cluster}-control-plane" };
const CONTAINERD: &str = "/etc/containerd/config.toml";
const EXEC: &[Capability] = &[Capability::NODE_EXEC];

fn no_role() -> Value {
    json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": null}}})
}

fn on_control_plane() -> Value {
    json!({"spec": {"template": {"spec": {
        "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule", "operator": "Exists"}],
    }}}})
}

fn hosts_toml(environment: &Environment, registry: &str) -> PathBuf {
    environment.context.session.certs_dir().join(registry).join("hosts.toml")
}

fn of_docker_io(environment: &Environment) -> PathBuf {
    hosts_toml(environment, "docker.io")
}

fn of_control(environment: &Environment) -> PathBuf {
    hosts_toml(environment, CONTROL_REGISTRY)
}

fn kubeconfig(environment: &Environment) -> PathBuf {
    environment.context.session.kubeconfig()
}

/// Beside the journal of the run that proves.
fn artifact(environment: &Environment) -> PathBuf {
    environment.context.session.journal(&environment.context.run).with_file_name("planted.log")
}

/// Without the line that names the directory.
fn no_config_path(text: &str) -> String {
    text.lines().filter(|l| !l.trim_start().starts_with("config_path")).map(|l| format!("{l}\n")).collect()
}

/// A registry that nobody listens for, and no other.
const DEAD: &str = "server = \"http://127.0.0.1:9\"\n\n[host.\"http://127.0.0.1:9\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
/// What looks like a `ServiceAccount`'s token, and is none.
const PLANTED: &str =
    "Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJzdWIiOiJub2JvZHkiLCJhdWQiOltdfQ.c2lnbmF0dXJlLW9mLW5vYm9keS1hdC1hbGw\n";

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("cluster.other-context", OtherContext).breaks(&["cluster.kind.named"]).diagnosed("other-context"),
        Fault::new("cluster.no-role", Changed::new(CONTROL_PLANE, no_role)).breaks(&["cluster.kind.nodes"]).diagnosed("node-role"),
        // The control plane's, on which the fewest things run.
        Fault::new("cluster.no-kubelet", NoKubelet(On::ControlPlane))
            .breaks(&["cluster.nodes.ready"])
            .may_break(&["cluster.system.healthy", "istio.cni.every-node", "istio.ztunnel.every-node", "istio.pods", "istioctl.version"])
            .with(EXEC)
            .diagnosed("node-silent"),
        Fault::new("cluster.dns-gone", Changed::new(deployment("kube-system", "coredns"), no_replicas))
            .breaks(&["cluster.system.healthy"])
            .diagnosed("no-replicas"),
        // Where the guide's drop-in is, so that nothing is left out.
        Fault::new(
            "cluster.pods-on-control-plane",
            InTurn(
                ["kubernetes-dashboard", "dashboard-metrics-scraper"]
                    .map(|name| Box::new(Changed::new(deployment(DASHBOARD_NAMESPACE, name), on_control_plane)) as Box<dyn Inject>),
            ),
        )
        .breaks(&["cluster.proxy.worker-left-out"])
        .with(&[Capability::KIND]),
        Fault::new("cluster.no-config-path", ContainerdFile::new(On::Last, CONTAINERD, |text| Some(no_config_path(text))))
            .breaks(&["cluster.mirror.config-path", "cluster.mirror.hosts-read"])
            .may_break(&["cluster.images", "cluster.mirror.every-image", "cluster.proxy.hosts-toml-ignored"])
            .with(EXEC)
            .diagnosed("P7"),
        Fault::new("cluster.hosts-unreadable", HostFile::new(of_docker_io, "server = ["))
            .breaks(&["cluster.mirror.hosts-read"])
            .may_break(&["cluster.images", "cluster.mirror.every-image"])
            .diagnosed("hosts-toml-changed"),
        Fault::new("cluster.registry-dead", HostFile::new(of_docker_io, DEAD))
            .breaks(&["cluster.images.pulled", "cluster.mirror.every-image"])
            .may_break(&["cluster.mirror.hosts-read", "cluster.images.ctr-says-otherwise"])
            .diagnosed("registry-unreachable"),
        Fault::new("cluster.no-drop-in", ContainerdFile::new(On::Last, DROP_IN_PATH, |_| None))
            .breaks(&["cluster.proxy.every-node", "cluster.proxy.connects"])
            .may_break(&["cluster.images.pulled"])
            .with(&[Capability::NODE_EXEC, Capability::NODE_PROXY])
            .diagnosed("P2"),
        Fault::new("cluster.recorder-not-reached", HostFile::new(of_control, DEAD))
            .breaks(&["cluster.proxy.hosts-toml-ignored", "cluster.images.ctr-asks-elsewhere"])
            .may_break(&["cluster.mirror.hosts-read"])
            .with(&[Capability::RECORDING_PROXY]),
        Fault::new("cluster.key-readable", Readable(kubeconfig)).breaks(&["cluster.files.private"]).diagnosed("file-mode"),
        Fault::new("cluster.token-in-artifact", HostFile::new(artifact, PLANTED))
            .breaks(&["cluster.files.no-secret"])
            .diagnosed("secret-in-file"),
    ]
}
