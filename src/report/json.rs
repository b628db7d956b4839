//! The report for programs. Its shape is versioned: fields are added, never renamed or removed within a version, and `schema.rs` has it as a
//! JSON Schema.

use serde_json::{Map, Value, json};

use crate::journal::{StageResult, Verdict};

use super::expected::Expectation;
use super::fold::{Failure, OutcomeState, OutcomeSummary, StageState, StageSummary, Summary, elapsed_ms};

/// The value of `schema`.
pub const SCHEMA: &str = "meshproof.dev/report/v1alpha1";

/// The value of `schemaVersion`, which is that of the published JSON Schema.
pub const SCHEMA_VERSION: u32 = 1;

/// Renders a folded journal. `exitCode` is null when the journal was cut, so that nobody takes half a run for a green one.
#[must_use]
pub fn render(summary: &Summary) -> Value {
    let run = summary.run.as_ref();
    let counts = summary.counts();
    json!({
        "schema": SCHEMA,
        "schemaVersion": SCHEMA_VERSION,
        "run": run.map(|r| json!({
            "id": r.run,
            "session": r.session,
            "meshproof": r.meshproof,
            "command": r.command,
            "backend": r.backend,
            "journalFormat": r.format,
            "strict": r.strict,
            "startedAt": summary.started,
        })),
        "durationMs": summary.duration_ms(),
        "fidelity": run.map(|r| r.fidelity),
        "spec": run.map(|r| &r.spec),
        "facts": summary.facts,
        "objects": summary.objects,
        "standIns": summary.stand_ins.iter().map(|(component, image)| json!({"component": component, "image": image})).collect::<Vec<_>>(),
        "warnings": summary.warnings,
        "stages": summary.stages.iter().map(|s| stage(summary, s)).collect::<Vec<_>>(),
        "outcomes": summary.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        "counts": {
            "passed": counts.passed,
            "failed": counts.failed,
            "failedNotGating": counts.failed_not_gating,
            "blocked": counts.blocked,
            "skipped": counts.skipped,
            "unsupported": counts.unsupported,
            "expected": counts.expected,
            "unexpected": counts.unexpected,
            "notJudged": counts.not_judged,
            "notSelected": summary.not_selected.len(),
        },
        "guide": summary.guide(),
        "notSelected": summary.not_selected,
        "missingCapabilities": summary.missing_capabilities(),
        "firstFailure": summary.first_failure().map(|f| match f {
            Failure::Stage(stage) => json!({"stage": stage.info.id}),
            Failure::Outcome(outcome) => json!({"outcome": outcome.info.id}),
        }),
        "commands": summary.commands,
        "transcripts": summary.transcripts.iter().map(|t| json!({"name": t.name, "run": t.run, "at": t.recorded_at})).collect::<Vec<_>>(),
        "recorded": {
            "mirror": summary.recorded.mirror,
            "mirrorErrors": summary.recorded.mirror_errors,
            "mirrorBytes": summary.recorded.bytes,
            "proxy": summary.recorded.proxy,
        },
        "bundle": summary.collected.as_ref().map(|c| json!({"dir": c.dir, "files": c.files, "bytes": c.bytes, "leftOut": c.left_out})),
        "exitCode": summary.finished.map(|f| f.exit_code),
        "interrupted": summary.interrupted(),
    })
}

fn stage(summary: &Summary, stage: &StageSummary) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(stage.info.id));
    out.insert("title".into(), json!(stage.info.title));
    out.insert("needs".into(), json!(stage.info.needs));
    if let Some(started) = stage.started {
        out.insert("startedAt".into(), json!(started));
        out.insert("offsetMs".into(), json!(summary.started.map_or(0, |run| elapsed_ms(run, started))));
    }
    if let Some(status) = &stage.status {
        out.insert("lastStatus".into(), json!(status));
    }
    let state = match &stage.state {
        StageState::Pending => "pending",
        StageState::Running { .. } => "running",
        StageState::Finished { result, duration_ms } => {
            out.insert("durationMs".into(), json!(duration_ms));
            match result {
                StageResult::Already => "already",
                StageResult::Provisioned => "provisioned",
                StageResult::NotNeeded => "not-needed",
                StageResult::Failed { error, hint, diagnoses } => {
                    out.insert("error".into(), json!(error));
                    out.insert("hint".into(), json!(hint));
                    out.insert("diagnoses".into(), json!(diagnoses));
                    "failed"
                }
                StageResult::Blocked { by } => {
                    out.insert("blockedBy".into(), json!(by));
                    "blocked"
                }
            }
        }
    };
    out.insert("state".into(), json!(state));
    Value::Object(out)
}

fn outcome(outcome: &OutcomeSummary) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), json!(outcome.info.id));
    out.insert("chapter".into(), json!(outcome.chapter()));
    out.insert("title".into(), json!(outcome.info.title));
    out.insert("kind".into(), json!(outcome.info.kind));
    out.insert("gates".into(), json!(outcome.gates()));
    out.insert("section".into(), json!(outcome.info.section));
    out.insert("sentence".into(), json!(outcome.info.sentence));
    out.insert("hint".into(), json!(outcome.info.hint));
    let (state, verdict) = match &outcome.state {
        OutcomeState::Pending => ("pending", None),
        OutcomeState::Running { .. } => ("running", None),
        OutcomeState::Judged { verdict, duration_ms, evidence, diagnoses } => {
            out.insert("durationMs".into(), json!(duration_ms));
            out.insert("evidence".into(), json!(evidence));
            out.insert("diagnoses".into(), json!(diagnoses));
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed { reason } | Verdict::Skipped { reason } => {
                    out.insert("reason".into(), json!(reason));
                }
                Verdict::Blocked { by } => {
                    out.insert("blockedBy".into(), json!(by));
                }
                Verdict::Unsupported { capability, reason } => {
                    out.insert("capability".into(), json!(capability));
                    out.insert("reason".into(), json!(reason));
                }
            }
            ("judged", outcome.word())
        }
    };
    if let Some(Expectation { entry, expired }) = &outcome.expected {
        let entry = json!({"reason": entry.reason, "owner": entry.owner, "expires": entry.expires, "expired": expired});
        out.insert("expected".into(), entry);
    }
    out.insert("state".into(), json!(state));
    out.insert("verdict".into(), json!(verdict));
    Value::Object(out)
}
