//! Guide 2.2: the `istioctl` client and what `istioctl version` says before and after the installation.

mod common;

use rstest::rstest;

#[rstest]
#[case::version_client("istioctl.version.client")]
#[case::version_before_install("istioctl.version.before-install")]
#[case::version_after_install("istioctl.version.after-install")]
#[case::download_newest("istioctl.download.newest")]
#[case::version_always_succeeds("istioctl.version.always-succeeds")]
fn outcome(#[case] id: &str) {
    common::prove(id);
}
