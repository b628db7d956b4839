//! The `Endpoints` of Services, as 1.33 still writes them. Source: `pkg/controller/endpoint`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{items, text};
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::selector::Selector;

const ID: &str = "endpoints";
/// More addresses than this are left out, and the object says so.
const MOST: usize = 1000;

/// A port of a Service on a pod.
pub(super) fn port_on(port: &Value, pod: &Pod, parsed: &mut Option<Value>) -> Option<u64> {
    let target = &port["targetPort"];
    let target = if target.is_null() || target == 0 || target == "" { &port["port"] } else { target };
    if let Some(number) = target.as_u64() {
        return Some(number);
    }
    // Only a name needs the pod itself.
    let value = parsed.get_or_insert_with(|| pod.object.value());
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let spec = &value["spec"];
    let sidecars = items(&spec["initContainers"]).iter().filter(|c| c["restartPolicy"] == "Always");
    let found = items(&spec["containers"])
        .iter()
        .chain(sidecars)
        .flat_map(|c| items(&c["ports"]))
        .find(|p| p["name"] == *target && p["protocol"].as_str().unwrap_or("TCP") == protocol);
    found.and_then(|p| p["containerPort"].as_u64())
}

pub(super) fn headless(service: &Value) -> bool {
    service["spec"]["clusterIP"] == "None"
}

/// The pods of a Service, by name.
pub(super) fn pods(context: &Context, namespace: &str, service: &Value) -> Vec<Arc<Pod>> {
    let selector = Selector::map(&service["spec"]["selector"]);
    let mut pods: Vec<Arc<Pod>> =
        context.pods.within(namespace).filter(|p| !p.ended() && !p.ips.is_empty() && selector.matches(&p.object.labels)).cloned().collect();
    pods.sort_by(|a, b| a.object.name.cmp(&b.object.name));
    pods
}

/// Host name in DNS, where pod and Service agree on it.
pub(super) fn hostname(pod: &Pod, service: &Value, parsed: &mut Option<Value>) -> Option<String> {
    if !headless(service) {
        return None;
    }
    let value = parsed.get_or_insert_with(|| pod.object.value());
    let (host, domain) = (text(&value["spec"]["hostname"]), text(&value["spec"]["subdomain"]));
    (!host.is_empty() && domain == text(&service["metadata"]["name"])).then(|| host.to_owned())
}

pub(super) fn target(pod: &Pod) -> Value {
    json!({"kind": "Pod", "name": &*pod.object.name, "namespace": &*pod.object.namespace, "uid": &*pod.object.uid})
}

pub(super) fn reconcile(context: &mut Context, namespace: &str, name: &str) -> Outcome {
    let found = context.api.read(ID, namespace, name);
    let Some(service) = context.api.read("services", namespace, name) else {
        // Whoever made it, it goes with its Service.
        if found.is_some()
            && let Some(object) = context.api.store().get(ID, namespace, name)
        {
            super::gc::remove(&context.api, ID, &object, crate::api::Propagation::Background)?;
        }
        return Ok(None);
    };
    if service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty) || service["spec"]["type"] == "ExternalName" {
        return Ok(None);
    }
    let (subsets, over) = subsets(context, namespace, &service);
    let mut labels = service["metadata"]["labels"].clone();
    labels["endpoints.kubernetes.io/managed-by"] = json!("endpoint-controller");
    if headless(&service) {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let stamp = context.stamp();
    let change = |value: &mut Value| {
        value["metadata"]["labels"] = labels.clone();
        value["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] = json!(stamp);
        if over {
            value["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] = json!("truncated");
        }
        if subsets.is_empty() {
            value.as_object_mut().map(|v| v.remove("subsets"));
        } else {
            value["subsets"] = json!(subsets);
        }
    };
    let Some(found) = found else {
        let mut value = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": namespace}});
        change(&mut value);
        return match context.api.make(ID, namespace, value) {
            Err(failure) if failure.causes.iter().any(|c| c.reason == "NamespaceTerminating") => Ok(None),
            Err(failure) => Err(failure),
            Ok(_) => Ok(None),
        };
    };
    if found["metadata"]["labels"] != labels || *items(&found["subsets"]) != *subsets {
        context.api.modify(ID, (namespace, name), |value| {
            change(value);
            true
        })?;
    }
    Ok(None)
}

/// Ready addresses, others, and the ports of both.
type Subset = (Vec<Value>, Vec<Value>, Vec<Value>);

/// Addresses by the ports that they serve. Source: `endpoints.RepackSubsets`.
fn subsets(context: &Context, namespace: &str, service: &Value) -> (Vec<Value>, bool) {
    let anyway = service["spec"]["publishNotReadyAddresses"] == true;
    let mut groups: BTreeMap<String, Subset> = BTreeMap::new();
    let mut count = 0;
    let mut over = false;
    for pod in pods(context, namespace, service) {
        // One that is going serves nobody new.
        if pod.object.deleting && !anyway {
            continue;
        }
        count += 1;
        if count > MOST {
            over = true;
            break;
        }
        let mut parsed = None;
        let mut address = json!({"ip": &*pod.ips[0], "targetRef": target(&pod)});
        if !pod.node.is_empty() {
            address["nodeName"] = json!(&*pod.node);
        }
        if let Some(host) = hostname(&pod, service, &mut parsed) {
            address["hostname"] = json!(host);
        }
        let mut ports = Vec::new();
        for port in items(&service["spec"]["ports"]) {
            let Some(number) = port_on(port, &pod, &mut parsed) else { continue };
            let mut entry = json!({"port": number, "protocol": port["protocol"].as_str().unwrap_or("TCP")});
            for field in ["name", "appProtocol"] {
                if let Some(text) = port[field].as_str().filter(|t| !t.is_empty()) {
                    entry[field] = json!(text);
                }
            }
            ports.push(entry);
        }
        let none = ports.is_empty();
        if none && !(headless(service) && items(&service["spec"]["ports"]).is_empty()) {
            continue;
        }
        let group = groups.entry(json!(ports).to_string()).or_insert_with(|| (Vec::new(), Vec::new(), ports));
        if pod.ready || anyway { group.0.push(address) } else { group.1.push(address) }
    }
    let subset = |(ready, unready, ports): Subset| {
        let mut subset = json!({});
        for (field, list) in [("addresses", ready), ("notReadyAddresses", unready), ("ports", ports)] {
            if !list.is_empty() {
                subset[field] = json!(list);
            }
        }
        subset
    };
    (groups.into_values().map(subset).collect(), over)
}
