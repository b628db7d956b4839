//! What tests without a cluster start from: a scripted Kubernetes API, fake nodes, a fake provider, and the environment of the guide in
//! perfect health.

pub(crate) mod api;
pub(crate) mod environment;
pub(crate) mod guide;
pub(crate) mod nodes;
mod objects;
pub(crate) mod provider;
pub(crate) mod tokens;

use std::time::Duration;

use crate::wait::ManualClock;

/// Runs a future by a clock of its own. Nothing in it takes real time, so one that does not end soon never will.
pub(crate) async fn drive<F: Future>(clock: &ManualClock, future: F) -> F::Output {
    promptly(clock.drive(future)).await
}

/// Ends the test when a future hangs.
pub(crate) async fn promptly<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it hangs, or waits for something that no clock bounds")
}
