//! Faults of guide 2.3: Istio in ambient mode.

use super::Fault;
use super::objects::Changed;
use super::records::Recorded;
use super::targets::{daemon_set, deployment, no_istiod, nowhere};
use super::unrest::Restless;
use crate::journal::CommandRecord;
use crate::outcomes::{ISTIO_INSTALL, ISTIO_NAMESPACE as ISTIO};
use crate::spec::catalog;

/// Without one of the documented lines.
fn without(command: &mut CommandRecord, line: usize) {
    for text in [&mut command.stdout, &mut command.stderr] {
        *text = text.lines().filter(|l| !l.contains(catalog::INSTALL_LINES[line])).map(|l| format!("{l}\n")).collect();
    }
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("istio.line-missing", Recorded::new(ISTIO_INSTALL, |command| without(command, 3)))
            .breaks(&["istio.install.lines"])
            .diagnosed("install-incomplete"),
        Fault::new("istio.cni-not-reported", Recorded::new(ISTIO_INSTALL, |command| without(command, 2)))
            .breaks(&["istio.install.order-varies", "istio.install.lines"])
            .diagnosed("install-incomplete"),
        Fault::new("istio.no-istiod", no_istiod())
            .breaks(&["istio.istiod.ready"])
            .may_break(&["istioctl.version.after-install"])
            .diagnosed("no-replicas"),
        Fault::new("istio.no-ztunnel", Changed::new(daemon_set(ISTIO, "ztunnel"), nowhere))
            .breaks(&["istio.ztunnel.every-node"])
            .may_break(&["istioctl.version.after-install"])
            .diagnosed("no-node-fits"),
        Fault::new("istio.no-cni", Changed::new(daemon_set(ISTIO, "istio-cni-node"), nowhere))
            .breaks(&["istio.cni.every-node"])
            .may_break(&["istio.ztunnel.every-node", "istio.pods.stable"])
            .diagnosed("no-node-fits"),
        Fault::new("istio.restless", Restless::new(deployment(ISTIO, "istiod"), "app=istiod"))
            .breaks(&["istio.pods.stable"])
            .may_break(&["istio.istiod.ready", "istioctl.version.after-install", "gateway-api.classes"])
            .diagnosed("pod-began-anew"),
    ]
}
