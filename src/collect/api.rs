//! What the API server has: objects, events, and the logs of containers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt as _};
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::writer::{Place, Tail};
use super::{Job, Trouble, istio};
use crate::error::one_line;
use crate::outcomes::ISTIO_NAMESPACE;
use crate::text;
use crate::wait::Limit;

/// A list that is longer than this is not held, in bytes.
const LIST: usize = 64 << 20;
/// Logs that are taken.
const LOGS: usize = 2000;
/// Kinds of custom resources that are listed.
const CUSTOM: usize = 100;
/// Logs that are read from one node at a time.
const LOGS_OF_NODE: usize = 3;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PODS: &str = "/api/v1/pods";
const EVENTS: &str = "/api/v1/events";
/// Names of files and paths of lists. Secrets are never among them.
const NAMESPACED: [(&str, &str); 6] = [
    ("services", "/api/v1/services"),
    ("endpointslices", "/apis/discovery.k8s.io/v1/endpointslices"),
    ("deployments", "/apis/apps/v1/deployments"),
    ("daemonsets", "/apis/apps/v1/daemonsets"),
    ("replicasets", "/apis/apps/v1/replicasets"),
    ("jobs", "/apis/batch/v1/jobs"),
];
const CLUSTER_WIDE: [(&str, &str); 4] = [
    ("nodes", "/api/v1/nodes"),
    ("namespaces", "/api/v1/namespaces"),
    ("mutatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
    ("validatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
];
/// What kubectl keeps of an applied manifest: the object once more, with whatever was in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Ends of names whose values are no one else's business.
const SECRET_NAMES: [&str; 8] = ["TOKEN", "PASSWORD", "PASSWD", "SECRET", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIALS"];

/// Takes what the API server has.
pub(super) async fn collect(job: &Job<'_>) {
    let texts = text::current();
    if let Err(why) = &job.cluster {
        return job.writer.leave_out(&"objects, events and logs", &texts.with("collect-why-no-cluster", &[("why", why)]));
    }
    let configmaps = format!("/api/v1/namespaces/{ISTIO_NAMESPACE}/configmaps");
    let lists: Vec<(&str, &str)> =
        CLUSTER_WIDE.into_iter().chain(NAMESPACED).chain([("configmaps.istio-system", configmaps.as_str())]).collect();
    let events = Place::new(&["events.txt"]);
    job.writer.expect(&"pods");
    job.writer.expect(&"istio");
    for place in
        lists.iter().map(|(name, _)| objects_at(name)).chain(["pods", "customresourcedefinitions"].map(objects_at)).chain([events.clone()])
    {
        job.writer.expect(&place);
    }
    if let Err(why) = job.server().await {
        let why = texts.with("collect-why-no-api", &[("why", why)]);
        for (name, _) in &lists {
            job.writer.leave_out(&objects_at(name), &why);
        }
        for what in ["objects/pods.json", "objects/customresourcedefinitions.json", "events.txt", "pods", "istio"] {
            job.writer.leave_out(&what, &why);
        }
        return;
    }
    let listing = stream::iter(lists).for_each_concurrent(None, |(name, path)| list(job, name, path));
    tokio::join!(pods(job), happened(job, EVENTS, &events), listing, custom(job));
}

/// Takes what the API server has of one namespace.
pub(super) async fn collect_namespace(job: &Job<'_>, namespace: &str) {
    let inside = |path: &str| {
        let (before, plural) = path.rsplit_once('/').unwrap_or_default();
        format!("{before}/namespaces/{}/{plural}", escape(namespace))
    };
    let lists: Vec<(&str, String)> = NAMESPACED.iter().map(|(name, path)| (*name, inside(path))).collect();
    let listing = stream::iter(&lists).for_each_concurrent(None, |(name, path)| list(job, name, path));
    let logs = async {
        let place = objects_at("pods");
        let Some(found) = fetch(job, &inside(PODS), &place).await else { return };
        write(job, &place, "collect-what-objects", &found, items(&found).iter().map(tidy).collect());
        logs(job, items(&found)).await;
    };
    let (events, place) = (inside(EVENTS), Place::new(&["events.txt"]));
    tokio::join!(logs, happened(job, &events, &place), listing);
}

fn objects_at(name: &str) -> Place {
    Place::new(&["objects", &format!("{name}.json")])
}

impl Job<'_> {
    /// The API server's version, or why it does not answer. Asked once: where it does not, everything else need not be tried.
    pub(super) async fn server(&self) -> Result<&str, &str> {
        let ask = || async {
            let version = self.bounded("the API server answers", Limit::KubeletAnswer, self.json("/version")).await;
            let version = version.map_err(|trouble| trouble.words().to_owned())?;
            Ok(version["gitVersion"].as_str().unwrap_or("?").to_owned())
        };
        self.server.get_or_init(ask).await.as_ref().map(String::as_str).map_err(String::as_str)
    }

    /// The end of an answer, of which at least the last `most` bytes are held.
    async fn get(&self, path: &str, most: usize) -> Result<Tail, String> {
        let cluster = self.cluster.as_ref().map_err(Clone::clone)?;
        let request = Request::get(path).body(Body::empty()).map_err(|e| e.to_string())?;
        let response = cluster.client.send(request).await.map_err(|e| one_line(&e))?;
        let status = response.status();
        let mut body = response.into_body();
        let mut tail = Tail::default();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|e| one_line(&e))?.into_data() {
                tail.push(&data, most);
            }
        }
        if status.is_success() {
            return Ok(tail);
        }
        let said = String::from_utf8_lossy(&tail.whole().unwrap_or_default()).into_owned();
        let message = serde_json::from_str(&said).ok().and_then(|v: Value| Some(v.get("message")?.as_str()?.to_owned()));
        Err(format!("HTTP {} {}", status.as_u16(), message.unwrap_or(said)).trim_end().to_owned())
    }

    async fn json(&self, path: &str) -> Result<Value, String> {
        let bytes = self.get(path, LIST).await?.whole().ok_or_else(|| format!("the answer is longer than {LIST} bytes"))?;
        serde_json::from_slice(&bytes).map_err(|e| format!("the answer is no JSON: {e}"))
    }

    /// A question in its turn. Time passes only from then on.
    async fn in_turn<T>(&self, what: &str, limit: Limit, question: impl Future<Output = Result<T, String>>) -> Result<T, Trouble> {
        let _turn = self.requests.acquire().await;
        self.bounded(what, limit, question).await
    }

    /// Writes the answer of a path as it is.
    pub(super) async fn keep(&self, path: &str, limit: Limit, place: &Place, what: &'static str) -> Result<(), Trouble> {
        self.writer.expect(place);
        let got = self.in_turn(&format!("{path} answers"), limit, self.get(path, self.writer.bounds.held())).await;
        match got {
            Ok(tail) => self.writer.text(place, what, tail),
            Err(trouble) => {
                self.writer.leave_out(place, trouble.words());
                return Err(trouble);
            }
        }
        Ok(())
    }
}

async fn fetch(job: &Job<'_>, path: &str, place: &Place) -> Option<Value> {
    match job.in_turn(&format!("{path} is listed"), Limit::ServiceAnswer, job.json(path)).await {
        Ok(value) => Some(value),
        Err(trouble) => {
            job.writer.leave_out(place, trouble.words());
            None
        }
    }
}

/// Writes a list and gives its objects back.
async fn list(job: &Job<'_>, name: &str, path: &str) {
    let place = objects_at(name);
    if let Some(found) = fetch(job, path, &place).await {
        write(job, &place, "collect-what-objects", &found, items(&found).iter().map(tidy).collect());
    }
}

fn write(job: &Job<'_>, place: &Place, what: &'static str, found: &Value, items: Vec<Value>) {
    let head = ["apiVersion", "kind"].map(|name| (name, found[name].as_str().unwrap_or_default()));
    job.writer.objects(place, what, &head, items);
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// An object without what only repeats it, and without the values of variables whose names say that they are secret.
fn tidy(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    hide(&mut object);
    object
}

fn hide(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(map) => {
            for variable in map.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default().to_ascii_uppercase();
                if variable["value"].is_string() && SECRET_NAMES.iter().any(|end| name.ends_with(end)) {
                    variable["value"] = "<redacted>".into();
                }
            }
            map.values_mut().for_each(hide);
        }
        _ => {}
    }
}

/// CRDs without their schemas, and the objects of those that Istio and the Gateway API bring.
async fn custom(job: &Job<'_>) {
    let place = objects_at("customresourcedefinitions");
    let Some(found) = fetch(job, CRDS, &place).await else { return };
    let brief = |crd: &Value| {
        let spec = &crd["spec"];
        let versions = spec["versions"].as_array().into_iter().flatten();
        let versions: Vec<Value> = versions.map(|v| json!({"name": v["name"], "served": v["served"], "storage": v["storage"]})).collect();
        let metadata = &tidy(crd)["metadata"];
        json!({"name": metadata["name"], "annotations": metadata["annotations"], "labels": metadata["labels"], "scope": spec["scope"],
               "versions": versions, "conditions": crd["status"]["conditions"]})
    };
    write(job, &place, "collect-what-crds", &found, items(&found).iter().map(brief).collect());
    let lists: Vec<(String, String)> = items(&found).iter().filter_map(resource).take(CUSTOM).collect();
    for (name, _) in &lists {
        job.writer.expect(&objects_at(name));
    }
    stream::iter(lists)
        .for_each_concurrent(None, async |(name, path)| {
            let place = objects_at(&name);
            let Some(found) = fetch(job, &path, &place).await else { return };
            if items(&found).is_empty() {
                return job.writer.forget(&place);
            }
            write(job, &place, "collect-what-objects", &found, items(&found).iter().map(tidy).collect());
        })
        .await;
}

/// Name and list of the resource of a CRD, if it is one of ours to look at.
fn resource(crd: &Value) -> Option<(String, String)> {
    let (group, plural) = (crd["spec"]["group"].as_str()?, crd["spec"]["names"]["plural"].as_str()?);
    let ours = group == "gateway.networking.k8s.io" || group.ends_with(".istio.io");
    let mut served = crd["spec"]["versions"].as_array()?.iter().filter(|v| v["served"] == true);
    let version = served.clone().find(|v| v["storage"] == true).or_else(|| served.next())?["name"].as_str()?;
    ours.then(|| (format!("{plural}.{group}"), format!("/apis/{}/{}/{}", escape(group), escape(version), escape(plural))))
}

/// One segment of a path.
pub(super) fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_~".contains(&b);
    // A dot is plain, unless a name is made of nothing else: then it would lead to another path.
    let dots = text.bytes().all(|b| b == b'.');
    text.bytes().map(|b| if plain(b) || (b == b'.' && !dots) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Events as lines.
async fn happened(job: &Job<'_>, path: &str, place: &Place) {
    let Some(found) = fetch(job, path, place).await else { return };
    let mut lines: Vec<String> = items(&found).iter().map(event).collect();
    // Times are written alike, so they sort as text.
    lines.sort_unstable();
    let mut text = lines.join("\n");
    text.push('\n');
    job.writer.text(place, "collect-what-events", text);
}

fn event(event: &Value) -> String {
    let series = &event["series"];
    let times = [&series["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"], &event["firstTimestamp"]];
    let time = times.into_iter().chain([&event["metadata"]["creationTimestamp"]]).find_map(Value::as_str).unwrap_or("-");
    // Whole seconds, as most of them have.
    let time: String = time.split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned() + "Z";
    let text = |v: &Value| v.as_str().filter(|t| !t.is_empty()).unwrap_or("-").to_owned();
    let object = &event["involvedObject"];
    let count = series["count"].as_i64().or_else(|| event["count"].as_i64()).filter(|c| *c > 1);
    let count = count.map_or_else(String::new, |c| format!(" (x{c})"));
    let line = format!(
        "{time} {} {} {}/{} {}{count}: {}",
        text(&event["type"]),
        text(&event["metadata"]["namespace"]),
        text(&object["kind"]),
        text(&object["name"]),
        text(&event["reason"]),
        text(&event["message"])
    );
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Pods, and what they say.
async fn pods(job: &Job<'_>) {
    let place = objects_at("pods");
    let found = fetch(job, PODS, &place).await;
    let Some(found) = found else {
        for what in ["pods", "istio"] {
            job.writer.leave_out(&what, &text::current().get("collect-why-no-pods"));
        }
        return;
    };
    job.writer.forget(&"pods");
    write(job, &place, "collect-what-objects", &found, items(&found).iter().map(tidy).collect());
    tokio::join!(logs(job, items(&found)), istio::collect(job, items(&found)));
}

/// A log that is to be read.
struct Log {
    place: Place,
    path: String,
    what: &'static str,
}

async fn logs(job: &Job<'_>, pods: &[Value]) {
    let mut nodes: BTreeMap<&str, Vec<Log>> = BTreeMap::new();
    let mut all = 0;
    for pod in pods {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        for log in logs_of(pod) {
            all += 1;
            if all <= LOGS {
                job.writer.expect(&log.place);
                nodes.entry(node).or_default().push(log);
            }
        }
    }
    if all > LOGS {
        let args = [("count", (all - LOGS).to_string()), ("limit", LOGS.to_string())];
        let why = text::current().with("collect-why-too-many", &args.each_ref().map(|(k, v)| (*k, v.as_str())));
        job.writer.leave_out(&"pods", &why);
    }
    let of_node = async |(node, logs): (&str, Vec<Log>)| {
        // The kubelet that gives one log no answer gives the next none either.
        let silent = AtomicBool::new(false);
        let read = async |log: Log| {
            if silent.load(Ordering::Relaxed) {
                let why = text::current().with("collect-why-kubelet-silent", &[("node", node)]);
                return job.writer.leave_out(&log.place, &why);
            }
            if let Err(Trouble::Silence(_)) = job.keep(&log.path, Limit::KubeletAnswer, &log.place, log.what).await {
                silent.store(true, Ordering::Relaxed);
            }
        };
        stream::iter(logs).for_each_concurrent(LOGS_OF_NODE, read).await;
    };
    stream::iter(nodes).for_each_concurrent(None, of_node).await;
}

/// The logs of a pod: of every container, and of the life before where there was one.
fn logs_of(pod: &Value) -> Vec<Log> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let mut logs = Vec::new();
    for (containers, statuses) in [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
        ("ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        for container in pod["spec"][containers].as_array().into_iter().flatten() {
            let container = text(&container["name"]);
            let mut statuses = pod["status"][statuses].as_array().into_iter().flatten();
            let restarts = statuses.find(|s| s["name"] == container.as_str()).and_then(|s| s["restartCount"].as_i64()).unwrap_or(0);
            let path = format!("/api/v1/namespaces/{}/pods/{}/log?container={}", escape(&namespace), escape(&name), escape(&container));
            let place = |end: &str| Place::new(&["pods", &namespace, &name, &format!("{container}{end}")]);
            if restarts > 0 {
                let path = format!("{path}&previous=true");
                logs.push(Log { place: place(".previous.log"), path, what: "collect-what-previous-log" });
            }
            logs.push(Log { place: place(".log"), path, what: "collect-what-log" });
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_latest_time() {
        let seen = json!({"metadata": {"namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}, "type": "Warning", "reason": "BackOff",
            "involvedObject": {"kind": "Pod", "name": "p"}, "message": "two\nlines", "count": 3, "lastTimestamp": "2026-01-01T00:00:09Z"});
        assert_eq!(event(&seen), "2026-01-01T00:00:09Z Warning n Pod/p BackOff (x3): two lines");
        let fine = json!({"metadata": {}, "eventTime": "2026-01-01T00:00:09.123456Z"});
        assert_eq!(event(&fine), "2026-01-01T00:00:09Z - - -/- -: -");
    }

    #[test]
    fn variables_with_secret_names_and_repetitions_are_gone() {
        let object = json!({
            "metadata": {"managedFields": [1], "annotations": {LAST_APPLIED: "{}", "kept": "x"}},
            "spec": {"template": {"spec": {"containers": [{"env": [
                {"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "TOKEN_AUDIENCES", "value": "istio-ca"},
                {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}},
            ]}]}}},
        });
        let tidied = tidy(&object);
        assert_eq!(tidied["metadata"], json!({"annotations": {"kept": "x"}}));
        let env = &tidied["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!((&env[0]["value"], &env[1]["value"]), (&json!("<redacted>"), &json!("istio-ca")));
        assert_eq!(env[2], object["spec"]["template"]["spec"]["containers"][0]["env"][2]);
    }

    #[test]
    fn names_stay_inside_their_segment_of_a_path() {
        assert_eq!(["a.b-c", "..", "../x", "a/b?c#d"].map(escape), ["a.b-c", "%2E%2E", "..%2Fx", "a%2Fb%3Fc%23d"]);
    }
}
