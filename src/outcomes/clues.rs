//! What pods that are not well say beyond their status: the warnings about them, and the end of their logs.

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams, LogParams};

use super::{DASHBOARD_NAMESPACE, Environment, ISTIO_NAMESPACE};
use crate::diagnose::Kind;
use crate::wait::{Limit, conditions};

const NAMESPACES: [&str; 3] = ["kube-system", DASHBOARD_NAMESPACE, ISTIO_NAMESPACE];

/// The end of a log; its beginning is how the program started.
const LOG_LINES: i64 = 40;

/// Clues for diagnoses. What cannot be read is left out: that the API server does not answer is said elsewhere.
pub(super) async fn of_pods(env: &Environment) -> Vec<(Kind, String)> {
    let asking = join_all(NAMESPACES.map(|namespace| of_namespace(env, namespace)));
    let said = env.waiting.within("what unready pods say is read", Limit::KubeletAnswer, asking).await;
    said.map(|all| all.into_iter().flatten().collect()).unwrap_or_default()
}

async fn of_namespace(env: &Environment, namespace: &str) -> Vec<(Kind, String)> {
    let pods: Api<Pod> = Api::namespaced(env.cluster.client.clone(), namespace);
    let found = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let is_ill = |p: &&Pod| p.metadata.deletion_timestamp.is_none() && !conditions::pod_ready(p) && !conditions::pod_ended(p);
    let ill: Vec<&Pod> = found.iter().filter(is_ill).collect();
    if ill.is_empty() {
        return Vec::new();
    }
    let events: Api<Event> = Api::namespaced(env.cluster.client.clone(), namespace);
    let events = events.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let mut clues = Vec::new();
    for pod in ill {
        let name = format!("{namespace}/{}", pod.name_any());
        // An event of another pod of this name would be of the past.
        let warns =
            |e: &&Event| e.type_.as_deref() == Some("Warning") && e.involved_object.uid.is_some() && e.involved_object.uid == pod.uid();
        clues.extend(events.iter().filter(warns).map(|event| {
            let said = event.message.as_deref().unwrap_or_default();
            (Kind::Event, format!("pod {name}: {}: {said}", event.reason.as_deref().unwrap_or_default()))
        }));
        for container in pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()) {
            let waits = container.state.as_ref().is_some_and(|s| s.waiting.is_some());
            // One that waits to be started again has its last words in the log before.
            if waits && container.restart_count == 0 {
                continue;
            }
            let wanted =
                LogParams { container: Some(container.name.clone()), previous: waits, tail_lines: Some(LOG_LINES), ..LogParams::default() };
            let log = pods.logs(&pod.name_any(), &wanted).await.unwrap_or_default();
            clues.extend(log.lines().map(|line| (Kind::Log, format!("pod {name}: {line}"))));
        }
    }
    clues
}
