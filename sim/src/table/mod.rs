//! Tables, as kubectl asks for them with `as=Table;v=v1;g=meta.k8s.io` (Kubernetes `pkg/printers/internalversion` and what custom
//! resources, API services and kinds without a printer have in its place).

mod cluster;
mod columns;
mod custom;
mod duration;
mod network;
mod pods;
mod storage;
mod values;
mod workloads;

pub use duration::human as human_duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::resource::Resource;
use crate::selector::quoted;

/// What stands for the `Scale` of any kind in the tables below.
const SCALE: &str = "Scale";

/// What a row carries of its object: the parameter `includeObject`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    /// All of it.
    Object,
    /// A `PartialObjectMetadata`; what no parameter stands for.
    #[default]
    Metadata,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the parameter.
    ///
    /// # Errors
    ///
    /// 400 with upstream's message for another value.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => {
                let why = format!("includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty", quoted(other));
                Err(Failure::bad_request(format!("Unable to convert to Table as requested: {why}")))
            }
        }
    }
}

/// A table of objects. `list_meta` is the `metadata` of the list, or the `resourceVersion` alone for one object.
#[must_use]
pub fn table(resource: &Resource, version: &str, objects: &[&Value], include: Include, now: Timestamp, list_meta: Value) -> Value {
    let columns = columns(resource, version, objects.first().copied());
    let mut objects = objects.to_vec();
    if resource.id() == "flowschemas.flowcontrol.apiserver.k8s.io" {
        // The one list that upstream prints in another order: that in which flow schemas are tried.
        objects.sort_by_key(|o| (values::int(o, "spec.matchingPrecedence"), values::text(o, "metadata.name")));
    }
    let rows: Vec<Value> = objects.iter().map(|object| row(resource, version, object, include, now)).collect();
    let mut table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns, "rows": rows});
    table["metadata"] = list_meta;
    table
}

/// The table of one event of a watch; only the first of a watch has the columns.
#[must_use]
pub fn row_table(resource: &Resource, version: &str, object: &Value, include: Include, now: Timestamp, with_columns: bool) -> Value {
    let meta = json!({"resourceVersion": values::text(object, "metadata.resourceVersion")});
    let mut table = table(resource, version, &[object], include, now, meta);
    if !with_columns {
        table["columnDefinitions"] = Value::Null;
    }
    table
}

fn id(resource: &Resource, object: Option<&Value>) -> String {
    if object.is_some_and(|o| o["kind"] == SCALE && resource.kind != SCALE) { SCALE.to_owned() } else { resource.id() }
}

fn columns(resource: &Resource, version: &str, object: Option<&Value>) -> Vec<Value> {
    let id = id(resource, object);
    match resource.version(version) {
        Some(version) if resource.custom && id != SCALE => custom::columns(version),
        _ => columns::of(&id).unwrap_or_else(columns::default),
    }
}

fn row(resource: &Resource, version: &str, object: &Value, include: Include, now: Timestamp) -> Value {
    let id = id(resource, Some(object));
    let cells = match resource.version(version) {
        Some(version) if resource.custom && id != SCALE => custom::cells(version, object, now),
        _ => cells(&id, object, now),
    };
    let shown = match include {
        Include::Object => object.clone(),
        Include::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]}),
        Include::None => Value::Null,
    };
    let mut row = json!({"cells": cells, "object": shown});
    if let Some(conditions) = Some(object).filter(|_| id == "pods").and_then(pods::completed) {
        row["conditions"] = conditions;
    }
    row
}

fn cells(id: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    match id {
        "pods" => pods::pod(object, now),
        "podtemplates" => workloads::pod_template(object),
        "poddisruptionbudgets.policy" => workloads::disruption_budget(object, now),
        "replicationcontrollers" => workloads::replication_controller(object, now),
        "replicasets.apps" => workloads::replica_set(object, now),
        "daemonsets.apps" => workloads::daemon_set(object, now),
        "deployments.apps" => workloads::deployment(object, now),
        "statefulsets.apps" => workloads::stateful_set(object, now),
        "controllerrevisions.apps" => workloads::controller_revision(object, now),
        "jobs.batch" => workloads::job(object, now),
        "cronjobs.batch" => workloads::cron_job(object, now),
        "horizontalpodautoscalers.autoscaling" => workloads::autoscaler(object, now),
        SCALE => workloads::scale(object, now),
        "services" => network::service(object, now),
        "endpoints" => network::endpoints(object, now),
        "endpointslices.discovery.k8s.io" => network::endpoint_slice(object, now),
        "ingresses.networking.k8s.io" => network::ingress(object, now),
        "ingressclasses.networking.k8s.io" => network::ingress_class(object, now),
        "networkpolicies.networking.k8s.io" => network::network_policy(object, now),
        "servicecidrs.networking.k8s.io" => network::service_cidr(object, now),
        "ipaddresses.networking.k8s.io" => network::ip_address(object, now),
        "nodes" => cluster::node(object, now),
        "namespaces" => cluster::namespace(object, now),
        "events" | "events.events.k8s.io" => cluster::event(object, now),
        "secrets" => cluster::secret(object, now),
        "serviceaccounts" => cluster::counted(object, values::count(&object["secrets"]), now),
        "configmaps" => cluster::counted(object, values::count(&object["data"]) + values::count(&object["binaryData"]), now),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io" | "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            cluster::counted(object, values::count(&object["webhooks"]), now)
        }
        "resourcequotas" => cluster::resource_quota(object, now),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => cluster::role_binding(object, now),
        "certificatesigningrequests.certificates.k8s.io" => cluster::signing_request(object, now),
        "leases.coordination.k8s.io" => cluster::lease(object, now),
        "priorityclasses.scheduling.k8s.io" => cluster::priority_class(object, now),
        "runtimeclasses.node.k8s.io" => cluster::runtime_class(object, now),
        "validatingadmissionpolicies.admissionregistration.k8s.io" => cluster::admission_policy(object, now),
        "validatingadmissionpolicybindings.admissionregistration.k8s.io" => cluster::admission_policy_binding(object, now),
        "apiservices.apiregistration.k8s.io" => cluster::api_service(object, now),
        "flowschemas.flowcontrol.apiserver.k8s.io" => cluster::flow_schema(object, now),
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" => cluster::priority_level(object, now),
        "persistentvolumes" => storage::volume(object, now),
        "persistentvolumeclaims" => storage::claim(object, now),
        "storageclasses.storage.k8s.io" => storage::storage_class(object, now),
        "volumeattachments.storage.k8s.io" => storage::attachment(object, now),
        "csinodes.storage.k8s.io" => storage::csi_node(object, now),
        "csidrivers.storage.k8s.io" => storage::csi_driver(object, now),
        "csistoragecapacities.storage.k8s.io" => storage::csi_capacity(object),
        // Name and creation time as it is, for kubectl to make an age of.
        _ => vec![values::name(object), json!(values::text(object, "metadata.creationTimestamp"))],
    }
}

#[cfg(test)]
mod tests;
