use std::time::Duration;

use sim::workload::Process;

use super::super::dashboard::Dashboard;
use super::*;

const NAMESPACE: &str = "kubernetes-dashboard";
const IMAGE: &str = "kubernetesui/dashboard:v2.7.0";

/// An API server that knows an administrator and somebody who may do nothing.
fn server() -> Call {
    call(|request| {
        let bearer = request.headers().get("authorization").map(|h| h.to_str().unwrap().to_owned());
        let status = |code: u16, reason: &str, message: &str| {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
            });
            (code, status)
        };
        let forbidden = || status(403, "Forbidden", "nodes is forbidden");
        let admin = match bearer.as_deref() {
            Some("Bearer admin") => true,
            Some("Bearer nobody") => false,
            None if request.uri().path() == "/version" => return (200, json!({"gitVersion": "v1.33.4"})),
            _ => return status(401, "Unauthorized", "Unauthorized"),
        };
        match request.uri().path() {
            "/version" => (200, json!({"gitVersion": "v1.33.4"})),
            "/apis/authentication.k8s.io/v1/tokenreviews" if admin => {
                let asked: Value = serde_json::from_slice(request.body()).unwrap();
                assert_eq!(asked["spec"]["token"], "admin");
                (
                    201,
                    json!({"status": {"authenticated": true, "user": {"username": "system:serviceaccount:kubernetes-dashboard:admin-user"}}}),
                )
            }
            "/api/v1/nodes" if admin => {
                (200, json!({"items": [{"metadata": {"name": "worker"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}]}))
            }
            "/api/v1/namespaces/kube-system/pods" if admin => {
                (200, json!({"items": [{"metadata": {"name": "etcd", "namespace": "kube-system"}, "status": {"phase": "Running"}}]}))
            }
            _ => forbidden(),
        }
    })
}

async fn dashboard() -> (Arc<dyn Instance>, Start) {
    let api = api(&[NAMESPACE]);
    let (instance, start) = run(&Dashboard, &api, (NAMESPACE, "d"), IMAGE, server());
    let log = start.log.clone();
    until("it listens", || log.lines().1.iter().any(|(_, line)| line.contains("Serving securely on HTTPS port: 8443"))).await;
    (instance, start)
}

async fn csrf(instance: &Arc<dyn Instance>, action: &str) -> String {
    let said = json_of(instance, get(8443, true, &format!("/api/v1/csrftoken/{action}"))).await;
    said["token"].as_str().unwrap().to_owned()
}

async fn login(instance: &Arc<dyn Instance>, token: &str) -> Value {
    let csrf = csrf(instance, "login").await;
    json_of(instance, post(8443, "/api/v1/login", &json!({"token": token}), &[("x-csrf-token", &csrf)])).await
}

async fn nodes(instance: &Arc<dyn Instance>, session: &str) -> (u16, String) {
    said(instance, with(get(8443, true, "/api/v1/node"), &[("jwetoken", session)])).await
}

#[tokio::test]
async fn the_page_says_what_it_is() {
    let (instance, _) = dashboard().await;
    let (code, page) = said(&instance, get(8443, true, "/")).await;
    assert!(code == 200 && page.contains("<html") && page.contains("simulated"));
    let (code, text) = said(&instance, get(8443, false, "/")).await;
    assert_eq!((code, text.as_str()), (400, "Client sent an HTTP request to an HTTPS server.\n"));
    assert!(refused(&instance, 9090).await);
}

#[tokio::test]
async fn a_good_token_gives_a_session_that_sees_what_the_token_may() {
    let (instance, _) = dashboard().await;
    let given = login(&instance, "admin").await;
    assert_eq!((&given["name"], &given["errors"]), (&json!("admin-user"), &json!([])));
    let session = given["jweToken"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(session).is_ok_and(|jwe| jwe["ciphertext"].is_string()));
    let status = json_of(&instance, with(get(8443, true, "/api/v1/login/status"), &[("jwetoken", session)])).await;
    assert!(status["tokenPresent"] == true && status["headerPresent"] == false && status["httpsMode"] == true);
    let list: Value = serde_json::from_str(&nodes(&instance, session).await.1).unwrap();
    assert_eq!((&list["listMeta"]["totalItems"], &list["errors"]), (&json!(1), &json!([])));
    assert_eq!((&list["nodes"][0]["objectMeta"]["name"], &list["nodes"][0]["ready"]), (&json!("worker"), &json!("True")));
    let pods = json_of(&instance, with(get(8443, true, "/api/v1/pod/kube-system"), &[("jwetoken", session)])).await;
    assert_eq!((&pods["pods"][0]["objectMeta"]["name"], &pods["status"]["running"]), (&json!("etcd"), &json!(1)));
}

#[tokio::test]
async fn a_bad_token_is_refused_with_200_and_an_error() {
    let (instance, _) = dashboard().await;
    for token in ["wrong", "no\nheader"] {
        let given = login(&instance, token).await;
        assert_eq!(given["jweToken"], "");
        let error = &given["errors"][0]["ErrStatus"];
        assert_eq!((&error["message"], &error["code"]), (&json!("MSG_LOGIN_UNAUTHORIZED_ERROR"), &json!(401)));
        assert_eq!((&error["reason"], &error["status"], &error["metadata"]), (&json!("Unauthorized"), &json!("Failure"), &json!({})));
    }
}

#[tokio::test]
async fn who_may_not_review_tokens_still_gets_in_and_sees_the_refusals() {
    let (instance, _) = dashboard().await;
    let given = login(&instance, "nobody").await;
    assert_eq!(given["name"], "");
    let (code, list) = nodes(&instance, given["jweToken"].as_str().unwrap()).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((code, &list["errors"][0]["ErrStatus"]["reason"], &list["nodes"]), (200, &json!("Forbidden"), &json!([])));
}

#[tokio::test]
async fn a_login_needs_a_csrf_token_and_a_token() {
    let (instance, _) = dashboard().await;
    let body = json!({"token": "admin"});
    let other = csrf(&instance, "token").await;
    for headers in [vec![], vec![("x-csrf-token", "nonsense")], vec![("x-csrf-token", other.as_str())]] {
        let (code, text) = said(&instance, post(8443, "/api/v1/login", &body, &headers)).await;
        assert_eq!((code, text.trim()), (401, "CSRF validation failed"));
    }
    let good = csrf(&instance, "login").await;
    let (code, text) = said(&instance, post(8443, "/api/v1/login", &json!({}), &[("x-csrf-token", &good)])).await;
    assert_eq!((code, text.trim()), (500, "Not enough data to create authenticator."));
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_see() {
    let (instance, _) = dashboard().await;
    let (code, text) = said(&instance, get(8443, true, "/api/v1/node")).await;
    assert_eq!((code, text.trim()), (401, "MSG_LOGIN_UNAUTHORIZED_ERROR"));
    let list = json_of(&instance, with(get(8443, true, "/api/v1/node"), &[("authorization", "Bearer admin"), ("jwetoken", "x")])).await;
    assert_eq!(list["listMeta"]["totalItems"], 1, "the Authorization header comes first");
}

#[tokio::test]
async fn sessions_end_after_a_quarter_of_an_hour_unless_refreshed() {
    let (instance, start) = dashboard().await;
    let given = login(&instance, "admin").await;
    let session = given["jweToken"].as_str().unwrap();
    start.api.clock().skip(Duration::from_secs(800));
    let csrf = csrf(&instance, "token").await;
    let body = json!({"jweToken": session});
    let renewed = json_of(&instance, post(8443, "/api/v1/token/refresh", &body, &[("x-csrf-token", &csrf)])).await;
    start.api.clock().skip(Duration::from_secs(101));
    let (code, text) = nodes(&instance, session).await;
    assert_eq!((code, text.trim()), (401, "MSG_TOKEN_EXPIRED_ERROR"));
    assert_eq!(nodes(&instance, renewed["jweToken"].as_str().unwrap()).await.0, 200);
}

#[tokio::test]
async fn deleting_the_key_ends_every_session() {
    let (instance, start) = dashboard().await;
    let given = login(&instance, "admin").await;
    let secrets = start.api.resource("secrets").unwrap();
    let key = (NAMESPACE, "kubernetes-dashboard-key-holder");
    start.api.delete(&secrets, key, &Default::default()).unwrap();
    let (code, text) = nodes(&instance, given["jweToken"].as_str().unwrap()).await;
    assert_eq!((code, text.trim()), (401, "MSG_ENCRYPTION_KEY_CHANGED"));
    let again = login(&instance, "admin").await;
    assert_eq!(nodes(&instance, again["jweToken"].as_str().unwrap()).await.0, 200);
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let (instance, start) = dashboard().await;
    let given = login(&instance, "admin").await;
    let (_, lines) = start.log.lines();
    let key = start.api.read("secrets", NAMESPACE, "kubernetes-dashboard-key-holder").unwrap()["data"]["key"].clone();
    for secret in [given["jweToken"].as_str().unwrap(), key.as_str().unwrap()] {
        assert!(lines.iter().all(|(_, line)| !line.contains(secret)));
    }
}

#[tokio::test]
async fn without_an_api_server_it_ends() {
    let api = api(&[NAMESPACE]);
    let down = call(|_| (503, json!({"message": "no"})));
    let (instance, _) = run(&Dashboard, &api, (NAMESPACE, "d"), IMAGE, down);
    let mut process = instance.process();
    let ended = process.wait_for(|p| *p != Process::Running).await.unwrap().clone();
    assert_eq!(ended, Process::Exited { code: 1, reason: "Error".into() });
    assert!(refused(&instance, 8443).await);
}
