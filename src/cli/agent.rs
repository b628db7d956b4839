//! `agent`: what `up` starts to host the embedded cluster.

use super::{Failure, Global, select};
use crate::cluster::embedded::{agent, idle};

pub(super) async fn agent(global: &Global) -> Result<u8, Failure> {
    let (session, state) = select::existing(global)?;
    let spec = select::recorded(&state)?;
    agent::serve(&session, &spec, idle(|name| std::env::var(name).ok())).await.map_err(|e| Failure::new(3, &e, None))?;
    Ok(0)
}
