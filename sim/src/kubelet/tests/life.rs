use super::*;

#[tokio::test]
async fn a_pod_whose_image_is_there_runs_after_two_writes() {
    let c = cluster();
    c.make("a", one("app:1"));
    let bound = c.api.store().get("pods", "default", "a").unwrap().revision;
    let found = c.ready("a").await;
    let writes = c.api.store().events("pods", bound, 100).unwrap();
    assert_eq!(writes.len(), 2);
    let first = writes[0].object.value();
    assert_eq!(waiting(&first), "ContainerCreating");
    assert_eq!(first["status"]["conditions"][3]["message"], "containers with unready status: [c]");
    let status = &found["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIP"], "10.244.0.2");
    assert_eq!(status["podIPs"], json!([{"ip": "10.244.0.2"}]));
    assert_eq!(status["hostIP"], "172.18.0.2");
    let container = &status["containerStatuses"][0];
    assert_eq!(container["image"], "docker.io/library/app:1");
    assert_eq!(container["restartCount"], 0);
    assert_eq!(container["started"], true);
    assert_eq!(container["containerID"].as_str().unwrap().len(), "containerd://".len() + 64);
    let kinds: Vec<&str> = status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]);
    c.event("Pulled", "Container image \"app:1\" already present on machine").await;
    c.event("Created", "Created container: c").await;
    c.event("Started", "Started container c").await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_stops_and_goes() {
    let c = cluster();
    c.make("a", one("web"));
    c.ready("a").await;
    assert_eq!(c.machine.records.lock().unwrap().len(), 1);
    assert_eq!(c.kubelets.instances().by_ip("10.244.0.2").len(), 1);
    let before = c.api.store().revision();
    c.delete("a");
    c.pod("a", Value::is_null).await;
    c.event("Killing", "Stopping container c").await;
    let last = c.api.store().events("pods", before, 100).unwrap().last().unwrap().object.value();
    assert_eq!(last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert_eq!(c.kubelets.instances().by_ip("10.244.0.2").len(), 0);
    assert!(c.machine.records.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_image_is_pulled_and_said_so() {
    let c = cluster();
    c.make("a", one("web"));
    let found = c.ready("a").await;
    assert_eq!(found["status"]["containerStatuses"][0]["image"], "docker.io/library/web:latest");
    c.event("Pulling", "Pulling image \"web\"").await;
    c.event("Pulled", "including waiting). Image size: 4269694 bytes.").await;
    let (count, lines) = c.kubelets.instances().log("default", "a", "c", false).unwrap().lines();
    assert_eq!((count, lines[0].1.as_str()), (1, "serving"));
}

#[tokio::test]
async fn a_job_completes_and_a_failing_one_fails() {
    let c = cluster();
    let mut spec = one("done");
    spec["restartPolicy"] = json!("OnFailure");
    c.make("good", spec);
    let mut spec = one("fails");
    spec["restartPolicy"] = json!("Never");
    c.make("bad", spec);
    let good = c.pod("good", |p| p["status"]["phase"] == "Succeeded").await;
    let ready = good["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(ready["reason"], "PodCompleted");
    assert_eq!(good["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    let bad = c.pod("bad", |p| p["status"]["phase"] == "Failed").await;
    assert_eq!(bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
}

#[tokio::test]
async fn init_containers_run_in_order_and_sidecars_stay() {
    let c = cluster();
    c.make(
        "a",
        json!({
            "initContainers": [
                {"name": "first", "image": "done"},
                {"name": "side", "image": "web", "restartPolicy": "Always"},
                {"name": "second", "image": "done"},
            ],
            "containers": [{"name": "c", "image": "app:1"}],
        }),
    );
    let found = c.ready("a").await;
    let init = &found["status"]["initContainerStatuses"];
    assert_eq!(init[0]["state"]["terminated"]["exitCode"], 0);
    assert!(init[1]["state"]["running"].is_object());
    assert_eq!(init[2]["ready"], true);
    let events = c.api.store().events("pods", 0, 100).unwrap();
    let not_yet = events.iter().map(|e| e.object.value()).find(|p| condition(p, "Initialized") == "False").unwrap();
    assert_eq!(not_yet["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
}

#[tokio::test]
async fn probes_decide_about_readiness_and_restarts() {
    let c = cluster();
    c.web.send_replace(503);
    c.make(
        "a",
        json!({"containers": [{
            "name": "c", "image": "web", "ports": [{"name": "http", "containerPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": 81}, "initialDelaySeconds": 60, "failureThreshold": 1},
        }]}),
    );
    c.event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503").await;
    assert_eq!(c.api.read("pods", "default", "a").unwrap()["status"]["containerStatuses"][0]["ready"], false);
    c.web.send_replace(200);
    c.ready("a").await;
    c.api.clock().skip(Duration::from_mins(1));
    c.event("Killing", "Container c failed liveness probe, will be restarted").await;
    let found = c.pod("a", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(found["status"]["phase"], "Running");
    assert!(c.kubelets.instances().log("default", "a", "c", true).is_some());
}

#[tokio::test]
async fn a_pod_is_held_by_its_grace_and_then_ended_by_force() {
    struct Stubborn;
    struct Running(watch::Sender<Process>);
    impl Workload for Stubborn {
        fn start(&self, _start: Start) -> Arc<dyn Instance> {
            Arc::new(Running(watch::Sender::new(Process::Running)))
        }
    }
    impl Instance for Running {
        fn process(&self) -> watch::Receiver<Process> {
            self.0.subscribe()
        }
        fn answer(&self, _request: Request) -> BoxFuture<'_, Result<http::Response<Bytes>, Unreachable>> {
            Box::pin(std::future::ready(Err(Unreachable::Refused)))
        }
    }
    let api = cluster().api;
    let mut workloads = Workloads::default();
    workloads.add("docker.io/library/stubborn", Stubborn);
    let kubelets = Kubelets::new(api.clone(), workloads, Stages::default());
    let machine = Machine::new("172.18.0.3");
    kubelets.add("n1", Arc::clone(&machine) as Arc<dyn Runtime>);
    let c = Cluster { api, kubelets, machine, web: Arc::new(watch::Sender::new(0)) };
    c.make("a", one("stubborn"));
    c.ready("a").await;
    let before = c.api.store().revision();
    c.delete("a");
    c.event("Killing", "Stopping container c").await;
    assert!(c.api.store().get("pods", "default", "a").unwrap().deleting);
    c.api.clock().skip(Duration::from_secs(30));
    c.pod("a", Value::is_null).await;
    let last = c.api.store().events("pods", before, 100).unwrap().last().unwrap().object.value();
    assert_eq!(last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
}

#[tokio::test]
async fn a_delay_is_data_and_can_be_the_pods_own() {
    let c = cluster();
    let mut slow = pod("slow", one("app:1"));
    slow["metadata"]["annotations"] = json!({"sim.kubernetes.io/pod-ready-delay": "1h"});
    c.api.make("pods", "default", slow).unwrap();
    let found = c.pod("slow", |p| p["status"]["phase"] == "Running").await;
    assert_eq!(condition(&found, "Ready"), "False");
    c.api.clock().skip(Duration::from_hours(1));
    c.ready("slow").await;
}
