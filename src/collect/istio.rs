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

/// Label of a component's pods, port, path, end of the file's name, what it is.
const PAGES: [((&str, &str), u16, &str, &str, &str); 4] = [
    (("app", "istiod"), 15014, "version", "version.txt", "collect-what-istiod-version"),
    (("app", "istiod"), 15014, "metrics", "metrics.txt", "collect-what-metrics"),
    (("app", "ztunnel"), 15020, "metrics", "metrics.txt", "collect-what-metrics"),
    (("k8s-app", "istio-cni-node"), 15014, "metrics", "metrics.txt", "collect-what-metrics"),
];

/// Pods of one component that are asked.
const PODS: usize = 50;

/// Takes what Istio says; `pods` are those of all namespaces.
pub(super) async fn collect(job: &Job<'_>, pods: &[Value]) {
    let of = |(label, value): (&str, &str)| -> Vec<String> {
        let ours = pods.iter().filter(|p| p["metadata"]["namespace"] == ISTIO_NAMESPACE && p["metadata"]["labels"][label] == value);
        ours.filter_map(|p| p["metadata"]["name"].as_str()).take(PODS).map(str::to_owned).collect()
    };
    let pages: Vec<(String, u16, &str, Place, &'static str)> = PAGES
        .iter()
        .flat_map(|(label, port, path, file, what)| {
            of(*label).into_iter().map(move |pod| {
                let place = Place::new(&["istio", &pod, file]);
                (pod, *port, *path, place, *what)
            })
        })
        .collect();
    if pages.is_empty() {
        return job.writer.leave_out(&"istio", "there is no pod of istiod, ztunnel or istio-cni");
    }
    job.writer.forget(&"istio");
    pages.iter().for_each(|(.., place, _)| job.writer.expect(place));
    let asking = stream::iter(pages).for_each_concurrent(None, async |(pod, port, path, place, what)| {
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
