use rstest::rstest;

use super::*;
use crate::builtin;
use crate::resource::Version;

fn now() -> Timestamp {
    "2025-01-01T01:00:00Z".parse().unwrap()
}

fn resource(id: &str) -> Resource {
    builtin::resources().into_iter().find(|r| r.id() == id).unwrap()
}

// Every object is an hour old.
fn cells_of(id: &str, mut object: Value) -> Vec<Value> {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
    let resource = resource(id);
    let version = resource.versions[0].name.clone();
    let table = table(&resource, &version, &[&object], Include::None, now(), json!({}));
    table["rows"][0]["cells"].as_array().unwrap().clone()
}

fn line(id: &str, object: Value) -> String {
    cells_of(id, object).iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect::<Vec<_>>().join("|")
}

fn pod(status: &Value) -> Value {
    json!({
        "spec": {"nodeName": "n", "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}, {"name": "b"}]},
        "status": status,
    })
}

fn running(ready: bool) -> Value {
    json!({"name": "a", "ready": ready, "state": {"running": {}}})
}

#[rstest]
#[case(json!({"phase": "Pending"}), "0/3|Pending|0")]
#[case(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}), "0/3|SchedulingGated|0")]
#[case(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}]}), "0/3|Init:0/2|0")]
#[case(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}), "0/3|Init:0/2|0")]
#[case(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}), "0/3|Init:ImagePullBackOff|0")]
#[case(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 3}}}]}), "0/3|Init:ExitCode:3|2")]
#[case(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}), "0/3|Init:Error|0")]
#[case(json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}), "0/3|ContainerCreating|0")]
#[case(json!({"phase": "Running", "containerStatuses": [running(true), running(true)]}), "2/3|Running|0")]
#[case(json!({"phase": "Running", "containerStatuses": [running(true), running(false)]}), "1/3|Running|0")]
#[case(
    json!({"phase": "Running", "containerStatuses": [running(true), running(true)], "initContainerStatuses": [
        {"name": "i", "restartCount": 9, "state": {"terminated": {"exitCode": 0}}},
        {"name": "s", "restartCount": 1, "started": true, "ready": true, "state": {"running": {}}}]}),
    "3/3|Running|1"
)]
#[case(
    json!({"phase": "Running", "containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-01-01T00:55:00Z"}}}]}),
    "0/3|CrashLoopBackOff|3 (5m ago)"
)]
#[case(json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}), "0/3|Completed|0")]
#[case(json!({"phase": "Failed", "reason": "Evicted"}), "0/3|Evicted|0")]
#[case(json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}), "0/3|Signal:9|0")]
#[case(
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}, running(true)]}),
    "1/3|Running|0"
)]
#[case(
    json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}, running(true)]}),
    "1/3|NotReady|0"
)]
fn pods(#[case] status: Value, #[case] expected: &str) {
    assert_eq!(line("pods", pod(&status)), format!("x|{expected}|60m|<none>|n|<none>|<none>"));
}

#[test]
fn leaving_pods() {
    let mut leaving = pod(&json!({"phase": "Running", "containerStatuses": [running(true), running(true)]}));
    leaving["metadata"]["deletionTimestamp"] = json!("2025-01-01T00:59:00Z");
    assert!(line("pods", leaving.clone()).starts_with("x|2/3|Terminating|0|"));
    leaving["status"]["reason"] = json!("NodeLost");
    assert!(line("pods", leaving.clone()).starts_with("x|2/3|Unknown|0|"));
    leaving["status"] = json!({"phase": "Succeeded"});
    assert!(line("pods", leaving).starts_with("x|0/3|Succeeded|0|"));
}

#[test]
fn wide_pods() {
    let mut wide = pod(&json!({
        "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "nominatedNodeName": "m",
        "conditions": [{"type": "g/a", "status": "True"}],
    }));
    wide["spec"]["readinessGates"] = json!([{"conditionType": "g/a"}, {"conditionType": "g/b"}]);
    assert_eq!(line("pods", wide), "x|0/3|Running|0|60m|10.0.0.1|n|m|1/2");
}

fn template() -> Value {
    json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}})
}

#[rstest]
#[case("deployments.apps", json!({"spec": {"replicas": 2, "template": template(), "selector": {"matchLabels": {"a": "b"}}},
    "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}), "x|1/2|2|1|60m|a,b|i:1,j|a=b")]
#[case("replicasets.apps", json!({"spec": {"template": template(), "selector": {}}, "status": {"replicas": 1}}), "x|1|1|0|60m|a,b|i:1,j|<none>")]
#[case("statefulsets.apps", json!({"spec": {"replicas": 0}}), "x|0/0|60m||")]
#[case("daemonsets.apps", json!({"spec": {"template": {"spec": {"nodeSelector": {"b": "c", "a": ""}}}}, "status": {"desiredNumberScheduled": 2, "numberReady": 1}}),
    "x|2|0|1|0|0|a=,b=c|60m|||<none>")]
#[case("jobs.batch", json!({"spec": {"completions": 3}, "status": {"succeeded": 3, "startTime": "2025-01-01T00:00:00Z",
    "completionTime": "2025-01-01T00:00:07Z", "conditions": [{"type": "Complete", "status": "True"}]}}), "x|Complete|3/3|7s|60m|||<none>")]
#[case("jobs.batch", json!({"spec": {"parallelism": 2}}), "x|Running|0/1 of 2||60m|||<none>")]
#[case("cronjobs.batch", json!({"spec": {"schedule": "* * * * *", "suspend": false}, "status": {"lastScheduleTime": "2025-01-01T00:59:30Z"}}),
    "x|* * * * *|<none>|False|0|30s|60m|||<none>")]
#[case("horizontalpodautoscalers.autoscaling", json!({"spec": {"minReplicas": 1, "maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]},
    "status": {"currentReplicas": 1, "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]}}),
    "x|Deployment/d|cpu: 12%/80%|1|5|1|60m")]
#[case("poddisruptionbudgets.policy", json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}}), "x|50%|N/A|1|60m")]
#[case("controllerrevisions.apps", json!({"revision": 2, "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true}]}}),
    "x|daemonset.apps/d|2|60m")]
#[case("services", json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
    "ports": [{"port": 443, "protocol": "TCP"}]}}), "x|ClusterIP|10.96.0.1|<none>|443/TCP|60m|<none>")]
#[case("services", json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.2", "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}],
    "selector": {"a": "b"}}}), "x|LoadBalancer|10.96.0.2|<pending>|80:30000/TCP|60m|a=b")]
#[case("services", json!({"spec": {"type": "ExternalName", "externalName": "e.com"}}), "x|ExternalName|<none>|e.com|<none>|60m|<none>")]
#[case("endpoints", json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 1}, {"port": 2}]}]}),
    "x|1.1.1.1:1,[::1]:1,1.1.1.1:2 + 1 more...|60m")]
#[case("endpointslices.discovery.k8s.io", json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": []}), "x|IPv4|80|<unset>|60m")]
#[case("ingresses.networking.k8s.io", json!({"spec": {"ingressClassName": "c", "rules": [{"host": "a"}], "tls": [{}]}}), "x|c|a||80, 443|60m")]
#[case("networkpolicies.networking.k8s.io", json!({"spec": {"podSelector": {}}}), "x|<none>|60m")]
#[case("nodes", json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "172.18.0.2"}],
    "nodeInfo": {"kubeletVersion": "v1.33.4", "osImage": "Debian"}}}),
    "x|Ready,SchedulingDisabled|control-plane|60m|v1.33.4|172.18.0.2|<none>|Debian|<unknown>|<unknown>")]
#[case("namespaces", json!({"status": {"phase": "Active"}}), "x|Active|60m")]
#[case("events", json!({"type": "Normal", "reason": "Pulled", "message": "m\n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "f"},
    "source": {"component": "kubelet", "host": "n"}, "count": 2, "firstTimestamp": "2025-01-01T00:00:00Z", "lastTimestamp": "2025-01-01T00:59:50Z"}),
    "10s|Normal|Pulled|pod/p|f|kubelet, n|m|60m|2|x")]
#[case("events.events.k8s.io", json!({"type": "Normal", "reason": "R", "note": "m", "regarding": {"kind": "Pod"}, "eventTime": "2025-01-01T00:59:50.000000Z",
    "reportingController": "c"}), "10s|Normal|R|pod||c|m|10s|1|x")]
#[case("secrets", json!({"type": "Opaque", "data": {"a": ""}}), "x|Opaque|1|60m")]
#[case("configmaps", json!({"data": {"a": ""}, "binaryData": {"b": ""}}), "x|2|60m")]
#[case("serviceaccounts", json!({}), "x|0|60m")]
#[case("persistentvolumes", json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
    "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s"}, "status": {"phase": "Bound"}}),
    "x|1Gi|RWO,RWX|Delete|Bound|n/c|s|<unset>||60m|<unset>")]
#[case("persistentvolumeclaims", json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}), "x|Pending||||" )]
#[case("storageclasses.storage.k8s.io", json!({"provisioner": "p", "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}),
    "x (default)|p|Delete|Immediate|false|60m")]
#[case("rolebindings.rbac.authorization.k8s.io", json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"},
    {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}), "x|Role/r|60m|u||n/s")]
#[case("roles.rbac.authorization.k8s.io", json!({}), "x|2025-01-01T00:00:00Z")]
#[case("customresourcedefinitions.apiextensions.k8s.io", json!({}), "x|2025-01-01T00:00:00Z")]
#[case("apiservices.apiregistration.k8s.io", json!({"status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]},
    "spec": {"service": {"namespace": "n", "name": "s"}}}), "x|n/s|False (MissingEndpoints)|60m")]
#[case("leases.coordination.k8s.io", json!({"spec": {"holderIdentity": "h"}}), "x|h|60m")]
#[case("priorityclasses.scheduling.k8s.io", json!({"value": 5, "preemptionPolicy": "Never"}), "x|5|false|60m|Never")]
#[case("certificatesigningrequests.certificates.k8s.io", json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
    "status": {"certificate": "x", "conditions": [{"type": "Approved"}]}}), "x|60m|s|u|60m|Approved,Issued")]
#[case("validatingadmissionpolicies.admissionregistration.k8s.io", json!({"spec": {"validations": [{}]}}), "x|1|<unset>|60m")]
#[case("validatingadmissionpolicybindings.admissionregistration.k8s.io", json!({"spec": {"policyName": "p"}}), "x|p|<unset>|60m")]
#[case("mutatingwebhookconfigurations.admissionregistration.k8s.io", json!({"webhooks": [{}, {}]}), "x|2|60m")]
#[case("resourcequotas", json!({"status": {"hard": {"limits.cpu": "1", "pods": "5"}, "used": {"pods": "2"}}}), "x|pods: 2/5|limits.cpu: 0/1|60m")]
fn rows(#[case] id: &str, #[case] object: Value, #[case] expected: &str) {
    let line = line(id, object);
    // A case may stop early where the rest says nothing new.
    assert!(line == expected || (expected.ends_with("||||") && line.starts_with(expected)), "{line}");
}

#[test]
fn columns_fit_cells() {
    for resource in builtin::resources().iter().filter(|r| r.verbs.contains(&"list")) {
        let columns = columns(resource, &resource.versions[0].name, None).len();
        let cells = cells_of(&resource.id(), json!({})).len();
        let extra = usize::from(resource.plural == "ipaddresses");
        assert_eq!(columns + extra, cells, "{}", resource.id());
    }
}

#[test]
fn the_document() {
    let object =
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "resourceVersion": "5"}, "status": {"phase": "Succeeded"}});
    let pods = resource("pods");
    let table = table(&pods, "v1", &[&object], Include::Metadata, now(), json!({"resourceVersion": "7"}));
    assert_eq!(
        (&table["kind"], &table["apiVersion"], &table["metadata"]["resourceVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"), &json!("7"))
    );
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    assert_eq!(table["columnDefinitions"][5], columns::column("IP", "string", "", "IP", 1));
    let row = &table["rows"][0];
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(row["conditions"][0]["reason"], "Succeeded");
    let event = row_table(&pods, "v1", &object, Include::Object, now(), false);
    assert_eq!((&event["columnDefinitions"], &event["metadata"]["resourceVersion"]), (&Value::Null, &json!("5")));
    assert_eq!(event["rows"][0]["object"], object);
    let scale = json!({"kind": "Scale", "metadata": {"name": "x"}, "spec": {"replicas": 3}});
    let scale = row_table(&resource("deployments.apps"), "v1", &scale, Include::None, now(), true);
    assert_eq!(scale["rows"][0]["cells"], json!(["x", 3, 0, "<unknown>"]));
}

#[test]
fn custom_resources() {
    let columns = json!([
        {"name": "Class", "type": "string", "jsonPath": ".spec.gatewayClassName"},
        {"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.none"},
    ]);
    let mut gateways = resource("pods");
    gateways.custom = true;
    "gateways".clone_into(&mut gateways.plural);
    gateways.versions =
        vec![Version { name: "v1".to_owned(), columns, ..Version::default() }, Version { name: "v2".to_owned(), ..Version::default() }];
    let object = json!({
        "metadata": {"name": "x", "creationTimestamp": "2025-01-01T00:00:00Z"},
        "spec": {"gatewayClassName": "istio", "replicas": 2, "hosts": ["a", "b"]},
        "status": {"conditions": [{"type": "Accepted", "status": "False"}, {"type": "Programmed", "status": "True"}]},
    });
    let first = table(&gateways, "v1", &[&object], Include::None, now(), json!({}));
    assert_eq!(first["rows"][0]["cells"], json!(["x", "istio", "True", 2, "[\"a\",\"b\"]", "60m", null]));
    assert_eq!(first["columnDefinitions"][3]["priority"], 1);
    let second = table(&gateways, "v2", &[&object], Include::None, now(), json!({}));
    assert_eq!(second["rows"][0]["cells"], json!(["x", "60m"]));
    assert_eq!(second["columnDefinitions"][1]["type"], "date");
}
