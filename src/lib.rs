//! meshproof provisions an Istio-ambient-on-Kind environment as a test fixture and proves every outcome that its install guide documents.

pub mod diagnose;
pub mod engine;
pub mod error;
pub mod journal;
pub mod report;
pub mod spec;
pub mod text;
pub mod tools;
pub mod wait;
