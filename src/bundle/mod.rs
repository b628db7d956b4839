//! A bundle: all that a run needs, for places without a network.
//!
//! It is a directory, or the same in one file ([`archive`]):
//!
//! ```text
//! oci-layout, index.json               the images, by name; see `record` for how index.json follows from bundle.json
//! blobs/sha256/<hex>                   indexes, manifests, configurations and layers, each once
//! tools/<name>-<version>-<os>-<arch>   kind, kubectl, istioctl
//! manifests/<name>.yaml                the Dashboard and the Gateway API
//! bundle.json                          what all this is: see `record`
//! bundle.sig                           who vouches for it, if anybody: see `sign`
//! ```
//!
//! The same contents give the same bytes, wherever and whenever it is made. Of an image for many platforms, the index is kept as upstream has
//! it, so that its name still stands for upstream's digest; what is for other platforms is left out.

pub mod archive;
pub mod bake;
pub mod blobs;
pub mod contents;
pub mod create;
pub mod docker_export;
pub mod docker_import;
mod docker_saved;
mod entries;
pub mod environment;
pub mod fetch;
pub mod gather;
pub mod list;
pub mod manifest;
pub mod node_image;
pub mod oci_export;
pub mod pipe;
pub mod record;
pub mod sign;
pub mod verify;

#[cfg(test)]
mod testing;
