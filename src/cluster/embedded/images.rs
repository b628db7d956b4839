//! The images that the embedded cluster's registry and nodes hold. Each one only simulates, and its labels say so.

use crate::spec::{Spec, Version, catalog};

use super::manifests::SCRAPER_VERSION;

/// The label of a stand-in, with the value `true`.
pub const STANDIN_LABEL: &str = "org.meshproof.standin";

const MIB: u64 = 1 << 20;

/// An image of the embedded cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Registry and repository as they are normalised, for example `docker.io/library/busybox`.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Labels of its configuration.
    pub labels: Vec<(&'static str, String)>,
    /// Size in bytes, about as large as the real one's.
    pub size: u64,
}

impl Image {
    fn new(repository: impl Into<String>, tag: impl Into<String>, mib: u64) -> Self {
        let labels = vec![(STANDIN_LABEL, "true".to_owned()), ("org.opencontainers.image.title", "meshproof stand-in".to_owned())];
        Self { repository: repository.into(), tag: tag.into(), labels, size: mib * MIB }
    }

    /// `repository:tag`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// Registry and repository of a reference, with what is left out of short names, and its tag. A digest counts as no tag.
/// Source: `github.com/distribution/reference`.
pub(super) fn normalise(reference: &str) -> (String, String) {
    let name = reference.split('@').next().unwrap_or(reference);
    let (name, tag) = match name.rsplit_once(':') {
        // A colon before the last slash is a port's.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, "latest"),
    };
    let repository = match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host.contains('.') || host.contains(':') || host == "localhost" => match name.strip_prefix("docker.io/") {
            Some(rest) if !rest.contains('/') => format!("docker.io/library/{rest}"),
            _ => name.to_owned(),
        },
        Some(_) => format!("docker.io/{name}"),
    };
    (repository, tag.to_owned())
}

/// What the embedded registry serves for a spec.
#[must_use]
pub fn registry_images(spec: &Spec) -> Vec<Image> {
    let istio = &spec.istio;
    let (probe, probe_tag) = normalise(&spec.probe.image);
    let mut images = vec![
        Image::new("docker.io/kubernetesui/dashboard", &spec.dashboard.version, 73),
        Image::new("docker.io/kubernetesui/metrics-scraper", SCRAPER_VERSION, 19),
        Image::new(probe, probe_tag, 2),
    ];
    for (name, mib) in [("pilot", 80), ("install-cni", 84), ("ztunnel", 20), ("proxyv2", 110)] {
        // The ambient profile takes the distroless variant; the other one exists as well.
        for variant in ["-distroless", ""] {
            let (repository, _) = normalise(&format!("{}/{name}", istio.hub));
            images.push(Image::new(repository, format!("{}{variant}", istio.version), mib));
        }
    }
    // Nodes that lost one of theirs can pull it again.
    images.extend(preloaded(spec));
    images
}

/// What the nodes have from the beginning, as kind's node images do.
#[must_use]
pub fn preloaded(spec: &Spec) -> Vec<Image> {
    let version = |text: &str| text.parse::<Version>().unwrap_or(Version::new(0, 0, 0));
    let tags = catalog::system_images(&version(&spec.tools.kind.version), &version(&spec.cluster.kubernetes));
    let kubernetes = format!("v{}", spec.cluster.kubernetes);
    vec![
        Image::new("registry.k8s.io/kube-apiserver", &kubernetes, 97),
        Image::new("registry.k8s.io/kube-controller-manager", &kubernetes, 90),
        Image::new("registry.k8s.io/kube-scheduler", &kubernetes, 70),
        Image::new("registry.k8s.io/kube-proxy", kubernetes, 94),
        Image::new("registry.k8s.io/etcd", tags.etcd, 56),
        Image::new("registry.k8s.io/coredns/coredns", tags.coredns, 19),
        Image::new("registry.k8s.io/pause", tags.pause, 1),
        Image::new("docker.io/kindest/kindnetd", tags.kindnetd, 42),
        Image::new("docker.io/kindest/local-path-provisioner", tags.local_path_provisioner, 20),
        Image::new("docker.io/kindest/local-path-helper", tags.local_path_helper, 3),
    ]
}
