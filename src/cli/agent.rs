//! `agent`: what `up` starts to host the embedded cluster, or the recorders of a real one.

use super::{Failure, Global, select};
use crate::agent::{self, idle};

pub(super) async fn agent(global: &Global) -> Result<u8, Failure> {
    let (session, state) = select::existing(global)?;
    let spec = select::recorded(&state)?;
    agent::serve(&session, &state, &spec, idle(|name| std::env::var(name).ok())).await.map_err(|e| Failure::new(3, &e, None))?;
    Ok(0)
}
