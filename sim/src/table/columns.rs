//! The columns of built-in kinds (`AddHandlers` in Kubernetes `pkg/printers/internalversion`).

use serde_json::{Value, json};

/// Description of a column that shows the name or the creation time, shortened.
pub(super) const NAME: &str = "Name must be unique within a namespace.";
pub(super) const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created.";

pub(super) fn column(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

/// What built-in kinds without a printer have, and what roles, limit ranges and CRDs have (`rest.NewDefaultTableConvertor`).
pub(super) fn default() -> Vec<Value> {
    vec![column("Name", "string", "name", NAME, 0), column("Created At", "date", "", CREATED, 0)]
}

// Separated by `;`. `+` marks a wide column, `:type` what is not a string. `Name` has the format `name`.
fn spec(id: &str) -> Option<&'static str> {
    Some(match id {
        "pods" => "Name;Ready;Status;Restarts;Age;+IP;+Node;+Nominated Node;+Readiness Gates",
        "podtemplates" => "Name;Containers;Images;Pod Labels",
        "poddisruptionbudgets.policy" => "Name;Min Available;Max Unavailable;Allowed Disruptions:integer;Age",
        "replicationcontrollers" | "replicasets.apps" => {
            "Name;Desired:integer;Current:integer;Ready:integer;Age;+Containers;+Images;+Selector"
        }
        "daemonsets.apps" => {
            "Name;Desired:integer;Current:integer;Ready:integer;Up-to-date:integer;Available:integer;Node Selector;Age;\
             +Containers;+Images;+Selector"
        }
        "jobs.batch" => "Name;Status;Completions;Duration;Age;+Containers;+Images;+Selector",
        "cronjobs.batch" => "Name;Schedule;Timezone;Suspend:boolean;Active:integer;Last Schedule;Age;+Containers;+Images;+Selector",
        "services" => "Name;Type;Cluster-IP;External-IP;Port(s);Age;+Selector",
        "ingresses.networking.k8s.io" => "Name;Class;Hosts;Address;Ports;Age",
        "ingressclasses.networking.k8s.io" => "Name;Controller;Parameters;Age",
        "statefulsets.apps" => "Name;Ready;Age;+Containers;+Images",
        "endpoints" => "Name;Endpoints;Age",
        "nodes" => "Name;Status;Roles;Age;Version;+Internal-IP;+External-IP;+OS-Image;+Kernel-Version;+Container-Runtime",
        "events" | "events.events.k8s.io" => "Last Seen;Type;Reason;Object;+Subobject;+Source;Message;+First Seen;+Count;+Name",
        "namespaces" => "Name;Status;Age",
        "secrets" => "Name;Type;Data;Age",
        "serviceaccounts" => "Name;Secrets;Age",
        "persistentvolumes" => {
            "Name;Capacity;Access Modes;Reclaim Policy;Status;Claim;StorageClass;VolumeAttributesClass;Reason;Age;+VolumeMode"
        }
        "persistentvolumeclaims" => "Name;Status;Volume;Capacity;Access Modes;StorageClass;VolumeAttributesClass;Age;+VolumeMode",
        "deployments.apps" => "Name;Ready;Up-to-date;Available;Age;+Containers;+Images;+Selector",
        "horizontalpodautoscalers.autoscaling" => "Name;Reference;Targets;MinPods;MaxPods;Replicas;Age",
        "configmaps" => "Name;Data;Age",
        "networkpolicies.networking.k8s.io" => "Name;Pod-Selector;Age",
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            "Name;Role;Age;+Users;+Groups;+ServiceAccounts"
        }
        "certificatesigningrequests.certificates.k8s.io" => "Name;Age;SignerName;Requestor;RequestedDuration;Condition",
        "leases.coordination.k8s.io" => "Name;Holder;Age",
        "storageclasses.storage.k8s.io" => "Name;Provisioner;ReclaimPolicy;VolumeBindingMode;AllowVolumeExpansion;Age",
        "controllerrevisions.apps" => "Name;Controller;Revision;Age",
        "resourcequotas" => "Name;Request;Limit;Age",
        "priorityclasses.scheduling.k8s.io" => "Name;Value:integer;Global-Default:boolean;Age;PreemptionPolicy",
        "runtimeclasses.node.k8s.io" => "Name;Handler;Age",
        "volumeattachments.storage.k8s.io" => "Name;Attacher;PV;Node;Attached:boolean;Age",
        "endpointslices.discovery.k8s.io" => "Name;AddressType;Ports;Endpoints;Age",
        "csinodes.storage.k8s.io" => "Name;Drivers:integer;Age",
        "csidrivers.storage.k8s.io" => {
            "Name;AttachRequired:boolean;PodInfoOnMount:boolean;StorageCapacity:boolean;TokenRequests;RequiresRepublish:boolean;Modes;Age"
        }
        "csistoragecapacities.storage.k8s.io" => "Name;StorageClassName;Capacity",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io" | "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            "Name;Webhooks:integer;Age"
        }
        "validatingadmissionpolicies.admissionregistration.k8s.io" => "Name;Validations:integer;ParamKind;Age",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io" => "Name;PolicyName;ParamRef;Age",
        "flowschemas.flowcontrol.apiserver.k8s.io" => "Name;PriorityLevel;MatchingPrecedence;DistinguisherMethod;Age;MissingPL",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" => {
            "Name;Type;NominalConcurrencyShares;Queues;HandSize;QueueLengthLimit;Age"
        }
        "servicecidrs.networking.k8s.io" => "Name;CIDRs;Age",
        "ipaddresses.networking.k8s.io" => "Name;ParentRef",
        // From `kube-aggregator`, not from the printers.
        "apiservices.apiregistration.k8s.io" => "Name;Service;Available;Age",
        // The subresource of whatever has one.
        super::SCALE => "Name;Desired:integer;Available:integer;Age",
        _ => return None,
    })
}

/// The columns of a kind that has a printer.
pub(super) fn of(id: &str) -> Option<Vec<Value>> {
    let parse = |text: &str| {
        let (text, priority) = text.strip_prefix('+').map_or((text, 0), |t| (t, 1));
        let (name, kind) = text.split_once(':').unwrap_or((text, "string"));
        let (format, description) = match name {
            "Name" => ("name", NAME),
            "Age" => ("", CREATED),
            other => ("", other),
        };
        column(name, kind, format, description, priority)
    };
    spec(id).map(|spec| spec.split(';').map(parse).collect())
}
