//! Tokens that a made-up cluster signs, and who believes them: the API server's reviews and the Dashboard's login.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::api::{Asked, Reply, ScriptedApi};

/// What the Dashboard hands out for a token that it accepts.
pub(crate) const SESSION: &str = "{\"protected\":\"a-session-of-the-dashboard\"}";
/// What it hands out to an account that has no rights.
const OTHER_SESSION: &str = "{\"protected\":\"a-session-of-nobody\"}";
const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
const CSRF: &str = "a-csrf-token";
const REFUSED: &str = "MSG_LOGIN_UNAUTHORIZED_ERROR";

/// The Dashboard's place below the API server.
pub(crate) const DASHBOARD: &str = "/api/v1/namespaces/kubernetes-dashboard/services/https:kubernetes-dashboard:/proxy";

/// The key that the made-up cluster signs with: a P-256 key in PKCS#8 whose secret number anybody can see here.
pub(crate) fn signing_key() -> String {
    let head = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
    let der = [hex::decode(head).expect("hex"), vec![0x11; 32]].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

fn sign(header: &Header, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(signing_key().as_bytes()).expect("a key");
    encode(header, claims, &key).expect("a token")
}

/// A token of a `ServiceAccount` of the Dashboard's namespace, from now on for so many seconds.
pub(crate) fn token(account: &str, seconds: i64) -> String {
    token_for(account, seconds, AUDIENCE)
}

/// A token that never expires, as those in Secrets do.
pub(crate) fn token_for_ever(account: &str) -> String {
    signed(account, None, AUDIENCE)
}

fn token_for(account: &str, seconds: i64, audience: &str) -> String {
    signed(account, Some(seconds), audience)
}

fn signed(account: &str, seconds: Option<i64>, audience: &str) -> String {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "aud": [audience], "iss": AUDIENCE,
        "iat": now, "nbf": now, "sub": format!("system:serviceaccount:kubernetes-dashboard:{account}"),
    });
    if let Some(seconds) = seconds {
        claims["exp"] = json!(now + seconds);
    }
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k".to_owned());
    sign(&header, &claims)
}

/// The account of a token that was signed with the cluster's key and is not expired. Signatures are deterministic (RFC 6979), so a good one
/// is one that comes out again.
fn account(token: &str) -> Option<String> {
    let mut parts = token.split('.').map(|p| URL_SAFE_NO_PAD.decode(p));
    let header: Header = serde_json::from_slice(&parts.next()?.ok()?).ok()?;
    let claims: Value = serde_json::from_slice(&parts.next()?.ok()?).ok()?;
    let good = sign(&header, &claims) == token && claims["exp"].as_i64()? > Timestamp::now().as_second();
    let good = good && claims["aud"][0] == AUDIENCE;
    good.then(|| claims["sub"].as_str().map(str::to_owned))?
}

/// The tokens that a cluster makes for these accounts, for whatever audience they are asked for.
pub(crate) fn serve_tokens(api: &ScriptedApi, accounts: &[&str]) {
    for account in accounts {
        let name = (*account).to_owned();
        api.handle(&format!("POST /api/v1/namespaces/kubernetes-dashboard/serviceaccounts/{account}/token"), move |asked| {
            let audience = asked.body["spec"]["audiences"][0].as_str().unwrap_or(AUDIENCE);
            Reply::Json(
                201,
                json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": {"audiences": []},
                    "status": {"token": token_for(&name, 3600, audience), "expirationTimestamp": "2030-01-01T00:00:00Z"}}),
            )
        });
    }
}

/// The reviews of a cluster whose every account may do everything.
pub(crate) fn serve_reviews(api: &ScriptedApi) {
    api.handle("POST /apis/authentication.k8s.io/v1/tokenreviews", |asked| {
        let user = account(asked.body["spec"]["token"].as_str().unwrap_or_default());
        let error = user.is_none().then_some("invalid bearer token");
        let mut review = asked.body.clone();
        review["status"] = json!({"authenticated": user.is_some(), "user": {"username": user}, "error": error});
        Reply::Json(201, review)
    });
    api.handle("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", |asked| {
        let mut review = asked.body.clone();
        review["status"] = json!({"allowed": true});
        Reply::Json(201, review)
    });
}

/// Whether a login is one that the Dashboard lets in; `None` where its CSRF token is wrong.
pub(crate) fn accepts(asked: &Asked) -> Option<bool> {
    let token = asked.body["token"].as_str().unwrap_or_default();
    asked.headers.get("x-csrf-token").is_some_and(|t| t == CSRF).then(|| account(token).is_some())
}

/// The Dashboard 2.7 behind the API server's service proxy.
pub(crate) fn serve_dashboard(api: &ScriptedApi) {
    let refusal = || json!({"ErrStatus": {"status": "Failure", "message": REFUSED, "reason": "Unauthorized", "code": 401}});
    let page = "<!DOCTYPE html><html lang=\"en\"><script src=\"main.1.js\"></script></html>";
    api.always(&format!("GET {DASHBOARD}/"), Reply::Text(200, page.to_owned()));
    let gate = "['localhost','127.0.0.1'].includes(location.hostname)||'https:'===location.protocol";
    api.always(&format!("GET {DASHBOARD}/main.1.js"), Reply::Text(200, gate.to_owned()));
    api.always(&format!("GET {DASHBOARD}/api/v1/csrftoken/login"), Reply::Json(200, json!({"token": CSRF})));
    api.handle(&format!("POST {DASHBOARD}/api/v1/login"), move |asked| {
        if accepts(asked).is_none() {
            return Reply::Text(401, "CSRF validation failed".to_owned());
        }
        Reply::Json(
            200,
            match account(asked.body["token"].as_str().unwrap_or_default()) {
                Some(user) => {
                    let session = if user.ends_with(":default") { OTHER_SESSION } else { SESSION };
                    json!({"name": user.rsplit(':').next(), "jweToken": session, "errors": []})
                }
                None => json!({"name": "", "jweToken": "", "errors": [refusal()]}),
            },
        )
    });
    api.handle(&format!("GET {DASHBOARD}/api/v1/login/status"), |asked| {
        Reply::Json(200, json!({"tokenPresent": asked.headers.contains_key("jwetoken"), "headerPresent": false, "httpsMode": true}))
    });
    for (path, field) in [("node", "nodes"), ("namespace", "namespaces")] {
        let cluster = api.clone();
        api.handle(&format!("GET {DASHBOARD}/api/v1/{path}"), move |asked| {
            if asked.headers.get("jwetoken").is_some_and(|s| s == OTHER_SESSION) {
                return Reply::Json(200, json!({field: [], "errors": [refusal()]}));
            }
            if asked.headers.get("jwetoken").is_none_or(|s| s != SESSION) {
                return Reply::Text(401, REFUSED.to_owned());
            }
            let names = cluster.names(&format!("/api/v1/{field}"));
            let items: Vec<Value> = names.iter().map(|n| json!({"objectMeta": {"name": n}})).collect();
            Reply::Json(200, json!({"listMeta": {"totalItems": items.len()}, field: items, "errors": []}))
        });
    }
}
