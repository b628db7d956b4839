//! Guide 2.2: the `istioctl` client and what `istioctl version` says before and after the installation.

use std::time::Duration;

use super::{Checked, Environment, ISTIO_NAMESPACE, ISTIO_VERSION_BEFORE, Look, Outcome, Stop};
use crate::cluster::Capability;
use crate::wait::{Limit, Progress};

const ISTIOCTL: &[Capability] = &[Capability::ISTIOCTL];
/// With a cluster, `istioctl version` forwards a port to istiod.
const REMOTE: &[Capability] = &[Capability::ISTIOCTL, Capability::PORT_FORWARD];

pub(super) fn outcomes() -> Vec<Outcome> {
    let section = "2.2";
    vec![
        Outcome::documented("istioctl.version.client", section, "通过打印版本的命令来检查您是否能够运行 istioctl", client)
            .needs(&["preflight"])
            .with(ISTIOCTL),
        Outcome::documented(
            "istioctl.version.before-install",
            section,
            "此时,Istio 尚未安装在您的集群中,因此您将看到没有 Pod 就绪",
            before_install,
        )
        .needs(&["istio"])
        .with(&[Capability::TRANSCRIPT]),
        Outcome::documented("istioctl.version.after-install", section, "istioctl version", after_install).needs(&["istio"]).with(REMOTE),
    ]
}

/// What `istioctl version` prints. Source: Istio `istioctl/pkg/version`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Versions {
    client: Option<String>,
    control_plane: Vec<String>,
    /// Version and number of proxies.
    data_plane: Vec<(String, usize)>,
}

fn parse(stdout: &str) -> Versions {
    let mut versions = Versions::default();
    for line in stdout.lines() {
        let Some((label, value)) = line.trim().split_once(" version: ") else { continue };
        match label {
            "client" => versions.client = Some(value.trim().to_owned()),
            "data plane" => {
                // `1.27.1 (2 proxies), 1.27.0 (1 proxies)` or `none`.
                versions.data_plane = value
                    .split(", ")
                    .filter_map(|part| {
                        let (version, count) = part.trim().split_once(" (")?;
                        Some((version.to_owned(), count.split(' ').next()?.parse().ok()?))
                    })
                    .collect();
            }
            // One line for all, or one for each component where replicas differ.
            _ => versions.control_plane.push(value.trim().to_owned()),
        }
    }
    versions
}

fn client<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let limit = env.waiting.limit(Limit::ShortCommand);
        let command = env.context.istioctl().await?.args(["version", "--remote=false"]).timeout(limit);
        let output = command.ok(&env.context.journal).await?;
        look.see("stdout", output.record.stdout.trim());
        let client = parse(&output.stdout).client;
        let wanted = &env.spec.istio.version;
        look.require(client.as_ref() == Some(wanted), || format!("istioctl says its version is {client:?}, the spec wants {wanted}"));
        Ok(())
    })
}

fn before_install<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let transcript = env.transcript(ISTIO_VERSION_BEFORE)?;
        let command = &transcript.command;
        look.see("run", &transcript.run);
        look.see("stdout", command.stdout.trim());
        look.see("stderr", command.stderr.trim());
        look.see("exitCode", command.exit_code);
        // The information is in the text alone: the exit code is 0 whatever the cluster holds (D16).
        look.require(command.exit_code == Some(0), || format!("`istioctl version` exited with {:?}", command.exit_code));
        look.require(command.stderr.contains("Istio is not present in the cluster: no running Istio pods"), || {
            format!("`istioctl version` did not say that Istio is absent: {}", command.stderr.trim())
        });
        let versions = parse(&command.stdout);
        look.require(versions.client.is_some(), || "`istioctl version` did not print the client's version".to_owned());
        look.require(versions.control_plane.is_empty() && versions.data_plane.is_empty(), || {
            format!("`istioctl version` already found Istio: {}", command.stdout.trim())
        });
        Ok(())
    })
}

fn after_install<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let wanted = env.spec.istio.version.as_str();
        let nodes = env.node_names().await?.len();
        env.require_alive(ISTIO_NAMESPACE, "app in (istiod, ztunnel)").await?;
        // A ztunnel that has just become ready may not have connected to istiod yet.
        let attempt = || async {
            let limit = env.waiting.limit(Limit::ShortCommand);
            let command = match env.context.istioctl().await {
                Ok(command) => command.arg("version").timeout(limit),
                Err(e) => return Progress::Ready(Err(Stop::Stage(e))),
            };
            match command.ok(&env.context.journal).await {
                Err(e) => Progress::Ready(Err(Stop::Run(e))),
                Ok(output) => {
                    let versions = parse(&output.stdout);
                    let proxies: usize = versions.data_plane.iter().map(|(_, n)| n).sum();
                    if proxies < nodes || versions.control_plane.is_empty() {
                        let said = format!("{} {}", output.record.stdout.trim(), output.record.stderr.trim());
                        return Progress::NotYet(said.split_whitespace().collect::<Vec<_>>().join(" "));
                    }
                    Progress::Ready(Ok((versions, output.record.stdout)))
                }
            }
        };
        let what = format!("`istioctl version` sees the control plane and {nodes} proxies");
        let (versions, stdout) = env.waiting.poll(&what, Limit::ServiceAnswer, Duration::from_secs(2), attempt).await??;
        look.see("stdout", stdout.trim());
        look.require(versions.client.as_deref() == Some(wanted), || format!("the client is {:?}, not {wanted}", versions.client));
        let control = &versions.control_plane;
        look.require(control.iter().all(|v| v == wanted), || format!("the control plane is {control:?}, not {wanted}"));
        let data = &versions.data_plane;
        look.require(data.iter().all(|(v, _)| v == wanted), || format!("the data plane is {data:?}, not {wanted}"));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_istioctl_prints_them() {
        let after = "client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: 1.27.1 (2 proxies)\n";
        let expected =
            Versions { client: Some("1.27.1".into()), control_plane: vec!["1.27.1".into()], data_plane: vec![("1.27.1".into(), 2)] };
        assert_eq!(parse(after), expected);
        let mixed = parse(
            "client version: 1.27.1\npilot version: 1.27.0\npilot version: 1.27.1\ndata plane version: 1.27.1 (1 proxies), 1.27.0 (3 proxies)\n",
        );
        assert_eq!(mixed.control_plane, ["1.27.0", "1.27.1"]);
        assert_eq!(mixed.data_plane, [("1.27.1".to_owned(), 1), ("1.27.0".to_owned(), 3)]);
        let none = parse("client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: none\n");
        assert!(none.data_plane.is_empty());
        assert_eq!(parse("client version: 1.27.1\n").control_plane, [""; 0]);
    }
}
