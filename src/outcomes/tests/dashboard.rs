//! What breaks the Dashboard, its user and its token.

use serde_json::json;

use super::cases::{Case, check};
use crate::testing::api::Reply;
use crate::testing::environment::LISTED;
use crate::testing::guide;
use crate::testing::tokens::{DASHBOARD, token};

const APPS: &str = "/apis/apps/v1/namespaces/kubernetes-dashboard/deployments";
const POD: &str = "/api/v1/namespaces/kubernetes-dashboard/pods/kubernetes-dashboard-b7ffbc8cb-zl8zg";
const SCRAPER: &str = "/api/v1/namespaces/kubernetes-dashboard/pods/dashboard-metrics-scraper-6b5c7f7b5c-9xk2p";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/admin-user";

#[tokio::test]
async fn workloads() {
    check(&[
        Case {
            name: "a Deployment is not available",
            breaks: |w| w.api.edit(&format!("{APPS}/kubernetes-dashboard"), |d| d["status"]["availableReplicas"] = 0.into()),
            fails: &[("dashboard.deployments.available", "Deployment kubernetes-dashboard: 0 of 1 available")],
        },
        Case {
            name: "a Deployment is missing",
            breaks: |w| w.api.remove(&format!("{APPS}/dashboard-metrics-scraper")),
            fails: &[(
                "dashboard.deployments.available",
                "Deployment dashboard-metrics-scraper does not exist; kubernetes-dashboard has 1 Deployments",
            )],
        },
        Case {
            name: "a pod is 0/1",
            breaks: |w| w.api.edit(POD, |p| p["status"]["containerStatuses"][0]["ready"] = false.into()),
            fails: &[("dashboard.pods.running", "pod is not 1/1 Running: kubernetes-dashboard-b7ffbc8cb-zl8zg 0/1 Running")],
        },
        Case {
            name: "a pod cannot pull its image",
            breaks: |w| {
                w.api.edit(POD, |p| guide::waits(p, "ImagePullBackOff", "Back-off pulling image \"kubernetesui/dashboard:v2.7.0\""));
            },
            fails: &[
                ("dashboard.pods.stable", "does not run"),
                ("dashboard.pods.running", "container main: ImagePullBackOff: image kubernetesui/dashboard:v2.7.0: Back-off pulling image"),
            ],
        },
        Case {
            name: "the scraper has no pod",
            breaks: |w| w.api.remove(SCRAPER),
            fails: &[("dashboard.pods.running", "there is no pod of dashboard-metrics-scraper")],
        },
        Case {
            name: "the scraper crashes",
            breaks: |w| w.api.edit(SCRAPER, |p| guide::waits(p, "CrashLoopBackOff", "back-off 10s")),
            fails: &[
                ("dashboard.pods.stable", "does not run"),
                (
                    "dashboard.pods.running",
                    "dashboard-metrics-scraper-6b5c7f7b5c-9xk2p on istio-cluster-worker: container main: CrashLoopBackOff",
                ),
            ],
        },
        Case {
            name: "the Dashboard is of another version",
            breaks: |w| w.api.edit(POD, |p| p["spec"]["containers"][0]["image"] = "kubernetesui/dashboard:v2.6.1".into()),
            fails: &[("dashboard.pods.running", "the Dashboard runs kubernetesui/dashboard:v2.6.1, the spec wants :v2.7.0")],
        },
        Case {
            name: "the Dashboard's page is something else",
            breaks: |w| w.api.always(&format!("GET {DASHBOARD}/"), Reply::Text(200, "hello".into())),
            fails: &[("dashboard.service.answers", "the Dashboard's first page is no HTML")],
        },
        Case {
            name: "the Dashboard's page is not found",
            breaks: |w| w.api.always(&format!("GET {DASHBOARD}/"), Reply::Text(404, "<html>".into())),
            fails: &[("dashboard.service.answers", "the Dashboard answers HTTP 404")],
        },
        Case {
            name: "the Dashboard's page comes after its endpoints",
            breaks: |w| {
                let none = "no endpoints available for service \"https:kubernetes-dashboard:\"";
                w.api.next(&format!("GET {DASHBOARD}/"), [Reply::status(503, none), Reply::Refused]);
            },
            fails: &[],
        },
        Case {
            name: "the Dashboard's page comes now and then",
            breaks: |w| {
                let page = || Reply::Text(200, "<!doctype html><html>".into());
                w.api.next(&format!("GET {DASHBOARD}/"), [page(), page(), Reply::status(503, "connection refused")]);
            },
            fails: &[("dashboard.service.answers", ", answer 3 of 5 in a row")],
        },
        Case {
            name: "the Dashboard's page is lost in the end",
            breaks: |w| {
                let page = || Reply::Text(200, "<!doctype html><html>".into());
                w.api.next(&format!("GET {DASHBOARD}/"), [page(), page(), page(), page(), Reply::Refused]);
            },
            fails: &[("dashboard.service.answers", "cannot ask for")],
        },
        Case {
            name: "the Dashboard's page never comes",
            breaks: |w| {
                let none = "no endpoints available for service \"https:kubernetes-dashboard:\"";
                w.api.always(&format!("GET {DASHBOARD}/"), Reply::status(503, none));
            },
            fails: &[("dashboard.service.answers", "the Dashboard answers: not within 30 s; last seen: HTTP 503")],
        },
        Case {
            name: "the Dashboard's page hangs",
            breaks: |w| w.api.always(&format!("GET {DASHBOARD}/"), Reply::Hang),
            fails: &[("dashboard.service.answers", "the Dashboard answers: not within 30 s; last seen: no answer")],
        },
    ])
    .await;
}

#[tokio::test]
async fn the_admin_user() {
    check(&[
        Case {
            name: "the account is missing",
            breaks: |w| w.api.remove("/api/v1/namespaces/kubernetes-dashboard/serviceaccounts/admin-user"),
            fails: &[("dashboard.admin-user.exists", "ServiceAccount kubernetes-dashboard/admin-user does not exist")],
        },
        Case {
            name: "the binding is missing",
            breaks: |w| w.api.remove(BINDING),
            fails: &[
                ("dashboard.admin-user.no-namespace", "does not exist"),
                ("dashboard.admin-user.bound", "ClusterRoleBinding admin-user does not exist"),
            ],
        },
        Case {
            name: "the binding is to `view`",
            breaks: |w| w.api.edit(BINDING, |b| b["roleRef"]["name"] = "view".into()),
            fails: &[("dashboard.admin-user.bound", "does not give cluster-admin to ServiceAccount kubernetes-dashboard/admin-user")],
        },
        Case {
            name: "the binding is for an account of another namespace",
            breaks: |w| w.api.edit(BINDING, |b| b["subjects"][0]["namespace"] = "default".into()),
            fails: &[("dashboard.admin-user.bound", "does not give cluster-admin")],
        },
        Case {
            name: "the API server lets the account do less",
            breaks: |w| {
                w.api.handle("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", |asked| {
                    let mut review = asked.body.clone();
                    assert_eq!(review["spec"]["user"], "system:serviceaccount:kubernetes-dashboard:admin-user");
                    review["status"] = json!({"allowed": false});
                    Reply::Json(201, review)
                });
            },
            fails: &[("dashboard.admin-user.bound", "ServiceAccount kubernetes-dashboard/admin-user may not do everything")],
        },
        Case {
            name: "the API server refuses the review",
            breaks: |w| {
                w.api.always("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", Reply::status(500, "etcdserver: timed out"));
            },
            fails: &[("dashboard.admin-user.bound", "cannot review the account's access: etcdserver: timed out (HTTP 500)")],
        },
    ])
    .await;
}

/// What cannot be judged without a token, for this reason.
const fn without_token(reason: &'static str) -> [(&'static str, &'static str); 7] {
    [
        ("dashboard.token.short-lived", reason),
        ("dashboard.token.valid", reason),
        ("dashboard.login.accepted", reason),
        ("dashboard.login.cluster-admin", reason),
        ("dashboard.login.wrong-token-refused", reason),
        ("dashboard.login.expired-token-refused", reason),
        ("dashboard.login.without-session-refused", reason),
    ]
}

#[tokio::test]
async fn the_token() {
    const NONE: [(&str, &str); 7] = without_token("create token admin-user");
    const NO_TOKEN: [(&str, &str); 7] = without_token("printed something that is no JSON Web Token");
    check(&[
        Case { name: "kubectl cannot make a token", breaks: |w| kubectl_says(w, &[]), fails: &NONE },
        Case { name: "kubectl prints something else", breaks: |w| kubectl(w, "Hello"), fails: &NO_TOKEN },
        Case {
            name: "the token is for another account",
            breaks: |w| kubectl(w, &token("other", 3600)),
            fails: &[("dashboard.token.valid", "kubernetes-dashboard:other\", not system:serviceaccount:kubernetes-dashboard:admin-user")],
        },
        Case {
            name: "the API server does not believe the token",
            breaks: |w| {
                w.api.handle("POST /apis/authentication.k8s.io/v1/tokenreviews", |asked| {
                    let mut review = asked.body.clone();
                    review["status"] = json!({"authenticated": false, "error": "the key was rotated"});
                    Reply::Json(201, review)
                });
            },
            fails: &[(
                "dashboard.token.valid",
                "the API server does not accept the token: the key was rotated; the API server takes the token for ",
            )],
        },
        Case {
            name: "the API server takes the token for somebody else's",
            breaks: |w| {
                w.api.handle("POST /apis/authentication.k8s.io/v1/tokenreviews", |asked| {
                    let mut review = asked.body.clone();
                    review["status"] = json!({"authenticated": true, "user": {"username": "system:anonymous"}});
                    Reply::Json(201, review)
                });
            },
            fails: &[("dashboard.token.valid", "the API server takes the token for system:anonymous")],
        },
    ])
    .await;
}

fn kubectl(world: &mut crate::testing::environment::World, token: &str) {
    kubectl_says(world, &[("create token", token)]);
}

fn kubectl_says(world: &mut crate::testing::environment::World, more: &[(&str, &str)]) {
    let always = [("version --client", "{\"clientVersion\":{\"gitVersion\":\"v1.33.4\"}}"), ("get pod", LISTED)];
    world.tool("kubectl", &[&always, more].concat());
}
