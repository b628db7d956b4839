//! What stays true: pods that keep running, not pods that ran when somebody looked.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::{Checked, DASHBOARD_NAMESPACE, Environment, ISTIO_NAMESPACE, Look, Outcome, Stop};
use crate::wait::{Progress, conditions};

/// How long pods must stay as they are.
const WINDOW: Duration = Duration::from_secs(2);

pub(super) fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::hardening("dashboard.pods.stable", dashboard).needs(&["dashboard"]),
        Outcome::hardening("istio.pods.stable", istio).needs(&["istio"]),
    ]
}

fn dashboard<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(stay(env, look, DASHBOARD_NAMESPACE))
}

fn istio<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(stay(env, look, ISTIO_NAMESPACE))
}

/// What tells a pod that went on from one that began anew: its uid and how often its containers were started.
fn life(pod: &Pod) -> (String, i32) {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    (pod.uid().unwrap_or_default(), statuses.iter().map(|s| s.restart_count).sum())
}

/// Whether a pod is on its way out: what comes after it is another one.
fn leaves(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || conditions::pod_ended(pod)
}

/// Every pod of a namespace is the same one and has been started as often at the end of the window as at its beginning, and is Ready all the time.
async fn stay(env: &Environment, look: &mut Look, namespace: &str) -> Result<(), Stop> {
    let api: Api<Pod> = Api::namespaced(env.cluster.client.clone(), namespace);
    let first = api.list(&ListParams::default()).await.map_err(Stop::kube(format!("list the pods of {namespace}")))?;
    let mut waiter = env.waiting.waiter();
    let watched = waiter.watch(api, &ListParams::default());
    let began: BTreeMap<String, (String, i32)> = first.iter().filter(|p| !leaves(p)).map(|p| (p.name_any(), life(p))).collect();
    look.require(!began.is_empty(), || format!("{namespace} has no pod"));
    look.see("window", format!("{WINDOW:?}"));
    look.see("restarts", began.iter().map(|(name, (_, count))| (name, count)).collect::<BTreeMap<_, _>>());
    let condition = || {
        let items = watched.items();
        for (name, life_then) in &began {
            let Some(pod) = items.iter().find(|p| p.name_any() == *name) else { return Progress::NotYet(format!("pod {name} is gone")) };
            if life(pod) != *life_then {
                return Progress::NotYet(format!("pod {name} began anew: {}", conditions::pod_line(pod)));
            }
            if pod.metadata.deletion_timestamp.is_some() || !conditions::pod_ready(pod) {
                return Progress::NotYet(format!("pod {name} does not run: {}", conditions::pod_line(pod)));
            }
        }
        match items.iter().find(|p| !leaves(p) && !began.contains_key(&p.name_any())) {
            Some(new) => Progress::NotYet(format!("pod {} is new", new.name_any())),
            None => Progress::Ready(()),
        }
    };
    Ok(waiter.stays(&format!("the pods of {namespace} stay as they are"), WINDOW, condition).await?)
}
