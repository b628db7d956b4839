//! The node's container runtime as the kubelet, `crictl` and `ctr` reach it.

use super::config::Loaded;
use super::hosts::Dialect;
use super::pull::Puller;
use super::reference::Reference;
use super::systemd::Environment;
use super::{Image, Node, PullError, PullFault, State};

impl Node {
    /// Why the runtime's services do not answer, as gRPC has it; `service` is `RuntimeService` or `ImageService`.
    ///
    /// # Errors
    /// When they do not.
    pub fn runtime_ready(&self, service: &str) -> Result<(), String> {
        let state = self.state();
        let stopped = state.systemd.unit("containerd").is_none_or(|u| u.main_pid == 0);
        match &state.runtime {
            Ok(loaded) if !state.runtime_down && !stopped => match loaded.cri_failure {
                Some(_) => Err(format!("rpc error: code = Unimplemented desc = unknown service runtime.v1.{service}")),
                None => Ok(()),
            },
            _ => Err("rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused\"".to_owned()),
        }
    }

    /// Pulls an image through the CRI, as the kubelet and `crictl` do.
    ///
    /// # Errors
    /// What the CRI answers.
    pub async fn pull(&self, image: &str) -> Result<Image, PullError> {
        if let Err(why) = self.runtime_ready("ImageService") {
            let frame = if why.contains("Unavailable") { "Unavailable" } else { "Unimplemented" };
            let message = why.split_once("desc = ").map_or(why.clone(), |(_, m)| m.to_owned());
            return Err(PullError { code: frame, message });
        }
        let reference = Reference::parse(image).map_err(PullError::unknown)?;
        let (directories, mirrors, environment) = {
            let state = self.state();
            let loaded = state.runtime.as_ref().ok();
            let roots = loaded.map(Loaded::roots).unwrap_or_default();
            let mirrors = loaded.map(|l| l.mirrors(&reference.registry)).unwrap_or_default();
            (roots, mirrors, self.daemon_environment(&state))
        };
        self.log("containerd", &format!("level=info msg=\"PullImage \\\"{image}\\\"\""));
        let pulled = self.pull_with(&reference, directories, mirrors, environment).await;
        if let Err(e) = &pulled {
            self.log("containerd", &format!("level=error msg=\"PullImage \\\"{image}\\\" failed\" error={:?}", e.to_string()));
        }
        pulled
    }

    pub(super) fn daemon_environment(&self, state: &State) -> Environment {
        // With no unit there would be no runtime; the container's own environment is what a shell has.
        state.systemd.unit("containerd").map_or_else(|| self.inner.settings.environment.clone(), |u| u.running.clone())
    }

    pub(super) async fn pull_with(
        &self,
        reference: &Reference,
        directories: Vec<String>,
        mirrors: Vec<String>,
        environment: Environment,
    ) -> Result<Image, PullError> {
        let settings = &self.inner.settings;
        let (tree, fault) = {
            let state = self.state();
            (state.tree.clone(), state.pull_faults.get(&reference.to_string()).cloned())
        };
        match fault {
            Some(PullFault::Fails(error)) => return Err(error),
            // A wait for nothing, so that paused time can skip it.
            Some(PullFault::Slow(time)) => drop(tokio::time::timeout(time, std::future::pending::<()>()).await),
            None => {}
        }
        let mut puller = Puller {
            network: settings.network.clone(),
            node: settings.name.clone(),
            roots: settings.roots.clone(),
            tree,
            dialect: Dialect { version: settings.containerd, proxy_key: settings.proxy_key },
            directories,
            mirrors,
            environment,
            architecture: settings.architecture.clone(),
            log: Vec::new(),
        };
        let pulled = puller.pull(reference).await;
        let mut state = self.state();
        for line in puller.log {
            self.journal(&mut state, "containerd", &line);
        }
        if let Ok(image) = &pulled {
            state.images.add(image.clone());
        }
        pulled
    }
}
