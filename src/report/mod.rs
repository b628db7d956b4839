//! Forms of a journal. Each is a pure function of its records, so any journal, also one that was cut, can be reported again.

pub mod conformance;
mod counts;
#[cfg(test)]
mod cut_tests;
pub mod diff;
mod expected;
#[cfg(test)]
mod expected_tests;
mod fold;
mod form;
pub mod html;
pub mod json;
pub mod junit;
mod layout;
pub mod markdown;
pub mod progress;
pub mod schema;
#[cfg(test)]
mod secret_tests;
pub mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use expected::{Expectation, Ruling};
pub use fold::{Collected, Counts, Failure, Finished, OutcomeState, OutcomeSummary, RunInfo, StageState, StageSummary, Summary, exit_code};
pub use form::{Form, FormFile, RenderError, UnknownForm, WriteError, render, write};
pub use layout::Style;
