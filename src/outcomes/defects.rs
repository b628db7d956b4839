//! What the guide's own words would do, shown in the environment as far as it can be, beside what meshproof did instead. Nothing here gates.
//!
//! The guide's defects are numbered D1 to D17 (docs/GUIDE.md). D1 is shown by the recorders and D8 by `kubectl proxy` itself; D2, D7, D11 and
//! D13 leave no trace in an environment and are shown from the guide's text and the version catalog alone, which the evidence says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::{
    Checked, DASHBOARD_NAMESPACE, Environment, ISTIO_INSTALL, ISTIO_VERSION_BEFORE, Look, Outcome, Stop, gateway_api, istio, login,
    recordings, shown,
};
use crate::cluster::Capability;
use crate::cluster::kind_config::{drop_in, expected_nodes};
use crate::guide;
use crate::spec::{Version, catalog};
use crate::wait::Limit;

const PULL: &[Capability] = &[Capability::NODE_EXEC, Capability::IMAGE_PULL];
const RECORDED_PULL: &[Capability] = &[Capability::NODE_EXEC, Capability::IMAGE_PULL, Capability::RECORDING_PROXY];
/// The guide's `hosts.toml` from the word that D1 and D2 are about.
const PROXY_TABLE: &str = "[host.\"https://registry-1.docker.io\".proxy]";
const CTR: &str = "ctr -n k8s.io images pull docker.io/library/busybox:latest";

pub(super) fn outcomes() -> Vec<Outcome> {
    let cluster = vec![
        Outcome::defect(
            "cluster.kind.second-create-fails",
            "2.1.1",
            "kind create cluster --name istio-cluster --config kind-config.yaml",
            second_create,
        )
        .shows("D6")
        .needs(&["cluster"])
        .with(&[Capability::KIND]),
        Outcome::defect("cluster.proxy.table-of-wrong-type", "2.1.1", PROXY_TABLE, table_type).shows("D2"),
        Outcome::defect("cluster.proxy.worker-left-out", "2.1.2", "docker exec -it istio-cluster-control-plane bash", worker_left_out)
            .shows("D3")
            .needs(&["dashboard"])
            .with(&[Capability::KIND]),
        Outcome::defect("cluster.proxy.other-network", "2.1.2", "Environment=\"NO_PROXY=localhost,127.0.0.1,10.96.0.0/12", other_network)
            .shows("D17")
            .needs(&["cluster"]),
        Outcome::defect("cluster.images.ctr-asks-elsewhere", "2.1.2", CTR, ctr_asks_elsewhere)
            .shows("D4")
            .needs(&["nodes"])
            .with(RECORDED_PULL),
        Outcome::defect("cluster.images.ctr-says-otherwise", "2.1.2", CTR, ctr_says_otherwise).shows("D5").needs(&["proxy"]).with(PULL),
        Outcome::defect("cluster.mirror.one-registry", "2.1.1", "server = \"https://registry-1.docker.io\"", one_registry).shows("D11"),
    ];
    let dashboard = vec![
        Outcome::defect("dashboard.pods.always-pull", "2.1.2", MANIFEST, always_pull).shows("D14").needs(&["dashboard"]),
        Outcome::defect("dashboard.project.archived", "2.1.2", MANIFEST, archived).shows("D13"),
        Outcome::defect("dashboard.admin-user.no-namespace", "2.1.2", BINDING, no_namespace).shows("D15").needs(&["admin-user"]),
        Outcome::defect("dashboard.login.page-closed", "2.1.2", "kubectl proxy --address=0.0.0.0 --accept-hosts='.*'", page_closed)
            .shows("D9")
            .needs(&["dashboard"]),
    ];
    let istio = vec![
        Outcome::defect("istioctl.download.newest", "2.2", "curl -L https://istio.io/downloadIstio | sh -", newest).shows("D7"),
        Outcome::defect("istioctl.version.always-succeeds", "2.2", "istioctl version", always_succeeds)
            .shows("D16")
            .needs(&["istio"])
            .with(&[Capability::TRANSCRIPT]),
        Outcome::defect("istio.install.order-varies", "2.3", "CNI installed", order_varies)
            .shows("D10")
            .needs(&["istio"])
            .with(&[Capability::TRANSCRIPT]),
        Outcome::defect("gateway-api.guard.one-name", "2.4", "kubectl get crd gateways.gateway.networking.k8s.io", one_name)
            .shows("D12")
            .needs(&["gateway-api"]),
    ];
    [cluster, dashboard, istio].concat()
}

const MANIFEST: &str = "kubectl apply -f https://raw.githubusercontent.com/kubernetes/dashboard/v2.7.0/aio/deploy/recommended.yaml";
const BINDING: &str = "kubectl create clusterrolebinding -n kubernetes-dashboard admin-user --clusterrole cluster-admin --serviceaccount=kubernetes-dashboard:admin-user";

/// The guide's own words from the sentence that has this in it.
fn words(part: &str) -> Result<&'static str, Stop> {
    let sentence = guide::sentences().iter().find(|s| s.text.contains(part));
    sentence.map(|s| s.text.as_str()).ok_or_else(|| Stop::Failed(format!("the guide does not say {part}")))
}

/// Nothing in the environment is looked at.
fn by_text_alone(look: &mut Look) {
    look.see("shownBy", "the guide's text and the version catalog alone");
}

fn second_create<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let Some(record) = env.context.provider.create_again(&env.context).await? else {
            let reason = crate::text::current().get("unsupported-kind-tool");
            return Err(Stop::Unsupported { capability: Capability::KIND, reason });
        };
        look.see("command", record.argv.join(" "));
        look.see("exitCode", record.exit_code);
        let said = record.stderr.lines().find(|l| l.contains("ERROR")).unwrap_or_default();
        look.see("said", said);
        look.require(record.exit_code != Some(0), || "a second `kind create cluster` of the same name succeeded".to_owned());
        look.require(said.contains("node(s) already exist for a cluster with the name"), || format!("the second create said: {said}"));
        Ok(())
    })
}

fn table_type<'a>(_: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        by_text_alone(look);
        let text = format!("{}\n{}", words("capabilities = [\"pull\", \"resolve\"]")?, words(PROXY_TABLE)?);
        let file: toml::Table = text.parse().map_err(|e| Stop::Failed(format!("the guide's hosts.toml is no TOML: {e}")))?;
        let proxy = file.get("host").and_then(|h| h.as_table()?.values().next()?.get("proxy"));
        let kind = proxy.map_or("absent", toml::Value::type_str);
        look.see("typeOfProxy", kind);
        look.see("typeInContainerd13359", "string");
        look.require(kind == "table", || format!("the guide's proxy is {kind}, which a containerd that knows the key would read"));
        Ok(())
    })
}

fn worker_left_out<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let nodes = expected_nodes(&env.spec);
        if nodes.len() < 2 {
            let reason = crate::text::current().get("unsupported-one-node");
            return Err(Stop::Unsupported { capability: Capability::KIND, reason });
        }
        let (reached, _) = nodes.into_iter().next().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(env.cluster.client.clone(), DASHBOARD_NAMESPACE);
        let pods = api.list(&ListParams::default()).await.map_err(Stop::kube(format!("list the pods of {DASHBOARD_NAMESPACE}")))?;
        let places: BTreeMap<String, String> =
            pods.iter().filter_map(|p| Some((p.name_any(), p.spec.as_ref()?.node_name.clone()?))).collect();
        look.see("dropInOfTheGuide", &reached);
        look.see("podsThatPull", &places);
        if env.spec.proxy.enabled {
            look.see("dropInOfMeshproof", expected_nodes(&env.spec).into_iter().map(|(node, _)| node).collect::<Vec<_>>());
        }
        look.require(places.values().any(|node| *node != reached), || format!("every pod of the Dashboard runs on {reached}"));
        Ok(())
    })
}

fn other_network<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        const RANGE: &str = "172.17.0.0/16";
        words("Environment=\"NO_PROXY").and_then(|w| if w.contains(RANGE) { Ok(()) } else { Err(Stop::Failed(format!("no {RANGE}"))) })?;
        let address = |node: &k8s_openapi::api::core::v1::Node| {
            let addresses = node.status.as_ref()?.addresses.as_ref()?;
            addresses.iter().find(|a| a.type_ == "InternalIP").map(|a| a.address.clone())
        };
        let addresses: BTreeMap<String, String> = env.nodes().await?.iter().filter_map(|n| Some((n.name_any(), address(n)?))).collect();
        look.see("rangeOfTheGuide", RANGE);
        look.see("nodes", &addresses);
        look.require(!addresses.is_empty(), || "no node has an address".to_owned());
        for (node, address) in &addresses {
            let inside = address.parse::<Ipv4Addr>().is_ok_and(|ip| ip.octets()[..2] == [172, 17]);
            look.require(!inside, || format!("{node} is at {address}, which {RANGE} covers"));
        }
        if env.spec.proxy.enabled {
            let line = drop_in(&env.node_spec()).lines().find(|l| l.contains("NO_PROXY")).unwrap_or_default().to_owned();
            look.see("noProxyOfMeshproof", line);
        }
        Ok(())
    })
}

fn ctr_asks_elsewhere<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let (_, now) = env.recorders()?;
        let registry = crate::recording::CONTROL_REGISTRY;
        let access = env.cluster.nodes.as_ref();
        let pull = |node: String, argv: Vec<String>| async move {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            env.waiting.within("a pull ends", Limit::ImagePull, access.exec(&node, &argv)).await
        };
        let by = |program: &[&str], name: &str| {
            [program, &[&format!("{registry}/{name}:latest")]].concat().into_iter().map(str::to_owned).collect()
        };
        // Each for an image of its own, so that the record tells who asked.
        let pulls = expected_nodes(&env.spec).into_iter().map(|(node, _)| async move {
            let crictl = pull(node.clone(), by(&["crictl", "pull"], "by-crictl")).await;
            let ctr = pull(node.clone(), by(&["ctr", "-n", "k8s.io", "images", "pull"], "by-ctr")).await;
            (node, crictl.and(ctr))
        });
        let pulls = join_all(pulls).await;
        let seen = now.read().map_err(|e| recordings::unreadable(&e))?;
        for (node, pulled) in pulls {
            pulled??;
            let asked = |name: &str| {
                let mut all = recordings::asked_for(&seen, crate::recording::HOSTS_TOML, &node);
                all.any(|(method, target)| method != "CONNECT" && target.contains(name))
            };
            let (crictl, ctr) = (asked("by-crictl"), asked("by-ctr"));
            look.see(&node, json!({"crictlReadHostsToml": crictl, "ctrReadHostsToml": ctr}));
            look.require(crictl, || format!("crictl on {node} did not read hosts.toml either, so nothing is shown"));
            look.require(!ctr, || format!("ctr on {node} read hosts.toml, as the kubelet does"));
        }
        Ok(())
    })
}

fn ctr_says_otherwise<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let image = env.spec.probe.image.as_str();
        let shown = format!("unpacking {image} ...\ndone");
        let root = env.spec.cluster.config_path.as_str();
        let Some((node, _)) = expected_nodes(&env.spec).into_iter().next() else { return Err(Stop::Failed("there is no node".to_owned())) };
        // With hosts.toml, which the guide's command leaves out, so that it succeeds wherever a kubelet's pull does.
        let argv = ["ctr", "-n", "k8s.io", "images", "pull", "--hosts-dir", root, image];
        let access = env.cluster.nodes.as_ref();
        let output = env.waiting.within("a pull ends", Limit::ImagePull, access.exec(&node, &argv)).await??;
        let tail: Vec<&str> = output.stdout.lines().rev().take(4).collect();
        look.see("theGuideShows", shown.lines().collect::<Vec<_>>());
        look.see("printed", tail.into_iter().rev().collect::<Vec<_>>());
        look.require(output.code == 0, || format!("ctr on {node} did not pull {image}: {}", output.stderr.trim()));
        let missing = shown::missing(&shown, &output.stdout).len();
        look.require(missing > 0, || "ctr prints what the guide shows".to_owned());
        Ok(())
    })
}

fn one_registry<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        by_text_alone(look);
        let covered = "docker.io";
        words("mkdir -p certs.d/docker.io")?;
        let hubs: BTreeMap<String, &str> = catalog::ISTIO_MINORS
            .iter()
            .map(|minor| (format!("1.{minor}.1"), catalog::istio_hub(&Version::new(1, *minor, 1))))
            .filter(|(_, hub)| !hub.starts_with(covered))
            .collect();
        look.see("covered", covered);
        look.see("otherHubs", &hubs);
        look.see("istioHere", &env.spec.istio.hub);
        look.require(!hubs.is_empty(), || "every known Istio comes from docker.io".to_owned());
        Ok(())
    })
}

fn always_pull<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let api: Api<Deployment> = Api::namespaced(env.cluster.client.clone(), DASHBOARD_NAMESPACE);
        let found = api.get_opt("kubernetes-dashboard").await.map_err(Stop::kube("read Deployment kubernetes-dashboard"))?;
        let containers = found.and_then(|d| d.spec?.template.spec).map(|s| s.containers).unwrap_or_default();
        let policy = containers.first().and_then(|c| c.image_pull_policy.clone()).unwrap_or_default();
        look.see("asApplied", &policy);
        look.see("preloaded", env.spec.cluster.preloaded);
        // Where every node has every image, meshproof has changed it.
        let wanted = if env.spec.cluster.preloaded { "IfNotPresent" } else { "Always" };
        look.require(policy == wanted, || format!("the Dashboard's imagePullPolicy is {policy}, not {wanted}"));
        Ok(())
    })
}

fn archived<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        by_text_alone(look);
        let project = catalog::DASHBOARD_PROJECT;
        look.see("project", project);
        let wanted = &env.spec.dashboard.version;
        look.require(words("recommended.yaml")?.contains(project.last_with_manifest), || {
            format!("the guide installs another version than {}", project.last_with_manifest)
        });
        look.see("versionHere", wanted);
        Ok(())
    })
}

fn no_namespace<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let user = &env.spec.dashboard.admin_user;
        let api: Api<ClusterRoleBinding> = Api::all(env.cluster.client.clone());
        let found = api.get_opt(user).await.map_err(Stop::kube(format!("read ClusterRoleBinding {user}")))?;
        let Some(mut binding) = found else { return Err(Stop::Failed(format!("ClusterRoleBinding {user} does not exist"))) };
        look.see("namespace", binding.namespace());
        look.require(binding.namespace().is_none(), || "a ClusterRoleBinding has a namespace".to_owned());
        // The same once more, without doing it.
        binding.metadata = kube::api::ObjectMeta { name: Some(user.clone()), ..kube::api::ObjectMeta::default() };
        let again = api.create(&PostParams { dry_run: true, ..PostParams::default() }, &binding).await;
        let said = match &again {
            Ok(_) => "created".to_owned(),
            Err(kube::Error::Api(status)) => format!("HTTP {}", status.code),
            Err(e) => crate::error::one_line(e),
        };
        look.see("again", &said);
        look.require(said == "HTTP 409", || format!("to create it again gives: {said}"));
        Ok(())
    })
}

fn page_closed<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let page = login::answer(env, "/").await?;
        let script = regex::Regex::new(r#"<script[^>]*src="(main[^"]*\.js)""#).expect("a valid pattern");
        let Some(script) = script.captures(&page.body).map(|found| found[1].to_owned()) else {
            let reason = crate::text::current().get("unsupported-dashboard-page");
            return Err(Stop::Unsupported { capability: Capability::DASHBOARD_PAGE, reason });
        };
        let text = login::answer(env, &format!("/{script}")).await?;
        look.see("script", &script);
        // It asks the browser where it is, and lets nobody log in elsewhere without TLS.
        for word in ["localhost", "127.0.0.1", "https"] {
            look.require(text.body.contains(word), || format!("the page's script does not ask for {word}"));
        }
        Ok(())
    })
}

fn newest<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        by_text_alone(look);
        let parse = |text: &str| text.parse::<Version>().map_err(|e| Stop::Failed(format!("{text}: {e}")));
        let newest = catalog::NEWEST_ISTIO;
        let named = words("cd istio-")?.lines().find_map(|l| l.strip_prefix("cd istio-")).unwrap_or_default();
        look.see("theScriptInstalls", format!("{newest} or newer"));
        look.see("theGuideEnters", format!("istio-{named}"));
        look.see("meshproofInstalls", &env.spec.istio.version);
        look.require(parse(newest)? > parse(named)?, || format!("{named} is the newest Istio"));
        Ok(())
    })
}

fn always_succeeds<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        // As it was asked before anything was installed: there is no Istio, and all is well.
        let command = &env.transcript(ISTIO_VERSION_BEFORE)?.command;
        look.see("exitCode", command.exit_code);
        look.see("stdout", command.stdout.trim());
        look.see("stderr", command.stderr.trim());
        look.require(command.stderr.contains("Istio is not present"), || "Istio was there already, so nothing is shown".to_owned());
        look.require(command.exit_code == Some(0), || format!("without Istio `istioctl version` exits with {:?}", command.exit_code));
        Ok(())
    })
}

fn order_varies<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let command = &env.transcript(ISTIO_INSTALL)?.command;
        let lines = istio::ticked(&format!("{}\n{}", command.stdout, command.stderr));
        look.see("printed", &lines);
        let version = env.spec.istio.version.parse::<Version>().map_err(|e| Stop::Failed(format!("{}: {e}", env.spec.istio.version)))?;
        let kept = catalog::istiod_before_cni(&version);
        look.see("thisVersionKeepsTheOrderOfTheGuide", kept);
        let at = |words: &str| lines.iter().position(|l| *l == words);
        let [_, istiod, cni, _, _] = catalog::INSTALL_LINES;
        let (Some(istiod_at), Some(cni_at)) = (at(istiod), at(cni)) else {
            look.problem(format!("the line `{istiod}` or `{cni}` is missing"));
            return Ok(());
        };
        look.require(!kept || istiod_at < cni_at, || format!("Istio {version} printed `{cni}` before `{istiod}`, which it should not"));
        Ok(())
    })
}

fn one_name<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        const LOOKED_AT: &str = "gateways.gateway.networking.k8s.io";
        let all: BTreeSet<String> = gateway_api::expected(env)?.into_iter().collect();
        let present = gateway_api::crds(env).await?;
        look.require(present.iter().any(|c| c.name_any() == LOOKED_AT), || format!("the guard would find no {LOOKED_AT} and install"));
        let versions: BTreeMap<String, String> = present
            .iter()
            .filter(|c| c.name_any() != LOOKED_AT)
            .map(|c| (c.name_any(), crate::stages::bundle(c.as_ref())))
            .map(|(name, (version, channel))| (name, format!("{version} {channel}")))
            .collect();
        look.see("lookedAt", LOOKED_AT);
        look.see("notLookedAt", all.iter().filter(|n| *n != LOOKED_AT).collect::<Vec<_>>());
        look.see("versionsNotLookedAt", &versions);
        look.require(all.len() > 1, || "the bundle has one CRD only, and the guard looks at it".to_owned());
        Ok(())
    })
}
