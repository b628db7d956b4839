use std::sync::Mutex;

use super::super::cni::Cni;
use super::super::{NodeFiles, workloads};
use super::*;
use crate::spec::{Request as SpecRequest, load};

#[derive(Default)]
struct Files {
    done: Mutex<Vec<String>>,
    broken: bool,
}

impl NodeFiles for Files {
    fn chain(&self, node: &str) -> Result<(), String> {
        self.done.lock().unwrap().push(format!("chain {node}"));
        if self.broken { Err("no conflist".into()) } else { Ok(()) }
    }

    fn unchain(&self, node: &str) {
        self.done.lock().unwrap().push(format!("unchain {node}"));
    }
}

const IMAGE: &str = "docker.io/istio/install-cni:1.27.1-distroless";

#[tokio::test]
async fn the_cni_agent_is_ready_when_its_node_is_chained() {
    let api = api(&["istio-system"]);
    let files = Arc::new(Files::default());
    let (agent, _) = run(&Cni(Some(files.clone())), &api, ("istio-system", "a"), IMAGE, closed());
    assert_eq!(said(&agent, get(8000, false, "/readyz")).await.0, 200);
    assert!(said(&agent, get(15014, false, "/metrics")).await.1.contains("component=\"cni\",tag=\"1.27.1\""));
    agent.stop();
    agent.stop();
    assert_eq!(*files.done.lock().unwrap(), ["chain worker", "unchain worker"]);
    let broken = Arc::new(Files { broken: true, ..Files::default() });
    let (agent, start) = run(&Cni(Some(broken)), &api, ("istio-system", "b"), IMAGE, closed());
    assert_eq!(said(&agent, get(8000, false, "/readyz")).await.0, 503);
    assert_eq!(said(&agent, get(8000, false, "/healthz")).await.0, 200);
    assert!(start.log.lines().1[0].1.contains("no conflist"));
}

#[tokio::test]
async fn the_system_answers_where_its_probes_look() {
    let api = api(&["kube-system"]);
    let all = workloads(&load(&SpecRequest::default()).unwrap());
    for (repository, port, tls, path) in [
        ("registry.k8s.io/coredns/coredns", 8080, false, "/health"),
        ("registry.k8s.io/coredns/coredns", 8181, false, "/ready"),
        ("registry.k8s.io/kube-proxy", 10256, false, "/healthz"),
        ("registry.k8s.io/etcd", 2381, false, "/readyz"),
        ("registry.k8s.io/kube-apiserver", 6443, true, "/readyz"),
        ("registry.k8s.io/kube-controller-manager", 10257, true, "/healthz"),
        ("registry.k8s.io/kube-scheduler", 10259, true, "/livez"),
        ("docker.io/kubernetesui/metrics-scraper", 8000, false, "/"),
    ] {
        let name = format!("{}-{port}", repository.rsplit('/').next().unwrap());
        let (instance, _) = run(&*all.of(repository), &api, ("kube-system", &name), repository, closed());
        assert_eq!(said(&instance, get(port, tls, path)).await.0, 200, "{repository} {port} {path}");
        assert_eq!(said(&instance, get(port, tls, "/nowhere")).await.0, 404);
        assert!(refused(&instance, 1).await);
        if !tls {
            assert!(matches!(instance.answer(get(port, true, path)).await, Err(Unreachable::NotTls)));
        }
    }
    let known = format!("{all:?}");
    for name in ["docker.io/istio/pilot", "docker.io/istio/ztunnel", "docker.io/istio/install-cni", "docker.io/kubernetesui/dashboard"] {
        assert!(known.contains(name), "{name}");
    }
}
