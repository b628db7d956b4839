//! The API server's request for patience: 429, when more is asked of it at once than its priority levels have seats and queues for. Many test
//! processes on one environment are enough for that, since kubeadm's administrator is not exempt from API Priority and Fairness.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use tower::BoxError;
use tower::retry::Policy;

/// As often as client-go asks again (`maxRetries` in rest/request.go).
const ATTEMPTS: u32 = 10;
/// Where the answer does not say how long (`Retry-After`): between these, growing.
const DELAYS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

/// The longest that an answer may ask for, in seconds: a check must end.
const LONGEST: u64 = 30;

/// Asks again after 429, as client-go does and also without a `Retry-After`. Unlike client-go it takes every 5xx as the answer: 503 may be what a
/// check is looking for.
#[derive(Clone)]
pub(super) struct Patience(RetryPolicy);

impl Patience {
    pub(super) fn new() -> Self {
        Self::between(DELAYS)
    }

    fn between([least, most]: [Duration; 2]) -> Self {
        Self(RetryPolicy::new(least, most, ATTEMPTS, true).expect("the delays are in order"))
    }
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Patience {
    type Future = tokio::time::Sleep;

    fn retry(&mut self, request: &mut Request<Body>, result: &mut Result<Response<B>, BoxError>) -> Option<Self::Future> {
        let answer = result.as_mut().ok().filter(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS)?;
        let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).unwrap_or("nothing").to_owned();
        if after.parse::<u64>().is_ok_and(|seconds| seconds > LONGEST) {
            answer.headers_mut().insert(RETRY_AFTER, LONGEST.into());
        }
        tracing::warn!(
            "the API server has too many requests, and is asked again: {} {} (Retry-After: {after})",
            request.method(),
            request.uri()
        );
        self.0.retry(request, result)
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<_, Response<B>, _>::clone_request(&mut self.0, request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::Api;
    use kube::client::ClientBuilder;
    use rstest::rstest;
    use tower::retry::RetryLayer;

    use super::*;

    /// Answers the first requests with a status, and all others with a namespace.
    async fn ask(first: usize, status: u16, after: Option<&'static str>) -> (Result<Namespace, kube::Error>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let api = tower::service_fn(move |_: Request<Body>| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let answer = if number < first {
                let answer = Response::builder().status(status);
                let answer = after.into_iter().fold(answer, |answer, after| answer.header("Retry-After", after));
                answer.body(Body::from("Too many requests, please try again later.".as_bytes().to_vec()))
            } else {
                Response::builder().body(Body::from(br#"{"metadata":{"name":"a"}}"#.to_vec()))
            };
            std::future::ready(Ok::<_, BoxError>(answer.unwrap()))
        });
        let patience = Patience::between([Duration::from_millis(1), Duration::from_millis(2)]);
        let client = ClientBuilder::new(api, "default").with_layer(&RetryLayer::new(patience)).build();
        let answer = Api::<Namespace>::all(client).get("a").await;
        (answer, asked.load(Ordering::Relaxed))
    }

    #[rstest]
    #[case::as_long_as_it_says(2, Some("1"), 2)]
    #[case::without_a_word(4, None, 0)]
    #[case::a_date_is_no_number(4, Some("Wed, 21 Oct 2026 07:28:00 GMT"), 0)]
    #[tokio::test]
    async fn asks_again_when_there_were_too_many(#[case] first: usize, #[case] after: Option<&'static str>, #[case] seconds: u64) {
        let start = Instant::now();
        let (answer, asked) = ask(first, 429, after).await;
        assert_eq!(answer.unwrap().metadata.name.as_deref(), Some("a"));
        assert_eq!(asked, first + 1);
        assert!(start.elapsed().as_secs() >= seconds);
    }

    #[tokio::test]
    async fn gives_up_as_client_go_does() {
        let (answer, asked) = ask(usize::MAX, 429, None).await;
        assert!(matches!(answer.unwrap_err(), kube::Error::Api(status) if status.code == 429));
        assert_eq!(asked, 11);
    }

    #[rstest]
    #[case(500)]
    #[case(503)]
    #[case(404)]
    #[tokio::test]
    async fn takes_every_other_answer_as_it_is(#[case] status: u16) {
        let (answer, asked) = ask(1, status, Some("1")).await;
        assert!(matches!(answer.unwrap_err(), kube::Error::Api(s) if s.code == status));
        assert_eq!(asked, 1);
    }
}
