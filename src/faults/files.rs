//! Faults in the files of the session on this machine. Nodes have `certs.d` of them mounted, and containerd reads it at each pull.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::{Inject, Injected};
use crate::outcomes::{Environment, Stop};

fn failed(what: &str, path: &Path, e: impl std::fmt::Display) -> Stop {
    Stop::Failed(format!("cannot {what} {}: {e}", path.display()))
}

/// A file has another content, or is there where none was.
pub(super) struct HostFile {
    path: fn(&Environment) -> PathBuf,
    content: &'static str,
}

impl HostFile {
    pub(super) fn new(path: fn(&Environment) -> PathBuf, content: &'static str) -> Self {
        Self { path, content }
    }
}

impl Inject for HostFile {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        async move {
            let path = (self.path)(environment);
            match std::fs::read_to_string(&path) {
                Ok(before) => Ok(Value::from(before)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
                Err(e) => Err(failed("read", &path, e)),
            }
        }
        .boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let path = (self.path)(environment);
            // Into the same file: nodes see the directory, and a new file would not be in every mount of it.
            std::fs::write(&path, self.content).map_err(|e| failed("write", &path, e))
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move {
            let path = (self.path)(environment);
            match kept.as_str() {
                Some(before) => std::fs::write(&path, before).map_err(|e| failed("write", &path, e)),
                None => std::fs::remove_file(&path).or_else(|e| match e.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(failed("remove", &path, e)),
                }),
            }
        }
        .boxed()
    }
}

/// Everybody on this machine may read a file.
pub(super) struct Readable(pub(super) fn(&Environment) -> PathBuf);

impl Readable {
    fn set(&self, environment: &Environment, mode: u32) -> Result<(), Stop> {
        let path = (self.0)(environment);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(|e| failed("change the mode of", &path, e))
    }
}

impl Inject for Readable {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        async move {
            let path = (self.0)(environment);
            let metadata = path.metadata().map_err(|e| failed("read", &path, e))?;
            Ok(json!(metadata.permissions().mode() & 0o7777))
        }
        .boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        std::future::ready(self.set(environment, 0o644)).boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        let mode = kept.as_u64().and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o600);
        std::future::ready(self.set(environment, mode)).boxed()
    }
}

/// The kubeconfig's current context has another name. It leads to the same cluster, so that everything else still works.
pub(super) struct OtherContext;

/// The kubeconfig as it was, byte for byte. It holds a key, and so is not kept with the rest.
const KEPT: &str = "kubeconfig.kept";
const ELSEWHERE: &str = "elsewhere";

impl OtherContext {
    fn change(environment: &Environment) -> Result<(), Stop> {
        let session = &environment.context.session;
        let path = session.kubeconfig();
        let text = std::fs::read_to_string(&path).map_err(|e| failed("read", &path, e))?;
        let mut config = Kubeconfig::from_yaml(&text).map_err(|e| failed("read", &path, e))?;
        let current = config.current_context.clone().unwrap_or_default();
        let context = config.contexts.iter().find(|c| c.name == current).cloned();
        let mut other = context.ok_or_else(|| failed("read", &path, format!("it has no context `{current}`")))?;
        ELSEWHERE.clone_into(&mut other.name);
        config.contexts.push(other);
        config.current_context = Some(ELSEWHERE.to_owned());
        // JSON is YAML.
        let changed = serde_json::to_string(&config).map_err(|e| failed("write", &path, e))?;
        session
            .write(KEPT, &text)
            .and_then(|()| session.write("kubeconfig", &changed))
            .map_err(|e| Stop::Failed(crate::error::one_line(&e)))
    }
}

impl Inject for OtherContext {
    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        std::future::ready(Self::change(environment)).boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let kept = environment.context.session.dir().join(KEPT);
            match std::fs::rename(&kept, environment.context.session.kubeconfig()) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("put back", &kept, e)),
                _ => Ok(()),
            }
        }
        .boxed()
    }
}
