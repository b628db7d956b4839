//! The stages on a common time axis. Everything is a percentage of the axis, which SVG takes as it is: the picture is to scale in any width.

use serde::Serialize;

use super::values::{anchor, percent, time};
use crate::journal::StageResult;
use crate::report::fold::{StageState, StageSummary, Summary, elapsed_ms};
use crate::report::layout::Mark;
use crate::text::Texts;

/// The axis has at most so many ticks, or their labels run into each other on a telephone.
const TICKS: u64 = 5;
/// What may lie between two ticks, in milliseconds.
const STEPS: [u64; 22] = [
    10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000,
    3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// The stages of a run.
#[derive(Debug, Serialize)]
pub(super) struct Waterfall<'a> {
    ticks: Vec<Tick>,
    rows: Vec<Row<'a>>,
    total: String,
    ready: usize,
}

/// A mark on the axis.
#[derive(Debug, Serialize)]
struct Tick {
    at: String,
    label: String,
}

/// A stage.
#[derive(Debug, Serialize)]
struct Row<'a> {
    anchor: String,
    id: &'a str,
    title: &'a str,
    /// The tail of a key: how it stands.
    state: &'static str,
    mark: &'static str,
    by: Option<&'a str>,
    status: Option<&'a str>,
    start: Option<String>,
    time: Option<String>,
    bar: Option<Bar>,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: String,
    width: String,
}

/// The stages of a run, or `None` where it has none.
pub(super) fn of<'a>(summary: &'a Summary, texts: &Texts) -> Option<Waterfall<'a>> {
    if summary.stages.is_empty() {
        return None;
    }
    let spans: Vec<Option<(u64, u64)>> = summary.stages.iter().map(|stage| span(summary, stage)).collect();
    let total = spans.iter().flatten().map(|(start, length)| start.saturating_add(*length)).max().unwrap_or(0);
    let rows = summary.stages.iter().zip(&spans).map(|(stage, span)| row(stage, *span, total, texts)).collect();
    let ready = summary.stages.iter().filter(|s| s.done()).count();
    Some(Waterfall { ticks: ticks(total, texts), rows, total: time(texts, total), ready })
}

/// When a stage began, counted from the run's start, and how long it took; one that still runs, up to the last moment known.
fn span(summary: &Summary, stage: &StageSummary) -> Option<(u64, u64)> {
    let start = elapsed_ms(summary.started?, stage.started?);
    let length = match &stage.state {
        StageState::Pending | StageState::Finished { result: StageResult::Blocked { .. } | StageResult::NotNeeded, .. } => return None,
        StageState::Running { since } => elapsed_ms(*since, summary.last?),
        StageState::Finished { duration_ms, .. } => *duration_ms,
    };
    Some((start, length))
}

fn row<'a>(stage: &'a StageSummary, span: Option<(u64, u64)>, total: u64, texts: &Texts) -> Row<'a> {
    let (state, by) = match &stage.state {
        StageState::Pending => ("pending", None),
        StageState::Running { .. } => ("running", None),
        StageState::Finished { result, .. } => match result {
            StageResult::Already => ("already", None),
            StageResult::Provisioned => ("provisioned", None),
            StageResult::NotNeeded => ("not-needed", None),
            StageResult::Failed { .. } => ("failed", None),
            StageResult::Blocked { by } => ("blocked", Some(by.as_str())),
        },
    };
    Row {
        anchor: anchor("stage", &stage.info.id),
        id: &stage.info.id,
        title: &stage.info.title,
        state,
        mark: Mark::of_stage(&stage.state).symbol(false),
        by,
        // What a stage that ended well waited for last is of no use any more.
        status: stage.status.as_deref().filter(|_| state == "running" || state == "failed"),
        start: span.map(|(start, _)| time(texts, start)),
        time: span.map(|(_, length)| time(texts, length)),
        bar: span.map(|(start, length)| Bar { x: percent(start, total), width: percent(length, total) }),
    }
}

fn ticks(total: u64, texts: &Texts) -> Vec<Tick> {
    if total == 0 {
        return Vec::new();
    }
    // Beyond the last step, whole numbers of days.
    let step =
        STEPS.into_iter().find(|step| total / step <= TICKS).unwrap_or_else(|| (total / TICKS / 86_400_000 + 1).saturating_mul(86_400_000));
    (0..=total / step).map(|n| Tick { at: percent(n * step, total), label: tick(texts, n * step) }).collect()
}

/// Round numbers in short: an axis has no room for more.
fn tick(texts: &Texts, ms: u64) -> String {
    if ms == 0 {
        return "0".to_owned();
    }
    let (key, number) = match ms {
        1..1000 => ("html-tick-milliseconds", ms),
        1000..60_000 => ("html-tick-seconds", ms / 1000),
        60_000..3_600_000 if !ms.is_multiple_of(60_000) => ("html-tick-seconds", ms / 1000),
        60_000..7_200_000 => ("html-tick-minutes", ms / 60_000),
        _ => ("html-tick-hours", ms / 3_600_000),
    };
    texts.with(key, &[("number", &number.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Lang;

    #[test]
    fn the_axis_has_few_round_ticks_whatever_its_length() {
        let texts = Texts::new(Lang::En);
        for total in [1, 9, 10, 999, 1000, 56_797, 90_000, 3_599_999, 100_000_000, u64::MAX] {
            let ticks = ticks(total, &texts);
            assert!((1..=6).contains(&ticks.len()), "{total}: {ticks:?}");
        }
        let labels: Vec<String> = super::ticks(56_797, &texts).into_iter().map(|t| t.label).collect();
        assert_eq!(labels, ["0", "10 s", "20 s", "30 s", "40 s", "50 s"]);
        assert_eq!(super::ticks(0, &texts).len(), 0);
    }
}
