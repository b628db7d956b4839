//! Loading as a user sees it: layering, resolution, `--set`, and the exact text of every error.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::layers::Merged;
use super::load::profile_layer;
use super::resolve::{Platform, resolve};
use super::schema::{self, Shape};
use super::*;

mod errors;

/// Loads spec files given by content, named `a.yaml`, `b.yaml`, … in a directory of their own.
struct Files {
    directory: tempfile::TempDir,
    request: Request,
}

fn files<const N: usize>(contents: [&str; N]) -> Files {
    let directory = tempfile::tempdir().expect("a directory");
    let mut request = Request::default();
    for (name, content) in ('a'..).zip(contents) {
        let path = directory.path().join(format!("{name}.yaml"));
        std::fs::write(&path, content).expect("a file");
        request.files.push(path);
    }
    Files { directory, request }
}

impl Files {
    fn set<const N: usize>(mut self, sets: [&str; N]) -> Self {
        self.request.sets = sets.map(str::to_owned).to_vec();
        self
    }

    fn profile(mut self, profile: &str) -> Self {
        self.request.profile = Some(profile.to_owned());
        self
    }

    #[track_caller]
    fn ok(&self) -> Spec {
        match load(&self.request) {
            Ok(spec) => spec,
            Err(error) => panic!("{error}"),
        }
    }

    /// The message without the directory.
    #[track_caller]
    fn error(&self) -> String {
        let error = load(&self.request).expect_err("it should be refused");
        error.to_string().replace(&format!("{}/", self.directory.path().display()), "")
    }
}

fn set(argument: &str) -> Files {
    files([]).set([argument])
}

fn guide() -> Spec {
    files([]).ok()
}

// --- resolution

#[test]
fn the_guide_is_what_the_guide_pins() {
    let merged = Merged::new(profile_layer(&PROFILES[0]).expect("a valid profile"));
    let spec = resolve(merged, &Platform::of("linux", "x86_64")).expect("a complete profile");
    assert_eq!(
        serde_json::to_value(&spec).expect("serialisable"),
        json!({
            "apiVersion": "meshproof.dev/v1alpha1",
            "kind": "Environment",
            "profile": "guide",
            "cluster": {
                "name": "istio-cluster",
                "kubernetes": "1.33.4",
                "nodeImage": "kindest/node:v1.33.4@sha256:25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2",
                "preloaded": false,
                "controlPlanes": 1,
                "workers": 1,
                "configPath": "/etc/containerd/certs.d",
            },
            "mirrors": { "docker.io": {
                "server": "https://registry-1.docker.io",
                "hosts": [{
                    "url": "https://registry-1.docker.io",
                    "capabilities": ["pull", "resolve"],
                    "skipVerify": false,
                    "overridePath": false,
                }],
            } },
            "proxy": {
                "enabled": false,
                "http": "http://172.17.0.1:7890",
                "https": "http://172.17.0.1:7890",
                "noProxy": ["localhost", "127.0.0.1", "10.96.0.0/12", "10.244.0.0/16", "172.17.0.0/16", "*.svc"],
            },
            "recording": { "mirror": false, "proxy": "none", "host": "auto", "cacheGib": 20 },
            "probe": { "image": "docker.io/library/busybox:latest" },
            "dashboard": {
                "version": "v2.7.0",
                "manifest": "https://raw.githubusercontent.com/kubernetes/dashboard/v2.7.0/aio/deploy/recommended.yaml",
                "adminUser": "admin-user",
            },
            "kubectlProxy": { "port": 8001 },
            "istio": { "version": "1.27.1", "profile": "ambient", "hub": "docker.io/istio" },
            "gatewayApi": {
                "version": "v1.3.0",
                "channel": "standard",
                "manifest": "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.3.0/standard-install.yaml",
            },
            "tools": {
                "kind": {
                    "version": "0.30.0",
                    "url": "https://github.com/kubernetes-sigs/kind/releases/download/v0.30.0/kind-linux-amd64",
                },
                "kubectl": { "version": "1.33.4", "url": "https://dl.k8s.io/release/v1.33.4/bin/linux/amd64/kubectl" },
                "istioctl": {
                    "version": "1.27.1",
                    "url": "https://github.com/istio/istio/releases/download/1.27.1/istioctl-1.27.1-linux-amd64.tar.gz",
                },
            },
            "downloads": {},
        })
    );
}

#[test]
fn a_mac_downloads_what_its_files_are_called() {
    let merged = Merged::new(profile_layer(&PROFILES[0]).expect("a valid profile"));
    let tools = resolve(merged, &Platform::of("macos", "aarch64")).expect("a complete profile").tools;
    assert_eq!(tools.kind.url, "https://github.com/kubernetes-sigs/kind/releases/download/v0.30.0/kind-darwin-arm64");
    assert_eq!(tools.kubectl.url, "https://dl.k8s.io/release/v1.33.4/bin/darwin/arm64/kubectl");
    assert_eq!(tools.istioctl.url, "https://github.com/istio/istio/releases/download/1.27.1/istioctl-1.27.1-osx-arm64.tar.gz");
}

#[test]
fn every_profile_is_complete_and_named_as_it_says() {
    for profile in PROFILES {
        let spec = files([]).profile(profile.name).ok();
        assert_eq!(spec.profile, profile.name);
        assert!(!profile.description.is_empty() && !profile.description.contains('\n'), "{}", profile.name);
    }
}

#[test]
fn versions_are_normalised_and_what_follows_from_them_follows() {
    let spec = files(["cluster: {kubernetes: v1.32.8}\nistio: {version: v1.30.2}\ndashboard: {version: 2.6.0}\ngatewayApi: {version: 1.4.1}\ntools: {kind: {version: v0.30.0}}"]).ok();
    assert_eq!((spec.cluster.kubernetes.as_str(), spec.tools.kubectl.version.as_str()), ("1.32.8", "1.32.8"));
    assert!(spec.cluster.node_image.starts_with("kindest/node:v1.32.8@sha256:abd489f0"), "{}", spec.cluster.node_image);
    assert_eq!((spec.istio.version.as_str(), spec.tools.istioctl.version.as_str()), ("1.30.2", "1.30.2"));
    assert_eq!(spec.istio.hub, "registry.istio.io/release");
    assert_eq!(spec.dashboard.version, "v2.6.0");
    assert!(spec.dashboard.manifest.contains("/dashboard/v2.6.0/aio/"), "{}", spec.dashboard.manifest);
    assert!(spec.gateway_api.manifest.ends_with("/v1.4.1/standard-install.yaml"), "{}", spec.gateway_api.manifest);
    assert!(spec.tools.kind.url.contains("/v0.30.0/"), "{}", spec.tools.kind.url);
}

#[test]
fn explicit_tool_versions_and_hubs_stand() {
    let spec = files(["istio: {hub: quay.io/me}\ntools: {istioctl: {version: 1.28.0}, kubectl: {version: v1.34.0}}"]).ok();
    assert_eq!((spec.istio.version.as_str(), spec.tools.istioctl.version.as_str()), ("1.27.1", "1.28.0"));
    assert_eq!((spec.tools.kubectl.version.as_str(), spec.istio.hub.as_str()), ("1.34.0", "quay.io/me"));
    assert!(spec.tools.istioctl.url.contains("istioctl-1.28.0-"), "{}", spec.tools.istioctl.url);
}

#[test]
fn a_cluster_that_an_earlier_version_made_is_not_another_one() {
    let keys = |spec: &Spec| spec.cluster.heeded().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&set("istio.version=1.27.1").ok()), ["configPath", "controlPlanes", "kubernetes", "name", "nodeImage", "workers"]);
    assert!(keys(&set("cluster.preloaded=true").ok()).contains(&"preloaded".to_owned()));
}

#[test]
fn kubernetes_follows_the_tag_of_a_node_image() {
    for (image, kubernetes) in [
        ("kindest/node:v1.31.12", "1.31.12"),
        ("mirror:5000/kindest/node:v1.34.0@sha256:7416", "1.34.0"),
        ("kindest/node:v1.35.0-rc.1", "1.35.0-rc.1"),
        // These tell nothing.
        ("kindest/node:v1.31.12-mine", "1.33.4"),
        ("kindest/node:latest", "1.33.4"),
        ("mirror:5000/node", "1.33.4"),
    ] {
        let spec = set(&format!("cluster.nodeImage={image}")).ok();
        assert_eq!((spec.cluster.kubernetes.as_str(), spec.cluster.node_image.as_str()), (kubernetes, image));
        assert_eq!(spec.tools.kubectl.version, kubernetes, "{image}");
    }
}

// --- layers

#[test]
fn later_layers_win_maps_merge_lists_replace() {
    let spec = files([
        "cluster: {name: first, workers: 2}\nproxy: {noProxy: [a, b]}\nmirrors: {quay.io: {hosts: [{url: http://q}]}}",
        "cluster: {name: second}\nproxy: {noProxy: [c]}\nmirrors: {quay.io: {server: https://quay.io}}",
    ])
    .set(["cluster.name=third", "cluster.name=fourth"])
    .ok();
    assert_eq!((spec.cluster.name.as_str(), spec.cluster.workers), ("fourth", 2));
    assert_eq!(spec.proxy.no_proxy, ["c"]);
    assert_eq!(spec.mirrors.keys().collect::<Vec<_>>(), ["docker.io", "quay.io"]);
    let quay = &spec.mirrors["quay.io"];
    assert_eq!((quay.server.as_deref(), quay.hosts[0].url.as_str()), (Some("https://quay.io"), "http://q"));
    assert_eq!(quay.hosts[0].capabilities, [HostCapability::Pull, HostCapability::Resolve]);
}

#[test]
fn null_takes_back_what_is_optional() {
    let spec = files([
        "istio: {hub: quay.io/me}\ndownloads: {proxy: http://p}\nmirrors: {quay.io: {server: http://q}, ghcr.io: {}}",
        "istio: {hub: ~}\ndownloads: {proxy: ~}\nmirrors: {docker.io: null, quay.io: {server: }}",
    ])
    .set(["mirrors.ghcr.io="])
    .ok();
    assert_eq!((spec.istio.hub.as_str(), spec.downloads.proxy), ("docker.io/istio", None));
    assert_eq!(spec.mirrors.keys().collect::<Vec<_>>(), ["quay.io"]);
    assert_eq!(spec.mirrors["quay.io"].server, None);
    assert!(files(["mirrors: ~"]).ok().mirrors.is_empty());
    let spec = files(["mirrors: {quay.io: {hosts: [{url: http://q, capabilities: ~, skipVerify: ~}]}}"]).ok();
    assert_eq!(spec.mirrors["quay.io"].hosts[0].capabilities.len(), 2);
}

#[test]
fn empty_files_and_sections_change_nothing() {
    assert_eq!(
        files(["", "# nothing\n", "cluster:\n  # name: x\n", "apiVersion: meshproof.dev/v1alpha1\nkind: Environment"]).ok(),
        guide()
    );
}

#[test]
fn texts_need_no_quotes() {
    let spec = files(["cluster: {name: 007}\nprobe: {image: docker.io/library/busybox:1.30}\ndashboard: {adminUser: no}"]).ok();
    assert_eq!((spec.cluster.name.as_str(), spec.dashboard.admin_user.as_str()), ("007", "no"));
}

#[test]
fn files_are_found_beside_the_spec() {
    let content = "dashboard:\n  manifest: up/{version}.yaml\ngatewayApi: {manifest: /abs/g.yaml}\ntools: {kind: {path: bin/kind}}";
    let files = files([content]).set(["tools.kubectl.path=bin/kubectl"]);
    let spec = files.ok();
    let beside = |name: &str| files.directory.path().join(name).display().to_string();
    assert_eq!((spec.dashboard.manifest, spec.gateway_api.manifest), (beside("up/v2.7.0.yaml"), "/abs/g.yaml".to_owned()));
    assert_eq!(spec.tools.kind.path, Some(beside("bin/kind")));
    let here = std::env::current_dir().expect("a directory").join("bin/kubectl");
    assert_eq!(spec.tools.kubectl.path.map(PathBuf::from), Some(here));
}

#[test]
fn a_resolved_spec_loads_to_itself() {
    let spec = files(["mirrors: {docker.io: {server: ~}, quay.io: {hosts: [{url: http://q, skipVerify: true}]}}"]).ok();
    let without = set("mirrors.docker.io=").ok();
    for spec in [guide(), spec, without] {
        let document = to_document(&spec).to_string();
        assert_eq!(files([document.as_str()]).ok(), spec, "{document}");
    }
}

// --- `--set`

#[test]
fn sets_reach_every_place() {
    for (argument, pointer, expected) in [
        ("cluster.workers=3", "/cluster/workers", json!(3)),
        ("proxy.enabled=true", "/proxy/enabled", json!(true)),
        ("proxy.noProxy=[x, '*.svc']", "/proxy/noProxy", json!(["x", "*.svc"])),
        ("proxy.noProxy.1=y", "/proxy/noProxy/1", json!("y")),
        ("proxy.noProxy.6=y", "/proxy/noProxy/6", json!("y")),
        ("proxy={enabled: true}", "/proxy/enabled", json!(true)),
        ("proxy.http=http://u:p@h:1/?a=b", "/proxy/http", json!("http://u:p@h:1/?a=b")),
        ("mirrors.\"docker.io\".server=http://m", "/mirrors/docker.io/server", json!("http://m")),
        ("mirrors.'docker.io'.server=http://m", "/mirrors/docker.io/server", json!("http://m")),
        ("mirrors.docker\\.io.server=http://m", "/mirrors/docker.io/server", json!("http://m")),
        ("mirrors.docker.io.server=http://m", "/mirrors/docker.io/server", json!("http://m")),
        ("mirrors.docker.io.hosts.0.url=http://m", "/mirrors/docker.io/hosts/0/url", json!("http://m")),
        ("mirrors.docker.io.hosts.0.skipVerify=true", "/mirrors/docker.io/hosts/0/url", json!("https://registry-1.docker.io")),
        ("mirrors.docker.io.hosts.1.url=http://m", "/mirrors/docker.io/hosts/1/url", json!("http://m")),
        ("mirrors.docker.io.hosts=[{url: http://m}]", "/mirrors/docker.io/hosts/0/url", json!("http://m")),
        ("mirrors.registry.k8s.io.hosts.0.url=http://m", "/mirrors/registry.k8s.io/hosts/0/url", json!("http://m")),
        ("mirrors.registry.k8s.io={server: http://m}", "/mirrors/registry.k8s.io/server", json!("http://m")),
        ("mirrors.localhost:5000.server=http://m", "/mirrors/localhost:5000/server", json!("http://m")),
        ("mirrors._default.server=http://m", "/mirrors/_default/server", json!("http://m")),
        ("mirrors={quay.io: {server: http://m}}", "/mirrors/quay.io/server", json!("http://m")),
    ] {
        let spec = serde_json::to_value(set(argument).ok()).expect("serialisable");
        assert_eq!(spec.pointer(pointer), Some(&expected), "{argument}");
    }
}

#[test]
fn sets_build_on_each_other() {
    let spec = files([])
        .set(["mirrors.quay.io.hosts.0.skipVerify=true", "mirrors.quay.io.hosts.0.url=http://a", "mirrors.quay.io.hosts.1.url=http://b"])
        .ok();
    let hosts: Vec<_> = spec.mirrors["quay.io"].hosts.iter().map(|host| (host.url.as_str(), host.skip_verify)).collect();
    assert_eq!(hosts, [("http://a", true), ("http://b", false)]);
}

#[test]
fn the_profile_option_wins() {
    assert_eq!(files(["profile: nope"]).profile("guide").ok().profile, "guide");
    assert_eq!(files([]).profile("nope").error(), "--profile: unknown profile `nope`; valid profiles: guide");
    assert_eq!(
        files(["profile: guide"]).set(["profile=nope"]).error(),
        "--set profile=nope: unknown profile `nope`; valid profiles: guide"
    );
}

// --- the schema

/// Every key that a spec can have, with every optional one present.
fn full() -> serde_json::Value {
    let mut spec = guide();
    spec.downloads.proxy = Some("http://p".to_owned());
    spec.bundle = Some("/b".to_owned());
    for tool in [&mut spec.tools.kind, &mut spec.tools.kubectl, &mut spec.tools.istioctl] {
        tool.path = Some("/bin/tool".to_owned());
    }
    serde_json::to_value(spec).expect("serialisable")
}

fn assert_same_keys(shape: Shape, value: &serde_json::Value, path: &str) {
    match (shape, value) {
        (Shape::Section(fields), serde_json::Value::Object(map)) => {
            let mut ours = schema::names(fields);
            let mut theirs: Vec<&str> = map.keys().map(String::as_str).collect();
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "keys of `{path}`");
            for field in fields {
                assert_same_keys(field.shape, &map[field.name], &format!("{path}.{}", field.name));
            }
        }
        (Shape::Registries(inner), serde_json::Value::Object(map)) => {
            map.iter().for_each(|(key, value)| assert_same_keys(*inner, value, key));
        }
        (Shape::List(inner), serde_json::Value::Array(items)) => items.iter().for_each(|value| assert_same_keys(*inner, value, path)),
        (Shape::Integer { .. }, serde_json::Value::Number(_))
        | (Shape::Bool, serde_json::Value::Bool(_))
        | (Shape::Text | Shape::UrlOrFile | Shape::File | Shape::Word(_), serde_json::Value::String(_)) => {}
        (shape, value) => panic!("`{path}` is {shape:?} in the schema and {value} in the model"),
    }
}

#[test]
fn the_schema_has_the_keys_of_the_model() {
    assert_same_keys(schema::SPEC, &full(), "");
}

// --- advice and fingerprint

#[test]
fn the_guide_needs_no_advice() {
    assert_eq!(advisories(&guide()), []);
}

#[test]
fn advice_is_given_where_something_will_surprise() {
    assert_eq!(
        advisories(&set("cluster.kubernetes=1.34.0").ok()),
        [Advisory::KubernetesOutsideIstioRange {
            istio: "1.27.1".to_owned(),
            kubernetes: "1.34.0".to_owned(),
            oldest: "1.29".to_owned(),
            newest: "1.33".to_owned(),
        }]
    );
    for (url, expected) in [("http://127.0.0.1:7890", 1), ("http://u:p@localhost:1", 1), ("http://[::1]:1", 1), ("http://10.0.0.1:1", 0)] {
        let spec = files([]).set(["proxy.enabled=true", &format!("proxy.http={url}")]).ok();
        assert_eq!(advisories(&spec).len(), expected, "{url}");
        assert_eq!(advisories(&set(&format!("proxy.http={url}")).ok()), [], "{url}, but not enabled");
        let recorded = files([]).set(["proxy.enabled=true", &format!("proxy.http={url}"), "recording.proxy=chained"]).ok();
        assert_eq!(advisories(&recorded), [], "{url}, but it is this machine that asks it");
    }
    let istio = "istio.version=1.30.2";
    let missing = Advisory::IstioRegistryNotMirrored { istio: "1.30.2".to_owned(), registry: "registry.istio.io".to_owned() };
    assert_eq!(advisories(&set(istio).ok()), [missing]);
    for fine in [
        "mirrors._default.server=http://m",
        "mirrors.registry.istio.io.server=http://m",
        "mirrors=",
        "istio.hub=docker.io/istio",
        "recording.mirror=true",
    ] {
        assert_eq!(advisories(&files([]).set([istio, fine]).ok()), [], "{fine}");
    }
}

#[test]
fn a_fingerprint_names_what_was_asked_for() {
    let spec = guide();
    assert_eq!(fingerprint(&spec), fingerprint(&files(["cluster: {workers: 1}"]).ok()));
    assert_ne!(fingerprint(&spec), fingerprint(&set("cluster.workers=2").ok()));
    let print = fingerprint(&spec);
    assert!(print.len() == 16 && print.bytes().all(|b| b.is_ascii_hexdigit()), "{print}");
}

#[test]
fn the_examples_load() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/spec");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).expect("the examples") {
        let path = entry.expect("an example").path();
        load(&Request { files: vec![path.clone()], ..Request::default() }).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        seen += 1;
    }
    assert!(seen >= 2);
}
