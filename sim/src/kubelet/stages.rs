//! What a kubelet does, as data: kwok's stages (`kwok.x-k8s.io/v1alpha1` Stage), flattened, with an effect where something really happens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The stages that behave as a real kubelet does.
const DEFAULT: &str = include_str!("stages.yaml");

/// What a stage is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Subject {
    /// Each pod of the node. A stage is played once for as long as its selector matches.
    Pod,
    /// The node. A stage is played again and again while its selector matches, as kwok does.
    Node,
}

/// What is really done when a stage is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing beyond the template.
    #[default]
    None,
    /// Images may be pulled from now on.
    Pull,
    /// Containers may be started from now on.
    Start,
    /// Containers may become ready from now on.
    Probe,
    /// Containers are told to end.
    Stop,
    /// The node's lease is renewed.
    Renew,
}

/// How an expression compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// One of the values is there.
    In,
    /// None of the values is there.
    NotIn,
    /// Something is there.
    Exists,
    /// Nothing is there.
    DoesNotExist,
}

/// One condition on a field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// A path such as `.status.phase`, `.metadata.annotations["a/b"]`, `.spec.containers[].image`, `.status.conditions[type=Ready].status`.
    pub key: String,
    /// How it compares.
    pub operator: Operator,
    /// With what.
    #[serde(default)]
    pub values: Vec<String>,
    #[serde(skip)]
    path: Vec<Step>,
}

/// Which objects a stage is for; all that is said must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must be there.
    pub match_labels: BTreeMap<String, String>,
    /// Annotations that must be there.
    pub match_annotations: BTreeMap<String, String>,
    /// Conditions on fields.
    pub match_expressions: Vec<Expression>,
}

/// How long after its selector began to match a stage is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Delay {
    /// At least.
    pub duration_milliseconds: u64,
    /// At most, where it is more than the least.
    pub jitter_duration_milliseconds: Option<u64>,
}

/// An event that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageEvent {
    /// `Normal` or `Warning`.
    pub r#type: String,
    /// In one word.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// A change of `metadata.finalizers`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Finalizers {
    /// These are added.
    pub add: Vec<String>,
    /// These are removed.
    pub remove: Vec<String>,
    /// All are removed.
    pub empty: bool,
}

/// What a stage makes of its object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Next {
    /// Merged into the status; strings may have placeholders (`$now`, `$podIP`, `$hostIP`, `$nodeName`, …).
    pub status: Value,
    /// Recorded.
    pub event: Option<StageEvent>,
    /// Changed.
    pub finalizers: Finalizers,
    /// The object is removed, after its containers ended.
    pub delete: bool,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name; the annotation `sim.kubernetes.io/<name>-delay` of a pod overrides the delay.
    pub name: String,
    /// What it is about.
    pub resource: Subject,
    /// Which ones.
    #[serde(default)]
    pub selector: Selector,
    /// When.
    #[serde(default)]
    pub delay: Delay,
    /// What they become.
    #[serde(default)]
    pub next: Next,
    /// What is really done.
    #[serde(default)]
    pub effect: Effect,
}

/// Why stages cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct StageError {
    /// Where: the line and column, or the name of the stage and its field.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// All stages, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages(Vec<Stage>);

impl Default for Stages {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("a test parses the embedded stages")
    }
}

impl Stages {
    /// Reads YAML documents with one stage each.
    ///
    /// # Errors
    /// When a document is no stage.
    pub fn parse(text: &str) -> Result<Self, StageError> {
        let mut stages: Vec<Stage> = serde_saphyr::from_multiple(text).map_err(|e| {
            let at = e.location().map_or_else(|| "stages".to_owned(), |l| format!("line {}, column {}", l.line(), l.column()));
            StageError { at, message: e.to_string() }
        })?;
        for stage in &mut stages {
            for (n, expression) in stage.selector.match_expressions.iter_mut().enumerate() {
                let at = format!("{}: selector.matchExpressions[{n}]", stage.name);
                expression.path = path(&expression.key).map_err(|message| StageError { at: format!("{at}.key"), message })?;
                let listed = matches!(expression.operator, Operator::In | Operator::NotIn);
                if listed == expression.values.is_empty() {
                    let message = if listed { "it needs values" } else { "it takes no values" };
                    return Err(StageError { at: format!("{at}.values"), message: message.to_owned() });
                }
            }
            let misplaced = match stage.resource {
                Subject::Pod => stage.effect == Effect::Renew,
                Subject::Node => !matches!(stage.effect, Effect::None | Effect::Renew) || stage.next.delete,
            };
            if misplaced {
                let message = format!("a {:?} has no such effect", stage.resource);
                return Err(StageError { at: format!("{}: effect", stage.name), message });
            }
        }
        Ok(Self(stages))
    }

    /// The stages, in order.
    #[must_use]
    pub fn all(&self) -> &[Stage] {
        &self.0
    }
}

impl Selector {
    /// Whether it depends on the status.
    pub(super) fn asks_status(&self) -> bool {
        self.match_expressions.iter().any(|e| matches!(e.path.first(), Some(Step::Field(name)) if name == "status"))
    }
}

impl Stage {
    /// Whether the stage is for an object. `ask` answers what the kubelet itself knows, under `.kubelet`, and resolves placeholders in values.
    pub(super) fn matches(&self, object: &Value, status: &Value, ask: &dyn Fn(&str) -> Value) -> bool {
        let has = |of: &BTreeMap<String, String>, field: &str| of.iter().all(|(k, v)| object["metadata"][field][k].as_str() == Some(v));
        has(&self.selector.match_labels, "labels")
            && has(&self.selector.match_annotations, "annotations")
            && self.selector.match_expressions.iter().all(|e| e.holds(object, status, ask))
    }

    /// The delay for an object.
    pub(super) fn delay_for(&self, object: &Value) -> Duration {
        let annotation = &object["metadata"]["annotations"][format!("sim.kubernetes.io/{}-delay", self.name)];
        if let Some(own) = annotation.as_str().and_then(duration) {
            return own;
        }
        let least = self.delay.duration_milliseconds;
        let spread = self.delay.jitter_duration_milliseconds.unwrap_or(0).saturating_sub(least);
        let mut random = [0; 8];
        if spread > 0 && getrandom::fill(&mut random).is_err() {
            random = [0; 8];
        }
        Duration::from_millis(least + if spread > 0 { u64::from_le_bytes(random) % (spread + 1) } else { 0 })
    }
}

/// A duration as Go writes it: `500ms`, `2s`, `1m30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        let scale = match &rest[digits..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * scale).ok()?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Each,
    Where(String, String),
}

/// Takes a path apart.
fn path(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']').ok_or_else(|| format!("{text:?} has no closing bracket"))?;
            let inner = &after[..end];
            steps.push(if inner.is_empty() {
                Step::Each
            } else if let Some(name) = inner.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
                Step::Field(name.to_owned())
            } else if let Some((field, value)) = inner.split_once('=') {
                Step::Where(field.to_owned(), value.to_owned())
            } else {
                return Err(format!("{text:?}: [{inner}] is none of [], [\"name\"], [field=value]"));
            });
            rest = &after[end + 1..];
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end > 0 {
                steps.push(Step::Field(after[..end].to_owned()));
            } else if !after.starts_with('[') {
                return Err(format!("{text:?} has an empty field name"));
            }
            rest = &after[end..];
        } else {
            return Err(format!("{text:?} does not begin with a dot"));
        }
    }
    if steps.is_empty() { Err("a path is needed".to_owned()) } else { Ok(steps) }
}

fn find<'a>(value: &'a Value, steps: &[Step], found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = steps.split_first() else {
        if !value.is_null() {
            found.push(value);
        }
        return;
    };
    match step {
        Step::Field(name) => find(&value[name], rest, found),
        Step::Each => value.as_array().into_iter().flatten().for_each(|v| find(v, rest, found)),
        Step::Where(field, wanted) => {
            let fits = |v: &&Value| v[field].as_str() == Some(wanted);
            value.as_array().into_iter().flatten().filter(fits).for_each(|v| find(v, rest, found));
        }
    }
}

impl Expression {
    fn holds(&self, object: &Value, status: &Value, ask: &dyn Fn(&str) -> Value) -> bool {
        let own;
        let mut found = Vec::new();
        match self.path.as_slice() {
            [Step::Field(first), rest @ ..] if first == "status" => find(status, rest, &mut found),
            [Step::Field(first), Step::Field(name), ..] if first == "kubelet" => {
                own = ask(name);
                find(&own, &[], &mut found);
            }
            steps => find(object, steps, &mut found),
        }
        let among = || {
            found.iter().any(|f| {
                let text = f.as_str().map_or_else(|| f.to_string(), str::to_owned);
                self.values.iter().any(|v| match v.strip_prefix('$') {
                    Some(name) => ask(name).as_str() == Some(&text),
                    None => *v == text,
                })
            })
        };
        match self.operator {
            Operator::In => among(),
            Operator::NotIn => !among(),
            Operator::Exists => !found.is_empty(),
            Operator::DoesNotExist => found.is_empty(),
        }
    }
}

/// A template with its placeholders filled in. A string that is one placeholder becomes its value; a field whose value is nothing is left out.
pub(super) fn fill(template: &Value, ask: &dyn Fn(&str) -> Value) -> Value {
    match template {
        Value::Object(fields) => {
            let filled = fields.iter().map(|(k, v)| (k.clone(), fill(v, ask))).filter(|(_, v)| !v.is_null());
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(|v| fill(v, ask)).collect()),
        Value::String(text) if text.contains('$') => text_of(text, ask),
        other => other.clone(),
    }
}

fn text_of(text: &str, ask: &dyn Fn(&str) -> Value) -> Value {
    let word = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    if let Some(name) = text.strip_prefix('$')
        && word(name) == name.len()
    {
        return ask(name);
    }
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = word(part);
        match ask(&part[..end]) {
            Value::String(value) => out.push_str(&value),
            Value::Null => {}
            other => out.push_str(&other.to_string()),
        }
        out.push_str(&part[end..]);
    }
    Value::String(out)
}

/// Merges a part of a status into it. Conditions are merged by their type, and get the time of their last transition; other lists are replaced.
pub(super) fn merge(status: &mut Value, part: &Value, now: &str) {
    let (Some(fields), true) = (part.as_object(), status.is_object() || status.is_null()) else {
        *status = part.clone();
        return;
    };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("conditions", Value::Array(conditions)) => {
                for condition in conditions {
                    set_condition(status, condition.clone(), now);
                }
            }
            (_, Value::Object(_)) => merge(&mut status[name], value, now),
            _ => status[name] = value.clone(),
        }
    }
}

/// Sets one condition; the time of its last transition stays where its status does.
pub(super) fn set_condition(status: &mut Value, mut condition: Value, now: &str) {
    if !status["conditions"].is_array() {
        status["conditions"] = Value::Array(Vec::new());
    }
    let all = status["conditions"].as_array_mut().expect("it was just made one");
    let old = all.iter_mut().find(|c| c["type"] == condition["type"]);
    if !condition["lastTransitionTime"].is_string() {
        condition["lastTransitionTime"] = match &old {
            Some(old) if old["status"] == condition["status"] => old["lastTransitionTime"].clone(),
            _ => Value::from(now),
        };
    }
    match old {
        Some(old) => *old = condition,
        None => all.push(condition),
    }
}
