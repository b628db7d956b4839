//! Programs of which nobody looks at more than whether they answer: tables of ports and paths.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use sim::workload::{Instance, Process, Request, Start, Unreachable, Workload};
use tokio::sync::watch;

use super::life::Life;
use super::reply;

/// A port: whether it speaks TLS, and its paths with their answers; any other path gets 404.
pub(super) struct Port {
    number: u16,
    tls: bool,
    paths: &'static [(&'static str, &'static str)],
}

const fn plain(number: u16, paths: &'static [(&'static str, &'static str)]) -> Port {
    Port { number, tls: false, paths }
}

const fn tls(number: u16, paths: &'static [(&'static str, &'static str)]) -> Port {
    Port { number, tls: true, paths }
}

const HEALTH: &[(&str, &str)] = &[("/healthz", "ok"), ("/livez", "ok"), ("/readyz", "ok")];

/// Programs by repository. Sources: `CoreDNS` plugins health, ready and metrics; Kubernetes `staging/src/k8s.io/apiserver/pkg/server/healthz`
/// and `pkg/proxy/healthcheck`; etcd `server/etcdserver/api/etcdhttp`; dashboard-metrics-scraper `main.go`.
pub(super) const TABLES: &[(&str, &[Port])] = &[
    (
        "registry.k8s.io/coredns/coredns",
        &[plain(8080, &[("/health", "OK")]), plain(8181, &[("/ready", "OK")]), plain(9153, &[("/metrics", "coredns_build_info 1\n")])],
    ),
    ("registry.k8s.io/kube-proxy", &[plain(10256, HEALTH), plain(10249, HEALTH)]),
    ("registry.k8s.io/etcd", &[plain(2381, &[("/health", r#"{"health":"true","reason":""}"#), ("/livez", "ok\n"), ("/readyz", "ok\n")])]),
    ("registry.k8s.io/kube-apiserver", &[tls(6443, HEALTH)]),
    ("registry.k8s.io/kube-controller-manager", &[tls(10257, HEALTH)]),
    ("registry.k8s.io/kube-scheduler", &[tls(10259, HEALTH)]),
    ("docker.io/kindest/kindnetd", &[]),
    ("docker.io/kindest/local-path-provisioner", &[]),
    ("docker.io/kubernetesui/metrics-scraper", &[plain(8000, &[("/healthz", ""), ("/", "URL: /")])]),
];

/// A program that answers from a table.
pub(super) struct Answers(pub(super) &'static [Port]);

struct Running {
    ports: &'static [Port],
    life: Life,
}

impl Workload for Answers {
    fn start(&self, _start: Start) -> Arc<dyn Instance> {
        Arc::new(Running { ports: self.0, life: Life::default() })
    }
}

impl Instance for Running {
    fn process(&self) -> watch::Receiver<Process> {
        self.life.watch()
    }

    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>> {
        let reply = match self.ports.iter().find(|p| p.number == request.port && self.life.runs()) {
            None => Err(Unreachable::Refused),
            Some(port) => reply::mismatch(&request, port.tls).unwrap_or_else(|| {
                let path = reply::path(&request);
                let body = port.paths.iter().find(|(p, _)| *p == path).map(|(_, body)| *body);
                Ok(body.map_or_else(reply::not_found, reply::ok))
            }),
        };
        Box::pin(std::future::ready(reply))
    }

    fn stop(&self) {
        self.life.stop();
    }
}
