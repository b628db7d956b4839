//! Writes the session's `certs.d`, which the nodes have mounted. containerd reads it at every pull, so changes need no restart.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::kind_config::certs_files;
use crate::cluster::{Installs, Provider};
use crate::session::SessionError;
use crate::spec::Spec;

pub(super) struct Mirror;

impl Action for Mirror {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            if context.provider.installs() == Installs::Nothing {
                return Ok(Found::NotNeeded);
            }
            let dir = context.session.certs_dir();
            let wanted = certs_files(&context.spec);
            let stray = strays(&dir, &wanted).map_err(|source| SessionError::Read { path: dir.clone(), source })?;
            let other = wanted.iter().find(|(path, content)| std::fs::read_to_string(dir.join(path)).ok().as_deref() != Some(content));
            let wrong = stray.into_iter().next().or_else(|| Some(dir.join(&other?.0)));
            Ok(wrong.map_or(Found::True, |path| Found::Missing(format!("{} is not as the spec asks", path.display()))))
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let dir = context.session.certs_dir();
            let wanted = certs_files(&context.spec);
            let prune = || strays(&dir, &wanted)?.iter().try_for_each(std::fs::remove_dir_all);
            prune().map_err(|source| SessionError::Write { path: dir.clone(), source })?;
            for (path, content) in &wanted {
                if std::fs::read_to_string(dir.join(path)).ok().as_deref() != Some(content) {
                    context.session.write(&format!("certs.d/{path}"), content)?;
                }
            }
            Ok(Done::Provisioned)
        })
    }

    fn plan(&self, spec: &Spec, _provider: &dyn Provider) -> Vec<PlanStep> {
        certs_files(spec)
            .into_iter()
            .map(|(path, content)| PlanStep::File { path: format!("{{state}}/certs.d/{path}"), on_nodes: false, content })
            .collect()
    }

    fn heeds(&self, spec: &Spec, _provider: &dyn Provider) -> Value {
        json!({"mirrors": spec.mirrors})
    }
}

/// Directories of registries that the spec no longer has.
fn strays(dir: &Path, wanted: &[(String, String)]) -> io::Result<Vec<PathBuf>> {
    let keep: BTreeSet<&str> = wanted.iter().filter_map(|(path, _)| path.split('/').next()).collect();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut strays = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|n| keep.contains(n)) {
            strays.push(entry.path());
        }
    }
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_that_left_the_spec_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = [("docker.io/hosts.toml".to_owned(), String::new())];
        assert!(strays(&dir.path().join("none"), &wanted).unwrap().is_empty());
        for name in ["docker.io", "quay.io"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(strays(dir.path(), &wanted).unwrap(), [dir.path().join("quay.io")]);
    }
}
