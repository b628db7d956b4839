//! Guide 2.3: the installation of Istio in ambient mode and what it leaves running.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::{Checked, Environment, ISTIO_INSTALL, ISTIO_NAMESPACE as NAMESPACE, Look, Outcome, Stop};
use crate::cluster::Capability;
use crate::spec::{Version, catalog};
use crate::wait::conditions;

const ISTIO: &[&str] = &["istio"];

pub(super) fn outcomes() -> Vec<Outcome> {
    let section = "2.3";
    vec![
        Outcome::documented("istio.install.lines", section, "安装完成后,您将看到以下输出,表明所有组件已成功安装", install_lines)
            .needs(ISTIO)
            .with(&[Capability::TRANSCRIPT]),
        Outcome::documented("istio.istiod.ready", section, "Istiod installed", istiod).needs(ISTIO),
        Outcome::documented("istio.cni.every-node", section, "CNI installed", cni).needs(ISTIO),
        Outcome::documented("istio.ztunnel.every-node", section, "Ztunnel installed", ztunnel).needs(ISTIO),
    ]
}

fn cni<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(every_node(env, look, "istio-cni-node", "install-cni"))
}

fn ztunnel<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(every_node(env, look, "ztunnel", "ztunnel"))
}

fn install_lines<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let transcript = env.transcript(ISTIO_INSTALL)?;
        let command = &transcript.command;
        look.see("run", &transcript.run);
        look.see("command", command.argv.join(" "));
        look.see("exitCode", command.exit_code);
        look.require(command.exit_code == Some(0), || format!("`istioctl install` exited with {:?}", command.exit_code));
        let lines = ticked(&format!("{}\n{}", command.stdout, command.stderr));
        look.see("lines", &lines);
        let version: Option<Version> = env.spec.istio.version.parse().ok();
        for problem in order_problems(&lines, version.as_ref().is_some_and(catalog::istiod_before_cni)) {
            look.problem(problem);
        }
        Ok(())
    })
}

/// The documented lines in the order in which they were printed; ticks, icons and colours around the words are left out. The last one may be
/// followed by the closing sentence without a newline.
pub(super) fn ticked(output: &str) -> Vec<&'static str> {
    output
        .lines()
        .filter(|line| line.contains('✔'))
        .filter_map(|line| catalog::INSTALL_LINES.into_iter().find(|words| line.contains(words)))
        .collect()
}

/// What is wrong with the documented lines: they are a set with an order of which only a part holds for every version (D10).
fn order_problems(lines: &[&str], istiod_first: bool) -> Vec<String> {
    let [core, istiod, cni, ztunnel, complete] = catalog::INSTALL_LINES;
    let mut problems: Vec<String> =
        catalog::INSTALL_LINES.iter().filter(|w| !lines.contains(w)).map(|w| format!("the line `{w}` was not printed")).collect();
    let at = |words: &str| lines.iter().position(|l| *l == words);
    let mut before = |first: &str, then: &str| {
        if let (Some(a), Some(b)) = (at(first), at(then))
            && a > b
        {
            problems.push(format!("`{then}` was printed before `{first}`"));
        }
    };
    for other in [istiod, cni, ztunnel, complete] {
        before(core, other);
    }
    before(cni, ztunnel);
    for other in [istiod, cni, ztunnel] {
        before(other, complete);
    }
    if istiod_first {
        before(istiod, cni);
    }
    problems
}

fn istiod<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let client = &env.cluster.client;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let found = deployments.get_opt("istiod").await.map_err(Stop::kube("read Deployment istiod"))?;
        let Some(deployment) = found else { return Err(Stop::Failed("Deployment istiod does not exist".to_owned())) };
        if let Some(lack) = conditions::deployment_lacks(&deployment) {
            look.problem(lack);
        }
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let pods = pods.list(&ListParams::default().labels("app=istiod")).await.map_err(Stop::kube("list the pods of istiod"))?;
        let mut ready = 0;
        for pod in pods.iter().filter(|p| !conditions::pod_ended(p)) {
            let line = conditions::pod_line(pod);
            check_image(env, look, pod, "pilot");
            if !look.require(conditions::pod_ready(pod), || format!("pod is not Ready: {line}")) {
                continue;
            }
            match silent(env, pod).await {
                None => ready += 1,
                Some(problem) => look.problem(problem),
            }
        }
        look.see("pods", pods.iter().map(conditions::pod_line).collect::<Vec<_>>());
        look.require(ready > 0, || "no pod of istiod is ready".to_owned());
        Ok(())
    })
}

/// The pod's node, if its kubelet is silent: then Ready is what it once was.
async fn silent(env: &Environment, pod: &Pod) -> Option<String> {
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    Some(format!("{} says Ready, but {}", pod.name_any(), env.node_silent(node).await?))
}

fn check_image(env: &Environment, look: &mut Look, pod: &Pod, component: &str) {
    let image = pod.spec.as_ref().and_then(|s| s.containers.first()?.image.clone()).unwrap_or_default();
    let spec = &env.spec.istio;
    look.require(is_image(&image, &spec.hub, component, &spec.version), || {
        format!("{} runs {image}, the spec wants {}/{component}:{}", pod.name_any(), spec.hub, spec.version)
    });
    look.see("image", image);
}

/// Whether an image is the component's in this version. The ambient profile takes the `-distroless` variant.
fn is_image(image: &str, hub: &str, component: &str, version: &str) -> bool {
    let tag =
        image.strip_prefix(hub).and_then(|r| r.strip_prefix('/')).and_then(|r| r.strip_prefix(component)).and_then(|r| r.strip_prefix(':'));
    tag.is_some_and(|t| is_version(t, version))
}

/// Whether an image tag means this version, in whatever variant.
pub(crate) fn is_version(tag: &str, version: &str) -> bool {
    tag.strip_suffix("-distroless").unwrap_or(tag) == version
}

/// Exactly one Ready pod of a `DaemonSet` on each node that it can be scheduled to: the sets of node names are equal.
async fn every_node(env: &Environment, look: &mut Look, name: &str, component: &str) -> Result<(), Stop> {
    let client = &env.cluster.client;
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), NAMESPACE);
    let found = sets.get_opt(name).await.map_err(Stop::kube(format!("read DaemonSet {name}")))?;
    let Some(set) = found else { return Err(Stop::Failed(format!("DaemonSet {name} does not exist"))) };
    let wanted = conditions::nodes_of_daemon_set(&set, &env.nodes().await?);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default()).await.map_err(Stop::kube(format!("list the pods of {name}")))?;
    let uid = set.uid();
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none() && p.owner_references().iter().any(|o| Some(&o.uid) == uid.as_ref()))
        .collect();
    look.see("pods", own.iter().map(|p| conditions::pod_line(p)).collect::<Vec<_>>());
    look.see("nodes", &wanted);
    let mut ready: BTreeSet<String> = BTreeSet::new();
    for pod in own {
        check_image(env, look, pod, component);
        let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
        if !look.require(conditions::pod_ready(pod), || format!("pod is not Ready: {}", conditions::pod_line(pod))) {
            continue;
        }
        match silent(env, pod).await {
            Some(problem) => look.problem(problem),
            None => {
                look.require(ready.insert(node.clone()), || format!("node {node} has more than one pod of {name}"));
            }
        }
    }
    look.require(!wanted.is_empty(), || format!("{name} can be scheduled to no node"));
    for node in wanted.difference(&ready) {
        look.problem(format!("node {node} has no ready pod of {name}"));
    }
    for node in ready.difference(&wanted) {
        look.problem(format!("node {node} has a pod of {name} that it should not have"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "- Processing resources for Istio core.\n✔ Istio core installed ⛵️\n- Processing resources for CNI, Istiod.\n\
        ✔ CNI installed 🪢\n✔ Istiod installed 🧠\n✔ Ztunnel installed 🔒\n- Pruning removed resources\n\
        ✔ Installation completeThe ambient profile has been installed successfully, enjoy Istio without sidecars!\n";

    #[test]
    fn the_lines_are_a_set_with_an_order_that_depends_on_the_version() {
        let lines = ticked(NEW);
        assert_eq!(lines.len(), 5);
        assert!(order_problems(&lines, false).is_empty());
        assert_eq!(order_problems(&lines, true), ["`CNI installed` was printed before `Istiod installed`"]);
        let old: Vec<&str> = catalog::INSTALL_LINES.to_vec();
        assert!(order_problems(&old, true).is_empty());
    }

    #[test]
    fn a_missing_or_misplaced_line_is_named() {
        let [core, istiod, cni, ztunnel, complete] = catalog::INSTALL_LINES;
        assert_eq!(order_problems(&[core, istiod, cni, complete], false), ["the line `Ztunnel installed` was not printed"]);
        assert_eq!(
            order_problems(&[core, istiod, ztunnel, cni, complete], false),
            ["`Ztunnel installed` was printed before `CNI installed`"]
        );
        assert_eq!(
            order_problems(&[istiod, core, cni, complete, ztunnel], false),
            [
                "`Istiod installed` was printed before `Istio core installed`",
                "`Installation complete` was printed before `Ztunnel installed`"
            ]
        );
        let failed = "✔ Istio core installed\n✘ Istiod encountered an error: Istiod installed\n";
        assert_eq!(ticked(failed), [core], "a failure that repeats the words is no tick");
    }

    #[test]
    fn images_are_told_by_hub_component_and_version() {
        let is = |image: &str| is_image(image, "docker.io/istio", "ztunnel", "1.27.1");
        assert!(is("docker.io/istio/ztunnel:1.27.1-distroless"));
        assert!(is("docker.io/istio/ztunnel:1.27.1"));
        assert!(!is("docker.io/istio/ztunnel:1.27.10"));
        assert!(!is("docker.io/istio/ztunnel-x:1.27.1"));
        assert!(!is("registry.istio.io/release/ztunnel:1.27.1"));
    }
}
