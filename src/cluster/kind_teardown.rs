//! How a kind cluster is removed, with what was made beside it.

use super::Teardown;
use super::kind::{Found, Kind};
use crate::stages::{Context, StageError};

impl Kind {
    pub(super) async fn teardown(&self, context: &Context) -> Result<Teardown, StageError> {
        let mut done = Teardown::default();
        if context.state().cluster.is_some() && !self.remove_cluster(context, &mut done).await? {
            return Ok(done);
        }
        // They go after the nodes, which may still pull, and before the network that a container of theirs is on.
        if context.state().recorders.is_some() {
            done.removed.extend(self.end_recorders(context).await?);
            context.record(|state| state.recorders = None)?;
        }
        let state = context.state();
        if state.network {
            if self.engine().await?.remove_own_network(&state.id).await? {
                done.removed.push("network kind".to_owned());
            } else if self.engine().await?.kind_network().await?.is_some_and(|n| n.session.as_deref() == Some(state.id.as_str())) {
                done.remains.push(crate::text::current().get("remains-network"));
            }
        }
        Ok(done)
    }

    /// Removes the nodes of the session's cluster. Says whether nothing of it remains.
    async fn remove_cluster(&self, context: &Context, done: &mut Teardown) -> Result<bool, StageError> {
        let Some(cluster) = context.state().cluster else { return Ok(true) };
        let named = format!("kind cluster {}", cluster.name);
        match self.find(context).await? {
            // No node, or somebody removed ours and made their own of the same name: nothing of ours is left but perhaps volumes.
            Found::Nothing | Found::Foreign { mixed: false, .. } => self.remove_volumes(context).await?,
            Found::Foreign { container, .. } => {
                let args = [("cluster", cluster.name.as_str()), ("container", container.as_str())];
                done.remains.push(crate::text::current().with("remains-foreign", &args));
                return Ok(false);
            }
            Found::Ours(nodes) => {
                self.delete(context).await?;
                if !self.engine().await?.nodes(&cluster.name).await?.is_empty() {
                    done.remains.push(named);
                    return Ok(false);
                }
                done.removed.push(format!("{named} ({} nodes)", nodes.len()));
            }
        }
        Ok(true)
    }
}
