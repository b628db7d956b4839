//! The images that a node image has preloaded: what kubeadm and kind run in `kube-system`.

use super::super::version::Version;

/// Tags of what a kind cluster runs of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemImages {
    /// `registry.k8s.io/etcd`.
    pub etcd: &'static str,
    /// `registry.k8s.io/coredns/coredns`.
    pub coredns: &'static str,
    /// `registry.k8s.io/pause`.
    pub pause: &'static str,
    /// `docker.io/kindest/kindnetd`.
    pub kindnetd: &'static str,
    /// `docker.io/kindest/local-path-provisioner`.
    pub local_path_provisioner: &'static str,
    /// `docker.io/kindest/local-path-helper`.
    pub local_path_helper: &'static str,
}

/// Kubernetes minor, etcd, `CoreDNS`, pause. Source: Kubernetes `cmd/kubeadm/app/constants` at the minors' newest patches.
const KUBEADM: &[(u64, &str, &str, &str)] = &[
    (30, "3.5.15-0", "v1.11.3", "3.9"),
    (31, "3.5.15-0", "v1.11.3", "3.10"),
    (32, "3.5.16-0", "v1.11.3", "3.10"),
    (33, "3.5.21-0", "v1.12.0", "3.10"),
    (34, "3.6.4-0", "v1.12.1", "3.10.1"),
    (35, "3.6.6-0", "v1.13.1", "3.10.1"),
];

/// kind minor, kindnetd, local-path-provisioner, local-path-helper. Source: kind `pkg/build/nodeimage` `const_cni.go` and `const_storage.go`.
const KIND: &[(u64, &str, &str, &str)] = &[
    (26, "v20241212-9f82dd49", "v20241212-8ac705d0", "v20241212-8ac705d0"),
    (27, "v20250214-acbabc1a", "v20250214-acbabc1a", "v20241212-8ac705d0"),
    (28, "v20250512-df8de77b", "v20250214-acbabc1a", "v20241212-8ac705d0"),
];

/// The tags of a node image. A version that is newer than the tables gets the newest row: a simulated node must run something.
#[must_use]
pub fn system_images(kind: &Version, kubernetes: &Version) -> SystemImages {
    let &(_, etcd, coredns, pause) = row(KUBEADM, kubernetes.minor, |r| r.0);
    let &(_, kindnetd, local_path_provisioner, local_path_helper) = row(KIND, kind.minor, |r| r.0);
    SystemImages { etcd, coredns, pause, kindnetd, local_path_provisioner, local_path_helper }
}

/// The newest row that is not newer than the minor; the oldest where all are.
fn row<T>(table: &'static [T], minor: u64, of: impl Fn(&T) -> u64) -> &'static T {
    table.iter().rfind(|r| of(r) <= minor).unwrap_or(&table[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_outside_of_the_tables_get_the_nearest_row() {
        let of = |kind: &str, kubernetes: &str| {
            let images = system_images(&kind.parse().expect("a version"), &kubernetes.parse().expect("a version"));
            (images.etcd, images.kindnetd)
        };
        assert_eq!(of("0.30.0", "1.33.4"), ("3.5.21-0", "v20250512-df8de77b"));
        assert_eq!(of("0.26.0", "1.32.0"), ("3.5.16-0", "v20241212-9f82dd49"));
        assert_eq!(of("0.40.0", "1.99.0"), ("3.6.6-0", "v20250512-df8de77b"));
        assert_eq!(of("0.20.0", "1.20.0"), ("3.5.15-0", "v20241212-9f82dd49"));
    }
}
