//! The embedded backend. What runs in its cluster are our own manifests of what the guide installs, the images that they name, and the
//! behaviour of these images. The simulation itself (`sim`) knows Kubernetes and nothing of this.
//!
//! Everything here is a stand-in and says so: every image carries the label that reports look for.

mod crds;
mod host;
mod images;
mod manifests;
mod nodes;
mod programs;
mod provider;
mod system;

pub(super) use nodes::is_simulation;

pub use host::{HostError, Hosted, host};
pub use images::{Image, STANDIN_LABEL, preloaded, registry_images};
pub use manifests::{ManifestError, manifest};
pub use programs::{NodeFiles, workloads, workloads_with};
pub use provider::Embedded;
pub use system::{ApiServer, kube_system, static_pods};

#[cfg(test)]
mod tests;
