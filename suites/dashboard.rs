//! Guide 2.1.2: the Dashboard, its admin user, the token login and `kubectl proxy`.

mod common;

use rstest::rstest;
use serial_test::file_serial;

#[rstest]
#[case::deployments_available("dashboard.deployments.available")]
#[case::pods_running("dashboard.pods.running")]
#[case::service_answers("dashboard.service.answers")]
#[case::admin_user_exists("dashboard.admin-user.exists")]
#[case::admin_user_bound("dashboard.admin-user.bound")]
#[case::token_valid("dashboard.token.valid")]
#[case::login_accepted("dashboard.login.accepted")]
#[case::login_cluster_admin("dashboard.login.cluster-admin")]
#[case::login_wrong_token_refused("dashboard.login.wrong-token-refused")]
#[case::login_expired_token_refused("dashboard.login.expired-token-refused")]
#[case::login_without_session_refused("dashboard.login.without-session-refused")]
#[case::pods_listed("dashboard.pods.listed")]
#[case::pods_stable("dashboard.pods.stable")]
#[case::token_short_lived("dashboard.token.short-lived")]
#[case::login_foreign_audience_refused("dashboard.login.foreign-audience-refused")]
#[case::login_other_account_limited("dashboard.login.other-account-limited")]
#[case::pods_always_pull("dashboard.pods.always-pull")]
#[case::project_archived("dashboard.project.archived")]
#[case::admin_user_no_namespace("dashboard.admin-user.no-namespace")]
#[case::login_page_closed("dashboard.login.page-closed")]
fn outcome(#[case] id: &str) {
    common::prove(id);
}

// They listen on one port of this machine, so they take turns, also with other test processes.
#[rstest]
#[case::proxy_serves("dashboard.proxy.serves")]
#[case::proxy_foreign_host_refused("dashboard.proxy.foreign-host-refused")]
#[case::proxy_exec_refused("dashboard.proxy.exec-refused")]
#[case::proxy_loopback_only("dashboard.proxy.loopback-only")]
#[case::proxy_wildcard_open("dashboard.proxy.wildcard-open")]
#[file_serial(meshproof_kubectl_proxy)]
fn outcome_in_turn(#[case] id: &str) {
    common::prove(id);
}
