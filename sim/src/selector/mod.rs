//! Label and field selectors (Kubernetes `apimachinery/pkg/labels` and `apimachinery/pkg/fields`), with upstream's messages.

mod fields;
mod lexer;
mod names;

pub use fields::FieldSelector;
pub use names::{label_key_faults, label_value_faults};

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use lexer::Parser;
pub(crate) use lexer::quoted;

/// How a requirement relates its key and its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key=value`
    Equals,
    /// `key==value`
    DoubleEquals,
    /// `key!=value`
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`
    NotIn,
    /// `key>1`
    GreaterThan,
    /// `key<1`
    LessThan,
}

/// One condition of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// The relation.
    pub operator: Operator,
    /// The values, sorted and without duplicates.
    pub values: Vec<String>,
}

impl Requirement {
    /// Checks and makes a requirement (`labels.NewRequirement`).
    ///
    /// # Errors
    ///
    /// Upstream's message when key, values or their number do not fit.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        values.sort();
        values.dedup();
        let mut faults = Vec::new();
        let key_faults = label_key_faults(key);
        if !key_faults.is_empty() {
            faults.push(format!("key: Invalid value: {}: {}", quoted(key), key_faults.join("; ")));
        }
        let list = || format!("[]string{{{}}}", values.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(", "));
        let mut number = |wrong: bool, why: &str| {
            if wrong {
                faults.push(format!("values: Invalid value: {}: {why}", list()));
            }
        };
        match operator {
            Operator::In | Operator::NotIn => number(values.is_empty(), "for 'in', 'notin' operators, values set can't be empty"),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                number(values.len() != 1, "exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist => {
                number(!values.is_empty(), "values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                number(values.len() != 1, "for 'Gt', 'Lt' operators, exactly one value is required");
                for (i, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    faults.push(format!("values[{i}]: Invalid value: {}: {why}", quoted(value)));
                }
            }
        }
        for (i, value) in values.iter().enumerate() {
            let value_faults = label_value_faults(value);
            if !value_faults.is_empty() {
                faults.push(format!("values[{i}][{key}]: Invalid value: {}: {}", quoted(value), value_faults.join("; ")));
            }
        }
        match faults.len() {
            0 => Ok(Self { key: key.to_owned(), operator, values }),
            1 => Err(faults.remove(0)),
            _ => Err(format!("[{}]", faults.join(", "))),
        }
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let has = |v: &str| self.values.iter().any(|x| x == v);
        match self.operator {
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(has),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |s: Option<&str>| s.and_then(|s| s.parse::<i64>().ok());
                match (number(label), number(self.values.first().map(String::as_str))) {
                    (Some(have), Some(bound)) if self.operator == Operator::GreaterThan => have > bound,
                    (Some(have), Some(bound)) => have < bound,
                    _ => false,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        match self.operator {
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::Equals => write!(f, "{}={values}", self.key),
            Operator::DoubleEquals => write!(f, "{}=={values}", self.key),
            Operator::NotEquals => write!(f, "{}!={values}", self.key),
            Operator::In => write!(f, "{} in ({values})", self.key),
            Operator::NotIn => write!(f, "{} notin ({values})", self.key),
            Operator::GreaterThan => write!(f, "{}>{values}", self.key),
            Operator::LessThan => write!(f, "{}<{values}", self.key),
        }
    }
}

/// A label selector. Without requirements it selects everything, and there is one that selects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object: what a missing `LabelSelector` object stands for.
    #[must_use]
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Parses the text form, `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1` (`labels.Parse`).
    ///
    /// # Errors
    ///
    /// Upstream's message, for example `unable to parse requirement: found 'x', expected: …`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Parser::new(text).parse().map(Self::of)
    }

    /// From a `LabelSelector` object with `matchLabels` and `matchExpressions` (`metav1.LabelSelectorAsSelector`); `Null` selects nothing.
    ///
    /// # Errors
    ///
    /// Upstream's message for an operator that does not exist or values that do not fit.
    pub fn from_object(selector: &Value) -> Result<Self, String> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Self::exact(&selector["matchLabels"])?;
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", quoted(other))),
            };
            let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(expression["key"].as_str().unwrap_or_default(), operator, values)?);
        }
        Ok(Self::of(requirements))
    }

    /// From a plain map, as a `Service` has it; it selects everything when it is empty.
    ///
    /// # Errors
    ///
    /// Upstream's message for a key or value that is none.
    pub fn from_map(map: &Value) -> Result<Self, String> {
        Self::exact(map).map(Self::of)
    }

    fn exact(map: &Value) -> Result<Vec<Requirement>, String> {
        let entries = map.as_object().into_iter().flatten();
        entries.map(|(key, value)| Requirement::new(key, Operator::Equals, vec![value.as_str().unwrap_or_default().to_owned()])).collect()
    }

    // Upstream sorts by key, so that equal selectors print alike.
    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// The conditions, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether it selects an object with these labels: the `metadata.labels` of an object, which may be `Null`.
    #[must_use]
    pub fn matches(&self, labels: &Value) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels[r.key.as_str()].as_str()))
    }

    /// The same for labels that are looked up.
    #[must_use]
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// The same for a map.
    #[must_use]
    pub fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels.get(&r.key).map(String::as_str)))
    }
}

/// The canonical text; empty for everything and for nothing.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests;
