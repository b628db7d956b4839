//! Guide 2.4: the Gateway API CRDs, and the `GatewayClasses` that Istio makes of them.

mod common;

use rstest::rstest;

#[rstest]
#[case::crds_established("gateway-api.crds.established")]
#[case::crds_bundle("gateway-api.crds.bundle")]
#[case::classes_accepted("gateway-api.classes.accepted")]
#[case::guard_one_name("gateway-api.guard.one-name")]
fn outcome(#[case] id: &str) {
    common::prove(id);
}
