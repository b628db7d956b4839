//! What a spec that cannot be says.

use super::*;

#[test]
fn sets_that_cannot_be() {
    let keys = "apiVersion, kind, profile, cluster, mirrors, proxy, recording, probe, dashboard, kubectlProxy, istio, gatewayApi, tools, downloads, bundle";
    for (argument, message) in [
        ("cluster.workers", "expected path=value, for example cluster.workers=2".to_owned()),
        ("=1", "a part of the path is empty".to_owned()),
        ("cluster..name=1", "a part of the path is empty".to_owned()),
        ("mirrors.\"docker.io=1", "a quoted part of the path must end with a quote before the next dot".to_owned()),
        ("mirrors.\"docker\"io.server=1", "a quoted part of the path must end with a quote before the next dot".to_owned()),
        ("clutser.name=x", format!("unknown key `clutser`; did you mean `cluster`? Valid keys here: {keys}")),
        (
            "cluster.node_image=x",
            "unknown key `node_image` in `cluster`; did you mean `nodeImage`? Valid keys here: name, kubernetes, nodeImage, preloaded, controlPlanes, workers, configPath".to_owned(),
        ),
        ("cluster.name.x=1", "`cluster.name` has no parts that could be set".to_owned()),
        ("cluster.workers=many", "`cluster.workers` must be a whole number from 0 to 4294967295, but is the text `many`".to_owned()),
        ("cluster.name=", "`cluster.name` cannot be removed, it must be a text".to_owned()),
        ("cluster=", "`cluster` cannot be removed, it must be a map".to_owned()),
        ("cluster={nam: x}", "unknown key `nam` in `cluster`; did you mean `name`? Valid keys here: name, kubernetes, nodeImage, preloaded, controlPlanes, workers, configPath".to_owned()),
        ("cluster.name=[", "not valid YAML: unclosed bracket '['".to_owned()),
        ("mirrors.docker.io.servr=http://x", "unknown key `servr` in `mirrors.\"docker.io\"`; did you mean `server`? Valid keys here: server, hosts".to_owned()),
        ("mirrors.quay.io.servr=http://x", "unknown key `servr` in `mirrors.\"quay.io\"`; did you mean `server`? Valid keys here: server, hosts".to_owned()),
        ("mirrors.quay.io.zzz=http://x", "unknown key `zzz` in `mirrors.\"quay.io\"`; valid keys here: server, hosts".to_owned()),
        ("mirrors.quay.io.hosts.first.url=http://x", "`first` is not an index of the list `mirrors.\"quay.io\".hosts`; indices count from 0".to_owned()),
        ("mirrors.quay.io.hosts.1.url=http://x", "the list `mirrors.\"quay.io\".hosts` has 0 entries, so the index can be at most 0, which appends".to_owned()),
        ("mirrors.docker.io.hosts.0=", "`mirrors.\"docker.io\".hosts.0` cannot be removed, it must be a map".to_owned()),
        ("mirrors.quay.io.hosts.0.skipVerify=true", "`mirrors.\"quay.io\".hosts.0` lacks the key `url`".to_owned()),
        ("mirrors.Docker_Hub.server=http://x", "`mirrors` cannot be `Docker_Hub`: a key here is a registry host, with or without a port, or `_default`".to_owned()),
        ("mirrors.docker\\.x.io.server=http://m", "unknown key `io` in `mirrors.\"docker.x\"`; valid keys here: server, hosts".to_owned()),
        ("profile=giude", "unknown profile `giude`; did you mean `guide`? Valid profiles: guide".to_owned()),
        ("profile=[x]", "`profile` must be a text, but is a list".to_owned()),
    ] {
        assert_eq!(set(argument).error(), format!("--set {argument}: {message}"));
    }
}

// --- errors in files

#[test]
fn errors_name_file_line_column_and_remedy() {
    let keys = "apiVersion, kind, profile, cluster, mirrors, proxy, recording, probe, dashboard, kubectlProxy, istio, gatewayApi, tools, downloads, bundle";
    for (content, message) in [
        ("kind: Environment\nclutser:\n  name: x\n", format!("2:1: unknown key `clutser`; did you mean `cluster`? Valid keys here: {keys}")),
        ("xyzzy: 1\n", format!("1:1: unknown key `xyzzy`; valid keys here: {keys}")),
        ("mirrors:\n  docker.io:\n    hosts:\n      - url: http://a\n        skip_verify: true\n", "5:9: unknown key `skip_verify` in `mirrors.\"docker.io\".hosts.0`; did you mean `skipVerify`? Valid keys here: url, capabilities, skipVerify, overridePath".to_owned()),
        ("cluster:\n  workers: three\n", "2:12: `cluster.workers` must be a whole number from 0 to 4294967295, but is the text `three`".to_owned()),
        ("cluster:\n  controlPlanes: 0\n", "2:18: `cluster.controlPlanes` must be a whole number from 1 to 4294967295, but is the number 0".to_owned()),
        ("kubectlProxy: {port: 70000}\n", "1:22: `kubectlProxy.port` must be a whole number from 0 to 65535, but is the number 70000".to_owned()),
        ("proxy:\n  enabled: yes\n", "2:12: `proxy.enabled` must be true or false, but is the text `yes`".to_owned()),
        ("proxy:\n  noProxy: localhost\n", "2:12: `proxy.noProxy` must be a list, but is the text `localhost`".to_owned()),
        ("cluster: [1]\n", "1:10: `cluster` must be a map, but is a list".to_owned()),
        ("cluster:\n  name: true\n", "2:9: `cluster.name` must be a text, but is `true`".to_owned()),
        ("- cluster\n", "1:1: `a spec` must be a map, but is a list".to_owned()),
        ("tools:\n  kind:\n    path: \"\"\n", "3:11: `tools.kind.path` must be a file, but is an empty text".to_owned()),
        ("cluster:\n  name: ~\n", "2:9: `cluster.name` cannot be removed, it must be a text".to_owned()),
        ("gatewayApi: {channel: standart}\n", "1:23: `gatewayApi.channel` cannot be `standart`; did you mean `standard`? Valid values: standard, experimental".to_owned()),
        ("mirrors: {docker.io: {hosts: [{url: http://a, capabilities: [pull, fly]}]}}\n", "1:68: `mirrors.\"docker.io\".hosts.0.capabilities.1` cannot be `fly`; valid values: pull, resolve, push".to_owned()),
        ("apiVersion: v1\n", "1:13: `apiVersion` cannot be `v1`; valid values: meshproof.dev/v1alpha1".to_owned()),
        ("kind: Cluster\n", "1:7: `kind` cannot be `Cluster`; valid values: Environment".to_owned()),
        ("profile: gide\n", "1:10: unknown profile `gide`; did you mean `guide`? Valid profiles: guide".to_owned()),
        ("cluster:\n  name: a\n  name: b\n", "3:3: duplicate key `name`, first given on line 2, column 3".to_owned()),
        ("cluster: {}\n---\nproxy: {}\n", "3:1: a second document begins here, but a spec is one document".to_owned()),
        ("cluster: [\n", "1:10: not valid YAML: unclosed bracket '['".to_owned()),
        ("mirrors:\n  docker.io:\n    hosts:\n      - skipVerify: true\n", "4:9: `mirrors.\"docker.io\".hosts.0` lacks the key `url`".to_owned()),
        ("mirrors:\n  https://docker.io: {}\n", "2:3: `mirrors` cannot be `https://docker.io`: a key here is a registry host, with or without a port, or `_default`".to_owned()),
        ("cluster:\n  name: My_Cluster\n", "2:9: `cluster.name` cannot be `My_Cluster`: kind takes lower-case letters, digits, dots and dashes only".to_owned()),
        ("cluster: {configPath: etc/certs.d}\n", "1:23: `cluster.configPath` cannot be `etc/certs.d`: not the absolute path of one directory".to_owned()),
        ("cluster: {nodeImage: \"a b\"}\n", "1:22: `cluster.nodeImage` cannot be `a b`: not an image reference".to_owned()),
        ("mirrors: {docker.io: {server: registry-1.docker.io}}\n", "1:31: `mirrors.\"docker.io\".server` cannot be `registry-1.docker.io`: a URL here starts with http:// or https://".to_owned()),
        ("proxy:\n  https: socks5://h:1\n", "2:10: `proxy.https` cannot be `socks5://h:1`: a URL here starts with http:// or https://".to_owned()),
        ("downloads: {proxy: \"http://\"}\n", "1:20: `downloads.proxy` cannot be `http://`: not a URL".to_owned()),
        ("dashboard: {manifest: \"file:///x.yaml\"}\n", "1:23: `dashboard.manifest` cannot be `file:///x.yaml`: a URL here starts with http:// or https://".to_owned()),
        ("probe: {image: busybox}\n", "1:16: `probe.image` cannot be `busybox`: not a full image reference with the host of its registry, like docker.io/library/busybox:latest".to_owned()),
        ("probe: {image: library/busybox}\n", "1:16: `probe.image` cannot be `library/busybox`: not a full image reference with the host of its registry, like docker.io/library/busybox:latest".to_owned()),
        ("istio: {version: 1.27}\n", "1:18: `istio.version` is not a version".to_owned()),
        ("gatewayApi:\n  manifest: https://x/{verson}/{channel}\n", "2:13: unknown placeholder `{verson}` in `gatewayApi.manifest`; did you mean `version`? Valid placeholders: version, channel".to_owned()),
        ("cluster: {kubernetes: 1.33.3}\n", "1:23: no node image of kind 0.30.0 for Kubernetes 1.33.3 is known; known are 1.34.0, 1.33.4, 1.32.8, 1.31.12; name another one in `cluster.nodeImage`".to_owned()),
        ("tools: {kind: {version: 0.31.0}}\n", "1:25: no node image of kind 0.31.0 for Kubernetes 1.33.4 is known; known are 1.35.0; name another one in `cluster.nodeImage`".to_owned()),
        ("tools: {kind: {version: 0.99.0}}\n", "1:25: no node image of kind 0.99.0 for Kubernetes 1.33.4 is known; known are kind 0.26.0, kind 0.27.0, kind 0.28.0, kind 0.29.0, kind 0.30.0, kind 0.31.0, kind 0.32.0, kind 0.33.0; name another one in `cluster.nodeImage`".to_owned()),
        ("cluster:\n  kubernetes: 1.33.4\n  nodeImage: kindest/node:v1.34.0\n", "3:14: `cluster.nodeImage` is Kubernetes 1.34.0, but `cluster.kubernetes` is 1.33.4 (a.yaml:2:15); leave one of them out".to_owned()),
    ] {
        assert_eq!(files([content]).error(), format!("a.yaml:{message}"), "{content}");
    }
}

#[test]
fn urls_are_checked_whole() {
    for url in ["http://h", "https://h:443/p", "http://u:p@h:1", "http://[::1]:5000", "http://10.0.0.1:80/v2"] {
        assert_eq!(set(&format!("downloads.proxy={url}")).ok().downloads.proxy.as_deref(), Some(url));
    }
    for url in ["http://", "http:///p", "http://h:99999", "http://h:/", "http://a b"] {
        let error = set(&format!("downloads.proxy={url}")).error();
        assert!(error.ends_with("not a URL"), "{url}: {error}");
    }
}

#[test]
fn the_length_of_a_cluster_name_is_limited() {
    assert_eq!(set(&format!("cluster.name={}", "a".repeat(50))).ok().cluster.name.len(), 50);
    let error = set(&format!("cluster.name={}", "a".repeat(51))).error();
    assert!(error.ends_with(": longer than 50 characters, which host names do not bear"), "{error}");
}

#[test]
fn an_error_is_in_the_layer_that_wrote_the_value() {
    let error = files(["istio: {version: 1}", "\n\nistio:\n  version: x"]).error();
    assert_eq!(error, "b.yaml:4:12: `istio.version` is not a version");
    let error = files(["istio: {version: 1}"]).set(["istio.version=2"]).error();
    assert_eq!(error, "--set istio.version=2: `istio.version` is not a version");
}

#[test]
fn causes_are_in_the_chain() {
    let error = load(&set("istio.version=2").request).expect_err("no version");
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("`2` is not a version like 1.2.3"));
    let request = Request { files: vec![PathBuf::from("/nonexistent/spec.yaml")], ..Request::default() };
    let error = load(&request).expect_err("no file");
    assert_eq!(error.to_string(), "cannot read the spec /nonexistent/spec.yaml");
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("No such file or directory (os error 2)"));
}
