//! An in-process Kubernetes API server with simulated nodes. It knows Kubernetes and nothing else: what runs in its containers is plugged in.

// Tests are read top to bottom; these lints are about code that is called from elsewhere.
#![cfg_attr(test, allow(clippy::needless_pass_by_value, clippy::default_trait_access, clippy::needless_for_each))]

pub mod builtin;
pub mod clock;
pub mod failure;
pub mod resource;
pub mod store;

pub use clock::Clock;
pub use failure::Failure;
