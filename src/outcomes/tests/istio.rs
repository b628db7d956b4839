//! What breaks Istio, what installs it, and what `istioctl` says of it.

use serde_json::json;

use super::cases::{Case, check};
use crate::outcomes::{ISTIO_INSTALL, ISTIO_VERSION_BEFORE};
use crate::testing::guide::{self, CONTROL_PLANE, WORKER};

const PODS: &str = "/api/v1/namespaces/istio-system/pods";
const APPS: &str = "/apis/apps/v1/namespaces/istio-system";
const ZTUNNEL: &str = "/api/v1/namespaces/istio-system/pods/ztunnel-hp4wd";
const ISTIOD: &str = "/api/v1/namespaces/istio-system/pods/istiod-6c8f9d7b4-q5v8m";
const CNI: &str = "/api/v1/namespaces/istio-system/pods/istio-cni-node-x8r6t";

#[tokio::test]
async fn node_agents() {
    check(&[
        Case {
            name: "the worker has no ztunnel",
            breaks: |w| w.api.remove(ZTUNNEL),
            fails: &[("istio.ztunnel.every-node", "node istio-cluster-worker has no ready pod of ztunnel")],
        },
        Case {
            name: "the control plane has two ztunnels, the worker none",
            breaks: |w| {
                w.api.edit(ZTUNNEL, |p| p["spec"]["nodeName"] = CONTROL_PLANE.into());
            },
            fails: &[(
                "istio.ztunnel.every-node",
                "node istio-cluster-control-plane has more than one pod of ztunnel; node istio-cluster-worker has no",
            )],
        },
        Case {
            name: "a node has a ztunnel more",
            breaks: |w| {
                let pod = guide::ztunnel_pod(&w.spec, "ztunnel-zzzzz", WORKER);
                w.api.put(pod);
            },
            fails: &[("istio.ztunnel.every-node", "node istio-cluster-worker has more than one pod of ztunnel")],
        },
        Case {
            name: "the old ztunnel of a node is going while the new one runs",
            breaks: |w| {
                let mut pod = guide::ztunnel_pod(&w.spec, "ztunnel-old", WORKER);
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                w.api.put(pod);
            },
            fails: &[],
        },
        Case {
            name: "a ztunnel that nobody owns does not count",
            breaks: |w| w.api.edit(ZTUNNEL, |p| p["metadata"]["ownerReferences"] = json!([])),
            fails: &[("istio.ztunnel.every-node", "node istio-cluster-worker has no ready pod of ztunnel")],
        },
        Case {
            name: "a ztunnel is not Ready",
            breaks: |w| w.api.edit(ZTUNNEL, |p| p["status"]["conditions"][1]["status"] = "False".into()),
            fails: &[("istio.pods.stable", "does not run"), ("istio.ztunnel.every-node", "pod is not Ready: ztunnel-hp4wd")],
        },
        Case {
            name: "a ztunnel is of another version",
            breaks: |w| {
                w.api.edit(ZTUNNEL, |p| p["spec"]["containers"][0]["image"] = "docker.io/istio/ztunnel:1.27.10-distroless".into());
            },
            fails: &[(
                "istio.ztunnel.every-node",
                "ztunnel-hp4wd runs docker.io/istio/ztunnel:1.27.10-distroless, the spec wants docker.io/istio/ztunnel:1.27.1",
            )],
        },
        Case {
            name: "a ztunnel comes from another hub",
            breaks: |w| {
                w.api.edit(ZTUNNEL, |p| p["spec"]["containers"][0]["image"] = "registry.istio.io/release/ztunnel:1.27.1".into());
            },
            fails: &[("istio.ztunnel.every-node", "ztunnel-hp4wd runs registry.istio.io/release/ztunnel:1.27.1")],
        },
        Case {
            name: "the DaemonSet is gone",
            breaks: |w| w.api.remove(&format!("{APPS}/daemonsets/ztunnel")),
            fails: &[("istio.ztunnel.every-node", "DaemonSet ztunnel does not exist")],
        },
        Case {
            name: "the ztunnel may not run on the control plane, and does",
            breaks: |w| w.api.edit(&format!("{APPS}/daemonsets/ztunnel"), |s| s["spec"]["template"]["spec"]["tolerations"] = json!([])),
            fails: &[("istio.ztunnel.every-node", "node istio-cluster-control-plane has a pod of ztunnel that it should not have")],
        },
        Case {
            name: "the ztunnel can run nowhere",
            breaks: |w| {
                w.api.edit(&format!("{APPS}/daemonsets/ztunnel"), |s| {
                    s["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "where"});
                });
                w.api.remove(ZTUNNEL);
                w.api.remove(&format!("{PODS}/ztunnel-5m7cj"));
            },
            fails: &[("istio.ztunnel.every-node", "ztunnel can be scheduled to no node")],
        },
        Case {
            name: "the worker has no CNI agent",
            breaks: |w| w.api.remove(CNI),
            fails: &[("istio.cni.every-node", "node istio-cluster-worker has no ready pod of istio-cni-node")],
        },
        Case {
            name: "a CNI agent is of another version",
            breaks: |w| w.api.edit(CNI, |p| p["spec"]["containers"][0]["image"] = "docker.io/istio/install-cni:1.26.4-distroless".into()),
            fails: &[("istio.cni.every-node", "runs docker.io/istio/install-cni:1.26.4-distroless")],
        },
    ])
    .await;
}

#[tokio::test]
async fn control_plane() {
    check(&[
        Case {
            name: "istiod is gone",
            breaks: |w| w.api.remove(&format!("{APPS}/deployments/istiod")),
            fails: &[("istio.istiod.ready", "Deployment istiod does not exist")],
        },
        Case {
            name: "istiod is not available",
            breaks: |w| w.api.edit(&format!("{APPS}/deployments/istiod"), |d| d["status"]["availableReplicas"] = 0.into()),
            fails: &[("istio.istiod.ready", "Deployment istiod: 0 of 1 available")],
        },
        Case {
            name: "istiod's pod is gone",
            breaks: |w| w.api.remove(ISTIOD),
            fails: &[("istio.istiod.ready", "no pod of istiod is ready")],
        },
        Case {
            name: "istiod's pod is not Ready",
            breaks: |w| w.api.edit(ISTIOD, |p| guide::waits(p, "CrashLoopBackOff", "back-off 40s")),
            fails: &[
                ("istio.pods.stable", "does not run"),
                ("istio.istiod.ready", "pod is not Ready: istiod-6c8f9d7b4-q5v8m 0/1 CrashLoopBackOff"),
            ],
        },
        Case {
            name: "istiod is of another version",
            breaks: |w| w.api.edit(ISTIOD, |p| p["spec"]["containers"][0]["image"] = "docker.io/istio/pilot:1.26.0".into()),
            fails: &[("istio.istiod.ready", "runs docker.io/istio/pilot:1.26.0, the spec wants docker.io/istio/pilot:1.27.1")],
        },
    ])
    .await;
}

#[tokio::test]
async fn transcripts() {
    check(&[
        Case {
            name: "a line of the installation is missing",
            breaks: |w| {
                let out = &mut w.transcript(ISTIO_INSTALL).stderr;
                *out = out.replace("✔ Ztunnel installed 🔒\n", "");
            },
            fails: &[("istio.install.lines", "the line `Ztunnel installed` was not printed")],
        },
        Case {
            name: "the lines come in the wrong order",
            breaks: |w| {
                let out = &mut w.transcript(ISTIO_INSTALL).stderr;
                *out = out.replace("Istiod", "Other").replace("CNI", "Istiod").replace("Other", "CNI");
            },
            fails: &[
                ("istio.install.order-varies", "which it should not"),
                ("istio.install.lines", "`CNI installed` was printed before `Istiod installed`"),
            ],
        },
        Case {
            name: "a component is announced without its tick",
            breaks: |w| {
                let out = &mut w.transcript(ISTIO_INSTALL).stderr;
                *out = out.replace("✔ CNI", "✘ CNI");
            },
            fails: &[
                ("istio.install.order-varies", "the line `Istiod installed` or `CNI installed` is missing"),
                ("istio.install.lines", "the line `CNI installed` was not printed"),
            ],
        },
        Case {
            name: "the installation ended with code 1",
            breaks: |w| w.transcript(ISTIO_INSTALL).exit_code = Some(1),
            fails: &[("istio.install.lines", "`istioctl install` exited with Some(1)")],
        },
        Case {
            name: "the installation was ended by a signal",
            breaks: |w| w.transcript(ISTIO_INSTALL).exit_code = None,
            fails: &[("istio.install.lines", "exited with None")],
        },
        Case {
            name: "Istio was there before",
            breaks: |w| {
                let before = w.transcript(ISTIO_VERSION_BEFORE);
                before.stderr.clear();
                before.stdout = "client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: 1.27.1 (2 proxies)\n".into();
            },
            fails: &[
                ("istioctl.version.always-succeeds", "Istio was there already"),
                ("istioctl.version.before-install", "did not say that Istio is absent: ; `istioctl version` already found Istio"),
            ],
        },
        Case {
            name: "istioctl could not ask before the installation",
            breaks: |w| w.transcript(ISTIO_VERSION_BEFORE).exit_code = Some(1),
            fails: &[
                ("istioctl.version.always-succeeds", "exits with Some(1)"),
                ("istioctl.version.before-install", "`istioctl version` exited with Some(1)"),
            ],
        },
        Case {
            name: "istioctl did not print its own version before the installation",
            breaks: |w| w.transcript(ISTIO_VERSION_BEFORE).stdout.clear(),
            fails: &[("istioctl.version.before-install", "did not print the client's version")],
        },
    ])
    .await;
}

#[tokio::test]
async fn versions() {
    check(&[
        Case {
            name: "istioctl sees one proxy only",
            breaks: |w| w.istioctl("client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: 1.27.1 (1 proxies)\n"),
            fails: &[(
                "istioctl.version.after-install",
                "not within 30 s; last seen: client version: 1.27.1 control plane version: 1.27.1 data plane",
            )],
        },
        Case {
            name: "istioctl sees no proxy",
            breaks: |w| w.istioctl("client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: none\n"),
            fails: &[("istioctl.version.after-install", "`istioctl version` sees the control plane and 2 proxies: not within 30 s")],
        },
        Case {
            name: "a proxy is of another version",
            breaks: |w| {
                w.istioctl(
                    "client version: 1.27.1\ncontrol plane version: 1.27.1\ndata plane version: 1.27.1 (1 proxies), 1.26.0 (1 proxies)\n",
                );
            },
            fails: &[("istioctl.version.after-install", "the data plane is [(\"1.27.1\", 1), (\"1.26.0\", 1)], not 1.27.1")],
        },
        Case {
            name: "the control plane is of another version",
            breaks: |w| w.istioctl("client version: 1.27.1\ncontrol plane version: 1.26.0\ndata plane version: 1.27.1 (2 proxies)\n"),
            fails: &[("istioctl.version.after-install", "the control plane is [\"1.26.0\"], not 1.27.1")],
        },
        Case {
            name: "istioctl cannot ask the cluster",
            breaks: |w| w.tool("istioctl", &[("--remote=false", "client version: 1.27.1")]),
            fails: &[("istioctl.version.after-install", "exited with code 1")],
        },
    ])
    .await;
}
