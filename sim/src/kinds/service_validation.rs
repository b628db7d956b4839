//! What is refused about services (`ValidateService` in `pkg/apis/core/validation`).

use serde_json::Value;

use super::access::{entries, items, number, text};
use super::causes::{Go, duplicate, forbidden, go_strings, invalid, not_supported, required};
use super::names;
use crate::failure::Cause;

fn port_number(path: &str, port: i64, causes: &mut Vec<Cause>) {
    causes.extend(names::port_number(port).iter().map(|m| invalid(path, port, m)));
}

/// A port that may be a name.
pub(super) fn int_or_name(path: &str, port: &Value, causes: &mut Vec<Cause>) {
    match port {
        Value::Number(_) => port_number(path, port.as_i64().unwrap_or_default(), causes),
        Value::String(name) => causes.extend(names::port_name(name).iter().map(|m| invalid(path, name, m))),
        _ => {}
    }
}

/// `ValidateService`.
pub(super) fn service(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let spec = &new["spec"];
    let ports = items(spec, "ports");
    let kind = text(spec, "type");
    let ip = text(spec, "clusterIP");
    if ports.is_empty() && ip != "None" && kind != "ExternalName" {
        causes.push(required("spec.ports", ""));
    }
    if kind == "ExternalName" {
        let external = text(spec, "externalName").trim_end_matches('.');
        if external.is_empty() {
            causes.push(required("spec.externalName", ""));
        } else {
            causes.extend(names::dns_subdomain(external).iter().map(|m| invalid("spec.externalName", external, m)));
        }
    }
    if kind == "LoadBalancer" && ip == "None" {
        causes.push(invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services"));
    } else if kind == "NodePort" && ip == "None" {
        causes.push(invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services"));
    } else if kind != "ExternalName" && !ip.is_empty() && ip != "None" && ip.parse::<std::net::IpAddr>().is_err() {
        causes.push(invalid("spec.clusterIPs[0]", ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    }
    let mut port_names: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        service_port(port, &format!("spec.ports[{index}]"), ports.len() > 1, &mut port_names, causes);
        let same = |p: &&Value| number(p, "port") == number(port, "port") && text(p, "protocol") == text(port, "protocol");
        if ports[..index].iter().any(|p| same(&p)) {
            causes.push(duplicate(format!("spec.ports[{index}]"), Go(go_service_port(port))));
        }
        if !matches!(kind, "NodePort" | "LoadBalancer") && number(port, "nodePort") != 0 {
            causes.push(forbidden(format!("spec.ports[{index}].nodePort"), "may not be used when `type` is 'ClusterIP'"));
        }
    }
    for (key, value) in entries(spec, "selector") {
        causes.extend(names::qualified_name(key).iter().map(|m| invalid("spec.selector", key, m)));
        let value = value.as_str().unwrap_or_default();
        causes.extend(names::label_value(value).iter().map(|m| invalid("spec.selector", value, m)));
    }
    match text(spec, "sessionAffinity") {
        "" => causes.push(required("spec.sessionAffinity", "")),
        "ClientIP" | "None" => {}
        other => causes.push(not_supported("spec.sessionAffinity", other, &["ClientIP", "None"])),
    }
    if kind.is_empty() {
        causes.push(required("spec.type", ""));
    } else if !TYPES.contains(&kind) {
        causes.push(not_supported("spec.type", kind, &TYPES));
    }
    for (field, known) in [("externalTrafficPolicy", ["Cluster", "Local"]), ("internalTrafficPolicy", ["Cluster", "Local"])] {
        let policy = text(spec, field);
        if !policy.is_empty() && !known.contains(&policy) {
            causes.push(not_supported(format!("spec.{field}"), policy, &known));
        }
    }
    if let Some(old) = old {
        let was = text(&old["spec"], "clusterIP");
        let both = text(&old["spec"], "type") != "ExternalName" && kind != "ExternalName";
        if both && !was.is_empty() && was != ip {
            causes.push(invalid("spec.clusterIPs[0]", go_strings(spec.get("clusterIPs")), "may not change once set"));
        }
    }
}

fn service_port<'a>(port: &'a Value, path: &str, many: bool, seen: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    let name = text(port, "name");
    if name.is_empty() {
        if many {
            causes.push(required(format!("{path}.name"), ""));
        }
    } else {
        causes.extend(names::dns_label(name).iter().map(|m| invalid(format!("{path}.name"), name, m)));
        if seen.contains(&name) {
            causes.push(duplicate(format!("{path}.name"), name));
        }
        seen.push(name);
    }
    port_number(&format!("{path}.port"), number(port, "port"), causes);
    match text(port, "protocol") {
        "" => causes.push(required(format!("{path}.protocol"), "")),
        "SCTP" | "TCP" | "UDP" => {}
        other => causes.push(not_supported(format!("{path}.protocol"), other, &["SCTP", "TCP", "UDP"])),
    }
    if let Some(target) = port.get("targetPort") {
        int_or_name(&format!("{path}.targetPort"), target, causes);
    }
}

/// A port in Go's syntax, as the message about a duplicate has it: only what makes it one.
fn go_service_port(port: &Value) -> String {
    format!(
        "core.ServicePort{{Name:\"\", Protocol:{:?}, AppProtocol:(*string)(nil), Port:{}, TargetPort:intstr.IntOrString{{Type:0, IntVal:0, StrVal:\"\"}}, NodePort:0}}",
        text(port, "protocol"),
        number(port, "port")
    )
}
