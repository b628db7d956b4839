//! What selects what: labels, nodes, taints. Source: apimachinery `pkg/labels`, component-helpers `scheduling/corev1`.

use serde_json::Value;

use super::fields::{items, text};
use crate::store::Pairs;

/// Where labels are looked up.
pub(super) trait Labels {
    fn label(&self, name: &str) -> Option<&str>;
}

impl Labels for Pairs {
    fn label(&self, name: &str) -> Option<&str> {
        let at = self.binary_search_by(|(k, _)| (**k).cmp(name)).ok()?;
        Some(&self[at].1)
    }
}

impl Labels for Value {
    fn label(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
    values: Vec<Box<str>>,
}

impl Requirement {
    fn read(value: &Value) -> Self {
        let operator = match text(&value["operator"]) {
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => Operator::In,
        };
        Self { key: text(&value["key"]).into(), operator, values: items(&value["values"]).iter().map(|v| text(v).into()).collect() }
    }

    fn matches(&self, found: Option<&str>) -> bool {
        let compare = |holds: fn(i64, i64) -> bool| {
            let number = |t: &str| t.parse::<i64>().ok();
            found.and_then(number).zip(self.values.first().and_then(|v| number(v))).is_some_and(|(a, b)| holds(a, b))
        };
        let listed = || found.is_some_and(|f| self.values.iter().any(|v| **v == *f));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::Gt => compare(|a, b| a > b),
            Operator::Lt => compare(|a, b| a < b),
        }
    }
}

/// A `LabelSelector`, or the plain map of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

impl Selector {
    /// From `matchLabels` and `matchExpressions`.
    pub(super) fn read(selector: &Value) -> Self {
        let mut all = Self::map(&selector["matchLabels"]);
        all.0.extend(items(&selector["matchExpressions"]).iter().map(Requirement::read));
        all
    }

    /// From a map of labels.
    pub(super) fn map(labels: &Value) -> Self {
        let each = labels.as_object().into_iter().flatten();
        Self(each.map(|(k, v)| Requirement { key: k.as_str().into(), operator: Operator::In, values: vec![text(v).into()] }).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn matches(&self, labels: &impl Labels) -> bool {
        self.0.iter().all(|r| r.matches(labels.label(&r.key)))
    }
}

/// Terms of a `NodeSelector`, one of which must match.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeTerms(Vec<(Vec<Requirement>, Vec<Requirement>)>);

impl NodeTerms {
    pub(super) fn read(terms: &Value) -> Self {
        Self(items(terms).iter().map(Self::term).collect())
    }

    /// A `preference` of a preferred term.
    pub(super) fn one(term: &Value) -> Self {
        Self(vec![Self::term(term)])
    }

    fn term(term: &Value) -> (Vec<Requirement>, Vec<Requirement>) {
        let read = |v: &Value| items(v).iter().map(Requirement::read).collect();
        (read(&term["matchExpressions"]), read(&term["matchFields"]))
    }

    pub(super) fn matches(&self, name: &str, labels: &impl Labels) -> bool {
        self.0.iter().any(|(expressions, fields)| {
            // A term without requirements selects nothing.
            !(expressions.is_empty() && fields.is_empty())
                && expressions.iter().all(|r| r.matches(labels.label(&r.key)))
                && fields.iter().all(|r| r.matches((*r.key == *"metadata.name").then_some(name)))
        })
    }

    /// The only nodes that can match by their name, where every term names some.
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        for (_, fields) in &self.0 {
            let named = fields.iter().find(|r| *r.key == *"metadata.name" && r.operator == Operator::In)?;
            names.extend(named.values.iter().map(|v| &**v));
        }
        (!names.is_empty()).then_some(names)
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taint {
    pub(super) key: Box<str>,
    pub(super) value: Box<str>,
    pub(super) effect: Box<str>,
}

impl Taint {
    pub(super) fn read(value: &Value) -> Self {
        let part = |v: &Value| text(v).into();
        Self { key: part(&value["key"]), value: part(&value["value"]), effect: part(&value["effect"]) }
    }

    pub(super) fn all(node: &Value) -> Vec<Self> {
        items(&node["spec"]["taints"]).iter().map(Self::read).collect()
    }
}

/// A toleration of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toleration {
    key: Box<str>,
    exists: bool,
    value: Box<str>,
    effect: Box<str>,
    pub(super) seconds: Option<i64>,
}

impl Toleration {
    pub(super) fn all(spec: &Value) -> Vec<Self> {
        items(&spec["tolerations"]).iter().map(Self::read).collect()
    }

    fn read(value: &Value) -> Self {
        Self {
            key: text(&value["key"]).into(),
            exists: value["operator"] == "Exists",
            value: text(&value["value"]).into(),
            effect: text(&value["effect"]).into(),
            seconds: value["tolerationSeconds"].as_i64(),
        }
    }

    pub(super) fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.exists || (!self.key.is_empty() && self.value == taint.value))
    }
}

/// The first taint that keeps a pod off a node.
pub(super) fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    let repels = |t: &&Taint| matches!(&*t.effect, "NoSchedule" | "NoExecute");
    taints.iter().filter(repels).find(|taint| !tolerations.iter().any(|t| t.tolerates(taint)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match_as_upstream() {
        let selector = Selector::read(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}, {"key": "old", "operator": "DoesNotExist"}],
        }));
        assert!(selector.matches(&json!({"app": "web"})));
        assert!(!selector.matches(&json!({"app": "web", "tier": "db"})));
        assert!(!selector.matches(&json!({"app": "web", "old": ""})));
        assert!(!selector.matches(&json!({"app": "api"})));
    }

    #[test]
    fn node_terms_match_labels_and_the_name() {
        let terms = NodeTerms::read(&json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]));
        assert!(terms.matches("a", &json!({})));
        assert!(!terms.matches("b", &json!({})));
        assert_eq!(terms.names(), Some(vec!["a"]));
        let terms = NodeTerms::read(&json!([{}, {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}]));
        assert!(terms.matches("a", &json!({"cores": "8"})));
        assert!(!terms.matches("a", &json!({"cores": "4"})));
        assert_eq!(terms.names(), None);
    }

    #[test]
    fn an_empty_key_with_exists_tolerates_everything() {
        let taint = Taint::read(&json!({"key": "k", "effect": "NoSchedule"}));
        let tolerations = |t: Value| Toleration::all(&json!({"tolerations": [t]}));
        for (toleration, fits) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "k", "effect": "NoSchedule"}), true),
            (json!({"key": "k", "value": "v"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
        ] {
            assert_eq!(untolerated(std::slice::from_ref(&taint), &tolerations(toleration.clone())).is_none(), fits, "{toleration}");
        }
    }
}
