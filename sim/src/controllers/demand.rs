//! What pods ask of nodes. Source: component-helpers `resource.PodRequests`, scheduler `framework.NodeInfo`.

use serde_json::Value;

use super::fields::{items, text};
use super::selector::{NodeTerms, Selector, Toleration};

/// Reads a quantity in thousandths.
pub(super) type Quantity = fn(&str) -> Option<i128>;

/// Amounts of resources in thousandths of their unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) cpu: i64,
    pub(super) memory: i64,
    /// Everything else that is asked for by name.
    pub(super) other: Vec<(Box<str>, i64)>,
}

impl Amounts {
    pub(super) fn read(map: &Value, quantity: Quantity) -> Self {
        let mut amounts = Self::default();
        for (name, value) in map.as_object().into_iter().flatten() {
            let number;
            let written = if let Some(text) = value.as_str() {
                text
            } else {
                number = value.to_string();
                &number
            };
            let amount = i64::try_from(quantity(written).unwrap_or(0)).unwrap_or(i64::MAX);
            *amounts.slot(name) = amount;
        }
        amounts
    }

    fn slot(&mut self, name: &str) -> &mut i64 {
        match name {
            "cpu" => &mut self.cpu,
            "memory" => &mut self.memory,
            _ => {
                let at = self.other.iter().position(|(n, _)| **n == *name).unwrap_or_else(|| {
                    self.other.push((name.into(), 0));
                    self.other.len() - 1
                });
                &mut self.other[at].1
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            _ => self.other.iter().find(|(n, _)| **n == *name).map_or(0, |(_, a)| *a),
        }
    }

    fn each(&self) -> impl Iterator<Item = (&str, i64)> {
        [("cpu", self.cpu), ("memory", self.memory)].into_iter().chain(self.other.iter().map(|(n, a)| (&**n, *a)))
    }

    /// Adds amounts, or takes them away.
    pub(super) fn add(&mut self, more: &Self, sign: i64) {
        self.cpu = self.cpu.saturating_add(more.cpu * sign);
        self.memory = self.memory.saturating_add(more.memory * sign);
        for (name, amount) in &more.other {
            let slot = self.slot(name);
            *slot = slot.saturating_add(amount * sign);
        }
    }

    fn at_least(&mut self, other: &Self) {
        for (name, amount) in other.each() {
            let slot = self.slot(name);
            *slot = (*slot).max(amount);
        }
    }
}

/// A port of the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) ip: Box<str>,
    pub(super) protocol: Box<str>,
    pub(super) port: u64,
}

impl HostPort {
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.port == other.port && self.protocol == other.protocol && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// What a pod needs of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand {
    pub(super) requests: Amounts,
    /// Requests with what the scheduler assumes for containers that say nothing: 0.1 CPU and 200 MB.
    pub(super) assumed: Amounts,
    pub(super) ports: Vec<HostPort>,
    pub(super) tolerations: Vec<Toleration>,
    /// `nodeSelector`.
    pub(super) selector: Selector,
    /// Required node affinity.
    pub(super) required: Option<NodeTerms>,
    /// Preferred node affinity with its weights.
    pub(super) preferred: Vec<(i64, NodeTerms)>,
}

impl Demand {
    pub(super) fn read(spec: &Value, quantity: Quantity) -> Self {
        let mut requests = Amounts::default();
        let mut assumed = Amounts::default();
        let mut ports = Vec::new();
        for container in items(&spec["containers"]) {
            let own = Amounts::read(&container["resources"]["requests"], quantity);
            let guess = Amounts {
                cpu: if own.cpu == 0 { 100 } else { own.cpu },
                memory: if own.memory == 0 { 200 * 1024 * 1024 * 1000 } else { own.memory },
                other: Vec::new(),
            };
            requests.add(&own, 1);
            assumed.add(&guess, 1);
            let host = spec["hostNetwork"] == true;
            for port in items(&container["ports"]) {
                let given = port["hostPort"].as_u64().filter(|p| *p > 0);
                // Defaulting makes every port of a pod in the host's network a host port.
                if let Some(number) = given.or_else(|| port["containerPort"].as_u64().filter(|_| host)) {
                    let protocol = port["protocol"].as_str().unwrap_or("TCP").into();
                    ports.push(HostPort { ip: text(&port["hostIP"]).into(), protocol, port: number });
                }
            }
        }
        let mut sidecars = Amounts::default();
        let mut peak = Amounts::default();
        for container in items(&spec["initContainers"]) {
            let own = Amounts::read(&container["resources"]["requests"], quantity);
            if container["restartPolicy"] == "Always" {
                requests.add(&own, 1);
                assumed.add(&own, 1);
                sidecars.add(&own, 1);
                peak.at_least(&sidecars);
            } else {
                let mut with = sidecars.clone();
                with.add(&own, 1);
                peak.at_least(&with);
            }
        }
        requests.at_least(&peak);
        assumed.at_least(&peak);
        let overhead = Amounts::read(&spec["overhead"], quantity);
        requests.add(&overhead, 1);
        assumed.add(&overhead, 1);
        requests.other.retain(|(_, a)| *a != 0);
        let affinity = &spec["affinity"]["nodeAffinity"];
        let terms = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let preferred = items(&affinity["preferredDuringSchedulingIgnoredDuringExecution"]);
        Self {
            requests,
            assumed,
            ports,
            tolerations: Toleration::all(spec),
            selector: Selector::map(&spec["nodeSelector"]),
            required: terms.is_array().then(|| NodeTerms::read(terms)),
            preferred: preferred.iter().map(|p| (p["weight"].as_i64().unwrap_or(0), NodeTerms::one(&p["preference"]))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it has the type of the real one")]
    fn units(text: &str) -> Option<i128> {
        Some(text.parse::<i128>().map_or(0, |n| n * 1000))
    }

    #[test]
    fn init_containers_count_where_they_need_more_and_sidecars_always() {
        let asks = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let spec = json!({
            "containers": [{"resources": asks("1")}, {"resources": asks("2")}],
            "initContainers": [{"resources": asks("1"), "restartPolicy": "Always"}, {"resources": asks("9")}],
        });
        assert_eq!(Demand::read(&spec, units).requests.cpu, 10_000);
        let spec = json!({"containers": [{"resources": asks("1")}], "overhead": {"cpu": "1"}});
        assert_eq!(Demand::read(&spec, units).requests.cpu, 2000);
    }

    #[test]
    fn host_ports_clash_on_any_address() {
        let port = |ip: &str| HostPort { ip: ip.into(), protocol: "TCP".into(), port: 80 };
        assert!(port("").clashes(&port("10.0.0.1")));
        assert!(!port("10.0.0.2").clashes(&port("10.0.0.1")));
    }
}
