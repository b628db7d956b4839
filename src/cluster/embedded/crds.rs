//! `CustomResourceDefinitions` from the tables of the catalog, with schemas that are structural and otherwise take what they are given.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::spec::catalog::{Column, Crd};

/// A CRD's manifest.
pub(super) fn render(crd: &Crd, labels: &BTreeMap<&str, String>, annotations: &BTreeMap<&str, String>) -> Value {
    let singular = crd.kind.to_lowercase();
    let mut names = json!({"kind": crd.kind, "listKind": format!("{}List", crd.kind), "plural": crd.plural, "singular": singular});
    for (field, list) in [("shortNames", crd.short_names), ("categories", crd.categories)] {
        if !list.is_empty() {
            names[field] = json!(list);
        }
    }
    let versions: Vec<Value> = crd
        .versions
        .iter()
        .map(|version| {
            let mut v = json!({
                "name": version.name, "served": version.served, "storage": version.storage, "schema": {"openAPIV3Schema": schema(crd)},
            });
            if crd.status {
                v["subresources"] = json!({"status": {}});
            }
            if !crd.columns.is_empty() {
                v["additionalPrinterColumns"] = crd.columns.iter().map(column).collect();
            }
            v
        })
        .collect();
    let mut metadata = json!({"name": crd.name()});
    for (field, map) in [("labels", labels), ("annotations", annotations)] {
        if !map.is_empty() {
            metadata[field] = json!(map);
        }
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
        "spec": {"group": crd.group, "names": names, "scope": if crd.namespaced { "Namespaced" } else { "Cluster" }, "versions": versions},
    })
}

fn column(column: &Column) -> Value {
    let mut value = json!({"name": column.name, "type": column.kind, "jsonPath": column.path});
    if column.priority > 0 {
        value["priority"] = json!(column.priority);
    }
    value
}

fn open_object() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn schema(crd: &Crd) -> Value {
    let mut spec = open_object();
    if !crd.required.is_empty() {
        let field = |kind: &str| if kind == "array" { json!({"type": "array", "items": open_object()}) } else { json!({"type": kind}) };
        let fields: Map<String, Value> = crd.required.iter().map(|(name, kind)| ((*name).to_owned(), field(kind))).collect();
        spec["properties"] = Value::Object(fields);
        spec["required"] = crd.required.iter().map(|(name, _)| *name).collect();
    }
    let mut properties =
        json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "spec": spec});
    if crd.status {
        let mut condition = open_object();
        condition["properties"] = json!({"type": {"type": "string"}});
        condition["required"] = json!(["type"]);
        let mut status = open_object();
        // By type, so that several controllers can each own their conditions.
        status["properties"] = json!({"conditions": {
            "type": "array", "items": condition, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        }});
        properties["status"] = status;
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if crd.spec_required {
        schema["required"] = json!(["spec"]);
    }
    schema
}
