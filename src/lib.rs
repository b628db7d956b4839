//! meshproof provisions an Istio-ambient-on-Kind environment as a test fixture and proves every outcome that its install guide documents.

pub mod cli;
pub mod cluster;
pub mod diagnose;
pub mod engine;
pub mod error;
pub mod harness;
pub mod journal;
pub mod outcomes;
pub mod report;
pub mod session;
pub mod spec;
pub mod stages;
pub mod text;
pub mod tools;
pub mod wait;
