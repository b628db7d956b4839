//! The bill of environment: what an environment is made of, as it says itself, so that two runs can be compared and one can be repeated.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::cluster::{Capability, Installs};
use crate::journal::Event;
use crate::outcomes::{DASHBOARD_NAMESPACE, Environment, ISTIO_NAMESPACE, gateway_api_crds, image_component};
use crate::wait::Limit;

/// Journals what the environment is made of. What cannot be read is left out: an outcome says so where it matters.
pub(super) async fn describe(environment: &Environment) {
    let parts = tokio::join!(of_api_server(environment), of_nodes(environment), of_images(environment), of_crds(environment));
    let parts = [parts.0, parts.1, parts.2, parts.3, of_spec(environment), of_backend(environment)];
    for (name, value) in parts.into_iter().flatten().filter(|(_, value)| !value.is_empty()) {
        environment.context.journal.write(Event::Fact { name, value });
    }
}

type Facts = Vec<(String, String)>;

async fn of_api_server(environment: &Environment) -> Facts {
    let asked =
        environment.waiting.within("the version is asked for", Limit::KubeletAnswer, environment.cluster.client.apiserver_version());
    let Ok(Ok(version)) = asked.await else { return Facts::new() };
    vec![("kubernetes".to_owned(), version.git_version)]
}

/// What the nodes say of themselves. Where they differ, every value is named.
async fn of_nodes(environment: &Environment) -> Facts {
    let Ok(Ok(nodes)) = environment.waiting.within("the nodes are listed", Limit::KubeletAnswer, environment.nodes()).await else {
        return Facts::new();
    };
    let names: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
    let infos: Vec<_> = nodes.iter().filter_map(|n| n.status.as_ref()?.node_info.as_ref()).collect();
    let mut facts = vec![("nodes".to_owned(), names.join(", "))];
    let mut fact = |name: &str, value: &dyn Fn(usize) -> String| {
        let mut values: Vec<String> = (0..infos.len()).map(value).collect();
        values.sort_unstable();
        values.dedup();
        facts.push((name.to_owned(), values.join(", ")));
    };
    fact("kubelet", &|n| infos[n].kubelet_version.clone());
    fact("containerRuntime", &|n| infos[n].container_runtime_version.clone());
    fact("nodeSystem", &|n| infos[n].os_image.clone());
    fact("kernel", &|n| infos[n].kernel_version.clone());
    fact("architecture", &|n| infos[n].architecture.clone());
    if let Some(node) = names.first() {
        facts.extend(of_a_node(environment, node).await);
    }
    facts
}

/// What only a command on a node tells. They are all made from one image and share one kernel, so one of them is asked.
async fn of_a_node(environment: &Environment, node: &str) -> Facts {
    if environment.missing(&Capability::NODE_EXEC).await.is_some() {
        return Facts::new();
    }
    let access = environment.cluster.nodes.as_ref();
    let told = async |argv: &[&str]| {
        let told = environment.waiting.within("a node answers", Limit::NodeCommand, access.run(node, argv)).await;
        told.ok()?.ok().map(|text| text.trim().to_owned())
    };
    let (runc, cgroup, instances, watches) = tokio::join!(
        told(&["runc", "--version"]),
        told(&["stat", "-fc", "%T", "/sys/fs/cgroup"]),
        told(&["cat", "/proc/sys/fs/inotify/max_user_instances"]),
        told(&["cat", "/proc/sys/fs/inotify/max_user_watches"]),
    );
    let mut facts = Facts::new();
    facts.extend(runc.and_then(|text| runc_version(&text)).map(|version| ("runc".to_owned(), version)));
    let cgroup = cgroup.and_then(|kind| match kind.as_str() {
        "cgroup2fs" => Some("v2"),
        "tmpfs" => Some("v1"),
        _ => None,
    });
    facts.extend(cgroup.map(|version| ("cgroup".to_owned(), version.to_owned())));
    facts.extend(instances.map(|n| ("inotify.maxUserInstances".to_owned(), n)));
    facts.extend(watches.map(|n| ("inotify.maxUserWatches".to_owned(), n)));
    if let Ok(Ok(Some(machine))) =
        environment.waiting.within("the engine describes a node", Limit::EngineAnswer, access.describe(node)).await
    {
        facts.extend(machine["Image"].as_str().map(|id| ("nodeImage.id".to_owned(), id.to_owned())));
    }
    facts
}

/// The version in what `runc --version` prints, whose first line is `runc version 1.3.0`.
fn runc_version(printed: &str) -> Option<String> {
    Some(printed.lines().next()?.strip_prefix("runc version ")?.trim().to_owned())
}

/// The images that run, each with the digest that its node resolved it to.
async fn of_images(environment: &Environment) -> Facts {
    let mut images: BTreeMap<String, String> = BTreeMap::new();
    for namespace in [DASHBOARD_NAMESPACE, ISTIO_NAMESPACE] {
        let api: Api<Pod> = Api::namespaced(environment.cluster.client.clone(), namespace);
        let params = ListParams::default();
        let listed = environment.waiting.within("the pods are listed", Limit::KubeletAnswer, api.list(&params)).await;
        let Ok(Ok(pods)) = listed else { continue };
        let statuses = pods.items.into_iter().filter_map(|p| p.status?.container_statuses).flatten();
        images.extend(
            statuses.map(|status| (format!("image.{}", image_component(&status.image)), with_digest(&status.image, &status.image_id))),
        );
    }
    images.into_iter().collect()
}

/// An image as its manifest names it, with the digest of the node's own id of it (`docker.io/istio/pilot@sha256:…`) unless it has one.
fn with_digest(image: &str, id: &str) -> String {
    match id.rsplit_once('@') {
        Some((_, digest)) if !image.contains('@') => format!("{image}@{digest}"),
        _ => image.to_owned(),
    }
}

async fn of_crds(environment: &Environment) -> Facts {
    let listed = environment.waiting.within("the CRDs are listed", Limit::KubeletAnswer, gateway_api_crds(environment)).await;
    let Ok(Ok(crds)) = listed else { return Facts::new() };
    let mut bundles: Vec<String> = crds
        .iter()
        .map(|crd| {
            let (version, channel) = crate::stages::bundle(crd.as_ref());
            format!("{version} {channel}")
        })
        .collect();
    bundles.sort_unstable();
    bundles.dedup();
    vec![("gatewayApi".to_owned(), bundles.join(", "))]
}

/// Which cluster it is, where it is somebody's own: without it nobody who reads a report can say so, nor run it again.
fn of_backend(environment: &Environment) -> Facts {
    if environment.context.provider.installs() != Installs::Nothing {
        return Facts::new();
    }
    vec![("context".to_owned(), environment.cluster.context.clone())]
}

/// The mirrors and the proxy that the nodes are told to use.
fn of_spec(environment: &Environment) -> Facts {
    let spec = environment.node_spec();
    let mut facts: Facts = spec
        .mirrors
        .iter()
        .map(|(registry, mirror)| {
            let mut hosts: Vec<&str> = mirror.hosts.iter().map(|h| h.url.as_str()).collect();
            hosts.extend(mirror.server.as_deref().filter(|server| !mirror.hosts.iter().any(|h| h.url == *server)));
            (format!("mirror.{registry}"), hosts.join(", "))
        })
        .collect();
    if spec.proxy.enabled {
        facts.push(("proxy.http".to_owned(), spec.proxy.http.clone()));
        facts.push(("proxy.https".to_owned(), spec.proxy.https.clone()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::environment::World;

    #[test]
    fn versions_and_digests_are_taken_from_what_programs_say() {
        assert_eq!(runc_version("runc version 1.3.0\ncommit: v1.3.0-0-g4ca628d1").as_deref(), Some("1.3.0"));
        assert_eq!(runc_version("sh: runc: not found"), None);
        let digest = "sha256:abc";
        assert_eq!(with_digest("istio/pilot:1.27.1", &format!("docker.io/istio/pilot@{digest}")), "istio/pilot:1.27.1@sha256:abc");
        assert_eq!(with_digest("a@sha256:abc", "b@sha256:def"), "a@sha256:abc");
        // What a node has by its configuration alone has no digest of a registry.
        assert_eq!(with_digest("a:1", "sha256:0123"), "a:1");
    }

    #[tokio::test]
    async fn an_environment_says_what_it_is_made_of() {
        let world = World::healthy();
        let environment = world.open().await;
        describe(&environment).await;
        let facts: BTreeMap<String, String> = environment
            .context
            .journal
            .records()
            .into_iter()
            .filter_map(|r| match r.event {
                Event::Fact { name, value } => Some((name, value)),
                _ => None,
            })
            .collect();
        assert!(facts["nodes"].contains("control-plane"), "{facts:#?}");
        assert_eq!(facts["gatewayApi"], "v1.3.0 standard", "{facts:#?}");
        assert!(facts.keys().any(|name| name.starts_with("image.")) && facts.contains_key("containerRuntime"), "{facts:#?}");
        assert_eq!(facts.values().filter(|value| value.is_empty()).count(), 0);
    }
}
