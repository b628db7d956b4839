use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::net::Proxy;
use crate::net::authority::Authority;
use crate::oci::{Config, Fault, Images, Misbehaviour, Registry};

const HOSTS: &str = "/etc/containerd/certs.d/docker.io/hosts.toml";
const DROP_IN: &str = "/etc/systemd/system/containerd.service.d/http-proxy.conf";
const BUSYBOX: &str = "docker.io/library/busybox:latest";
const PATCH: &str = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";

/// The guide's `hosts.toml`.
const GUIDE_HOSTS: &str = r#"server = "https://registry-1.docker.io"
[host."https://registry-1.docker.io"]
  capabilities = ["pull", "resolve"]
  [host."https://registry-1.docker.io".proxy]
    http = "http://172.17.0.1:7890"
    https = "http://172.17.0.1:7890"
    no_proxy = "localhost,127.0.0.1,10.96.0.0/12,10.244.0.0/16,172.17.0.0/16,*.svc"
"#;

/// The guide's drop-in.
const GUIDE_DROP_IN: &str = r#"[Service]
Environment="HTTP_PROXY=http://172.17.0.1:7890"
Environment="HTTPS_PROXY=http://172.17.0.1:7890"
Environment="NO_PROXY=localhost,127.0.0.1,10.96.0.0/12,10.244.0.0/16,172.17.0.0/16,*.svc"
"#;

const MIRROR: &str = "[host.\"http://lab-registry:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n";

/// Docker Hub, a mirror without TLS, and a proxy, in a network that has nothing else.
struct Lab {
    network: Network,
    authority: Authority,
    hub: Registry,
    mirror: Registry,
    proxy: Proxy,
}

impl Lab {
    async fn new() -> Self {
        let (network, authority) = (Network::closed(), Authority::new("lab"));
        let mut images = Images::default();
        let labels = [("org.example".to_owned(), "yes".to_owned())].into();
        images.add("library/busybox", "latest", &Config { labels, ..Config::default() }, 4_000_000);
        let hub = Registry::start_tls(images.clone(), authority.server(&["registry-1.docker.io"])).await.unwrap();
        let mirror = Registry::start(images).await.unwrap();
        let proxy = Proxy::start(&network).await.unwrap();
        network.map("registry-1.docker.io:443", hub.address());
        network.map("lab-registry:5000", mirror.address());
        network.map("172.17.0.1:7890", proxy.address());
        Self { network, authority, hub, mirror, proxy }
    }

    fn settings(&self, name: &str) -> NodeSettings {
        let now: Now = Arc::new(|| Timestamp::from_second(1_760_000_000).unwrap());
        NodeSettings::new(name, "worker", self.network.clone(), self.authority.roots(), now)
    }

    fn node(&self, containerd: ContainerdVersion) -> Node {
        Node::new(NodeSettings { containerd, ..self.settings("n1") })
    }

    /// A node as the guide makes it: kind 0.30 with `config_path` and a `hosts.toml`.
    fn patched(&self, hosts: &str) -> Node {
        let node = self.node(ContainerdVersion(2, 1, 4));
        node.patch_config(PATCH).unwrap();
        node.write_file(HOSTS, hosts).unwrap();
        node
    }

    fn connects(&self) -> Vec<String> {
        self.proxy.records().iter().map(|r| format!("{} {}", r.method, r.target)).collect()
    }
}

async fn run(node: &Node, command: &str) -> Output {
    node.exec(&command.split(' ').collect::<Vec<_>>()).await
}

async fn ok(node: &Node, command: &str) -> String {
    let output = run(node, command).await;
    assert_eq!(output.code, 0, "{command}: {}", output.stderr);
    output.stdout
}

async fn drop_in(node: &Node, content: &str) {
    node.write_file(DROP_IN, content).unwrap();
    ok(node, "systemctl daemon-reload").await;
    ok(node, "systemctl restart containerd").await;
}

#[tokio::test]
async fn d1_the_proxy_table_is_inert_and_the_drop_in_is_not() {
    let lab = Lab::new().await;
    let node = lab.patched(GUIDE_HOSTS);
    assert!(ok(&node, &format!("crictl pull {BUSYBOX}")).await.starts_with("Image is up to date for sha256:"));
    assert_eq!(lab.connects(), [""; 0]);
    assert!(!lab.hub.records().is_empty());
    assert!(!node.journal_of("containerd").iter().any(|l| l.contains("proxy")), "nothing is said about it");

    // Host and server are the same endpoint, so that a pull that fails asks twice.
    drop_in(&node, GUIDE_DROP_IN).await;
    lab.network.unmap("registry-1.docker.io:443");
    let failed = run(&node, &format!("crictl pull {BUSYBOX}")).await;
    assert_eq!(lab.connects(), ["CONNECT registry-1.docker.io:443"; 2]);
    assert_eq!(lab.proxy.records()[0].node.as_deref(), Some("n1"));
    let last = failed.stderr.lines().last().unwrap();
    assert_eq!(
        last,
        "FATA[0000] pulling image: rpc error: code = Unknown desc = failed to pull and unpack image \"docker.io/library/busybox:latest\": failed to resolve reference \"docker.io/library/busybox:latest\": failed to do request: Head \"https://registry-1.docker.io/v2/library/busybox/manifests/latest\": Bad Gateway"
    );
    // One that succeeds has a connection for resolving and one for fetching.
    lab.network.map("registry-1.docker.io:443", lab.hub.address());
    lab.proxy.forget();
    ok(&node, &format!("crictl pull {BUSYBOX}")).await;
    assert_eq!(lab.connects(), ["CONNECT registry-1.docker.io:443"; 2]);
}

#[tokio::test]
async fn d3_a_drop_in_on_one_node_leaves_the_other_direct() {
    let lab = Lab::new().await;
    let [first, second] = ["control-plane", "worker"].map(|name| Node::new(lab.settings(name)));
    drop_in(&first, GUIDE_DROP_IN).await;
    ok(&first, "crictl pull busybox").await;
    ok(&second, "crictl pull busybox").await;
    assert!(lab.proxy.records().iter().all(|r| r.node.as_deref() == Some("control-plane")));
    assert!(!lab.proxy.records().is_empty());
}

#[tokio::test]
async fn the_environment_changes_only_with_reload_and_restart() {
    let lab = Lab::new().await;
    let node = lab.patched("");
    let pid = ok(&node, "systemctl show containerd -p MainPID --value").await;
    node.write_file(DROP_IN, GUIDE_DROP_IN).unwrap();
    let stale = run(&node, "systemctl restart containerd").await;
    assert!(stale.code == 0 && stale.stderr.contains("Run 'systemctl daemon-reload'"));
    let next = ok(&node, "systemctl show containerd -p MainPID --value").await;
    assert_ne!(pid, next);
    assert_eq!(run(&node, &format!("cat /proc/{}/environ", pid.trim())).await.code, 1);
    assert!(!ok(&node, &format!("cat /proc/{}/environ", next.trim())).await.contains("7890"));
    ok(&node, "systemctl daemon-reexec").await;
    assert!(ok(&node, "systemctl show containerd -p Environment").await.starts_with("Environment=HTTP_PROXY=http://172.17.0.1:7890 "));
    assert!(!ok(&node, &format!("cat /proc/{}/environ", next.trim())).await.contains("7890"));
    ok(&node, "systemctl restart containerd").await;
    let last = ok(&node, "systemctl show containerd -p MainPID --value").await;
    assert!(ok(&node, &format!("cat /proc/{}/environ", last.trim())).await.contains("\0HTTP_PROXY=http://172.17.0.1:7890\0"));
    // The drop-in survives a stop; the processes do not.
    node.stop();
    assert_eq!(run(&node, "true").await.stderr, "Error response from daemon: container n1 is not running\n");
    node.start();
    assert!(ok(&node, "systemctl show containerd -p Environment").await.contains("7890"));
    ok(&node, &format!("rm -f {DROP_IN}")).await;
    assert_eq!(run(&node, &format!("cat {DROP_IN}")).await.stderr, format!("cat: {DROP_IN}: No such file or directory\n"));
}

#[tokio::test]
async fn variables_of_kind_reach_containerd_on_every_node() {
    let lab = Lab::new().await;
    let environment = [("HTTPS_PROXY".to_owned(), "http://172.17.0.1:7890".to_owned())].into();
    let node = Node::new(NodeSettings { environment, ..lab.settings("n1") });
    ok(&node, "crictl pull busybox").await;
    assert!(!lab.connects().is_empty());
}

/// Seen live: a mirror by name is proxied although `NO_PROXY` has networks; naming it helps.
#[tokio::test]
async fn d17_a_plain_mirror_goes_through_the_proxy_unless_no_proxy_names_it() {
    let lab = Lab::new().await;
    let node = lab.patched(MIRROR);
    drop_in(&node, &GUIDE_DROP_IN.replace("172.17.0.0/16", "172.17.0.0/16,172.18.0.0/16")).await;
    ok(&node, &format!("crictl pull {BUSYBOX}")).await;
    assert_eq!(lab.connects()[0], "HEAD http://lab-registry:5000/v2/library/busybox/manifests/latest?ns=docker.io");
    lab.proxy.forget();
    // The proxy cannot reach the mirror: containerd falls back to the registry, and tells the mirror's answer when that fails as well.
    lab.network.unmap("lab-registry:5000");
    lab.network.unmap("registry-1.docker.io:443");
    let failed = run(&node, &format!("crictl pull {BUSYBOX}")).await;
    assert_eq!(lab.connects().len(), 2);
    let wanted =
        "unexpected status from HEAD request to http://lab-registry:5000/v2/library/busybox/manifests/latest?ns=docker.io: 502 Bad Gateway";
    assert!(failed.stderr.trim_end().ends_with(wanted), "{}", failed.stderr);
    assert!(node.journal_of("containerd").iter().any(|l| l.contains("trying next host") && l.ends_with("host=lab-registry:5000")));
    lab.network.map("lab-registry:5000", lab.mirror.address());
    lab.proxy.forget();
    drop_in(&node, &GUIDE_DROP_IN.replace("*.svc", "*.svc,lab-registry")).await;
    ok(&node, &format!("crictl pull {BUSYBOX}")).await;
    assert_eq!(lab.connects(), [""; 0]);
}

#[tokio::test]
async fn p7_without_config_path_the_mirror_is_used_from_2_2_on() {
    for (version, used) in [(ContainerdVersion(1, 7, 24), false), (ContainerdVersion(2, 1, 4), false), (ContainerdVersion(2, 2, 0), true)] {
        let lab = Lab::new().await;
        let node = lab.node(version);
        node.write_file(HOSTS, MIRROR).unwrap();
        ok(&node, "crictl pull busybox").await;
        assert_eq!(!lab.mirror.records().is_empty(), used, "{version}");
        assert_eq!(lab.hub.records().is_empty(), used, "{version}");
        if used {
            assert!(lab.mirror.records().iter().all(|r| r.ns.as_deref() == Some("docker.io")));
        }
    }
}

#[tokio::test]
async fn p8_mirrors_beside_config_path_leave_no_cri() {
    let lab = Lab::new().await;
    let node = lab.patched(MIRROR);
    node.patch_config("[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"http://m\"]").unwrap();
    let failed = run(&node, "crictl info").await;
    assert!(failed.code == 1 && failed.stderr.contains("unknown service runtime.v1.RuntimeService"), "{}", failed.stderr);
    assert!(ok(&node, "journalctl --no-pager -u containerd -n 1").await.contains("`mirrors` cannot be set when `config_path` is provided"));
    assert_eq!(node.pull("busybox").await.unwrap_err().code, "Unimplemented");
}

#[tokio::test]
async fn d4_ctr_uses_the_daemons_environment_from_2_0_on_and_certs_d_only_when_told() {
    let lab = Lab::new().await;
    let node = lab.patched(MIRROR);
    drop_in(&node, GUIDE_DROP_IN).await;
    let pull = format!("ctr -n k8s.io images pull {BUSYBOX}");
    let said = ok(&node, &pull).await;
    assert!(lab.connects().iter().all(|c| c == "CONNECT registry-1.docker.io:443") && !lab.connects().is_empty());
    assert!(lab.mirror.records().is_empty());
    // D5.
    assert!(said.contains("saved") && said.contains(&format!("Completed pull from OCI Registry ({BUSYBOX})")), "{said}");
    ok(&node, &format!("ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d {BUSYBOX}")).await;
    assert!(!lab.mirror.records().is_empty());

    let lab = Lab::new().await;
    let old = lab.node(ContainerdVersion(1, 7, 24));
    drop_in(&old, GUIDE_DROP_IN).await;
    let said = ok(&old, &pull).await;
    assert_eq!(lab.connects(), [""; 0], "the drop-in is containerd's, and ctr downloads itself");
    assert!(said.contains("unpacking linux/") && said.contains("...\ndone: "), "{said}");
    assert!(ok(&old, "ctr -n k8s.io images ls").await.contains(BUSYBOX));
}

#[tokio::test]
async fn errors_are_those_of_the_cri() {
    let lab = Lab::new().await;
    let node = lab.patched("");
    let error = node.pull("library/busybox:gone").await.unwrap_err();
    let name = "docker.io/library/busybox:gone";
    assert_eq!(
        error.to_string(),
        format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{name}\": failed to resolve reference \"{name}\": {name}: not found"
        )
    );
    assert!(error.kubelet("busybox:gone").starts_with("Failed to pull image \"busybox:gone\": rpc error: code = NotFound"));
    let output = run(&node, "crictl pull busybox:gone").await;
    assert!(output.stderr.starts_with("E1009 ") && output.stderr.lines().count() == 2, "{}", output.stderr);

    let fault = |what, times| Fault { prefix: "/v2/library/busybox/manifests".to_owned(), what, times };
    lab.hub.fault(fault(Misbehaviour::Status(429, None), None));
    let limited = node.pull("busybox").await.unwrap_err();
    assert!(limited.message.ends_with("manifests/latest: 429 Too Many Requests"), "{limited}");
    lab.hub.clear_faults();
    lab.hub.fault(fault(Misbehaviour::Status(429, None), Some(2)));
    node.pull("busybox").await.unwrap();
    lab.hub.clear_faults();
    lab.hub.fault(fault(Misbehaviour::Corrupt, None));
    assert_eq!(node.pull("busybox").await.unwrap_err().code, "FailedPrecondition");
    lab.hub.clear_faults();
    lab.hub.fault(Fault { prefix: "/v2/library/busybox/blobs".to_owned(), what: Misbehaviour::Status(500, None), times: None });
    assert!(
        node.pull("busybox").await.unwrap_err().message.contains("failed to copy: httpReadSeeker: failed open: unexpected status from GET")
    );

    lab.network.unmap("registry-1.docker.io:443");
    let lookup = "dial tcp: lookup registry-1.docker.io on 172.18.0.1:53: no such host";
    assert!(node.pull("busybox").await.unwrap_err().message.ends_with(lookup));
    node.pull_fault("busybox", Some(PullFault::Fails(PullError { code: "Unknown", message: "no".to_owned() }))).unwrap();
    assert_eq!(node.pull("busybox").await.unwrap_err().to_string(), "rpc error: code = Unknown desc = no");
    node.runtime_down(true);
    let down = run(&node, "crictl info").await;
    assert!(down.stderr.contains("dial unix /run/containerd/containerd.sock: connect: connection refused"), "{}", down.stderr);
}

/// An answer outweighs a connection that failed (containerd 2), and 404 of the mirror outweighs nothing in 1.7.
#[tokio::test]
async fn the_error_that_got_furthest_is_told() {
    let lab = Lab::new().await;
    lab.network.unmap("lab-registry:5000");
    for (version, not_found) in [(ContainerdVersion(1, 7, 24), false), (ContainerdVersion(2, 1, 4), true)] {
        let node = lab.node(version);
        node.patch_config(PATCH).unwrap();
        node.write_file(HOSTS, MIRROR).unwrap();
        let error = node.pull("busybox:gone").await.unwrap_err();
        assert_eq!(error.code == "NotFound", not_found, "{error}");
    }
}

#[tokio::test]
async fn a_slow_pull_ends() {
    let lab = Lab::new().await;
    let node = lab.patched("");
    node.pull_fault("busybox", Some(PullFault::Slow(Duration::from_millis(20)))).unwrap();
    node.pull("busybox").await.unwrap();
}

#[tokio::test]
async fn what_crictl_shows_can_be_read() {
    let lab = Lab::new().await;
    let node = lab.patched("");
    ok(&node, &format!("crictl pull {BUSYBOX}")).await;
    node.preload(Image::preloaded("registry.k8s.io/pause:3.10", &Config::default(), 300_000).unwrap());
    let inspected: Value = serde_json::from_str(&ok(&node, &format!("crictl inspecti -o json {BUSYBOX}")).await).unwrap();
    assert_eq!(inspected["info"]["imageSpec"]["config"]["Labels"]["org.example"], "yes");
    assert!(inspected["status"]["repoDigests"][0].as_str().unwrap().starts_with("docker.io/library/busybox@sha256:"));
    let info: Value = serde_json::from_str(&ok(&node, "crictl info").await).unwrap();
    assert_eq!(info["config"]["registry"]["configPath"], "/etc/containerd/certs.d");
    let images = ok(&node, "crictl images").await;
    assert!(images.contains("docker.io/library/busybox") && images.contains("4.0MB") && images.contains("pause"), "{images}");
    node.containers().put(ContainerRecord {
        id: "a".repeat(64),
        pod_uid: "u".to_owned(),
        pod_name: "p".to_owned(),
        namespace: "default".to_owned(),
        name: "main".to_owned(),
        image: "busybox".to_owned(),
        image_id: node.image("busybox").unwrap().id,
        state: "CONTAINER_RUNNING".to_owned(),
        created: node.started(),
        attempt: 0,
        log: vec!["one".to_owned()],
    });
    assert!(node.containers().log(&"a".repeat(64), "two"));
    assert_eq!(ok(&node, "crictl logs --tail=1 aaaaaaaa").await, "two\n");
    assert!(ok(&node, "crictl ps").await.contains("Running"));
    let pods: Value = serde_json::from_str(&ok(&node, "crictl pods -o json").await).unwrap();
    assert_eq!(pods["items"][0]["metadata"]["name"], "p");
    assert_eq!(ok(&node, "crictl rmi registry.k8s.io/pause:3.10").await, "Deleted: registry.k8s.io/pause:3.10\n");
}

#[tokio::test]
async fn small_commands_behave() {
    let lab = Lab::new().await;
    let node = lab.patched("x");
    assert_eq!(ok(&node, "hostname").await, "n1\n");
    assert_eq!(ok(&node, "ls /etc/containerd").await, "certs.d\nconfig.toml\n");
    assert_eq!(run(&node, "test -d /etc/containerd").await.code + run(&node, "test -f /nothing").await.code, 1);
    assert_eq!(node.exec(&["sh", "-c", "mkdir -p /a/b && test -d /a/b && echo yes"]).await.stdout, "yes\n");
    assert_eq!(node.exec(&["sh", "-c", "echo $(echo one) $(echo two)-three"]).await.stdout, "one two-three\n");
    assert!(node.exec(&["sh", "-c", "echo $HOME"]).await.stderr.contains("has no shell for"));
    assert_eq!(node.exec(&["sh", "-c", "cat /etc/hostname | wc"]).await.code, 127);
    let missing = run(&node, "curl -v x").await;
    assert!(missing.code == 127 && missing.stderr.contains("exec: \"curl\": executable file not found in $PATH"));
    let dump: toml::Table = ok(&node, "containerd config dump").await.parse().unwrap();
    assert_eq!(dump["plugins"]["io.containerd.cri.v1.images"]["registry"]["config_path"].as_str(), Some("/etc/containerd/certs.d"));
    assert_eq!(node.runtime_version(), "containerd://2.1.4");
    // A configuration that cannot be read keeps containerd down.
    node.write_file(CONFIG, "version = ").unwrap();
    assert_eq!(run(&node, "systemctl restart containerd").await.code, 1);
    assert_eq!(run(&node, "systemctl is-active containerd").await.code, 3);
}

#[tokio::test]
async fn docker_hub_wants_a_token_that_everyone_gets() {
    let lab = Lab::new().await;
    let auth = Registry::start_tls(Images::default(), lab.authority.server(&["auth.docker.io"])).await.unwrap();
    let realm = "https://auth.docker.io/token".to_owned();
    lab.hub.fault(Fault { prefix: "/v2/".to_owned(), what: Misbehaviour::Challenge(realm), times: None });
    let node = lab.patched("");
    let error = node.pull("busybox").await.unwrap_err();
    let wanted = "failed to authorize: failed to fetch anonymous token: Get \"https://auth.docker.io/token?scope=repository%3Alibrary%2Fbusybox%3Apull&service=registry.docker.io\": dial tcp: lookup auth.docker.io on 172.18.0.1:53: no such host";
    assert!(error.message.ends_with(wanted), "{error}");
    lab.network.map("auth.docker.io:443", auth.address());
    node.pull("busybox").await.unwrap();
    auth.fault(Fault { prefix: "/token".to_owned(), what: Misbehaviour::Status(503, None), times: None });
    assert!(node.pull("busybox").await.unwrap_err().message.contains("unexpected status from GET request to https://auth.docker.io/token"));
}

#[tokio::test]
async fn an_index_has_an_image_for_the_nodes_platform() {
    let lab = Lab::new().await;
    let config = |architecture: &str| Config { architecture: architecture.to_owned(), ..Config::default() };
    lab.hub.images(|images| {
        images.add_index("a/both", "1", &[config("amd64"), config("arm64")], 1);
        images.add_index("a/other", "1", &[config("s390x")], 1);
    });
    for architecture in ["amd64", "arm64"] {
        let node = Node::new(NodeSettings { architecture: architecture.to_owned(), ..lab.settings("n1") });
        assert_eq!(node.pull("a/both:1").await.unwrap().config["architecture"], architecture);
        let error = node.pull("a/other:1").await.unwrap_err();
        assert!(error.code == "NotFound" && error.message.contains("no match for platform in manifest sha256:"), "{error}");
    }
}

#[tokio::test]
async fn a_mirrors_certificate_is_checked_against_its_ca_file() {
    let lab = Lab::new().await;
    let own = Authority::new("own");
    let mut images = Images::default();
    images.add("library/busybox", "latest", &Config::default(), 1);
    let mirror = Registry::start_tls(images, own.server(&["mirror.example"])).await.unwrap();
    lab.network.map("mirror.example:443", mirror.address());
    let only = "server = \"https://mirror.example\"\n";
    let node = lab.patched(only);
    let error = node.pull("busybox").await.unwrap_err();
    assert!(error.message.ends_with("x509: certificate signed by unknown authority"), "{error}");
    node.write_file("/etc/containerd/certs.d/docker.io/own.crt", &own.pem()).unwrap();
    // Files under certs.d are read anew for every pull.
    node.write_file(HOSTS, &format!("{only}ca = \"own.crt\"\n")).unwrap();
    node.pull("busybox").await.unwrap();
    node.write_file(HOSTS, &format!("{only}skip_verify = true\n")).unwrap();
    node.pull("busybox").await.unwrap();
    assert!(lab.hub.records().is_empty(), "a server of its own leaves no way back to the registry");
    // A server that never answers costs what its dial_timeout says.
    lab.network.blackhole("mirror.example");
    node.write_file(HOSTS, &format!("{only}dial_timeout = \"10ms\"\n")).unwrap();
    assert!(node.pull("busybox").await.unwrap_err().message.ends_with(":443: i/o timeout"));
}
