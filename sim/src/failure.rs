//! What the API server answers when it does not do what was asked: a `Status` object (Kubernetes `apimachinery/pkg/api/errors`).

use serde_json::{Value, json};

/// One cause of an `Invalid` or a `Conflict`: type, message and the field's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// For example `FieldValueRequired`, `FieldValueInvalid`, `FieldManagerConflict`.
    pub reason: &'static str,
    /// In words.
    pub message: String,
    /// Path of the field, for example `spec.containers[0].name`.
    pub field: String,
}

/// A refusal with its HTTP status code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// `StatusReason`, for example `NotFound`.
    pub reason: &'static str,
    /// In words, as the real API server has them.
    pub message: String,
    /// Name in `details`.
    pub name: String,
    /// Group in `details`.
    pub group: String,
    /// Kind (really the plural for most reasons) in `details`.
    pub kind: String,
    /// Causes in `details`.
    pub causes: Vec<Cause>,
    /// `details.retryAfterSeconds`, and the header `Retry-After`.
    pub retry_after_seconds: u32,
    /// `metadata.continue`: how a client whose list token is too old may go on.
    pub continue_token: String,
}

impl Failure {
    /// Any refusal.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
            continue_token: String::new(),
        }
    }

    fn about(mut self, resource: &str, name: &str) -> Self {
        // `pods` or `deployments.apps`.
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        plural.clone_into(&mut self.kind);
        group.clone_into(&mut self.group);
        name.clone_into(&mut self.name);
        self
    }

    /// 404; `resource` is the plural with its group, for example `deployments.apps`.
    #[must_use]
    pub fn not_found(resource: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    /// 404 for a path that nothing is served under.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409 for a name that is taken.
    #[must_use]
    pub fn already_exists(resource: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} \"{name}\" already exists")).about(resource, name)
    }

    /// 409 for a write that does not fit the stored state.
    #[must_use]
    pub fn conflict(resource: &str, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}")).about(resource, name)
    }

    /// 409 for a `resourceVersion` that is out of date.
    #[must_use]
    pub fn modified(resource: &str, name: &str) -> Self {
        Self::conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    /// 422; `kind` is the kind with its group, for example `Deployment.apps`.
    #[must_use]
    pub fn invalid(kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let lines: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let all = if lines.len() == 1 { lines.join("") } else { format!("[{}]", lines.join(", ")) };
        let mut failure = Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {all}")).about(kind, name);
        failure.causes = causes;
        failure
    }

    /// 403, the whole sentence.
    #[must_use]
    pub fn forbidden(resource: &str, name: &str, message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 410 for a list or watch from a revision that is not kept any more.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 406.
    #[must_use]
    pub fn not_acceptable(accepted: &str) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"))
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 500.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {}", message.into()))
    }

    /// 503.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// The `Status` object.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut details = json!({});
        for (field, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                details[field] = json!(text);
            }
        }
        if !self.causes.is_empty() {
            let cause = |c: &Cause| json!({"reason": c.reason, "message": c.message, "field": c.field});
            details["causes"] = self.causes.iter().map(cause).collect();
        }
        if self.retry_after_seconds > 0 {
            details["retryAfterSeconds"] = json!(self.retry_after_seconds);
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.continue_token.is_empty() {
            status["metadata"]["continue"] = json!(self.continue_token);
        }
        if details.as_object().is_some_and(|d| !d.is_empty()) {
            status["details"] = details;
        }
        status
    }
}
