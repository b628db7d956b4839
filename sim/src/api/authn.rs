//! Who a bearer token speaks for. Source: kubernetes `pkg/serviceaccount/claims.go`.

use super::Api;
use crate::auth::identity::User;
use crate::auth::token::{ObjectRef, Verified};

/// Why a token is not accepted, as `TokenReview` says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(pub String);

impl Api {
    /// The user of a token, and what the token says. `audiences` empty means the API server's own.
    ///
    /// # Errors
    /// When the token is not one of this cluster, is out of its time, for others, or what it is bound to is gone.
    pub fn authenticate(&self, token: &str, audiences: &[String]) -> Result<(User, Verified), Rejection> {
        let verified = self.signer().verify(token, audiences, self.clock().now().as_second()).map_err(|e| Rejection(e.to_string()))?;
        let invalid = |why: &str| Rejection(format!("[invalid bearer token, {why}]"));
        let account = &verified.account;
        let Some(found) = self.store().get("serviceaccounts", &verified.namespace, &account.name) else {
            return Err(invalid(&format!("serviceaccounts {:?} not found", account.name)));
        };
        if found.deleting || *found.uid != *account.uid {
            return Err(invalid("service account UID mismatch"));
        }
        let live = |resource: &str, namespace: &str, bound: &Option<ObjectRef>| {
            bound.as_ref().is_none_or(|b| self.store().get(resource, namespace, &b.name).is_some_and(|o| *o.uid == *b.uid))
        };
        if !live("pods", &verified.namespace, &verified.pod) || !live("secrets", &verified.namespace, &verified.secret) {
            return Err(invalid("service account token has been invalidated"));
        }
        Ok((verified.user(), verified))
    }
}
