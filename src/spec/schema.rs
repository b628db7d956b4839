//! The keys of a spec file and what each may hold: what a partial document is checked against before layers are merged.
//!
//! A test keeps this table equal to the fields of [`super::Spec`].

use super::{API_VERSION, KIND};

/// What a key may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A map with these keys and no others.
    Section(&'static [Field]),
    /// A map from a registry namespace to this.
    Registries(&'static Shape),
    /// A list of this.
    List(&'static Shape),
    /// A text.
    Text,
    /// A URL, or a file that is looked for beside the spec.
    UrlOrFile,
    /// A file that is looked for beside the spec.
    File,
    /// A whole number from `min` to `max`.
    Integer { min: i128, max: i128 },
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One key of a section.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Whether the resolved spec can do without a value that somebody wrote: `null` then takes back what an earlier layer set.
    pub(super) optional: bool,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, optional: false }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, optional: true }
}

const MIRROR_HOST: Shape = Shape::Section(&[
    required("url", Shape::Text),
    optional("capabilities", Shape::List(&Shape::Word(&["pull", "resolve", "push"]))),
    optional("skipVerify", Shape::Bool),
    optional("overridePath", Shape::Bool),
]);

const MIRROR: Shape = Shape::Section(&[optional("server", Shape::Text), optional("hosts", Shape::List(&MIRROR_HOST))]);

const fn tool(version: Field) -> [Field; 3] {
    [version, optional("path", Shape::File), required("url", Shape::Text)]
}

const KIND_TOOL: &[Field] = &tool(required("version", Shape::Text));
/// Their versions follow from those of Kubernetes and Istio.
const OTHER_TOOL: &[Field] = &tool(optional("version", Shape::Text));

/// A spec document.
pub(super) const SPEC: Shape = Shape::Section(&[
    required("apiVersion", Shape::Word(&[API_VERSION])),
    required("kind", Shape::Word(&[KIND])),
    required("profile", Shape::Text),
    required(
        "cluster",
        Shape::Section(&[
            required("name", Shape::Text),
            required("kubernetes", Shape::Text),
            optional("nodeImage", Shape::Text),
            required("preloaded", Shape::Bool),
            required("controlPlanes", Shape::Integer { min: 1, max: u32::MAX as i128 }),
            required("workers", Shape::Integer { min: 0, max: u32::MAX as i128 }),
            required("configPath", Shape::Text),
        ]),
    ),
    optional("mirrors", Shape::Registries(&MIRROR)),
    required(
        "proxy",
        Shape::Section(&[
            required("enabled", Shape::Bool),
            required("http", Shape::Text),
            required("https", Shape::Text),
            required("noProxy", Shape::List(&Shape::Text)),
        ]),
    ),
    required(
        "recording",
        Shape::Section(&[
            required("mirror", Shape::Bool),
            required("proxy", Shape::Word(&["none", "direct", "chained"])),
            required("host", Shape::Word(&["auto", "agent", "container"])),
            required("cacheGib", Shape::Integer { min: 0, max: u32::MAX as i128 }),
        ]),
    ),
    required("probe", Shape::Section(&[required("image", Shape::Text)])),
    required(
        "dashboard",
        Shape::Section(&[required("version", Shape::Text), required("manifest", Shape::UrlOrFile), required("adminUser", Shape::Text)]),
    ),
    required("kubectlProxy", Shape::Section(&[required("port", Shape::Integer { min: 0, max: u16::MAX as i128 })])),
    required("istio", Shape::Section(&[required("version", Shape::Text), required("profile", Shape::Text), optional("hub", Shape::Text)])),
    required(
        "gatewayApi",
        Shape::Section(&[
            required("version", Shape::Text),
            required("channel", Shape::Word(&["standard", "experimental"])),
            required("manifest", Shape::UrlOrFile),
        ]),
    ),
    required(
        "tools",
        Shape::Section(&[
            required("kind", Shape::Section(KIND_TOOL)),
            required("kubectl", Shape::Section(OTHER_TOOL)),
            required("istioctl", Shape::Section(OTHER_TOOL)),
        ]),
    ),
    required("downloads", Shape::Section(&[optional("proxy", Shape::Text)])),
    optional("bundle", Shape::File),
]);

impl Shape {
    /// What an error says was expected.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Section(_) | Self::Registries(_) => "a map".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::UrlOrFile => "a URL or a file".to_owned(),
            Self::File => "a file".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Bool => "true or false".to_owned(),
            Self::Word(words) => words.join(" or "),
        }
    }
}

/// The names of some fields.
pub(super) fn names(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).collect()
}

/// Whether containerd would look for a `certs.d` directory of this name: `_default` or a registry host with or without a port.
pub(super) fn is_registry(key: &str) -> bool {
    if key == "_default" {
        return true;
    }
    let (host, port) = key.rsplit_once(':').map_or((key, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // A number alone is no host, and would be taken for a list index in paths.
    key.parse::<u64>().is_err() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) && host.split('.').all(label)
}

/// The candidate that a person most probably meant, if any is near enough.
pub(super) fn nearest<'a>(wrong: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // Case and separators are what people get wrong first (`node_image`), so they count nothing.
    let plain = |text: &str| text.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect::<String>();
    let wrong = plain(wrong);
    candidates
        .iter()
        .map(|candidate| {
            let candidate_plain = plain(candidate);
            let limit = (wrong.chars().count().max(candidate_plain.chars().count()) / 3).max(1);
            (strsim::damerau_levenshtein(&wrong, &candidate_plain), limit, *candidate)
        })
        .filter(|(distance, limit, _)| distance <= limit)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_hosts() {
        for key in ["docker.io", "_default", "localhost", "localhost:5000", "10.0.0.1:80", "my-mirror.example.com"] {
            assert!(is_registry(key), "{key}");
        }
        for key in
            ["", "https://docker.io", "docker.io/library", "Docker.io", "a..b", "-a", "a:", "a:0", "a:99999", "a_b", "default_", "5000"]
        {
            assert!(!is_registry(key), "{key}");
        }
    }

    #[test]
    fn the_nearest_is_near() {
        let keys = ["nodeImage", "name", "kubernetes", "workers"];
        for (wrong, right) in [
            ("node_image", Some("nodeImage")),
            ("NAME", Some("name")),
            ("nmae", Some("name")),
            ("kubernets", Some("kubernetes")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, &keys), right, "{wrong}");
        }
    }
}
