//! What Istio says about itself: through istioctl where there is one that can reach the pods, and through the API server's proxy.
//!
//! istiod's debug pages answer only to a token of the mesh or to its own pod, and ztunnel's admin port only to its own pod. So these are to be
//! had with istioctl alone, and the metrics without it.

use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use super::Job;
use super::writer::Place;
use crate::error::one_line;
use crate::outcomes::ISTIO_NAMESPACE;
use crate::wait::Limit;

/// File, what it is, arguments of istioctl.
const COMMANDS: [(&str, &str, &[&str]); 3] = [
    ("proxy-status.txt", "collect-what-proxy-status", &["proxy-status"]),
    ("ztunnel-config.json", "collect-what-ztunnel-config", &["ztunnel-config", "all", "-o", "json"]),
    ("syncz.json", "collect-what-sync-status", &["x", "internal-debug", "syncz"]),
];

/// Something that the pods of a component answer through the API server.
struct Page {
    /// Label of the component's pods.
    label: (&'static str, &'static str),
    port: u16,
    path: &'static str,
    what: &'static str,
}

const PAGES: [Page; 4] = [
    Page { label: ("app", "istiod"), port: 15014, path: "version", what: "collect-what-istiod-version" },
    Page { label: ("app", "istiod"), port: 15014, path: "metrics", what: "collect-what-metrics" },
    Page { label: ("app", "ztunnel"), port: 15020, path: "metrics", what: "collect-what-metrics" },
    Page { label: ("k8s-app", "istio-cni-node"), port: 15014, path: "metrics", what: "collect-what-metrics" },
];

/// Pods of one component that are asked.
const PODS: usize = 50;

/// Takes what Istio says; `pods` are those of all namespaces.
pub(super) async fn collect(job: &Job<'_>, pods: &[Value]) {
    let of = |(label, value): (&str, &str)| -> Vec<String> {
        let ours = pods.iter().filter(|p| p["metadata"]["namespace"] == ISTIO_NAMESPACE && p["metadata"]["labels"][label] == value);
        ours.filter_map(|p| p["metadata"]["name"].as_str()).take(PODS).map(str::to_owned).collect()
    };
    let asked = |page: &'static Page| {
        let place = |pod: &str| Place::new(&["istio", pod, &format!("{}.txt", page.path)]);
        of(page.label).into_iter().map(move |pod| (page, place(&pod), pod))
    };
    let pages: Vec<(&Page, Place, String)> = PAGES.iter().flat_map(asked).collect();
    if pages.is_empty() {
        return job.writer.leave_out(&"istio", "there is no pod of istiod, ztunnel or istio-cni");
    }
    job.writer.forget(&"istio");
    for (_, place, _) in &pages {
        job.writer.expect(place);
    }
    let asking = stream::iter(pages).for_each_concurrent(None, async |(page, place, pod)| {
        let Page { port, path, what, .. } = page;
        let path = format!("/api/v1/namespaces/{ISTIO_NAMESPACE}/pods/{}:{port}/proxy/{path}", super::api::escape(&pod));
        // Why it failed is in the index.
        let _ = job.keep(&path, Limit::KubeletAnswer, &place, what).await;
    });
    tokio::join!(asking, commands(job));
}

async fn commands(job: &Job<'_>) {
    for (file, ..) in COMMANDS {
        let place = Place::new(&["istio", file]);
        match &job.no_istioctl {
            None => job.writer.expect(&place),
            Some(why) => job.writer.leave_out(&place, why),
        }
    }
    if job.no_istioctl.is_some() {
        return;
    }
    stream::iter(COMMANDS)
        .for_each_concurrent(None, async |(file, what, args)| {
            let place = Place::new(&["istio", file]);
            match said(job, args).await {
                Ok(text) => job.writer.text(&place, what, text),
                Err(why) => job.writer.leave_out(&place, &why),
            }
        })
        .await;
}

async fn said(job: &Job<'_>, args: &[&str]) -> Result<String, String> {
    let istioctl = job.context.istioctl().await.map_err(|e| one_line(&e))?;
    let output = istioctl.args(args).timeout(job.waiting.limit(Limit::ShortCommand)).ok(&job.context.journal).await;
    output.map(|o| o.stdout).map_err(|e| one_line(&e))
}
