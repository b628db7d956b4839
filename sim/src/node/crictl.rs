//! `crictl`, as far as one looks at a node with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ContainerRecord, Image, Node, Output};
use crate::oci;

/// `crictl` of the node images.
const VERSION: &str = "v1.33.0";

pub(super) async fn run(node: &Node, arguments: &[&str]) -> Output {
    let mut words = Vec::new();
    let (mut format, mut all, mut tail) = ("", false, usize::MAX);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-o" | "--output" => format = rest.next().copied().unwrap_or_default(),
            "--tail" => tail = rest.next().and_then(|n| n.parse().ok()).unwrap_or(tail),
            "-r" | "--runtime-endpoint" | "-i" | "--image-endpoint" | "-t" | "--timeout" => drop(rest.next()),
            "-a" | "--all" => all = true,
            other if other.starts_with("--output=") => format = &other["--output=".len()..],
            other if other.starts_with("--tail=") => tail = other["--tail=".len()..].parse().unwrap_or(tail),
            other if other.starts_with('-') && other != "--version" => {}
            other => words.push(other),
        }
    }
    let Some((command, names)) = words.split_first() else { return Output::failed(1, "crictl - client for CRI\n") };
    if *command == "--version" {
        return Output::ok(format!("crictl version {VERSION}\n"));
    }
    let (service, interface) = match *command {
        "pull" | "images" | "image" | "img" | "inspecti" | "rmi" => ("ImageService", "image"),
        _ => ("RuntimeService", "runtime"),
    };
    if let Err(why) = node.runtime_ready(service) {
        let endpoint = "unix:///run/containerd/containerd.sock";
        return fatal(&format!("validate service connection: validate CRI v1 {interface} API for endpoint \"{endpoint}\": {why}"));
    }
    let as_json = format == "json";
    match (*command, names) {
        ("info", _) => Output::ok(pretty(&info(node))),
        ("version", _) => Output::ok(format!(
            "Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  v{}\nRuntimeApiVersion:  v1\n",
            node.settings().containerd
        )),
        ("pull", [image]) => pull(node, image).await,
        ("images" | "image" | "img", names) => {
            let wanted = |i: &Image| names.is_empty() || i.tags.iter().any(|t| names.iter().any(|n| t.contains(n)));
            let images: Vec<Image> = node.images().into_iter().filter(wanted).collect();
            if as_json {
                return Output::ok(pretty(&json!({"images": images.iter().map(Image::json).collect::<Vec<_>>()})));
            }
            Output::ok(table(&["IMAGE", "TAG", "IMAGE ID", "SIZE"], images.iter().flat_map(image_rows)))
        }
        ("inspecti", [name]) => match node.image(name) {
            Some(image) => Output::ok(pretty(&inspected(&image))),
            None => fatal(&format!("no such image \"{name}\" present")),
        },
        ("rmi", [name, ..]) => match node.state().images.remove(name) {
            Some(names) => Output::ok(names.iter().map(|n| format!("Deleted: {n}\n")).collect::<String>()),
            None => Output::failed(1, format!("E no such image {name}\nFATA[0000] unable to remove the image(s)\n")),
        },
        ("ps", _) => {
            let mut records = node.containers().all();
            records.retain(|r| all || r.state == "CONTAINER_RUNNING");
            if as_json {
                return Output::ok(pretty(&json!({"containers": records.iter().map(container).collect::<Vec<_>>()})));
            }
            let rows = records.iter().map(|r| {
                let state = r.state.strip_prefix("CONTAINER_").unwrap_or(&r.state);
                let state = format!("{}{}", &state[..state.len().min(1)], state.get(1..).unwrap_or_default().to_lowercase());
                let age = age(node, r);
                [
                    &r.id[..r.id.len().min(13)],
                    &r.image,
                    &age,
                    &state,
                    &r.name,
                    &r.attempt.to_string(),
                    &sandbox(r)[..13],
                    &r.pod_name,
                    &r.namespace,
                ]
                .map(str::to_owned)
                .to_vec()
            });
            Output::ok(table(&["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"], rows))
        }
        ("pods", _) => {
            // A pod's sandbox is as old as its oldest container here.
            let mut pods: BTreeMap<String, ContainerRecord> = BTreeMap::new();
            for record in node.containers().all() {
                pods.insert(record.pod_uid.clone(), record);
            }
            if as_json {
                return Output::ok(pretty(&json!({"items": pods.values().map(pod).collect::<Vec<_>>()})));
            }
            let rows = pods.values().map(|r| {
                let created = age(node, r);
                [&sandbox(r)[..13], created.as_str(), "Ready", &r.pod_name, &r.namespace, "0", "(default)"].map(str::to_owned).to_vec()
            });
            Output::ok(table(&["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"], rows))
        }
        ("logs", [id]) => match node.containers().find(id) {
            Some(record) => {
                let from = record.log.len().saturating_sub(tail);
                Output::ok(record.log[from..].iter().map(|l| format!("{l}\n")).collect::<String>())
            }
            None => fatal(&format!("rpc error: code = NotFound desc = an error occurred when try to find container \"{id}\": not found")),
        },
        _ => Output::failed(1, format!("crictl: the simulated node does not know: crictl {}\n", arguments.join(" "))),
    }
}

fn fatal(message: &str) -> Output {
    Output::failed(1, format!("FATA[0000] {message}\n"))
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
    text.push('\n');
    text
}

/// `crictl pull` says the error twice: once as the client library logs it, once as its own last word.
async fn pull(node: &Node, image: &str) -> Output {
    match node.pull(image).await {
        Ok(pulled) => Output::ok(format!("Image is up to date for {}\n", pulled.id)),
        Err(e) => {
            let stamp = (node.settings().now)().strftime("E%m%d %H:%M:%S.%6f").to_string();
            let first =
                format!("{stamp}    1234 log.go:32] \"PullImage from image service failed\" err={:?} image={image:?}", e.to_string());
            // Each is one line, whatever the registry's answer has in it.
            let last = format!("FATA[0000] pulling image: {e}").replace('\n', " ");
            Output::failed(1, format!("{first}\n{last}\n"))
        }
    }
}

fn info(node: &Node) -> Value {
    let state = node.state();
    let path = state.runtime.as_ref().map(|l| l.config_path().to_owned()).unwrap_or_default();
    json!({
        "cniconfig": {"PluginDirs": ["/opt/cni/bin"], "PluginConfDir": "/etc/cni/net.d"},
        "config": {
            "containerd": {"defaultRuntimeName": "runc"},
            "registry": {"configPath": path, "mirrors": null, "configs": null, "auths": null, "headers": null},
            "containerdEndpoint": "/run/containerd/containerd.sock",
        },
        "golang": "go1.24.6",
        "lastCNILoadStatus": "OK",
        "status": {"conditions": [
            {"message": "", "reason": "", "status": true, "type": "RuntimeReady"},
            {"message": "", "reason": "", "status": true, "type": "NetworkReady"},
        ]},
    })
}

fn inspected(image: &Image) -> Value {
    let mut status = image.json();
    status["spec"] = json!({"annotations": {}, "image": "", "runtimeHandler": "", "userSpecifiedImage": ""});
    let mut spec = image.config.clone();
    if spec["config"]["Labels"].is_null() {
        spec["config"]["Labels"] = json!({});
    }
    json!({"status": status, "info": {"chainID": image.config["rootfs"]["diff_ids"][0], "imageSpec": spec}})
}

fn image_rows(image: &Image) -> Vec<Vec<String>> {
    let id = image.id.trim_start_matches("sha256:");
    let (id, size) = (id[..id.len().min(13)].to_owned(), human(image.size));
    let names: Vec<&String> = if image.tags.is_empty() { image.digests.iter().collect() } else { image.tags.iter().collect() };
    let row = |name: &String| {
        let (name, tag) = match name.split_once('@') {
            Some((name, _)) => (name, "<none>"),
            None => name.rsplit_once(':').unwrap_or((name, "<none>")),
        };
        vec![name.to_owned(), tag.to_owned(), id.clone(), size.clone()]
    };
    names.into_iter().map(row).collect()
}

/// Three digits with a decimal unit, as `go-units` has it.
fn human(size: u64) -> String {
    let mut value = f64::from(u32::try_from(size).unwrap_or(u32::MAX));
    for unit in ["B", "kB", "MB"] {
        if value < 1000.0 {
            return if value < 100.0 && unit != "B" { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.2}GB")
}

fn age(node: &Node, record: &ContainerRecord) -> String {
    let seconds = ((node.settings().now)().as_second() - record.created.as_second()).max(0);
    match seconds {
        ..60 => format!("{seconds} seconds ago"),
        60..3600 => format!("{} minutes ago", seconds / 60),
        _ => format!("{} hours ago", seconds / 3600),
    }
}

/// The sandbox's id, which follows from its pod.
fn sandbox(record: &ContainerRecord) -> String {
    oci::digest(record.pod_uid.as_bytes()).split_off("sha256:".len())
}

fn pod_labels(record: &ContainerRecord) -> Value {
    json!({
        "io.kubernetes.pod.name": record.pod_name, "io.kubernetes.pod.namespace": record.namespace, "io.kubernetes.pod.uid": record.pod_uid,
    })
}

fn container(record: &ContainerRecord) -> Value {
    let mut labels = pod_labels(record);
    labels["io.kubernetes.container.name"] = json!(record.name);
    json!({
        "id": record.id, "podSandboxId": sandbox(record),
        "metadata": {"name": record.name, "attempt": record.attempt},
        "image": {"image": record.image_id, "annotations": {}, "runtimeHandler": "", "userSpecifiedImage": record.image},
        "imageRef": record.image_id, "imageId": record.image_id, "state": record.state,
        "createdAt": record.created.as_nanosecond().to_string(),
        "labels": labels, "annotations": {"io.kubernetes.container.restartCount": record.attempt.to_string()},
    })
}

fn pod(record: &ContainerRecord) -> Value {
    json!({
        "id": sandbox(record),
        "metadata": {"name": record.pod_name, "uid": record.pod_uid, "namespace": record.namespace, "attempt": 0},
        "state": "SANDBOX_READY", "createdAt": record.created.as_nanosecond().to_string(),
        "labels": pod_labels(record), "annotations": {}, "runtimeHandler": "",
    })
}

/// Columns as wide as their widest cell.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|h| (*h).to_owned()).collect()];
    lines.extend(rows);
    let width = |at: usize| lines.iter().filter_map(|l| l.get(at)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded: String = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ", width = width + 2)).collect();
        format!("{}\n", padded.trim_end())
    };
    lines.iter().map(line).collect()
}
