//! The guide's second `kind create cluster` (D6), which kind refuses.

use super::kind::{Found, Kind};
use crate::journal::CommandRecord;
use crate::stages::{Context, StageError};
use crate::wait::Limit;

impl Kind {
    /// Asks for the cluster once more. Only where its nodes are there, so that it is refused; and with its own configuration, so that what would
    /// come of it all the same were this session's own.
    pub(super) async fn again(&self, context: &Context) -> Result<Option<CommandRecord>, StageError> {
        if !matches!(self.find(context).await?, Found::Ours(_)) {
            return Ok(None);
        }
        let command = self.command(context).await?.args(["create", "cluster", "--name", &context.spec.cluster.name, "--config"]);
        let command = command.arg(context.session.kind_config()).arg("--kubeconfig").arg(context.session.kubeconfig());
        let output = command.timeout(context.waiting.limit(Limit::ShortCommand)).output(&context.journal).await?;
        Ok(Some(output.record))
    }
}
