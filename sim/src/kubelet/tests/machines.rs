use super::*;

#[tokio::test]
async fn a_node_registers_and_keeps_its_lease() {
    let c = cluster();
    let node = c.until(("nodes", "", "n1"), |n| condition(n, "Ready") == "True").await;
    assert_eq!(node["spec"]["podCIDR"], "10.244.0.0/24");
    assert_eq!(node["status"]["capacity"]["pods"], "110");
    assert_eq!(node["status"]["conditions"][3]["message"], "kubelet is posting ready status");
    c.event("NodeReady", "Node n1 status is now: NodeReady").await;
    let lease = ("leases.coordination.k8s.io", "kube-node-lease", "n1");
    let before = c.until(lease, |l| !l.is_null()).await;
    c.api.clock().skip(Duration::from_secs(10));
    c.until(lease, |l| l["spec"]["renewTime"] != before["spec"]["renewTime"]).await;
    assert_eq!(c.kubelets.healthz("n1"), Ok(()));
    c.kubelets.faults().silent("n1", true);
    assert!(c.kubelets.healthz("n1").is_err());
}

#[tokio::test]
async fn a_machine_that_comes_back_restarts_its_containers() {
    let c = cluster();
    c.make("a", one("web"));
    c.ready("a").await;
    let request =
        || Request { port: 80, tls: false, method: http::Method::GET, path: "/".into(), headers: Default::default(), body: Bytes::new() };
    let instance = c.kubelets.instances().get("default", "a", "c").unwrap();
    assert!(instance.answer(request()).await.is_ok());
    c.machine.running.send_replace(false);
    assert_eq!(instance.answer(request()).await.unwrap_err(), Unreachable::Silent);
    assert!(c.kubelets.healthz("n1").is_err());
    // Whatever happens now is not seen by its kubelet.
    c.api
        .modify("nodes", ("", "n1"), |n| {
            n["status"]["conditions"][3]["status"] = json!("Unknown");
            true
        })
        .unwrap();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    c.machine.running.send_replace(true);
    let found = c.pod("a", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1 && condition(p, "Ready") == "True").await;
    assert_eq!(found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 255);
    c.until(("nodes", "", "n1"), |n| condition(n, "Ready") == "True").await;
    c.event("SandboxChanged", "Pod sandbox changed").await;
}

#[tokio::test]
async fn a_static_pod_has_a_mirror_that_comes_back() {
    let c = cluster();
    c.until(("nodes", "", "n1"), |n| condition(n, "Ready") == "True").await;
    let kubelet = c.kubelets.get("n1").unwrap();
    kubelet.static_pod(json!({"metadata": {"name": "etcd", "namespace": "default"}, "spec": one("app:1")}));
    let first = c.ready("etcd-n1").await;
    assert_eq!(first["metadata"]["annotations"]["kubernetes.io/config.source"], "file");
    assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "Node");
    c.delete("etcd-n1");
    let again = c.pod("etcd-n1", |p| p["metadata"]["uid"] != first["metadata"]["uid"] && condition(p, "Ready") == "True").await;
    assert_eq!(again["status"]["containerStatuses"], first["status"]["containerStatuses"]);
}

#[tokio::test]
async fn a_silent_kubelet_does_nothing_until_it_speaks_again() {
    let c = cluster();
    c.until(("nodes", "", "n1"), |n| condition(n, "Ready") == "True").await;
    c.kubelets.faults().silent("n1", true);
    c.make("a", one("app:1"));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(c.api.read("pods", "default", "a").unwrap()["status"]["startTime"].is_null());
    c.kubelets.faults().silent("n1", false);
    c.ready("a").await;
}

#[tokio::test]
async fn what_others_write_into_the_status_does_not_last() {
    let c = cluster();
    c.make("a", one("app:1"));
    let before = c.ready("a").await;
    let mut seen = c.api.store().revision();
    c.api
        .modify("pods", ("default", "a"), |p| {
            p["status"]["conditions"][2]["status"] = json!("False");
            p["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "other", "status": "True"}));
            true
        })
        .unwrap();
    seen += 1;
    let after = c.pod("a", |p| p["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > seen).await;
    assert_eq!(condition(&after, "Ready"), "True");
    assert_eq!(condition(&after, "other"), "True");
    assert_eq!(after["status"]["containerStatuses"], before["status"]["containerStatuses"]);
}

#[tokio::test]
async fn a_changed_image_restarts_its_container() {
    let c = cluster();
    c.make("a", one("web:1"));
    c.ready("a").await;
    c.api
        .modify("pods", ("default", "a"), |p| {
            p["spec"]["containers"][0]["image"] = json!("web:2");
            true
        })
        .unwrap();
    let found = c.pod("a", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1 && condition(p, "Ready") == "True").await;
    assert_eq!(found["status"]["containerStatuses"][0]["image"], "docker.io/library/web:2");
    c.event("Killing", "Container c definition changed, will be restarted").await;
}
