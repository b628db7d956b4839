//! What breaks the login to the Dashboard, in either direction.

use serde_json::{Value, json};

use super::cases::{Case, check};
use crate::testing::api::Reply;
use crate::testing::environment::World;
use crate::testing::tokens::{DASHBOARD, SESSION};

fn line(verb: &str, path: &str) -> String {
    format!("{verb} {DASHBOARD}/api/v1/{path}")
}

fn accepted() -> Value {
    json!({"name": "admin-user", "jweToken": SESSION, "errors": []})
}

fn refusal(message: &str) -> Value {
    json!({"jweToken": "", "errors": [{"ErrStatus": {"message": message, "code": 401}}]})
}

/// A login that answers a well-formed request by what its token says, and nothing about who signed it.
fn login(world: &World, answer: fn(&str) -> Value) {
    world.api.handle(&line("POST", "login"), move |asked| {
        if !asked.headers.contains_key("x-csrf-token") {
            return Reply::Text(401, "CSRF validation failed".into());
        }
        Reply::Json(200, answer(asked.body["token"].as_str().unwrap_or_default()))
    });
}

/// What a Dashboard fails that lets nobody in.
const NOBODY: &[(&str, &str)] = &[
    ("dashboard.login.accepted", "the Dashboard refuses the token: MSG_LOGIN_UNAUTHORIZED_ERROR"),
    ("dashboard.login.cluster-admin", "the Dashboard refuses the token: MSG_LOGIN_UNAUTHORIZED_ERROR"),
    ("dashboard.login.wrong-token-refused", "even the right token is refused"),
    ("dashboard.login.expired-token-refused", "a token signed with the cluster's own key is refused"),
    ("dashboard.login.without-session-refused", "with a session the list is refused"),
    ("dashboard.login.foreign-audience-refused", "even a token for the API server is refused"),
];

#[tokio::test]
async fn who_is_let_in() {
    check(&[
        Case { name: "nobody", breaks: |w| login(w, |_| refusal("MSG_LOGIN_UNAUTHORIZED_ERROR")), fails: NOBODY },
        Case {
            name: "everybody",
            breaks: |w| login(w, |_| accepted()),
            fails: &[
                ("dashboard.login.foreign-audience-refused", "is not refused"),
                ("dashboard.login.other-account-limited", "sees the nodes"),
                ("dashboard.login.wrong-token-refused", "a token with garbage is not refused"),
                ("dashboard.login.expired-token-refused", "an expired token is not refused"),
            ],
        },
        Case {
            name: "every token that looks like one",
            breaks: |w| login(w, |token| if token.starts_with("ey") { accepted() } else { refusal("MSG_LOGIN_UNAUTHORIZED_ERROR") }),
            fails: &[
                ("dashboard.login.foreign-audience-refused", "is not refused"),
                ("dashboard.login.other-account-limited", "sees the nodes"),
                ("dashboard.login.wrong-token-refused", "a token with damagedSignature is not refused"),
                ("dashboard.login.expired-token-refused", "an expired token is not refused"),
            ],
        },
        Case {
            name: "a session comes together with errors",
            breaks: |w| {
                let good = crate::testing::tokens::accepts;
                w.api.handle(&line("POST", "login"), move |asked| match good(asked) {
                    Some(true) => Reply::Json(200, json!({"jweToken": SESSION, "errors": [{"ErrStatus": {"message": "half a login"}}]})),
                    Some(false) => Reply::Json(200, refusal("MSG_LOGIN_UNAUTHORIZED_ERROR")),
                    None => Reply::Text(401, "CSRF validation failed".into()),
                });
            },
            fails: &[
                ("dashboard.login.other-account-limited", "sees the nodes"),
                ("dashboard.login.accepted", "the Dashboard refuses the token: half a login"),
            ],
        },
        Case {
            name: "a wrong token makes the Dashboard fail instead of refuse",
            breaks: |w| {
                let good = crate::testing::tokens::accepts;
                w.api.handle(&line("POST", "login"), move |asked| match good(asked) {
                    Some(true) => Reply::Json(200, accepted()),
                    Some(false) => Reply::Text(500, "boom".into()),
                    None => Reply::Text(401, "CSRF validation failed".into()),
                });
            },
            fails: &[
                ("dashboard.login.foreign-audience-refused", "is not refused"),
                ("dashboard.login.other-account-limited", "sees the nodes"),
                ("dashboard.login.wrong-token-refused", "a token with garbage is not refused"),
                ("dashboard.login.expired-token-refused", "an expired token is not refused"),
            ],
        },
        Case {
            name: "the signing key cannot be read",
            breaks: |w| w.nodes.remove_file("istio-cluster-control-plane", "/etc/kubernetes/pki/sa.key"),
            fails: &[("dashboard.login.expired-token-refused", "/etc/kubernetes/pki/sa.key: No such file or directory")],
        },
        Case {
            name: "the signing key is no key",
            breaks: |w| w.nodes.file("istio-cluster-control-plane", "/etc/kubernetes/pki/sa.key", "no key"),
            fails: &[("dashboard.login.expired-token-refused", "the signing key on istio-cluster-control-plane is not usable")],
        },
    ])
    .await;
}

#[tokio::test]
async fn what_a_session_gives() {
    check(&[
        Case {
            name: "the session is not recognised",
            breaks: |w| w.api.always(&line("GET", "login/status"), Reply::Json(200, json!({"tokenPresent": false}))),
            fails: &[("dashboard.login.accepted", "the session is not recognised: HTTP 200")],
        },
        Case {
            name: "the Dashboard shows one node only",
            breaks: |w| {
                let with = json!({"nodes": [{"objectMeta": {"name": "istio-cluster-worker"}}], "errors": []});
                w.api.handle(&line("GET", "node"), move |asked| {
                    if asked.headers.contains_key("jwetoken") { Reply::Json(200, with.clone()) } else { Reply::Text(401, String::new()) }
                });
            },
            fails: &[
                ("dashboard.login.other-account-limited", "sees the nodes"),
                (
                    "dashboard.login.cluster-admin",
                    "the Dashboard lists the nodes [\"istio-cluster-worker\"], the API server [\"istio-cluster-control-plane\"",
                ),
            ],
        },
        Case {
            name: "the user may not list namespaces",
            breaks: |w| {
                let denied = json!({"namespaces": [], "errors": [{"ErrStatus": {"message": "namespaces is forbidden"}}]});
                w.api.always(&line("GET", "namespace"), Reply::Json(200, denied));
            },
            fails: &[("dashboard.login.cluster-admin", "listing namespaces: namespaces is forbidden")],
        },
        Case {
            name: "anybody may list nodes",
            breaks: |w| {
                let cluster = w.api.clone();
                w.api.handle(&line("GET", "node"), move |_| {
                    let items: Vec<Value> = cluster.names("/api/v1/nodes").iter().map(|n| json!({"objectMeta": {"name": n}})).collect();
                    Reply::Json(200, json!({"nodes": items, "errors": []}))
                });
            },
            fails: &[
                ("dashboard.login.other-account-limited", "sees the nodes"),
                ("dashboard.login.without-session-refused", "without a session the list gives HTTP 200"),
            ],
        },
        Case {
            name: "a login needs no CSRF token",
            breaks: |w| {
                let good = crate::testing::tokens::accepts;
                w.api.handle(&line("POST", "login"), move |asked| {
                    Reply::Json(200, if good(asked) == Some(true) { accepted() } else { refusal("MSG_LOGIN_UNAUTHORIZED_ERROR") })
                });
            },
            fails: &[
                ("dashboard.login.other-account-limited", "sees the nodes"),
                ("dashboard.login.without-session-refused", "a login without a CSRF token gives HTTP 200"),
            ],
        },
        Case {
            name: "there is no CSRF token",
            breaks: |w| w.api.always(&line("GET", "csrftoken/login"), Reply::Json(200, json!({"token": ""}))),
            fails: &[
                ("dashboard.login.foreign-audience-refused", "gives no CSRF token"),
                ("dashboard.login.other-account-limited", "gives no CSRF token"),
                ("dashboard.login.accepted", "the Dashboard gives no CSRF token"),
                ("dashboard.login.cluster-admin", "the Dashboard gives no CSRF token"),
                ("dashboard.login.wrong-token-refused", "the Dashboard gives no CSRF token"),
                ("dashboard.login.expired-token-refused", "the Dashboard gives no CSRF token"),
                ("dashboard.login.without-session-refused", "the Dashboard gives no CSRF token"),
            ],
        },
        Case {
            name: "the session is an object, as some versions give it",
            breaks: |w| {
                let good = crate::testing::tokens::accepts;
                w.api.handle(&line("POST", "login"), move |asked| match good(asked) {
                    Some(true) => Reply::Json(
                        200,
                        json!({"name": "admin-user", "jweToken": {"protected": "a-session-of-the-dashboard"}, "errors": []}),
                    ),
                    Some(false) => Reply::Json(200, refusal("MSG_LOGIN_UNAUTHORIZED_ERROR")),
                    None => Reply::Text(401, "CSRF validation failed".into()),
                });
            },
            fails: &[("dashboard.login.other-account-limited", "sees the nodes")],
        },
    ])
    .await;
}
