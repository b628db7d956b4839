//! Refuses what cannot work before anything is changed.

use std::net::{Ipv4Addr, TcpListener};

use futures::future::BoxFuture;

use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::{Installs, Provider};
use crate::journal::Event;
use crate::session::ClusterPhase;
use crate::spec::Spec;
use crate::tools::PortTurn;

pub(super) struct Preflight;

impl Action for Preflight {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            // An environment that stands does not need the port to be repaired or looked at; only the outcomes of `kubectl proxy` do.
            let stands =
                context.provider.installs() == Installs::Nothing || context.state().cluster.is_some_and(|c| c.phase == ClusterPhase::Made);
            match port_free(context.spec.kubectl_proxy.port) {
                Err(busy) if stands => context.journal.write(Event::Warning { message: crate::error::one_line(&busy) }),
                free => free?,
            }
            context.provider.preflight(context).await?;
            let (kubectl, istioctl) = tokio::join!(context.tools.kubectl(), context.tools.istioctl());
            if context.provider.installs() == Installs::AsDocumented {
                kubectl?;
                istioctl?;
            }
            Ok(Found::True)
        })
    }

    /// A look refuses what cannot work, so there is never anything to make.
    fn make<'a>(&'a self, _context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(std::future::ready(Ok(Done::Already)))
    }

    fn only_prepares(&self) -> bool {
        true
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        if provider.installs() == Installs::FromManifests {
            return vec![PlanStep::note("plan-preflight-simulated", &[])];
        }
        let tool =
            |name: &str, version: &str, url: &str| PlanStep::note("plan-tool", &[("tool", name), ("version", version), ("url", url)]);
        let tools = &spec.tools;
        vec![
            PlanStep::note("plan-preflight", &[]),
            tool("kind", &tools.kind.version, &tools.kind.url),
            tool("kubectl", &tools.kubectl.version, &tools.kubectl.url),
            tool("istioctl", &tools.istioctl.version, &tools.istioctl.url),
        ]
    }
}

/// The port that `kubectl proxy` will listen on must be free now; 0 means any.
fn port_free(port: u16) -> Result<(), StageError> {
    if port == 0 {
        return Ok(());
    }
    // With the turn, since two who look at once would be in each other's way. Where another environment has it, the port is free again when
    // that one has looked or judged.
    let Some(_turn) = PortTurn::try_take(port) else { return Ok(()) };
    // Rust sets SO_REUSEADDR, so connections that are still winding down are no obstacle here, as they are none to kubectl.
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(e) => Err(StageError::refused("port-busy", [("port", port.to_string()), ("error", e.to_string())])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_refused_with_a_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = port_free(port).unwrap_err();
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(error.hint().unwrap().contains("kubectlProxy.port=0"));
        drop(taken);
        port_free(port).unwrap();
        port_free(0).unwrap();
    }

    #[test]
    fn many_who_look_at_once_are_not_in_each_others_way() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let look = || (0..200).for_each(|_| port_free(port).unwrap());
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(look))));
    }
}
