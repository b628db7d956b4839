//! Faults of guide 2.4: the Gateway API CRDs.

use serde_json::{Value, json};

use super::Fault;
use super::compose::InTurn;
use super::objects::{Changed, Removed, Target};
use super::targets::{crd, no_istiod};
use crate::outcomes::{BUNDLE_VERSION, CHANNEL};

const CLASS: Target = Target {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "GatewayClass",
    plural: "gatewayclasses",
    namespace: "",
    name: "istio",
};
/// A kind of the Gateway API that nothing here has objects of.
const GRPC_ROUTES: &str = "grpcroutes.gateway.networking.k8s.io";
/// The one that the guide looks for.
const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";

fn other_bundle() -> Value {
    json!({"metadata": {"annotations": {BUNDLE_VERSION: "v0.0.1"}}})
}

fn other_channel() -> Value {
    json!({"metadata": {"annotations": {CHANNEL: "experimental"}}})
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        // Istiod would make the class anew.
        Fault::new("gateway-api.class-gone", InTurn([Box::new(no_istiod()), Box::new(Removed(CLASS))]))
            .breaks(&["gateway-api.classes.accepted", "istio.istiod.ready"])
            .may_break(&["istioctl.version.after-install"])
            .diagnosed("P31"),
        Fault::new("gateway-api.crd-gone", Removed(crd(GRPC_ROUTES)))
            .breaks(&["gateway-api.crds.established"])
            .may_break(&["gateway-api.crds.bundle"])
            .diagnosed("crd-gone"),
        Fault::new("gateway-api.gateways-gone", Removed(crd(GATEWAYS)))
            .breaks(&["gateway-api.crds.established", "gateway-api.guard.one-name"])
            .may_break(&["gateway-api.crds.bundle", "gateway-api.classes"])
            .diagnosed("crd-gone"),
        Fault::new("gateway-api.other-bundle", Changed::new(crd(GRPC_ROUTES), other_bundle))
            .breaks(&["gateway-api.crds.bundle"])
            .diagnosed("other-bundle"),
        Fault::new("gateway-api.other-channel", Changed::new(crd(GRPC_ROUTES), other_channel))
            .breaks(&["gateway-api.crds.bundle"])
            .diagnosed("other-bundle"),
    ]
}
