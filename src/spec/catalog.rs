//! What differs between versions of the things that are provisioned, as tables. No other module asks for a version number.

mod crds;
mod system_images;

use serde::Serialize;

use super::Channel;
use super::version::Version;

pub use crds::{
    AmbientDefaults, Column, Crd, CrdVersion, ambient_defaults, api_approved, gateway_api_definitions, gateway_crd_minimum,
    istio_definitions, istio_values_map,
};
pub use system_images::{SystemImages, system_images};

/// A node image that a kind release was published with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// Kubernetes version without `v`.
    pub kubernetes: &'static str,
    digest: &'static str,
}

impl NodeImage {
    /// The reference pinned by digest: the same tag is pushed again for later kind releases.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("kindest/node:v{}@sha256:{}", self.kubernetes, self.digest)
    }
}

/// One kind release.
#[derive(Debug, PartialEq, Eq)]
pub struct KindRelease {
    /// Version without `v`.
    pub version: &'static str,
    /// containerd inside of its node images.
    pub containerd: &'static str,
    /// Its node images that are known by digest; the first is its default image.
    pub images: &'static [NodeImage],
}

const fn image(kubernetes: &'static str, digest: &'static str) -> NodeImage {
    NodeImage { kubernetes, digest }
}

/// The known kind releases, oldest first. Source: the kind release notes and, for the defaults, `pkg/apis/config/defaults/image.go` at each tag.
pub const KIND_RELEASES: &[KindRelease] = &[
    KindRelease {
        version: "0.26.0",
        containerd: "1.7.24",
        images: &[image("1.32.0", "c48c62eac5da28cdadcf560d1d8616cfa6783b58f0d94cf63ad1bf49600cb027")],
    },
    KindRelease {
        version: "0.27.0",
        containerd: "2.0.2",
        images: &[
            image("1.32.2", "f226345927d7e348497136874b6d207e0b32cc52154ad8323129352923a3142f"),
            image("1.31.6", "28b7cbb993dfe093c76641a0c95807637213c9109b761f1d422c2400e22b8e87"),
            image("1.30.10", "4de75d0e82481ea846c0ed1de86328d821c1e6a6a91ac37bf804e5313670e507"),
        ],
    },
    KindRelease {
        version: "0.28.0",
        containerd: "2.1.0",
        images: &[image("1.33.1", "8d866994839cd096b3590681c55a6fa4a071fdaf33be7b9660e5697d2ed13002")],
    },
    KindRelease {
        version: "0.29.0",
        containerd: "2.1.1",
        images: &[
            image("1.33.1", "050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f"),
            image("1.32.5", "e3b2327e3a5ab8c76f5ece68936e4cafaa82edf58486b769727ab0b3b97a5b0d"),
            image("1.31.9", "b94a3a6c06198d17f59cca8c6f486236fa05e2fb359cbd75dabbfc348a10b211"),
        ],
    },
    KindRelease {
        version: "0.30.0",
        containerd: "2.1.4",
        images: &[
            image("1.34.0", "7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a"),
            image("1.33.4", "25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2"),
            image("1.32.8", "abd489f042d2b644e2d033f5c2d900bc707798d075e8186cb65e3f1367a9d5a1"),
            image("1.31.12", "0f5cc49c5e73c0c2bb6e2df56e7df189240d83cf94edfa30946482eb08ec57d2"),
        ],
    },
    KindRelease {
        version: "0.31.0",
        containerd: "2.2.0",
        images: &[image("1.35.0", "452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f")],
    },
    KindRelease {
        version: "0.32.0",
        containerd: "2.3.1",
        images: &[image("1.36.1", "3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5")],
    },
    KindRelease {
        version: "0.33.0",
        containerd: "2.3.4",
        images: &[
            image("1.37.0", "a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"),
            image("1.36.4", "099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"),
            image("1.35.8", "07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0"),
            image("1.34.11", "44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"),
        ],
    },
];

/// The table row of a kind release.
#[must_use]
pub fn kind_release(kind: &Version) -> Option<&'static KindRelease> {
    let wanted = kind.to_string();
    KIND_RELEASES.iter().find(|release| release.version == wanted)
}

/// The node image of a Kubernetes version that a kind release was published with. Source: kind release notes.
#[must_use]
pub fn node_image(kind: &Version, kubernetes: &Version) -> Option<&'static NodeImage> {
    let wanted = kubernetes.to_string();
    kind_release(kind)?.images.iter().find(|image| image.kubernetes == wanted)
}

/// A role of a kind node container, as kind documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentedRole {
    /// Runs the control plane.
    ControlPlane,
    /// Runs workloads only.
    Worker,
    /// The load balancer that kind adds with more than one control plane; not a Kubernetes node.
    ExternalLoadBalancer,
}

impl DocumentedRole {
    /// Value of the container label `io.x-k8s.kind.role`. Source: kind `pkg/cluster/constants`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
            Self::ExternalLoadBalancer => "external-load-balancer",
        }
    }

    /// Name of the `ordinal`-th container (from 1) of this role: the first has no number. Source: kind `pkg/cluster/internal/providers`.
    #[must_use]
    pub fn container_name(self, cluster: &str, ordinal: u32) -> String {
        let role = self.as_str();
        if ordinal <= 1 { format!("{cluster}-{role}") } else { format!("{cluster}-{role}{ordinal}") }
    }
}

/// Limits of inotify for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InotifyLimits {
    /// `fs.inotify.max_user_watches`.
    pub watches: u64,
    /// `fs.inotify.max_user_instances`.
    pub instances: u64,
}

/// What kind recommends. Source: kind's known issues, "Pod errors due to too many open files".
pub const INOTIFY_RECOMMENDED: InotifyLimits = InotifyLimits { watches: 524_288, instances: 512 };

/// The smallest that is tried at all: Ubuntu's defaults, which kind's known issues name as often too low. Below the recommended value is
/// worth a warning, below this one a refusal.
pub const INOTIFY_MINIMUM: InotifyLimits = InotifyLimits { watches: 8_192, instances: 128 };

/// Whether the kubelet refuses to run on a host with cgroup v1. Source: Kubernetes 1.35 `failCgroupV1`, kind 0.31 release notes.
#[must_use]
pub fn needs_cgroup_v2(kubernetes: &Version) -> bool {
    (kubernetes.major, kubernetes.minor) >= (1, 35)
}

/// The oldest and newest Kubernetes minor (of 1.x) that an Istio minor supports, or `None` for an Istio that the table does not know.
/// Source: Istio's "Supported releases".
#[must_use]
pub fn istio_kubernetes_minors(istio: &Version) -> Option<(u64, u64)> {
    const TABLE: &[(u64, (u64, u64))] =
        &[(24, (28, 31)), (25, (29, 32)), (26, (29, 33)), (27, (29, 33)), (28, (30, 34)), (29, (31, 35)), (30, (32, 36))];
    if istio.major != 1 {
        return None;
    }
    TABLE.iter().find(|(minor, _)| *minor == istio.minor).map(|(_, range)| *range)
}

/// The minors of Istio 1 that have the ambient profile as it is installed here.
pub const ISTIO_MINORS: &[u64] = &[24, 25, 26, 27, 28, 29, 30, 31];

/// The newest Istio release that this table was made with; by now there may be newer ones. Source: Istio's release announcements.
pub const NEWEST_ISTIO: &str = "1.30.4";

/// What became of the project that makes the Dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DashboardProject {
    /// The last version that one manifest installs; later ones are Helm charts.
    pub last_with_manifest: &'static str,
    /// Where the archived repository is.
    pub archived_at: &'static str,
    /// What its maintainers name as the successor.
    pub successor: &'static str,
}

/// Kubernetes Dashboard. Source: kubernetes/website #54042 and #54261, kubernetes/community #8746.
pub const DASHBOARD_PROJECT: DashboardProject =
    DashboardProject { last_with_manifest: "v2.7.0", archived_at: "kubernetes-retired/dashboard", successor: "kubernetes-sigs/headlamp" };

/// Hub of the images where nothing else is set. Source: Istio `manifests/profiles/default.yaml` as released; the 1.30 releases alone moved to
/// Istio's own registry (D11), while their pre-releases had not yet.
#[must_use]
pub fn istio_hub(istio: &Version) -> &'static str {
    match (istio.major, istio.minor, istio.is_release()) {
        (1, 30, true) => "registry.istio.io/release",
        _ => "docker.io/istio",
    }
}

/// The images of the ambient profile: control plane, node agents, and the proxy of gateways and waypoints. Source: Istio
/// `manifests/profiles/ambient.yaml`, whose variant is distroless from 1.24 to 1.31.
#[must_use]
pub fn istio_images(hub: &str, version: &str) -> [String; 4] {
    ["pilot", "install-cni", "ztunnel", "proxyv2"].map(|name| format!("{hub}/{name}:{version}-distroless"))
}

/// A `GatewayClass` that istiod creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GatewayClass {
    /// `metadata.name`.
    pub name: &'static str,
    /// `spec.controllerName`.
    pub controller: &'static str,
}

const GATEWAY_CLASSES: &[GatewayClass] = &[
    GatewayClass { name: "istio", controller: "istio.io/gateway-controller" },
    GatewayClass { name: "istio-remote", controller: "istio.io/unmanaged-gateway" },
    GatewayClass { name: "istio-waypoint", controller: "istio.io/mesh-controller" },
];

/// The `GatewayClasses` that istiod creates with default settings once the Gateway API CRDs exist, or `None` for an Istio that the table does
/// not know. Source: Istio 1.24 to 1.31 `pilot/pkg/config/kube/gateway` built-in classes.
#[must_use]
pub fn gateway_classes(istio: &Version) -> Option<&'static [GatewayClass]> {
    (istio.major == 1 && (24..=31).contains(&istio.minor)).then_some(GATEWAY_CLASSES)
}

/// The words of the lines that `istioctl install` prints for the ambient profile; ticks and icons around them vary with the terminal.
/// Source: Istio 1.24 to 1.31 `operator/pkg/util/progress`.
pub const INSTALL_LINES: [&str; 5] =
    ["Istio core installed", "Istiod installed", "CNI installed", "Ztunnel installed", "Installation complete"];

/// Whether `istioctl install` always reports Istiod before CNI (D10). It does as long as CNI waits for Istiod; otherwise only "core first,
/// Ztunnel after CNI, complete last" holds. Source: Istio `operator/pkg/install` at 1.24 to 1.27.1, and 1.26.5, 1.27.2 and later.
#[must_use]
pub fn istiod_before_cni(istio: &Version) -> bool {
    istio.major == 1
        && match istio.minor {
            24 | 25 => true,
            26 => istio.patch <= 4,
            27 => istio.patch <= 1,
            _ => false,
        }
}

/// Memory in MiB that the guide's Istio needs on schedulable nodes: one istiod, and on every node one ztunnel and one CNI agent.
/// Source: requests in Istio 1.27 `manifests/charts` (istio-discovery 2048Mi, ztunnel 512Mi, istio-cni 100Mi).
#[must_use]
pub fn istio_memory_mib(nodes: u32) -> u64 {
    2048 + u64::from(nodes) * (512 + 100)
}

const GATEWAY_1_3: &[&str] = &[
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
];
const GATEWAY_1_4: &[&str] = &[
    "backendtlspolicies.gateway.networking.k8s.io",
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
];
const GATEWAY_1_5: &[&str] = &[
    "backendtlspolicies.gateway.networking.k8s.io",
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "listenersets.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
    "tlsroutes.gateway.networking.k8s.io",
];
const GATEWAY_1_6: &[&str] = &[
    "backendtlspolicies.gateway.networking.k8s.io",
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "listenersets.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
    "tcproutes.gateway.networking.k8s.io",
    "tlsroutes.gateway.networking.k8s.io",
    "udproutes.gateway.networking.k8s.io",
];

/// Full names of the CRDs in an install manifest, sorted, or `None` where the table does not know the bundle.
/// Source: Gateway API `config/crd/<channel>` at v1.3.0, v1.4.1, v1.5.1 and v1.6.1.
#[must_use]
pub fn gateway_api_crds(bundle: &Version, channel: Channel) -> Option<&'static [&'static str]> {
    match (bundle.major, bundle.minor, channel) {
        (1, 3, Channel::Standard) => Some(GATEWAY_1_3),
        (1, 4, Channel::Standard) => Some(GATEWAY_1_4),
        (1, 5, Channel::Standard) => Some(GATEWAY_1_5),
        (1, 6, Channel::Standard) => Some(GATEWAY_1_6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn the_kind_table_is_well_formed() {
        let mut digests = std::collections::BTreeSet::new();
        for release in KIND_RELEASES {
            assert_eq!(v(release.version).to_string(), release.version);
            v(release.containerd);
            assert!(!release.images.is_empty(), "{} has no image", release.version);
            for image in release.images {
                assert_eq!(v(image.kubernetes).to_string(), image.kubernetes);
                assert!(image.digest.len() == 64 && image.digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{image:?}");
                assert!(digests.insert(image.digest), "{} occurs twice", image.digest);
            }
        }
        assert!(KIND_RELEASES.windows(2).all(|pair| v(pair[0].version) < v(pair[1].version)), "oldest first");
    }

    #[test]
    fn node_images_depend_on_kind_and_kubernetes() {
        assert_eq!(
            node_image(&v("0.30.0"), &v("1.33.4")).map(NodeImage::reference).as_deref(),
            Some("kindest/node:v1.33.4@sha256:25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2")
        );
        // The same tag, pushed again.
        assert_ne!(node_image(&v("0.28.0"), &v("1.33.1")), node_image(&v("0.29.0"), &v("1.33.1")));
        assert_eq!(node_image(&v("0.30.0"), &v("1.33.5")), None);
        assert_eq!(node_image(&v("0.25.0"), &v("1.33.4")), None);
    }

    #[test]
    fn containers_are_named_as_kind_names_them() {
        assert_eq!(DocumentedRole::ControlPlane.container_name("istio-cluster", 1), "istio-cluster-control-plane");
        assert_eq!(DocumentedRole::Worker.container_name("istio-cluster", 2), "istio-cluster-worker2");
        assert_eq!(DocumentedRole::ExternalLoadBalancer.container_name("c", 1), "c-external-load-balancer");
    }

    #[test]
    fn istio_order_is_fixed_up_to_the_patches_that_changed_it() {
        for (version, fixed) in [
            ("1.23.9", false),
            ("1.24.6", true),
            ("1.25.0", true),
            ("1.26.4", true),
            ("1.26.5", false),
            ("1.27.1", true),
            ("1.27.2", false),
            ("1.28.0", false),
            ("1.31.0", false),
        ] {
            assert_eq!(istiod_before_cni(&v(version)), fixed, "{version}");
        }
    }

    #[test]
    fn only_releases_of_istio_1_30_have_their_own_registry() {
        for (version, hub) in [
            ("1.27.1", "docker.io/istio"),
            ("1.29.6", "docker.io/istio"),
            ("1.30.0-alpha.1", "docker.io/istio"),
            ("1.30.0", "registry.istio.io/release"),
            ("1.30.3", "registry.istio.io/release"),
            ("1.31.0", "docker.io/istio"),
        ] {
            assert_eq!(istio_hub(&v(version)), hub, "{version}");
        }
    }

    #[test]
    fn gateway_api_grows_by_minor() {
        for (version, count) in [("1.3.0", 5), ("1.4.1", 6), ("1.5.1", 8), ("1.6.1", 10)] {
            let crds = gateway_api_crds(&v(version), Channel::Standard).expect(version);
            assert_eq!(crds.len(), count, "{version}");
            assert!(crds.is_sorted(), "{version}");
            assert!(crds.iter().all(|name| name.ends_with(".gateway.networking.k8s.io")), "{version}");
        }
        assert_eq!(gateway_api_crds(&v("1.3.0"), Channel::Experimental), None);
        assert_eq!(gateway_api_crds(&v("1.2.0"), Channel::Standard), None);
    }

    #[test]
    fn the_smaller_tables() {
        assert_eq!(istio_kubernetes_minors(&v("1.27.1")), Some((29, 33)));
        assert_eq!(istio_kubernetes_minors(&v("1.30.2")), Some((32, 36)));
        assert_eq!(istio_kubernetes_minors(&v("1.31.0-rc.0")), None);
        assert!(!needs_cgroup_v2(&v("1.34.9")));
        assert!(needs_cgroup_v2(&v("1.35.0")));
        assert_eq!(istio_memory_mib(2), 3272);
        assert_eq!(gateway_classes(&v("1.27.1")).map(<[_]>::len), Some(3));
        assert_eq!(gateway_classes(&v("1.23.0")), None);
        const { assert!(INOTIFY_MINIMUM.watches < INOTIFY_RECOMMENDED.watches && INOTIFY_MINIMUM.instances < INOTIFY_RECOMMENDED.instances) }
    }
}
