//! Field selectors, and which fields of which kind can be selected by (the `AddFieldLabelConversionFunc` calls upstream).

use std::fmt;

use serde_json::Value;

use super::lexer::quoted;
use crate::failure::Failure;
use crate::resource::Resource;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    negated: bool,
    value: String,
}

/// A field selector; without terms it selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

impl FieldSelector {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects by one field.
    #[must_use]
    pub fn equals(field: &str, value: &str) -> Self {
        Self { terms: vec![Term { field: field.to_owned(), negated: false, value: value.to_owned() }] }
    }

    /// Parses `a=b,c==d,e!=f`, with `\` before `,`, `=` and `\` in values (`fields.ParseSelector`).
    ///
    /// # Errors
    ///
    /// Upstream's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split(text);
        // Upstream sorts, so that equal selectors print alike.
        parts.sort();
        let mut terms = Vec::new();
        for part in parts.iter().filter(|p| !p.is_empty()) {
            let at =
                part.char_indices().find_map(|(i, _)| ["!=", "==", "="].iter().find(|op| part[i..].starts_with(**op)).map(|op| (i, *op)));
            let Some((i, op)) = at else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            terms.push(Term { field: part[..i].to_owned(), negated: op == "!=", value: unescape(&part[i + op.len()..])? });
        }
        Ok(Self { terms })
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must have, if it must have one.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.field == field && !t.negated).map(|t| t.value.as_str())
    }

    /// Whether the fields can be selected by, with those of old clients replaced.
    ///
    /// # Errors
    ///
    /// 400 with upstream's message for the first field that the kind does not offer.
    pub fn check(mut self, resource: &Resource) -> Result<Self, Failure> {
        for term in &mut self.terms {
            if resource.id() == "pods" && term.field == "spec.host" {
                "spec.nodeName".clone_into(&mut term.field);
            }
            if let Some(message) = refusal(resource, &term.field) {
                return Err(Failure::bad_request(message));
            }
        }
        Ok(self)
    }

    /// Whether it selects an object whose fields are looked up; one that is absent is empty.
    #[must_use]
    pub fn matches_with<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|t| (field(&t.field).unwrap_or_default() == t.value) != t.negated)
    }

    /// Whether it selects an object.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|t| (field_value(object, &t.field) == t.value) != t.negated)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |v: &str| v.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
        let parts: Vec<String> =
            self.terms.iter().map(|t| format!("{}{}{}", t.field, if t.negated { "!=" } else { "=" }, escape(&t.value))).collect();
        f.write_str(&parts.join(","))
    }
}

// At the commas that are not escaped.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        parts.last_mut().expect("there is always a last part").push(c);
    }
    parts
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence = format!("\\{}", other.map(String::from).unwrap_or_default());
                    return Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
                }
            },
            // Go prints a rune as its number.
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(out)
}

// The fields besides `metadata.name` and, where namespaced, `metadata.namespace`. `None` for kinds without a list of their own.
fn labels(resource: &Resource) -> Option<Vec<&'static str>> {
    if resource.custom {
        return Some(Vec::new());
    }
    let id = resource.id();
    let mut names = crate::kinds::field_names(&id).to_vec();
    if id == "pods" {
        // It may be asked for, but no pod is listed under it.
        names.push("status.podIPs");
    }
    (!names.is_empty()).then_some(names)
}

fn refusal(resource: &Resource, field: &str) -> Option<String> {
    let labels = labels(resource);
    let namespace_too = resource.namespaced || labels.is_none();
    if field == "metadata.name" || (field == "metadata.namespace" && namespace_too) {
        return None;
    }
    match labels {
        Some(labels) if labels.contains(&field) => None,
        Some(_) if resource.id() == "jobs.batch" => Some(format!("field label {} not supported for batchv1.Job", quoted(field))),
        Some(_) => Some(format!("field label not supported: {field}")),
        None => Some(format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quoted(field))),
    }
}

// What the `ToSelectableFields` functions upstream put into their sets: text, with the zero value for what is not there.
fn field_value(object: &Value, field: &str) -> String {
    let text = |path: &str| path.split('.').fold(object, |v, key| &v[key]).as_str().unwrap_or_default().to_owned();
    let or = |first: String, second: String| if first.is_empty() { second } else { first };
    match field {
        "spec.unschedulable" => object["spec"]["unschedulable"].as_bool().unwrap_or_default().to_string(),
        "spec.hostNetwork" => object["spec"]["hostNetwork"].as_bool().unwrap_or_default().to_string(),
        "status.replicas" => object["status"]["replicas"].as_i64().unwrap_or_default().to_string(),
        "status.successful" => object["status"]["succeeded"].as_i64().unwrap_or_default().to_string(),
        "status.podIP" => or(text("status.podIP"), object["status"]["podIPs"][0]["ip"].as_str().unwrap_or_default().to_owned()),
        "status.podIPs" => {
            let ips = object["status"]["podIPs"].as_array().into_iter().flatten();
            ips.filter_map(|ip| ip["ip"].as_str()).collect::<Vec<_>>().join(",")
        }
        "source" => or(text("source.component"), text("reportingComponent")),
        other => text(other),
    }
}
