//! What is shown of the guide's defects, of files and of what stays, and what there is to see when it is not so.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::cases::{Case, check, outcome};
use crate::journal::Verdict;
use crate::outcomes::judge;
use crate::recording::{CONTROL_REGISTRY, HOSTS_TOML};
use crate::testing::api::Reply;
use crate::testing::environment::{World, proxy_access};
use crate::testing::guide::WORKER;
use crate::testing::tokens::DASHBOARD;

#[tokio::test]
async fn defects_that_are_none() {
    check(&[
        Case {
            name: "ctr reads hosts.toml",
            breaks: |w| {
                let pull = format!("ctr -n k8s.io images pull {CONTROL_REGISTRY}/by-ctr:latest");
                w.nodes.seen(WORKER, &pull, &[proxy_access(WORKER, HOSTS_TOML, "HEAD", "/v2/by-ctr/manifests/latest")]);
            },
            fails: &[("cluster.images.ctr-asks-elsewhere", "ctr on istio-cluster-worker read hosts.toml")],
        },
        Case {
            name: "ctr prints what the guide shows",
            breaks: |w| {
                let image = w.spec.probe.image.clone();
                let pull = format!("ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d {image}");
                w.nodes.answer("istio-cluster-control-plane", &pull, 0, &format!("unpacking {image} ...\ndone\n"), "");
            },
            fails: &[("cluster.images.ctr-says-otherwise", "ctr prints what the guide shows")],
        },
        Case {
            name: "the nodes are in the network of docker0",
            breaks: |w| w.api.edit("/api/v1/nodes/istio-cluster-worker", |n| n["status"]["addresses"][0]["address"] = "172.17.0.3".into()),
            fails: &[("cluster.proxy.other-network", "istio-cluster-worker is at 172.17.0.3, which 172.17.0.0/16 covers")],
        },
        Case {
            name: "the Dashboard runs on the control plane",
            breaks: |w| {
                for pod in ["kubernetes-dashboard-b7ffbc8cb-zl8zg", "dashboard-metrics-scraper-6b5c7f7b5c-9xk2p"] {
                    let path = format!("/api/v1/namespaces/kubernetes-dashboard/pods/{pod}");
                    w.api.edit(&path, |p| p["spec"]["nodeName"] = "istio-cluster-control-plane".into());
                }
            },
            fails: &[("cluster.proxy.worker-left-out", "every pod of the Dashboard runs on istio-cluster-control-plane")],
        },
        Case {
            name: "the Dashboard's image is pulled when it is missing only",
            breaks: |w| {
                w.api.edit("/apis/apps/v1/namespaces/kubernetes-dashboard/deployments/kubernetes-dashboard", |d| {
                    d["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "IfNotPresent".into();
                });
            },
            fails: &[("dashboard.pods.always-pull", "imagePullPolicy is IfNotPresent, not Always")],
        },
        Case {
            name: "a binding can be created again",
            breaks: |w| {
                let made = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "x"},
                    "roleRef": {"apiGroup": "", "kind": "ClusterRole", "name": "x"}});
                w.api.always("POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings", Reply::Json(201, made));
            },
            fails: &[("dashboard.admin-user.no-namespace", "to create it again gives: created")],
        },
    ])
    .await;
}

#[tokio::test]
async fn files_and_tokens() {
    check(&[
        Case {
            name: "everybody may read the kubeconfig",
            breaks: |w| std::fs::set_permissions(w.kubeconfig(), std::fs::Permissions::from_mode(0o644)).unwrap(),
            fails: &[("cluster.files.private", "others may use kubeconfig: its mode is 0644")],
        },
        Case {
            name: "a journal holds a private key",
            breaks: |w| {
                let run = w.dir.path().join("runs").join("a");
                std::fs::create_dir_all(&run).unwrap();
                std::fs::write(run.join("journal.jsonl"), "-----BEGIN PRIVATE KEY-----").unwrap();
            },
            fails: &[("cluster.files.no-secret", "runs/a/journal.jsonl holds a token or a private key")],
        },
        Case {
            name: "a token of the admin user is kept for ever",
            breaks: |w| {
                w.api.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old", "namespace": "kubernetes-dashboard",
                    "annotations": {"kubernetes.io/service-account.name": "admin-user"}}}));
            },
            fails: &[("dashboard.token.short-lived", "Secrets hold tokens of admin-user that never expire: old")],
        },
    ])
    .await;
}

async fn page(script: &str) -> Verdict {
    let world = World::healthy();
    world.api.always(&format!("GET {DASHBOARD}/main.1.js"), Reply::Text(200, script.to_owned()));
    judge(&outcome("dashboard.login.page-closed"), &world.open().await).await.verdict
}

#[tokio::test]
async fn the_page_asks_the_browser_where_it_is() {
    assert_eq!(page("['localhost','127.0.0.1'].includes(h)||'https:'===p").await, Verdict::Passed);
    let Verdict::Failed { reason } = page("'https:'===p").await else { panic!("it asks for less") };
    assert!(reason.contains("does not ask for localhost; the page's script does not ask for 127.0.0.1"), "{reason}");
}
