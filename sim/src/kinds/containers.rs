//! Defaults of containers.

use serde_json::{Map, Value};

use super::access::{default, default_zero, items_mut, text};

/// `SetDefaults_Container` and what it calls for ports, probes, hooks and the environment.
pub(super) fn defaults(container: &mut Value) {
    let policy = if pulls_always(text(container, "image")) { "Always" } else { "IfNotPresent" };
    default_zero(container, "imagePullPolicy", policy);
    default_zero(container, "terminationMessagePath", "/dev/termination-log");
    default_zero(container, "terminationMessagePolicy", "File");
    default(container, "resources", Map::new());
    for port in items_mut(container, "ports") {
        default_zero(port, "protocol", "TCP");
    }
    for variable in items_mut(container, "env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            default_zero(field, "apiVersion", "v1");
        }
        if let Some(field) = variable.pointer_mut("/valueFrom/resourceFieldRef") {
            default(field, "divisor", "0");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).filter(|p| p.is_object()) {
            default_zero(probe, "timeoutSeconds", 1);
            default_zero(probe, "periodSeconds", 10);
            default_zero(probe, "successThreshold", 1);
            default_zero(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(hook) = container.get_mut("lifecycle").and_then(|l| l.get_mut(name)) {
            handler(hook);
        }
    }
}

fn handler(holder: &mut Value) {
    if let Some(http) = holder.get_mut("httpGet") {
        default_zero(http, "path", "/");
        default_zero(http, "scheme", "HTTP");
    }
    if let Some(grpc) = holder.get_mut("grpc") {
        default(grpc, "service", "");
    }
}

/// Whether the tag is `latest`, or there is neither tag nor digest (`pkg/util/parsers`).
fn pulls_always(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    // A colon before the last slash is that of the registry's port.
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && !last.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::pulls_always;

    #[rstest]
    #[case("nginx", true)]
    #[case("nginx:latest", true)]
    #[case("nginx:1.27", false)]
    #[case("localhost:5000/nginx", true)]
    #[case("localhost:5000/nginx:1", false)]
    #[case("nginx@sha256:aaaa", false)]
    #[case("nginx:latest@sha256:aaaa", true)]
    #[case("", false)]
    fn the_tag_decides(#[case] image: &str, #[case] always: bool) {
        assert_eq!(pulls_always(image), always);
    }
}
