//! Journals to test the forms with: one install of the guide's environment, and three ways in which it goes wrong.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::journal::{
    CommandRecord, Confidence, Diagnosis, Event, FORMAT_VERSION, Fidelity, OutcomeInfo, OutcomeKind, Record, StageInfo, StageResult,
    Transcript, Verdict,
};

pub(super) const STAGES: [(&str, &str, &[&str]); 8] = [
    ("preflight", "The host can run the environment", &[]),
    ("mirror", "Registry mirrors answer", &["preflight"]),
    ("cluster", "The Kind cluster exists", &["preflight", "mirror"]),
    ("nodes", "Every node uses mirrors and proxy", &["cluster"]),
    ("dashboard", "The Kubernetes Dashboard runs", &["nodes"]),
    ("admin-user", "The dashboard has an admin user", &["dashboard"]),
    ("gateway-api", "The Gateway API CRDs are installed", &["cluster"]),
    ("istio", "Istio runs in ambient mode", &["nodes", "gateway-api"]),
];

/// Id, title, kind, section, sentence.
const OUTCOMES: [(&str, &str, OutcomeKind, &str, &str); 9] = [
    ("cluster.nodes.ready", "Every node is Ready", OutcomeKind::Documented, "1.1", "kubectl get nodes"),
    ("cluster.config.mirrors", "Every node names the mirror", OutcomeKind::Documented, "1.2", "config_path = \"/etc/containerd/certs.d\""),
    ("dashboard.pods.running", "The dashboard's pods run", OutcomeKind::Documented, "2.1.1", "kubectl get pods -n kubernetes-dashboard"),
    (
        "dashboard.token.login",
        "The token logs in",
        OutcomeKind::Documented,
        "2.1.2",
        "kubectl -n kubernetes-dashboard create token admin-user",
    ),
    ("istio.install.five-lines", "The install prints its five lines", OutcomeKind::Documented, "3.2", "✔ Istio core installed ⛵️"),
    ("istio.ztunnel.every-node", "ztunnel runs on every node", OutcomeKind::Hardening, "", ""),
    (
        "istio.sentence.literal",
        "The guide's command as printed fails",
        OutcomeKind::Defect,
        "3.1",
        "istioctl install --set profile=ambient",
    ),
    (
        "gateway.crds.established",
        "The CRDs are established",
        OutcomeKind::Documented,
        "3.3",
        "kubectl get crd gateways.gateway.networking.k8s.io",
    ),
    ("ambient.traffic.mtls", "Traffic between pods is mutual TLS", OutcomeKind::Hardening, "", ""),
];

/// Writes records with fixed times.
pub(super) struct Pen {
    pub(super) records: Vec<Record>,
    now: Timestamp,
    start: Timestamp,
}

impl Pen {
    pub(super) fn new(fidelity: Fidelity) -> Self {
        let start: Timestamp = "2026-11-03T08:00:00Z".parse().unwrap();
        let mut pen = Self { records: Vec::new(), now: start, start };
        let stages = STAGES.iter().map(|(id, title, needs)| StageInfo {
            id: (*id).into(),
            title: (*title).into(),
            needs: needs.iter().map(|n| (*n).into()).collect(),
        });
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let outcomes = OUTCOMES.iter().map(|(id, title, kind, section, sentence)| OutcomeInfo {
            id: (*id).into(),
            title: (*title).into(),
            kind: *kind,
            section: some(section),
            sentence: some(sentence),
            hint: format!("See `meshproof explain {id}`."),
        });
        pen.write(Event::RunStarted {
            format: FORMAT_VERSION,
            run: "20261103-080000-a1b2".into(),
            session: "default".into(),
            meshproof: "0.1.0".into(),
            command: "run".into(),
            backend: if fidelity == Fidelity::Real { "kind" } else { "embedded" }.into(),
            fidelity,
            spec: json!({"apiVersion": "meshproof.dev/v1alpha1", "kind": "Environment"}),
            stages: stages.collect(),
            outcomes: outcomes.collect(),
            not_selected: Vec::new(),
            strict: false,
        });
        for (name, value) in [("kubernetes", "v1.33.4"), ("istio", "1.27.1"), ("gateway-api", "v1.3.0"), ("nodes", "2")] {
            pen.write(Event::Fact { name: name.into(), value: value.into() });
        }
        let crds = vec!["gatewayclasses.gateway.networking.k8s.io (v1)".to_owned(), "gateways.gateway.networking.k8s.io (v1)".to_owned()];
        pen.write(Event::Inventory { objects: [("CustomResourceDefinition".to_owned(), crds), ("Service".to_owned(), Vec::new())].into() });
        pen
    }

    pub(super) fn write(&mut self, event: Event) {
        self.records.push(Record { seq: self.records.len() as u64, at: self.now, event });
    }

    pub(super) fn wait(&mut self, ms: i64) {
        self.now += SignedDuration::from_millis(ms);
    }

    fn start(&mut self, stage: &str, status: &str) {
        self.write(Event::StageStarted { stage: stage.into() });
        self.write(Event::StageProgress { stage: stage.into(), status: status.into() });
    }

    fn finish(&mut self, stage: &str, ms: u64, result: StageResult) {
        self.wait(i64::try_from(ms).unwrap());
        self.write(Event::StageFinished { stage: stage.into(), duration_ms: ms, result });
    }

    fn stage(&mut self, stage: &str, ms: u64, result: StageResult) {
        self.start(stage, "looking");
        self.finish(stage, ms, result);
    }

    pub(super) fn judge(&mut self, outcome: &str, ms: u64, verdict: Verdict, evidence: Value, diagnoses: Vec<Diagnosis>) {
        self.write(Event::OutcomeStarted { outcome: outcome.into(), info: None });
        self.wait(i64::try_from(ms).unwrap());
        let evidence: BTreeMap<String, Value> = serde_json::from_value(evidence).unwrap();
        self.write(Event::OutcomeFinished { outcome: outcome.into(), duration_ms: ms, verdict, evidence, diagnoses });
    }

    fn pass(&mut self, outcome: &str, ms: u64) {
        self.judge(outcome, ms, Verdict::Passed, json!({"seen": "as documented"}), Vec::new());
    }

    fn unsupported(&mut self) {
        let verdict = Verdict::Unsupported { capability: "data-plane".into(), reason: "ztunnel is a stand-in".into() };
        self.judge("ambient.traffic.mtls", 0, verdict, json!({}), Vec::new());
    }

    pub(super) fn end(mut self, exit_code: u8) -> Vec<Record> {
        let duration_ms = u64::try_from(self.now.duration_since(self.start).as_millis()).unwrap();
        self.write(Event::RunFinished { exit_code, duration_ms });
        self.records
    }

    fn provision(&mut self) {
        self.stage("preflight", 212, StageResult::Already);
        self.stage("mirror", 840, StageResult::Provisioned);
        self.start("cluster", "kind creates the nodes");
        let argv: Vec<String> = ["kind", "create", "cluster"].map(Into::into).into();
        self.write(Event::CommandStarted { argv: argv.clone(), pid: 4711, start_ticks: Some(99) });
        let command = CommandRecord {
            argv,
            pid: 4711,
            exit_code: Some(0),
            duration_ms: 23_000,
            stdout: String::new(),
            stderr: "Set kubectl context".into(),
        };
        self.write(Event::CommandFinished(command));
        self.finish("cluster", 24_310, StageResult::Provisioned);
        self.stage("nodes", 1_950, StageResult::Provisioned);
        self.stage("dashboard", 8_400, StageResult::Provisioned);
        self.stage("admin-user", 95, StageResult::Provisioned);
        self.stage("gateway-api", 1_120, StageResult::Provisioned);
        self.stage("istio", 19_870, StageResult::Provisioned);
    }
}

/// Everything holds but what no stand-in can show.
pub(super) fn green() -> Vec<Record> {
    let mut pen = Pen::new(Fidelity::Real);
    pen.write(Event::StandIn { component: "ztunnel".into(), image: "registry.local/istio/ztunnel:1.27.1".into() });
    pen.write(Event::Warning { message: "The kind network existed before and will be left as it is.".into() });
    pen.provision();
    let transcript = Transcript {
        name: "istio.install".into(),
        run: "20261103-080000-a1b2".into(),
        recorded_at: "2026-11-03T08:00:50Z".parse().unwrap(),
        command: CommandRecord {
            argv: vec!["istioctl".into(), "install".into()],
            pid: 4712,
            exit_code: Some(0),
            duration_ms: 18_000,
            stdout: "✔ Istio core installed ⛵️".into(),
            stderr: String::new(),
        },
    };
    pen.write(Event::Transcript(transcript));
    for (n, (id, ..)) in OUTCOMES.iter().take(8).enumerate() {
        pen.pass(id, 40 + 130 * n as u64);
    }
    pen.unsupported();
    pen.end(0)
}

/// The cluster cannot be made.
pub(super) fn stage_failed() -> Vec<Record> {
    let mut pen = Pen::new(Fidelity::Real);
    pen.stage("preflight", 212, StageResult::Already);
    pen.stage("mirror", 840, StageResult::Provisioned);
    pen.start("cluster", "waiting for the control plane: kubelet is not healthy");
    let diagnosis = Diagnosis {
        rule: "P9".into(),
        confidence: Confidence::Certain,
        cause: "The host is out of inotify instances, so systemd in the node cannot start its services.".into(),
        remedy: "Raise fs.inotify.max_user_instances to 512.".into(),
        seen: "Failed to create control group inotify object: Too many open files".into(),
    };
    let error = ["the cluster could not be created", "kind ended with 1", "could not find a log line that matches \"Reached target\""];
    pen.finish(
        "cluster",
        31_400,
        StageResult::Failed {
            error: error.map(Into::into).into(),
            hint: Some("The node's log was kept; see `meshproof bundle`.".into()),
            diagnoses: vec![diagnosis],
        },
    );
    for stage in ["nodes", "dashboard", "admin-user", "gateway-api", "istio"] {
        pen.write(Event::StageFinished { stage: stage.into(), duration_ms: 0, result: StageResult::Blocked { by: "cluster".into() } });
    }
    for (id, ..) in OUTCOMES {
        pen.judge(id, 0, Verdict::Blocked { by: "cluster".into() }, json!({}), Vec::new());
    }
    pen.end(3)
}

/// Provisioning is fine, but two gating outcomes fail, and one that only shows a defect of the guide.
pub(super) fn outcomes_failed() -> Vec<Record> {
    let mut pen = Pen::new(Fidelity::Simulated);
    pen.provision();
    pen.pass("cluster.nodes.ready", 40);
    let log: Vec<String> = (1..=50).map(|n| format!("{n:02} \u{1b}[31mfailed\u{1b}[0m to resolve reference")).collect();
    let evidence = json!({
        "node": "meshproof-worker",
        "hosts.toml": "server = \"https://registry-1.docker.io\"\n\n[host.\"http://mirror:5000\"]\n\tcapabilities = [\"pull\"]",
        "containerd": {"version": "2.1.4", "config_path": null},
        "log": log.join("\n"),
    });
    let diagnosis = Diagnosis {
        rule: "P12".into(),
        confidence: Confidence::Likely,
        cause: "containerd reads its hosts directory only when config_path is set.".into(),
        remedy: "Set config_path in the node's config.toml and restart containerd.".into(),
        seen: "config_path: null".into(),
    };
    let reason = "The worker node's containerd has no config_path, therefore its hosts.toml is never read and images are pulled from \
                  the upstream registry instead of the mirror.";
    pen.judge("cluster.config.mirrors", 310, Verdict::Failed { reason: reason.into() }, evidence, vec![diagnosis]);
    pen.pass("dashboard.pods.running", 55);
    pen.judge("dashboard.token.login", 0, Verdict::Skipped { reason: "not on this host".into() }, json!({}), Vec::new());
    pen.pass("istio.install.five-lines", 12);
    let reason = "1 of 2 nodes has no ready ztunnel pod";
    pen.judge("istio.ztunnel.every-node", 90, Verdict::Failed { reason: reason.into() }, json!({"ready": 1, "nodes": 2}), Vec::new());
    let reason = "the command succeeds after all";
    pen.judge("istio.sentence.literal", 20, Verdict::Failed { reason: reason.into() }, json!({}), Vec::new());
    pen.pass("gateway.crds.established", 33);
    pen.unsupported();
    pen.end(1)
}

/// Killed while Istio was being installed.
pub(super) fn cut() -> Vec<Record> {
    let mut records = green();
    let end = records.iter().position(|r| matches!(&r.event, Event::StageFinished { stage, .. } if stage == "istio")).unwrap();
    let mut last = records[end].clone();
    last.event = Event::StageProgress { stage: "istio".into(), status: "waiting for istiod: 0 of 1 ready".into() };
    records.truncate(end);
    records.push(last);
    records
}

/// All of them by name.
pub(super) fn all() -> [(&'static str, Vec<Record>); 4] {
    [("green", green()), ("stage-failed", stage_failed()), ("outcomes-failed", outcomes_failed()), ("cut", cut())]
}
