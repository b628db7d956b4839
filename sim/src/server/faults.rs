//! What makes the API server misbehave on purpose.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Response};

use super::Body;
use crate::clock::Clock;
use crate::failure::Failure;

/// One way to misbehave.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// Only for this method.
    pub method: Option<Method>,
    /// Only for paths that begin so.
    pub path: String,
    /// Wait so long before anything else.
    pub delay: Duration,
    /// Answer with this instead.
    pub failure: Option<Failure>,
    /// How often; `None` until it is taken back.
    pub times: Option<u32>,
}

/// The faults that are in force. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<(String, Fault)>>>);

impl Faults {
    /// Puts a fault in force under a name; an older one of that name goes.
    pub fn inject(&self, name: &str, fault: Fault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.retain(|(n, _)| n != name);
        faults.push((name.to_owned(), fault));
    }

    /// Takes a fault back; says whether it was there.
    #[must_use]
    pub fn revert(&self, name: &str) -> bool {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = faults.len();
        faults.retain(|(n, _)| n != name);
        faults.len() < before
    }

    pub(super) async fn hit(&self, method: &Method, path: &str, clock: &Clock) -> Option<Result<Response<Body>, Failure>> {
        let fault = {
            let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |f: &Fault| f.method.as_ref().is_none_or(|m| m == method) && path.starts_with(&f.path) && f.times != Some(0);
            let (_, fault) = faults.iter_mut().find(|(_, f)| fits(f))?;
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            fault.clone()
        };
        if !fault.delay.is_zero() {
            clock.sleep(fault.delay).await;
        }
        fault.failure.map(Err)
    }
}
