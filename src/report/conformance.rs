//! The report in the shape of the Gateway API's `ConformanceReport`, as YAML: one profile for each chapter of the guide. What the guide
//! documents is its core, what goes beyond it is its extended part; defects of the guide's text are in neither.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::{OutcomeKind, Verdict};
use crate::text::Texts;

use super::expected::Ruling;
use super::fold::{OutcomeSummary, StageSummary, Summary};
use super::layout::one_line;

/// The value of `apiVersion`.
pub const API_VERSION: &str = "meshproof.dev/v1alpha1";

/// The value of `kind`.
pub const KIND: &str = "ConformanceReport";

/// What a reader without colour or context takes for unknown; an empty value would look like a mistake of the writer.
const UNKNOWN: &str = "unknown";

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConformanceReport {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// When the run ended, RFC 3339; of a cut journal the last moment known, and empty where there is none.
    pub date: String,
    /// What was judged.
    pub implementation: Implementation,
    /// Release of the Gateway API, for example `v1.3.0`.
    #[serde(rename = "gatewayAPIVersion")]
    pub gateway_api_version: String,
    /// Its channel, `standard` or `experimental`.
    #[serde(rename = "gatewayAPIChannel")]
    pub gateway_api_channel: String,
    /// Istio's installation profile, for example `ambient`.
    pub mode: String,
    /// Versions by component: `kubernetes`, `istio`, `gateway-api`, `dashboard`, `kind`. What the run has seen comes before what was asked for.
    pub versions: BTreeMap<String, String>,
    /// `real`, `simulated` or `unknown`.
    pub fidelity: String,
    /// Stand-in images by component: what they cannot show was not judged.
    pub stand_ins: BTreeMap<String, String>,
    /// The run that says so.
    pub run: Run,
    /// How provisioning went, without which no profile can be read.
    pub provisioning: Provisioning,
    /// Whether the run ended before its end; then the profiles hold what was judged until then.
    pub interrupted: bool,
    /// One for each chapter.
    pub profiles: Vec<Profile>,
    /// Always empty: meshproof has no provisional outcomes. The Gateway API's readers look for it.
    pub succeeded_provisional_tests: Vec<String>,
}

/// What was judged: the mesh of the guide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Implementation {
    /// Who makes it.
    pub organization: String,
    /// Its name.
    pub project: String,
    /// Where it is described.
    pub url: String,
    /// Its version.
    pub version: String,
    /// Empty: whoever ran meshproof does not speak for the project.
    pub contact: Vec<String>,
}

/// The run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id.
    pub id: String,
    /// meshproof's version.
    pub meshproof: String,
    /// The subcommand.
    pub command: String,
    /// Where the cluster came from.
    pub backend: String,
    /// Exit code; absent when the journal was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

/// How the stages ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// `failure` when a stage failed, `partial` when one did not end, else `success`.
    pub result: Grade,
    /// Ids of the stages that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_stages: Vec<String>,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The chapter.
    pub name: String,
    /// What the guide documents; absent where the run was asked for nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<Status>,
    /// What goes beyond the guide; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<Extended>,
    /// One sentence for people.
    pub summary: String,
}

/// The result of a part of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Everything passed.
    Success,
    /// Nothing failed, and something was not judged.
    Partial,
    /// Something failed.
    Failure,
}

/// A part of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The result.
    pub result: Grade,
    /// How many of each.
    pub statistics: Statistics,
    /// Ids without a verdict on the claim: skipped, unsupported, blocked, or not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_tests: Vec<String>,
    /// Ids of what failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_tests: Vec<String>,
    /// Why each of `skipped_tests` is there: `skipped`, `unsupported: CAPABILITY`, `blocked: STAGE` or `not judged`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped_because: BTreeMap<String, String>,
}

/// The extended part of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extended {
    /// As for the core.
    #[serde(flatten)]
    pub status: Status,
    /// Ids of what this environment can be judged by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<String>,
    /// Ids of what it cannot, since it lacks a capability.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported_features: Vec<String>,
}

/// Numbers of outcomes. They add up to all of the part; the Gateway API writes their names with capitals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statistics {
    /// The claim holds.
    pub passed: usize,
    /// There is no verdict on the claim.
    pub skipped: usize,
    /// The claim does not hold.
    pub failed: usize,
}

/// Renders a folded journal as YAML.
///
/// # Errors
/// When the writer fails, which it does not for text that was cleaned as here.
pub fn render(summary: &Summary, texts: &Texts) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(&report(summary, texts))
}

/// The report before it is written.
#[must_use]
pub fn report(summary: &Summary, texts: &Texts) -> ConformanceReport {
    let run = summary.run.as_ref();
    let of_spec = |pointer: &str| run.and_then(|r| r.spec.pointer(pointer)).and_then(Value::as_str).map(one_line);
    let of_fact = |name: &str| summary.facts.get(name).map(|value| one_line(value));
    let real_kind = run.is_some_and(|r| r.backend == "kind");
    let seen: [(&str, Option<String>); 5] = [
        ("kubernetes", of_fact("kubernetes").or_else(|| of_spec("/cluster/kubernetes"))),
        ("istio", of_fact("istio").or_else(|| of_spec("/istio/version"))),
        ("gateway-api", of_fact("gateway-api").or_else(|| of_spec("/gatewayApi/version"))),
        ("dashboard", of_fact("dashboard").or_else(|| of_spec("/dashboard/version"))),
        // Another backend has a version of kind in its spec and no kind.
        ("kind", of_fact("kind").or_else(|| of_spec("/tools/kind/version")).filter(|_| real_kind)),
    ];
    let versions: BTreeMap<String, String> = seen.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?))).collect();
    let version = |name: &str| versions.get(name).cloned().unwrap_or_else(|| UNKNOWN.to_owned());
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let fidelity = run.map_or(UNKNOWN, |r| r.fidelity.word());
    ConformanceReport {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        date: summary.last.map(|at| at.to_string()).unwrap_or_default(),
        implementation: Implementation {
            organization: "istio".to_owned(),
            project: "istio".to_owned(),
            url: "https://istio.io/".to_owned(),
            version: version("istio"),
            contact: Vec::new(),
        },
        gateway_api_version: version("gateway-api"),
        gateway_api_channel: or_unknown(of_spec("/gatewayApi/channel")),
        mode: or_unknown(of_spec("/istio/profile")),
        fidelity: fidelity.to_owned(),
        stand_ins: summary.stand_ins.iter().map(|(component, image)| (one_line(component), one_line(image))).collect(),
        run: Run {
            id: or_unknown(run.map(|r| one_line(&r.run))),
            meshproof: or_unknown(run.map(|r| one_line(&r.meshproof))),
            command: or_unknown(run.map(|r| one_line(&r.command))),
            backend: or_unknown(run.map(|r| one_line(&r.backend))),
            exit_code: summary.finished.map(|f| f.exit_code),
        },
        provisioning: provisioning(summary),
        interrupted: summary.interrupted(),
        profiles: summary.chapters().into_iter().filter_map(|(chapter, outcomes)| profile(chapter, &outcomes, texts)).collect(),
        succeeded_provisional_tests: Vec::new(),
        versions,
    }
}

fn provisioning(summary: &Summary) -> Provisioning {
    let failed: Vec<String> = summary.stages.iter().filter(|s| s.failed()).map(|s| one_line(&s.info.id)).collect();
    let result = if !failed.is_empty() {
        Grade::Failure
    } else if summary.stages.iter().all(StageSummary::done) {
        Grade::Success
    } else {
        Grade::Partial
    };
    Provisioning { result, failed_stages: failed }
}

/// A chapter; `None` where it has nothing but defects.
fn profile(chapter: &str, outcomes: &[&OutcomeSummary], texts: &Texts) -> Option<Profile> {
    let of = |kind: OutcomeKind| outcomes.iter().copied().filter(move |o| o.info.kind == kind).collect::<Vec<_>>();
    let (documented, hardening) = (of(OutcomeKind::Documented), of(OutcomeKind::Hardening));
    let core = (!documented.is_empty()).then(|| status(&documented));
    let extended = (!hardening.is_empty()).then(|| extended(&hardening));
    if core.is_none() && extended.is_none() {
        return None;
    }
    let parts = [("core", core.as_ref()), ("extended", extended.as_ref().map(|e| &e.status))];
    let sentences: Vec<String> = parts.into_iter().filter_map(|(part, status)| Some(sentence(part, status?, texts))).collect();
    Some(Profile { name: one_line(chapter), core, extended, summary: sentences.join(" ") })
}

fn extended(outcomes: &[&OutcomeSummary]) -> Extended {
    let unsupported = |o: &&OutcomeSummary| matches!(o.verdict(), Some(Verdict::Unsupported { .. }));
    let ids = |wanted: bool| outcomes.iter().filter(|o| unsupported(o) == wanted).map(|o| one_line(&o.info.id)).collect();
    Extended { status: status(outcomes), supported_features: ids(false), unsupported_features: ids(true) }
}

fn status(outcomes: &[&OutcomeSummary]) -> Status {
    let (mut statistics, mut failed, mut skipped, mut because) = (Statistics::default(), Vec::new(), Vec::new(), BTreeMap::new());
    for outcome in outcomes {
        let id = one_line(&outcome.info.id);
        let why = match outcome.verdict() {
            // Somebody knows of it, which proves nothing.
            Some(Verdict::Failed { .. }) if outcome.ruling() == Some(Ruling::ExpectedFailure) => "expected failure".to_owned(),
            Some(Verdict::Passed) => {
                statistics.passed += 1;
                continue;
            }
            Some(Verdict::Failed { .. }) => {
                statistics.failed += 1;
                failed.push(id);
                continue;
            }
            Some(Verdict::Skipped { .. }) => "skipped".to_owned(),
            Some(Verdict::Unsupported { capability, .. }) => format!("unsupported: {}", one_line(capability)),
            Some(Verdict::Blocked { by }) => format!("blocked: {}", one_line(by)),
            None => "not judged".to_owned(),
        };
        statistics.skipped += 1;
        because.insert(id.clone(), why);
        skipped.push(id);
    }
    let result = match (failed.is_empty(), skipped.is_empty()) {
        (false, _) => Grade::Failure,
        (true, false) => Grade::Partial,
        (true, true) => Grade::Success,
    };
    Status { result, statistics, skipped_tests: skipped, failed_tests: failed, skipped_because: because }
}

fn sentence(part: &str, status: &Status, texts: &Texts) -> String {
    let result = match status.result {
        Grade::Success => "success",
        Grade::Partial => "partial",
        Grade::Failure => "failure",
    };
    let Statistics { passed, skipped, failed } = status.statistics;
    let (passed, skipped, failed) = (passed.to_string(), skipped.to_string(), failed.to_string());
    let part = texts.get(&format!("report-conformance-{part}"));
    let args = [("part", part.as_str()), ("passed", &passed), ("skipped", &skipped), ("failed", &failed)];
    one_line(&texts.with(&format!("report-conformance-{result}"), &args))
}
