//! How an environment differs from what its spec asks for now, by what its stages were made from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::Provider;
use crate::session::State;
use crate::spec::Spec;
use crate::stages::Plan;

/// One value of the spec that is another than when its stage was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The stage that heeds it.
    pub stage: String,
    /// Its place in the spec, for example `istio.version`.
    pub path: String,
    /// What the stage was made from.
    pub was: Option<Value>,
    /// What is asked for.
    pub now: Option<Value>,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        write!(f, "{} ({}): {}, was {}", self.path, self.stage, word(&self.now), word(&self.was))
    }
}

/// Where what the stages of a session were made from differs from what a spec asks for. A stage that was never done is no drift.
#[must_use]
pub fn drifts(plan: &Plan, spec: &Spec, provider: &dyn Provider, state: &State) -> Vec<Drift> {
    differences(&state.stages, &heeded(plan, spec, provider))
}

/// What every stage of a plan heeds.
fn heeded(plan: &Plan, spec: &Spec, provider: &dyn Provider) -> BTreeMap<String, Value> {
    plan.stages().iter().map(|s| (s.id.to_owned(), s.action.heeds(spec, provider))).filter(|(_, heeds)| !heeds.is_null()).collect()
}

fn differences(made: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>) -> Vec<Drift> {
    let mut found = Vec::new();
    for (stage, wanted) in wanted {
        if let Some(made) = made.get(stage) {
            compare(stage, "", Some(made), Some(wanted), &mut found);
        }
    }
    found
}

fn compare(stage: &str, path: &str, was: Option<&Value>, now: Option<&Value>, found: &mut Vec<Drift>) {
    if was == now {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let (Some(Value::Object(was)), Some(Value::Object(now))) = (was, now) {
        for name in was.keys() {
            compare(stage, &below(name), was.get(name), now.get(name), found);
        }
        for name in now.keys().filter(|n| !was.contains_key(*n)) {
            compare(stage, &below(name), None, now.get(name), found);
        }
        return;
    }
    found.push(Drift { stage: stage.to_owned(), path: path.to_owned(), was: was.cloned(), now: now.cloned() });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(stages: &[(&str, Value)]) -> BTreeMap<String, Value> {
        stages.iter().map(|(s, v)| ((*s).to_owned(), v.clone())).collect()
    }

    #[test]
    fn every_value_that_changed_is_named_with_both_sides() {
        let made =
            map(&[("istio", json!({"istio": {"version": "1.27.1", "profile": "ambient"}})), ("mirror", json!({"mirrors": {"a": 1}}))]);
        let wanted = map(&[
            ("istio", json!({"istio": {"version": "1.28.0", "profile": "ambient"}})),
            ("mirror", json!({"mirrors": {"b": 2}})),
            ("dashboard", json!({"dashboard": 1})),
        ]);
        let lines: Vec<String> = differences(&made, &wanted).iter().map(Drift::to_string).collect();
        assert_eq!(
            lines,
            [
                "istio.version (istio): \"1.28.0\", was \"1.27.1\"",
                "mirrors.a (mirror): nothing, was 1",
                "mirrors.b (mirror): 2, was nothing",
            ],
            "a stage that was never done is no drift"
        );
        assert_eq!(differences(&made, &made), []);
    }
}
