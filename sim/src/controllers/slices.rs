//! The `EndpointSlices` of Services. Source: `pkg/controller/endpointslice`, `k8s.io/endpointslice`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::endpoints::{headless, hostname, pods, port_on, target};
use super::fields::{controller_ref, items, text};
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use crate::api::Propagation;
use crate::store::Object;

const ID: &str = "endpointslices.discovery.k8s.io";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Endpoints in a slice.
const MOST: usize = 100;

/// The endpoints of one set of ports, by the UID of their pod.
struct Group {
    ports: Vec<Value>,
    endpoints: BTreeMap<String, Value>,
}

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let Some(object) = context.api.store().get("services", namespace, name) else {
        // The collector takes them, because the Service owned them.
        return Ok(None);
    };
    let service = object.value();
    if service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty) || object.deleting {
        return Ok(None);
    }
    let ours = |o: &Arc<Object>| o.label(SERVICE) == Some(name) && o.label(MANAGED_BY) == Some(MANAGER) && !o.deleting;
    let slices: Vec<Arc<Object>> = context.api.store().list(ID, namespace).1.into_iter().filter(ours).collect();
    let mut groups = groups(context, namespace, &service);
    let mut labels = service["metadata"]["labels"].clone();
    labels[SERVICE] = json!(name);
    labels[MANAGED_BY] = json!(MANAGER);
    if headless(&service) {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let mut kept = 0;
    for slice in slices {
        let had = slice.value();
        let at = groups.iter().position(|g| *items(&had["ports"]) == *g.ports).or_else(|| {
            // The ports changed: a slice is made over rather than thrown away.
            (!groups.is_empty()).then_some(0)
        });
        let Some(at) = at else {
            super::gc::remove(&context.api, ID, &slice, Propagation::Background)?;
            continue;
        };
        let group = &mut groups[at];
        // What is in it and still to be there stays in it; then it is filled up.
        let mut own: Vec<Value> =
            items(&had["endpoints"]).iter().filter_map(|e| group.endpoints.remove(text(&e["targetRef"]["uid"]))).collect();
        while own.len() < MOST
            && let Some((_, endpoint)) = group.endpoints.pop_first()
        {
            own.push(endpoint);
        }
        if own.is_empty() && kept > 0 {
            super::gc::remove(&context.api, ID, &slice, Propagation::Background)?;
            continue;
        }
        kept += 1;
        let ports = group.ports.clone();
        if *items(&had["endpoints"]) != *own || had["metadata"]["labels"] != labels || *items(&had["ports"]) != *ports {
            let stamp = context.stamp();
            context.api.modify(ID, (namespace, &slice.name), |value| {
                value["metadata"]["labels"] = labels.clone();
                value["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] = json!(stamp);
                value["endpoints"] = json!(own);
                value["ports"] = json!(ports);
                true
            })?;
        }
    }
    for group in groups {
        let all: Vec<Value> = group.endpoints.into_values().collect();
        let chunks: Vec<&[Value]> = if all.is_empty() && kept == 0 { vec![&[]] } else { all.chunks(MOST).collect() };
        for chunk in chunks {
            kept += 1;
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {
                    "generateName": super::template::prefix(name), "labels": labels,
                    "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": context.stamp()},
                    "ownerReferences": [controller_ref("v1", "Service", &object)],
                },
                "endpoints": chunk, "ports": group.ports,
            });
            match context.api.make(ID, namespace, slice) {
                Err(failure) if !failure.causes.iter().any(|c| c.reason == "NamespaceTerminating") => return Err(failure),
                _ => {}
            }
        }
    }
    Ok(None)
}

fn groups(context: &Context, namespace: &str, service: &Value) -> Vec<Group> {
    let anyway = service["spec"]["publishNotReadyAddresses"] == true;
    let mut groups: Vec<Group> = Vec::new();
    for pod in pods(context, namespace, service) {
        let mut parsed = None;
        let ports: Vec<Value> = items(&service["spec"]["ports"])
            .iter()
            .filter_map(|port| {
                let number = port_on(port, &pod, &mut parsed)?;
                let protocol = port["protocol"].as_str().unwrap_or("TCP");
                let mut entry = json!({"name": text(&port["name"]), "port": number, "protocol": protocol});
                if let Some(app) = port["appProtocol"].as_str() {
                    entry["appProtocol"] = json!(app);
                }
                Some(entry)
            })
            .collect();
        let endpoint = endpoint(&pod, service, anyway, &mut parsed);
        let uid = pod.object.uid.to_string();
        match groups.iter_mut().find(|g| g.ports == ports) {
            Some(group) => {
                group.endpoints.insert(uid, endpoint);
            }
            None => groups.push(Group { ports, endpoints: BTreeMap::from([(uid, endpoint)]) }),
        }
    }
    if groups.is_empty() {
        // A Service without pods has one slice without endpoints.
        groups.push(Group { ports: Vec::new(), endpoints: BTreeMap::new() });
    }
    groups
}

fn endpoint(pod: &Pod, service: &Value, anyway: bool, parsed: &mut Option<Value>) -> Value {
    let going = pod.object.deleting;
    let mut endpoint = json!({
        "addresses": [&*pod.ips[0]],
        "conditions": {"ready": anyway || (pod.ready && !going), "serving": pod.ready, "terminating": going},
        "targetRef": target(pod),
    });
    if !pod.node.is_empty() {
        endpoint["nodeName"] = json!(&*pod.node);
    }
    if let Some(host) = hostname(pod, service, parsed) {
        endpoint["hostname"] = json!(host);
    }
    endpoint
}
