//! Faults in the files that nodes read from this machine.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Inject;
use crate::outcomes::{Environment, Stop};

/// The `hosts.toml` of a registry has another content. Nodes have the directory mounted, and containerd reads it at each pull.
#[derive(Debug)]
pub(super) struct HostsToml {
    registry: &'static str,
    content: &'static str,
    kept: Mutex<Option<String>>,
}

impl HostsToml {
    pub(super) fn new(registry: &'static str, content: &'static str) -> Self {
        Self { registry, content, kept: Mutex::new(None) }
    }

    fn path(&self, environment: &Environment) -> PathBuf {
        environment.context.session.certs_dir().join(self.registry).join("hosts.toml")
    }

    /// Into the same file: nodes see the directory, and a new file would not be in every mount of it.
    fn write(&self, environment: &Environment, content: &str) -> Result<(), Stop> {
        let path = self.path(environment);
        std::fs::write(&path, content).map_err(|e| Stop::Failed(format!("cannot write {}: {e}", path.display())))
    }
}

impl Inject for HostsToml {
    fn inject<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            let path = self.path(environment);
            let before = std::fs::read_to_string(&path).map_err(|e| Stop::Failed(format!("cannot read {}: {e}", path.display())))?;
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
            self.write(environment, self.content)
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            let before = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            before.map_or(Ok(()), |before| self.write(environment, &before))
        }
        .boxed()
    }
}
