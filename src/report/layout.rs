//! Text in columns: widths as a terminal counts them, wrapping, colours, and the cleaning of foreign text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::journal::{StageResult, Verdict};
use crate::text::Texts;

use super::expected::Ruling;
use super::fold::{OutcomeSummary, StageState};

/// How to render for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to write ANSI colours.
    pub color: bool,
    /// Columns.
    pub width: usize,
    /// Whether symbols must be plain ASCII.
    pub ascii: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: 100, ascii: false }
    }
}

/// A colour by what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Caution,
    Faint,
    Strong,
}

impl Style {
    /// Colours text that has already been cleaned and padded.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Caution => "33",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Columns to write in: a terminal that is too narrow gets lines that the terminal wraps.
    pub(super) fn columns(self) -> usize {
        self.width.max(40)
    }

    /// Our own punctuation in ASCII where asked for; what people wrote stays as it is.
    pub(super) fn punctuate(self, text: &str) -> String {
        if !self.ascii {
            return text.to_owned();
        }
        text.chars()
            .map(|c| match c {
                '·' | '—' | '–' => '-',
                '…' => '~',
                '“' | '”' => '"',
                _ => c,
            })
            .collect()
    }
}

/// A result as a symbol with its tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Bad,
    Blocked,
    LeftOut,
    Unsupported,
    Running,
    Pending,
    Expected,
    Unexpected,
}

impl Mark {
    pub(super) fn of_verdict(verdict: Option<&Verdict>) -> Self {
        match verdict {
            Some(Verdict::Passed) => Self::Good,
            Some(Verdict::Failed { .. }) => Self::Bad,
            Some(Verdict::Blocked { .. }) => Self::Blocked,
            Some(Verdict::Skipped { .. }) => Self::LeftOut,
            Some(Verdict::Unsupported { .. }) => Self::Unsupported,
            None => Self::Pending,
        }
    }

    /// That of its verdict, with what the ledger makes of it.
    pub(super) fn of_outcome(outcome: &OutcomeSummary) -> Self {
        match outcome.ruling() {
            Some(Ruling::ExpectedFailure) => Self::Expected,
            Some(Ruling::UnexpectedPass) => Self::Unexpected,
            None => Self::of_verdict(outcome.verdict()),
        }
    }

    pub(super) fn of_stage(state: &StageState) -> Self {
        match state {
            StageState::Pending => Self::Pending,
            StageState::Running { .. } => Self::Running,
            StageState::Finished { result, .. } => match result {
                StageResult::Already | StageResult::Provisioned => Self::Good,
                StageResult::NotNeeded => Self::LeftOut,
                StageResult::Failed { .. } => Self::Bad,
                StageResult::Blocked { .. } => Self::Blocked,
            },
        }
    }

    pub(super) fn symbol(self, ascii: bool) -> &'static str {
        match (self, ascii) {
            (Self::Good, false) => "✓",
            (Self::Good, true) => "+",
            (Self::Bad, false) => "✗",
            (Self::Bad, true) => "x",
            (Self::Blocked, false) => "⊘",
            (Self::Blocked, true) => "!",
            (Self::LeftOut, _) => "-",
            (Self::Unsupported, false) => "○",
            (Self::Unsupported, true) => "o",
            (Self::Running, false) => "▸",
            (Self::Running, true) => ">",
            (Self::Pending, false) => "·",
            (Self::Pending, true) => ".",
            (Self::Expected, false) => "≈",
            (Self::Expected, true) => "~",
            (Self::Unexpected, false) => "≠",
            (Self::Unexpected, true) => "#",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Good => Tone::Good,
            Self::Bad | Self::Unexpected => Tone::Bad,
            Self::Blocked | Self::Unsupported | Self::Running => Tone::Caution,
            Self::LeftOut | Self::Pending | Self::Expected => Tone::Faint,
        }
    }

    pub(super) fn painted(self, style: Style) -> String {
        style.paint(self.tone(), self.symbol(style.ascii))
    }
}

/// Seconds with one decimal, or milliseconds where those would read 0.0, in the words of the language.
pub(super) fn seconds(texts: &Texts, ms: u64) -> String {
    if (1..100).contains(&ms) {
        return texts.with("report-milliseconds", &[("milliseconds", &ms.to_string())]);
    }
    let tenths = ms.saturating_add(50) / 100;
    texts.with("report-seconds", &[("seconds", &format!("{}.{}", tenths / 10, tenths % 10))])
}

/// Removes escape sequences, control characters and marks that turn the reading direction: evidence comes from programs and
/// clusters, and must neither steer a terminal nor break XML. Line ends stay, tabs become spaces.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.peek() {
                Some('[') => {
                    chars.next();
                    while chars.peek().is_some_and(|c| ('\u{20}'..'\u{40}').contains(c)) {
                        chars.next();
                    }
                    chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
                // Up to its end mark, but never past the line: one that does not end must not swallow the rest.
                Some(']') => while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {},
                _ => {
                    chars.next_if(|c| !c.is_control());
                }
            },
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Foreign text as one clean line.
pub(super) fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Shortens to so many columns, with an ellipsis where something went missing.
pub(super) fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Exactly so many columns, left-aligned.
pub(super) fn left(text: &str, columns: usize) -> String {
    let text = shorten(text, columns);
    let gap = columns.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(gap))
}

/// At least so many columns, right-aligned.
pub(super) fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(text.width())))
}

/// Cleans and breaks text into lines of at most so many columns: at spaces, between wide characters, and only else inside a word.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(10);
    let mut lines = Vec::new();
    for paragraph in clean(text).lines() {
        let mut line = String::new();
        let mut used = 0;
        for unit in units(paragraph) {
            let blank = unit.starts_with(' ');
            if used > 0 && used + unit.width() > columns {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0;
                if blank {
                    continue;
                }
            }
            for c in unit.chars() {
                let width = c.width().unwrap_or(0);
                if used > 0 && used + width > columns {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                used += width;
                line.push(c);
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Splits a line into runs of spaces, words, and single wide characters.
fn units(text: &str) -> Vec<&str> {
    let class = |c: char| match c {
        ' ' => 0,
        c if c.width() == Some(2) => 2,
        _ => 1,
    };
    let mut units = Vec::new();
    let mut start = 0;
    let mut previous = None;
    for (at, c) in text.char_indices() {
        let this = class(c);
        if previous.is_some_and(|p| p != this || this == 2) {
            units.push(&text[start..at]);
            start = at;
        }
        previous = Some(this);
    }
    if start < text.len() {
        units.push(&text[start..]);
    }
    units
}
