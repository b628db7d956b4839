//! The guide's environment, whole and healthy, for tests to break.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use super::api::{Reply, ScriptedApi};
use super::guide::{CONTROL_PLANE, WORKER, objects};
use super::nodes::FakeNodes;
use super::provider::FakeProvider;
use super::tokens::{serve_dashboard, serve_reviews, serve_tokens, signing_key, token};
use crate::cluster::kind_config::{CANARY_REGISTRY, CANARY_SERVER, expected_nodes, kube_context, proxy_environment};
use crate::cluster::{Capabilities, Capability, Cluster, NodeMachine};
use crate::journal::{CommandRecord, Fidelity, Journal, Transcript};
use crate::mirror::record::{Access, Asked, What};
use crate::outcomes::{Environment, ISTIO_INSTALL, ISTIO_VERSION_BEFORE};
use crate::recording::{CONTROL_REGISTRY, DROP_IN, HOSTS_TOML, INERT_REGISTRY, PROXIED_REGISTRY, Recorders, certs_files, through};
use crate::session::{Session, State};
use crate::spec::{ProxyRecording, Request, Spec, load};
use crate::stages::Context;
use crate::tools::Tools;
use crate::wait::{Limits, ManualClock, Passage, Waiting};

/// What `istioctl install` 1.27.1 prints.
const INSTALLED: &str = "✔ Istio core installed ⛵️\n✔ Istiod installed 🧠\n✔ CNI installed 🪢\n✔ Ztunnel installed 🔒\n\
    ✔ Installation completeThe ambient profile has been installed successfully, enjoy Istio without sidecars!\n";

/// What `kubectl get pod -n kubernetes-dashboard` prints of the healthy environment.
pub(crate) const LISTED: &str = "NAME                                         READY   STATUS    RESTARTS   AGE\n\
    dashboard-metrics-scraper-6b5c7f7b5c-9xk2p   1/1     Running   0          2m\n\
    kubernetes-dashboard-b7ffbc8cb-zl8zg         1/1     Running   1 (5s ago) 2m";

/// The guide's resolved spec, with the proxy on the nodes so that everything is judged.
pub(crate) fn spec() -> Spec {
    let mut spec = load(&Request::default()).expect("the guide's profile");
    spec.proxy.enabled = true;
    spec
}

/// The same with recorders of everything.
fn recorded(mut spec: Spec) -> Spec {
    spec.recording.mirror = true;
    spec.recording.proxy = ProxyRecording::Direct;
    spec
}

/// Where the nodes find the recorders.
pub(crate) fn recorders() -> Recorders {
    Recorders { host: "172.18.0.1".to_owned(), mirror: 5100, drop_in: 3128, hosts_toml: 3129, container: None }
}

/// The digest of the image that a node came with, and of the one that it pulled.
pub(crate) const IMAGES: [&str; 2] = [
    "sha256:1111111111111111111111111111111111111111111111111111111111111111",
    "sha256:2222222222222222222222222222222222222222222222222222222222222222",
];

/// What the mirror writes down when a node asks for a manifest of the probe's image.
pub(crate) fn mirror_access(node: &str, status: u16) -> Access {
    access(
        node,
        Asked::Mirror {
            method: "HEAD".to_owned(),
            namespace: "docker.io".to_owned(),
            repository: "library/busybox".to_owned(),
            what: What::Manifest,
            reference: "latest".to_owned(),
            digest: (status < 400).then(|| IMAGES[1].parse().expect("a digest")),
            status,
            bytes: 0,
            from: None,
            millis: 1,
            error: None,
        },
    )
}

/// What a proxy writes down.
pub(crate) fn proxy_access(node: &str, listener: &str, method: &str, target: &str) -> Access {
    let (listener, method, target) = (listener.to_owned(), method.to_owned(), target.to_owned());
    access(node, Asked::Proxy { listener, method, target, status: 502, sent: 0, received: 0, millis: 1, error: None })
}

fn access(node: &str, asked: Asked) -> Access {
    Access { at: Timestamp::UNIX_EPOCH, peer: "172.18.0.3:40000".parse().expect("an address"), node: Some(node.to_owned()), asked }
}

/// A context on a state directory of its own. No tool is found or downloaded unless the spec names it.
pub(crate) fn context(mut spec: Spec, dir: &TempDir, clock: &ManualClock, provider: FakeProvider, transcripts: &[Transcript]) -> Context {
    let tools = &mut spec.tools;
    for tool in [&mut tools.kind, &mut tools.kubectl, &mut tools.istioctl] {
        tool.path.get_or_insert_with(|| dir.path().join("no-such-tool").display().to_string());
    }
    let session = Session::locate(Some(dir.path()), dir.path(), |_| None).expect("a place");
    let journal = Journal::in_memory();
    let tools = Tools::new(&spec.tools, &spec.downloads, dir.path().join("cache"), journal.clone()).search_in([]);
    let mut state = session.begin("fake", json!({}));
    state.transcripts = transcripts.iter().map(|t| (t.name.clone(), t.clone())).collect();
    let waiting = Waiting::new(Arc::new(clock.clone()), Limits::default());
    Context::new(Arc::new(spec), session, state, journal, tools, waiting, Arc::new(provider), "a-run".to_owned())
}

/// Everything that outcomes look at.
pub(crate) struct World {
    pub(crate) api: ScriptedApi,
    pub(crate) nodes: FakeNodes,
    pub(crate) clock: ManualClock,
    pub(crate) spec: Spec,
    pub(crate) capabilities: Capabilities,
    pub(crate) transcripts: BTreeMap<String, Transcript>,
    pub(crate) dir: TempDir,
    /// Where its tools are.
    tools: TempDir,
}

/// Time that passes at once: nothing happens meanwhile.
struct AtOnce;

impl Passage for AtOnce {
    fn pass(&self, _: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl World {
    /// In perfect health.
    pub(crate) fn healthy() -> Self {
        let clock = ManualClock::default();
        let (dir, tools) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("a mode");
        let mut capabilities = Capabilities::default();
        let all = [
            Capability::KIND,
            Capability::NODE_EXEC,
            Capability::IMAGE_PULL,
            Capability::NODE_INVENTORY,
            Capability::TYPED_REQUESTS,
            Capability::PORT_FORWARD,
        ];
        for capability in all {
            capabilities.give(capability);
        }
        let before = record(
            "version",
            "client version: 1.27.1\n",
            "Istio is not present in the cluster: no running Istio pods in namespace \"istio-system\"\n",
        );
        let install = record("install --set profile=ambient --skip-confirmation", "", INSTALLED);
        let transcripts = [(ISTIO_VERSION_BEFORE, before), (ISTIO_INSTALL, install)].map(|(name, command)| {
            let transcript = Transcript { name: name.to_owned(), run: "a-run".to_owned(), recorded_at: Timestamp::UNIX_EPOCH, command };
            (name.to_owned(), transcript)
        });
        let mut world = Self {
            api: ScriptedApi::new(&clock),
            nodes: FakeNodes::default(),
            clock,
            spec: recorded(spec()),
            capabilities,
            transcripts: transcripts.into(),
            dir,
            tools,
        };
        world.fill();
        world
    }

    fn fill(&mut self) {
        let account = &self.spec.dashboard.admin_user;
        serve_tokens(&self.api, &[account, "default"]);
        self.api.handle("POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings", |asked| match asked.query.get("dryRun") {
            Some(_) => Reply::status(409, "clusterrolebindings.rbac.authorization.k8s.io \"admin-user\" already exists"),
            None => Reply::Objects,
        });
        self.api.put_all(objects(&self.spec));
        let version = format!("v{}", self.spec.cluster.kubernetes);
        self.api.always(
            "GET /version",
            Reply::Json(
                200,
                json!({"major": "1", "minor": "33", "gitVersion": version, "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
                       "goVersion": "", "compiler": "gc", "platform": "linux/amd64"}),
            ),
        );
        for node in [CONTROL_PLANE, WORKER] {
            self.api.always(&format!("GET {}", healthz(node)), Reply::Text(200, "ok".to_owned()));
        }
        serve_reviews(&self.api);
        serve_dashboard(&self.api);
        self.fill_nodes();
        let kubectl = self.spec.tools.kubectl.version.clone();
        let user = self.spec.dashboard.admin_user.clone();
        self.tool(
            "kubectl",
            &[
                ("version --client", &format!("{{\"clientVersion\":{{\"gitVersion\":\"v{kubectl}\"}}}}")),
                ("create token", &token(&user, 3600)),
                ("get pod -n kubernetes-dashboard", LISTED),
            ],
        );
        let istio = self.spec.istio.version.clone();
        self.istioctl(&format!("client version: {istio}\ncontrol plane version: {istio}\ndata plane version: {istio} (2 proxies)\n"));
        let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: kind-istio-cluster\n\
            contexts: [{name: kind-istio-cluster, context: {cluster: c, user: u}}]\n\
            clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";
        std::fs::write(self.kubeconfig(), kubeconfig).expect("a file");
        std::fs::set_permissions(self.kubeconfig(), Permissions::from_mode(0o600)).expect("a mode");
    }

    fn fill_nodes(&self) {
        for (node, role) in expected_nodes(&self.spec) {
            self.nodes.machines_mut(|m| {
                m.push(NodeMachine { name: node.clone(), role: role.to_owned(), state: "running".to_owned(), started: None });
            });
            let path = &self.spec.cluster.config_path;
            self.config_path(&node, path);
            for (file, content) in certs_files(&self.spec, Some(&recorders())) {
                self.nodes.file(&node, &format!("{path}/{file}"), &content);
            }
            let tried = format!(
                "failed to pull image \"{CANARY_REGISTRY}/probe:latest\": failed to do request: Head \"{CANARY_SERVER}/v2/probe/manifests/latest?ns={CANARY_REGISTRY}\": dial tcp 127.0.0.1:9: connect: connection refused"
            );
            self.nodes.answer(&node, &format!("crictl pull {CANARY_REGISTRY}/probe:latest"), 1, "", &tried);
            let image = &self.spec.probe.image;
            self.nodes.answer(&node, &format!("crictl pull {image}"), 0, "Image is up to date for sha256:9ae97d36d265\n", "");
            self.nodes.answer(&node, "systemctl show containerd -p MainPID --value", 0, "123\n", "");
            let listed = json!({"images": IMAGES.iter().zip(["registry.k8s.io/pause:3.10", image.as_str()]).map(|(digest, name)| {
                let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
                json!({"id": digest, "repoTags": [name], "repoDigests": [format!("{repository}@{digest}")]})
            }).collect::<Vec<_>>()});
            self.nodes.answer(&node, "crictl images -o json", 0, &listed.to_string(), "");
            self.nodes.seen(&node, &format!("crictl pull {image}"), &[mirror_access(&node, 200)]);
            let ctr = format!("ctr -n k8s.io images pull --hosts-dir {path} {image}");
            self.nodes.answer(&node, &ctr, 0, &format!("{image}\tsaved\nCompleted pull from OCI Registry ({image})\n"), "");
            for (program, name) in [("crictl pull", "by-crictl"), ("ctr -n k8s.io images pull", "by-ctr")] {
                let pull = format!("{program} {CONTROL_REGISTRY}/{name}:latest");
                self.nodes.answer(&node, &pull, 1, "", "failed to pull");
                let path = format!("/v2/{name}/manifests/latest");
                let seen = (name == "by-crictl").then(|| proxy_access(&node, HOSTS_TOML, "HEAD", &path));
                self.nodes.seen(&node, &pull, seen.as_slice());
            }
            let refused = |registry: &str| format!("failed to pull image \"{registry}/probe:latest\": failed to do request: Bad Gateway");
            for (registry, seen) in [
                (PROXIED_REGISTRY, Some(proxy_access(&node, DROP_IN, "CONNECT", &format!("{PROXIED_REGISTRY}:443")))),
                (CONTROL_REGISTRY, Some(proxy_access(&node, HOSTS_TOML, "HEAD", "/v2/probe/manifests/latest"))),
                (INERT_REGISTRY, None),
            ] {
                let pull = format!("crictl pull {registry}/probe:latest");
                self.nodes.answer(&node, &pull, 1, "", &refused(registry));
                self.nodes.seen(&node, &pull, seen.as_slice());
            }
            let environ: Vec<String> =
                proxy_environment(&through(&self.spec, Some(&recorders()))).iter().map(|(k, v)| format!("{k}={v}")).collect();
            self.nodes.file(&node, "/proc/123/environ", &environ.join("\0"));
        }
        self.nodes.file(CONTROL_PLANE, "/etc/kubernetes/pki/sa.key", &signing_key());
    }

    /// What `containerd config dump` shows of the registries on a node.
    pub(crate) fn config_path(&self, node: &str, path: &str) {
        let dump = format!(
            "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '{path}'\n\
             [plugins.'io.containerd.transfer.v1.local']\nconfig_path = ''\n"
        );
        self.nodes.answer(node, "containerd config dump", 0, &dump, "");
    }

    /// A tool that answers command lines by a part of them, and nothing else.
    pub(crate) fn tool(&mut self, name: &str, answers: &[(&str, &str)]) {
        // Where no cluster is, only the client answers.
        let mut body =
            "case \"$(cat \"$KUBECONFIG\" 2>/dev/null)\" in *127.0.0.1:9*) echo 'client version: 1'; exit 0 ;; esac\n".to_owned();
        body.push_str("case \"$*\" in\n");
        for (part, answer) in answers {
            body.push_str(&format!("  *\"{part}\"*) cat <<'END_OF_ANSWER'\n{}\nEND_OF_ANSWER\n;;\n", answer.trim_end()));
        }
        body.push_str("  *) echo \"the test has no answer for $*\" >&2; exit 1 ;;\nesac");
        let path = crate::tools::testing::script(self.tools.path(), name, &body);
        let tools = &mut self.spec.tools;
        let tool = match name {
            "kubectl" => &mut tools.kubectl,
            "istioctl" => &mut tools.istioctl,
            _ => &mut tools.kind,
        };
        tool.path = Some(path.display().to_string());
    }

    /// An istioctl whose `version` of everything says this.
    pub(crate) fn istioctl(&mut self, version: &str) {
        let client = format!("client version: {}", self.spec.istio.version);
        self.tool("istioctl", &[("--remote=false", &client), ("version", version)]);
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Changes the record of a command.
    #[track_caller]
    pub(crate) fn transcript(&mut self, name: &str) -> &mut CommandRecord {
        &mut self.transcripts.get_mut(name).expect("a transcript").command
    }

    /// Opens it as an outcome sees it. The tools have been asked for their versions and for the token, since they live by the real clock.
    pub(crate) async fn open(&self) -> Environment {
        let cluster = Cluster {
            passage: Some(Arc::new(AtOnce)),
            name: self.spec.cluster.name.clone(),
            client: self.api.client(),
            kubeconfig: self.kubeconfig(),
            context: kube_context(&self.spec.cluster.name),
            capabilities: self.capabilities.clone(),
            fidelity: Fidelity::Simulated,
            nodes: Arc::new(self.nodes.clone()),
        };
        let transcripts: Vec<Transcript> = self.transcripts.values().cloned().collect();
        let context =
            context(self.spec.clone(), &self.dir, &self.clock, FakeProvider { cluster: Some(cluster), installs: None }, &transcripts);
        let baked = expected_nodes(&self.spec).into_iter().map(|(node, _)| (node, vec![IMAGES[0].to_owned()])).collect();
        let record = |state: &mut State| (state.recorders, state.baked_images) = (Some(recorders()), baked);
        context.record(record).expect("a file");
        let file = crate::recording::file(&context.session);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        self.nodes.record_to(file);
        let environment = Environment::open(Arc::new(context)).await.expect("an environment");
        // A token that cannot be made is for the outcomes to tell.
        let _ = environment.admin_token().await;
        environment
    }
}

/// Where a kubelet answers.
pub(crate) fn healthz(node: &str) -> String {
    format!("/api/v1/nodes/{node}/proxy/healthz")
}

fn record(arguments: &str, stdout: &str, stderr: &str) -> CommandRecord {
    CommandRecord {
        argv: std::iter::once("istioctl").chain(arguments.split(' ')).map(str::to_owned).collect(),
        pid: 1,
        exit_code: Some(0),
        duration_ms: 1,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}
