//! Faults of what the stages recorded: an installation that said something else.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Inject, Injected};
use crate::cluster::Capability;
use crate::journal::{CommandRecord, Transcript};
use crate::outcomes::{Environment, Stop};

/// A recorded command said something else.
pub(super) struct Recorded {
    name: &'static str,
    change: fn(&mut CommandRecord),
}

impl Recorded {
    pub(super) fn new(name: &'static str, change: fn(&mut CommandRecord)) -> Self {
        Self { name, change }
    }

    fn put(&self, environment: &Environment, transcript: Transcript) -> Result<(), Stop> {
        let put = environment.context.record(|state| drop(state.transcripts.insert(self.name.to_owned(), transcript)));
        put.map_err(|e| Stop::Failed(crate::error::one_line(&e)))
    }
}

fn read(kept: &Value) -> Result<Transcript, Stop> {
    serde_json::from_value(kept.clone()).map_err(|e| Stop::Failed(format!("what was kept of a transcript cannot be read: {e}")))
}

impl Inject for Recorded {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        async move {
            let transcript = environment.context.transcripts().remove(self.name).ok_or_else(|| Stop::Unsupported {
                capability: Capability::TRANSCRIPT,
                reason: crate::text::current().get("unsupported-transcript"),
            })?;
            serde_json::to_value(&transcript).map_err(|e| Stop::Failed(format!("the transcript {} cannot be kept: {e}", self.name)))
        }
        .boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move {
            let mut transcript = read(kept)?;
            (self.change)(&mut transcript.command);
            self.put(environment, transcript)
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move { self.put(environment, read(kept)?) }.boxed()
    }
}
