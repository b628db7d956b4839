//! The Dashboard's login over its API, through the API server. Source: kubernetes/dashboard v2.7.0 `src/app/backend/auth`.
//!
//! Through the API server an `Authorization` header never arrives (it is taken off after authentication), so the session travels in
//! the header `jweToken`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::environment::Answer;
use super::{DASHBOARD_NAMESPACE, Environment, Stop};
use crate::journal::Secret;
use crate::wait::{Limit, Progress};

/// The Dashboard's path below the API server. The scheme and the trailing colon are needed: the Dashboard speaks HTTPS only.
pub(super) fn base() -> String {
    format!("/api/v1/namespaces/{DASHBOARD_NAMESPACE}/services/https:kubernetes-dashboard:/proxy")
}

/// What the Dashboard said to a login.
#[derive(Debug)]
pub(super) struct Login {
    /// Status code; a wrong token gives 200 as well.
    pub status: StatusCode,
    /// The user's name in the answer.
    pub name: String,
    /// The session, if there is one.
    pub session: Option<Secret>,
    /// The messages of `errors`.
    pub errors: Vec<String>,
}

impl Login {
    /// For evidence and messages; the session itself is left out.
    pub(super) fn brief(&self) -> Value {
        json!({"status": self.status.as_u16(), "name": self.name, "session": self.session.is_some(), "errors": self.errors})
    }

    /// Whether the Dashboard judged the token and refused it, which is not the same as failing.
    pub(super) fn refused(&self) -> bool {
        self.session.is_none()
            && (matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                || (self.status == StatusCode::OK && !self.errors.is_empty()))
    }
}

/// Waits until the Dashboard answers a path with something that is not the API server's own "no endpoints" or a connection error.
pub(super) async fn answer(env: &Environment, path: &str) -> Result<Answer, Stop> {
    // No answer comes from a node that is down, however long one waits.
    env.require_alive(DASHBOARD_NAMESPACE, "k8s-app=kubernetes-dashboard").await?;
    let full = format!("{}{path}", base());
    let attempt = || async {
        match env.request(Method::GET, &full, &[], None).await {
            Ok(answer) if answer.status.is_server_error() => Progress::NotYet(answer.brief()),
            Ok(answer) => Progress::Ready(answer),
            Err(e) => Progress::NotYet(crate::error::one_line(&e)),
        }
    };
    Ok(env.waiting.poll("the Dashboard answers", Limit::ServiceAnswer, Duration::from_millis(500), attempt).await?)
}

/// How often something on the network must answer in a row: one answer of two endpoints of which one is broken proves little.
const IN_A_ROW: usize = 5;

/// Waits for an answer to a path, then asks again at once until that many were given, and tells how each was.
///
/// # Errors
/// When there is none in time, or one request after it gets none at all.
pub(super) async fn answers(env: &Environment, path: &str) -> Result<Vec<Answer>, Stop> {
    let mut answers = vec![answer(env, path).await?];
    let full = format!("{}{path}", base());
    while answers.len() < IN_A_ROW {
        answers.push(env.request(Method::GET, &full, &[], None).await?);
    }
    Ok(answers)
}

/// Logs in with a token: a CSRF token first, then the login itself.
pub(super) async fn login(env: &Environment, token: &Secret) -> Result<Login, Stop> {
    let csrf = answer(env, "/api/v1/csrftoken/login").await?;
    let csrf_token = csrf.json()["token"].as_str().map(str::to_owned);
    let Some(csrf_token) = csrf_token.filter(|t| !t.is_empty()) else {
        return Err(Stop::Failed(format!("the Dashboard gives no CSRF token: {}", csrf.brief())));
    };
    let body = json!({"token": token.expose()});
    let headers = [("X-CSRF-TOKEN", csrf_token.as_str())];
    let answer = env.request(Method::POST, &format!("{}/api/v1/login", base()), &headers, Some(&body)).await?;
    let said = answer.json();
    let session = match &said["jweToken"] {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        Value::Object(o) if !o.is_empty() => Some(said["jweToken"].to_string()),
        _ => None,
    };
    if let Some(session) = &session {
        env.context.journal.redactor().learn(session);
    }
    Ok(Login {
        status: answer.status,
        name: said["name"].as_str().unwrap_or_default().to_owned(),
        session: session.map(Secret::new),
        errors: messages(&said["errors"]),
    })
}

/// A call with a session, or without one.
pub(super) async fn get(env: &Environment, path: &str, session: Option<&Secret>) -> Result<Answer, Stop> {
    let headers: Vec<(&str, &str)> = session.iter().map(|s| ("jweToken", s.expose())).collect();
    env.request(Method::GET, &format!("{}{path}", base()), &headers, None).await
}

/// Names in a list of the Dashboard: every `objectMeta.name` of its one array of objects, sorted.
pub(super) fn names(list: &Value, field: &str) -> Vec<String> {
    let items = list[field].as_array().or_else(|| list["items"].as_array());
    let mut names: Vec<String> = items.into_iter().flatten().filter_map(|i| Some(i["objectMeta"]["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

/// The texts of an `errors` field, which is an array of Status-like objects, or null.
pub(super) fn messages(errors: &Value) -> Vec<String> {
    let text = |e: &Value| {
        let message = e["ErrStatus"]["message"].as_str().or_else(|| e["message"].as_str()).or_else(|| e.as_str());
        message.map_or_else(|| e.to_string(), str::to_owned)
    };
    errors.as_array().into_iter().flatten().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(status: u16, session: bool, errors: &[&str]) -> Login {
        Login {
            status: StatusCode::from_u16(status).unwrap(),
            name: String::new(),
            session: session.then(|| Secret::new("s")),
            errors: errors.iter().map(|e| (*e).to_owned()).collect(),
        }
    }

    #[test]
    fn a_refusal_is_a_judgement_and_not_a_failure() {
        assert!(login(200, false, &["MSG_LOGIN_UNAUTHORIZED_ERROR"]).refused());
        assert!(login(401, false, &[]).refused());
        assert!(!login(200, true, &[]).refused());
        assert!(!login(200, false, &[]).refused(), "no session and no reason is no judgement");
        assert!(!login(500, false, &["boom"]).refused());
        assert!(!login(503, false, &[]).refused());
    }

    #[test]
    fn lists_and_errors_are_read_as_the_dashboard_writes_them() {
        let list =
            json!({"listMeta": {"totalItems": 2}, "nodes": [{"objectMeta": {"name": "b"}}, {"objectMeta": {"name": "a"}}], "errors": []});
        assert_eq!(names(&list, "nodes"), ["a", "b"]);
        assert_eq!(names(&list, "namespaces"), [""; 0]);
        let errors = json!([{"ErrStatus": {"message": "MSG_LOGIN_UNAUTHORIZED_ERROR", "code": 401}}, "plain"]);
        assert_eq!(messages(&errors), ["MSG_LOGIN_UNAUTHORIZED_ERROR", "plain"]);
        assert!(messages(&Value::Null).is_empty());
    }
}
