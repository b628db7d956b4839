//! The syntax of names, label keys and values, and ports (`apimachinery/pkg/util/validation/validation.go`). Each function returns the
//! messages about what is wrong, and none if all is well.

use super::causes;
use crate::failure::Cause;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";

type Messages = Vec<String>;

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// Starts and ends with an alphanumeric, and has only those and `inner` between.
fn word(text: &str, alphanumeric: fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|&b| alphanumeric(b)) && bytes.last().is_some_and(|&b| alphanumeric(b));
    ends && bytes.iter().all(|&b| alphanumeric(b) || inner.contains(&b))
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn any_case(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|part| word(part, lower, b"-"))
}

/// `IsDNS1123Label`.
pub(super) fn dns_label(text: &str) -> Messages {
    let mut messages = Messages::new();
    if text.len() > 63 {
        messages.push(too_long(63));
    }
    if !word(text, lower, b"-") {
        messages.push(if is_subdomain(text) { "must not contain dots".to_owned() } else { LABEL.to_owned() });
    }
    messages
}

/// `IsDNS1123Subdomain`.
pub(super) fn dns_subdomain(text: &str) -> Messages {
    let mut messages = Messages::new();
    if text.len() > 253 {
        messages.push(too_long(253));
    }
    if !is_subdomain(text) {
        messages.push(SUBDOMAIN.to_owned());
    }
    messages
}

/// `IsDNS1035Label`.
pub(super) fn dns_1035_label(text: &str) -> Messages {
    let mut messages = Messages::new();
    if text.len() > 63 {
        messages.push(too_long(63));
    }
    if !word(text, lower, b"-") || text.starts_with(|c: char| c.is_ascii_digit()) {
        messages.push(LABEL_1035.to_owned());
    }
    messages
}

/// `IsQualifiedName`.
pub(super) fn qualified_name(text: &str) -> Messages {
    let mut messages = Messages::new();
    let mut parts = text.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return vec![format!("a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
    }
    let name = match second {
        None => first,
        Some(name) => {
            if first.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                messages.extend(dns_subdomain(first).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        messages.push(format!("name part {}", too_long(63)));
    }
    if !word(name, any_case, b"-_.") {
        messages.push(format!("name part {QUALIFIED}"));
    }
    messages
}

/// `IsValidLabelValue`.
pub(super) fn label_value(text: &str) -> Messages {
    let mut messages = Messages::new();
    if text.len() > 63 {
        messages.push(too_long(63));
    }
    if !text.is_empty() && !word(text, any_case, b"-_.") {
        messages.push(LABEL_VALUE.to_owned());
    }
    messages
}

/// `IsConfigMapKey`.
pub(super) fn config_key(text: &str) -> Messages {
    let mut messages = Messages::new();
    if text.len() > 253 {
        messages.push(too_long(253));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        messages.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." | ".." => messages.push(format!("must not be '{text}'")),
        _ if text.starts_with("..") => messages.push("must not start with '..'".to_owned()),
        _ => {}
    }
    messages
}

/// `IsRelaxedEnvVarName`.
pub(super) fn env_name(text: &str) -> Messages {
    if !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        Messages::new()
    } else {
        vec![ENV_NAME.to_owned()]
    }
}

/// `IsValidPortNum`.
pub(super) fn port_number(port: i64) -> Messages {
    if (1..=65535).contains(&port) { Messages::new() } else { vec!["must be between 1 and 65535, inclusive".to_owned()] }
}

/// `IsValidPortName`.
pub(super) fn port_name(text: &str) -> Messages {
    let mut messages = Messages::new();
    if text.len() > 15 {
        messages.push(too_long(15));
    }
    if text.is_empty() || !text.bytes().all(|b| lower(b) || b == b'-') {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        messages.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        messages.push("must not begin or end with a hyphen".to_owned());
    }
    messages
}

/// `IsValidPathSegmentName`.
pub(super) fn path_segment(text: &str) -> Messages {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|c| text.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// What is wrong with the name of an object. Names of CRDs are compared with their spec in [`super::validate`].
#[must_use]
pub fn validate_name(resource: &str, name: &str) -> Vec<Cause> {
    if name.is_empty() {
        return vec![causes::required("metadata.name", "name or generateName is required")];
    }
    let messages = match resource {
        "namespaces" => dns_label(name),
        "services" => dns_1035_label(name),
        "cronjobs.batch" => {
            let mut messages = dns_subdomain(name);
            if name.len() > 52 {
                messages.push(too_long(52));
            }
            messages
        }
        "roles.rbac.authorization.k8s.io"
        | "clusterroles.rbac.authorization.k8s.io"
        | "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
        | "certificatesigningrequests.certificates.k8s.io"
        | "poddisruptionbudgets.policy"
        | "events"
        | "events.events.k8s.io"
        | "apiservices.apiregistration.k8s.io" => path_segment(name),
        _ => dns_subdomain(name),
    };
    messages.iter().map(|m| causes::invalid("metadata.name", name, m)).collect()
}
