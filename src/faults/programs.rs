//! Faults of the programs that outcomes run: another one with the same name, as an alias, an old version or a meddling wrapper would be.

use std::os::unix::fs::PermissionsExt as _;

use futures::FutureExt;
use serde_json::Value;

use super::{Inject, Injected};
use crate::outcomes::{Environment, Stop};
use crate::tools::ToolName;

/// A shell script runs instead of a tool. In it `real` is the tool itself.
pub(super) struct Wrapped {
    tool: ToolName,
    script: &'static str,
}

impl Wrapped {
    pub(super) fn new(tool: ToolName, script: &'static str) -> Self {
        Self { tool, script }
    }

    async fn wrap(&self, environment: &Environment) -> Result<(), Stop> {
        let context = &environment.context;
        let tool = match self.tool {
            ToolName::Kind => context.tools.kind().await,
            ToolName::Kubectl => context.tools.kubectl().await,
            ToolName::Istioctl => context.tools.istioctl().await,
        }?;
        let quoted = tool.path.display().to_string().replace('\'', r"'\''");
        let name = format!("wrapped/{}", self.tool);
        let path = context.session.dir().join(&name);
        let failed = |e: &dyn std::error::Error| Stop::Failed(format!("cannot write {}: {e}", path.display()));
        context.session.write(&name, &format!("#!/bin/sh\nreal='{quoted}'\n{}\n", self.script)).map_err(|e| failed(&e))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).map_err(|e| failed(&e))?;
        context.wrap(self.tool, Some(path));
        Ok(())
    }
}

impl Inject for Wrapped {
    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        self.wrap(environment).boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let context = &environment.context;
            context.wrap(self.tool, None);
            let dir = context.session.dir().join("wrapped");
            match std::fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Stop::Failed(format!("cannot remove {}: {e}", dir.display()))),
                _ => Ok(()),
            }
        }
        .boxed()
    }
}
