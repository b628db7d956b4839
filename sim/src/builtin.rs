//! The built-in resources of Kubernetes 1.33 (`api/discovery/*.json` and the registry strategies upstream).
//!
//! Left out are `componentstatuses`, which nothing stores, and what a feature gate has to turn on.

use serde_json::json;

use crate::resource::{Resource, Subresource, Version};

/// The verbs of an ordinary resource, in discovery's order.
const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The reviews and `bindings` are asked, not stored.
const CREATE: &[&str] = &["create"];
const GET: &[&str] = &["get"];
const UPDATE: &[&str] = &["update"];
const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];
/// `exec`, `attach` and `portforward` are a `POST`, or a `GET` that upgrades to a WebSocket.
const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

const fn sub(name: &'static str, kind: &'static str, api_version: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, kind, api_version, verbs }
}

/// The group whose rows are being written.
struct Group(&'static str);

impl Group {
    /// A row in the one version `v1`, cluster-wide. The singular name of a built-in resource is its kind in lower case.
    fn cluster(&self, kind: &str, plural: &str) -> Row {
        Row(Resource {
            group: self.0.to_owned(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: false,
            versions: vec![Version { name: "v1".to_owned(), ..Version::default() }],
            storage: "v1".to_owned(),
            subresources: Vec::new(),
            verbs: ALL.to_vec(),
            custom: false,
            generation: false,
        })
    }

    fn namespaced(&self, kind: &str, plural: &str) -> Row {
        let mut row = self.cluster(kind, plural);
        row.0.namespaced = true;
        row
    }
}

/// A row of the table.
struct Row(Resource);

impl Row {
    fn short(mut self, names: &[&str]) -> Self {
        self.0.short_names = names.iter().map(|&n| n.to_owned()).collect();
        self
    }

    fn category(mut self, name: &str) -> Self {
        self.0.categories.push(name.to_owned());
        self
    }

    fn status(mut self) -> Self {
        self.0.versions.iter_mut().for_each(|v| v.status = true);
        self
    }

    /// The strategy upstream counts changes in `metadata.generation`.
    fn generation(mut self) -> Self {
        self.0.generation = true;
        self
    }

    /// `/scale`. The selector of a built-in kind is an object or, for `ReplicationController`, a map; that of a CRD is a string.
    fn scale(mut self) -> Self {
        let paths =
            json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".spec.selector"});
        self.0.versions.iter_mut().for_each(|v| v.scale = paths.clone());
        self
    }

    fn verbs(mut self, verbs: &[&'static str]) -> Self {
        self.0.verbs = verbs.to_vec();
        self
    }

    fn subs(mut self, subresources: &[Subresource]) -> Self {
        self.0.subresources = subresources.to_vec();
        self
    }

    /// Served versions, preferred first; the first is stored.
    fn versions(mut self, names: &[&str]) -> Self {
        let like = self.0.versions.pop().expect("a row starts with one version");
        self.0.versions = names.iter().map(|&n| Version { name: n.to_owned(), ..like.clone() }).collect();
        names[0].clone_into(&mut self.0.storage);
        self
    }
}

fn core() -> Vec<Row> {
    let g = Group("");
    vec![
        g.namespaced("Binding", "bindings").verbs(CREATE),
        g.namespaced("ConfigMap", "configmaps").short(&["cm"]),
        g.namespaced("Endpoints", "endpoints").short(&["ep"]),
        // Upstream keeps these and the `events.k8s.io` ones in one storage and converts between them; here they are two resources.
        g.namespaced("Event", "events").short(&["ev"]),
        g.namespaced("LimitRange", "limitranges").short(&["limits"]),
        g.cluster("Namespace", "namespaces")
            .short(&["ns"])
            .status()
            .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
            .subs(&[sub("finalize", "Namespace", "", UPDATE)]),
        g.cluster("Node", "nodes").short(&["no"]).status().subs(&[sub("proxy", "NodeProxyOptions", "", PROXY)]),
        g.namespaced("PersistentVolumeClaim", "persistentvolumeclaims").short(&["pvc"]).status(),
        g.cluster("PersistentVolume", "persistentvolumes").short(&["pv"]).status(),
        // Pods have had a generation since 1.33.
        g.namespaced("Pod", "pods").short(&["po"]).category("all").status().generation().subs(&[
            sub("attach", "PodAttachOptions", "", CONNECT),
            sub("binding", "Binding", "", CREATE),
            sub("ephemeralcontainers", "Pod", "", GET_PATCH_UPDATE),
            sub("eviction", "Eviction", "policy/v1", CREATE),
            sub("exec", "PodExecOptions", "", CONNECT),
            sub("log", "Pod", "", GET),
            sub("portforward", "PodPortForwardOptions", "", CONNECT),
            sub("proxy", "PodProxyOptions", "", PROXY),
            sub("resize", "Pod", "", GET_PATCH_UPDATE),
        ]),
        g.namespaced("PodTemplate", "podtemplates").generation(),
        g.namespaced("ReplicationController", "replicationcontrollers").short(&["rc"]).category("all").status().scale().generation(),
        g.namespaced("ResourceQuota", "resourcequotas").short(&["quota"]).status(),
        g.namespaced("Secret", "secrets"),
        g.namespaced("ServiceAccount", "serviceaccounts").short(&["sa"]).subs(&[sub(
            "token",
            "TokenRequest",
            "authentication.k8s.io/v1",
            CREATE,
        )]),
        g.namespaced("Service", "services").short(&["svc"]).category("all").status().subs(&[sub(
            "proxy",
            "ServiceProxyOptions",
            "",
            PROXY,
        )]),
    ]
}

fn workloads() -> Vec<Row> {
    let apps = Group("apps");
    let batch = Group("batch");
    let autoscaling = Group("autoscaling");
    let policy = Group("policy");
    vec![
        apps.namespaced("ControllerRevision", "controllerrevisions"),
        apps.namespaced("DaemonSet", "daemonsets").short(&["ds"]).category("all").status().generation(),
        apps.namespaced("Deployment", "deployments").short(&["deploy"]).category("all").status().scale().generation(),
        apps.namespaced("ReplicaSet", "replicasets").short(&["rs"]).category("all").status().scale().generation(),
        apps.namespaced("StatefulSet", "statefulsets").short(&["sts"]).category("all").status().scale().generation(),
        batch.namespaced("CronJob", "cronjobs").short(&["cj"]).category("all").status().generation(),
        batch.namespaced("Job", "jobs").category("all").status().generation(),
        autoscaling
            .namespaced("HorizontalPodAutoscaler", "horizontalpodautoscalers")
            .short(&["hpa"])
            .category("all")
            .status()
            .versions(&["v2", "v1"]),
        policy.namespaced("PodDisruptionBudget", "poddisruptionbudgets").short(&["pdb"]).status().generation(),
    ]
}

fn network_and_storage() -> Vec<Row> {
    let networking = Group("networking.k8s.io");
    let storage = Group("storage.k8s.io");
    vec![
        networking.cluster("IngressClass", "ingressclasses").generation(),
        networking.namespaced("Ingress", "ingresses").short(&["ing"]).status().generation(),
        networking.cluster("IPAddress", "ipaddresses").short(&["ip"]),
        networking.namespaced("NetworkPolicy", "networkpolicies").short(&["netpol"]).generation(),
        networking.cluster("ServiceCIDR", "servicecidrs").status(),
        Group("discovery.k8s.io").namespaced("EndpointSlice", "endpointslices").generation(),
        storage.cluster("CSIDriver", "csidrivers"),
        storage.cluster("CSINode", "csinodes"),
        storage.namespaced("CSIStorageCapacity", "csistoragecapacities"),
        storage.cluster("StorageClass", "storageclasses").short(&["sc"]),
        storage.cluster("VolumeAttachment", "volumeattachments").status(),
    ]
}

fn access() -> Vec<Row> {
    let rbac = Group("rbac.authorization.k8s.io");
    let authentication = Group("authentication.k8s.io");
    let authorization = Group("authorization.k8s.io");
    vec![
        rbac.cluster("ClusterRoleBinding", "clusterrolebindings"),
        rbac.cluster("ClusterRole", "clusterroles"),
        rbac.namespaced("RoleBinding", "rolebindings"),
        rbac.namespaced("Role", "roles"),
        authentication.cluster("SelfSubjectReview", "selfsubjectreviews").verbs(CREATE),
        authentication.cluster("TokenReview", "tokenreviews").verbs(CREATE),
        authorization.namespaced("LocalSubjectAccessReview", "localsubjectaccessreviews").verbs(CREATE),
        authorization.cluster("SelfSubjectAccessReview", "selfsubjectaccessreviews").verbs(CREATE),
        authorization.cluster("SelfSubjectRulesReview", "selfsubjectrulesreviews").verbs(CREATE),
        authorization.cluster("SubjectAccessReview", "subjectaccessreviews").verbs(CREATE),
        Group("certificates.k8s.io")
            .cluster("CertificateSigningRequest", "certificatesigningrequests")
            .short(&["csr"])
            .status()
            .subs(&[sub("approval", "CertificateSigningRequest", "", GET_PATCH_UPDATE)]),
    ]
}

fn machinery() -> Vec<Row> {
    let admission = Group("admissionregistration.k8s.io");
    let flowcontrol = Group("flowcontrol.apiserver.k8s.io");
    vec![
        admission.cluster("MutatingWebhookConfiguration", "mutatingwebhookconfigurations").category("api-extensions").generation(),
        admission.cluster("ValidatingAdmissionPolicy", "validatingadmissionpolicies").category("api-extensions").status().generation(),
        admission.cluster("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings").category("api-extensions").generation(),
        admission.cluster("ValidatingWebhookConfiguration", "validatingwebhookconfigurations").category("api-extensions").generation(),
        Group("apiextensions.k8s.io")
            .cluster("CustomResourceDefinition", "customresourcedefinitions")
            .short(&["crd", "crds"])
            .category("api-extensions")
            .status()
            .generation(),
        Group("apiregistration.k8s.io").cluster("APIService", "apiservices").category("api-extensions").status(),
        Group("coordination.k8s.io").namespaced("Lease", "leases"),
        Group("events.k8s.io").namespaced("Event", "events").short(&["ev"]),
        flowcontrol.cluster("FlowSchema", "flowschemas").status().generation(),
        flowcontrol.cluster("PriorityLevelConfiguration", "prioritylevelconfigurations").status().generation(),
        Group("node.k8s.io").cluster("RuntimeClass", "runtimeclasses"),
        Group("scheduling.k8s.io").cluster("PriorityClass", "priorityclasses").short(&["pc"]).generation(),
    ]
}

/// Every built-in resource.
#[must_use]
pub fn resources() -> Vec<Resource> {
    [core(), workloads(), network_and_storage(), access(), machinery()].into_iter().flatten().map(|row| row.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut ids: Vec<String> = resources().iter().map(Resource::id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn short_names_and_scope() {
        let all = resources();
        let find = |id: &str| all.iter().find(|r| r.id() == id).unwrap();
        assert_eq!(find("pods").short_names, ["po"]);
        assert_eq!(find("endpoints").singular, "endpoints");
        assert_eq!(find("horizontalpodautoscalers.autoscaling").versions.len(), 2);
        assert!(!find("namespaces").verbs.contains(&"deletecollection"));
        assert!(!find("nodes").namespaced);
        assert!(find("deployments.apps").versions[0].scale.is_object());
    }
}
