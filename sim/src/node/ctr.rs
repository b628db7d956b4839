//! `ctr -n k8s.io images …`, which does not go through the CRI (D4, D5).

use super::{Node, Output};
use crate::node::reference::Reference;
use crate::node::systemd::Environment;

pub(super) async fn run(node: &Node, arguments: &[&str]) -> Output {
    let mut words = Vec::new();
    let mut hosts_dir = None;
    let mut local = node.settings().containerd.0 < 2;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-n" | "--namespace" | "--platform" | "-a" | "--address" => drop(rest.next()),
            "--hosts-dir" => hosts_dir = rest.next().map(|d| (*d).to_owned()),
            "--local" => local = true,
            other if other.starts_with("--hosts-dir=") => hosts_dir = other.split_once('=').map(|(_, d)| d.to_owned()),
            other if other.starts_with('-') => {}
            other => words.push(other),
        }
    }
    match words.as_slice() {
        ["version"] => Output::ok(format!("Client:\n  Version:  v{0}\n\nServer:\n  Version:  v{0}\n", node.settings().containerd)),
        ["images" | "image" | "i", "pull", image] => pull(node, image, hosts_dir, local).await,
        ["images" | "image" | "i", "ls" | "list"] => {
            let mut out = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n".to_owned();
            let platform = format!("linux/{}", node.settings().architecture);
            for image in node.images() {
                let digest = image.digests.first().and_then(|d| d.split('@').nth(1)).unwrap_or(&image.id).to_owned();
                for name in image.tags.iter().chain(&image.digests) {
                    out.push_str(&format!(
                        "{name} application/vnd.oci.image.manifest.v1+json {digest} {:.1} KiB {platform} io.cri-containerd.image=managed\n",
                        f64::from(u32::try_from(image.size).unwrap_or(u32::MAX)) / 1024.0
                    ));
                }
            }
            Output::ok(out)
        }
        _ => Output::failed(1, format!("ctr: the simulated node does not know: ctr {}\n", arguments.join(" "))),
    }
}

async fn pull(node: &Node, image: &str, hosts_dir: Option<String>, local: bool) -> Output {
    // ctr completes nothing: the name must have its registry.
    let first = image.split('/').next().unwrap_or_default();
    if !image.contains('/') || !(first.contains(['.', ':']) || first == "localhost") {
        return Output::failed(1, format!("ctr: failed to resolve reference \"{image}\": object required\n"));
    }
    let reference = match Reference::parse(image) {
        Ok(reference) => reference,
        Err(why) => return Output::failed(1, format!("ctr: {why}\n")),
    };
    // The socket answers even if the CRI plugin did not load.
    if node.runtime_ready("ImageService").is_err_and(|why| why.contains("Unavailable")) {
        let socket = "/run/containerd/containerd.sock";
        return Output::failed(
            1,
            format!(
                "ctr: failed to dial {socket:?}: connection error: desc = \"transport: error while dialing: dial unix {socket}: connect: connection refused\"\n"
            ),
        );
    }
    let environment: Environment = {
        let state = node.state();
        // In local mode this process downloads, with the environment that `docker exec` gave it.
        if local { node.settings().environment.clone() } else { node.daemon_environment(&state) }
    };
    match node.pull_with(&reference, hosts_dir.into_iter().collect(), Vec::new(), environment).await {
        Ok(pulled) => {
            let digest = pulled.digests.first().and_then(|d| d.split('@').nth(1)).unwrap_or(&pulled.id).to_owned();
            let short = &digest[..digest.len().min("sha256:".len() + 12)];
            if local {
                let platform = format!("linux/{}", node.settings().architecture);
                return Output::ok(format!(
                    "{reference}: resolved       |++++++++++++++++++++++++++++++++++++++|\nmanifest-{digest}: done           |++++++++++++++++++++++++++++++++++++++|\nelapsed: 0.1 s total: 0.0 B (0.0 B/s)\nunpacking {platform} {digest}...\ndone: 12.3ms\n"
                ));
            }
            Output::ok(format!(
                "{reference}\tsaved\n└──manifest ({short}) \tcomplete\t|++++++++++++++++++++++++++++++++++++++|\napplication/vnd.oci.image.manifest.v1+json {digest}\nPulling from OCI Registry ({reference})\telapsed: 0.1 s\ttotal: 0.0 B\t(0.0 B/s)\nCompleted pull from OCI Registry ({reference})\telapsed: 0.1 s\ttotal: 0.0 B\t(0.0 B/s)\n"
            ))
        }
        Err(e) => {
            // Without the CRI's frame.
            let inner =
                e.message.strip_prefix(&format!("failed to pull and unpack image \"{reference}\": ")).unwrap_or(&e.message).to_owned();
            Output::failed(1, format!("ctr: {inner}\n"))
        }
    }
}
