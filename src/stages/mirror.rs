//! Writes the session's `certs.d`, which the nodes have mounted. containerd reads it at every pull, so changes need no restart.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use futures::future::BoxFuture;

use super::{Action, Done, PlanStep, StageContext, StageError};
use crate::cluster::Provider;
use crate::cluster::kind_config::certs_files;
use crate::session::SessionError;
use crate::spec::Spec;

pub(super) struct Mirror;

impl Action for Mirror {
    fn provision<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let dir = context.session.certs_dir();
            let wanted = certs_files(&context.spec);
            let mut changed = prune(&dir, &wanted).map_err(|source| SessionError::Write { path: dir.clone(), source })?;
            for (path, content) in &wanted {
                if std::fs::read_to_string(dir.join(path)).ok().as_deref() != Some(content) {
                    context.session.write(&format!("certs.d/{path}"), content)?;
                    changed = true;
                }
            }
            Ok(if changed { Done::Provisioned } else { Done::Already })
        })
    }

    fn plan(&self, spec: &Spec, _provider: &dyn Provider) -> Vec<PlanStep> {
        certs_files(spec)
            .into_iter()
            .map(|(path, content)| PlanStep::File { path: format!("{{state}}/certs.d/{path}"), on_nodes: false, content })
            .collect()
    }
}

/// Removes registries that the spec no longer has. Says whether there were any.
fn prune(dir: &Path, wanted: &[(String, String)]) -> io::Result<bool> {
    let keep: BTreeSet<&str> = wanted.iter().filter_map(|(path, _)| path.split('/').next()).collect();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    let mut pruned = false;
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|n| keep.contains(n)) {
            std::fs::remove_dir_all(entry.path())?;
            pruned = true;
        }
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_that_left_the_spec_are_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = [("docker.io/hosts.toml".to_owned(), String::new())];
        assert!(!prune(&dir.path().join("none"), &wanted).unwrap());
        for name in ["docker.io", "quay.io"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert!(prune(dir.path(), &wanted).unwrap());
        assert!(dir.path().join("docker.io").exists());
        assert!(!dir.path().join("quay.io").exists());
        assert!(!prune(dir.path(), &wanted).unwrap());
    }
}
