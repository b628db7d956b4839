//! The programs that the embedded cluster's containers run: small stand-ins that answer as the real ones do where the guide looks.

mod answers;
mod busybox;
mod cni;
mod dashboard;
mod istiod;
mod life;
mod reply;
mod ztunnel;

use std::sync::Arc;

use serde_json::Value;
use sim::workload::{Start, Workloads};

pub use cni::NodeFiles;

use super::images::normalise;
use crate::spec::Spec;

/// The programs by the images of a spec.
#[must_use]
pub fn workloads(spec: &Spec) -> Workloads {
    workloads_with(spec, None)
}

/// The programs by the images of a spec; `files` is how the CNI agent reaches its node's file system.
#[must_use]
pub fn workloads_with(spec: &Spec, files: Option<Arc<dyn NodeFiles>>) -> Workloads {
    let mut all = Workloads::default();
    for (repository, table) in answers::TABLES {
        all.add(*repository, answers::Answers(table));
    }
    all.add("docker.io/kubernetesui/dashboard", dashboard::Dashboard);
    all.add(normalise(&spec.probe.image).0, busybox::Busybox);
    let of = |name: &str| normalise(&format!("{}/{name}", spec.istio.hub)).0;
    all.add(of("pilot"), istiod::Istiod);
    all.add(of("install-cni"), cni::Cni(files));
    all.add(of("ztunnel"), ztunnel::Ztunnel);
    all
}

/// The container's part of its pod's spec.
fn container(start: &Start) -> &Value {
    let containers = start.pod["spec"]["containers"].as_array();
    containers.into_iter().flatten().find(|c| c["name"] == start.container.as_str()).unwrap_or(&Value::Null)
}

/// The version of a container's image: its tag without the variant.
fn version(start: &Start) -> String {
    let (_, tag) = normalise(container(start)["image"].as_str().unwrap_or_default());
    tag.strip_suffix("-distroless").unwrap_or(&tag).to_owned()
}

fn pod_name(start: &Start) -> String {
    start.pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn pod_namespace(start: &Start) -> String {
    start.pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
