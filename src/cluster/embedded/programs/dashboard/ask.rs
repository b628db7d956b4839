//! What the Dashboard asks the API server, always with the visitor's token: the API server decides what the visitor may see.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sim::workload::Call;

use super::super::reply;
use super::UNAUTHORIZED;
use super::lists::Kind;
use crate::journal::Secret;

/// A way to the API server.
#[derive(Clone)]
pub(super) struct Asker(Call);

/// What the API server refused with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    status: Value,
}

impl Refusal {
    /// An error of the Dashboard itself.
    pub(super) fn internal(message: &str) -> Self {
        Self { code: 500, status: json!({"message": message}) }
    }

    /// Whether the Dashboard tells it beside what it has, rather than failing. Source: `errors/handler.go` `NonCriticalErrors`.
    pub(super) fn is_about_access(&self) -> bool {
        matches!(self.code, 401 | 403)
    }

    /// With the message that the user interface translates. Source: `errors/localizer.go`.
    pub(super) fn localised(mut self) -> Self {
        if self.code == 401 {
            self.status = json!({
                "metadata": {}, "status": "Failure", "message": UNAUTHORIZED, "reason": "Unauthorized", "code": 401,
            });
        }
        self
    }

    /// As it stands in a field `errors`.
    pub(super) fn error(&self) -> Value {
        json!({"ErrStatus": self.status})
    }

    /// As an answer of its own.
    pub(super) fn response(&self) -> Response<Bytes> {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply::text(code, format!("{}\n", self.status["message"].as_str().unwrap_or_default()))
    }
}

impl Asker {
    pub(super) fn new(call: Call) -> Self {
        Self(call)
    }

    async fn ask(&self, method: Method, path: &str, token: Option<&Secret>, body: Option<&Value>) -> Result<Value, Refusal> {
        let mut request = Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        // A token with characters that no header can have is none.
        let Ok(request) = request.body(body) else {
            return Err(Refusal { code: 401, status: json!({"message": UNAUTHORIZED}) }.localised());
        };
        let response = (self.0)(request).await;
        let said: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status().is_success() {
            return Ok(said);
        }
        let mut status = said;
        if status["message"].as_str().is_none() {
            status = json!({"metadata": {}, "status": "Failure", "message": String::from_utf8_lossy(response.body()), "code": response.status().as_u16()});
        }
        // The type is known to the one who reads it.
        for field in ["kind", "apiVersion"] {
            status.as_object_mut().map(|o| o.remove(field));
        }
        Err(Refusal { code: response.status().as_u16(), status })
    }

    /// Whether the API server answers at all.
    pub(super) async fn version(&self, token: Option<&Secret>) -> Result<(), Refusal> {
        self.ask(Method::GET, "/version", token, None).await.map(drop)
    }

    /// Whose token it is: the version is asked for with it, then a review of itself. Who may not have reviews made is nameless, not refused.
    /// Source: `client/manager.go` `HasAccess`.
    pub(super) async fn who(&self, token: &Secret) -> Result<String, Refusal> {
        self.version(Some(token)).await?;
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {"token": token.expose()},
        });
        match self.ask(Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", Some(token), Some(&review)).await {
            Ok(review) => {
                let user = review["status"]["user"]["username"].as_str().unwrap_or_default();
                // `system:serviceaccount:<namespace>:<name>`
                Ok(user.rsplit(':').next().unwrap_or_default().to_owned())
            }
            Err(refusal) if refusal.code == 403 => Ok(String::new()),
            Err(refusal) => Err(refusal),
        }
    }

    /// The objects of a kind that the token may see.
    pub(super) async fn list(&self, kind: Kind, namespace: &str, token: &Secret) -> Result<Vec<Value>, Refusal> {
        let mut list = self.ask(Method::GET, &kind.path(namespace), Some(token), None).await?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }
}
