//! What form an answer has, and what forms bodies come in. Source: apiserver `pkg/endpoints/handlers/negotiation`.

use http::{HeaderMap, header};
use serde_json::Value;

use crate::failure::Failure;

const ACCEPTED: &str = "application/json, application/yaml";

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object or the list itself.
    Plain,
    /// `kubectl get`'s table.
    Table,
    /// Metadata only.
    Metadata,
}

/// Form of an answer, and whether it is YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) form: Form,
    pub(super) yaml: bool,
}

/// Reads `Accept`: the first range that can be served wins. Protobuf cannot, and clients that ask for it name JSON behind it.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Wanted, Failure> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    if accept.trim().is_empty() {
        return Ok(Wanted { form: Form::Plain, yaml: false });
    }
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let yaml = match parts.next() {
            Some("application/json" | "*/*" | "application/*") => false,
            Some("application/yaml") => true,
            _ => continue,
        };
        let (mut form, mut fits) = (Form::Plain, true);
        for parameter in parts {
            match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("as", "Table") => form = Form::Table,
                ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") => form = Form::Metadata,
                ("as", _) => fits = false,
                ("g", group) => fits &= group == "meta.k8s.io",
                ("v", version) => fits &= version == "v1",
                _ => {}
            }
        }
        if fits {
            return Ok(Wanted { form, yaml });
        }
    }
    Err(Failure::not_acceptable(ACCEPTED))
}

/// A body as a value.
pub(super) fn body(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Failure> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("application/json");
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" | "" => json(bytes),
        "application/yaml" => yaml(bytes),
        other => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format ({other}) - accepted media types include: {ACCEPTED}"
        ))),
    }
}

/// A body that must be an object.
pub(super) fn object(value: Value) -> Result<Value, Failure> {
    if value.is_object() { Ok(value) } else { Err(Failure::bad_request("the body of the request is not an object")) }
}

pub(super) fn json(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|e| Failure::bad_request(format!("the object provided is unrecognized: couldn't parse JSON: {e}")))
}

pub(super) fn yaml(bytes: &[u8]) -> Result<Value, Failure> {
    // JSON is YAML, and is what most clients send as such.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))?;
    serde_saphyr::from_str(text).map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> Result<Wanted, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, text.parse().unwrap());
        wanted(&headers).map_err(|f| f.code)
    }

    #[test]
    fn the_first_form_that_can_be_served_wins() {
        let plain = Wanted { form: Form::Plain, yaml: false };
        let table = Wanted { form: Form::Table, yaml: false };
        assert_eq!(
            accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Ok(table)
        );
        assert_eq!(accept("application/vnd.kubernetes.protobuf,application/json"), Ok(plain));
        assert_eq!(accept("application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json"), Ok(plain));
        assert_eq!(accept("*/*"), Ok(plain));
        assert_eq!(accept("application/yaml"), Ok(Wanted { form: Form::Plain, yaml: true }));
        assert_eq!(accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").unwrap().form, Form::Metadata);
        assert_eq!(accept("application/vnd.kubernetes.protobuf"), Err(406));
    }

    #[test]
    fn protobuf_bodies_are_refused_with_a_status() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/vnd.kubernetes.protobuf".parse().unwrap());
        assert_eq!(body(&headers, b"k8s\0").unwrap_err().code, 415);
        headers.insert(header::CONTENT_TYPE, "application/yaml".parse().unwrap());
        assert_eq!(body(&headers, b"a: 1\n").unwrap(), serde_json::json!({"a": 1}));
    }
}
