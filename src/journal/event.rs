//! The records of a journal. Their JSON shape is versioned: fields are added, never renamed or removed within a version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the record format, written into every [`Event::RunStarted`].
pub const FORMAT_VERSION: u32 = 1;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the journal, from 0.
    pub seq: u64,
    /// When it was written, UTC.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How real the environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// A real cluster.
    Real,
    /// A simulated one.
    Simulated,
}

impl Fidelity {
    /// Its word, for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Simulated => "simulated",
        }
    }
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum StageResult {
    /// It was already true and has been verified again.
    Already,
    /// It was made.
    Provisioned,
    /// The spec does not ask for it.
    NotNeeded,
    /// It failed.
    Failed {
        /// The error chain, outermost first.
        error: Vec<String>,
        /// What to do about it, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Causes found in the evidence, most likely first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        diagnoses: Vec<Diagnosis>,
    },
    /// A stage that it needs failed or was blocked.
    Blocked {
        /// The stage at the root, the one that failed.
        by: String,
    },
}

/// How sure a diagnosis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The evidence admits no other cause.
    Certain,
    /// Other causes leave the same evidence, but seldom.
    #[default]
    Likely,
    /// One cause among several.
    Possible,
}

impl Confidence {
    /// The word that qualifies a diagnosis; what is likely needs none.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Certain => Some("certain"),
            Self::Likely => None,
            Self::Possible => Some("possible"),
        }
    }
}

/// A cause that the evidence points to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Stable rule id, for example `P9`.
    pub rule: String,
    /// How sure it is. Journals that were written before it was recorded hold likely ones.
    #[serde(default)]
    pub confidence: Confidence,
    /// What is wrong, one sentence.
    pub cause: String,
    /// What to do, one sentence.
    pub remedy: String,
    /// The line of evidence that matched.
    pub seen: String,
}

impl Diagnosis {
    /// `P9`, or `P9 (certain)`.
    #[must_use]
    pub fn label(&self) -> String {
        self.confidence.word().map_or_else(|| self.rule.clone(), |word| format!("{} ({word})", self.rule))
    }
}

/// The verdict on one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// The claim holds.
    Passed,
    /// The claim does not hold.
    Failed {
        /// Why, one or more sentences.
        reason: String,
    },
    /// A stage that it needs failed.
    Blocked {
        /// That stage.
        by: String,
    },
    /// Someone asked to leave it out.
    Skipped {
        /// Their reason.
        reason: String,
    },
    /// The environment lacks a capability that it needs.
    Unsupported {
        /// The capability's name.
        capability: String,
        /// Why it is absent.
        reason: String,
    },
}

/// Whether an outcome is documented by the guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// The guide says it.
    Documented,
    /// Goes beyond the guide.
    Hardening,
    /// Shows what the guide's text would do; never gates.
    Defect,
}

impl OutcomeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Documented, Self::Hardening, Self::Defect];

    /// Its word, for programs and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Hardening => "hardening",
            Self::Defect => "defect",
        }
    }
}

/// What an outcome is, as known when the run started. A report needs no registry to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeInfo {
    /// `chapter.subject.claim`.
    pub id: String,
    /// One-line claim in the run's language.
    pub title: String,
    /// Documented, hardening or defect.
    pub kind: OutcomeKind,
    /// Section of the guide, for example `2.1.2`; absent for hardening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The guide's own sentence or command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// What to do when it fails.
    pub hint: String,
}

/// A planned stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Stage id, for example `gateway-api`.
    pub id: String,
    /// One-line title in the run's language.
    pub title: String,
    /// Stages that must be done before.
    pub needs: Vec<String>,
}

/// What a stage recorded while it provisioned, kept because it cannot be seen again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Stable name, for example `istio.install`.
    pub name: String,
    /// Run that recorded it.
    pub run: String,
    /// When it was recorded. (Not `at`: a record is flattened and has one already.)
    pub recorded_at: Timestamp,
    /// The command that was run.
    pub command: CommandRecord,
}

/// An external command that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Redacted argument vector, the program first (its name, not its path).
    pub argv: Vec<String>,
    /// Process id.
    pub pid: u32,
    /// Exit code; absent when a signal ended it.
    pub exit_code: Option<i32>,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Redacted end of standard output.
    pub stdout: String,
    /// Redacted end of standard error.
    pub stderr: String,
}

/// An entry of the ledger of expected failures that applies to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Id of the outcome that is expected to fail.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// Who looks after it.
    pub owner: String,
    /// The last day on which it holds, in UTC.
    pub expires: jiff::civil::Date,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// First record of every journal.
    RunStarted {
        /// [`FORMAT_VERSION`].
        format: u32,
        /// Run id.
        run: String,
        /// Session id.
        session: String,
        /// meshproof's version.
        meshproof: String,
        /// The subcommand, for example `run`.
        command: String,
        /// Backend name.
        backend: String,
        /// Real or simulated.
        fidelity: Fidelity,
        /// The resolved spec.
        spec: serde_json::Value,
        /// Stages in plan order.
        stages: Vec<StageInfo>,
        /// Outcomes in catalogue order, without those that were not selected.
        outcomes: Vec<OutcomeInfo>,
        /// Ids of the outcomes that this run was asked not to judge, in catalogue order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        not_selected: Vec<String>,
        /// Whether skipped and unsupported outcomes gate.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        strict: bool,
    },
    /// An outcome is expected to fail. Its verdict is recorded as it is; reports say what the entry makes of it.
    Expected(Expected),
    /// A fact about the environment, for example `kubernetes` = `v1.33.4`. A later one replaces an earlier one of the same name.
    Fact {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
    /// Which objects the environment has, of the kinds that an installation makes.
    Inventory {
        /// `namespace/name` or `name` by kind; a CRD with the versions that it serves. A kind that could not be listed is not there.
        objects: BTreeMap<String, Vec<String>>,
    },
    /// An image that only stands in for the real component.
    StandIn {
        /// Component, for example `ztunnel`.
        component: String,
        /// Image reference.
        image: String,
    },
    /// Something that a person should know although nothing failed.
    Warning {
        /// One sentence.
        message: String,
    },
    /// A stage began.
    StageStarted {
        /// Stage id.
        stage: String,
    },
    /// What a stage is waiting for or doing now.
    StageProgress {
        /// Stage id.
        stage: String,
        /// One line.
        status: String,
    },
    /// A stage ended.
    StageFinished {
        /// Stage id.
        stage: String,
        /// Wall time in milliseconds; 0 when blocked.
        duration_ms: u64,
        /// How.
        #[serde(flatten)]
        result: StageResult,
    },
    /// An external command began; its end is a [`Event::CommandFinished`] with the same pid.
    CommandStarted {
        /// Redacted argument vector.
        argv: Vec<String>,
        /// Process id.
        pid: u32,
        /// Start time of the process in clock ticks since boot (field 22 of `/proc/PID/stat`), where the system has it.
        start_ticks: Option<u64>,
    },
    /// An external command ended.
    CommandFinished(CommandRecord),
    /// A transcript was recorded, or copied from the run that recorded it.
    Transcript(Transcript),
    /// An outcome is being judged.
    OutcomeStarted {
        /// Outcome id.
        outcome: String,
        /// What it is, if the run did not announce it: tests ask for outcomes one by one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        info: Option<OutcomeInfo>,
    },
    /// Something was broken on purpose.
    FaultInjected {
        /// Fault id.
        fault: String,
    },
    /// It was mended.
    FaultReverted {
        /// Fault id.
        fault: String,
        /// Why it could not be, if it could not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// An outcome was judged.
    OutcomeFinished {
        /// Outcome id.
        outcome: String,
        /// Wall time in milliseconds.
        duration_ms: u64,
        /// The verdict.
        #[serde(flatten)]
        verdict: Verdict,
        /// What was seen, by name.
        evidence: BTreeMap<String, serde_json::Value>,
        /// Causes found in the evidence.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        diagnoses: Vec<Diagnosis>,
    },
    /// A recorder was asked for something, by a node or by anybody else who found it.
    Recorded {
        /// Who asked for what, and what came of it.
        access: crate::mirror::record::Access,
    },
    /// A bundle of everything that may tell what went wrong was collected.
    Collected {
        /// Its directory.
        dir: String,
        /// How many files it has, with its index.
        files: usize,
        /// Their size in bytes.
        bytes: u64,
        /// How many things were left out or cut; the index names them.
        left_out: usize,
    },
    /// Last record of a journal that was not cut.
    RunFinished {
        /// Exit code of the command.
        exit_code: u8,
        /// Wall time in milliseconds.
        duration_ms: u64,
    },
    /// A record of a later version of meshproof, which this one steps over.
    #[serde(other)]
    Unknown,
}
