//! What is refused about containers (`validateContainers` in `pkg/apis/core/validation`).

use serde_json::Value;

use super::access::{entries, items, number, set, text};
use super::causes::{duplicate, forbidden, invalid, not_found, not_supported, required};
use super::names;
use super::quantity::quantity;
use super::service_validation::int_or_name;
use crate::failure::Cause;

/// All containers of one list. `seen` are the names of those before, `volumes` those of the volumes and claims.
pub(super) fn list<'a>(list: &'a [Value], path: &str, seen: &mut Vec<&'a str>, volumes: &[&str], causes: &mut Vec<Cause>) {
    for (index, container) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = text(container, "name");
        if name.is_empty() {
            causes.push(required(format!("{path}.name"), ""));
        } else {
            causes.extend(names::dns_label(name).iter().map(|m| invalid(format!("{path}.name"), name, m)));
            if seen.contains(&name) {
                causes.push(duplicate(format!("{path}.name"), name));
            }
            seen.push(name);
        }
        one(container, &path, volumes, causes);
    }
}

fn one(container: &Value, path: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    let image = text(container, "image");
    if image.is_empty() {
        causes.push(required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        causes.push(invalid(format!("{path}.image"), image, "must not have leading or trailing whitespace"));
    }
    choice(container, path, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], causes);
    ports(container, path, causes);
    environment(container, path, causes);
    mounts(container, path, volumes, causes);
    choice(container, path, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], causes);
    if let Some(amounts) = container.get("resources") {
        resources(amounts, &format!("{path}.resources"), causes);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(name).filter(|p| p.is_object()) {
            self::probe(probe, &format!("{path}.{name}"), name != "readinessProbe", causes);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(hook) = container.get("lifecycle").and_then(|l| l.get(name)).filter(|h| h.is_object()) {
            handler(hook, &format!("{path}.lifecycle.{name}"), &["exec", "httpGet", "tcpSocket", "sleep"], causes);
        }
    }
}

fn choice(value: &Value, path: &str, field: &str, known: &[&str], causes: &mut Vec<Cause>) {
    match text(value, field) {
        "" => causes.push(required(format!("{path}.{field}"), "")),
        own if !known.contains(&own) => causes.push(not_supported(format!("{path}.{field}"), own, known)),
        _ => {}
    }
}

fn ports(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in items(container, "ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && seen.contains(&name) {
                causes.push(duplicate(format!("{path}.name"), name));
            }
            causes.extend(wrong.iter().map(|m| invalid(format!("{path}.name"), name, m)));
            seen.push(name);
        }
        match number(port, "containerPort") {
            0 => causes.push(required(format!("{path}.containerPort"), "")),
            own => causes.extend(names::port_number(own).iter().map(|m| invalid(format!("{path}.containerPort"), own, m))),
        }
        let host = number(port, "hostPort");
        if host != 0 {
            causes.extend(names::port_number(host).iter().map(|m| invalid(format!("{path}.hostPort"), host, m)));
        }
        choice(port, &path, "protocol", &["SCTP", "TCP", "UDP"], causes);
    }
}

fn environment(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (index, variable) in items(container, "env").iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        let name = text(variable, "name");
        if name.is_empty() {
            causes.push(required(format!("{path}.name"), ""));
        } else {
            causes.extend(names::env_name(name).iter().map(|m| invalid(format!("{path}.name"), name, m)));
        }
        let Some(from) = variable.get("valueFrom").filter(|f| f.is_object()) else { continue };
        let path = format!("{path}.valueFrom");
        let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"].iter().filter(|s| set(from, s)).count();
        if sources == 0 {
            causes.push(invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"));
            continue;
        }
        if !text(variable, "value").is_empty() {
            causes.push(invalid(path.as_str(), "", "may not be specified when `value` is not empty"));
        } else if sources > 1 {
            causes.push(invalid(path.as_str(), "", "may not have more than one field specified at a time"));
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let Some(reference) = from.get(source) else { continue };
            for field in ["name", "key"] {
                if text(reference, field).is_empty() {
                    causes.push(required(format!("{path}.{source}.{field}"), ""));
                }
            }
        }
        if let Some(reference) = from.get("fieldRef")
            && text(reference, "fieldPath").is_empty()
        {
            causes.push(required(format!("{path}.fieldRef.fieldPath"), ""));
        }
    }
}

fn mounts(container: &Value, path: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    let mut places: Vec<&str> = Vec::new();
    for (index, mount) in items(container, "volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let (name, place) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            causes.push(required(format!("{path}.name"), ""));
        }
        if !volumes.contains(&name) {
            causes.push(not_found(format!("{path}.name"), name));
        }
        if place.is_empty() {
            causes.push(required(format!("{path}.mountPath"), ""));
        }
        if places.contains(&place) {
            causes.push(invalid(format!("{path}.mountPath"), place, "must be unique"));
        }
        places.push(place);
    }
}

/// `ValidateResourceRequirements`.
pub(super) fn resources(amounts: &Value, path: &str, causes: &mut Vec<Cause>) {
    for list in ["limits", "requests"] {
        for (name, amount) in entries(amounts, list) {
            let at = format!("{path}.{list}[{name}]");
            resource_name(name, &at, causes);
            let amount = amount.as_str().unwrap_or_default();
            match quantity(amount) {
                Some(value) if value < 0 => causes.push(invalid(at, amount, "must be greater than or equal to 0")),
                Some(value) if name.contains('/') && value % 1000 != 0 => causes.push(invalid(at, amount, "must be an integer")),
                _ => {}
            }
        }
    }
    for (name, request) in entries(amounts, "requests") {
        let Some(limit) = amounts.get("limits").and_then(|l| l.get(name)).and_then(Value::as_str) else { continue };
        let request = request.as_str().unwrap_or_default();
        let (wanted, most) = (quantity(request), quantity(limit));
        // Extended resources and huge pages cannot be overcommitted.
        let exact = name.contains('/') || name.starts_with("hugepages-");
        if exact && wanted != most {
            causes.push(invalid(format!("{path}.requests"), request, &format!("must be equal to {name} limit of {limit}")));
        } else if wanted > most {
            causes.push(invalid(format!("{path}.requests"), request, &format!("must be less than or equal to {name} limit of {limit}")));
        }
    }
}

fn resource_name(name: &str, path: &str, causes: &mut Vec<Cause>) {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        causes.extend(wrong.iter().map(|m| invalid(path, name, m)));
    } else if !name.contains('/') && !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        causes.push(invalid(path, name, "must be a standard resource type or fully qualified"));
        causes.push(invalid(path, name, "must be a standard resource for containers"));
    }
}

fn probe(probe: &Value, path: &str, once: bool, causes: &mut Vec<Cause>) {
    handler(probe, path, &["exec", "httpGet", "tcpSocket", "grpc"], causes);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if number(probe, field) < 0 {
            causes.push(invalid(format!("{path}.{field}"), number(probe, field), "must be greater than or equal to 0"));
        }
    }
    if once && number(probe, "successThreshold") != 1 {
        causes.push(invalid(format!("{path}.successThreshold"), number(probe, "successThreshold"), "must be 1"));
    }
}

fn handler(holder: &Value, path: &str, known: &[&str], causes: &mut Vec<Cause>) {
    let present: Vec<&str> = known.iter().copied().filter(|h| set(holder, h)).collect();
    if present.is_empty() {
        causes.push(required(path, "must specify a handler type"));
    }
    for (index, name) in present.iter().enumerate() {
        let path = format!("{path}.{name}");
        if index > 0 {
            causes.push(forbidden(path, "may not specify more than 1 handler type"));
            continue;
        }
        let inner = &holder[*name];
        match *name {
            "exec" if items(inner, "command").is_empty() => causes.push(required(format!("{path}.command"), "")),
            "httpGet" => {
                if text(inner, "path").is_empty() {
                    causes.push(required(format!("{path}.path"), ""));
                }
                int_or_name(&format!("{path}.port"), inner.get("port").unwrap_or(&Value::from(0)), causes);
                let scheme = text(inner, "scheme");
                if !matches!(scheme, "HTTP" | "HTTPS") {
                    causes.push(not_supported(format!("{path}.scheme"), scheme, &["HTTP", "HTTPS"]));
                }
            }
            "tcpSocket" => int_or_name(&format!("{path}.port"), inner.get("port").unwrap_or(&Value::from(0)), causes),
            "grpc" => {
                let port = number(inner, "port");
                causes.extend(names::port_number(port).iter().map(|m| invalid(format!("{path}.port"), port, m)));
            }
            _ => {}
        }
    }
}
