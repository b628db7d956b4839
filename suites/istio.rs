//! Guide 2.3: the installation of Istio in ambient mode and what it leaves running.

mod common;

use rstest::rstest;

#[rstest]
#[case::install_lines("istio.install.lines")]
#[case::istiod_ready("istio.istiod.ready")]
#[case::cni_every_node("istio.cni.every-node")]
#[case::ztunnel_every_node("istio.ztunnel.every-node")]
#[case::pods_stable("istio.pods.stable")]
#[case::install_order_varies("istio.install.order-varies")]
fn outcome(#[case] id: &str) {
    common::prove(id);
}
