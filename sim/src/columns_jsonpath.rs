//! The part of `JSONPath` that CRDs use: `additionalPrinterColumns` and the paths of `subresources.scale` (`client-go/util/jsonpath`).
//!
//! Fields (`.a`, `['a']`, with `\.` for a dot in a name), indices (`[0]`, `[-1]`), `[*]`, `.*` and filters that compare one field with
//! `==`, `!=`, `<`, `<=`, `>` or `>=` or ask whether it is there (`[?(@.type=="Ready")]`). No recursion (`..`), slices or unions.

use std::cmp::Ordering;

use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Filter { path: Vec<Step>, test: Option<(String, Value)> },
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

impl JsonPath {
    /// Parses a path; `None` for one that is malformed or outside of the supported part.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        steps(text.strip_prefix('$').unwrap_or(text)).map(|steps| Self { steps })
    }

    /// Everything that the path leads to; nothing where a field is missing.
    #[must_use]
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        walk(&self.steps, value)
    }

    /// The first thing that the path leads to.
    #[must_use]
    pub fn get<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.find(value).into_iter().next()
    }

    /// Sets what a path of plain fields leads to and makes the objects on the way, as a write to `scale` does.
    /// Returns whether it could: not with other steps, and not through something that is no object.
    pub fn set(&self, value: &mut Value, new: Value) -> bool {
        let mut at = value;
        for step in &self.steps {
            let Step::Field(name) = step else { return false };
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            let Some(object) = at.as_object_mut() else { return false };
            at = object.entry(name.clone()).or_insert(Value::Null);
        }
        *at = new;
        true
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner)?;
            steps.push(bracket(inner[..end].trim())?);
            rest = &inner[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.')?;
        if rest.is_empty() && steps.is_empty() {
            break;
        }
        if rest.starts_with('[') {
            continue;
        }
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
        }
        if name.is_empty() {
            return None;
        }
        steps.push(if name == "*" { Step::All } else { Step::Field(name) });
        rest = &rest[end..];
    }
    Some(steps)
}

// Where the bracket ends, outside of quotes and of brackets in filters.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(i),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|&q| text.strip_prefix(q)?.strip_suffix(q))
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(name) = unquoted(inner) {
        return Some(Step::Field(name.to_owned()));
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        return self::filter(filter.trim());
    }
    inner.parse().ok().map(Step::Index)
}

fn filter(text: &str) -> Option<Step> {
    let text = text.strip_prefix('@')?;
    let operator =
        ["==", "!=", "<=", ">=", "<", ">"].iter().filter_map(|op| text.find(op).map(|i| (i, *op))).min_by_key(|&(i, op)| (i, 2 - op.len()));
    let Some((at, op)) = operator else {
        return Some(Step::Filter { path: steps(text.trim())?, test: None });
    };
    let literal = text[at + op.len()..].trim();
    let literal = match unquoted(literal) {
        Some(text) => Value::String(text.to_owned()),
        None => serde_json::from_str(literal).ok()?,
    };
    Some(Step::Filter { path: steps(text[..at].trim())?, test: Some((op.to_owned(), literal)) })
}

fn walk<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found.into_iter().flat_map(|value| take(step, value)).collect();
    }
    found
}

fn take<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    let items = || value.as_array().into_iter().flatten();
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(i) => {
            let length = i64::try_from(value.as_array().map_or(0, Vec::len)).unwrap_or(0);
            let i = if *i < 0 { length + i } else { *i };
            usize::try_from(i).ok().and_then(|i| value.get(i)).into_iter().collect()
        }
        Step::All => match value {
            Value::Object(object) => object.values().collect(),
            _ => items().collect(),
        },
        Step::Filter { path, test } => items().filter(|item| passes(&walk(path, item), test.as_ref())).collect(),
    }
}

fn passes(found: &[&Value], test: Option<&(String, Value)>) -> bool {
    let Some((op, literal)) = test else { return !found.is_empty() };
    let Some(value) = found.first() else { return false };
    let ordering = match (value, literal) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if *a == b => Some(Ordering::Equal),
        _ => None,
    };
    match op.as_str() {
        "==" => ordering == Some(Ordering::Equal),
        "!=" => ordering != Some(Ordering::Equal),
        "<" => ordering == Some(Ordering::Less),
        "<=" => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        ">" => ordering == Some(Ordering::Greater),
        _ => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(".spec.replicas", json!([3]))]
    #[case("{.spec.replicas}", json!([3]))]
    #[case(".spec.none.more", json!([]))]
    #[case(".metadata.labels.a\\.b/c", json!(["x"]))]
    #[case(".metadata.labels['a.b/c']", json!(["x"]))]
    #[case(".status.conditions[?(@.type==\"Accepted\")].status", json!(["True"]))]
    #[case(".status.conditions[?(@.type=='Programmed')].status", json!(["False"]))]
    #[case(".status.conditions[?(@.type!='Programmed')].status", json!(["True"]))]
    #[case(".status.conditions[?(@.generation>1)].type", json!(["Programmed"]))]
    #[case(".status.conditions[?(@.generation>=1)].type", json!(["Accepted", "Programmed"]))]
    #[case(".status.conditions[0].type", json!(["Accepted"]))]
    #[case(".status.conditions[-1].type", json!(["Programmed"]))]
    #[case(".status.conditions[*].type", json!(["Accepted", "Programmed"]))]
    #[case(".status.conditions[9].type", json!([]))]
    fn found(#[case] path: &str, #[case] expected: Value) {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "x"}}, "spec": {"replicas": 3},
            "status": {"conditions": [
                {"type": "Accepted", "status": "True", "generation": 1}, {"type": "Programmed", "status": "False", "generation": 2},
            ]},
        });
        let path = JsonPath::parse(path).unwrap();
        assert_eq!(json!(path.find(&object)), expected);
    }

    #[rstest]
    #[case("spec")]
    #[case(".a[")]
    #[case(".a[?(b)]")]
    #[case("..a")]
    fn malformed(#[case] path: &str) {
        assert_eq!(JsonPath::parse(path), None);
    }

    #[test]
    fn set() {
        let mut object = json!({"spec": {"a": 1}});
        assert!(JsonPath::parse(".spec.replicas").unwrap().set(&mut object, json!(2)));
        assert!(JsonPath::parse(".status.x.y").unwrap().set(&mut object, json!(3)));
        assert!(!JsonPath::parse(".spec.a.b").unwrap().set(&mut object, json!(4)));
        assert_eq!(object, json!({"spec": {"a": 1, "replicas": 2}, "status": {"x": {"y": 3}}}));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"[.\[\]?(@)a0*'"=é\\-]{0,20}"#) {
            if let Some(path) = JsonPath::parse(&text) {
                let _ = path.find(&json!({"a": [{"a": 0}, "0"]}));
            }
        }
    }
}
