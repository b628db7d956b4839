//! What the page is filled with. Words are left to the template; here are values, and which of them are shown.

use std::collections::BTreeMap;

use serde::Serialize;

use super::judged::{Chapter, First, Maker, Other, Running};
use super::nodes::{self, NodeMap};
use super::values::{self, Kind, Share, Told, time};
use super::waterfall::{self, Waterfall};
use crate::guide::Looked;
use crate::report::fold::{Collected, Summary};
use crate::text::Texts;

/// The whole page.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    lang: &'static str,
    run: Option<About<'a>>,
    started: Option<String>,
    fidelity: &'static str,
    /// How the run went, the tail of a key: `passed`, `failed`, `stage`, `interrupted`, `other`.
    result: &'static str,
    exit_code: Option<u8>,
    interrupted: bool,
    time: String,
    counts: Vec<Share>,
    outcomes: usize,
    failed_not_gating: usize,
    not_selected: &'a [String],
    first: Option<First<'a>>,
    others: Vec<Other<'a>>,
    others_more: usize,
    stand_ins: &'a BTreeMap<String, String>,
    warnings: &'a [String],
    missing: BTreeMap<&'a str, usize>,
    running: Vec<Running<'a>>,
    waterfall: Option<Waterfall<'a>>,
    chapters: Vec<Chapter<'a>>,
    kinds: Vec<Kind>,
    /// Whether there is so much that the browser should lay out only what is in sight.
    many: bool,
    nodes: Option<NodeMap<'a>>,
    facts: &'a BTreeMap<String, String>,
    objects: &'a BTreeMap<String, Vec<String>>,
    object_count: usize,
    repeat: Option<String>,
    spec: Option<String>,
    recorded: Option<Recorded>,
    guide: Looked,
    commands: usize,
    transcripts: Vec<Told>,
    bundle: Option<Bundle<'a>>,
}

#[derive(Debug, Serialize)]
struct About<'a> {
    run: &'a str,
    session: &'a str,
    meshproof: &'a str,
    command: &'a str,
    backend: &'a str,
    strict: bool,
}

#[derive(Debug, Serialize)]
struct Recorded {
    mirror: usize,
    errors: usize,
    mib: u64,
    proxy: usize,
}

#[derive(Debug, Serialize)]
struct Bundle<'a> {
    dir: &'a str,
    files: usize,
    mib: u64,
    left_out: usize,
}

impl<'a> Page<'a> {
    pub(super) fn new(summary: &'a Summary, texts: &'a Texts) -> Self {
        let maker = Maker::new(summary, texts);
        let counts = summary.counts();
        let run = summary.run.as_ref();
        let (others, others_more) = maker.others();
        let recorded = summary.recorded;
        Self {
            lang: texts.lang().tag(),
            run: run.map(|r| About {
                run: &r.run,
                session: &r.session,
                meshproof: &r.meshproof,
                command: &r.command,
                backend: &r.backend,
                strict: r.strict,
            }),
            started: summary.started.map(|at| format!("{at:.0}")),
            fidelity: run.map_or("unknown", |r| r.fidelity.word()),
            result: values::result(summary),
            exit_code: summary.finished.map(|f| f.exit_code),
            interrupted: summary.interrupted(),
            time: time(texts, summary.duration_ms()),
            counts: values::shares(&counts, summary.outcomes.len()),
            outcomes: summary.outcomes.len(),
            failed_not_gating: counts.failed_not_gating,
            not_selected: &summary.not_selected,
            first: summary.first_failure().map(|f| maker.first(f)),
            others,
            others_more,
            stand_ins: &summary.stand_ins,
            warnings: &summary.warnings,
            missing: summary.missing_capabilities(),
            running: maker.running(),
            waterfall: waterfall::of(summary, texts),
            chapters: maker.chapters(),
            kinds: values::kinds(summary),
            many: summary.outcomes.len() > 300,
            nodes: nodes::of(summary),
            facts: &summary.facts,
            objects: &summary.objects,
            object_count: summary.objects.values().map(Vec::len).sum(),
            repeat: values::repeat(summary),
            spec: run.filter(|r| !r.spec.is_null()).map(|r| values::yaml(&r.spec)),
            recorded: (recorded.mirror + recorded.proxy > 0).then(|| Recorded {
                mirror: recorded.mirror,
                errors: recorded.mirror_errors,
                mib: recorded.bytes.div_ceil(1 << 20),
                proxy: recorded.proxy,
            }),
            guide: summary.guide(),
            commands: summary.commands,
            transcripts: summary.transcripts.iter().map(values::told).collect(),
            bundle: summary.collected.as_ref().map(|c: &Collected| Bundle {
                dir: &c.dir,
                files: c.files,
                mib: c.bytes.div_ceil(1 << 20),
                left_out: c.left_out,
            }),
        }
    }
}
