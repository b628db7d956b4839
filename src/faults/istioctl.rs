//! Faults of guide 2.2: what `istioctl` says.

use super::Fault;
use super::programs::Wrapped;
use super::records::Recorded;
use crate::cluster::Capability;
use crate::outcomes::ISTIO_VERSION_BEFORE;
use crate::tools::ToolName;

const ISTIOCTL: &[Capability] = &[Capability::ISTIOCTL];

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("istioctl.other-version", Wrapped::new(ToolName::Istioctl, OTHER_CLIENT))
            .breaks(&["istioctl.version.client"])
            .may_break(&["istioctl.version.after-install"])
            .with(ISTIOCTL)
            .diagnosed("other-istioctl"),
        Fault::new("istioctl.other-istio", Wrapped::new(ToolName::Istioctl, OTHER_ISTIO))
            .breaks(&["istioctl.version.after-install"])
            .with(&[Capability::ISTIOCTL, Capability::PORT_FORWARD])
            .diagnosed("other-istio"),
        // What the guide seems to expect of it.
        Fault::new("istioctl.failed-before", Recorded::new(ISTIO_VERSION_BEFORE, |command| command.exit_code = Some(1)))
            .breaks(&["istioctl.version.always-succeeds", "istioctl.version.before-install"])
            .diagnosed("istio-was-there"),
        Fault::new(
            "istioctl.istio-was-there",
            Recorded::new(ISTIO_VERSION_BEFORE, |command| {
                command.stderr.clear();
                command.stdout.push_str("control plane version: 1.0.0\n");
            }),
        )
        .breaks(&["istioctl.version.before-install"])
        .may_break(&["istioctl.version.always-succeeds"])
        .diagnosed("istio-was-there"),
    ]
}

/// An old client.
const OTHER_CLIENT: &str = r#"case " $* " in *" --remote=false"*) echo "client version: 1.0.0"; exit 0 ;; esac
exec "$real" "$@""#;
/// A mesh of two versions.
const OTHER_ISTIO: &str = r#"case " $* " in
  *" --remote=false"*) ;;
  *" version"*) "$real" "$@" | sed 's/^data plane version: [^ ]*/data plane version: 1.0.0/'; exit 0 ;;
esac
exec "$real" "$@""#;
