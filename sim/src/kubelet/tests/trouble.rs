use super::*;

#[tokio::test]
async fn an_image_that_is_missing_backs_off_until_it_comes() {
    let c = cluster();
    c.kubelets.faults().pull_error("app:2", None, "rpc error: code = Unknown desc = no");
    c.make("a", one("app:2"));
    let failed = c.pod("a", |p| waiting(p) == "ErrImagePull").await;
    assert_eq!(failed["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "rpc error: code = Unknown desc = no");
    c.api.clock().skip(Duration::from_secs(1));
    let held = c.pod("a", |p| waiting(p) == "ImagePullBackOff").await;
    let message = "Back-off pulling image \"app:2\": ErrImagePull: rpc error: code = Unknown desc = no";
    assert_eq!(held["status"]["containerStatuses"][0]["state"]["waiting"]["message"], message);
    c.event("BackOff", "Back-off pulling image \"app:2\"").await;
    c.event("Failed", "Error: ImagePullBackOff").await;
    c.kubelets.faults().heal_pull("app:2");
    c.api.clock().skip(Duration::from_secs(10));
    c.ready("a").await;
}

#[tokio::test]
async fn images_that_may_not_be_pulled_or_have_no_name() {
    let c = cluster();
    c.make("never", json!({"containers": [{"name": "c", "image": "x:1", "imagePullPolicy": "Never"}]}));
    c.make("invalid", one("Not A Name"));
    c.pod("never", |p| waiting(p) == "ErrImageNeverPull").await;
    c.pod("invalid", |p| waiting(p) == "InvalidImageName").await;
    c.event("ErrImageNeverPull", "Container image \"x:1\" is not present with pull policy of Never").await;
}

#[tokio::test]
async fn a_container_that_keeps_ending_backs_off() {
    let c = cluster();
    c.make("a", one("fails"));
    let held = c.pod("a", |p| waiting(p) == "CrashLoopBackOff").await;
    let status = &held["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    let uid = held["metadata"]["uid"].as_str().unwrap();
    let message = format!("back-off 10s restarting failed container=c pod=a_default({uid})");
    assert_eq!(status["state"]["waiting"]["message"], message);
    assert_eq!(held["status"]["phase"], "Running");
    c.api.clock().skip(Duration::from_secs(10));
    let held = c.pod("a", |p| p["status"]["containerStatuses"][0]["restartCount"] == 2 && waiting(p) == "CrashLoopBackOff").await;
    assert!(held["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap().starts_with("back-off 20s "));
}

#[tokio::test]
async fn configuration_that_is_missing_is_waited_for() {
    let c = cluster();
    let from = json!([{"configMapRef": {"name": "cm"}}]);
    c.make("env", json!({"containers": [{"name": "c", "image": "app:1", "envFrom": from}]}));
    let mut spec = one("app:1");
    spec["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    c.make("volume", spec);
    let found = c.pod("env", |p| waiting(p) == "CreateContainerConfigError").await;
    assert_eq!(found["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "configmap \"cm\" not found");
    c.event("FailedMount", "MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found").await;
    assert_eq!(waiting(&c.api.read("pods", "default", "volume").unwrap()), "ContainerCreating");
    c.api.make("configmaps", "default", json!({"metadata": {"name": "cm"}})).unwrap();
    c.api.make("secrets", "default", json!({"metadata": {"name": "s"}})).unwrap();
    c.ready("env").await;
    c.ready("volume").await;
}

#[tokio::test]
async fn faults_hit_containers() {
    let c = cluster();
    let faults = c.kubelets.faults();
    let at = ("default", "a", "c");
    faults.slow_start(at, Duration::from_secs(30));
    c.make("a", one("web"));
    c.event("Pulled", "web").await;
    assert_eq!(waiting(&c.api.read("pods", "default", "a").unwrap()), "ContainerCreating");
    c.api.clock().skip(Duration::from_secs(30));
    c.ready("a").await;
    faults.unready(at, true);
    c.pod("a", |p| condition(p, "Ready") == "False").await;
    faults.unready(at, false);
    c.ready("a").await;
    faults.slow_start(at, Duration::ZERO);
    faults.crash(at, 9, false);
    let found = c.pod("a", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 9);
}

#[tokio::test]
async fn stages_are_data() {
    let text = "
name: pod-ready
resource: Pod
selector:
  matchExpressions:
    - { key: .status.podIP, operator: DoesNotExist }
next:
  status:
    phase: Running
    podIP: $podIP
    conditions: [{ type: Ready, status: 'True' }]
";
    let c = cluster_with(Stages::parse(text).unwrap());
    c.make("a", one("missing"));
    let found = c.ready("a").await;
    assert_eq!(found["status"]["phase"], "Running");
    let wrong = Stages::parse("name: a\nresource: Pod\nwhat: 1\n").unwrap_err();
    assert!(wrong.at.starts_with("line 3"), "{wrong}");
    let wrong = Stages::parse("name: a\nresource: Pod\nselector: {matchExpressions: [{key: x, operator: Exists}]}").unwrap_err();
    assert_eq!(wrong.to_string(), "a: selector.matchExpressions[0].key: \"x\" does not begin with a dot");
}
