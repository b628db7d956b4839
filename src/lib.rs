//! meshproof provisions an Istio-ambient-on-Kind environment as a test fixture and proves every outcome that its install guide documents.

// Tests are read top to bottom; these lints are about code that is called from elsewhere.
#![cfg_attr(
    test,
    allow(
        clippy::needless_pass_by_value,
        clippy::needless_for_each,
        clippy::default_trait_access,
        clippy::large_stack_arrays,
        clippy::naive_bytecount
    )
)]

pub mod agent;
pub mod bundle;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cluster;
pub mod collect;
pub mod diagnose;
pub mod engine;
pub mod error;
pub mod faults;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod guide;
pub mod harness;
pub mod journal;
pub mod ledger;
pub mod lint;
pub mod mirror;
pub mod outcomes;
pub mod prove;
pub mod recording;
pub mod registry;
pub mod report;
pub mod session;
pub mod spec;
pub mod stages;
#[cfg(test)]
mod testing;
pub mod text;
pub mod tools;
pub mod wait;

// What the types of this crate are made of, so that those who use them need not guess the versions.
pub use {futures, http, k8s_openapi, kube, serde_json};
