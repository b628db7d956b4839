//! Services and what leads to them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::values::{age, at, count, int, items, labels, name, or, plain, selector, text, three};

fn load_balancer(object: &Value) -> String {
    let ingress = items(at(object, "status.loadBalancer.ingress"));
    let addresses: BTreeSet<String> = ingress.map(|i| or(text(i, "ip"), &text(i, "hostname"))).filter(|a| !a.is_empty()).collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let given = items(&spec["externalIPs"]).map(plain).collect::<Vec<_>>().join(",");
    let kind = text(spec, "type");
    let external = match kind.as_str() {
        "ClusterIP" | "NodePort" => or(given, "<none>"),
        "LoadBalancer" => {
            let all: Vec<String> = [load_balancer(object), given].into_iter().filter(|a| !a.is_empty()).collect();
            or(all.join(","), "<pending>")
        }
        "ExternalName" => text(spec, "externalName"),
        _ => "<unknown>".to_owned(),
    };
    let ports: Vec<String> = items(&spec["ports"])
        .map(|p| {
            let protocol = or(text(p, "protocol"), "TCP");
            match int(p, "nodePort") {
                0 => format!("{}/{protocol}", int(p, "port")),
                node => format!("{}:{node}/{protocol}", int(p, "port")),
            }
        })
        .collect();
    let address = or(plain(&spec["clusterIPs"][0]), &or(text(spec, "clusterIP"), "<none>"));
    vec![
        name(object),
        json!(kind),
        json!(address),
        json!(external),
        json!(or(ports.join(","), "<none>")),
        age(object, now),
        labels(&spec["selector"]),
    ]
}

pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let mut hosts = Vec::new();
    let mut more = false;
    // As upstream counts: rules without a host are only counted once three hosts are shown.
    for rule in items(&spec["rules"]) {
        more |= hosts.len() == 3;
        let host = text(rule, "host");
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    let mut shown = or(hosts.join(","), "*");
    if more {
        shown = format!("{shown} + {} more...", count(&spec["rules"]) - 3);
    }
    let ports = if count(&spec["tls"]) > 0 { "80, 443" } else { "80" };
    let class = or(text(spec, "ingressClassName"), "<none>");
    vec![name(object), json!(class), json!(shown), json!(load_balancer(object)), json!(ports), age(object, now)]
}

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = &object["spec"]["parameters"];
    let cell = if parameters.is_null() {
        "<none>".to_owned()
    } else {
        let group = parameters["apiGroup"].as_str().map(|g| format!(".{g}")).unwrap_or_default();
        format!("{}{group}/{}", text(parameters, "kind"), text(parameters, "name"))
    };
    vec![name(object), json!(text(object, "spec.controller")), json!(cell), age(object, now)]
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in items(&object["subsets"]) {
        let addresses: Vec<String> = items(&subset["addresses"]).map(|a| text(a, "ip")).collect();
        if count(&subset["ports"]) == 0 {
            // Headless services may have no ports.
            all.extend(addresses);
            continue;
        }
        for port in items(&subset["ports"]) {
            all.extend(addresses.iter().map(|ip| host_port(ip, int(port, "port"))));
        }
    }
    let cell = if count(&object["subsets"]) == 0 { "<none>".to_owned() } else { three(&all) };
    vec![name(object), json!(cell), age(object, now)]
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(&object["ports"])
        .map(|p| p["port"].as_i64().map_or_else(|| p["name"].as_str().unwrap_or("*").to_owned(), |port| port.to_string()))
        .collect();
    let addresses: Vec<String> = items(&object["endpoints"]).flat_map(|e| items(&e["addresses"])).map(plain).collect();
    let [ports, addresses] = [ports, addresses].map(|list| json!(or(three(&list), "<unset>")));
    vec![name(object), json!(text(object, "addressType")), ports, addresses, age(object, now)]
}

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    // The field is no pointer upstream: where it is missing, it selects everything.
    let all = json!({});
    let pods = &object["spec"]["podSelector"];
    vec![name(object), selector(if pods.is_null() { &all } else { pods }), age(object, now)]
}

pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    let ranges: Vec<String> = items(&object["spec"]["cidrs"]).map(plain).collect();
    vec![name(object), json!(ranges.join(",")), age(object, now)]
}

pub(super) fn ip_address(object: &Value, now: Timestamp) -> Vec<Value> {
    let parent = &object["spec"]["parentRef"];
    let cell = if parent.is_null() {
        "<none>".to_owned()
    } else {
        let mut path = text(parent, "resource");
        let (group, namespace) = (text(parent, "group"), text(parent, "namespace"));
        if !group.is_empty() {
            path = format!("{path}.{group}");
        }
        path = path.to_lowercase();
        if !namespace.is_empty() {
            path = format!("{path}/{namespace}");
        }
        format!("{path}/{}", text(parent, "name"))
    };
    // Upstream's row has one cell more than there are columns.
    vec![name(object), json!(cell), age(object, now)]
}
