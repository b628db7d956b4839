//! Faults that are made of others.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Inject, Injected};
use crate::outcomes::{Environment, Stop};

/// One after the other; they are mended the other way round.
pub(super) struct InTurn<const N: usize>(pub(super) [Box<dyn Inject>; N]);

impl<const N: usize> Inject for InTurn<N> {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        async move {
            let mut kept = Vec::new();
            for part in &self.0 {
                kept.push(part.keep(environment).await?);
            }
            Ok(Value::Array(kept))
        }
        .boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move {
            for (at, part) in self.0.iter().enumerate() {
                part.inject(environment, &kept[at]).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move {
            let mut mended = Ok(());
            // Each, also when another one cannot be mended.
            for (at, part) in self.0.iter().enumerate().rev() {
                mended = part.revert(environment, &kept[at]).await.and(mended);
            }
            mended
        }
        .boxed()
    }
}
