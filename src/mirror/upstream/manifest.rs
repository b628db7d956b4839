//! What counts as a manifest.

use serde::Deserialize;

/// The largest manifest.
pub const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The media types of manifests, those of indexes first.
pub const MEDIA_TYPES: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];

/// Why something is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestProblem {
    /// It is no JSON object.
    #[error("it is no JSON of a manifest")]
    Json(#[source] serde_json::Error),
    /// It is of the first version of Docker's format, which signs itself and says nothing of its layers' sizes.
    #[error("it is of Docker's schema 1, which nothing pulls any more; push the image again with a client of this decade")]
    SchemaOne,
    /// Nothing says what it is, or something unknown.
    #[error("its media type is `{found}`; known are OCI manifests and indexes, and Docker's manifests and lists of schema 2")]
    Unknown {
        /// The media type.
        found: String,
    },
    /// The header and the content say different things.
    #[error("it is announced as `{announced}` and says of itself that it is `{found}`")]
    Mismatch {
        /// What the header says.
        announced: String,
        /// What the content says.
        found: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

/// The media type of a manifest: as announced, or as it says itself, or else by its shape.
///
/// # Errors
/// When it is no manifest of a known kind.
pub fn media_type(bytes: &[u8], announced: Option<&str>) -> Result<String, ManifestProblem> {
    let shape: Shape = serde_json::from_slice(bytes).map_err(ManifestProblem::Json)?;
    // Parameters such as a character set say nothing here.
    let announced = announced.map(|a| a.split(';').next().unwrap_or_default().trim());
    let is_one = |m: &str| m.starts_with("application/vnd.docker.distribution.manifest.v1+");
    if shape.schema_version == Some(1) || announced.is_some_and(is_one) {
        return Err(ManifestProblem::SchemaOne);
    }
    let announced = announced.filter(|a| MEDIA_TYPES.contains(a));
    match (announced, shape.media_type) {
        (Some(announced), Some(own)) if announced != own => Err(ManifestProblem::Mismatch { announced: announced.to_owned(), found: own }),
        (Some(announced), _) => Ok(announced.to_owned()),
        (None, Some(own)) if MEDIA_TYPES.contains(&own.as_str()) => Ok(own),
        (None, Some(own)) => Err(ManifestProblem::Unknown { found: own }),
        (None, None) if shape.manifests.is_some() => Ok(OCI_INDEX.to_owned()),
        (None, None) if shape.config.is_some() && shape.layers.is_some() => Ok(OCI_MANIFEST.to_owned()),
        (None, None) => Err(ManifestProblem::Unknown { found: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &str, announced: Option<&str>) -> String {
        media_type(bytes.as_bytes(), announced).unwrap_or_else(|e| format!("error: {e}"))
    }

    #[test]
    fn the_media_type_is_announced_or_written_inside_or_seen_by_the_shape() {
        assert_eq!(kind("{}", Some(OCI_INDEX)), OCI_INDEX);
        assert_eq!(kind("{}", Some("application/vnd.oci.image.index.v1+json; charset=utf-8")), OCI_INDEX);
        assert_eq!(kind(&format!(r#"{{"mediaType":"{DOCKER_LIST}"}}"#), Some("application/json")), DOCKER_LIST);
        assert_eq!(kind(r#"{"schemaVersion":2,"manifests":[]}"#, None), OCI_INDEX);
        assert_eq!(kind(r#"{"schemaVersion":2,"config":{},"layers":[]}"#, None), OCI_MANIFEST);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for (bytes, announced, why) in [
            ("", Some(OCI_INDEX), "no JSON"),
            ("<html>", None, "no JSON"),
            (r#"{"schemaVersion":1}"#, Some("application/json"), "schema 1"),
            ("{}", Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), "schema 1"),
            ("{}", None, "media type is ``"),
            (r#"{"mediaType":"text/plain"}"#, None, "`text/plain`"),
            (r#"{"mediaType":"text/plain"}"#, Some(OCI_INDEX), "says of itself"),
        ] {
            assert!(kind(bytes, announced).contains(why), "{}", kind(bytes, announced));
        }
    }
}
