//! A container registry in memory: the pull part of the OCI distribution specification.

mod images;
mod server;
#[cfg(test)]
mod tests;

pub use images::{Built, Config, Images, SIZE_ANNOTATION};
pub use server::{Asked, Fault, Misbehaviour, Registry};

use sha2::{Digest, Sha256};

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `sha256:…` of some content.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// The architecture of this machine in the words of images (Go's `GOARCH`).
#[must_use]
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
