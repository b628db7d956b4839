//! Services: defaults, addresses and node ports (`pkg/apis/core/v1/defaults.go`, `pkg/registry/core/service/storage`).

use serde_json::{Map, Value, json};

use super::World;
use super::access::{default, default_zero, filled, items, items_mut, number, object, put, remove, set, text};
use super::causes::{go_strings, invalid};
use crate::Failure;
use crate::failure::Cause;

/// Node ports as the API server is started by default.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

/// `SetDefaults_Service`.
pub(super) fn defaults(service: &mut Value) {
    let Some(spec) = object(service, "spec") else { return };
    default_zero(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => {
            remove(spec, "sessionAffinityConfig");
        }
        "ClientIP" => {
            if let Some(config) = object(spec, "sessionAffinityConfig")
                && let Some(client) = object(config, "clientIP")
            {
                default(client, "timeoutSeconds", 10800);
            }
        }
        _ => {}
    }
    default_zero(spec, "type", "ClusterIP");
    for port in items_mut(spec, "ports") {
        default_zero(port, "protocol", "TCP");
        let own = number(port, "port");
        default_zero(port, "targetPort", own);
    }
    let kind = text(spec, "type");
    let external = matches!(kind, "NodePort" | "LoadBalancer") || kind == "ClusterIP" && filled(spec, "externalIPs");
    let balanced = kind == "LoadBalancer";
    if matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer") {
        default(spec, "internalTrafficPolicy", "Cluster");
    }
    if external {
        default_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if balanced {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn refuse(service: &Value, cause: Cause) -> Failure {
    Failure::invalid("Service", text(&service["metadata"], "name"), vec![cause])
}

fn needs_address(service: &Value) -> bool {
    text(&service["spec"], "type") != "ExternalName"
}

fn needs_node_ports(service: &Value) -> bool {
    let spec = &service["spec"];
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => spec.get("allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true),
        _ => false,
    }
}

fn has_node_ports(service: &Value) -> bool {
    matches!(text(&service["spec"], "type"), "NodePort" | "LoadBalancer")
}

/// What allocation does for a new or a changed service; `old` is what it was, and keeps what it has.
pub(super) fn allocate(service: &mut Value, old: Option<&Value>, world: &dyn World) -> Result<(), Failure> {
    if needs_address(service) {
        addresses(service, old, world)?;
        families(service);
    }
    if has_node_ports(service) {
        node_ports(service, old, world)?;
    }
    Ok(())
}

fn addresses(service: &mut Value, old: Option<&Value>, world: &dyn World) -> Result<(), Failure> {
    let wanted = match text(&service["spec"], "clusterIP") {
        "" => items(&service["spec"], "clusterIPs").first().and_then(Value::as_str).unwrap_or_default().to_owned(),
        ip => ip.to_owned(),
    };
    let held = old.filter(|o| needs_address(o)).map(|o| text(&o["spec"], "clusterIP")).unwrap_or_default();
    let ip = match wanted.as_str() {
        "" => world.allocate_ip().ok_or_else(|| Failure::internal("failed to allocate a serviceIP: range is full"))?,
        "None" => wanted,
        ip if ip == held => wanted,
        // Whatever is no address is left for validation to refuse.
        ip if ip.parse::<std::net::IpAddr>().is_err() => wanted,
        // A change of the address is refused by validation, so nothing may be taken for it.
        _ if !held.is_empty() => wanted,
        ip => {
            if !world.take_ip(ip) {
                let why = format!("failed to allocate IP {ip}: provided IP is already allocated");
                return Err(refuse(service, invalid("spec.clusterIPs", go_strings(Some(&json!([ip]))), &why)));
            }
            wanted
        }
    };
    let Some(spec) = object(service, "spec") else { return Ok(()) };
    if !filled(spec, "clusterIPs") {
        put(spec, "clusterIPs", json!([ip]));
    }
    put(spec, "clusterIP", ip);
    Ok(())
}

/// One family, except for headless services without a selector, which have both.
fn families(service: &mut Value) {
    let Some(spec) = object(service, "spec") else { return };
    let both = text(spec, "clusterIP") == "None" && !filled(spec, "selector");
    default(spec, "ipFamilyPolicy", if both { "RequireDualStack" } else { "SingleStack" });
    if !filled(spec, "ipFamilies") {
        let first = if text(spec, "clusterIP").contains(':') { "IPv6" } else { "IPv4" };
        let dual = both && text(spec, "ipFamilyPolicy") != "SingleStack";
        put(spec, "ipFamilies", if dual { json!(["IPv4", "IPv6"]) } else { json!([first]) });
    }
}

fn node_ports(service: &mut Value, old: Option<&Value>, world: &dyn World) -> Result<(), Failure> {
    let all = needs_node_ports(service);
    let held: Vec<i64> = old.map(|o| items(&o["spec"], "ports").iter().map(|p| number(p, "nodePort")).collect()).unwrap_or_default();
    let mut wrong = None;
    // Protocols of one port can share a node port (`ServiceNodePort` allocation of mixed protocols).
    let mut given: Vec<(i64, String, i64)> = Vec::new();
    if let Some(spec) = service.get_mut("spec") {
        for (index, port) in items_mut(spec, "ports").iter_mut().enumerate() {
            let (own, number_, protocol) = (number(port, "nodePort"), number(port, "port"), text(port, "protocol").to_owned());
            if own != 0 {
                let path = format!("spec.ports[{index}].nodePort");
                let shared = given.iter().any(|(_, p, n)| *n == own && *p != protocol);
                if !held.contains(&own) && !shared {
                    let free = u16::try_from(own).is_ok_and(|p| NODE_PORTS.contains(&own) && world.take_node_port(p));
                    if !NODE_PORTS.contains(&own) {
                        let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                        wrong = wrong.or(Some(invalid(path, own, why)));
                    } else if !free {
                        wrong = wrong.or(Some(invalid(path, own, "provided port is already allocated")));
                    }
                }
                given.push((number_, protocol, own));
            } else if all {
                let shared = given.iter().find(|(n, p, _)| *n == number_ && *p != protocol).map(|(_, _, n)| *n);
                let Some(node) = shared.or_else(|| world.allocate_node_port().map(i64::from)) else {
                    return Err(Failure::internal("failed to allocate a nodePort: range is full"));
                };
                put(port, "nodePort", node);
                given.push((number_, protocol, node));
            }
        }
    }
    if let Some(cause) = wrong {
        return Err(refuse(service, cause));
    }
    let local = text(&service["spec"], "type") == "LoadBalancer" && text(&service["spec"], "externalTrafficPolicy") == "Local";
    if local && number(&service["spec"], "healthCheckNodePort") == 0 {
        let Some(port) = world.allocate_node_port() else {
            return Err(Failure::internal("failed to allocate requested HealthCheck NodePort: range is full"));
        };
        if let Some(spec) = object(service, "spec") {
            put(spec, "healthCheckNodePort", port);
        }
    }
    Ok(())
}

/// `patchAllocatedValues` and `dropTypeDependentFields`: what an update keeps although it does not say it, and what goes with the old type.
pub(super) fn keep(old: &Value, new: &mut Value) {
    let (old_type, new_type) = (text(&old["spec"], "type").to_owned(), text(&new["spec"], "type").to_owned());
    let (old_address, new_address, new_nodes) = (needs_address(old), needs_address(new), has_node_ports(new));
    let new_type_is_same = old_type == new_type;
    let Some(spec) = object(new, "spec") else { return };
    if old_address && new_address {
        if text(spec, "clusterIP").is_empty() && !filled(spec, "clusterIPs") {
            put(spec, "clusterIP", text(&old["spec"], "clusterIP"));
        }
        if !filled(spec, "clusterIPs") && text(spec, "clusterIP") == text(&old["spec"], "clusterIP") {
            put(spec, "clusterIPs", old["spec"]["clusterIPs"].clone());
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if !set(spec, field) && set(&old["spec"], field) {
                put(spec, field, old["spec"][field].clone());
            }
        }
    } else if old_address && !new_address {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if spec.get(field) == old["spec"].get(field) {
                remove(spec, field);
            }
        }
    }
    let old_ports = items(&old["spec"], "ports");
    if has_node_ports(old) && new_nodes {
        let mut used: Vec<i64> = items(spec, "ports").iter().map(|p| number(p, "nodePort")).filter(|n| *n != 0).collect();
        for port in items_mut(spec, "ports") {
            if number(port, "nodePort") != 0 {
                continue;
            }
            let same = |p: &&Value| number(p, "port") == number(port, "port") && text(p, "protocol") == text(port, "protocol");
            let kept = old_ports.iter().find(same).map(|p| number(p, "nodePort")).filter(|n| *n != 0 && !used.contains(n));
            if let Some(kept) = kept {
                put(port, "nodePort", kept);
                used.push(kept);
            }
        }
        if number(spec, "healthCheckNodePort") == 0 && number(&old["spec"], "healthCheckNodePort") != 0 && new_type_is_same {
            put(spec, "healthCheckNodePort", number(&old["spec"], "healthCheckNodePort"));
        }
    } else if has_node_ports(old) {
        // Node ports that were only carried along go; those that are new are for validation to refuse.
        let held: Vec<i64> = old_ports.iter().map(|p| number(p, "nodePort")).collect();
        for port in items_mut(spec, "ports") {
            if held.contains(&number(port, "nodePort")) {
                remove(port, "nodePort");
            }
        }
        if !filled(spec, "externalIPs") && spec.get("externalTrafficPolicy") == old["spec"].get("externalTrafficPolicy") {
            remove(spec, "externalTrafficPolicy");
        }
    }
    if old_type == "LoadBalancer" && new_type != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"] {
            if spec.get(field) == old["spec"].get(field) {
                remove(spec, field);
            }
        }
    }
}

/// The status that a new service has.
pub(super) fn initial_status(service: &mut Value) {
    put(service, "status", json!({"loadBalancer": Map::new()}));
}
