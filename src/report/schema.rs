//! JSON Schemas (draft 2020-12) of what meshproof writes for programs. They are published in `docs/schema/` and by `meshproof schema`.

/// The schema of the [JSON report](super::json), version [`super::json::SCHEMA_VERSION`].
pub const REPORT: &str = include_str!("../../docs/schema/report-v1.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jsonschema::Validator;
    use serde_json::{Map, Value, json};

    use crate::journal::{Event, Expected, Fidelity, Verdict};
    use crate::report::testing::{self, Pen};
    use crate::report::{Summary, json as form};

    fn schema() -> Value {
        serde_json::from_str(super::REPORT).unwrap()
    }

    fn validator() -> Validator {
        jsonschema::draft202012::new(&schema()).unwrap()
    }

    /// Reports that between them have every field.
    fn reports() -> Vec<Value> {
        let mut all: Vec<_> = testing::all().into_iter().map(|(_, records)| records).collect();
        let mut pen = Pen::new(Fidelity::Real);
        let Event::RunStarted { not_selected, .. } = &mut pen.records[0].event else { panic!("the first record starts the run") };
        not_selected.push("own.thing.works".into());
        pen.write(Event::OutcomeStarted { outcome: "cluster.nodes.ready".into(), info: None });
        for (id, verdict) in
            [("dashboard.pods.running", Verdict::Passed), ("istio.istiod.ready", Verdict::Failed { reason: "down".into() })]
        {
            let expires = jiff::civil::date(2026, 11, 30);
            pen.write(Event::Expected(Expected { outcome: id.into(), reason: "slow".into(), owner: "a".into(), expires }));
            pen.judge(id, 0, verdict, json!({}), vec![]);
        }
        pen.judge("istio.ztunnel.every-node", 0, Verdict::Skipped { reason: "asked".into() }, json!({}), vec![]);
        pen.write(Event::Collected { dir: "/bundle".into(), files: 1, bytes: 2, left_out: 3 });
        all.push(pen.end(130));
        all.push(Vec::new());
        all.iter().map(|records| form::render(&Summary::fold(records))).collect()
    }

    /// What the journal's writer owns and the schema leaves open.
    fn open(path: &str) -> bool {
        path == "/spec" || path == "/facts" || path == "/objects" || path == "/missingCapabilities" || path.ends_with("/evidence")
    }

    /// Calls with every object whose shape is ours, by its path.
    fn objects(value: &Value, path: &str, found: &mut Vec<(String, Map<String, Value>)>) {
        match value {
            Value::Object(map) if !open(path) => {
                found.push((path.to_owned(), map.clone()));
                map.iter().for_each(|(key, value)| objects(value, &format!("{path}/{key}"), found));
            }
            Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| objects(item, &format!("{path}/{n}"), found)),
            _ => {}
        }
    }

    /// Something of another type, which no field may hold instead.
    fn other(value: &Value) -> Value {
        match value {
            Value::Bool(_) => json!("true"),
            Value::Number(_) => json!("1"),
            Value::String(_) => json!(1),
            Value::Array(_) => json!({}),
            Value::Object(_) => json!([]),
            Value::Null => json!([[]]),
        }
    }

    #[test]
    fn the_schema_is_one_and_holds_for_every_report() {
        assert!(jsonschema::meta::is_valid(&schema()));
        assert_eq!(schema()["properties"]["schemaVersion"]["const"], form::SCHEMA_VERSION);
        let validator = validator();
        for report in reports() {
            let errors: Vec<String> = validator.iter_errors(&report).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{errors:#?}");
        }
    }

    #[test]
    fn a_field_that_is_renamed_added_missing_or_of_another_type_breaks_the_schema() {
        let validator = validator();
        let mut tried = 0;
        for report in reports() {
            let mut found = Vec::new();
            objects(&report, "", &mut found);
            for (path, map) in found {
                let mut broken = |change: &dyn Fn(&mut Map<String, Value>), what: &str| {
                    let mut report = report.clone();
                    change(report.pointer_mut(&path).unwrap().as_object_mut().unwrap());
                    assert!(!validator.is_valid(&report), "{path}: {what} goes unseen");
                    tried += 1;
                };
                broken(&|map| drop(map.insert("another".into(), json!(1))), "another field");
                for (key, value) in &map {
                    broken(&|map| drop(map.insert(key.clone(), other(value))), &format!("another type of {key}"));
                    let rename = |map: &mut Map<String, Value>| {
                        let value = map.remove(key).unwrap();
                        map.insert(format!("{key}s"), value);
                    };
                    broken(&rename, &format!("{key} renamed"));
                    // Only whether a stage said anything, and whether an entry applies to what it changes nothing about, do not follow from the rest.
                    let ruled = map.get("verdict").and_then(Value::as_str).is_some_and(|verdict| verdict.contains("expected"));
                    if key != "lastStatus" && (key != "expected" || ruled || path == "/counts") {
                        broken(&|map| drop(map.remove(key)), &format!("{key} missing"));
                    }
                }
            }
        }
        assert!(tried > 1_000, "{tried}");
    }

    /// Names of all properties that the schema knows, by the definition that has them.
    fn known(schema: &Value, path: &str, names: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        // Conditions repeat what the properties say.
                        ("allOf" | "if" | "then" | "else", _) => {}
                        ("properties", Value::Object(properties)) => {
                            for (name, value) in properties {
                                names.insert(format!("{path}/{name}"));
                                known(value, &format!("{path}/{name}"), names);
                            }
                        }
                        ("$defs", Value::Object(definitions)) => {
                            definitions.iter().for_each(|(name, value)| known(value, name, names));
                        }
                        (_, value) => known(value, path, names),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| known(item, path, names)),
            _ => {}
        }
    }

    #[test]
    fn every_property_of_the_schema_is_in_some_report() {
        let mut names = BTreeSet::new();
        known(&schema(), "", &mut names);
        let mut seen = BTreeSet::new();
        for report in reports() {
            let mut found = Vec::new();
            objects(&report, "", &mut found);
            for (path, map) in found {
                let parts: Vec<&str> = path.split('/').filter(|part| part.parse::<usize>().is_err()).collect();
                let of = match parts.join("/").as_str() {
                    "/run" => "run".to_owned(),
                    "/stages" => "stage".to_owned(),
                    "/outcomes" => "outcome".to_owned(),
                    "/outcomes/expected" => "expected".to_owned(),
                    path if path.ends_with("/diagnoses") => "diagnosis".to_owned(),
                    path => path.to_owned(),
                };
                seen.extend(map.keys().map(|key| format!("{of}/{key}")));
            }
        }
        assert!(names.len() > 60, "{names:#?}");
        assert_eq!(names.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "the schema has what no report has");
        assert_eq!(seen.difference(&names).collect::<Vec<_>>(), Vec::<&String>::new(), "a report has what the schema lacks");
    }
}
