//! Lets the recorders work, if the spec asks for any, and writes the session's `certs.d`, which the nodes have mounted. containerd reads it at
//! every pull, so changes need no restart.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::{Installs, Provider};
use crate::recording::{Recorders, certs_files};
use crate::session::SessionError;
use crate::spec::Spec;

pub(super) struct Mirror;

impl Action for Mirror {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            if context.provider.installs() == Installs::Nothing {
                return Ok(Found::NotNeeded);
            }
            if context.spec.recording.is_on() {
                let at_work = context.provider.recorders_at_work(context).await?;
                if at_work.is_none() || at_work != context.state().recorders {
                    return Ok(Found::Missing("the recorders are not at work".to_owned()));
                }
            } else if context.state().recorders.is_some() {
                return Ok(Found::Missing("there are recorders that the spec does not ask for".to_owned()));
            }
            let dir = context.session.certs_dir();
            let wanted = certs_files(&context.spec, context.state().recorders.as_ref());
            let stray = strays(&dir, &wanted).map_err(|source| SessionError::Read { path: dir.clone(), source })?;
            let other = wanted.iter().find(|(path, content)| std::fs::read_to_string(dir.join(path)).ok().as_deref() != Some(content));
            let wrong = stray.into_iter().next().or_else(|| Some(dir.join(&other?.0)));
            Ok(wrong.map_or(Found::True, |path| Found::Missing(format!("{} is not as the spec asks", path.display()))))
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            if context.spec.recording.is_on() {
                let recorders = context.provider.start_recorders(context).await?;
                context.record(|state| state.recorders = Some(recorders))?;
            } else if context.state().recorders.is_some() {
                context.provider.end_recorders(context).await?;
                context.record(|state| state.recorders = None)?;
            }
            let dir = context.session.certs_dir();
            let wanted = certs_files(&context.spec, context.state().recorders.as_ref());
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
        let recorders = spec.recording.is_on().then(Recorders::to_be);
        let told = recorders.iter().map(|r| PlanStep::note("plan-recorders", &[("host", &r.host)]));
        let files = certs_files(spec, recorders.as_ref()).into_iter();
        told.chain(files.map(|(path, content)| PlanStep::File { path: format!("{{state}}/certs.d/{path}"), on_nodes: false, content }))
            .collect()
    }

    fn heeds(&self, spec: &Spec, _provider: &dyn Provider) -> Value {
        if spec.recording.is_on() {
            json!({"mirrors": spec.mirrors, "recording": spec.recording, "downloads": spec.downloads, "bundle": spec.bundle})
        } else {
            json!({"mirrors": spec.mirrors})
        }
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
