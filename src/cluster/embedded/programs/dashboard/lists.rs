//! The lists that the Dashboard shows, in the shape of its own API. Source: `resource/{namespace,node,pod,service,deployment}/list.go`.

use serde_json::{Value, json};

/// A kind that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Namespace,
    Node,
    Pod,
    Service,
    Deployment,
}

/// The part of a list that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    size: usize,
    number: usize,
}

impl Page {
    /// Everything.
    pub(super) const ALL: Self = Self { size: usize::MAX, number: 1 };

    /// As a query asks for it; everything where it does not. Source: `resource/dataselect/pagination.go`.
    pub(super) fn of(path: &str) -> Self {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let field = |name: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == name)?.1.parse().ok());
        match (field("itemsPerPage"), field("page")) {
            (Some(size), Some(number)) if size > 0 && number > 0 => Self { size, number },
            _ => Self::ALL,
        }
    }
}

impl Kind {
    /// By the word in a path.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "namespace" => Self::Namespace,
            "node" => Self::Node,
            "pod" => Self::Pod,
            "service" => Self::Service,
            "deployment" => Self::Deployment,
            _ => return None,
        })
    }

    /// Whether one namespace of it can be asked for.
    pub(super) fn namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Deployment => "deployment",
        }
    }

    /// Where the API server has its list.
    pub(super) fn path(self, namespace: &str) -> String {
        let group = if self == Self::Deployment { "/apis/apps/v1" } else { "/api/v1" };
        let word = self.word();
        if namespace.is_empty() { format!("{group}/{word}s") } else { format!("{group}/namespaces/{namespace}/{word}s") }
    }

    /// The list as the Dashboard gives it.
    pub(super) fn list(self, items: &[Value], errors: &[Value], page: Page) -> Value {
        let skipped = (page.number - 1).saturating_mul(page.size);
        let shown: Vec<Value> = items.iter().skip(skipped).take(page.size).map(|o| self.item(o)).collect();
        let word = self.word();
        let mut list = json!({"listMeta": {"totalItems": items.len()}, format!("{word}s"): shown, "errors": errors});
        if self == Self::Pod {
            let phase = |name: &str| items.iter().filter(|o| o["status"]["phase"] == name).count();
            list["status"] = json!({
                "running": phase("Running"), "pending": phase("Pending"), "failed": phase("Failed"), "succeeded": phase("Succeeded"),
            });
        }
        if matches!(self, Self::Node | Self::Pod | Self::Deployment) {
            list["cumulativeMetrics"] = json!([]);
        }
        list
    }

    fn item(self, object: &Value) -> Value {
        let meta = &object["metadata"];
        let mut own = json!({"name": meta["name"], "creationTimestamp": meta["creationTimestamp"], "uid": meta["uid"]});
        for field in ["namespace", "labels", "annotations"] {
            if !meta[field].is_null() {
                own[field] = meta[field].clone();
            }
        }
        let mut item = json!({"objectMeta": own, "typeMeta": {"kind": self.word()}});
        let (spec, status) = (&object["spec"], &object["status"]);
        match self {
            Self::Namespace => item["phase"] = status["phase"].clone(),
            Self::Node => {
                let conditions = status["conditions"].as_array().into_iter().flatten();
                let ready =
                    conditions.into_iter().find(|c| c["type"] == "Ready").map_or("Unknown", |c| c["status"].as_str().unwrap_or("Unknown"));
                item["ready"] = json!(ready);
            }
            Self::Pod => {
                let containers = status["containerStatuses"].as_array().into_iter().flatten();
                let restarts: i64 = containers.filter_map(|c| c["restartCount"].as_i64()).sum();
                item["status"] = status["phase"].clone();
                item["podStatus"] = json!({"status": status["phase"], "podPhase": status["phase"]});
                item["restartCount"] = json!(restarts);
                item["nodeName"] = spec["nodeName"].clone();
                item["containerImages"] = images(spec);
                item["warnings"] = json!([]);
            }
            Self::Service => {
                item["type"] = spec["type"].clone();
                item["clusterIP"] = spec["clusterIP"].clone();
                item["selector"] = spec["selector"].clone();
                let name = format!("{}.{}", meta["name"].as_str().unwrap_or_default(), meta["namespace"].as_str().unwrap_or_default());
                item["internalEndpoint"] = json!({"host": name, "ports": spec["ports"]});
            }
            Self::Deployment => {
                item["pods"] = json!({"current": status["replicas"], "desired": spec["replicas"], "running": status["readyReplicas"]});
                item["containerImages"] = images(&spec["template"]["spec"]);
            }
        }
        item
    }
}

fn images(pod: &Value) -> Value {
    pod["containers"].as_array().into_iter().flatten().map(|c| c["image"].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_part_and_the_total_is_the_whole() {
        let items: Vec<Value> = ["a", "b", "c"].iter().map(|n| json!({"metadata": {"name": n}})).collect();
        let list = Kind::Namespace.list(&items, &[], Page::of("/api/v1/namespace?itemsPerPage=2&page=2"));
        assert_eq!(list["listMeta"]["totalItems"], 3);
        assert_eq!(list["namespaces"].as_array().unwrap().len(), 1);
        assert_eq!(list["namespaces"][0]["objectMeta"]["name"], "c");
        assert_eq!(Page::of("/api/v1/namespace?itemsPerPage=0"), Page::ALL);
    }
}
