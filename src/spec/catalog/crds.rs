//! `CustomResourceDefinitions` by bundle and version: what is served under which names. Schemas are not part of it.

use super::super::Channel;
use super::super::version::Version;
use super::gateway_api_crds;

/// One version of a CRD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrdVersion {
    /// For example `v1beta1`.
    pub name: &'static str,
    /// Whether the API server serves it.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
}

/// One of a CRD's `additionalPrinterColumns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string` or `date`.
    pub kind: &'static str,
    /// Where the value is.
    pub path: &'static str,
    /// 0 for always, 1 for `-o wide` only.
    pub priority: u8,
}

/// A CRD without its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crd {
    /// For example `gateway.networking.k8s.io`.
    pub group: &'static str,
    /// For example `HTTPRoute`.
    pub kind: &'static str,
    /// For example `httproutes`.
    pub plural: &'static str,
    /// For example `gtw`.
    pub short_names: &'static [&'static str],
    /// For example `gateway-api`.
    pub categories: &'static [&'static str],
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `/status` is served.
    pub status: bool,
    /// Whether an object without `spec` is refused.
    pub spec_required: bool,
    /// Fields of `spec` that must be there: name and type.
    pub required: &'static [(&'static str, &'static str)],
    /// Its versions, newest first.
    pub versions: &'static [CrdVersion],
    /// What `kubectl get` shows besides the name.
    pub columns: &'static [Column],
}

impl Crd {
    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }
}

const fn stored(name: &'static str) -> CrdVersion {
    CrdVersion { name, served: true, storage: true }
}

const fn served(name: &'static str) -> CrdVersion {
    CrdVersion { name, served: true, storage: false }
}

const fn unserved(name: &'static str) -> CrdVersion {
    CrdVersion { name, served: false, storage: false }
}

const fn column(name: &'static str, path: &'static str) -> Column {
    Column { name, kind: "string", path, priority: 0 }
}

const AGE: Column = Column { name: "Age", kind: "date", path: ".metadata.creationTimestamp", priority: 0 };
const ACCEPTED: Column = column("Accepted", r#".status.conditions[?(@.type=="Accepted")].status"#);
const PROGRAMMED: Column = column("Programmed", r#".status.conditions[?(@.type=="Programmed")].status"#);
const HOSTNAMES: Column = column("Hostnames", ".spec.hostnames");

const GATEWAY: Crd = Crd {
    group: "gateway.networking.k8s.io",
    kind: "",
    plural: "",
    short_names: &[],
    categories: &["gateway-api"],
    namespaced: true,
    status: true,
    spec_required: true,
    required: &[],
    versions: &[stored("v1")],
    columns: &[AGE],
};

/// The minor of the bundle from which on a row holds, and the row; a later one of the same plural replaces an earlier one.
/// Source: Gateway API `config/crd/standard` at v1.3.0, v1.4.1, v1.5.1 and v1.6.1.
const GATEWAY_ROWS: &[(u64, Crd)] = &[
    (
        3,
        Crd {
            kind: "GatewayClass",
            plural: "gatewayclasses",
            short_names: &["gc"],
            namespaced: false,
            required: &[("controllerName", "string")],
            versions: &[stored("v1"), served("v1beta1")],
            columns: &[
                column("Controller", ".spec.controllerName"),
                ACCEPTED,
                AGE,
                Column { name: "Description", kind: "string", path: ".spec.description", priority: 1 },
            ],
            ..GATEWAY
        },
    ),
    (
        3,
        Crd {
            kind: "Gateway",
            plural: "gateways",
            short_names: &["gtw"],
            required: &[("gatewayClassName", "string"), ("listeners", "array")],
            versions: &[stored("v1"), served("v1beta1")],
            columns: &[column("Class", ".spec.gatewayClassName"), column("Address", ".status.addresses[*].value"), PROGRAMMED, AGE],
            ..GATEWAY
        },
    ),
    (3, Crd { kind: "GRPCRoute", plural: "grpcroutes", spec_required: false, columns: &[HOSTNAMES, AGE], ..GATEWAY }),
    (4, Crd { kind: "GRPCRoute", plural: "grpcroutes", columns: &[HOSTNAMES, AGE], ..GATEWAY }),
    (
        3,
        Crd {
            kind: "HTTPRoute",
            plural: "httproutes",
            versions: &[stored("v1"), served("v1beta1")],
            columns: &[HOSTNAMES, AGE],
            ..GATEWAY
        },
    ),
    (
        3,
        Crd {
            kind: "ReferenceGrant",
            plural: "referencegrants",
            short_names: &["refgrant"],
            status: false,
            spec_required: false,
            versions: &[stored("v1beta1")],
            ..GATEWAY
        },
    ),
    (
        5,
        Crd {
            kind: "ReferenceGrant",
            plural: "referencegrants",
            short_names: &["refgrant"],
            status: false,
            spec_required: false,
            versions: &[served("v1"), stored("v1beta1")],
            ..GATEWAY
        },
    ),
    (
        6,
        Crd {
            kind: "ReferenceGrant",
            plural: "referencegrants",
            short_names: &["refgrant"],
            status: false,
            versions: &[served("v1"), stored("v1beta1")],
            ..GATEWAY
        },
    ),
    (
        4,
        Crd {
            kind: "BackendTLSPolicy",
            plural: "backendtlspolicies",
            short_names: &["btlspolicy"],
            versions: &[stored("v1"), unserved("v1alpha3")],
            ..GATEWAY
        },
    ),
    (5, Crd { kind: "ListenerSet", plural: "listenersets", short_names: &["lset"], columns: &[ACCEPTED, PROGRAMMED, AGE], ..GATEWAY }),
    (5, Crd { kind: "TLSRoute", plural: "tlsroutes", versions: &[stored("v1"), unserved("v1alpha2"), unserved("v1alpha3")], ..GATEWAY }),
    (6, Crd { kind: "TCPRoute", plural: "tcproutes", versions: &[stored("v1"), unserved("v1alpha2")], ..GATEWAY }),
    (6, Crd { kind: "UDPRoute", plural: "udproutes", versions: &[stored("v1"), unserved("v1alpha2")], ..GATEWAY }),
];

/// The CRDs of a bundle in the order of [`gateway_api_crds`], or `None` where the tables do not know the bundle.
#[must_use]
pub fn gateway_api_definitions(bundle: &Version, channel: Channel) -> Option<Vec<Crd>> {
    let row = |name: &&str| {
        let of_name = |(from, crd): &&(u64, Crd)| *from <= bundle.minor && crd.name() == *name;
        GATEWAY_ROWS.iter().filter(of_name).max_by_key(|(from, _)| *from).map(|(_, crd)| *crd)
    };
    gateway_api_crds(bundle, channel)?.iter().map(row).collect()
}

/// The annotation `api-approved.kubernetes.io` of a bundle's CRDs. Source: as [`gateway_api_definitions`].
#[must_use]
pub fn api_approved(bundle: &Version) -> &'static str {
    if (bundle.major, bundle.minor) >= (1, 5) {
        "https://github.com/kubernetes-sigs/gateway-api/pull/4530"
    } else {
        "https://github.com/kubernetes-sigs/gateway-api/pull/3328"
    }
}

/// The oldest bundle from which an Istio watches a Gateway API CRD; `None` where any will do. One that is older, or says nothing of its
/// bundle, is silently left alone (P31). Source: Istio 1.24 to 1.31 `pkg/kube/kclient/crdwatcher.go`.
#[must_use]
pub fn gateway_crd_minimum(istio: &Version, crd: &str) -> Option<Version> {
    const TABLE: &[(&str, u64, Version)] = &[
        ("grpcroutes.gateway.networking.k8s.io", 24, Version::new(1, 1, 0)),
        ("backendtlspolicies.gateway.networking.k8s.io", 28, Version::new(1, 4, 0)),
        ("tlsroutes.gateway.networking.k8s.io", 30, Version::new(1, 5, 0)),
        ("tcproutes.gateway.networking.k8s.io", 31, Version::new(1, 6, 0)),
    ];
    TABLE.iter().find(|(name, from, _)| *name == crd && istio.minor >= *from).map(|(_, _, minimum)| minimum.clone())
}

const NETWORKING: Crd = Crd {
    group: "networking.istio.io",
    kind: "",
    plural: "",
    short_names: &[],
    categories: &["istio-io", "networking-istio-io"],
    namespaced: true,
    status: true,
    spec_required: false,
    required: &[],
    versions: &[stored("v1"), served("v1beta1"), served("v1alpha3")],
    columns: &[AGE],
};
const SECURITY: Crd = Crd {
    group: "security.istio.io",
    categories: &["istio-io", "security-istio-io"],
    versions: &[served("v1"), stored("v1beta1")],
    ..NETWORKING
};
const EXTENSIONS: Crd =
    Crd { group: "extensions.istio.io", categories: &["istio-io", "extensions-istio-io"], versions: &[stored("v1alpha1")], ..NETWORKING };

/// The minor of Istio from which on a CRD is there. Source: Istio 1.24 to 1.31 `manifests/charts/base/files/crd-all.gen.yaml`; the storage
/// versions as seen at 1.27.1.
const ISTIO_ROWS: &[(u64, Crd)] = &[
    (24, Crd { kind: "WasmPlugin", plural: "wasmplugins", ..EXTENSIONS }),
    (
        24,
        Crd {
            kind: "DestinationRule",
            plural: "destinationrules",
            short_names: &["dr"],
            columns: &[column("Host", ".spec.host"), AGE],
            ..NETWORKING
        },
    ),
    (24, Crd { kind: "EnvoyFilter", plural: "envoyfilters", versions: &[stored("v1alpha3")], columns: &[], ..NETWORKING }),
    (24, Crd { kind: "Gateway", plural: "gateways", short_names: &["gw"], columns: &[], ..NETWORKING }),
    (24, Crd { kind: "ProxyConfig", plural: "proxyconfigs", versions: &[stored("v1beta1")], columns: &[], ..NETWORKING }),
    (
        24,
        Crd {
            kind: "ServiceEntry",
            plural: "serviceentries",
            short_names: &["se"],
            columns: &[column("Hosts", ".spec.hosts"), column("Location", ".spec.location"), column("Resolution", ".spec.resolution"), AGE],
            ..NETWORKING
        },
    ),
    (24, Crd { kind: "Sidecar", plural: "sidecars", columns: &[], ..NETWORKING }),
    (
        24,
        Crd {
            kind: "VirtualService",
            plural: "virtualservices",
            short_names: &["vs"],
            columns: &[column("Gateways", ".spec.gateways"), column("Hosts", ".spec.hosts"), AGE],
            ..NETWORKING
        },
    ),
    (
        24,
        Crd {
            kind: "WorkloadEntry",
            plural: "workloadentries",
            short_names: &["we"],
            columns: &[AGE, column("Address", ".spec.address")],
            ..NETWORKING
        },
    ),
    (24, Crd { kind: "WorkloadGroup", plural: "workloadgroups", short_names: &["wg"], ..NETWORKING }),
    (
        24,
        Crd {
            kind: "AuthorizationPolicy",
            plural: "authorizationpolicies",
            short_names: &["ap"],
            columns: &[column("Action", ".spec.action"), AGE],
            ..SECURITY
        },
    ),
    (
        24,
        Crd {
            kind: "PeerAuthentication",
            plural: "peerauthentications",
            short_names: &["pa"],
            columns: &[column("Mode", ".spec.mtls.mode"), AGE],
            ..SECURITY
        },
    ),
    (24, Crd { kind: "RequestAuthentication", plural: "requestauthentications", short_names: &["ra"], columns: &[], ..SECURITY }),
    (
        24,
        Crd {
            group: "telemetry.istio.io",
            kind: "Telemetry",
            plural: "telemetries",
            short_names: &["telemetry"],
            categories: &["istio-io", "telemetry-istio-io"],
            versions: &[served("v1"), stored("v1alpha1")],
            ..NETWORKING
        },
    ),
    (30, Crd { kind: "TrafficExtension", plural: "trafficextensions", ..EXTENSIONS }),
];

/// The CRDs of an Istio, or `None` for one that the table does not know.
#[must_use]
pub fn istio_definitions(istio: &Version) -> Option<Vec<Crd>> {
    let known = istio.major == 1 && (24..=31).contains(&istio.minor);
    known.then(|| ISTIO_ROWS.iter().filter(|(from, _)| *from <= istio.minor).map(|(_, crd)| *crd).collect())
}

/// Whether the installation has a `ConfigMap` `values`. Source: Istio `manifests/charts/istio-control/istio-discovery`, from 1.26 on.
#[must_use]
pub fn istio_values_map(istio: &Version) -> bool {
    (istio.major, istio.minor) >= (1, 26)
}

/// What the CNI agent of an ambient installation does by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmbientDefaults {
    /// Whether ztunnel answers the DNS requests of enrolled pods.
    pub dns_capture: bool,
    /// Whether the agent repairs the rules of pods that are there already when it starts.
    pub reconcile_on_startup: bool,
}

/// Those defaults by version. Source: Istio `manifests/charts/istio-cni/values.yaml`.
#[must_use]
pub fn ambient_defaults(istio: &Version) -> AmbientDefaults {
    let from = |minor: u64| (istio.major, istio.minor) >= (1, minor);
    AmbientDefaults { dns_capture: from(25), reconcile_on_startup: from(29) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn every_known_bundle_is_defined_by_the_same_names() {
        for bundle in ["1.3.0", "1.4.1", "1.5.1", "1.6.1"].map(v) {
            let defined = gateway_api_definitions(&bundle, Channel::Standard).expect("a known bundle");
            let names: Vec<String> = defined.iter().map(Crd::name).collect();
            assert_eq!(names, gateway_api_crds(&bundle, Channel::Standard).expect("a known bundle"), "{bundle}");
        }
        assert!(gateway_api_definitions(&v("1.2.0"), Channel::Standard).is_none());
        assert!(gateway_api_definitions(&v("1.3.0"), Channel::Experimental).is_none());
    }

    #[test]
    fn every_crd_stores_one_version_that_it_serves() {
        for (_, crd) in GATEWAY_ROWS.iter().chain(ISTIO_ROWS) {
            let stored: Vec<_> = crd.versions.iter().filter(|v| v.storage).collect();
            assert!(stored.len() == 1 && stored[0].served, "{}", crd.name());
        }
    }

    #[test]
    fn istio_grows_by_one_crd() {
        let count = |version: &str| istio_definitions(&v(version)).map(|d| d.len());
        assert_eq!((count("1.23.0"), count("1.27.1"), count("1.29.6"), count("1.30.0")), (None, Some(14), Some(14), Some(15)));
        assert!(istio_values_map(&v("1.27.1")) && !istio_values_map(&v("1.25.5")));
    }

    #[test]
    fn grants_keep_their_storage_version_when_a_newer_one_is_served() {
        let grants = |bundle: &str| {
            let all = gateway_api_definitions(&v(bundle), Channel::Standard).expect("a known bundle");
            all.into_iter().find(|c| c.plural == "referencegrants").expect("it is in every bundle").versions
        };
        assert_eq!(grants("1.4.1"), [stored("v1beta1")]);
        assert_eq!(grants("1.5.1"), [served("v1"), stored("v1beta1")]);
    }

    #[test]
    fn only_some_crds_have_a_minimum() {
        let minimum = |istio: &str, plural: &str| gateway_crd_minimum(&v(istio), &format!("{plural}.gateway.networking.k8s.io"));
        assert_eq!(minimum("1.27.1", "grpcroutes"), Some(v("1.1.0")));
        assert_eq!(minimum("1.27.1", "backendtlspolicies"), None);
        assert_eq!(minimum("1.28.0", "backendtlspolicies"), Some(v("1.4.0")));
        assert_eq!(minimum("1.31.0", "gatewayclasses"), None);
    }
}
