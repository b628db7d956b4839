//! What the recorders saw: that images really came through the mirror, and pulls really through the proxy. Guide 2.1.1 and 2.1.2.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use super::{Checked, Environment, Look, Outcome, Stop};
use crate::cluster::kind_config::expected_nodes;
use crate::cluster::{Capability, NodeError};
use crate::engine::ExecOutput;
use crate::mirror::name::{Digest, ImageName, Repository};
use crate::mirror::record::{Access, Asked, What};
use crate::recording::{CONTROL_REGISTRY, DROP_IN, HOSTS_TOML, INERT_REGISTRY, NodeImage, PROXIED_REGISTRY, Seen, node_images};
use crate::wait::{Limit, WaitError};

const MIRROR: &[Capability] = &[Capability::NODE_EXEC, Capability::IMAGE_PULL, Capability::RECORDING_MIRROR];
const DROP_IN_PROXY: &[Capability] = &[Capability::NODE_EXEC, Capability::IMAGE_PULL, Capability::NODE_PROXY, Capability::RECORDING_PROXY];
const ANY_PROXY: &[Capability] = &[Capability::NODE_EXEC, Capability::IMAGE_PULL, Capability::RECORDING_PROXY];

pub(super) fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::hardening("cluster.mirror.every-image", every_image).needs(&["nodes"]).with(MIRROR),
        Outcome::documented("cluster.proxy.connects", "2.1.2", "重新加载并重启 containerd", connects).needs(&["proxy"]).with(DROP_IN_PROXY),
        Outcome::defect("cluster.proxy.hosts-toml-ignored", "2.1.1", "[host.\"https://registry-1.docker.io\".proxy]", hosts_toml_ignored)
            .shows("D1")
            .needs(&["nodes"])
            .with(ANY_PROXY),
    ]
}

/// `crictl pull` on every node at once, by node. How it ends is the caller's matter.
async fn pulls(env: &Environment, image: &str) -> Vec<(String, Result<Result<ExecOutput, NodeError>, WaitError>)> {
    let access = env.cluster.nodes.as_ref();
    let pull = |node: String| async move {
        let what = format!("a pull of {image} on {node} ends");
        let argv = ["crictl", "pull", image];
        let pulled = env.waiting.within(&what, Limit::ImagePull, access.exec(&node, &argv)).await;
        (node, pulled)
    };
    join_all(expected_nodes(&env.spec).into_iter().map(|(node, _)| pull(node))).await
}

/// The last line that a pull said, or why there is none.
fn said(pulled: &Result<Result<ExecOutput, NodeError>, WaitError>) -> String {
    match pulled {
        Ok(Ok(output)) => {
            let line = output.stderr.lines().chain(output.stdout.lines()).rfind(|l| !l.trim().is_empty());
            line.unwrap_or_default().chars().take(400).collect()
        }
        Ok(Err(e)) => crate::error::one_line(e),
        Err(e) => e.to_string(),
    }
}

pub(super) fn unreadable(e: &std::io::Error) -> Stop {
    Stop::Failed(format!("what the recorders saw cannot be read: {e}"))
}

/// By which node the mirror was asked for an image, for which, and what it gave; whether the image was to be had is another matter.
fn manifest(access: &Access) -> Option<(&str, Repository, Option<&Digest>)> {
    match &access.asked {
        Asked::Mirror { namespace, repository, what: What::Manifest, digest, .. } => {
            let repository = Repository { namespace: namespace.clone(), path: repository.clone() };
            Some((access.node.as_deref()?, repository, digest.as_ref()))
        }
        _ => None,
    }
}

fn every_image<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        // A pull now, since what was recorded before says nothing about what a node does today.
        let (_, now) = env.recorders()?;
        let name = env.spec.probe.image.as_str();
        let probe: ImageName = name.parse().map_err(|e| Stop::Failed(format!("{name}: {e}")))?;
        let pulled = pulls(env, name).await;
        let asked = now.read().map_err(|e| unreadable(&e))?;
        for (node, pulled) in &pulled {
            let came = asked.iter().filter_map(manifest).any(|(by, repository, _)| by == node && repository == probe.repository);
            look.require(came, || bypassed(name, node, &probe.repository.namespace, &said(pulled)));
        }
        let all = Seen::all(&env.context.session).read().map_err(|e| unreadable(&e))?;
        let seen: Vec<(&Access, &str, Repository, Option<&Digest>)> =
            all.iter().filter_map(|a| manifest(a).map(|(node, repository, digest)| (a, node, repository, digest))).collect();
        let baked = env.context.state().baked_images;
        for (node, _) in expected_nodes(&env.spec) {
            let Some(baked) = baked.get(&node) else {
                let reason = crate::text::current().with("unsupported-baked-images", &[("node", &node)]);
                return Err(Stop::Unsupported { capability: Capability::RECORDING_MIRROR, reason });
            };
            let images = node_images(env.cluster.nodes.as_ref(), &node).await?;
            let mut through: BTreeMap<String, serde_json::Value> = BTreeMap::new();
            for image in images.iter().filter(|i| !baked.contains(&i.id)) {
                match came_through(image, &node, &seen) {
                    Some((digest, at)) => drop(through.insert(image.name().to_owned(), json!({"digest": digest.to_string(), "at": at}))),
                    None => look.problem(bypassed(image.name(), &node, &registry_of(image), "nothing of it is recorded")),
                }
            }
            look.see(node, json!({"baked": baked.len(), "throughTheMirror": through}));
        }
        let mut once = BTreeSet::new();
        look.problems.retain(|p| once.insert(p.clone()));
        Ok(())
    })
}

fn bypassed(image: &str, node: &str, registry: &str, said: &str) -> String {
    format!("image {image} on {node} (registry {registry}) did not come through the mirror: {said}")
}

fn registry_of(image: &NodeImage) -> String {
    image.name().parse::<ImageName>().map_or_else(|_| "unknown".to_owned(), |name| name.repository.namespace)
}

/// By which digest a node asked the mirror for an image, and when first.
fn came_through<'a>(
    image: &NodeImage,
    node: &str,
    seen: &[(&'a Access, &'a str, Repository, Option<&'a Digest>)],
) -> Option<(&'a Digest, Timestamp)> {
    let names = image.digests.iter().filter_map(|d| d.parse::<ImageName>().ok()).collect::<Vec<_>>();
    seen.iter().find_map(|(access, by, repository, digest)| {
        let digest = (*digest)?;
        let named = |name: &ImageName| name.repository == *repository && name.digest.as_ref() == Some(digest);
        (*by == node && names.iter().any(named)).then_some((digest, access.at))
    })
}

/// What a listener of the recording proxy was asked for by a node.
pub(super) fn asked_for<'a>(seen: &'a [Access], on: &'a str, node: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    seen.iter().filter(move |a| a.node.as_deref() == Some(node)).filter_map(move |access| match &access.asked {
        Asked::Proxy { listener, method, target, .. } if listener == on => Some((method.as_str(), target.as_str())),
        _ => None,
    })
}

fn connects<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let (recorders, now) = env.recorders()?;
        look.see("proxy", recorders.proxy_url());
        let pulled = pulls(env, &format!("{PROXIED_REGISTRY}/probe:latest")).await;
        let seen = now.read().map_err(|e| unreadable(&e))?;
        let wanted = format!("{PROXIED_REGISTRY}:443");
        for (node, pulled) in &pulled {
            let count = asked_for(&seen, DROP_IN, node).filter(|(method, target)| *method == "CONNECT" && *target == wanted).count();
            look.see(node, json!({"connects": count, "target": wanted}));
            look.require(count > 0, || {
                format!("containerd on {node} did not ask the proxy of the drop-in; its pull said: {}", said(pulled))
            });
        }
        Ok(())
    })
}

fn hosts_toml_ignored<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let (recorders, now) = env.recorders()?;
        look.see("proxyTable", recorders.hosts_toml_url());
        // First that a node reaches this listener and that it would be written down; else silence would prove nothing.
        let reached = pulls(env, &format!("{CONTROL_REGISTRY}/probe:latest")).await;
        let pulled = pulls(env, &format!("{INERT_REGISTRY}/probe:latest")).await;
        let seen = now.read().map_err(|e| unreadable(&e))?;
        for ((node, reached), (_, pulled)) in reached.iter().zip(&pulled) {
            let control = asked_for(&seen, HOSTS_TOML, node).any(|(method, _)| method != "CONNECT");
            look.require(control, || {
                format!("{node} does not reach the recording proxy, so nothing is proved; its pull said: {}", said(reached))
            });
            let connects: Vec<&str> =
                asked_for(&seen, HOSTS_TOML, node).filter(|(m, _)| *m == "CONNECT").map(|(_, target)| target).collect();
            look.see(node, json!({"reached": control, "connects": connects, "pull": said(pulled)}));
            look.require(connects.is_empty(), || {
                format!("containerd on {node} read the proxy table of hosts.toml: it asked for {connects:?}")
            });
        }
        Ok(())
    })
}
