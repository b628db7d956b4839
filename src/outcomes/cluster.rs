//! Guide 2.1.1, and the image pulls of 2.1.2: the cluster, its nodes, mirrors and proxy.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::config::Kubeconfig;

use super::{Checked, Environment, Look, Outcome, Stop, runtime_environment};
use crate::cluster::kind_config::{CANARY_REGISTRY, CANARY_SERVER, expected_nodes, proxy_environment};
use crate::cluster::{Capability, NodeError};
use crate::recording::certs_files;
use crate::wait::{Limit, conditions};

/// What the spec says beforehand of the cluster itself is true of one that was made from it.
const KIND: &[Capability] = &[Capability::KIND];
const EXEC: &[Capability] = &[Capability::NODE_EXEC];
const PULL: &[Capability] = &[Capability::NODE_EXEC, Capability::IMAGE_PULL];
const PROXY: &[Capability] = &[Capability::NODE_EXEC, Capability::NODE_PROXY];

pub(super) fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::documented("cluster.kind.named", "2.1.1", "kind create cluster --name istio-cluster", named)
            .needs(&["cluster"])
            .with(KIND),
        Outcome::documented("cluster.kind.nodes", "2.1.1", "- role: control-plane / - role: worker", nodes).needs(&["cluster"]).with(KIND),
        Outcome::documented("cluster.nodes.ready", "2.1.1", "kind create cluster --name istio-cluster --config kind-config.yaml", ready)
            .needs(&["nodes"]),
        Outcome::hardening("cluster.system.healthy", system_healthy).needs(&["nodes"]),
        Outcome::documented("cluster.mirror.config-path", "2.1.1", "config_path = \"/etc/containerd/certs.d\"", config_path)
            .needs(&["cluster"])
            .with(EXEC),
        Outcome::documented("cluster.mirror.hosts-read", "2.1.1", "为 集群内的 containerd(容器运行时)配置代理和镜像源", hosts_read)
            .needs(&["cluster"])
            .with(PULL),
        Outcome::documented("cluster.proxy.every-node", "2.1.2", "通过给 containerd 配置代理解决镜像下载失败问题", proxy_every_node)
            .needs(&["proxy"])
            .with(PROXY),
        Outcome::documented("cluster.images.pulled", "2.1.2", "ctr -n k8s.io images pull docker.io/library/busybox:latest", pulled)
            .needs(&["proxy"])
            .with(PULL),
    ]
}

fn named<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let wanted = &env.spec.cluster.name;
        let config = Kubeconfig::read_from(&env.cluster.kubeconfig).map_err(|e| Stop::Failed(format!("the kubeconfig: {e}")))?;
        let context = config.current_context.clone().unwrap_or_default();
        look.see("currentContext", &context);
        look.require(context == env.cluster.context, || format!("the current context is `{context}`, not `{}`", env.cluster.context));
        let version = env.cluster.client.apiserver_version().await.map_err(Stop::kube("ask for the API server's version"))?;
        look.see("kubernetes", &version.git_version);
        let expected = format!("v{}", env.spec.cluster.kubernetes);
        look.require(version.git_version == expected, || format!("the API server is {}, the spec wants {expected}", version.git_version));
        if env.missing(&Capability::NODE_INVENTORY).await.is_none() {
            let machines = env.cluster.nodes.machines().await?;
            look.see("machines", machines.iter().map(|m| &m.name).collect::<Vec<_>>());
            look.require(!machines.is_empty(), || format!("there is no cluster called {wanted}"));
        }
        Ok(())
    })
}

fn nodes<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let expected: BTreeMap<String, &str> = expected_nodes(&env.spec).into_iter().collect();
        let registered: BTreeMap<String, &str> = env
            .nodes()
            .await?
            .iter()
            .map(|n| {
                (n.name_any(), if n.labels().contains_key("node-role.kubernetes.io/control-plane") { "control-plane" } else { "worker" })
            })
            .collect();
        look.see("nodes", &registered);
        look.require(registered == expected, || format!("the API server has {registered:?}, the spec wants {expected:?}"));
        if env.missing(&Capability::NODE_INVENTORY).await.is_none() {
            let machines = env.cluster.nodes.machines().await?;
            look.see("machines", machines.iter().map(|m| (m.name.clone(), format!("{} {}", m.role, m.state))).collect::<BTreeMap<_, _>>());
            for (name, role) in &expected {
                match machines.iter().find(|m| m.name == *name) {
                    None => look.problem(format!("node {name} has no container")),
                    Some(m) if m.state != "running" => look.problem(format!("node {name}: its container is {}", m.state)),
                    Some(m) => {
                        look.require(m.role == *role, || format!("the container of node {name} has the role {}, not {role}", m.role));
                    }
                }
            }
            for machine in machines.iter().filter(|m| !expected.contains_key(&m.name)) {
                look.problem(format!("the cluster has a container {} that the spec does not know", machine.name));
            }
        }
        Ok(())
    })
}

fn ready<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let nodes = env.nodes().await?;
        let present: BTreeSet<String> = nodes.iter().map(kube::ResourceExt::name_any).collect();
        let made = env.missing(&Capability::KIND).await.is_none();
        for (name, _) in expected_nodes(&env.spec).into_iter().filter(|_| made) {
            look.require(present.contains(&name), || format!("node {name} has not joined"));
        }
        look.require(!nodes.is_empty(), || "the API server knows no node".to_owned());
        for node in &nodes {
            let name = node.name_any();
            let version = node.status.as_ref().and_then(|s| s.node_info.as_ref()).map(|i| i.kubelet_version.clone());
            let mut state = version.unwrap_or_else(|| "no kubelet version".to_owned());
            if let Some(unready) = conditions::node_unready(node) {
                look.problem(&unready);
                state = unready;
            } else if let Some(silent) = env.node_silent(&name).await {
                look.problem(&silent);
                state = silent;
            }
            look.see(name, state);
        }
        Ok(())
    })
}

fn system_healthy<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let client = &env.cluster.client;
        let all = ListParams::default();
        let (pods, deployments, sets): (Api<Pod>, Api<Deployment>, Api<DaemonSet>) = (
            Api::namespaced(client.clone(), "kube-system"),
            Api::namespaced(client.clone(), "kube-system"),
            Api::namespaced(client.clone(), "kube-system"),
        );
        let (pods, deployments, sets) = tokio::try_join!(pods.list(&all), deployments.list(&all), sets.list(&all))
            .map_err(Stop::kube("list the workloads of kube-system"))?;
        look.see("pods", pods.iter().map(conditions::pod_line).collect::<Vec<_>>());
        // What has done its work, as the pod of a Job, is neither Ready nor ill.
        let done = |p: &&Pod| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Succeeded");
        for pod in pods.iter().filter(|p| !done(p)) {
            look.require(conditions::pod_ready(pod), || format!("pod kube-system/{} is not Ready", conditions::pod_line(pod)));
            if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_deref())
                && let Some(silent) = env.node_silent(node).await
            {
                look.problem(silent);
            }
        }
        for lack in deployments.iter().filter_map(conditions::deployment_lacks).chain(sets.iter().filter_map(conditions::daemon_set_lacks))
        {
            look.problem(lack);
        }
        let names: BTreeSet<String> =
            deployments.iter().map(kube::ResourceExt::name_any).chain(sets.iter().map(kube::ResourceExt::name_any)).collect();
        look.see("workloads", &names);
        look.require(!pods.items.is_empty(), || "kube-system has no pod".to_owned());
        // Other ways to make a cluster have other parts, or none that can be seen.
        let made = env.missing(&Capability::KIND).await.is_none();
        for wanted in ["coredns", "kube-proxy"].into_iter().filter(|_| made) {
            look.require(names.contains(wanted), || format!("kube-system has no {wanted}"));
        }
        let control_planes = expected_nodes(&env.spec).into_iter().filter(|(_, role)| made && *role == "control-plane");
        for (node, _) in control_planes {
            for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
                let name = format!("{component}-{node}");
                look.require(pods.iter().any(|p| p.name_any() == name), || format!("kube-system has no pod {name}"));
            }
        }
        let mut said = BTreeSet::new();
        look.problems.retain(|p| said.insert(p.clone()));
        Ok(())
    })
}

/// Asks every node of the spec the same and keeps the answers in order of name; a node that cannot be asked is a problem.
async fn each_node<T, F: Future<Output = Result<T, NodeError>>>(
    env: &Environment,
    look: &mut Look,
    ask: impl Fn(String) -> F,
) -> Vec<(String, T)> {
    let names = expected_nodes(&env.spec).into_iter().map(|(name, _)| name);
    let answers = join_all(names.map(|name| {
        let answer = ask(name.clone());
        async move { (name, answer.await) }
    }))
    .await;
    answers
        .into_iter()
        .filter_map(|(name, answer)| match answer {
            Ok(answer) => Some((name, answer)),
            Err(e) => {
                look.problem(crate::error::one_line(&e));
                None
            }
        })
        .collect()
}

fn config_path<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let wanted = &env.spec.cluster.config_path;
        let access = env.cluster.nodes.as_ref();
        let dumps = each_node(env, look, |node| async move { access.run(&node, &["containerd", "config", "dump"]).await }).await;
        for (node, dump) in dumps {
            let found = active_config_path(&dump);
            look.see(&node, &found);
            let listed = found.as_deref().is_some_and(|f| f.split(':').any(|p| p == wanted));
            look.require(listed, || format!("containerd on {node} has config_path {:?}, not {wanted}", found.unwrap_or_default()));
        }
        Ok(())
    })
}

/// The CRI registry `config_path` of a `containerd config dump`, in the layout of containerd 2 (image plugin) or 1 (CRI plugin).
fn active_config_path(dump: &str) -> Option<String> {
    let config: toml::Table = dump.parse().ok()?;
    let plugins = config.get("plugins")?.as_table()?;
    ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri"]
        .iter()
        .find_map(|p| Some(plugins.get(*p)?.get("registry")?.get("config_path")?.as_str()?.to_owned()))
}

fn hosts_read<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let access = env.cluster.nodes.as_ref();
        let root = &env.spec.cluster.config_path;
        for (path, wanted) in certs_files(&env.spec, env.context.state().recorders.as_ref()) {
            let file = format!("{root}/{path}");
            let file = file.as_str();
            let found = each_node(env, look, |node| async move { access.read_file(&node, file).await }).await;
            for (node, content) in found {
                look.require(content == wanted, || format!("{file} on {node} is not what the spec says"));
            }
        }
        // A pull from a registry that cannot exist must end at the address that only our file knows.
        let image = format!("{CANARY_REGISTRY}/probe:latest");
        let image = image.as_str();
        let pulls = each_node(env, look, |node| async move { access.exec(&node, &["crictl", "pull", image]).await }).await;
        for (node, output) in pulls {
            let read = output.stderr.contains(CANARY_SERVER);
            let said: String = output.stderr.lines().last().unwrap_or_default().chars().take(400).collect();
            look.require(read, || format!("containerd on {node} did not read {root}/{CANARY_REGISTRY}/hosts.toml; its pull said: {said}"));
            look.see(node, said);
        }
        Ok(())
    })
}

fn proxy_every_node<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let access = env.cluster.nodes.as_ref();
        let found = each_node(env, look, |node| async move { runtime_environment(access, &node).await }).await;
        for (node, environment) in found {
            for (name, wanted) in proxy_environment(&env.node_spec()) {
                let is = environment.get(name);
                look.require(is == Some(&wanted), || format!("containerd on {node} has {name}={is:?}, not {wanted}"));
            }
            let proxies: BTreeMap<&String, &String> = environment.iter().filter(|(k, _)| k.to_uppercase().ends_with("_PROXY")).collect();
            look.see(&node, proxies);
        }
        Ok(())
    })
}

fn pulled<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let access = env.cluster.nodes.as_ref();
        let image = env.spec.probe.image.as_str();
        look.see("image", image);
        let pull = |node: String| async move {
            let what = format!("{image} is pulled on {node}");
            env.waiting.within(&what, Limit::ImagePull, access.exec(&node, &["crictl", "pull", image])).await.map_err(|e| e.to_string())
        };
        let pulls = join_all(expected_nodes(&env.spec).into_iter().map(|(node, _)| async move { (node.clone(), pull(node).await) })).await;
        for (node, result) in pulls {
            match result {
                Ok(Ok(output)) if output.code == 0 => look.see(node, output.stdout.trim()),
                Ok(Ok(output)) => {
                    let said = output.stderr.lines().last().unwrap_or_default().to_owned();
                    look.problem(format!("crictl pull on {node}: image {image}: {said}"));
                    look.see(node, said);
                }
                Ok(Err(e)) => look.problem(crate::error::one_line(&e)),
                Err(e) => look.problem(e),
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_path_is_found_in_both_layouts_and_not_in_another_plugin() {
        let two = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d'\n\
                   [plugins.'io.containerd.transfer.v1.local']\nconfig_path = ''\n";
        let one = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a:/b\"\n";
        let other = "[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '/etc/containerd/certs.d'\n";
        assert_eq!(active_config_path(two).as_deref(), Some("/etc/containerd/certs.d"));
        assert_eq!(active_config_path(one).as_deref(), Some("/a:/b"));
        assert_eq!(active_config_path(other), None);
        assert_eq!(active_config_path("not toml ["), None);
    }
}
