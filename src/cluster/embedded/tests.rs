//! The manifests hold what upstream's hold, and the images are all there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::images::normalise;
use super::*;
use crate::cluster::Part;
use crate::spec::{Channel, Request, Spec, Version, catalog, load};
use crate::stages::objects;

const SERVER: ApiServer<'static> = ApiServer { url: "https://istio-cluster-control-plane:6443", ca_pem: "-----BEGIN CERTIFICATE-----\n" };

fn spec() -> Spec {
    load(&Request::default()).expect("the default profile loads")
}

fn parsed(part: Part, spec: &Spec) -> Vec<Value> {
    objects("manifest", &manifest(part, spec).expect("a known version")).expect("YAML with objects")
}

/// Kinds with the sorted names of their objects.
fn inventory(objects: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in objects {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        found.entry(text(&object["kind"])).or_default().push(text(&object["metadata"]["name"]));
    }
    found.values_mut().for_each(|names| names.sort());
    found
}

fn pick<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The images that containers name, normalised.
fn named_images(objects: &[Value]) -> BTreeSet<String> {
    let containers = |o: &Value| {
        let pod = if o["kind"] == "Pod" { &o["spec"] } else { &o["spec"]["template"]["spec"] };
        pod["containers"].as_array().cloned().unwrap_or_default()
    };
    let image = |c: Value| {
        let (repository, tag) = normalise(c["image"].as_str().expect("a container has an image"));
        format!("{repository}:{tag}")
    };
    objects.iter().flat_map(containers).map(image).collect()
}

#[test]
fn the_dashboard_has_its_fourteen_objects() {
    let objects = parsed(Part::Dashboard, &spec());
    let d = "kubernetes-dashboard".to_owned();
    let both = || vec!["dashboard-metrics-scraper".to_owned(), d.clone()];
    let secrets = ["kubernetes-dashboard-certs", "kubernetes-dashboard-csrf", "kubernetes-dashboard-key-holder"];
    let wanted: BTreeMap<String, Vec<String>> = [
        ("Namespace", vec![d.clone()]),
        ("ServiceAccount", vec![d.clone()]),
        ("Service", both()),
        ("Secret", secrets.map(str::to_owned).to_vec()),
        ("ConfigMap", vec!["kubernetes-dashboard-settings".to_owned()]),
        ("Role", vec![d.clone()]),
        ("RoleBinding", vec![d.clone()]),
        ("ClusterRole", vec![d.clone()]),
        ("ClusterRoleBinding", vec![d.clone()]),
        ("Deployment", both()),
    ]
    .into_iter()
    .map(|(kind, names)| (kind.to_owned(), names))
    .collect();
    assert_eq!(objects.len(), 14);
    assert_eq!(inventory(&objects), wanted);
    let pod = &pick(&objects, "Deployment", &d)["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "kubernetesui/dashboard:v2.7.0");
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["livenessProbe"]["initialDelaySeconds"], 30);
    assert!(container["readinessProbe"].is_null());
    assert_eq!(pod["tolerations"][0]["key"], "node-role.kubernetes.io/master");
}

#[test]
fn istio_has_its_objects() {
    let spec = spec();
    let objects = parsed(Part::Istio, &spec);
    let found = inventory(&objects);
    let sorted = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let wanted: [(&str, &[&str]); 14] = [
        ("Namespace", &["istio-system"]),
        ("ServiceAccount", &["istio-cni", "istio-reader-service-account", "istiod", "ztunnel"]),
        ("ConfigMap", &["istio", "istio-cni-config", "istio-sidecar-injector", "values"]),
        (
            "ClusterRole",
            &[
                "istio-cni",
                "istio-cni-ambient",
                "istio-cni-repair-role",
                "istio-reader-clusterrole-istio-system",
                "istiod-clusterrole-istio-system",
                "istiod-gateway-controller-istio-system",
                "ztunnel",
            ],
        ),
        (
            "ClusterRoleBinding",
            &[
                "istio-cni",
                "istio-cni-ambient",
                "istio-cni-repair-rolebinding",
                "istio-reader-clusterrole-istio-system",
                "istiod-clusterrole-istio-system",
                "istiod-gateway-controller-istio-system",
                "ztunnel",
            ],
        ),
        ("Role", &["istiod"]),
        ("RoleBinding", &["istiod"]),
        ("Service", &["istiod"]),
        ("Deployment", &["istiod"]),
        ("DaemonSet", &["istio-cni-node", "ztunnel"]),
        ("HorizontalPodAutoscaler", &["istiod"]),
        ("PodDisruptionBudget", &["istiod"]),
        ("MutatingWebhookConfiguration", &["istio-revision-tag-default", "istio-sidecar-injector"]),
        ("ValidatingWebhookConfiguration", &["istio-validator-istio-system", "istiod-default-validator"]),
    ];
    for (kind, names) in wanted {
        assert_eq!(found[kind], sorted(names), "{kind}");
    }
    assert_eq!(found["CustomResourceDefinition"].len(), 14);
    assert_eq!(found.len(), wanted.len() + 1, "no other kinds");
    let container = |kind: &str, name: &str| pick(&objects, kind, name)["spec"]["template"]["spec"]["containers"][0].clone();
    let istiod = container("Deployment", "istiod");
    assert_eq!(istiod["image"], "docker.io/istio/pilot:1.27.1-distroless");
    assert_eq!(istiod["resources"]["requests"], serde_json::json!({"cpu": "500m", "memory": "2048Mi"}));
    assert_eq!(istiod["readinessProbe"]["httpGet"], serde_json::json!({"path": "/ready", "port": 8080}));
    assert_eq!(container("DaemonSet", "ztunnel")["readinessProbe"]["httpGet"]["port"], 15021);
    assert_eq!(container("DaemonSet", "istio-cni-node")["readinessProbe"]["httpGet"]["path"], "/readyz");
}

#[test]
fn no_placeholder_is_left() {
    let spec = spec();
    for text in [Part::Dashboard, Part::Istio, Part::GatewayApi].map(|p| manifest(p, &spec).unwrap()) {
        assert!(!text.contains("{{") && !text.contains(": \"\", "), "{text}");
    }
    assert!(!kube_system(&spec, &SERVER).contains("{{"));
}

#[test]
fn istio_differs_by_version_as_the_catalog_says() {
    let mut spec = spec();
    for (version, crds, values) in [("1.25.5", 14, false), ("1.30.3", 15, true)] {
        version.clone_into(&mut spec.istio.version);
        let found = inventory(&parsed(Part::Istio, &spec));
        assert_eq!(found["CustomResourceDefinition"].len(), crds, "{version}");
        assert_eq!(found["ConfigMap"].contains(&"values".to_owned()), values, "{version}");
    }
    "1.12.0".clone_into(&mut spec.istio.version);
    assert_eq!(manifest(Part::Istio, &spec), Err(ManifestError::UnknownIstio { version: "1.12.0".into() }));
    "demo".clone_into(&mut spec.istio.profile);
    assert_eq!(manifest(Part::Istio, &spec), Err(ManifestError::UnknownProfile { profile: "demo".into() }));
}

#[test]
fn every_known_bundle_has_its_crds() {
    let mut spec = spec();
    for version in ["v1.3.0", "v1.4.1", "v1.5.1", "v1.6.1"] {
        version.clone_into(&mut spec.gateway_api.version);
        let objects = parsed(Part::GatewayApi, &spec);
        let names: Vec<&str> = objects.iter().filter_map(|o| o["metadata"]["name"].as_str()).collect();
        let bundle: Version = version.parse().unwrap();
        assert_eq!(names, catalog::gateway_api_crds(&bundle, Channel::Standard).unwrap(), "{version}");
        for crd in &objects {
            let annotations = &crd["metadata"]["annotations"];
            assert_eq!(annotations["gateway.networking.k8s.io/bundle-version"], version);
            assert_eq!(annotations["gateway.networking.k8s.io/channel"], "standard");
            assert!(annotations["api-approved.kubernetes.io"].as_str().unwrap().starts_with("https://"));
            assert_eq!(crd["spec"]["names"]["categories"], serde_json::json!(["gateway-api"]));
        }
    }
    spec.gateway_api.channel = Channel::Experimental;
    let unknown = manifest(Part::GatewayApi, &spec).unwrap_err();
    assert_eq!(unknown, ManifestError::UnknownBundle { version: "v1.6.1".into(), channel: "experimental" });
    "latest".clone_into(&mut spec.gateway_api.version);
    assert!(matches!(manifest(Part::GatewayApi, &spec), Err(ManifestError::Version(_))));
}

#[test]
fn crds_are_read_by_the_types_of_kubernetes() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let spec = spec();
    let all = [parsed(Part::Istio, &spec), parsed(Part::GatewayApi, &spec)].concat();
    let crds: Vec<CustomResourceDefinition> =
        all.into_iter().filter(|o| o["kind"] == "CustomResourceDefinition").map(|o| serde_json::from_value(o).unwrap()).collect();
    let class = crds.iter().find(|c| c.spec.names.kind == "GatewayClass").unwrap();
    assert_eq!((class.spec.scope.as_str(), class.spec.names.short_names.clone()), ("Cluster", Some(vec!["gc".to_owned()])));
    let schema = class.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
    let spec = &schema.properties.unwrap()["spec"];
    assert_eq!(spec.required, Some(vec!["controllerName".to_owned()]));
}

#[test]
fn every_image_that_is_named_is_there() {
    let mut spec = spec();
    for hub in ["docker.io/istio", "registry.istio.io/release", "mirror:5000/istio"] {
        hub.clone_into(&mut spec.istio.hub);
        let served: BTreeSet<String> = registry_images(&spec).iter().map(Image::reference).collect();
        let held: BTreeSet<String> = preloaded(&spec).iter().map(Image::reference).collect();
        let parts = [parsed(Part::Dashboard, &spec), parsed(Part::Istio, &spec)].concat();
        let missing: Vec<_> = named_images(&parts).difference(&served).cloned().collect();
        assert!(missing.is_empty(), "{hub}: {missing:?}");
        let system = [objects("system", &kube_system(&spec, &SERVER)).unwrap(), static_pods(&spec, "172.18.0.2")].concat();
        let missing: Vec<_> = named_images(&system).difference(&held).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    let images = registry_images(&spec);
    assert!(images.iter().all(|i| i.labels.contains(&(STANDIN_LABEL, "true".to_owned())) && i.size > 0));
    assert!(images.iter().any(|i| i.reference() == "docker.io/library/busybox:latest"));
}

#[test]
fn references_are_normalised_as_the_runtime_does() {
    for (reference, repository, tag) in [
        ("busybox", "docker.io/library/busybox", "latest"),
        ("docker.io/busybox:1.38", "docker.io/library/busybox", "1.38"),
        ("kubernetesui/dashboard:v2.7.0", "docker.io/kubernetesui/dashboard", "v2.7.0"),
        ("mirror:5000/a/b", "mirror:5000/a/b", "latest"),
        ("localhost/x:1@sha256:00", "localhost/x", "1"),
    ] {
        assert_eq!(normalise(reference), (repository.to_owned(), tag.to_owned()));
    }
}

#[test]
fn kube_system_is_that_of_a_kind_cluster() {
    let spec = spec();
    let objects = objects("system", &kube_system(&spec, &SERVER)).unwrap();
    let dns = pick(&objects, "Service", "kube-dns");
    assert_eq!(dns["spec"]["clusterIP"], "10.96.0.10");
    assert_eq!(pick(&objects, "Deployment", "coredns")["spec"]["replicas"], 2);
    assert_eq!(inventory(&objects)["DaemonSet"], ["kindnet", "kube-proxy"]);
    let info = pick(&objects, "ConfigMap", "cluster-info")["data"]["kubeconfig"].as_str().unwrap();
    assert!(info.contains(SERVER.url));
    let pods = static_pods(&spec, "172.18.0.2");
    let names: Vec<&str> = pods.iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
    for pod in pods {
        let _: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_of_running_pods_take_no_ten_minutes_and_a_crash_in_it_is_seen() {
    use std::time::{Duration, Instant};

    use k8s_openapi::api::core::v1::Pod;
    use kube::api::{Api, ListParams};

    use super::nodes::SimNodes;
    use crate::wait::{Limit, Progress, Waiting, conditions};

    let dir = tempfile::tempdir().unwrap();
    let hosted = super::host(&spec(), &crate::session::Session::at(dir.path())).await.unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, hosted.cluster.kubeconfig()).unwrap();
    let client = crate::cluster::client(&kubeconfig, "kind-istio-cluster").await.unwrap();
    let waiting = Waiting::default().passing(std::sync::Arc::new(SimNodes(client.clone())));
    let pods = || Api::<Pod>::namespaced(client.clone(), "kube-system");
    let running = |pods: &[std::sync::Arc<Pod>]| {
        let restarted = |p: &Pod| p.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).any(|c| c.restart_count > 0);
        let bad: Vec<String> = pods.iter().filter(|p| !conditions::pod_ready(p) || restarted(p)).map(|p| conditions::pod_line(p)).collect();
        // Four static pods, two of DNS, and two agents on either node.
        if bad.is_empty() && pods.len() == 10 {
            Progress::Ready(())
        } else {
            Progress::NotYet(format!("{} pods; {}", pods.len(), bad.join("; ")))
        }
    };
    let mut waiter = waiting.waiter();
    let seen = waiter.watch(pods(), &ListParams::default());
    waiter.until("kube-system runs", Limit::SystemReady, || running(&seen.items())).await.unwrap();

    let start = Instant::now();
    let mut waiter = waiting.waiter();
    let seen = waiter.watch(pods(), &ListParams::default());
    waiter.stays("kube-system runs on", Duration::from_mins(10), || running(&seen.items())).await.unwrap();
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());

    hosted.cluster.kubelets().faults().crash(("kube-system", "coredns-*", "coredns"), 1, true);
    let mut waiter = waiting.waiter();
    let seen = waiter.watch(pods(), &ListParams::default());
    let error = waiter.stays("kube-system runs on", Duration::from_mins(10), || running(&seen.items())).await.unwrap_err();
    assert!(error.lasted.is_some() && error.last.contains("coredns"), "{error}");
}

proptest::proptest! {
    /// The lint and the simulated containerd read `NO_PROXY` each by its own code; where they differ, one of them is wrong.
    #[test]
    fn the_lint_and_the_simulation_read_no_proxy_alike(
        entries in proptest::collection::vec(
            "(\\*|\\*?\\.?[a-c]{1,2}(\\.(svc|com)){0,2}(:(80|443))?|10\\.[0-9]{1,2}\\.0\\.0/(8|12|16|40)|172\\.18\\.0\\.[1-3](:443)?|fd00::/8| [a-c]\\.com )",
            0..4,
        ),
        host in "([a-c]{1,2}(\\.(svc|com)){0,2}|10\\.[0-9]{1,2}\\.0\\.1|172\\.18\\.0\\.[1-3]|localhost|127\\.0\\.0\\.1|fd00::2)",
        port in proptest::sample::select(vec![80_u16, 443]),
    ) {
        let value = entries.join(",");
        let simulated = sim::net::go_proxy::ProxyConfig { no_proxy: value.clone(), ..Default::default() }.uses_proxy(&host, port);
        let linted = !crate::lint::no_proxy::NoProxy::parse(&value).bypasses(&host, port);
        proptest::prop_assert_eq!(simulated, linted, "{}: {}:{}", value, host, port);
    }
}
