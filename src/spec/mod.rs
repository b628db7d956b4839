//! What environment the user wants: the spec, its profiles, the catalog of versions, and how files and options become one [`Spec`].

pub mod catalog;
mod model;
mod profiles;
mod tree;
mod version;

pub use model::*;
pub use profiles::{DEFAULT_PROFILE, PROFILES, Profile, profile};
pub use version::{Version, VersionError};
