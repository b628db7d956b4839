//! Forms of a journal. Each is a pure function of its records, so any journal, also one that was cut, can be reported again.

mod fold;
pub mod html;
pub mod json;
pub mod junit;
mod layout;
pub mod progress;
pub mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use fold::{Collected, Counts, Failure, Finished, OutcomeState, OutcomeSummary, RunInfo, StageState, StageSummary, Summary, exit_code};
pub use layout::Style;
