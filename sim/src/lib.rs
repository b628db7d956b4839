//! An in-process Kubernetes API server with simulated nodes. It knows Kubernetes and nothing else: what runs in its containers is plugged in.

// Tests are read top to bottom; these lints are about code that is called from elsewhere.
#![cfg_attr(test, allow(clippy::needless_pass_by_value, clippy::default_trait_access, clippy::needless_for_each))]

pub mod api;
pub mod auth;
pub mod builtin;
pub mod clock;
pub mod cluster;
pub mod columns_jsonpath;
pub mod controllers;
pub mod discovery;
pub mod failure;
pub mod kinds;
pub mod kubelet;
pub mod net;
pub mod node;
pub mod oci;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod path;
pub mod resource;
pub mod selector;
pub mod server;
pub mod store;
pub mod table;
pub mod workload;

pub use api::Api;
pub use clock::Clock;
pub use cluster::{Cluster, Settings};
pub use failure::Failure;
