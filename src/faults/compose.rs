//! Faults that are made of others.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Inject;
use crate::outcomes::{Environment, Stop};

/// One after the other; they are mended the other way round.
pub(super) struct InTurn<const N: usize>(pub(super) [Box<dyn Inject>; N]);

impl<const N: usize> Inject for InTurn<N> {
    fn inject<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            for part in &self.0 {
                part.inject(environment).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            let mut mended = Ok(());
            // Each, also when another one cannot be mended.
            for part in self.0.iter().rev() {
                mended = part.revert(environment).await.and(mended);
            }
            mended
        }
        .boxed()
    }
}
